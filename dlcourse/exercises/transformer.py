"""Exercises of lesson 07: attention, its mask and heads, positions, layer norm and sampling."""

import numpy as np

from dlcourse.exercises import Mistake, Question, code


def _softmax(scores, axis=-1):
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def _look_up(rng):
    L, S = rng.choice(np.arange(2, 8), 2, replace=False)
    d, d_v = rng.choice(np.arange(2, 7), 2, replace=False)
    return rng.normal(size=(L, d)), rng.normal(size=(S, d)), rng.normal(size=(S, d_v))


@code(
    "Attention",
    difficulty=2,
    minutes=8,
    inputs=_look_up,
    hints=(
        "All scores at once: q @ k.T has the shape (L, S), a row for each query. Divide by √d, "
        "where d = q.shape[-1].",
        "Softmax along each row: np.exp, then divide by the sum over axis=-1 with keepdims=True.",
        "Each row of weights mixes the rows of v: weights @ v, (L, S) @ (S, d_v).",
    ),
    mistakes=(
        Mistake(
            "softmax over the wrong axis",
            "Your columns add up to 1. Each *query* shares out one unit of attention: softmax "
            "along the keys, axis=-1.",
            lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1]), axis=0) @ v,
        ),
        Mistake(
            "softmax over everything",
            "All weights together add up to 1. Each row must, on its own: sum with axis=-1 and "
            "keepdims=True.",
            lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1]), axis=None) @ v,
        ),
        Mistake(
            "divided by d",
            "Divide by the square root of d: a score is a sum of d products, and such a sum grows "
            "like √d, not like d.",
            lambda q, k, v: _softmax(q @ k.T / q.shape[-1]) @ v,
        ),
        Mistake(
            "not divided by √d",
            "Divide the scores by np.sqrt(q.shape[-1]) before the softmax.",
            lambda q, k, v: _softmax(q @ k.T) @ v,
        ),
        Mistake(
            "√d of the wrong thing",
            "d is the length of a query, q.shape[-1], not the number of queries or keys.",
            lambda q, k, v: _softmax(q @ k.T / np.sqrt(len(k))) @ v,
        ),
        Mistake(
            "divided after the softmax",
            "Divide the scores, not the weights: weights that add up to 1 must stay so.",
            lambda q, k, v: _softmax(q @ k.T) / np.sqrt(q.shape[-1]) @ v,
        ),
        Mistake(
            "multiplied by √d",
            "Multiplying makes the scores larger still. Divide by √d.",
            lambda q, k, v: _softmax(q @ k.T * np.sqrt(q.shape[-1])) @ v,
        ),
        Mistake(
            "no softmax",
            "The scores themselves are no shares. Softmax makes them positive, and each row add "
            "up to 1.",
            lambda q, k, v: q @ k.T / np.sqrt(q.shape[-1]) @ v,
        ),
        Mistake(
            "not made to add up to 1",
            "You took e to the power of the scores and stopped there. Divide each row by its sum, "
            "axis=-1 with keepdims=True.",
            lambda q, k, v: np.exp(q @ k.T / np.sqrt(q.shape[-1])) @ v,
        ),
        Mistake(
            "the weights alone",
            "These are the weights, (L, S). Use them: the answer is weights @ v.",
            lambda q, k, v: _softmax(q @ k.T / np.sqrt(q.shape[-1])),
        ),
    ),
)
def attention(q, k, v):
    """Return what each of L queries reads: softmax(q kᵀ / √d) v, an array (L, d_v).

    `q` (L, d) are the queries, `k` (S, d) the keys, `v` (S, d_v) the values. Softmax is along the
    keys: each query's weights add up to 1.
    """
    scores = q @ k.T / np.sqrt(q.shape[-1])  # (L, S)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ v


def _square(rng):
    T = rng.integers(3, 8)
    return (2 * rng.normal(size=(T, T)),)


@code(
    "The causal mask",
    difficulty=2,
    minutes=8,
    inputs=_square,
    hints=(
        "np.tri(T, dtype=bool) is True where the column is not after the row: what may be read.",
        "np.where(allowed, scores, -np.inf) puts −∞ everywhere else; exp makes 0 of it.",
        "Then softmax along each row, as always.",
    ),
    mistakes=(
        Mistake(
            "the mask after the softmax",
            "You set weights to 0 *after* the softmax: rows no longer add up to 1. Put −∞ into "
            "the scores before it, and the rest share out the whole.",
            lambda scores: _softmax(scores) * np.tri(len(scores)),
        ),
        Mistake(
            "0 for −∞",
            "A score of 0 is a score like others: exp(0) = 1. What may not be read needs −∞.",
            lambda scores: _softmax(scores * np.tri(len(scores))),
        ),
        Mistake(
            "the mask the wrong way round",
            "Your queries read what comes *after* them. Row i may read the columns 0 … i.",
            lambda scores: _softmax(np.where(np.tri(len(scores), dtype=bool).T, scores, -np.inf)),
        ),
        Mistake(
            "one place too many",
            "Row i reads column i + 1, too: the very letter that it is to predict. Stop at i.",
            lambda scores: _softmax(
                np.where(np.tri(len(scores), k=1, dtype=bool), scores, -np.inf)
            ),
        ),
        Mistake(
            "a place may not read itself",
            "Column i is allowed for row i; without it the first row has nothing to read at all, "
            "and its softmax is 0/0.",
            lambda scores: _softmax(
                np.where(np.tri(len(scores), k=-1, dtype=bool), scores, -np.inf)
            ),
        ),
        Mistake(
            "0 times −∞",
            "0 times −∞ is not a number, so adding −∞ times a triangle spoils all scores. "
            "np.where(allowed, scores, -np.inf) chooses without multiplying.",
            lambda scores: _softmax(scores + -np.inf * np.triu(np.ones_like(scores), 1)),
        ),
        Mistake(
            "no mask",
            "This is the plain softmax: every place still reads what comes after it.",
            _softmax,
        ),
        Mistake(
            "softmax over the wrong axis",
            "Your columns add up to 1. The rows must: softmax over axis=-1.",
            lambda scores: _softmax(
                np.where(np.tri(len(scores), dtype=bool), scores, -np.inf), axis=0
            ),
        ),
    ),
)
def causal_weights(scores):
    """Return the attention weights (T, T) in which no place reads what comes after it.

    `scores` has the shape (T, T): row i holds the scores of query i with every key. Its softmax may
    run over the columns 0 … i only; all others get the weight 0.
    """
    T = len(scores)
    allowed = np.tri(T, dtype=bool)  # True where the column is at most the row
    scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _features(rng):
    heads, size = rng.choice(np.arange(2, 5), 2, replace=False)
    B, T = rng.choice(np.array([2, 3, 5, 7]), 2, replace=False)
    return rng.normal(size=(B, T, heads * size)), int(heads)


@code(
    "Split into heads",
    difficulty=2,
    minutes=6,
    inputs=_features,
    hints=(
        "Each row of C numbers is cut into pieces of C // heads: x.reshape(B, T, heads, -1).",
        "The heads must come before the places: swap the axes 1 and 2.",
        "x.reshape(B, T, heads, C // heads).transpose(0, 2, 1, 3).",
    ),
    mistakes=(
        Mistake(
            "reshape without transpose",
            "The shape is right, but the numbers are mixed up: reshape alone deals places to "
            "heads like cards. First cut the features, (B, T, heads, C / heads); then swap axes.",
            lambda x, heads: x.reshape(x.shape[0], heads, x.shape[1], -1),
        ),
        Mistake(
            "no transpose",
            "This is (B, T, heads, C / heads). Attention works on the last two axes, so the heads "
            "must come before the places: swap axes 1 and 2.",
            lambda x, heads: x.reshape(*x.shape[:2], heads, -1),
        ),
        Mistake(
            "every heads-th feature",
            "Head 0 gets the *first* C / heads features, not every heads-th: cut the last axis "
            "as (heads, C / heads), in this order.",
            lambda x, heads: x.reshape(*x.shape[:2], -1, heads).transpose(0, 3, 1, 2),
        ),
        Mistake(
            "places and features swapped",
            "This is (B, heads, C / heads, T). Keep the features last: transpose(0, 2, 1, 3).",
            lambda x, heads: x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 3, 1),
        ),
        Mistake(
            "heads of size `heads`",
            "You made C / heads heads of `heads` features each. It is the other way round.",
            lambda x, heads: x.reshape(*x.shape[:2], -1, heads).transpose(0, 2, 1, 3),
        ),
    ),
)
def split_heads(x, heads):
    """Return `x` (B, T, C) cut into heads: an array (B, heads, T, C / heads).

    Head 0 gets the first C / heads features of every place, head 1 the next, and so on.
    """
    B, T, C = x.shape
    return x.reshape(B, T, heads, C // heads).transpose(0, 2, 1, 3)


def _waves(T, d, *, power=None, first=0, halves=False, swap=False):
    """Sinusoidal positions with one thing wrong."""
    i = np.arange(0, d, 2)
    power = 10000.0 ** (i / d) if power is None else power(i)
    angle = np.arange(first, first + T)[:, None] / power
    parts = [np.cos(angle), np.sin(angle)] if swap else [np.sin(angle), np.cos(angle)]
    if halves:
        return np.concatenate(parts, axis=1)
    return np.stack(parts, axis=-1).reshape(T, d)


@code(
    "Sinusoidal positions",
    difficulty=2,
    minutes=12,
    inputs=lambda rng: (int(rng.integers(4, 9)), int(2 * rng.integers(3, 6))),
    hints=(
        "i = np.arange(0, d, 2) are the even columns; angle = np.arange(T)[:, None] / "
        "10000 ** (i / d) has the shape (T, d / 2).",
        "Make np.empty((T, d)); its even columns [:, 0::2] get the sines …",
        "… and its odd columns [:, 1::2] the cosines of the same angles.",
    ),
    mistakes=(
        Mistake(
            "sines first, then cosines",
            "The values are right, their places are not: sines and cosines take turns here, "
            "columns 0::2 and 1::2.",
            lambda T, d: _waves(T, d, halves=True),
        ),
        Mistake(
            "sine and cosine swapped",
            "The even columns are sines, the odd ones cosines.",
            lambda T, d: _waves(T, d, swap=True),
        ),
        Mistake(
            "2i for i",
            "You doubled the exponent. With i = 0, 2, 4, … as the even columns it is i / d; with "
            "i = 0, 1, 2, … it is 2i / d.",
            lambda T, d: _waves(T, d, power=lambda i: 10000.0 ** (2 * i / d)),
        ),
        Mistake(
            "i counted by ones",
            "In i / d, i is the number of an even column: 0, 2, 4 and so on, not 0, 1, 2.",
            lambda T, d: _waves(T, d, power=lambda i: 10000.0 ** (i / 2 / d)),
        ),
        Mistake(
            "the power before the division",
            "Python reads 10000**i / d as (10000**i) / d. Put brackets: 10000 ** (i / d).",
            lambda T, d: _waves(T, d, power=lambda i: 10000**i / d),
        ),
        Mistake(
            "positions from 1",
            "The first position is 0: its sines are 0 and its cosines 1.",
            lambda T, d: _waves(T, d, first=1),
        ),
        Mistake(
            "a frequency of its own for each column",
            "The sine of column 2j and the cosine of column 2j + 1 share one frequency.",
            lambda T, d: np.where(
                np.arange(d) % 2 == 0,
                np.sin(np.arange(T)[:, None] / 10000 ** (np.arange(d) / d)),
                np.cos(np.arange(T)[:, None] / 10000 ** (np.arange(d) / d)),
            ),
        ),
        Mistake(
            "multiplied for divided",
            "Divide the position by 10000^(i / d): later columns turn more slowly, not faster.",
            lambda T, d: _waves(T, d, power=lambda i: 10000.0 ** (-i / d)),
        ),
        Mistake(
            "transposed",
            "Positions are the rows, features the columns: (T, d).",
            lambda T, d: _waves(T, d).T,
        ),
    ),
)
def sinusoids(T, d):
    """Return the sinusoidal encoding of the positions 0 … T − 1: an array (T, d); d is even.

    For each even column i, column i is sin(t / 10000^(i / d)), and column i + 1 is the cosine of
    the same angle.
    """
    i = np.arange(0, d, 2)
    angle = np.arange(T)[:, None] / 10000 ** (i / d)  # (T, d / 2)
    encoding = np.empty((T, d))
    encoding[:, 0::2], encoding[:, 1::2] = np.sin(angle), np.cos(angle)
    return encoding


def _activations(rng):
    B, T, C = rng.choice(np.arange(3, 9), 3, replace=False)
    x = rng.normal(rng.uniform(1, 3), 0.1, size=(B, T, C))
    return x, rng.uniform(0.5, 2, C), rng.normal(size=C)


def _normalised(x, axis=-1, ddof=0, eps=1e-5):
    mean, variance = x.mean(axis=axis, keepdims=True), x.var(axis=axis, ddof=ddof, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps)


@code(
    "Layer norm",
    difficulty=2,
    minutes=8,
    inputs=_activations,
    hints=(
        "x.mean(axis=-1, keepdims=True) is the mean of each vector; x.var likewise.",
        "Subtract the mean, divide by np.sqrt(variance + 1e-5).",
        "Then times `gain`, plus `bias`: both (C,), so numpy stretches them over all places.",
    ),
    mistakes=(
        Mistake(
            "the batch's mean",
            "That is batch norm: you took the mean over the examples. Layer norm looks at one "
            "vector at a time, axis=-1.",
            lambda x, gain, bias: gain * _normalised(x, axis=(0, 1)) + bias,
        ),
        Mistake(
            "the sequence's mean",
            "You took the mean over the places. Each place is normalised on its own: axis=-1.",
            lambda x, gain, bias: gain * _normalised(x, axis=1) + bias,
        ),
        Mistake(
            "one mean for everything",
            "Each vector of C numbers has its own mean and variance: axis=-1, keepdims=True.",
            lambda x, gain, bias: gain * _normalised(x, axis=None) + bias,
        ),
        Mistake(
            "N − 1",
            "The variance here divides by C, not by C − 1: leave ddof at 0.",
            lambda x, gain, bias: gain * _normalised(x, ddof=1) + bias,
        ),
        Mistake(
            "divided by the variance",
            "Divide by the square root of the variance (plus 1e-5).",
            lambda x, gain, bias: (
                gain * (x - x.mean(axis=-1, keepdims=True)) / (x.var(axis=-1, keepdims=True) + 1e-5)
                + bias
            ),
        ),
        Mistake(
            "ε in the wrong place",
            "ε = 1e-5 is added to the variance, inside the root.",
            lambda x, gain, bias: (
                gain * (x - x.mean(axis=-1, keepdims=True)) / (x.std(axis=-1, keepdims=True) + 1e-5)
                + bias
            ),
        ),
        Mistake(
            "no ε",
            "Add 1e-5 to the variance: a vector of equal numbers has the variance 0.",
            lambda x, gain, bias: gain * _normalised(x, eps=0.0) + bias,
        ),
        Mistake(
            "the mean stays",
            "You divided, but did not subtract the mean: x - mean comes first.",
            lambda x, gain, bias: gain * x / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) + bias,
        ),
        Mistake(
            "the gain times the bias",
            "The bias is added last, and the gain does not multiply it.",
            lambda x, gain, bias: gain * (_normalised(x) + bias),
        ),
        Mistake(
            "gain and bias are missing",
            "Normalised it is. Now let the layer choose its own scale: times gain, plus bias.",
            lambda x, gain, bias: _normalised(x),
        ),
        Mistake(
            "gain and bias before the norm",
            "Whatever comes before, the norm takes away again. Multiply and add afterwards.",
            lambda x, gain, bias: _normalised(gain * x + bias),
        ),
    ),
)
def layer_norm(x, gain, bias):
    """Return `x` (B, T, C) with every vector of C numbers normalised, times gain, plus bias.

    Normalised: minus its mean, divided by √(variance + 1e-5); the variance divides by C. `gain` and
    `bias` have the shape (C,).
    """
    mean = x.mean(axis=-1, keepdims=True)
    variance = x.var(axis=-1, keepdims=True)
    return gain * (x - mean) / np.sqrt(variance + 1e-5) + bias


def _scores(rng):
    V = int(rng.integers(6, 12))
    return 2 * rng.normal(size=V), int(rng.integers(2, V - 2)), float(rng.uniform(0.4, 0.8))


def _drawn(logits, k, temperature):
    return _softmax(np.where(logits >= np.sort(logits)[-k], logits / temperature, -np.inf))


@code(
    "Temperature and top-k",
    difficulty=3,
    minutes=8,
    inputs=_scores,
    hints=(
        "The k-th largest score is np.sort(logits)[-k].",
        "np.where(logits >= that, logits, -np.inf) rules out all others.",
        "Divide by the temperature, then softmax: exp, and divide by the sum.",
    ),
    mistakes=(
        Mistake(
            "top-k is missing",
            "Temperature is right, but all symbols can still be drawn. All but the k largest "
            "scores must become −∞.",
            lambda logits, k, temperature: _softmax(logits / temperature),
        ),
        Mistake(
            "the temperature is missing",
            "Divide the scores by the temperature before the softmax.",
            lambda logits, k, temperature: _drawn(logits, k, 1.0),
        ),
        Mistake(
            "multiplied by the temperature",
            "Divide by the temperature: a low one must make large scores stand out more.",
            lambda logits, k, temperature: _drawn(logits, k, 1 / temperature),
        ),
        Mistake(
            "not made to add up to 1 again",
            "You cut probabilities off after the softmax: what is left adds up to less than 1. "
            "Cut the scores before it.",
            lambda logits, k, temperature: (
                _softmax(logits / temperature) * (logits >= np.sort(logits)[-k])
            ),
        ),
        Mistake(
            "the k smallest",
            "You kept the k smallest scores. np.sort goes upwards: the largest are at the end.",
            lambda logits, k, temperature: _softmax(
                np.where(logits <= np.sort(logits)[k - 1], logits / temperature, -np.inf)
            ),
        ),
        Mistake(
            "one too few",
            "Only k − 1 are left: the k-th largest itself must stay, >= and not >.",
            lambda logits, k, temperature: _softmax(
                np.where(logits > np.sort(logits)[-k], logits / temperature, -np.inf)
            ),
        ),
        Mistake(
            "one too many",
            "k + 1 are left. The k-th largest score is np.sort(logits)[-k].",
            lambda logits, k, temperature: _drawn(logits, k + 1, temperature),
        ),
        Mistake(
            "the temperature after the softmax",
            "You divided probabilities by the temperature: they no longer add up to 1. Divide the "
            "scores, before the softmax.",
            lambda logits, k, temperature: _drawn(logits, k, 1.0) / temperature,
        ),
        Mistake(
            "0 for −∞",
            "A score of 0 can still be drawn: exp(0) = 1. Put −∞.",
            lambda logits, k, temperature: _softmax(
                np.where(logits >= np.sort(logits)[-k], logits / temperature, 0.0)
            ),
        ),
    ),
)
def top_k(logits, k, temperature):
    """Return the probabilities (V,) with which a symbol is drawn from scores `logits` (V,).

    Only the k symbols with the largest scores may be drawn (no two scores are equal). Theirs are
    divided by the temperature, then softmax. All others get the probability 0.
    """
    least = np.sort(logits)[-k]
    scores = np.where(logits >= least, logits / temperature, -np.inf)
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


quiz = (
    Question(
        "A sentence of 100 words goes through attention without positions and without a mask. You "
        "shuffle the words. What happens to the output at the word *dog*?",
        {
            "It becomes noise": "Nothing is lost: the same words are there to be read.",
            "It stays the same, and only stands in another place": "Yes: each query compares "
            "itself with a set of keys, and a set has no order. That is why positions are added.",
            "It changes, since its neighbours are others": "Attention without positions does not "
            "know who the neighbours are.",
        },
        "b",
    ),
    Question(
        "Queries and keys have 64 numbers each, of variance 1. Why are scores divided by 8?",
        {
            "So that they lie between −1 and 1": "They do not; they have the variance 1.",
            "So that each row of weights adds up to 1": "Softmax takes care of that, whatever the "
            "scores are.",
            "So that their variance is 1, and softmax is not saturated from the start": "Yes: a "
            "sum of 64 such products has the variance 64, so the standard deviation 8.",
        },
        "c",
    ),
    Question(
        "A model's loss on Shakespeare is 0.1 nats a letter after 200 steps, its samples are "
        "gibberish. What would you look at first?",
        {
            "The mask": "Yes: a loss too good to be true means that it reads what it is to "
            "predict. When it writes, there is nothing to read yet.",
            "The learning rate": "A wrong rate makes the loss too high, not too low.",
            "The temperature": "It changes what is drawn, not the loss: it cannot explain a loss "
            "of 0.1.",
        },
        "a",
    ),
    Question(
        "Your text becomes twice as long. By how much does the number of attention *scores* in a "
        "layer grow, in training?",
        {
            "It doubles": "The linear maps double. But every place is compared with every other.",
            "Four times": "Yes: T × T scores, the price for reaching any place in one step.",
            "Not at all: the weights stay the same": "The parameters do, the work does not.",
        },
        "b",
    ),
)
