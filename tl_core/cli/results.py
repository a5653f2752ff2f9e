"""Commands that use a finished run: evaluate, predict, explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import AsJson, Quiet, RunDir, WorkspaceDir, workspace_at
from tl_core.cli.terminal import (
    MAX_PATHS,
    interval_text,
    percent,
    percent_cell,
    print_json,
    print_table,
    say,
    working,
)

if TYPE_CHECKING:
    from tl_core.evaluation.evaluate import Evaluation
    from tl_core.inference.answer_table import Counts
    from tl_core.inference.explain import Explanation
    from tl_core.inference.nearest_images import Neighbour
    from tl_core.inference.predict import Prediction

_MAX_CONFUSIONS = 5


def evaluate(
    run_dir: RunDir,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Other images than those the run kept for testing."),
    ] = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on the images it kept for testing, or on another folder."""
    from tl_core.evaluation.evaluate import evaluate_run

    with working(quiet, as_json) as (_, monitor):
        evaluation = evaluate_run(
            run_dir, data_dir, cache_dir=workspace_at(workspace).cache_dir, **monitor.callbacks
        )
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print_evaluation(evaluation)


def predict(
    run_dir: RunDir,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE_OR_DIR...", help="Image files, or folders of them."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the answers to a new .csv or .parquet file: any number of photos. What "
            "was stopped or killed continues when the same command is run again.",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Classes shown per image.")] = 3,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Classify images with a run or a bundle. One that cannot be read gets its reason."""
    from tl_core.inference.predict import load_predictor

    cache_dir = workspace_at(workspace).cache_dir
    if out is not None:
        from tl_core.inference.bulk import predict_to_file

        with working(quiet, as_json) as (_, monitor):
            predictor = load_predictor(run_dir, cache_dir)
            counts = predict_to_file(predictor, images, out, **monitor.callbacks)
        if as_json:
            print_json(counts.to_dict(predictor.class_names) | {"out": str(out)})
        else:
            _print_counts(counts, predictor.class_names, out)
        return
    from tl_core.inference.image_files import find_images

    with working(quiet, as_json) as (_, monitor):
        paths = find_images(images)
        predictor = load_predictor(run_dir, cache_dir)
        predictions = predictor.predict(paths, top_k, **monitor.callbacks)
    if as_json:
        print_json([prediction.to_dict() for prediction in predictions])
    else:
        _print_predictions(predictions)


def explain(
    run_dir: RunDir,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the picture with its heat map goes.")
    ] = Path("overlay.png"),
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="What to explain.  [the answer]"),
    ] = None,
    method: Annotated[str, typer.Option(help="grad_cam or grad_cam++.")] = "grad_cam",
    opacity: Annotated[float, typer.Option(help="Of the hottest place, 0 to 1.")] = 0.6,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show where in a photo a run looked, and which training images are nearest to it."""
    from tl_core.inference.explain import explain_with, overlay, save_picture
    from tl_core.inference.nearest_images import nearest_with
    from tl_core.inference.predict import load_predictor

    with working(quiet, as_json) as (_, monitor):
        predictor = load_predictor(run_dir, workspace_at(workspace).cache_dir)
        explanation = explain_with(predictor, image, class_name, method, monitor=monitor)
        save_picture(overlay(explanation, opacity), out)
        (neighbours,) = nearest_with(predictor, [image])
    values = _explanation_values(explanation, neighbours, out)
    if as_json:
        print_json(values)
    else:
        _print_explanation(values)


def _print_evaluation(evaluation: Evaluation) -> None:
    """Print accuracy, the figures of each class and the worst confusions."""
    where = {"all": "of the folder"}.get(evaluation.part, f"of the run's {evaluation.part} part")
    say(
        f"accuracy  {percent(evaluation.accuracy)} {interval_text(evaluation.interval)} on "
        f"{len(evaluation.labels):,} images {where}"
    )
    say(f"macro F1  {percent(evaluation.macro_f1)}")
    say(f"log loss  {evaluation.log_loss:.4f}")
    for k, share in evaluation.top_k.items():
        say(f"top {k}  {percent(share)}")
    if evaluation.calibration.is_known:
        say(
            f"calibration error  {evaluation.ece:.3f} after scaling by temperature "
            f"{evaluation.calibration.temperature:.2f}, {evaluation.ece_before:.3f} before, "
            f"{evaluation.ece_by_chance:.3f} by chance alone"
        )
    if evaluation.thresholds is not None:
        say(f"none of these  {int(evaluation.is_none_of_these.sum()):,} images")
    say()
    rows = [
        (
            one.class_name,
            percent_cell(one.precision),
            percent_cell(one.recall),
            percent_cell(one.f1),
            one.support,
        )
        for one in evaluation.per_class
    ]
    print_table(("class", "precision", "recall", "f1", "images"), rows)
    confusions = evaluation.confusions()
    if confusions:
        say()
    for true_name, predicted_name, count in confusions[:_MAX_CONFUSIONS]:
        say(f"{count:,} of {true_name} taken for {predicted_name}")
    if evaluation.skipped:
        say(f"\n{len(evaluation.skipped):,} images were left out:")
        for path, reason in list(evaluation.skipped.items())[:MAX_PATHS]:
            say(f"  {path}: {reason}")


def _print_predictions(predictions: Sequence[Prediction]) -> None:
    """Print one line an image: its classes with their probabilities, or why there are none."""
    width = max((len(prediction.name) for prediction in predictions), default=0)
    for prediction in predictions:
        answer = "  ".join(f"{name} {percent(share)}" for name, share in prediction.top)
        if prediction.is_none_of_these:
            answer = f"none of these (nearest: {answer}): {' '.join(prediction.reasons)}"
        say(prediction.error or f"{prediction.name.ljust(width)}  {answer}")


def _print_counts(counts: Counts, class_names: Sequence[str], out: Path) -> None:
    """Print how many photos got which answer, and where the answers are."""
    named = dict(zip(class_names, counts.by_label, strict=True))
    rows = [(name, count) for name, count in named.items() if count]
    others = {"none of these": counts.none, "not readable": counts.unreadable}
    rows += [(name, count) for name, count in others.items() if count]
    print_table(("class", "photos"), rows)
    say(f"\nanswers  {out}")


def _explanation_values(
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


def _print_explanation(values: dict[str, Any]) -> None:
    """Print what was explained, from :func:`_explanation_values`."""
    say(f"{values['class']}  {percent(values['probability'])}")
    if values["none_of_these"]:
        say(f"none of these: {' '.join(values['reasons'])}")
    rows = [
        (one["path"], one["class_name"], f"{one['similarity']:.2f}") for one in values["nearest"]
    ]
    if rows:
        say("\nnearest training images")
        print_table(("image", "class", "alike"), rows)
    say(f"\noverlay  {values['overlay']}")
