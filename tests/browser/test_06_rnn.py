"""Lesson 06's four playgrounds, driven by clicks and keys."""

from playwright.sync_api import expect

from conftest import cell_with, code_of

SOURCES = code_of(__file__)


def test_reading_a_text(open_notebook):
    notebook = open_notebook(SOURCES[0])
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
    expect(notebook.says("letters itself.").last).to_be_visible()


def test_radius_gates_and_temperature(open_notebook):
    shown = [cell_with(SOURCES, f"{name} = Playground(") for name in ("steering", "watching")]
    shown.append(cell_with(SOURCES, "sampling = Playground("))
    # all cells before them but the exercises and section 6, which takes long
    adding = SOURCES.index(cell_with(SOURCES, "def adding_problem("))
    names = SOURCES.index(cell_with(SOURCES, "names_list = "))
    earlier = SOURCES[:adding] + SOURCES[names : SOURCES.index(shown[-1])]
    setup = "\n".join(s for s in earlier if "ex." not in s and s not in shown)
    notebook = open_notebook(setup, *shown)
    for cell in range(4):
        notebook.run(cell)
    notebook.wait_for_kernel()

    before = notebook.picture(1)
    notebook.press("spectral radius", "ArrowRight", 19)
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
    expect(notebook.says("Above, cell c of")).to_be_visible()
    assert notebook.picture(2) != third
    assert notebook.ask("watching.step_count") == 3

    names = notebook.ask("len(set(sampling.state[3]))")
    notebook.press("temperature", "Home")
    notebook.wait_until("sampling.state[1] == 0.05")
    assert notebook.ask("len(set(sampling.state[3]))") < names
    assert notebook.ask("float(sampling.state[2].max())") > 0.9
    field = notebook.page.get_by_role("textbox", name="start")
    field.fill("jo")
    field.press("Enter")
    notebook.wait_until("all(name.startswith('jo') for name in sampling.state[3])")
