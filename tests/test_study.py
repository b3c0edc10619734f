"""Predictions, quizzes and the progress page, clicked without a browser."""

import json

import ipywidgets
import nbclient
import nbformat
import pytest

from dlcourse import progress, study
from dlcourse.exercises import LESSONS, Question, exercises_of, perceptron

OPTIONS = ["four", "about $(R/\\gamma)^2$", "it is never done"]
QUESTIONS = [
    Question("First?", {"yes": "Right, `yes`.", "no": "Wrong: 1 < 2."}, "a"),
    Question("Second?", {"up": "No.", "down": "Yes.", "left": "No!"}, "b"),
]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DLCOURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(study, "_predictions", {})
    return tmp_path / "home"


@pytest.fixture
def shown(monkeypatch):
    """All that was shown: texts, and pairs of a widget and its constant text."""
    things = []
    monkeypatch.setattr(study, "_show_text", things.append)
    monkeypatch.setattr(study, "_show_widget", lambda *pair: things.append(pair))
    return things


def parts(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    children = [part for child in getattr(widget, "children", ()) for part in parts(child)]
    return [widget, *children]


def only(widget: ipywidgets.Widget, kind: type) -> ipywidgets.Widget:
    (found,) = [part for part in parts(widget) if type(part) is kind]
    return found


def commit(widget: ipywidgets.Widget, guess) -> None:
    if isinstance(guess, str):
        only(widget, ipywidgets.ToggleButtons).value = guess
    else:
        only(widget, ipywidgets.IntSlider).value = guess
    only(widget, ipywidgets.Button).click()


def test_a_guess_and_then_its_outcome(shown):
    study.predict("perceptron.xor", "How many **mistakes**?", OPTIONS)
    text, (widget, constant) = shown
    assert text.startswith("How many **mistakes**?")
    assert all(option in text for option in OPTIONS)
    assert constant == "Your guess: one of a, b, c."
    assert only(widget, ipywidgets.Button).disabled  # nothing is chosen yet
    commit(widget, "b")
    assert only(widget, ipywidgets.Button).disabled  # a guess is a guess
    assert only(widget, ipywidgets.ToggleButtons).disabled
    assert progress.load()["perceptron"]["predictions"] == {"xor": {"guess": "b"}}

    study.reveal("perceptron.xor", "c")
    result, constant = shown[-1]
    assert constant == "What happened: c (it is never done)"
    assert "b: about" in result.value
    assert "c: it is never done" in result.value
    assert "✗" in result.value
    assert progress.load()["perceptron"]["predictions"] == {"xor": {"guess": "b", "outcome": "c"}}


def test_a_right_guess(shown):
    study.predict("perceptron.xor", "?", OPTIONS)
    commit(shown[1][0], "c")
    study.reveal("perceptron.xor", "c")
    assert "✓" in shown[-1][0].value


def test_a_guess_stands_in_a_new_kernel_and_cannot_be_mended(shown, monkeypatch):
    study.predict("perceptron.xor", "?", OPTIONS)
    commit(shown[1][0], "b")
    monkeypatch.setattr(study, "_predictions", {})
    study.predict("perceptron.xor", "?", OPTIONS)
    widget = shown[-1][0]
    assert only(widget, ipywidgets.ToggleButtons).value == "b"
    assert only(widget, ipywidgets.ToggleButtons).disabled
    assert only(widget, ipywidgets.Button).disabled
    study.reveal("perceptron.xor", "c")
    assert "b: about" in shown[-1][0].value
    study.predict("perceptron.xor", "?", OPTIONS[:1])  # the lesson has changed: b is no option
    assert not only(shown[-1][0], ipywidgets.ToggleButtons).disabled


def test_a_number(shown):
    slider = ipywidgets.IntSlider(min=0, max=90, description="degrees")
    study.predict("perceptron.angle", "By how much?", slider)
    assert shown[0] == "By how much?"
    assert shown[1][1] == "Your guess: a number on the slider."
    commit(shown[1][0], 45)
    study.reveal("perceptron.angle", 60)
    assert shown[-1][1] == "What happened: 60"
    assert "Off by 15." in shown[-1][0].value
    entry = progress.load()["perceptron"]["predictions"]["angle"]
    assert entry == {"guess": 45, "outcome": 60.0}


def test_a_guess_after_run_all(shown):
    """The outcome's cell has run already; it shows the guess as soon as there is one."""
    study.predict("perceptron.xor", "?", OPTIONS)
    study.reveal("perceptron.xor", "c")
    result = shown[-1][0]
    assert "none" in result.value
    commit(shown[1][0], "a")
    assert "a: four" in result.value
    assert progress.load()["perceptron"]["predictions"] == {"xor": {"guess": "a", "outcome": "c"}}


def test_an_outcome_without_its_question(shown):
    study.reveal("perceptron.xor", "c")
    assert shown[0][1] == "What happened: c"
    assert progress.load().get("perceptron", {}) == {}


def test_an_outcome_that_is_no_option(shown):
    study.predict("perceptron.xor", "?", OPTIONS)
    with pytest.raises(ValueError, match="must be one of"):
        study.reveal("perceptron.xor", "d")


@pytest.mark.parametrize("name", ["xor", "perceptron", "perceptron.", "perzeptron.xor", ""])
def test_a_name_without_a_lesson(shown, name):
    with pytest.raises(ValueError, match="must begin with a lesson"):
        study.predict(name, "?", OPTIONS)
    assert shown == []


def test_a_quiz_answers_every_choice_and_counts_the_first(shown):
    study.quiz("welcome", QUESTIONS)
    first, second = shown[1][0], shown[3][0]
    score = only(second, ipywidgets.HTML)
    assert "First?" in shown[0]
    assert "- **b**: down" in shown[2]
    only(first, ipywidgets.ToggleButtons).value = "b"
    assert "✗ <b>b</b>: Wrong: 1 &lt; 2." in only(first, ipywidgets.HTMLMath).value
    only(first, ipywidgets.ToggleButtons).value = "a"
    assert "✓ <b>a</b>: Right, <code>yes</code>." in only(first, ipywidgets.HTMLMath).value
    assert "1 of 2 answered" in score.value
    assert progress.load() == {}
    only(second, ipywidgets.ToggleButtons).value = "b"
    assert "1 of 2 right" in score.value
    assert progress.load()["welcome"]["quiz"] == {"right": 1, "of": 2}


def test_a_quiz_of_no_lesson(shown):
    with pytest.raises(ValueError, match="must begin with a lesson"):
        study.quiz("chapter", QUESTIONS)


def test_the_progress_page_knows_all_lessons_and_the_exercises_there_are(shown):
    progress.solved("perceptron", "step")
    progress.guessed("perceptron", "xor", "c")
    progress.revealed("perceptron", "xor", "c")
    progress.scored("welcome", 3, 4)
    study.progress_page()
    page, constant = shown[0]
    assert len(LESSONS) == 10
    assert all(title in page.value for title in LESSONS.values())
    assert all(f" {exercise.title}" in page.value for exercise in exercises_of(perceptron))
    assert f"✓ {perceptron.step.title}, 20" in page.value
    assert f"○ {perceptron.fit.title}" in page.value
    assert "1 of 1" in page.value
    assert "3 of 4" in page.value
    assert "step" not in constant


def test_the_progress_page_escapes_what_the_file_holds(shown, home):
    home.mkdir()
    entry = {"perceptron": {"exercises": {"step": "<script>"}}}
    (home / "progress.json").write_text(json.dumps({"schema": 1, "lessons": entry}))
    study.progress_page()
    assert "<script>" not in shown[0][0].value
    assert "&lt;script&gt;" in shown[0][0].value


def test_without_a_kernel_the_texts_are_printed(capsys):
    study.predict("perceptron.xor", "How many?", OPTIONS)
    study.reveal("perceptron.xor", "c")
    study.quiz("welcome", QUESTIONS)
    study.progress_page()
    out = capsys.readouterr().out
    assert "How many?" in out
    assert "\nYour guess: one of a, b, c.\n" in out
    assert "it is never done" in out
    assert "Second?" in out


CELLS = [
    "from dlcourse import progress, study\nfrom dlcourse.exercises import perceptron as ex",
    "ex.step",
    "def step(z):\n    ...\nex.step.check(step)",
    "ex.step.hint()",
    "study.predict('perceptron.xor', 'How many?', ['four', 'no end'])",
    "study.reveal('perceptron.xor', 'b')",
    "study.quiz('perceptron', ex.quiz)",
    "study.progress_page()",
]


def run_notebook() -> list[list[dict]]:
    """Return the outputs of all cells, as nbval compares them."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbclient.NotebookClient(notebook, timeout=60, store_widget_state=False).execute()
    return [
        [{**output.get("data", {}), "text": output.get("text")} for output in cell.outputs]
        for cell in notebook.cells
    ]


def test_a_notebook_shows_the_same_whatever_the_reader_did():
    view = "application/vnd.jupyter.widget-view+json"
    before = run_notebook()
    progress.solved("perceptron", "step")
    progress.guessed("perceptron", "xor", "a")
    progress.scored("perceptron", 4, 4)
    after = run_notebook()
    widgets = [output.pop(view) for run in (before, after) for cell in run for output in cell
               if view in output]  # fmt: skip
    assert len(widgets) == 2 * (1 + 1 + len(perceptron.quiz) + 1)
    assert before == after
    texts = "\n".join(str(output) for cell in after for output in cell)
    assert "not attempted yet" in texts
    assert "**b**: no end" in texts
    assert all(option in texts for question in perceptron.quiz for option in question.options)
