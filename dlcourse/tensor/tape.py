"""The tape: what was computed from what, and the walk back that fills in gradients.

An operation is one function: the forward computation, then a closure ``backward`` that maps the
gradient of its result to the gradients of its inputs (its *parents*); `record` puts both on the
tape. `Node.backward` walks from the result to the leaves, newest operation first, and is the only
place where gradients are added up.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.tensor.arrays import add_to_rows, owner, plain, sum_to

if TYPE_CHECKING:
    from dlcourse.tensor.core import Tensor  # what the tape makes: core.py hands it in at its end

__all__ = [
    "Node",
    "as_tensor",
    "constant",
    "floating",
    "is_grad_enabled",
    "no_grad",
    "operands",
    "record",
    "unbroadcast",
]

# A context variable, not a global: threads and asyncio tasks each keep their own.
_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_counter = itertools.count(1)  # leaves have age 0 until they are changed in place


class no_grad(contextlib.ContextDecorator):
    """Compute without recording: ``with no_grad():``, or ``@no_grad()`` above a function.

    Examples
    --------
    >>> w = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __new__(cls, func: Callable | None = None) -> Any:
        """Make a context; or, as ``@no_grad`` without brackets, decorate."""
        return super().__new__(cls) if func is None else cls()(func)

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
            generator, sent = func(*args, **options), None
            while True:
                with no_grad():  # only while the generator runs, not while its caller does
                    try:
                        value = generator.send(sent)
                    except StopIteration as end:
                        return end.value
                sent = yield value

        return steps

    def _recreate_cm(self) -> no_grad:
        return no_grad()  # as a decorator: a fresh one per call, so that calls may nest


def is_grad_enabled() -> bool:
    """Whether operations are being recorded (False inside `no_grad`)."""
    return _grad_enabled.get()


class Hook:
    """What `Tensor.register_hook` returns."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._hooks.pop(self._key, None)


class Node:
    """A value on the tape: what `Tensor` knows of its gradient and its history."""

    __slots__ = (
        "__weakref__",
        "_age",
        "_backward",
        "_hooks",
        "_parents",
        "_written",
        "data",
        "grad",
        "requires_grad",
    )
    data: np.ndarray
    grad: np.ndarray | None
    requires_grad: bool

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Fill in `grad` of every leaf that this tensor was computed from.

        Parameters
        ----------
        gradient : array_like, optional
            The derivative of what is finally wanted by this tensor, in its shape. A tensor of one
            element needs none: it is 1.
        retain_graph : bool
            Keep the records, so that `backward` can come this way again; they are freed otherwise.

        Raises
        ------
        RuntimeError
            If nothing was recorded; if it was walked already and freed; or if something that it was
            computed from has been changed in place since.
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
        grads: dict[Node, Any] = {self: seed}
        operations = _operations(self)
        while operations:  # popping lets go of each, so that memory falls on the way
            node = operations.pop()
            g = grads.pop(node, None)
            if g is None:
                continue
            if type(g) is Part or node._hooks is not None:
                g = node._hooked(g)
            if node._written is not None and node._written[0] > node._age:
                raise RuntimeError(_changed(node))
            gradients = node._backward(g)
            if type(gradients) is not tuple or len(gradients) != len(node._parents):
                raise ValueError(_NO_TUPLE)
            for parent, g_parent in zip(node._parents, gradients, strict=True):
                if parent._written is not None and parent._written[0] > node._age:
                    raise RuntimeError(_changed(parent))
                if g_parent is not None and parent.requires_grad:
                    # a new array, never +=: the same array may have been handed to two parents
                    grads[parent] = grads[parent] + g_parent if parent in grads else g_parent
            if not retain_graph:
                node._backward, node._parents = _walked, ()
        owners = {id(owner(seed))}  # memory handed out already: a leaf's grad is its own
        for leaf, g in grads.items():
            leaf._receive(g, owners)

    def _first_gradient(self, gradient: Any) -> np.ndarray:
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(
                    f"backward() of a tensor of shape {self.shape} needs the gradient to start "
                    "from; a single number does not: call it on the loss, x.sum() or x.mean()"
                )
            # numpy computes with its scalars several times quicker than with arrays without axes
            return np.ones_like(self.data) if self.data.ndim else self.data.dtype.type(1)
        gradient = np.asarray(plain(gradient), self.data.dtype)
        if gradient.shape != self.shape:
            raise ValueError(
                f"backward() got a gradient of shape {gradient.shape} for a tensor of shape "
                f"{self.shape}: they must be equal"
            )
        return gradient

    def _receive(self, g: Any, owners: set[int]) -> None:
        """Keep a leaf's gradient, as an array that nothing else holds."""
        if type(g) is not np.ndarray or self._hooks is not None:
            g = np.asarray(self._hooked(g))  # numpy makes scalars of arrays without axes
        if g.shape != self.data.shape:
            raise ValueError(
                f"an operation's backward gave a gradient of shape {g.shape} for an input of "
                f"shape {self.data.shape}: they must be equal"
            )
        if self.grad is not None:
            self.grad = np.asarray(self.grad + g)
            return
        memory, flags = id(owner(g)), g.flags
        shared = memory in owners or not (flags.c_contiguous and flags.writeable)
        self.grad = g.copy(order="C") if shared else g
        owners.add(memory)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradient: `grad` becomes None. Or, where there is one, set it to 0."""
        self.grad = None if set_to_none or self.grad is None else np.zeros_like(self.grad)

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

    def _hooked(self, g: Any) -> np.ndarray:
        """Apply the hooks; after them keep the gradient, if `retain_grad` (None) asked for it."""
        if type(g) is Part:
            g = g.array()
        if self._hooks is None:
            return g
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

    def _touch(self) -> None:
        """Note that the data were changed in place: it makes older results useless for `backward`.

        Writing to ``.data`` itself is not noticed, as in PyTorch.
        """
        if self._written is None:
            self._written = [0]
        self._written[0] = next(_counter)

    def _share(self, view: Tensor) -> Tensor:
        """Note that a tensor has this one's memory, if it has: a change of one is one of both."""
        if owner(view.data) is owner(self.data):
            self._written = view._written = self._written or [0]
        return view

    def detach(self) -> Tensor:
        """Return the same values (and memory) without their history."""
        return self._share(Tensor(self.data))


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
    out._written = None
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


def constant(value: Any, like: Tensor) -> Tensor:
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
        b = constant(b, a)
    elif not isinstance(a, Tensor):
        a = constant(a, b)
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


def floating(x: Tensor) -> Tensor:
    """Return integers and booleans as float32, anything else as it is."""
    return x if x.data.dtype.kind == "f" else Tensor(x.data.astype(np.float32))


def unbroadcast(g: np.ndarray, parent: Tensor) -> np.ndarray | None:
    """Return a gradient in the shape of ``parent``, or None if it needs none."""
    return sum_to(g, parent.data.shape) if parent.requires_grad else None


# ---- details of the walk -------------------------------------------------------------


class Part:
    """A gradient that is 0 but at an index: of all that was taken from a tensor in parts.

    Added to each other they stay a list; `array` then adds all of them up in one array.
    """

    __slots__ = ("like", "parts")
    __array_ufunc__ = None  # so that array + part asks the part

    def __init__(self, like: np.ndarray, index: Any, g: np.ndarray) -> None:
        self.like, self.parts = like, [(index, g)]

    def __add__(self, other: Part | np.ndarray) -> Part:
        self.parts += other.parts if type(other) is Part else [((...,), other)]
        return self

    __radd__ = __add__

    def array(self) -> np.ndarray:
        """Return the gradient in full."""
        full = np.zeros_like(self.like)
        for index, g in self.parts:
            # only arrays of integers can name an element twice; all others are added at once
            if not any(isinstance(i, np.ndarray) and i.dtype != bool for i in index):
                full[index] += g
            elif len(index) == 1 and full.flags.c_contiguous:
                add_to_rows(full, index[0], g)
            else:
                np.add.at(full, index, g)
        return full


def _operations(root: Node) -> list[Node]:
    """All recorded operations that led to ``root``, itself included, oldest first."""
    found = [root] if root._backward is not None else []
    seen = set(found)
    for node in found:  # which grows meanwhile; no recursion: chains may be 10,000 long
        for parent in node._parents:
            if parent._backward is not None and parent not in seen:
                seen.add(parent)
                found.append(parent)
    found.sort(key=_age)
    return found


_age = operator.attrgetter("_age")


def _changed(tensor: Node) -> str:
    return (
        f"backward() came to a tensor of shape {tensor.data.shape} that was changed in place (by "
        "an optimiser's step(), load_state_dict(), += or the like) after the loss was computed "
        "from it: call backward() before changing it, or compute the loss again"
    )


_NO_TUPLE = (
    "an operation's backward must give a tuple, with one gradient (or None) for each of its inputs"
)


def _walked(g: np.ndarray) -> tuple:
    raise RuntimeError(
        "backward() came to an operation that an earlier backward() had walked and freed: compute "
        "the loss again, add the losses and call backward() once, or call the first with "
        "retain_graph=True"
    )
