"""The modules of this program that an entry point needs, found by reading their imports."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tl_core.installation import app_path

_PACKAGES = ("tl_core", "ui")


def needed_modules(*entries: str) -> dict[str, Path]:
    """Return entry points and all modules that importing them loads, by path inside an app folder.

    Imports inside functions do not count: what they load is not needed to start, and an entry that
    uses it names it.

    Args:
        entries: names of modules, such as ``"ui.viewer.page"``.

    Examples:
        >>> list(needed_modules("tl_core.errors"))
        ['tl_core/__init__.py', 'tl_core/errors.py']
    """
    roots = {
        "tl_core": Path(__file__).resolve().parents[2],
        "ui": app_path().parent,
    }
    known: dict[str, Path] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in known or (path := _find(name, roots)) is None:
            continue
        known[name] = path
        waiting += _imported(path)
        waiting += [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
    paths = {path.relative_to(roots[name.partition(".")[0]]): path for name, path in known.items()}
    return {inside.as_posix(): paths[inside] for inside in sorted(paths)}


def copy_modules(folder: Path, *entries: str) -> None:
    """Copy what :func:`needed_modules` returns into an app folder."""
    for inside, path in needed_modules(*entries).items():
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _find(name: str, roots: Mapping[str, Path]) -> Path | None:
    """Return the file of a module of this program; None for others, and for names in a module."""
    package, *_ = parts = name.split(".")
    if package not in _PACKAGES:
        return None
    place = roots[package].joinpath(*parts)
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imported(path: Path) -> Iterator[str]:
    """Yield the names that a file imports when it is loaded, those in a module too."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
