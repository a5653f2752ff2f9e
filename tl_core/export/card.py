"""The model card: ``README.md`` with Hugging Face front matter, from the run's own figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tl_core.data.split import PARTS
from tl_core.export.formats import Format
from tl_core.export.model_info import ModelInfo
from tl_core.export.predict_script import PREDICT_FILE, REQUIREMENTS_FILE
from tl_core.runs.store import Run

CARD_FILE = "README.md"
MAX_CONFUSION_CLASSES = 12
MAX_CONFUSIONS = 10

_LIBRARIES = {
    "keras": "keras",
    "notebook": "keras",
    "savedmodel": "keras",
    "onnx": "onnx",
    "openvino": "openvino",
}
_RESIZE_WORDS = {
    "squash": "both sides are brought to that size, so that the aspect changes",
    "crop": "the largest centred part of that aspect is taken",
    "pad": "the whole photo is fitted in, on black",
}


def model_card(run: Run, row: Format, info: ModelInfo, parity: dict[str, Any] | None) -> str:
    """Return the text of the model card.

    No path of this machine is in it, so that it can be published as it is.

    Args:
        run: the run.
        row: the format it was exported in.
        info: the content of ``model.json``.
        parity: the content of ``parity.json``; None for a format that is not compared.
    """
    sections = [
        _front_matter(row, info),
        f"# {info.name}\n\n{_summary(info)}",
        _use(row, info),
        _figures(info),
        _limits(row, info),
        _parity(row, parity),
        _data(run),
        _making(run, row, info),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(row: Format, info: ModelInfo) -> str:
    """Return the YAML head; JSON strings are YAML strings, whatever is in them."""
    if row.space:  # the others are of a model
        lines = ["---", f"title: {json.dumps(info.name)}", *row.space, "pinned: false", "---"]
        return "\n".join(lines)
    lines = [
        "---",
        f"library_name: {_LIBRARIES.get(row.name, 'tflite')}",
        "pipeline_tag: image-classification",
        "tags:",
        "- image-classification",
        f"- {json.dumps(info.backbone)}",
    ]
    accuracy = info.metrics.get("accuracy")
    if accuracy is not None:
        part = json.dumps(info.metrics.get("part", "test"))
        lines += [
            "metrics:",
            "- accuracy",
            "model-index:",
            f"- name: {json.dumps(info.name)}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            f"      name: {json.dumps(f'own photos of {len(info.class_names)} classes')}",
            "      type: image-folder",
            f"      split: {part}",
            "    metrics:",
            "    - type: accuracy",
            f"      value: {accuracy:.4f}",
        ]
    return "\n".join([*lines, "---"])


def _summary(info: ModelInfo) -> str:
    names = ", ".join(_code(name) for name in info.class_names[:20])
    more = f" and {len(info.class_names) - 20} more" if len(info.class_names) > 20 else ""
    return (
        f"Tells {len(info.class_names)} classes of photos apart: {names}{more}. A head trained on "
        f"{info.backbone}, with preprocessing and probability calibration inside the model."
    )


def _use(row: Format, info: ModelInfo) -> str:
    if row.use:
        return row.use
    height, width = info.image_size
    text = (
        "## Use\n\n"
        f"Runs with {row.runtime}. {row.purpose}\n\n"
        f"- Input: RGB, {info.input.dtype} in 0 to 255, (batch, {height}, {width}, 3). To get "
        f"there, {_RESIZE_WORDS[info.resize]}.\n"
        "- Output: one probability a class, in the order of `class_names` in `model.json`."
    )
    if row.open_code is not None:
        text += (
            f"\n\n```\npip install -r {REQUIREMENTS_FILE}\npython {PREDICT_FILE} PHOTO...\n```\n\n"
            f"`{PREDICT_FILE}` reads photos exactly as in training (upright, transparency on "
            "white, resized with antialiasing). Copy its `load_pixels` into your own program."
        )
    return text


def _figures(info: ModelInfo) -> str:
    metrics = info.metrics
    if metrics.get("accuracy") is None:
        return "## How good it is\n\nNot measured: the photos kept for testing were not available."
    lines = [
        "## How good it is",
        "",
        f"On {metrics['num_images']:,} photos of the {metrics['part']} part, which the model was "
        f"not trained on: accuracy {_percent(metrics['accuracy'])} "
        f"(95 % interval {_interval(metrics['interval'])}), macro F1 "
        f"{_percent(metrics['macro_f1'])}.",
        "",
        "| class | precision | recall | F1 | photos |",
        "|---|---|---|---|---|",
    ]
    for one in metrics["per_class"]:
        shares = (_percent(one[key]) for key in ("precision", "recall", "f1"))
        lines.append(f"| {_cell(one['class_name'])} | {' | '.join(shares)} | {one['support']} |")
    lines += ["", *_confusion(info.class_names, metrics["confusion_matrix"])]
    lines += [
        "",
        f"**Calibration.** Expected calibration error {metrics['ece']:.3f} after dividing the "
        f"logits by {info.temperature:.2f} ({metrics['ece_before']:.3f} before; perfect "
        f"probabilities would show {metrics['ece_by_chance']:.3f} on so few photos).",
    ]
    return "\n".join(lines)


def _confusion(names: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[str]:
    """Return the confusion matrix, or its greatest cells where there are many classes."""
    if len(names) <= MAX_CONFUSION_CLASSES:
        lines = [
            "| true class ↓, answer → | " + " | ".join(map(_cell, names)) + " |",
            "|---" * (len(names) + 1) + "|",
        ]
        for name, row in zip(names, matrix, strict=True):
            lines.append(f"| {_cell(name)} | " + " | ".join(map(str, row)) + " |")
        return lines
    wrong = [
        (count, true, answer)
        for i, (true, row) in enumerate(zip(names, matrix, strict=True))
        for j, (answer, count) in enumerate(zip(names, row, strict=True))
        if i != j and count
    ]
    wrong.sort(key=lambda one: -one[0])
    lines = ["| true class | answer | photos |", "|---|---|---|"]
    lines += [f"| {_cell(t)} | {_cell(a)} | {count} |" for count, t, a in wrong[:MAX_CONFUSIONS]]
    return lines


def _limits(row: Format, info: ModelInfo) -> str:
    rejection = info.rejection
    applied = row.rejection or (
        "This export gives probabilities alone, so only the second limit can be applied to it."
    )
    lines = [
        "## Intended use and limits",
        "",
        "For photos like those it was trained on. It answers with one of its classes whatever a "
        "photo shows, is not tested on other sources, and should not decide alone where a mistake "
        "harms someone.",
    ]
    if rejection is not None:
        lines += [
            "",
            "**None of these.** The app turns a photo away when no training photo is near it in "
            f"the backbone's features (mean cosine distance to the nearest three above "
            f"{rejection.max_distance:.3f}) or when no class reaches "
            f"{_percent(rejection.min_probability)}. That rejected "
            f"{_percent(rejection.false_reject)} of the validation photos. {applied}",
        ]
    return "\n".join(lines)


def _parity(row: Format, parity: dict[str, Any] | None) -> str:
    if parity is None:
        return ""
    if reason := parity.get("not_proven"):
        return f"## Agreement with the app\n\nNot proven: {reason}."
    lines = [
        "## Agreement with the app",
        "",
        f"Compared on {parity['num_photos']} photos and {parity['num_odd_images']} generated "
        "images in unusual formats (turned by EXIF, transparent, 16-bit, CMYK, ...); the record is "
        "`parity.json`."
        + (" Browsers read some of the generated images differently." if row.is_page else ""),
        "",
        "| | |",
        "|---|---|",
        f"| same most probable class | {_percent(parity['top1_agreement'], 2)} |",
        f"| greatest difference of a probability | {parity['max_difference']:.2g} |",
        f"| mean difference | {parity['mean_difference']:.2g} |",
        f"| photos a second, one at a time | {parity['images_per_second']:,.0f} |",
        f"| size | {parity['bytes'] / 1e6:,.1f} MB |",
    ]
    if row.precision != "float32" and parity["drop"] is not None:
        lines.append(f"| accuracy on these photos | {accuracy_change(parity)} |")
    naive = parity["naive_resize"]
    if naive is not None:
        lines += [
            "",
            "**Resize with antialiasing.** With the plain bilinear resize that OpenCV does by "
            f"default, without antialiasing, the answer changes on "
            f"{_percent(1 - naive['top1_agreement'])} of {naive['num_photos']} photos and a "
            f"probability by up to {naive['max_difference']:.2f}.",
        ]
    return "\n".join(lines)


def accuracy_change(parity: dict[str, Any]) -> str:
    """Return how accurate an export is beside the app, with the interval of the difference."""
    low, high = (100 * value for value in parity["drop_interval"])
    return (
        f"{_percent(parity['accuracy'])}, the app {_percent(parity['app_accuracy'])} "
        f"(95 % interval of the difference {-high:+.1f} to {-low:+.1f} points)"
    )


def _data(run: Run) -> str:
    rows = run.split()
    if not rows:
        return ""
    counts = Counter((row.class_name, row.part) for row in rows)
    present = [part for part in PARTS if any(row.part == part for row in rows)]
    lines = [
        "## Data",
        "",
        f"{len(rows):,} photos. No two parts have an identical photo.",
        "",
        f"| class | {' | '.join(present)} |",
        "|---" * (len(present) + 1) + "|",
    ]
    for name in dict.fromkeys(row.class_name for row in rows):
        cells = " | ".join(str(counts[name, part]) for part in present)
        lines.append(f"| {_cell(name)} | {cells} |")
    return "\n".join(lines)


def _making(run: Run, row: Format, info: ModelInfo) -> str:
    versions = run.origin.get("versions")
    used = ", ".join(f"{name} {version}" for name, version in (versions or {}).items())
    settings = run.config.model_dump_json(indent=2, exclude_defaults=True)
    return (
        "## How it was made\n\n"
        f"Trained {run.created:%Y-%m-%d}" + (f" with {used}" if used else "") + ". To make it "
        "again, put the photos into one folder a class and these settings, the rest being "
        f"defaults, into `config.json`:\n\n```json\n{settings}\n```\n\n"
        "```\ntl train DATA_DIR --config config.json\n"
        f"tl export RUN_DIR --format {row.name} --out OUT_DIR\n```\n\n"
        f"Exported {info.created} by tl_core {info.tl_core_version}."
    )


def _percent(share: float | None, digits: int = 1) -> str:
    return "" if share is None else f"{100 * share:.{digits}f} %"


def _interval(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _cell(text: str) -> str:
    """Return a name so that it stays inside its cell of a table and is no markup."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~&" else c for c in " ".join(text.split()))


def _code(text: str) -> str:
    return _cell(text)
