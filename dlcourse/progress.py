"""What the reader did, in one local JSON file. Nothing in it is ever sent anywhere.

The file is ``progress.json`` in `folder()`:

    {"schema": 1,
     "lessons": {"perceptron": {"exercises": {"step": "2026-05-01"},
                                "predictions": {"xor": {"guess": "b", "outcome": "a"}},
                                "quiz": {"right": 3, "of": 4}}}}

Every change is one read, merge and atomic write under a lock, so that two notebooks open at once
keep each other's entries. Where that cannot be done (a full disk, a read-only folder) the changes
wait in memory, the reader is told once, and they are written at the next chance.
"""

import contextlib
import datetime
import itertools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # Windows has msvcrt instead; in the browser there is one process and neither
    flock = None
    try:
        import msvcrt
    except ImportError:
        msvcrt = None

__all__ = ["folder", "guessed", "load", "revealed", "scored", "solved"]

SCHEMA = 1

_pending: list[tuple[str, Callable[[dict], None]]] = []  # (lesson, change) not yet in the file
_guard = threading.Lock()  # a widget's handler may run in another thread than the cell
_warned = False


def folder() -> Path:
    """Return the folder of the progress file: ``DLCOURSE_HOME``, else the user's data folder.

    In a browser (JupyterLite) it is the lessons' own folder: the browser keeps that one.

    Returns
    -------
    Path
        Not necessarily existing yet.
    """
    if home := os.environ.get("DLCOURSE_HOME"):
        return Path(home).expanduser()
    if sys.platform == "emscripten":
        return Path.cwd()
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:  # the XDG specification says to ignore a relative path
        base = os.environ.get("XDG_DATA_HOME", "")
        base = base if os.path.isabs(base) else Path.home() / ".local" / "share"
    return Path(base) / "dlcourse"


def solved(lesson: str, exercise: str) -> None:
    """Note today as the day on which an exercise was solved; an earlier day stays.

    Parameters
    ----------
    lesson, exercise : str
        Such as ``"perceptron"``, ``"step"``.
    """
    today = datetime.date.today().isoformat()
    _note(lesson, lambda entry: entry.setdefault("exercises", {}).setdefault(exercise, today))


def guessed(lesson: str, name: str, guess: str | float) -> None:
    """Note a prediction, before its outcome is known.

    Parameters
    ----------
    lesson, name : str
        Such as ``"perceptron"``, ``"xor"``.
    guess : str or float
        The letter of an option, or a number.
    """
    guess = _plain(guess)
    _note(
        lesson, lambda entry: entry.setdefault("predictions", {}).update({name: {"guess": guess}})
    )


def revealed(lesson: str, name: str, outcome: str | float) -> None:
    """Note the outcome beside the guess; without a guess there is nothing to note.

    Parameters
    ----------
    lesson, name : str
        As in `guessed`.
    outcome : str or float
        What really happened.
    """
    outcome = _plain(outcome)

    def change(entry: dict) -> None:
        if name in entry.get("predictions", {}):
            entry["predictions"][name]["outcome"] = outcome

    _note(lesson, change)


def scored(lesson: str, right: int, of: int) -> None:
    """Note a quiz's score; a better earlier one stays.

    Parameters
    ----------
    lesson : str
        Such as ``"perceptron"``.
    right, of : int
        Questions answered right, and asked.
    """
    if not 0 <= right <= of:
        raise ValueError(f"scored() got {right} right of {of}: it can be 0 to {of}")

    def change(entry: dict) -> None:
        best = entry.get("quiz", {"right": 0, "of": of})
        if right * best["of"] >= best["right"] * of:
            entry["quiz"] = {"right": right, "of": of}

    _note(lesson, change)


def load() -> dict[str, dict]:
    """Return all that is known: the file's entries and those that could not be written yet.

    Returns
    -------
    dict
        Lesson → ``{"exercises": …, "predictions": …, "quiz": …}``, each part only if there is one.
    """
    with _guard:
        return _sync()


def _plain(value: Any) -> str | float:
    """Return a guess as the file can hold it; numpy's numbers come from a slider over an array."""
    plain = value.item() if getattr(value, "size", 0) == 1 else value
    if not isinstance(plain, (str, int, float)):
        raise ValueError(
            f"a guess and its outcome are a text or one number each, not a {type(value).__name__}"
        )
    return plain


def _note(lesson: str, change: Callable[[dict], None]) -> None:
    with _guard:
        _pending.append((lesson, change))
        _sync()


def _sync() -> dict[str, dict]:
    """Merge what is pending into the file and return what it holds; a bad disk never raises."""
    global _warned
    try:
        path = folder() / "progress.json"
        if not _pending and not path.exists():
            return {}
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            lessons = _merged(_read(path))
            if _pending:
                _write(path, lessons)
                _pending.clear()
        _warned = False
        return lessons
    except (OSError, RuntimeError) as error:  # RuntimeError: Path.home() knows no home
        if _pending and not _warned:
            _warned = True
            _say(
                f"Your progress cannot be saved: {error}\n"
                "It is kept while this kernel runs, and saved with the next one if that works. "
                "To keep it elsewhere, set the environment variable DLCOURSE_HOME to a folder that "
                "you can write to, and restart JupyterLab."
            )
        return _merged(_peek())


def _merged(lessons: dict[str, dict]) -> dict[str, dict]:
    for lesson, change in _pending:
        change(lessons.setdefault(lesson, {}))
    return lessons


def _read(path: Path) -> dict[str, dict]:
    """Return the file's lessons; set a damaged file aside. Only under the lock."""
    try:
        data = _parse(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        names = (path.with_name(f"progress.damaged-{n}.json") for n in itertools.count(1))
        aside = next(name for name in names if not name.exists())
        path.rename(aside)
        _say(f"Your progress file was damaged. It was kept as {aside}, and a new one is begun.")
        return {}
    if data["schema"] > SCHEMA:
        raise OSError(
            f"{path} was written by a newer dlcourse. It is left as it is: update dlcourse."
        )
    return data["lessons"]


def _peek() -> dict[str, dict]:
    """Return the file's lessons where nothing can be locked or mended, or nothing."""
    try:
        data = _parse((folder() / "progress.json").read_bytes())
        return data["lessons"] if data["schema"] <= SCHEMA else {}
    except (OSError, RuntimeError, ValueError):
        return {}


def _parse(text: bytes) -> dict:
    """Return the file's content; raise ValueError unless its form is the docstring's above."""
    try:
        data = json.loads(text)
        if data["schema"] > SCHEMA:  # its form is not ours to judge
            return data
        for lesson in data["lessons"].values():
            days = lesson.get("exercises", {}).values()
            guesses = [entry["guess"] for entry in lesson.get("predictions", {}).values()]
            quiz = lesson.get("quiz", {"right": 0, "of": 1})
            fits = all(isinstance(day, str) for day in days)
            fits &= all(isinstance(guess, str | int | float) for guess in guesses)
            fits &= 0 <= quiz["right"] <= quiz["of"]
            if not fits:
                raise ValueError("an entry of the wrong kind")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError("not a progress file") from error
    return data


def _write(path: Path, lessons: dict[str, dict]) -> None:
    """Write a file beside the old one, then swap: at no moment is there half a file."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix="progress-", suffix=".tmp")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            content = {"schema": SCHEMA, "lessons": lessons}
            json.dump(content, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock between processes; the operating system frees it even if this one dies."""
    with open(path, "ab") as file:
        if flock:
            flock(file, LOCK_EX)
        elif msvcrt:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            if not flock and msvcrt:
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def _say(message: str) -> None:
    print(message, file=sys.stderr)
