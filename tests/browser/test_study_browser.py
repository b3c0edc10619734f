"""A reader guesses, answers a quiz and solves an exercise, with mouse and keyboard."""

import json

from playwright.sync_api import expect

IMPORTS = (
    "import ipywidgets\nfrom dlcourse import study\nfrom dlcourse.exercises import perceptron as ex"
)
STUB = "def step(z):\n    ...\nex.step.check(step)"
SOLVED = "def step(z):\n    return (z >= 0).astype(float)\nex.step.check(step)"


def output(notebook, cell: int):
    return notebook.cells.nth(cell).locator(".jp-Cell-outputArea")


def test_a_guess_committed_by_clicks(open_notebook):
    options = "['four', 'about $R$', 'no end']"
    notebook = open_notebook(
        IMPORTS,
        f"study.predict('perceptron.xor', 'How **many** mistakes?', {options})",
        "study.reveal('perceptron.xor', 'c')",
    )
    for cell in range(3):
        notebook.run(cell)
    commit = notebook.button("Commit my guess", 1)
    expect(output(notebook, 1).locator("li")).to_have_count(3)
    expect(commit).to_be_disabled()
    expect(output(notebook, 2)).to_contain_text("none (commit one above)")
    notebook.button("b", 1).click()
    expect(output(notebook, 1)).to_contain_text("You chose b.")
    commit.click()
    expect(commit).to_be_disabled()
    expect(output(notebook, 2)).to_contain_text("Your guess: b: about")
    expect(output(notebook, 2)).to_contain_text("What happened: c: no end")
    # What is saved has the question and the outcome, and nothing of the guess.
    saved = json.dumps([cell.outputs for cell in notebook.save().cells])
    assert "How **many** mistakes?" in saved
    assert "What happened: c (no end)" in saved
    assert "Your guess: b" not in saved
    assert "You chose" not in saved


def test_a_number_guessed_by_keyboard(open_notebook):
    slider = "ipywidgets.IntSlider(min=0, max=90, value=45, description='degrees')"
    notebook = open_notebook(
        IMPORTS,
        f"study.predict('perceptron.angle', 'By how much?', {slider})",
        "study.reveal('perceptron.angle', 50)",
    )
    for cell in range(3):
        notebook.run(cell)
    notebook.cells.nth(1).locator("[role=slider], .noUi-handle").first.focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(output(notebook, 1).locator(".widget-readout")).to_have_text("46")
    notebook.button("Commit my guess", 1).focus()
    notebook.page.keyboard.press("Enter")
    expect(output(notebook, 2)).to_contain_text("Your guess: 46")
    expect(output(notebook, 2)).to_contain_text("Off by 4.")


def test_a_quiz_by_keyboard_and_the_progress_page(open_notebook):
    notebook = open_notebook(
        IMPORTS, "study.quiz('perceptron', ex.quiz[:2])", STUB, "study.progress_page()"
    )
    for cell in range(3):
        notebook.run(cell)
    expect(output(notebook, 2)).to_have_text("○ step: not attempted yet")
    groups = output(notebook, 1).locator(".widget-toggle-buttons")
    expect(groups).to_have_count(2)
    groups.nth(0).get_by_role("button", name="a", exact=True).focus()
    notebook.page.keyboard.press("Tab")
    notebook.page.keyboard.press("Space")
    expect(output(notebook, 1)).to_contain_text("✗ b: ")
    groups.nth(1).get_by_role("button", name="c", exact=True).focus()
    notebook.page.keyboard.press("Enter")
    expect(output(notebook, 1)).to_contain_text("✓ c: Yes")
    expect(output(notebook, 1)).to_contain_text("1 of 2 right at the first choice")

    editor = notebook.cells.nth(2).locator(".cm-content")
    editor.fill(SOLVED)
    notebook.page.keyboard.press("Shift+Enter")
    expect(output(notebook, 2)).to_have_text("✓ step: correct")
    notebook.run(3)
    page = output(notebook, 3)
    expect(page.locator("tbody tr")).to_have_count(10)
    row = page.locator("tbody tr", has_text="01 · The perceptron")
    expect(row).to_contain_text("✓ The step function, 20")
    expect(row).to_contain_text("1 of 2")
