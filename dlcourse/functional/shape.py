"""Changes of shape that are more than a view."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record

__all__ = ["pad"]


def pad(
    input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Surround a tensor with a constant.

    Parameters
    ----------
    input : Tensor or array
        What to surround.
    pad : sequence of int
        How many to add before and after, from the last axis backwards: ``(left, right)`` or
        ``(left, right, top, bottom)``. Negative numbers cut off.
    mode : 'constant'
        The only one there is.
    value : float, optional
        The constant; 0 if None.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If ``pad`` is not in pairs, names more axes than there are, or cuts off more than there is.
    """
    x = as_tensor(input)
    if not isinstance(pad, Sequence):
        raise ValueError(f"pad got {pad!r}: it needs a pair (before, after) for each axis")
    pad = [operator.index(p) for p in pad]
    if mode != "constant":
        raise ValueError(f"pad got mode={mode!r}: only 'constant' is offered")
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ValueError(
            f"pad got {pad} for a tensor of shape {x.shape}: it needs a pair (before, after) for "
            f"each axis from the last backwards, at most {x.ndim} pairs"
        )
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    shape = [n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)]
    # at most a whole axis goes at either end, and what is left has a length
    if any(m < 0 or min(ends) < -n for n, ends, m in zip(x.shape, widths, shape, strict=True)):
        raise ValueError(f"pad got {pad} for a tensor of shape {x.shape}: it cuts off too much")
    # where what is kept stands in the input, and where in the output
    kept = tuple(
        slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, widths, strict=True)
    )
    place = tuple(slice(max(b, 0), n - max(a, 0)) for n, (b, a) in zip(shape, widths, strict=True))
    out = np.full(shape, 0 if value is None else value, x.dtype)
    out[place] = x.data[kept]

    def backward(g):
        gx = np.zeros_like(x.data)
        gx[kept] = g[place]
        return (gx,)

    return record(out, (x,), backward)
