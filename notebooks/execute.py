"""Execute lessons and write them the way they are committed.

    python notebooks/execute.py [NOTEBOOK ...]
    python notebooks/execute.py --check [NOTEBOOK ...]

Without names, all lessons. With --check nothing is written: each lesson is executed twice, at the
same time; both runs must give the same bytes, and the committed file too but for its pictures,
which another matplotlib or processor may draw a shade differently. A run must take under 45 s: of
a processor, which a busy machine stretches less than those of the clock; or of the clock, alone. A
machine slower than that of README's table gets as many times as long.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

FOLDER = Path(__file__).parent
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
WIDGET = "application/vnd.jupyter.widget-view+json"
SECONDS = 45
LSTM_STEP = 8.3  # the least milliseconds in README's table


def execute(path: Path) -> str:
    """Give a notebook's text after one run from a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as home:
        os.environ["DLCOURSE_HOME"] = home  # nobody's progress gets in or is changed
        os.environ["IPYTHONDIR"] = home  # nor anybody's start-up files
        # two kernels that start at the same time may pick the same port, but no file in `home`
        sockets = Config({"KernelManager": {"transport": "ipc", "ip": f"{home}/kernel"}})
        NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=300,
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            config=sockets if os.name == "posix" else Config(),
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()
    normalise(notebook)
    return nbformat.writes(notebook) + "\n"


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs from run to run or from machine to machine."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in ("tags", "jupyter")}
        for output in cell.get("outputs", []):
            # A widget is dead without its kernel; the text/plain beside it is what can be read.
            output.get("data", {}).pop(WIDGET, None)


def without_pictures(text: str) -> nbformat.NotebookNode:
    """Give a notebook whose pictures are left out."""
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind in ("image/png", "image/jpeg"):
                if kind in output.get("data", {}):
                    output.data[kind] = ""
    return notebook


def difference(old: str, new: str) -> str | None:
    """Name the first cell in which two notebooks differ."""
    old, new = without_pictures(old), without_pictures(new)
    if old == new:
        return None
    pairs = enumerate(zip(old.cells, new.cells, strict=False))
    cells = [f"cell {i}, {a.source.splitlines()[:1]}" for i, (a, b) in pairs if a != b]
    return cells[0] if cells else "the metadata or the number of cells"


def timed(path: Path) -> tuple[str, float]:
    """Give a notebook's text after one run, and the seconds of a processor that it took."""
    before = os.times()
    text = execute(path)
    after = os.times()  # the kernel is a child, and has ended
    return text, sum(after[2:4]) - sum(before[2:4])


def clocked(path: Path) -> float:
    """Give the seconds by the clock of one run that has both cores."""
    start = time.monotonic()
    execute(path)
    return time.monotonic() - start


def slowness() -> float:
    """Tell how many times as long the LSTM of README's table takes for a step on this machine."""
    benchmark = FOLDER.parent / "benchmarks" / "engine.py"
    command = [sys.executable, benchmark, "W4 LSTM", "--run", "dlcourse", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return max(1.0, json.loads(done.stdout)[1] / LSTM_STEP)


def check(path: Path) -> list[str]:
    """Give what is wrong with a notebook's repetition."""
    with ProcessPoolExecutor(2) as pool:
        runs, seconds = zip(*pool.map(timed, [path, path]), strict=True)
    print(f"{path.name}: {seconds[0]:.1f} s, {seconds[1]:.1f} s")
    wrong = []
    if runs[0] != runs[1]:
        wrong.append(f"two runs differ: {difference(*runs) or 'a picture'}")
    if min(seconds) > SECONDS:
        slow = slowness()
        print(f"{path.name}: on a machine {slow:.1f} times slower than README's")
        if min(seconds) > SECONDS * slow and (alone := clocked(path)) > SECONDS * slow:
            wrong.append(f"it takes {alone:.1f} s alone: more than {SECONDS} s × {slow:.1f}")
    if where := difference(path.read_text(encoding="utf-8"), runs[0]):
        wrong.append(f"the committed file is not what a run gives: {where}")
    return [f"{path.name}: {w}" for w in wrong]


def main() -> None:
    """Execute or check the notebooks named on the command line."""
    # This Python's own kernel, whatever other kernels the user has installed.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all lessons")
    arguments = parser.parse_args()
    notebooks = arguments.notebooks or sorted(FOLDER.glob("*.ipynb"))
    if not notebooks:
        sys.exit("no notebook found")
    if arguments.check:
        sys.exit("\n".join(fault for path in notebooks for fault in check(path)) or None)
    for path in notebooks:
        start = time.monotonic()
        path.write_text(execute(path), encoding="utf-8", newline="\n")
        print(f"{path.name}: {time.monotonic() - start:.1f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
