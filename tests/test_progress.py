"""The progress file: nothing is lost, whatever the disk does."""

import ast
import errno
import json
import multiprocessing
import os
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from dlcourse import progress


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DLCOURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(progress, "_pending", [])
    monkeypatch.setattr(progress, "_warned", False)
    return tmp_path / "home"


def lesson(entry: bytes) -> bytes:
    return b'{"schema": 1, "lessons": {"perceptron": %s}}' % entry


def content(home: Path) -> dict:
    return json.loads((home / "progress.json").read_text())


def fail_with(number: int):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


def test_what_is_noted_is_in_the_file_and_loads_again(home):
    progress.solved("perceptron", "step")
    progress.guessed("perceptron", "xor", "b")
    progress.revealed("perceptron", "xor", "c")
    progress.guessed("perceptron", "angle", 30.5)
    progress.scored("perceptron", 3, 4)
    assert content(home)["schema"] == 1
    entry = content(home)["lessons"]["perceptron"]
    assert list(entry["exercises"]) == ["step"]
    assert entry["predictions"] == {
        "xor": {"guess": "b", "outcome": "c"},
        "angle": {"guess": 30.5},
    }
    assert entry["quiz"] == {"right": 3, "of": 4}
    assert progress.load() == content(home)["lessons"]


def test_numpys_numbers_are_kept_as_plain_ones(home):
    progress.guessed("perceptron", "angle", np.int64(30))
    progress.solved("perceptron", "step")
    assert content(home)["lessons"]["perceptron"]["predictions"] == {"angle": {"guess": 30}}


def test_nothing_is_created_by_looking(home):
    assert progress.load() == {}
    assert not home.exists()


def test_the_first_day_stays(home):
    home.mkdir()
    old = {"schema": 1, "lessons": {"perceptron": {"exercises": {"step": "2020-02-02"}}}}
    (home / "progress.json").write_text(json.dumps(old))
    progress.solved("perceptron", "step")
    assert progress.load() == old["lessons"]


def test_the_best_score_stays():
    for right, of in [(1, 4), (3, 4), (2, 4)]:
        progress.scored("welcome", right, of)
    assert progress.load()["welcome"]["quiz"] == {"right": 3, "of": 4}
    progress.scored("welcome", 4, 5)  # the quiz has grown: 4/5 beats 3/4
    assert progress.load()["welcome"]["quiz"] == {"right": 4, "of": 5}


def test_an_outcome_without_a_guess_is_not_noted():
    progress.revealed("perceptron", "xor", "c")
    assert progress.load().get("perceptron", {}) == {}


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/dlcourse"),
        ("linux", {"XDG_DATA_HOME": "not/absolute"}, "/home/ada/.local/share/dlcourse"),
        ("linux", {}, "/home/ada/.local/share/dlcourse"),
        ("darwin", {}, "/home/ada/Library/Application Support/dlcourse"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/dlcourse"),
        ("win32", {}, "/home/ada/AppData/Roaming/dlcourse"),
        ("linux", {"DLCOURSE_HOME": "~/mine"}, "/home/ada/mine"),
    ],
)
def test_the_folder_of_each_system(monkeypatch, platform, variables, expected):
    for name in ("DLCOURSE_HOME", "XDG_DATA_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert progress.folder() == Path(expected)


DAMAGED = {
    "half a file": b'{"schema": 1, "lessons": {"perc',
    "an empty file": b"",
    "not text": b"\xff\xfe\x00\x80",
    "too deep": b"[" * 100_000,
    "a list": b"[1, 2]",
    "no schema": b'{"lessons": {}}',
    "schema of words": b'{"schema": "one", "lessons": {}}',
    "lessons in a list": b'{"schema": 1, "lessons": []}',
    "a lesson that is a number": lesson(b"3"),
    "exercises in a list": lesson(b'{"exercises": ["step"]}'),
    "a day that is none": lesson(b'{"exercises": {"step": null}}'),
    "no guess": lesson(b'{"predictions": {"xor": {}}}'),
    "a score too high": lesson(b'{"quiz": {"right": 5, "of": 4}}'),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_set_aside(home, capsys, damage):
    home.mkdir()
    (home / "progress.json").write_bytes(damage)
    progress.solved("perceptron", "step")
    assert (home / "progress.damaged-1.json").read_bytes() == damage
    assert str(home / "progress.damaged-1.json") in capsys.readouterr().err
    assert list(content(home)["lessons"]["perceptron"]["exercises"]) == ["step"]


def test_a_second_damaged_file_does_not_replace_the_first(home):
    home.mkdir()
    for damage in ("first", "second"):
        (home / "progress.json").write_text(damage)
        progress.load()
    assert [(home / f"progress.damaged-{n}.json").read_text() for n in (1, 2)] == [
        "first",
        "second",
    ]


def test_a_newer_file_is_left_alone(home, capsys):
    home.mkdir()
    newer = '{"schema": 2, "chapters": []}'
    (home / "progress.json").write_text(newer)
    progress.solved("perceptron", "step")
    assert (home / "progress.json").read_text() == newer
    assert "newer" in capsys.readouterr().err
    assert "step" in progress.load()["perceptron"]["exercises"]  # for this session


@pytest.mark.parametrize("place", ["os.fsync", "os.replace", "tempfile.mkstemp", "builtins.open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_bad_disk_costs_one_warning_and_nothing_else(home, capsys, monkeypatch, place, number):
    progress.solved("welcome", "mse")
    before = content(home)
    with monkeypatch.context() as patch:
        patch.setattr(place, fail_with(number))
        progress.solved("perceptron", "step")
        progress.solved("perceptron", "fit")
    assert content(home) == before
    assert [path.name for path in home.iterdir() if path.suffix == ".tmp"] == []
    warning = capsys.readouterr().err
    assert warning.count("cannot be saved") == 1
    assert os.strerror(number) in warning
    assert "DLCOURSE_HOME" in warning
    assert set(progress.load()["perceptron"]["exercises"]) == {"step", "fit"}  # written by now, too
    assert set(content(home)["lessons"]) == {"welcome", "perceptron"}


def test_what_could_not_be_saved_is_loaded_meanwhile(home, monkeypatch):
    progress.solved("welcome", "mse")
    monkeypatch.setattr(os, "replace", fail_with(errno.ENOSPC))
    progress.solved("perceptron", "step")
    assert set(progress.load()) == {"welcome", "perceptron"}


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DLCOURSE_HOME", str(tmp_path / "file" / "home"))
    progress.solved("perceptron", "step")
    assert "cannot be saved" in capsys.readouterr().err
    assert "step" in progress.load()["perceptron"]["exercises"]


def test_no_home_at_all(monkeypatch, capsys):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DLCOURSE_HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    progress.solved("perceptron", "step")
    assert "cannot be saved" in capsys.readouterr().err
    assert "step" in progress.load()["perceptron"]["exercises"]


def _solve_many(home: str, writer: int) -> None:
    os.environ["DLCOURSE_HOME"] = home
    for number in range(25):
        progress.solved("perceptron", f"{writer}-{number}")


def test_processes_do_not_lose_each_others_entries(home):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_solve_many, args=(str(home), n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    expected = {f"{writer}-{number}" for writer in range(4) for number in range(25)}
    assert set(progress.load()["perceptron"]["exercises"]) == expected


def test_threads_do_not_lose_each_others_entries():
    threads = [
        threading.Thread(target=lambda n=n: [progress.solved("mlp", f"{n}-{i}") for i in range(10)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(progress.load()["mlp"]["exercises"]) == 40


def test_windows_locks_and_unlocks_the_same_byte(monkeypatch):
    calls = []
    windows = types.SimpleNamespace(
        LK_LOCK=1, LK_UNLCK=0, locking=lambda file, mode, size: calls.append((mode, size))
    )
    monkeypatch.setattr(progress, "flock", None)
    monkeypatch.setattr(progress, "msvcrt", windows, raising=False)
    progress.solved("perceptron", "step")
    assert calls == [(1, 1), (0, 1)]


def test_the_browsers_python_has_no_locks(home, monkeypatch):
    monkeypatch.setattr(progress, "flock", None)
    monkeypatch.setattr(progress, "msvcrt", None, raising=False)
    progress.solved("perceptron", "step")
    assert "perceptron" in content(home)["lessons"]


def test_it_imports_the_standard_library_alone():
    tree = ast.parse(Path(progress.__file__).read_text(encoding="utf-8"))
    modules = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names
    assert not {"socket", "urllib", "http"} & modules  # nor does it send anything


@pytest.mark.parametrize(
    "note",
    [
        lambda: progress.guessed("a", "t", (1, 2)),
        lambda: progress.guessed("a", "t", np.array([1, 2])),
        lambda: progress.guessed("a", "t", None),
        lambda: progress.revealed("a", "t", [1]),
        lambda: progress.scored("a", 5, 4),
    ],
)
def test_what_the_file_could_not_hold_is_refused_and_forgotten(note):
    progress.solved("a", "one")
    with pytest.raises(ValueError, match=r"not a|5 right of 4"):
        note()
    progress.guessed("a", "number", np.float32(0.5))
    assert progress.load()["a"]["predictions"] == {"number": {"guess": 0.5}}
    assert "one" in progress.load()["a"]["exercises"]
