"""Datasets that are not class folders of photos: recognised, named, and what to do with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tl_core.data.layout.tree import Folder, Tree

_SAMPLE = 20
_HEAD_BYTES = 2**20
# No text fits it in two ways: with those of a line of 50 digits a server would never be done.
_YOLO_LINE = re.compile(r"\s*\d+(?:\s+-?(?:\d+(?:\.\d+)?|\.\d+)(?:e-?\d+)?){4,}\s*", re.IGNORECASE)
_SHARD = re.compile(r"(?i).*\d{3,}\.tar")
_MASKS = frozenset(
    (
        *("mask", "masks", "annotation", "annotations", "label", "labels", "segmentation"),
        *("segmentations", "groundtruth", "ground_truth", "gt", "trimap", "trimaps"),
    )
)
_MASK_WORD = re.compile(r"(?i)[ _.-]+(?:mask|gt|label|labels|seg|segmentation|ground_?truth)$")
_PICTURES = frozenset(("images", "image", "img", "imgs", "jpegimages", "photos", "pictures"))
_MOST = 0.6  # of the images: boxes for fewer of them come along with another dataset

_CONTAINERS = {
    ".tfrecord": "TFRecord files",
    ".tfrecords": "TFRecord files",
    ".parquet": "Parquet files",
    ".arrow": "Arrow files",
    ".h5": "HDF5 files",
    ".hdf5": "HDF5 files",
    ".npz": "NumPy archives",
    ".npy": "NumPy arrays",
    ".mat": "MATLAB files",
    ".pkl": "Python pickles",
    ".lmdb": "an LMDB database",
    ".mdb": "an LMDB database",
    ".mp4": "videos",
    ".mov": "videos",
    ".avi": "videos",
    ".keras": "a Keras model",
    ".tflite": "a LiteRT model",
}
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rar", ".7z")
_MODELS = frozenset((".keras", ".tflite", ".onnx", ".pb", ".pt", ".pth", ".safetensors"))

_CROP = "Crop the boxes into one folder per class to classify them"


@dataclass(frozen=True)
class OtherFormat:
    """A kind of dataset that is not classified here. ``message`` says what it is and what to do.

    ``kind`` is one of ``detection``, ``multi_label``, ``segmentation``, ``container``, ``archive``,
    ``model`` and ``empty``. One that is not certain gives way to classes in file names: boxes or
    masks may come along with them.
    """

    kind: str
    message: str
    is_certain: bool = True

    @property
    def remedy(self) -> str:
        """What helps, one of :data:`~tl_core.errors.REMEDIES`, or ""."""
        return {"multi_label": "column", "archive": "archive"}.get(self.kind, "")


def multi_label(paths: tuple[str, ...], several: int, num_rows: int) -> OtherFormat:
    """Return the format in which a photo carries several labels."""
    return OtherFormat(
        "multi_label",
        f"'{paths[0]}' gives several labels to a photo ({several:,} of {num_rows:,} rows); that is "
        "not done here: each photo needs exactly one class. Keep the rows with one label, or "
        "choose the one label column that matters.",
    )


def box_list(path: str) -> OtherFormat:
    """Return the format in which a table lists boxes."""
    return OtherFormat(
        "detection",
        f"'{path}' lists boxes, so this is a dataset for object detection, which is not done "
        f"here. {_CROP}.",
    )


def recognise(tree: Tree) -> OtherFormat | None:
    """Return which other kind of dataset a tree is, or None when nothing says so."""
    if tree.top.num_images == 0:
        return _recognise_without_images(tree)
    return _recognise_boxes(tree) or _name_masks(tree)


def _others(tree: Tree) -> Iterator[str]:
    for folder in tree.top.walk():
        for name in folder.others:
            yield f"{folder.path}{name}"


def _recognise_without_images(tree: Tree) -> OtherFormat | None:
    paths = list(_others(tree))
    suffixes = Counter(PurePosixPath(path).suffix.lower() for path in paths)
    shards = [path for path in paths if _SHARD.fullmatch(path)]
    if shards:
        return OtherFormat(
            "container",
            f"It holds {len(shards):,} tar shards, as WebDataset writes them ('{shards[0]}'), "
            "which are not read here. Unpack them into one folder per class.",
        )
    models = [path for path in paths if PurePosixPath(path).suffix.lower() in _MODELS]
    if models:
        return OtherFormat(
            "model", f"'{models[0]}' is a model, not photos. Give the photos it was trained on."
        )
    archives = [path for path in paths if path.lower().endswith(_ARCHIVES)]
    if archives:
        count = "an archive" if len(archives) == 1 else f"{len(archives):,} archives"
        return OtherFormat(
            "archive",
            f"It holds {count} ('{min(archives)}'), which a folder is not searched for. Unpack "
            f"{'it' if len(archives) == 1 else 'them'} first.",
        )
    for suffix, _ in suffixes.most_common():
        if suffix in _CONTAINERS:
            paths_of = [path for path in paths if path.lower().endswith(suffix)]
            return OtherFormat(
                "container",
                f"It holds {_CONTAINERS[suffix]} ('{paths_of[0]}'), which are not read here. "
                "Write the photos out as JPEG or PNG files, one folder per class.",
            )
    return None


def _recognise_boxes(tree: Tree) -> OtherFormat | None:
    stems = {PurePosixPath(image.path).stem for image in tree.top.all_images()}
    texts = [path for path in _others(tree) if path.lower().endswith(".txt")]
    paired = [path for path in texts if PurePosixPath(path).stem in stems]
    if paired:
        heads = [_head(tree.root / path) for path in paired[:_SAMPLE]]
        lines = [line for head in heads for line in head.splitlines() if line.strip()]
        if lines and all(_YOLO_LINE.fullmatch(line) for line in lines):
            return OtherFormat(
                "detection",
                f"It is a dataset for object detection in YOLO's form ({len(paired):,} files such "
                f"as '{paired[0]}' give boxes), which is not done here. {_CROP}: "
                "'python -m tl_core crop-boxes' does that.",
            )
    for path in _others(tree):
        suffix = PurePosixPath(path).suffix.lower()
        if suffix == ".xml":
            head = _head(tree.root / path)
            if "<annotation" in head and "<bndbox" in head:
                count = sum(one.lower().endswith(".xml") for one in _others(tree))
                return OtherFormat(
                    "detection",
                    f"It is a dataset for object detection in Pascal VOC's form ('{path}' gives "
                    f"boxes), which is not done here. {_CROP}.",
                    is_certain=count >= _MOST * tree.top.num_images,
                )
        elif suffix == ".json":
            head = _head(tree.root / path)
            if '"annotations"' in head and '"bbox"' in head:
                return OtherFormat(
                    "detection",
                    f"It is a dataset for object detection in COCO's form ('{path}' gives boxes), "
                    f"which is not done here. {_CROP}.",
                )
    return None


def set_masks_aside(tree: Tree) -> None:
    """Take masks and the like out of a tree: pictures named like those of a folder beside."""
    for folder in list(tree.top.walk()):
        masks = [one for name, one in folder.folders.items() if name.casefold() in _MASKS]
        rest = [one for name, one in folder.folders.items() if name.casefold() in _PICTURES]
        if len(masks) != 1:
            continue
        if len(rest) == 1 and _are_masks(masks, rest, num_names=1):
            tree.masks[masks[0].path] = rest[0].path
        elif not _are_masks(masks, [one for one in folder.folders.values() if one not in masks]):
            continue
        for inner in masks[0].walk():
            tree.ignored["mask"].extend(image.path for image in inner.images)
            inner.images.clear()
        if not any(inner.others for inner in masks[0].walk()):
            del folder.folders[masks[0].name]


def _are_masks(masks: list[Folder], rest: list[Folder], num_names: int = 2) -> bool:
    """Whether pictures are named like those of other folders, but for a word such as ``_mask``.

    With ``num_names=2`` the folders that they lie in have the same names as well, as in
    ``ground_truth/scratch/1_mask.png`` and ``test/scratch/1.png``.
    """
    names = [
        {
            (*path.parts[-num_names:-1], _MASK_WORD.sub("", path.stem))
            for one in own
            for path in (PurePosixPath(image.path) for image in one.all_images())
        }
        for own in (masks, rest)
    ]
    return bool(names[0]) and len(names[0] & names[1]) >= 0.8 * min(map(len, names))


def _name_masks(tree: Tree) -> OtherFormat | None:
    if not tree.masks:
        return None
    masks, images = next(iter(tree.masks.items()))
    return OtherFormat(
        "segmentation",
        f"'{masks}' has a mask for each image of '{images}', so this is a dataset for "
        "segmentation, which is not done here. Sort the images into one folder per class.",
        is_certain=False,
    )


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
