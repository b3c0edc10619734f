"""What the operations need to know of shapes and axes, in plain numpy."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

Dim = int | Sequence[int] | None


def power(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Small whole powers by multiplication, and roots: np.power is up to 20 times slower."""
    if n.ndim == 0:
        if n == 1:
            return x
        if n == 2:
            return x * x
        if n == 3:
            return x * x * x
        if n == 0.5:
            return np.sqrt(x)
        if n == -0.5:
            return 1 / np.sqrt(x)
    return np.power(x, n)


def add_to_rows(full: np.ndarray, rows: np.ndarray, g: np.ndarray) -> None:
    """``full[rows] += g``, where a row may be named several times; ``full`` is contiguous.

    With the places in a flat array np.add.at is several times quicker than with rows.
    """
    n = math.prod(full.shape[1:])
    places = rows.astype(np.intp).reshape(-1, 1) * n + np.arange(n)
    np.add.at(full.reshape(-1), places.reshape(-1), g.reshape(-1))


@functools.lru_cache(maxsize=32)
def ones(n: int, dtype: np.dtype) -> np.ndarray:
    """Return n ones, to be read only: a product with them is a sum, and quicker than `sum`."""
    array = np.ones(n, dtype)
    array.flags.writeable = False
    return array


def add_up(a: np.ndarray, dim: int | tuple[int, ...] | None, keepdims: bool = False) -> Any:
    """Return ``a.sum(dim)``; of thousands of float32 numbers by way of float64.

    Along any axis but the last numpy adds them one by one: of a million, it would lose two digits.
    Whole numbers become int64, as in PyTorch: bytes would give a sum that knows no number below 0.
    """
    long = dim is not None and a.dtype == np.float32 and count(a.shape, dim) > 4096
    wide = np.float64 if long else np.int64 if a.dtype.kind in "biu" else None
    total = a.sum(axis=dim, keepdims=keepdims, dtype=wide)
    return total.astype(a.dtype) if long else total


def sum_to(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Add up what broadcasting had repeated, so that ``g`` has ``shape`` again."""
    if g.shape == shape:
        return g
    if g.ndim > len(shape):
        g = add_up(g, tuple(range(g.ndim - len(shape))))
    ones = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return add_up(g, ones, keepdims=True) if ones else g


def nth_axis(dim: int, ndim: int) -> int:
    """Return an axis counted from the front; -1 is the last."""
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise ValueError(f"an axis must be a whole number, not a {type(dim).__name__}")
    if not -ndim <= dim < ndim:
        must = f"it must be {-ndim} to {ndim - 1}" if ndim else "it has none"
        raise ValueError(f"axis {dim} of a tensor of {ndim} axes: {must}")
    return int(dim) % ndim


def dims(dim: Dim, axis: Dim, ndim: int, keepdim: bool) -> int | tuple[int, ...] | None:
    """Return ``dim``, or ``axis`` in its place, counted from the front."""
    if not isinstance(keepdim, (bool, np.bool_)):
        raise ValueError(
            f"keepdim={keepdim!r} must be True or False; several axes go into one tuple, "
            f"dim=({dim}, {keepdim})"
        )
    if dim is not None and axis is not None:
        raise ValueError(f"got dim={dim} and axis={axis}: they are two words for one thing")
    dim = axis if dim is None else dim
    if dim is None or (ndim == 0 and dim in (0, -1)):  # a single number, as in PyTorch
        return None
    if not isinstance(dim, (tuple, list)):
        return nth_axis(dim, ndim)
    axes = tuple(nth_axis(d, ndim) for d in dim)
    if len(set(axes)) < len(axes):
        raise ValueError(f"axes {axes}: each may be named only once")
    return axes or None  # of no axes PyTorch makes all


def count(shape: tuple[int, ...], dim: int | tuple[int, ...] | None) -> int:
    """Return how many elements a reduction over ``dim`` takes together."""
    axes = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    return int(np.prod([shape[a] for a in axes]))


def degrees_of_freedom(
    shape: tuple[int, ...], dim: int | tuple[int, ...] | None, correction: int
) -> int:
    """Return what a variance divides by: that number less ``correction``, at least 1."""
    dof = count(shape, dim) - correction
    if dof <= 0:
        raise ValueError(
            f"the variance of {count(shape, dim)} elements with correction={correction} divides by "
            f"{dof}: it needs more elements, or correction=0"
        )
    return dof


def restore(g: np.ndarray, dim: int | tuple[int, ...] | None, keepdim: bool) -> np.ndarray:
    """Give a reduced gradient its lost axes back, with length 1."""
    return g if keepdim or dim is None else np.expand_dims(g, dim)


def flat(args: tuple) -> tuple[int, ...]:
    """Shapes may be given as reshape(2, 3) or reshape((2, 3))."""
    if len(args) == 1 and not isinstance(args[0], (int, np.integer)):
        args = tuple(args[0])
    return tuple(operator.index(a) for a in args)


def index_part(part: Any) -> Any:
    """Return a part of an index as numpy wants it: tensors and all kinds of lists as arrays."""
    part = plain(part)
    if isinstance(part, np.ndarray) and part.ndim == 0 and part.dtype != bool:
        return part[()]  # a number
    if part is None or part is ... or isinstance(part, (slice, int, np.integer, np.ndarray)):
        return part
    part = np.asarray(part)
    return part if part.size else part.astype(int)


def is_number(part: Any) -> bool:
    """Return whether a part of an index picks one place along an axis."""
    return isinstance(part, (int, np.integer)) and not isinstance(part, bool)


def single_numbers(index: tuple) -> tuple:
    """Return what picks the single numbers of an index that has arrays too, or nothing.

    ``x[0, :, [1, 2]]`` is ``x[0][:, [1, 2]]`` in PyTorch, while numpy puts the array's axis first.
    """
    if not any(map(is_number, index)) or not any(isinstance(p, np.ndarray) for p in index):
        return ()
    first: list[Any] = []
    for part in index:
        if is_number(part) or part is ...:
            first.append(part)
        elif part is not None:  # an array of booleans stands for as many axes as it has itself
            booleans = isinstance(part, np.ndarray) and part.dtype == bool
            first += [slice(None)] * (part.ndim if booleans else 1)
    return tuple(first)


def as_mask(name: str, mask: Any) -> np.ndarray:
    """Return a mask as an array of booleans; other numbers are refused, as in PyTorch."""
    mask = np.asarray(plain(mask))
    if mask.dtype != bool:
        raise ValueError(
            f"{name}() got a mask of {mask.dtype}: it needs booleans, such as x > 0 or mask != 0"
        )
    return mask


def plain(x: Any) -> Any:
    """Return the array of a tensor, and anything else as it is."""
    return x.data if hasattr(x, "requires_grad") else x


def owner(array: np.ndarray) -> Any:
    """Return what owns the memory of an array: itself, or what it is a view of."""
    return array if array.base is None else array.base
