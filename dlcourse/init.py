"""Starting values for weights, written into a tensor in place, with PyTorch's names.

Each takes ``rng``: a seed or a `numpy.random.Generator`; None draws anew every time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, no_grad

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, rng: Any = None) -> Tensor:
    """Fill with numbers drawn evenly from ``a`` to ``b``."""
    return _fill(tensor, np.random.default_rng(rng).uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, rng: Any = None) -> Tensor:
    """Fill with normally distributed numbers."""
    return _fill(tensor, np.random.default_rng(rng).normal(mean, std, tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    return _fill(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return _fill(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return _fill(tensor, 1)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, rng: Any = None) -> Tensor:
    """Fill evenly up to ±gain √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, rng)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, rng: Any = None) -> Tensor:
    """Fill normally with variance gain² 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), rng)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Any = None,
) -> Tensor:
    """Fill evenly up to ±gain √(3 / fan) (He et al. 2015).

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
        The weights.
    a : float
        The negative slope of a leaky ReLU; 0 for ReLU.
    mode : {'fan_in', 'fan_out'}
        Whether to keep the variance on the way forward, or that of gradients on the way back.
    nonlinearity : str
        What follows the layer: see `calculate_gain`.
    rng : int, Generator or None
        Where the numbers come from.

    Raises
    ------
    ValueError
        If the mode or the nonlinearity is unknown, or the tensor has fewer than 2 axes.
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound, rng)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Any = None,
) -> Tensor:
    """Fill normally with variance gain² / fan (He et al. 2015); see `kaiming_uniform_`."""
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return normal_(tensor, 0.0, std, rng)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return by how much weights must grow to keep the variance through a nonlinearity.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    slope = 0.01 if param is None else param
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope**2)),
    }
    if nonlinearity not in gains:
        raise ValueError(f"nonlinearity={nonlinearity!r}: it must be one of {', '.join(gains)}")
    return gains[nonlinearity]


def _fill(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return tensor.copy_(values)


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode={mode!r}: it must be 'fan_in' or 'fan_out'")
    return _fans(tensor)[mode == "fan_out"]


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs each output sums over, and how many outputs each input feeds."""
    if tensor.ndim < 2:
        raise ValueError(
            f"weights of shape {tensor.shape} have no inputs and outputs: they need 2 axes or more"
        )
    n_out, n_in, *kernel = tensor.shape
    return n_in * math.prod(kernel), n_out * math.prod(kernel)
