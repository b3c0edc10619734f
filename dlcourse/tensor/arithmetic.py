"""What ``+ - * / ** @``, ``==`` and their like do with tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.tensor.arrays import power, sum_to
from dlcourse.tensor.tape import (
    Node,
    as_tensor,
    constant,
    floating,
    is_grad_enabled,
    operands,
    record,
    unbroadcast,
)

if TYPE_CHECKING:
    from dlcourse.tensor.core import Tensor

__all__ = ["Arithmetic"]


class Arithmetic(Node):
    """`Tensor`'s operators."""

    __slots__ = ()

    def __add__(self, other: Any) -> Tensor:
        a, b = operands(self, other)

        def backward(g):
            return unbroadcast(g, a), unbroadcast(g, b)

        return record(_elementwise(np.add, a, b), (a, b), backward)

    def __sub__(self, other: Any) -> Tensor:
        a, b = operands(self, other)

        def backward(g):
            return unbroadcast(g, a), unbroadcast(-g, b) if b.requires_grad else None

        return record(_elementwise(np.subtract, a, b), (a, b), backward)

    def __mul__(self, other: Any) -> Tensor:
        a, b = operands(self, other)

        def backward(g):
            return (
                unbroadcast(g * b.data, a) if a.requires_grad else None,
                unbroadcast(g * a.data, b) if b.requires_grad else None,
            )

        return record(_elementwise(np.multiply, a, b), (a, b), backward)

    def __truediv__(self, other: Any) -> Tensor:
        a, b = (floating(t) for t in operands(self, other))
        out = _elementwise(np.divide, a, b)

        def backward(g):
            g = g / b.data
            return unbroadcast(g, a), unbroadcast(-g * out, b) if b.requires_grad else None

        return record(out, (a, b), backward)

    def __pow__(self, other: Any) -> Tensor:
        a, b = operands(self, other)
        if a.data.dtype.kind in "iu" and b.data.dtype.kind == "i" and (b.data < 0).any():
            raise ValueError(
                f"{a.dtype} to a negative power is no whole number: convert the base first, "
                "Tensor(x.data.astype(np.float32))"
            )
        out = _elementwise(power, a, b)
        if out is a.data:  # x ** 1, which must not change when x does
            out = out.copy()

        def backward(g):
            ga = gb = None
            with np.errstate(divide="ignore", invalid="ignore"):
                if a.requires_grad:  # b a^(b-1); a constant where b = 0, even at a = 0
                    slope = b.data * power(a.data, b.data - 1)
                    if not b.data.all():
                        slope = np.where(b.data == 0, np.zeros_like(slope), slope)
                    ga = unbroadcast(g * slope, a)
                if b.requires_grad:  # a^b log a; 0^b stays 0 for b >= 0
                    flat = (a.data == 0) & (b.data >= 0)
                    slope = np.where(flat, np.zeros_like(out), out * np.log(a.data))
                    gb = unbroadcast(g * slope, b)
            return ga, gb

        return record(out, (a, b), backward)

    def __matmul__(self, other: Any) -> Tensor:
        a, b = operands(self, other)
        if not (a.ndim and b.ndim) or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
            raise ValueError(
                f"{a.shape} @ {b.shape}: the last axis of the left must equal the last but one "
                "of the right (rows times columns); is one of them to be transposed?"
            )
        rows = a.data if a.ndim > 1 else a.data[None, :]
        cols = b.data if b.ndim > 1 else b.data[:, None]

        def backward(g):
            if a.ndim == 1:
                g = np.expand_dims(g, -1 if b.ndim == 1 else -2)
            if b.ndim == 1:
                g = np.expand_dims(g, -1)
            ga = gb = None
            if a.requires_grad:
                ga = sum_to(g @ cols.swapaxes(-1, -2), rows.shape).reshape(a.shape)
            if b.requires_grad:
                gb = sum_to(rows.swapaxes(-1, -2) @ g, cols.shape).reshape(b.shape)
            return ga, gb

        return record(_elementwise(np.matmul, a, b), (a, b), backward)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Tensor:
        return constant(other, self) - self

    def __rtruediv__(self, other: Any) -> Tensor:
        return constant(other, self) / self

    def __rpow__(self, other: Any) -> Tensor:
        return constant(other, self) ** self

    def __rmatmul__(self, other: Any) -> Tensor:
        return constant(other, self) @ self

    def __neg__(self) -> Tensor:
        return record(-self.data, (self,), lambda g: (-g,))

    def __iadd__(self, other: Any) -> Tensor:
        return self._in_place(operator.iadd, operator.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return self._in_place(operator.isub, operator.sub, other)

    def __imul__(self, other: Any) -> Tensor:
        return self._in_place(operator.imul, operator.mul, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._in_place(operator.itruediv, operator.truediv, other)

    def _in_place(self, in_place: Callable, out_of_place: Callable, other: Any) -> Tensor:
        """``w -= lr * w.grad`` changes the tensor itself; where it is recorded, makes a new one."""
        if is_grad_enabled() and self.requires_grad and self._backward is None:
            raise RuntimeError(
                "a leaf with requires_grad=True cannot be changed in place while operations are "
                "recorded: update it inside `with no_grad():`"
            )
        _, other = operands(self, other)
        if self._backward is not None or (is_grad_enabled() and other.requires_grad):
            return out_of_place(self, other)
        try:
            in_place(self.data, other.data)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{in_place.__name__} of a tensor of {self.dtype} and shape {self.shape} with one "
                f"of {other.dtype} and {other.shape}: the result has no place in the first "
                f"({error}); make a new tensor, x = x + y"
            ) from None
        self._touch()
        return self

    def matmul(self, other: Any) -> Tensor:
        """Return the matrix product, as ``@`` does."""
        return self @ other

    def dot(self, other: Any) -> Tensor:
        """Return the sum of products of two tensors of one axis."""
        return _vector(self) @ _vector(other)

    def outer(self, vec2: Any) -> Tensor:
        """Return all products of the elements of two tensors of one axis, a matrix."""
        return _vector(self)[:, None] * _vector(vec2)

    def pow(self, exponent: Any) -> Tensor:
        """Return each element to a power, as ``**`` does."""
        return self**exponent

    # ---- comparisons and logic: without gradient -----------------------------------------

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return self._compare(np.equal, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return self._compare(np.not_equal, other)

    def __lt__(self, other: Any) -> Tensor:
        return self._compare(np.less, other)

    def __le__(self, other: Any) -> Tensor:
        return self._compare(np.less_equal, other)

    def __gt__(self, other: Any) -> Tensor:
        return self._compare(np.greater, other)

    def __ge__(self, other: Any) -> Tensor:
        return self._compare(np.greater_equal, other)

    def _compare(self, ufunc: np.ufunc, other: Any) -> Tensor:
        if other is None or isinstance(other, str):
            return NotImplemented
        return as_tensor(_elementwise(ufunc, *operands(self, other)))

    def __and__(self, other: Any) -> Tensor:
        return self._logic(np.bitwise_and, other)

    def __or__(self, other: Any) -> Tensor:
        return self._logic(np.bitwise_or, other)

    def __xor__(self, other: Any) -> Tensor:
        return self._logic(np.bitwise_xor, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Tensor:
        return self._logic(lambda a, _: np.invert(a), False)

    def _logic(self, ufunc: Callable, other: Any) -> Tensor:
        a, b = operands(self, other)
        if not {a.dtype.kind, b.dtype.kind} <= set("iub"):
            raise ValueError(
                f"& | ^ ~ of {a.dtype} and {b.dtype}: they need booleans, such as x > 0, or "
                "integers; put comparisons in brackets, (x > 0) & (x < 1)"
            )
        return as_tensor(_elementwise(ufunc, a, b))

    __hash__ = object.__hash__  # by identity, as in PyTorch: == compares values


def _elementwise(ufunc: Callable, a: Tensor, b: Tensor) -> np.ndarray:
    try:
        return ufunc(a.data, b.data)
    except ValueError:
        raise ValueError(
            f"{ufunc.__name__.strip('_')} of shapes {a.shape} and {b.shape}: compared from the "
            "last axis backwards, lengths must be equal or 1; reshape or unsqueeze one of them"
        ) from None


def _vector(x: Any) -> Tensor:
    x = as_tensor(x)
    if x.ndim != 1:
        raise ValueError(
            f"dot() and outer() got a tensor of shape {x.shape}: it must have one axis; matrices "
            "are multiplied by @"
        )
    return x
