"""The linear map."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record
from dlcourse.tensor.arrays import ones
from dlcourse.tensor.threads import product, products

__all__ = ["linear"]


def linear(input: Any, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply by a matrix and shift: ``y = x Wᵀ + b``.

    Parameters
    ----------
    input : Tensor or array, shape (..., in_features)
        Any number of axes before the last.
    weight : Tensor, shape (out_features, in_features)
        One row per output.
    bias : Tensor, shape (out_features,), optional
        The shift.

    Returns
    -------
    Tensor, shape (..., out_features)

    Raises
    ------
    ValueError
        If the last axis of ``input`` is not ``in_features``, or the dtypes differ.
    """
    x, weight = as_tensor(input), as_tensor(weight)
    bias = None if bias is None else as_tensor(bias)
    _check(x, weight, bias)
    n_out, n_in = weight.data.shape
    rows = x.data if x.data.ndim == 2 else x.data.reshape(-1, n_in)  # (N, in)
    out = product(rows, weight.data.T)  # (N, out)
    if bias is not None:
        out += bias.data
    out = out if rows is x.data else out.reshape(*x.shape[:-1], n_out)

    def backward(g):
        g = g if rows is x.data else g.reshape(-1, n_out)  # (N, out)
        gx = gw = gb = None
        if x.requires_grad and weight.requires_grad:
            gx, gw = products(g, weight.data, g.T, rows)
        elif x.requires_grad:
            gx = product(g, weight.data)
        elif weight.requires_grad:
            gw = product(g.T, rows)
        if not (gx is None or rows is x.data):
            gx = gx.reshape(x.shape)
        if bias is None:
            return gx, gw
        if bias.requires_grad:
            gb = ones(len(g), g.dtype).dot(g)
        return gx, gw, gb

    return record(out, (x, weight) if bias is None else (x, weight, bias), backward)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raise a ValueError for learners unless all fits."""
    dtype, shape = weight.data.dtype, weight.data.shape
    if x.data.shape[-1:] != shape[1:] or x.data.dtype != dtype:
        raise ValueError(_misfit(x, weight))
    if bias is not None and (bias.data.shape != shape[:1] or bias.data.dtype != dtype):
        n_out, n_in = shape
        raise ValueError(
            f"Linear({n_in}, {n_out}) got a bias of shape {bias.shape} and {bias.dtype}: it needs "
            f"{(n_out,)} and {dtype}"
        )


def _misfit(x: Tensor, weight: Tensor) -> str:
    """Say what is wrong with an input, and how to mend it."""
    if weight.ndim != 2:
        return (
            f"linear() got a weight of shape {weight.shape}: it needs (out_features, in_features)"
        )
    n_out, n_in = weight.shape
    name = f"Linear({n_in}, {n_out})"
    if x.shape[-1:] == (n_in,):
        mend = ", or the model, model.double()" if x.dtype == np.float64 else ""
        return (
            f"{name} got x of {x.dtype}, but its weight is {weight.dtype}: convert the data, "
            f"x.astype(np.{weight.dtype}){mend}"
        )
    mend = f"its last axis must be {n_in}"
    if x.ndim > 2 and int(np.prod(x.shape[1:])) == n_in:
        mend += f"; flatten each example first, x.reshape({x.shape[0]}, -1)"
    elif x.ndim == 1 and n_in == 1:
        mend += "; give each example a row of its own, x.reshape(-1, 1)"
    return f"{name} got x of shape {x.shape}: {mend}"
