"""Each kind of finding on planted faults, and none on clean photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_NUM
from made_photos import as_jpeg, crop, draw_scene
from PIL import Image, ImageFilter

from tl_core.config.audit import AuditConfig
from tl_core.data.audit.audit import Audit, audit_dataset
from tl_core.data.audit.findings import Finding
from tl_core.data.dataset import scan_dataset
from tl_core.data.sample.dataset import planted_faults
from tl_core.data.split import stratified_split
from tl_core.errors import ConfigError, DatasetError, Stopped

NUM_EACH = 12


def write(path: Path, image: Image.Image, quality: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_jpeg(image, quality))


@pytest.fixture
def clean(tmp_path):
    """Return a folder of two classes of photos with nothing wrong."""
    for number in range(NUM_EACH):
        write(tmp_path / f"photos/cat/{number}.jpg", draw_scene(number))
        write(tmp_path / f"photos/dog/{number}.jpg", draw_scene(100 + number))
    return tmp_path / "photos"


def audit(data_dir: Path, config: AuditConfig | None = None, **options) -> Audit:
    return audit_dataset(scan_dataset(data_dir), config, **options)


def only(found: Audit, *others: str) -> Finding:
    """Return the one finding there is besides those of other kinds."""
    findings = [finding for finding in found.findings if finding.kind not in others]
    assert len(findings) == 1, findings
    return findings[0]


def test_clean_photos_give_no_finding(clean):
    found = audit(clean)

    assert found.findings == ()
    assert found.summary == ""
    assert found.groups == {}


def test_an_unreadable_file_is_told_with_the_rest(clean):
    (clean / "cat/broken.jpg").write_bytes((clean / "cat/0.jpg").read_bytes()[:700])
    found = audit(clean)

    assert (only(found).kind, only(found).severity) == ("unreadable", "error")
    assert found.summary == "1 unreadable file"


def test_the_same_file_twice_is_a_duplicate_of_which_one_may_go(clean):
    shutil.copy(clean / "dog/4.jpg", clean / "dog/4 copy.jpg")
    shutil.copy(clean / "dog/4.jpg", clean / "dog/another.jpg")
    finding = only(audit(clean))

    assert (finding.kind, finding.severity, finding.action) == ("duplicate", "warning", "exclude")
    assert finding.groups == (finding.paths,)
    assert set(finding.paths) == {"dog/4.jpg", "dog/4 copy.jpg", "dog/another.jpg"}
    assert set(finding.action_paths) == set(finding.paths[1:])
    assert finding.message.startswith("2 duplicates: the same file again.")


def test_of_near_duplicates_the_largest_is_kept(clean):
    write(clean / "cat/small.jpg", draw_scene(3).resize((96, 72)), 60)
    write(clean / "cat/large.jpg", draw_scene(3).resize((320, 240)), 95)
    found = audit(clean)
    finding = only(found)

    assert (finding.kind, finding.severity, finding.action) == (
        *("near_duplicate", "warning", "exclude"),
    )
    assert set(finding.action_paths) == {"cat/small.jpg", "cat/3.jpg"}
    assert found.summary == "2 near duplicates"


def test_the_same_file_in_two_classes_is_an_error_and_neither_is_proposed_to_stay(clean):
    shutil.copy(clean / "cat/2.jpg", clean / "dog/lost.jpg")
    finding = only(audit(clean))

    assert (finding.kind, finding.severity) == ("two_classes", "error")
    assert finding.message.startswith("1 photo lies in two classes: 'cat' and 'dog'.")
    assert finding.paths == finding.action_paths == ("cat/2.jpg", "dog/lost.jpg")


def test_nearly_the_same_photo_in_two_classes(clean):
    write(clean / "dog/lost.jpg", crop(draw_scene(2), 0.05, 0, 1))
    finding = only(audit(clean))

    assert (finding.kind, finding.severity) == ("near_two_classes", "warning")
    assert finding.groups == (("cat/2.jpg", "dog/lost.jpg"),)
    assert "nearly unchanged in two classes" in finding.message


SMALL_PARTS = ("small_val", "small_test")  # found in each of these sets of 24 photos


def laid_out(tmp_path: Path) -> Path:
    for name, first in (("cat", 0), ("dog", 100)):
        for number in range(NUM_EACH):
            part = "train" if number < 8 else "val" if number < 10 else "test"
            write(tmp_path / f"parts/{part}/{name}/{number}.jpg", draw_scene(first + number))
    return tmp_path / "parts"


def test_copies_across_a_given_split_leave_the_train_part(tmp_path):
    data_dir = laid_out(tmp_path)
    shutil.copy(data_dir / "test/cat/10.jpg", data_dir / "train/cat/seen.jpg")
    shutil.copy(data_dir / "val/dog/9.jpg", data_dir / "train/dog/seen.jpg")
    finding = only(audit(data_dir), *SMALL_PARTS)

    assert (finding.kind, finding.severity) == ("across_parts", "error")
    assert finding.message.startswith("2 photos lie in more than one of train, val and test.")
    assert set(finding.action_paths) == {"train/cat/seen.jpg", "train/dog/seen.jpg"}


def test_near_copies_across_a_given_split(tmp_path):
    data_dir = laid_out(tmp_path)
    write(data_dir / "train/cat/seen.jpg", draw_scene(10).resize((80, 60)))
    finding = only(audit(data_dir), *SMALL_PARTS)

    assert (finding.kind, finding.severity) == ("near_across_parts", "warning")
    assert finding.action_paths == ("train/cat/seen.jpg",)


def test_copies_in_two_classes_and_across_parts_are_named_by_both(tmp_path):
    data_dir = laid_out(tmp_path)
    shutil.copy(data_dir / "test/cat/10.jpg", data_dir / "train/dog/seen.jpg")

    kinds = [finding.kind for finding in audit(data_dir).findings]
    assert kinds == ["two_classes", "across_parts", *SMALL_PARTS]


def darken(image):
    return image.point(lambda value: value * 0.2)


def bleach(image):
    return image.point(lambda value: 180 + value * 0.3)


FAULTS = {
    "dark": darken(draw_scene(50)),
    "bright": bleach(draw_scene(51)),
    "uniform": Image.new("RGB", (160, 120), (150, 120, 60)),
    "blurry": draw_scene(52).filter(ImageFilter.GaussianBlur(4)),
    "tiny": draw_scene(53).resize((40, 30)),
    "extreme_aspect": draw_scene(54, (640, 120)),
    "greyscale": draw_scene(55).convert("L").convert("RGB"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_one_photo_with_a_fault_is_named_by_its_kind_alone(clean, kind):
    write(clean / "cat/odd.jpg", FAULTS[kind])
    finding = only(audit(clean))

    assert (finding.kind, finding.paths) == (kind, ("cat/odd.jpg",))
    assert finding.message.startswith("1 photo is ")
    is_harmless = kind in ("extreme_aspect", "greyscale")
    assert finding.severity == ("info" if is_harmless else "warning")
    assert finding.action == ("ignore" if is_harmless else "exclude")
    assert finding.action_paths == (() if is_harmless else finding.paths)


def test_a_photo_stored_turned_is_told_for_information(clean):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_scene(60).save(clean / "cat/turned.jpg", exif=exif)
    finding = only(audit(clean))

    assert (finding.kind, finding.severity, finding.action) == ("exif_rotated", "info", "ignore")


def test_what_most_photos_have_is_no_fault(clean):
    for path in clean.rglob("*.jpg"):
        with Image.open(path) as image:
            write(path, image.resize((40, 30)))
    found = audit(clean)
    finding = only(found)

    assert (finding.kind, finding.severity, finding.action) == ("tiny", "info", "ignore")
    assert found.summary == ""


def test_grey_photos_among_grey_ones_are_no_finding(clean):
    for path in list(clean.rglob("*.jpg"))[:10]:
        with Image.open(path) as image:
            write(path, image.convert("L").convert("RGB"))

    assert audit(clean).findings == ()


@pytest.mark.parametrize(
    ("size", "is_odd"),
    [((820, 620), True), ((30, 20), True), ((780, 590), False)],  # 5.1, 1/5.7, 4.9 times
)
def test_a_lone_photo_of_a_very_different_size_is_named(clean, size, is_odd):
    photo = draw_scene(55, (160, 120)).resize(size)
    write(clean / "cat/odd.jpg", photo)
    found = [one for one in audit(clean).findings if one.kind == "odd_size"]
    assert [one.paths for one in found] == ([("cat/odd.jpg",)] if is_odd else [])
    if is_odd:
        assert f"such as {size[0]} × {size[1]} pixels" in found[0].message


@pytest.mark.parametrize("paper", ["white", "black"])
def test_drawings_of_thin_lines_are_neither_bright_nor_dark_nor_copies(tmp_path, paper):
    ink = "black" if paper == "white" else "white"
    rng = np.random.default_rng(0)
    for number in range(24):
        image = Image.new("RGB", (120, 120), paper)
        for left, top in rng.integers(5, 100, (5, 2)).tolist():
            image.paste(ink, (left, top, left + 15, top + 3))
        write(tmp_path / f"{'ab'[number % 2]}/{number}.jpg", image)

    kinds = {finding.kind for finding in audit(tmp_path).findings}
    assert kinds <= {"greyscale"}


def test_even_surfaces_are_not_told_as_near_duplicates_of_each_other(clean):
    for number in range(3):
        write(
            clean / f"cat/even{number}.jpg", Image.new("RGB", (160, 120), (90 + 9 * number, 80, 70))
        )

    assert only(audit(clean)).kind == "uniform"


def test_unequal_classes_are_told(clean):
    for number in range(3, NUM_EACH):
        (clean / f"dog/{number}.jpg").unlink()
    for number in range(NUM_EACH, 16):
        write(clean / f"cat/{number}.jpg", draw_scene(number))
    small, unequal = audit(clean).findings

    assert (small.kind, small.severity, small.paths) == ("small_class", "warning", ("dog/",))
    assert "'dog' 3" in small.message
    assert (unequal.kind, unequal.severity) == ("imbalance", "warning")
    assert unequal.message.startswith("'cat' has 16 photos and 'dog' only 3.")


def test_a_class_of_copies_is_too_small_to_split(clean):
    for number in range(1, NUM_EACH):
        shutil.copy(clean / "dog/0.jpg", clean / f"dog/{number}.jpg")

    kinds = {finding.kind: finding for finding in audit(clean).findings}
    assert kinds["small_class"].severity == "error"
    assert "'dog' 1" in kinds["small_class"].message
    assert len(kinds["duplicate"].action_paths) == NUM_EACH - 1


def features_of(found_index, wrong=(), odd=()):
    """Return features near a class's centre, those of ``wrong`` near the other one's."""
    rng = np.random.default_rng(0)
    labels = found_index.labels.copy()
    for place, record in enumerate(found_index.records):
        if record.path in wrong:
            labels[place] = 1 - labels[place]
    features = np.eye(2, 24)[labels] + 0.08 * rng.standard_normal((len(labels), 24))
    for place, record in enumerate(found_index.records):
        if record.path in odd:
            features[place] = rng.standard_normal(24)
    return features.astype(np.float32)


def test_a_wrong_label_is_proposed_to_move(clean):
    index = scan_dataset(clean)
    found = audit_dataset(index, features=features_of(index, wrong=["cat/5.jpg", "cat/7.jpg"]))
    finding = only(found)

    assert (finding.kind, finding.severity, finding.action) == ("wrong_label", "warning", "relabel")
    assert set(finding.paths) == set(finding.action_paths) == {"cat/5.jpg", "cat/7.jpg"}
    assert finding.target == "dog"
    assert finding.message == "2 photos in 'cat' look like 'dog'. Move them there if so."
    assert found.summary == "2 probably wrong labels"


def test_what_is_unlike_its_class_is_told_for_information(clean):
    index = scan_dataset(clean)
    found = audit_dataset(index, features=features_of(index, odd=["dog/3.jpg"]))
    finding = only(found, "wrong_label")

    assert (finding.kind, finding.severity, finding.action) == ("outlier", "info", "ignore")
    assert finding.paths == ("dog/3.jpg",)


def test_good_features_add_no_finding(clean):
    index = scan_dataset(clean)
    config = AuditConfig(outlier=3)  # of 12 images a class one is always the furthest

    assert audit_dataset(index, config, features=features_of(index)).findings == ()


def test_features_tell_the_right_class_of_a_photo_in_two(clean):
    shutil.copy(clean / "cat/2.jpg", clean / "dog/lost.jpg")
    index = scan_dataset(clean)
    features = features_of(index, wrong=["dog/lost.jpg"])
    finding = only(audit_dataset(index, features=features), "outlier")

    assert finding.kind == "two_classes"
    assert finding.action_paths == ("dog/lost.jpg",)


def test_scores_and_table_have_one_row_an_image(clean):
    index = scan_dataset(clean)
    found = audit_dataset(index, features=features_of(index, wrong=["cat/5.jpg"]))
    table = found.table()

    assert table["path"].tolist() == [record.path for record in index.records]
    assert table.loc[table["wrong_label"].idxmax(), "path"] == "cat/5.jpg"
    assert table.loc[table["path"] == "cat/5.jpg", "suggested"].item() == "dog"
    assert table["brightness"].between(0, 1).all()
    assert set(found.scores) == {"outlier", "wrong_label"}
    plain = audit_dataset(index)
    assert (plain.scores, plain.suggested) == ({}, None)
    assert "wrong_label" not in plain.table()


@pytest.mark.parametrize("shape", [(3, 5), (24,), (1, 24, 5)], ids=str)
def test_features_of_other_images_are_refused(clean, shape):
    with pytest.raises(DatasetError, match="Expected features of 24 images"):
        audit(clean, features=np.zeros(shape))


def test_groups_keep_near_copies_in_one_part_of_a_split(clean):
    for number in range(4):
        write(clean / f"cat/again{number}.jpg", crop(draw_scene(2), 0.01 * (number + 1)), 80)
    index = scan_dataset(clean)
    groups = audit_dataset(index).groups

    copies = {record.sha256 for record in index.records if "again" in record.path}
    assert copies < set(groups)
    assert len(set(groups.values())) == 1
    for seed in range(5):
        split = stratified_split(index, (0.6, 0.2, 0.2), seed, groups=groups)
        where = {
            part
            for part, places in split.items()
            for place in places
            if index.records[place].sha256 in groups
        }
        assert len(where) == 1


def test_findings_come_worst_first_and_in_one_line(clean):
    shutil.copy(clean / "cat/2.jpg", clean / "dog/lost.jpg")
    shutil.copy(clean / "dog/4.jpg", clean / "dog/again.jpg")
    write(clean / "cat/dark.jpg", FAULTS["dark"])
    write(clean / "cat/long.jpg", FAULTS["extreme_aspect"])
    found = audit(clean)

    assert [finding.kind for finding in found.findings] == [
        *("two_classes", "duplicate", "dark", "extreme_aspect"),
    ]
    assert found.summary == "1 photo in two classes, 1 duplicate, 1 very dark"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("dark", {"dark": 0.05}),
        ("bright", {"bright": 0.95}),
        ("uniform", {"contrast": 0.0, "sharpness": 0.0}),
        ("blurry", {"sharpness": 0.1}),
        ("tiny", {"min_side": 20}),
        ("extreme_aspect", {"max_aspect": 8}),
        ("greyscale", {"greyscale_share": 0.01}),
    ],
)
def test_thresholds_are_settings(clean, kind, change):
    write(clean / "cat/odd.jpg", FAULTS[kind])

    assert audit(clean, AuditConfig().updated(**change)).findings == ()


def test_thresholds_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="'dark'"):
        AuditConfig.create({"dark": 2})
    with pytest.raises(ConfigError, match="Did you mean 'sharpness'"):
        AuditConfig.create({"sharpnes": 0.2})
    assert AuditConfig.from_json(AuditConfig(dark=0.1).to_json()) == AuditConfig(dark=0.1)


def test_a_stop_is_obeyed(clean):
    with pytest.raises(Stopped):
        audit(clean, should_stop=lambda: True)


def test_the_faults_of_the_sample_set_are_found(sample_set):
    planted = {fault.kind: set(fault.paths) for fault in planted_faults(SAMPLE_NUM)}
    found = audit(sample_set)

    named = {finding.kind: set(finding.paths) for finding in found.findings}
    for kind in ("duplicate", "two_classes", "near_duplicate", "dark", "exif_rotated"):
        assert named[kind] == planted[kind]
    assert named["unreadable"] == planted["truncated"]
