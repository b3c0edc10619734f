"""Parts of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.tensor.arrays import index_part, is_number, nth_axis, single_numbers
from dlcourse.tensor.tape import Node, record

if TYPE_CHECKING:
    from dlcourse.tensor.core import Tensor

__all__ = ["Indexing"]


class Indexing(Node):
    """`Tensor`'s ways to take parts."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        index = tuple(index_part(part) for part in parts)
        if first := single_numbers(index):  # as in PyTorch; numpy would take them for arrays
            return self[first][tuple(p for p in index if not is_number(p))]
        # only arrays of integers can name an element twice; everything else is assigned at once
        once = not any(isinstance(p, np.ndarray) and p.dtype != bool for p in index)

        def backward(g):
            full = np.zeros_like(self.data)
            if once:
                full[index] = g
            else:
                np.add.at(full, index, g)
            return (full,)

        return record(self.data[index], (self,), backward)

    def split(
        self, split_size_or_sections: int | Sequence[int], dim: int = 0
    ) -> tuple[Tensor, ...]:
        """Return pieces along ``dim``: of one length (the last may be shorter) or of several.

        Raises
        ------
        ValueError
            If a length is not a positive number, or the lengths given do not add up.
        """
        dim = nth_axis(dim, self.ndim)
        n, sizes = self.shape[dim], split_size_or_sections
        if isinstance(sizes, (int, np.integer)):
            whole = [int(sizes)] * (n // sizes) if sizes > 0 else [-1]
            sizes = [*whole, n - sum(whole)] if sum(whole) < n or not whole else whole
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise ValueError(
                f"split({split_size_or_sections}, dim={dim}) of a tensor of shape {self.shape}: "
                f"it needs a length from 1, or lengths that add up to {n}"
            )
        return _pieces(self, list(sizes), dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """Return ``chunks`` pieces of one length along ``dim``; the last may be shorter."""
        if chunks < 1:
            raise ValueError(f"chunk({chunks}): it needs a whole number from 1")
        n = self.shape[nth_axis(dim, self.ndim)]
        return self.split(max(1, -(-n // chunks)), dim)


def _pieces(x: Tensor, sizes: list[int], dim: int) -> tuple[Tensor, ...]:
    """Cut x into views, whose gradients are joined once all have come."""
    ends = np.cumsum(sizes)
    views = np.split(x.data, ends[:-1], axis=dim)
    came: dict[int, np.ndarray] = {}

    def join(g):
        parts = [came.get(i, np.broadcast_to(g, v.shape)) for i, v in enumerate(views)]
        return (np.concatenate(parts, axis=dim),)

    # The whole stands between x and the pieces; they only tell it that a gradient came (by a 0).
    whole = record(np.zeros((), x.dtype), (x,), join)

    def piece(i):
        def backward(g):
            came[i] = g
            return (np.zeros((), g.dtype),)

        return record(views[i], (whole,), backward)

    return tuple(piece(i) for i in range(len(views)))
