"""Large operations in two halves, one of them in a second thread.

numpy lets other Python threads run while it computes. `dlcourse.train.settle` switches this on.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

__all__ = ["in_halves", "product", "use_second_thread"]

# Handing work over takes some 30 µs; a product of 2²⁴ multiply-adds takes 100 to 200.
_LARGE = 2**24
_helper: ThreadPoolExecutor | None = None


def use_second_thread() -> None:
    """Let all large operations of this process use it from now on."""
    global _helper
    _helper = ThreadPoolExecutor(1, "dlcourse")


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
        return
    first, second = slice(0, n // 2), slice(n // 2, n)
    # numpy's errstate is in the context
    promise = _helper.submit(contextvars.copy_context().run, body, second)
    body(first)
    # the other core may be busy with something else: then the second half has not begun, and need
    # not be waited for
    if promise.cancel():
        body(second)
    else:
        promise.result()


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b`` of two matrices; of large ones in halves."""
    work = a.size * b.shape[1]
    if _helper is None or work < _LARGE:
        return a @ b
    out = np.empty((len(a), b.shape[1]), np.result_type(a, b))
    in_halves(work, len(a), lambda rows: np.matmul(a[rows], b, out=out[rows]))
    return out
