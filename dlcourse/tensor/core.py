"""A numpy array that remembers how it was computed, so that it can say how to change it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from dlcourse.tensor import tape
from dlcourse.tensor.arithmetic import Arithmetic
from dlcourse.tensor.arrays import nth_axis
from dlcourse.tensor.elementwise import Elementwise
from dlcourse.tensor.indexing import Indexing
from dlcourse.tensor.reductions import Reductions
from dlcourse.tensor.shaping import Shaping

__all__ = ["Tensor"]


class Tensor(Arithmetic, Elementwise, Reductions, Shaping, Indexing):
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

    __slots__ = ()
    __array_ufunc__ = None  # so that array * tensor asks the tensor

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = _as_array(data)
        if requires_grad:
            _check_floating(self.data)
            self.data = self.data.copy()
        self.requires_grad = requires_grad
        self.grad = None
        self._parents = ()
        self._backward = None
        self._hooks = None
        self._age = 0
        self._written = None

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

    @property
    def is_leaf(self) -> bool:
        """Whether it was made, not computed from tensors that need a gradient."""
        return self._backward is None

    def size(self, dim: int | None = None) -> tuple[int, ...] | int:
        """Return `shape`, or the length of one axis."""
        return self.shape if dim is None else self.shape[nth_axis(dim, self.ndim)]

    def dim(self) -> int:
        """Return the number of axes, `ndim`."""
        return self.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return self.data.size

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Record every operation on this tensor from now on (or no longer); return it.

        Raises
        ------
        RuntimeError
            If it was computed from others: its history decides.
        ValueError
            If its numbers are not floating-point.
        """
        if not self.is_leaf:
            raise RuntimeError(
                "requires_grad_() of a tensor that was computed from others: only leaves can "
                "change; take x.detach()"
            )
        if requires_grad:
            _check_floating(self.data)
        self.requires_grad = requires_grad
        return self

    def copy_(self, src: Any) -> Tensor:
        """Write the values of ``src`` (broadcast) into this tensor; return it."""
        self[...] = src
        return self

    def tolist(self) -> Any:
        """Return the values as Python numbers, in lists as deep as there are axes."""
        return self.data.tolist()

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

    def __reduce_ex__(self, protocol: Any) -> Any:  # what copy.deepcopy and pickle ask for
        if not self.is_leaf:
            raise RuntimeError(
                "a tensor that was computed from others cannot be copied with its history: "
                "take x.detach()"
            )
        return super().__reduce_ex__(protocol)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor of no axes has no length")
        return self.shape[0]

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(tape.plain(self == value)))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        values = np.array2string(self.data, separator=", ", prefix="Tensor(")
        kind = "" if self.dtype in (np.float32, np.int64, int, bool) else f", dtype={self.dtype}"
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({values}{kind}{grad})"


tape.Tensor = Tensor  # what operations make: the tape, which all of this stands on, comes first


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
    if not array.dtype.isnative:  # of a file that another kind of processor has written
        array = array.astype(array.dtype.newbyteorder("="))
    return array.astype(np.float32) if listed and array.dtype.kind != "b" else array


def _check_floating(data: np.ndarray) -> None:
    if data.dtype.kind != "f":
        raise ValueError(
            f"Tensor of {data.dtype} cannot have a gradient: only floating-point numbers can "
            "change a little; convert with x.astype(np.float32)"
        )
