"""Exercises of lesson 02: layers, why they need a bend, softmax, and the loss of a classifier."""

import numpy as np

from dlcourse.exercises import Mistake, Question, choice, code, setting


def _layer(rng):
    n, d = rng.integers(4, 8), rng.integers(2, 5)
    m = d if rng.random() < 0.4 else rng.integers(2, 6)  # square weights fit the wrong way, too
    x, W, b = rng.normal(size=(n, d)), rng.normal(size=(m, d)), rng.normal(size=m)
    x[0], b[0] = W[0], abs(b[0])  # one answer at least is not 0, and so not a whole number
    return x, W, b


@code(
    "A whole layer",
    difficulty=1,
    minutes=6,
    inputs=_layer,
    hints=(
        "One unit's sums for all examples are x @ W[j]; all units' at once are x @ W.T, of shape "
        "(N, M).",
        "Add b: its shape (M,) is repeated for every row.",
        "ReLU is np.maximum(z, 0), number by number.",
    ),
    mistakes=(
        Mistake(
            "the transpose is missing",
            "W holds one unit per row, (M, D). The sums of unit j are x @ W[j], so all of them are "
            "x @ W.T.",
            lambda x, W, b: np.maximum(x @ W + b, 0),
        ),
        Mistake(
            "no bias",
            "Without b every unit's line runs through the origin.",
            lambda x, W, b: np.maximum(x @ W.T, 0),
        ),
        Mistake(
            "the bias after the bend",
            "The bias belongs inside: first the whole sum x @ W.T + b, then ReLU.",
            lambda x, W, b: np.maximum(x @ W.T, 0) + b,
        ),
        Mistake(
            "no ReLU",
            "These are the sums z. A layer answers with the activation of z.",
            lambda x, W, b: x @ W.T + b,
        ),
        Mistake(
            "the step",
            "This is 1 where the sum is positive. ReLU hands on the sum itself there.",
            lambda x, W, b: (x @ W.T + b > 0).astype(float),
        ),
        Mistake(
            "the largest of all",
            "np.max looks for the one largest number of the array. np.maximum compares number by "
            "number.",
            lambda x, W, b: max(0, np.max(x @ W.T + b)),
        ),
    ),
)
def layer(x, W, b):
    """Return what a layer of M units with ReLU answers to N examples: an array of shape (N, M).

    `x` has the shape (N, D), one example a row. `W` has the shape (M, D), one unit's weights a row.
    `b` has the shape (M,), one bias a unit.
    """
    return np.maximum(x @ W.T + b, 0)


@setting(
    "The same hidden layer, another question",
    difficulty=2,
    minutes=6,
    answer=[1.0, -1.0, 2.0],
    hints=(
        "Write down what h1 and h2 are for the sums x1 + x2 = 0, 1 and 2: (0, 0), (1, 0), (2, 1).",
        "At (0, 0) only the bias is left: it decides the first corner.",
        "The bias 1 is right there. At (1, 0) something must pull the 1 down, and at (2, 1) "
        "something must lift it again.",
    ),
    mistakes=(
        Mistake(
            "XOR",
            "This computes XOR, as in the lesson. Wanted is the opposite: 1 where both are equal.",
            [0.0, 1.0, -2.0],
        ),
        Mistake(
            "always 0",
            "The output never reaches 0.5. (XOR's weights with turned signs give 0, −1, −1, 0.) "
            "Lift it: at (0, 0) only the bias can.",
            [0.0, -1.0, 2.0],
        ),
        Mistake(
            "always 1",
            "Where exactly one input is on, the output is still 0.5 or more: give h1 a more "
            "negative weight.",
            [1.0, 0.0, 0.0],
        ),
        Mistake(
            "NOR",
            "It is 1 at (0, 0) alone. At (1, 1) h2 has to lift it again: its weight is too small.",
            [1.0, -1.0, 0.0],
        ),
        Mistake(
            "AND",
            "It is 1 at (1, 1) alone. At (0, 0) both h are 0: only the bias can lift it.",
            [0.0, 0.0, 1.0],
        ),
        Mistake(
            "OR",
            "It is 0 at (0, 0) alone. Is the bias in its place? The order is [b, v1, v2].",
            [-1.0, 2.0, 1.0],
        ),
        Mistake(
            "NAND",
            "It is 0 at (1, 1) alone, and 1 where exactly one input is on. Pull h1 down more, and "
            "let h2 lift what was pulled down too far.",
            [1.0, 0.0, -1.0],
        ),
    ),
)
def xnor(weights):
    """Find `weights = [b, v1, v2]` of an output unit that tells whether both bits are equal.

    The hidden layer stays that of the lesson: h1 = ReLU(x1 + x2), h2 = ReLU(x1 + x2 − 1). The
    output is b + v1·h1 + v2·h2. From 0.5 on it counts as 1: so it must for (0, 0) and (1, 1), and
    not for (0, 1) and (1, 0).
    """
    b, v1, v2 = weights
    effects = {}
    for x1, x2 in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        h1, h2 = max(x1 + x2, 0), max(x1 + x2 - 1, 0)
        effects[f"{x1} and {x2}"] = int(b + v1 * h1 + v2 * h2 >= 0.5)
    return effects


def _two_layers(rng):
    d, m, k = (3, 3, 3) if rng.random() < 0.4 else rng.permutation([2, 3, 4])
    return (
        rng.normal(size=(m, d)),
        rng.normal(size=m),
        rng.normal(size=(k, m)),
        rng.normal(size=k),
    )


@code(
    "Two layers are one",
    difficulty=2,
    minutes=8,
    inputs=_two_layers,
    hints=(
        "Write it out for one example: y = W2 h + b2 with h = W1 x + b1. Put the second into the "
        "first.",
        "y = W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2).",
        "In numpy: W2 @ W1, and W2 @ b1 + b2. Check the shapes: (K, M) @ (M, D) is (K, D).",
    ),
    mistakes=(
        Mistake(
            "the order of the product",
            "The first layer works first, so it stands next to x, on the right: W2 @ W1.",
            lambda W1, b1, W2, b2: (W1 @ W2, W2 @ b1 + b2),
        ),
        Mistake(
            "the biases are just added",
            "b1 goes through the second layer, too: multiply it by W2.",
            lambda W1, b1, W2, b2: (W2 @ W1, b1 + b2),
        ),
        Mistake(
            "the first bias is lost",
            "The first layer's bias b1 goes through the second layer and arrives as W2 @ b1.",
            lambda W1, b1, W2, b2: (W2 @ W1, b2),
        ),
        Mistake(
            "number by number",
            "The sign * multiplies number by number. A layer is a matrix product: @.",
            lambda W1, b1, W2, b2: (W2 * W1, W2 @ b1 + b2),
        ),
        Mistake(
            "transposed",
            "The values are right but transposed: W needs one row per output, (K, D).",
            lambda W1, b1, W2, b2: ((W2 @ W1).T, W2 @ b1 + b2),
        ),
    ),
)
def collapse(W1, b1, W2, b2):
    """Return `(W, b)` of the one layer that does the same as two layers without an activation.

    The first layer maps x to W1 x + b1, the second maps that on to W2 (…) + b2. `W1` has the shape
    (M, D), `b1` (M,), `W2` (K, M) and `b2` (K,).
    """
    return W2 @ W1, W2 @ b1 + b2


def _logits(rng):
    n, k = rng.integers(2, 6), rng.integers(2, 6)
    z = rng.normal(size=(k if rng.random() < 0.3 else n, k))
    if rng.random() < 0.5:  # far out, where exp alone overflows or vanishes
        z = z + rng.choice([-2000.0, 0.0, 2000.0], size=(len(z), 1))
    if rng.random() < 0.4:  # far apart, where only the largest will do for a shift
        z = 2000 * z
    return (z,)


def _softmax(z, axis=1, keepdims=True, shift=lambda z: z.max(axis=1, keepdims=True)):
    """Give the softmax, with one thing wrong perhaps."""
    e = np.exp(z - shift(z))
    return e / e.sum(axis=axis, keepdims=keepdims)


@code(
    "A stable softmax",
    difficulty=2,
    minutes=8,
    inputs=_logits,
    hints=(
        "First subtract each row's largest logit: logits.max(axis=1, keepdims=True) has the shape "
        "(N, 1).",
        "Then np.exp, and divide by each row's sum.",
        "keepdims=True keeps the axis, so that (N, 1) is repeated along the row. Without it numpy "
        "would line (N,) up with the columns.",
    ),
    mistakes=(
        Mistake(
            "no shift",
            "Right for small logits. But np.exp(2000) is infinite, and infinite / infinite is no "
            "number: subtract each row's largest logit first.",
            lambda z: _softmax(z, shift=lambda z: 0.0),
        ),
        Mistake(
            "over the wrong axis",
            "Your columns add up to 1. Each row is one example: sum over axis 1.",
            lambda z: _softmax(z, axis=0),
        ),
        Mistake(
            "over the whole array",
            "All numbers together add up to 1. Each row must: sum over axis 1.",
            lambda z: _softmax(z, axis=None),
        ),
        Mistake(
            "no keepdims",
            "A sum of shape (N,) is lined up with the columns, not with the rows. Keep the axis: "
            "sum(axis=1, keepdims=True).",
            lambda z: _softmax(z, keepdims=False),
        ),
        Mistake(
            "one shift for all rows",
            "Subtract each row's own largest logit, not the largest of the whole array: a row that "
            "lies far below it would vanish.",
            lambda z: _softmax(z, shift=np.max),
        ),
        Mistake(
            "the mean for a shift",
            "With the mean subtracted, the largest logit can still be far above zero, and np.exp "
            "overflows. Subtract the largest itself.",
            lambda z: _softmax(z, shift=lambda z: z.mean(axis=1, keepdims=True)),
        ),
        Mistake(
            "the logarithm",
            "This is the log-softmax. Asked for are the probabilities themselves.",
            lambda z: np.log(_softmax(z)),
        ),
    ),
)
def softmax(logits):
    """Return the softmax of each row of `logits` (N, K): N rows of K probabilities.

    It must work for logits of any size, also for 2000 or −2000.
    """
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def _classified(rng):
    n, k = rng.integers(2, 6), rng.integers(2, 6)
    n = k if rng.random() < 0.3 else n
    return 2 * rng.normal(size=(n, k)), rng.integers(0, k, n)


def _cross_entropy(z, y, p=_softmax, loss_sum=False, grad_sum=False, sign=1):
    """Give cross-entropy and gradient, with one thing wrong perhaps."""
    p, n = p(z), len(z)
    t = np.eye(z.shape[1])[y]
    loss = -np.log((p * t).sum(axis=1))
    grad = sign * (p - t)
    return loss.sum() if loss_sum else loss.mean(), grad if grad_sum else grad / n


@code(
    "Cross-entropy and its gradient",
    difficulty=3,
    minutes=15,
    inputs=_classified,
    hints=(
        "First p, the softmax of every row (write it again, or call your own from above).",
        "The probability of the right class, example by example: p[np.arange(N), y]. The loss is "
        "the mean of minus its logarithm.",
        "With t the targets, 1 at the right class and 0 elsewhere, the gradient of one example's "
        "loss is p − t; t = np.eye(K)[y] makes all rows at once.",
        "The loss is a mean over N examples, so each row of the gradient is (p − t) / N.",
    ),
    mistakes=(
        Mistake(
            "no 1/N in the gradient",
            "The loss is a mean, so each example's share in it is 1/N: divide p − t by N.",
            lambda z, y: _cross_entropy(z, y, grad_sum=True),
        ),
        Mistake(
            "no 1/N",
            "You add the examples' losses up. Asked for is their mean, and its gradient.",
            lambda z, y: _cross_entropy(z, y, loss_sum=True, grad_sum=True),
        ),
        Mistake(
            "no 1/N in the loss",
            "Your gradient is that of the mean, but your loss is the sum: divide it by N.",
            lambda z, y: _cross_entropy(z, y, loss_sum=True),
        ),
        Mistake(
            "no minus",
            "The logarithm of a probability is below zero. A loss is wanted: minus the logarithm.",
            lambda z, y: (-_cross_entropy(z, y)[0], _cross_entropy(z, y)[1]),
        ),
        Mistake(
            "the gradient's sign",
            "Your gradient points downhill. The gradient itself is p − t: it points uphill, and "
            "the optimiser steps against it.",
            lambda z, y: _cross_entropy(z, y, sign=-1),
        ),
        Mistake(
            "every pair of example and class",
            "p[:, y] takes all labels' columns for every example. Pair them: p[np.arange(N), y].",
            lambda z, y: (-np.log(_softmax(z)[:, y]).mean(), _cross_entropy(z, y)[1]),
        ),
        Mistake(
            "softmax over the wrong axis",
            "Your probabilities add up to 1 down the columns. Each row is one example: axis 1.",
            lambda z, y: _cross_entropy(z, y, p=lambda z: _softmax(z, axis=0)),
        ),
        Mistake(
            "the loss alone",
            "Return two values: `return loss, gradient`.",
            lambda z, y: _cross_entropy(z, y)[0],
        ),
    ),
)
def cross_entropy(logits, y):
    """Return `(loss, gradient)`: the mean cross-entropy, and its slopes by every logit.

    `logits` has the shape (N, K), one example a row. `y` holds the N right classes, whole numbers
    from 0 to K − 1. The loss is one number, the gradient has the shape (N, K).
    """
    n, k = logits.shape
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(n), y]).mean()
    return loss, (p - np.eye(k)[y]) / n


@choice(
    "All equal",
    difficulty=1,
    minutes=3,
    options={
        "Zero times anything is zero, so the network can never answer anything but zero.": "The "
        "output's bias can move. And the trouble is the same when all weights start at 0.5.",
        "Units that begin equal get equal gradients, and so they stay equal for ever.": "All that "
        "makes a unit are its weights. With the same weights in and out it gives the same "
        "answers and gets the same blame, so eight units are worth one.",
        "The learning rate is too small to leave the starting point.": "A larger rate moves all "
        "units further, but all by the same amount.",
        "ReLU is dead at zero: with tanh it would work.": "The lesson's network has tanh. The "
        "units are equal with every activation.",
    },
    answer="b",
    hints=(
        "Compare two units of the same layer: what differs between them at the start? And after "
        "one step?",
        "A step depends on a unit's inputs, its answer and the weights that lead on from it.",
    ),
)
def why_random(answer):
    """Eight units form a hidden layer, and all their weights start from the same number.

    Why does the network learn so little, however long it trains?
    """


quiz = (
    Question(
        "A network has ten linear layers on top of each other, and no activation between them. "
        "What can it compute that one linear layer cannot?",
        {
            "Nothing": "Yes: a product of matrices is a matrix. Only a bend between the layers "
            "makes more of them worth while.",
            "Curved borders, but only gentle ones": "Its border between two classes is one "
            "straight line, as that of a single layer.",
            "Any function, given enough units": "That takes an activation that is not linear "
            "(and, as Leshno and others showed, no polynomial).",
        },
        "a",
    ),
    Question(
        "To each of the logits (2, 1, 0) we add 100. What happens to their softmax?",
        {
            "The largest probability comes closer to 1": "That is what multiplying the logits "
            "does.",
            "It overflows": "In a careless program only if we had added 1000; a careful one "
            "subtracts the largest logit first.",
            "Nothing": "Yes: $e^{z + c} = e^c e^z$, and the factor $e^c$ cancels.",
        },
        "c",
    ),
    Question(
        "A classifier is sure of the wrong class: it gives the right one a probability of 0.0001. "
        "How large are the slopes by which it learns?",
        {
            "Large with cross-entropy, tiny with squared error": "Yes: the slopes of cross-entropy "
            "are $p - t$, nearly $-1$ at the right class. Those of the squared error carry another "
            "factor $p$.",
            "Tiny with cross-entropy, large with squared error": "It is the other way round: "
            "the squared error's slopes carry a factor $p$ of the right class, 0.0001.",
            "Large with both: the error is large": "The error is large, but the squared error is "
            "flat there: its slopes carry a factor $p$.",
        },
        "a",
    ),
    Question(
        "The universal approximation theorem says that one hidden layer is enough for any "
        "continuous function. What does it not say?",
        {
            "That the function may be as bent as it likes": "That it does say, if it is "
            "continuous and the inputs are bounded.",
            "How to find the weights, and that their number is practical": "Yes: it says that "
            "weights exist. Training may miss them, and one layer may need very many units "
            "where several layers need few.",
            "That the activation must be bent": "It does: for linear activations it is false.",
        },
        "b",
    ),
)
