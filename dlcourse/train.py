"""The training loop: a generator that knows nothing of pictures. Whoever iterates decides."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import json
import math
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.nn import Module
from dlcourse.optim import Optimizer, clip_grad_norm_
from dlcourse.tensor import Tensor, no_grad

__all__ = [
    "EarlyStopping",
    "Evaluation",
    "Step",
    "evaluate",
    "keep_freed_memory",
    "load",
    "load_checkpoint",
    "progress",
    "save",
    "save_checkpoint",
    "train",
]


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
        The batches of an epoch, such as a `DataLoader`.
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
    return _steps(model, loss_fn, optimizer, loader, epochs, max_norm, after)


def _steps(model, loss_fn, optimizer, loader, epochs, max_norm, after) -> Iterator[Step]:
    keep_freed_memory()
    step, first = (after.step, after.epoch) if after else (0, 1)
    for epoch in range(first, epochs + 1):
        before = step
        for *inputs, target in loader:
            step += 1
            model.train()
            loss = _one_step(model, loss_fn, optimizer, inputs, target, step, max_norm)
            yield Step(step, epoch, loss, optimizer.lr)
        if step == before and not (after and epoch == first):
            raise ValueError(
                "the loader gave no batch: are there fewer examples than a batch needs "
                "(drop_last=True)?"
            )


def _one_step(model, loss_fn, optimizer, inputs, target, step, max_norm) -> float:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the loss tells it
        optimizer.zero_grad()
        loss = loss_fn(model(*inputs), target)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(_why_not_finite(value, step, optimizer.lr, (*inputs, target)))
        loss.backward()
        if max_norm is not None:
            clip_grad_norm_(model.parameters(), max_norm)
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


class EarlyStopping:
    """Notice when a validation loss has stopped falling, and keep the best parameters.

    Parameters
    ----------
    model : Module
        Whose parameters to keep.
    patience : int
        How many times in a row the loss may fail to fall.
    min_delta : float
        A fall of no more than this counts for nothing.

    Attributes
    ----------
    best : float
        The lowest loss so far.

    Examples
    --------
    >>> from dlcourse import nn
    >>> stopping = EarlyStopping(nn.Linear(1, 1), patience=2)
    >>> [stopping(loss) for loss in (0.9, 0.5, 0.6, 0.55, 0.7)]
    [False, False, False, True, True]
    """

    def __init__(self, model: Module, patience: int = 5, min_delta: float = 0.0) -> None:
        self.model, self.patience, self.min_delta = model, patience, min_delta
        self.best, self.failures = math.inf, 0
        self._state = model.state_dict()

    def __call__(self, loss: float) -> bool:
        """Note a validation loss; return whether it is time to stop."""
        if loss < self.best - self.min_delta:
            self.best, self.failures, self._state = loss, 0, self.model.state_dict()
        else:
            self.failures += 1
        return self.failures >= self.patience

    def restore(self) -> None:
        """Give the model the parameters that it had at the lowest loss."""
        self.model.load_state_dict(self._state)


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


def save_checkpoint(path: str | os.PathLike, step: Step, **parts: Any) -> None:
    """Write all that a training needs to go on exactly as if it had never stopped.

    Parameters
    ----------
    path : path
        The file, written as by `save`.
    step : Step
        The last one taken.
    **parts
        Whatever has a state: ``model=model, optimizer=optimizer, loader=loader``, and a
        ``scheduler`` where there is one.

    Raises
    ------
    ValueError
        If a part has no ``state_dict``.
    """
    arrays: dict[str, Any] = {}
    state = {name: _state_of(name, part).state_dict() for name, part in parts.items()}
    tree = _without_arrays({"step": dataclasses.asdict(step), **state}, "", arrays)
    save({**arrays, _TREE: np.array(json.dumps(tree))}, path)


def load_checkpoint(path: str | os.PathLike, **parts: Any) -> Step:
    """Put every part back into the state that `save_checkpoint` wrote.

    Parameters
    ----------
    path : path
        The file.
    **parts
        The same names, with parts built in the same way.

    Returns
    -------
    Step
        The last one taken: go on with ``train(…, after=step)``.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or a part is missing in it or does not fit.
    """
    arrays = load(path)
    if _TREE not in arrays:
        raise ValueError(
            f"{os.fspath(path)} is a state dict, not a checkpoint: use load_state_dict(load(path))"
        )
    state = _with_arrays(json.loads(str(arrays[_TREE])), arrays)
    if missing := sorted(set(parts) - set(state)):
        raise ValueError(
            f"{os.fspath(path)} holds {', '.join(state)}, but no {', '.join(missing)}: name the "
            "parts as save_checkpoint() did"
        )
    for name, part in parts.items():
        _state_of(name, part).load_state_dict(state[name])
    return Step(**state["step"])


_TREE = "checkpoint.json"  # everything but the arrays, which it names by where they stand


def _state_of(name: str, part: Any) -> Any:
    if not hasattr(part, "state_dict"):
        raise ValueError(
            f"a checkpoint got {name}={type(part).__name__}, which has no state_dict(): pass the "
            "model, the optimiser, the loader, the schedule themselves"
        )
    return part


def _without_arrays(tree: Any, name: str, arrays: dict[str, Any]) -> Any:
    if isinstance(tree, np.ndarray):
        arrays[name] = tree
        return {"array": name}
    if isinstance(tree, Mapping):  # pairs, since JSON would make every key a text
        pairs = [(k, _without_arrays(v, f"{name}/{k}", arrays)) for k, v in tree.items()]
        return {"dict": pairs}
    if isinstance(tree, (list, tuple)):
        items = [_without_arrays(v, f"{name}/{i}", arrays) for i, v in enumerate(tree)]
        return {type(tree).__name__: items}
    return tree


def _with_arrays(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {k: _with_arrays(v, arrays) for k, v in content}
    return {"list": list, "tuple": tuple}[kind](_with_arrays(v, arrays) for v in content)
