"""Attention: each query reads a weighted mean of the values.

Inside, the scores stand with the keys first, (…, S, L): softmax then runs down the columns, which
numpy adds up and compares many at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcourse.functional.dropout import check_share, dropout_mask
from dlcourse.tensor import Tensor, as_tensor, record, unbroadcast
from dlcourse.tensor.arrays import ones

__all__ = ["attention_weights", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    rng: Any = None,
) -> Tensor:
    """Return ``softmax(Q Kᵀ / √E) V``: for each query a mean of the values, weighted by likeness.

    Parameters
    ----------
    query : Tensor or array, shape (…, L, E)
        What is looked for, at each of L places.
    key : Tensor or array, shape (…, S, E)
        What is offered, at each of S places.
    value : Tensor or array, shape (…, S, V)
        What is read there. The axes before (batch, heads) are broadcast.
    attn_mask : Tensor or array that broadcasts to (…, L, S), optional
        Booleans: True where the query may read. Or numbers, added to the scores.
    dropout_p : float
        The share of weights that are set to 0, the others growing to make up for it.
    is_causal : bool
        Whether the query at place i may read only up to the key at place i.
    scale : float, optional
        In the place of 1/√E.
    rng : int, Generator or None
        Where dropout comes from.

    Returns
    -------
    Tensor, shape (…, L, V)
        A query that may read nothing gets 0, as in PyTorch.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.

    References
    ----------
    A. Vaswani et al., Attention is all you need, 2017, arXiv:1706.03762.
    The gradient's Σ dO·O: T. Dao et al., FlashAttention, 2022, arXiv:2205.14135.
    """
    q, k, v, mask = _prepare(query, key, value, attn_mask)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    check_share("attention", "dropout_p", dropout_p)
    P, sums = _exponentials(q, k, mask, is_causal, scale)  # (…, S, L), (…, 1, L)
    kept = dropout_mask(P, dropout_p, rng) if dropout_p else None
    P_kept = P * kept if dropout_p else P
    # P stays undivided by its sums: dividing the output, which has fewer elements, is the same
    share = (1 / sums).swapaxes(-1, -2)  # (…, L, 1)
    out = _product(P_kept.swapaxes(-1, -2), v.data, q.data)
    out *= share

    # O = P V with P = softmax(S): dV = Pᵀ dO, dP = dO Vᵀ and dSᵢⱼ = Pᵢⱼ (dPᵢⱼ - Σₖ Pᵢₖ dPᵢₖ), where
    # the sum is dOᵢ·Oᵢ. As P is not divided by its sums, dO is.
    def backward(g):
        g = g * share
        dv = _product(P_kept, g, v.data) if v.requires_grad else None
        ds = v.data @ np.ascontiguousarray(g.swapaxes(-1, -2))  # (…, S, L)
        if dropout_p:
            ds *= kept
        ds -= np.vecdot(g, out)[..., None, :]
        ds *= P
        dq, dk, *dmask = _of_scores(ds, q, k, mask, scale)
        return (dq, dk, unbroadcast(dv, v), *dmask)

    return record(out, (q, k, v) if mask is None else (q, k, v, mask), backward)


def attention_weights(
    query: Any, key: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """Return the weights alone, ``softmax(Q Kᵀ / √E)``, to look at or to multiply values by.

    Parameters
    ----------
    query, key, attn_mask, is_causal, scale
        As in `scaled_dot_product_attention`.

    Returns
    -------
    Tensor, shape (…, L, S)
        Each row adds up to 1; that of a query that may read nothing is 0.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit.
    """
    q, k, _, mask = _prepare(query, key, key, attn_mask)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    P, sums = _exponentials(q, k, mask, is_causal, scale)
    P /= sums  # (…, S, L)

    def backward(g):
        g = g.swapaxes(-1, -2) * P
        g -= P * g.sum(axis=-2, keepdims=True)
        return _of_scores(g, q, k, mask, scale)

    return record(P.swapaxes(-1, -2), (q, k) if mask is None else (q, k, mask), backward)


# ---- details -------------------------------------------------------------------------


def _exponentials(
    q: Tensor, k: Tensor, mask: Tensor | None, is_causal: bool, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return exp(scores), (…, S, L), and its sums over the keys, (…, 1, L)."""
    S, L = k.shape[-2], q.shape[-2]
    columns = np.multiply(q.data.swapaxes(-1, -2), scale, order="C", dtype=q.dtype)  # (…, E, L)
    P = k.data @ columns
    allowed = np.tri(L, S, dtype=bool).T if is_causal else None
    if mask is not None:
        turned = mask.data.swapaxes(-1, -2) if mask.ndim > 1 else mask.data[..., None]
        if mask.dtype != bool:
            P = P + turned
        else:
            allowed = turned if allowed is None else turned & allowed
    # exp(89) is infinite in float32. Where scores are large, take a query's largest from all of its
    # scores: that divides all exponentials by one number, and so changes no share
    if P.size and not (P.min() > -30 and P.max() < 30):
        if allowed is not None:
            P = np.where(allowed, P, -np.inf)
        P -= np.maximum(P.max(axis=-2, keepdims=True), np.finfo(P.dtype).min)
    np.exp(P, out=P)
    if allowed is not None:
        P *= allowed.astype(P.dtype, order="C")
    sums = ones(S, P.dtype)[None] @ P
    sums += sums == 0  # a query that may read nothing gets 0 / 1
    return P, sums


def _of_scores(
    ds: np.ndarray, q: Tensor, k: Tensor, mask: Tensor | None, scale: float
) -> tuple[np.ndarray | None, ...]:
    """Return the gradients of query, key and mask (if any) from those of the scores, (…, S, L)."""
    gradients = []
    for rows, other, own in ((ds.swapaxes(-1, -2), k, q), (ds, q, k)):
        product = _product(rows, other.data, own.data) if own.requires_grad else None
        if product is not None:
            product *= scale
        gradients.append(unbroadcast(product, own))
    if mask is not None:
        gradients.append(unbroadcast(ds.swapaxes(-1, -2), mask))
    return tuple(gradients)


def _product(a: np.ndarray, b: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return a @ b; where the shape is that of ``like``, in the same order in memory.

    Heads that were cut out of an axis of features then go back there without a copy.
    """
    same = (*a.shape[:-1], b.shape[-1]) == like.shape and b.shape[:-2] == like.shape[:-2]
    return np.matmul(a, b, out=np.empty_like(like)) if same else a @ b


def attention_mask(mask: Any, dtype: np.dtype) -> Tensor:
    """Return a mask as a tensor; a list keeps its kind, so that 0 and 1 are not added to scores."""
    if isinstance(mask, (Tensor, np.ndarray)):
        return as_tensor(mask)
    mask = np.asarray(mask)
    if mask.ndim == 0:
        raise ValueError(
            f"attention got {mask} for a mask: it needs one that broadcasts to (…, L, S); "
            "is is_causal=True meant?"
        )
    return as_tensor(mask.astype(dtype) if mask.dtype.kind == "f" else mask)


def _prepare(query: Any, key: Any, value: Any, mask: Any) -> tuple[Any, ...]:
    """Check all that comes in, and make tensors of it."""
    q, k, v = (as_tensor(t) for t in (query, key, value))
    mask = None if mask is None else attention_mask(mask, q.dtype)
    fits = min(t.ndim for t in (q, k, v)) >= 2
    if not fits or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"attention got query {q.shape}, key {k.shape} and value {v.shape}: it needs "
            "(…, L, E), (…, S, E) and (…, S, V); heads are an axis before these, "
            "x.reshape(B, T, heads, -1).transpose(1, 2)"
        )
    kinds = {str(t.dtype) for t in (q, k, v)}
    kinds |= {str(mask.dtype)} if mask is not None and mask.dtype != bool else set()
    if len(kinds) > 1 or q.dtype.kind != "f":
        raise ValueError(
            f"attention got {' and '.join(sorted(kinds))}: query, key, value and a mask of numbers "
            "must be of one kind, x.astype(np.float32); other masks are of booleans"
        )
    try:
        np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        raise ValueError(
            f"attention got query {q.shape}, key {k.shape} and value {v.shape}: the axes before "
            "the last two (batch, heads) must be equal or 1"
        ) from None
    full = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])
    if mask is not None:
        pairs = zip(mask.shape[::-1], full[::-1], strict=False)
        if mask.ndim > len(full) or any(m not in (1, n) for m, n in pairs):
            raise ValueError(
                f"attention got a mask of shape {mask.shape} for scores of shape {full}, "
                "(…, L, S): compared from the last axis backwards, lengths must be equal or 1"
            )
    return q, k, v, mask
