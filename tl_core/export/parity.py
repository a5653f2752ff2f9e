"""The proof that an exported model agrees with the app.

The export is opened in a clean child process by its own ``predict.py``, with its own runtime and
without this package, and answers photos that the app answers as well.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tl_core.data.dataset import DatasetIndex
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.images import load_image, open_image
from tl_core.errors import DatasetError, ExportError, ImageError, RunError
from tl_core.export.formats import Format
from tl_core.export.graph import Precision
from tl_core.export.model_info import ModelInfo
from tl_core.export.odd_images import draw_odd_images
from tl_core.export.predict_script import PREDICT_FILE
from tl_core.inference.predict import Prediction, Predictor
from tl_core.metrics import classification
from tl_core.processes import run_watched
from tl_core.progress import SILENT, Monitor, Stage
from tl_core.runs.image_selection import select_part
from tl_core.runs.store import Run

PARITY_FILE = "parity.json"
STAGE = "parity"
MAX_PHOTOS = 500
MAX_NAIVE_PHOTOS = 200


@dataclass(frozen=True)
class Limits:
    """What an export has to reach.

    Args:
        min_agreement: share of the images whose most probable class is the app's.
        max_difference: greatest difference of a probability; None where none is asked for.
    """

    min_agreement: float
    max_difference: float | None = None


LIMITS: dict[Precision, Limits] = {
    "float32": Limits(1.0, 1e-4),
    "float16": Limits(0.995),
    "int8": Limits(0.8),
    "int8_weights": Limits(0.95),
}


@dataclass(frozen=True)
class ProofPhoto:
    """One image of the proof; ``label`` is None for the odd images, which have no class."""

    path: Path
    label: int | None = None


def choose_photos(
    run: Run, index: DatasetIndex | None, limit: int = MAX_PHOTOS
) -> list[ProofPhoto]:
    """Return photos that the run was not trained on: of its test part, then of its val part.

    Args:
        run: the run.
        index: its images under the decisions that hold; None where they are gone.
        limit: how many at most; more are thinned out evenly.
    """
    photos: list[ProofPhoto] = []
    for part in ("test", "val"):
        if index is None or len(photos) >= limit:
            break
        try:
            found, chosen = select_part(run, index, part)
        except (DatasetError, RunError):
            continue
        if found != part:
            continue
        num = min(len(chosen.positions), limit - len(photos))
        photos += [
            ProofPhoto(index.path_of(index.records[chosen.positions[place]]), chosen.labels[place])
            for place in np.linspace(0, len(chosen.positions) - 1, num).astype(int)
        ]
    return photos


def check_parity(
    row: Format,
    folder: Path,
    info: ModelInfo,
    predictor: Predictor,
    photos: Sequence[ProofPhoto],
    *,
    monitor: Monitor = SILENT,
) -> dict[str, Any]:
    """Compare an export with the app, and return the content of ``parity.json``.

    Args:
        row: the format.
        folder: holds the model's files, ``model.json`` and ``predict.py``.
        info: the content of ``model.json``.
        predictor: the app's answer to any photo.
        photos: from :func:`choose_photos`; the odd images are added.
        monitor: reports the stage ``"parity"``.

    Raises:
        ExportError: the export does not open or does not answer.
        Stopped: ``monitor`` was asked to stop.
    """
    with tempfile.TemporaryDirectory() as name:
        every = [*photos, *write_odd_images(Path(name))]
        paths = [photo.path for photo in every]
        stage = monitor.stage(STAGE, 2 * len(paths))  # the export answers, then the app
        answers = _ask_export(row, folder, paths, stage)
        app = answer_in_app(predictor, paths, stage, monitor)
        pixels = [_pixels_digest(path, info) for path in paths]
    kept, problems, num_pixels_equal = [], [], 0
    for place, (answer, own, digest) in enumerate(zip(answers, app, pixels, strict=True)):
        if own.probabilities is None:
            continue  # a photo that is gone or broken by now
        if "error" in answer:
            problems.append(f"{paths[place].name}: {answer['error']}")
            continue
        kept.append(place)
        num_pixels_equal += answer["pixels"] == digest
    if not kept:
        raise ExportError(
            f"{row.title} answered none of {len(paths)} images: {'; '.join(problems[:3])}."
        )
    theirs = np.array(
        [[answers[place]["probabilities"][name] for name in info.class_names] for place in kept],
        np.float32,
    )
    ours = np.stack([np.asarray(app[place].probabilities) for place in kept])
    difference = np.abs(theirs - ours)
    agrees = theirs.argmax(axis=1) == ours.argmax(axis=1)
    limits = LIMITS[row.precision]
    greatest = float(difference.max())
    is_within = limits.max_difference is None or greatest <= limits.max_difference
    stage.look()
    return {
        "format": row.name,
        "agrees": bool(
            agrees.mean() >= limits.min_agreement
            and is_within
            and not problems
            and num_pixels_equal == len(kept)
        ),
        "num_photos": sum(place < len(photos) for place in kept),
        "num_odd_images": sum(place >= len(photos) for place in kept),
        "top1_agreement": float(agrees.mean()),
        "max_difference": greatest,
        "mean_difference": float(difference.mean()),
        "pixels_equal": num_pixels_equal,
        "problems": problems,
        "limits": {
            "top1_agreement": limits.min_agreement,
            "max_difference": limits.max_difference,
        },
        **accuracies([every[place].label for place in kept], theirs, ours),
        "images_per_second": images_per_second([answers[place]["seconds"] for place in kept]),
        "bytes": size_of(folder),
        "naive_resize": naive_resize(predictor, info, photos, monitor),
        "versions": _versions(row),
    }


def refusal(row: Format, parity: dict[str, Any]) -> str:
    """Return why an export that does not agree with the app is not offered."""
    total = parity["num_photos"] + parity["num_odd_images"]
    limits, reasons = parity["limits"], []
    if parity["top1_agreement"] < limits["top1_agreement"]:
        different = round((1 - parity["top1_agreement"]) * total)
        reasons.append(f"its answer is another one on {different} of {total} images")
    for key, what in (
        ("max_difference", "a probability differs"),
        ("mean_difference", "probabilities differ on average"),
    ):
        limit = limits.get(key)
        if limit is not None and parity[key] > limit:
            reasons.append(f"{what} by {parity[key]:.2g}, at most {limit:g} is allowed")
    if parity.get("pixels_equal", total) < total:
        reasons.append(f"the pixels of {total - parity['pixels_equal']} images are different")
    if parity["problems"]:
        reasons.append(f"it cannot read {len(parity['problems'])} images")
    return (
        f"The model as {row.title} does not agree with the app: {'; '.join(reasons)}. "
        "It was not kept. Choose another format."
    )


def answer_in_app(
    predictor: Predictor, paths: Sequence[Path], stage: Stage, monitor: Monitor
) -> list[Prediction]:
    """Return the app's answers, counted as the second half of a stage."""
    return predictor.predict(
        paths,
        on_progress=lambda progress: stage.update(len(paths) + progress.done),
        should_stop=monitor.is_stopped,
    )


def write_odd_images(folder: Path) -> list[ProofPhoto]:
    """Write the odd images into a folder, and return them."""
    photos = []
    for name, content in draw_odd_images().items():
        (folder / name).write_bytes(content)
        photos.append(ProofPhoto(folder / name))
    return photos


def _ask_export(
    row: Format, folder: Path, paths: Sequence[Path], stage: Stage
) -> list[dict[str, Any]]:
    """Return what the export's own ``predict.py`` prints about each image."""
    with tempfile.TemporaryDirectory() as name:
        listed = Path(name) / "photos.json"
        listed.write_text(json.dumps([str(path) for path in paths]), encoding="utf-8")
        # -I and no PYTHONPATH: nothing of this package, of the user's folder or of theirs.
        command = [sys.executable, "-I", "-B", PREDICT_FILE, "--json", "--list", str(listed)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        environment.pop("PYTHONPATH", None)
        ended = run_watched(command, stage.look, environment=environment, cwd=folder)
    answers = [json.loads(line) for line in ended.out.splitlines() if line.startswith("{")]
    if len(answers) != len(paths):
        raise ExportError(
            f"{row.title} was written but cannot be used here: {ended.reason}. It was not kept."
        )
    return answers


def _pixels_digest(path: Path, info: ModelInfo) -> str:
    try:
        scale = None if info.pixel_scale is None else PixelScale(*info.pixel_scale)
        pixels = load_image(path, info.image_size, info.resize, scale)
    except ImageError:
        return ""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def accuracies(
    labels: Sequence[int | None], theirs: np.ndarray, ours: np.ndarray
) -> dict[str, Any]:
    """Return both accuracies on the labelled images, and the drop with its 95 % interval."""
    known = np.array([label is not None for label in labels])
    if not known.any():
        return dict.fromkeys(("accuracy", "app_accuracy", "drop", "drop_interval"))
    true = np.array([label for label in labels if label is not None])
    right = theirs[known].argmax(axis=1) == true
    app_right = ours[known].argmax(axis=1) == true
    interval = classification.paired_difference_interval(
        int(np.sum(app_right & ~right)), int(np.sum(right & ~app_right)), len(true)
    )
    return {
        "accuracy": float(right.mean()),
        "app_accuracy": float(app_right.mean()),
        "drop": float(app_right.mean() - right.mean()),
        "drop_interval": list(interval),
    }


def naive_resize(
    predictor: Predictor, info: ModelInfo, photos: Sequence[ProofPhoto], monitor: Monitor
) -> dict[str, Any] | None:
    """Return what it costs to resize the whole photo as OpenCV does by default.

    Its bilinear looks at four pixels for each output pixel however much the photo shrinks, so that
    fine detail turns into noise.
    """
    some = list(photos)[:: max(1, -(-len(photos) // MAX_NAIVE_PHOTOS))]
    naive, paths = [], []
    for photo in some:
        try:
            pixels = resize_naively(np.asarray(open_image(photo.path)), info.image_size)
        except ImageError:
            continue
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "BMP")
        naive.append(buffer.getvalue())
        paths.append(photo)
    if not naive:
        return None
    theirs = predictor.predict(naive, should_stop=monitor.is_stopped)
    ours = predictor.predict([photo.path for photo in paths], should_stop=monitor.is_stopped)
    first = np.stack([np.asarray(one.probabilities) for one in theirs])
    second = np.stack([np.asarray(one.probabilities) for one in ours])
    return {
        "num_photos": len(paths),
        "top1_agreement": float((first.argmax(axis=1) == second.argmax(axis=1)).mean()),
        "max_difference": float(np.abs(first - second).max()),
        "mean_difference": float(np.abs(first - second).mean()),
        **accuracies([photo.label for photo in paths], first, second),
    }


def resize_naively(pixels: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resize (height, width, 3) uint8 by interpolating four pixels, as ``cv2.resize`` does.

    Args:
        pixels: the whole photo.
        image_size: (height, width) in pixels.
    """
    places = []
    for length, new in zip(pixels.shape[:2], image_size, strict=True):
        centres = (np.arange(new) + 0.5) * (length / new) - 0.5
        low = np.floor(centres).astype(int)
        share = (centres - low).astype(np.float32)
        places.append((low.clip(0, length - 1), (low + 1).clip(0, length - 1), share))
    (top, bottom, down), (left, right, across) = places
    across = across[None, :, None]
    upper = pixels[top][:, left] * (1 - across) + pixels[top][:, right] * across
    lower = pixels[bottom][:, left] * (1 - across) + pixels[bottom][:, right] * across
    down = down[:, None, None]
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)


def images_per_second(seconds: Sequence[float]) -> float:
    """Return the rate from the seconds that each image took."""
    return round(len(seconds) / sum(seconds), 1)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def _versions(row: Format) -> dict[str, str]:
    """Return the versions of Python and of the packages that opened the export."""
    names = [re.split("[<>=~!]", requirement)[0] for requirement in row.requirements]
    found = {"python": platform.python_version()}
    for name in (*names, "pillow", "numpy"):
        found[name] = importlib.metadata.version(name)
    return found
