"""Enter trained checkpoints in data/MANIFEST.json.

    python data/build/checkpoints.py

Each data/checkpoints/NAME.npz was written by the script beside this one that data/README.md names.
"""

import hashlib
import json
from pathlib import Path

DATA = Path(__file__).parents[1]
FOLDER = DATA / "checkpoints"
LIMIT = 4_000_000  # bytes


def main() -> None:
    """Renew the lines of all checkpoints."""
    path = DATA / "MANIFEST.json"
    lines = json.loads(path.read_text())
    lines = {k: v for k, v in lines.items() if not k.startswith("checkpoints/")}
    for file in sorted(FOLDER.glob("*.npz")):
        data = file.read_bytes()
        assert len(data) <= LIMIT, f"{file.name} has {len(data)} bytes"
        digest = hashlib.sha256(data).hexdigest()
        lines[f"checkpoints/{file.name}"] = {"bytes": len(data), "sha256": digest}
    path.write_text(json.dumps(lines, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
