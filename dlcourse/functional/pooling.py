"""Pooling: a region of an image becomes one number, its largest or its mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse.functional.windows import (
    Axis,
    Size,
    as_images,
    as_rows,
    check_images,
    pair,
    window_axes,
)
from dlcourse.tensor import Tensor, as_tensor, record

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]

_DOWN, _ACROSS = 0, 2  # the axes H and W in memory, (H, C, W, N): see windows.py


def max_pool2d(
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the largest element in a window that slides over images.

    ``out[n, c, y, x] = max_{i, j} in[n, c, y s + i d - p, x s + j d - p]`` with stride s, dilation
    d and padding p.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W) or (C, H, W)
        The images, or a single one.
    kernel_size : int or (int, int)
        How many elements are compared, downwards and to the right.
    stride : int or (int, int), optional
        How far the window moves; by default its own size, so that windows do not overlap.
    padding : int or (int, int)
        How much -∞ stands around the input; at most half of ``kernel_size``.
    dilation : int or (int, int)
        How far apart the compared elements are.
    ceil_mode : bool
        Whether a last window that reaches over the end counts, too, if it begins on the input.

    Returns
    -------
    Tensor, shape (N, C, OH, OW), or (C, OH, OW) of a single image
        OH = ⌊(H + 2p - d (k - 1) - 1) / s⌋ + 1, and so for OW; with ``ceil_mode`` rounded up.

    Raises
    ------
    ValueError
        If the input is no batch of images, or the window does not fit.

    Notes
    -----
    The largest of a window is the largest of its rows' largest. The gradient goes back to where it
    came from; of equal elements, to the first one, row by row, as in PyTorch.
    """
    x = as_tensor(input)
    down, across = _axes("MaxPool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    padded = _pad(as_rows(x.data), down, across, -np.inf)  # (H, C, W, N)
    columns, of_columns = _largest(padded, across, _ACROSS)  # (H, C, OW, N)
    best, of_rows = _largest(columns, down, _DOWN)  # (OH, C, OW, N)
    before, between = padded.shape, columns.shape  # all that the way back needs of these two

    def backward(g):
        g = _to_largest(as_rows(g), of_rows, between, down, _DOWN)
        g = _to_largest(g, of_columns, before, across, _ACROSS)
        return (as_images(_unpad(g, down, across), x.ndim),)

    return record(as_images(best, x.ndim), (x,), backward)


def avg_pool2d(
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of a window that slides over images.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W) or (C, H, W)
        The images, or a single one.
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`, but with zeros around the input.
    count_include_pad : bool
        Whether those zeros count among the elements that the sum is divided by.

    Returns
    -------
    Tensor, shape (N, C, OH, OW), or (C, OH, OW) of a single image

    Raises
    ------
    ValueError
        If the input is no batch of images, or the window does not fit.
    """
    x = as_tensor(input)
    down, across = _axes("AvgPool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    padded = _pad(as_rows(x.data), down, across, 0)  # (H, C, W, N)
    columns = sum(padded[at] for at in _taps(across, _ACROSS))  # (H, C, OW, N)
    out = sum(columns[at] for at in _taps(down, _DOWN))  # (OH, C, OW, N)
    share = 1 / _counted(down, count_include_pad)[:, None] / _counted(across, count_include_pad)
    share = share.astype(out.dtype)[:, None, :, None]  # (OH, 1, OW, 1)
    before, between = padded.shape, columns.shape

    def backward(g):  # every element of a window has the same share in its mean
        g = as_rows(g) * share
        rows, whole = np.zeros(between, g.dtype), np.zeros(before, g.dtype)
        for at in _taps(down, _DOWN):
            rows[at] += g
        for at in _taps(across, _ACROSS):
            whole[at] += rows
        return (as_images(_unpad(whole, down, across), x.ndim),)

    return record(as_images(out * share, x.ndim), (x,), backward)


def adaptive_avg_pool2d(
    input: Any, output_size: int | tuple[int | None, int | None] | None
) -> Tensor:
    """Return the means of a grid of regions, so that the output has a given size.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W) or (C, H, W)
        The images, or a single one.
    output_size : int or (int, int)
        OH and OW; None keeps H or W. Row y of the output is the mean of the input's rows from
        ⌊y H / OH⌋ to ⌈(y + 1) H / OH⌉.

    Returns
    -------
    Tensor, shape (N, C, OH, OW), or (C, OH, OW) of a single image

    Raises
    ------
    ValueError
        If the input is no batch of images, or the size is not 1 or more.

    """
    x = as_tensor(input)
    check_images("AdaptiveAvgPool2d", x)
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(sizes) != 2:
        raise ValueError(f"AdaptiveAvgPool2d got output_size={output_size}: it needs (OH, OW)")
    sizes = [n if m is None else m for m, n in zip(sizes, x.shape[-2:], strict=True)]
    oh, ow = pair("AdaptiveAvgPool2d", "output_size", sizes)
    down, across = _regions(oh, x.shape[-2]), _regions(ow, x.shape[-1])
    whole = as_rows(x.data)  # (H, C, W, N)
    rows = np.stack([whole[some].mean(axis=0) for some in down])  # (OH, C, W, N)
    out = np.stack([rows[:, :, some].mean(axis=2) for some in across], axis=2)  # (OH, C, OW, N)
    before, between = whole.shape, rows.shape

    def backward(g):  # every element of a region has the same share in its mean
        g = as_rows(g)
        g_rows, g_whole = np.zeros(between, g.dtype), np.zeros(before, g.dtype)
        for x_out, some in enumerate(across):
            g_rows[:, :, some] += g[:, :, x_out, None] / (some.stop - some.start)
        for y_out, some in enumerate(down):
            g_whole[some] += g_rows[y_out] / (some.stop - some.start)
        return (as_images(g_whole, x.ndim),)

    return record(as_images(out, x.ndim), (x,), backward)


def _axes(name, x, kernel_size, stride, padding, dilation, ceil_mode) -> list[Axis]:
    check_images(name, x)
    kernel = pair(name, "kernel_size", kernel_size)
    around = pair(name, "padding", padding, least=0)
    if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
        raise ValueError(
            f"{name}: padding={padding} must be at most half of kernel_size={kernel_size}, or a "
            "window could hold nothing but padding"
        )
    stride = kernel if stride is None else stride
    return window_axes(name, x, kernel, stride, around, dilation, ceil_mode)


def _taps(axis: Axis, dim: int) -> list[tuple[slice, ...]]:
    """For each element of the window along one axis, where it stands for all outputs."""
    return [(slice(None),) * dim + (axis.under(k),) for k in range(axis.kernel)]


def _largest(x: np.ndarray, axis: Axis, dim: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the largest along one axis; and, of each but the first, if it beats all before it."""
    first, *others = _taps(axis, dim)
    best, beats = x[first], []
    best = best if others else best.copy()  # not a view of the input
    for at in others:
        beats.append(x[at] > best)
        best = np.maximum(best, x[at])
    return best, beats


def _to_largest(
    g: np.ndarray, beats: list[np.ndarray], shape: tuple[int, ...], axis: Axis, dim: int
) -> np.ndarray:
    """Give the gradient to the last element that beat all before it, else to the first."""
    first, *others = _taps(axis, dim)
    if shape[dim] == axis.out * axis.kernel and axis.kernel == axis.stride:
        gx = np.empty(shape, g.dtype)  # the windows tile the input: each element is written once
        for at, beat in zip(reversed(others), reversed(beats), strict=True):
            np.multiply(g, beat, out=gx[at])
            g = np.subtract(g, gx[at], out=gx[first])
        return gx if others else g
    gx = np.zeros(shape, g.dtype)
    for at, beat in zip(reversed(others), reversed(beats), strict=True):
        won = g * beat
        gx[at] += won
        g = g - won
    gx[first] += g
    return gx


def _pad(x: np.ndarray, down: Axis, across: Axis, value: float) -> np.ndarray:
    """(H, C, W, N) with the padding around it."""
    if (down.padded, across.padded) == (down.size, across.size):
        return x
    out = np.full((down.padded, x.shape[1], across.padded, x.shape[3]), value, x.dtype)
    _unpad(out, down, across)[...] = x
    return out


def _unpad(x: np.ndarray, down: Axis, across: Axis) -> np.ndarray:
    rows = slice(down.before, down.before + down.size)
    return x[rows, :, across.before : across.before + across.size]


def _counted(axis: Axis, count_include_pad: bool) -> np.ndarray:
    """How many elements of each window along an axis are counted."""
    if count_include_pad:  # those of ``padding``; not what ``ceil_mode`` goes over the end
        start = np.arange(axis.out) * axis.stride
        return np.minimum(axis.kernel, axis.size + 2 * axis.before - start)
    counts = np.zeros(axis.out)
    for out, _ in axis.taps():
        counts[out] += 1
    return counts


def _regions(n_out: int, n_in: int) -> list[slice]:
    """Where each of n_out regions begins and ends: they cover an axis, and may overlap."""
    return [slice(y * n_in // n_out, -(-(y + 1) * n_in // n_out)) for y in range(n_out)]
