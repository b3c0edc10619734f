"""Dropout as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse import functional as F
from dlcourse.functional.dropout import check_share
from dlcourse.nn.module import Module
from dlcourse.tensor import Tensor

__all__ = ["Dropout"]


class Dropout(Module):
    """Drop elements at random in training, none in use; see `functional.dropout`.

    Parameters
    ----------
    p : float, from 0 to 1
        The share that is dropped.
    inplace : bool
        PyTorch's, without effect here: the input stays as it is.
    rng : int, Generator or None
        Where the numbers come from; each call draws new ones.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: Any = None) -> None:
        check_share("Dropout", "p", p)
        self.p, self.rng = p, np.random.default_rng(rng)

    def forward(self, input: Tensor) -> Tensor:
        """Apply `functional.dropout`."""
        return F.dropout(input, self.p, self.training, rng=self.rng)

    def extra_repr(self) -> str:
        """Return the share that is dropped."""
        return f"p={self.p}"
