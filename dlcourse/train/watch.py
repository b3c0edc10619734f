"""Small companions of the loop: when to stop, and a line that says how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dlcourse.nn import Module
from dlcourse.train.loop import Step

__all__ = ["EarlyStopping", "progress"]


class EarlyStopping:
    """Notice when a validation loss has stopped falling, and keep the best parameters.

    Parameters
    ----------
    model : Module
        Whose parameters to keep.
    patience : int
        After how many times in a row, that the loss failed to fall, it is time to stop.
    min_delta : float
        A fall of no more than this counts for nothing.

    Attributes
    ----------
    best : float
        The loss of the parameters that are kept: the lowest so far, or, with ``min_delta``, the
        last that was lower by more than that.

    Raises
    ------
    ValueError
        If ``patience`` is below 1.

    Examples
    --------
    >>> from dlcourse import nn
    >>> stopping = EarlyStopping(nn.Linear(1, 1), patience=2)
    >>> [stopping(loss) for loss in (0.9, 0.5, 0.6, 0.55, 0.7)]
    [False, False, False, True, True]
    """

    def __init__(self, model: Module, patience: int = 5, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping got patience={patience}: it must be 1 or more")
        self.model, self.patience, self.min_delta = model, patience, min_delta
        self.best, self.failures = math.inf, 0
        self._state = model.state_dict()

    def __call__(self, loss: float) -> bool:
        """Note a validation loss; return whether it is time to stop."""
        loss = float(loss)
        if loss < self.best - self.min_delta:
            self.best, self.failures, self._state = loss, 0, self.model.state_dict()
        else:
            self.failures += 1
        return self.failures >= self.patience

    def restore(self) -> None:
        """Give the model the parameters that it had at the lowest loss."""
        self.model.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """Return what was noted so far, for a checkpoint."""
        return {"best": self.best, "failures": self.failures, "model": self._state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.best, self.failures = state_dict["best"], state_dict["failures"]
        self._state = dict(state_dict["model"])


def progress(steps: Iterable[Step]) -> Iterator[Step]:
    """Hand on the steps of `train`, and show the newest in one line that is written over.

    Works in a terminal and in a notebook, ten times a second at most.

    Examples
    --------
    >>> for step in progress(train(model, ...)):  # doctest: +SKIP
    ...     pass
    epoch 2, step 340: loss 0.213
    """
    shown, width, step = -math.inf, 0, None

    def show() -> int:
        line = f"epoch {step.epoch}, step {step.step}: loss {step.loss:.4g}"
        print("\r" + line.ljust(width), end="", flush=True)
        return len(line)

    try:
        for step in steps:
            if time.monotonic() - shown > 0.1:
                width, shown = show(), time.monotonic()
            yield step
    finally:
        if step is not None:
            show()
            print()
