"""Toy problems: labelled points in the plane, to draw and to learn."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Seed = int | np.random.Generator | None


class Points(NamedTuple):
    """Labelled points in the plane, about the origin and about 1 from it.

    Attributes
    ----------
    x
        Coordinates, (N, 2).
    y
        Class numbers, (N,): as many points of each class as N allows, in random order.
    """

    x: NDArray[np.float32]
    y: NDArray[np.intp]


def make_moons(n: int = 200, noise: float = 0.1, rng: Seed = None) -> Points:
    """Draw two half moons, each reaching into the other.

    Parameters
    ----------
    n
        Points in all.
    noise
        Standard deviation of each coordinate's displacement.
    rng
        Seed or generator.

    Returns
    -------
    Points
        ``x`` (n, 2) and ``y`` (n,), 0 or 1.

    Raises
    ------
    ValueError
        If there is not a point for each class, a number is not whole, or the noise is negative.
    """
    rng, y, t = _draw(n, noise, 2, rng)
    sign = 1 - 2 * y  # the second moon is the first one turned by half a circle
    x = sign[:, None] * np.stack([np.cos(np.pi * t) - 0.5, np.sin(np.pi * t) - 0.25], axis=1)
    return _points(x, y, noise, rng)


def make_circles(n: int = 200, noise: float = 0.1, rng: Seed = None) -> Points:
    """Draw two circles about the origin: class 0 of radius 1, class 1 of radius 0.4.

    Parameters, Returns and Raises are those of `make_moons`.
    """
    rng, y, t = _draw(n, noise, 2, rng)
    radius = np.where(y == 0, 1.0, 0.4)
    return _points(_polar(radius, 2 * np.pi * t), y, noise, rng)


def make_xor(n: int = 200, noise: float = 0.1, rng: Seed = None) -> Points:
    """Draw four squares about the origin; class 1 where exactly one coordinate is positive.

    Parameters, Returns and Raises are those of `make_moons`. The squares keep a gap of 0.2, and a
    point that noise carries over it keeps its class.
    """
    rng, y, _ = _draw(n, noise, 2, rng)
    x = rng.uniform(0.1, 1.0, (n, 2))
    right = rng.permuted(np.arange(n) // 2 % 2)  # about as many points on either side
    up = right ^ y
    return _points(x * (2 * np.stack([right, up], axis=1) - 1), y, noise, rng)


def make_blobs(n: int = 200, noise: float = 0.2, classes: int = 3, rng: Seed = None) -> Points:
    """Draw one round cloud per class, their centres evenly spaced on the unit circle.

    Parameters, Returns and Raises are those of `make_moons`, and ``classes`` says how many clouds;
    ``noise`` is a cloud's standard deviation.
    """
    rng, y, _ = _draw(n, noise, classes, rng)
    return _points(_polar(1.0, 2 * np.pi * (y / classes + 0.25)), y, noise, rng)


def make_spiral(n: int = 300, noise: float = 0.03, classes: int = 3, rng: Seed = None) -> Points:
    """Draw one spiral arm per class, wound around each other.

    Parameters, Returns and Raises are those of `make_moons`, and ``classes`` says how many arms.
    """
    rng, y, t = _draw(n, noise, classes, rng)
    return _points(_polar(0.1 + 0.9 * t, 5 * t + 2 * np.pi * y / classes), y, noise, rng)


def _draw(
    n: int, noise: float, classes: int, rng: Seed
) -> tuple[np.random.Generator, NDArray[np.intp], NDArray[np.float32]]:
    """Check the request; give the generator, classes (n,) and places along a curve (n,), 0 to 1."""
    for name, value in (("n", n), ("classes", classes)):
        if not isinstance(value, int | np.integer):
            raise ValueError(f"{name} must be a whole number, such as 200, got {value!r}")
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    if n < classes:
        raise ValueError(f"n must be at least {classes}, one point for each class, got {n}")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise is a standard deviation, 0 or more, got {noise}")
    rng = np.random.default_rng(rng)
    i = rng.permutation(n)
    return rng, i % classes, (i // classes + 0.5) / (-(-n // classes))


def _polar(radius: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _points(x: np.ndarray, y: NDArray[np.intp], noise: float, rng: np.random.Generator) -> Points:
    return Points((x + rng.normal(0, noise, x.shape)).astype(np.float32), y.astype(np.intp))
