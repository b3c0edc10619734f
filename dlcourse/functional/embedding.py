"""Embeddings: a vector for each symbol."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record
from dlcourse.tensor.arrays import add_to_rows

__all__ = ["embedding"]


def embedding(input: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Look up rows of a table: ``out[…] = weight[input[…]]``.

    Parameters
    ----------
    input : Tensor or array of integers, shape (...)
        The numbers of the symbols.
    weight : Tensor, shape (V, D)
        A row of D numbers for each of V symbols.
    padding_idx : int, optional
        A symbol that only fills up: its row gets no gradient.

    Returns
    -------
    Tensor, shape (..., D)

    Raises
    ------
    ValueError
        If the input is not whole, or a number is not in the table.
    """
    symbols = input.data if isinstance(input, Tensor) else np.asarray(input)
    weight = as_tensor(weight)
    _check(symbols, weight, padding_idx)
    symbols = symbols.astype(np.intp, copy=False)  # in a browser numpy counts in 32 bits
    v, d = weight.shape

    def backward(g):
        sums = _sum_by_symbol(symbols.reshape(-1), g.reshape(symbols.size, d), v)
        if padding_idx is not None:
            sums[padding_idx] = 0
        return (sums,)

    return record(weight.data.take(symbols, axis=0), (weight,), backward)


def _sum_by_symbol(symbols: np.ndarray, g: np.ndarray, v: int) -> np.ndarray:
    """Add up the rows of g (M, D) that belong to each of V symbols, (V, D).

    As a product with one-hot columns where that is cheap.
    """
    if v <= 128:
        one_hot = np.zeros((v, len(g)), g.dtype)
        one_hot[symbols, np.arange(len(g))] = 1
        return one_hot @ g
    sums = np.zeros((v, g.shape[1]), g.dtype)
    add_to_rows(sums, symbols, g)
    return sums


def _check(symbols: np.ndarray, weight: Tensor, padding_idx: int | None) -> None:
    if weight.ndim != 2:
        raise ValueError(f"embedding got weight of shape {weight.shape}: it must be (V, D)")
    v, d = weight.shape
    name = f"Embedding({v}, {d})"
    if symbols.dtype.kind not in "iu":
        raise ValueError(
            f"{name} got x of {symbols.dtype}: symbols are whole numbers; convert, x.astype(int)"
        )
    if symbols.size and (symbols.min() < 0 or symbols.max() >= v):
        at = tuple(int(i) for i in np.argwhere((symbols < 0) | (symbols >= v))[0])
        raise ValueError(
            f"{name} got symbol {symbols[at]} at position {at}, but the table has rows 0 to "
            f"{v - 1}: is it larger than the vocabulary?"
        )
    if padding_idx is not None and not -v <= padding_idx < v:
        raise ValueError(f"{name}: padding_idx={padding_idx} must be a row of the table")
