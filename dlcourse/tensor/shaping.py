"""Other shapes of the same elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlcourse.tensor.arrays import Dim, flat, nth_axis
from dlcourse.tensor.tape import Node, record, unbroadcast

if TYPE_CHECKING:
    from dlcourse.tensor.core import Tensor

__all__ = ["Shaping"]


class Shaping(Node):
    """`Tensor`'s changes of shape."""

    __slots__ = ()

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """Return the same elements in another shape; one length may be -1."""
        shape = flat(shape)
        if min(shape, default=0) < -1:  # numpy takes it for -1
            raise ValueError(f"reshape{shape}: a length is a number from 0, or -1 for what is left")
        try:
            out = self.data.reshape(shape)
        except ValueError:
            raise ValueError(
                f"reshape({', '.join(map(str, shape))}) of a tensor of shape {self.shape}: "
                f"it holds {self.data.size} elements, which do not fill that shape"
            ) from None
        return self._share(record(out, (self,), lambda g: (g.reshape(self.shape),)))

    view = reshape  # a copy where the order in memory needs one, unlike PyTorch's

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Return the axes from ``start_dim`` to ``end_dim`` as one: ``flatten(1)`` keeps N."""
        if self.ndim == 0:
            return self.reshape(1)
        start, end = (nth_axis(d, self.ndim) for d in (start_dim, end_dim))
        if end < start:
            raise ValueError(f"flatten() of the axes from {start} to {end}: there are none")
        middle = int(np.prod(self.shape[start : end + 1]))
        return self.reshape(*self.shape[:start], middle, *self.shape[end + 1 :])

    def permute(self, *dims: int | Sequence[int]) -> Tensor:
        """Return the axes in the order ``dims``."""
        dims = tuple(nth_axis(d, self.ndim) for d in flat(dims))
        if sorted(dims) != list(range(self.ndim)):
            raise ValueError(
                f"permute({', '.join(map(str, dims))}) of a tensor of shape {self.shape}: it must "
                f"name each of the {self.ndim} axes once"
            )
        back = tuple(np.argsort(dims))
        return self._share(
            record(self.data.transpose(dims), (self,), lambda g: (g.transpose(back),))
        )

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Return the tensor with two axes exchanged."""
        dim0, dim1 = nth_axis(dim0, self.ndim), nth_axis(dim1, self.ndim)
        out = self.data.swapaxes(dim0, dim1)
        return self._share(record(out, (self,), lambda g: (g.swapaxes(dim0, dim1),)))

    @property
    def T(self) -> Tensor:
        """The axes in reverse order; of a matrix, the transpose."""
        return self.permute(*range(self.ndim - 1, -1, -1))

    def squeeze(self, dim: Dim = None) -> Tensor:
        """Return the tensor without its axes of length 1 (or those named by ``dim``)."""
        dims = range(self.ndim) if dim is None else flat((dim,))
        gone = {a for a in (nth_axis(d, self.ndim) for d in dims) if self.shape[a] == 1}
        return self.reshape(tuple(n for i, n in enumerate(self.shape) if i not in gone))

    def unsqueeze(self, dim: int) -> Tensor:
        """Return the tensor with a new axis of length 1 at ``dim``."""
        at = nth_axis(dim, self.ndim + 1)
        return self.reshape(*self.shape[:at], 1, *self.shape[at:])

    def expand(self, *sizes: int | Sequence[int]) -> Tensor:
        """Return the tensor repeated along axes of length 1, without a copy; -1 keeps a length."""
        sizes = flat(sizes)
        own = (-1,) * (len(sizes) - self.ndim) + self.shape
        shape = tuple(n if s == -1 else s for s, n in zip(sizes, own, strict=False))
        try:
            out = np.broadcast_to(self.data, shape)
        except ValueError:
            raise ValueError(
                f"expand({', '.join(map(str, sizes))}) of a tensor of shape {self.shape}: "
                "only axes of length 1 and new ones in front can become longer"
            ) from None
        return self._share(record(out, (self,), lambda g: (unbroadcast(g, self),)))
