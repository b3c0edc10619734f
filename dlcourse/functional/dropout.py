"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record

__all__ = ["dropout"]


def dropout(input: Any, p: float = 0.5, training: bool = True, *, rng: Any = None) -> Tensor:
    """Set each element to 0 with probability ``p``, and scale the others by 1 / (1 - p).

    Parameters
    ----------
    input : Tensor or array
        Any shape.
    p : float, from 0 to 1
        The share that is dropped; the scale keeps the expected value.
    training : bool
        If False the input is returned as it is.
    rng : int, Generator or None
        Where the numbers come from; a seed drops the same elements every time.

    Returns
    -------
    Tensor, in the shape of ``input``

    Raises
    ------
    ValueError
        If ``p`` is no probability, or ``input`` is not of floating-point numbers.

    References
    ----------
    Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html.
    """
    check_share("dropout", "p", p)
    x = as_tensor(input)
    if x.dtype.kind != "f":
        raise ValueError(f"dropout got x of {x.dtype}: it needs floats, x.astype(np.float32)")
    if not training or p == 0:
        return x
    mask = dropout_mask(x.data, p, rng)
    return record(x.data * mask, (x,), lambda g: (g * mask,))


def check_share(name: str, what: str, p: Any) -> None:
    """Raise a ValueError unless p is a share; True, which counts as 1, is a slip."""
    if isinstance(p, (bool, np.bool_)) or not isinstance(p, (int, float, np.number)):
        raise ValueError(f"{name} got {what}={p!r}: it must be a number between 0 and 1")
    if not 0 <= p <= 1:
        raise ValueError(f"{name} got {what}={p}: it must lie between 0 and 1")


def dropout_mask(x: np.ndarray, p: float, rng: Any) -> np.ndarray:
    """Return 0 for a share of the elements, and for the others what makes up for it."""
    kept = np.random.default_rng(rng).random(x.shape, np.float32) >= p
    return kept * x.dtype.type(1 / (1 - p) if p < 1 else 0)
