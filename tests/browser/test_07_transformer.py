"""Lesson 07's six playgrounds, driven by clicks and keys."""

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

LESSON = Path(__file__).parents[2] / "notebooks" / "07_transformer.ipynb"

# what the lesson trains, taken from its checkpoints as they are
GPT = """
kept = load(data.checkpoint("transformer_gpt"))
gpt = GPT(GPTConfig(vocab_size=66), rng=0)
for name, p in gpt.named_parameters():
    p.data[:] = kept[f"weights/{name}"]
"""
TRANSLATOR = """
translator = Translator()
load_checkpoint(data.checkpoint("transformer_dates"), model=translator)
"""


@pytest.fixture(scope="module")
def sources():
    cells = nbformat.read(LESSON, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def cell_with(sources, text):
    return next(source for source in sources if text in source)


def press(notebook, slider, key, times=1):
    notebook.page.get_by_role("slider", name=slider).focus()
    for _ in range(times):
        notebook.page.keyboard.press(key)


def write_into(notebook, field, text):
    box = notebook.page.get_by_label(re.compile(rf"^{field}")).first
    box.fill(text)
    box.press("Enter")


def test_a_gpt_learns_and_the_dictionary_is_asked(open_notebook, sources):
    six_words = cell_with(sources, "words = [")
    notebook = open_notebook(
        sources[0], sources[1], six_words, cell_with(sources, "look_up = Playground(")
    )
    for cell in range(4):
        notebook.run(cell)
    notebook.wait_for_kernel()

    first = notebook.picture(0)
    notebook.button("Step", cell=0).click()
    notebook.wait_until("writing.step_count == 1")
    notebook.button("Play", cell=0).click()
    notebook.wait_until("writing.step_count >= 40", seconds=60)
    notebook.button("Pause", cell=0).click()
    notebook.wait_until("not writing.playing")
    losses = notebook.ask("writing.view.curve.raw.y")
    assert losses[0] > 4
    assert losses[-1] < 3.5
    assert notebook.picture(0) != first
    notebook.button("Reset", cell=0).click()
    notebook.wait_until("writing.step_count == 0")

    before = notebook.picture(3)
    assert notebook.ask("int(look_up.view.shared.argmax())") == 2  # the dog
    press(notebook, "thing", "ArrowLeft", 10)
    press(notebook, "action", "ArrowRight", 10)
    notebook.wait_until("look_up.view.shared.argmax() == 3")  # sees
    press(notebook, "sharpness", "Home")
    notebook.wait_until("abs(look_up.view.shared - 1 / 6).max() < 1e-9")
    assert notebook.picture(3) != before


def test_pen_and_heads(open_notebook, sources):
    softmax = cell_with(sources, "def softmax(scores)").split("queries =")[0]
    setup = "\n".join([*sources[:2], softmax, GPT, cell_with(sources, "def switch_off(")])
    setup = setup.replace("\nwriting\n", "\n")
    shown = [cell_with(sources, f"{name} = Playground(") for name in ("pen", "heads_lab")]
    notebook = open_notebook(setup, *shown)
    for cell in range(3):
        notebook.run(cell)
    notebook.wait_for_kernel()

    before = notebook.picture(1)
    notebook.button("Play", cell=1).click()
    notebook.wait_until("pen.step_count >= 20", seconds=60)
    press(notebook, "top-k", "Home")
    notebook.wait_until("pen.state[1].max() == 1")  # only one letter can be drawn
    notebook.button("Pause", cell=1).click()
    notebook.wait_until("not pen.playing")
    assert notebook.ask("decode(pen.state[0])").startswith("\nROMEO:")
    assert notebook.picture(1) != before
    write_into(notebook, "it begins with", "JULIET:")
    notebook.wait_until("decode(pen.state[0]) == '\\nJULIET:'")

    before = notebook.picture(2)
    write_into(notebook, "sentence", "What a day")
    notebook.wait_until("len(heads_lab.state[0]) == 10")
    assert notebook.picture(2) != before
    press(notebook, "layer", "ArrowRight", 2)
    notebook.wait_until("heads_lab.state[2] == 2")
    assert notebook.ask("heads_lab.state[4][0] == heads_lab.state[4][1]")
    notebook.cells.nth(2).get_by_role("checkbox").click()
    notebook.wait_until("heads_lab.state[4][0] != heads_lab.state[4][1]")
    expect(
        notebook.cells.nth(2).get_by_role("status").filter(has_text="Without it the loss changes")
    ).to_be_visible()


def test_dates_and_seconds(open_notebook, sources):
    wanted = ("def softmax(scores)", "class Added(", "def waves(", "class SelfAttention(")
    wanted += ("class Translator(", "def alignment(")
    parts = [cell_with(sources, text).split("queries =")[0] for text in wanted]
    setup = "\n".join([*sources[:2], *parts, TRANSLATOR]).replace("\nwriting\n", "\n")
    shown = [cell_with(sources, f"{name} = Playground(") for name in ("date_lab", "seconds")]
    notebook = open_notebook(setup, *shown)
    for cell in range(3):
        notebook.run(cell)
    notebook.wait_for_kernel()

    assert notebook.ask("date_lab.state[1]") == "1986-07-20"
    before = notebook.picture(1)
    write_into(notebook, "date", "8 marzo 2001")
    notebook.wait_until("date_lab.state[1] == '2001-03-08'")
    assert notebook.picture(1) != before
    write_into(notebook, "date", "")  # nothing, too, is an answer
    notebook.wait_until("date_lab.state[0] == '1 may 1990'")

    before = notebook.picture(2)
    notebook.button("Play", cell=2).click()
    notebook.wait_until("seconds.finished", seconds=60)
    assert notebook.ask("seconds.view.lines[0].x") == [16, 32, 64, 128, 256, 512, 1024]
    assert min(notebook.ask("seconds.view.lines[1].y")) > 0
    assert notebook.picture(2) != before
