"""The playgrounds of lesson 02, driven as a reader drives them."""

import contextlib
import io
import re

import pytest
from playwright.sync_api import expect

from conftest import code_of

SOURCES = code_of(__file__)
NEEDED = ("import matplotlib", "def relu", "W1, b1 =", "def forward", "def network_for")


@pytest.fixture
def lab_of_units(open_notebook):
    notebook = open_notebook(*SOURCES[:2])
    notebook.run(0)
    notebook.run(1)
    notebook.button("Play").wait_for()
    notebook.wait_for_kernel()
    return notebook


def test_it_learns_the_circle_and_its_pictures_and_numbers_change(lab_of_units):
    notebook = lab_of_units
    caption = notebook.says("Training loss", 1)
    before, said = notebook.picture(1), caption.inner_text()
    notebook.button("Play").click()
    notebook.wait_until("lab.curves[0].y[-1] < 0.1", seconds=60)
    notebook.button("Pause").click()
    expect(notebook.says("Paused · step")).to_be_visible()
    assert notebook.picture(1) != before
    assert caption.inner_text() != said
    assert "h1 of layer 1 = tanh(" in caption.inner_text()
    assert notebook.ask("playground.error is None and lab.curves[1].y[-1] < 0.2")


def test_it_is_slow_enough_to_watch_and_can_be_told_to_hurry(lab_of_units):
    notebook = lab_of_units
    notebook.button("Play").click()
    notebook.wait_until("playground.step_count > 0")
    notebook.page.wait_for_timeout(1000)
    seen = notebook.ask("playground.step_count")
    assert seen < 500  # the circle takes about a thousand
    notebook.cells.nth(1).get_by_label("speed").select_option("full")
    notebook.wait_until(f"playground.step_count > {seen + 2000}", seconds=8)
    notebook.button("Pause").click()
    assert notebook.ask("playground.error is None")


def test_a_network_without_activations_says_so(lab_of_units):
    notebook, cell = lab_of_units, lab_of_units.cells.nth(1)
    cell.get_by_label("activation 1 ↺").select_option("none")
    expect(notebook.says("Training loss", 1)).to_contain_text("h1 of layer 1 = (")


def test_each_unit_can_be_looked_at_while_paused(lab_of_units):
    notebook = lab_of_units
    notebook.button("Step").click()
    notebook.wait_until("playground.step_count == 1")
    first = notebook.picture(1)
    notebook.press("unit", "ArrowRight")
    caption = notebook.says("Training loss", 1)
    expect(caption).to_contain_text("h2 of layer 1 = tanh(")
    assert notebook.picture(1) != first
    shown = re.search(r"tanh\((\S+) x1 (\S+) x2 (\S+)\)", caption.inner_text()).groups()
    weights = notebook.ask(
        "[float(v) for v in (*lab.linear[0].weight.data[1], lab.linear[0].bias.data[1])]"
    )
    assert [float(v.replace("−", "-")) for v in shown] == [round(w, 2) for w in weights]
    notebook.press("layer", "End")
    expect(caption).to_contain_text("output = (")
    assert notebook.ask("playground.step_count == 1")  # looking trains nothing


def test_layers_inputs_and_activations_can_be_chosen(lab_of_units):
    notebook, cell = lab_of_units, lab_of_units.cells.nth(1)
    expect(cell.get_by_role("slider", name="units 3 ↺")).to_have_count(0)
    notebook.press("layers ↺", "ArrowRight")
    expect(cell.get_by_role("slider", name="units 3 ↺")).to_be_visible()
    notebook.press("units 3 ↺", "End")
    cell.get_by_label("x1·x2").check()
    cell.get_by_label("activation 2 ↺").select_option("ReLU")
    cell.get_by_label("data ↺").select_option("spiral")
    notebook.wait_until("[m.out_features for m in lab.linear] == [4, 2, 8, 1]")
    notebook.wait_until("lab.linear[0].in_features == 3 and 'ReLU' in repr(lab.net.model)")
    notebook.button("Play").click()
    notebook.wait_until("playground.step_count > 200")
    notebook.press("rate", "ArrowRight", 3)
    notebook.press("dropout", "ArrowRight", 2)
    notebook.wait_until("abs(lab.net.optimizer.lr - 0.2) < 1e-6 and lab.net.model[2].p == 0.2")
    notebook.button("Pause").click()
    assert notebook.ask("playground.error is None and playground.step_count > 200")


def test_the_last_input_stays_on(lab_of_units):
    notebook, cell = lab_of_units, lab_of_units.cells.nth(1)
    for name in ("x1 ↺", "x2 ↺"):
        cell.get_by_role("checkbox", name=name, exact=True).click()
    notebook.wait_until("lab.net.names == ['x2']")
    expect(cell.get_by_role("checkbox", name="x2 ↺", exact=True)).to_be_checked()
    assert notebook.ask("lab.linear[0].in_features == 1 and playground.error is None")


def test_the_program_that_it_shows_gives_the_losses_that_it_shows(lab_of_units):
    notebook = lab_of_units
    notebook.cells.nth(1).get_by_label("start ↺").select_option("He")
    notebook.press("L2", "ArrowRight", 3)
    notebook.wait_until("abs(dials['L2'].value - 0.003) < 1e-9 and playground._task is None")
    for _ in range(10):
        notebook.button("Step").click()
    notebook.wait_until("playground.step_count == 10")
    notebook.button("Show the Python").click()
    code = notebook.cells.nth(1).locator("pre", has_text="optim.SGD")
    expect(code).to_contain_text("l1, l2 = 0, 0.003")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.inner_text(), {})
    losses = [float(line.split()[-1]) for line in printed.getvalue().splitlines()]
    assert losses == pytest.approx(notebook.ask("[c.y[-1] for c in lab.curves]"), abs=1e-6)
    notebook.button("Show the Python").click()
    expect(code).to_have_count(0)


def test_a_network_grows_towards_a_curve(open_notebook):
    growing = next(s for s in SOURCES if s.startswith("# Playground: a network that grows"))
    before = SOURCES[2 : SOURCES.index(growing)]
    needed = "\n\n".join(s for s in before if any(words in s for words in NEEDED))
    named = growing.replace("\nPlayground(", "\np = Playground(") + "\np"
    imports = "\n\nimport time\nimport ipywidgets as widgets"
    notebook = open_notebook(SOURCES[0] + imports, needed, named)
    for cell in range(3):
        notebook.run(cell)
    notebook.cells.nth(2).get_by_label("curve ↺").select_option("a tent")
    notebook.wait_until("p.state[0](0.5) == 1")
    before = notebook.picture(2)
    notebook.button("Step").click()
    expect(notebook.says("2 units: the largest error is 0.000.")).to_be_visible()
    assert notebook.picture(2) != before
    notebook.button("Play").click()
    notebook.wait_until("p.step_count > 10")
