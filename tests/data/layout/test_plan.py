"""How folders of any shape are read, on small sets drawn for each shape."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import draw_image

from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.layout.layout_name import LayoutName
from tl_core.data.layout.name_patterns import compile_pattern, guess_group_pattern
from tl_core.data.layout.plan import LayoutPlan, plan_layout
from tl_core.errors import ConfigError, DatasetError

Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Return ``draw({"train/cat": 3, ...}, names="{n}.png")``: images in folders, by path."""

    def make(counts: Mapping[str, int], names: str = "{n}.png", root: str = "data") -> Path:
        data_dir = tmp_path / root
        data_dir.mkdir(exist_ok=True)
        for kind, (folder, count) in enumerate(counts.items()):
            (data_dir / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                name = names.format(n=number, name=Path(folder).name)
                draw_image(kind, number, (24, 20)).save(data_dir / folder / name, "PNG")
        return data_dir

    return make


def names_of(plan: LayoutPlan) -> list[str]:
    return [reading.name for reading in plan.readings]


def parts_of(index: DatasetIndex) -> dict[str, int]:
    parts = [record.part or "" for record in index.records]
    return {part: parts.count(part) for part in sorted(set(parts))}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("training_set", "validation_set", "test_set"),
        ("seg_train", "seg_dev", "seg_test"),
        ("train2017", "val2017", "test2017"),
        ("Training", "Validation", "Testing"),
        ("TrainImages", "ValImages", "TestImages"),
        ("birds-train", "birds-valid", "birds-holdout"),
        ("01_train", "02_val", "03_eval"),
    ],
)
@pytest.mark.parametrize("doubled", [False, True], ids=["plain", "doubled"])
def test_split_folders_are_known_under_the_names_people_use(
    draw: Draw, train: str, val: str, test: str, doubled: bool
) -> None:
    counts = {}
    for part, count in ((train, 4), (val, 2), (test, 3)):
        inner = f"{part}/{part}" if doubled else part
        counts |= {f"zoo/{inner}/{name}": count for name in ("owl", "elk")}
    data_dir = draw(counts)

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"elk": 9, "owl": 9}
    assert parts_of(index) == {"train": 8, "val": 4, "test": 6}
    assert plan_layout(data_dir).is_sure


@pytest.mark.parametrize("folder", ["pred", "unlabelled", "test1", "seg_pred", "pred/pred"])
def test_a_held_out_folder_without_classes_is_unlabelled(draw: Draw, folder: str) -> None:
    train = "seg_train" if folder.startswith("seg") else "train"
    data_dir = draw({f"{train}/owl": 3, f"{train}/elk": 3, folder: 2})

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"elk": 3, "owl": 3}
    assert sorted(index.unlabelled) == [f"{folder}/0.png", f"{folder}/1.png"]


def test_a_class_that_is_called_train_stays_one(draw: Draw) -> None:
    vehicles = draw({"train": 3, "bus": 2, "tram": 2})
    split = draw(
        {f"{part}/{name}": 2 for part in ("train", "test") for name in ("train", "bus")}, root="s"
    )

    assert scan_dataset(vehicles).class_counts() == {"bus": 2, "train": 3, "tram": 2}
    assert scan_dataset(split).class_counts() == {"bus": 4, "train": 4}


def test_a_split_can_be_overruled_and_classes_named_like_parts_too(draw: Draw) -> None:
    split = draw({f"{part}/{name}": 2 for part in ("train", "test") for name in ("owl", "elk")})
    exams = draw({"train": 3, "test": 2}, root="exams")

    assert scan_dataset(split, "top-folders").class_counts() == {"test": 4, "train": 4}
    plan = plan_layout(exams)
    assert not plan.is_sure
    assert names_of(plan) == ["class-folders", "unlabelled"]
    with pytest.raises(DatasetError, match="5 photos without classes"):
        scan_dataset(exams, "unlabelled")


def test_a_split_inside_of_the_class_folders_is_kept(draw: Draw) -> None:
    counts = {"owl/train": 4, "owl/test": 2, "elk/train": 3, "elk/test": 1}

    index = scan_dataset(draw(counts))

    assert index.class_counts() == {"elk": 4, "owl": 6}
    assert parts_of(index) == {"train": 7, "test": 3}


def test_renderings_of_the_same_classes_are_a_choice(draw: Draw) -> None:
    variants = ("gray", "colour", "masked")
    data_dir = draw({f"plants/{v}/{name}": 2 for v in variants for name in ("rust", "scab", "ok")})

    plan = plan_layout(data_dir)

    assert not plan.is_sure
    assert names_of(plan)[0] == "variant:colour"
    assert {"variant:gray", "variant:masked", "level:2", "class-folders"} < set(names_of(plan))
    assert scan_dataset(data_dir).class_counts() == {"ok": 2, "rust": 2, "scab": 2}
    assert scan_dataset(data_dir, "level:2").class_counts() == {"ok": 6, "rust": 6, "scab": 6}
    paths = {record.path.split("/")[1] for record in scan_dataset(data_dir, "variant:gray").records}
    assert paths == {"gray"}
    with pytest.raises(DatasetError, match="Did you mean 'colour'"):
        scan_dataset(data_dir, "variant:color")


def test_renderings_may_each_have_a_split(draw: Draw) -> None:
    data_dir = draw(
        {
            f"{v}/{part}/{name}": 2
            for v in ("rgb", "depth")
            for part in ("train", "test")
            for name in ("cup", "box")
        }
    )

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"box": 4, "cup": 4}
    assert parts_of(index) == {"train": 4, "test": 4}
    assert index.layout == "variant:rgb"


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_of_a_taxonomy_the_innermost_level_names_the_class(draw: Draw, prefix: str) -> None:
    tree = {"fish": ("cod", "eel"), "birds": ("owl", "tit", "jay")}
    counts = {f"{prefix}{outer}/{name}": 2 for outer, own in tree.items() for name in own}
    if prefix:
        counts |= {f"test/{outer}/{own[0]}": 1 for outer, own in tree.items()}
    data_dir = draw(counts)

    plan = plan_layout(data_dir)

    assert not plan.is_sure
    assert names_of(plan)[:2] == ["level:2", "class-folders"]
    assert scan_dataset(data_dir).class_names == ("cod", "eel", "jay", "owl", "tit")
    assert scan_dataset(data_dir, "class-folders").class_names == ("birds", "fish")


def test_a_level_that_is_not_uniform_names_no_class(draw: Draw) -> None:
    data_dir = draw({"owl": 3, "owl/young": 2, "elk": 4})

    plan = plan_layout(data_dir)

    assert plan.is_sure
    assert plan.chosen is not None
    assert plan.chosen.class_counts == {"elk": 4, "owl": 5}


def test_sessions_inside_of_class_folders_are_groups_and_no_classes(draw: Draw) -> None:
    data_dir = draw(
        {f"{name}/session_{n}": 3 for name, ns in (("owl", "123"), ("elk", "456")) for n in ns}
    )

    plan = plan_layout(data_dir)

    assert plan.is_sure
    assert scan_dataset(data_dir).class_counts() == {"elk": 9, "owl": 9}
    assert plan.groups is not None
    assert (plan.groups.spec, plan.groups.num_groups) == ("folder", 6)


@pytest.mark.parametrize(
    ("file_names", "pattern", "classes"),
    [
        ("{name}.{n}.png", "{class}.{n}", ["great dane", "pug"]),
        ("{name}_{n}.png", "{class}_{n}", ["great_dane", "pug"]),
        ("{name}{n:03}.png", "{class}{n}", ["greatdane", "pug"]),
        ("{name} ({n}).png", "{class} ({n})", ["great dane", "pug"]),
        ("{name}-{n:03}-IMG.png", "{class}-{n}-IMG", ["dane", "pug"]),
        ("{n:04}_{name}.png", "{n}_{class}", ["dane", "pug"]),
    ],
)
def test_a_class_in_the_file_name_is_read(
    tmp_path: Path, file_names: str, pattern: str, classes: list[str]
) -> None:
    for kind, name in enumerate(classes):
        for n in range(5):
            path = tmp_path / "dogs" / file_names.format(name=name, n=n)
            path.parent.mkdir(exist_ok=True)
            draw_image(kind, n, (24, 20)).save(path)

    plan = plan_layout(tmp_path / "dogs")

    assert plan.chosen is not None
    assert plan.chosen.class_counts == dict.fromkeys(classes, 5)
    typed = scan_dataset(tmp_path / "dogs", f"names:{pattern}")
    assert typed.class_counts() == dict.fromkeys(classes, 5)


@pytest.mark.parametrize(
    "names", ["IMG_{n:04}.png", "{n}.png", "DSC{n:05}.png", "Screenshot ({n}).png"]
)
def test_names_that_cameras_give_are_no_classes(draw: Draw, names: str) -> None:
    data_dir = draw({"": 6}, names)

    plan = plan_layout(data_dir)

    assert names_of(plan) == ["unlabelled"]
    assert len(plan.unlabelled) == 6
    with pytest.raises(
        DatasetError, match=r"6 photos without classes.*a pattern of the file names"
    ):
        scan_dataset(data_dir)


def test_wordnet_ids_in_names_are_classes(tmp_path: Path) -> None:
    for kind, wnid in enumerate(("n01440764", "n02102040")):
        for n in (18, 36, 1024):
            draw_image(kind, n, (24, 20)).save(tmp_path / f"{wnid}_{n}.png")

    assert scan_dataset(tmp_path).class_counts() == {"n01440764": 3, "n02102040": 3}


def test_a_pattern_without_a_class_is_refused(draw: Draw) -> None:
    with pytest.raises(ConfigError, match=r"Expected a pattern with \{class\}"):
        plan_layout(draw({"": 4}), "names:IMG_*")
    with pytest.raises(ConfigError, match="Expected a layout out of"):
        plan_layout(draw({"": 4}), "class-folder")


def test_a_pattern_with_slashes_reads_the_whole_path(draw: Draw) -> None:
    data_dir = draw({"site a/owl": 2, "site b/owl": 2, "site a/elk": 3, "site b/elk": 1})

    index = scan_dataset(data_dir, "names:{group}/{class}/*")

    assert index.class_counts() == {"elk": 4, "owl": 4}
    assert {record.group for record in index.records} == {"site a", "site b"}


def test_frames_of_videos_are_proposed_as_groups_and_kept_apart_on_request(draw: Draw) -> None:
    data_dir = draw({"on": 0, "off": 0})
    for kind, name in enumerate(("on", "off")):
        for clip in range(4):
            for frame in range(5):
                path = data_dir / name / f"CLIP{clip}_frame{frame:03}.png"
                draw_image(kind, 100 * clip + frame, (24, 20)).save(path)

    plan = plan_layout(data_dir)

    assert plan.groups is not None
    assert plan.groups.spec == "name:{group}_frame{n}"
    index = scan_dataset(
        data_dir, str(LayoutName("class-folders", "", {"group": plan.groups.spec}))
    )
    assert {record.group for record in index.records} == {f"CLIP{clip}" for clip in range(4)}


def test_links_are_followed_on_request_within_the_allowed_root(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = draw({"owl": 3, "elk": 2}, root="pool")
    data_dir = draw({"fox": 1})
    for name in ("owl", "elk"):
        (data_dir / name).symlink_to(pool / name)
    (data_dir / "owl_up").symlink_to(data_dir)

    assert set(plan_layout(data_dir).links) == {"owl", "elk", "owl_up"}
    followed = scan_dataset(data_dir, "class-folders?links=follow")
    assert followed.class_counts() == {"elk": 2, "fox": 1, "owl": 3}
    assert followed.num_ignored == {"link": 1}

    (tmp_path / "other").mkdir()
    monkeypatch.setenv("TL_LINK_ROOT", str(tmp_path / "other"))
    with pytest.raises(DatasetError, match="left out as links: 'elk', 'owl', 'owl_up'"):
        scan_dataset(data_dir, "class-folders?links=follow")


def test_links_to_links_do_not_multiply(draw: Draw) -> None:
    data_dir = draw({"owl": 1, "elk": 1})
    for depth in range(8):
        folder = data_dir / f"d{depth}"
        folder.mkdir()
        for side in "ab":
            (folder / side).symlink_to(data_dir / f"d{depth + 1}")
    (data_dir / "d8").mkdir()

    plan = plan_layout(data_dir, "class-folders?links=follow")

    assert plan.chosen is not None
    assert plan.chosen.num_images == 2


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"train/labels/{n}.txt": "0 0.5 0.5 0.4 0.4\n"}, "YOLO"),
        ({"ann/{n}.xml": "<annotation><object><bndbox/></object></annotation>"}, "Pascal VOC"),
        ({"coco.json": '{"images": [], "annotations": [{"bbox": [1, 2, 3, 4]}]}'}, "COCO"),
        ({"boxes.csv": "file,label,xmin,ymin\n0.png,cup,1,2\n1.png,box,3,4\n"}, "boxes"),
        ({"tags.csv": "file,tags\n0.png,wet\n1.png,wet|red\n2.png,red\n"}, "several labels"),
    ],
    ids=["yolo", "voc", "coco", "boxes", "tags"],
)
def test_other_tasks_are_named(draw: Draw, files: dict[str, str], words: str) -> None:
    data_dir = draw({"train/images": 3})
    for pattern, text in files.items():
        for n in range(3):
            path = data_dir / pattern.format(n=n)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    plan = plan_layout(data_dir)

    assert plan.readings == ()
    assert plan.other is not None
    assert words in plan.other.message
    with pytest.raises(DatasetError, match=words):
        scan_dataset(data_dir)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train-0.tfrecord", "TFRecord"),
        ("a/train.parquet", "Parquet"),
        ("shard-000001.tar", "WebDataset"),
        ("model/keras_model.h5", "HDF5"),
        ("model.tflite", "is a model, not photos"),
    ],
)
def test_containers_and_models_are_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\0" * 16)

    with pytest.raises(DatasetError, match=words):
        scan_dataset(tmp_path)


def test_boxes_beside_class_folders_do_not_stop_them(draw: Draw) -> None:
    data_dir = draw({"owl": 3, "elk": 3})
    (data_dir / "owl/0.txt").write_text("0 0.5 0.5 0.4 0.4\n")

    assert scan_dataset(data_dir).class_counts() == {"elk": 3, "owl": 3}


def test_what_a_given_split_lacks_is_a_finding(draw: Draw) -> None:
    counts = {f"train/{name}": 3 for name in ("a", "b", "c")} | {
        "val/a": 2,
        "test/b": 1,
        "test/d": 1,
    }

    found = {one.kind: one for one in scan_dataset(draw(counts)).findings}

    assert "'b', 'c'" in found["class_not_in_val"].message
    assert "'a', 'c'" in found["class_not_in_test"].message
    assert "'d'" in found["class_not_in_train"].message
    assert found["class_not_in_train"].paths == ("test/d/0.png",)
    assert "2 images" in found["small_val"].message


def test_names_of_readings_survive_being_written_and_read() -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choice("ab {}*.?&=%/:é") for _ in range(8)).strip() or "x"
        name = LayoutName("table", text, {"label": text[::-1], "group": f"name:{text}"})
        assert LayoutName.parse(str(name)) == name


def test_a_plan_is_json_ready_and_opens_no_image(draw: Draw) -> None:
    data_dir = draw({"owl": 1, "elk": 1})
    (data_dir / "owl/broken.png").write_bytes(b"not an image")

    plan = plan_layout(data_dir)

    assert plan.chosen is not None
    assert plan.chosen.class_counts == {"elk": 1, "owl": 2}
    assert json.dumps(plan.chosen.class_counts)
    assert plan.sentence == "Read as 2 classes."


def test_every_reading_that_the_documentation_names_exists() -> None:
    text = (Path(__file__).parents[3] / "docs" / "DATASETS.md").read_text(encoding="utf-8")
    quoted = re.findall(r"--layout '([^']+)'", text) + re.findall(r"--layout ([a-z][^\s'`]*)", text)
    bare = re.findall(r"`((?:level|variant|table|names):[^`]+|[a-z]+-folders[^`]*)`", text)

    names = [name for name in [*quoted, *bare] if name != "auto"]

    assert len(names) > 10
    for name in names:
        LayoutName.parse(name)


def test_masks_beside_the_images_are_left_out_where_names_give_the_class(draw: Draw) -> None:
    data_dir = draw({"images": 0})
    for kind, name in enumerate(("Abyssinian", "Bengal_cat", "pug")):
        for n in range(1, 5):
            draw_image(kind, n, (24, 20)).save(data_dir / f"images/{name}_{n}.png")
            place = data_dir / "annotations/trimaps" / f"{name}_{n}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            draw_image(kind, n, (24, 20)).save(place)
    (data_dir / "annotations/boxes.xml").write_text("<annotation><object><bndbox/></annotation>")

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"Abyssinian": 4, "Bengal_cat": 4, "pug": 4}
    assert index.num_ignored == {"mask": 12, "other": 1}


def test_masks_of_images_without_classes_are_named(draw: Draw) -> None:
    plan = plan_layout(draw({"images": 3, "masks": 3}))

    assert plan.readings == ()
    assert plan.other is not None
    assert plan.other.kind == "segmentation"


def test_train_and_test_folders_that_wrap_images_alone_are_asked_about(draw: Draw) -> None:
    plan = plan_layout(draw({"cars_train/cars_train": 4, "cars_test/cars_test": 3}))

    assert names_of(plan) == ["class-folders", "unlabelled"]
    assert not plan.is_sure


def test_a_part_whose_only_folder_is_no_class_has_none(draw: Draw) -> None:
    data_dir = draw(
        {"train/n01/images": 3, "train/n02/images": 3, "val/images": 2, "test/images": 2}
    )

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"n01": 3, "n02": 3}
    assert len(index.unlabelled) == 4


def test_numbers_inside_of_class_folders_that_never_recur_are_asked_about(draw: Draw) -> None:
    ids = plan_layout(draw({"birds/12": 2, "birds/40": 2, "bees/7": 2, "bees/88": 2}))
    takes = plan_layout(draw({"on/1": 2, "on/2": 2, "off/1": 2, "off/2": 2}, root="takes"))

    assert (names_of(ids), ids.is_sure) == (["class-folders", "level:2"], False)
    assert (names_of(takes), takes.is_sure) == (["class-folders", "level:2"], True)


def test_a_group_that_is_the_class_is_not_proposed(draw: Draw) -> None:
    plan = plan_layout(draw({"n01": 4, "n02": 4}, names="{name}_{n}.png"))

    assert plan.groups is None


def test_one_folder_of_photos_may_be_labelled(draw: Draw) -> None:
    data_dir = draw({"faces": 4})

    plan = plan_layout(data_dir)

    assert (names_of(plan), plan.is_sure) == (["class-folders", "unlabelled"], False)
    with pytest.raises(DatasetError, match="or label the photos"):
        scan_dataset(data_dir)


@pytest.mark.parametrize(
    "line",
    ["0 " + "11 " * 30 + "x", "0 1 1 1 " + "1" * 100_000 + "x", "0 " + ".5 " * 30 + "-"],
    ids=["numbers", "digits", "fractions"],
)
def test_a_line_that_is_nearly_of_boxes_is_seen_at_once(tmp_path, line):
    # Each digit of a number that could be read in two ways would double the time.
    for number in range(3):
        draw_image(number, 1).save(tmp_path / f"p{number}.png")
    (tmp_path / "p0.txt").write_text(line)
    assert plan_layout(tmp_path).other is None


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5 .25 1", "3 -1 2.5e-3 1e2 .5 0.1\n\n1 1 1 1 1", "  2\t1 1 1 1  "]
)
def test_lines_of_boxes_are_known(tmp_path, line):
    for number in range(3):
        draw_image(number, 1).save(tmp_path / f"p{number}.png")
        (tmp_path / f"p{number}.txt").write_text(line)
    found = plan_layout(tmp_path).other
    assert found is not None
    assert found.kind == "detection"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("{class}_{n}_{n}_*", "cat_1_22_x_y.png", "cat"),
        ("*-{n}-{class}-*", "a-1-b-2-Dog-3-4.png", "Dog"),  # * takes as much as it can
        ("{n}{n}{n}{class}", "1234cat.png", "cat"),
        ("{class}{n}{n}{n}", "cat1234.png", "cat"),
        ("{class}*{n}*{n}*z", "cat.png", None),
        ("A*{class}*B*", "a1b2b.png", "2"),
        ("{class}*{class}*{class}*", "xyz.png", "x/y/z"),
    ],
)
def test_patterns_of_many_parts_read_as_those_of_few(pattern, name, expected):
    assert compile_pattern(pattern, "class").read(name, "class") == expected


def test_a_pattern_and_a_name_of_any_kind_are_read_at_once():
    # A regular expression would try each way to divide the name: more than 10^30 of them.
    pattern = compile_pattern("{class}" + "*{n}" * 40 + "x", "class")
    assert pattern.read("a1" * 120 + ".png", "class") is None
    assert guess_group_pattern(["_1" * 60 + "_" * 120 + ".png"] * 200) is None
    with pytest.raises(ConfigError, match="at most 200 characters, received 201"):
        compile_pattern("{class}" + "*" * 194, "class")
