"""Many photos: one row each whatever they are, nothing computed twice, nothing lost by a stop."""

import csv
import json
import os

import numpy as np
import pytest
from conftest import draw_image
from made_run import make_run
from pyarrow import parquet

from tl_core.errors import ConfigError, DatasetError, RunError, Stopped, TakenError
from tl_core.inference import bulk
from tl_core.inference.answer_table import AnswerTable, Filter
from tl_core.inference.bulk import answer_photos, model_identity, predict_to_file
from tl_core.inference.predict import Prediction, Predictor, load_predictor

CLASS_NAMES = ("cat", "dog")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    root = tmp_path_factory.mktemp("bulk")
    for kind, name in enumerate(CLASS_NAMES):
        (root / "data" / name).mkdir(parents=True)
        for number in range(6):
            draw_image(kind, number).save(root / "data" / name / f"{number}.png")
    run = make_run(root / "runs" / "made", root / "data", root / "cache")
    return load_predictor(run.run_dir, root / "cache")


@pytest.fixture
def photos(tmp_path):
    """Ten photos in two folders, cats and dogs in turn."""
    for number in range(10):
        folder = tmp_path / "photos" / ("a" if number < 5 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        draw_image(number % 2, number // 2).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def computed(monkeypatch):
    """Note the names of all photos that are computed, two at a time."""
    monkeypatch.setattr(bulk, "_MIN_BATCH", 2)
    monkeypatch.setattr(bulk, "_MAX_BATCH", 2)
    names = []
    predict = Predictor.predict

    def noting(self, images, *args, **kwargs):
        names.extend(os.path.basename(image) for image in images)  # noqa: PTH119
        return predict(self, images, *args, **kwargs)

    monkeypatch.setattr(Predictor, "predict", noting)
    return names


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_file_gets_a_row_with_its_answer_or_the_reason_why_there_is_none(
    predictor, photos, tmp_path
):
    (photos / "a" / "=1+1.png").write_bytes(b"no image")
    (photos / "a" / "notes.txt").write_text("no photo")
    (photos / ".hidden.png").write_bytes(b"no photo")
    counts = predict_to_file(predictor, [photos], tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    names = [row["photo"].removeprefix(f"{photos}/") for row in rows]
    expected = ["a/=1+1.png", *(f"{'a' if n < 5 else 'b'}/{n}.png" for n in range(10))]
    assert sorted(names) == sorted(expected)
    assert [name for name in names if "=" not in name] == expected[1:]
    by_name = {row["photo"].rpartition("/")[2]: row for row in rows}
    assert [by_name[f"{n}.png"]["class"] for n in range(10)] == ["cat", "dog"] * 5
    for n in range(10):
        row = by_name[f"{n}.png"]
        assert float(row["p(cat)"]) + float(row["p(dog)"]) == pytest.approx(1, abs=2e-6)
        assert row["probability"] == row[f"p({row['class']})"]
    bad = by_name["=1+1.png"]
    assert bad["class"] == bad["probability"] == ""
    assert bad["error"].startswith(f"Cannot read '{photos}/a/=1+1.png'")
    assert (counts.total, counts.by_label, counts.none, counts.unreadable) == (11, (5, 5), 0, 1)
    assert list(tmp_path.glob("out.csv?*")) == []


def test_a_file_name_alone_is_no_formula(predictor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_image(0, 1).save(tmp_path / "=1+1.png")
    predict_to_file(predictor, ["=1+1.png"], "out.csv")
    assert rows_of(tmp_path / "out.csv")[0]["photo"] == "'=1+1.png"


def test_what_was_stopped_goes_on_and_computes_nothing_twice(predictor, photos, tmp_path, computed):
    stopped, whole = tmp_path / "stopped.csv", tmp_path / "whole.csv"
    with pytest.raises(Stopped, match="6 answers so far"):
        predict_to_file(predictor, [photos], stopped, should_stop=lambda: len(computed) >= 8)
    first = len(computed)
    assert [row["photo"][-5:] for row in rows_of(stopped)] == [f"{n}.png" for n in range(6)]
    (photos / "a" / "1.png").unlink()
    draw_image(1, 5).save(photos / "a" / "2.png")  # a cat that is a dog now
    predict_to_file(predictor, [photos], stopped)
    assert sorted(computed[first:]) == ["2.png", *(f"{n}.png" for n in range(6, 10))]
    predict_to_file(predictor, [photos], whole)
    assert stopped.read_text() == whole.read_text()
    assert [row["photo"][-5:] for row in rows_of(whole)] == [
        f"{n}.png" for n in range(10) if n != 1
    ]
    assert rows_of(whole)[1]["class"] == "dog"


def test_what_was_killed_is_found_in_the_file_beside(predictor, photos, tmp_path, computed):
    class Killed(BaseException):
        pass

    def kill():
        if len(computed) >= 6:
            raise Killed
        return False

    with pytest.raises(Killed):
        predict_to_file(predictor, [photos], tmp_path / "out.csv", should_stop=kill)
    assert not (tmp_path / "out.csv").exists()
    computed.clear()
    predict_to_file(predictor, [photos], tmp_path / "out.csv")
    assert computed == [f"{n}.png" for n in range(4, 10)]
    assert len(rows_of(tmp_path / "out.csv")) == 10


def test_progress_counts_all_photos_in_one_stage(predictor, photos, tmp_path, computed):
    seen = []
    predict_to_file(predictor, [photos], tmp_path / "out.csv", on_progress=seen.append)
    told = [(one.done, one.total) for one in seen if one.stage == "features"]
    assert told[-1] == (10, 10)
    assert {total for _, total in told} == {10}
    assert told == sorted(told)


def test_parquet_holds_the_same_as_csv(predictor, photos, tmp_path):
    (photos / "bad.jpg").write_bytes(b"no image")
    predict_to_file(predictor, [photos], tmp_path / "out.csv")
    predict_to_file(predictor, [photos], tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    rows = rows_of(tmp_path / "out.csv")
    assert len(table) == len(rows) == 11
    for one, other in zip(table, rows, strict=True):
        assert list(one) == list(other)
        for name in ("photo", "class", "reason", "error"):
            assert (one[name] or "") == other[name]
        if one["class"] is not None:
            assert one["p(dog)"] == pytest.approx(float(other["p(dog)"]), abs=1e-6)


def test_what_cannot_be_done_is_refused_in_a_sentence(predictor, photos, tmp_path):
    with pytest.raises(ConfigError, match=r"ending in \.csv or \.parquet, received 'out\.txt'"):
        predict_to_file(predictor, [photos], tmp_path / "out.txt")
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(TakenError, match="there already"):
        predict_to_file(predictor, [photos], tmp_path / "there.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="Expected photos in"):
        predict_to_file(predictor, [tmp_path / "empty"], tmp_path / "out.csv")
    AnswerTable(tmp_path / "other.csv.progress", "another", CLASS_NAMES).close()
    with pytest.raises(RunError, match="another model"):
        predict_to_file(predictor, [photos], tmp_path / "other.csv")
    (tmp_path / "torn.csv.progress").write_bytes(b"no database" * 100)
    with pytest.raises(RunError, match="cannot be read"):
        predict_to_file(predictor, [photos], tmp_path / "torn.csv")


def answer(name, probabilities, **more):
    shares = np.array(probabilities, np.float32)
    return Prediction(name, shares, (), **more)


def test_filters_let_through_what_they_say():
    table = AnswerTable(None, "m", CLASS_NAMES)
    rows = [
        answer("sure cat", [0.9, 0.1]),
        answer("unsure cat", [0.6, 0.4]),
        answer("sure dog", [0.2, 0.8]),
        answer("none", [0.55, 0.45], is_none_of_these=True, reasons=("Unlike.",)),
        Prediction("bad", None, (), "It is no image."),
    ]
    table.add((str(place), place, (1, 1), one) for place, one in enumerate(rows))
    names = {
        Filter("all"): [one.name for one in rows],
        Filter("class", label=0): ["sure cat", "unsure cat"],
        Filter("class", label=1): ["sure dog"],
        Filter("unsure", below=0.7): ["unsure cat"],
        Filter("none"): ["none"],
        Filter("unreadable"): ["bad"],
    }
    for chosen, expected in names.items():
        assert [one.name for _, one in table.read(chosen)] == expected
        assert table.count(chosen) == len(expected)
    assert [one.name for _, one in table.read(offset=1, limit=2)] == ["unsure cat", "sure dog"]
    assert [[one.name for one in page] for page in table.pages(3)][1] == ["none", "bad"]
    found = table.find("1")
    assert found is not None
    assert found.top == (("cat", pytest.approx(0.6)), ("dog", pytest.approx(0.4)))
    counts = table.counts()
    assert (counts.total, counts.by_label, counts.none, counts.unreadable) == (5, (2, 1), 1, 1)


def test_a_worker_adds_to_what_a_page_reads(predictor, photos, tmp_path):
    path = tmp_path / "answers.sqlite"
    with (
        AnswerTable(path, model_identity(predictor), CLASS_NAMES) as table,
        AnswerTable(path, None) as page,
    ):
        assert page.class_names == CLASS_NAMES
        answer_photos(predictor, [photos], table, root=photos)
        assert page.counts().total == 10
        assert page.read(limit=1)[0][1].name == "a/0.png"


def test_the_command_prints_the_counts(predictor, photos, tmp_path, cli):
    out = tmp_path / "out.csv"
    words = ("predict", predictor.run_dir, photos, "--workspace", tmp_path / "ws", "--quiet")
    code, told, _ = cli(*words, "--out", out, "--json")
    assert code == 0
    assert json.loads(told) == {
        "num_photos": 10,
        "classes": {"cat": 5, "dog": 5},
        "none_of_these": 0,
        "unreadable": 0,
        "out": str(out),
    }
    code, _, err = cli(*words, "--out", out)
    assert (code, "there already" in err) == (2, True)
