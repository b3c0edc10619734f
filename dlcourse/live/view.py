"""A picture built once and then changed for every frame, at a fraction of a full drawing's cost."""

from __future__ import annotations

import struct
import zlib
from typing import Any, ClassVar

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from dlcourse.plots import STYLE

Glass = tuple[NDArray, NDArray, NDArray, NDArray]
Frame = tuple[tuple[str, bytes], str]
"""A picture as (mime type, bytes), and the sentence that says in words what it shows."""


class View:
    """A picture of a state of training; subclass it.

    `build` draws everything once, `set` changes what depends on the state. Whatever `set` touches
    is drawn again for each frame, all else (axes, points, legends) is kept as pixels. Touching the
    limits or the ticks of axes costs a whole new drawing: do it rarely.

    Attributes
    ----------
    size : (float, float)
        Width and height in inches, of 100 pixels each.
    title : str
        What the picture is, in words that never change: its text/plain.
    fig : Figure or None
        The figure, once it is built.

    Examples
    --------
    >>> class LossView(View):
    ...     title = "The loss while a network learns"
    ...
    ...     def build(self, fig):
    ...         self.curve = plots.loss_curve(fig.subplots())
    ...
    ...     def record(self, step):
    ...         self.curve.append(step.loss)
    ...
    ...     def describe(self, step):
    ...         return self.curve.sentence()
    """

    size: ClassVar[tuple[float, float]] = (8, 4)
    title: ClassVar[str] = "A live picture."
    fig: Figure | None = None

    def build(self, fig: Figure) -> None:
        """Draw everything once, and keep what will change as attributes of `self`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method build(self, fig)")

    def record(self, state: Any) -> None:
        """Take note of a state. It is called for every state, drawn or not, so it must be cheap."""

    def set(self, state: Any) -> None:
        """Change the artists to show `state`. It is called only for the states that are drawn."""

    def describe(self, state: Any) -> str:
        """Say in a sentence, computed from the data, what the picture shows."""
        return self.title

    def reset(self) -> None:
        """Forget the figure and all that it recorded, and build it anew."""
        with matplotlib.style.context(STYLE):
            fig = Figure(figsize=self.size, dpi=100, layout="constrained")
            self._canvas = FigureCanvasAgg(fig)
            self.build(fig)
            self._canvas.draw()
        fig.set_layout_engine("none")  # it has been laid out, once for all frames
        self.fig = fig
        self._background: Any = None
        self._mark_up_to_date()

    def see(self, state: Any) -> None:
        """Record `state`; the first one builds the figure."""
        if self.fig is None:
            self.reset()
        self.record(state)

    def frame(self, state: Any, final: bool = False) -> Frame:
        """Draw `state`.

        Parameters
        ----------
        state : object
            What `set` and `describe` understand.
        final : bool
            Pack the picture tighter, since it will stay.

        Returns
        -------
        ((str, bytes), str)
            The mime type and the picture, and the sentence that describes it.
        """
        if self.fig is None:
            self.reset()
        self.set(state)
        if self._background is None or self.fig.stale:
            self._draw_all()
            same = set()
        else:
            same = {a for a in self._moving if isinstance(a, Text) and not a.stale and not final}
        for text in same - set(self._letters):
            self._letters[text] = self._on_glass([text])
        self._canvas.restore_region(self._background)
        renderer = self._canvas.get_renderer()
        canvas = np.asarray(renderer.buffer_rgba())
        pixels = canvas[..., :3]
        for image, glass in self._images:
            paint(image, pixels)
            lay(glass, pixels)
        for artist in self._moving:
            if artist in same:  # letters are what takes matplotlib longest
                lay(self._letters[artist], pixels)
            else:
                self._letters.pop(artist, None)
                artist.draw(renderer)
        picture = np.asarray(Image.fromarray(canvas).convert("RGB"))  # a copy, thrice as fast
        return ("image/png", png(picture, level=6 if final else 1)), self.describe(state)

    def _draw_all(self) -> None:
        """Find out what `set` touches, draw all the rest, and keep it as pixels.

        Matplotlib marks an artist that was changed, and through it the figure, as stale. One that
        is animated is left out of full drawings and marks only itself. So a stale figure means
        that something new has changed, and the full drawing is due.
        """
        leaves = self._leaves()
        moving = [a for a in leaves if a.stale or a.get_animated()]
        images = [a for a in moving if isinstance(a, AxesImage)]
        over = {
            image: [
                a
                for a in leaves
                if a.axes is image.axes and a not in moving and a.zorder > image.zorder
            ]
            for image in images
        }
        kept = [artist for artists in over.values() for artist in artists]
        for artist in moving + kept:
            artist.set_animated(True)
        shown = [image for image in images if image.get_visible()]
        for image in shown:  # older matplotlibs draw images even if they are animated
            image.set_visible(False)
        self._canvas.draw()
        for artist in kept:
            artist.set_animated(False)
        for image in shown:
            image.set_visible(True)
        self._background = self._canvas.copy_from_bbox(self.fig.bbox)
        self._images = [(image, self._on_glass(artists)) for image, artists in over.items()]
        self._letters: dict[Text, Glass] = {}  # of texts that are the same as a frame ago
        self._moving = sorted((a for a in moving if a not in images), key=lambda a: a.zorder)
        self._mark_up_to_date()

    def _leaves(self) -> list[Artist]:
        """Return all that can be drawn one by one: not the axes and ticks, but what is in them."""
        leaves = list(self.fig.texts)
        for ax in self.fig.axes:
            if ax.get_visible():
                frame = {ax.xaxis, ax.yaxis, ax.patch}
                frame |= set() if ax.axison else set(ax.spines.values())
                leaves += [artist for artist in ax.get_children() if artist not in frame]
        return leaves

    def _mark_up_to_date(self) -> None:
        """Clear the mark of change, which invisible artists and drawn legends leave behind."""
        for artist in self._leaves():
            artist.stale = False
        self.fig.stale = False

    def _on_glass(self, artists: list[Artist]) -> Glass:
        """Draw some artists alone, and return which pixels they cover, with what.

        Returns
        -------
        rows, columns : array (N,)
            The pixels covered.
        colours : array (N, 3)
            Their colours times their opacity.
        opacity : array (N, 1)
            From 0 to 1.
        """
        renderer = self._canvas.get_renderer()
        renderer.clear()
        for artist in sorted(artists, key=lambda a: a.zorder):
            artist.draw(renderer)
        glass = np.asarray(renderer.buffer_rgba())
        rows, columns = np.nonzero(glass[..., 3])
        opacity = glass[rows, columns, 3:] / np.float32(255)
        return rows, columns, glass[rows, columns, :3] * opacity, opacity


def check_view(who: str, view: Any) -> None:
    """Raise a ValueError unless it is an instance of a `View`."""
    if not isinstance(view, View):
        made = f"write {view.__name__}()" if isinstance(view, type) else "it needs a View"
        raise ValueError(f"{who} got {view!r} for its view: {made}")


def lay(glass: Glass, pixels: NDArray) -> None:
    """Lay what `View._on_glass` returned over a picture (height, width, 3), in place."""
    rows, columns, colours, opacity = glass
    pixels[rows, columns] = pixels[rows, columns] * (1 - opacity) + colours


def paint(image: AxesImage, pixels: NDArray) -> None:
    """Write an image straight into a canvas's pixels, many times faster than matplotlib draws it.

    Parameters
    ----------
    image : AxesImage
        A heat map of numbers (rows, columns), through its colour table, or colours
        (rows, columns, 3 or 4). With interpolation="bilinear" it is smooth.
    pixels : array (height, width, 3), uint8
        Changed in place.
    """
    if not image.get_visible():
        return
    values = image.to_rgba(image.get_array(), image.get_alpha(), bytes=True)
    opaque = values[..., 3].min() == 255
    values = values[..., :3] if opaque else values
    left, right, bottom, top = image.get_extent()
    if image.origin == "lower":
        values = values[::-1]
    (x0, y0), (x1, y1) = image.axes.transData.transform([(left, top), (right, bottom)])
    y0, y1 = len(pixels) - y0, len(pixels) - y1  # the canvas counts its rows from above
    if x0 > x1:
        values, x0, x1 = values[:, ::-1], x1, x0
    if y0 > y1:
        values, y0, y1 = values[::-1], y1, y0
    frame = image.axes.bbox
    columns = slice(round(max(x0, frame.x0)), round(min(x1, frame.x1)))
    rows = slice(round(max(y0, len(pixels) - frame.y1)), round(min(y1, len(pixels) - frame.y0)))
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return
    height, width = values.shape[:2]
    across, down = width / (x1 - x0), height / (y1 - y0)
    seen = (  # the part of the image that is within the axes, in the image's own pixels
        max(0, (columns.start - x0) * across),
        max(0, (rows.start - y0) * down),
        min(width, (columns.stop - x0) * across),
        min(height, (rows.stop - y0) * down),
    )
    # like matplotlib's own default: large pixels stay squares, small ones are averaged
    nearest = image.get_interpolation() in {"nearest", "none"} or (
        image.get_interpolation() in {"auto", "antialiased"} and across < 1
    )
    values = Image.fromarray(np.ascontiguousarray(values)).resize(
        (columns.stop - columns.start, rows.stop - rows.start),
        Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR,
        box=seen,
    )
    values = np.asarray(values)
    if not opaque:
        opacity = values[..., 3:] / np.float32(255)
        pixels[rows, columns] = pixels[rows, columns] * (1 - opacity) + values[..., :3] * opacity
    else:  # where it is smooth nobody sees two bits less, and the file is a fifth smaller
        pixels[rows, columns] = values if nearest else values & 0xFC


def png(pixels: NDArray, level: int = 1) -> bytes:
    """Encode pixels as a PNG file.

    Parameters
    ----------
    pixels : array (height, width, 3), uint8
        Red, green, blue.
    level : int
        Of zlib: 1 is fast, 6 is small.

    Returns
    -------
    bytes
        The file.

    References
    ----------
    PNG specification, third edition, W3C 2025: https://www.w3.org/TR/png-3/
    """
    height, width, _ = pixels.shape
    flat = pixels.reshape(height, width * 3)
    # filter 2, "Up": each row as its difference from the row above, which is mostly zero
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0] = 2
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            chunk(b"IDAT", zlib.compress(rows, level)),
            chunk(b"IEND", b""),
        )
    )
