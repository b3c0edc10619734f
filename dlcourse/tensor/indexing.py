"""Parts of a tensor."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.tensor.arrays import index_part, is_number, nth_axis, plain, single_numbers
from dlcourse.tensor.tape import Node, Part, is_grad_enabled, record

if TYPE_CHECKING:
    from dlcourse.tensor.core import Tensor

__all__ = ["Indexing"]


class Indexing(Node):
    """`Tensor`'s ways to take parts."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Tensor:
        index = _parts(index)
        if first := single_numbers(index):  # as in PyTorch; numpy would take them for arrays
            return self[first][tuple(p for p in index if not is_number(p))]
        try:
            out = self.data[index]
        except IndexError as error:
            raise IndexError(f"an index into a tensor of shape {self.shape}: {error}") from None
        return self._share(record(out, (self,), lambda g: (Part(self.data, index, g),)))

    def __setitem__(self, index: Any, value: Any) -> None:
        if is_grad_enabled() and (self.requires_grad or getattr(value, "requires_grad", False)):
            raise RuntimeError(
                "x[…] = value is not recorded, and here a gradient would be lost: use where(mask, "
                "value, x), x.masked_fill(mask, number), cat or stack; to set a parameter's "
                "values, write inside `with no_grad():`"
            )
        index, data = _parts(index), self.data
        if first := single_numbers(index):
            index, data = tuple(p for p in index if not is_number(p)), data[first]
        try:
            data[index] = plain(value)
        except (IndexError, ValueError) as error:
            raise type(error)(f"x[…] = value of a tensor of shape {self.shape}: {error}") from None
        self._touch()

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("a tensor of no axes has no parts to go through")
        return iter(self.unbind())

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """Return all slices along ``dim``, without that axis."""
        before = (slice(None),) * nth_axis(dim, self.ndim)
        return tuple(self[(*before, i)] for i in range(self.shape[len(before)]))

    def gather(self, dim: int, index: Any) -> Tensor:
        """Pick along ``dim``: of a matrix with ``dim=1``, ``out[i, j] = x[i, index[i, j]]``.

        Parameters
        ----------
        dim : int
            The axis that ``index`` counts along.
        index : Tensor or array of integers
            As many axes as the tensor has, none of the others longer than its own.

        Raises
        ------
        ValueError
            If the axes do not fit, or ``index`` is not whole.
        """
        dim, at = nth_axis(dim, self.ndim), np.asarray(plain(index))
        fits = at.dtype.kind in "iu" and at.ndim == self.ndim
        if not fits or any(at.shape[i] > n for i, n in enumerate(self.shape) if i != dim):
            raise ValueError(
                f"gather(dim={dim}) of a tensor of shape {self.shape} got an index of {at.dtype} "
                f"and shape {at.shape}: it needs integers, and no axis but {dim} longer than here"
            )
        if at.size and not (at.min() >= 0 and at.max() < self.shape[dim]):
            raise IndexError(
                f"gather(dim={dim}) of a tensor of shape {self.shape} got indices from {at.min()} "
                f"to {at.max()}: they must be 0 to {self.shape[dim] - 1}"
            )
        places: list[Any] = list(np.ogrid[tuple(map(slice, at.shape))])
        places[dim] = at
        return self[tuple(places)]

    def split(
        self, split_size_or_sections: int | Sequence[int], dim: int = 0
    ) -> tuple[Tensor, ...]:
        """Return pieces along ``dim``: of one length (the last may be shorter) or of several.

        Raises
        ------
        ValueError
            If a length is not a positive number, or the lengths given do not add up.
        TypeError
            If it is no whole number.
        """
        dim = nth_axis(dim, self.ndim)
        n, sizes = self.shape[dim], split_size_or_sections
        if np.ndim(sizes) == 0:
            sizes = operator.index(sizes)
            whole = [sizes] * (n // sizes) if sizes > 0 else [-1]
            sizes = [*whole, n - sum(whole)] if sum(whole) < n or not whole else whole
        sizes = [operator.index(size) for size in sizes]
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise ValueError(
                f"split({split_size_or_sections}, dim={dim}) of a tensor of shape {self.shape}: "
                f"it needs a length from 1, or lengths that add up to {n}"
            )
        before, ends = (slice(None),) * dim, list(itertools.accumulate(sizes, initial=0))
        return tuple(self[(*before, slice(*ab))] for ab in itertools.pairwise(ends))

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """Return ``chunks`` pieces of one length along ``dim``; the last may be shorter."""
        if operator.index(chunks) < 1:
            raise ValueError(f"chunk({chunks}): it needs a whole number from 1")
        n = self.shape[nth_axis(dim, self.ndim)]
        return self.split(max(1, -(-n // chunks)), dim)


def _parts(index: Any) -> tuple:
    return tuple(index_part(part) for part in (index if isinstance(index, tuple) else (index,)))
