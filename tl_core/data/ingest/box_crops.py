"""Crop the boxes of a detection dataset into class folders, for classification.

Supports axis-aligned boxes in YOLO text files, COCO JSON and Pascal VOC XML.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from PIL import Image

from tl_core.data.file_names import safe_component
from tl_core.data.images.images import open_image
from tl_core.data.layout.label_files import ImageFinder
from tl_core.data.layout.split_names import part_of_name
from tl_core.data.layout.tree import ImageFile, Tree, read_tree
from tl_core.errors import DatasetError, ImageError
from tl_core.files import expand, new_folder, parse_json
from tl_core.progress import SILENT, Monitor

_MAX_TEXT_BYTES = 256 * 2**20
_QUALITY = 95

Corners = tuple[float, float, float, float]
"""left, top, right, bottom in pixels, or in fractions of the sides."""


@dataclass(frozen=True)
class Box:
    """One box in an image and its class; ``is_relative`` for fractions of the sides."""

    image: ImageFile
    class_name: str
    corners: Corners
    is_relative: bool


def crop_boxes(
    data_dir: Path,
    out_dir: Path,
    *,
    margin: float = 0.0,
    min_side: int = 8,
    monitor: Monitor = SILENT,
) -> dict[str, int]:
    """Crop every box from its image to ``out_dir/<class>/``, or ``out_dir/<part>/<class>/``.

    Args:
        data_dir: the detection dataset; it is only read.
        out_dir: a missing or empty folder.
        margin: how much wider and higher than its box a crop is, as a fraction.
        min_side: boxes with a side of fewer pixels are skipped.
        monitor: counts images.

    Returns:
        Number of crops of each class.

    Raises:
        DatasetError: there are no boxes, or ``out_dir`` is not empty.
        Stopped: ``monitor`` was asked to stop; no partial result remains.
    """
    root = expand(data_dir).absolute()
    tree = read_tree(root)
    by_image: dict[str, list[Box]] = {}
    for box in _find_boxes(tree):
        by_image.setdefault(box.image.path, []).append(box)
    if not by_image:
        raise DatasetError(
            f"Expected boxes in YOLO's, COCO's or Pascal VOC's form in '{root}', found none."
        )
    counts: dict[str, int] = {}
    stage = monitor.stage("copy", len(by_image))
    with new_folder(expand(out_dir).absolute()) as folder:
        for path, boxes in by_image.items():
            monitor.check()
            try:
                picture = open_image(root / path)
            except ImageError:
                continue
            for number, box in enumerate(boxes):
                crop = _crop(picture, box, margin, min_side)
                if crop is not None:
                    target = folder / _place(path, box.class_name, number)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    crop.save(target, "JPEG", quality=_QUALITY)
                    counts[box.class_name] = counts.get(box.class_name, 0) + 1
            stage.advance()
        if not counts:
            raise DatasetError(f"No box in '{root}' has a side of {min_side} pixels or more.")
    return counts


def _place(path: str, class_name: str, number: int) -> PurePosixPath:
    parts = [part for folder in path.split("/")[:-1] if (part := part_of_name(folder)) is not None]
    stem = safe_component("_".join(PurePosixPath(path).with_suffix("").parts))
    return PurePosixPath(*parts[:1], safe_component(class_name), f"{stem}_{number}.jpg")


def _crop(picture: Image.Image, box: Box, margin: float, min_side: int) -> Image.Image | None:
    left, top, right, bottom = box.corners
    if box.is_relative:
        left, right = left * picture.width, right * picture.width
        top, bottom = top * picture.height, bottom * picture.height
    if right - left < min_side or bottom - top < min_side:
        return None
    wider, higher = margin * (right - left) / 2, margin * (bottom - top) / 2
    kept = (
        max(0, round(left - wider)),
        max(0, round(top - higher)),
        min(picture.width, round(right + wider)),
        min(picture.height, round(bottom + higher)),
    )
    return picture.crop(kept) if kept[2] > kept[0] and kept[3] > kept[1] else None


def _find_boxes(tree: Tree) -> Iterator[Box]:
    finder = ImageFinder.of(tree.top.all_images())
    names = _yolo_names(tree)
    for folder in tree.top.walk():
        for name in folder.others:
            path = f"{folder.path}{name}"
            suffix = PurePosixPath(name).suffix.lower()
            if suffix not in (".txt", ".json", ".xml"):
                continue
            text = _read(tree.root / path)
            if suffix == ".txt":
                image = _image_beside(tree, finder, path)
                if image is not None:
                    yield from _yolo_boxes(text, image, names)
            elif suffix == ".json" and '"bbox"' in text:
                yield from _coco_boxes(text, folder.path, finder)
            elif suffix == ".xml" and "<bndbox" in text:
                yield from _voc_boxes(text, path, folder.path, finder)


def _image_beside(tree: Tree, finder: ImageFinder, path: str) -> ImageFile | None:
    """Return the image of a YOLO label file: ``labels/`` mirrors ``images/``."""
    stem = path.removesuffix(".txt")
    mirrored = re.sub(r"(^|/)labels/", r"\1images/", stem)
    for base in (mirrored, stem):
        folder, _, name = base.rpartition("/")
        for image in finder.by_stem.get(name.casefold(), ()):
            if image.path.rpartition("/")[0] == folder:
                return image
    return None


def _yolo_boxes(text: str, image: ImageFile, names: dict[int, str]) -> Iterator[Box]:
    for line in text.splitlines():
        cells = line.split()
        try:
            label, *numbers = int(cells[0]), *map(float, cells[1:5])
        except (ValueError, IndexError):
            continue
        if len(numbers) == 4 and len(cells) in (5, 6):
            x, y, width, height = numbers
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            yield Box(image, names.get(label, f"class {label}"), corners, True)


def _yolo_names(tree: Tree) -> dict[int, str]:
    """Return the class names of ``data.yaml`` or ``classes.txt``, by number."""
    for folder in tree.top.walk():
        for name in folder.others:
            text = _read(tree.root / f"{folder.path}{name}") if len(name) < 40 else ""
            if name.lower().endswith((".yaml", ".yml")):
                listed = re.search(r"^names:\s*(\[.*?\])", text, re.MULTILINE | re.DOTALL)
                if listed is not None:
                    try:
                        return dict(enumerate(map(str, ast.literal_eval(listed[1]))))
                    except (ValueError, SyntaxError):
                        words = re.findall(r"[^\[\],\s][^\[\],]*", listed[1])
                        return {place: word.strip() for place, word in enumerate(words)}
                _, _, after = text.partition("names:")
                numbered = re.findall(r"^\s+(\d+):\s*(.+)$", after, re.MULTILINE)
                if numbered:
                    return {int(number): word.strip(" '\"") for number, word in numbered}
                dashed = re.findall(r"^\s*-\s*(.+)$", after, re.MULTILINE)
                if dashed:
                    return {place: word.strip(" '\"") for place, word in enumerate(dashed)}
            elif name.lower() in ("classes.txt", "obj.names"):
                return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    return {}


def _coco_boxes(text: str, near: str, finder: ImageFinder) -> Iterator[Box]:
    try:
        value = parse_json(text)
        files = {one["id"]: str(one["file_name"]) for one in value["images"]}
        names = {one["id"]: str(one["name"]) for one in value["categories"]}
        rows = [(one["image_id"], one["category_id"], one["bbox"]) for one in value["annotations"]]
    except (ValueError, KeyError, TypeError):
        return
    for image_id, category, bbox in rows:
        image = finder.find(files.get(image_id, ""), near)
        if image is not None and isinstance(bbox, list) and len(bbox) == 4:
            left, top, width, height = map(float, bbox)
            corners = (left, top, left + width, top + height)
            yield Box(image, names.get(category, f"class {category}"), corners, False)


def _voc_boxes(text: str, path: str, near: str, finder: ImageFinder) -> Iterator[Box]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can grow without end
        return
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return
    image = finder.find(root.findtext("filename") or "", near) or finder.find(
        PurePosixPath(path).stem, near
    )
    for one in root.iter("object") if image is not None else ():
        box = one.find("bndbox")
        try:
            left, top, right, bottom = (
                float(box.findtext(side) or "") if box is not None else 0.0
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError:
            continue
        if image is not None:
            name = one.findtext("name") or "object"
            yield Box(image, name, (left, top, right, bottom), False)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_TEXT_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
