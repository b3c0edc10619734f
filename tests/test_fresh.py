"""A pristine copy of a lesson, and an update without a merge; what the reader wrote is kept."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "notebooks/fresh.py"


def git(folder, *arguments):
    name = ["-c", "user.name=a reader", "-c", "user.email=reader@example.org"]
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    """Give a clone of a small course of two lessons."""
    course = tmp_path / "course"
    (course / "notebooks").mkdir(parents=True)
    shutil.copy(SCRIPT, course / "notebooks")
    for name in ("00_welcome", "01_perceptron"):
        (course / f"notebooks/{name}.ipynb").write_text(f"{name} as it was")
    git(course, "init", "-q")
    git(course, "add", "-A")
    git(course, "commit", "-qm", "The course")
    git(tmp_path, "clone", "-q", "course", "clone")
    return tmp_path / "clone"


def fresh(clone, *arguments):
    return subprocess.run(
        [sys.executable, clone / "notebooks/fresh.py", *arguments], capture_output=True, text=True
    )


@pytest.mark.parametrize("lesson", ["01", "perceptron", "01_perceptron.ipynb"])
def test_a_lesson_is_new_again_and_the_old_one_is_kept(clone, lesson):
    path = clone / "notebooks/01_perceptron.ipynb"
    for number in (1, 2, 3):
        path.write_text(f"worked in, {number}")
        assert fresh(clone, lesson).returncode == 0
        assert path.read_text() == "01_perceptron as it was"
    kept = sorted(clone.glob("kept/01_perceptron-*.ipynb"))
    assert {p.read_text() for p in kept} == {f"worked in, {number}" for number in (1, 2, 3)}


def test_a_lesson_that_was_not_changed_is_left_alone(clone):
    run = fresh(clone, "00")
    assert "as the course has it" in run.stdout
    assert not (clone / "kept").exists()


def test_a_deleted_lesson_comes_back(clone):
    (clone / "notebooks/00_welcome.ipynb").unlink()
    assert fresh(clone, "00").returncode == 0
    assert (clone / "notebooks/00_welcome.ipynb").exists()


def test_an_update_needs_no_merge(clone):
    course = clone.parent / "course"
    (course / "notebooks/00_welcome.ipynb").write_text("00_welcome, better")
    (course / "notebooks/02_mlp.ipynb").write_text("a new lesson")
    git(course, "add", "-A")
    git(course, "commit", "-qm", "Better")
    (clone / "notebooks/00_welcome.ipynb").write_text("worked in")
    run = fresh(clone, "--update")
    assert run.returncode == 0, run.stderr
    assert (clone / "notebooks/00_welcome.ipynb").read_text() == "00_welcome, better"
    assert (clone / "notebooks/02_mlp.ipynb").exists()
    assert [p.read_text() for p in clone.glob("kept/*")] == ["worked in"]


def test_what_cannot_be_done_is_said_and_moves_nothing(clone, tmp_path):
    assert "no lesson '07'; there are 00, 01" in fresh(clone, "07").stderr
    assert "name a lesson" in fresh(clone).stderr
    (clone / "notebooks/00_welcome.ipynb").write_text("worked in")
    shutil.rmtree(clone / ".git")
    assert fresh(clone, "00").returncode != 0
    assert (clone / "notebooks/00_welcome.ipynb").read_text() == "worked in"
