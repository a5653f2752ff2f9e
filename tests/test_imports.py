"""Which part may import which, and what an import may cost."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A module imports from its own layer and from those above it in this list, never from below.
LAYERS = [
    [
        "tl_core.errors",
        "tl_core.settings",
        "tl_core.config",
        "tl_core.audit_config",
        "tl_core.sweep_config",
        "tl_core.files",
        "tl_core.child",
        "tl_core.installation",
        "tl_core.workspace",
        "tl_core.metrics",
    ],
    ["tl_core.data"],
    ["tl_core.model"],
    ["tl_core.training"],
    ["tl_core.results"],
    ["tl_core.export"],
    ["tl_core.charts", "tl_core.cli"],
    ["ui"],
    ["pages", "app"],
]
# The package's face names modules without importing them; the others start the program.
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
    """Return the layer's place in the list; ``metrics_curves`` belongs to ``metrics``."""
    for place, members in enumerate(LAYERS):
        if any(
            name == member or name.startswith((f"{member}.", f"{member}_")) for member in members
        ):
            return place
    return None


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


def test_each_core_module_can_be_imported_first_and_without_tensorflow_or_streamlit():
    """Also finds circles: a module that another must import before it works only by luck."""
    code = f"""
import importlib, sys
for name in {CORE!r}:
    for loaded in [loaded for loaded in sys.modules if loaded.startswith("tl_core")]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""
    assert heavy_modules_after(code) == "[]"


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
    graph = {
        name: {
            imported.rpartition(".")[0] if imported not in MODULES else imported
            for imported in imported_names(path.read_text(encoding="utf-8"))
        }
        & set(MODULES) - {name}
        for name, path in MODULES.items()
        if name not in OUTSIDE
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


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
