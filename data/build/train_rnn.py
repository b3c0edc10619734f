"""Train what lesson 06 does not train while you read: about 25 minutes on one core.

    python data/build/train_rnn.py [reader] [adding]

Without names it makes both: data/checkpoints/rnn_reader.npz and rnn_adding.npz.
"""

import sys
from pathlib import Path

import numpy as np

from dlcourse import data, models, nn, no_grad, optim
from dlcourse import functional as F
from dlcourse.train import save, train

FOLDER = Path(__file__).parents[1] / "checkpoints"


# A network that reads Shakespeare letter by letter and guesses the next


def reader(hidden=64, steps=6000, length=128, batch=32, lr=5e-3):
    text = data.load_shakespeare()
    letters = sorted(set(text))
    codes = np.searchsorted(letters, list(text))
    learn, test = np.split(codes, [int(0.95 * len(codes))])  # the last 5 % are for measuring only
    rng = np.random.default_rng(0)
    model = models.CharRNN(len(letters), 16, hidden, cell="LSTM", rng=rng)
    model.recurrent.bias_ih_l0.data[hidden : 2 * hidden] = 1.0  # forget gates begin open

    def pieces():
        start = rng.integers(0, len(learn) - length, batch)
        piece = learn[start[:, None] + np.arange(length + 1)]
        return piece[:, :-1], piece[:, 1:]

    def loss_fn(output, target):
        return F.cross_entropy(output[0].reshape(-1, len(letters)), target.reshape(-1))

    optimizer = optim.Adam(model.parameters(), lr=lr)
    batches = (pieces() for _ in range(steps))
    for step in train(model, loss_fn, optimizer, batches, epochs=1, max_norm=1.0):
        optimizer.lr = lr * (1 - step.step / steps)
    rows = test[: len(test) // 500 * 500].reshape(-1, 500)
    with no_grad():
        loss = loss_fn(model(rows[:, :-1]), rows[:, 1:]).item()
    print(f"reader: {loss:.3f} nats a letter on the last 5 % of the text", flush=True)
    state = {name: value.astype(np.float16) for name, value in model.state_dict().items()}
    save({**state, "letters": np.array(letters)}, FOLDER / "rnn_reader.npz")


# The adding problem (Hochreiter and Schmidhuber 1997, section 5.4)

KINDS = {  # name in the lesson: (layer, bias of the forget gates, learning rate)
    "RNN": ("RNN", 0, 0.003),
    "LSTM, as it comes": ("LSTM", 0, 0.02),
    "LSTM, forget bias 4": ("LSTM", 4, 0.02),
    "GRU": ("GRU", 0, 0.02),
    "LSTM, spread biases": ("LSTM", "spread", 0.02),
}
LENGTHS = (100, 200)
LONG = (500, 1000)  # for the last kind only
SEEDS, STEPS, BATCH, HIDDEN = 5, 6000, 32, 32
EVERY = 50  # steps that one point of a curve is the mean of


def adding_problem(n, T, rng):
    """Give n sequences (n, T to 1.1 T, 2) of numbers and marks, and their targets (n, 1)."""
    length = rng.integers(T, T + T // 10 + 1)
    numbers, marks = rng.uniform(-1, 1, (n, length)), np.zeros((n, length))
    marks[:, [0, -1]] = -1
    rows, first = np.arange(n), rng.integers(0, 10, n)
    second = rng.integers(0, T // 2 - 1, n)
    second += second >= first  # another place than the first
    for place in (first, second):
        numbers[rows[place == 0], 0] = 0  # the first pair, if it is marked, counts as 0
        marks[rows, place] = 1
    target = 0.5 + (numbers[rows, first] + numbers[rows, second]) / 4
    x = np.stack([numbers, marks], axis=2)
    return x.astype(np.float32), target[:, None].astype(np.float32)


class Adder(nn.Module):
    def __init__(self, kind, hidden, T, rng):
        layer, bias, _ = KINDS[kind]
        rng = np.random.default_rng(rng)
        self.recurrent = getattr(nn, layer)(2, hidden, batch_first=True, rng=rng)
        self.head = nn.Linear(hidden, 1, rng=rng)
        if layer == "LSTM":
            i, f, *_ = np.split(self.recurrent.bias_ih_l0.data, 4)  # views
            if bias == "spread":  # Tallec and Ollivier 2018: memories of 1 to T steps
                bias = np.log(rng.uniform(1, T - 1, hidden)).astype(np.float32)
                i -= bias
            f += bias

    def forward(self, x):
        return self.head(self.recurrent(x)[0][:, -1])


def learn_to_add(kind, T, seed):
    """Train until 2,000 sequences in a row are right; return losses, sequences, test mistakes."""
    rng = np.random.default_rng(seed)
    model = Adder(kind, HIDDEN, T, rng)
    optimizer = optim.Adam(model.parameters(), lr=KINDS[kind][2])
    batches = (adding_problem(BATCH, T, rng) for _ in range(STEPS))
    losses, right, worst = [], 0, []

    def loss_fn(output, target):
        worst.append(np.abs(output.data - target).max())
        return F.mse_loss(output, target)

    for step in train(model, loss_fn, optimizer, batches, epochs=1, max_norm=1.0):
        losses.append(step.loss)
        right = right + BATCH if worst.pop() < 0.04 else 0
        if right >= 2000:
            break
    curve = np.full(STEPS // EVERY, np.nan)
    points = len(losses) // EVERY
    curve[:points] = np.reshape(losses[: points * EVERY], (points, EVERY)).mean(axis=1)
    test_rng, wrong = np.random.default_rng(1000 + seed), 0
    with no_grad():
        for _ in range(80):  # 2,560 sequences, as in the paper
            x, y = adding_problem(32, T, test_rng)
            wrong += int((np.abs(model(x).data - y) >= 0.04).sum())
    return curve, BATCH * len(losses) if right >= 2000 else 0, wrong


def adding():
    """Train each kind at each length with each seed; 0 where it was not solved."""
    result = {"kinds": np.array(list(KINDS)), "lengths": np.array(LENGTHS), "long": np.array(LONG)}
    result["sequences"] = BATCH * EVERY * np.arange(1, STEPS // EVERY + 1)
    runs = [(T, kind) for T in LENGTHS for kind in KINDS] + [(T, list(KINDS)[-1]) for T in LONG]
    for T, kind in runs:
        seeds = [learn_to_add(kind, T, seed) for seed in range(SEEDS)]
        curves, solved, wrong = zip(*seeds, strict=True)
        result[f"{T} {kind} curves"] = np.array(curves, np.float32)  # (seeds, points)
        result[f"{T} {kind} solved"] = np.array(solved)  # after so many sequences
        result[f"{T} {kind} wrong"] = np.array(wrong)  # of 2,560
        print(f"T = {T}, {kind}: after {solved} sequences, {wrong} wrong", flush=True)
    save(result, FOLDER / "rnn_adding.npz")


def main():
    wanted = sys.argv[1:] or ["reader", "adding"]
    FOLDER.mkdir(exist_ok=True)
    if "reader" in wanted:
        reader()
    if "adding" in wanted:
        adding()


if __name__ == "__main__":
    main()
