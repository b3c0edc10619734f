"""What a live picture costs: milliseconds a frame, and the time that is left to training.

Run `python benchmarks/live.py`. Each view is drawn by `View.frame` and, to compare, by matplotlib's
`canvas.draw()` of the same figure, which does not even make a PNG. Then 3 seconds of steps of
0.3 ms each are watched by `Live`; the share left is their time over all the time that passed.
"""

import time

import numpy as np

from dlcourse import plots
from dlcourse.live import Live, View

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(300, 2)), rng.integers(0, 3, 300)
PLANE = np.linspace(-2, 2, 28)
HIDDEN, OUT = rng.normal(size=(2, 16)), rng.normal(size=(16, 3))


class LossCurve(View):
    """One noisy line and its mean."""

    size = (6, 4)

    def build(self, fig):
        self.curve = plots.loss_curve(fig.subplots(), steps=20_000)

    def record(self, state):
        self.curve.append(1 / (1 + state) + 0.1 * rng.random())


class SpiralAndLoss(LossCurve):
    """A network's answers as a heat map under 300 points, and its loss."""

    size = (8, 4)

    def build(self, fig):
        left, right = fig.subplots(1, 2)
        self.map = plots.decision_boundary(left, X, Y, names=["a", "b", "c"])
        self.curve = plots.loss_curve(right, steps=20_000)

    def set(self, state):
        self.map.set(lambda grid: np.tanh(grid @ HIDDEN + state) @ OUT)


class TurningLine(View):
    """A perceptron's line among its points."""

    size = (5, 4)

    def build(self, fig):
        ax = fig.subplots()
        plots.points(ax, X, Y, names=["a", "b", "c"])
        self.line = plots.separator(ax)

    def set(self, state):
        self.line.turn([np.cos(state), np.sin(state)], 0.2)


class SixteenUnits(View):
    """The pictures of sixteen hidden units."""

    size = (8, 4)

    def build(self, fig):
        self.images = [
            ax.imshow(np.zeros((28, 28)), vmin=-1, vmax=1) for ax in fig.subplots(2, 8).flat
        ]
        for image in self.images:
            image.axes.set_axis_off()

    def set(self, state):
        for k, image in enumerate(self.images):
            w, b = HIDDEN[:, k], state / 5
            image.set_data(np.tanh(w[0] * PLANE + w[1] * PLANE[:, None] + b))


def median_ms(work, repeats):
    times = []
    for i in range(repeats):
        began = time.process_time()
        work(i / 10)
        times.append(time.process_time() - began)
    return 1000 * np.median(times)


def measure(view):
    view.see(0.0)
    frame = median_ms(view.frame, 40)
    final = median_ms(lambda state: view.frame(state, final=True), 5)
    kib = len(view.frame(3.0, final=True)[0][1]) / 1024
    share, fps = watch(type(view)())

    for artist in view.fig.findobj():
        artist.set_animated(False)

    def draw(state):
        view.set(state)
        view._canvas.draw()

    full = median_ms(draw, 10)
    print(
        f"{type(view).__name__:14} {frame:8.1f} {final:8.1f} {full:8.1f} {full / frame:7.1f}x"
        f" {kib * 4 / 3:7.0f} {fps:7.1f} {share:9.0%}"
    )


def watch(view, seconds=3.0):
    """Return the share of the time that steps get under `Live`, and the frames a second."""
    drawn = 0
    frame = view.frame

    def counted(*args, **kwargs):
        nonlocal drawn
        drawn += 1
        return frame(*args, **kwargs)

    view.frame = counted
    trained = 0.0
    began = time.perf_counter()
    with Live(view) as live:
        state = 0
        while time.perf_counter() < began + seconds:
            step = time.perf_counter()
            while time.perf_counter() < step + 0.0003:
                pass
            trained += time.perf_counter() - step
            live(state := state + 1)
    total = time.perf_counter() - began
    return trained / total, drawn / total


if __name__ == "__main__":
    print("               frame ms final ms draw() ms cheaper  KiB64     fps  training")
    for kind in (LossCurve, SpiralAndLoss, TurningLine, SixteenUnits):
        measure(kind())
