"""Settings of the whole process that training is several times faster with."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import numpy as np

from dlcourse.tensor.threads import use_second_thread

__all__ = ["keep_freed_memory", "settle", "use_one_blas_thread"]


@functools.cache
def settle() -> None:
    """Make the settings below, once; ``DLCOURSE_SETTLE=0`` in the environment refuses them.

    They hold for the whole process, so `train` calls this when a training starts, and not before.
    """
    if os.environ.get("DLCOURSE_SETTLE") != "0":
        keep_freed_memory()
        if use_one_blas_thread() and (os.cpu_count() or 1) > 1:
            use_second_thread()


def keep_freed_memory() -> bool:
    """Tell the C library to keep the memory of freed arrays.

    Every step makes large arrays and frees them. By default glibc returns each to the system at
    once, and getting it back costs about 2 µs for each 4 KiB: up to half of the training time.

    Returns
    -------
    bool
        Whether it was done: not where the C library is another than glibc, which needs none of it.

    References
    ----------
    mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_mmap_threshold = -1, -3
        # 32 MiB is the most that glibc takes for the first
        return libc.mallopt(m_mmap_threshold, 2**25) == libc.mallopt(m_trim_threshold, 2**30) == 1
    except (OSError, AttributeError):
        return False


def use_one_blas_thread() -> bool:
    """Tell the OpenBLAS that comes with numpy to multiply matrices in one thread.

    Its two threads wait for each other, spinning, whenever a browser or another program takes a
    core: then each step takes many times as long. (`settle` shares out large operations between
    two threads of Python instead, which wait for no core: see `tensor.threads`.)
    ``OPENBLAS_NUM_THREADS`` or ``OMP_NUM_THREADS`` in the environment, where set, decides instead.

    Returns
    -------
    bool
        Whether it was done: not where numpy multiplies with another library.
    """
    if {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"} & set(os.environ):
        return False
    site = Path(np.__file__).parents[1]
    for path in (*site.glob("numpy.libs/*openblas*"), *site.glob("numpy/.dylibs/*openblas*")):
        try:
            ctypes.CDLL(str(path)).scipy_openblas_set_num_threads64_(1)
        except (OSError, AttributeError):
            continue
        return True
    return False
