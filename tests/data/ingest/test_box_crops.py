"""Boxes of detection datasets become class folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_core.data.dataset import scan_dataset
from tl_core.data.ingest.box_crops import crop_boxes
from tl_core.errors import DatasetError

RED, BLUE, GREY = (250, 0, 0), (0, 0, 250), (128, 128, 128)
NAMES = ("helmet", "vest")


def draw(path: Path) -> None:
    """Draw a red box at (10, 20)-(30, 50) and a blue one at (60, 40)-(90, 60) on 100 x 80."""
    picture = Image.new("RGB", (100, 80), GREY)
    picture.paste(RED, (10, 20, 30, 50))
    picture.paste(BLUE, (60, 40, 90, 60))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "PNG")


def write_yolo(root: Path) -> None:
    root.mkdir()
    (root / "data.yaml").write_text("nc: 2\nnames: ['helmet', 'vest']\n")
    for part in ("train", "valid"):
        draw(root / part / "images" / "a.png")
        (root / part / "labels").mkdir()
        lines = "0 0.2 0.4375 0.2 0.375\n1 0.75 0.625 0.3 0.25\n"
        (root / part / "labels" / "a.txt").write_text(lines)


def write_coco(root: Path) -> None:
    for part in ("train", "valid"):
        draw(root / part / f"{part}.png")
        value = {
            "images": [{"id": 7, "file_name": f"{part}.png"}],
            "categories": [{"id": n + 1, "name": name} for n, name in enumerate(NAMES)],
            "annotations": [
                {"image_id": 7, "category_id": 1, "bbox": [10, 20, 20, 30]},
                {"image_id": 7, "category_id": 2, "bbox": [60, 40, 30, 20]},
            ],
        }
        (root / part / "_annotations.coco.json").write_text(json.dumps(value))


def write_voc(root: Path) -> None:
    for part in ("train", "valid"):
        draw(root / part / f"{part}.png")
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
            f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
            for name, (a, b, c, d) in zip(NAMES, ((10, 20, 30, 50), (60, 40, 90, 60)), strict=True)
        )
        text = f"<annotation><filename>{part}.png</filename>{objects}</annotation>"
        (root / part / f"{part}.xml").write_text(text)


@pytest.mark.parametrize("write", [write_yolo, write_coco, write_voc])
def test_boxes_are_cut_out_into_class_folders_and_the_split_stays(tmp_path: Path, write) -> None:
    write(tmp_path / "boxes")

    counts = crop_boxes(tmp_path / "boxes", tmp_path / "crops")

    assert counts == {"helmet": 2, "vest": 2}
    index = scan_dataset(tmp_path / "crops")
    assert index.class_counts() == counts
    assert index.has_given_split
    sizes = {index.class_names[r.label]: (r.width, r.height) for r in index.records}
    assert sizes == {"helmet": (20, 30), "vest": (30, 20)}
    for record in index.records:
        colour = RED if index.class_names[record.label] == "helmet" else BLUE
        pixels = np.asarray(Image.open(index.path_of(record))).astype(int)
        assert np.abs(pixels - colour).max() < 12


def test_a_margin_widens_the_crop_up_to_the_edge(tmp_path: Path) -> None:
    write_voc(tmp_path / "boxes")

    crop_boxes(tmp_path / "boxes", tmp_path / "crops", margin=1.0)

    sizes = {(r.width, r.height) for r in scan_dataset(tmp_path / "crops").records}
    assert sizes == {(40, 60), (55, 40)}


def test_a_folder_without_boxes_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "a.png")

    with pytest.raises(DatasetError, match="Expected boxes"):
        crop_boxes(tmp_path / "photos", tmp_path / "crops")
    assert not (tmp_path / "crops").exists()


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_a_file_with_a_number_that_is_none_gives_no_boxes(tmp_path: Path, number: str) -> None:
    write_coco(tmp_path / "boxes")
    path = tmp_path / "boxes" / "train" / "_annotations.coco.json"
    path.write_text(path.read_text().replace("[10,", f"[{number},"))

    assert crop_boxes(tmp_path / "boxes", tmp_path / "crops") == {"helmet": 1, "vest": 1}
