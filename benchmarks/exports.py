"""Every export of some runs compared with the app, each opened in an environment of its own.

    python -m benchmarks.exports RUN... --out OUT [--formats onnx web] [--fresh]

Prints the certificate of each export as JSON as soon as it is known, then tables of runs and
formats. ``--fresh`` also makes a virtual environment for each list of requirements, with nothing
else in it, and lets ``predict.py`` answer there. What is in ``OUT`` already is not exported again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import TLError
from tl_core.export.exporter import export_run, load_export
from tl_core.export.formats import FORMATS
from tl_core.export.model_info import MODEL_FILE
from tl_core.export.parity import ProofPhoto, choose_photos, write_odd_images
from tl_core.export.predict_script import PREDICT_FILE, REQUIREMENTS_FILE
from tl_core.inference.predict import load_predictor
from tl_core.runs.images import load_images_of
from tl_core.runs.store import Run, load_run
from tl_core.workspace import default_workspace

NUM_FRESH_PHOTOS = 60
_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "same most probable class": lambda row: f"{100 * row['top1_agreement']:.2f} %",
    "greatest difference": lambda row: f"{row['max_difference']:.1e}",
    "mean difference": lambda row: f"{row['mean_difference']:.1e}",
    "accuracy lost, points": lambda row: (
        f"{100 * row['drop']:.1f} ({100 * row['drop_interval'][0]:.1f} to "
        f"{100 * row['drop_interval'][1]:.1f})"
    ),
    "images/s": lambda row: f"{row['images_per_second']:.0f}",
    "MB": lambda row: f"{row['bytes'] / 1e6:.1f}",
}


def main() -> None:
    """Export, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS))
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    tables = {}
    for run_dir in options.runs:
        run = load_run(run_dir)
        found = {}
        for name in options.formats:
            row = export(run, name, options.out / run.name / name)
            print(json.dumps({"run": run.name, **row}), flush=True)
            if "agrees" in row:
                found[name] = row
        tables[run.name] = found
        if options.fresh:
            for row in fresh_answers(run, options.out, options.formats):
                print(json.dumps({"run": run.name, **row}), flush=True)
    for name, rows in tables.items():
        print(table(name, rows))


def export(run: Run, name: str, folder: Path) -> dict[str, Any]:
    """Return the certificate of an export that is made now or was made before."""
    try:
        if (folder / MODEL_FILE).exists():
            made = load_export(folder, name)
        else:
            made = export_run(run.run_dir, name, folder)
    except TLError as error:
        return {"format": name, "error": str(error)}
    return made.parity or {"format": name, "compared": False}


def table(name: str, rows: dict[str, dict[str, Any]]) -> str:
    """Return the certificates of a run as Markdown."""
    lines = [f"| {name} | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for format_name, row in rows.items():
        cells = ["" if row["agrees"] is None else show(row) for show in _COLUMNS.values()]
        lines.append(f"| {format_name} | {' | '.join(cells)} |")
    return "\n" + "\n".join(lines)


def fresh_answers(run: Run, out: Path, formats: Sequence[str]) -> list[dict[str, Any]]:
    """Answer by each ``predict.py`` in an environment that holds only what it requires."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        cache_dir = default_workspace().cache_dir
        photos = choose_photos(run, load_images_of(run, cache_dir=cache_dir), NUM_FRESH_PHOTOS)
        every: list[ProofPhoto] = [*photos, *write_odd_images(Path(folder))]
        paths = [photo.path for photo in every]
        listed = Path(folder) / "photos.json"
        listed.write_text(json.dumps([str(path) for path in paths]), encoding="utf-8")
        app = load_predictor(run.run_dir).predict(paths)
        ours = np.stack([np.asarray(one.probabilities) for one in app])
        for name in formats:
            export_dir = out / run.name / name
            if not (export_dir / PREDICT_FILE).exists():
                continue
            python = environment(out / "environments", export_dir / REQUIREMENTS_FILE)
            done = subprocess.run(
                [python, "-I", PREDICT_FILE, "--json", "--list", listed],
                cwd=export_dir,
                capture_output=True,
                text=True,
                check=False,
            )
            answers = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
            if len(answers) != len(paths):
                rows.append({"fresh": name, "error": done.stderr[-300:]})
                continue
            theirs = [[one["probabilities"][of] for of in run.class_names] for one in answers]
            difference = np.abs(np.array(theirs) - ours)
            same = np.argmax(theirs, axis=1) == ours.argmax(axis=1)
            rows.append(
                {
                    "fresh": name,
                    "images": len(paths),
                    "top1_agreement": float(same.mean()),
                    "max_difference": float(difference.max()),
                }
            )
    return rows


def environment(folder: Path, requirements: Path) -> Path:
    """Return the Python of an environment with these requirements and nothing else."""
    lines = sorted(requirements.read_text(encoding="utf-8").split())
    place = folder / "-".join(line.split(">")[0].split("=")[0] for line in lines)
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        command = [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)]
        subprocess.run(command, check=True)
    return python


if __name__ == "__main__":
    main()
