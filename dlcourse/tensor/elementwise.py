"""Functions of each element."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.tensor.arrays import as_mask
from dlcourse.tensor.tape import Node, as_tensor, constant, floating, operands, record, unbroadcast

if TYPE_CHECKING:
    from dlcourse.tensor.core import Tensor

__all__ = ["Elementwise"]


class Elementwise(Node):
    """`Tensor`'s functions of each element."""

    __slots__ = ()

    def exp(self) -> Tensor:
        """Return e to the power of each element."""
        out = np.exp(floating(self).data)
        return record(out, (self,), lambda g: (g * out,))

    def log(self) -> Tensor:
        """Return the natural logarithm of each element."""
        x = floating(self).data
        return record(np.log(x), (self,), lambda g: (g / x,))

    def sqrt(self) -> Tensor:
        """Return the square root of each element."""
        out = np.sqrt(floating(self).data)
        return record(out, (self,), lambda g: (g / (2 * out),))

    def sin(self) -> Tensor:
        """Return the sine of each element."""
        x = floating(self).data
        return record(np.sin(x), (self,), lambda g: (g * np.cos(x),))

    def cos(self) -> Tensor:
        """Return the cosine of each element."""
        x = floating(self).data
        return record(np.cos(x), (self,), lambda g: (-g * np.sin(x),))

    def abs(self) -> Tensor:
        """Return the absolute value of each element; its slope at 0 is taken as 0."""
        return record(np.abs(self.data), (self,), lambda g: (g * np.sign(self.data),))

    __abs__ = abs

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """Return each element, limited to the range from ``min`` to ``max`` (numbers or tensors).

        Elements on or inside the limits pass the gradient on; outside, the limit gets it.
        """
        if min is None and max is None:
            raise ValueError("clip() needs a min, a max or both")

        x = self
        for limit in (min, max):  # integers with limits that are not become floats
            x = x if limit is None else operands(x, limit)[0]
        low, high = (None if v is None else operands(x, v)[1] for v in (min, max))
        try:
            np.broadcast_shapes(*(t.shape for t in (x, low, high) if t is not None))
        except ValueError:
            given = " and ".join(str(t.shape) for t in (low, high) if t is not None)
            raise ValueError(
                f"clip() of a tensor of shape {self.shape} got limits of shape {given}: compared "
                "from the last axis backwards, lengths must be equal or 1"
            ) from None
        raised = x.data if low is None else np.maximum(x.data, low.data)
        out = raised if high is None else np.minimum(raised, high.data)
        parents = tuple(t for t in (x, low, high) if t is not None)

        def backward(g):
            above = np.zeros(g.shape, bool) if high is None else raised > high.data
            below = ~above & (raised > x.data)
            taken = [(x, ~(above | below)), (low, below), (high, above)]
            return tuple(unbroadcast(g * side, t) for t, side in taken if t is not None)

        return record(out, parents, backward)

    clamp = clip

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """Return each element, or the number ``value`` where ``mask`` (booleans, broadcast) holds.

        Several values go in by ``where(mask, values, x)``.
        """
        mask = as_mask("masked_fill", mask)
        number = value if isinstance(value, Node) else constant(value, self)
        if number.data.ndim:
            raise ValueError(
                f"masked_fill() got a value of shape {number.data.shape}: it must be a single "
                "number; for several use where(mask, values, x)"
            )
        if self.dtype.kind in "iu" and not np.isfinite(number.data):
            raise ValueError(
                f"masked_fill() got {number.data} for a tensor of {self.dtype}: whole numbers have "
                "no infinity; convert them first, Tensor(x.data.astype(np.float32))"
            )
        try:
            out = np.where(mask, number.data.astype(self.dtype), self.data)
        except ValueError:
            raise ValueError(
                f"masked_fill() of a tensor of shape {self.shape} got a mask of shape "
                f"{mask.shape}: compared from the last axis backwards, lengths must be equal or 1"
            ) from None

        def backward(g):
            taken = unbroadcast(np.where(mask, g, 0).astype(number.dtype), number)
            return unbroadcast(np.where(mask, 0, g), self), taken

        return record(out, (self, number), backward)

    def tril(self, diagonal: int = 0) -> Tensor:
        """Return the last two axes' lower triangle, up to ``diagonal``; 0 above it."""
        return _triangle(self, np.tril, diagonal)

    def triu(self, diagonal: int = 0) -> Tensor:
        """Return the last two axes' upper triangle, from ``diagonal``; 0 below it."""
        return _triangle(self, np.triu, diagonal)

    def clone(self) -> Tensor:
        """Return a copy, which passes its gradient on."""
        return record(self.data.copy(), (self,), lambda g: (g,))

    def double(self) -> Tensor:
        """Return each element as float64."""
        return _converted(self, np.float64)

    def long(self) -> Tensor:
        """Return each element as int64, cut off towards 0, without gradient."""
        return as_tensor(self.data.astype(np.int64))

    def float(self) -> Tensor:
        """Return each element as float32."""
        return _converted(self, np.float32)


def _triangle(x: Tensor, part: Callable, diagonal: int) -> Tensor:
    if x.ndim < 2:
        raise ValueError(f"{part.__name__}() of a tensor of shape {x.shape}: it needs 2 axes")
    return record(part(x.data, diagonal), (x,), lambda g: (part(g, diagonal),))


def _converted(x: Node, dtype: Any) -> Tensor:
    """Return x in another kind of numbers; x itself if it has it, as in PyTorch."""
    x = as_tensor(x)
    if x.dtype == dtype:
        return x
    return record(x.data.astype(dtype), (x,), lambda g: (g.astype(x.dtype),))
