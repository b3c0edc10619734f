"""A real JupyterLab, in a real browser, for tests that click.

Run by `pytest -o addopts= tests/browser`, in CI. Needs the extra `browser`, and Chromium: Debian's
or the one that the environment variable CHROMIUM names. A missing one fails, and is never skipped.
"""

import ast
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import chromium
import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

browser = chromium.browser  # the fixture
TOKEN = "browser-tests"
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"


def code_of(test: str) -> list[str]:
    """Give the code cells of the lesson that a test's file is named after."""
    name = Path(test).stem.removeprefix("test_")
    path = Path(__file__).parents[2] / f"notebooks/{name}.ipynb"
    return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def cell_with(sources: list[str], text: str) -> str:
    """Give the first cell that holds a text."""
    return next(source for source in sources if text in source)


class Lab:
    """A running JupyterLab or Notebook 7, with settings, workspaces, runtime files of its own."""

    def __init__(self, home: Path, app: str = "jupyterlab") -> None:
        self.root = home / "notebooks"
        self.root.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
            "DLCOURSE_HOME": "progress",
        }
        env = os.environ | {name: str(home / folder) for name, folder in folders.items()}
        settings = home / "settings/@jupyterlab/apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(
            '{"fetchNews": "false", "checkForUpdates": false}'
        )
        repository = str(Path(__file__).parents[2])
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [repository, env.get("PYTHONPATH")]))
        self.log = home / "jupyter.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", app, "--no-browser", f"--port={port}"),
                    *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}"),
                    *(f"--ServerApp.root_dir={self.root}", "--ServerApp.allow_root=True"),
                    *("--LabApp.expose_app_in_browser=True", "--ServerApp.port_retries=0"),
                    "--LabApp.extension_manager=readonly",
                ],
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def request(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def wait(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError):
                self.request("/api/status")
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        pytest.fail(f"JupyterLab did not start:\n{self.log.read_text()}")

    def wait_for_kernel(self) -> None:
        """Wait until the one open notebook's page is connected to its kernel."""
        for _ in range(600):
            with contextlib.suppress(OSError):  # while a kernel is being started
                kernels = json.loads(self.request("/api/kernels"))
                if [(k["execution_state"], k["connections"]) for k in kernels] == [("idle", 1)]:
                    return
            time.sleep(0.1)
        pytest.fail(f"no kernel was ready:\n{self.log.read_text()}")

    def end_sessions(self) -> None:
        for session in json.loads(self.request("/api/sessions")):
            self.request(f"/api/sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


class Notebook:
    """A notebook that is open in JupyterLab; cells count from 0."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.path = page, path
        self.cells = page.locator(".jp-Notebook .jp-CodeCell")

    def wait_for_kernel(self) -> None:
        self.page.wait_for_function(
            f"() => {KERNEL}?.connectionStatus === 'connected' && {KERNEL}?.status === 'idle'",
            timeout=60_000,
        )

    def run(self, cell: int, wait: bool = True) -> None:
        """Run one cell as a reader does: click into it, Shift+Enter."""
        self.cells.nth(cell).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        if wait:
            self.wait_for_prompt(cell)

    def wait_for_prompt(self, cell: int) -> None:
        expect(self.cells.nth(cell).locator(".jp-InputPrompt")).to_have_text(
            re.compile(r"\[\d+\]:"), timeout=60_000
        )

    def ask(self, expression: str, code: str = ""):
        """Run code in the kernel as a cell would, and return the value of an expression."""
        reply = self.page.evaluate(
            f"""async ([code, expression]) => {{
                const future = {KERNEL}.requestExecute({{
                    code, store_history: false, user_expressions: {{answer: expression}}
                }});
                const reply = (await future.done).content;
                return reply.status == 'ok' ? reply.user_expressions.answer : reply;
            }}""",
            [code, f"repr(({expression}))"],
        )
        assert reply["status"] == "ok", reply
        return ast.literal_eval(ast.literal_eval(reply["data"]["text/plain"]))

    def wait_until(self, expression: str, seconds: float = 20) -> None:
        """Ask again and again until the answer is true."""
        end = time.monotonic() + seconds
        while not self.ask(f"bool({expression})"):
            assert time.monotonic() < end, f"{expression} did not become true"
            time.sleep(0.05)

    def button(self, name: str, cell: int = -1):
        where = self.cells.nth(cell) if cell >= 0 else self.page.locator(".jp-Notebook")
        # an icon, a character of a private range, stands before the text
        return where.get_by_role("button", name=re.compile(rf"^\W*{name}$"))

    def says(self, text: str, cell: int = -1) -> Locator:
        """Find what says so under a cell; the code above it may hold the same words."""
        where = self.cells.nth(cell) if cell >= 0 else self.page
        return where.locator(".jp-OutputArea").get_by_text(text)

    def press(self, slider: str, key: str, times: int = 1, cell: int = -1) -> None:
        """Press a key on the slider of this name."""
        where = self.cells.nth(cell) if cell >= 0 else self.page
        where.get_by_role("slider", name=slider, exact=True).focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def interrupt(self) -> None:
        """Press ■ in the notebook's toolbar."""
        self.page.locator(
            "[data-jp-item-name=interrupt] jp-button, [data-jp-item-name=interrupt] button"
        ).first.click()

    def picture(self, cell: int) -> str:
        """Return the newest picture of a cell, as its few last characters; it changes with it."""
        self.page.wait_for_timeout(300)  # pictures take another way than the kernel's answers
        return self.cells.nth(cell).locator("img").get_attribute("src")[-200:]

    def save(self) -> nbformat.NotebookNode:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.path, as_version=4)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    server = Lab(tmp_path_factory.mktemp("lab"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def open_notebook(lab: Lab, browser: Browser):
    """Return a function that opens the given code cells, or an .ipynb file, as a notebook."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)

    def open_notebook(*cells: str, name: str = "test", metadata: dict | None = None) -> Notebook:
        path = lab.root / f"{name}.ipynb"
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        nbformat.write(notebook, path)
        page = context.new_page()
        page.goto(f"{lab.url}/lab/tree/{path.name}?reset&token={TOKEN}")
        opened = Notebook(page, path)
        opened.wait_for_kernel()
        expect(opened.cells).to_have_count(len(cells))
        return opened

    try:
        yield open_notebook
    finally:
        context.close()
        lab.end_sessions()
