"""Photo folders for the benchmarks: a given set brought to one size and laid out in parts."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.images.images import open_image
from tl_core.data.sample.dataset import draw_sample_dataset
from tl_core.data.split import split_dataset

PHOTO_SIZE = (512, 384)  # (width, height), the size of a small photo


def draw_photos(out_dir: Path, num_images: int) -> Path:
    """Draw about ``num_images`` sample pictures in four classes below ``out_dir``."""
    return draw_sample_dataset(out_dir, num_per_class=num_images // 4)


def lay_out(data_dir: Path, out_dir: Path, seed: int = 0, num_images: int | None = None) -> Path:
    """Write ``out_dir/{train,val,test}/<class>/*.jpg`` at ``PHOTO_SIZE`` from a class folder.

    Both sides of a comparison then read the same files with the same split. Of more photos than
    ``num_images`` about so many are taken, evenly over each class and part.
    """
    shutil.rmtree(out_dir, ignore_errors=True)
    index = scan_dataset(data_dir)
    config = TrainConfig(val_fraction=0.15, test_fraction=0.15, seed=seed)
    jobs: list[tuple[Path, Path]] = []
    step = max(1, round(index.num_images / (num_images or index.num_images)))
    for part, indices in split_dataset(index, config).items():
        for number in indices[::step]:
            record = index.records[int(number)]
            folder = out_dir / part / index.class_names[record.label]
            folder.mkdir(parents=True, exist_ok=True)
            jobs.append((index.path_of(record), folder / f"{number:05d}.jpg"))

    def enlarge(job: tuple[Path, Path]) -> None:
        source, target = job
        open_image(source).resize(PHOTO_SIZE).save(target, quality=90)

    with ThreadPoolExecutor() as pool:
        list(pool.map(enlarge, jobs))
    return out_dir
