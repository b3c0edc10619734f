"""Data to learn from: small real data sets, toy problems in the plane, and batches of either.

Numbers to learn from are float32, class numbers int64 (in a browser int32, which np.bincount asks
for there), names str: all go into a model as they come.
"""

from dlcourse.data.batches import DataLoader
from dlcourse.data.files import (
    load_adult,
    load_air_passengers,
    load_breast_cancer,
    load_co2,
    load_compas_counts,
    load_date_pairs,
    load_digits,
    load_ecg,
    load_fashion_mnist,
    load_images,
    load_iris,
    load_mnist,
    load_names,
    load_penguins,
    load_shakespeare,
    load_sunspots,
    load_surnames,
    load_textures,
    load_weather,
)
from dlcourse.data.store import checkpoint
from dlcourse.data.toys import make_blobs, make_circles, make_moons, make_spiral, make_xor

__all__ = [
    "DataLoader",
    "checkpoint",
    "load_adult",
    "load_air_passengers",
    "load_breast_cancer",
    "load_co2",
    "load_compas_counts",
    "load_date_pairs",
    "load_digits",
    "load_ecg",
    "load_fashion_mnist",
    "load_images",
    "load_iris",
    "load_mnist",
    "load_names",
    "load_penguins",
    "load_shakespeare",
    "load_sunspots",
    "load_surnames",
    "load_textures",
    "load_weather",
    "make_blobs",
    "make_circles",
    "make_moons",
    "make_spiral",
    "make_xor",
]
