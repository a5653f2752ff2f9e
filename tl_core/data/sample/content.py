"""The files of the sample set: what each holds, drawn here or by a child process.

    python -m tl_core.data.sample.content FOLDER NUM_PER_CLASS SEED PART PARTS

draws every ``PARTS``-th file, from number ``PART`` on, into a folder of empty class folders, and
prints the path of each when it is there.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from tl_core.data.sample.drawing.photo import draw_photo
from tl_core.errors import ConfigError

CLASS_NAMES = ("Burger", "Pizza", "Quesadilla", "Taco")
MIN_NUM_PER_CLASS = 8
_QUALITY = 88
_HARD_SHARE = 0.35


@dataclass(frozen=True)
class PlantedFault:
    """One fault put into the sample set on purpose."""

    kind: str
    paths: tuple[str, ...]  # relative to the dataset's folder; the last one has the fault
    note: str


def planted_faults(num_per_class: int = 75) -> tuple[PlantedFault, ...]:
    """Return the faults planted in the sample set, for tests and docs.

    Raises:
        ConfigError: the set would be too small for the faults.
    """
    if num_per_class < MIN_NUM_PER_CLASS:
        raise ConfigError(
            f"Expected at least {MIN_NUM_PER_CLASS} images per class, received {num_per_class}."
        )

    def at(class_name: str, share: float) -> str:
        return _path(class_name, 1 + round(share * (num_per_class - 1)))

    return (
        PlantedFault(
            "duplicate", (at("Pizza", 0.16), at("Pizza", 0.83)), "the same file twice in one class"
        ),
        PlantedFault(
            "two_classes",
            (at("Taco", 0.63), at("Burger", 0.41)),
            "one taco photo, filed under two classes",
        ),
        PlantedFault(
            "near_duplicate",
            (at("Burger", 0.12), at("Burger", 0.77)),
            "one photo again, smaller and compressed harder",
        ),
        PlantedFault("dark", (at("Burger", 0.27),), "a photo taken almost without light"),
        PlantedFault("truncated", (at("Pizza", 0.52),), "a JPEG whose second half is missing"),
        PlantedFault("wrong_label", (at("Taco", 0.34),), "a burger filed under Taco"),
        PlantedFault(
            "exif_rotated", (at("Taco", 0.88),), "stored lying, with the EXIF note to turn it"
        ),
    )


def file_paths(num_per_class: int) -> list[str]:
    """Return the paths of all files, relative to the dataset's folder."""
    return [_path(name, number) for name in CLASS_NAMES for number in range(1, num_per_class + 1)]


def draw_file(path: str, num_per_class: int, seed: int) -> bytes:
    """Return the content of the file with this path: a photo, or a planted fault."""
    for fault in planted_faults(num_per_class):
        if fault.paths[-1] == path:
            return _faulty_file(fault, seed)
    return _plain_file(path, seed)


def _path(class_name: str, number: int) -> str:
    return f"{class_name}/{class_name.lower()}_{number:03d}.jpg"


def _jpeg(image: Image.Image, quality: int = _QUALITY, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    if exif is None:
        image.save(buffer, "JPEG", quality=quality)
    else:
        image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def _photo(path: str, seed: int, class_name: str | None = None) -> Image.Image:
    rng = Random(f"sample {seed} {path}")
    hard = rng.random() < _HARD_SHARE and class_name is None
    return draw_photo(class_name or path.partition("/")[0], rng, look="hard" if hard else "usual")


def _plain_file(path: str, seed: int) -> bytes:
    return _jpeg(_photo(path, seed))


def _faulty_file(fault: PlantedFault, seed: int) -> bytes:
    """Draw a file with a planted fault."""
    first, path = fault.paths[0], fault.paths[-1]
    if fault.kind in ("duplicate", "two_classes"):
        return _plain_file(first, seed)
    if fault.kind == "near_duplicate":
        image = _photo(first, seed)
        smaller = (round(image.width * 0.8), round(image.height * 0.8))
        return _jpeg(image.resize(smaller, Image.Resampling.LANCZOS), quality=60)
    if fault.kind == "dark":
        return _jpeg(_photo(path, seed).point(lambda level: level * 0.07))
    if fault.kind == "truncated":
        data = _plain_file(path, seed)
        return data[: len(data) // 2]
    if fault.kind == "wrong_label":
        return _jpeg(_photo(path, seed, class_name="Burger"))
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise to show
    return _jpeg(_photo(path, seed).transpose(Image.Transpose.ROTATE_90), exif=exif)


def main() -> None:
    """Draw a part of the files, as the parent process asked for on the command line."""
    folder, (num_per_class, seed, part, parts) = Path(sys.argv[1]), map(int, sys.argv[2:])
    for path in file_paths(num_per_class)[part::parts]:
        data = draw_file(path, num_per_class, seed)
        (folder / path).write_bytes(data)
        print(path, flush=True)


if __name__ == "__main__":
    main()
