"""The book: whole, local, described in words, and open to every reader and colour scheme."""

import html.parser
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tarfile
from itertools import pairwise

import book
import pytest

from conftest import ROOT

LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PAGES = ["index", *LESSONS, "teaching", "glossary", "api", "search", "genindex"]
MODULES = re.findall(r"automodule:: (\S+)", (ROOT / "site/api.md").read_text())


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book") / "site"
    start = os.times()
    book.build(folder)
    # of a processor, its children's too: a busy machine stretches the clock's seconds ten times
    assert sum(os.times()[:4]) - sum(start[:4]) < 120
    return folder


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    work = tmp_path_factory.mktemp("axe")
    subprocess.run(["npm", "pack", "--silent", "axe-core@4.14.1"], cwd=work, check=True)
    with tarfile.open(next(work.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


class Images(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.found.append(dict(attributes))


def test_every_page_is_there_and_nothing_else(folder):
    assert {path.stem for path in folder.glob("*.html")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_described_and_has_a_size(folder, name):
    images = Images()
    images.feed((folder / f"{name}.html").read_text(encoding="utf-8"))
    for image in images.found:
        assert len(image.get("alt", "").split()) >= 4, image
        assert {"width", "height"} <= set(image), "the page would jump when it comes"
    assert images.found or name not in LESSONS


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quick_local_and_accessible(folder, serve, browser, axe, name, scheme):
    address = serve(folder)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    outside, missing, errors, loaded = [], [], [], []
    page.on("request", lambda r: outside.append(r.url) if address not in r.url else None)
    page.on("response", lambda r: missing.append(r.url) if r.status >= 400 else None)
    page.on("response", lambda r: loaded.append(int(r.headers.get("content-length", 0))))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(
        "window.jump = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "e => window.jump += e.value)).observe({type: 'layout-shift', buffered: true})"
    )
    page.goto(f"{address}/{name}.html")
    assert 1e6 < sum(loaded) < 5e6  # bytes, which take under 3 s on an idle laptop
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title().endswith("dlcourse")
    levels = page.eval_on_selector_all(
        "main :is(h1,h2,h3,h4)", "all => all.map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels)), levels
    page.wait_for_timeout(300)
    assert page.evaluate("window.jump") < 0.1
    stretched = page.evaluate(
        "() => [...document.querySelectorAll('main img')].filter(i => {"
        "const edges = 2 * parseFloat(getComputedStyle(i).padding);"
        "const shape = (i.clientWidth - edges) / (i.clientHeight - edges);"
        "return i.complete && Math.abs(shape * i.naturalHeight / i.naturalWidth - 1) > 0.02;"
        "}).map(i => i.src)"
    )
    assert stretched == []
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"]) for v in serious] == []
    assert [url for url in outside if not url.startswith(("data:", "blob:"))] == []
    assert missing == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390, "wider than a phone"
    assert errors == []
    context.close()


def test_formulas_are_there_before_any_script(folder):
    text = (folder / "01_perceptron.html").read_text(encoding="utf-8")
    assert text.count('class="katex-html"') > 50
    assert "katex-error" not in text
    assert (folder / "_static/katex.min.css").exists()


def test_search_finds(folder, serve, browser):
    page = browser.new_page()
    page.goto(f"{serve(folder)}/search.html?q=Novikoff")
    page.get_by_role("link", name="01 · The perceptron").last.wait_for()
    page.close()


@pytest.mark.parametrize("name", LESSONS)
def test_the_button_opens_the_same_lesson(folder, name):
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    opened = re.findall(r'<a class="launch" href="lite/lab/index.html\?path=([^"]+)"', text)
    assert opened == ([] if name.startswith("09") else [f"{name}.ipynb"])


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference_and_documented(folder, module):
    text = (folder / "api.html").read_text(encoding="utf-8")
    source = importlib.import_module(module)
    assert source.__doc__
    for name in getattr(source, "__all__", []):
        thing = getattr(source, name)
        if inspect.ismodule(thing):
            continue
        if callable(thing):
            assert inspect.getdoc(thing), f"{module}.{name}"
            assert f">{name}<" in text or f'"{name}"' in text, f"{module}.{name}"
        for part, method in vars(thing).items() if inspect.isclass(thing) else ():
            if inspect.isfunction(method) and not part.startswith("_"):
                assert inspect.getdoc(getattr(thing, part)), f"{module}.{name}.{part}"


def test_teachers_can_collect_what_was_solved(tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "site/teaching.md").read_text(), re.S)[1]
    for learner, said in (("ada", "✓ step: correct"), ("bob", "✗ step: wrong way round")):
        (tmp_path / "handed-in" / learner).mkdir(parents=True)
        output = {"output_type": "stream", "name": "stdout", "text": [said + "\n"]}
        notebook = {"cells": [{"cell_type": "code", "outputs": [output]}]}
        path = tmp_path / "handed-in" / learner / "01_perceptron.ipynb"
        path.write_text(json.dumps(notebook))
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "ada, 01_perceptron: step\nbob, 01_perceptron: nothing yet\n"
