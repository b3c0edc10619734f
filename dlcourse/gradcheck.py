"""Gradients by trying: move a number a little and see how much the result moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcourse.tensor import Tensor, as_tensor, no_grad

__all__ = ["gradcheck", "numeric_gradient"]


def numeric_gradient(f: Callable[[np.ndarray], float], x: Any, eps: float = 1e-6) -> np.ndarray:
    """Return the gradient of ``f`` at ``x`` by central differences.

    Parameters
    ----------
    f : callable
        Takes an array in the shape of ``x`` and returns a number.
    x : array_like
        Where; computed in float64.
    eps : float
        How far to move to each side. Truncation error falls with eps², rounding error grows with
        1/eps; near the cube root of the machine epsilon, about 6e-6, they balance.

    Returns
    -------
    numpy.ndarray of float64, in the shape of ``x``
        (f(x + eps) - f(x - eps)) / (2 eps), for each element.

    Raises
    ------
    ValueError
        If ``f`` returns more than one number.
    """
    x = np.array(x, np.float64)
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        at = x[i]
        x[i] = at + eps
        above = _number(f(x))
        x[i] = at - eps
        below = _number(f(x))
        x[i] = at
        gradient[i] = (above - below) / (2 * eps)
    return gradient


def gradcheck(
    func: Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of ``backward`` with numeric ones.

    Parameters
    ----------
    func : callable
        Takes the inputs and returns a tensor of any shape.
    inputs : Tensor or sequence of Tensor
        float64; those with ``requires_grad`` are checked.
    eps : float
        The step of the central differences.
    atol, rtol : float
        How far the two may be apart: atol + rtol times the size of the numeric one.
    raise_exception : bool
        Whether to raise where they differ, or to return False.

    Returns
    -------
    bool
        Whether they agree.

    Raises
    ------
    ValueError
        If no input requires a gradient, one is not float64, or ``func`` returns no tensor.
    AssertionError
        If they differ: it names the input, the element and both values.

    Notes
    -----
    An output of many elements is checked by its product with fixed random numbers: an error in any
    element shows, and one backward pass is enough.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else [as_tensor(x) for x in inputs]
    checked = [i for i, x in enumerate(inputs) if x.requires_grad]
    if not checked:
        raise ValueError("gradcheck has nothing to check: no input has requires_grad=True")
    for i in checked:
        if inputs[i].dtype != np.float64:
            raise ValueError(
                f"gradcheck got input {i} of {inputs[i].dtype}: rounding would hide the answer; "
                "use Tensor(x.data.astype(np.float64), requires_grad=True)"
            )
    leaves = [Tensor(x.data, requires_grad=x.requires_grad) for x in inputs]
    out = func(*leaves)
    if not isinstance(out, Tensor):
        raise ValueError(f"gradcheck got {type(out).__name__} from func: it must return a tensor")
    direction = np.random.default_rng(0).uniform(0.5, 1.5, out.shape)
    out.backward(direction)
    for i in checked:
        numeric = numeric_gradient(_projected(func, leaves, i, direction), leaves[i].data, eps)
        analytic = np.zeros_like(numeric) if leaves[i].grad is None else leaves[i].grad
        far = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))
        if far.any():
            if not raise_exception:
                return False
            error = np.where(np.isnan(analytic - numeric), np.inf, np.abs(analytic - numeric))
            at = tuple(int(k) for k in np.unravel_index(np.argmax(error), error.shape))
            raise AssertionError(
                f"the gradient of input {i} is wrong in {far.sum()} of {far.size} elements; most "
                f"at {at}: backward says {analytic[at]:.6g}, trying says {numeric[at]:.6g}"
            )
    return True


def _number(value: Any) -> float:
    value = np.asarray(value.data if isinstance(value, Tensor) else value)
    if value.size != 1:
        raise ValueError(
            f"numeric_gradient got shape {value.shape} from f: it must return one number; add it "
            "up, .sum()"
        )
    return float(value.item())


def _projected(
    func: Callable[..., Tensor], leaves: list[Tensor], i: int, direction: np.ndarray
) -> Callable[[np.ndarray], float]:
    def f(values: np.ndarray) -> float:
        with no_grad():
            out = func(*leaves[:i], Tensor(values), *leaves[i + 1 :])
        return float((out.data * direction).sum())

    return f
