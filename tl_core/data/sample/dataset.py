"""The sample set: pizza, burgers and tacos drawn by this project, with a few planted faults.

It needs no download, is the same byte for byte for the same seed and Pillow version, and holds
one of each fault that the Data page finds. The photos are drawn by
:mod:`tl_core.data.sample.drawing`.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from tl_core.data.sample.drawing.photo import draw_photo
from tl_core.errors import ConfigError, did_you_mean
from tl_core.files import new_folder
from tl_core.progress import Monitor, OnProgress, ShouldStop

SAMPLE_NAME = "sample"
CLASS_NAMES = ("Burger", "Pizza", "Taco")
MIN_NUM_PER_CLASS = 10
_QUALITY = 88
_HARD_SHARE = 0.1
_WORKERS = 2


@dataclass(frozen=True)
class PlantedFault:
    """One fault put into the sample set on purpose."""

    kind: str
    paths: tuple[str, ...]  # relative to the dataset's folder; the last one has the fault
    note: str


def planted_faults(num_per_class: int = 100) -> tuple[PlantedFault, ...]:
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


def draw_sample_dataset(
    out_dir: Path | str,
    *,
    num_per_class: int = 100,
    seed: int = 0,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Path:
    """Draw the sample set into ``out_dir``, atomically.

    Args:
        out_dir: A missing or empty folder.
        num_per_class: Images in each of the class folders, including planted faults.
        seed: Another seed draws another set.
        on_progress: Called after each image.
        should_stop: Polled after each image.

    Returns:
        ``out_dir`` as a path.

    Raises:
        DatasetError: ``out_dir`` is not empty; it is not changed.
        ConfigError: ``num_per_class`` is too small.
        Stopped: ``should_stop`` returned True; no partial set remains.

    Examples:
        >>> from tl_core import draw_sample_dataset, scan_dataset
        >>> data_dir = draw_sample_dataset("food", num_per_class=10)
        >>> scan_dataset(data_dir).class_names
        ('Burger', 'Pizza', 'Taco')
    """
    out_dir = Path(out_dir)
    faults = planted_faults(num_per_class)
    with new_folder(out_dir) as temporary:
        for class_name in CLASS_NAMES:
            (temporary / class_name).mkdir(parents=True)
        monitor = Monitor(on_progress, should_stop)
        stage = monitor.stage("sample", num_per_class * len(CLASS_NAMES))
        with closing(_draw_files(num_per_class, seed, faults)) as files:
            for path, data in files:
                (temporary / path).write_bytes(data)
                stage.advance()
                monitor.check()
    return out_dir


def draw_example(class_name: str, seed: int = 0) -> Image.Image:
    """Draw one photo of a class that is not in the sample set.

    Raises:
        ConfigError: there is no such class in the sample set.
    """
    if class_name not in CLASS_NAMES:
        raise ConfigError(
            f"Expected a class out of {', '.join(CLASS_NAMES)}, received '{class_name}'."
            f"{did_you_mean(class_name, CLASS_NAMES)}"
        )
    return draw_photo(class_name, Random(f"example {class_name} {seed}"), look="easy")


def _path(class_name: str, number: int) -> str:
    return f"{class_name}/{class_name.lower()}_{number:03d}.jpg"


def _jpeg(image: Image.Image, quality: int = _QUALITY, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    if exif is None:
        image.save(buffer, "JPEG", quality=quality)
    else:
        image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def _draw_files(
    num_per_class: int, seed: int, faults: tuple[PlantedFault, ...]
) -> Generator[tuple[str, bytes], None, None]:
    """Yield each file's relative path and content in order, drawn in advance by threads."""
    by_path = {fault.paths[-1]: fault for fault in faults}

    def draw(class_name: str, number: int) -> tuple[str, bytes]:
        path = _path(class_name, number)
        fault = by_path.get(path)
        return path, _plain_file(path, seed) if fault is None else _faulty_file(fault, seed)

    wanted = [(name, number) for name in CLASS_NAMES for number in range(1, num_per_class + 1)]
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="sample")
    try:
        futures: list[Future[tuple[str, bytes]]] = [pool.submit(draw, *item) for item in wanted]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
