"""Large operations in two halves, one of them in a second thread.

numpy lets other Python threads run while it computes. `dlcourse.train.settle` switches this on.
Of two matrices ``a.dot(b)`` is ``a @ b``; it gets to BLAS half a microsecond sooner, which counts
when a network is small.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["at_once", "in_halves", "product", "products", "use_second_thread"]

A, B = TypeVar("A"), TypeVar("B")

# Handing work over takes some 30 µs; a product of 2²⁴ multiply-adds takes 100 to 200.
_LARGE = 2**24
_helper: ThreadPoolExecutor | None = None


def use_second_thread() -> None:
    """Let all large operations of this process use it from now on."""
    global _helper
    from concurrent.futures import ThreadPoolExecutor  # 7 ms, for those who train

    _helper = ThreadPoolExecutor(1, "dlcourse")


def at_once(work: int, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Call two functions and return both results; large ones are computed at the same time.

    Parameters
    ----------
    work : int
        About how many multiply-adds both take together.
    first, second : callable
        Neither may need anything of the other.
    """
    if _helper is None or work < _LARGE:
        return first(), second()
    promise = _helper.submit(contextvars.copy_context().run, second)  # numpy's errstate is there
    result = first()
    # if the other core was busy with something else, the second has not begun, and goes here
    return result, second() if promise.cancel() else promise.result()


def in_halves(work: int, n: int, body: Callable[[slice], object]) -> None:
    """Call ``body(slice(0, n))``; or, of a large operation, with each half of it, both at once.

    Parameters
    ----------
    work : int
        About how many multiply-adds it takes in all; of a function such as tanh, 32 per element.
    n : int
        How many rows there are.
    body : callable
        Writes the rows that it is given, and nothing else.
    """
    if _helper is None or work < _LARGE or n < 2:
        body(slice(0, n))
    else:
        at_once(work, lambda: body(slice(0, n // 2)), lambda: body(slice(n // 2, n)))


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b`` of two matrices; of large ones in halves."""
    work = a.size * b.shape[1]
    if _helper is None or work < _LARGE:
        return a.dot(b)
    out = np.empty((len(a), b.shape[1]), np.result_type(a, b))
    in_halves(work, len(a), lambda rows: np.matmul(a[rows], b, out=out[rows]))
    return out


def products(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``a @ b`` and ``c @ d`` of matrices; large ones at the same time."""
    work = a.size * b.shape[1] + c.size * d.shape[1]
    if _helper is None or work < _LARGE:  # asked here too: small ones are spared two closures
        return a.dot(b), c.dot(d)
    return at_once(work, lambda: a.dot(b), lambda: c.dot(d))
