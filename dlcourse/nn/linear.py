"""Layers that map and reshape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcourse import functional as F
from dlcourse import init
from dlcourse.nn.module import Module, Parameter
from dlcourse.tensor import Tensor, as_tensor

__all__ = ["Flatten", "Linear"]


class Linear(Module):
    """A layer of neurons: ``y = x Wᵀ + b``.

    Parameters
    ----------
    in_features, out_features : int
        The length of the last axis before and after.
    bias : bool
        Whether to add ``b``.
    rng : int, Generator or None
        Where the starting values come from: even up to ±1/√in_features, as in PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: Any = None
    ) -> None:
        for name, n in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(n, (int, np.integer)) or n < 1:
                raise ValueError(
                    f"Linear({in_features}, {out_features}): {name} must be a whole number from 1"
                )
        self.in_features, self.out_features = in_features, out_features
        rng = np.random.default_rng(rng)
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(np.empty((out_features, in_features), np.float32))
        init.uniform_(self.weight, -bound, bound, rng)
        self.bias = None
        if bias:
            self.bias = Parameter(np.empty(out_features, np.float32))
            init.uniform_(self.bias, -bound, bound, rng)

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


class Flatten(Module):
    """Make the axes from ``start_dim`` to ``end_dim`` one: (N, 28, 28) becomes (N, 784)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Flatten."""
        return as_tensor(input).flatten(self.start_dim, self.end_dim)
