"""Functions of each element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcourse.tensor.tape import Node, floating, operands, record

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

    def abs(self) -> Tensor:
        """Return the absolute value of each element; its slope at 0 is taken as 0."""
        return record(np.abs(self.data), (self,), lambda g: (g * np.sign(self.data),))

    def clip(self, min: float | None = None, max: float | None = None) -> Tensor:
        """Return each element, limited to the range from ``min`` to ``max``.

        Elements on or inside the limits pass the gradient on; elements outside do not.
        """
        if min is None and max is None:
            raise ValueError("clip() needs a min, a max or both")

        low, high = (None if v is None else operands(self, v)[1].data for v in (min, max))

        def backward(g):
            inside = np.ones(self.shape, bool)
            if low is not None:
                inside &= self.data >= low
            if high is not None:
                inside &= self.data <= high
            return (g * inside,)

        return record(np.clip(self.data, low, high), (self,), backward)
