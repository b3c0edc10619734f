"""Train what lesson 05 does not train while you read: about 15 minutes on one core.

    python data/build/train_cnn.py [digits] [shaken] [clothes] [norms]

Without names it makes all: data/checkpoints/cnn_*.npz.
"""

import sys
from pathlib import Path

import numpy as np

from dlcourse import data, models, nn, optim
from dlcourse import functional as F
from dlcourse.train import evaluate, save, train

FOLDER = Path(__file__).parents[1] / "checkpoints"
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
SEEDS = 3


class Changed:
    """The batches of a loader, their images changed at random: `change(images, rng)`."""

    def __init__(self, loader, change, rng):
        self.loader, self.change, self.rng = loader, change, rng

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for x, y in self.loader:
            yield self.change(x, self.rng), y


def shifted(x, rng, reach=2):
    """Move each image (N, C, H, W) by up to `reach` pixels, down and to the right or back."""
    h, w = x.shape[2:]
    down, right = rng.integers(0, 2 * reach + 1, (2, len(x)))
    x = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    rows, columns = down[:, None] + np.arange(h), right[:, None] + np.arange(w)
    n = np.arange(len(x))[:, None, None]
    return x[n, :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)


def shifted_and_mirrored(x, rng):
    """Shift each image by up to one pixel, and mirror every second one."""
    x = shifted(x, rng, reach=1)
    mirrored = rng.random(len(x)) < 0.5
    x[mirrored] = x[mirrored, ..., ::-1]
    return x


def turned(x, degrees):
    """Turn each image (N, C, H, W) by an angle of its own, around its middle; nearest pixels."""
    h, w = x.shape[2:]
    down, right = np.mgrid[:h, :w] - np.array([h - 1, w - 1])[:, None, None] / 2
    angle = np.deg2rad(degrees)[:, None, None]
    i = np.rint(np.cos(angle) * down - np.sin(angle) * right + (h - 1) / 2).astype(int)
    j = np.rint(np.sin(angle) * down + np.cos(angle) * right + (w - 1) / 2).astype(int)
    n = np.arange(len(x))[:, None, None]
    turned = x[n, :, i.clip(0, h - 1), j.clip(0, w - 1)].transpose(0, 3, 1, 2)
    inside = (i >= 0) & (i < h) & (j >= 0) & (j < w)
    return turned * inside[:, None]


def shaken(x, rng):
    """Turn each image by up to 40 degrees, shift it by up to 6 pixels, invert every second one."""
    x = shifted(turned(x, rng.uniform(-40, 40, len(x))), rng, reach=6)
    inverted = (rng.random(len(x)) < 0.5)[:, None, None, None]
    return np.where(inverted, 1 - x, x).astype(np.float32)


def train_lenet(x, y, *, seed, epochs, change=None):
    """Train a LeNet by the recipe of lesson 05."""
    rng = np.random.default_rng(seed)
    model = models.LeNet(rng=rng)
    loader = data.DataLoader((x, y), batch_size=64, shuffle=True, rng=rng)
    optimizer = optim.AdamW(model.parameters(), weight_decay=0.1)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.004, epochs * len(loader), pct_start=0.2)
    batches = Changed(loader, change, rng) if change else loader
    for _ in train(model, F.cross_entropy, optimizer, batches, epochs=epochs):
        schedule.step()
    return model


def digits():
    """Write the second and the third seed of the lesson's LeNet; the first it trains itself."""
    mnist = data.load_mnist()
    test = data.DataLoader((mnist.x_test, mnist.y_test), batch_size=500)
    for seed in (1, 2):
        model = train_lenet(mnist.x_train, mnist.y_train, seed=seed, epochs=4)
        print(
            f"MNIST, seed {seed}: {1 - evaluate(model, F.cross_entropy, test).accuracy:.2%} wrong"
        )
        save(model.state_dict(), FOLDER / f"cnn_digits{seed}.npz")


def shaken_digits():
    """Write a LeNet that was trained on digits turned, shifted and inverted at random."""
    mnist = data.load_mnist()
    model = train_lenet(mnist.x_train, mnist.y_train, seed=0, epochs=12, change=shaken)
    test = data.DataLoader((mnist.x_test, mnist.y_test), batch_size=500)
    print(f"MNIST, shaken: {1 - evaluate(model, F.cross_entropy, test).accuracy:.2%} wrong")
    save(model.state_dict(), FOLDER / "cnn_shaken.npz")


def clothes():
    """Write a LeNet for Fashion-MNIST."""
    fashion = data.load_fashion_mnist()
    model = train_lenet(
        fashion.x_train, fashion.y_train, seed=0, epochs=30, change=shifted_and_mirrored
    )
    test = data.DataLoader((fashion.x_test, fashion.y_test), batch_size=500)
    print(f"Fashion-MNIST: {1 - evaluate(model, F.cross_entropy, test).accuracy:.1%} wrong")
    save(model.state_dict(), FOLDER / "cnn_clothes.npz")


def small_network(batch_norm, dropout, rng):
    """Make the network of the lesson's section on batch norm and dropout."""
    layers = [
        nn.Conv2d(1, 8, 3, padding=1, rng=rng),
        nn.BatchNorm2d(8) if batch_norm else None,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, rng=rng),
        nn.BatchNorm2d(16) if batch_norm else None,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5, rng=rng) if dropout else None,
        nn.Linear(784, 64, rng=rng),
        nn.ReLU(),
        nn.Linear(64, 10, rng=rng),
    ]
    return nn.Sequential(*(layer for layer in layers if layer))


def norms():
    """Write what is wrong of Fashion-MNIST with and without batch norm and dropout.

    2,000 images to train on, 2,000 others to choose the learning rate by, 2,000 to test. The
    results' axes: batch norm, dropout, learning rate, seed.
    """
    fashion = data.load_fashion_mnist()
    chosen = slice(0, 2000), slice(2000, 4000)
    (x, x_val), (y, y_val) = ([a[c] for c in chosen] for a in (fashion.x_train, fashion.y_train))
    parts = {"train": (x, y), "val": (x_val, y_val), "test": (fashion.x_test, fashion.y_test)}
    shape = (2, 2, len(RATES), SEEDS)
    wrong = {name: np.full(shape, 0.9, np.float32) for name in parts}  # 0.9: it did not learn
    for at in np.ndindex(shape):
        batch_norm, dropout, rate, seed = at
        rng = np.random.default_rng(seed)
        model = small_network(batch_norm, dropout, rng)
        optimizer = optim.SGD(model.parameters(), lr=RATES[rate], momentum=0.9)
        loader = data.DataLoader((x, y), batch_size=50, shuffle=True, rng=rng)
        try:
            for _ in train(model, F.cross_entropy, optimizer, loader, epochs=20):
                pass
        except FloatingPointError:  # the loss became infinite
            continue
        for name, part in parts.items():
            batches = data.DataLoader(part, batch_size=500)
            wrong[name][at] = 1 - evaluate(model, F.cross_entropy, batches).accuracy
        print(at, {name: round(float(part[at]), 3) for name, part in wrong.items()}, flush=True)
    save({**wrong, "rates": np.float32(RATES)}, FOLDER / "cnn_norms.npz")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    made = {"digits": digits, "shaken": shaken_digits, "clothes": clothes, "norms": norms}
    for name in sys.argv[1:] or made:
        made[name]()
