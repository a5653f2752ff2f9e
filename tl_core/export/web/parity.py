"""The proof that an exported page answers as the app does, by a browser of this machine.

Browsers decode photos themselves, so pixels may differ by a little, and with them the
probabilities. Where there is no browser, nothing is proven, and the record says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import ExportError
from tl_core.export.formats import Format
from tl_core.export.graph import Precision
from tl_core.export.model_info import ModelInfo
from tl_core.export.parity import (
    STAGE,
    ProofPhoto,
    accuracies,
    answer_in_app,
    images_per_second,
    naive_resize,
    size_of,
    write_odd_images,
)
from tl_core.export.web.browser import NO_BROWSER, answer_in_browser, find_browser
from tl_core.inference.predict import Predictor
from tl_core.progress import SILENT, Monitor

MIN_AGREEMENT: dict[Precision, float] = {"float32": 0.99, "float16": 0.99, "int8_weights": 0.95}
"""Share of the photos whose most probable class is the app's; one photo may always differ."""
MAX_MEAN_DIFFERENCE = 0.005


def check_page(
    row: Format,
    folder: Path,
    info: ModelInfo,
    predictor: Predictor,
    photos: Sequence[ProofPhoto],
    *,
    monitor: Monitor = SILENT,
) -> dict[str, Any]:
    """Compare a page with the app in a browser, and return the content of ``parity.json``.

    Args:
        row: the format.
        folder: of the page, with its ``model.json``.
        info: the content of ``model.json``.
        predictor: the app's answer to any photo.
        photos: from :func:`~tl_core.export.parity.choose_photos`; odd images are added, and
            compared by themselves, as browsers read some of them otherwise.
        monitor: reports the stage ``"parity"``.

    Returns:
        As :func:`~tl_core.export.parity.check_parity`; ``agrees`` is None, with the reason as
        ``not_proven``, where no browser can tell.

    Raises:
        Stopped: ``monitor`` was asked to stop.
    """
    browser = find_browser()
    if browser is None:
        return _not_proven(row, NO_BROWSER)
    with tempfile.TemporaryDirectory() as name:
        every = [*photos, *write_odd_images(Path(name))]
        paths = [photo.path for photo in every]
        stage = monitor.stage(STAGE, 2 * len(paths))  # the export answers, then the app
        try:
            answers = answer_in_browser(browser, folder, paths, stage)
        except ExportError as error:
            return _not_proven(row, str(error))
        app = answer_in_app(predictor, paths, stage, monitor)
    kept, problems = [], []
    for number, own in enumerate(app):
        answer = answers.by_number.get(number, {"error": "no answer"})
        if own.probabilities is None:
            continue  # a photo that is gone or broken by now
        if "error" in answer:
            problems.append(f"{paths[number].name}: {answer['error']}")
            continue
        kept.append(number)
    if not kept:
        return _not_proven(row, f"the browser answered no image: {'; '.join(problems[:1])}")
    theirs = np.array([answers.by_number[number]["probabilities"] for number in kept], np.float32)
    ours = np.stack([np.asarray(app[number].probabilities) for number in kept])
    is_photo = np.array([number < len(photos) for number in kept])
    same = theirs.argmax(axis=1) == ours.argmax(axis=1)
    difference = np.abs(theirs - ours)
    counted = is_photo if is_photo.any() else np.ones(len(kept), bool)
    least = MIN_AGREEMENT[row.precision]
    num_other = int((~same[counted]).sum())
    allowed = max(1, int((1 - least) * counted.sum()))
    unread = sum(number < len(photos) for number in range(len(app)) if number not in kept)
    stage.look()
    return {
        "format": row.name,
        "agrees": bool(
            num_other <= allowed
            and difference[counted].mean() <= MAX_MEAN_DIFFERENCE
            and unread == 0
        ),
        "num_photos": int(is_photo.sum()),
        "num_odd_images": int((~is_photo).sum()),
        "top1_agreement": float(same.mean()),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "problems": problems,
        "limits": {"top1_agreement": least, "mean_difference": MAX_MEAN_DIFFERENCE},
        **accuracies([every[number].label for number in kept], theirs, ours),
        "images_per_second": images_per_second(
            [answers.by_number[number]["milliseconds"] / 1000 for number in kept]
        ),
        "bytes": size_of(folder),
        "naive_resize": naive_resize(predictor, info, photos, monitor),
        "versions": {"browser": answers.user_agent},
    }


def _not_proven(row: Format, reason: str) -> dict[str, Any]:
    return {"format": row.name, "agrees": None, "not_proven": reason}
