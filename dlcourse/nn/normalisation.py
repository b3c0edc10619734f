"""Normalisation as layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcourse import functional as F
from dlcourse.functional.windows import pair
from dlcourse.nn.module import Buffer, Module, Parameter
from dlcourse.tensor import Tensor, as_tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"]


def _ones(shape: int | tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, np.float32)


def _zeros(shape: int | tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)


class _BatchNorm(Module):
    _axes: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        (num_features,) = pair(type(self).__name__, "num_features", num_features, 1)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(_ones(num_features)) if affine else None
        self.bias = Parameter(_zeros(num_features)) if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = Buffer(_zeros(num_features))
            self.running_var = Buffer(_ones(num_features))
            self.num_batches_tracked = Buffer(np.array(0))

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel; in training, move the running mean and variance."""
        input = as_tensor(input)
        if input.ndim not in self._axes or input.shape[1] != self.num_features:
            n = self.num_features
            shapes = {2: f"(N, {n})", 3: f"(N, {n}, L)", 4: f"(N, {n}, H, W)"}
            raise ValueError(
                f"{type(self).__name__}({n}) got x of shape {input.shape}: it must be "
                + " or ".join(shapes[axes] for axes in self._axes)
            )
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.data += 1
            if momentum is None:  # the mean of all batches so far
                momentum = 1 / self.num_batches_tracked.item()
        own = self.training or self.running_mean is None
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            own,
            momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        """Return the number of channels."""
        return f"{self.num_features}"


class BatchNorm1d(_BatchNorm):
    """Normalise each channel of (N, C) or (N, C, L) over the batch; see `functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float
        Keeps the division finite.
    momentum : float or None
        How far the running mean and variance move at each step; None takes the mean of all steps.
    affine : bool
        Whether to learn a weight and a bias for each channel.
    track_running_stats : bool
        Whether to keep the running mean and variance, to be used after ``eval()``.

    Attributes
    ----------
    weight, bias : Parameter, shape (C,), or None
    running_mean, running_var : Buffer, shape (C,), or None
    num_batches_tracked : Buffer, shape (), or None
    """

    _axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of (N, C, H, W) over the batch; see `functional.batch_norm`.

    Parameters and attributes are those of `BatchNorm1d`.
    """

    _axes = (4,)


class LayerNorm(Module):
    """Normalise each row; see `functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of the input, over which mean and variance are taken.
    eps : float
        Keeps the division finite.
    elementwise_affine : bool
        Whether to learn a weight for each place in a row.
    bias : bool
        Whether to learn a bias, too.

    Attributes
    ----------
    weight, bias : Parameter, shape normalized_shape, or None
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape, self.eps = _shape("LayerNorm", normalized_shape), eps
        shape = self.normalized_shape
        self.weight = Parameter(_ones(shape)) if elementwise_affine else None
        self.bias = Parameter(_zeros(shape)) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last axes."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the shape of a row."""
        return f"{self.normalized_shape}"


class RMSNorm(Module):
    """Divide each row by its root mean square; see `functional.rms_norm`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of the input, over which the mean is taken.
    eps : float, optional
        Keeps the division finite; by default the dtype's machine epsilon.
    elementwise_affine : bool
        Whether to learn a weight for each place in a row.

    Attributes
    ----------
    weight : Parameter, shape normalized_shape, or None
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        self.normalized_shape, self.eps = _shape("RMSNorm", normalized_shape), eps
        self.weight = Parameter(_ones(self.normalized_shape)) if elementwise_affine else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last axes."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the shape of a row."""
        return f"{self.normalized_shape}"


class GroupNorm(Module):
    """Normalise groups of channels, each example for itself; see `functional.group_norm`.

    Parameters
    ----------
    num_groups : int
        Into how many groups the channels are cut.
    num_channels : int
        The length of axis 1.
    eps : float
        Keeps the division finite.
    affine : bool
        Whether to learn a weight and a bias for each channel.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,), or None
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        name = f"GroupNorm({num_groups}, {num_channels})"
        if pair(name, "num_channels", num_channels, 1)[0] % pair(name, "groups", num_groups, 1)[0]:
            raise ValueError(f"{name}: num_groups must divide num_channels")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(_ones(num_channels)) if affine else None
        self.bias = Parameter(_zeros(num_channels)) if affine else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each group of each example."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.num_groups}, {self.num_channels}"


def _shape(name: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return pair(name, "normalized_shape", shape, len(shape))
