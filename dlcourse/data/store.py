"""The folder of shipped files: found, checked against their sha256, read."""

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_INSTALLED = Path(__file__).parents[1] / "_data"  # in a wheel
_CHECKOUT = Path(__file__).parents[2] / "data"  # in an editable install
_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
_verified: set[str] = set()


def read(name: str) -> bytes:
    """Give a shipped file's bytes; the first time, their sha256 is checked."""
    data = _bytes(name)
    if name not in _verified:
        try:
            expected = json.loads(_bytes("MANIFEST.json"))[name]["sha256"]
        except (ValueError, KeyError):
            raise ValueError(
                f"data file {_FOLDER / 'MANIFEST.json'} is damaged: {_mend()}"
            ) from None
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise ValueError(
                f"data file {_FOLDER / name} is damaged: its sha256 should be {expected[:16]}…, "
                f"its {len(data)} bytes have {found[:16]}…; {_mend(name)}"
            )
        _verified.add(name)
    return data


def checkpoint(name: str) -> Path:
    """Give the path of a shipped checkpoint, checked like every data file.

    Each was trained with this package by a script in data/build, which `data/README.md` names.

    Parameters
    ----------
    name : str
        Its name without folder and ending: ``"cnn"``.

    Returns
    -------
    Path
        An .npz file, for `dlcourse.train.load` or `dlcourse.train.load_checkpoint`.

    Raises
    ------
    FileNotFoundError
        If there is none of this name.
    ValueError
        If the file is damaged.
    """
    file = f"checkpoints/{name}.npz"
    if not (_FOLDER / file).exists():
        shipped = sorted(path.stem for path in (_FOLDER / "checkpoints").glob("*.npz"))
        raise FileNotFoundError(
            f"no checkpoint {name!r} is shipped; there are: {', '.join(shipped) or 'none'}"
        )
    read(file)
    return _FOLDER / file


def _bytes(name: str) -> bytes:
    try:
        return (_FOLDER / name).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"data file {_FOLDER / name} is missing: {_mend(name)}") from None


def _mend(name: str = "MANIFEST.json") -> str:
    if _FOLDER == _INSTALLED:
        return "install the package again, `pip install --force-reinstall --no-deps dlcourse`"
    return f"bring it back with `git checkout -- data/{name}`, or download the course again"


def read_npz(name: str) -> dict[str, np.ndarray]:
    """Give the arrays of an .npz file by name."""
    with np.load(io.BytesIO(read(name)), allow_pickle=False) as file:
        return dict(file)


def read_table(name: str, delimiter: str = ",") -> dict[str, NDArray[np.str_]]:
    """Give the columns of a table whose first row names them."""
    data = read(name)
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    head, *rows = csv.reader(text.splitlines(), delimiter=delimiter)
    return {k: np.array(column) for k, column in zip(head, zip(*rows, strict=True), strict=True)}


def numbers(column: NDArray[np.str_]) -> NDArray[np.float32]:
    """Read numbers; an empty cell or NA becomes NaN."""
    return np.where((column == "") | (column == "NA"), "nan", column).astype(np.float32)


def codes(column: NDArray[np.str_], classes: NDArray[np.str_]) -> NDArray[np.intp]:
    """Give each name's place in ``classes``."""
    return (column[:, None] == classes).argmax(axis=1)
