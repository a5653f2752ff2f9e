"""Faults planted into a copy of a photo folder, so that what the audit finds can be counted."""

from __future__ import annotations

import io
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.images.images import open_image

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut 5 % off the width and off the height, at random parted between the two ends."""
    width, height = image.size
    left, top = rng.uniform(0, 0.05, 2)
    return image.crop(
        (
            round(width * left),
            round(height * top),
            round(width * (0.95 + left)),
            round(height * (0.95 + top)),
        )
    )


def lighten(factor: float) -> Change:
    """Return a change of the light by a factor."""
    return lambda image, _: ImageEnhance.Brightness(image).enhance(factor)


def scale(factor: float) -> Change:
    """Return a change of the size by a factor."""
    return lambda image, _: image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    )


def same(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Change nothing: saving again is the change."""
    return image


def everything(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop, make smaller and lighter."""
    return lighten(1.1)(scale(0.6)(crop(image, rng), rng), rng)


# Copies that are made beside their originals: what is done, and the quality they are saved at.
COPIES: dict[str, tuple[Change, int]] = {
    "recompressed, quality 40": (same, 40),
    "half the size": (scale(0.5), 88),
    "cropped by 5 %": (crop, 88),
    "15 % darker": (lighten(0.85), 88),
    "15 % lighter": (lighten(1.15), 88),
    "mirrored": (lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 88),
    "cropped, smaller, lighter": (everything, 60),
}


def strip(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """Keep a strip five times as wide as high."""
    top = image.height / 2 - image.width / 10
    part = image.crop((0, round(top), image.width, round(top + image.width / 5)))
    return part.resize((500, 100))


# Faults that take a photo's place.
SPOILT: dict[str, Change] = {
    "dark": lighten(0.15),
    "bright": lambda image, _: image.point(lambda value: 255 * 0.8 + value * 0.2),
    "blurry": lambda image, _: image.filter(ImageFilter.GaussianBlur(max(image.size) / 50)),
    "uniform": lambda image, rng: Image.new(
        "RGB", image.size, tuple(int(value) for value in rng.integers(60, 200, 3))
    ),
    "greyscale": lambda image, _: image.convert("L"),
    "tiny": lambda image, _: image.resize((40, 30)),
    "extreme_aspect": strip,
}


class Planting:
    """A copy of a data folder, and what was planted into it.

    Attributes:
        data_dir: the copy.
        paths: planted paths by kind of finding.
        origin: of each copy planted, the path it shows the same picture as.
        how: of each near copy, what was done to it.
    """

    def __init__(self, source: Path, data_dir: Path, untouched: set[str], seed: int = 0) -> None:
        shutil.rmtree(data_dir, ignore_errors=True)
        shutil.copytree(source, data_dir)
        self.data_dir = data_dir
        self.paths: dict[str, set[str]] = defaultdict(set)
        self.origin: dict[str, str] = {}
        self.how: dict[str, str] = {}
        self._rng = np.random.default_rng(seed)
        self._index = scan_dataset(data_dir)
        self._parts = {record.path: record.part for record in self._index.records}
        free = [record.path for record in self._index.records if record.path not in untouched]
        self._free = [free[place] for place in self._rng.permutation(len(free))]

    def plant(self, num_each: int) -> None:
        """Plant ``num_each`` of each kind, each into or beside another photo."""
        for path in self._take(num_each):
            self._copy("duplicate", path, path)
        for path in self._take(num_each):
            self._copy("two_classes", path, self._in_other_class(path))
        for how in COPIES:
            for path in self._take(num_each):
                self._near_copy("near_duplicate", path, path, how)
        for path in self._take(num_each):
            self._near_copy(
                "near_two_classes", path, self._in_other_class(path), "recompressed, quality 40"
            )
        if self._index.has_given_split:
            held_out = [path for path in self._free if self._parts[path] != "train"]
            for path in self._take(num_each, held_out):
                self._copy("across_parts", path, self._in_train(path))
            for path in self._take(num_each, held_out):
                self._near_copy("near_across_parts", path, self._in_train(path), "half the size")
        for kind, change in SPOILT.items():
            for path in self._take(num_each):
                self._save(change(self._open(path), self._rng), path, 90)
                self.paths[kind].add(path)
        for path in self._take(num_each):
            target = self.data_dir / path
            target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
            self.paths["unreadable"].add(path)
        for path in self._take(num_each):
            exif = Image.Exif()
            exif[0x0112] = 6
            self._open(path).save(self.data_dir / path, "JPEG", exif=exif)
            self.paths["exif_rotated"].add(path)

    def _take(self, num: int, among: list[str] | None = None) -> list[str]:
        taken = (self._free if among is None else among)[:num]
        self._free = [path for path in self._free if path not in taken]
        if among is not None:
            among[:] = [path for path in among if path not in taken]
        return taken

    def _copy(self, kind: str, path: str, beside: str) -> None:
        target = self._beside(beside, kind, path)
        shutil.copyfile(self.data_dir / path, self.data_dir / target)
        self._note(kind, path, target)

    def _near_copy(self, kind: str, path: str, beside: str, how: str) -> None:
        change, quality = COPIES[how]
        target = self._beside(beside, f"{kind}_{list(COPIES).index(how)}", path)
        self._save(change(self._open(path), self._rng), target, quality)
        self._note(kind, path, target)
        self.how[target] = how

    def _note(self, kind: str, path: str, target: str) -> None:
        self.paths[kind] |= {path, target}
        self.origin[target] = path

    def _beside(self, beside: str, kind: str, path: str) -> str:
        folder = beside.rpartition("/")[0]
        return f"{folder}/planted_{kind}_{Path(path).stem}.jpg"

    def _open(self, path: str) -> Image.Image:
        return open_image(self.data_dir / path)

    def _save(self, image: Image.Image, path: str, quality: int) -> None:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        (self.data_dir / path).write_bytes(file.getvalue())

    def _in_other_class(self, path: str) -> str:
        own = next(record for record in self._index.records if record.path == path)
        others = [
            r.path for r in self._index.records if r.label != own.label and r.part == own.part
        ]
        return others[int(self._rng.integers(len(others)))]

    def _in_train(self, path: str) -> str:
        own = next(record for record in self._index.records if record.path == path)
        same_class = (
            r.path for r in self._index.records if r.label == own.label and r.part == "train"
        )
        return next(same_class)


def flip_labels(index: DatasetIndex, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which a share is wrong, and the positions of those: (n,), (m,) int64."""
    rng = np.random.default_rng(seed)
    labels = index.labels.copy()
    chosen = rng.choice(len(labels), round(share * len(labels)), replace=False)
    steps = rng.integers(1, index.num_classes, len(chosen))
    labels[chosen] = (labels[chosen] + steps) % index.num_classes
    return labels, chosen
