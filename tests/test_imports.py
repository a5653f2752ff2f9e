"""Which part may import which, how large a folder may be, and what an import may cost."""

import ast
import graphlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module imports from its own layer and from those above it in this list, never from below.
LAYERS = [
    ["tl_core.errors"],
    [
        "tl_core.connections",
        "tl_core.fair_turns",
        "tl_core.files",
        "tl_core.logs",
        "tl_core.progress",
        "tl_core.processes",
        "tl_core.guarded_process",
        "tl_core.sqlite_cache",
        "tl_core.tables",
        "tl_core.workspace",
        "tl_core.installation",
        "tl_core.metrics",
        "tl_core.config",
    ],
    ["tl_core.visitors"],
    ["tl_core.backbones", "tl_core.head"],
    ["tl_core.data"],
    ["tl_core.features"],
    ["tl_core.runs"],
    ["tl_core.training", "tl_core.analysis"],
    ["tl_core.search", "tl_core.inference", "tl_core.evaluation"],
    ["tl_core.export", "tl_core.projects"],
    ["tl_core.jobs"],
    ["tl_core.charts", "tl_core.serving", "tl_core.cli"],
    ["ui"],
    ["pages", "app"],
]
MAX_MODULES = 15  # in a folder, without its __init__.py
# The package's __init__ names modules without importing them; the others start the program.
OUTSIDE = {"tl_core", "tl_core.__main__", "tl_core.setup"}
HEAVY = ("tensorflow", "keras", "streamlit")


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for folder in ("tl_core", "ui", "pages")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
MODULES |= {path.stem: path for path in [ROOT / "app.py"] if path.exists()}
CORE = [name for name in MODULES if name.startswith("tl_core") and name != "tl_core.__main__"]


def layer_of(name: str) -> int | None:
    """Return the position of a module's layer in the list, None when it has none."""
    for place, members in enumerate(LAYERS):
        if any(name == member or name.startswith(f"{member}.") for member in members):
            return place
    return None


def room_of(name: str) -> str:
    """Return the part of the program a module belongs to: ``tl_core.data``, ``ui.train``, ..."""
    return ".".join(name.split(".")[:2])


def modules_imported_by(name: str) -> set[str]:
    """Return the modules of this project that a module imports."""
    names = imported_names(MODULES[name].read_text(encoding="utf-8"))
    found = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return found & set(MODULES) - {name}


def imported_names(source: str) -> set[str]:
    """Return every module imported anywhere in the source, lazily or not."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def heavy_modules_after(code: str) -> str:
    """Run ``code`` in a fresh interpreter and return which heavy modules it loaded."""
    shown = f"import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    command = [sys.executable, "-c", f"{code}\n{shown}"]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_importing_the_package_loads_neither_tensorflow_nor_keras_nor_streamlit():
    assert heavy_modules_after("import tl_core") == "[]"


def imports_in_order(name: str) -> list[str]:
    """Return what the import of a module loads itself, in order: its packages, what it names, it.

    What these load in turn is not listed. Imports in functions and for type checkers are left out.
    """
    parts = name.split(".")
    found = [".".join(parts[:end]) for end in range(1, len(parts))]
    for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return list(dict.fromkeys([one for one in found if one in MODULES and one != name] + [name]))


# Imports modules in the order of a tree, each branch in a fork of its own.
IMPORT_TREE = """
import gc, importlib, os, sys, traceback

gc.disable()  # a collection would copy the pages that forks share

def visit(tree):
    for place, (name, below) in enumerate(tree.items(), start=1):
        child = os.fork() if place < len(tree) else 0
        if child:
            if os.waitpid(child, 0)[1]:
                os._exit(1)
            continue
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        visit(below)
        if place < len(tree):
            os._exit(0)

def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "tl_core"]:
        del sys.modules[name]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each import needs a process of its own")
def test_each_core_module_can_be_imported_first_and_without_tensorflow_or_streamlit():
    """Also finds circles: a module that another must import before it works only by luck.

    Importing a module first is importing, one after the other, what it imports and then itself.
    Modules that begin with the same imports share the process that has done these.
    """
    tree: dict[str, Any] = {}
    for name in CORE:
        below = tree
        for imported in imports_in_order(name):
            below = below.setdefault(imported, {})
    # First all of them, which loads the packages of others once.
    code = f"for name in {CORE!r}: importlib.import_module(name)\nforget()\nvisit({tree!r})"
    assert heavy_modules_after(f"{IMPORT_TREE}\n{code}") == "[]"


def test_every_module_has_a_layer():
    assert {name for name in MODULES if layer_of(name) is None} == OUTSIDE


def test_imports_run_one_way():
    wrong = [
        f"{name} imports {imported}"
        for name, path in MODULES.items()
        if (own := layer_of(name)) is not None
        for imported in imported_names(path.read_text(encoding="utf-8"))
        if (other := layer_of(imported)) is not None and other > own
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: modules_imported_by(name) for name in MODULES if name not in OUTSIDE}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_parts_of_the_program_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        if name not in OUTSIDE:
            others = {room_of(other) for other in modules_imported_by(name)} - {room_of(name)}
            graph.setdefault(room_of(name), set()).update(others)
    graphlib.TopologicalSorter(graph).prepare()


def test_no_folder_holds_more_modules_than_can_be_taken_in():
    counts = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MAX_MODULES} == {}


def test_the_core_never_imports_streamlit():
    wrong = [
        name
        for name, path in MODULES.items()
        if name.startswith("tl_core")
        for imported in imported_names(path.read_text(encoding="utf-8"))
        if imported.partition(".")[0] == "streamlit"
    ]
    assert wrong == []


def test_every_public_name_of_the_package_can_be_had():
    code = "import tl_core\nfor name in tl_core.__all__: getattr(tl_core, name)"
    assert heavy_modules_after(code) == "[]"
