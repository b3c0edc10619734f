"""Activations: functions of each element, and softmax."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, record
from dlcourse.tensor.arrays import nth_axis
from dlcourse.tensor.threads import in_halves

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def relu(input: Any) -> Tensor:
    """Return max(x, 0). The slope at 0 is taken as 0."""
    x = as_tensor(input)
    out = np.maximum(x.data, 0)
    return record(out, (x,), lambda g: (g * (out > 0),))


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """Return x where it is positive, elsewhere ``negative_slope`` times x (Maas et al. 2013)."""
    x = _real("leaky_relu", input)
    a = x.dtype.type(negative_slope)
    slope = (x.data > 0) + a * (x.data <= 0)
    return record(x.data * slope, (x,), lambda g: (g * slope,))


def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """Return x where it is positive, elsewhere α (exp(x) - 1) (Clevert et al. 2016)."""
    x = _real("elu", input)
    a = x.dtype.type(alpha)
    below = np.minimum(x.data, 0)
    out = np.maximum(x.data, 0) + a * np.expm1(below)
    return record(out, (x,), lambda g: (g * ((x.data > 0) + (x.data <= 0) * a * np.exp(below)),))


def silu(input: Any) -> Tensor:
    """Return x sigmoid(x), also known as swish (Elfwing et al. 2018)."""
    x = _real("silu", input)
    s = sigmoid_array(x.data)
    return record(x.data * s, (x,), lambda g: (g * s * (1 + x.data * (1 - s)),))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return log(1 + exp(β x)) / β, a smooth ReLU; where β x is above ``threshold``, x itself."""
    x = _real("softplus", input)
    z = x.data * x.dtype.type(beta)
    linear = z > threshold
    out = (np.maximum(z, 0) + log1p_array(np.exp(-np.abs(z)))) / x.dtype.type(beta)
    out = np.where(linear, x.data, out)
    return record(out, (x,), lambda g: (g * np.where(linear, 1, sigmoid_array(z)),))


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """Return x Φ(x), where Φ(x) is the chance that a normally distributed number is below x.

    Parameters
    ----------
    input : Tensor or array
        Any shape.
    approximate : {'none', 'tanh'}
        ``Φ(x) = (1 + erf(x / √2)) / 2``, or ``(1 + tanh(√(2/π) (x + 0.044715 x³))) / 2``.

    Returns
    -------
    Tensor, in the shape of ``input``

    Raises
    ------
    ValueError
        If ``approximate`` is something else, or the input is not floating-point.

    References
    ----------
    Hendrycks and Gimpel (2016), arXiv:1606.08415.
    """
    x = _real("gelu", input)
    if approximate not in _GELU:
        raise ValueError(f"gelu: approximate={approximate!r} must be 'none' or 'tanh'")
    phi, density = _GELU[approximate]
    out = np.empty_like(x.data, order="C")
    _piecewise(lambda a, o: np.multiply(a, phi(a), out=o), x.data, out)

    def backward(g: np.ndarray) -> tuple:
        # Φ is computed anew: keeping it would cost as much memory as the output.
        slope = np.empty_like(out)

        def piece(a, g, s):
            p = phi(a)
            np.multiply(a, density(a, p), out=s)
            s += p
            s *= g

        _piecewise(piece, x.data, g, slope)
        return (slope,)

    return record(out, (x,), backward)


def _piecewise(function: Callable[..., object], *arrays: np.ndarray) -> None:
    """Call a function with arrays of one shape piece by piece, which stay in a core's cache."""
    flat = [array.reshape(-1) for array in arrays]

    def some(elements: slice) -> None:
        for start in range(elements.start, elements.stop, 65536):
            stop = min(start + 65536, elements.stop)
            function(*(array[start:stop] for array in flat))

    in_halves(32 * flat[0].size, flat[0].size, some)


def _phi(x: np.ndarray) -> np.ndarray:
    p = erf_array(x * x.dtype.type(math.sqrt(0.5)))
    p += 1
    p *= 0.5
    return p


def _bell(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Give the slope of `_phi`, the bell curve exp(-x²/2) / √(2π)."""
    bell = np.square(x)
    bell *= -0.5
    np.exp(bell, out=bell)
    bell *= 1 / math.sqrt(2 * math.pi)
    return bell


_K, _C = math.sqrt(2 / math.pi), 0.044715


def _phi_tanh(x: np.ndarray) -> np.ndarray:
    """Give p = (1 + tanh(u)) / 2 for u = k (x + c x³)."""
    p = np.square(x)
    p *= _K * _C
    p += _K
    p *= x
    np.tanh(p, out=p)
    p *= 0.5
    p += 0.5
    return p


def _bell_tanh(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Give the slope of `_phi_tanh`: 2 p (1 - p) du, where du = k (1 + 3 c x²)."""
    slope = np.square(x)
    slope *= 6 * _K * _C
    slope += 2 * _K
    slope *= p
    slope *= 1 - p
    return slope


_GELU = {"none": (_phi, _bell), "tanh": (_phi_tanh, _bell_tanh)}


def sigmoid(input: Any) -> Tensor:
    """Return 1 / (1 + exp(-x)): from 0 to 1, and 1/2 at 0."""
    x = _real("sigmoid", input)
    out = sigmoid_array(x.data)
    return record(out, (x,), lambda g: (g * out * (1 - out),))


def tanh(input: Any) -> Tensor:
    """Return the hyperbolic tangent, (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    x = _real("tanh", input)
    out = np.tanh(x.data)
    return record(out, (x,), lambda g: (g - g * out * out,))  # g (1 - out²)


def softmax(input: Any, dim: int = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)) along ``dim``: positive numbers that add up to 1."""
    x = _real("softmax", input)
    dim = nth_axis(dim, x.ndim)
    out = np.exp(x.data - x.data.max(axis=dim, keepdims=True, initial=-np.inf))
    out /= out.sum(axis=dim, keepdims=True)

    def backward(g):  # dpᵢ/dxⱼ = pᵢ (δᵢⱼ - pⱼ)
        g = g * out
        return (g - out * g.sum(axis=dim, keepdims=True),)

    return record(out, (x,), backward)


def log_softmax(input: Any, dim: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, without ever taking the log of a rounded 0."""
    x = _real("log_softmax", input)
    dim = nth_axis(dim, x.ndim)
    out = log_softmax_array(x.data, dim)

    def backward(g):  # d log pᵢ/dxⱼ = δᵢⱼ - pⱼ
        return (g - np.exp(out) * g.sum(axis=dim, keepdims=True),)

    return record(out, (x,), backward)


def sigmoid_array(x: np.ndarray) -> np.ndarray:
    # not (1 + tanh(x/2)) / 2, which rounds to 0 below -17 in float32, where its logarithm is -17
    with np.errstate(over="ignore"):  # 1 / inf is 0
        return 1 / (1 + np.exp(-x))


def log1p_array(x: np.ndarray) -> np.ndarray:
    # some three times quicker in float32 than np.log1p; what 1 + x rounds off, d = x - (u - 1),
    # comes back by log(u + d) = log(u) + d / u
    u = 1 + x
    return np.log(u) + (x - (u - 1)) / u


def log_softmax_array(x: np.ndarray, dim: int = -1) -> np.ndarray:
    out = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    out -= np.log(np.exp(out).sum(axis=dim, keepdims=True))
    return out


_ERF_CELLS, _ERF_REACH = 128, 6  # per unit; beyond 6, erf is 1 to the last digit


def erf_array(x: np.ndarray) -> np.ndarray:
    """Return the error function, ``2/√π ∫₀ˣ exp(-t²) dt``, of each element.

    Python's `math.erf` gives it on a grid a of 128 points per unit, and Taylor's series carries it
    from there to x, at most 1/256 away, with the derivatives ``d/da erf = 2/√π exp(-a²)`` and
    ``dⁿ⁺¹/daⁿ⁺¹ erf = (-1)ⁿ Hₙ(a) d/da erf``, Hₙ the Hermite polynomials (NIST Digital Library of
    Mathematical Functions, 7.10.1). The error is below 1e-15 in float64, also relative to erf(x).
    """
    coefficients = _erf_coefficients(x.dtype)
    h = np.clip(x, -_ERF_REACH, _ERF_REACH)
    cell = np.rint(h * _ERF_CELLS)
    h -= cell / _ERF_CELLS
    with np.errstate(invalid="ignore"):  # NaN has no cell, but stays NaN by its h
        cell = cell.astype(np.intp)
    cell += _ERF_CELLS * _ERF_REACH
    out = coefficients[-1].take(cell, mode="clip")
    for coefficient in coefficients[-2::-1]:
        out *= h
        out += coefficient.take(cell, mode="clip")
    return out


@functools.cache
def _erf_coefficients(dtype: np.dtype) -> np.ndarray:
    """Return the first terms of Taylor's series at each point of the grid, (terms, points)."""
    a = np.arange(-_ERF_CELLS * _ERF_REACH, _ERF_CELLS * _ERF_REACH + 1) / _ERF_CELLS
    slope = 2 / math.sqrt(math.pi) * np.exp(-a * a)
    terms = [np.array([math.erf(v) for v in a]), slope]
    before, hermite = np.zeros_like(a), np.ones_like(a)  # Hₙ₊₁ = 2 a Hₙ - 2 n Hₙ₋₁
    for n in range(1, 5):
        before, hermite = hermite, 2 * a * hermite - 2 * (n - 1) * before
        terms.append((-1) ** n * hermite * slope / math.factorial(n + 1))
    return np.array(terms if dtype == np.float64 else terms[:4], dtype)


def _real(name: str, input: Any) -> Tensor:
    x = as_tensor(input)
    if x.dtype.kind != "f":
        raise ValueError(
            f"{name} got x of {x.dtype}: it must be floating-point; convert it, "
            "x.astype(np.float32)"
        )
    return x


# x.relu() is relu(x), as in PyTorch; given to the tensor here, since it cannot import from above
for function in (relu, sigmoid, tanh, softmax, log_softmax):
    setattr(Tensor, function.__name__, function)
