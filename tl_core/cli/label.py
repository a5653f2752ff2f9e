"""The command about labels for photos without a class: how far, groups, from and to a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import AsJson, DataDir, Quiet, WorkspaceDir, workspace_at
from tl_core.cli.terminal import MAX_PATHS, print_json, print_table, working
from tl_core.errors import ConfigError

if TYPE_CHECKING:
    from tl_core.analysis.labelling import Sheet
    from tl_core.data.dataset import DatasetIndex
    from tl_core.progress import Monitor
    from tl_core.workspace import Workspace


def label(
    data_dir: DataDir,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Take the labels of a table with the columns file_name and label.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the labels given so far as such a table."),
    ] = None,
    groups: Annotated[
        bool,
        typer.Option("--groups", help="List the groups of similar photos without a class."),
    ] = False,
    backbone: Annotated[
        str | None, typer.Option(help="Which network describes the photos for --groups.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last step back.")] = False,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give classes to photos that have none, and show how far that is.

    The files stay as they are: labels are kept beside the decisions about the folder, for training
    and for the app, whose Label tab is the quickest way to give them.
    """
    from tl_core.data.curation.store import kept_layout
    from tl_core.data.dataset import scan_photos
    from tl_core.data.ingest.added_photos import take_step
    from tl_core.data.ingest.labels import write_labels_table

    if sum((csv is not None, undo)) > 1:
        raise ConfigError("Expected --csv or --undo, received both.")
    place = workspace_at(workspace)
    told: dict[str, Any] = {}
    if undo:
        told["undone"] = take_step(place, data_dir, "undo")
    with working(quiet, as_json) as (_, monitor):
        index = scan_photos(
            data_dir,
            kept_layout(place, data_dir),
            cache_dir=place.cache_dir,
            **monitor.callbacks,
        )
        if csv is not None:
            told |= _take_table(place, index, csv)
        found = _groups(place, index, backbone, monitor) if groups else []
    if out is not None:
        told["written"] = write_labels_table(out, place, data_dir)
    told |= _progress(place, index)
    if as_json:
        listed = [{"suggestion": one.suggestion, "paths": one.paths} for one in found]
        print_json({**told, **({"groups": listed} if groups else {})})
    else:
        _print(told, found)


def _take_table(place: Workspace, index: DatasetIndex, csv: Path) -> dict[str, Any]:
    """Take the labels of a table; return what came of it."""
    from tl_core.data.ingest.labels import label_photos, read_labels_table

    paths = [record.path for record in index.records]
    class_of = read_labels_table(csv, index.data_dir, paths)
    taken = label_photos(index.data_dir, class_of, place)
    return {
        "taken": taken.num_labelled,
        "has_class": list(taken.has_class),
        "unknown": list(taken.unknown),
    }


def _groups(
    place: Workspace, index: DatasetIndex, backbone: str | None, monitor: Monitor
) -> list[Sheet]:
    from tl_core.analysis.labelling_cache import sort_photos
    from tl_core.config.training import TrainConfig
    from tl_core.features.spec import FeatureSpec

    config = TrainConfig() if backbone is None else TrainConfig(backbone=backbone)
    spec = FeatureSpec.from_config(config)
    return sort_photos(place, index.data_dir, spec, monitor=monitor).groups()


def _progress(place: Workspace, index: DatasetIndex) -> dict[str, Any]:
    """Return how many photos have a class, of which class, and how many have none."""
    from tl_core.analysis.labelling import classes_of_photos
    from tl_core.data.curation.store import load_decisions

    class_of, left_out = classes_of_photos(index, load_decisions(place, index.data_dir))
    return {
        "data_dir": str(index.data_dir),
        "class_counts": dict(sorted(Counter(class_of.values()).items())),
        "num_labelled": len(class_of),
        "num_unlabelled": index.num_images - len(class_of) - len(left_out),
        "num_left_out": len(left_out),
    }


def _print(told: dict[str, Any], groups: list[Sheet]) -> None:
    if "undone" in told:
        print(f"Undone: {told['undone']}")
    if "taken" in told:
        print(f"{told['taken']:,} labels taken.")
        for key, words in (
            ("has_class", "have a class by the folder already"),
            ("unknown", "rows name no photo of the folder"),
        ):
            if paths := told[key]:
                shown = ", ".join(paths[:MAX_PATHS])
                print(f"{len(paths):,} {words}: {shown}{', ...' if len(paths) > MAX_PATHS else ''}")
    if "written" in told:
        print(f"{told['written']:,} labels written.")
    left_out = f", {told['num_left_out']:,} left out" if told["num_left_out"] else ""
    with_class, without = told["num_labelled"], told["num_unlabelled"]
    print(f"{with_class:,} photos with a class, {without:,} without{left_out}")
    if told["class_counts"]:
        print_table(("class", "photos"), list(told["class_counts"].items()))
    for number, one in enumerate(groups, 1):
        words = f", probably {one.suggestion}" if one.suggestion else ""
        print(f"\ngroup {number}: {len(one.paths)} photos{words}")
        for path in one.paths:
            print(f"  {path}")
