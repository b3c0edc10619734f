"""Reductions: many elements become one.

``dim`` (or numpy's word, ``axis``) is None for all axes, an int or a tuple.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlcourse.tensor.arrays import Dim, add_up, count, degrees_of_freedom, dims, nth_axis, restore
from dlcourse.tensor.tape import Node, as_tensor, floating, record

if TYPE_CHECKING:
    from dlcourse.tensor.core import Tensor

__all__ = ["Extreme", "Reductions"]


class Extreme(NamedTuple):
    """What `Tensor.max`, `min`, `sort` and `topk` along one axis return."""

    values: Tensor
    indices: Tensor


class Reductions(Node):
    """`Tensor`'s sums, means and extremes."""

    __slots__ = ()

    def sum(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return the sum over ``dim`` (all axes if None)."""
        dim = dims(dim, axis, self.ndim, keepdim)

        def backward(g):
            return (np.broadcast_to(restore(g, dim, keepdim), self.shape),)

        return record(add_up(self.data, dim, keepdim), (self,), backward)

    def mean(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return the mean over ``dim`` (all axes if None)."""
        x, dim = floating(self), dims(dim, axis, self.ndim, keepdim)
        n = count(x.shape, dim)

        def backward(g):
            return (np.broadcast_to(restore(g / n, dim, keepdim), x.shape),)

        return record(_mean(x.data, dim, keepdim), (x,), backward)

    def var(
        self, dim: Dim = None, *, correction: int = 1, keepdim: bool = False, axis: Dim = None
    ) -> Tensor:
        """Return the variance over ``dim``: squared deviations over (count - ``correction``)."""
        x, dim = floating(self), dims(dim, axis, self.ndim, keepdim)
        centred = x.data - _mean(x.data, dim)
        dof = degrees_of_freedom(x.shape, dim, correction)

        def backward(g):
            return (restore(g, dim, keepdim) * centred * (2 / dof),)

        return record(add_up(centred * centred, dim, keepdim) / dof, (x,), backward)

    def std(
        self, dim: Dim = None, *, correction: int = 1, keepdim: bool = False, axis: Dim = None
    ) -> Tensor:
        """Return the standard deviation over ``dim``; its slope is taken as 0 where it is 0."""
        x, dim = floating(self), dims(dim, axis, self.ndim, keepdim)
        centred = x.data - _mean(x.data, dim)
        dof = degrees_of_freedom(x.shape, dim, correction)
        out = np.sqrt(add_up(centred * centred, dim, keepdim) / dof)

        def backward(g):
            slope = np.divide(g, out * dof, out=np.zeros_like(out), where=out > 0)
            return (restore(slope, dim, keepdim) * centred,)

        return record(out, (x,), backward)

    def logsumexp(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return log(sum(exp(x))) over ``dim``, without overflow."""
        x, dim = floating(self), dims(dim, axis, self.ndim, keepdim)
        top = x.data.max(axis=dim, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, np.zeros_like(top))
        with np.errstate(divide="ignore"):
            full = top + np.log(np.exp(x.data - top).sum(axis=dim, keepdims=True))

        def backward(g):  # softmax, and 0 where the whole slice is -inf
            return (restore(g, dim, keepdim) * np.exp(x.data - np.maximum(full, -1e30)),)

        out = full if keepdim else full.squeeze() if dim is None else full.squeeze(dim)
        return record(out, (x,), backward)

    def max(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor | Extreme:
        """Return the largest element; along one axis also where it stands.

        Parameters
        ----------
        dim, axis : int, tuple of int or None
            An int returns ``(values, indices)``; a tuple, or None for all axes, the values only.
        keepdim : bool
            Keep the reduced axes with length 1.

        Notes
        -----
        As in PyTorch, equal largest elements share the gradient equally, but along one axis the
        element at ``indices`` gets all of it. Of two tensors, ``where(a > b, a, b)`` holds the
        larger elements.
        """
        return _extreme(self, dims(dim, axis, self.ndim, keepdim), keepdim, np.max, np.argmax)

    def min(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor | Extreme:
        """Return the smallest element; along one axis also where it stands (see `max`)."""
        return _extreme(self, dims(dim, axis, self.ndim, keepdim), keepdim, np.min, np.argmin)

    def argmax(
        self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
    ) -> Tensor:
        """Return where the largest element stands (without ``dim``: in the flattened tensor)."""
        return _place(self, dims(dim, axis, self.ndim, keepdim), keepdim, np.argmax)

    def argmin(
        self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
    ) -> Tensor:
        """Return where the smallest element stands (without ``dim``: in the flattened tensor)."""
        return _place(self, dims(dim, axis, self.ndim, keepdim), keepdim, np.argmin)

    def all(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return whether all elements over ``dim`` are true (not 0)."""
        return as_tensor(
            np.all(self.data, axis=dims(dim, axis, self.ndim, keepdim), keepdims=keepdim)
        )

    def any(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return whether any element over ``dim`` is true (not 0)."""
        return as_tensor(
            np.any(self.data, axis=dims(dim, axis, self.ndim, keepdim), keepdims=keepdim)
        )

    # ---- along one axis: as many elements as before --------------------------------------

    def cumsum(self, dim: int) -> Tensor:
        """Return at each place the sum of all elements along ``dim`` up to it."""
        dim = nth_axis(dim, self.ndim)

        def backward(g):  # each element counts in all sums from its place on
            return (np.flip(_cumsum(np.flip(g, dim), dim), dim),)

        return record(_cumsum(self.data, dim), (self,), backward)

    def sort(self, dim: int = -1, descending: bool = False) -> Extreme:
        """Return the elements in order along ``dim``, and where each of them stood before.

        Equal elements stay in their order.
        """
        dim = nth_axis(dim, self.ndim)
        if descending:  # turned round before and after, so that equal elements stay in order
            at = np.argsort(np.flip(self.data, dim), axis=dim, kind="stable")
            at = self.shape[dim] - 1 - np.flip(at, dim)
        else:
            at = np.argsort(self.data, axis=dim, kind="stable")
        return Extreme(self.gather(dim, at), as_tensor(at))

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> Extreme:
        """Return the ``k`` largest (or smallest) elements along ``dim``, the first first."""
        dim = nth_axis(dim, self.ndim)
        if not 0 <= k <= self.shape[dim]:
            raise ValueError(
                f"topk({k}, dim={dim}) of a tensor of shape {self.shape}: it needs a number from 0 "
                f"to {self.shape[dim]}"
            )
        first = (slice(None),) * dim + (slice(k),)
        values, indices = self.sort(dim, descending=largest)
        return Extreme(values[first], indices[first])


def _mean(a: np.ndarray, dim: Any, keepdims: bool = True) -> Any:
    return add_up(a, dim, keepdims) / count(a.shape, dim)


def _cumsum(a: np.ndarray, dim: int) -> np.ndarray:
    if a.dtype != np.float32:
        return a.cumsum(axis=dim, dtype=None if a.dtype.kind == "f" else np.int64)
    return a.cumsum(axis=dim, dtype=np.float64).astype(np.float32)  # see `add_up`


def _place(x: Tensor, dim: Any, keepdim: bool, arg: Callable) -> Tensor:
    _check_not_empty(x, dim)
    return as_tensor(arg(x.data, axis=dim, keepdims=keepdim))


def _check_not_empty(x: Tensor, dim: Any) -> None:
    if not x.data.size and count(x.shape, dim) == 0:
        raise ValueError(
            f"a tensor of shape {x.shape} has no elements over dim={dim}, and so no largest or "
            "smallest one: is a batch or a mask empty?"
        )


def _extreme(x: Tensor, dim: Any, keepdim: bool, pick: Callable, arg: Callable) -> Any:
    _check_not_empty(x, dim)
    if isinstance(dim, int):
        at = arg(x.data, axis=dim, keepdims=True)

        def backward(g):
            full = np.zeros_like(x.data)
            np.put_along_axis(full, at, restore(g, dim, keepdim), axis=dim)
            return (full,)

        values = np.take_along_axis(x.data, at, axis=dim)
        shown = (lambda a: a) if keepdim else (lambda a: a.squeeze(dim))
        return Extreme(record(shown(values), (x,), backward), as_tensor(shown(at)))

    best = pick(x.data, axis=dim, keepdims=True)

    def backward(g):
        ties = (x.data == best).astype(g.dtype)
        return (restore(g, dim, keepdim) * ties / ties.sum(axis=dim, keepdims=True),)

    return record(pick(x.data, axis=dim, keepdims=keepdim), (x,), backward)
