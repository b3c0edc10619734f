"""Train what lesson 08 does not train while you read: about 20 minutes on one core.

    python data/build/train_challenges.py [curves] [networks] [tuning]

Without names it makes all: data/checkpoints/challenges_*.npz.
"""

import sys
from itertools import islice
from pathlib import Path

import numpy as np

from dlcourse import Tensor, data, models, no_grad, optim
from dlcourse import functional as F
from dlcourse.train import save, train

FOLDER = Path(__file__).parents[1] / "checkpoints"
SIZES = (60, 200, 600, 2000, 6000, 20_000, 60_000)
STEPS = (1500, 1500, 1500, 1500, 3000, 6000, 9000)  # for each size
SEEDS = 3


def shifted(images, rng):
    """Move each image (N, 1, 28, 28) by up to two pixels, to every side as often."""
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (28, 28), axis=(2, 3))
    down, right = rng.integers(0, 5, (2, len(images)))
    return windows[np.arange(len(images)), :, down, right]


def batches(model, x, y, steps, rng, augment, attack):
    """Give `steps` batches of 64 (or fewer, if there are fewer examples).

    With `augment` their images are shifted, with `attack` half of them are attacked with this ε.
    """
    loader = data.DataLoader((x, y), min(64, len(x)), shuffle=True, drop_last=True, rng=rng)
    epochs = (batch for _ in iter(int, 1) for batch in loader)
    for x, y in islice(epochs, steps):
        if augment:
            x = shifted(x, rng)
        if attack:
            half = len(x) // 2
            x = np.concatenate([x[:half], fgsm(model, x[half:], y[half:], attack)])
        yield x, y


def fit(model, x, y, steps, rng, augment=False, attack=0.0):
    """Train with Adam, its rate falling from 0.001 to 0."""
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    made = batches(model, x, y, steps, rng, augment, attack)
    for step in train(model, F.cross_entropy, optimizer, made, epochs=1):
        optimizer.lr = 1e-3 * (1 - step.step / steps)


def fgsm(model, x, y, epsilon):
    """Add ε times the sign of the loss's slope to each pixel."""
    images = Tensor(x, requires_grad=True)
    F.cross_entropy(model(images), y).backward()
    return np.clip(x + np.float32(epsilon) * np.sign(images.grad), 0, 1)


def error(model, x, y):
    with no_grad():
        parts = [model(x[i : i + 1000]).data for i in range(0, len(x), 1000)]
    return (np.concatenate(parts).argmax(axis=1) != y).mean()


def make(kind, seed):
    return models.MLP([784, 128, 10], rng=seed) if kind == "MLP" else models.LeNet(rng=seed)


def curves(mnist):
    """Test errors of two networks, with and without shifted images, by number of examples."""
    result = {}
    for kind in ("MLP", "CNN"):
        for augment in (False, True):
            errors = np.zeros((SEEDS, len(SIZES)))
            for seed in range(SEEDS):
                order = np.random.default_rng(seed).permutation(60_000)
                for i, (n, steps) in enumerate(zip(SIZES, STEPS, strict=True)):
                    model, rng = make(kind, seed), np.random.default_rng(seed)
                    x, y = mnist.x_train[order[:n]], mnist.y_train[order[:n]]
                    fit(model, x, y, steps, rng, augment)
                    errors[seed, i] = error(model, mnist.x_test, mnist.y_test)
            result[kind + " shifted" * augment] = errors
            print(kind, augment, errors.mean(axis=0).round(4), flush=True)
    sizes = {"sizes": np.array(SIZES), "steps": np.array(STEPS)}
    save({**sizes, **result}, FOLDER / "challenges_curves.npz")


def networks(mnist):
    """A LeNet trained as usual, and one trained against attacks."""
    for name, attack in (("lenet", 0.0), ("robust", 0.25)):
        model = models.LeNet(rng=0)
        fit(model, mnist.x_train, mnist.y_train, 6000, np.random.default_rng(0), attack=attack)
        print(name, "test error", error(model, mnist.x_test, mnist.y_test), flush=True)
        save(model.state_dict(), FOLDER / f"challenges_{name}.npz")


# Three ways to spend the same 9 trainings of 243 steps

LOW, HIGH = np.array([-3.0, 2.0]), np.array([1.5, 7.0])  # log10 of the rate, log2 of the width


class Trial:
    """A network with its setting; it trains on when asked to, and knows its errors."""

    def __init__(self, setting, parts, seed):
        rate, width = 10.0 ** setting[0], round(2.0 ** setting[1])
        self.model, self.parts = models.MLP([64, width, 10], rng=seed), parts
        optimizer = optim.SGD(self.model.parameters(), lr=rate)
        loader = data.DataLoader(parts[0], 32, shuffle=True, rng=seed)
        self.training = train(self.model, F.cross_entropy, optimizer, loader, epochs=100)
        self.failed = False

    def run(self, steps):
        try:
            for _ in islice(self.training, steps):
                pass
        except FloatingPointError:  # the loss is not finite: the rate was too large
            self.failed = True

    def error(self, part):
        return 1.0 if self.failed else error(self.model, *self.parts[part])


def winner(trials):
    """Return validation and test error of the trial that is best on the validation set."""
    best = min(trials, key=lambda trial: trial.error(1))
    return best.error(1), best.error(2)


def search(method, parts, seed):
    rng = np.random.default_rng(seed)
    if method == "grid":  # 3 × 3, moved by chance within its cells
        i, j = np.divmod(np.arange(9), 3)
        places = (np.stack([i, j], axis=1) + rng.random(2)) / 3
    else:
        places = rng.random((9 if method == "random" else 81, 2))
    trials = [Trial(LOW + p * (HIGH - LOW), parts, seed) for p in places]
    if method != "halving":
        for trial in trials:
            trial.run(243)
        return winner(trials)
    for steps in (9, 18, 54, 162):  # 9, 27, 81 and 243 in all, for 81, 27, 9 and 3 trials
        for trial in trials:
            trial.run(steps)
        if steps < 162:
            trials = sorted(trials, key=lambda trial: trial.error(1))[: len(trials) // 3]
    return winner(trials)


def tuning(repetitions=100):
    digits = data.load_digits()
    result = {}
    for method in ("grid", "random", "halving"):
        errors = np.zeros((repetitions, 2))
        for seed in range(repetitions):
            order = np.random.default_rng(1000 + seed).permutation(len(digits.x))
            cuts = np.split(order, [1000, 1300])
            parts = [(digits.x[k].reshape(-1, 64), digits.y[k]) for k in cuts]
            errors[seed] = search(method, parts, seed)
        result[method] = errors
        print(method, errors.mean(axis=0), np.quantile(errors[:, 1], [0.1, 0.5, 0.9]), flush=True)
    save(result, FOLDER / "challenges_tuning.npz")


def main():
    wanted = sys.argv[1:] or ["networks", "tuning", "curves"]
    FOLDER.mkdir(exist_ok=True)
    if "tuning" in wanted:
        tuning()
    if {"networks", "curves"} & set(wanted):
        mnist = data.load_mnist()
        if "networks" in wanted:
            networks(mnist)
        if "curves" in wanted:
            curves(mnist)


if __name__ == "__main__":
    main()
