"""A run reads its data folder as it was read when the run was made."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import draw_image

from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import choose_layout, with_kept_layout
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.files import read_json, write_json
from tl_core.runs.events import EpochEnd, Event
from tl_core.runs.images import layout_of, load_images_of
from tl_core.runs.store import create_run, load_run
from tl_core.training.trainer import resume_run, train_queued
from tl_core.workspace import Workspace

TINY = TrainConfig(backbone="tiny", epochs=2, fc_layers=())


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    """Return two renderings of two classes, and a table that says another thing of each image."""
    rows = ["file,label"]
    for kind, variant in enumerate(("color", "gray")):
        for label, name in enumerate(("rust", "scab")):
            folder = tmp_path / "plants" / variant / name
            folder.mkdir(parents=True)
            for n in range(8):
                path = folder / f"{variant[0]}{name[0]}{n}.png"
                draw_image(2 * kind + label, n, (24, 20)).save(path)
                rows.append(f"{path.name},{('wet', 'dry')[n % 2]}")
    (tmp_path / "plants" / "weather.csv").write_text("\n".join(rows))
    return tmp_path / "plants"


@pytest.mark.parametrize(
    ("layout", "classes"),
    [
        ("table:weather.csv", ("dry", "wet")),
        ("variant:gray", ("rust", "scab")),
    ],
)
def test_a_run_keeps_the_reading_that_was_chosen_when_it_was_made(
    tmp_path: Path, plants: Path, layout: str, classes: tuple[str, ...]
) -> None:
    workspace = Workspace(tmp_path / "ws")
    choose_layout(workspace, plants, layout)
    config = with_kept_layout(TINY, workspace, plants)
    run = create_run(workspace.runs_dir, config, plants)
    train_queued(run, cache_dir=workspace.cache_dir)

    choose_layout(workspace, plants, "class-folders")

    run = load_run(run.run_dir)
    assert (run.config.layout, layout_of(run), run.class_names) == (layout, layout, classes)
    evaluation = evaluate_run(run.run_dir, part="train", cache_dir=workspace.cache_dir)
    assert evaluation.class_names == classes
    assert not evaluation.skipped


def test_a_stopped_run_is_resumed_with_its_own_reading(tmp_path: Path, plants: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    choose_layout(workspace, plants, "table:weather.csv")
    config = with_kept_layout(TINY.updated(epochs=20), workspace, plants)
    run = create_run(workspace.runs_dir, config, plants)
    epochs: list[Event] = []

    def note(event: Event) -> None:
        epochs.extend([event] if isinstance(event, EpochEnd) else [])

    train_queued(run, note, lambda: bool(epochs), cache_dir=workspace.cache_dir)
    choose_layout(workspace, plants, "class-folders")
    assert load_run(run.run_dir).state == "stopped"

    run = resume_run(run.run_dir, cache_dir=workspace.cache_dir)

    assert load_run(run.run_dir).state == "finished"
    assert load_run(run.run_dir).class_names == ("dry", "wet")


def test_a_run_from_before_readings_had_names_is_read_by_its_classes(
    tmp_path: Path, plants: Path
) -> None:
    workspace = Workspace(tmp_path / "ws")
    run = create_run(workspace.runs_dir, TINY, plants)
    write_json(run.run_dir / "classes.json", ["color", "gray"])
    origin = read_json(run.run_dir / "origin.json")
    origin.pop("layout", None)
    write_json(run.run_dir / "origin.json", origin)

    index = load_images_of(load_run(run.run_dir), cache_dir=workspace.cache_dir)

    assert index.class_names == ("color", "gray")
