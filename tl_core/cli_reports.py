"""What the commands tell: the same results as tables for people and as plain values for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_core.cli_terminal import Percent, percent, print_table
from tl_core.errors import RunError

if TYPE_CHECKING:
    from tl_core.data.dataset import DatasetIndex, Finding
    from tl_core.model.backbones import Backbone
    from tl_core.results.evaluate import Evaluation
    from tl_core.results.explain import Explanation
    from tl_core.results.neighbours import Neighbour
    from tl_core.results.predict import Prediction
    from tl_core.training.runs import Run

_MAX_PATHS = 5
_MAX_CONFUSIONS = 5


def index_values(index: DatasetIndex, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what ``inspect --json`` prints."""
    return {
        "data_dir": str(index.data_dir),
        "num_images": index.num_images,
        "num_classes": index.num_classes,
        "class_counts": index.class_counts(),
        "has_given_split": index.has_given_split,
        "num_ignored": index.num_ignored,
        "fingerprint": index.fingerprint,
        "findings": [asdict(finding) for finding in findings],
    }


def print_index(index: DatasetIndex, findings: Sequence[Finding]) -> None:
    """Print the classes of a data folder, then its findings with the files they are about."""
    print(f"{index.num_images:,} images in {index.num_classes} classes in {index.data_dir}\n")
    share = {
        name: Percent(count / index.num_images) for name, count in index.class_counts().items()
    }
    rows = [(name, count, share[name]) for name, count in index.class_counts().items()]
    print_table(("class", "images", "share"), rows)
    if index.has_given_split:
        print("\nThe folder itself says which image is for train, val and test.")
    for finding in findings:
        print(f"\n{finding.severity}: {finding.message}")
        for path in finding.paths[:_MAX_PATHS]:
            print(f"  {path}")
        if (num_more := len(finding.paths) - _MAX_PATHS) > 0:
            print(f"  and {num_more:,} more (--json lists all)")


def backbone_values(
    backbones: Sequence[Backbone], rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return what ``backbones --json`` prints; ``rates`` are measured images per second."""
    return [
        {**asdict(backbone), "images_per_second": rates.get(backbone.name)}
        for backbone in backbones
    ]


def print_backbones(backbones: Sequence[Backbone], rates: Mapping[str, float]) -> None:
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


def run_values(run: Run) -> dict[str, Any]:
    """Return what ``train --json`` prints: the run's folder and every figure of it."""
    from tl_core.data.split import PARTS

    history = run.history().astype(object)
    num_images = Counter(row.part for row in run.split())
    return {
        "run_dir": str(run.run_dir),
        "name": run.name,
        "state": run.state,
        "class_names": list(run.class_names),
        "num_images": {part: num_images[part] for part in PARTS},
        "val_accuracy": None,
        "test_accuracy": None,
        "seconds": {},
        "images_per_second": None,
        **run.metrics,
        "history": history.where(history.notna(), None).to_dict(orient="records"),
    }


def print_run(values: dict[str, Any]) -> None:
    """Print how a training run went, from :func:`run_values`."""
    if values["state"] == "stopped":
        epoch = values.get("best_epoch")
        kept = "no weights yet" if epoch is None else f"the weights of epoch {epoch + 1} are kept"
        print(f"stopped early, {kept}")
    for part in ("val", "test"):
        if (share := values.get(f"{part}_accuracy")) is not None:
            interval = _interval(values[f"{part}_interval"])
            num_images = values["num_images"][part]
            print(f"{part} accuracy  {percent(share)} {interval} on {num_images:,} images")
    if seconds := values["seconds"]:
        parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        print(f"seconds  {parts}")
    print(f"run  {_near(Path(values['run_dir']))}")


def run_row(run: Run) -> dict[str, Any]:
    """Return what ``runs --json`` prints of one run, also of one that cannot be read."""
    try:
        backbone, metrics = run.config.backbone, run.metrics
    except RunError:
        backbone, metrics = None, {}
    return {
        "run_dir": str(run.run_dir),
        "name": run.name,
        "state": run.state,
        "backbone": backbone,
        "val_accuracy": metrics.get("val_accuracy"),
        "test_accuracy": metrics.get("test_accuracy"),
        "created": run.created.isoformat(timespec="seconds"),
        "message": run.message,
    }


def print_runs(runs: Sequence[Run]) -> None:
    """Print runs as a table."""
    if not runs:
        print("No runs yet. Train one: python -m tl_core train DATA_DIR")
        return
    rows = []
    for run in runs:
        row = run_row(run)
        when = run.created.astimezone().strftime("%Y-%m-%d %H:%M")
        figures = [_share(row["val_accuracy"]), _share(row["test_accuracy"])]
        named = "" if run.name == run.id else run.name
        rows.append((run.id, named, run.state, row["backbone"] or "-", *figures, when))
    print_table(("run", "name", "state", "backbone", "val", "test", "when"), rows)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print accuracy, the figures of each class and the worst confusions."""
    where = {"all": "of the folder"}.get(evaluation.part, f"of the run's {evaluation.part} part")
    print(
        f"accuracy  {percent(evaluation.accuracy)} {_interval(evaluation.interval)} on "
        f"{len(evaluation.labels):,} images {where}\n"
        f"macro F1  {percent(evaluation.macro_f1)}\nlog loss  {evaluation.log_loss:.4f}"
    )
    for k, share in evaluation.top_k.items():
        print(f"top {k}  {percent(share)}")
    if evaluation.calibration.is_known:
        print(
            f"calibration error  {evaluation.ece:.3f} after scaling by temperature "
            f"{evaluation.calibration.temperature:.2f}, {evaluation.ece_before:.3f} before, "
            f"{evaluation.ece_by_chance:.3f} by chance alone"
        )
    if evaluation.thresholds is not None:
        print(f"none of these  {int(evaluation.is_none_of_these.sum()):,} images")
    print()
    rows = [
        (one.class_name, _share(one.precision), _share(one.recall), _share(one.f1), one.support)
        for one in evaluation.per_class
    ]
    print_table(("class", "precision", "recall", "f1", "images"), rows)
    confusions = evaluation.confusions()
    if confusions:
        print()
    for true_name, predicted_name, count in confusions[:_MAX_CONFUSIONS]:
        print(f"{count:,} of {true_name} taken for {predicted_name}")
    if evaluation.skipped:
        print(f"\n{len(evaluation.skipped):,} images were left out:")
        for path, reason in list(evaluation.skipped.items())[:_MAX_PATHS]:
            print(f"  {path}: {reason}")


def print_predictions(predictions: Sequence[Prediction]) -> None:
    """Print one line an image: its classes with their probabilities, or why there are none."""
    width = max((len(prediction.name) for prediction in predictions), default=0)
    for prediction in predictions:
        answer = "  ".join(f"{name} {percent(share)}" for name, share in prediction.top)
        if prediction.is_none_of_these:
            answer = f"none of these (nearest: {answer}): {' '.join(prediction.reasons)}"
        print(prediction.error or f"{prediction.name.ljust(width)}  {answer}")


def explanation_values(
    explanation: Explanation, neighbours: Sequence[Neighbour], out: Path
) -> dict[str, Any]:
    """Return what ``explain --json`` prints."""
    return {
        "overlay": str(out),
        "class": explanation.class_name,
        "probability": explanation.probability,
        "method": explanation.method,
        "none_of_these": explanation.prediction.is_none_of_these,
        "reasons": list(explanation.prediction.reasons),
        "nearest": [asdict(neighbour) for neighbour in neighbours],
    }


def print_explanation(values: dict[str, Any]) -> None:
    """Print what was explained, from :func:`explanation_values`."""
    print(f"{values['class']}  {percent(values['probability'])}")
    if values["none_of_these"]:
        print(f"none of these: {' '.join(values['reasons'])}")
    rows = [
        (one["path"], one["class_name"], f"{one['similarity']:.2f}") for one in values["nearest"]
    ]
    if rows:
        print("\nnearest training images")
        print_table(("image", "class", "alike"), rows)
    print(f"\noverlay  {values['overlay']}")


def cache_values(cache_dir: Path) -> dict[str, Any]:
    """Return what ``cache --json`` prints."""
    from tl_core.model.cache import open_feature_cache

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


def print_cache(values: dict[str, Any]) -> None:
    """Print how full the caches are."""
    print(f"{values['cache_dir']}\n")
    print(
        f"features  {values['num_features']:,} vectors, {_megabytes(values['feature_bytes'])} "
        f"of at most {_megabytes(values['feature_limit_bytes'])}\n"
        f"all files  {_megabytes(values['total_bytes'])}, converted backbones and scans among them"
    )


def _interval(interval: Sequence[float]) -> str:
    low, high = (100 * bound for bound in interval)
    return f"({low:.1f} to {high:.1f})"


def _share(value: float | None) -> Percent | None:
    return None if value is None else Percent(value)


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"


def _near(path: Path) -> Path:
    """Return the path as seen from here when it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
