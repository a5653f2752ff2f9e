"""Classes from tables beside the images, in the forms that people have them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import draw_image

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.layout import label_files
from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.label_files import ImageFinder, num_rows, read_table
from tl_core.data.layout.layout_findings import find_layout
from tl_core.data.layout.plan import plan_layout
from tl_core.data.layout.tree import ImageFile
from tl_core.data.split import split_dataset
from tl_core.errors import DatasetError

CLASSES = ("boxer", "dingo", "pug")


def draw(folder: Path, stems: Sequence[str], suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(stems):
        draw_image(number, len(str(folder)), (24, 20)).save(folder / f"{stem}{suffix}")


def stems(count: int, prefix: str = "") -> list[str]:
    """Return names that look like hashes, so that none of them says a class."""
    return [f"{prefix}{(number * 7919 + 101) % 99991:05x}" for number in range(count)]


def write_csv(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], mark: str = ","
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=mark)
        if header:
            writer.writerow(header)
        writer.writerows(rows)


def counts(data_dir: Path, layout: str | None = None) -> dict[str, int]:
    return scan_dataset(data_dir, layout).class_counts()


@pytest.mark.parametrize(
    ("header", "cell", "place"),
    [
        (("id", "breed"), "{stem}", "labels.csv"),
        (("image", "what_it_is"), "{stem}.png", "meta/truth.csv"),
        (("Image Path", "Label"), "train\\{stem}.png", "train.csv"),
        (("file_name", "label"), "{stem}.png", "train/metadata.csv"),
        (("ImageID", "LabelName"), "https://host/bucket/{stem}.png?w=80", "annotations.csv"),
        ((), "{stem}.png", "labels.csv"),
        (("filename", "class"), "./train/{stem}.png", "labels.tsv"),
    ],
)
def test_file_and_label_columns_are_found_by_their_values(
    tmp_path: Path, header: tuple[str, ...], cell: str, place: str
) -> None:
    names = stems(12)
    draw(tmp_path / "train", names)
    rows = [(cell.format(stem=stem), CLASSES[n % 3]) for n, stem in enumerate(names)]
    write_csv(tmp_path / place, header, rows, "\t" if place.endswith("tsv") else ",")

    assert counts(tmp_path) == dict.fromkeys(CLASSES, 4)


def test_columns_beside_are_not_taken_for_the_class(tmp_path: Path) -> None:
    names = stems(12)
    draw(tmp_path / "images", names)
    rows = [
        (
            n,
            stem,
            20 + n % 2,
            640,
            f"p{n // 3}",
            ("nv", "mel", "bcc")[n % 3],
            "2020-01-0" + str(n % 3),
        )
        for n, stem in enumerate(names)
    ]
    header = ("Unnamed: 0", "image_id", "age", "width", "patient_id", "dx", "date")
    write_csv(tmp_path / "data_entry.csv", header, rows)

    plan = plan_layout(tmp_path)

    assert plan.chosen is not None
    assert plan.chosen.class_counts == {"bcc": 4, "mel": 4, "nv": 4}
    assert plan.chosen.examples[0] == (names[0], f"images/{names[0]}.png", "nv")
    assert plan.groups is not None
    assert (plan.groups.spec, plan.groups.num_groups) == ("column:patient_id", 4)


def test_a_person_can_choose_the_columns(tmp_path: Path) -> None:
    names = stems(8)
    draw(tmp_path, names)
    rows = [(stem, CLASSES[n % 2], ("m", "f")[n // 4]) for n, stem in enumerate(names)]
    write_csv(tmp_path / "people.csv", ("file", "label", "sex"), rows)

    assert counts(tmp_path) == {"boxer": 4, "dingo": 4}
    assert counts(tmp_path, "table:people.csv?label=sex") == {"f": 4, "m": 4}
    with pytest.raises(DatasetError, match=r"Expected a table in 'none\.csv'"):
        scan_dataset(tmp_path, "table:none.csv")


@pytest.mark.parametrize("spaces", ["", " "])
def test_one_hot_columns_name_the_classes(tmp_path: Path, spaces: str) -> None:
    for part, count in (("train", 6), ("valid", 3)):
        names = stems(count, part)
        draw(tmp_path / part, names)
        rows = [
            (f"{stem}.png", *(int(n % 3 == k) for k in range(3))) for n, stem in enumerate(names)
        ]
        write_csv(
            tmp_path / part / "_classes.csv", ("filename", *(spaces + c for c in CLASSES)), rows
        )

    index = scan_dataset(tmp_path)

    assert index.class_counts() == dict.fromkeys(CLASSES, 3)
    assert sorted({record.part or "" for record in index.records}) == ["train", "val"]


def test_a_split_column_is_kept(tmp_path: Path) -> None:
    names = stems(12)
    draw(tmp_path / "all", names)
    rows = [
        (stem, CLASSES[n % 2], ("train", "valid", "TEST")[n // 4]) for n, stem in enumerate(names)
    ]
    write_csv(tmp_path / "index.csv", ("name", "label", "subset"), rows)

    index = scan_dataset(tmp_path)

    split = split_dataset(index, TrainConfig())
    assert [len(positions) for _, positions in split.items()] == [4, 4, 4]


def test_automl_rows_without_a_header_are_read(tmp_path: Path) -> None:
    names = stems(9)
    draw(tmp_path, names)
    rows = [
        (("TRAIN", "VALIDATION", "TEST")[n % 3], f"gs://bucket/x/{stem}.png", CLASSES[n // 3])
        for n, stem in enumerate(names)
    ]
    write_csv(tmp_path / "import.csv", (), rows)

    index = scan_dataset(tmp_path)

    assert index.class_counts() == dict.fromkeys(CLASSES, 3)
    assert {record.part for record in index.records} == {"train", "val", "test"}


@pytest.mark.parametrize(
    "kind", ["map", "inverse", "list", "fiftyone", "vertex", "hub", "coco", "studio"]
)
def test_json_is_read_in_its_usual_forms(tmp_path: Path, kind: str) -> None:
    names = stems(6)
    draw(tmp_path / "data", names)
    pairs = [(stem, CLASSES[n % 2]) for n, stem in enumerate(names)]
    if kind == "map":
        value: object = {f"{stem}.png": name for stem, name in pairs}
    elif kind == "inverse":
        value = {name: [stem for stem, own in pairs if own == name] for name in CLASSES[:2]}
    elif kind == "list":
        value = [{"img": f"data/{stem}.png", "category": name} for stem, name in pairs]
    elif kind == "fiftyone":
        value = {
            "classes": list(CLASSES),
            "labels": {stem: CLASSES.index(name) for stem, name in pairs},
        }
    elif kind == "coco":
        value = {
            "images": [{"id": n, "file_name": f"{stem}.png"} for n, (stem, _) in enumerate(pairs)],
            "categories": [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)],
            "annotations": [
                {"image_id": n, "category_id": CLASSES.index(name) + 1}
                for n, (_, name) in enumerate(pairs)
            ],
        }
    elif kind == "studio":
        value = [
            {
                "data": {"image": f"/data/upload/{stem}.png"},
                "annotations": [{"result": [{"value": {"choices": [name]}}]}],
            }
            for stem, name in pairs
        ]
    elif kind == "vertex":
        value = [
            {
                "imageGcsUri": f"gs://b/{stem}.png",
                "classificationAnnotation": {"displayName": name},
                "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": "training"},
            }
            for stem, name in pairs
        ]
    else:
        value = [{"file_name": f"{stem}.png", "label": name} for stem, name in pairs]
    is_lines = kind in ("vertex", "hub")
    text = "\n".join(map(json.dumps, value)) if is_lines else json.dumps(value)  # type: ignore[arg-type]
    (tmp_path / "data" / ("metadata.jsonl" if is_lines else "labels.json")).write_text(text)

    assert counts(tmp_path) == {"boxer": 3, "dingo": 3}


def test_rows_without_a_file_and_files_without_a_row_are_named(tmp_path: Path) -> None:
    names = stems(8)
    draw(tmp_path / "train", names)
    draw(tmp_path / "test", stems(2, "t"))
    rows = [(stem, CLASSES[n % 2]) for n, stem in enumerate(names[:6])] + [("gone", "pug")]
    write_csv(tmp_path / "labels.csv", ("id", "label"), rows)

    index = scan_dataset(tmp_path)

    found = {one.kind: one for one in index.findings}
    assert found["missing_files"].paths == ("gone",)
    assert set(found["no_row"].paths) == {f"train/{stem}.png" for stem in names[6:]}
    no_row = {f"train/{stem}.png" for stem in names[6:]}
    assert set(index.unlabelled) == no_row | {f"test/{stem}.png" for stem in stems(2, "t")}


def test_an_image_with_rows_of_two_classes_is_left_out(tmp_path: Path) -> None:
    names = stems(300)
    draw(tmp_path, names)
    rows = [(stem, CLASSES[n % 2]) for n, stem in enumerate(names)] + [(names[0], "dingo")]
    write_csv(tmp_path / "labels.csv", ("id", "label"), rows)

    index = scan_dataset(tmp_path)

    assert index.num_images == 299
    assert index.num_ignored["two_labels"] == 1


def test_numbers_get_the_names_that_a_file_beside_gives(tmp_path: Path) -> None:
    names = stems(6)
    draw(tmp_path / "train_images", names)
    write_csv(
        tmp_path / "train.csv",
        ("image_id", "label"),
        [(f"{s}.png", n % 2) for n, s in enumerate(names)],
    )
    (tmp_path / "label_num_to_disease.json").write_text(json.dumps({"0": "blight", "1": "healthy"}))

    assert counts(tmp_path) == {"blight": 3, "healthy": 3}


def test_generic_folders_give_way_to_a_table_and_true_classes_do_not(tmp_path: Path) -> None:
    for root, folders in (("a", ("images_part_1", "images_part_2")), ("b", ("owl", "elk"))):
        rows = []
        for folder in folders:
            names = stems(6, folder[-1])
            draw(tmp_path / root / folder, names)
            rows += [(stem, CLASSES[n % 3]) for n, stem in enumerate(names)]
        write_csv(tmp_path / root / "meta.csv", ("image", "label"), rows)

    assert counts(tmp_path / "a") == dict.fromkeys(CLASSES, 4)
    assert counts(tmp_path / "b") == {"elk": 6, "owl": 6}
    plan = plan_layout(tmp_path / "b")
    assert not plan.is_sure
    assert "table:meta.csv" in [reading.name for reading in plan.readings]


def test_a_table_that_labels_more_than_the_folders_do_is_taken(tmp_path: Path) -> None:
    rows: dict[str, list[tuple[str, int]]] = {"Train": [], "Test": []}
    for label in range(3):
        names = stems(4, f"t{label}")
        draw(tmp_path / "Train" / str(label), names)
        rows["Train"] += [(f"Train/{label}/{stem}.png", label) for stem in names]
        held = stems(2, f"h{label}")
        draw(tmp_path / "Test", held)
        rows["Test"] += [(f"Test/{stem}.png", label) for stem in held]
    for part, own in rows.items():
        write_csv(tmp_path / f"{part}.csv", ("Path", "ClassId"), own)

    index = scan_dataset(tmp_path)

    assert index.class_counts() == {"0": 6, "1": 6, "2": 6}
    assert {record.part for record in index.records} == {"train", "test"}


def test_official_lists_of_train_and_test_are_kept(tmp_path: Path) -> None:
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for name in ("pie", "soup"):
        names = stems(4, name)
        draw(tmp_path / "food/images" / name, names)
        lists["train"] += [f"{name}/{stem}" for stem in names[:3]]
        lists["test"] += [f"{name}/{stem}" for stem in names[3:]]
    for part, lines in lists.items():
        path = tmp_path / "food/meta" / f"{part}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines))

    index = scan_dataset(tmp_path)

    assert index.class_counts() == {"pie": 4, "soup": 4}
    assert sorted(record.part or "" for record in index.records) == ["test"] * 2 + ["train"] * 6


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_tables_are_read_in_the_encodings_that_spreadsheets_write(
    tmp_path: Path, encoding: str
) -> None:
    names = stems(4)
    draw(tmp_path, names)
    lines = ["id;naïve", *(f"{stem};{('crème', 'café')[n % 2]}" for n, stem in enumerate(names))]
    (tmp_path / "étiquettes.csv").write_text("\r\n".join(lines), encoding=encoding)

    assert counts(tmp_path) == {"café": 2, "crème": 2}


@pytest.mark.parametrize("text", ["|", ",,,\n", ";\n;\n", "\t", '""', "a", ""])
def test_a_table_without_a_value_is_no_label_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    assert read_table(tmp_path, "labels.csv", ImageFinder.of([])) is None


@pytest.mark.parametrize(("table", "part"), [("trainLabels", "train"), ("labels", "train")])
def test_a_name_that_train_and_test_share_is_of_the_part_that_the_table_is_about(
    tmp_path: Path, table: str, part: str
) -> None:
    draw(tmp_path / "train", [str(n) for n in range(1, 7)])
    draw(tmp_path / "test", [str(n) for n in range(1, 5)])
    write_csv(
        tmp_path / f"{table}.csv", ("id", "label"), [(n, CLASSES[n % 2]) for n in range(1, 7)]
    )

    index = scan_dataset(tmp_path)

    assert index.class_counts() == {"boxer": 3, "dingo": 3}
    assert {record.path.partition("/")[0] for record in index.records} == {part}
    assert len(index.unlabelled) == 4


def test_columns_that_mark_one_class_each_count_though_one_is_named_like_labels(
    tmp_path: Path,
) -> None:
    names = stems(12)
    draw(tmp_path / "images", names)
    rows = [(stem, *(int(n % 3 == place) for place in range(3))) for n, stem in enumerate(names)]
    write_csv(tmp_path / "train.csv", ("image_id", "healthy", "multiple_diseases", "rust"), rows)

    assert counts(tmp_path) == {"healthy": 4, "multiple_diseases": 4, "rust": 4}


def test_attributes_of_minus_one_and_one_are_several_labels(tmp_path: Path) -> None:
    names = stems(12)
    draw(tmp_path / "img", names)
    rows = [(stem, n % 2 * 2 - 1, 1, n % 3 // 2 * 2 - 1) for n, stem in enumerate(names)]
    write_csv(tmp_path / "list_attr.csv", ("image_id", "Male", "Young", "Glasses"), rows)
    parts = [(stem, n % 3) for n, stem in enumerate(names)]
    write_csv(tmp_path / "list_partition.csv", ("image_id", "partition"), parts)

    plan = plan_layout(tmp_path)

    assert plan.readings == ()
    assert plan.other is not None
    assert plan.other.kind == "multi_label"
    assert counts(tmp_path, "table:list_attr.csv?label=Male") == {"-1": 6, "1": 6}


def test_several_columns_that_could_be_the_class_are_a_choice(tmp_path: Path) -> None:
    names = stems(24)
    draw(tmp_path / "images", names)
    rows = [(s, ("men", "women")[n % 2], "abc"[n % 3]) for n, s in enumerate(names)]
    write_csv(tmp_path / "styles.csv", ("id", "masterCategory", "articleType"), rows)

    plan = plan_layout(tmp_path)

    assert not plan.is_sure
    assert [one.title for one in plan.readings[:2]] == [
        "2 classes from styles.csv",
        "3 classes from styles.csv by 'articleType'",
    ]


def test_folders_that_differ_in_a_number_give_way_to_a_table(tmp_path: Path) -> None:
    names = stems(12)
    draw(tmp_path / "HAM_part_1", names[:6])
    draw(tmp_path / "HAM_part_2", names[6:])
    rows = [(stem, ("nv", "mel")[n % 2], ("a", "b", "c")[n % 3]) for n, stem in enumerate(names)]
    write_csv(tmp_path / "meta.csv", ("image_id", "dx", "site_note"), rows)

    plan = plan_layout(tmp_path)

    assert plan.is_sure
    assert plan.readings[0].class_counts == {"mel": 6, "nv": 6}


CELLS = [f"p{number}" for number in range(200)]
LONG = "1" * 5_000  # Python makes no number of more than 4,300 digits


@pytest.mark.parametrize(
    ("first", "names"),
    [(LONG, "a\nb\n"), ("1" * 400, "a\nb\n"), ("0", f"{LONG} a\n2 b\n3 c\n")],
    ids=["class of 5,000 digits", "number too large for a float", "list of names"],
)
def test_numbers_of_any_length_are_read(tmp_path: Path, first: str, names: str) -> None:
    draw(tmp_path, CELLS)
    rows = [(cell, first if number < 2 else number % 100) for number, cell in enumerate(CELLS)]
    write_csv(tmp_path / "labels.csv", ("file", "label"), rows)
    (tmp_path / "classes.txt").write_text(names)
    found = counts(tmp_path)
    assert sum(found.values()) == 200


@pytest.mark.parametrize(
    "value",
    [
        {"images": [{"id": [1], "file_name": "p1"}], "categories": None, "annotations": [{}]},
        {
            "images": [{"id": 1, "file_name": "p1"}, None],
            "categories": [{"id": {}, "name": "a"}],
            "annotations": [{"image_id": [], "category_id": [1]}, 7],
        },
        {"images": [], "annotations": []},
    ],
    ids=["no categories", "lists for ids", "empty"],
)
def test_odd_coco_files_are_no_label_files(tmp_path: Path, value: object) -> None:
    draw(tmp_path, CELLS[:3])
    (tmp_path / "coco.json").write_text(json.dumps(value))
    plan = plan_layout(tmp_path)
    assert plan.chosen is not None
    assert plan.chosen.num_unlabelled == 3


def nested(levels: int) -> str:
    return '{"a": ' * levels + '"cat"' + "}" * levels


@pytest.mark.parametrize(
    ("name", "text"),
    [
        # 20,000 columns of two characters in 20,000 rows would be 400 million cells
        ("l.csv", "file,label" + ",c" * 20_000 + "\n" + "p1,cat\n" * 20_000),
        # 101 columns in 500 records: 50,500 cells of 20,000 characters
        ("l.jsonl", "".join(f'{{"file":"p1","k{n % 100}":"{n % 7}"}}\n' for n in range(500))),
    ],
    ids=["columns of a CSV", "keys of records"],
)
def test_a_file_has_no_more_cells_than_characters(
    tmp_path: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    table = label_files.Table

    def count(path: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> object:
        made.append(len(columns) * len(rows))
        return table(path, columns, rows)

    monkeypatch.setattr(label_files, "Table", count)
    (tmp_path / name).write_text(text)
    read_table(tmp_path, name, ImageFinder.of([]))
    assert [one for one in made if one > 2 * len(text)] == []


@pytest.mark.parametrize("count", [500, 501])
def test_records_have_at_most_500_columns(tmp_path: Path, count: int) -> None:
    (tmp_path / "l.json").write_text(json.dumps([{f"k{number}": 1 for number in range(count)}]))
    table = read_table(tmp_path, "l.json", ImageFinder.of([]))
    assert (0 if table is None else len(table.columns)) == {500: 500}.get(count, 0)


@pytest.mark.parametrize("count", [2_000, 2_001])
@pytest.mark.parametrize("mark", [",", "\t"])
def test_tables_have_at_most_2000_columns(tmp_path: Path, count: int, mark: str) -> None:
    """Each is looked at for each role: the time for 200,000 in a line of 200 kB was 20 minutes."""
    names = mark.join(f"c{number}" for number in range(count))
    (tmp_path / "l.csv").write_text(f"{names}\n{mark * (count - 1)}x\n")
    table = read_table(tmp_path, "l.csv", ImageFinder.of([]))
    assert (0 if table is None else len(table.columns)) == {2_000: 2_000}.get(count, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", json.dumps({f"{number}.jpg": "cat" for number in range(11)})),
        ("l.json", json.dumps({"cat": [f"{number}.jpg" for number in range(11)], "dog": ["a"]})),
        ("l.json", json.dumps([{"file": f"{number}.jpg", "label": "cat"} for number in range(11)])),
        ("l.jsonl", "\n".join('{"file": "a.jpg", "label": "cat"}' for _ in range(11))),
        ("l.csv", "\n".join("a.jpg,cat" for _ in range(11))),
    ],
    ids=["map", "lists", "records", "lines", "csv"],
)
def test_a_table_of_a_demo_has_no_more_rows_than_a_project_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """A map is one object of JSON, however many photos it names."""
    (tmp_path / name).write_text(text)
    assert read_table(tmp_path, name, ImageFinder.of([])) is not None
    monkeypatch.setenv("TL_MODE", "demo")
    monkeypatch.setenv("TL_DEMO_LABEL_ROWS", "12")
    assert read_table(tmp_path, name, ImageFinder.of([])) is not None
    monkeypatch.setenv("TL_DEMO_LABEL_ROWS", "10")
    assert read_table(tmp_path, name, ImageFinder.of([])) is None


def test_values_that_lie_deep_or_have_long_names_are_left_out(tmp_path: Path) -> None:
    rows = [
        f'{{"file": "p{n}", "label": "c{n}", "deep": {nested(8)}, "shallow": {nested(6)}, '
        f'"{"k" * 201}": 1, "{"k" * 200}": 2}}'
        for n in range(2)
    ]
    (tmp_path / "l.json").write_text(f"[{','.join(rows)}]")
    table = read_table(tmp_path, "l.json", ImageFinder.of([]))
    assert table is not None
    assert table.columns == ("file", "label", "shallow" + ".a" * 6, "k" * 200)


def test_a_class_holds_nothing_that_utf_8_cannot(tmp_path: Path) -> None:
    draw(tmp_path, CELLS[:4])
    names = ["\\ud800", "b\\u0000", "\\ud800", "b"]
    rows = [f'{{"file": "{CELLS[n]}", "label": "{name}"}}' for n, name in enumerate(names)]
    (tmp_path / "l.json").write_text(f"[{','.join(rows)}]")
    index = scan_dataset(tmp_path)
    assert index.class_counts() == {"?": 2, "b": 2}
    assert len(index.fingerprint) == 64


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.csv", b"file,label\n1.jpg,cat\n2.jpg,dog", 3),
        ("a.csv", b"file,label\r1.jpg,cat\r2.jpg,dog\r", 3),
        ("a.txt", b"1.jpg\x0c2.jpg\x0c3.jpg\x0c4.jpg", 4),
        ("a.txt", "1.jpg\n2.jpg\n".encode("utf-16"), 2),
        ("a.json", b'[{"a": {"b": 1}}, {"a": 2}]', 3),
        ("a.json", b"[" + b"1," * 500 + b"1]", 5),  # 1,003 bytes
        ("a.xml", b"<annotation>\n" * 50, 3),  # 650 bytes
        ("a.csv", b"", 0),
    ],
)
def test_rows_are_counted_as_lines_objects_or_250_bytes(
    name: str, data: bytes, expected: int
) -> None:
    assert num_rows(name, data) == expected


def test_among_many_images_of_one_name_the_folder_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"data/{number}/x/1.jpg" for number in range(300)] + ["data/0/y/1.png", "test/1.jpg"]
    finder = ImageFinder.of([ImageFile(path, 1, 1) for path in paths])
    looked = []
    only = label_files._only_there

    def count(found: Sequence[ImageFile], near: str, part: str) -> ImageFile | None:
        looked.append(len(found))
        return only(found, near, part)

    monkeypatch.setattr(label_files, "_only_there", count)
    for number in range(300):
        assert finder.find(f"{number}/x/1.jpg", "") == ImageFile(paths[number], 1, 1)
        assert finder.find(f"{number}/x/1", "") == ImageFile(paths[number], 1, 1)
        assert finder.find("x/1.jpg", "", "val") is None  # there are 300
        assert finder.find("1.jpg", "", "test") == ImageFile("test/1.jpg", 1, 1)
        assert finder.find("y/1", "") == ImageFile("data/0/y/1.png", 1, 1)
    # All 301 of the name once for each part; 302 with the one that differs in its ending.
    assert sorted(looked) == [301, 301, 302]


def test_of_rows_without_images_the_first_thousand_are_named() -> None:
    gone = [f"gone{number}" for number in range(1_500)]
    (found,) = find_layout(Layout(missing=gone))
    assert found.message.startswith("1,500 rows of the label file name")
    assert found.paths == tuple(gone[:1_000])
