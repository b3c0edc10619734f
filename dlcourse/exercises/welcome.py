"""Exercises of lesson 00: words, counting, a learning rate, arrays, an error, a derivative."""

import math
from itertools import pairwise

import numpy as np

from dlcourse.exercises import Mistake, Question, choice, code, setting


@choice(
    "Which doll is it?",
    difficulty=1,
    minutes=2,
    options={
        "deep learning": "Deep learning learns layers of features from examples. This program "
        "has no layers and learns nothing.",
        "machine learning, but not deep learning": "Machine learning gets its rules from examples. "
        "Here a person wrote every rule.",
        "artificial intelligence, but not machine learning": "It does something that takes "
        "intelligence, so it is AI; its rules were written, not learned, so it is not machine "
        "learning.",
        "none of the three": "The word AI, from 1955, covers every way of making machines do what "
        "takes intelligence, search by hand-written rules included.",
    },
    answer="c",
    hints=(
        "Ask first: does the program change by seeing examples?",
        "It learns nothing, so it lies outside of machine learning. Is there a bigger doll?",
    ),
)
def doll(answer):
    """Name the smallest doll that holds a chess program with hand-written rules.

    It looks many moves ahead, and rates the positions by rules that its author wrote down, such as
    "a queen is worth nine pawns".
    """


def _layer_sizes(rng):
    return (rng.integers(1, 30, size=rng.integers(2, 6)).tolist(),)


@code(
    "Count the multiplications",
    difficulty=1,
    minutes=6,
    inputs=_layer_sizes,
    hints=(
        "Take one pair of neighbours: from 2 numbers to 16 there are 2 · 16 weights.",
        "Four sizes make three such pairs: sizes[0] and sizes[1], sizes[1] and sizes[2], …",
        "Start with total = 0, let i run over range(len(sizes) - 1), and add "
        "sizes[i] * sizes[i + 1] each time.",
    ),
    mistakes=(
        Mistake(
            "biases counted",
            "You count one weight more for each number that leaves a layer: its bias. A bias is "
            "only added, nothing is multiplied by it.",
            lambda sizes: sum((n + 1) * m for n, m in pairwise(sizes)),
        ),
        Mistake(
            "layers added, not multiplied",
            "n + m is how many numbers a layer touches. But each of the n goes to each of the m, "
            "with a weight of its own: n · m.",
            lambda sizes: sum(n + m for n, m in pairwise(sizes)),
        ),
        Mistake(
            "all sizes multiplied",
            "You multiply all sizes together. Multiply neighbours only, and add up the layers.",
            lambda sizes: math.prod(sizes),
        ),
        Mistake(
            "only the first layer",
            "This is the first layer alone. Go on: the second one maps sizes[1] numbers to "
            "sizes[2], and so forth.",
            lambda sizes: sizes[0] * sizes[1],
        ),
        Mistake(
            "hidden layers skipped",
            "You multiply the first size by the last, as if nothing lay between them.",
            lambda sizes: sizes[0] * sizes[-1],
        ),
    ),
)
def multiply_adds(sizes):
    """Return how many multiplications a network needs to answer for one example.

    `sizes` lists how many numbers go in and come out of layer after layer: `[2, 16, 16, 3]` is the
    spiral's network. A layer from n numbers to m has n · m weights, and multiplies by each once.
    """
    total = 0
    for i in range(len(sizes) - 1):
        total = total + sizes[i] * sizes[i + 1]
    return total


@setting(
    "How long a step downhill?",
    difficulty=2,
    minutes=4,
    answer=0.3,
    hints=(
        "The slope of (w − 3)² is 2(w − 3). Try a few rates between 0 and 2, each ten times larger "
        "or smaller than the last.",
        "One step takes the distance from 3 times (1 − 2 · rate). After 20 steps it must be tiny.",
        "Any rate with |1 − 2 · rate| well below 1 will do. At 0.5 one single step is enough.",
    ),
    mistakes=(
        Mistake(
            "too small",
            "It goes the right way, but 20 steps of this length do not reach the bottom.",
            0.001,
        ),
        Mistake(
            "to and fro",
            "Each step lands as far on the other side as it was on this side. Make the step "
            "shorter.",
            1.0,
        ),
        Mistake(
            "too large",
            "Each step shoots past the bottom and lands higher up than it began: it diverges.",
            1.5,
        ),
        Mistake(
            "uphill",
            "w − rate · slope with a negative rate climbs: the rate must be positive.",
            -0.1,
        ),
    ),
)
def rate(rate):
    """Find a learning rate that leads to the bottom of (w − 3)² in 20 steps.

    They start at `w = 0`. Each is `w = w - rate * slope`, and the slope is 2(w − 3). To end closer
    to the bottom than 0.01 is enough.
    """
    distance = 3.0  # from the bottom, which each step multiplies by the same factor
    factor = abs(1 - 2 * float(rate))
    end = distance * min(factor, 10.0) ** 20
    if end < 0.01:
        effect = "at the bottom"
    elif rate <= 0:
        effect = "still at the start" if rate == 0 else "climbing away"
    elif factor < 1:
        effect = "not there yet" if rate < 0.5 else "still jumping across"
    else:
        effect = "jumping to and fro for ever" if factor == 1 else "flying away"
    return {"after 20 steps": effect}


def _column_data(rng):
    rows, columns = rng.integers(3, 8), rng.integers(2, 6)
    return (rng.normal(rng.normal(0, 5, size=columns), 1.0, size=(rows + columns, columns)),)


@code(
    "Centre every column",
    difficulty=1,
    minutes=5,
    inputs=_column_data,
    hints=(
        "Every column has its own mean, so there are D of them: x.mean(axis=…) gives them at once.",
        "axis=0 runs down the rows, and leaves one number per column: shape (D,).",
        "(N, D) minus (D,) needs no loop: the D means are subtracted from each row.",
    ),
    mistakes=(
        Mistake(
            "one mean for everything",
            "x.mean() is a single number, the mean of all columns together. Each column needs its "
            "own: say along which axis to average.",
            lambda x: x - x.mean(),
        ),
        Mistake(
            "means of rows",
            "axis=1 averages along each row. Columns run down the rows: axis=0.",
            lambda x: x - x.mean(axis=1, keepdims=True),
        ),
        Mistake(
            "means of rows",
            "axis=1 averages along each row, which leaves N numbers that do not fit D columns. "
            "Columns run down the rows: axis=0.",
            lambda x: x - x.mean(axis=1),
        ),
        Mistake(
            "the means themselves",
            "These are the means of the columns. Now subtract them from x.",
            lambda x: x.mean(axis=0),
        ),
    ),
)
def center(x):
    """Return the array `x`, of shape (N, D), with its own mean subtracted from each column.

    Afterwards every column has the mean 0. Networks learn faster from such data.
    """
    return x - x.mean(axis=0)


def _pair(rng):
    n = rng.integers(4, 12)
    return rng.normal(size=n), rng.normal(size=n)


@code(
    "The mean squared error",
    difficulty=1,
    minutes=5,
    inputs=_pair,
    hints=(
        "Begin with the errors: one difference for each example.",
        "Square them, so that too high and too low do not cancel: errors ** 2.",
        "Their mean, a single number: (errors ** 2).mean().",
    ),
    mistakes=(
        Mistake(
            "no 1/N",
            "You sum the squared errors. Their mean is asked for: divide by the number of "
            "examples, or a larger data set looks worse.",
            lambda prediction, target: ((prediction - target) ** 2).sum(),
        ),
        Mistake(
            "not squared",
            "Without the square, errors above and below cancel: a bad model can score 0.",
            lambda prediction, target: (prediction - target).mean(),
        ),
        Mistake(
            "not squared",
            "Without the square, errors above and below cancel: a bad model can score 0.",
            lambda prediction, target: (target - prediction).mean(),
        ),
        Mistake(
            "absolute errors",
            "This is the mean absolute error: a fine measure, but another one. Square instead.",
            lambda prediction, target: np.abs(prediction - target).mean(),
        ),
        Mistake(
            "the square of the mean",
            "You average first and square afterwards, so errors cancel before the square can "
            "prevent it. Square each error, then average.",
            lambda prediction, target: (prediction - target).mean() ** 2,
        ),
        Mistake(
            "a root too many",
            "This is the root of the mean squared error; leave the root away.",
            lambda prediction, target: np.sqrt(((prediction - target) ** 2).mean()),
        ),
        Mistake(
            "no mean at all",
            "These are the squared errors, one for each example. Their mean is a single number.",
            lambda prediction, target: (prediction - target) ** 2,
        ),
    ),
)
def mse(prediction, target):
    """Return the mean squared error: the mean over all N examples of (prediction − target)².

    `prediction` and `target` are arrays of shape (N,); the result is a single number.
    """
    return ((prediction - target) ** 2).mean()


def _cubic(rng):
    return np.polynomial.Polynomial(rng.normal(size=4).round(2)), rng.normal(), rng.uniform(0.1, 1)


@code(
    "A slope from two points",
    difficulty=2,
    minutes=8,
    inputs=_cubic,
    hints=(
        "The slope of a line through two points is its rise divided by its run.",
        "The points lie at x − h and x + h. How far are they apart?",
        "The run is 2h. Mind the brackets: a / 2 * h is (a / 2) · h.",
    ),
    mistakes=(
        Mistake(
            "one-sided",
            "You step from x to x + h only. This is a slope too, but its error shrinks like h; "
            "with a point on either side it shrinks like h².",
            lambda f, x, h: (f(x + h) - f(x)) / h,
        ),
        Mistake(
            "brackets",
            "Python reads a / 2 * h as (a / 2) · h. The whole run belongs under the fraction: "
            "a / (2 * h).",
            lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h,
        ),
        Mistake(
            "the run is 2h",
            "From x − h to x + h it is 2h, not h: your slope is twice too steep.",
            lambda f, x, h: (f(x + h) - f(x - h)) / h,
        ),
        Mistake(
            "the sign",
            "The rise goes from left to right: f(x + h) − f(x − h), not the other way round.",
            lambda f, x, h: (f(x - h) - f(x + h)) / (2 * h),
        ),
        Mistake(
            "no division",
            "This is the rise. A slope is the rise divided by the run.",
            lambda f, x, h: f(x + h) - f(x - h),
        ),
    ),
)
def derivative(f, x, h):
    """Return the slope of the line through the points of `f` at x − h and x + h.

    For a small `h` this central difference is close to the derivative f′(x). `f` is a function of
    one number; `x` and `h` are numbers.
    """
    return (f(x + h) - f(x - h)) / (2 * h)


quiz = (
    Question(
        "Deep learning's ideas are decades old. Which three things came together around 2012 and "
        "made it work?",
        {
            "data, compute and algorithms": "Large labelled data sets, graphics processors, and "
            "better activations, initialisations and optimisers: each alone had not been enough.",
            "the internet, smartphones and robots": "They helped to collect data, but a robot is "
            "not needed to train a network.",
            "Python, Jupyter and open source": "They made it comfortable. The networks of 2012 "
            "were written in C++ and CUDA.",
        },
        "a",
    ),
    Question(
        "What does *learning* mean in machine learning?",
        {
            "A person writes down better and better rules": "That is programming. In machine "
            "learning nobody writes the rule itself.",
            "The program stores all examples and looks them up": "A table knows nothing about "
            "an example that it has not seen. What counts is being right on new ones.",
            "Numbers inside a model are changed until its errors on examples get smaller": "Yes: "
            "the form of the model is chosen by a person, its numbers come from the data.",
        },
        "c",
    ),
    Question(
        "`x` has the shape (5, 3) and `m` the shape (3,). What is the shape of `x - m`?",
        {
            "(5, 3)": "Yes: `m` is lined up with the last axis and subtracted from each of "
            "the five rows.",
            "(3,)": "Nothing is summed here, so no axis disappears.",
            "none: it raises an error": "It would for `m` of shape (5,). Shapes are lined up from "
            "the right: 3 fits 3, and the missing axis is repeated.",
        },
        "a",
    ),
    Question(
        "At the present `w` the slope of the error is +4. How should `w` change for the error to "
        "fall?",
        {
            "It should grow": "A positive slope says that the error grows with `w`. Walk the other "
            "way.",
            "It should shrink": "Yes: against the slope. `w = w - rate * slope` does this for "
            "either sign.",
            "It should stay: the slope is not zero": "It is the other way round: where the slope "
            "is zero there is no way down, and only there one stays.",
        },
        "b",
    ),
)
