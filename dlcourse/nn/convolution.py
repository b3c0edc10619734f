"""Convolutions as layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcourse import functional as F
from dlcourse import init
from dlcourse.functional.windows import Size, pair
from dlcourse.nn.module import Module, Parameter
from dlcourse.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "ConvTranspose2d"]


class _Convolution(Module):
    _axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: Any = None,
    ) -> None:
        name = f"{type(self).__name__}({in_channels}, {out_channels}, kernel_size={kernel_size})"
        sizes = {"groups": groups, "in_channels": in_channels, "out_channels": out_channels}
        for what, n in sizes.items():
            if pair(name, what, n, 1)[0] % groups:
                raise ValueError(f"{name}: groups={groups} must divide {what}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(name, "kernel_size", kernel_size, self._axes)
        self.stride = pair(name, "stride", stride, self._axes)
        self.dilation = pair(name, "dilation", dilation, self._axes)
        self.padding = padding
        if padding not in ("same", "valid"):
            self.padding = pair(name, "padding", padding, self._axes, least=0)
        rng = np.random.default_rng(rng)
        shape = self._weight_shape()
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = Parameter(np.empty(shape, np.float32))
        init.uniform_(self.weight, -bound, bound, rng)
        self.bias = None
        if bias:
            self.bias = Parameter(np.empty(out_channels, np.float32))
            init.uniform_(self.bias, -bound, bound, rng)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def extra_repr(self) -> str:
        """Return the sizes, and what differs from the defaults."""
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        defaults = {
            "stride": (1,) * self._axes,
            "padding": (0,) * self._axes,
            "dilation": (1,) * self._axes,
            "output_padding": (0,) * self._axes,
            "groups": 1,
        }
        for what, default in defaults.items():
            value = getattr(self, what, default)
            if value != default:
                shown.append(f"{what}={value}")
        if self.bias is None:
            shown.append("bias=False")
        return ", ".join(shown)


class Conv2d(_Convolution):
    """Kernels that slide over images; see `functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        The length of axis 1 before and after.
    kernel_size : int or (int, int)
        Height and width of the kernels.
    stride, padding, dilation, groups
        As in `functional.conv2d`.
    bias : bool
        Whether to add a number to each output channel.
    rng : int, Generator or None
        Where the starting values come from: even up to ±1/√fan_in, as in PyTorch, with
        fan_in = kh kw in_channels / groups.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, kh, kw)
    bias : Parameter, shape (out_channels,), or None
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, OH, OW)."""
        return F.conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv1d(_Convolution):
    """Kernels that slide along sequences; see `functional.conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        The length of axis 1 before and after.
    kernel_size : int
        Length of the kernels.
    stride, padding, dilation, groups
        As in `functional.conv1d`.
    bias : bool
        Whether to add a number to each output channel.
    rng : int, Generator or None
        Where the starting values come from: even up to ±1/√fan_in, as in PyTorch, with
        fan_in = k in_channels / groups.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, k)
    bias : Parameter, shape (out_channels,), or None
    """

    _axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, L) to (N, out_channels, OL)."""
        return F.conv1d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class ConvTranspose2d(_Convolution):
    """Kernels that spread each pixel over a window; see `functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        The length of axis 1 before and after.
    kernel_size : int or (int, int)
        Height and width of the kernels.
    stride, padding, output_padding, groups, dilation
        As in `functional.conv_transpose2d`.
    bias : bool
        Whether to add a number to each output channel.
    rng : int, Generator or None
        Where the starting values come from: even up to ±1/√(kh kw out_channels / groups), as in
        PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, kh, kw)
    bias : Parameter, shape (out_channels,), or None
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        rng: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, rng=rng
        )
        name = f"ConvTranspose2d({in_channels}, {out_channels}, kernel_size={kernel_size})"
        self.output_padding = pair(name, "output_padding", output_padding, least=0)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, OH, OW)."""
        return F.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
