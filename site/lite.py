"""Build the course that runs inside a browser: a static folder, made with JupyterLite and Pyodide.

    python site/lite.py FOLDER [--pyodide URL]

Pyodide's numpy multiplies matrices at about a hundredth of a laptop's speed. So a line of a lesson
may end in a comment such as ``epochs = 8  # in the browser: 1``, and what stands before the comment
is exchanged for what the comment says.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYODIDE = "https://cdn.jsdelivr.net/pyodide/v0.27.7/full/pyodide.js"
LESSONS = "0[0-8]_*.ipynb"  # without 09, which needs PyTorch
# What Pyodide has not got itself. All are pure Python.
WHEELS = [
    "anywidget==0.11.0",
    "comm==0.2.3",
    "ipywidgets==8.1.9",
    "jupyterlab_widgets==3.0.17",
    "psygnal==0.16.1",
    "typing_extensions==4.16.0",
]
WELCOME = """\
**You are reading this lesson in your browser.** Nothing is installed: Python itself runs in this
page, and the next cell brings the course's package into it. Run it first; it takes about half a
minute. Python is much slower here than on your own computer, up to a hundred times in long sums, so
trainings are shortened where a line says so; the numbers in the text are those of the full ones. A
running cell cannot be stopped with ■; the longest take about a minute. What you change is kept in
this browser."""
SETUP = """\
%pip install -q dlcourse matplotlib ipywidgets anywidget
import logging

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it makes its cache once"""
SHORTER = re.compile(r"^( *)(\w+ ?= ?)?(.+?)(,?)  # in the browser: (.+)$", re.MULTILINE)


def shorten(source: str) -> str:
    """Exchange the value of a line, or the whole line, for what its comment says.

    >>> shorten("epochs = 8  # in the browser: 1")
    'epochs = 1  # on a laptop: 8'
    >>> shorten("assert accuracy > 0.98  # in the browser: assert accuracy > 0.9")
    'assert accuracy > 0.9  # on a laptop: assert accuracy > 0.98'
    """
    return SHORTER.sub(r"\1\2\5\4  # on a laptop: \3", source)


def lesson(path: Path) -> dict:
    """Give a lesson as it is in the browser: with a first cell that brings the package."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = shorten("".join(cell["source"]))
    notebook["cells"][1:1] = [
        {"cell_type": "markdown", "id": "in-browser", "metadata": {}, "source": WELCOME},
        {
            "cell_type": "code",
            "id": "set-up",
            "metadata": {},
            "source": SETUP,
            "execution_count": None,
            "outputs": [],
        },
    ]
    return notebook


def download(folder: Path) -> list[str]:
    """Build the course's wheel and get the others; give their paths."""
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, ROOT], check=True)
    anywhere = ["--platform", "any", "--python-version", "3.12", "--only-binary", ":all:"]
    subprocess.run([*pip, "download", "--no-deps", *anywhere, "-d", folder, *WHEELS], check=True)
    return [str(path) for path in sorted(folder.glob("*.whl"))]


def build(folder: Path, pyodide: str = PYODIDE) -> None:
    """Write the site into ``folder``, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        wheels = download(work / "wheels")
        (work / "lessons").mkdir()
        for path in sorted((ROOT / "notebooks").glob(LESSONS)):
            (work / "lessons" / path.name).write_text(json.dumps(lesson(path)), encoding="utf-8")
        config = {
            "LiteBuildConfig": {
                "contents": ["lessons"],
                "apps": ["lab"],
                "output_dir": str(folder.resolve()),
                "no_sourcemaps": True,
            },
            "PipliteAddon": {"piplite_urls": wheels},
        }
        kernel = {
            "pyodideUrl": pyodide,
            "disablePyPIFallback": True,
            "loadPyodideOptions": {"packages": ["matplotlib", "numpy"]},
        }
        settings = {
            "jupyter-lite-schema-version": 0,
            "jupyter-config-data": {
                "appName": "dlcourse",
                "litePluginSettings": {"@jupyterlite/pyodide-kernel-extension:kernel": kernel},
            },
        }
        (work / "jupyter_lite_config.json").write_text(json.dumps(config))
        (work / "jupyter-lite.json").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "jupyter", "lite", "build"]
        log = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if log.returncode:
            sys.exit(log.stdout + log.stderr)


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pyodide", default=PYODIDE, help="where Pyodide 0.27.7 is served")
    arguments = parser.parse_args()
    build(arguments.folder, arguments.pyodide)


if __name__ == "__main__":
    main()
