"""Commands about data: the sample set, archives, inspecting a folder, labelling its photos."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import AsJson, DataDir, Quiet, WorkspaceDir, folder_at, workspace_at
from tl_core.cli.terminal import (
    COMMANDS,
    MAX_PATHS,
    Percent,
    print_json,
    print_table,
    say,
    working,
)
from tl_core.errors import ConfigError

if TYPE_CHECKING:
    from tl_core.analysis.labelling import Sheet
    from tl_core.data.audit.audit import Audit
    from tl_core.data.dataset import DatasetIndex
    from tl_core.data.layout.plan import LayoutPlan, Reading
    from tl_core.progress import Monitor
    from tl_core.workspace import Workspace


def sample(
    out_dir: Annotated[
        Path | None,
        typer.Argument(metavar="OUT_DIR", help="New folder to draw into.  [the workspace's]"),
    ] = None,
    num_per_class: Annotated[int, typer.Option(help="Images in each class.")] = 75,
    seed: Annotated[int, typer.Option(help="Another seed draws other images.")] = 0,
    workspace: WorkspaceDir = None,
    quiet: Quiet = False,
) -> None:
    """Draw the sample set: burgers, pizza, quesadillas and tacos with a few planted faults.

    Without OUT_DIR it goes where the app looks for it, unless it is there already.
    """
    from tl_core.data.sample.dataset import SAMPLE_NAME, draw_sample_dataset

    own_place = workspace_at(workspace).datasets_dir / SAMPLE_NAME
    if out_dir is None and own_place.exists():
        say(own_place)
        return
    with working(quiet) as (_, monitor):
        drawn = draw_sample_dataset(
            own_place if out_dir is None else folder_at(out_dir, "to draw into"),
            num_per_class=num_per_class,
            seed=seed,
            **monitor.callbacks,
        )
    say(drawn)


def crop_boxes(
    data_dir: DataDir,
    out_dir: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="New folder for the crops.")],
    margin: Annotated[
        float, typer.Option(min=0, max=2, help="Widen each box by this share of it.")
    ] = 0.0,
    quiet: Quiet = False,
) -> None:
    """Cut the boxes of a detection dataset (YOLO, COCO, VOC) out into class folders."""
    from tl_core.data.ingest.box_crops import crop_boxes as crop

    with working(quiet) as (_, monitor):
        counts = crop(data_dir, folder_at(out_dir, "for the crops"), margin=margin, monitor=monitor)
    print_table(("class", "crops"), sorted(counts.items()))


def unpack(
    archives: Annotated[
        list[Path], typer.Argument(metavar="FILE ...", help="Zip or tar files of one dataset.")
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="New folder for the photos.")
    ],
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Class of an archive without class folders."),
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested", help="Unpack archives inside of the archives too.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Unpack archives with class folders, or one for each class, into a new data folder.

    Several archives without folders are classes that are called like them.
    """
    from tl_core.data.ingest.archive import ArchiveSource, extract_archives, look_into

    sources = []
    with working(quiet) as (_, monitor):
        for path in archives:
            contents = look_into(path, path.name, monitor=monitor)
            name = class_name or (contents.class_name if len(archives) > 1 else None)
            sources.append(
                ArchiveSource(
                    path,
                    path.name,
                    name if contents.is_flat else None,
                    nested or (bool(contents.nested) and contents.num_images == 0),
                )
            )
        report = extract_archives(sources, folder_at(out_dir, "for the photos"), monitor=monitor)
    say(f"{report.num_files:,} files in {out_dir}")
    for encoding in report.encodings:
        say(f"Names read as {encoding}")
    for kind, count in report.ignored.items():
        say(f"Left out: {kind} ({count:,})")
    for file_name, reason in report.refused[:MAX_PATHS]:
        say(f"Left out: {file_name}: {reason}")
    if (num_more := len(report.refused) - MAX_PATHS) > 0:
        say(f"and {num_more:,} more")


def inspect(
    data_dir: DataDir,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Read the folder in one of the ways listed, and go on doing so; 'auto' forgets.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Keep images together in a split: folder, name:PATTERN, column:NAME or none.",
        ),
    ] = None,
    follow_links: Annotated[
        bool | None,
        typer.Option(
            "--follow-links/--no-follow-links",
            help="Follow links to folders and files beside the data folder, or in TL_LINK_ROOT.",
        ),
    ] = None,
    features: Annotated[
        bool,
        typer.Option(
            "--features",
            help="Run the backbone too: probable wrong labels, odd images, what groups change.",
        ),
    ] = False,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how a folder is read, count the images of each class and list what is wrong.

    What is chosen here is kept, and holds for training and in the app.
    """
    from tl_core.data.audit.audit import audit_dataset
    from tl_core.data.curation.store import kept_layout, load_dataset
    from tl_core.data.layout.plan import plan_layout

    place = workspace_at(workspace)
    _choose(place, data_dir, layout, group, follow_links)
    with working(quiet, as_json) as (_, monitor):
        plan = plan_layout(data_dir, kept_layout(place, data_dir), monitor=monitor)
        if not as_json:
            _print_plan(plan)
        index = load_dataset(data_dir, place, monitor=monitor)
        if features:
            audit = _audit_with_features(index, place, monitor)
        else:
            audit = audit_dataset(index, cache_dir=place.cache_dir, **monitor.callbacks)
    if as_json:
        print_json({**_index_values(index, audit), "layout": _plan_values(plan)})
    else:
        _print_index(index, audit)


def _audit_with_features(index: DatasetIndex, place: Workspace, monitor: Monitor) -> Audit:
    from tl_core.analysis.explore import audit_with_features
    from tl_core.config.training import TrainConfig

    return audit_with_features(index, TrainConfig(), place.cache_dir, monitor=monitor)


def _choose(
    place: Workspace,
    data_dir: Path,
    layout: str | None,
    group: str | None,
    follow_links: bool | None,
) -> None:
    """Keep what was chosen about a folder's layout; what was not given stays as it was."""
    from tl_core.data.curation.store import choose_layout, kept_layout
    from tl_core.data.layout.layout_name import LayoutName
    from tl_core.data.layout.plan import plan_layout

    if layout == "auto":
        choose_layout(place, data_dir, None)
        layout = None
    if layout is None and group is None and follow_links is None:
        return
    named = layout or kept_layout(place, data_dir)
    if follow_links and named is None:  # what there is to read shows with the links followed
        named = "class-folders?links=follow"
    if named is None:
        chosen = plan_layout(data_dir).chosen
        named = "class-folders" if chosen is None else chosen.name
    name = LayoutName.parse(named)
    if group is not None:
        name = name.with_options(group="" if group == "none" else group)
    if follow_links is not None:
        name = name.with_options(links="follow" if follow_links else "")
    plan_layout(data_dir, str(name))  # one that does not fit is not kept
    choose_layout(place, data_dir, str(name))


def _plan_values(plan: LayoutPlan) -> dict[str, Any]:
    """Return what ``inspect --json`` prints of a plan."""
    return {
        "is_sure": plan.is_sure,
        "is_chosen": plan.is_chosen,
        "readings": [{"title": one.title, **asdict(one)} for one in plan.readings],
        "groups": None if plan.groups is None else asdict(plan.groups),
        "links": plan.links,
        "num_unlabelled": len(plan.unlabelled),
    }


def _print_plan(plan: LayoutPlan) -> None:
    """Print how a folder is read, and the other readings."""
    chosen = plan.chosen
    if chosen is not None and (chosen.class_counts or chosen.num_unlabelled):
        _print_readings(plan, chosen)
    if plan.groups is not None:
        groups = plan.groups
        say(
            f"{groups.num_images:,} images seem to come in {groups.num_groups:,} groups "
            f"({groups.reason}). Keep each on one side of the split: --group '{groups.spec}'"
        )
    for link, target in list(plan.links.items())[:MAX_PATHS]:
        say(f"Link left out: {link} -> {target} (--follow-links)")
    say()


def _print_readings(plan: LayoutPlan, chosen: Reading) -> None:
    """Print the reading that is taken, why, and the others."""
    say(f"Read as {chosen.title} ({chosen.name}).")
    for reason in chosen.reasons:
        say(f"  {reason}")
    for cell, path, class_name in chosen.examples:
        say(f"  {cell} -> {path} -> {class_name}")
    if chosen.part_counts:
        say("  " + ", ".join(f"{part} {count:,}" for part, count in chosen.part_counts.items()))
    if chosen.num_unlabelled:
        say(f"  {chosen.num_unlabelled:,} images without a class")
    if len(plan.readings) > 1:
        mark = "" if plan.is_sure else " (as plausible: choose one)"
        say(f"Other readings{mark}:")
        for one in plan.readings[1:]:
            say(f"  --layout '{one.name}'  {one.title}: {_some_classes(one)}")


def _some_classes(reading: Reading) -> str:
    from tl_core.data.audit.findings import list_some

    return list_some(list(reading.class_counts)) or "no classes"


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
    say(f"{index.num_images:,} images in {index.num_classes} classes in {index.data_dir}")
    say()
    share = {
        name: Percent(count / index.num_images) for name, count in index.class_counts().items()
    }
    rows = [(name, count, share[name]) for name, count in index.class_counts().items()]
    print_table(("class", "images", "share"), rows)
    if index.has_given_split:
        say("\nThe folder itself says which image is for train, val and test.")
    if audit.summary:
        say(f"\nFound: {audit.summary}.")
    for finding in audit.findings:
        say(f"\n{finding.severity}: {finding.message}")
        if finding.remedy:
            say(COMMANDS[finding.remedy])
        for path in finding.paths[:MAX_PATHS]:
            say(f"  {path}")
        if (num_more := len(finding.paths) - MAX_PATHS) > 0:
            say(f"  and {num_more:,} more (--json lists all)")


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
    result: dict[str, Any] = {}
    if undo:
        result["undone"] = take_step(place, data_dir, "undo")
    with working(quiet, as_json) as (_, monitor):
        index = scan_photos(
            data_dir,
            kept_layout(place, data_dir),
            cache_dir=place.cache_dir,
            **monitor.callbacks,
        )
        if csv is not None:
            result |= _take_table(place, index, csv)
        found = _groups(place, index, backbone, monitor) if groups else []
    if out is not None:
        result["written"] = write_labels_table(out, place, data_dir)
    result |= _label_progress(place, index)
    if as_json:
        listed = [{"suggestion": one.suggestion, "paths": one.paths} for one in found]
        print_json({**result, **({"groups": listed} if groups else {})})
    else:
        _print_labels(result, found)


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


def _label_progress(place: Workspace, index: DatasetIndex) -> dict[str, Any]:
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


def _print_labels(result: dict[str, Any], groups: list[Sheet]) -> None:
    if "undone" in result:
        say(f"Undone: {result['undone']}")
    if "taken" in result:
        say(f"{result['taken']:,} labels taken.")
        for key, words in (
            ("has_class", "have a class by the folder already"),
            ("unknown", "rows name no photo of the folder"),
        ):
            if paths := result[key]:
                shown = ", ".join(paths[:MAX_PATHS])
                say(f"{len(paths):,} {words}: {shown}{', ...' if len(paths) > MAX_PATHS else ''}")
    if "written" in result:
        say(f"{result['written']:,} labels written.")
    left_out = f", {result['num_left_out']:,} left out" if result["num_left_out"] else ""
    with_class, without = result["num_labelled"], result["num_unlabelled"]
    say(f"{with_class:,} photos with a class, {without:,} without{left_out}")
    if result["class_counts"]:
        print_table(("class", "photos"), list(result["class_counts"].items()))
    for number, one in enumerate(groups, 1):
        words = f", probably {one.suggestion}" if one.suggestion else ""
        say(f"\ngroup {number}: {len(one.paths)} photos{words}")
        for path in one.paths:
            say(f"  {path}")
