"""Activations as layers."""

from __future__ import annotations

from dlcourse import functional as F
from dlcourse.nn.module import Module
from dlcourse.tensor import Tensor

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class ReLU(Module):
    """max(x, 0).

    Parameters
    ----------
    inplace : bool
        PyTorch's, without effect here, as in the other activations: the input stays as it is.
    """

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.relu`."""
        return F.relu(input)


class LeakyReLU(Module):
    """x where it is positive, elsewhere ``negative_slope`` times x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.leaky_relu`."""
        return F.leaky_relu(input, self.negative_slope)


class ELU(Module):
    """x where it is positive, elsewhere α (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.elu`."""
        return F.elu(input, self.alpha)


class SiLU(Module):
    """x sigmoid(x)."""

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.silu`."""
        return F.silu(input)


class GELU(Module):
    """x Φ(x); see `functional.gelu`."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.gelu`."""
        return F.gelu(input, self.approximate)


class Softplus(Module):
    """log(1 + exp(β x)) / β; see `functional.softplus`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.softplus`."""
        return F.softplus(input, self.beta, self.threshold)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.sigmoid`."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.tanh`."""
        return F.tanh(input)


class Softmax(Module):
    """exp(x) / sum(exp(x)) along ``dim``."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.softmax`."""
        return F.softmax(input, self.dim)


class LogSoftmax(Module):
    """The logarithm of `Softmax`."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.log_softmax`."""
        return F.log_softmax(input, self.dim)
