"""Whether the course is in the form in which it is shipped; a learner's copy need not be."""

import ast
import importlib
import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
MACHINE_PATH = re.compile(r"/(?:home|root|tmp|Users|var|mnt|work|opt)/\w|\b[A-Z]:\\\w")
LESSON_ORDER = re.compile(r"\d\d_\w+\.ipynb")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [(cell, output) for cell in code_cells(notebook) for output in cell.outputs]


def prose(notebook):
    """Give the lines of Markdown that are not code."""
    text = "\n".join(c.source + "\n" for c in notebook.cells if c.cell_type == "markdown")
    return re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S).splitlines()


def words(output):
    """Give what an output says, without its pictures."""
    data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
    return output.get("text", "") + "".join(map(str, data.values()))


def first_line(cell):
    return cell.source.strip().split("\n")[0]


def test_there_are_lessons_and_nothing_else():
    assert NOTEBOOKS
    assert [p.name for p in NOTEBOOKS if not LESSON_ORDER.fullmatch(p.name)] == []


def test_executed_once_from_top_to_bottom(notebook):
    cells = [cell for cell in code_cells(notebook) if cell.source.strip()]
    assert cells == code_cells(notebook), "an empty code cell"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_headings_descend_one_level_at_a_time(notebook):
    headings = [line for line in prose(notebook) if re.match(r"#{1,6} \S", line)]
    levels = [line.index(" ") for line in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1, "one title"
    assert notebook.cells[0].source.startswith("# ")
    assert all(below <= above + 1 for above, below in pairwise(levels)), headings


def test_every_picture_is_described_in_words(notebook):
    for cell, output in outputs(notebook):
        for kind in set(PICTURES) & set(output.get("data", {})):
            alt = output.metadata.get(kind, {}).get("alt", "")
            for text in (alt, output.data.get("text/plain", "")):
                assert len(text.split()) >= 4, f"{first_line(cell)}: {text!r} describes no picture"
                assert not text.startswith("<Figure"), first_line(cell)
    for line in prose(notebook):
        assert not re.search(r"!\[\s*\]", line), f"a picture without words: {line}"
        for tag in re.findall(r"<img[^>]*>", line):
            assert re.search(r'\balt="[^"]{10,}"', tag), tag


def test_small(path, notebook):
    assert path.stat().st_size < 1_000_000
    for cell, output in outputs(notebook):
        for kind in set(PICTURES) & set(output.get("data", {})):
            size = len(output.data[kind]) * 3 // 4
            assert size < 100 * 1024, f"{first_line(cell)}: a picture of {size} bytes"


def test_metadata_are_of_no_one_machine(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}, "no widget state, no times"
    assert notebook.metadata.language_info == {"name": "python"}
    assert all(set(cell.metadata) <= {"tags", "jupyter"} for cell in notebook.cells)
    assert not [
        1 for _, o in outputs(notebook) if any("widget-view" in k for k in o.get("data", {}))
    ]


def test_written_as_execute_writes_it(path, notebook):
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"


def test_no_machine_path_and_no_address_in_memory(notebook):
    for cell in notebook.cells:
        for text in [cell.source, *map(words, cell.get("outputs", []))]:
            assert not MACHINE_PATH.search(text), f"{first_line(cell)}: {text[:300]}"
            assert not re.search(r"\b0x[0-9a-fA-F]{6,}", text), f"{first_line(cell)}: {text[:300]}"


def test_nothing_is_fetched(notebook):
    fetching = r"https?://|\burllib\b|\brequests\b|\bsocket\b|^\s*[!%]\s*(pip|conda|wget|curl)\b"
    for cell in code_cells(notebook):
        code = re.sub(r"#.*", "", cell.source)
        assert not re.search(fetching, code, re.M), first_line(cell)
    for text in [*prose(notebook), *(words(output) for _, output in outputs(notebook))]:
        assert not re.search(r"!\[[^\]]*\]\(\s*(https?:)?//", text), text[:300]
        assert not re.search(r"<(img|script|iframe|link|video)\b[^>]*(https?:)?//", text), text[
            :300
        ]


def test_no_cell_hides_its_value_or_shows_a_clock(notebook):
    for cell in code_cells(notebook):
        assert not cell.source.rstrip().endswith(";"), first_line(cell)
        assert not re.search(r"^\s*%{1,2}time", cell.source, re.M), first_line(cell)


def test_no_error_and_no_bare_numpy_scalar(notebook):
    for cell, output in outputs(notebook):
        assert output.output_type != "error" or "raises-exception" in cell.metadata.get("tags", [])
        assert output.get("name") != "stderr", f"{first_line(cell)} warns: {output.text}"
        assert not re.match(r"np\.\w+\(", words(output)), f"{first_line(cell)}: {words(output)}"


def test_nothing_that_flickers(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(re.sub(r"^\s*[%!].*", "", cell.source, flags=re.M))):
            names = {getattr(node, part, None) for part in ("id", "attr", "name")}
            found = names & {"clear_output", "interact", "interactive", "Output"}
            assert not found, f"{first_line(cell)}: {found}"


def test_exercises_are_there_and_unsolved(path, notebook):
    source = "\n".join(cell.source for cell in code_cells(notebook))
    modules = re.findall(r"from dlcourse\.exercises import (\w+) as (\w+)", source)
    assert modules, "a lesson has exercises"
    for module, alias in modules:
        exercises = importlib.import_module("dlcourse.exercises." + module)
        checked = re.findall(rf"\b{alias}\.(\w+)\.check\(", source)
        assert len(checked) == len(set(checked))
        for name in checked:
            stub = getattr(exercises, name).stub
            cell = next(c for c in code_cells(notebook) if f"{alias}.{name}.check(" in c.source)
            said = "".join(words(output) for output in cell.outputs)
            assert f"{name}: not attempted yet" in said, f"{name} was saved with: {said}"
            assert stub.split("\n")[0] in source, f"{path.name} has no stub of {name}"


# The repository


def files():
    """Give the text files that git knows and that people write."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in names.stdout.splitlines():
        file = ROOT / name
        binary = file.suffix in (".npz", ".gz", ".png", ".jpg", ".woff2", ".ipynb")
        if not binary and file.exists() and file != Path(__file__):
            yield name, file.read_text(encoding="utf-8")


def test_no_file_names_a_machine_or_a_registry():
    registry = re.compile(r"index-url|pypi\.org/simple|pythonhosted|registry\.npmjs|find-links")
    for name, text in files():
        for pattern in (re.compile(r"/(?:root|work|farm|Users)/\w"), registry):
            found = pattern.search(text)
            assert not found, f"{name}: {found[0]}"


def test_every_todo_has_a_reason():
    for name, text in files():
        found = re.search(r"\b(TODO|FIXME|XXX)\b(?!: \w+ \w+).*", text)
        assert not found, f"{name}: {found[0]}"


def test_the_lock_is_whole():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if re.match(r"\w", line)]
    assert {"numpy", "matplotlib", "jupyterlab", "ipywidgets", "anywidget", "pytest", "nbval"} <= {
        line.split("==")[0] for line in packages
    }
    assert all(re.match(r"[\w.-]+==\S+ (; .*)?\\$", line) for line in packages)
    assert all(
        re.match(r"    --hash=sha256:[0-9a-f]{64}( \\)?$", line)
        for line in lines
        if line not in packages
    )


def test_one_install_runs_and_tests_everything():
    assert (ROOT / "requirements.txt").read_text() == "-e .[lab,test]\n"


def test_the_readme_lists_the_lessons_and_its_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert f"](notebooks/{path.name})" in readme
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert all(len(alt.split()) >= 4 for alt in re.findall(r"!\[([^\]]*)\]", readme))


def rows():
    """Give the cells of each row of README's table of lessons."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| \[\d\d [^|]*\]\(notebooks/(\w+\.ipynb)\) \|(.*)\|$", readme, re.M)
    return [(name, [cell.strip() for cell in rest.split("|")]) for name, rest in found]


def test_the_readme_has_one_row_for_every_lesson():
    assert [name for name, _ in rows()] == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize(("name", "cells"), rows(), ids=lambda value: str(value)[:12])
def test_the_readmes_figures_are_the_lessons_own(name, cells):
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    minutes, playgrounds, _, results = cells
    assert f"{minutes} minutes" in "\n".join(prose(notebook)[:12])
    source = "\n".join(cell.source for cell in code_cells(notebook))
    assert int(playgrounds) == len(re.findall(r"\bPlayground\(", source))
    said = " ".join(" ".join(words(output) for _, output in outputs(notebook)).split())
    ours = re.findall(r"`([^`]+)`", results)
    assert ours, "a figure of ours, as the lesson printed it"
    assert [figure for figure in ours if figure not in said] == []
    theirs = re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"`[^`]+`", "", results))
    everything = "\n".join(cell.source for cell in notebook.cells) + said
    assert [number for number in theirs if number not in everything] == []


def test_notebooks_are_json_that_git_can_diff():
    for path in NOTEBOOKS:
        text = path.read_bytes()
        assert b"\r" not in text
        assert json.loads(text)["nbformat"] == 4
