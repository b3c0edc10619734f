"""Batches: what a training loop iterates over."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np


class DataLoader:
    """Cut arrays of equal length into batches, epoch after epoch.

    Iterating once is one epoch. A batch is a tuple of fresh, contiguous arrays, dtypes unchanged.

    Parameters
    ----------
    arrays
        A tuple such as ``(x, y)``; every array has one row per example, (N, ...).
    batch_size
        Rows in a batch; the last batch of an epoch may be smaller.
    shuffle
        Draw a new order for every epoch.
    drop_last
        Leave out the last batch where it is smaller than the others.
    rng
        Seed or generator of the orders.

    Raises
    ------
    ValueError
        If there are no examples, the arrays differ in length, one holds NaN or infinity, or the
        batch size is no positive integer or, with ``drop_last``, larger than the data.

    Examples
    --------
    >>> x, y = np.zeros((100, 2)), np.ones(100)
    >>> [len(batch_y) for batch_x, batch_y in DataLoader((x, y), batch_size=40)]
    [40, 40, 20]
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        batch_size: int = 64,
        shuffle: bool = False,
        drop_last: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        if not isinstance(arrays, Sequence):
            raise ValueError("DataLoader needs a tuple of arrays: write DataLoader((x, y), ...)")
        arrays = tuple(_array(a, i) for i, a in enumerate(arrays))
        shapes = ", ".join(str(a.shape) for a in arrays)
        if not arrays or any(a.ndim == 0 or len(a) == 0 for a in arrays):
            raise ValueError(f"DataLoader got no examples: arrays of shapes [{shapes}]")
        if len({len(a) for a in arrays}) > 1:
            raise ValueError(
                f"DataLoader got arrays of different lengths, shapes [{shapes}]: "
                "row i of each must belong to the same example"
            )
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
            raise ValueError(f"batch_size must be an integer, got {batch_size!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if drop_last and batch_size > len(arrays[0]):
            raise ValueError(
                f"drop_last with batch_size={batch_size} leaves nothing of {len(arrays[0])} "
                "examples: take a smaller batch_size or drop_last=False"
            )
        self.arrays = tuple(np.ascontiguousarray(a) for a in arrays)
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rng = np.random.default_rng(rng)
        self._left: np.ndarray | None = None  # rows of the epoch under way, still to be given
        self._resumed = False

    def __len__(self) -> int:
        """Batches in an epoch."""
        n = len(self.arrays[0])
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Go through one epoch; after `load_state_dict`, through what is left of it."""
        if self._resumed and self._left is not None:
            order = self._left
        else:
            n = len(self.arrays[0])
            order = self.rng.permutation(n) if self.shuffle else np.arange(n)
            order = order[: len(self) * self.batch_size]
        self._resumed = False
        for start in range(0, len(order), self.batch_size):
            rows, self._left = np.split(order[start:], [self.batch_size])
            # Copies, also where a view would do: a batch changed in place leaves the data alone.
            yield tuple(a.take(rows, axis=0) for a in self.arrays)

    def in_order(self) -> Self:
        """Return a loader of the same examples in their order; this one stays where it is."""
        other = copy.copy(self)
        other.shuffle, other._resumed = False, False
        return other

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state, and which rows of the epoch under way are left."""
        return {"rng": self.rng.bit_generator.state, "left": self._left}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there: the next iteration gives the batches that were left.

        Raises
        ------
        ValueError
            If it is the state of something else, or of a loader with another generator or more
            examples; nothing is changed then.
        """
        rng, left = state_dict.get("rng", {}), state_dict.get("left")
        kind = self.rng.bit_generator.state["bit_generator"]
        if rng.get("bit_generator") != kind:
            raise ValueError(f"the state dict is not of a DataLoader whose rng is a {kind}")
        if left is not None and left.max(initial=-1) >= len(self.arrays[0]):
            raise ValueError(
                f"the state dict is of a DataLoader with more than the {len(self.arrays[0])} "
                "examples of this one: build it with the same arrays"
            )
        self.rng.bit_generator.state = rng
        # In a browser numpy counts in 32 bits; what was kept elsewhere has 64.
        self._left = left if left is None else left.astype(np.intp)
        self._resumed = True


def _array(values: np.ndarray, i: int) -> np.ndarray:
    """Give the loader's array ``i``, whose rows are of one length and hold only finite numbers."""
    try:
        a = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"DataLoader's array {i} is ragged: cut or fill it up to rows of one length first"
        ) from None
    # min and max hand NaN on, so that no large array of booleans is needed.
    if a.dtype.kind == "f" and a.size and not np.isfinite([a.min(), a.max()]).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(a))[0])
        raise ValueError(
            f"DataLoader's array {i} holds {a[where]} at index {where}, and one such number spoils "
            "every weight: leave that row out or fill it in first"
        )
    return a
