"""Build the book: the lessons with their outputs, the pages of this folder, an API reference.

    python site/book.py FOLDER

Everything in it is local, so it reads without the internet. Needs the extra `site`, node and npm.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import glossary
import lite
from PIL import Image

ROOT = Path(__file__).parents[1]
SITE = ROOT / "site"
KATEX = "katex@0.16.22"  # the version whose renderer sphinxcontrib-katex carries
PICTURES = ("image/png", "image/jpeg")


def page(path: Path) -> dict:
    """Give a lesson as a page: its drawing cells folded, its pictures described, a way to run it.

    myst-nb does not know JupyterLab's folding, nor the alternative text in an output's metadata.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":  # JupyterLab's anchors have capitals, Sphinx's have not
            text = "".join(cell["source"])
            cell["source"] = re.sub(r"\]\(#[^)]*\)", lambda link: link[0].lower(), text)
        if cell["metadata"].get("jupyter", {}).get("source_hidden"):
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "hide-input"]
        for output in cell.get("outputs", []):
            for kind in PICTURES:
                if alt := output.get("metadata", {}).get(kind, {}).get("alt"):
                    cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    if path.match(lite.LESSONS):
        address = f"lite/lab/index.html?path={path.name}"
        notebook["cells"].insert(
            1,
            {
                "cell_type": "markdown",
                "id": "launch",
                "metadata": {},
                "source": f'<a class="launch" href="{address}">Run this lesson in your browser</a>',
            },
        )
    return notebook


def katex(folder: Path) -> None:
    """Put KaTeX's style and fonts into ``folder``."""
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(
            ["npm", "pack", "--silent", KATEX], cwd=work, check=True, capture_output=True
        )
        with tarfile.open(next(Path(work).glob("*.tgz"))) as archive:
            for member in archive:
                name = member.name.removeprefix("package/dist/")
                if re.fullmatch(r"katex\.min\.css|fonts/\w+-\w+\.woff2", name):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(archive.extractfile(member).read())


def give_sizes(path: Path) -> None:
    """Write each picture's size into a page, so that nothing jumps when the picture comes."""

    def sized(tag: re.Match) -> str:
        with Image.open(path.parent / tag[1]) as picture:
            return f'{tag[0]} width="{picture.width}" height="{picture.height}"'

    text = path.read_text(encoding="utf-8")
    text = re.sub(r'<img [^>]*src="(_images/[^"]+)"', sized, text)
    path.write_text(text, encoding="utf-8")


def build(folder: Path) -> None:
    """Write the book into ``folder``, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        for path in (SITE / "conf.py", *SITE.glob("*.md")):
            shutil.copy(path, source)
        (source / "glossary.md").write_text(glossary.build(), encoding="utf-8")
        shutil.copytree(ROOT / "images", source / "images")
        for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
            (source / path.name).write_text(json.dumps(page(path)), encoding="utf-8")
        shutil.copytree(SITE / "static", source / "static")
        katex(source / "static")
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
        subprocess.run([*command, source, folder], check=True)  # a warning fails
    for path in folder.glob("*.html"):
        give_sizes(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    build(parser.parse_args().folder.resolve())
