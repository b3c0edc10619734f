"""Convolutions: one small set of weights, applied everywhere in an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

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
from dlcourse.tensor.arrays import ones
from dlcourse.tensor.threads import in_halves

__all__ = ["conv1d", "conv2d", "conv_transpose2d"]


def conv2d(
    input: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Slide a kernel over images, and sum up the products at each place.

    ``out[n, o, y, x] = b[o] + Σ_{c, i, j} w[o, c, i, j] in[n, c, y s + i d - p, x s + j d - p]``
    with stride s, dilation d and padding p; outside of its borders the input counts as 0.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W) or (C, H, W)
        N images (or one) of C channels, each with H rows and W columns.
    weight : Tensor, shape (O, C / groups, kh, kw)
        One kernel for each of O output channels.
    bias : Tensor, shape (O,), optional
        Added to each output channel.
    stride : int or (int, int)
        How far the kernel moves from one output to the next, downwards and to the right.
    padding : int, (int, int), 'valid' or 'same'
        How many zeros stand around the input: 'valid' is 0; 'same' keeps H and W, at stride 1.
    dilation : int or (int, int)
        How far apart on the input the kernel's elements are.
    groups : int
        Into how many groups the channels are cut; each output sees one group of the inputs.

    Returns
    -------
    Tensor, shape (N, O, OH, OW), or (O, OH, OW) of a single image
        OH = ⌊(H + 2p - d (kh - 1) - 1) / s⌋ + 1, and so for OW.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the dtypes differ.

    Notes
    -----
    A matrix product for each row y of the output: ``out[y] = w windows[y]``, where ``w`` has a row
    for each output channel, and ``windows[y]`` a column for each pixel: all that the kernel sees
    there. So ``dw = Σ_y dout[y] windows[y]ᵀ``, and ``wᵀ dout[y]`` is what the windows of row y give
    back to the input.
    """
    x, weight, bias = _tensors(input, weight, bias)
    name = _check("Conv2d", x, weight, bias, groups, weight.shape[1] * groups)
    down, across = window_axes(name, x, weight.shape[2:], stride, padding, dilation)
    w = _as_matrix(weight.data, groups)  # (g, 1, O/g, kh·kw·C/g)
    rows = as_rows(x.data)  # (H, C, W, N)
    windows = _windows(rows, down, across, groups)  # (g, OH, kh·kw·C/g, OW·N)
    out = np.empty((down.out, len(weight.data), across.out, rows.shape[3]), x.dtype)
    _product(w, windows, _grouped(out, groups))
    if bias is not None:
        out += bias.data[:, None, None]

    def backward(g):
        rows = as_rows(g)  # (OH, O, OW, N)
        g = _grouped(rows, groups)  # (g, OH, O/g, OW·N)
        gx = gw = None
        if x.requires_grad:
            gx = as_images(_spread(w, g, down, across), x.ndim)
        if weight.requires_grad:  # in this order twice as fast as g @ windowsᵀ
            gw = _product(windows, g.swapaxes(2, 3)).sum(axis=1)  # (g, kh·kw·C/g, O/g)
            gw = _as_kernels(gw.swapaxes(1, 2), weight.shape)
        return (gx, gw) if bias is None else (gx, gw, _bias_gradient(rows, bias))

    parents = (x, weight) if bias is None else (x, weight, bias)
    return record(as_images(out, x.ndim), parents, backward)


def conv1d(
    input: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Slide a kernel along sequences: `conv2d` of images that are one row high.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, L) or (C, L)
        N sequences (or one) of C channels and length L.
    weight : Tensor, shape (O, C / groups, k)
        One kernel for each of O output channels.
    bias, stride, padding, dilation, groups
        As in `conv2d`, each for the one axis.

    Returns
    -------
    Tensor, shape (N, O, ⌊(L + 2p - d (k - 1) - 1) / s⌋ + 1)

    Raises
    ------
    ValueError
        If the shapes do not fit, or the dtypes differ.
    """
    x, weight, bias = _tensors(input, weight, bias)
    name = _check("Conv1d", x, weight, bias, groups, weight.shape[1] * groups)
    (along,) = window_axes(name, x, weight.shape[2:], stride, padding, dilation)
    if padding != "same":
        padding = (0, along.before)
    stride, dilation = (1, along.stride), (1, along.dilation)
    row = conv2d(x.unsqueeze(-2), weight.unsqueeze(2), bias, stride, padding, dilation, groups)
    return row.squeeze(-2)


def conv_transpose2d(
    input: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """Spread each pixel over a window, times a kernel: what `conv2d` does backwards.

    ``out[n, o, y s + i d - p, x s + j d - p] += w[c, o, i, j] in[n, c, y, x]`` for all c, y, x, i
    and j, with stride s, dilation d and padding p; at the end b[o] is added.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W) or (C, H, W)
        N images (or one) of C channels, each with H rows and W columns.
    weight : Tensor, shape (C, O / groups, kh, kw)
        The kernels: input channels first, as those of the convolution that it reverses.
    bias : Tensor, shape (O,), optional
        Added to each output channel.
    stride : int or (int, int)
        How far apart on the output two neighbours are put: 2 doubles height and width.
    padding : int or (int, int)
        How much is cut off around the output.
    output_padding : int or (int, int)
        How many rows and columns the output has beyond that, at its end.
    groups : int
        Into how many groups the channels are cut; each output sees one group of the inputs.
    dilation : int or (int, int)
        How far apart on the output the kernel's elements are.

    Returns
    -------
    Tensor, shape (N, O, OH, OW), or (O, OH, OW) of a single image
        OH = (H - 1) s - 2p + d (kh - 1) + output_padding + 1, and so for OW.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the dtypes differ.
    """
    x, weight, bias = _tensors(input, weight, bias)
    name = _check("ConvTranspose2d", x, weight, bias, groups, len(weight.data), "C, O/groups")
    down, across = _transposed_axes(name, x, weight, stride, padding, output_padding, dilation)
    w = _as_matrix(weight.data, groups)  # (g, 1, C/g, kh·kw·O/g)
    rows = _grouped(as_rows(x.data), groups)  # (g, H, C/g, W·N)
    out = _spread(w, rows, down, across)  # (OH, O, OW, N)
    if bias is not None:
        out += bias.data[:, None, None]

    def backward(g):
        g = as_rows(g)
        windows = _windows(g, down, across, groups)  # (g, H, kh·kw·O/g, W·N)
        gx = gw = None
        if x.requires_grad:
            gx = np.empty((down.out, x.shape[-3], across.out, g.shape[3]), x.dtype)
            _product(w, windows, _grouped(gx, groups))
            gx = as_images(gx, x.ndim)
        if weight.requires_grad:
            gw = _product(windows, rows.swapaxes(2, 3)).sum(axis=1)  # (g, kh·kw·O/g, C/g)
            gw = _as_kernels(gw.swapaxes(1, 2), weight.shape)
        return (gx, gw) if bias is None else (gx, gw, _bias_gradient(g, bias))

    parents = (x, weight) if bias is None else (x, weight, bias)
    return record(as_images(out, x.ndim), parents, backward)


def _windows(x: np.ndarray, down: Axis, across: Axis, groups: int) -> np.ndarray:
    """Return what the kernel sees: (H, C, W, N) → (groups, OH, kh·kw·C/groups, OW·N).

    Only the kw shifted copies of each row are made. The kh rows of a window lie below each other
    already, so the windows are a view in which those of two output rows overlap.
    """
    h, c, w, n = x.shape
    c //= groups
    x = x.reshape(h, groups, c, w, n).swapaxes(0, 1)  # (g, H, C/g, W, N)
    seen = np.empty((groups, down.reach, across.kernel, c, across.out, n), x.dtype)
    rows = down.inside
    seen[:, : rows.start] = 0
    seen[:, rows.stop :] = 0
    for j, (out, at) in enumerate(across.taps()):
        shifted = seen[:, rows, j]  # (g, H, C/g, OW, N)
        shifted[..., : out.start, :] = 0
        shifted[..., out.stop :, :] = 0
        shifted[..., out, :] = x[:, : rows.stop - rows.start, :, at]
    group, row, *rest = seen.strides
    windows = as_strided(
        seen,
        (groups, down.out, down.kernel, *seen.shape[2:]),
        (group, row * down.stride, row * down.dilation, *rest),
        writeable=False,
    )
    columns = down.kernel * across.kernel * c, across.out * n
    return windows.reshape(groups, down.out, *columns)  # a copy only where dilation spreads rows


def _spread(w: np.ndarray, g: np.ndarray, down: Axis, across: Axis) -> np.ndarray:
    """Give back what `w @ _windows(x)` took: (groups, OH, O/groups, OW·N) → (H, C, W, N)."""
    groups, n, c = len(w), g.shape[-1] // across.out, w.shape[-1] // down.kernel // across.kernel
    w = w.reshape(groups, -1, down.kernel, across.kernel * c).transpose(0, 2, 3, 1)
    seen = np.zeros((groups, down.reach, w.shape[2], g.shape[-1]), g.dtype)
    for i in range(down.kernel):  # each output row gives to kh rows
        # (g, 1, kw·C/g, O/g) times (g, OH, O/g, OW·N)
        seen[:, down.under(i)] += _product(w[:, i, None], g)
    seen = seen.reshape(groups, down.reach, across.kernel, c, across.out, n)
    x = np.zeros((groups, down.size, c, across.size, n), g.dtype)
    rows = down.inside
    for j, (out, at) in enumerate(across.taps()):  # and each of its pixels to kw pixels
        x[:, : rows.stop - rows.start, :, at] += seen[:, rows, j, :, out]
    return x.swapaxes(0, 1).reshape(down.size, groups * c, across.size, n)


def _product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``a @ b``, for each row of images a product, (g, H or 1, M, K) times (g, H, K, N)."""
    (groups, h, _, n), m = b.shape, a.shape[2]
    out = np.empty((groups, h, m, n), b.dtype) if out is None else out

    def some(rows):
        np.matmul(a if len(a[0]) == 1 else a[:, rows], b[:, rows], out=out[:, rows])

    in_halves(m * b.size, h, some)
    return out


def _grouped(rows: np.ndarray, groups: int) -> np.ndarray:
    """(H, C, W, N) as (groups, H, C/groups, W·N), a view."""
    h, c, w, n = rows.shape
    return rows.reshape(h, groups, c // groups, w * n).swapaxes(0, 1)


def _as_matrix(weight: np.ndarray, groups: int) -> np.ndarray:
    """(O, C/groups, kh, kw) as (groups, 1, O/groups, kh·kw·C/groups)."""
    return weight.transpose(0, 2, 3, 1).reshape(groups, 1, len(weight) // groups, -1)


def _as_kernels(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    n_out, n_in, kh, kw = shape
    return matrix.reshape(n_out, kh, kw, n_in).transpose(0, 3, 1, 2)


def _bias_gradient(rows: np.ndarray, bias: Tensor) -> np.ndarray | None:
    """Sum over all but the channels."""
    if not bias.requires_grad:
        return None
    h, c, w, n = rows.shape
    return (rows.reshape(h, c, w * n) @ ones(w * n, rows.dtype)).sum(axis=0)


def _transposed_axes(name, x, weight, stride, padding, output_padding, dilation) -> list[Axis]:
    """Return where the window goes of the convolution that this one reverses: its ``out`` is x."""
    stride, dilation = pair(name, "stride", stride), pair(name, "dilation", dilation)
    padding = pair(name, "padding", padding, least=0)
    extra = pair(name, "output_padding", output_padding, least=0)
    axes = []
    for i, kernel in enumerate(weight.shape[2:]):
        n, s, d, p = x.shape[i - 2], stride[i], dilation[i], padding[i]
        size = (n - 1) * s - 2 * p + d * (kernel - 1) + extra[i] + 1
        if extra[i] >= max(s, d) or size < 1:
            raise ValueError(
                f"{name} got x of shape {x.shape}: its output would be {size} long with "
                f"output_padding={output_padding}: that must be below the stride or the dilation, "
                "and the padding must leave something"
            )
        axes.append(Axis(size, n, kernel, s, d, p))
    return axes


def _tensors(input: Any, weight: Any, bias: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    return as_tensor(input), as_tensor(weight), None if bias is None else as_tensor(bias)


def _check(
    kind: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    channels: int,
    first: str = "O, C/groups",
) -> str:
    """Raise a ValueError for learners unless all fits; return the layer's name."""
    axes = "NCHW" if kind.endswith("2d") else "NCL"
    if weight.ndim != len(axes) or not isinstance(groups, (int, np.integer)) or groups < 1:
        kernel = "kh, kw" if kind.endswith("2d") else "k"
        raise ValueError(
            f"{kind} got weight of shape {weight.shape} and groups={groups}: it needs "
            f"({first}, {kernel}) and a whole number from 1"
        )
    n_out = weight.shape[1] * groups if kind == "ConvTranspose2d" else len(weight.data)
    size = weight.shape[2] if len(set(weight.shape[2:])) == 1 else weight.shape[2:]
    name = f"{kind}({channels}, {n_out}, kernel_size={size})"
    check_images(name, x, channels, axes)
    if len(weight.data) % groups:
        raise ValueError(f"{name}: groups={groups} must divide {len(weight.data)} channels")
    if bias is not None and bias.shape != (n_out,):
        raise ValueError(f"{name} got bias of shape {bias.shape}: it needs ({n_out},)")
    if x.dtype != weight.dtype or (bias is not None and bias.dtype != weight.dtype):
        raise ValueError(
            f"{name} got x of {x.dtype}, but its weight is {weight.dtype}: convert the data, "
            f"x.astype(np.{weight.dtype})"
            + (", or the model, model.double()" if x.dtype == np.float64 else "")
        )
    return name
