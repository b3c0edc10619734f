"""The four models that lessons, tests and benchmarks share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import functional as F
from dlcourse import init, nn
from dlcourse.nn.module import evaluating
from dlcourse.tensor import Tensor, cat, no_grad

__all__ = ["GPT", "MLP", "CharRNN", "GPTConfig", "LeNet", "sample"]


class MLP(nn.Sequential):
    """A multilayer perceptron: linear layers with an activation between each two.

    Parameters
    ----------
    sizes : sequence of int
        The numbers of inputs, of the units of each hidden layer, and of outputs.
    activation : type of Module
        What stands between the layers.
    rng : int, Generator or None
        Where the starting values come from.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, or the activation is a layer and not its class.

    Examples
    --------
    >>> MLP([784, 128, 10], rng=0)(np.zeros((5, 1, 28, 28), np.float32)).shape
    (5, 10)
    """

    def __init__(
        self, sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU, *, rng: Any = None
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"MLP got sizes={list(sizes)}: it needs inputs and outputs at least")
        if isinstance(activation, nn.Module):
            raise ValueError(
                f"MLP got activation={activation!r}: it needs a class of layers, nn.Tanh without "
                "brackets, and makes one for each place"
            )
        rng = np.random.default_rng(rng)
        layers = [nn.Flatten(), nn.Linear(sizes[0], sizes[1], rng=rng)]
        for n_in, n_out in itertools.pairwise(sizes[1:]):
            layers += [activation(), nn.Linear(n_in, n_out, rng=rng)]
        super().__init__(*layers)


class LeNet(nn.Sequential):
    """A convolutional network for images of 28 × 28 pixels, in the shape of LeNet-5.

    Parameters
    ----------
    modern : bool
        False: the units of 1998, tanh and average pooling. True: ReLU and max pooling.
    rng : int, Generator or None
        Where the starting values come from.

    Notes
    -----
    Of the original (LeCun et al. 1998) are left out the pooling layers' own weights, the partial
    connections between the second and third layer, and the radial units at the end.
    """

    def __init__(self, modern: bool = True, *, rng: Any = None) -> None:
        rng = np.random.default_rng(rng)
        activation, pooling = (nn.ReLU, nn.MaxPool2d) if modern else (nn.Tanh, nn.AvgPool2d)
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2, rng=rng),  # (N, 6, 28, 28)
            activation(),
            pooling(2),  # (N, 6, 14, 14)
            nn.Conv2d(6, 16, 5, rng=rng),  # (N, 16, 10, 10)
            activation(),
            pooling(2),  # (N, 16, 5, 5)
            nn.Flatten(),
            nn.Linear(400, 120, rng=rng),
            activation(),
            nn.Linear(120, 84, rng=rng),
            activation(),
            nn.Linear(84, 10, rng=rng),
        )


class CharRNN(nn.Module):
    """A recurrent network that reads symbols and predicts, at each place, the next.

    Parameters
    ----------
    vocab_size : int
        How many symbols there are, V.
    embedding_dim, hidden_size, num_layers : int
        The length of a symbol's vector, of the state, and how many layers lie on each other.
    cell : {'RNN', 'LSTM', 'GRU'}
        The kind of recurrent layer.
    rng : int, Generator or None
        Where the starting values come from.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 32,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: str = "LSTM",
        *,
        rng: Any = None,
    ) -> None:
        if cell not in ("RNN", "LSTM", "GRU"):
            raise ValueError(f"CharRNN got cell={cell!r}: it must be 'RNN', 'LSTM' or 'GRU'")
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, rng=rng)
        self.recurrent = getattr(nn, cell)(
            embedding_dim, hidden_size, num_layers, batch_first=True, rng=rng
        )
        self.head = nn.Linear(hidden_size, vocab_size, rng=rng)

    def forward(self, input: Any, hx: Any = None) -> tuple[Tensor, Any]:
        """Read symbols (B, T); return scores for the next one (B, T, V), and the last state."""
        out, hx = self.recurrent(self.embedding(input), hx)
        return self.head(out), hx

    def generate(
        self,
        tokens: Any,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        *,
        rng: Any = None,
    ) -> np.ndarray:
        """Go on from symbols (B, T); return (B, T + max_new_tokens). See `sample`."""
        tokens, rng = _start(tokens), np.random.default_rng(rng)
        new, hx = tokens, None
        with no_grad(), evaluating(self):
            for _ in range(max_new_tokens):
                logits, hx = self(new, hx)
                new = sample(logits.data[:, -1], temperature, top_k, rng)[:, None]
                tokens = np.concatenate([tokens, new], axis=1)
        return tokens


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a `GPT`, with nanoGPT's names.

    Attributes
    ----------
    vocab_size : int
        How many symbols there are, V.
    block_size : int
        The longest context, T.
    n_layer, n_head, n_embd : int
        Blocks, heads in each, and the width C, which the heads share.
    dropout : float
        The share that is dropped in training.
    bias : bool
        Whether linear layers and norms have a bias.
    """

    vocab_size: int
    block_size: int = 64
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.0
    bias: bool = False


class CausalSelfAttention(nn.Module):
    """Each place reads from itself and the places before it, with several heads."""

    def __init__(self, config: GPTConfig, *, rng: Any = None) -> None:
        rng = np.random.default_rng(rng)
        self.config, self._rng = config, rng
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias, rng=rng)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias, rng=rng)
        self.dropout = nn.Dropout(config.dropout, rng=rng)

    def forward(self, x: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        """Map (B, T, C) to (B, T, C). A cache holds, and takes, the keys and values so far."""
        B, T, C = x.shape
        heads = (B, T, 3, self.config.n_head, C // self.config.n_head)
        q, k, v = self.c_attn(x).reshape(heads).permute(2, 0, 3, 1, 4)  # each (B, nh, T, hs)
        if cache is not None:
            if cache:
                k, v = cat([cache[0], k], dim=2), cat([cache[1], v], dim=2)
            cache[:] = [k, v]
        before = k.shape[2] - T
        mask = np.tri(T, T + before, before, dtype=bool) if before else None
        out = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.config.dropout if self.training else 0.0,
            is_causal=mask is None,
            rng=self._rng,
        )
        return self.dropout(self.c_proj(out.transpose(1, 2).reshape(B, T, C)))


class Block(nn.Module):
    """A Transformer block with the norms in front: attention, then a small MLP, each added on."""

    def __init__(self, config: GPTConfig, *, rng: Any = None) -> None:
        rng = np.random.default_rng(rng)
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config, rng=rng)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias, rng=rng),
            nn.GELU("tanh"),
            nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias, rng=rng),
            nn.Dropout(config.dropout, rng=rng),
        )

    def forward(self, x: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """A decoder-only Transformer: it reads symbols and predicts, at each place, the next.

    Parameters
    ----------
    config : GPTConfig
        The sizes.
    rng : int, Generator or None
        Where the starting values and dropout come from.

    Raises
    ------
    ValueError
        If a size is no whole number from 1, or the heads do not divide the width.

    References
    ----------
    A. Radford et al., Language models are unsupervised multitask learners, 2019 (GPT-2), whose
    starting values these are: normal with standard deviation 0.02, and 0.02 / √(2 n_layer) for
    the layers that end in the residual stream.
    """

    def __init__(self, config: GPTConfig, *, rng: Any = None) -> None:
        sizes = {k: v for k, v in vars(config).items() if k not in ("dropout", "bias")}
        for name, n in sizes.items():
            if not isinstance(n, (int, np.integer)) or n < 1:
                raise ValueError(f"GPT got {name}={n!r}: it must be a whole number from 1")
        if config.n_embd % config.n_head:
            raise ValueError(
                f"GPT got n_embd={config.n_embd} and n_head={config.n_head}: the heads must "
                "divide the width"
            )
        rng = np.random.default_rng(rng)
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd, rng=rng)
        self.wpe = nn.Embedding(config.block_size, config.n_embd, rng=rng)
        self.drop = nn.Dropout(config.dropout, rng=rng)
        self.h = nn.ModuleList([Block(config, rng=rng) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False, rng=rng)
        self.lm_head.weight = self.wte.weight  # one table to read and to write symbols
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.data[:] = 0
            elif parameter.ndim == 2:
                ends = name.endswith(("c_proj.weight", "mlp.2.weight"))
                std = 0.02 / math.sqrt(2 * config.n_layer) if ends else 0.02
                init.normal_(parameter, std=std, rng=rng)

    def forward(self, input: Any, cache: list[list[Tensor]] | None = None) -> Tensor:
        """Read symbols (B, T); return scores for the next one at each place (B, T, V).

        A cache, one empty list a layer at first, keeps the keys and values of the symbols read so
        far, so that the next call needs only the new ones.
        """
        before = cache[0][0].shape[2] if cache and cache[0] else 0
        if np.ndim(input) != 2:
            raise ValueError(
                f"GPT got symbols of shape {np.shape(input)}: it needs one row for each text, "
                "(B, T); of a single text, x[None]"
            )
        T = np.shape(input)[1]
        if before + T > self.config.block_size:
            raise ValueError(
                f"GPT got {before + T} symbols: its block_size is {self.config.block_size}; cut "
                "the text into pieces of at most that length"
            )
        x = self.drop(self.wte(input) + self.wpe(np.arange(before, before + T)))
        caches = [None] * len(self.h) if cache is None else cache
        if len(caches) != len(self.h):
            raise ValueError(
                f"GPT got a cache of {len(caches)} lists: it needs one for each of its "
                f"{len(self.h)} layers, [[] for _ in model.h]"
            )
        for block, kept in zip(self.h, caches, strict=True):
            x = block(x, kept)
        return self.lm_head(self.ln_f(x))

    def generate(
        self,
        tokens: Any,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        *,
        rng: Any = None,
    ) -> np.ndarray:
        """Go on from symbols (B, T); return (B, T + max_new_tokens). See `sample`.

        Once the context is full, its oldest symbol is dropped at each step; positions then shift,
        so what was cached no longer holds.
        """
        tokens, rng = _start(tokens), np.random.default_rng(rng)
        size = self.config.block_size
        new, cache = tokens[:, -size:], [[] for _ in self.h]
        with no_grad(), evaluating(self):
            for _ in range(max_new_tokens):
                if cache[0] and cache[0][0].shape[2] == size:
                    new, cache = tokens[:, -size:], [[] for _ in self.h]
                logits = self(new, cache).data[:, -1]
                new = sample(logits, temperature, top_k, rng)[:, None]
                tokens = np.concatenate([tokens, new], axis=1)
        return tokens


def sample(
    logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None, rng: Any = None
) -> np.ndarray:
    """Draw one symbol from each row of scores.

    Parameters
    ----------
    logits : array, shape (B, V)
        The scores.
    temperature : float
        Divides them: below 1 the likely symbols become likelier, and at 0 the likeliest is taken.
    top_k : int, optional
        Draw among so many of the likeliest only.
    rng : int, Generator or None
        Where the draw comes from.

    Returns
    -------
    array of int, shape (B,)

    Raises
    ------
    ValueError
        If the temperature is negative, ``top_k`` below 1, or a score NaN.
    """
    if not temperature >= 0 or (top_k is not None and top_k < 1):
        raise ValueError(
            f"sample() got temperature={temperature} and top_k={top_k}: it needs a temperature of "
            "0 or more and a top_k from 1"
        )
    logits = np.asarray(logits, np.float64)
    if np.isnan(logits).any():
        raise ValueError("sample() got NaN among the scores: the model's training has diverged")
    if temperature == 0:
        return logits.argmax(axis=-1)
    if top_k is not None and top_k < logits.shape[-1]:
        least = np.partition(logits, -top_k, axis=-1)[:, -top_k, None]
        logits = np.where(logits < least, -np.inf, logits)
    # the largest of logits plus Gumbel noise is distributed as their softmax (Gumbel 1954)
    noise = np.random.default_rng(rng).gumbel(size=logits.shape)
    return (logits / temperature + noise).argmax(axis=-1)


def _start(tokens: Any) -> np.ndarray:
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or tokens.size == 0 or tokens.dtype.kind not in "iu":
        raise ValueError(
            f"generate() got symbols of shape {tokens.shape} and dtype {tokens.dtype}: it needs "
            "whole numbers, one row for each text, with one symbol at least"
        )
    return tokens
