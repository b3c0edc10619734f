"""Exercises of lesson 06: steps of recurrent networks, gradients through time, and sampling."""

import numpy as np

from dlcourse.exercises import Mistake, Question, code


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _one_step(rng):
    b, e, h = rng.integers(2, 5), rng.integers(2, 4), rng.integers(4, 6)
    return (
        rng.normal(size=(b, e)),
        rng.normal(size=(b, h)),
        rng.normal(size=(h, e)),
        rng.normal(size=(h, h)),
        rng.normal(size=h),
    )


@code(
    "One step of a recurrent network",
    difficulty=1,
    minutes=5,
    inputs=_one_step,
    hints=(
        "x holds B examples, one a row. x @ W_ih.T is (B, E) times (E, H): what comes from the "
        "input, (B, H).",
        "What comes from the memory is h @ W_hh.T, again (B, H). Add the two, and b.",
        "The bend goes round the whole sum: np.tanh(… + … + b).",
    ),
    mistakes=(
        Mistake(
            "no tanh",
            "This is the sum z. The new state is tanh(z).",
            lambda x, h, W_ih, W_hh, b: x @ W_ih.T + h @ W_hh.T + b,
        ),
        Mistake(
            "W_hh the wrong way round",
            "W_hh is square, so numpy does not complain: but row j of W_hh holds the weights of "
            "unit j, and so h must meet W_hh.T.",
            lambda x, h, W_ih, W_hh, b: np.tanh(x @ W_ih.T + h @ W_hh + b),
        ),
        Mistake(
            "no memory",
            "Without h @ W_hh.T every step starts from nothing: this is an ordinary layer.",
            lambda x, h, W_ih, W_hh, b: np.tanh(x @ W_ih.T + b),
        ),
        Mistake(
            "no bias",
            "The bias b is missing from the sum.",
            lambda x, h, W_ih, W_hh, b: np.tanh(x @ W_ih.T + h @ W_hh.T),
        ),
        Mistake(
            "the old state is added outside",
            "tanh goes round the whole sum, the part of the old state included.",
            lambda x, h, W_ih, W_hh, b: np.tanh(x @ W_ih.T + b) + h @ W_hh.T,
        ),
        Mistake(
            "sigmoid for tanh",
            "The bend of this network is tanh, which runs from −1 to 1.",
            lambda x, h, W_ih, W_hh, b: _sigmoid(x @ W_ih.T + h @ W_hh.T + b),
        ),
    ),
)
def rnn_step(x, h, W_ih, W_hh, b):
    """Return the next state tanh(W_ih·x + W_hh·h + b) of each of B sequences, (B, H).

    `x` has the shape (B, E), the inputs of this step; `h` has (B, H), the states before it. `W_ih`
    is (H, E), `W_hh` is (H, H), `b` is (H,), as in PyTorch: a row for each unit.
    """
    return np.tanh(x @ W_ih.T + h @ W_hh.T + b)


def _short_sequence(rng):
    x = rng.normal(size=rng.integers(3, 8))
    return x, float(rng.uniform(0.3, 1)), float(rng.uniform(0.5, 1.5)), float(rng.normal())


def _wrong_bptt(
    x,
    w,
    u,
    y,
    *,
    slope=True,
    back=True,
    last=False,
    assign=False,
    shift=0,
    sign=1,
    bend=1,
    of_w=False,
):
    h = [0.0]
    for x_t in x:
        h.append(np.tanh(w * x_t + u * h[-1]))
    dh, du = sign * (h[-1] - y), 0.0
    for t in reversed(range(len(x))):
        dz = dh * (1 - h[t + bend] ** 2) if slope else dh
        du = dz * (x[t] if of_w else h[t + shift]) + (0.0 if assign else du)
        if last:
            break
        dh = dz * u if back else dz
    return du


@code(
    "Backpropagation through time for one weight",
    difficulty=2,
    minutes=12,
    inputs=_short_sequence,
    hints=(
        "First a loop forwards that keeps every state in a list, beginning with h = [0.0].",
        "Then a loop backwards. It begins with dh = h[-1] - y. At each step dz = dh * (1 - h_t²).",
        "Each step has used u once, with the state before it: add dz * h_(t−1) to the sum du.",
        "Then go one step further back: dh = dz * u.",
    ),
    mistakes=(
        Mistake(
            "the last step only",
            "u was used at every step, so every step adds its share dz · h_(t−1).",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, last=True),
        ),
        Mistake(
            "= for +=",
            "Each step's share replaces the last one. They must be added up: du += dz * h_(t−1).",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, assign=True),
        ),
        Mistake(
            "no slope of tanh",
            "On the way from h to z the gradient meets the bend: multiply by 1 − h².",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, slope=False),
        ),
        Mistake(
            "u is missing on the way back",
            "From z_t to h_(t−1) the gradient passes the weight u: dh = dz * u.",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, back=False),
        ),
        Mistake(
            "the state after the step",
            "z_t = w·x_t + u·h_(t−1): u was multiplied by the state before the step, not by h_t.",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, shift=1),
        ),
        Mistake(
            "the slope of the step before",
            "At step t the gradient meets the tanh that made h_t: 1 − h_t², not 1 − h_(t−1)².",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, bend=0),
        ),
        Mistake(
            "the gradient of w",
            "dz · x_t is the share of w, the weight of the input. u was multiplied by h_(t−1).",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, of_w=True),
        ),
        Mistake(
            "the sign",
            "The slope of ½ (h − y)² is h − y, not y − h.",
            lambda x, w, u, y: _wrong_bptt(x, w, u, y, sign=-1),
        ),
    ),
)
def bptt(x, w, u, y):
    """Return dL/du, one number, for a recurrent network of one unit.

    The states are h_t = tanh(w·x_t + u·h_(t−1)), beginning with h_0 = 0; `x` has the shape (T,).
    The loss looks at the last state only: L = ½ (h_T − y)².
    """
    h = [0.0]
    for x_t in x:
        h.append(np.tanh(w * x_t + u * h[-1]))
    dh, du = h[-1] - y, 0.0
    for t in reversed(range(len(x))):
        dz = dh * (1 - h[t + 1] ** 2)
        du += dz * h[t]  # h[t] is the state before this step
        dh = dz * u
    return du


def _gradients(rng):
    n, m = rng.integers(2, 5), rng.integers(2, 5)
    dW, db = rng.normal(size=(n, m)), rng.normal(size=n)
    norm = np.sqrt((dW**2).sum() + (db**2).sum())
    return dW, db, float(norm * rng.choice([0.1, 0.4, 0.8, 0.95, 1.5, 3.0]))


def _scaled(dW, db, scale):
    return dW * scale, db * scale


def _to_length_one(dW, db, max_norm):
    norm = np.sqrt((dW**2).sum() + (db**2).sum())
    return _scaled(dW, db, 1 / norm if norm > max_norm else 1.0)


@code(
    "Clip by the norm of all gradients together",
    difficulty=2,
    minutes=8,
    inputs=_gradients,
    hints=(
        "The norm of all numbers together: norm = np.sqrt((dW**2).sum() + (db**2).sum()).",
        "If the norm is at most max_norm, return both as they are.",
        "Else multiply both by the same factor max_norm / norm.",
    ),
    mistakes=(
        Mistake(
            "each by its own norm",
            "Then the arrow changes its direction. dW and db are parts of one long arrow: one "
            "norm, one factor.",
            lambda dW, db, max_norm: (
                dW * min(1.0, max_norm / np.linalg.norm(dW)),
                db * min(1.0, max_norm / np.linalg.norm(db)),
            ),
        ),
        Mistake(
            "each element on its own",
            "This limits single elements, and so changes the direction. PyTorch has that as "
            "clip_grad_value_. Here the arrow is shortened as a whole.",
            lambda dW, db, max_norm: (
                np.clip(dW, -max_norm, max_norm),
                np.clip(db, -max_norm, max_norm),
            ),
        ),
        Mistake(
            "short gradients are stretched",
            "A gradient that is short enough stays as it is: the factor is never above 1.",
            lambda dW, db, max_norm: _scaled(
                dW, db, max_norm / np.sqrt((dW**2).sum() + (db**2).sum())
            ),
        ),
        Mistake(
            "no root",
            "You compare with the squared norm: the root is missing.",
            lambda dW, db, max_norm: _scaled(
                dW, db, min(1.0, max_norm / ((dW**2).sum() + (db**2).sum()))
            ),
        ),
        Mistake(
            "the sum of two norms",
            "The length of an arrow is not the sum of its parts' lengths: add the squares, then "
            "take the root.",
            lambda dW, db, max_norm: _scaled(
                dW, db, min(1.0, max_norm / (np.linalg.norm(dW) + np.linalg.norm(db)))
            ),
        ),
        Mistake(
            "the factor upside down",
            "norm / max_norm makes a long gradient longer still: the factor is max_norm / norm.",
            lambda dW, db, max_norm: _scaled(
                dW, db, max(1.0, np.sqrt((dW**2).sum() + (db**2).sum()) / max_norm)
            ),
        ),
        Mistake(
            "shortened to the length 1",
            "A gradient that is too long gets the length max_norm: divide by its norm and multiply "
            "by max_norm.",
            lambda dW, db, max_norm: _to_length_one(dW, db, max_norm),
        ),
        Mistake(
            "no limit",
            "You return the gradients as they came.",
            lambda dW, db, max_norm: (dW, db),
        ),
    ),
)
def clip(dW, db, max_norm):
    """Shorten two gradients together, so that their norm is at most `max_norm`; return `(dW, db)`.

    `dW` has the shape (N, M) and `db` (N,). Their norm is the length of the one long arrow of all
    their numbers. If it is at most `max_norm`, both stay as they are. Leave the arrays themselves
    as they were, and return new ones where something changes.
    """
    norm = np.sqrt((dW**2).sum() + (db**2).sum())
    scale = min(1.0, max_norm / norm)
    return dW * scale, db * scale


def _lstm_inputs(rng):
    b, e, h = rng.integers(2, 4), rng.integers(2, 4), rng.integers(4, 6)
    return (
        rng.normal(size=(b, e)),
        rng.normal(size=(b, h)),
        rng.normal(size=(b, h)),
        rng.normal(size=(4 * h, e)),
        rng.normal(size=(4 * h, h)),
        rng.normal(size=4 * h),
    )


def _wrong_lstm(x, h, c, W_ih, W_hh, b, *, order="ifgo", g=np.tanh, out=np.tanh, cell=None):
    z = dict(zip(order, np.split(x @ W_ih.T + h @ W_hh.T + b, 4, axis=1), strict=True))
    i, f, o = _sigmoid(z["i"]), _sigmoid(z["f"]), _sigmoid(z["o"])
    c = f * c + i * g(z["g"]) if cell is None else cell(i, f, g(z["g"]), c)
    return o * out(c), c


@code(
    "One step of an LSTM",
    difficulty=2,
    minutes=12,
    inputs=_lstm_inputs,
    hints=(
        "All four sums at once: z = x @ W_ih.T + h @ W_hh.T + b, of shape (B, 4H).",
        "np.split(z, 4, axis=1) cuts it into four blocks of (B, H): those of i, f, g and o.",
        "i, f and o get a sigmoid, 1 / (1 + np.exp(-z)); g gets tanh.",
        "c = f * c + i * g makes a new array, and h = o * np.tanh(c). Return h, c.",
    ),
    mistakes=(
        Mistake(
            "the order of the gates",
            "PyTorch's order is i, f, g, o: you took i, f, o, g. Weights from a file would land in "
            "the wrong gates, and nothing would complain.",
            lambda *a: _wrong_lstm(*a, order="ifog"),
        ),
        Mistake(
            "i and f swapped",
            "The forget gate f multiplies the old cell, the input gate i what is new.",
            lambda *a: _wrong_lstm(*a, order="figo"),
        ),
        Mistake(
            "no tanh on the way out",
            "h = o · tanh(c): without tanh the state grows without limit, as c may.",
            lambda *a: _wrong_lstm(*a, out=lambda c: c),
        ),
        Mistake(
            "no tanh in the candidate",
            "g is no gate but what is to be written: tanh of its sum.",
            lambda *a: _wrong_lstm(*a, g=lambda z: z),
        ),
        Mistake(
            "sigmoid for tanh in the candidate",
            "With a sigmoid g is never negative, and the cell could only be counted up.",
            lambda *a: _wrong_lstm(*a, g=_sigmoid),
        ),
        Mistake(
            "no forget gate",
            "This is the cell of 1997, c + i·g, which never forgets. Gers et al. (2000) added f.",
            lambda *a: _wrong_lstm(*a, cell=lambda i, f, g, c: c + i * g),
        ),
        Mistake(
            "no input gate",
            "What is new is written only as far as the input gate lets it: i · g.",
            lambda *a: _wrong_lstm(*a, cell=lambda i, f, g, c: f * c + g),
        ),
        Mistake(
            "the old cell is read",
            "h looks at the new cell: compute c first, then h = o · tanh(c).",
            lambda x, h, c, W_ih, W_hh, b: (
                _sigmoid(np.split(x @ W_ih.T + h @ W_hh.T + b, 4, axis=1)[3]) * np.tanh(c),
                _wrong_lstm(x, h, c, W_ih, W_hh, b)[1],
            ),
        ),
        Mistake(
            "c before h",
            "Both are right, but in the wrong order: return h, c.",
            lambda *a: _wrong_lstm(*a)[::-1],
        ),
    ),
)
def lstm_step(x, h, c, W_ih, W_hh, b):
    """Return the next `(h, c)` of B sequences, each of shape (B, H).

    `x` is (B, E), `h` and `c` are (B, H), `W_ih` is (4H, E), `W_hh` is (4H, H) and `b` is (4H,): H
    rows for each of i, f, g, o, in PyTorch's order. With z = W_ih·x + W_hh·h + b:

    i, f, o are sigmoids of their blocks of z, g is tanh of its block; c ← f·c + i·g and then
    h ← o·tanh(c). Leave the arrays that you are given as they were.
    """
    z = x @ W_ih.T + h @ W_hh.T + b  # (B, 4H)
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (z_i, z_f, z_o))
    c = f * c + i * np.tanh(z_g)
    return o * np.tanh(c), c


def _gru_inputs(rng):
    b, e, h = rng.integers(2, 4), rng.integers(2, 4), rng.integers(4, 6)
    return (
        rng.normal(size=(b, e)),
        rng.normal(size=(b, h)),
        rng.normal(size=(3 * h, e)),
        rng.normal(size=(3 * h, h)),
        rng.normal(size=3 * h),
        rng.normal(size=3 * h),
    )


def _wrong_gru(x, h, W_ih, W_hh, b_ih, b_hh, *, order="rzn", new=None, bend=np.tanh, swap=False):
    from_x = dict(zip(order, np.split(x @ W_ih.T + b_ih, 3, axis=1), strict=True))
    from_h = dict(zip(order, np.split(h @ W_hh.T + b_hh, 3, axis=1), strict=True))
    r, z = _sigmoid(from_x["r"] + from_h["r"]), _sigmoid(from_x["z"] + from_h["z"])
    W_n, b_n = np.split(W_hh, 3)[2], np.split(b_hh, 3)[2]
    if new is None:
        sum_n = from_x["n"] + r * from_h["n"]
    else:
        sum_n = new(from_x["n"], from_h["n"], r, h, W_n, b_n)
    n = bend(sum_n)
    return z * n + (1 - z) * h if swap else (1 - z) * n + z * h


@code(
    "One step of a GRU",
    difficulty=3,
    minutes=12,
    inputs=_gru_inputs,
    hints=(
        "Keep the two shares apart: from_x = x @ W_ih.T + b_ih and from_h = h @ W_hh.T + b_hh, "
        "each (B, 3H). Cut both into three with np.split(…, 3, axis=1).",
        "r and z are sigmoids of the sum of their two blocks.",
        "n = np.tanh(x_n + r * h_n): r multiplies the whole share of h, its bias included.",
        "The new state is (1 - z) * n + z * h: where z is 1, the old one stays.",
    ),
    mistakes=(
        Mistake(
            "z swapped",
            "In PyTorch, and in Cho et al. (2014), z = 1 keeps the old state: (1 − z)·n + z·h. "
            "(Some papers write it the other way round.)",
            lambda *a: _wrong_gru(*a, swap=True),
        ),
        Mistake(
            "the order of the gates",
            "PyTorch's order is r, z, n: you took z, r, n.",
            lambda *a: _wrong_gru(*a, order="zrn"),
        ),
        Mistake(
            "r before the matrix",
            "You multiply h by r and then by W_hn. Most books write it so, but PyTorch multiplies "
            "by r after the matrix: r · (W_hn·h + b_hn). Both learn; their weights do not mix.",
            lambda *a: _wrong_gru(
                *a, new=lambda x_n, h_n, r, h, W_n, b_n: x_n + (r * h) @ W_n.T + b_n
            ),
        ),
        Mistake(
            "r on the whole sum",
            "The reset gate decides how much of the memory n gets to see; the input is always "
            "seen. r multiplies the share of h only.",
            lambda *a: _wrong_gru(*a, new=lambda x_n, h_n, r, h, W_n, b_n: r * (x_n + h_n)),
        ),
        Mistake(
            "the bias outside r",
            "b_hn belongs to the share of h: r · (W_hn·h + b_hn).",
            lambda *a: _wrong_gru(
                *a, new=lambda x_n, h_n, r, h, W_n, b_n: x_n + r * (h @ W_n.T) + b_n
            ),
        ),
        Mistake(
            "no r",
            "The reset gate is computed but not used: n = tanh(x_n + r · h_n).",
            lambda *a: _wrong_gru(*a, new=lambda x_n, h_n, r, h, W_n, b_n: x_n + h_n),
        ),
        Mistake(
            "no tanh",
            "n is tanh of its sum; without it the state may grow without limit.",
            lambda *a: _wrong_gru(*a, bend=lambda s: s),
        ),
    ),
)
def gru_step(x, h, W_ih, W_hh, b_ih, b_hh):
    """Return the next state of B sequences, of shape (B, H).

    `x` is (B, E), `h` is (B, H), `W_ih` is (3H, E), `W_hh` is (3H, H), both biases are (3H,): H
    rows for each of r, z, n, in PyTorch's order. With the six blocks of W_ih·x + b_ih and of
    W_hh·h + b_hh: r = σ(x_r + h_r), z = σ(x_z + h_z), n = tanh(x_n + r·h_n), and the next state is
    (1 − z)·n + z·h.
    """
    x_r, x_z, x_n = np.split(x @ W_ih.T + b_ih, 3, axis=1)
    h_r, h_z, h_n = np.split(h @ W_hh.T + b_hh, 3, axis=1)
    r = 1 / (1 + np.exp(-(x_r + h_r)))
    z = 1 / (1 + np.exp(-(x_z + h_z)))
    n = np.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def _scores(rng):
    return (
        rng.normal(size=rng.integers(5, 9)) * 2,
        float(rng.choice([0.3, 0.5, 2.0, 4.0])),
        float(rng.random()),
    )


def _drawn(p, u):
    return int(min(np.searchsorted(np.cumsum(p), u, side="right"), len(p) - 1))


def _softmax(z):
    p = np.exp(z - z.max())
    return p / p.sum()


@code(
    "Draw a letter with a temperature",
    difficulty=3,
    minutes=10,
    inputs=_scores,
    hints=(
        "First divide the scores by the temperature, then take the softmax: p = np.exp(z) / "
        "np.exp(z).sum() with z = scores / temperature.",
        "np.cumsum(p) lays the probabilities end to end on the line from 0 to 1: letter k owns the "
        "piece that ends at cumsum[k].",
        "So the index is the number of pieces that end before u: int((np.cumsum(p) < u).sum()).",
    ),
    mistakes=(
        Mistake(
            "the likeliest letter",
            "This is greedy: it always takes the likeliest. Use u to draw by the probabilities.",
            lambda scores, temperature, u: int(scores.argmax()),
        ),
        Mistake(
            "times for divided by",
            "A high temperature must level the scores, so they are divided by it.",
            lambda scores, temperature, u: _drawn(_softmax(scores * temperature), u),
        ),
        Mistake(
            "no temperature",
            "You draw by the softmax of the scores themselves: divide them by the temperature "
            "first.",
            lambda scores, temperature, u: _drawn(_softmax(scores), u),
        ),
        Mistake(
            "the temperature after the softmax",
            "Dividing the probabilities leaves them not adding up to 1. Divide the scores, before "
            "the softmax.",
            lambda scores, temperature, u: _drawn(_softmax(scores) / temperature, u),
        ),
        Mistake(
            "no running sum",
            "You compare u with single probabilities. Lay them end to end first: np.cumsum(p).",
            lambda scores, temperature, u: int((_softmax(scores / temperature) > u).argmax()),
        ),
        Mistake(
            "not divided by their sum",
            "np.exp gives numbers that do not add up to 1: divide them by their sum.",
            lambda scores, temperature, u: _drawn(np.exp(scores / temperature), u),
        ),
        Mistake(
            "the letter before",
            "You return the last letter whose piece ends before u: one too few.",
            lambda scores, temperature, u: max(_drawn(_softmax(scores / temperature), u) - 1, 0),
        ),
    ),
)
def sample_letter(scores, temperature, u):
    """Draw one letter by its probability, and return its index, a whole number.

    `scores` has the shape (V,), one score for each letter; the probabilities are the softmax of
    scores / temperature. `u` is a random number between 0 and 1. Lay the probabilities end to end
    on the line from 0 to 1, in the order of the letters, and return the index of the piece on which
    `u` lies.
    """
    z = scores / temperature
    p = np.exp(z - z.max())
    p = p / p.sum()
    return int((np.cumsum(p)[:-1] < u).sum())  # the last piece ends at 1, whatever the rounding


quiz = (
    Question(
        "A recurrent network with 100 units reads a text of 10 letters, then one of 10,000. How "
        "many more weights does it need for the second?",
        {
            "1,000 times as many": "It would, with a weight for each place of the text, as an MLP "
            "has. The loop uses the same weights at every step.",
            "None": "Yes: the same weights serve every step, however many there are.",
            "It depends on what is in the text": "The number of weights is fixed by the sizes of "
            "input and state, before any text is read.",
        },
        "b",
    ),
    Question(
        "The largest eigenvalue of $W_{hh}$ has the size 0.9, and the states are so small that "
        "tanh hardly bends. About how much of the gradient is left 50 steps back?",
        {
            "A half": "$0.9^{50}$ is 0.005.",
            "10%": "$0.9^{50}$ is 0.005: after 22 steps it is 10%.",
            "Half a per cent": "Yes, $0.9^{50} = 0.005$. Where tanh bends, its slopes are below 1, "
            "and less is left.",
        },
        "c",
    ),
    Question(
        "What does clipping the norm of the gradient at 1 do?",
        {
            "It keeps the direction of a step and limits its length": "Yes. All gradients are "
            "multiplied by the same number, so the step goes the same way, but not too far.",
            "It cures vanishing gradients, too": "A gradient that is too short is left as it is. "
            "Gates help against vanishing, as in LSTM and GRU.",
            "It limits the weights to the range from −1 to 1": "It touches the gradients, not the "
            "weights.",
        },
        "a",
    ),
    Question(
        "A model forecasts next month's sales. Its 60 past months are shuffled, 45 go to training "
        "and 15 to the test, and the test error is wonderfully small. What now?",
        {
            "Ship it": "The months of the test lie between those that it was trained on. In use "
            "it will have no months from the future.",
            "Test it on the last 15 months, after training on the first 45": "Yes: only a split "
            "in time asks what will be asked in use. And compare with last month's and last "
            "year's value.",
            "Shuffle again with other seeds and take the mean": "Each shuffle leaks in the same "
            "way: the mean of wrong answers is a wrong answer.",
        },
        "b",
    ),
)
