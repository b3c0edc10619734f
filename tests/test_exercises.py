"""Every exercise of every lesson: its stub is open, its solution passes, its mistakes are named."""

import importlib
import itertools
import pkgutil
import subprocess
import sys

import numpy as np
import pytest

from dlcourse import Tensor, exercises, progress
from dlcourse import functional as F
from dlcourse.exercises import (
    LESSONS,
    Choice,
    Code,
    Exercise,
    Mistake,
    Question,
    Setting,
    backprop,
    choice,
    code,
    exercises_of,
    perceptron,
    run,
    setting,
    welcome,
)

MODULES = [
    importlib.import_module(f"dlcourse.exercises.{module.name}")
    for module in pkgutil.iter_modules(exercises.__path__)
    if not module.name.startswith("_")
]
EXERCISES = [exercise for module in MODULES for exercise in exercises_of(module)]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]

every_exercise = pytest.mark.parametrize(
    "exercise", EXERCISES, ids=lambda e: f"{e.lesson}.{e.name}"
)


def answer_of(exercise: Exercise, source: str):
    """Run a source as a cell would be, and return the reader's answer that it defines."""
    names = {"np": np}
    exec(source, names)
    return names[exercise.variable]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DLCOURSE_HOME", str(tmp_path))


# --- every exercise ---------------------------------------------------------------------------


@every_exercise
def test_the_stub_is_not_attempted(exercise, capsys):
    exercise.check(answer_of(exercise, exercise.stub))
    assert capsys.readouterr().out == f"○ {exercise.name}: not attempted yet\n"
    assert progress.load() == {}


@every_exercise
def test_the_solution_passes(exercise, capsys):
    answer = answer_of(exercise, exercise.answer_source)
    assert {exercise.judge(answer, seed).status for seed in range(20)} == {"solved"}
    exercise.check(answer)
    assert capsys.readouterr().out.startswith(f"✓ {exercise.name}: correct")
    assert exercise.name in progress.load()[exercise.lesson]["exercises"]


@pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=lambda x: getattr(x, "function", x) and x.name
)
def test_a_known_mistake_is_rejected_and_named(exercise, mistake, capsys):
    for seed in range(20):
        verdict = exercise.judge(mistake.answer, seed)
        assert (verdict.status, verdict.mistake) == ("wrong", mistake.name)
    exercise.check(mistake.answer)
    out = " ".join(capsys.readouterr().out.split())
    assert mistake.name in out
    assert " ".join(mistake.because.split()) in out
    assert progress.load() == {}


@every_exercise
def test_wrong_answers_of_any_kind_are_rejected(exercise, capsys):
    constants = [0, 1.0, True, "a word", [], [1.0], (), {}, np.zeros(3), np.nan, Tensor([1.0])]
    functions = [lambda *a, value=value: value for value in constants]
    functions += [
        lambda: 1,
        lambda *a: a[0],
        lambda *a: 1 / 0,
        lambda *a: (yield),
        len,
        print,
        type,
    ]
    for answer in [*constants, *functions, object(), exercise]:
        verdict = exercise.judge(answer)
        assert verdict.status == "wrong"
        assert verdict.text.startswith(f"✗ {exercise.name}: ")


@every_exercise
def test_its_words_are_complete(exercise):
    assert exercise.title
    assert exercise.difficulty in (1, 2, 3)
    assert 1 <= exercise.minutes <= 30
    assert 2 <= len(exercise.hints) <= 4
    assert exercise.mistakes
    assert exercise.lesson in LESSONS
    assert getattr(importlib.import_module(exercise.function.__module__), exercise.name) is exercise
    assert exercise.title in repr(exercise)
    assert exercise.__doc__ in repr(exercise)
    assert all(mistake.because.endswith((".", ")")) for mistake in exercise.mistakes)


@every_exercise
def test_what_is_said_of_a_wrong_answer_repeats(exercise):
    """So a learner's saved notebook stays green under nbval, wrong answers included."""
    for mistake in exercise.mistakes:
        assert len({exercise.judge(mistake.answer).text for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "exercise", [e for e in EXERCISES if isinstance(e, Code)], ids=lambda e: f"{e.lesson}.{e.name}"
)
def test_two_answers_are_told_apart_often_enough(exercise):
    """Alike in 4 of 5 trials, they would be taken for each other once in 50,000 judgements."""
    trials = [exercise.inputs(rng) for rng in np.random.default_rng(1).spawn(100)]
    answers = {"right": exercise.function, **{m.name: m.answer for m in exercise.mistakes}}
    outcomes = {name: [run(answer, t) for t in trials] for name, answer in answers.items()}
    for one, other in itertools.combinations(outcomes, 2):
        pairs = zip(outcomes[one], outcomes[other], strict=True)
        alike = np.mean([a.equals(b, exercise.rtol) for a, b in pairs])
        assert alike < 0.8, f"{one} and {other}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_lesson_goes_from_easy_to_hard_and_ends_with_a_quiz(module):
    coded = [e.difficulty for e in exercises_of(module) if isinstance(e, Code)]
    assert coded == sorted(coded)
    assert 4 <= len(exercises_of(module)) <= 6
    for question in module.quiz:
        assert len(question.options) >= 3
        assert all(question.options.values())
        assert "**" not in "".join(question.options.values())  # feedback is not Markdown


# --- the machinery ----------------------------------------------------------------------------


@code(
    "Half of every row",
    difficulty=1,
    minutes=1,
    inputs=lambda rng: (rng.normal(size=(rng.integers(3, 6), 2)), rng.normal(size=2)),
    hints=("one", "two", "three"),
    mistakes=(Mistake("no half", "Divide by two.", lambda x, w: x @ w),),
)
def half(x, w):
    """Return half of x @ w."""
    # A comment that the solution shows.
    return x @ w / 2


@setting("Seven", difficulty=1, minutes=1, answer=7.0, hints=("six", "eight"))
def seven(number):
    """Find seven."""
    return {"it is": "seven" if number == 7 else "another number"}


def wrong(answer, exercise=half) -> str:
    verdict = exercise.judge(answer)
    assert verdict.status == "wrong"
    return verdict.text


def test_stubs_are_made_of_the_signature():
    assert half.stub == "def half(x, w):\n    ..."
    assert seven.stub == "number = ..."
    assert perceptron.why_xor.stub == "answer = ..."


@pytest.mark.parametrize(
    "body",
    ["...", "pass", "return", "return None", "return ...", "raise NotImplementedError",
     'raise NotImplementedError("later")', '"""What it will do."""'],
)  # fmt: skip
def test_all_these_are_stubs(body):
    names = {}
    exec(f"def half(x, w):\n    {body}", names)
    assert half.judge(names["half"]).status == "open"


@pytest.mark.parametrize("nothing", [None, ...])
@every_exercise
def test_a_variable_without_a_value_is_not_attempted(exercise, nothing):
    assert exercise.judge(nothing).status == "open"


def test_a_forgotten_return_is_not_a_stub():
    def forgets(x, w):
        x @ w / 2

    assert "Is a `return` missing" in wrong(forgets)


def test_an_error_shows_the_readers_line_and_no_traceback():
    def helper(x):
        return x.mean(axs=1)

    def stops(x, w):
        return helper(x)

    text = wrong(stops)
    assert "stopped with TypeError" in text
    assert "return x.mean(axs=1)" in text
    assert "x = array(" in text
    assert "Traceback" not in text


def test_an_error_inside_numpy_shows_the_readers_line_too():
    def stops(x, w):
        return w @ x

    assert "return w @ x" in wrong(stops)


def test_the_addresses_in_messages_are_left_out():
    def stops(x, w):
        raise ValueError(f"not {object()}")

    assert "not <object object>" in wrong(stops)


def test_small_numbers_are_not_shown_as_0():
    assert "e-07" in wrong(lambda x, w: x @ w * 1e-7)
    assert "e-" not in wrong(lambda x, w: x @ w)


def test_interrupting_is_possible():
    def endless(x, w):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half.check(endless)


class Silent(Exception):
    """It can be neither told nor shown nor made an array."""

    def __str__(self):
        raise ValueError

    __repr__ = __array__ = __str__


def test_no_answer_stops_the_check():
    def leaves(x, w):
        sys.exit()

    def silent(x, w):
        raise Silent

    assert "stopped with SystemExit" in wrong(leaves)
    assert "stopped with Silent: a Silent that cannot be shown" in wrong(silent)
    assert "a int that cannot be shown" in wrong(lambda x, w: 10**5000)
    for exercise in (perceptron.and_gate, perceptron.why_xor):
        for answer in (Silent(), 10**5000, Tensor([1.0], requires_grad=True)):
            assert exercise.judge(answer).status == "wrong"


def test_what_an_answer_prints_is_seen_once(capsys):
    def chatty(x, w):
        print("shape", x.shape)
        return x @ w / 2

    assert half.judge(chatty).status == "solved"
    assert capsys.readouterr().out == "shape (5, 2)\n"


def test_changing_an_argument_is_caught_by_name():
    def writes(x, w):
        w /= 2
        return x @ w

    assert "changes its argument w" in wrong(writes)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x, w: (x @ w / 2).tolist(), "is a list; an array of shape (5,) is needed"),
        (lambda x, w: (x @ w / 2)[:, None], "has shape (5, 1); an array of shape (5,)"),
        (lambda x, w: (x @ w / 2)[None], "One axis of length 1 is too many"),
        (lambda x, w: (x @ w / 2).sum(), "the single number"),
        (lambda x, w: np.sum(x @ w, axis=0, keepdims=True)[0:0], "shape (0,)"),
        (lambda x, w: x @ w / 2 - (x @ w / 2)[:, None], "broadcasts to (n, n)"),
        (lambda x, w: np.array(x @ w / 2, dtype=np.float32), "float32; float64 is needed"),
        (lambda x, w: (x @ w / 2).astype(int), "int64; float64 is needed"),
        (lambda x, w: x @ w > 0, "bool; float64 is needed"),
        (lambda x, w: (x @ w / 2).astype(complex), "complex128, not numbers"),
        (lambda x, w: (x @ w / 2).astype(object), "object, not numbers"),
        (lambda x, w: (x @ w / 2).astype(str), "not numbers"),
        (lambda x, w: x @ w / 0 * 0, "NaN"),
        (lambda x, w: x @ w / 3, "wrong value"),
        (lambda x, w: Tensor(x @ w / 2), "is a Tensor; an array of shape (5,) is needed. .data"),
        (lambda x: x, "must take (x, w), in this order; it takes (x)"),
        (lambda x, w, y: x, "must take (x, w)"),
        (np.zeros(3), "not an array of shape (3,)"),
        (3.0, "not the single number 3"),
        (np.linalg.norm, "stopped with"),
    ],
)  # fmt: skip
def test_every_way_to_be_wrong_is_told_in_words(answer, message):
    assert message in wrong(answer)


def test_wanted_shapes_and_single_numbers():
    assert "Something runs over the whole array" in wrong(
        lambda x: np.asarray(x.mean()), welcome.center
    )
    assert "transposed" in wrong(lambda x: (x - x.mean(0)).T, welcome.center)
    assert "a single number is needed" in wrong(lambda p, t: np.array([1.0]), welcome.mse)
    assert "is a str" in wrong(lambda p, t: "1.0", welcome.mse)
    assert "2 values are needed" in wrong(lambda x, t, epochs: [x, 1], perceptron.fit)
    assert "value 2 of 2: the result's dtype is float64" in wrong(
        lambda x, t, epochs: (perceptron.fit.function(x, t, epochs)[0], 3.0), perceptron.fit
    )


def test_a_zero_dimensional_array_is_a_single_number():
    solved = welcome.mse.judge(lambda p, t: np.asarray(((p - t) ** 2).mean()))
    assert solved.status == "solved"
    assert ".item() gives its number" in wrong(lambda p, t: F.mse_loss(p, t), welcome.mse)


def test_a_whole_number_may_stand_for_a_slope_of_0():
    def gradients(x, w, b, t):
        gw, gb = backprop.neuron_gradients.function(x, w, b, t)
        return gw, gb if gb else 0

    assert backprop.neuron_gradients.judge(gradients).status == "solved"


def test_numpys_warnings_count():
    def warns(x, w):
        np.exp(1000.0 + w)
        return x @ w / 2

    text = wrong(warns)
    assert "the values are right, but numpy warned: overflow" in text
    assert "np.exp(1000.0 + w)" in text


def test_remembering_the_first_inputs_does_not_help():
    remembered = {}

    def cheats(x, w):
        return remembered.setdefault("first", x @ w / 2)

    assert half.judge(cheats).status == "wrong"


def test_inputs_are_fresh_each_time():
    seen = []

    def looks(x, w):
        seen.append(float(w[0]))
        return x @ w / 2

    half.check(looks)
    half.check(looks)
    count = len(seen) // 2
    assert count >= 10
    assert len(set(seen[:count]) & set(seen[count:])) == 1  # the first one, which is for messages


def test_hints_come_one_by_one(capsys):
    half._shown = 0
    for expected in (1, 2, 3, 3):
        half.hint()
        assert capsys.readouterr().out.count("Hint") == expected


def test_the_solution_is_code_without_the_task(capsys):
    half.solution()
    shown = "def half(x, w):\n    # A comment that the solution shows.\n    return x @ w / 2\n"
    assert capsys.readouterr().out == shown


@every_exercise
def test_an_instructor_can_switch_solutions_off(exercise, capsys, monkeypatch):
    monkeypatch.setenv("DLCOURSE_SOLUTIONS", "off")
    exercise.solution()
    out = capsys.readouterr().out
    assert "instructor has switched solutions off" in out
    assert exercise.answer_source not in out


@pytest.mark.parametrize("answer", ["7", "seven", [7], {}, np.inf, np.nan, [[1], [2, 3]], 7j])
def test_a_setting_of_another_form_is_told(answer):
    assert "must be one number" in wrong(answer, seven)


def test_a_setting_that_is_not_right_tells_its_effect():
    assert "it is: another number, but seven is wanted" in wrong(6, seven)
    text = wrong([-0.5, 1, 0], perceptron.and_gate)
    assert "one input is ignored" in text
    assert "a list of 3 numbers" in wrong([1, 2], perceptron.and_gate)
    assert "a list of 3 numbers" in wrong(["1", "2", "3"], perceptron.and_gate)
    assert perceptron.and_gate.judge(np.array([-3, 2, 2])).status == "solved"


def test_a_choice_takes_letters():
    assert perceptron.why_xor.judge(" B ").status == "solved"
    assert 'one of "a", "b", "c", "d"' in wrong("e", perceptron.why_xor)
    assert "it is 2" in wrong(2, perceptron.why_xor)


def test_a_question_needs_its_right_answer():
    with pytest.raises(ValueError, match="'d' must be one of a, b"):
        Question("?", {"yes": "no", "no": "yes"}, "d")
    with pytest.raises(ValueError, match="'c' must be one of"):
        choice("?", difficulty=1, minutes=1, options={"x": "y"}, answer="c", hints=())(
            seven.function
        )


def test_a_check_is_told_even_if_the_disk_is_full(capsys, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    monkeypatch.setattr(progress, "_warned", False)
    monkeypatch.setattr(progress, "_pending", [])
    perceptron.step.check(perceptron.step.function)
    captured = capsys.readouterr()
    assert captured.out == "✓ step: correct\n"
    assert "No space left on device" in captured.err


def test_kinds_of_exercise():
    kinds = {type(exercise) for exercise in EXERCISES}
    assert kinds == {Code, Setting, Choice}


def test_exercises_load_no_pictures_and_no_widgets():
    script = (
        "import sys; from dlcourse.exercises import perceptron, welcome; "
        "print({'matplotlib', 'ipywidgets', 'IPython'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
