"""Pictures: functions that draw on one axes and return what a live view changes afterwards.

They take arrays, never layers: a picture does not know what computed its numbers. Colours are Okabe
and Ito's, which people with any colour vision tell apart, and classes differ in their markers too.
The background is opaque white, so that a picture reads the same in a light and in a dark theme.

References
----------
M. Okabe and K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import ArrayLike, NDArray

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, RED, YELLOW, BLACK = "#56B4E9", "#D55E00", "#F0E442", "#000000"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
SIGNED = LinearSegmentedColormap.from_list(
    "signed",
    ["#003F63", BLUE, "#FFFFFF", ORANGE, "#8A5A00"],
    N=257,  # odd: zero is pure white
)
"""Colours of numbers with a sign: blue below zero, white at zero, orange above."""

STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "savefig.transparent": False,
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "font.size": 10,
    "grid.color": "#DDDDDD",
    "lines.linewidth": 2,
}
"""The look of the course's pictures, for `plt.style.use(plots.STYLE)`; views take it themselves."""


def points(
    ax: Axes, x: ArrayLike, y: ArrayLike, names: Sequence[str] | None = None
) -> list[PathCollection]:
    """Draw points in the plane, each class with a colour and a marker of its own.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : array (N, 2)
        The points.
    y : array (N,)
        Their classes, integers from 0.
    names : sequence of str, optional
        The classes' names; given, a legend shows them.

    Returns
    -------
    list of PathCollection
        One a class, in the order of the classes.
    """
    x, y = _as_points(x), np.asarray(y).astype(int).reshape(-1)
    if len(x) != len(y):
        raise ValueError(
            f"points got {len(x)} points in x but {len(y)} classes in y; it needs one for each"
        )
    classes = range(int(y.max(initial=-1)) + 1 if names is None else len(names))
    drawn = [
        ax.scatter(
            *x[y == k].T,
            s=26,
            c=COLOURS[k % 8],
            marker=MARKERS[k % 8],
            edgecolors="white",
            linewidths=0.6,
        )
        for k in classes
    ]
    if names is not None:
        ax.legend(drawn, names)
    return drawn


class DecisionMap:
    """The plane coloured by what a model answers; made by `decision_boundary`.

    Attributes
    ----------
    grid : array (M, 2), float32
        The places at which the model is asked.
    """

    def __init__(self, ax: Axes, resolution: int) -> None:
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        across, up = (
            low + (np.arange(resolution) + 0.5) / resolution * (high - low)
            for low, high in ((left, right), (bottom, top))
        )
        self.grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(np.float32)
        self.shape = (resolution, resolution, 3)
        self.image = ax.imshow(
            np.full(self.shape, 255, np.uint8),
            extent=(left, right, bottom, top),
            origin="lower",
            interpolation="bilinear",
            aspect=ax.get_aspect(),
            zorder=0,
        )

    def set(self, scores: ArrayLike | Callable[[NDArray], ArrayLike]) -> None:
        """Colour the plane anew.

        Parameters
        ----------
        scores : array (M, K) or (M,) or (M, 1), or a callable that maps `grid` (M, 2) to one
            K columns are the logits of K classes. One column is a signed score, the logit of class
            1 against class 0: its zero is the border.
        """
        values = np.asarray(scores(self.grid) if callable(scores) else scores, dtype=float)
        if values.shape[:1] != self.grid.shape[:1] or values.ndim > 2:
            raise ValueError(
                f"DecisionMap.set got scores of shape {values.shape}; it needs one row for each "
                f"of the {len(self.grid)} points of grid: (M,) or (M, K)"
            )
        if values.ndim == 1 or values.shape[1] == 1:
            values = np.stack([np.zeros(len(values)), values.reshape(-1)], axis=1)
        chances = np.exp(values - values.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        pale = np.array([to_rgb(COLOURS[k % 8]) for k in range(values.shape[1])]) * 0.45 + 0.55
        rgb = np.nan_to_num(chances @ pale, nan=1.0) * 255
        self.image.set_data(rgb.astype(np.uint8).reshape(self.shape))


def decision_boundary(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    scores: ArrayLike | Callable[[NDArray], ArrayLike] | None = None,
    *,
    names: Sequence[str] | None = None,
    resolution: int = 80,
) -> DecisionMap:
    """Colour the plane by a model's answers, under the points that it learns from.

    Parameters
    ----------
    ax : Axes
        Where to draw; its limits are set to hold all points with a margin.
    x, y, names
        The points, as in `points`.
    scores : array (M, K) or (M,), or a callable, optional
        As in `DecisionMap.set`; without it the plane stays white.
    resolution : int
        The model is asked at `resolution` times `resolution` places.

    Returns
    -------
    DecisionMap
        Its `grid` holds the places, its `set(scores)` colours the plane anew.
    """
    x = _as_points(x)
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.08 * np.maximum(high - low, 1e-6)
    ax.set_xlim(low[0] - margin[0], high[0] + margin[0])
    ax.set_ylim(low[1] - margin[1], high[1] + margin[1])
    decision = DecisionMap(ax, resolution)
    points(ax, x, y, names)
    if scores is not None:
        decision.set(scores)
    return decision


class Separator(Line2D):
    """The straight line w·x + b = 0, turned by `turn(w, b)`; made by `separator`."""

    def turn(self, w: ArrayLike, b: float) -> None:
        """Move the line; weights of zero have no line and draw none.

        Parameters
        ----------
        w : array (2,)
            The weights, at right angles to the line.
        b : float
            The bias.
        """
        w = np.asarray(w, dtype=float).reshape(2)
        length = math.hypot(*w)
        if not 0 < length < math.inf:
            self.set_data([], [])
            return
        (left, right), (bottom, top) = self.axes.get_xlim(), self.axes.get_ylim()
        centre = np.array([left + right, bottom + top]) / 2
        nearest = (
            centre - (w @ centre + b) / length**2 * w
        )  # the line's point nearest to the middle of the picture
        along = np.array([-w[1], w[0]]) / length * math.hypot(right - left, top - bottom)
        self.set_data(*np.stack([nearest - along, nearest + along], axis=1))


def separator(ax: Axes, w: ArrayLike = (0, 0), b: float = 0.0, **style: Any) -> Separator:
    """Draw the line w·x + b = 0 at which a neuron changes its mind.

    Parameters
    ----------
    ax : Axes
        Where to draw; set its limits first.
    w : array (2,)
        The weights.
    b : float
        The bias.
    **style
        Passed to matplotlib's `Line2D`.

    Returns
    -------
    Separator
        Its `turn(w, b)` moves it.
    """
    line = Separator([], [], **{"color": BLACK, "linewidth": 2.5, **style})
    limits = ax.get_xlim(), ax.get_ylim()
    ax.add_line(line)
    ax.set(xlim=limits[0], ylim=limits[1])
    line.turn(w, b)
    return line


class GrowingLine(Line2D):
    """A line that gets points one by one, cheaply: matplotlib hears of them only when it draws.

    At most about 1,000 points are drawn, evenly taken from all.
    """

    def __init__(self, **style: Any) -> None:
        super().__init__([], [], **style)
        self.x: list[float] = []
        self.y: list[float] = []

    def append(self, x: float, y: float) -> None:
        """Add the point (x, y) at the end."""
        self.x.append(x)
        self.y.append(y)
        self.stale = True

    def draw(self, renderer: Any) -> None:
        """Draw what was appended so far."""
        stride = max(1, len(self.x) // 1000)
        # counted from the end, so that the newest point is always among those drawn
        self.set_data(self.x[::-stride], self.y[::-stride])
        super().draw(renderer)


class LossCurve:
    """The loss of every step, faint, and its running mean, strong; made by `loss_curve`.

    Attributes
    ----------
    raw, mean : GrowingLine
        The two lines; `raw.y` is the list of all losses.
    """

    def __init__(self, ax: Axes, label: str, colour: str) -> None:
        self.ax = ax
        self.raw = ax.add_line(GrowingLine(color=colour, alpha=0.3, linewidth=1))
        self.mean = ax.add_line(GrowingLine(color=colour, label=label))
        self._sum = self._weight = 0.0

    def append(self, loss: float, step: int | None = None) -> None:
        """Add one step's loss.

        Parameters
        ----------
        loss : float
            A loss that is not finite leaves a gap.
        step : int, optional
            Which step it belongs to; one more than the last if not given.
        """
        loss = float(loss)
        step = (self.raw.x[-1] + 1 if self.raw.x else 1) if step is None else step
        self.raw.append(step, loss)
        if math.isfinite(loss):
            # dividing by the weights so far keeps the first means unbiased, as Adam does
            self._sum = 0.9 * self._sum + 0.1 * loss
            self._weight = 0.9 * self._weight + 0.1
            self.mean.append(step, self._sum / self._weight)
            self._make_room(step, loss)

    def _make_room(self, step: float, loss: float) -> None:
        """Widen the axes in big strides: new limits cost a whole new drawing."""
        if step > self.ax.get_xlim()[1]:
            self.ax.set_xlim(0, 2 * step)
        low, high = self.ax.get_ylim()
        logarithmic = self.ax.get_yscale() == "log"
        if loss < low and (loss > 0 or not logarithmic):
            self.ax.set_ylim(bottom=loss / 10 if logarithmic else 1.5 * loss)
        if loss > 0 and (loss > high or len(self.mean.x) == 1):
            self.ax.set_ylim(top=1.25 * loss)

    def sentence(self) -> str:
        """Say in words what the curve shows.

        Returns
        -------
        str
            Such as "The loss fell from 1.10 to 0.02 in 400 steps."
        """
        if not self.mean.y:
            return "No step of training yet."
        steps = int(self.raw.x[-1])
        first, last = (
            f"{v:.2f}" if v >= 0.1 else f"{v:.2g}" for v in (self.mean.y[0], self.mean.y[-1])
        )
        if steps == 1:
            return f"The loss is {first} after 1 step."
        if first == last:
            return f"The loss is {last}, as at the start, after {steps:,} steps."
        verb = "fell" if self.mean.y[-1] < self.mean.y[0] else "rose"
        return f"The loss {verb} from {first} to {last} in {steps:,} steps."


def loss_curve(
    ax: Axes,
    losses: Iterable[float] = (),
    *,
    steps: int = 100,
    label: str = "loss",
    colour: str = BLUE,
) -> LossCurve:
    """Draw the loss over the steps of training.

    Parameters
    ----------
    ax : Axes
        Where to draw. For a logarithmic scale call `ax.set_yscale("log")` first.
    losses : iterable of float
        What is known already, from step 1.
    steps : int
        How many steps there is room for; more make room by themselves.
    label : str
        What is measured; it names the vertical axis.
    colour : str
        The line's colour.

    Returns
    -------
    LossCurve
        Its `append(loss)` adds a step, cheaply; its `sentence()` says what is seen.
    """
    ax.set(
        xlabel="step",
        ylabel=label,
        xlim=(0, steps),
        ylim=(1e-3, 1) if ax.get_yscale() == "log" else (0, 1),
    )
    ax.grid(axis="y")
    curve = LossCurve(ax, label, colour)
    for loss in losses:
        curve.append(loss)
    return curve


class ImageGrid:
    """A grid of equally sized images, one artist for all; made by `image_grid`.

    Attributes
    ----------
    image : AxesImage
        The artist.
    places : array (N, 2)
        The middle of each image as (x, y) in the axes, for whoever wants to write there.
    """

    def __init__(
        self, ax: Axes, shape: tuple[int, ...], columns: int, gap: int, signed: bool
    ) -> None:
        self.shape, self._signed = shape, signed
        n, height, width = shape
        rows = -(-n // columns)
        row, column = np.divmod(np.arange(n), columns)
        self._corners = np.stack([column * (width + gap), row * (height + gap)], axis=1) + gap
        self.places = self._corners + np.array([width - 1, height - 1]) / 2
        self._canvas = np.zeros(  # the gaps stay zero, which is white
            (rows * (height + gap) + gap, columns * (width + gap) + gap), np.float32
        )
        colours = SIGNED if signed else "gray_r"
        self.image = ax.imshow(self._canvas, cmap=colours, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)

    def set(self, images: ArrayLike, limit: float | None = None) -> None:
        """Show other images in the same places.

        Parameters
        ----------
        images : array (N, H, W) or (N, 1, H, W)
            As many as at first, and of the same size.
        limit : float, optional
            A new number for the strongest colour; without it the colours keep their meaning.
        """
        images = _as_images(images)
        if images.shape != self.shape:
            raise ValueError(
                f"ImageGrid.set got images of shape {images.shape}; this grid was made for "
                f"{self.shape}"
            )
        _, height, width = self.shape
        for one, (left, top) in zip(images, self._corners, strict=True):
            self._canvas[top : top + height, left : left + width] = one
        self.image.set_data(self._canvas)
        if limit is not None:
            self.image.set_clim(-limit if self._signed else 0, limit)


def image_grid(
    ax: Axes,
    images: ArrayLike,
    *,
    columns: int | None = None,
    signed: bool = False,
    limit: float | None = None,
    gap: int = 1,
) -> ImageGrid:
    """Draw many small images of one size side by side, such as digits or what units respond to.

    Parameters
    ----------
    ax : Axes
        Where to draw; its ticks and frame are taken away.
    images : array (N, H, W) or (N, 1, H, W)
        Grey images, 0 is white and larger is darker; or signed ones.
    columns : int, optional
        Images in a row; without it, the grid is about twice as wide as high.
    signed : bool
        Draw numbers below zero in blue, zero white, above in orange.
    limit : float, optional
        The number that has the strongest colour; without it, the largest of the first images.
    gap : int
        Pixels between the images.

    Returns
    -------
    ImageGrid
        Its `set(images)` shows others, cheaply.
    """
    images = _as_images(images)
    n, height, width = images.shape
    columns = columns or min(n, math.ceil(math.sqrt(2 * n * height / width)))
    grid = ImageGrid(ax, images.shape, columns, gap, signed)
    grid.set(images, limit or float(np.nanmax(np.abs(images), initial=0)) or 1.0)
    return grid


def attention_map(
    ax: Axes,
    weights: ArrayLike,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    *,
    limit: float | None = None,
) -> AxesImage:
    """Draw attention weights as a table: a row for each query, a column for each key.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    weights : array (L, S)
        The weights, or scores.
    queries, keys : sequence of str, optional
        L and S names for the rows and the columns.
    limit : float, optional
        The number that has the brightest colour; without it, the largest of the weights.

    Returns
    -------
    AxesImage
        Its `set_data(weights)` shows others.

    Raises
    ------
    ValueError
        If the weights are no table, or names are missing or too many.
    """
    weights = np.asarray(weights)
    names = [
        length if given is None else len(given)
        for given, length in zip((queries, keys), weights.shape, strict=False)
    ]
    if weights.ndim != 2 or tuple(names) != weights.shape:
        raise ValueError(
            f"attention_map got weights of shape {weights.shape} and {names} names; it needs "
            "(L, S), and as many names for queries and keys, or none"
        )
    limit = float(np.nanmax(weights, initial=0)) or 1.0 if limit is None else limit
    image = ax.imshow(weights, cmap="viridis", vmin=0, vmax=limit, interpolation="nearest")
    if queries is not None:
        ax.set_yticks(range(len(queries)), queries)
    if keys is not None:
        ax.set_xticks(range(len(keys)), keys)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    return image


def curves(
    ax: Axes, z: ArrayLike, functions: Mapping[str, Callable[[NDArray], ArrayLike]]
) -> dict[str, Line2D]:
    """Draw functions of one number, such as activations, side by side.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    z : array (N,)
        Where the functions are evaluated.
    functions : mapping of name to callable
        Each maps the array (N,) to an array (N,).

    Returns
    -------
    dict of name to Line2D
        The lines, told apart by colour, by dashes and by a legend.
    """
    z = np.asarray(z, dtype=float)
    ax.axhline(0, color="#999999", linewidth=0.8)
    ax.axvline(0, color="#999999", linewidth=0.8)
    lines = {
        name: ax.plot(
            z,
            np.broadcast_to(f(z), z.shape),
            color=COLOURS[i % 8],
            linestyle=DASHES[i % 4],
            label=name,
        )[0]
        for i, (name, f) in enumerate(functions.items())
    }
    ax.legend()
    return lines


def show(fig: Figure, alt: str) -> None:
    """Show a finished figure as a picture that carries its description, and close it.

    Parameters
    ----------
    fig : Figure
        The figure, from `plt.subplots` or `plt.figure`.
    alt : str
        A literal sentence or two that say what is seen, for those who cannot see it.

    Raises
    ------
    ValueError
        If there is no description.
    """
    import base64
    import io

    import matplotlib.pyplot as plt
    from IPython.display import display
    from PIL import Image

    if not alt.strip():
        raise ValueError(
            "show(fig, alt) needs a sentence that says what is seen, "
            "such as 'A line that falls from 2 to 0.'"
        )
    drawn, picture = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", dpi=100, facecolor="white")
    plt.close(fig)
    # 256 colours are enough for a chart, and make the notebook less than half as large
    image = Image.open(drawn).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(picture, "PNG", optimize=True)
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


def _as_points(x: ArrayLike) -> NDArray:
    """Check that x is (N, 2)."""
    x = np.asarray(x, dtype=float)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(
            f"x has shape {x.shape}; points in the plane need (N, 2): two columns, one row a point"
        )
    return x


def _as_images(images: ArrayLike) -> NDArray:
    """Check that images are (N, H, W), or (N, 1, H, W) and leave out the 1."""
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim != 3 or 0 in images.shape:
        raise ValueError(
            f"images have shape {images.shape}; a grid needs (N, H, W): one grey image each, such "
            "as x.reshape(-1, 28, 28)"
        )
    return images
