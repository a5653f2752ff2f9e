"""What the page says about its model, as rows and tables that ``card.js`` draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from tl_core.export.graph import Precision
from tl_core.export.model_info import ModelInfo
from tl_core.runs.store import Run

MAX_CLASS_ROWS = 50
MAX_CONFUSIONS = 5

_NUM_NAMED = 6
_RESIZE = {
    "squash": "the whole photo, squashed to that size",
    "crop": "the centre of the photo",
    "pad": "the whole photo, with black bars",
}
_PRECISION = {
    "float32": "32-bit floating point",
    "float16": "16-bit floating point",
    "int8": "8-bit integers",
    "int8_weights": "8-bit integers (smallest layers 16-bit), computed with as 32-bit floats",
}
_LIMITS = (
    "The figures hold for photos like those the model was trained on; another camera, light or "
    "background can make it worse. “None of these” means that a photo is unlike all training "
    "photos, or that no class is probable enough. Do not rely on it alone where a mistake would "
    "harm someone."
)
_DEEP = (
    "The model was trained on 16-bit photos, of which browsers read the upper 8 bits only. For "
    "such photos this page does not answer as the studio does; use another format of the export."
)
_PRIVACY = (
    "Everything runs in this browser. Photos and camera pictures are read by this page only, are "
    "not stored and cannot be sent: the page's Content-Security-Policy allows no connection other "
    "than loading its own files{hosts}."
)


class Facts(TypedDict):
    """A titled list of labels and values."""

    title: str
    rows: list[tuple[str, str]]


class Table(TypedDict):
    """A titled table; the first column names its rows."""

    title: str
    header: list[str]
    rows: list[list[str]]


class Note(TypedDict):
    """A titled paragraph."""

    title: str
    text: str


class Card(TypedDict):
    """The model card. ``headline`` is the one figure that stands beside every answer."""

    headline: str
    summary: str
    facts: list[Facts]
    tables: list[Table]
    notes: list[Note]


def describe(class_names: Sequence[str]) -> str:
    """Return one line that names the classes of a model.

    >>> describe(["cat", "dog"])
    'Tells apart 2 classes: cat, dog.'
    """
    shown = ", ".join(class_names[:_NUM_NAMED])
    more = len(class_names) - _NUM_NAMED
    return f"Tells apart {len(class_names)} classes: {shown}{f' and {more} more' * (more > 0)}."


def make_card(run: Run, info: ModelInfo, precision: Precision, hosts: str) -> Card:
    """Describe a run for the visitors of its page, by the figures in ``info.metrics``.

    Args:
        run: the run.
        info: the content of ``model.json``.
        precision: of the network's weights.
        hosts: where the page loads its runtime from; empty for its own folder.
    """
    metrics = info.metrics
    counts = run.metrics.get("num_images", {})
    summary = f"Trained on {counts['train']:,} photos." if counts.get("train") else ""
    headline = ""
    if metrics.get("accuracy") is not None:
        part = "test" if metrics["part"] == "test" else "validation"
        accuracy, count = _percent(metrics["accuracy"]), metrics["num_images"]
        headline = f"Right on {accuracy} of {count:,} {part} photos."
        summary += f" The figures rest on {count:,} {part} photos that it was not trained on."
    return {
        "headline": headline,
        "summary": summary.strip(),
        "facts": [
            {"title": "How good it is", "rows": _quality(info)},
            {"title": "How it was made", "rows": _making(run, info, precision)},
        ],
        "tables": _tables(metrics),
        "notes": [
            {"title": "What to keep in mind", "text": _LIMITS},
            *([] if info.pixel_scale is None else [Note(title="16-bit photos", text=_DEEP)]),
            {
                "title": "Privacy",
                "text": _PRIVACY.format(hosts=f", and its runtime from {hosts}" if hosts else ""),
            },
        ],
    }


def _quality(info: ModelInfo) -> list[tuple[str, str]]:
    metrics, rows = info.metrics, []
    if metrics.get("accuracy") is not None:
        low, high = (100 * value for value in metrics["interval"])
        rows.append(("Accuracy", _percent(metrics["accuracy"])))
        rows.append(("95 % interval", f"{low:.1f} to {high:.1f} %"))
        rows.append(("Macro F1", _percent(metrics["macro_f1"])))
        rows.append(("Calibration error", _calibration_words(metrics)))
    else:
        rows.append(("Accuracy", "not measured"))
    if info.rejection is not None:
        rows.append(("Known photos rejected", _percent(info.rejection.false_reject)))
        if info.rejection.false_accept is not None:
            rows.append(("Unknown photos accepted", _percent(info.rejection.false_accept)))
    return rows


def _calibration_words(metrics: Mapping[str, Any]) -> str:
    """Return the calibration error with what perfect probabilities would show on so few photos."""
    error, by_chance = (100 * metrics[name] for name in ("ece", "ece_by_chance"))
    return f"{error:.1f} points; {by_chance:.1f} by chance alone on so many photos"


def _making(run: Run, info: ModelInfo, precision: Precision) -> list[tuple[str, str]]:
    height, width = info.image_size
    widths = run.config.fc_layers
    layers = f"{', '.join(map(str, widths))} units" if widths else "softmax only"
    blocks = run.config.fine_tune_blocks
    return [
        ("Network", f"{info.backbone}, {width} x {height} pixels"),
        ("Sees", _RESIZE[info.resize]),
        ("Layers on top", layers),
        ("Fine-tuned", f"the last {blocks} blocks" if blocks else "no, frozen"),
        ("Weights", _PRECISION[precision]),
        ("Temperature", f"{info.temperature:.2f}"),
        ("Exported", f"{info.created[:10]}, tl_core {info.tl_core_version}"),
    ]


def _tables(metrics: Mapping[str, Any]) -> list[Table]:
    if metrics.get("accuracy") is None:
        return []
    classes: Table = {
        "title": "By class",
        "header": ["Class", "Found", "Right when named", "Photos"],
        "rows": [
            [
                row["class_name"],
                _percent(row["recall"]),
                _percent(row["precision"]),
                str(row["support"]),
            ]
            for row in metrics["per_class"][:MAX_CLASS_ROWS]
        ],
    }
    names = [row["class_name"] for row in metrics["per_class"]]
    wrong = sorted(
        (
            (count, true, answer)
            for true, row in zip(names, metrics["confusion_matrix"], strict=True)
            for answer, count in zip(names, row, strict=True)
            if true != answer and count
        ),
        key=lambda one: -one[0],
    )
    confusions: Table = {
        "title": "Most frequent mistakes",
        "header": ["Class", "Answer", "Photos"],
        "rows": [[true, answer, str(count)] for count, true, answer in wrong[:MAX_CONFUSIONS]],
    }
    return [classes, confusions] if wrong else [classes]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
