"""Explain predictions: a heat map over the upright photo for any class."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from tl_core.backbones.api import get_backbone
from tl_core.config.training import Pooling, Resize
from tl_core.data.images.images import ImageSource, load_image, open_image
from tl_core.errors import ConfigError, did_you_mean
from tl_core.features.engine_files import prepare_engine
from tl_core.features.extract import open_image_engines
from tl_core.features.feature_map import open_map_engine
from tl_core.features.guarded_engine import GuardedEngine
from tl_core.files import write_bytes
from tl_core.head.gradcam import METHODS, class_activation, map_gradient, pool_map, score_gradient
from tl_core.inference.predict import Prediction, Predictor, load_predictor
from tl_core.progress import SILENT, Monitor

__all__ = ["METHODS", "Explanation", "explain", "explain_with", "overlay", "save_picture"]


MAX_SIDE = 1024

# From black over purple and orange to pale yellow with increasing lightness, readable with colour
# blindness and in grey: matplotlib's "inferno" at nine positions.
_COLOURS = np.array(
    [
        *((0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85)),
        *((227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164)),
    ],
    np.float32,
)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The regions of a photo that support a class.

    Args:
        heat: (height, width) float32 in [0, 1] over ``picture``: how strongly each pixel supports
            the class, relative to the strongest; all 0 if none does.
        picture: the photo, upright, its longer side at most 1024 pixels.
        class_name: the class that is explained.
        probability: its calibrated probability.
        prediction: the run's prediction for the photo.
        method: ``"grad_cam"`` or ``"grad_cam++"``.
    """

    heat: np.ndarray
    picture: Image.Image
    class_name: str
    probability: float
    prediction: Prediction
    method: str


def explain(
    run_dir: str | os.PathLike[str],
    image: ImageSource,
    class_name: str | None = None,
    method: str = "grad_cam",
    *,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Explanation:
    """Compute the heat map of a class. Needs no TensorFlow once the backbone is converted.

    Args:
        run_dir: a run with weights, or the folder of a bundle, which is not trusted.
        image: a path, the file's bytes, or a binary file.
        class_name: the class to explain; by default the most probable one.
        method: ``"grad_cam"`` or ``"grad_cam++"``.
        cache_dir: the cache folder; by default that of the default workspace.

    Raises:
        RunError: there is no such run, or it has no weights.
        ConfigError: the run has no such class, or there is no such method.
        ImageError: the image cannot be read.
        ExportError: the bundle is invalid, or has no feature map.
    """
    return explain_with(load_predictor(run_dir, cache_dir), image, class_name, method)


def explain_with(
    predictor: Predictor,
    image: ImageSource,
    class_name: str | None = None,
    method: str = "grad_cam",
    *,
    monitor: Monitor = SILENT,
) -> Explanation:
    """Do the same as :func:`explain` with a loaded predictor.

    ``monitor`` is used while the backbone is converted for the first time.
    """
    if method not in METHODS:
        raise ConfigError(f"Expected a method out of {', '.join(METHODS)}, received '{method}'.")
    if class_name is not None and class_name not in predictor.class_names:
        raise ConfigError(
            f"Expected a class out of {', '.join(predictor.class_names)}, received "
            f"'{class_name}'.{did_you_mean(class_name, predictor.class_names)}"
        )
    spec = predictor.spec
    source = image if isinstance(image, str | os.PathLike | bytes) else image.read()
    pixels = load_image(source, spec.image_size, spec.resize, spec.scale)  # as predicting reads it
    picture = open_image(source, MAX_SIDE, spec.scale)
    feature_map, pooling = _read_map(predictor, pixels, monitor)
    features = pool_map(feature_map, pooling)
    prediction = predictor.answer(features[None], len(predictor.class_names))[0]
    label = _label(predictor, prediction, class_name)
    gradient = score_gradient(predictor.weights, features, label)
    at_map = map_gradient(feature_map, gradient, pooling)
    activation = class_activation(feature_map, at_map, method)
    return Explanation(
        heat=spread_heat(activation, spec.image_size, spec.resize, picture.size),
        picture=picture,
        class_name=predictor.class_names[label],
        probability=dict(prediction.top)[predictor.class_names[label]],
        prediction=prediction,
        method=method,
    )


def _read_map(
    predictor: Predictor, pixels: np.ndarray, monitor: Monitor
) -> tuple[np.ndarray, Pooling]:
    """Return the last feature map (rows, columns, dim) of an image, and how it is pooled."""
    spec = predictor.spec
    if spec.is_foreign:  # not trusted: only its guarded process opens it
        pool = open_image_engines(spec, predictor.cache_dir, predictor.num_workers)
        with pool.borrow() as guarded:
            return cast("GuardedEngine", guarded).read_map(pixels)
    path = spec.engine_file or prepare_engine(
        spec.backbone,
        spec.image_size,
        spec.pooling,
        predictor.cache_dir,
        monitor,
    )
    engine = open_map_engine(path, get_backbone(spec.backbone).feature_dim)
    return engine.run(pixels), spec.pooling


def overlay(explanation: Explanation, opacity: float = 0.6) -> Image.Image:
    """Return the photo with the heat map drawn over it; pixels without heat are unchanged.

    Args:
        explanation: from :func:`explain`.
        opacity: of the hottest pixel, in [0, 1].

    Raises:
        ConfigError: the opacity is not in [0, 1].
    """
    if not 0 <= opacity <= 1:
        raise ConfigError(f"Expected an opacity from 0 to 1, received {opacity!r}.")
    heat = explanation.heat
    colours = np.stack(
        [np.interp(heat, np.linspace(0, 1, len(_COLOURS)), channel) for channel in _COLOURS.T],
        axis=-1,
    )
    share = opacity * np.sqrt(heat)[..., None]
    photo = np.asarray(explanation.picture, np.float32)
    return Image.fromarray(np.round((1 - share) * photo + share * colours).astype(np.uint8))


def save_picture(picture: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture as PNG or JPEG, by the file's extension, atomically.

    Raises:
        ConfigError: the extension is not supported, or the file cannot be written.
    """
    target = Path(path)
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if target.suffix.lower() not in formats:
        raise ConfigError(f"Expected a file name ending in .png or .jpg, received '{target}'.")
    buffer = io.BytesIO()
    picture.save(buffer, formats[target.suffix.lower()])
    try:
        write_bytes(target, buffer.getvalue())
    except OSError as error:
        raise ConfigError(f"Cannot write '{target}': {error.strerror or error}.") from error


def spread_heat(
    activation: np.ndarray,
    image_size: tuple[int, int],
    resize: Resize,
    picture_size: tuple[int, int],
) -> np.ndarray:
    """Resize a map over the network's input to the photo that the input was made from.

    Args:
        activation: (rows, columns) float32 over the network's input.
        image_size: (height, width) of that input.
        resize: how the photo was resized to it.
        picture_size: (width, height) of the upright photo.

    Returns:
        (height, width) float32 in [0, 1]; 0 outside of the network's input.
    """
    (height, width), (picture_width, picture_height) = image_size, picture_size
    small = Image.fromarray(np.ascontiguousarray(activation, np.float32))
    bilinear = Image.Resampling.BILINEAR
    if resize == "crop":
        scale = min(picture_width / width, picture_height / height)
        seen_width, seen_height = max(1, round(width * scale)), max(1, round(height * scale))
        heat = np.zeros((picture_height, picture_width), np.float32)
        top, left = (picture_height - seen_height) // 2, (picture_width - seen_width) // 2
        heat[top : top + seen_height, left : left + seen_width] = np.asarray(
            small.resize((seen_width, seen_height), bilinear)
        )
    elif resize == "pad":
        scale = min(width / picture_width, height / picture_height)
        across = (1 - picture_width * scale / width) / 2 * small.width
        down = (1 - picture_height * scale / height) / 2 * small.height
        box = (across, down, small.width - across, small.height - down)
        heat = np.array(small.resize(picture_size, bilinear, box=box))
    else:
        heat = np.array(small.resize(picture_size, bilinear))
    hottest = float(heat.max())
    return np.clip(heat / hottest, 0, 1) if hottest > 0 else heat


def _label(predictor: Predictor, prediction: Prediction, class_name: str | None) -> int:
    return predictor.class_names.index(class_name or prediction.top[0][0])
