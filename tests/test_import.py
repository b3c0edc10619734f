"""What importing the package costs, and which part may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import dlcourse

PACKAGE = Path(dlcourse.__file__).parent
# A module's level in the engine: it imports only from its own level and those below.
LEVEL = {
    "tensor": 0,
    "functional": 1,
    "nn": 2,
    "init": 2,
    "optim": 2,
    "gradcheck": 2,
    "models": 3,
    "summary": 3,
    "train": 3,
    "exercises": 4,
}
PICTURES = {"plots", "live", "pad", "study"}
PLAIN = {"data", "progress"}
SHOWN_WITH = {"matplotlib", "ipywidgets", "IPython", "anywidget", "traitlets", "PIL"}


def python(code: str) -> str:
    """Run code in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> dict[str, Path]:
    """Give every module's dotted name below the package."""
    files = {p: p.relative_to(PACKAGE).with_suffix("").parts for p in PACKAGE.rglob("*.py")}
    names = {".".join(p for p in parts if p != "__init__"): file for file, parts in files.items()}
    return dict(sorted(names.items()))


def imports(name: str, file: Path) -> set[str]:
    """Give the dotted names that a module imports, those inside its functions too."""
    package = ["dlcourse", *[p for p in name.split(".") if p]]
    if file.name != "__init__.py":
        package = package[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def parts(name: str, file: Path) -> set[str]:
    """Give the parts of dlcourse that a module imports, without its own."""
    found = {i.split(".")[1] for i in imports(name, file) if i.startswith("dlcourse.")}
    return {p for p in found if p in LEVEL or p in PICTURES | PLAIN} - {name.split(".")[0]}


def test_importing_loads_no_pictures():
    plain = [name for name in modules() if name.split(".")[0] not in PICTURES]
    python(f"""
import importlib, sys
for name in {plain}:
    importlib.import_module("dlcourse." + name if name else "dlcourse")
    loaded = {SHOWN_WITH} & set(sys.modules)
    assert not loaded, f"dlcourse.{{name}} loads {{loaded}}"
""")


def test_importing_is_quick(tmp_path, monkeypatch):
    # In CPU time, beside numpy's own import: a share of it is what any machine must manage.
    code = """
from time import process_time
start = process_time()
import numpy
between = process_time()
import dlcourse
print(between - start, process_time() - between)
"""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # installed, it is compiled
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    numpys, ours = zip(*(map(float, python(code).split()) for _ in range(6)), strict=True)
    assert min(ours) < 0.75 * min(numpys)


def test_imports_run_one_way():
    for name, file in modules().items():
        part = name.split(".")[0]
        found = parts(name, file)
        if part in LEVEL:
            lower = {p for p, level in LEVEL.items() if level <= LEVEL[part]}
            allowed = lower | PLAIN if part == "exercises" else lower
        elif part in PICTURES:
            allowed = PICTURES | PLAIN  # arrays and callables come in, never layers
            allowed |= {"exercises"} if part == "study" else set()  # its progress page lists them
        elif part in PLAIN:
            allowed = set()
        else:
            assert part == "", f"dlcourse.{name} has no place in the order of imports"
            allowed = {*LEVEL, *PLAIN}
        assert found <= allowed, f"dlcourse.{name} imports {sorted(found - allowed)}"


def test_only_the_declared_packages_are_imported():
    for name, file in modules().items():
        allowed = {*sys.stdlib_module_names, "dlcourse", "numpy"}
        if name.split(".")[0] in PICTURES:
            allowed |= SHOWN_WITH
        found = {i.split(".")[0] for i in imports(name, file)}
        assert found <= allowed, f"dlcourse.{name} imports {sorted(found - allowed)}"
