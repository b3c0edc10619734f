"""A numpy array that remembers how it was computed, so that it can say how to change it.

Every operation below is one function: the forward computation, then a closure ``backward`` that
maps the gradient of its result to the gradients of its inputs (its *parents*). `Tensor.backward`
walks from the result to the leaves, newest operation first, and is the only place where gradients
are added up.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from dlcourse.tensor.arrays import (
    Dim,
    count,
    degrees_of_freedom,
    dims,
    flat,
    index_part,
    is_number,
    nth_axis,
    owner,
    plain,
    power,
    restore,
    single_numbers,
    sum_to,
)

__all__ = [
    "Tensor",
    "as_tensor",
    "is_grad_enabled",
    "no_grad",
    "operands",
    "record",
    "unbroadcast",
]

# A context variable, not a global: threads and asyncio tasks each keep their own.
_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_counter = itertools.count(1)  # leaves have age 0


class no_grad(contextlib.ContextDecorator):
    """Compute without recording: ``with no_grad():``, or ``@no_grad()`` above a function.

    Examples
    --------
    >>> w = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        self._before: list[bool] = []  # a stack: the same one may be entered again inside itself

    def __enter__(self) -> None:
        self._before.append(_grad_enabled.get())
        _grad_enabled.set(False)

    def __exit__(self, *exc: object) -> None:
        _grad_enabled.set(self._before.pop())

    def __call__(self, func: Callable) -> Callable:
        """Decorate a function, or a generator function."""
        if not inspect.isgeneratorfunction(func):
            return super().__call__(func)

        @functools.wraps(func)
        def steps(*args: Any, **options: Any) -> Iterator[Any]:
            generator = func(*args, **options)
            while True:
                with no_grad():  # only while the generator runs, not while its caller does
                    try:
                        value = next(generator)
                    except StopIteration as end:
                        return end.value
                yield value

        return steps

    def _recreate_cm(self) -> no_grad:
        return no_grad()  # as a decorator: a fresh one per call, so that calls may nest


def is_grad_enabled() -> bool:
    """Whether operations are being recorded (False inside `no_grad`)."""
    return _grad_enabled.get()


class Extreme(NamedTuple):
    """What `Tensor.max` and `Tensor.min` along one axis return."""

    values: Tensor
    indices: Tensor


class Hook:
    """What `Tensor.register_hook` returns."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._hooks.pop(self._key, None)


class Tensor:
    """An array of numbers with an optional gradient.

    Parameters
    ----------
    data : array_like
        Lists and single numbers become float32; arrays keep their dtype (and, unless
        ``requires_grad``, their memory: no copy is made).
    requires_grad : bool
        Record every operation on this tensor, so that `backward` can fill in `grad`. The data are
        then copied: an optimiser that updates them never overwrites the array that they came from.

    Attributes
    ----------
    data : numpy.ndarray
        The values.
    grad : numpy.ndarray or None
        After `backward`: the derivative of the result by each value, in the shape of ``data``.
        A second `backward` adds to it; `zero_grad` forgets it.

    Raises
    ------
    ValueError
        If the data are not a rectangular array of numbers, or need a gradient but are integers.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)
    """

    __slots__ = (
        "__weakref__",
        "_age",
        "_backward",
        "_hooks",
        "_parents",
        "data",
        "grad",
        "requires_grad",
    )
    __array_ufunc__ = None  # so that array * tensor asks the tensor
    data: np.ndarray
    grad: np.ndarray | None
    requires_grad: bool

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = _as_array(data)
        if requires_grad:
            if self.data.dtype.kind != "f":
                raise ValueError(
                    f"Tensor of {self.data.dtype} cannot have a gradient: only floating-point "
                    "numbers can change a little; convert with x.astype(np.float32)"
                )
            self.data = self.data.copy()
        self.requires_grad = requires_grad
        self.grad = None
        self._parents = ()
        self._backward = None
        self._hooks = None
        self._age = 0

    # ---- the walk ------------------------------------------------------------------------

    def backward(self, gradient: Any = None) -> None:
        """Fill in `grad` of every leaf that this tensor was computed from.

        Parameters
        ----------
        gradient : array_like, optional
            The derivative of what is finally wanted by this tensor, in its shape. A tensor of one
            element needs none: it is 1.

        Raises
        ------
        RuntimeError
            If nothing was recorded, or it was walked already: the records are freed on the way.
        ValueError
            If ``gradient`` is missing or of another shape.

        Notes
        -----
        An operation is newer than its inputs, so walking from the newest to the oldest meets
        each one only after everything computed from it (reverse accumulation, Linnainmaa 1970).
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward() has nothing to do: no input of this tensor has requires_grad=True "
                "(or it was computed under no_grad)"
            )
        seed = self._first_gradient(gradient)
        grads = {id(self): seed}
        owners = {id(owner(seed))}  # memory handed out already: a leaf's grad is its own
        nodes = _reachable(self)
        while nodes:  # popping lets go of each node, so that memory falls on the way
            node = nodes.pop()
            g = grads.pop(id(node), None)
            if g is None:
                continue
            if node._hooks is not None:
                g = node._hooked(g)
            if node._backward is None:
                node._receive(g, owners)
                continue
            for parent, g_parent in zip(node._parents, node._backward(g), strict=True):
                if g_parent is not None and parent.requires_grad:
                    key = id(parent)
                    # a new array, never +=: the same array may have been handed to two parents
                    grads[key] = grads[key] + g_parent if key in grads else g_parent
            node._backward, node._parents = _walked, ()

    def _first_gradient(self, gradient: Any) -> np.ndarray:
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(
                    f"backward() of a tensor of shape {self.shape} needs the gradient to start "
                    "from; a single number does not: call it on the loss, x.sum() or x.mean()"
                )
            return np.ones_like(self.data)
        gradient = np.asarray(plain(gradient), self.data.dtype)
        if gradient.shape != self.shape:
            raise ValueError(
                f"backward() got a gradient of shape {gradient.shape} for a tensor of shape "
                f"{self.shape}: they must be equal"
            )
        return gradient

    def _receive(self, g: np.ndarray, owners: set[int]) -> None:
        """Keep a leaf's gradient, as an array that nothing else holds."""
        g = np.asarray(g)  # numpy makes scalars of arrays without axes
        if self.grad is not None:
            self.grad = np.asarray(self.grad + g)
            return
        shared = id(owner(g)) in owners or not (g.flags.c_contiguous and g.flags.writeable)
        self.grad = g.copy(order="C") if shared else g
        owners.add(id(owner(self.grad)))

    def zero_grad(self) -> None:
        """Forget the gradient: `grad` becomes None."""
        self.grad = None

    def retain_grad(self) -> None:
        """Keep this tensor's gradient in `grad`, too: `backward` fills in only that of leaves.

        Raises
        ------
        RuntimeError
            If it needs no gradient.
        """
        if self._backward is not None or not self.requires_grad:
            self._add_hook(None, "retain_grad")  # a leaf keeps it anyway

    def register_hook(self, hook: Callable[[np.ndarray], np.ndarray | None]) -> Hook:
        """Call a function with this tensor's gradient as soon as `backward` has computed it.

        Parameters
        ----------
        hook : callable
            Takes the gradient, an array, and must not change it. What it returns goes on in its
            place; None leaves it as it is.

        Returns
        -------
        Hook
            Its ``remove()`` takes the hook away.

        Raises
        ------
        RuntimeError
            If this tensor needs no gradient.

        Examples
        --------
        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> y = x * 3
        >>> hook = y.register_hook(lambda g: print("dL/dy =", g))
        >>> y.sum().backward()
        dL/dy = [1. 1.]
        """
        hooks = self._add_hook(hook, "register_hook")
        return Hook(hooks, next(reversed(hooks)))

    def _add_hook(self, hook: Callable | None, name: str) -> dict[int, Callable | None]:
        if not self.requires_grad:
            raise RuntimeError(f"{name}() of a tensor without gradient: it needs requires_grad")
        self._hooks = {} if self._hooks is None else self._hooks
        self._hooks[next(_counter)] = hook
        return self._hooks

    def _hooked(self, g: np.ndarray) -> np.ndarray:
        """Apply the hooks; after them keep the gradient, if `retain_grad` (None) asked for it."""
        hooks = tuple(self._hooks.values())
        for hook in hooks:
            changed = None if hook is None else hook(g)
            if changed is not None:
                g = np.asarray(plain(changed), self.data.dtype)
                if g.shape != self.shape:
                    raise ValueError(
                        f"a hook returned a gradient of shape {g.shape} for a tensor of shape "
                        f"{self.shape}: they must be equal"
                    )
        if None in hooks:
            self.grad = np.array(g) if self.grad is None else np.asarray(self.grad + g)
        return g

    def detach(self) -> Tensor:
        """Return the same values (and memory) without their history."""
        return Tensor(self.data)

    # ---- arithmetic ----------------------------------------------------------------------

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
        a, b = (_floating(t) for t in operands(self, other))
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
        return _constant(other, self) - self

    def __rtruediv__(self, other: Any) -> Tensor:
        return _constant(other, self) / self

    def __rpow__(self, other: Any) -> Tensor:
        return _constant(other, self) ** self

    def __rmatmul__(self, other: Any) -> Tensor:
        return _constant(other, self) @ self

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
        """``w -= lr * w.grad`` changes a leaf itself; anything computed makes a new tensor."""
        if not (self.requires_grad and self._backward is None):
            return out_of_place(self, other)
        if is_grad_enabled():
            raise RuntimeError(
                "a leaf with requires_grad=True cannot be changed in place while operations are "
                "recorded: update it inside `with no_grad():`"
            )
        in_place(self.data, operands(self, other)[1].data)
        return self

    # ---- comparisons: tensors of booleans, without gradient ------------------------------

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
        return Tensor(_elementwise(ufunc, *operands(self, other)))

    __hash__ = object.__hash__  # by identity, as in PyTorch: == compares values

    # ---- functions of each element -------------------------------------------------------

    def exp(self) -> Tensor:
        """Return e to the power of each element."""
        out = np.exp(_floating(self).data)
        return record(out, (self,), lambda g: (g * out,))

    def log(self) -> Tensor:
        """Return the natural logarithm of each element."""
        x = _floating(self).data
        return record(np.log(x), (self,), lambda g: (g / x,))

    def sqrt(self) -> Tensor:
        """Return the square root of each element."""
        out = np.sqrt(_floating(self).data)
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

    # ---- reductions: dim (or numpy's word, axis) is None for all, an int or a tuple ------

    def sum(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return the sum over ``dim`` (all axes if None)."""
        dim = dims(dim, axis, self.ndim)

        def backward(g):
            return (np.broadcast_to(restore(g, dim, keepdim), self.shape),)

        return record(self.data.sum(axis=dim, keepdims=keepdim), (self,), backward)

    def mean(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return the mean over ``dim`` (all axes if None)."""
        x, dim = _floating(self), dims(dim, axis, self.ndim)
        n = count(x.shape, dim)

        def backward(g):
            return (np.broadcast_to(restore(g / n, dim, keepdim), x.shape),)

        return record(x.data.mean(axis=dim, keepdims=keepdim), (x,), backward)

    def var(
        self, dim: Dim = None, *, correction: int = 1, keepdim: bool = False, axis: Dim = None
    ) -> Tensor:
        """Return the variance over ``dim``: squared deviations over (count - ``correction``)."""
        x, dim = _floating(self), dims(dim, axis, self.ndim)
        centred = x.data - x.data.mean(axis=dim, keepdims=True)
        dof = degrees_of_freedom(x.shape, dim, correction)

        def backward(g):
            return (restore(g, dim, keepdim) * centred * (2 / dof),)

        return record((centred * centred).sum(axis=dim, keepdims=keepdim) / dof, (x,), backward)

    def std(
        self, dim: Dim = None, *, correction: int = 1, keepdim: bool = False, axis: Dim = None
    ) -> Tensor:
        """Return the standard deviation over ``dim``; its slope is taken as 0 where it is 0."""
        x, dim = _floating(self), dims(dim, axis, self.ndim)
        centred = x.data - x.data.mean(axis=dim, keepdims=True)
        dof = degrees_of_freedom(x.shape, dim, correction)
        out = np.sqrt((centred * centred).sum(axis=dim, keepdims=keepdim) / dof)

        def backward(g):
            slope = np.divide(g, out * dof, out=np.zeros_like(out), where=out > 0)
            return (restore(slope, dim, keepdim) * centred,)

        return record(out, (x,), backward)

    def logsumexp(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor:
        """Return log(sum(exp(x))) over ``dim``, without overflow."""
        x, dim = _floating(self), dims(dim, axis, self.ndim)
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
        element at ``indices`` gets all of it.
        """
        return _extreme(self, dims(dim, axis, self.ndim), keepdim, np.max, np.argmax)

    def min(self, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None) -> Tensor | Extreme:
        """Return the smallest element; along one axis also where it stands (see `max`)."""
        return _extreme(self, dims(dim, axis, self.ndim), keepdim, np.min, np.argmin)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Return where the largest element stands (without ``dim``: in the flattened tensor)."""
        return Tensor(np.argmax(self.data, axis=dims(dim, None, self.ndim), keepdims=keepdim))

    # ---- shape ---------------------------------------------------------------------------

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

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """Return the same elements in another shape; one length may be -1."""
        shape = flat(shape)
        try:
            out = self.data.reshape(shape)
        except ValueError:
            raise ValueError(
                f"reshape({', '.join(map(str, shape))}) of a tensor of shape {self.shape}: "
                f"it holds {self.data.size} elements, which do not fill that shape"
            ) from None
        return record(out, (self,), lambda g: (g.reshape(self.shape),))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Return the axes from ``start_dim`` to ``end_dim`` as one: ``flatten(1)`` keeps N."""
        if self.ndim == 0:
            return self.reshape(1)
        start, end = (nth_axis(d, self.ndim) for d in (start_dim, end_dim))
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
        return record(self.data.transpose(dims), (self,), lambda g: (g.transpose(back),))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Return the tensor with two axes exchanged."""
        dim0, dim1 = nth_axis(dim0, self.ndim), nth_axis(dim1, self.ndim)
        out = self.data.swapaxes(dim0, dim1)
        return record(out, (self,), lambda g: (g.swapaxes(dim0, dim1),))

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
        own = (1,) * (len(sizes) - self.ndim) + self.shape
        shape = tuple(n if s == -1 else s for s, n in zip(sizes, own, strict=False))
        try:
            out = np.broadcast_to(self.data, shape)
        except ValueError:
            raise ValueError(
                f"expand({', '.join(map(str, sizes))}) of a tensor of shape {self.shape}: "
                "only axes of length 1 and new ones in front can become longer"
            ) from None
        return record(out, (self,), lambda g: (unbroadcast(g, self),))

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

    # ---- as a Python and numpy object ----------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype:
        """The kind of number, such as float32, float64, int64 or bool."""
        return self.data.dtype

    def item(self) -> float | int | bool:
        """Return the only element as a Python number."""
        if self.data.size != 1:
            raise ValueError(f"item() needs a tensor of one element; this has shape {self.shape}")
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """Return the values as an array that shares this tensor's memory."""
        if self.requires_grad:
            raise RuntimeError(
                "an array cannot carry a gradient: use x.detach().numpy(), or x.data"
            )
        return self.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor of no axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).data.any())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.data.size == 1 and spec else str(self), spec)

    def __repr__(self) -> str:
        values = np.array2string(self.data, separator=", ", prefix="Tensor(")
        kind = "" if self.dtype in (np.float32, np.int64, bool) else f", dtype={self.dtype}"
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({values}{kind}{grad})"


# ---- what a primitive needs ----------------------------------------------------------


def record(
    data: np.ndarray,
    parents: tuple[Tensor, ...],
    backward: Callable[[np.ndarray], tuple[np.ndarray | None, ...]],
) -> Tensor:
    """Make the result of an operation, and remember how to go back. For new operations.

    Parameters
    ----------
    data : numpy.ndarray
        The values computed.
    parents : tuple of Tensor
        What they were computed from.
    backward : callable
        Takes the gradient of the result (in its shape) and returns one gradient per parent (in the
        parent's shape), or None for a parent that needs none. It must not change any array that
        it was given, nor one that it has returned.

    Examples
    --------
    >>> def cube(x):
    ...     return record(x.data**3, (x,), lambda g: (g * 3 * x.data**2,))
    >>> x = Tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array(12., dtype=float32)
    """
    out = Tensor.__new__(Tensor)
    out.data = data if type(data) is np.ndarray else np.asarray(data)
    out.grad = None
    out.requires_grad = False
    out._parents = ()
    out._backward = None
    out._hooks = None
    out._age = 0
    if _grad_enabled.get():
        for parent in parents:
            if parent.requires_grad:
                out.requires_grad = True
                out._parents = parents
                out._backward = backward
                out._age = next(_counter)
                break
    return out


def as_tensor(x: Any) -> Tensor:
    """Return ``x`` itself if it is a tensor, else ``Tensor(x)``."""
    return x if isinstance(x, Tensor) else Tensor(x)


# ---- details -------------------------------------------------------------------------


def _as_array(data: Any) -> np.ndarray:
    if isinstance(data, Tensor):
        return data.data
    listed = not isinstance(data, (np.ndarray, np.generic))
    try:
        array = np.asarray(data)
    except ValueError:
        raise ValueError(
            "Tensor got rows of different lengths: every row must have as many numbers as the "
            "others; pad the short ones"
        ) from None
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"Tensor got {type(data).__name__} of dtype {array.dtype}: it holds numbers only; "
            "encode text and missing values as numbers first"
        )
    return array.astype(np.float32) if listed and array.dtype.kind != "b" else array


def _constant(value: Any, like: Tensor) -> Tensor:
    """Give a number or a list the dtype of the tensor that it meets; an array keeps its own."""
    if isinstance(value, np.ndarray):
        return Tensor(value)
    out = np.asarray(value)
    if like.data.dtype.kind == "f" and out.dtype.kind in "fiub":
        return Tensor(out.astype(like.data.dtype))
    return Tensor(out) if out.dtype.kind in "iub" else Tensor(value)


def operands(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Return both sides as tensors of one dtype. Integers follow floats; float32 never float64."""
    if not isinstance(b, Tensor):
        b = _constant(b, a)
    elif not isinstance(a, Tensor):
        a = _constant(a, b)
    x, y = a.data.dtype, b.data.dtype
    if x == y:
        return a, b
    if x.kind == "f" and y.kind == "f":
        raise ValueError(
            f"{x} of shape {a.shape} meets {y} of shape {b.shape}: both must be of one kind; "
            "convert the data, x.astype(np.float32), or the model, model.double()"
        )
    if x.kind == "f":
        return a, Tensor(b.data.astype(x))
    if y.kind == "f":
        return Tensor(a.data.astype(y)), b
    return a, b  # integers and booleans: numpy's rules


def _floating(x: Tensor) -> Tensor:
    return x if x.data.dtype.kind == "f" else Tensor(x.data.astype(np.float32))


def _elementwise(ufunc: Callable, a: Tensor, b: Tensor) -> np.ndarray:
    try:
        return ufunc(a.data, b.data)
    except ValueError:
        raise ValueError(
            f"{ufunc.__name__.strip('_')} of shapes {a.shape} and {b.shape}: compared from the "
            "last axis backwards, lengths must be equal or 1; reshape or unsqueeze one of them"
        ) from None


def unbroadcast(g: np.ndarray, parent: Tensor) -> np.ndarray | None:
    """Return a gradient in the shape of ``parent``, or None if it needs none."""
    return sum_to(g, parent.data.shape) if parent.requires_grad else None


def _extreme(x: Tensor, dim: Any, keepdim: bool, pick: Callable, arg: Callable) -> Any:
    if isinstance(dim, int):
        at = arg(x.data, axis=dim, keepdims=True)

        def backward(g):
            full = np.zeros_like(x.data)
            np.put_along_axis(full, at, restore(g, dim, keepdim), axis=dim)
            return (full,)

        values = np.take_along_axis(x.data, at, axis=dim)
        shown = (lambda a: a) if keepdim else (lambda a: a.squeeze(dim))
        return Extreme(record(shown(values), (x,), backward), Tensor(shown(at)))

    best = pick(x.data, axis=dim, keepdims=True)

    def backward(g):
        ties = (x.data == best).astype(g.dtype)
        return (restore(g, dim, keepdim) * ties / ties.sum(axis=dim, keepdims=True),)

    return record(pick(x.data, axis=dim, keepdims=keepdim), (x,), backward)


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


def _reachable(root: Tensor) -> list[Tensor]:
    """Everything that ``root`` was computed from and that needs a gradient, oldest first."""
    seen, waiting, found = {id(root)}, [root], []
    while waiting:  # no recursion: a chain of 10,000 steps is no problem
        node = waiting.pop()
        found.append(node)
        for parent in node._parents:
            if parent.requires_grad and id(parent) not in seen:
                seen.add(id(parent))
                waiting.append(parent)
    found.sort(key=operator.attrgetter("_age"))
    return found


def _walked(g: np.ndarray) -> tuple:
    raise RuntimeError(
        "backward() came to an operation that an earlier backward() had walked and freed: compute "
        "the loss again, or add the losses and call backward() once"
    )
