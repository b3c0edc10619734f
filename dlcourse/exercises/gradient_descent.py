"""Exercises of lesson 04: learning rates, momentum, Adam, schedules, early stopping."""

import math

import numpy as np

from dlcourse.exercises import Mistake, Question, code, setting


def _on_axis(factor):
    """Say what becomes of a weight that is multiplied by a factor 80 times."""
    if math.isclose(abs(factor), 1, rel_tol=1e-9):
        return "stands still" if factor > 0 else "to and fro"
    if abs(factor) > 1:
        return "climbs" if factor > 0 else "diverges"
    if abs(factor) ** 80 < 0.001:
        return "there"
    return "too slow" if factor > 0 else "overshoots"


@setting(
    "A rate for a ravine",
    difficulty=1,
    minutes=6,
    answer=2 / 42,
    hints=(
        "Along each axis a step multiplies w by (1 − rate · λ). Both |1 − 2 · rate| and "
        "|1 − 40 · rate| must be small.",
        "The steep axis limits the rate: at 2/40 it no longer shrinks. The flat one wants it "
        "large.",
        "The two factors are equally small where 1 − 2 · rate = 40 · rate − 1.",
    ),
    mistakes=(
        Mistake(
            "too small",
            "It goes downhill along both axes, but along the flat one too slowly for 80 steps.",
            0.01,
        ),
        Mistake(
            "at the edge",
            "At 2/40 the steep axis jumps to and fro between the same two heights for ever.",
            0.05,
        ),
        Mistake(
            "nearly at the edge",
            "Along the steep axis it jumps to and fro across the bottom, and these jumps shrink "
            "too slowly. A little less.",
            0.0495,
        ),
        Mistake(
            "too large",
            "Along the steep axis each step lands farther out than the last: it diverges.",
            0.06,
        ),
        Mistake(
            "uphill",
            "w − rate · slope with a negative rate climbs: the rate must be positive.",
            -0.01,
        ),
    ),
)
def rate(rate):
    """Find a learning rate that gets to the bottom of a ravine in 80 steps.

    Its height is ½ (2 w₁² + 40 w₂²). From w = (1, 1), both weights must get below 0.001 in size.
    """
    return {
        "along the flat axis": _on_axis(1 - 2 * rate),
        "along the steep axis": _on_axis(1 - 40 * rate),
    }


def _moving(rng):
    shape = tuple(rng.integers(2, 5, size=rng.integers(1, 3)))
    w, v, g = rng.normal(size=(3, *shape))
    rates = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.3, 0.95))
    return w, v, g, *rates, bool(rng.integers(2))


def _moved(w, v, g, lr, mu, nesterov, *, share=1.0, look=True, sign=-1):
    """Step with one thing wrong."""
    v = mu * v + share * g
    return w + sign * lr * (g + mu * v if nesterov and look else v), v


@code(
    "One step with momentum",
    difficulty=2,
    minutes=8,
    inputs=_moving,
    hints=(
        "First the velocity: v = mu * v + g. It makes a new array, as it should.",
        "Plain momentum steps along the new velocity: w − lr * v.",
        "With nesterov the direction is g + mu * v, with the new v.",
    ),
    mistakes=(
        Mistake(
            "Nesterov left out",
            "With nesterov=True the step is lr · (g + mu · v), one look ahead, instead of lr · v.",
            lambda *a: _moved(*a, look=False),
        ),
        Mistake(
            "uphill",
            "The velocity collects slopes, which point uphill: subtract lr · v.",
            lambda *a: _moved(*a, sign=1),
        ),
        Mistake(
            "an average for a sum",
            "You weigh the new gradient by 1 − mu. Adam does that; here the velocity is "
            "mu · v + g, so that with steady slopes it grows to 1/(1 − mu) times the gradient.",
            lambda w, v, g, lr, mu, nesterov: _moved(w, v, g, lr, mu, nesterov, share=1 - mu),
        ),
        Mistake(
            "the old velocity",
            "You step with the velocity from before this gradient. Renew v first, then step.",
            lambda w, v, g, lr, mu, nesterov: (
                w - lr * (g + mu * v if nesterov else v),
                mu * v + g,
            ),
        ),
        Mistake(
            "the rate inside the velocity",
            "The same path while the rate is constant, but another velocity: here v = mu · v + g, "
            "and the rate multiplies only the step, as in PyTorch.",
            lambda w, v, g, lr, mu, nesterov: (
                _moved(w, v, g, lr, mu, nesterov)[0],
                lr * (mu * v + g),
            ),
        ),
        Mistake(
            "= for +=",
            "Without mu · v there is no memory: this is plain gradient descent.",
            lambda w, v, g, lr, mu, nesterov: (w - lr * g, g),
        ),
    ),
)
def momentum(w, v, g, lr, mu, nesterov):
    """Return the weights and the velocity after one step, `(w, v)`, as new arrays.

    `w`, `v` and `g` are the weights, the velocity and the gradient, all of one shape; `lr` is the
    learning rate and `mu` the share of the velocity that is kept. First v ← mu·v + g. The step is
    then lr·v, or, if `nesterov` is True, lr·(g + mu·v) with the new v.
    """
    v = mu * v + g
    direction = g + mu * v if nesterov else v
    return w - lr * direction, v


def _reach(lr, mu):
    """Give the factor by which one step shrinks the distance, for λ = 1 and for λ = 1,000."""
    factors = []
    for curvature in (1.0, 1000.0):
        step = np.array([[1 + mu - lr * curvature, -mu], [1.0, 0.0]])  # of (w, the last w)
        factors.append(float(np.abs(np.linalg.eigvals(step)).max()))
    return factors


@setting(
    "A rate and a momentum",
    difficulty=2,
    minutes=10,
    answer=[(2 / (math.sqrt(1000) + 1)) ** 2, ((math.sqrt(1000) - 1) / (math.sqrt(1000) + 1)) ** 2],
    hints=(
        "Here κ is 1,000: the formulas under Polyak's name say which pair is best.",
        "With λ = 1,000 and μ = 1: rate (2 / (√1000 + 1))² and momentum "
        "((√1000 − 1) / (√1000 + 1))².",
        "That is a momentum of 0.8813 and a rate of 0.003759. The rate is right below the edge, "
        "2 (1 + momentum) / 1,000: round it down, not up.",
    ),
    mistakes=(
        Mistake(
            "no momentum",
            "Without momentum even the best rate shrinks the distance by no more than 0.2% a "
            "step. Give it a momentum near 0.9.",
            [0.0019, 0.0],
        ),
        Mistake(
            "too little momentum",
            "With this momentum no rate does it: what is small enough for the steep axis is too "
            "small for the flat one. Take more momentum.",
            [0.0035, 0.8],
        ),
        Mistake(
            "too large a rate",
            "It diverges along the steep axis: even with momentum the rate must stay below "
            "2 (1 + momentum) / 1,000.",
            [0.01, 0.88],
        ),
        Mistake(
            "nearly at the edge",
            "It arrives, but along the steep axis it jumps to and fro across the bottom, and these "
            "jumps shrink too slowly. Lower the rate a little.",
            [0.003758, 0.88],
        ),
        Mistake(
            "too much momentum",
            "The point swings through the bottom again and again, since nearly all of its "
            "velocity is kept. Take less momentum.",
            [0.0038, 0.99],
        ),
        Mistake(
            "too small a rate",
            "The momentum is fine, but with this rate the flat axis is still far from the bottom. "
            "Raise the rate.",
            [0.0003, 0.88],
        ),
        Mistake(
            "not a momentum",
            "A momentum is a share: from 0 to just below 1.",
            [0.0019, 1.5],
        ),
        Mistake(
            "uphill",
            "w − rate · v climbs with a negative rate, and stays with rate 0: it must be positive.",
            [-0.001, 0.9],
        ),
    ),
)
def pair(rate_and_momentum):
    """Find `rate_and_momentum = [rate, momentum]` that master a long ravine.

    Its height is ½ (w₁² + 1000 w₂²), so κ = 1,000. Each step must shrink the distance by 5% or
    more in the long run. Plain gradient descent manages 0.2% at best.
    """
    lr, mu = rate_and_momentum
    if not 0 <= mu < 1:
        return {"the momentum": "no share from 0 to 1"}
    if lr <= 0:
        return {"the rate": "not positive"}
    flat, steep = _reach(lr, mu)
    if max(flat, steep) >= 1:
        return {"in the long run": "it diverges, or stays where it is"}
    if max(flat, steep) <= 0.95:
        return {"in the long run": "5% or more a step"}
    if mu > 0.95**2:  # where it swings, a step shrinks the distance by the root of the momentum
        slow = "it swings"
    elif mu < 0.8785:  # below this no rate is good for both axes
        slow = "too little momentum" if mu else "no momentum"
    else:
        slow = "rate too high" if steep > flat else "rate too low"
    return {"in the long run": f"less than 5% a step: {slow}"}


def _before(rng):
    shape = tuple(rng.integers(2, 5, size=rng.integers(1, 3)))
    size = 10.0 ** rng.uniform(-6, 0)  # for tiny gradients it matters where ε stands
    w, m, g = rng.normal(size=(3, *shape))
    v = rng.uniform(0.1, 1, size=shape) * size**2
    return w, m * size, v, g * size, int(rng.integers(1, 30)), float(rng.uniform(0.001, 0.1))


def _adam(w, m, v, g, t, lr, *, betas=(0.9, 0.999), correct=True, inside=False, root=True):
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    m_hat, v_hat = (m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)) if correct else (m, v)
    size = np.sqrt(v_hat + 1e-8) if inside else np.sqrt(v_hat) + 1e-8 if root else v_hat + 1e-8
    return w - lr * m_hat / size, m, v


@code(
    "One step of Adam",
    difficulty=2,
    minutes=12,
    inputs=_before,
    hints=(
        "Two running means: m = 0.9 * m + 0.1 * g and v = 0.999 * v + 0.001 * g**2.",
        "The correction: m_hat = m / (1 - 0.9**t), v_hat = v / (1 - 0.999**t). Keep m and v "
        "themselves uncorrected, since the next step goes on from them.",
        "The new weights: w - lr * m_hat / (np.sqrt(v_hat) + 1e-8).",
    ),
    mistakes=(
        Mistake(
            "no bias correction",
            "Both means start at zero and are too small at first. Divide m by 1 − 0.9ᵗ and v by "
            "1 − 0.999ᵗ.",
            lambda *a: _adam(*a, correct=False),
        ),
        Mistake(
            "the correction without t",
            "Divide by 1 − 0.9ᵗ and 1 − 0.999ᵗ, with t as the exponent: the correction fades with "
            "the steps.",
            lambda w, m, v, g, t, lr: _adam(w, m, v, g, 1, lr),
        ),
        Mistake(
            "the corrected means are kept",
            "m_hat and v_hat serve this step only. Return m and v as they were before the "
            "correction, or it is applied again at the next step.",
            lambda w, m, v, g, t, lr: (
                _adam(w, m, v, g, t, lr)[0],
                _adam(w, m, v, g, t, lr)[1] / (1 - 0.9**t),
                _adam(w, m, v, g, t, lr)[2] / (1 - 0.999**t),
            ),
        ),
        Mistake(
            "no root",
            "v holds squares: divide by its root, so that the step does not depend on the "
            "gradient's size.",
            lambda *a: _adam(*a, root=False),
        ),
        Mistake(
            "ε inside the root",
            "ε is added after the root: √v_hat + ε. Inside, √(v_hat + ε), it is ten thousand "
            "times as strong.",
            lambda *a: _adam(*a, inside=True),
        ),
        Mistake(
            "the betas exchanged",
            "The mean of the gradients forgets fast (0.9), that of the squares slowly (0.999).",
            lambda *a: _adam(*a, betas=(0.999, 0.9)),
        ),
        Mistake(
            "the weights alone",
            "Return three values: `return w, m, v`.",
            lambda *a: _adam(*a)[0],
        ),
    ),
)
def adam(w, m, v, g, t, lr):
    """Return `(w, m, v)` after step number `t` (1, 2, 3 …) of Adam, as new arrays.

    `m` and `v` are the running means of the gradients `g` and of their squares, from the step
    before. Use β₁ = 0.9, β₂ = 0.999 and ε = 1e-8, and correct the bias of both means.
    """
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    m_hat = m / (1 - 0.9**t)
    v_hat = v / (1 - 0.999**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + 1e-8), m, v


def _moment(rng):
    warmup = int(rng.integers(2, 20))
    total = warmup + int(rng.integers(5, 100))
    corners = 0, warmup - 1, warmup, warmup, total - 1
    t = rng.choice([*corners, rng.integers(warmup), rng.integers(warmup, total)])
    return int(t), total, warmup, float(rng.uniform(0.01, 1))


def _scheduled(t, total, warmup, peak, *, late=0, start=1, turns=1, shift=1.0, longer=0, shorter=0):
    if t < warmup + longer:
        return peak * (t + start) / warmup
    share = t / total if late else (t - warmup) / (total - warmup - shorter)
    return peak * (shift + math.cos(turns * math.pi * share)) / (1 + shift)


@code(
    "Warm-up and cosine",
    difficulty=2,
    minutes=8,
    inputs=_moment,
    hints=(
        "Two cases: if t < warmup, a straight line; otherwise half a cosine.",
        "The line: peak * (t + 1) / warmup, so that the last step of the warm-up has the peak.",
        "The cosine: share = (t - warmup) / (total - warmup) runs from 0 towards 1, and the rate "
        "is peak * (1 + np.cos(np.pi * share)) / 2.",
    ),
    mistakes=(
        Mistake(
            "it begins at rate 0",
            "At t = 0 the line must give peak / warmup, not 0: a step of length 0 is wasted.",
            lambda *a: _scheduled(*a, start=0),
        ),
        Mistake(
            "no warm-up",
            "The first `warmup` steps climb along a straight line to the peak.",
            lambda t, total, warmup, peak: peak * (1 + math.cos(math.pi * t / total)) / 2,
        ),
        Mistake(
            "the cosine begins too early",
            "The cosine starts when the warm-up ends: its share is "
            "(t − warmup) / (total − warmup), not t / total.",
            lambda *a: _scheduled(*a, late=1),
        ),
        Mistake(
            "a negative rate",
            "A bare cosine falls to −1, and the second half would climb uphill. (1 + cos) / 2 "
            "goes from 1 to 0.",
            lambda *a: _scheduled(*a, shift=0.0),
        ),
        Mistake(
            "a whole wave",
            "With 2π the cosine goes down and up again. Half a wave, π, goes down only.",
            lambda *a: _scheduled(*a, turns=2),
        ),
        Mistake(
            "<= for <",
            "At t = warmup the line would give more than the peak: step numbers count from 0, so "
            "the warm-up is over there.",
            lambda *a: _scheduled(*a, longer=1),
        ),
        Mistake(
            "a last step of rate 0",
            "The cosine reaches 0 at t = total, one after the last step: divide by total − warmup, "
            "not by one less.",
            lambda *a: _scheduled(*a, shorter=1),
        ),
    ),
)
def schedule(t, total, warmup, peak):
    """Return the learning rate of step `t`, which counts from 0 to total − 1.

    During the first `warmup` steps it climbs along a straight line: peak / warmup at t = 0, and
    `peak` at t = warmup − 1. Then it falls along half a cosine, from `peak` at t = warmup to 0 at
    t = total (which is never reached).
    """
    if t < warmup:
        return peak * (t + 1) / warmup
    share = (t - warmup) / (total - warmup)
    return peak * (1 + np.cos(np.pi * share)) / 2


def _validation(rng):
    n = int(rng.integers(8, 25))
    losses = 1 / (1 + np.arange(n)) + 0.04 * np.arange(n) + 0.15 * rng.random(n)
    if rng.random() < 0.5:
        losses[-1] = 0  # best of all, but too late
    digits = rng.integers(1, 4)  # with one digit there are ties
    return losses.round(digits).tolist(), int(rng.integers(1, 5))


def _stopped(
    losses, patience, *, total=False, previous=False, last=False, late=0, future=False, ties=False
):
    best, failures, best_epoch = math.inf, 0, 0
    for epoch, loss in enumerate(losses):
        if loss < best or (ties and loss == best):
            best, best_epoch = loss, epoch
            failures = failures if total else 0
        else:
            failures += 1
        if previous:
            best = loss
        if failures >= patience + late:
            break
    if future:
        best_epoch = int(np.argmin(losses))
    return epoch, epoch if last else best_epoch


@code(
    "When to stop",
    difficulty=3,
    minutes=12,
    inputs=_validation,
    hints=(
        "Walk through the losses with enumerate, and remember three things: the lowest loss so "
        "far, its epoch, and how many epochs have failed in a row.",
        "A loss below the lowest so far sets the failures back to 0; any other adds one.",
        "When the failures reach `patience`, break: epoch is where you stopped.",
    ),
    mistakes=(
        Mistake(
            "failures are never forgiven",
            "Set the count back to 0 whenever there is a new lowest loss: only failures in a row "
            "count.",
            lambda *a: _stopped(*a, total=True),
        ),
        Mistake(
            "compared with the last epoch",
            "Compare each loss with the lowest so far, not with the one just before it: a slow "
            "climb with little dips would never end.",
            lambda *a: _stopped(*a, previous=True),
        ),
        Mistake(
            "one epoch too many",
            "Stop as soon as `patience` epochs in a row have failed, not one later: >=, not >.",
            lambda *a: _stopped(*a, late=1),
        ),
        Mistake(
            "the last epoch for the best",
            "The second value is the epoch of the lowest loss, whose weights are restored; "
            "the later ones are worse.",
            lambda *a: _stopped(*a, last=True),
        ),
        Mistake(
            "looking into the future",
            "After the stop nothing is trained, so no later epoch can be the best. Look only at "
            "the epochs up to the stop.",
            lambda *a: _stopped(*a, future=True),
        ),
        Mistake(
            "a tie for a success",
            "A loss that only equals the lowest is no progress: < instead of <=.",
            lambda *a: _stopped(*a, ties=True),
        ),
    ),
)
def early_stopping(losses, patience):
    """Return `(stop, best)`: the epoch after which training stops, and the best epoch until then.

    `losses` is a list of validation losses, one an epoch; epochs count from 0. An epoch fails if
    its loss is not below the lowest one before it. Training stops after the epoch that is the
    `patience`-th failure in a row; if there is none, after the last. Both values are integers.
    """
    lowest, best, failures = np.inf, 0, 0
    for stop, loss in enumerate(losses):
        if loss < lowest:
            lowest, best, failures = loss, stop, 0
        else:
            failures += 1
        if failures >= patience:
            break
    return stop, best


quiz = (
    Question(
        "Near a minimum the largest curvature of a loss is $\\lambda = 50$ and the smallest 0.5. "
        "Which learning rates make plain gradient descent diverge?",
        {
            "all above 0.04": "Yes: $2/\\lambda$ with the largest curvature is the edge, $2/50$.",
            "all above 4": "That is $2/\\lambda$ for the flattest direction. The steepest one "
            "blows up long before.",
            "all above 0.02": "$1/\\lambda$ is the rate that reaches the bottom of the steepest "
            "direction in one step. Beyond it the point overshoots, but up to $2/\\lambda$ it "
            "still comes nearer.",
        },
        "a",
    ),
    Question(
        "You multiply a loss by 100 and change nothing else. Whose path stays (almost) the same?",
        {
            "that of plain gradient descent": "Its steps are 100 times as long now, as if the "
            "rate were.",
            "that of momentum": "Its velocity sums gradients, so it too is 100 times as large.",
            "that of Adam": "Yes: it divides the mean gradient by the root of the mean square, "
            "and the factor cancels. Only $\\varepsilon$ notices.",
        },
        "c",
    ),
    Question(
        "You make each mini-batch four times as large. What happens to the noise of its gradient, "
        "its standard deviation?",
        {
            "It falls to a quarter": "The variance does. Its root, the standard deviation, falls "
            "to a half.",
            "It falls to a half": "Yes: it goes like $1/\\sqrt{B}$, so half the noise costs four "
            "times the work.",
            "It stays": "The mean over more examples varies less.",
        },
        "b",
    ),
    Question(
        "You tried 40 settings, and report the best one's error on the test set, where you "
        "compared them. What is wrong?",
        {
            "Nothing, the test set was never trained on": "It was chosen on. The best of 40 owes "
            "part of its score to luck on just these examples.",
            "The error is too low: part of it is luck": "Yes. Choose on a validation set, and ask "
            "the test set once, for the one that was chosen.",
            "The error is too high, since the test set is small": "A small set makes each score "
            "uncertain in both directions; taking the lowest then bends it downwards.",
        },
        "b",
    ),
)
