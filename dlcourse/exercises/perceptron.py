"""Exercises of lesson 01: a neuron, its learning rule, and what it cannot do."""

import numpy as np

from dlcourse.exercises import Mistake, Question, choice, code, setting


def _around_zero(rng):
    z = rng.normal(size=rng.integers(4, 9))
    z[rng.integers(len(z))] = 0.0  # where > and >= differ
    return (z,)


@code(
    "The step function",
    difficulty=1,
    minutes=3,
    inputs=_around_zero,
    hints=(
        "A comparison such as z >= 0 works on a whole array at once and gives True and False.",
        ".astype(float) turns True into 1.0 and False into 0.0.",
    ),
    mistakes=(
        Mistake(
            "> for >=",
            "At z = 0 the neuron fires: the step is 1 there. Compare with >=.",
            lambda z: (z > 0).astype(float),
        ),
        Mistake(
            "−1 for 0",
            "This is the sign function. Where the neuron is silent the step is 0, not −1.",
            lambda z: np.where(z >= 0, 1.0, -1.0),
        ),
        Mistake(
            "−1 for 0",
            "np.sign gives −1, 0 and 1. The step knows 0 (silent) and 1 (fires) only.",
            np.sign,
        ),
        Mistake(
            "the wrong way round",
            "The neuron fires where z is large: 1 for z >= 0 and 0 below.",
            lambda z: (z < 0).astype(float),
        ),
        Mistake(
            "ReLU",
            "This is ReLU: it hands on z itself. The step says only 1 or 0.",
            lambda z: np.maximum(z, 0.0),
        ),
    ),
)
def step(z):
    """Return a float array of the shape of `z`: 1.0 where z ≥ 0, and 0.0 elsewhere."""
    return (z >= 0).astype(float)


@setting(
    "AND, by hand",
    difficulty=1,
    minutes=5,
    answer=[-1.5, 1.0, 1.0],
    hints=(
        "Each input that is on adds its weight. With w1 = w2 = 1 the sums are 0, 1, 1 and 2.",
        "The bias moves the threshold: only the sum 2 may reach zero or more after adding b.",
        "With w1 = w2 = 1 every b from −2 to just below −1 will do.",
    ),
    mistakes=(
        Mistake(
            "OR",
            "This neuron computes OR: one input is enough to make it fire. Lower the bias.",
            [-0.5, 1.0, 1.0],
        ),
        Mistake(
            "NAND",
            "This neuron computes NOT AND, the exact opposite: turn every sign round.",
            [1.5, -1.0, -1.0],
        ),
        Mistake(
            "it always fires",
            "The bias alone reaches the threshold 0, and then no input is needed. Lower it.",
            [0.0, 1.0, 1.0],
        ),
        Mistake(
            "it never fires",
            "Even both inputs together do not lift b + w1 + w2 to 0. Raise the bias or the "
            "weights.",
            [-3.0, 1.0, 1.0],
        ),
        Mistake(
            "one input is ignored",
            "The first input alone decides. The neuron needs both: lower the bias, or give the "
            "second input a weight.",
            [-1.0, 1.0, 0.0],
        ),
        Mistake(
            "one input is ignored",
            "The second input alone decides. The neuron needs both: lower the bias, or give the "
            "first input a weight.",
            [-1.0, 0.0, 1.0],
        ),
    ),
)
def and_gate(weights):
    """Find `weights = [b, w1, w2]` with which a neuron computes AND.

    The neuron answers step(b + w1·x1 + w2·x2). It must be 1 for x1 = x2 = 1, and 0 for the other
    three pairs of zeros and ones.
    """
    b, w1, w2 = weights
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    return {f"{x1} AND {x2}": int(b + w1 * x1 + w2 * x2 >= 0) for x1, x2 in corners}


def _batch(rng):
    n, d = rng.integers(4, 9), rng.integers(2, 5)
    x, w = rng.normal(size=(n, d)), rng.normal(size=d + 1)
    if rng.random() < 0.3:
        x[0], w[0] = 0.0, 0.0  # on the line, where > and >= differ
    return x, w


@code(
    "A neuron for a whole batch",
    difficulty=2,
    minutes=8,
    inputs=_batch,
    hints=(
        "z = x @ w[1:] is the weighted sum of every example at once, of shape (N,); the bias is "
        "still missing.",
        "The bias w[0] is the weight of an input that is always 1, so it is just added.",
        "The step of each z, as whole numbers: (z >= 0).astype(int).",
    ),
    mistakes=(
        Mistake(
            "no bias",
            "Without w[0] the line always passes through the origin. Its input is fixed at 1, so "
            "add w[0] itself.",
            lambda x, w: (x @ w[1:] >= 0).astype(int),
        ),
        Mistake(
            "the bias is the last weight",
            "Here the bias is w[0], the first weight, and w[1:] are those of the inputs.",
            lambda x, w: (x @ w[:-1] + w[-1] >= 0).astype(int),
        ),
        Mistake(
            "the bias's sign",
            "The bias is added, not subtracted. (Subtracted, it is called a threshold.)",
            lambda x, w: (x @ w[1:] - w[0] >= 0).astype(int),
        ),
        Mistake(
            "the weights have one more entry than the inputs",
            "w has D + 1 entries, x has D columns. Either add a column of ones to x, or take "
            "w[1:] for the inputs and add w[0].",
            lambda x, w: (x @ w >= 0).astype(int),
        ),
        Mistake(
            "no step",
            "This is z, the sum that goes into the neuron. It fires where z >= 0: return 0 and 1.",
            lambda x, w: x @ w[1:] + w[0],
        ),
        Mistake(
            "−1 for 0",
            "The classes are 0 and 1 here, not −1 and 1.",
            lambda x, w: np.where(x @ w[1:] + w[0] >= 0, 1, -1),
        ),
    ),
)
def predict(x, w):
    """Return the neuron's class, 0 or 1, for each of N examples: an integer array of shape (N,).

    `x` has the shape (N, D), one example a row. `w` has the shape (D + 1,): `w[0]` is the bias, the
    weight of an input that is fixed at 1, and `w[1:]` are the weights of the D inputs.
    """
    z = x @ w[1:] + w[0]
    return (z >= 0).astype(int)


def _example(rng):
    d = rng.integers(2, 5)
    w = rng.normal(size=d + 1) * (rng.random() < 0.7)  # zero at times, as at the start
    return w, np.append(1.0, rng.normal(size=d)), int(rng.integers(2))


@code(
    "Rosenblatt's rule",
    difficulty=2,
    minutes=8,
    inputs=_example,
    hints=(
        "First find what the neuron says now: y = 1 if w @ x >= 0 else 0.",
        "The error t − y is 0 if that is right, +1 if it should have fired, −1 if it should not.",
        "Add the error times the whole input: w + (t − y) * x, a new array.",
    ),
    mistakes=(
        Mistake(
            "the sign",
            "You move away from the target: the error is t − y, what it should have been minus "
            "what it was.",
            lambda w, x, t: w - (t - int(w @ x >= 0)) * x,
        ),
        Mistake(
            "it learns when it is right, too",
            "The rule changes w only after a mistake. t * x ignores what the neuron said.",
            lambda w, x, t: w + t * x,
        ),
        Mistake(
            "it learns when it is right, too",
            "The rule changes w only after a mistake. Compare what the neuron says with t first.",
            lambda w, x, t: w + (2 * t - 1) * x,
        ),
        Mistake(
            "no input",
            "You add the error itself to every weight. A weight is to blame only as far as its "
            "input was on: multiply by x.",
            lambda w, x, t: w + (t - int(w @ x >= 0)),
        ),
        Mistake(
            "= for +=",
            "You return the change alone and forget what w knew. Add it to w.",
            lambda w, x, t: (t - int(w @ x >= 0)) * x,
        ),
        Mistake(
            "no step",
            "You compare t with z = w·x itself. That is the delta rule of Widrow and Hoff (1960); "
            "Rosenblatt's compares with what the neuron says, 0 or 1.",
            lambda w, x, t: w + (t - w @ x) * x,
        ),
    ),
)
def update(w, x, t):
    """Return the weights after one example: w + (t − y)·x.

    Here y is what the neuron says now: 1 if w·x ≥ 0, and else 0. `x` has the shape (D + 1,) and
    begins with the input fixed at 1; `w` has the same shape; `t`, the target, is 0 or 1. Leave the
    array `w` itself as it was.
    """
    y = int(w @ x >= 0)
    return w + (t - y) * x


def _separable(rng):
    n, d = rng.integers(16, 25), rng.integers(2, 4)
    x, w = rng.normal(size=(n, d)), rng.normal(size=d + 1)
    w[0] /= 4  # a small bias, so that both classes are there and one epoch is seldom enough
    side = np.sign(x @ w[1:] + w[0])
    x += 0.05 * side[:, None] * w[1:] / np.linalg.norm(w[1:])  # apart, so that there is a margin
    return np.column_stack([np.ones(n), x]), (side > 0).astype(int), int(rng.choice([1, 100]))


def _wrong_fit(x, t, epochs, *, delayed=False, forget=False, start=0.0, count="mistakes"):
    """Train with one thing wrong."""
    w = np.full(x.shape[1], start)
    mistakes = passes = 0
    for _ in range(epochs):
        before, frozen, passes = mistakes, w, passes + 1
        for x_i, t_i in zip(x, t, strict=True):
            error = t_i - int((frozen if delayed else w) @ x_i >= 0)
            if error:
                w = error * x_i if forget else w + error * x_i
                mistakes += 1
        if mistakes == before:
            break
    return w, mistakes if count == "mistakes" else passes


@code(
    "Train until nothing is wrong",
    difficulty=3,
    minutes=15,
    inputs=_separable,
    hints=(
        "Two loops: over the epochs, and in each over the examples, zip(x, t).",
        "In the inner loop: y = int(w @ x_i >= 0); if y differs from t_i, count a mistake and add "
        "(t_i − y) * x_i to w at once.",
        "An epoch without a mistake is the last: count each epoch's mistakes, and break at none.",
    ),
    mistakes=(
        Mistake(
            "one epoch only",
            "After one pass over the data some examples may still be wrong. Go over them again, "
            "until an epoch passes without a mistake.",
            lambda x, t, epochs: _wrong_fit(x, t, 1),
        ),
        Mistake(
            "= for +=",
            "Each update throws away what was learned before. Add the change to w.",
            lambda x, t, epochs: _wrong_fit(x, t, epochs, forget=True),
        ),
        Mistake(
            "the weights wait for the epoch's end",
            "You judge all examples of an epoch by the weights from its start. Rosenblatt's rule "
            "learns from each mistake at once, before it looks at the next example.",
            lambda x, t, epochs: _wrong_fit(x, t, epochs, delayed=True),
        ),
        Mistake(
            "a start from ones",
            "Begin with weights that are all zero.",
            lambda x, t, epochs: _wrong_fit(x, t, epochs, start=1.0),
        ),
        Mistake(
            "epochs for mistakes",
            "You count the epochs. Asked for are the mistakes, of all epochs together.",
            lambda x, t, epochs: _wrong_fit(x, t, epochs, count="epochs"),
        ),
        Mistake(
            "no end",
            "It must stop after `epochs` epochs at the latest. Where no line separates the classes "
            "it would run for ever.",
            lambda x, t, epochs: _wrong_fit(x, t, 10_000),
        ),
        Mistake(
            "the weights alone",
            "Return two values: `return w, mistakes`.",
            lambda x, t, epochs: _wrong_fit(x, t, epochs)[0],
        ),
    ),
)
def fit(x, t, epochs):
    """Train a neuron by Rosenblatt's rule; return `(w, mistakes)`.

    `w` are its weights in the end, `mistakes` is how many it made in all. `x` has the shape
    (N, D + 1), its first column is the input fixed at 1; `t` holds N targets, 0 or 1.

    Begin with zeros. Take the examples in their order; after each mistake add (t − y)·x to the
    weights at once. Stop after an epoch without a mistake, at the latest after `epochs` epochs.
    """
    w = np.zeros(x.shape[1])
    mistakes = 0
    for _ in range(epochs):
        before = mistakes
        for x_i, t_i in zip(x, t, strict=True):
            y = int(w @ x_i >= 0)
            if y != t_i:
                w = w + (t_i - y) * x_i
                mistakes += 1
        if mistakes == before:
            break
    return w, mistakes


@choice(
    "Why XOR fails",
    difficulty=1,
    minutes=3,
    options={
        "Rosenblatt's rule needs many more epochs for it.": "It never stops: the rule cannot find "
        "what does not exist. Where weights do exist, Novikoff's bound limits its mistakes.",
        "No straight line parts (0, 1) and (1, 0) from (0, 0) and (1, 1).": "One neuron draws one "
        "straight line, and XOR's classes lie crosswise: whatever the weights "
        "are, one corner at least is wrong.",
        "The neuron has too few weights: with its bias it would work.": "The bias moves the line "
        "away from the origin, and it is there already. The line stays straight.",
        "The step function is to blame: a sigmoid would solve it.": "A sigmoid makes the edge "
        "soft, but it still changes along one direction only: its edge is the same straight line.",
    },
    answer="b",
    hints=(
        "Draw the four corners, mark the classes, and try to part them with a ruler.",
        "What shape has the border between the neuron's two answers, whatever its weights are?",
    ),
)
def why_xor(answer):
    """XOR is 1 where exactly one of two inputs is 1.

    Why can no single neuron compute it?
    """


quiz = (
    Question(
        "A neuron's weights are all multiplied by 10, its bias too. What happens to the line "
        "between its two classes?",
        {
            "It stays where it is": "Yes: $10z \\ge 0$ exactly where $z \\ge 0$. With a sigmoid "
            "the edge gets steeper, but it does not move.",
            "It turns": "The line turns when the ratio of the weights changes.",
            "It moves away from the origin": "Its distance is the bias divided by the length of "
            "the weights, and both grew tenfold.",
        },
        "a",
    ),
    Question(
        "What would a neuron lose without its bias?",
        {
            "Its speed": "The bias costs one addition.",
            "The freedom to turn its line": "The weights turn the line.",
            "The freedom to move its line away from the origin": "Yes: without a bias $z = 0$ at "
            "the origin, whatever the weights are.",
        },
        "c",
    ),
    Question(
        "Novikoff's bound says that the perceptron makes at most $(R/\\gamma)^2$ mistakes. When "
        "does it promise nothing?",
        {
            "When there are very many examples": "Their number does not occur in it at all: only "
            "the largest length $R$ and the margin $\\gamma$ do.",
            "When no line separates the classes": "Yes: then there is no margin $\\gamma > 0$, and "
            "the mistakes go on for ever.",
            "When the inputs have many dimensions": "The dimension does not occur in it either, "
            "only lengths do.",
        },
        "b",
    ),
    Question(
        "Which activation gives a slope of zero almost everywhere, so that gradients cannot train "
        "a neuron through it?",
        {
            "step": "Yes: it is flat on both sides of its jump. The next lessons need a slope.",
            "sigmoid": "It is flat far out only; in the middle its slope is 1/4.",
            "ReLU": "For negative inputs it is flat, but for positive ones its slope is 1.",
        },
        "a",
    ),
)
