"""Operations on several tensors: join them, choose between them, multiply them by their axes."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse.tensor.arrays import as_mask, nth_axis, sum_to
from dlcourse.tensor.core import Tensor
from dlcourse.tensor.tape import as_tensor, operands, record, unbroadcast

__all__ = ["cat", "einsum", "stack", "where"]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along an axis that they have; all others must be equal."""
    tensors = _alike("cat", tensors)
    dim = _joined("cat", tensors, dim, new=False)
    ends = np.cumsum([t.shape[dim] for t in tensors])[:-1]
    out = np.concatenate([t.data for t in tensors], axis=dim)
    return record(out, tensors, lambda g: tuple(np.split(g, ends, axis=dim)))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis."""
    tensors = _alike("stack", tensors)
    dim = _joined("stack", tensors, dim, new=True)
    out = np.stack([t.data for t in tensors], axis=dim)
    return record(out, tensors, lambda g: tuple(np.moveaxis(g, dim, 0)))


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Multiply and add up by the names of axes (Einstein's notation), as `numpy.einsum` does.

    Parameters
    ----------
    equation : str
        A letter for each axis of each operand, and after ``->`` of the result: letters that are
        missing there are summed over. ``...`` stands for any axes.
    *operands : Tensor
        As many as the equation has parts before ``->``.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> a, b = Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]])
    >>> einsum("ij,jk->ik", a, b).item()
    11.0

    Notes
    -----
    Each entry of the result is a sum of products, so the gradient of one operand is a sum of
    products too: of the result's gradient and the other operands, with the letters that only this
    operand has repeated.
    """
    tensors = _alike("einsum", operands)
    inputs, result = _letters(equation, tensors)
    arrays = [t.data for t in tensors]
    size: dict[str, int] = {}
    for names, a in zip(inputs, arrays, strict=True):
        for letter, n in zip(names, a.shape, strict=True):
            size[letter] = max(n, size.get(letter, n)) if n != 0 else 0
    try:
        out = np.einsum(f"{','.join(inputs)}->{result}", *arrays, optimize=True)
        out = out.copy() if len(arrays) == 1 else out  # of one operand numpy may give a view
    except ValueError as error:
        shapes = ", ".join(str(t.shape) for t in tensors)
        raise ValueError(f"einsum({equation!r}) of shapes {shapes}: {error}") from None

    def gradient(i, g):
        own = "".join(dict.fromkeys(inputs[i]))
        names, factors = [result, *inputs[:i], *inputs[i + 1 :]], [g, *arrays[:i], *arrays[i + 1 :]]
        alone = "".join(letter for letter in own if letter not in "".join(names))
        names.append(alone)
        factors.append(np.ones([size[letter] for letter in alone], g.dtype))
        product = np.einsum(f"{','.join(names)}->{own}", *factors, optimize=True)
        full = np.zeros_like(arrays[i])
        if not own:  # a number: einsum would give no view
            return sum_to(np.asarray(product), ())
        diagonal = np.einsum(f"{inputs[i]}->{own}", full)  # a view: of "ii" the diagonal, else all
        diagonal[...] = sum_to(product, diagonal.shape)
        return full

    def backward(g):
        return tuple(gradient(i, g) if t.requires_grad else None for i, t in enumerate(tensors))

    return record(out, tensors, backward)


def where(condition: Any, input: Any, other: Any) -> Tensor:
    """Take each element from ``input`` where ``condition`` holds, else from ``other``."""
    mask = as_mask("where", condition)
    if isinstance(input, np.ndarray) or not isinstance(other, (Tensor, np.ndarray)):
        input = as_tensor(input)  # one of the two is a tensor, whose dtype a number takes
    a, b = operands(input, other if isinstance(input, Tensor) else as_tensor(other))

    def backward(g):  # not g * mask: an infinite gradient on the side not taken stays out
        return (
            unbroadcast(np.where(mask, g, 0), a) if a.requires_grad else None,
            unbroadcast(np.where(mask, 0, g), b) if b.requires_grad else None,
        )

    try:
        out = np.where(mask, a.data, b.data)
    except ValueError:
        raise ValueError(
            f"where() of a condition of shape {mask.shape} and values of {a.shape} and {b.shape}: "
            "compared from the last axis backwards, lengths must be equal or 1"
        ) from None
    return record(out, (a, b), backward)


def _alike(name: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    tensors = tuple(as_tensor(t) for t in tensors)
    kinds = sorted({str(t.dtype) for t in tensors})
    if len(kinds) != 1:
        raise ValueError(
            f"{name}() got {len(tensors)} tensors of dtypes {', '.join(kinds) or 'none'}: it needs "
            "at least one, and all of one dtype; convert with Tensor(x.data.astype(np.float32))"
        )
    return tensors


def _joined(name: str, tensors: tuple[Tensor, ...], dim: int, new: bool) -> int:
    """Return the axis to join along, counted from the front; all shapes must fit."""
    shapes = [t.shape for t in tensors]
    if shapes[0] == () and not new:
        raise ValueError(f"{name}() got tensors without axes: join single numbers with stack()")
    dim = nth_axis(dim, len(shapes[0]) + new)
    if len({(len(s), s if new else s[:dim] + s[dim + 1 :]) for s in shapes}) > 1:
        raise ValueError(
            f"{name}(dim={dim}) got shapes {', '.join(map(str, shapes))}: they must be equal"
            + ("" if new else f" in all axes but {dim}")
        )
    return dim


def _letters(equation: str, tensors: tuple[Tensor, ...]) -> tuple[list[str], str]:
    """Write out ``...`` and the result: the letters of each operand, and of the result."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(tensors):
        raise ValueError(
            f"einsum({equation!r}) names {len(inputs)} operands, but got {len(tensors)}"
        )
    extra = [
        t.ndim - len(names.replace("...", "")) for names, t in zip(inputs, tensors, strict=True)
    ]
    for names, t, n in zip(inputs, tensors, extra, strict=True):
        if n < 0 or (n > 0 and "..." not in names):
            raise ValueError(
                f"einsum({equation!r}) names {t.ndim - n} axes of an operand of shape {t.shape}: "
                "it needs one letter for each axis"
            )
    most = max(extra)
    free = "".join(c for c in string.ascii_letters if c not in equation)[:most]
    inputs = [i.replace("...", free[most - n :]) for i, n in zip(inputs, extra, strict=True)]
    if not arrow:  # letters that appear once, in alphabetic order
        named = "".join(inputs)
        result = "..." + "".join(sorted(c for c in set(named) - set(free) if named.count(c) == 1))
    return inputs, result.replace("...", free)
