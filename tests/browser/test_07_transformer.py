"""Lesson 07's six playgrounds, driven by clicks and keys."""

import re

from playwright.sync_api import expect

from conftest import cell_with, code_of

SOURCES = code_of(__file__)

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


def write_into(notebook, field, text):
    box = notebook.page.get_by_label(re.compile(rf"^{field}")).first
    box.fill(text)
    box.press("Enter")


def test_a_gpt_learns_and_the_dictionary_is_asked(open_notebook):
    six_words = cell_with(SOURCES, "words = [")
    notebook = open_notebook(
        SOURCES[0], SOURCES[1], six_words, cell_with(SOURCES, "look_up = Playground(")
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
    notebook.press("thing", "ArrowLeft", 10)
    notebook.press("action", "ArrowRight", 10)
    notebook.wait_until("look_up.view.shared.argmax() == 3")  # sees
    notebook.press("sharpness", "Home")
    notebook.wait_until("abs(look_up.view.shared - 1 / 6).max() < 1e-9")
    assert notebook.picture(3) != before


def test_pen_and_heads(open_notebook):
    softmax = cell_with(SOURCES, "def softmax(scores)").split("queries =")[0]
    setup = "\n".join([*SOURCES[:2], softmax, GPT, cell_with(SOURCES, "def switch_off(")])
    setup = setup.replace("\nwriting\n", "\n")
    shown = [cell_with(SOURCES, f"{name} = Playground(") for name in ("pen", "heads_lab")]
    notebook = open_notebook(setup, *shown)
    for cell in range(3):
        notebook.run(cell)
    notebook.wait_for_kernel()

    before = notebook.picture(1)
    notebook.button("Play", cell=1).click()
    notebook.wait_until("pen.step_count >= 20", seconds=60)
    notebook.press("top-k", "Home")
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
    notebook.press("layer", "ArrowRight", 2)
    notebook.wait_until("heads_lab.state[2] == 2")
    assert notebook.ask("heads_lab.state[4][0] == heads_lab.state[4][1]")
    notebook.cells.nth(2).get_by_role("checkbox").click()
    notebook.wait_until("heads_lab.state[4][0] != heads_lab.state[4][1]")
    expect(notebook.says("Without it the loss changes", 2)).to_be_visible()


def test_dates_and_seconds(open_notebook):
    wanted = ("def softmax(scores)", "class Added(", "def waves(", "class SelfAttention(")
    wanted += ("class Translator(", "def alignment(")
    parts = [cell_with(SOURCES, text).split("queries =")[0] for text in wanted]
    setup = "\n".join([*SOURCES[:2], *parts, TRANSLATOR]).replace("\nwriting\n", "\n")
    shown = [cell_with(SOURCES, f"{name} = Playground(") for name in ("date_lab", "seconds")]
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
