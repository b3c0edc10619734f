"""Wait until the JupyterLab that README's command starts serves the first lesson.

python3 .ci/opened.py RUNTIME_DIR PROCESS
"""

import json
import os
import sys
import time
import urllib.request
from pathlib import Path

runtime, process = Path(sys.argv[1]), int(sys.argv[2])
while not (found := list(runtime.glob("jpserver-*.json"))):
    os.kill(process, 0)  # raises once the command has failed
    time.sleep(0.5)
server = json.loads(found[0].read_text())
page = found[0].with_name(found[0].stem + "-open.html").read_text()
assert "/lab/tree/00_welcome.ipynb" in page, page


def get(path: str) -> str:
    """Ask the server."""
    request = urllib.request.Request(
        server["url"] + path, headers={"Authorization": "token " + server["token"]}
    )
    return urllib.request.urlopen(request, timeout=60).read().decode()


assert "JupyterLab" in get("lab/tree/00_welcome.ipynb")
lesson = json.loads(get("api/contents/00_welcome.ipynb"))["content"]
print("JupyterLab serves", lesson["cells"][0]["source"].splitlines()[0])
