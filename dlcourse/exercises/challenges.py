"""Exercises of lesson 08: what deep learning costs, what it hides, and whom it treats how."""

import numpy as np

from dlcourse.exercises import Mistake, Question, code, setting


def _training(rng):
    parameters, tokens = 10 ** rng.uniform(6, 12, 2)
    peak, watts = 10 ** rng.uniform(12, 15), rng.uniform(50, 700)
    return parameters, tokens, peak, rng.uniform(0.05, 0.6), watts, rng.uniform(1.1, 2.0)


def _kwh(flops, peak, utilisation, watts, pue, joules=3.6e6):
    return flops / (peak * utilisation) * watts * pue / joules


@code(
    "What a training costs",
    difficulty=1,
    minutes=8,
    inputs=_training,
    hints=(
        "Each weight costs 2 FLOPs per token forward and 4 backward: 6 in all.",
        "The chip does peak * utilisation FLOPs in a second; divide to get seconds.",
        "Watts times seconds are joules; the building needs pue times as many.",
        "A kilowatt hour is 1,000 W for 3,600 s: 3.6e6 joules.",
    ),
    mistakes=(
        Mistake(
            "forward only",
            "2·N·D counts the forward pass. The backward pass costs twice as much again: 6·N·D.",
            lambda n, d, peak, u, watts, pue: (2 * n * d, _kwh(2 * n * d, peak, u, watts, pue)),
        ),
        Mistake(
            "multiplied by the utilisation",
            "A chip that is used less takes longer: divide by peak * utilisation.",
            lambda n, d, peak, u, watts, pue: (
                6 * n * d,
                _kwh(6 * n * d, peak, 1 / u, watts, pue),
            ),
        ),
        Mistake(
            "no utilisation",
            "No training reaches the chip's peak. It does peak * utilisation FLOPs in a second.",
            lambda n, d, peak, u, watts, pue: (6 * n * d, _kwh(6 * n * d, peak, 1, watts, pue)),
        ),
        Mistake(
            "no PUE",
            "This is what the chips take. Cooling and supply make it pue times as much.",
            lambda n, d, peak, u, watts, pue: (6 * n * d, _kwh(6 * n * d, peak, u, watts, 1)),
        ),
        Mistake(
            "joules for kilowatt hours",
            "Watts times seconds are joules. One kilowatt hour is 3.6 million of them.",
            lambda n, d, peak, u, watts, pue: (6 * n * d, _kwh(6 * n * d, peak, u, watts, pue, 1)),
        ),
        Mistake(
            "kilowatt seconds",
            "You divided by 1,000 for kilo; divide by 3,600 too, for the seconds of an hour.",
            lambda n, d, peak, u, watts, pue: (
                6 * n * d,
                _kwh(6 * n * d, peak, u, watts, pue, 1000),
            ),
        ),
    ),
)
def training_cost(parameters, tokens, peak, utilisation, watts, pue):
    """Return `(flops, kwh)` of one training, by the rule 6·N·D.

    `peak` is what a chip can do at best, in FLOPs per second, `utilisation` the share of it that
    the training reaches, `watts` what one chip takes. The building takes `pue` times as much as
    its chips do. How many chips share the work is not given, and need not be: twice as many take
    half the seconds, and twice the watts together.
    """
    flops = 6 * parameters * tokens
    seconds = flops / (peak * utilisation)
    return flops, seconds * watts * pue / 3.6e6


def _path(rng):
    d = int(rng.integers(2, 6))
    w = rng.normal(size=d)

    def slope_at(z):
        return w * np.cos(z @ w)  # of sin(z·w)

    return slope_at, rng.normal(size=d), rng.normal(size=d), int(rng.integers(3, 9))


def _wrong_path(slope_at, x, baseline, steps, *, offset=0.5, times=None, mean=True, start=None):
    start = baseline if start is None else start
    shares = (np.arange(steps) + offset) / steps
    total = sum(slope_at(start + a * (x - start)) for a in shares)
    return (x - baseline if times is None else times) * (total / steps if mean else total)


@code(
    "Integrated gradients",
    difficulty=2,
    minutes=12,
    inputs=_path,
    hints=(
        "The middles of the steps lie at the shares (k + 0.5) / steps of the way.",
        "The point at share a is baseline + a * (x - baseline).",
        "Average slope_at over these points, then multiply by x - baseline.",
    ),
    mistakes=(
        Mistake(
            "the slope alone",
            "This is the mean slope. How far each input moved counts too: multiply by "
            "x − baseline.",
            lambda s, x, b, n: _wrong_path(s, x, b, n, times=1.0),
        ),
        Mistake(
            "times x",
            "Multiply by how far each input moved, x − baseline. That is x only if the baseline "
            "is 0.",
            lambda s, x, b, n: _wrong_path(s, x, b, n, times=x),
        ),
        Mistake(
            "the sum for the mean",
            "The more steps, the larger your result. Divide by their number.",
            lambda s, x, b, n: _wrong_path(s, x, b, n, mean=False),
        ),
        Mistake(
            "the slope at the end only",
            "This is gradient times input: one slope, at x. Average the slopes along the way.",
            lambda s, x, b, n: (x - b) * s(x),
        ),
        Mistake(
            "the way begins at 0",
            "The way leads from the baseline to x: baseline + a * (x - baseline).",
            lambda s, x, b, n: _wrong_path(s, x, b, n, start=np.zeros_like(x)),
        ),
        Mistake(
            "the beginnings of the steps",
            "Take the slope in the middle of each step, at (k + 0.5) / steps: the error is much "
            "smaller there.",
            lambda s, x, b, n: _wrong_path(s, x, b, n, offset=0),
        ),
        Mistake(
            "the ends of the steps",
            "Take the slope in the middle of each step, at (k + 0.5) / steps: the error is much "
            "smaller there.",
            lambda s, x, b, n: _wrong_path(s, x, b, n, offset=1),
        ),
    ),
)
def contributions(slope_at, x, baseline, steps):
    """Return the integrated gradients of `x`, an array of its shape (D,).

    `slope_at(z)` gives the slopes (D,) of the model's score at a point z (D,). Cut the straight
    way from `baseline` to `x` into `steps` equal parts, take the slopes in the middle of each, and
    return their mean times (x − baseline).
    """
    shares = (np.arange(steps) + 0.5) / steps
    slopes = [slope_at(baseline + a * (x - baseline)) for a in shares]
    return (x - baseline) * np.mean(slopes, axis=0)


def _pixels(rng):
    shape = (int(rng.integers(2, 5)), int(rng.integers(2, 5)))
    slope = rng.normal(size=shape)
    slope[0, 0] = 0.0
    return rng.random(shape), slope, rng.uniform(0.1, 0.4)


@code(
    "The fast gradient sign method",
    difficulty=2,
    minutes=5,
    inputs=_pixels,
    hints=(
        "np.sign gives −1, 0 or 1 for each slope. The loss shall rise: go along with it.",
        "np.clip(z, 0, 1) keeps pixels between black and white.",
    ),
    mistakes=(
        Mistake(
            "the sign",
            "You walk downhill, and the network gets surer. The attack makes the loss *larger*: +.",
            lambda x, slope, epsilon: np.clip(x - epsilon * np.sign(slope), 0, 1),
        ),
        Mistake(
            "no clipping",
            "Some pixels are blacker than black or whiter than white: clip to 0 … 1.",
            lambda x, slope, epsilon: x + epsilon * np.sign(slope),
        ),
        Mistake(
            "the slope for its sign",
            "Each pixel moves by exactly ε, however small its slope is: take np.sign(slope).",
            lambda x, slope, epsilon: np.clip(x + epsilon * slope, 0, 1),
        ),
        Mistake(
            "the noise alone",
            "This is the noise. Add it to x.",
            lambda x, slope, epsilon: epsilon * np.sign(slope),
        ),
        Mistake(
            "clipped too early",
            "Clip the image, not the noise: np.clip(x + …, 0, 1).",
            lambda x, slope, epsilon: x + np.clip(epsilon * np.sign(slope), 0, 1),
        ),
    ),
)
def attack(x, slope, epsilon):
    """Return the image `x` after one step of the fast gradient sign method.

    `slope` is the slope of the loss with respect to each pixel. Every pixel moves by `epsilon` in
    the direction in which the loss rises (and stays where its slope is 0); then all are clipped to
    the range from 0 to 1.
    """
    return np.clip(x + epsilon * np.sign(slope), 0, 1)


def _decisions(rng):
    groups, n = int(rng.integers(2, 5)), int(rng.integers(30, 50))
    # each group has at least two people of each kind: y and decision are both 0 and 1
    base = np.array([(y, d, g) for g in range(groups) for y in (0, 1) for d in (0, 1)])
    more = np.stack([rng.integers(0, 2, n), rng.integers(0, 2, n), rng.integers(0, groups, n)])
    y, decision, group = rng.permutation(np.concatenate([base, more.T])).T
    return y.copy(), decision.copy(), group.copy()


def _rates(y, decision, group, among, of):
    """Return for each group the share of `of` among the people `among`."""
    groups = range(group.max() + 1)
    return np.array([of[(group == g) & among].mean() for g in groups])


@code(
    "False positive rates",
    difficulty=2,
    minutes=8,
    inputs=_decisions,
    hints=(
        "A false positive has y = 0 and decision = 1. Its rate is a share: of whom?",
        "Of all those who could have become one: the people of the group with y = 0.",
        "For one group g: decision[(group == g) & (y == 0)].mean().",
    ),
    mistakes=(
        Mistake(
            "of those with a yes",
            "This is the share of errors among the positive decisions, 1 − PPV. The false positive "
            "rate is a share of the people with y = 0.",
            lambda y, decision, group: _rates(y, decision, group, decision == 1, y == 0),
        ),
        Mistake(
            "of everybody",
            "You divide by all people of the group. Divide by those with y = 0: only they can be "
            "false positives.",
            lambda y, decision, group: _rates(
                y, decision, group, decision >= 0, (y == 0) & (decision == 1)
            ),
        ),
        Mistake(
            "of all groups together",
            "You divide by the y = 0 of all groups. Divide by those of the group itself.",
            lambda y, decision, group: (
                np.bincount(group, (y == 0) & (decision == 1), group.max() + 1) / (y == 0).sum()
            ),
        ),
        Mistake(
            "false negatives",
            "These are the false negative rates: y = 1, but no. Asked for are y = 0, but yes.",
            lambda y, decision, group: _rates(y, decision, group, y == 1, decision == 0),
        ),
        Mistake(
            "true positives",
            "These are the true positive rates: a yes for people with y = 1.",
            lambda y, decision, group: _rates(y, decision, group, y == 1, decision == 1),
        ),
    ),
)
def false_positive_rates(y, decision, group):
    """Return the false positive rate of each group, an array (G,).

    `y` holds the true classes (N,), `decision` the decisions (N,), each 0 or 1, and `group` each
    person's group (N,), a number from 0 to G − 1.
    """
    groups = range(group.max() + 1)
    return np.array([decision[(group == g) & (y == 0)].mean() for g in groups])


def _selected(rng):
    _, decision, group = _decisions(rng)
    return decision, group


def _shares(decision, group):
    return np.array([decision[group == g].mean() for g in range(group.max() + 1)])


@code(
    "The demographic parity gap",
    difficulty=2,
    minutes=5,
    inputs=_selected,
    hints=(
        "First the selection rate of each group: decision[group == g].mean().",
        "Then the largest of them minus the smallest.",
    ),
    mistakes=(
        Mistake(
            "people for shares",
            "You count people. Groups differ in size: compare the share of each that gets a yes.",
            lambda decision, group: np.ptp(np.bincount(group, decision)),
        ),
        Mistake(
            "shares of those chosen",
            "You ask which share of all yeses goes to each group. Ask which share of each group "
            "gets a yes.",
            lambda decision, group: np.ptp(np.bincount(group, decision) / decision.sum()),
        ),
        Mistake(
            "a ratio",
            "You divide. That is used, too (as the four-fifths rule), but the gap is a difference.",
            lambda decision, group: _shares(decision, group).min() / _shares(decision, group).max(),
        ),
        Mistake(
            "the sign",
            "Largest minus smallest: a gap is not negative.",
            lambda decision, group: -np.ptp(_shares(decision, group)),
        ),
        Mistake(
            "the spread",
            "This is the standard deviation of the rates. Asked for is largest minus smallest.",
            lambda decision, group: _shares(decision, group).std(),
        ),
    ),
)
def parity_gap(decision, group):
    """Return by how much the groups' selection rates differ: the largest minus the smallest.

    A group's selection rate is the share of its people who get a yes. `decision` (N,) is 0 or 1,
    and `group` (N,) a number from 0 to G − 1.
    """
    rates = [decision[group == g].mean() for g in range(group.max() + 1)]
    return max(rates) - min(rates)


_SCORES = np.arange(1, 11)
_QUALIFIED = np.array([(2, 4, 6, 8, 10, 12, 14, 16, 14, 14), (8, 10, 12, 16, 14, 12, 10, 8, 6, 4)])
_OTHERS = np.array([(20, 24, 22, 20, 16, 14, 10, 8, 4, 2), (150, 110, 70, 50, 30, 16, 8, 4, 2, 0)])


@setting(
    "Equal opportunity, by hand",
    difficulty=2,
    minutes=8,
    answer=[6, 4],
    hints=(
        "The true positive rate is the share of the qualified who score at least the threshold. "
        "There are 100 qualified people in each group, so just add up counts from the right.",
        "In A, 70 qualified people score 6 or more. At which score does B reach 70?",
    ),
    mistakes=(
        Mistake(
            "A's rate is the higher one",
            "More of B's qualified people are missed than of A's. Lower B's threshold, or raise "
            "A's. (One bar for both does this too: B's qualified people score lower.)",
            [5, 5],
        ),
        Mistake(
            "the wrong way round",
            "B's true positive rate is higher than A's now. Raise B's threshold, or lower A's.",
            [6, 3],
        ),
        Mistake(
            "nearly everybody is chosen",
            "Equal, but more than half of those who are not qualified get a yes as well. Raise "
            "both thresholds.",
            [1, 1],
        ),
        Mistake(
            "too few are found",
            "Equal, but most of the qualified are missed. Lower both thresholds.",
            [9, 7],
        ),
        Mistake(
            "demographic parity",
            "You made the selection rates equal: the same share of each group gets a yes. Equal "
            "opportunity asks for the same share of each group's *qualified* people.",
            [7, 4],
        ),
    ),
)
def equal_opportunity(thresholds):
    """Find `thresholds = [A's, B's]` with equal true positive rates in both groups.

    People whose score is at least their group's threshold get a yes. Find at least half of the
    qualified people of each group, and give a yes to at most half of those who are not qualified.

    | score | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 |
    | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
    | A, qualified | 2 | 4 | 6 | 8 | 10 | 12 | 14 | 16 | 14 | 14 |
    | A, not | 20 | 24 | 22 | 20 | 16 | 14 | 10 | 8 | 4 | 2 |
    | B, qualified | 8 | 10 | 12 | 16 | 14 | 12 | 10 | 8 | 6 | 4 |
    | B, not | 150 | 110 | 70 | 50 | 30 | 16 | 8 | 4 | 2 | 0 |
    """
    chosen = np.asarray(thresholds)[:, None] <= _SCORES  # (2, 10)
    a, b = (_QUALIFIED * chosen).sum(axis=1) / _QUALIFIED.sum(axis=1)
    everyone = _QUALIFIED + _OTHERS
    share_a, share_b = (everyone * chosen).sum(axis=1) / everyone.sum(axis=1)
    equal = "equal" if abs(a - b) < 0.005 else "A's is higher" if a > b else "B's is higher"
    if equal != "equal" and abs(share_a - share_b) < 0.01:
        equal = "not equal, though the selection rates are"
    wrongly = ((_OTHERS * chosen).sum(axis=1) / _OTHERS.sum(axis=1)).max()
    return {
        "true positive rates": equal,
        "qualified people found": "at least half" if min(a, b) >= 0.5 else "fewer than half",
        "others with a yes": "at most half" if wrongly <= 0.5 else "more than half",
    }


quiz = (
    Question(
        "Errors fall as $n^{-0.5}$ with the number $n$ of examples. You have 1,000. How many do "
        "you need for half as many errors?",
        {
            "2,000": "Twice the data leave $2^{-0.5} = 71\\%$ of the errors.",
            "4,000": "Yes: $4^{-0.5} = 1/2$. And for half of that again, 16,000.",
            "1,000,000": "With an exponent of $-0.1$ it would be that many: $2^{10}$ times.",
        },
        "b",
    ),
    Question(
        "A heat map shows that a network looks at the right part of an image. What do you know?",
        {
            "That it decides as a person would": "A map says where, not why; and other methods may "
            "mark other places.",
            "That another method would show the same": "In this lesson the maps' ranks agreed only "
            "in part.",
            "Little, until an intervention confirms it": "Yes: change that part and see whether "
            "the answer changes, as we did with the mark.",
        },
        "c",
    ),
    Question(
        "Nine settings of each method were compared on the same validation set, and the best was "
        "kept. Its error there was 3%. What do you expect on new examples?",
        {
            "Less than 3%": "Nothing makes new examples easier.",
            "3%": "It was chosen *because* it did well there, which is luck in part.",
            "More than 3%": "Yes, on average: the best of many has had luck. Report the test set.",
        },
        "c",
    ),
    Question(
        "Two groups have different base rates. A score is calibrated within each group, and errs "
        "at times. Which can its users have, too?",
        {
            "The same mean score for the positives of both groups, and the same for the "
            "negatives": ("Both balances at once they cannot: that is the theorem."),
            "The same mean score for the positives of both groups, but not for the negatives": (
                "Yes: one of the two balances can be had if the score tells enough, at a price; "
                "then the other one fails."
            ),
            "The same mean score for both groups": "Calibrated scores have each group's base rate "
            "as their mean, and these differ.",
        },
        "b",
    ),
)
