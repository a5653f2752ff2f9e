"""The sample set: deterministic, whole or not at all, with the faults it says it has."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLE_NUM
from PIL import Image

from tl_core import progress
from tl_core.data.sample import content, dataset
from tl_core.data.sample.content import draw_file, file_paths
from tl_core.data.sample.dataset import (
    CLASS_NAMES,
    MIN_NUM_PER_CLASS,
    PlantedFault,
    draw_example,
    draw_sample_dataset,
    planted_faults,
)
from tl_core.errors import ConfigError, DatasetError, Stopped
from tl_core.progress import Progress

NUM = SAMPLE_NUM
FEW = MIN_NUM_PER_CLASS


@pytest.fixture
def quick_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw noise instead of food, for the tests about files and folders."""

    def draw(class_name: str, rng: Random, *, look: str = "usual") -> Image.Image:
        return Image.frombytes("RGB", (40, 30), rng.randbytes(3600))

    monkeypatch.setattr(content, "draw_photo", draw)


def fault(kind: str) -> PlantedFault:
    """Return the planted fault of a kind in the small set."""
    (found,) = (fault for fault in planted_faults(NUM) if fault.kind == kind)
    return found


def contents(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def thumbnail(path: Path) -> np.ndarray:
    """Return a small grey version of an image, for telling whether two show the same."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), np.float32)


def test_sample_set_has_the_asked_number_of_images_in_each_class(sample_set: Path) -> None:
    folders = sorted(path.name for path in sample_set.iterdir())
    assert folders == ["Burger", "Pizza", "Quesadilla", "Taco"]
    for name in folders:
        files = sorted(path.name for path in (sample_set / name).iterdir())
        assert files == [f"{name.lower()}_{number:03d}.jpg" for number in range(1, NUM + 1)]


def test_same_seed_draws_the_same_bytes(sample_set: Path) -> None:
    for path in file_paths(NUM)[::8]:
        assert draw_file(path, NUM, 0) == (sample_set / path).read_bytes()


def test_child_processes_draw_the_same_bytes(tmp_path: Path) -> None:
    for class_name in CLASS_NAMES:
        (tmp_path / class_name).mkdir()
    paths = file_paths(FEW)
    assert sum(dataset._draw_in_processes(tmp_path, FEW, 0, count=2)) == len(paths)
    assert list(contents(tmp_path)) == paths
    for path in paths[::8]:
        assert (tmp_path / path).read_bytes() == draw_file(path, FEW, 0)


@pytest.mark.usefixtures("quick_photos")
@pytest.mark.parametrize("command", [["no such program"], [sys.executable, "-c", "exit(1)"]])
def test_what_child_processes_leave_is_drawn_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr(dataset, "_FEW_IMAGES", 0)
    monkeypatch.setattr(dataset, "module_command", lambda *words: command)
    drawn = draw_sample_dataset(tmp_path / "food", num_per_class=FEW)
    assert list(contents(drawn)) == file_paths(FEW)


def test_a_stop_ends_the_child_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            children.append(self)

    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(dataset, "_FEW_IMAGES", 0)
    monkeypatch.setattr(dataset, "module_command", lambda *words: sleeper)
    monkeypatch.setattr(subprocess, "Popen", Noted)
    with pytest.raises(Stopped):
        draw_sample_dataset(tmp_path / "food", num_per_class=FEW, should_stop=lambda: True)
    assert children
    assert all(child.returncode is not None for child in children)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick_photos")
def test_another_seed_draws_other_photos(tmp_path: Path) -> None:
    one = draw_sample_dataset(tmp_path / "one", num_per_class=FEW, seed=1)
    other = draw_sample_dataset(tmp_path / "other", num_per_class=FEW, seed=2)
    assert not set(contents(one).values()) & set(contents(other).values())


def test_photos_are_of_the_promised_size_and_all_different(sample_set: Path) -> None:
    broken = fault("truncated").paths[-1]
    small_copy = fault("near_duplicate").paths[-1]
    for path in sorted(sample_set.rglob("*.jpg")):
        name = path.relative_to(sample_set).as_posix()
        if name in (broken, small_copy):
            continue
        with Image.open(path) as image:
            image.load()
            assert image.mode == "RGB"
            assert 240 <= min(image.size) <= max(image.size) <= 400
    twice = {fault("duplicate").paths[-1], fault("two_classes").paths[-1]}
    shas = [sha for name, sha in contents(sample_set).items() if name not in twice]
    assert len(shas) == len(set(shas)) == 4 * NUM - 2


@pytest.mark.parametrize("num_per_class", [FEW, 9, NUM, 75, 100])
def test_each_fault_is_planted_in_a_file_of_its_own(num_per_class: int) -> None:
    paths = [path for fault in planted_faults(num_per_class) for path in fault.paths]
    assert len(paths) == len(set(paths)) == 10
    for path in paths:
        class_name, file_name = path.split("/")
        assert class_name in CLASS_NAMES
        stem, number = file_name.removesuffix(".jpg").split("_")
        assert stem == class_name.lower()
        assert 1 <= int(number) <= num_per_class


def test_a_set_too_small_for_the_faults_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 8 images per class, received 7"):
        draw_sample_dataset(tmp_path / "food", num_per_class=7)
    assert list(tmp_path.iterdir()) == []


def test_duplicate_is_the_same_file_twice_in_one_class(sample_set: Path) -> None:
    first, second = fault("duplicate").paths
    assert first.split("/")[0] == second.split("/")[0]
    assert (sample_set / first).read_bytes() == (sample_set / second).read_bytes()


def test_one_image_lies_in_two_classes(sample_set: Path) -> None:
    first, second = fault("two_classes").paths
    assert first.split("/")[0] != second.split("/")[0]
    assert (sample_set / first).read_bytes() == (sample_set / second).read_bytes()


def test_near_duplicate_shows_the_same_in_other_bytes_and_another_size(sample_set: Path) -> None:
    first, second = (sample_set / path for path in fault("near_duplicate").paths)
    with Image.open(first) as one, Image.open(second) as other:
        assert other.width < one.width
    assert np.abs(thumbnail(first) - thumbnail(second)).mean() < 2
    stranger = sample_set / fault("duplicate").paths[0]
    assert np.abs(thumbnail(first) - thumbnail(stranger)).mean() > 10


def test_dark_photo_is_far_darker_than_any_other(sample_set: Path) -> None:
    dark = fault("dark").paths[-1]
    broken = fault("truncated").paths[-1]
    means = {
        name: float(thumbnail(sample_set / name).mean())
        for name in contents(sample_set)
        if name != broken
    }
    assert means.pop(dark) < 16
    assert min(means.values()) > 25


def test_truncated_file_does_not_load(sample_set: Path) -> None:
    data = (sample_set / fault("truncated").paths[-1]).read_bytes()
    with Image.open(io.BytesIO(data)) as image, pytest.raises(OSError, match="truncated"):
        image.load()


def test_rotated_photo_carries_its_orientation(sample_set: Path) -> None:
    tagged = []
    for path in sample_set.rglob("*.jpg"):
        with Image.open(path) as image:
            if image.getexif().get(0x0112, 1) != 1:
                tagged.append(path.relative_to(sample_set).as_posix())
    assert tagged == list(fault("exif_rotated").paths)


def test_wrong_label_is_a_burger_among_the_tacos(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def note(class_name: str, rng: object, *, look: str = "usual") -> Image.Image:
        drawn.append(class_name)
        return Image.new("RGB", (320, 240))

    monkeypatch.setattr(content, "draw_photo", note)
    wrong = fault("wrong_label")
    assert wrong.paths[-1].startswith("Taco/")
    content._faulty_file(wrong, seed=0)
    assert drawn == ["Burger"]


@pytest.mark.usefixtures("quick_photos")
def test_progress_counts_every_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0)
    seen: list[Progress] = []
    draw_sample_dataset(tmp_path / "food", num_per_class=FEW, on_progress=seen.append)
    assert [event.done for event in seen] == list(range(1, 4 * FEW + 1))
    assert {event.total for event in seen} == {4 * FEW}


@pytest.mark.usefixtures("quick_photos")
def test_stopping_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0)
    seen: list[Progress] = []
    with pytest.raises(Stopped):
        draw_sample_dataset(
            tmp_path / "food",
            num_per_class=FEW,
            on_progress=seen.append,
            should_stop=lambda: len(seen) >= 4,
        )
    assert len(seen) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_kept_untouched(tmp_path: Path) -> None:
    (tmp_path / "food").mkdir()
    (tmp_path / "food" / "mine.txt").write_text("keep me")
    with pytest.raises(DatasetError, match="a name that is not taken"):
        draw_sample_dataset(tmp_path / "food", num_per_class=NUM)
    assert [path.name for path in tmp_path.rglob("*")] == ["food", "mine.txt"]
    assert (tmp_path / "food" / "mine.txt").read_text() == "keep me"


@pytest.mark.usefixtures("quick_photos")
def test_a_folder_filled_meanwhile_is_kept_and_no_half_set_stays(tmp_path: Path) -> None:
    (tmp_path / "food").mkdir()

    def fill(progress: Progress) -> None:
        (tmp_path / "food" / "mine.txt").write_text("keep me")

    with pytest.raises(DatasetError, match="is there already"):
        draw_sample_dataset(tmp_path / "food", num_per_class=FEW, on_progress=fill)
    assert [path.name for path in tmp_path.rglob("*")] == ["food", "mine.txt"]


@pytest.mark.usefixtures("quick_photos")
def test_an_empty_folder_and_missing_parents_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "empty", tmp_path / "not" / "there" / "yet"):
        assert draw_sample_dataset(target, num_per_class=FEW) == target
        assert len(contents(target)) == 4 * FEW


def test_examples_are_seeded_and_not_in_the_set(sample_set: Path) -> None:
    known = set(contents(sample_set).values())
    for class_name in CLASS_NAMES:
        first, again = draw_example(class_name, 3), draw_example(class_name, 3)
        assert first.tobytes() == again.tobytes()
        assert draw_example(class_name, 4).tobytes() != first.tobytes()
        buffer = io.BytesIO()
        first.save(buffer, "JPEG", quality=88)
        assert hashlib.sha256(buffer.getvalue()).hexdigest() not in known


def test_a_class_that_is_not_in_the_set_has_no_example() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'Burger'"):
        draw_example("burgr")
