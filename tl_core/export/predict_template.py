"""Classify photos with the model in this folder.

    python predict.py PHOTO...
    python predict.py --json PHOTO...

Needs NumPy, Pillow and the packages of requirements.txt. The photos are decoded and resized as in
training, so that the probabilities are those of the app. Use ``load_pixels``, ``open_model`` and
``classify`` from your own program.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

FOLDER = Path(__file__).resolve().parent

Model = Callable[[np.ndarray], np.ndarray]
"""From images (1, height, width, 3) uint8 RGB to probabilities (1, num_classes) float32."""

# Open the model.


def open_model(folder: Path = FOLDER) -> Model:
    """Open the model in a folder."""
    raise NotImplementedError("This is a template; every format puts its own function here.")


# Read a photo.

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
MAX_PIXELS = 40_000_000
MAX_JPEG_PIXELS = 250_000_000
REDUCED_PIXELS = 25_000_000
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_pixels(
    data: bytes,
    image_size: tuple[int, int],
    resize: str,
    pixel_scale: Sequence[float] | None = None,
) -> np.ndarray:
    """Return a photo's pixels (height, width, 3) uint8 RGB, as the model takes them.

    Args:
        data: the whole file.
        image_size: (height, width) in pixels.
        resize: "squash" both sides to the size, "crop" the centre, or "pad" with black.
        pixel_scale: the values of 16-bit grey that become black and white.
    """
    height, width = image_size
    file = Image.open(io.BytesIO(data), formats=FORMATS)
    is_jpeg = file.format in ("JPEG", "MPO")
    is_reducible = is_jpeg and not file.info.get("progressive")
    num_pixels = file.width * file.height
    if num_pixels > (MAX_JPEG_PIXELS if is_reducible else MAX_PIXELS):
        raise ValueError(f"{file.width} x {file.height} pixels are too many")
    if is_jpeg:
        # Only as many pixels are decoded as are needed: at 1/1, 1/2, 1/4 or 1/8 of the size.
        orientation = orientation_of(file)
        turned = orientation >= 5
        upright = file.size[::-1] if turned else file.size
        least = fit_inside(upright, (width, height)) if resize == "pad" else (width, height)
        least = least[::-1] if turned else least
        if num_pixels > MAX_PIXELS:
            reduced = next(n for n in (2, 4, 8) if num_pixels / n**2 <= REDUCED_PIXELS)
            least = (min(least[0], file.width // reduced), min(least[1], file.height // reduced))
        drafted = file.draft(None, least)
        image = to_rgb(file)
        if drafted is not None:  # a last row or column that is only partly picture goes
            image = image.crop((0, 0, int(drafted[1][2]), int(drafted[1][3])))
    else:
        colour = deep_colour(file, data, pixel_scale) if pixel_scale else None
        image = to_rgb(file, pixel_scale) if colour is None else to_rgb(colour)
        orientation = orientation_of(file)
    if orientation in TRANSPOSE:
        image = image.transpose(TRANSPOSE[orientation])
    if resize == "pad":
        inner = fit_inside(image.size, (width, height))
        canvas = Image.new("RGB", (width, height), (0, 0, 0))
        corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
        canvas.paste(scale(image, inner), corner)
        return np.array(canvas)
    box = crop_box(image.size, (width, height)) if resize == "crop" else None
    return np.array(scale(image, (width, height), box))


def orientation_of(file: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where it cannot be read."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and value in TRANSPOSE else 1


def deep_colour(file: Image.Image, data: bytes, pixel_scale: Sequence[float]) -> Image.Image | None:
    """Return a PNG of 16-bit colour by the scale, None for any other picture."""
    if file.format != "PNG" or data[24:25] != b"\x10" or data[25:26] not in (b"\x02", b"\x06"):
        return None
    halves = []
    for order in ("16B", "16L"):  # Pillow keeps the first byte of each value, or the second one
        half = Image.open(io.BytesIO(data), formats=("PNG",))
        half.tile = [t._replace(args=str(t.args).replace("16B", order)) for t in half.tile]
        half.load()
        halves.append(np.asarray(half))
    upper, lower = halves
    low, high = pixel_scale
    values = (upper[..., :3].astype(np.uint16) << 8 | lower[..., :3]).astype(np.float32)
    scaled = np.rint(((values - np.float32(low)) * np.float32(255 / (high - low))).clip(0, 255))
    scaled = scaled.astype(np.uint8)
    if upper.shape[2] == 4:
        scaled = np.concatenate([scaled, upper[..., 3:]], axis=2)
    file.load()
    return Image.fromarray(scaled)


def to_rgb(image: Image.Image, pixel_scale: Sequence[float] | None = None) -> Image.Image:
    """Decode and convert any mode to RGB, with transparent parts on white."""
    image.load()
    if image.mode.startswith(("I", "F")):  # 16-bit grey: the upper 8 bits, or by the scale
        values = np.asarray(image)
        if pixel_scale is None:
            reduced = values.clip(0, 0xFFFF).astype(np.uint16) >> 8
        else:
            low, high = pixel_scale
            factor = np.float32(255 / (high - low))
            reduced = np.rint(((values.astype(np.float32) - np.float32(low)) * factor).clip(0, 255))
        grey = Image.fromarray(reduced.astype(np.uint8))
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            opaque = np.where(values == transparent, 0, 255).astype(np.uint8)
            grey.putalpha(Image.fromarray(opaque))
        image = grey
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, (255, 255, 255))
        canvas.paste(layer, mask=layer)
        return canvas
    return image.convert("RGB")


def scale(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Resize to (width, height): bilinear, each output pixel weighing all it covers."""
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def fit_inside(size: tuple[int, int], limits: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) of the same aspect inside the limits."""
    factor = min(limits[0] / size[0], limits[1] / size[1])
    return (
        min(limits[0], max(1, round(size[0] * factor))),
        min(limits[1], max(1, round(size[1] * factor))),
    )


def crop_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred part (left, top, right, bottom) with the target's aspect."""
    (width, height), (out_width, out_height) = size, target
    factor = min(width / out_width, height / out_height)
    left = max(0.0, (width - out_width * factor) / 2)
    top = max(0.0, (height - out_height * factor) / 2)
    return left, top, width - left, height - top


# Classify.


def classify(model: Model, info: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Return the probabilities of one photo by class name, and whether it is none of them.

    Args:
        model: from ``open_model``.
        info: the content of model.json.
        data: the photo's file.
    """
    size, resize = tuple(info["image_size"]), info["resize"]
    pixels = load_pixels(data, size, resize, info.get("pixel_scale"))
    started = time.perf_counter()
    probabilities = np.asarray(model(pixels[None]), np.float32)[0]
    seconds = time.perf_counter() - started
    limits = info.get("rejection") or {"min_probability": 0.0}
    return {
        "probabilities": dict(zip(info["class_names"], probabilities.tolist(), strict=True)),
        "none_of_these": bool(probabilities.max() < limits["min_probability"]),
        "seconds": seconds,
        "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }


def reason_of(error: Exception) -> str:
    """Return in plain words why a photo has no answer; it is shown after the photo's name."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is no image that can be read here ({', '.join(FORMATS)})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, OSError | SyntaxError):  # of Pillow's decoders
        return "the file is damaged or incomplete"
    return f"{error}"


def main() -> None:
    """Classify the photos named on the command line."""
    parser = argparse.ArgumentParser(description="Classify photos with the model in this folder.")
    parser.add_argument("photos", metavar="PHOTO", nargs="*", type=Path)
    parser.add_argument("--list", type=Path, help="a JSON file that lists more photos")
    parser.add_argument("--json", action="store_true", help="one JSON document a line")
    arguments = parser.parse_args()
    photos = list(arguments.photos)
    if arguments.list is not None:
        photos += [Path(name) for name in json.loads(arguments.list.read_text("utf-8"))]
    if not photos:
        parser.error("expected at least one photo")
    info = json.loads((FOLDER / "model.json").read_text("utf-8"))
    model = open_model()
    model(np.zeros((1, *info["image_size"], 3), np.uint8))  # the first call is the slowest
    for photo in photos:
        try:
            answer = classify(model, info, photo.read_bytes())
        except Exception as error:  # one bad file does not end the others
            answer = {"error": reason_of(error)}
        if arguments.json:
            print(json.dumps({"path": str(photo), **answer}), flush=True)
        elif "error" in answer:
            print(f"{photo}: {answer['error']}", flush=True)
        else:
            best = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])[:3]
            shown = ", ".join(f"{name} {100 * share:.1f} %" for name, share in best)
            none = "none of these; nearest: " if answer["none_of_these"] else ""
            print(f"{photo}: {none}{shown}", flush=True)


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    main()
