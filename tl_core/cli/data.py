"""Commands about data: drawing the sample set, inspecting a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import AsJson, DataDir, Quiet, WorkspaceDir, folder_at, workspace_at
from tl_core.cli.terminal import MAX_PATHS, Percent, print_json, print_table, working

if TYPE_CHECKING:
    from tl_core.data.audit.audit import Audit
    from tl_core.data.dataset import DatasetIndex


def sample(
    out_dir: Annotated[
        Path | None,
        typer.Argument(metavar="OUT_DIR", help="New folder to draw into.  [the workspace's]"),
    ] = None,
    num_per_class: Annotated[int, typer.Option(help="Images in each class.")] = 100,
    seed: Annotated[int, typer.Option(help="Another seed draws other images.")] = 0,
    workspace: WorkspaceDir = None,
    quiet: Quiet = False,
) -> None:
    """Draw the sample set: pizza, burgers and tacos with a few planted faults.

    Without OUT_DIR it goes where the app looks for it, unless it is there already.
    """
    from tl_core.data.sample.dataset import SAMPLE_NAME, draw_sample_dataset

    own_place = workspace_at(workspace).datasets_dir / SAMPLE_NAME
    if out_dir is None and own_place.exists():
        print(own_place)
        return
    with working(quiet) as (progress, should_stop):
        drawn = draw_sample_dataset(
            own_place if out_dir is None else folder_at(out_dir, "to draw into"),
            num_per_class=num_per_class,
            seed=seed,
            on_progress=progress.on_progress,
            should_stop=should_stop,
        )
    print(drawn)


def inspect(
    data_dir: DataDir,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Count the images of each class and tell what is wrong with them."""
    from tl_core.data.audit.audit import audit_dataset
    from tl_core.data.curation.store import load_dataset

    place = workspace_at(workspace)
    with working(quiet, as_json) as (progress, should_stop):
        index = load_dataset(
            data_dir, place, on_progress=progress.on_progress, should_stop=should_stop
        )
        audit = audit_dataset(
            index,
            cache_dir=place.cache_dir,
            on_progress=progress.on_progress,
            should_stop=should_stop,
        )
    if as_json:
        print_json(_index_values(index, audit))
    else:
        _print_index(index, audit)


def _index_values(index: DatasetIndex, audit: Audit) -> dict[str, Any]:
    """Return what ``inspect --json`` prints."""
    return {
        "data_dir": str(index.data_dir),
        "num_images": index.num_images,
        "num_classes": index.num_classes,
        "class_counts": index.class_counts(),
        "has_given_split": index.has_given_split,
        "num_ignored": index.num_ignored,
        "fingerprint": index.fingerprint,
        "summary": audit.summary,
        "findings": [asdict(finding) for finding in audit.findings],
    }


def _print_index(index: DatasetIndex, audit: Audit) -> None:
    """Print the classes of a data folder, then its findings with the files they are about."""
    print(f"{index.num_images:,} images in {index.num_classes} classes in {index.data_dir}\n")
    share = {
        name: Percent(count / index.num_images) for name, count in index.class_counts().items()
    }
    rows = [(name, count, share[name]) for name, count in index.class_counts().items()]
    print_table(("class", "images", "share"), rows)
    if index.has_given_split:
        print("\nThe folder itself says which image is for train, val and test.")
    if audit.summary:
        print(f"\nFound: {audit.summary}.")
    for finding in audit.findings:
        print(f"\n{finding.severity}: {finding.message}")
        for path in finding.paths[:MAX_PATHS]:
            print(f"  {path}")
        if (num_more := len(finding.paths) - MAX_PATHS) > 0:
            print(f"  and {num_more:,} more (--json lists all)")
