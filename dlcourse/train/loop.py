"""The training loop: a generator that knows nothing of pictures. Whoever iterates decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse.nn import Module
from dlcourse.nn.module import evaluating
from dlcourse.optim import Optimizer, clip_grad_norm_
from dlcourse.tensor import Tensor, no_grad
from dlcourse.train.process import settle

__all__ = ["Evaluation", "Step", "evaluate", "train"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of training.

    Attributes
    ----------
    step : int
        How many steps have been taken, this one included.
    epoch : int
        Which pass through the data this is, from 1.
    loss : float
        The loss of this batch, before the step.
    lr : float
        The learning rate of this step.
    """

    step: int
    epoch: int
    loss: float
    lr: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is on some data.

    Attributes
    ----------
    loss : float
        The mean loss per example.
    accuracy : float or None
        The share of examples whose largest output is at their label; None where the targets are
        not labels.
    """

    loss: float
    accuracy: float | None


def train(
    model: Module,
    loss_fn: Callable[[Tensor, Any], Tensor],
    optimizer: Optimizer,
    loader: Iterable[tuple],
    *,
    epochs: int,
    max_norm: float | None = None,
    after: Step | None = None,
) -> Iterator[Step]:
    """Train a model, one step each time that the caller asks for the next.

    Parameters
    ----------
    model : Module
        Called with all arrays of a batch but the last.
    loss_fn : callable
        Takes the model's output and the last array of the batch; returns one number.
    optimizer : Optimizer
        Built on ``model.parameters()``.
    loader : iterable of tuple
        The batches of an epoch, such as a `DataLoader`; for one epoch a generator of batches does.
    epochs : int
        How many times to go through the data.
    max_norm : float, optional
        Clip the gradients to this norm before each step (`optim.clip_grad_norm_`).
    after : Step, optional
        Go on counting after this step, as one does from a checkpoint (`load_checkpoint`).

    Yields
    ------
    Step
        After each optimiser step.

    Raises
    ------
    ValueError
        If ``epochs`` is not a whole number from 1, the loader is empty or the loss is no number.
    FloatingPointError
        If the loss becomes NaN or infinite; the parameters stay as they were before that batch.

    Notes
    -----
    The first step makes two settings for the whole process, since they make steps several times
    faster: see `process.settle`, which also says how to refuse them.

    Examples
    --------
    >>> *_, last = train(model, F.cross_entropy, optimizer, loader, epochs=3)  # doctest: +SKIP
    """
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise ValueError(f"train() got epochs={epochs!r}: it must be a whole number from 1")
    if epochs > 1 and iter(loader) is loader:
        raise ValueError(
            "train() got an iterator, which ends after one epoch: pass the DataLoader itself"
        )
    return _steps(model, loss_fn, optimizer, loader, epochs, max_norm, after)


def _steps(model, loss_fn, optimizer, loader, epochs, max_norm, after) -> Iterator[Step]:
    settle()
    step, first = (after.step, after.epoch) if after else (0, 1)
    for epoch in range(first, epochs + 1):
        before = step
        for batch in loader:
            *inputs, target = _parts(batch)
            step += 1
            if not model.training:  # as a look at it may have left it
                model.train()
            loss = _one_step(model, loss_fn, optimizer, inputs, target, step, max_norm)
            yield Step(step, epoch, loss, optimizer.lr)
        if step == before and not (after and epoch == first):
            raise ValueError(
                "the loader gave no batch: are there fewer examples than a batch needs "
                "(drop_last=True)?"
            )


def _parts(batch: Any) -> Sequence:
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        of = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
        raise ValueError(
            f"train() got a {type(batch).__name__}{of} for a batch: the loader must give tuples of "
            "inputs and targets, DataLoader((x, y)); for an autoencoder DataLoader((x, x))"
        )
    return batch


def _one_step(model, loss_fn, optimizer, inputs, target, step, max_norm) -> float:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the loss tells it
        optimizer.zero_grad()
        loss = loss_fn(model(*inputs), target)
        if not isinstance(loss, Tensor) or loss.data.size != 1:
            shape = f" of shape {loss.shape}" if isinstance(loss, Tensor) else ""
            raise ValueError(
                f"train() got {type(loss).__name__}{shape} from loss_fn: the loss must be a tensor "
                "of one number, computed by functions of dlcourse, so that backward() can follow"
            )
        value = loss.item()
        if not math.isfinite(value):
            batch = (*inputs, target)
            raise FloatingPointError(_why_not_finite(value, step, optimizer.lr, batch, model))
        loss.backward()
        if all(p.grad is None for group in optimizer.param_groups for p in group["params"]):
            raise ValueError(
                "train() got an optimizer whose parameters have no part in the loss: build it on "
                "this model's, SGD(model.parameters()), after the last change of the model"
            )
        if max_norm is not None:
            # the optimiser's only: other parameters' gradients are not set to zero, and grow
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            clip_grad_norm_(parameters, max_norm)
        optimizer.step()
    return value


def _why_not_finite(value: float, step: int, lr: float, batch: tuple, model: Module) -> str:
    for i, array in enumerate(batch):
        array = np.asarray(array)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            what = "the target" if i == len(batch) - 1 else f"input {i}"
            at = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
            return (
                f"step {step}: the loss is {value}, because {what} of the batch holds {array[at]} "
                f"at {at}: remove or fill in such values before training"
            )
    if any(np.isnan(p.data).any() for p in model.parameters()):
        return (
            f"step {step}: the loss is {value}, because a parameter is NaN: in the step before a "
            "gradient was, as that of a root or a logarithm at 0 is, or of 0 divided by 0"
        )
    return (
        f"step {step}: the loss is {value} (learning rate {lr:g}): the parameters have grown "
        f"without bound. Start again with a smaller rate, such as {lr / 10:g}; if that does not "
        "help, scale the inputs to about -1 to 1"
    )


def evaluate(model: Module, loss_fn: Callable, loader: Iterable[tuple]) -> Evaluation:
    """Measure a model in eval mode, without recording gradients.

    Parameters
    ----------
    model, loss_fn, loader
        As in `train`; the loss must be a mean over the batch. A `DataLoader` gives its examples in
        their order, and stays where it is: it may be the one that is trained on.

    Returns
    -------
    Evaluation
        The mean loss and the accuracy over all examples.

    Raises
    ------
    ValueError
        If the loader is empty.
    """
    total = correct = count = 0
    labelled = True
    loader = loader.in_order() if hasattr(loader, "in_order") else loader
    with no_grad(), evaluating(model):
        for *inputs, target in loader:
            out, n = model(*inputs), len(target)
            total += loss_fn(out, target).item() * n
            count += n
            labels = np.asarray(target)
            one_each = labels.dtype.kind in "iu" and labels.ndim == 1
            labelled = labelled and one_each and out.ndim == 2 and out.shape[1] > 1
            if labelled:
                correct += int((out.data.argmax(axis=1) == labels).sum())
    if count == 0:
        raise ValueError("evaluate() got no examples: the loader gave no batch")
    return Evaluation(total / count, correct / count if labelled else None)
