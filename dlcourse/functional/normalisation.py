"""Normalisation: numbers of mean 0 and variance 1, over a batch, a group or a row.

All follow one formula, ``y = w (x - m) / √(v + ε) + b`` with mean m and variance v; they differ in
what m and v are taken over. With x̂ = (x - m) r and r = 1 / √(v + ε), and with h = w ∂L/∂y,

    ∂L/∂x = r (h - mean(h) - x̂ mean(h x̂)),

for x moves its own m, by 1/n each, and its own v, by 2 (x - m) / n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record
from dlcourse.tensor.arrays import ones

__all__ = ["batch_norm", "group_norm", "layer_norm", "rms_norm"]


def batch_norm(
    input: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel over the batch: ``y = w (x - m) / √(v + ε) + b``.

    Parameters
    ----------
    input : Tensor or array, shape (N, C) or (N, C, ...)
        Mean m and variance v of a channel are over all its elements, in all examples.
    running_mean, running_var : Tensor, shape (C,), or None
        In training they move towards those of the batch (running_var towards the variance with
        n - 1 for its divisor); without it they are taken for m and v.
    weight, bias : Tensor, shape (C,), optional
        w and b.
    training : bool
        Whether to use the batch's own mean and variance.
    momentum : float
        How far the running ones move: ``running ← (1 - momentum) running + momentum batch's``.
    eps : float
        Keeps the division finite.

    Returns
    -------
    Tensor, in the shape of ``input``

    Raises
    ------
    ValueError
        If the shapes do not fit, or a channel has only one element to train with.

    References
    ----------
    Ioffe and Szegedy (2015), arXiv:1502.03167.
    """
    x, weight, bias = _tensors(input, weight, bias)
    running_mean, running_var = _tensors(running_mean, running_var)
    _check_channels("BatchNorm", x, (weight, bias, running_mean, running_var))
    others = (0, *range(2, x.ndim))  # all axes but that of the channels
    count = x.data.size // x.shape[1]
    if training:
        _check_batch(x, count)
        mean = x.data.mean(axis=others, keepdims=True)
        normal = x.data - mean
        var = np.square(normal).mean(axis=others, keepdims=True)
        _move(running_mean, mean, momentum)
        _move(running_var, var * (count / (count - 1)), momentum)
    else:
        if running_mean is None or running_var is None:
            raise ValueError("BatchNorm without training=True needs running_mean and running_var")
        normal = x.data - _channels(running_mean, x)
        var = _channels(running_var, x)
    r = 1 / np.sqrt(var + x.dtype.type(eps))
    normal *= r
    scale = _channels(weight, x)

    def backward(g):
        gx, gw, gb = None, (g * normal).sum(axis=others), g.sum(axis=others)
        if x.requires_grad:
            rw = r if scale is None else r * scale
            if training:  # mean(h) = w gb / n, and mean(h x̂) = w gw / n
                gx = normal * _channels(gw / -count, x)
                gx += g
                gx -= _channels(gb / count, x)
                gx *= rw
            else:
                gx = g * rw
        return gx, gw, gb

    return _record(_affine(normal, scale, _channels(bias, x)), (x, weight, bias), backward)


def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each row: ``y = w (x - m) / √(v + ε) + b``, m and v over the last axes.

    Parameters
    ----------
    input : Tensor or array, shape (…) + normalized_shape
        Any number of axes before the last.
    normalized_shape : int or tuple of int
        The last axes, over which mean and variance are taken.
    weight, bias : Tensor, shape normalized_shape, optional
        w and b.
    eps : float
        Keeps the division finite.

    Returns
    -------
    Tensor, in the shape of ``input``

    Raises
    ------
    ValueError
        If the shapes do not fit.

    References
    ----------
    Ba, Kiros and Hinton (2016), arXiv:1607.06450.
    """
    x, weight, bias = _tensors(input, weight, bias)
    shape = _check_rows("LayerNorm", x, normalized_shape, (weight, bias))
    rows = x.data.reshape(-1, int(np.prod(shape)))  # (M, d)
    normal, r = _standardise(rows, eps)
    out = _affine(normal, _flat(weight), _flat(bias))

    def backward(g):
        g = g.reshape(rows.shape)
        gx = gw = gb = None
        if x.requires_grad:
            h = g if weight is None else g * _flat(weight)
            gx = _unstandardise(h, normal, r).reshape(x.shape)
        if weight is not None and weight.requires_grad:
            gw = _column_sums(g * normal).reshape(shape)
        if bias is not None and bias.requires_grad:
            gb = _column_sums(g).reshape(shape)
        return gx, gw, gb

    return _record(out.reshape(x.shape), (x, weight, bias), backward)


def rms_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide each row by its root mean square: ``y = w x / √(mean(x²) + ε)``.

    Parameters
    ----------
    input : Tensor or array, shape (…) + normalized_shape
        Any number of axes before the last.
    normalized_shape : int or tuple of int
        The last axes, over which the mean is taken.
    weight : Tensor, shape normalized_shape, optional
        w.
    eps : float, optional
        Keeps the division finite; by default the dtype's machine epsilon.

    Returns
    -------
    Tensor, in the shape of ``input``

    Raises
    ------
    ValueError
        If the shapes do not fit.

    References
    ----------
    Zhang and Sennrich (2019), arXiv:1910.07467.
    """
    x, weight = _tensors(input, weight)
    shape = _check_rows("RMSNorm", x, normalized_shape, (weight,))
    rows = x.data.reshape(-1, int(np.prod(shape)))  # (M, d)
    r = _inverse_rms(rows, np.finfo(x.dtype).eps if eps is None else eps)
    normal = rows * r
    out = _affine(normal, _flat(weight), None)

    def backward(g):
        g = g.reshape(rows.shape)
        gx = gw = None
        if x.requires_grad:  # as above, but without the mean: r (h - x̂ mean(h x̂))
            h = g if weight is None else g * _flat(weight)
            gx = normal * (np.vecdot(h, normal) / -rows.shape[1])[:, None]
            gx += h
            gx *= r
            gx = gx.reshape(x.shape)
        if weight is not None and weight.requires_grad:
            gw = _column_sums(g * normal).reshape(shape)
        return gx, gw

    return _record(out.reshape(x.shape), (x, weight), backward)


def group_norm(
    input: Any,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise groups of channels, each example for itself: ``y = w (x - m) / √(v + ε) + b``.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, ...)
        Mean m and variance v are over C / num_groups channels of one example.
    num_groups : int
        Into how many groups the channels are cut.
    weight, bias : Tensor, shape (C,), optional
        w and b, of each channel.
    eps : float
        Keeps the division finite.

    Returns
    -------
    Tensor, in the shape of ``input``

    Raises
    ------
    ValueError
        If the shapes do not fit.

    References
    ----------
    Wu and He (2018), arXiv:1803.08494.
    """
    x, weight, bias = _tensors(input, weight, bias)
    _check_channels("GroupNorm", x, (weight, bias))
    if not isinstance(num_groups, (int, np.integer)) or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            f"GroupNorm: num_groups={num_groups!r} must be a whole number that divides the "
            f"{x.shape[1]} channels of x of shape {x.shape}"
        )
    members = int(np.prod(x.shape[1:])) // num_groups
    normal, r = _standardise(x.data.reshape(len(x.data) * num_groups, members), eps)
    hat = normal.reshape(x.shape)
    scale = _channels(weight, x)
    others = (0, *range(2, x.ndim))

    def backward(g):
        gx = gw = gb = None
        if x.requires_grad:
            h = (g if scale is None else g * scale).reshape(normal.shape)
            gx = _unstandardise(h, normal, r).reshape(x.shape)
        if weight is not None and weight.requires_grad:
            gw = (g * hat).sum(axis=others)
        if bias is not None and bias.requires_grad:
            gb = g.sum(axis=others)
        return gx, gw, gb

    return _record(_affine(hat, scale, _channels(bias, x)), (x, weight, bias), backward)


def _standardise(rows: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x̂ (M, d) and r (M, 1). Means and sums by matrix products: much faster than `mean`."""
    d = rows.shape[1]
    normal = rows - (rows @ np.full(d, 1 / d, rows.dtype))[:, None]
    r = _inverse_rms(normal, eps)
    normal *= r
    return normal, r


def _unstandardise(h: np.ndarray, normal: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return r (h - mean(h) - x̂ mean(h x̂))."""
    d = normal.shape[1]
    gx = normal * (np.vecdot(h, normal) / -d)[:, None]
    gx += h
    gx -= (h @ np.full(d, 1 / d, h.dtype))[:, None]
    gx *= r
    return gx


def _inverse_rms(rows: np.ndarray, eps: float) -> np.ndarray:
    mean_square = np.vecdot(rows, rows) / rows.shape[1]
    return 1 / np.sqrt(mean_square + rows.dtype.type(eps))[:, None]


def _column_sums(rows: np.ndarray) -> np.ndarray:
    return ones(len(rows), rows.dtype) @ rows


def _affine(normal: np.ndarray, scale: np.ndarray | None, shift: np.ndarray | None) -> np.ndarray:
    if scale is None:
        return normal if shift is None else normal + shift
    out = normal * scale
    if shift is not None:
        out += shift
    return out


def _record(
    out: np.ndarray, inputs: tuple[Tensor | None, ...], backward: Callable[[np.ndarray], tuple]
) -> Tensor:
    """`record`, with those of the inputs that there are."""
    given = [i for i, t in enumerate(inputs) if t is not None]

    def backward_of_given(g):
        gradients = backward(g)
        return tuple(gradients[i] for i in given)

    return record(out, tuple(inputs[i] for i in given), backward_of_given)


def _channels(values: Tensor | np.ndarray | None, x: Tensor) -> np.ndarray | None:
    """(C,) in a shape that meets axis 1 of (N, C, ...)."""
    values = values.data if isinstance(values, Tensor) else values
    return None if values is None else values.reshape(-1, *(1,) * (x.ndim - 2))


def _tensors(*values: Any) -> tuple[Any, ...]:
    return tuple(None if v is None else as_tensor(v) for v in values)


def _flat(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.data.reshape(-1)


def _move(running: Tensor | None, batch: np.ndarray, momentum: float) -> None:
    if running is not None:  # data of a buffer, which no recorded operation looks at again
        running.data += momentum * (batch.reshape(-1) - running.data)


def _check_channels(name: str, x: Tensor, given: tuple[Tensor | None, ...]) -> None:
    channels = {t.shape for t in given if t is not None}
    if x.ndim < 2 or any(shape != x.shape[1:2] for shape in channels):
        needed = "".join(
            f", with {shape[0]} channels" if len(shape) == 1 else f", and weights (C,), not {shape}"
            for shape in channels
        )
        raise ValueError(f"{name} got x of shape {x.shape}: it must have axes (N, C, ...){needed}")
    _check_dtype(name, x, given)


def _check_batch(x: Tensor, count: int) -> None:
    if count < 2:
        raise ValueError(
            f"BatchNorm got x of shape {x.shape} in training: {count} element in each channel has "
            "no variance; use larger batches (drop_last=True leaves out a last small one), or "
            "model.eval()"
        )


def _check_rows(
    name: str, x: Tensor, shape: int | Sequence[int], given: tuple[Tensor | None, ...]
) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not shape:
        raise ValueError(f"{name} got the shape (): it needs the lengths of the last axes")
    if x.ndim < len(shape) or x.shape[x.ndim - len(shape) :] != shape:
        raise ValueError(f"{name}({shape}) got x of shape {x.shape}: its last axes must be {shape}")
    for t in given:
        if t is not None and t.shape != shape:
            raise ValueError(
                f"{name}({shape}) got weights of shape {t.shape}: they must be {shape}"
            )
    _check_dtype(name, x, given)
    return shape


def _check_dtype(name: str, x: Tensor, given: tuple[Tensor | None, ...]) -> None:
    if x.dtype.kind != "f":
        raise ValueError(
            f"{name} got x of {x.dtype}: it must be floating-point, x.astype(np.float32)"
        )
    for t in given:
        if t is not None and t.dtype != x.dtype:
            raise ValueError(
                f"{name} got x of {x.dtype}, but its weights are {t.dtype}: convert the data, "
                f"x.astype(np.{t.dtype})"
                + (", or the model, model.double()" if x.dtype == np.float64 else "")
            )
