"""State dicts and checkpoints as files: plain arrays, nothing that could run."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.nn import Module
from dlcourse.train.loop import Step

__all__ = ["load", "load_checkpoint", "save", "save_checkpoint"]


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
    if not isinstance(state_dict, Mapping):
        raise ValueError(
            f"save() got {type(state_dict).__name__}: it needs a dict of arrays, and then the "
            "path, save(model.state_dict(), path)"
        )
    path, arrays = Path(path), {}
    for name, value in state_dict.items():
        try:
            arrays[name] = np.asarray(value)
        except (ValueError, RuntimeError):  # rows of different lengths; a tensor with a gradient
            arrays[name] = np.empty((), object)
        if arrays[name].dtype.kind not in "fiubU":
            raise ValueError(
                f"save() got {name!r} of {type(value).__name__}: a state dict holds "
                "arrays of numbers; pass model.state_dict()"
            )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save(): there is no folder {path.parent}; make it first")
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
    with open(path, "rb") as file:
        try:
            if zipfile.is_zipfile(file):
                file.seek(0)
                archive = np.load(file, allow_pickle=False)
                arrays = {name: archive[name] for name in archive.files}
                if all(isinstance(array, np.ndarray) for array in arrays.values()):
                    return arrays
                problem = "it holds other things than arrays; PyTorch's .pt is a pickle inside"
        except Exception as error:  # a damaged archive fails in a dozen ways
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
        ``scheduler`` or ``stopping`` where there is one.

    Raises
    ------
    ValueError
        If a part has no ``state_dict``.

    Notes
    -----
    Save inside the loop, where `train` has just handed out ``step``: a step that was interrupted
    has taken its batch from the loader already.
    """
    arrays: dict[str, Any] = {}
    state = {name: _state(name, part) for name, part in parts.items()}
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
        If the file is no checkpoint, or a part is missing in it or does not fit; nothing is
        changed then.
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
    before: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
    try:
        for name, part in parts.items():
            before.append((part, _state(name, part), dict(vars(part))))
            _set_state(part, state[name])
    except Exception:  # one does not fit: all stay as they were
        for part, own, attributes in before:
            _set_state(part, own)
            vars(part).update(attributes)  # also what no state has, as where a loader stands
        raise
    return Step(**state["step"])


_TREE = "checkpoint.json"  # everything but the arrays, which it names by where they stand


def _state(name: str, part: Any) -> dict[str, Any]:
    if not hasattr(part, "state_dict"):
        raise ValueError(
            f"a checkpoint got {name}={type(part).__name__}, which has no state_dict(): pass the "
            "model, the optimiser, the loader, the schedule themselves"
        )
    # dropout draws from generators, which a state dict, with PyTorch's keys, has no place for
    generators = [generator.bit_generator.state for generator in _generators(part)]
    return {"state": part.state_dict(), "generators": generators}


def _set_state(part: Any, state: dict[str, Any]) -> None:
    generators = _generators(part)
    if len(generators) != len(state["generators"]):
        raise ValueError(
            f"the checkpoint is of a {type(part).__name__} with {len(state['generators'])} random "
            f"generators; this one has {len(generators)}: build it in the same way"
        )
    part.load_state_dict(state["state"])
    for generator, saved in zip(generators, state["generators"], strict=True):
        generator.bit_generator.state = saved


def _generators(part: Any) -> list[np.random.Generator]:
    values = (
        (v for m in part.modules() for v in vars(m).values()) if isinstance(part, Module) else ()
    )
    return [v for v in values if isinstance(v, np.random.Generator)]


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
    return tree.item() if isinstance(tree, np.generic) else tree


def _with_arrays(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {k: _with_arrays(v, arrays) for k, v in content}
    return {"list": list, "tuple": tuple}[kind](_with_arrays(v, arrays) for v in content)
