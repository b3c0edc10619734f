"""Keep gradients from growing without bound: between ``backward()`` and ``step()``."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dlcourse.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Shorten all gradients together, as one long vector, to ``max_norm`` at most.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients; those without one are left out.
    max_norm : float
        The greatest length allowed.
    norm_type : float
        Which length: 2 is the usual one, ``math.inf`` the largest element.
    error_if_nonfinite : bool
        Whether a length that is infinite or NaN is an error; else all gradients become 0 or NaN.

    Returns
    -------
    float
        The length before (Pascanu et al. 2013).

    Raises
    ------
    ValueError
        If ``max_norm`` is negative or ``norm_type`` not above 0.
    FloatingPointError
        If ``error_if_nonfinite``, and the length is; no gradient is changed then.
    """
    norm_type = float(norm_type)  # "inf" is one, too
    if not (max_norm >= 0 and norm_type > 0):
        raise ValueError(
            f"clip_grad_norm_ got max_norm={max_norm} and norm_type={norm_type}: it needs a length "
            "from 0, and a norm above 0"
        )
    having = _with_gradient(parameters)
    if norm_type == math.inf:
        norm = float(np.max([np.abs(p.grad).max(initial=0) for p in having], initial=0))
    elif norm_type == 2:
        norm = math.sqrt(sum(float(np.vdot(p.grad, p.grad)) for p in having))
    else:
        norm = sum(float((np.abs(p.grad) ** norm_type).sum()) for p in having) ** (1 / norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise FloatingPointError(
            f"clip_grad_norm_: the gradients' length is {norm}: start again with a smaller "
            "learning rate, or look for a root or a logarithm of 0"
        )
    scale = max_norm / (norm + 1e-6)
    if not scale >= 1:  # also where it is NaN: then so is every gradient, as in PyTorch
        for p in having:
            # a new array: another may hold the old one
            p.grad = np.multiply(p.grad, p.dtype.type(scale), out=np.empty_like(p.grad))
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to the range from -``clip_value`` to ``clip_value``."""
    for p in _with_gradient(parameters):
        limit = p.dtype.type(clip_value)
        p.grad = p.grad.clip(-limit, limit, out=np.empty_like(p.grad))


def _with_gradient(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p for p in parameters if p.grad is not None]
