"""The training loop: a generator that knows nothing of pictures. Whoever iterates decides."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.nn import Module
from dlcourse.optim import Optimizer
from dlcourse.tensor import Tensor, no_grad

__all__ = ["Evaluation", "Step", "evaluate", "load", "save", "train"]


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
        The batches of an epoch, such as a `DataLoader`.
    epochs : int
        How many times to go through the data.

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
    The first step asks the C library to keep freed memory for the next one
    (`keep_freed_memory`); the environment variable ``DLCOURSE_KEEP_MEMORY=0`` refuses.

    Examples
    --------
    >>> *_, last = train(model, F.cross_entropy, optimizer, loader, epochs=3)  # doctest: +SKIP
    """
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise ValueError(f"train() got epochs={epochs!r}: it must be a whole number from 1")
    if iter(loader) is loader:
        raise ValueError(
            "train() got an iterator, which ends after one epoch: pass the DataLoader itself"
        )
    return _steps(model, loss_fn, optimizer, loader, epochs)


def _steps(model, loss_fn, optimizer, loader, epochs) -> Iterator[Step]:
    keep_freed_memory()
    step = 0
    for epoch in range(1, epochs + 1):
        before = step
        for *inputs, target in loader:
            step += 1
            model.train()
            loss = _one_step(model, loss_fn, optimizer, inputs, target, step)
            yield Step(step, epoch, loss, optimizer.lr)
        if step == before:
            raise ValueError(
                "the loader gave no batch: are there fewer examples than a batch needs "
                "(drop_last=True)?"
            )


def _one_step(model, loss_fn, optimizer, inputs, target, step) -> float:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the loss tells it
        optimizer.zero_grad()
        loss = loss_fn(model(*inputs), target)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(_why_not_finite(value, step, optimizer.lr, (*inputs, target)))
        loss.backward()
        optimizer.step()
    return value


def _why_not_finite(value: float, step: int, lr: float, batch: tuple) -> str:
    for i, array in enumerate(batch):
        array = np.asarray(array)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            what = "the target" if i == len(batch) - 1 else f"input {i}"
            at = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
            return (
                f"step {step}: the loss is {value}, because {what} of the batch holds {array[at]} "
                f"at {at}: remove or fill in such values before training"
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
        As in `train`; the loss must be a mean over the batch.

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
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            for *inputs, target in loader:
                out, n = model(*inputs), len(target)
                total += loss_fn(out, target).item() * n
                count += n
                labels = np.asarray(target)
                labelled = labelled and labels.dtype.kind in "iu" and out.ndim == 2
                if labelled:
                    correct += int((out.data.argmax(axis=1) == labels).sum())
    finally:
        for module, mode in modes:
            module.training = mode
    if count == 0:
        raise ValueError("evaluate() got no examples: the loader gave no batch")
    return Evaluation(total / count, correct / count if labelled else None)


@functools.cache
def keep_freed_memory() -> bool:
    """Tell the C library to keep the memory of freed arrays, for this whole process.

    Every step makes large arrays and frees them. By default glibc returns each to the system at
    once, and getting it back costs about 2 µs for each 4 KiB: up to half of the training time. Two
    settings (mallopt's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD) end that. `train` calls this.

    Returns
    -------
    bool
        Whether it was done: not where ``DLCOURSE_KEEP_MEMORY=0``, nor where the C library is
        another than glibc, which needs none of it.
    """
    if os.environ.get("DLCOURSE_KEEP_MEMORY") == "0":
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        m_trim_threshold, m_mmap_threshold = -1, -3
        # 32 MiB is the most that glibc takes for the first
        return libc.mallopt(m_mmap_threshold, 2**25) == libc.mallopt(m_trim_threshold, 2**30) == 1
    except (OSError, AttributeError):
        return False


# ---- files ------------------------------------------------------------------------------


def save(state_dict: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write a state dict to an ``.npz`` file: plain arrays, no code.

    The file is written beside its place and moved there when complete: if the disk is full, what
    stood there before is still there.

    Parameters
    ----------
    state_dict : mapping of str to array
        Such as ``model.state_dict()``.
    path : path
        The file.

    Raises
    ------
    ValueError
        If something in it is not an array of numbers.
    OSError
        If it cannot be written.
    """
    path = Path(path)
    arrays = {name: np.asarray(value) for name, value in state_dict.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiubU":
            raise ValueError(
                f"save() got {name!r} of {type(state_dict[name]).__name__}: a state dict holds "
                "arrays of numbers; pass model.state_dict()"
            )
    part = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a state dict that `save` wrote. Nothing in the file is ever run.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of str to numpy.ndarray
        For `Module.load_state_dict`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or something else than a state dict: a pickle, say, which could
        run any code.
    """
    problem = "it is no .npz archive of arrays"
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                arrays = {name: archive[name] for name in archive.files}
                if all(isinstance(array, np.ndarray) for array in arrays.values()):
                    return arrays
                problem = "it holds other things than arrays; PyTorch's .pt is a pickle inside"
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        problem = f"{error}"
    raise ValueError(
        f"{os.fspath(path)} cannot be read as a state dict: {problem}. If save() wrote it, "
        "it is damaged: save it again. From PyTorch, give save() the arrays "
        "{k: v.numpy() for k, v in model.state_dict().items()}"
    )
