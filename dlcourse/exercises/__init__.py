"""The machinery of the exercises: check, hint, solution, and known mistakes.

A lesson's exercises are one module here, and each is one decorated function whose docstring is the
task:

- `code`: the function is the reference solution; the reader's must equal it on fresh random inputs.
- `setting`: the function tells what numbers of the reader's bring about; that must be the wanted.
- `choice`: the docstring is a question, and each option has its own feedback.

Known mistakes are wrong answers. They are run on the same inputs as the reader's answer, and the
one that it equals is named.
"""

import ast
import contextlib
import inspect
import io
import os
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from dlcourse import progress
from dlcourse.exercises._compare import Outcome, difference, is_stub, kind, run, short

__all__ = [
    "LESSONS",
    "Choice",
    "Code",
    "Exercise",
    "Mistake",
    "Question",
    "Setting",
    "Verdict",
    "choice",
    "code",
    "exercises_of",
    "lettered",
    "listed",
    "setting",
]

# A lesson's name: its module here, and its key in the progress file. Its title: for the reader.
LESSONS = {
    "welcome": "00 · Welcome",
    "perceptron": "01 · The perceptron",
    "mlp": "02 · Multilayer perceptrons",
    "backprop": "03 · Backpropagation",
    "gradient_descent": "04 · Gradient descent",
    "cnn": "05 · Convolutional networks",
    "rnn": "06 · Recurrent networks",
    "transformer": "07 · Transformers",
    "challenges": "08 · Challenges",
    "beyond": "09 · Beyond",
}

_TRIALS = 50  # each may meet one of a few cases, and all cases must be met


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that readers are known to give.

    Parameters
    ----------
    name : str
        A few words, such as "no 1/N".
    because : str
        The sentence that explains it.
    answer : object
        The wrong answer: a function, the value of a setting, or a letter.
    """

    name: str
    because: str
    answer: Any


@dataclass(frozen=True)
class Verdict:
    """What a check finds.

    Parameters
    ----------
    status : str
        "open" (not attempted yet), "solved" or "wrong".
    text : str
        What the reader is told.
    mistake : str or None
        The name of the known mistake that was recognised.
    """

    status: str
    text: str
    mistake: str | None = None


@dataclass(frozen=True)
class Question:
    """A multiple-choice question, for a quiz or inside a `Choice`.

    Parameters
    ----------
    text : str
        Markdown, with formulas in dollars.
    options : mapping of str to str
        Option → what to tell the reader who picks it: plain text with formulas and `code`.
        Their letters are a, b, c … in this order.
    answer : str
        The letter of the right one.

    Raises
    ------
    ValueError
        If `answer` is the letter of no option.
    """

    text: str
    options: Mapping[str, str]
    answer: str

    def __post_init__(self) -> None:
        if self.answer not in lettered(self.options):
            raise ValueError(
                f"the answer {self.answer!r} must be one of {', '.join(lettered(self.options))}"
            )

    def feedback(self, letter: str) -> str:
        """Return what to tell the reader who picks this letter."""
        return self.options[lettered(self.options)[letter]]

    def markdown(self) -> str:
        """Return question and options as Markdown that reads well as plain text too."""
        return listed(self.text, self.options)


@dataclass(repr=False, eq=False)
class Exercise:
    """One exercise of a lesson; `code`, `setting` and `choice` make one of a function.

    Parameters
    ----------
    function : callable
        Its name is the exercise's, its docstring the task, its parameters those of the stub.
    title : str
        A few words.
    difficulty : int
        One to three stars.
    minutes : int
        What it takes a newcomer.
    hints : sequence of str
        Two to four, from a nudge to almost the answer.
    mistakes : sequence of Mistake
        Those that are recognised by name.
    """

    function: Callable
    _: KW_ONLY
    title: str
    difficulty: int
    minutes: int
    hints: Sequence[str]
    mistakes: Sequence[Mistake] = ()
    _shown: int = field(default=0, init=False)  # hints, in this kernel

    def __post_init__(self) -> None:
        self.__doc__ = inspect.getdoc(self.function)  # so that `ex.step?` and help(ex.step) show it

    @property
    def name(self) -> str:
        """The exercise's name in its module."""
        return self.function.__name__

    @property
    def lesson(self) -> str:
        """The lesson's name, a key of `LESSONS`."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def parameters(self) -> list[str]:
        """The names of the function's parameters."""
        return list(inspect.signature(self.function).parameters)

    @property
    def variable(self) -> str:
        """The name that the reader's answer has in the stub and in the solution."""
        return self.parameters[0]

    @property
    def task(self) -> str:
        """The task, as Markdown."""
        return self.__doc__

    @property
    def stub(self) -> str:
        """The source that a lesson starts the reader with."""
        return f"{self.variable} = ..."

    @property
    def answer_source(self) -> str:
        """The source that `solution` prints."""
        raise NotImplementedError

    def judge(self, answer: Any, rng: int | np.random.Generator | None = None) -> Verdict:
        """Return what `check` prints, and note nothing.

        Parameters
        ----------
        answer : object
            The reader's function, setting or letter.
        rng : int, Generator or None
            The source of the fresh inputs, passed to `numpy.random.default_rng`.

        Returns
        -------
        Verdict
        """
        if answer is None or answer is ...:
            return self._open()
        return self._judge(answer, np.random.default_rng(rng))

    def _judge(self, answer: Any, rng: np.random.Generator) -> Verdict:
        raise NotImplementedError

    def check(self, answer: Any) -> None:
        """Print whether an answer is right, or what is wrong with it, and remember what is solved.

        Parameters
        ----------
        answer : object
            The reader's function, setting or letter. A wrong one never raises.
        """
        verdict = self.judge(answer)
        print(verdict.text)
        if verdict.status == "solved":
            progress.solved(self.lesson, self.name)

    def hint(self) -> None:
        """Print one more hint each time, after those before it."""
        self._shown = min(self._shown + 1, len(self.hints))
        for number, hint in enumerate(self.hints[: self._shown], 1):
            print(_filled(f"Hint {number} of {len(self.hints)}: {hint}"))

    def solution(self) -> None:
        """Print a solution, unless an instructor set the environment's DLCOURSE_SOLUTIONS=off."""
        if os.environ.get("DLCOURSE_SOLUTIONS", "").lower() == "off":
            print(f"Your instructor has switched solutions off. {self.name}.hint() helps on.")
        else:
            print(self.answer_source)

    def __repr__(self) -> str:
        stars = "★" * self.difficulty + "☆" * (3 - self.difficulty)
        return f"{self.title} ({stars}, {self.minutes} min)\n\n{self.task}"

    def _repr_markdown_(self) -> str:
        heading, rest = repr(self).split("\n", 1)
        return f"**{heading}**\n{rest}"

    def _open(self) -> Verdict:
        return Verdict("open", f"○ {self.name}: not attempted yet")

    def _solved(self, because: str = "") -> Verdict:
        return Verdict("solved", f"✓ {self.name}: correct" + _below(because))

    def _wrong(self, text: str) -> Verdict:
        return Verdict("wrong", f"✗ {self.name}: {text}")

    def _known(self, mistake: Mistake) -> Verdict:
        text = f"✗ {self.name}: {mistake.name}" + _below(mistake.because)
        return Verdict("wrong", text, mistake.name)


@dataclass(repr=False, eq=False)
class Code(Exercise):
    """An exercise that a function solves.

    Parameters
    ----------
    inputs : callable
        Maps a random generator to the tuple of arguments of one call; let their shapes vary too.
    rtol : float
        Relative tolerance of the values.
    """

    _: KW_ONLY
    inputs: Callable[[np.random.Generator], tuple]
    rtol: float = 1e-6

    @property
    def variable(self) -> str:
        """The name of the reader's function."""
        return self.name

    @property
    def stub(self) -> str:
        """The source that a lesson starts the reader with."""
        return f"def {self.name}{inspect.signature(self.function)}:\n    ..."

    @property
    def answer_source(self) -> str:
        """The reference without its decorator and docstring."""
        source = textwrap.dedent(inspect.getsource(self.function))
        node = ast.parse(source).body[0]
        doc, lines = node.body[0], source.splitlines()
        return "\n".join(lines[node.lineno - 1 : doc.lineno - 1] + lines[doc.end_lineno :])

    def _judge(self, answer: Any, rng: np.random.Generator) -> Verdict:
        if not callable(answer):
            return self._wrong(
                f"check needs your function itself, not {kind(answer)}:\n"
                f"  define {self.name}, then write check({self.name}) without calling it."
            )
        # The first inputs never change, so that what is said of a wrong answer repeats too.
        trials = [self.inputs(r) for r in (np.random.default_rng(0), *rng.spawn(_TRIALS - 1))]
        first = run(answer, trials[0])
        if is_stub(answer, first):
            return self._open()
        if text := self._misfit(answer, trials[0]):
            return self._wrong(text)
        with contextlib.redirect_stdout(io.StringIO()):  # what it prints is seen once, not 50 times
            outcomes = [first, *(run(answer, arguments) for arguments in trials[1:])]
        complaints = map(self._complaint, outcomes, trials)
        complaint = next((text for text in complaints if text), None)
        if complaint is None:
            return self._solved()
        for mistake in self.mistakes:
            wrong = (run(mistake.answer, arguments) for arguments in trials)
            if all(map(lambda one, other: one.equals(other, self.rtol), outcomes, wrong)):
                return self._known(mistake)
        return self._wrong(complaint)

    def _misfit(self, answer: Callable, arguments: tuple) -> str | None:
        """Return what is wrong with the function's parameters, or None."""
        try:
            inspect.signature(answer).bind(*arguments)
        except TypeError:
            return (
                f"your function must take ({', '.join(self.parameters)}), in this order; "
                f"it takes {inspect.signature(answer)}."
            )
        except ValueError:  # some built-in functions do not tell their parameters
            pass
        return None

    def _complaint(self, outcome: Outcome, arguments: tuple) -> str | None:
        """Return what is wrong with one call, or None."""

        def called() -> str:  # only when it is needed: numpy takes long to show an array
            given = (
                f"\n    {name} = {textwrap.indent(short(value), ' ' * (len(name) + 7)).lstrip()}"
                for name, value in zip(self.parameters, arguments, strict=True)
            )
            return f"\n  It was called with{''.join(given)}"

        if outcome.error:
            return f"your function stopped with {outcome.error}{outcome.where}{called()}"
        if outcome.changed:
            name = self.parameters[outcome.changed[0]]
            return (
                f"your function changes its argument {name}, which belongs to the caller.\n"
                f"  {name} = {name} + … makes a new array; {name} += … writes into the old one."
            )
        if text := difference(outcome.value, self.function(*deepcopy(arguments)), self.rtol):
            return text + called()
        if outcome.warned:
            warned = f"the values are right, but numpy warned: {outcome.warned[0]}"
            return warned + outcome.where + called()
        return None


@dataclass(repr=False, eq=False)
class Setting(Exercise):
    """An exercise that is solved by finding numbers with a wanted effect.

    Its function maps a setting to what it brings about: a dict, description → effect.

    Parameters
    ----------
    answer : float or list of float
        One setting with the wanted effect.
    """

    _: KW_ONLY
    answer: float | list[float]

    @property
    def answer_source(self) -> str:
        """The assignment that solves it."""
        return f"{self.variable} = {self.answer}"

    def _judge(self, answer: Any, rng: np.random.Generator) -> Verdict:
        form = f"a list of {len(self.answer)} numbers" if np.shape(self.answer) else "one number"
        try:
            numbers = np.asarray(answer)
        except Exception:  # lists of different lengths, or an object that refuses
            numbers = np.array("ragged")
        right_form = numbers.shape == np.shape(self.answer) and numbers.dtype.kind in "iuf"
        if not right_form or not np.isfinite(numbers).all():
            return self._wrong(f"{self.variable} must be {form}; it is {short(answer)}.")
        observed, wanted = self.function(numbers.tolist()), self.function(self.answer)
        if observed == wanted:
            return self._solved()
        for mistake in self.mistakes:
            if observed == self.function(mistake.answer):
                return self._known(mistake)
        effects = [
            f"\n  {what}: {effect}, but {wanted[what]} is wanted"
            for what, effect in observed.items()
            if effect != wanted[what]
        ]
        return self._wrong(f"not yet, with {self.variable} = {short(answer)}" + "".join(effects))


@dataclass(repr=False, eq=False)
class Choice(Exercise):
    """An exercise that is solved by the letter of the right option; `mistakes` are the others.

    Parameters
    ----------
    options : mapping of str to str
        As in `Question`.
    answer : str
        The letter of the right one.
    """

    _: KW_ONLY
    options: Mapping[str, str]
    answer: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self.question = Question(self.__doc__, self.options, self.answer)
        self.mistakes = [
            Mistake(f"not {letter}", self.question.feedback(letter), letter)
            for letter in lettered(self.options)
            if letter != self.answer
        ]

    @property
    def task(self) -> str:
        """The question and its options, as Markdown."""
        return self.question.markdown()

    @property
    def answer_source(self) -> str:
        """The assignment that solves it, and why."""
        because = textwrap.indent(_filled(self.question.feedback(self.answer)), "# ")
        return f'{self.variable} = "{self.answer}"\n{because}'

    def _judge(self, answer: Any, rng: np.random.Generator) -> Verdict:
        letter = answer.strip().lower() if isinstance(answer, str) else None
        if letter == self.answer:
            return self._solved(self.question.feedback(letter))
        for mistake in self.mistakes:
            if letter == mistake.answer:
                return self._known(mistake)
        letters = ", ".join(f'"{known}"' for known in lettered(self.options))
        return self._wrong(f"{self.variable} must be one of {letters}; it is {short(answer)}.")


def code(title: str, **fields: Any) -> Callable[[Callable], Code]:
    """Make the decorated reference solution an exercise; the fields are those of `Code`."""
    return lambda function: Code(function, title=title, **fields)


def setting(title: str, **fields: Any) -> Callable[[Callable], Setting]:
    """Make the decorated function, from a setting to its effects, an exercise; see `Setting`."""
    return lambda function: Setting(function, title=title, **fields)


def choice(title: str, **fields: Any) -> Callable[[Callable], Choice]:
    """Make the question in the decorated function's docstring an exercise; see `Choice`."""
    return lambda function: Choice(function, title=title, **fields)


def exercises_of(module: ModuleType) -> list[Exercise]:
    """Return a lesson's exercises, in the order of its file."""
    return [value for value in vars(module).values() if isinstance(value, Exercise)]


def lettered(options: Iterable[str]) -> dict[str, str]:
    """Return letter → option."""
    return dict(zip("abcdefgh", options, strict=False))


def listed(text: str, options: Iterable[str]) -> str:
    """Return a question and its lettered options as Markdown that reads well as plain text too."""
    lines = [f"- **{letter}**: {option}" for letter, option in lettered(options).items()]
    return "\n".join([text, "", *lines])


def _filled(text: str) -> str:
    return textwrap.fill(text, width=88)


def _below(text: str) -> str:
    return "\n" + textwrap.indent(_filled(text), "  ") if text else ""
