"""Attention with several heads, and the Transformer's layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse import functional as F
from dlcourse import init
from dlcourse.functional.attention import attention_mask
from dlcourse.functional.dropout import check_share
from dlcourse.nn.linear import Linear
from dlcourse.nn.module import Module, Parameter
from dlcourse.nn.normalisation import LayerNorm
from dlcourse.tensor import Tensor, as_tensor

__all__ = ["MultiheadAttention", "TransformerDecoderLayer", "TransformerEncoderLayer"]


class MultiheadAttention(Module):
    """Attention with several heads, each with its own part of the features.

    Parameters
    ----------
    embed_dim : int
        Features of the queries and of the output, E.
    num_heads : int
        How many heads; each has E / num_heads features.
    dropout : float
        The share of attention weights that are set to 0 in training.
    bias : bool
        Whether to add a bias before and after.
    kdim, vdim : int, optional
        Features of the keys and of the values, where they are not E.
    batch_first : bool
        Whether sequences come and go as (N, L, E) and not (L, N, E).
    rng : int, Generator or None
        Where starting values and dropout come from.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3E, E)
        The maps to queries, keys and values, one below the other. With ``kdim`` or ``vdim`` there
        are q_proj_weight, k_proj_weight and v_proj_weight in its place.
    in_proj_bias : Parameter, shape (3E,), or None
    out_proj : Linear
        From the heads, side by side, to the output.

    Raises
    ------
    ValueError
        If E is not a multiple of ``num_heads``.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        rng: Any = None,
    ) -> None:
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention({embed_dim}, {num_heads}): embed_dim must be a multiple of "
                "num_heads, so that each head gets as many features"
            )
        check_share("MultiheadAttention", "dropout", dropout)
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self._rng = np.random.default_rng(rng)
        if kdim in (None, embed_dim) and vdim in (None, embed_dim):
            self.in_proj_weight = self._map(3 * embed_dim, embed_dim)
        else:
            self.in_proj_weight = None
            self.q_proj_weight = self._map(embed_dim, embed_dim)
            self.k_proj_weight = self._map(embed_dim, kdim or embed_dim)
            self.v_proj_weight = self._map(embed_dim, vdim or embed_dim)
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, np.float32)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, rng=self._rng)
        if bias:
            self.out_proj.bias.data[:] = 0

    def _map(self, n_out: int, n_in: int) -> Parameter:
        return init.xavier_uniform_(Parameter(np.empty((n_out, n_in), np.float32)), rng=self._rng)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Let each query read from the values.

        Parameters
        ----------
        query, key, value : Tensor, shapes (L, N, E), (S, N, E), (S, N, E)
            With ``batch_first`` (N, L, E) and so on; a single example has no N.
        key_padding_mask : array, shape (N, S), optional
            Booleans: True where a key is padding, not to be read. Or numbers to add to the scores.
        need_weights : bool
            Whether to return the weights, too. Without them it is faster.
        attn_mask : array, shape (L, S) or (N heads, L, S), optional
            Booleans: True where a query may *not* read, as in PyTorch here (`functional`'s masks
            mean the opposite). Or numbers to add to the scores.
        average_attn_weights : bool
            Whether to return the mean of the heads' weights, or each on its own.
        is_causal : bool
            Whether the query at place i may read only up to the key at place i.

        Returns
        -------
        output : Tensor
            In the shape of ``query``. A query that may read nothing gets 0 from every head, with
            and without weights (PyTorch gives NaN with them).
        weights : Tensor, shape (N, L, S) or (N, heads, L, S), or None

        Raises
        ------
        ValueError
            If shapes or dtypes do not fit.
        """
        query, key, value = (as_tensor(x) for x in (query, key, value))
        q, k, v = self._in_heads(query, key, value)  # (N, heads, L, E/heads)
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = F.attention_weights(q, k, mask, is_causal)
            weights = F.dropout(weights, dropout, rng=self._rng) if dropout else weights
            out = weights @ v
            weights = weights.mean(dim=1) if average_attn_weights else weights
        else:
            out = F.scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal, rng=self._rng
            )  # (N, heads, L, E/heads)
        order = (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)
        out = self.out_proj(out.permute(order).flatten(2))
        if query.ndim == 2:
            out = out.squeeze(0 if self.batch_first else 1)
            weights = None if weights is None else weights.squeeze(0)
        return out, weights

    def _in_heads(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Map to queries, keys and values, and cut each into heads."""
        name = f"MultiheadAttention({self.embed_dim}, {self.num_heads})"
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            raise ValueError(
                f"{name} got query {query.shape}, key {key.shape} and value {value.shape}: it "
                "needs three of (steps, batch, features), or of (batch, steps, features) with "
                "batch_first=True"
            )
        batch = 0 if self.batch_first else 1
        steps = (-2 if self.batch_first else 0) if query.ndim == 3 else 0
        widths = self._widths()
        if (
            tuple(x.shape[-1] for x in (query, key, value)) != widths
            or key.shape[steps] != value.shape[steps]
            or (query.ndim == 3 and len({x.shape[batch] for x in (query, key, value)}) > 1)
        ):
            raise ValueError(
                f"{name} got query {query.shape}, key {key.shape} and value {value.shape}: their "
                f"features must be {', '.join(map(str, widths))}, their batches equal, and key and "
                f"value of as many steps; is batch_first={self.batch_first} meant?"
            )
        if self.in_proj_weight is not None and query is key is value:
            parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        else:
            weights = (
                (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
                if self.in_proj_weight is None
                else self.in_proj_weight.chunk(3)
            )
            bias = self.in_proj_bias
            biases = (None,) * 3 if bias is None else bias.chunk(3)
            parts = map(F.linear, (query, key, value), weights, biases)
        if query.ndim == 2:
            parts = [x.unsqueeze(0 if self.batch_first else 1) for x in parts]
        order = (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)
        heads = self.num_heads, self.embed_dim // self.num_heads
        return [x.reshape(*x.shape[:2], *heads).permute(order) for x in parts]

    def _mask(self, attn_mask: Any, key_padding_mask: Any, q: Tensor, k: Tensor) -> Tensor | None:
        """Join both masks to one of numbers to add, or of booleans, True where to read."""
        (N, heads, L, _), S = q.shape, k.shape[2]
        masks = []
        if attn_mask is not None:
            mask = _checked("attn_mask", attn_mask, q.dtype, (L, S), (N * heads, L, S))
            masks.append(mask.reshape(N, heads, L, S) if mask.ndim == 3 else mask)
        if key_padding_mask is not None:
            single = [(S,)] if N == 1 else []
            mask = _checked("key_padding_mask", key_padding_mask, q.dtype, (N, S), *single)
            masks.append(mask.reshape(N, 1, 1, S))
        if not masks:
            return None
        if all(mask.dtype == bool for mask in masks):
            return Tensor(np.logical_not(masks[0].data | masks[-1].data))
        total: Any = 0
        for mask in masks:
            if mask.dtype == bool:
                mask = Tensor(np.where(mask.data, -np.inf, 0).astype(q.dtype))
            total = total + mask
        return total

    def _widths(self) -> tuple[int, int, int]:
        """Return the features of queries, keys and values."""
        if self.in_proj_weight is not None:
            return (self.embed_dim,) * 3
        return self.embed_dim, self.k_proj_weight.shape[1], self.v_proj_weight.shape[1]

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.embed_dim}, {self.num_heads}"


def _checked(name: str, mask: Any, dtype: np.dtype, *shapes: tuple[int, ...]) -> Tensor:
    mask = attention_mask(mask, dtype)
    if mask.shape not in shapes:
        raise ValueError(
            f"MultiheadAttention got {name} of shape {mask.shape}: it needs "
            + " or ".join(map(str, shapes))
        )
    return mask


class TransformerLayer(Module):
    """What both layers share: residual steps, and the feed-forward part."""

    attentions: tuple[str, ...]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        rng: Any = None,
    ) -> None:
        if not callable(activation) and activation not in ("relu", "gelu"):
            raise ValueError(
                f"{type(self).__name__} got activation={activation!r}: it must be 'relu', "
                "'gelu' or a function of tensors"
            )
        rng = np.random.default_rng(rng)
        for name in self.attentions:
            options = {"batch_first": batch_first, "rng": rng}
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, bias, **options))
        self.linear1 = Linear(d_model, dim_feedforward, bias, rng=rng)
        self.linear2 = Linear(dim_feedforward, d_model, bias, rng=rng)
        for i in range(1, len(self.attentions) + 2):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias))
        self.activation = activation if callable(activation) else getattr(F, activation)
        self.dropout, self.norm_first, self._rng = dropout, norm_first, rng

    def _add(self, x: Tensor, norm: LayerNorm, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Add to x what a part makes of it, normalised before or after."""
        if self.norm_first:
            return x + self._drop(part(norm(x)))
        return norm(x + self._drop(part(x)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self._drop(self.activation(self.linear1(x))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, rng=self._rng) if self.dropout and self.training else x


class TransformerEncoderLayer(TransformerLayer):
    """Self-attention, then two linear maps at each place; both add to what they read.

    Parameters
    ----------
    d_model : int
        Features, E.
    nhead : int
        Heads of each attention.
    dim_feedforward : int
        Hidden units of the feed-forward part.
    dropout : float
        The share that is set to 0 in training: of attention weights, of hidden units, and of what
        each part adds.
    activation : {'relu', 'gelu'} or callable
        Of the hidden units.
    layer_norm_eps : float
        Keeps layer norm's division finite.
    batch_first : bool
        Whether sequences come and go as (N, T, E) and not (T, N, E).
    norm_first : bool
        Whether to normalise what a part reads (pre-norm: ``x + part(norm(x))``) or what it gives
        (post-norm, as in 2017: ``norm(x + part(x))``).
    bias : bool
        Whether maps and norms have biases.
    rng : int, Generator or None
        Where starting values and dropout come from.

    Attributes
    ----------
    self_attn : MultiheadAttention
    linear1, linear2 : Linear
    norm1, norm2 : LayerNorm

    References
    ----------
    A. Vaswani et al., Attention is all you need, 2017, arXiv:1706.03762; pre-norm: R. Xiong et al.,
    On layer normalization in the Transformer architecture, 2020, arXiv:2002.04745.
    """

    attentions = ("self_attn",)

    def forward(
        self,
        src: Tensor,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Read a sequence; masks are those of `MultiheadAttention`."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )[0]

        x = self._add(src, self.norm1, attend)
        return self._add(x, self.norm2, self._feed_forward)


class TransformerDecoderLayer(TransformerLayer):
    """Self-attention, attention to another sequence, then two linear maps at each place.

    Parameters are those of `TransformerEncoderLayer`.

    Attributes
    ----------
    self_attn, multihead_attn : MultiheadAttention
        To the sequence itself, and to ``memory``.
    linear1, linear2 : Linear
    norm1, norm2, norm3 : LayerNorm

    References
    ----------
    A. Vaswani et al., Attention is all you need, 2017, arXiv:1706.03762.
    """

    attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Read a sequence and what an encoder made of another; masks as in `MultiheadAttention`."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )[0]

        def attend_to_memory(x: Tensor) -> Tensor:
            options = {"need_weights": False, "is_causal": memory_is_causal}
            return self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, attn_mask=memory_mask, **options
            )[0]

        x = self._add(tgt, self.norm1, attend)
        x = self._add(x, self.norm2, attend_to_memory)
        return self._add(x, self.norm3, self._feed_forward)
