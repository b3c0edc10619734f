"""The playgrounds and the form of lesson 08, driven as a reader drives them."""

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

LESSON = Path(__file__).parents[2] / "notebooks/08_challenges.ipynb"
SOURCES = [c.source for c in nbformat.read(LESSON, as_version=4).cells if c.cell_type == "code"]


def named(source: str) -> str:
    """Give the playground of a cell the name p."""
    return re.sub(r"^Playground\(", "p = Playground(", source, flags=re.M) + "\np"


def cells_for(marker: str) -> tuple[str, str]:
    """Return what a cell needs of those before it, as one cell, and the cell itself."""
    at = next(i for i, source in enumerate(SOURCES) if marker in source)
    before = [s.split("\nPlayground(")[0] for s in SOURCES[:at] if not re.match(r"ex\.\w+$", s)]
    return "\n\n".join(before), SOURCES[at]


@pytest.fixture
def open_playground(open_notebook):
    def open_playground(marker: str):
        setup, cell = cells_for(marker)
        notebook = open_notebook(*filter(None, [setup, named(cell)]))
        last = len(notebook.cells.all()) - 1
        for i in range(last + 1):
            notebook.run(i)
        notebook.last = notebook.cells.nth(last)
        notebook.last.locator("img").last.wait_for()
        notebook.page.wait_for_timeout(500)
        return notebook

    return open_playground


def picture(notebook) -> str:
    notebook.page.wait_for_timeout(400)
    return notebook.last.locator("img").last.get_attribute("src")[-200:]


def press(notebook, name: str, key: str, times: int = 1) -> None:
    slider = notebook.last.get_by_role("slider", name=name, exact=True)
    slider.focus()
    for _ in range(times):
        notebook.page.keyboard.press(key)


def test_noise_made_to_measure_turns_a_digit_into_another(open_playground):
    notebook = open_playground("class NoiseView")
    before = picture(notebook)
    assert notebook.ask("int(p.state[3].argmax()) == p.state[2] == 7")
    notebook.button("Step").click()
    notebook.wait_until("p.step_count == 1")
    notebook.button("Play").click()
    notebook.wait_until("int(p.state[3].argmax()) != 7")
    assert notebook.ask("float(abs(p.state[1]).max()) < 0.26")
    notebook.wait_until("p.finished")
    assert picture(notebook) != before
    notebook.last.locator("select").select_option("2")
    notebook.wait_until("p.state[2] == 2 and p.step_count == 0")


def test_few_images_are_learned_by_heart_and_shifts_act_at_once(open_playground):
    notebook = open_playground("class HungerView")
    before = picture(notebook)
    notebook.button("Play").click()
    notebook.wait_until("p.step_count >= 20")
    seen, unseen = notebook.ask("tuple(map(float, p.state[1]))")
    assert seen < 0.02 < 0.2 < unseen
    assert picture(notebook) != before
    notebook.last.get_by_role("checkbox").check()
    step = notebook.ask("p.step_count")
    notebook.wait_until(f"p.step_count > {step + 5} and p.controls['shift'].value")
    notebook.last.locator("select").select_option("2000")  # of reset_on: it plays on from 0
    notebook.wait_until("p.controls['images'].value == 2000 and p.playing and p.step_count >= 2")


def test_the_meter_counts_every_flop_of_a_real_training(open_playground):
    notebook = open_playground("class MeterView")
    before = picture(notebook)
    notebook.button("Play").click()
    notebook.wait_until("p.step_count >= 10")
    notebook.button("Pause").click()
    notebook.wait_until("not p.playing and p._task is None")
    assert notebook.ask("p.state[1] == p.step_count * 3 * 64 * 833_040")
    assert notebook.ask("p.state[2] > 0")
    assert picture(notebook) != before
    press(notebook, "watts", "ArrowRight", 5)
    notebook.button("Step").click()
    notebook.wait_until("p.state[3] == 35")
    notebook.last.locator("select").select_option("GPT, small")
    notebook.wait_until("p.step_count == 0 and p.state[1] == 0")
    notebook.button("Step").click()
    notebook.wait_until("p.state[1] > 1e8")


def test_the_calculator_knows_gpt_3_and_obeys_its_sliders(open_playground):
    notebook = open_playground("class Calculator")
    before = picture(notebook)
    assert notebook.ask("abs(p.state[1] / 1.287e6 - 1) < 0.01")
    kwh = notebook.ask("float(p.state[1])")
    press(notebook, "PUE", "ArrowRight", 2)  # 1.1 → 1.2
    notebook.wait_until(f"abs(p.state[1] / {kwh} - 1.2 / 1.1) < 1e-6")
    assert picture(notebook) != before


def test_a_threshold_for_each_group_moves_its_counts_and_the_criteria(open_playground):
    notebook = open_playground("class Thresholds")
    before = picture(notebook)
    assert notebook.ask("p.state['holds']['predictive parity']")
    men = notebook.ask("p.state['counts'][1]")
    found = notebook.ask("float(p.state['rates'][0]['TPR'])")
    press(notebook, "women: yes from", "ArrowLeft", 12)
    notebook.wait_until("abs(p.state['thresholds'][0] - 0.38) < 1e-6")
    assert notebook.ask("float(p.state['rates'][0]['TPR'])") > found
    assert notebook.ask("p.state['counts'][1]") == men
    assert notebook.ask("p.state['holds']['equal opportunity']")
    assert picture(notebook) != before


def test_the_model_card_shows_and_keeps_what_is_typed(open_notebook):
    setup, form = cells_for("card_file = progress.folder()")
    notebook = open_notebook(setup, form)
    notebook.run(0)
    notebook.run(1)
    cell = notebook.cells.nth(1)
    field = cell.locator("textarea").nth(5)
    field.fill("It may overlook women who earn enough.")
    expect(cell.locator("pre")).to_contain_text("It may overlook women who earn enough.")
    expect(cell.locator("pre")).to_contain_text("| women | 5,421 |")
    notebook.wait_until("'overlook women' in card_file.with_suffix('.md').read_text()")
    notebook.run(1)  # again: nothing is lost
    expect(cell.locator("textarea").nth(5)).to_have_value("It may overlook women who earn enough.")
    saved = str(notebook.save().cells[1].outputs)
    assert "Run this cell to get a form" in saved
    assert "overlook women" not in saved
