"""Commands about backbones and caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import AsJson, Quiet, WorkspaceDir, workspace_at
from tl_core.cli.terminal import Percent, print_json, print_table, say, working

if TYPE_CHECKING:
    from tl_core.backbones.api import Backbone


def backbones(
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Show this one alone, with its images per second on this machine. Repeatable.",
        ),
    ] = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the pretrained backbones."""
    from tl_core.backbones import api as models
    from tl_core.features.benchmark import measure as measure_speed

    rates: dict[str, float] = {}
    chosen = [models.get_backbone(name) for name in measure or ()]
    with working(quiet, as_json) as (progress, monitor):
        for backbone in chosen:
            monitor.check()
            progress.note(f"measuring {backbone.name}")
            cache_dir = workspace_at(workspace).cache_dir
            rates[backbone.name] = measure_speed(backbone.name, cache_dir=cache_dir)
    listed = chosen or models.list_backbones()
    if as_json:
        print_json(_backbone_values(listed, rates))
    else:
        _print_backbones(listed, rates)


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Drop the stored features.")] = False,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what the caches hold. Everything in them can be computed again."""
    from tl_core.features.cache import open_feature_cache

    cache_dir = workspace_at(workspace).cache_dir
    if clear:
        with open_feature_cache(cache_dir) as features:
            features.clear()
    values = _cache_values(cache_dir)
    if as_json:
        print_json(values)
    else:
        _print_cache(values)


def _backbone_values(
    backbones: Sequence[Backbone], rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return what ``backbones --json`` prints; ``rates`` are measured images per second."""
    return [
        {**asdict(backbone), "images_per_second": rates.get(backbone.name)}
        for backbone in backbones
    ]


def _print_backbones(backbones: Sequence[Backbone], rates: Mapping[str, float]) -> None:
    """Print the backbones as a table; ``top-1`` is the published accuracy on ImageNet."""
    rows = [
        (
            backbone.name,
            f"{backbone.image_size[0]}x{backbone.image_size[1]}",
            backbone.feature_dim,
            f"{backbone.num_params / 1e6:.1f} M",
            f"{backbone.weights_mb:.0f} MB",
            None if backbone.top1 is None else Percent(backbone.top1),
            backbone.weights,
            *([round(rates[backbone.name])] if rates else []),
        )
        for backbone in backbones
    ]
    headers = ["backbone", "image size", "features", "params", "weights", "top-1", "from"]
    print_table([*headers, *(["images/s here"] if rates else [])], rows)


def _cache_values(cache_dir: Path) -> dict[str, Any]:
    """Return what ``cache --json`` prints."""
    from tl_core.features.cache import open_feature_cache

    with open_feature_cache(cache_dir) as features:
        num_features, feature_bytes = features.num_rows, features.size_bytes
        limit = features.max_bytes
    files = [path for path in cache_dir.rglob("*") if path.is_file()]
    return {
        "cache_dir": str(cache_dir),
        "num_features": num_features,
        "feature_bytes": feature_bytes,
        "feature_limit_bytes": limit,
        "total_bytes": sum(path.stat().st_size for path in files),
    }


def _print_cache(values: dict[str, Any]) -> None:
    """Print how full the caches are."""
    say(values["cache_dir"])
    say()
    say(
        f"features  {values['num_features']:,} vectors, {_megabytes(values['feature_bytes'])} "
        f"of at most {_megabytes(values['feature_limit_bytes'])}"
    )
    say(f"all files  {_megabytes(values['total_bytes'])}, converted backbones and scans among them")


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
