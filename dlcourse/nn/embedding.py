"""Embeddings as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcourse import functional as F
from dlcourse import init
from dlcourse.functional.windows import pair
from dlcourse.nn.module import Module, Parameter
from dlcourse.tensor import Tensor

__all__ = ["Embedding"]


class Embedding(Module):
    """A vector for each symbol; see `functional.embedding`.

    Parameters
    ----------
    num_embeddings : int
        V, the number of symbols.
    embedding_dim : int
        D, the length of their vectors.
    padding_idx : int, optional
        A symbol that only fills up: its row is 0 and stays so.
    rng : int, Generator or None
        Where the starting values come from: normally distributed, as in PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        rng: Any = None,
    ) -> None:
        name = f"Embedding({num_embeddings}, {embedding_dim})"
        (v,) = pair(name, "num_embeddings", num_embeddings, 1)
        (d,) = pair(name, "embedding_dim", embedding_dim, 1)
        if padding_idx is not None and not -v <= padding_idx < v:
            raise ValueError(f"{name}: padding_idx={padding_idx} must be a row of the table")
        self.num_embeddings, self.embedding_dim, self.padding_idx = v, d, padding_idx
        self.weight = Parameter(np.empty((v, d), np.float32))
        init.normal_(self.weight, rng=rng)
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Map integers (...) to vectors (..., embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Return the size of the table."""
        return f"{self.num_embeddings}, {self.embedding_dim}"
