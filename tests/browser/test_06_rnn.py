"""Lesson 06's four playgrounds, driven by clicks and keys."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

LESSON = Path(__file__).parents[2] / "notebooks" / "06_rnn.ipynb"


@pytest.fixture(scope="module")
def sources():
    cells = nbformat.read(LESSON, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def cell_with(sources, text):
    return next(source for source in sources if text in source)


def test_reading_a_text(open_notebook, sources):
    notebook = open_notebook(sources[0])
    notebook.run(0)
    notebook.button("Step").wait_for()
    before, read = notebook.picture(0), notebook.ask("len(reading.state[0])")
    notebook.button("Step").click()
    notebook.wait_until("reading.step_count == 1")
    assert notebook.ask("len(reading.state[0])") == read + 1
    assert notebook.picture(0) != before

    field = notebook.page.get_by_role("textbox", name="text ↺")
    field.fill("What is the q")
    field.press("Enter")
    notebook.wait_until("reading.step_count == 0 and reading.state[2] == 13")
    notebook.button("Play").click()
    notebook.wait_until("len(reading.state[0]) >= 30")  # beyond the text: it writes by itself
    notebook.button("Pause").click()
    notebook.wait_until("not reading.playing")
    written = notebook.ask("''.join(reading.state[0])")
    assert written.startswith("What is the qu")
    expect(notebook.page.get_by_text("letters itself.").last).to_be_visible()


def test_radius_gates_and_temperature(open_notebook, sources):
    shown = [cell_with(sources, f"{name} = Playground(") for name in ("steering", "watching")]
    shown.append(cell_with(sources, "sampling = Playground("))
    # all cells before them but the exercises and section 6, which takes long
    adding = sources.index(cell_with(sources, "def adding_problem("))
    names = sources.index(cell_with(sources, "names_list = "))
    earlier = sources[:adding] + sources[names : sources.index(shown[-1])]
    setup = "\n".join(s for s in earlier if "ex." not in s and s not in shown)
    notebook = open_notebook(setup, *shown)
    for cell in range(4):
        notebook.run(cell)
    notebook.wait_for_kernel()

    before = notebook.picture(1)
    notebook.page.get_by_role("slider", name="spectral radius").focus()
    for _ in range(19):
        notebook.page.keyboard.press("ArrowRight")
    notebook.wait_until("abs(steering.state[0] - 0.99) < 1e-9")
    assert notebook.ask("float(steering.state[1][-1])") > 0.1
    assert notebook.picture(1) != before

    before, read = notebook.picture(2), notebook.ask("len(watching.state[0])")
    for count in (1, 2, 3):
        notebook.button("Step", cell=2).click()
        notebook.wait_until(f"watching.step_count == {count}")
    assert notebook.ask("len(watching.state[0])") == read + 3
    third = notebook.picture(2)
    assert third != before
    notebook.cells.nth(2).locator("select").select_option("cell c")  # shows at once, while paused
    expect(notebook.page.get_by_role("status").filter(has_text="Above, cell c of")).to_be_visible()
    assert notebook.picture(2) != third
    assert notebook.ask("watching.step_count") == 3

    names = notebook.ask("len(set(sampling.state[3]))")
    notebook.page.get_by_role("slider", name="temperature").focus()
    notebook.page.keyboard.press("Home")
    notebook.wait_until("sampling.state[1] == 0.05")
    assert notebook.ask("len(set(sampling.state[3]))") < names
    assert notebook.ask("float(sampling.state[2].max())") > 0.9
    field = notebook.page.get_by_role("textbox", name="start")
    field.fill("jo")
    field.press("Enter")
    notebook.wait_until("all(name.startswith('jo') for name in sampling.state[3])")
