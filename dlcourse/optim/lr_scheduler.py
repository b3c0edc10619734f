"""Learning rates that change on the way: call ``scheduler.step()`` after each ``optimizer.step()``.

Every schedule is a formula for the rate after ``t`` steps. A step changes the rate by as much as
the formula does, so that schedules multiply when each of several is stepped in turn, as in PyTorch;
all but `OneCycleLR`, which sets it. One after the other they go by `SequentialLR`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse.optim.optimizers import Optimizer

__all__ = ["CosineAnnealingLR", "LRScheduler", "LinearLR", "OneCycleLR", "SequentialLR", "StepLR"]


class LRScheduler:
    """What all schedules share.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' rates at this moment, ``initial_lr``, are what the schedule multiplies.

    Attributes
    ----------
    last_epoch : int
        How many steps have been taken.
    """

    floor: float = 0.0  # what lies above it is multiplied

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"{type(self).__name__} got a {type(optimizer).__name__}: it needs the optimiser "
                "whose learning rate it is to change"
            )
        self.optimizer = optimizer
        self.last_epoch = -1
        self.step()

    def rate(self, initial_lr: float, t: int) -> float:
        """Return the learning rate after ``t`` steps."""
        raise NotImplementedError

    def step(self) -> None:
        """Go one step on, and change the optimiser's rates by as much as the formula does."""
        self.last_epoch += 1
        t = self.last_epoch
        for group in self.optimizer.param_groups:
            lr = group["lr"]
            initial = group.setdefault("initial_lr", lr)  # the group may be new
            before, after = self.rate(initial, t - 1) if t else initial, self.rate(initial, t)
            if lr == before or before == self.floor:
                group["lr"] = after + (lr - before)
            else:  # another schedule, or the reader, has changed it
                share = (after - self.floor) / (before - self.floor)
                group["lr"] = self.floor + (lr - self.floor) * share

    def get_last_lr(self) -> list[float]:
        """Return the rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _go_to(self, t: int) -> None:
        """Set the rates, whatever they are, to those of the formula."""
        self.last_epoch = t
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(group.setdefault("initial_lr", group["lr"]), t)

    def state_dict(self) -> dict[str, Any]:
        """Return how far the schedule is, and the rates."""
        return {"last_epoch": self.last_epoch, "_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._go_to(int(state_dict["last_epoch"]))
        rates = state_dict.get("_last_lr", self.get_last_lr())
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr


class StepLR(LRScheduler):
    """Multiply the rate by ``gamma`` every ``step_size`` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _at_least_one("StepLR", step_size=step_size), gamma
        super().__init__(optimizer)

    def rate(self, initial_lr: float, t: int) -> float:
        """Return initial_lr gamma^(t // step_size)."""
        return initial_lr * self.gamma ** (t // self.step_size)


class LinearLR(LRScheduler):
    """Go from ``start_factor`` to ``end_factor`` of the rate in ``total_iters`` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueError(
                f"LinearLR got start_factor={start_factor} and end_factor={end_factor}: both are "
                "shares of the rate, at most 1, and the first is above 0"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = _at_least_one("LinearLR", total_iters=total_iters)
        super().__init__(optimizer)

    def rate(self, initial_lr: float, t: int) -> float:
        """Return the rate on the straight line between the two, and then at its end."""
        share = min(t / self.total_iters, 1)
        return initial_lr * (self.start_factor + share * (self.end_factor - self.start_factor))


class CosineAnnealingLR(LRScheduler):
    """Fall to ``eta_min`` in ``T_max`` steps, along half a cosine (Loshchilov, Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = _at_least_one("CosineAnnealingLR", T_max=T_max)
        self.eta_min = self.floor = eta_min
        super().__init__(optimizer)

    def rate(self, initial_lr: float, t: int) -> float:
        """Return eta_min + (initial_lr - eta_min) (1 + cos(π t / T_max)) / 2."""
        return _along_cosine(initial_lr, self.eta_min, t / self.T_max)


class OneCycleLR(LRScheduler):
    """Go up to ``max_lr`` and down to almost nothing, the momentum the other way (Smith 2018).

    Parameters
    ----------
    optimizer : Optimizer
        What to schedule.
    max_lr : float
        The highest rate.
    total_steps : int, optional
        The length of the cycle; or
    epochs, steps_per_epoch : int, optional
        whose product it is, in its place.
    pct_start : float
        The share of the cycle that goes up.
    cycle_momentum : bool
        Whether the momentum (Adam's first beta) goes down and up meanwhile.
    base_momentum, max_momentum : float
        The momentum at the highest rate, and at the lowest.
    div_factor, final_div_factor : float
        The cycle starts at max_lr / div_factor and ends at that / final_div_factor.

    Raises
    ------
    ValueError
        If the cycle has no step, ``pct_start`` is no share, or the optimiser has no momentum to
        cycle.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        *,
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR got pct_start={pct_start}: it is a share, from 0 to 1")
        self.max_lr = max_lr
        self.total_steps = _at_least_one("OneCycleLR", total_steps=total_steps)
        self.peak = pct_start * total_steps - 1
        self.momenta = (max_momentum, base_momentum) if cycle_momentum else None
        self.start_lr, self.end_lr = max_lr / div_factor, max_lr / div_factor / final_div_factor
        if cycle_momentum and not all(
            group.get("momentum") or "betas" in group for group in optimizer.param_groups
        ):
            raise ValueError(
                "OneCycleLR cycles the momentum, but this optimiser has none: give it a momentum, "
                "or set cycle_momentum=False"
            )
        super().__init__(optimizer)

    def rate(self, initial_lr: float, t: int) -> float:
        """Return the rate on the way up or down; what the optimiser had before does not count."""
        return self._between(t, self.start_lr, self.max_lr, self.end_lr)

    def step(self) -> None:
        """Go one step on, and set the optimiser's rates and momenta."""
        self._go_to(self.last_epoch + 1)

    def _go_to(self, t: int) -> None:
        if t > self.total_steps:  # as in PyTorch a step after the last one is no error yet
            raise ValueError(
                f"OneCycleLR was made for {self.total_steps} steps, and this is one more: "
                "total_steps must be epochs × len(loader)"
            )
        super()._go_to(t)
        if self.momenta is None:
            return
        high, low = self.momenta
        momentum = self._between(t, high, low, high)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def _between(self, t: int, start: float, middle: float, end: float) -> float:
        t = min(t, self.total_steps - 1)
        if t <= self.peak:
            return _along_cosine(start, middle, t / self.peak if self.peak else 1)
        return _along_cosine(middle, end, (t - self.peak) / (self.total_steps - 1 - self.peak))


class SequentialLR(LRScheduler):
    """One schedule after the other: a warm-up, and then a decay.

    Parameters
    ----------
    optimizer : Optimizer
        The one that all of them schedule.
    schedulers : sequence of LRScheduler
        In their order.
    milestones : sequence of int
        After how many steps the second, third, … takes over; each then counts from 0.

    Raises
    ------
    ValueError
        If there is not one milestone between each two schedules, or one of these is of another
        optimiser.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR got {len(schedulers)} schedules and {len(milestones)} milestones: "
                "it needs one milestone between each two"
            )
        if any(scheduler.optimizer is not optimizer for scheduler in schedulers):
            raise ValueError("SequentialLR got a schedule of another optimiser than its own")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        self.optimizer = optimizer
        self._go_to(0)

    def step(self) -> None:
        """Step the schedule whose turn it is; the first step of each sets the rates."""
        which, t = self._turn(self.last_epoch + 1)
        if t:
            self.last_epoch += 1
            self.schedulers[which].step()
        else:
            self._go_to(self.last_epoch + 1)

    def _go_to(self, t: int) -> None:
        self.last_epoch = t
        which, own = self._turn(t)
        self.schedulers[which]._go_to(own)

    def _turn(self, t: int) -> tuple[int, int]:
        """Return which schedule's turn it is after t steps, and how many of them are its own."""
        which = bisect.bisect_right(self.milestones, t)
        return which, t - (self.milestones[which - 1] if which else 0)


def _along_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _at_least_one(name: str, **setting: int) -> int:
    ((key, value),) = setting.items()
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} got {key}={value!r}: it must be a whole number from 1")
    return value
