"""Losses as layers, with their options fixed."""

from __future__ import annotations

from typing import Any

from dlcourse import functional as F
from dlcourse.nn.module import Module
from dlcourse.tensor import Tensor

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss"]


class MSELoss(Module):
    """The squared error; see `functional.mse_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, input: Any, target: Any) -> Tensor:
        """Compare what came out with what should have."""
        return F.mse_loss(input, target, self.reduction)


class BCELoss(Module):
    """Cross-entropy of probabilities; see `functional.binary_cross_entropy`."""

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        self.weight, self.reduction = weight, reduction

    def forward(self, input: Any, target: Any) -> Tensor:
        """Compare probabilities with answers from 0 to 1."""
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(Module):
    """Cross-entropy of yes-or-no scores; see `functional.binary_cross_entropy_with_logits`."""

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        self.weight, self.reduction, self.pos_weight = weight, reduction, pos_weight

    def forward(self, input: Any, target: Any) -> Tensor:
        """Compare scores with answers from 0 to 1."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )


class CrossEntropyLoss(Module):
    """Cross-entropy of class scores; see `functional.cross_entropy`."""

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight, self.ignore_index = weight, ignore_index
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, input: Any, target: Any) -> Tensor:
        """Compare class scores with labels or class probabilities."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            self.ignore_index,
            self.reduction,
            self.label_smoothing,
        )
