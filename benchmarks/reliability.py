"""The scorecard of reliability: each row runs by itself and gives a figure.

    python -m benchmarks.reliability [ROW ...] [--quick] [--data-dir FOLDER] [--corpus FOLDER]

Without names all rows run, the longest last; ``--list`` names them. ``--quick`` makes every row
small. ``--alone`` also measures what Keras, Pillow and Streamlit do alone. Ends with 1 when a row
failed.
docs/RELIABILITY.md has the figures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import fuzzing
from benchmarks.reliability_alone import ALONE
from benchmarks.reliability_rows import ROWS, Options
from tl_core.cli.terminal import print_table

ROOT = Path(__file__).resolve().parent.parent
NUM_CASES, NUM_QUICK_CASES = 10_000, 300


@dataclass(frozen=True)
class Row:
    """One row: what is tried, and the function that gives its figure or raises."""

    about: str
    run: Callable[[Options], str]


def main() -> None:
    """Run rows one after the other and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--quick", action="store_true", help="few cases, for trying a row out")
    parser.add_argument("--data-dir", type=Path, help="photos in class folders; drawn if left out")
    parser.add_argument("--corpus", type=Path, help="folder with images.csv and archives.csv")
    parser.add_argument("--alone", action="store_true", help="also measure the libraries alone")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    chosen = parser.parse_args()
    rows = _rows(chosen.alone)
    if chosen.list:
        print_table(("row", "what is tried"), [(name, row.about) for name, row in rows.items()])
        return
    unknown = [name for name in chosen.rows if name not in rows]
    if unknown:
        parser.error(f"expected rows of --list, received {', '.join(unknown)}")
    names = chosen.rows or list(rows)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), chosen.quick, chosen.data_dir, chosen.corpus)
        for name in names:
            results.append((name, *_result(rows[name], options)))
            print(f"{name}: {results[-1][1]} {results[-1][2]} ({results[-1][3]})", flush=True)
    print()
    print_table(("row", "result", "figure", "took"), results)
    sys.exit(1 if any(result[1] == "FAILED" for result in results) else 0)


def _result(row: Row, options: Options) -> tuple[str, str, str]:
    started = time.monotonic()
    try:
        state, figure = "ok", row.run(options)
        if figure.startswith("skipped"):
            state = "skipped"
    except Exception as error:
        state, figure = "FAILED", f"{type(error).__name__}: {str(error)[:300]}"
        traceback.print_exc()
    return state, figure, f"{time.monotonic() - started:.0f} s"


def _rows(alone: bool) -> dict[str, Row]:
    rows = {name: Row(about, run) for name, (about, run) in ROWS.items()}
    for name, function in fuzzing.PROPERTIES.items():
        rows[f"fuzz_{name}"] = Row(_first_line(function), _fuzz(name))
    rows["tampered"] = Row("200 and more kinds of damage, every page opened", _tampered)
    rows["suite"] = Row("all tests marked as reliability", _suite)
    if alone:
        rows |= {name: Row(about, run) for name, (about, run) in ALONE.items()}
    return rows


def _first_line(function: Callable[..., None]) -> str:
    return (function.__doc__ or "").split("\n")[0]


def _fuzz(name: str) -> Callable[[Options], str]:
    def run(options: Options) -> str:
        number = NUM_QUICK_CASES if options.quick else NUM_CASES
        fuzzing.check(name, number)
        return f"{number:,} cases, no counterexample"

    return run


def _suite(options: Options) -> str:
    words = ["-m", "reliability and not browser"]
    return _pytest([*words, "-k", "memory or errors"] if options.quick else words)


def _tampered(options: Options) -> str:
    words = ["tests/test_tampered_workspace.py"]
    if options.quick:
        return _pytest([*words, "-k", "lists"])
    return _pytest(words, TL_TAMPER_ALL="1")


def _pytest(words: list[str], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    if done.returncode != 0:
        raise AssertionError(last)
    count = sum(line.count(".") for line in done.stdout.splitlines() if line.endswith("%]"))
    return f"{count:,} of {count:,} passed"


if __name__ == "__main__":
    main()
