"""Small runs for the tests of exports: with photos, a temperature and limits of their own."""

from __future__ import annotations

from pathlib import Path

from conftest import draw_image
from made_run import CONFIG, make_run

from tl_core.data.curation.store import apply_decisions, load_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.head.temperature import Calibration, save_calibration, weights_digest
from tl_core.inference.predict import load_head
from tl_core.inference.reliability import complete_reliability
from tl_core.runs.store import Run
from tl_core.workspace import Workspace

TEMPERATURE = 1.7


def make_export_run(root: Path, **changes: object) -> Run:
    """Return a finished run in ``root/workspace`` on 36 drawn photos of 3 classes."""
    data_dir, workspace = root / "data", Workspace(root / "workspace")
    if not data_dir.exists():
        for kind, name in enumerate(("cat", "dog", "fox")):
            (data_dir / name).mkdir(parents=True)
            for number in range(12):
                draw_image(kind, 100 * kind + number).save(data_dir / name / f"{number}.png")
    number = len(list(workspace.runs_dir.glob("*")))
    run_dir = workspace.runs_dir / f"run{number}"
    run = make_run(run_dir, data_dir, workspace.cache_dir, CONFIG.updated(**changes))
    head = load_head(run)
    fitted = Calibration(temperature=TEMPERATURE, num_images=9, weights=weights_digest(head))
    save_calibration(run.run_dir, fitted)
    index = scan_dataset(data_dir)
    index = apply_decisions(index, load_decisions(run.workspace, index.data_dir))
    complete_reliability(run, head, index, cache_dir=workspace.cache_dir)
    return run
