"""What convolution and pooling share: where a sliding window goes, and how images lie in memory.

Images are (N, C, H, W) outside and lie in memory as (H, C, W, N): what is added up or compared for
N images at once stands side by side, and a row of pixels is one block. Results keep that order, so
that the next layer finds it; their ``.data`` is a transposed view in PyTorch's shape. One image
(C, H, W) is a batch of one inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlcourse.tensor import Tensor

__all__ = ["Axis", "Size", "as_images", "as_rows", "check_images", "pair", "window_axes"]

Size = int | Sequence[int]


def as_rows(images: np.ndarray) -> np.ndarray:
    """Return (N, C, H, W) or (C, H, W) as (H, C, W, N): a copy only if it lies otherwise."""
    images = images if images.ndim == 4 else images[None]
    return np.ascontiguousarray(images.transpose(2, 1, 3, 0))


def as_images(rows: np.ndarray, ndim: int) -> np.ndarray:
    """Return (H, C, W, N) as (N, C, H, W), or (C, H, W) where ``ndim`` is 3, a view."""
    images = rows.transpose(3, 1, 0, 2)
    return images if ndim == 4 else images[0]


class Axis(NamedTuple):
    """Where a window goes along one axis.

    Element k of the window at output o stands on input ``o * stride + k * dilation - before``.
    """

    size: int  # of the input
    out: int  # of the output
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0  # how much padding stands before the input; the rest follows from `out`

    @property
    def reach(self) -> int:
        """How much all windows together cover, padding included."""
        return (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    @property
    def padded(self) -> int:
        """How long the input is with the padding that some window stands on."""
        return max(self.reach, self.before + self.size)

    @property
    def inside(self) -> slice:
        """The part of `reach` that is input, not padding."""
        top = min(self.before, self.reach)
        return slice(top, min(top + self.size, self.reach))

    def under(self, k: int) -> slice:
        """Return what element k of the window stands on, counted from the first padding."""
        start = k * self.dilation
        return slice(start, start + (self.out - 1) * self.stride + 1, self.stride)

    def taps(self) -> Iterator[tuple[slice, slice]]:
        """For each element of the window: the outputs where it is on the input, and where there."""
        for k in range(self.kernel):
            shift = k * self.dilation - self.before
            first = max(0, -(shift // self.stride))  # rounded up
            last = max(first, min(self.out, (self.size - 1 - shift) // self.stride + 1))
            start = first * self.stride + shift
            stop = min(start + (last - first) * self.stride, self.size)
            yield slice(first, last), slice(start, max(start, stop), self.stride)


def window_axes(
    name: str,
    x: Tensor,
    kernel: Sequence[int],
    stride: Size,
    padding: Size | str,
    dilation: Size,
    ceil_mode: bool = False,
) -> list[Axis]:
    """Check the sizes of a window on the last axes of ``x``, and return where it goes on each."""
    n = len(kernel)
    kernel = pair(name, "kernel_size", kernel, n)
    stride = pair(name, "stride", stride, n)
    dilation = pair(name, "dilation", dilation, n)
    if padding == "same":
        if max(stride) > 1:
            raise ValueError(f"{name}: padding='same' needs stride 1, not {stride}")
        both = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        around = [(p // 2, p) for p in both]
    else:
        padding = 0 if padding == "valid" else padding
        around = [(p, 2 * p) for p in pair(name, "padding", padding, n, least=0)]
    axes = []
    for size, k, s, d, (before, both) in zip(
        x.shape[-n:], kernel, stride, dilation, around, strict=True
    ):
        last = size + both - d * (k - 1) - 1  # where the last window can begin, at most
        out = last // s + 1
        if ceil_mode and last % s and out * s < size + before:  # one more, over the end
            out += 1
        if out < 1:
            raise ValueError(
                f"{name} got x of shape {x.shape}: a window of {d * (k - 1) + 1} does not fit in "
                f"{size + both}, padding included; use a smaller kernel, more padding or less "
                "pooling before"
            )
        axes.append(Axis(size, out, k, s, d, before))
    return axes


def pair(name: str, what: str, value: Any, n: int = 2, least: int = 1) -> tuple[int, ...]:
    """Return a number as n equal ones, and n numbers as they are."""
    values = (value,) * n if isinstance(value, (int, np.integer)) else value
    whole = isinstance(values, Sequence) and all(isinstance(v, (int, np.integer)) for v in values)
    if not whole or len(values) != n or min(values) < least:
        raise ValueError(
            f"{name}: {what}={value!r} must be a whole number from {least}"
            + (f", or {n} of them" if n > 1 else "")
        )
    return tuple(int(v) for v in values)


def check_images(name: str, x: Tensor, channels: int | None = None, axes: str = "NCHW") -> None:
    """Raise a ValueError unless ``x`` is floating-point, with these axes (or all but N)."""
    mend = None
    if x.ndim not in (len(axes), len(axes) - 1):
        mend = f"it must have the axes ({', '.join(axes)}), or ({', '.join(axes[1:])}) for one"
        if x.ndim == len(axes) - 2:
            mend += "; give it its channel, x[None]"
    elif channels is not None and x.shape[1 - len(axes)] != channels:
        mend = f"its axis {x.ndim - len(axes) + 1} must be {channels} channels"
        if channels == 1 and x.ndim == len(axes) - 1:
            mend += "; give each example its channel, x[:, None]"
        if x.shape[-1] == channels:
            mend += "; if the channels come last, np.moveaxis(x, -1, 1)"
    elif x.dtype.kind != "f":
        mend = f"its {x.dtype} must be floating-point; convert it, x.astype(np.float32)"
    if mend:
        raise ValueError(f"{name} got x of shape {x.shape}: {mend}")
