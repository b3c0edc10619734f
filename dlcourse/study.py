"""Guess first and then see, quizzes, and the page of the reader's progress.

Questions are outputs of constant Markdown, so that a saved notebook shows them without a kernel.
The reader's part is a widget below them, and nothing of it gets into the notebook's text. Nothing
waits for a click: run headless, a lesson goes on.
"""

import html
import importlib
import importlib.util
import re
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from dlcourse import progress
from dlcourse.exercises import LESSONS, Question, exercises_of, lettered, listed
from dlcourse.live.names import names

__all__ = ["predict", "progress_page", "quiz", "reveal"]


class _Prediction:
    """A guess, the outcome, and the two places that show them."""

    def __init__(self, options: dict[str, str]) -> None:
        self.options = options  # letter → option; empty for a number
        self.guess = self.outcome = None
        self.shown = widgets.HTMLMath()

    def show(self) -> None:
        """Put guess and outcome side by side, as far as they are known."""
        if self.outcome is None:
            return
        guess = "none (commit one above)" if self.guess is None else self.named(self.guess)
        lines = f"<b>Your guess:</b> {guess}<br><b>What happened:</b> {self.named(self.outcome)}"
        if self.guess is not None and self.options:
            right = self.guess == self.outcome
            lines += f"<br>{'✓ As you said.' if right else '✗ A surprise: can you say why?'}"
        elif self.guess is not None:
            lines += f"<br>Off by {abs(self.guess - self.outcome):.4g}."
        self.shown.value = _block(lines)

    def named(self, value: str | float) -> str:
        """Return a guess or an outcome for the eye: letter and option, or the number."""
        if value in self.options:
            return f"{value}: {_inline(self.options[value])}"
        return html.escape(value) if isinstance(value, str) else f"{value:.4g}"


_predictions: dict[str, _Prediction] = {}  # of this kernel


def predict(name: str, question: str, options: Sequence[str] | widgets.ValueWidget) -> None:
    """Ask for a guess before a surprising cell; `reveal` shows it beside the outcome.

    A guess that was committed earlier, perhaps on another day, stands.

    Parameters
    ----------
    name : str
        Lesson and prediction, such as ``"perceptron.xor"``.
    question : str
        Markdown, with formulas in dollars.
    options : sequence of str, or a slider of ipywidgets
        Options, lettered a, b, c …; or the slider on which a number is guessed.

    Raises
    ------
    ValueError
        If `name` does not begin with a lesson of `exercises.LESSONS`.
    """
    lesson, short = _split(name)
    prediction = _predictions[name] = _Prediction(
        {} if isinstance(options, widgets.ValueWidget) else lettered(options)
    )
    if prediction.options:
        _show_text(listed(question, options))
        field = _buttons(prediction.options, "Your guess")
        form = f"one of {', '.join(prediction.options)}"
    else:
        _show_text(question)
        field, form = options, "a number on the slider"
    commit = widgets.Button(
        description="Commit my guess",
        disabled=bool(prediction.options),  # until one is chosen
        layout=widgets.Layout(width="auto", margin="8px 2px"),
    )
    status = widgets.HTML()

    def choose(change: dict[str, Any]) -> None:
        commit.disabled, commit.button_style = False, "primary"
        status.value = _block(f"You chose {change['new']}.")

    def lock() -> None:
        prediction.guess = field.value
        field.disabled = commit.disabled = True
        commit.button_style = ""  # a disabled primary button is hard to read on a dark page
        status.value = _block(f"Your guess, {field.value}, is kept. Now run on and see.")

    def keep(_: widgets.Button) -> None:
        lock()
        progress.guessed(lesson, short, prediction.guess)
        if prediction.outcome is not None:  # the outcome was there first: Run All
            progress.revealed(lesson, short, prediction.outcome)
        prediction.show()

    field.observe(choose, "value")
    commit.on_click(keep)
    known = progress.load().get(lesson, {}).get("predictions", {}).get(short, {}).get("guess")
    if known in prediction.options or (known is not None and not prediction.options):
        field.value = known  # a guess once committed stays, in whatever kernel
        lock()
    row = widgets.HBox([commit, status], layout=widgets.Layout(align_items="center"))
    _show_widget(widgets.VBox([field, row, *names()]), f"Your guess: {form}.")


def reveal(name: str, outcome: str | float) -> None:
    """Show the outcome of a prediction beside the reader's guess, if there is one.

    Parameters
    ----------
    name : str
        As in `predict`.
    outcome : str or float
        The letter of the option that came true, or the number. Computed, not written down; but
        the same on every machine, so round it.

    Raises
    ------
    ValueError
        If the outcome is none of the options.
    """
    lesson, short = _split(name)
    prediction = _predictions.setdefault(name, _Prediction({}))
    if prediction.options and outcome not in prediction.options:
        raise ValueError(
            f"{name}: the outcome {outcome!r} must be one of {list(prediction.options)}"
        )
    prediction.outcome = outcome if isinstance(outcome, str) else float(outcome)
    progress.revealed(lesson, short, prediction.outcome)
    prediction.show()
    option = prediction.options.get(prediction.outcome)
    text = f"{outcome} ({option})" if option else prediction.named(prediction.outcome)
    _show_widget(prediction.shown, f"What happened: {text}")


def quiz(lesson: str, questions: Sequence[Question]) -> None:
    """Ask questions, say something to every choice, and keep the best score of first choices.

    Parameters
    ----------
    lesson : str
        A key of `exercises.LESSONS`.
    questions : sequence of Question
        Such as ``ex.quiz``.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    _split(f"{lesson}.quiz")
    first_choices: dict[int, bool] = {}  # question → right
    score = widgets.HTML()

    def ask(number: int, question: Question) -> widgets.Widget:
        buttons, feedback = _buttons(lettered(question.options), "Your answer"), widgets.HTMLMath()

        def answer(change: dict[str, Any]) -> None:
            letter = change["new"]
            mark = "✓" if letter == question.answer else "✗"
            feedback.value = _block(f"{mark} <b>{letter}</b>: {_inline(question.feedback(letter))}")
            if number not in first_choices:
                first_choices[number] = letter == question.answer
                count()

        buttons.observe(answer, "value")
        last = [score] if number == len(questions) else []
        return widgets.VBox([buttons, feedback, *last])

    def count() -> None:
        answered, right = len(first_choices), sum(first_choices.values())
        score.value = _block(f"{answered} of {len(questions)} answered")
        if answered == len(questions):
            score.value = _block(f"<b>{right} of {answered} right at the first choice</b>")
            progress.scored(lesson, right, answered)

    for number, question in enumerate(questions, 1):
        _show_text(f"**{number}.** {question.markdown()}")
        letters = ", ".join(lettered(question.options))
        _show_widget(ask(number, question), f"Your answer: one of {letters}.")


def progress_page() -> None:
    """Show all lessons with what the reader has solved, guessed and scored so far."""
    known = progress.load()
    rows = "".join(
        f"<tr><th scope='row'>{title}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for lesson, title in LESSONS.items()
        for cells in [_row(lesson, known.get(lesson, {}))]
    )
    table = widgets.HTML(
        f"{_STYLE}<table class='dlcourse-progress'><caption>Your progress, kept in "
        f"{html.escape(str(progress.folder()))}</caption><thead><tr><th scope='col'>Lesson</th>"
        "<th scope='col'>Exercises</th><th scope='col'>Guesses right</th>"
        f"<th scope='col'>Quiz</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    _show_widget(table, "Your progress: run this cell in JupyterLab to see it.")


# The colours are the page's own, so that a dark theme stays dark.
_STYLE = """<style>
.dlcourse-progress { border-collapse: collapse; font-size: 13px; line-height: 1.5; }
.dlcourse-progress caption { text-align: left; padding: 4px 10px; opacity: 0.8; }
.dlcourse-progress :is(th, td) { text-align: left; vertical-align: top; padding: 4px 10px; }
.dlcourse-progress :is(th, td) { white-space: nowrap; }
.dlcourse-progress tr { border-top: 1px solid var(--jp-border-color2, #ccc); }
</style>"""


def _row(lesson: str, known: dict[str, dict]) -> list[str]:
    """Return the cells of one lesson: exercises, guesses, quiz."""
    days, lines = known.get("exercises", {}), []
    if importlib.util.find_spec(f"dlcourse.exercises.{lesson}"):
        for exercise in exercises_of(importlib.import_module(f"dlcourse.exercises.{lesson}")):
            day = days.get(exercise.name)
            mark = f"✓ {exercise.title}, {html.escape(day)}" if day else f"○ {exercise.title}"
            lines.append(mark)
    guesses = [entry for entry in known.get("predictions", {}).values() if "outcome" in entry]
    right = sum(entry["guess"] == entry["outcome"] for entry in guesses)
    quiz = known.get("quiz")
    return [
        "<br>".join(lines) or "–",
        f"{right} of {len(guesses)}" if guesses else "–",
        f"{quiz['right']} of {quiz['of']}" if quiz else "–",
    ]


def _split(name: str) -> tuple[str, str]:
    lesson, _, short = name.partition(".")
    if lesson not in LESSONS or not short:
        raise ValueError(
            f"{name!r} must begin with a lesson and a dot, as in 'perceptron.xor'; "
            f"the lessons are {', '.join(LESSONS)}"
        )
    return lesson, short


def _buttons(options: dict[str, str], label: str) -> widgets.ToggleButtons:
    """Return one button for each letter, none of them pressed. Tab and Space reach them."""
    return widgets.ToggleButtons(
        description=label,
        options=list(options),
        value=None,
        tooltips=list(options.values()),
        style={"button_width": "3em", "description_width": "initial"},
    )


def _inline(text: str) -> str:
    """Return plain text with `code` and formulas as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def _block(content: str) -> str:
    """Return HTML that wraps, and that a screen reader reads out when it changes."""
    style = "line-height: 1.5; max-width: 44em; padding: 2px 0 6px"
    return f"<div role='status' style='{style}'>{content}</div>"


def _show_text(text: str) -> None:
    """Show Markdown; in a plain script print it."""
    if get_ipython() is None:
        print(text)
    else:
        display({"text/markdown": text, "text/plain": text}, raw=True)


def _show_widget(widget: widgets.Widget, text: str) -> None:
    """Show a widget, and in its place a constant text where there is no kernel."""
    if get_ipython() is None:
        print(text)
    else:
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        mime = "application/vnd.jupyter.widget-view+json"
        display({mime: view, "text/plain": text}, raw=True)
