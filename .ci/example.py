"""Run the README's example of the package."""

import re
from pathlib import Path

readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
(example,) = re.findall(r"```python\n(.*?)```", readme, re.S)
exec(example)
