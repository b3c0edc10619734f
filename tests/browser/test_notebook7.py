"""The lessons in Notebook 7: run, play, pause, step."""

import re

import nbformat
import pytest
from playwright.sync_api import expect

from conftest import TOKEN, Lab, Notebook
from dlcourse.exercises import perceptron


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Lab(tmp_path_factory.mktemp("notebook7"), app="notebook")
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def test_a_lessons_playground_and_a_check_work(server, browser, request):
    lesson = request.config.rootpath / "notebooks/01_perceptron.ipynb"
    first = next(c for c in nbformat.read(lesson, 4).cells if c.cell_type == "code")
    first.metadata = {}
    check = "from dlcourse.exercises import perceptron as ex\n"
    check += "ex.step.check(lambda z: np.where(z > 0, 1.0, 0.0))"
    cells = [first, nbformat.v4.new_code_cell(check)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path = server.root / "lesson.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    page = browser.new_page()
    page.goto(f"{server.url}/notebooks/{path.name}?token={TOKEN}")
    notebook = Notebook(page, path)
    notebook.cells.first.wait_for()
    server.wait_for_kernel()
    notebook.run(0)
    notebook.button("Play").click()
    expect(notebook.cells.nth(0)).to_contain_text(re.compile(r"Playing · step \d\d"))
    notebook.button("Pause").click()
    expect(notebook.cells.nth(0)).to_contain_text("Paused")
    step = int(re.search(r"step (\d+)", notebook.cells.nth(0).inner_text())[1])
    notebook.button("Step").click()
    expect(notebook.cells.nth(0)).to_contain_text(f"step {step + 1}")
    notebook.run(1)
    expect(notebook.cells.nth(1)).to_contain_text("✗ step: " + perceptron.step.mistakes[0].name)
    page.close()
