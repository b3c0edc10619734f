"""Run one of the README's examples in Python: the first, or the second."""

import re
import sys
from pathlib import Path

readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
exec(re.findall(r"```python\n(.*?)```", readme, re.S)[int(sys.argv[1]) - 1])
