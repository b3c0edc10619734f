"""Load every data set, in an environment that has the wheel alone."""

from pathlib import Path

import dlcourse
from dlcourse import data

assert "site-packages" in dlcourse.__file__, dlcourse.__file__
assert not (Path(dlcourse.__file__).parent / "_data" / "build").exists()
loaders = [name for name in data.__all__ if name.startswith("load_")]
for name in loaders:
    assert len(getattr(data, name)()), name
print(f"dlcourse {dlcourse.__version__}: {len(loaders)} data sets")
