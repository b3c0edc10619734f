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
while not (opened := list(runtime.glob("jpserver-file-to-run-*-open.html"))):
    os.kill(process, 0)  # raises once the command has failed
    time.sleep(0.5)
assert "/lab/tree/00_welcome.ipynb" in opened[0].read_text()  # where it sends the browser
server = json.loads(next(runtime.glob("jpserver-*.json")).read_text())


def get(path: str) -> str:
    """Ask the server."""
    request = urllib.request.Request(
        server["url"] + path, headers={"Authorization": "token " + server["token"]}
    )
    return urllib.request.urlopen(request, timeout=60).read().decode()


assert "JupyterLab" in get("lab/tree/00_welcome.ipynb")
lesson = json.loads(get("api/contents/00_welcome.ipynb"))["content"]
print("JupyterLab serves", lesson["cells"][0]["source"].splitlines()[0])
