"""The linear map."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record

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
    x = as_tensor(input)
    _check_linear(x, weight)
    rows = x.data if x.ndim == 2 else x.data.reshape(-1, x.shape[-1])  # (N, in)
    out = rows @ weight.data.T  # (N, out)
    if bias is not None:
        out += bias.data

    def backward(g):
        g = g.reshape(out.shape)
        gx = (g @ weight.data).reshape(x.shape) if x.requires_grad else None
        gw = g.T @ rows if weight.requires_grad else None
        gb = g.sum(axis=0) if bias is not None and bias.requires_grad else None
        return (gx, gw) if bias is None else (gx, gw, gb)

    parents = (x, weight) if bias is None else (x, weight, bias)
    return record(out.reshape(*x.shape[:-1], len(weight.data)), parents, backward)


def _check_linear(x: Tensor, weight: Tensor) -> None:
    n_out, n_in = weight.shape
    name = f"Linear({n_in}, {n_out})"
    if x.ndim == 0 or x.shape[-1] != n_in:
        mend = f"its last axis must be {n_in}"
        if x.ndim > 2 and int(np.prod(x.shape[1:])) == n_in:
            mend += f"; flatten each example first, x.reshape({x.shape[0]}, -1)"
        elif x.ndim == 1 and n_in == 1:
            mend += "; give each example a row of its own, x.reshape(-1, 1)"
        raise ValueError(f"{name} got x of shape {x.shape}: {mend}")
    if x.dtype != weight.dtype:
        raise ValueError(
            f"{name} got x of {x.dtype}, but its weight is {weight.dtype}: convert the data, "
            f"x.astype(np.{weight.dtype})"
            + (", or the model, model.double()" if x.dtype == np.float64 else "")
        )
