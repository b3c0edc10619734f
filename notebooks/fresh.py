"""Get a lesson as it was, or the newest course, and keep what you wrote.

    python notebooks/fresh.py 02
    python notebooks/fresh.py --update

The first gives lesson 02 back as the course has it. The second does so for every lesson that you
changed, and then gets the newest version of the course. In both, your own copy moves to the folder
kept/ under a name with today's date; nothing is overwritten and nothing has to be merged.
"""

import argparse
import datetime
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
KEPT = FOLDER.parent / "kept"


def git(*arguments: str) -> str:
    """Run git in the course's folder and give what it prints; end with its message if it fails."""
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=FOLDER, capture_output=True, text=True, encoding="utf-8"
        )
    except FileNotFoundError:
        sys.exit("This needs git. Without it, download the course again into another folder.")
    if run.returncode:
        sys.exit(f"git {' '.join(arguments)}:\n{run.stderr.strip()}")
    return run.stdout


def keep(path: Path) -> Path:
    """Move a notebook to a name in kept/ that is free."""
    KEPT.mkdir(exist_ok=True)
    stem = f"{path.stem}-{datetime.date.today().isoformat()}"
    names = (KEPT / f"{stem}{suffix}.ipynb" for suffix in ("", *map("-{}".format, range(2, 1000))))
    free = next(itertools.filterfalse(Path.exists, names))
    shutil.move(path, free)
    return free


def renew(path: Path) -> None:
    """Give a lesson back as the course has it."""
    if not git("status", "--porcelain", "--", str(path)):
        print(f"{path.name} is as the course has it.")
        return
    if path.exists():
        print(f"{path.name} is new again; yours is kept as kept/{keep(path).name}")
    git("checkout", "HEAD", "--", str(path))


def changed() -> list[Path]:
    """Give the lessons that differ from the course's."""
    names = git("diff", "--name-only", "--relative", "HEAD", "--", "*.ipynb").split()
    return [FOLDER / name for name in names]


def find(lesson: str) -> Path:
    """Give the notebook that a number or a name means."""
    names = git("ls-files", "*.ipynb").split()
    found = [name for name in names if lesson in (name, name[:2], name[3:-6])]
    if not found:
        sys.exit(f"There is no lesson {lesson!r}; there are {', '.join(n[:2] for n in names)}.")
    return FOLDER / found[0]


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="such as 02")
    parser.add_argument("--update", action="store_true", help="get the newest course")
    arguments = parser.parse_args()
    if not arguments.lessons and not arguments.update:
        parser.error("name a lesson, such as 02, or --update")
    git("rev-parse", "HEAD")  # a downloaded folder has no history; say so before anything moves
    for path in changed() if arguments.update else map(find, arguments.lessons):
        renew(path)
    if arguments.update:
        print(git("pull", "--ff-only").strip())
    print("In JupyterLab, close the lesson's tab and open it again.")


if __name__ == "__main__":
    main()
