"""A run is exported whole or not at all, and only when it agrees with the app."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from made_export import TEMPERATURE, make_export_run
from PIL import UnidentifiedImageError

from tl_core.errors import ConfigError, ExportError, Stopped, TakenError
from tl_core.export import exporter, formats, parity
from tl_core.export.exporter import export_run
from tl_core.export.formats import FORMATS
from tl_core.export.model_info import file_info, read_model_info
from tl_core.export.predict_template import reason_of
from tl_core.inference.predict import load_predictor
from tl_core.runs.files import update_status

# The others have no predict.py: pages are opened in a browser, the notebook is run, in other files.
AVAILABLE = [row.name for row in FORMATS.values() if row.is_available and row.open_code]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"), image_size=(40, 64), resize="pad")


@pytest.fixture(scope="module")
def litert(run, tmp_path_factory):
    return export(run, "litert", tmp_path_factory.mktemp("out") / "litert")


def export(run, name, out, **options):
    return export_run(run.run_dir, name, out, cache_dir=run.workspace.cache_dir, **options)


@pytest.fixture
def converted(monkeypatch, litert):
    """Let exports have the converted file of another export, to save the conversion."""

    def copy(run, row, folder, *_, **__):
        shutil.copy(litert.folder / "model.tflite", folder)

    monkeypatch.setattr(exporter, "write_in_child", copy)


def is_empty(folder):
    return list(folder.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in AVAILABLE if name != "litert"])
def test_every_format_is_written_and_agrees_with_the_app(run, tmp_path, name):
    made = export(run, name, tmp_path / name)
    assert made.parity["agrees"]
    assert made.parity["num_photos"] == 18  # 9 of the test part and 9 of the val part
    assert made.parity["pixels_equal"] == 18 + made.parity["num_odd_images"]
    assert made.info.input.dtype == ("float32" if name == "keras" else "uint8")
    if FORMATS[name].precision == "float32":
        assert made.parity["top1_agreement"] == 1
        assert made.parity["max_difference"] < 1e-4
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(
        [
            *FORMATS[name].files,
            *("README.md", "model.json", "parity.json", "predict.py", "requirements.txt"),
            *(("known.safetensors",) if name in ("bundle", "streamlit", "docker") else ()),
            *((".streamlit", "Dockerfile") if name == "streamlit" else ()),
        ]
    )
    later = ("README.md", "parity.json", "model.json")  # written, or written again, after the proof
    files = [path for path in made.folder.rglob("*") if path.is_file() and path.name not in later]
    total = sum(path.stat().st_size for path in files)
    assert total < made.parity["bytes"] < total + 20_000


def test_the_description_tells_what_a_program_needs(run, litert):
    info = read_model_info(litert.folder)
    assert info.class_names == ("cat", "dog", "fox")
    assert info.image_size == (40, 64)
    assert info.resize == "pad"
    assert info.temperature == TEMPERATURE
    thresholds = load_predictor(
        run.run_dir, run.workspace.cache_dir
    ).reliability.detector.thresholds
    assert info.rejection.max_distance == thresholds.max_distance
    assert info.metrics["part"] == "test"
    assert info.metrics["num_images"] == 9
    assert info.files["model.tflite"] == file_info(litert.folder / "model.tflite")
    assert set(info.files) == {
        *("model.tflite", "predict.py", "requirements.txt", "parity.json", "README.md")
    }


def test_the_script_answers_as_the_app_without_this_package(run, litert):
    photos = sorted((run.data_dir / "dog").iterdir())[:3]
    done = subprocess.run(
        [sys.executable, "-I", "predict.py", "--json", *photos, "missing.jpg", "model.json"],
        cwd=litert.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    *answers, missing, text = map(json.loads, done.stdout.splitlines())
    assert "No such file" in missing["error"]
    assert text["error"] == reason_of(UnidentifiedImageError())
    assert "BytesIO" not in text["error"]
    for answer, own in zip(
        answers,
        load_predictor(run.run_dir, run.workspace.cache_dir).predict(photos),
        strict=True,
    ):
        assert list(answer["probabilities"]) == list(run.class_names)
        np.testing.assert_allclose(
            list(answer["probabilities"].values()), own.probabilities, atol=1e-5
        )


def test_the_card_can_be_published_as_it_is(run, litert):
    card = (litert.folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: tflite\npipeline_tag: image-classification\n")
    for words in ("accuracy", "95 % interval", "None of these", "antialiasing", "tl export"):
        assert words in card
    for path in litert.folder.iterdir():
        assert str(run.data_dir).encode() not in path.read_bytes(), path.name
    matrix = litert.info.metrics["confusion_matrix"]
    for name, row in zip(run.class_names, matrix, strict=True):
        assert f"| {name} | {' | '.join(map(str, row))} |" in card


def test_names_of_classes_do_no_harm_to_the_card(litert, run):
    from tl_core.export.card import model_card

    info = litert.info.model_copy(update={"class_names": ("a|b", "<script>", "[x](y)\n# z")})
    card = model_card(run, litert.format, info, litert.parity)
    assert "\n# z" not in card
    assert "<script>" not in card
    assert "a\\|b" in card


def test_a_model_that_answers_otherwise_is_not_kept(run, converted, tmp_path, monkeypatch):
    row = FORMATS["litert"]
    wrong = row.open_code.replace(
        "return interpreter.get_tensor(target)", "return interpreter.get_tensor(target)[:, ::-1]"
    )
    monkeypatch.setitem(formats.FORMATS, "litert", dataclasses.replace(row, open_code=wrong))
    with pytest.raises(ExportError, match="does not agree with the app: its answer is another"):
        export(run, "litert", tmp_path / "out")
    assert is_empty(tmp_path)


def test_a_small_difference_is_found_too(run, converted, tmp_path, monkeypatch):
    row = FORMATS["litert"]
    wrong = row.open_code.replace("get_tensor(target)", "get_tensor(target) + 2e-4")
    monkeypatch.setitem(formats.FORMATS, "litert", dataclasses.replace(row, open_code=wrong))
    with pytest.raises(ExportError, match=r"differs by 0\.0002, at most 0\.0001"):
        export(run, "litert", tmp_path / "out")


def test_other_pixels_are_found_too(run, converted, tmp_path, monkeypatch):
    write = exporter.write_predict_script

    def write_naive(folder, open_code, requirements):
        write(folder, open_code, requirements)
        script = folder / "predict.py"
        text = script.read_text(encoding="utf-8")
        script.write_text(text.replace("TRANSPOSE[orientation])", "TRANSPOSE[2])"), "utf-8")

    monkeypatch.setattr(exporter, "write_predict_script", write_naive)
    with pytest.raises(ExportError, match="the pixels of 8 images are different"):
        export(run, "litert", tmp_path / "out")


def test_a_script_that_cannot_run_says_why(run, converted, tmp_path, monkeypatch):
    row = dataclasses.replace(FORMATS["litert"], open_code="import no_such_runtime\n")
    monkeypatch.setitem(formats.FORMATS, "litert", row)
    with pytest.raises(ExportError, match=r"cannot be used here.*no_such_runtime"):
        export(run, "litert", tmp_path / "out")
    assert is_empty(tmp_path)


def test_a_stop_leaves_nothing_behind(run, tmp_path):
    stages = []

    def should_stop():
        return "export" in stages

    with pytest.raises(Stopped):
        export(
            run,
            "litert",
            tmp_path / "out",
            on_progress=lambda progress: stages.append(progress.stage),
            should_stop=should_stop,
        )
    assert is_empty(tmp_path)


def test_a_folder_that_holds_something_is_left_alone(run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(TakenError, match="already"):
        export(run, "litert", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_missing_package_is_named_with_the_command_that_brings_it(run, tmp_path, monkeypatch):
    row = dataclasses.replace(FORMATS["onnx"], packages=("no_such_package",))
    monkeypatch.setitem(formats.FORMATS, "onnx", row)
    with pytest.raises(ExportError, match=re.escape("pip install -e '.[onnx]'")):
        export(run, "onnx", tmp_path / "out")


def test_an_unknown_format_has_a_hint(run, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'litert'"):
        export(run, "liter", tmp_path / "out")


def test_examples_are_refused_where_there_is_no_place_for_them(run, tmp_path):
    with pytest.raises(
        ConfigError, match=r"examples with one of web, web-int8, streamlit.*received 'litert'"
    ):
        export(run, "litert", tmp_path / "out", with_examples=True)


def test_a_run_in_training_is_refused(tmp_path):
    run = make_export_run(tmp_path)
    update_status(run.run_dir, state="queued")
    with pytest.raises(ExportError, match="queued"):
        export(run, "litert", tmp_path / "out")


def test_without_its_photos_a_run_is_proven_on_the_odd_images(tmp_path):
    run = make_export_run(tmp_path)
    run.data_dir.rename(tmp_path / "elsewhere")
    made = export(run, "litert", tmp_path / "out")
    assert made.parity["num_photos"] == 0
    assert made.parity["num_odd_images"] > 30
    assert made.info.metrics == {}
    assert "Not measured" in (made.folder / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ExportError, match="training photos"):
        export(run, "litert-int8", tmp_path / "int8")


def test_photos_are_those_the_run_was_not_trained_on(run):
    index = exporter._own_images(run, run.workspace.cache_dir)
    photos = parity.choose_photos(run, index)
    trained = {row.path for row in run.split() if row.part == "train"}
    assert len(photos) == 18
    assert not trained & {one.path.relative_to(run.data_dir).as_posix() for one in photos}
    assert [run.class_names[one.label] for one in photos] == [
        one.path.parent.name for one in photos
    ]
    assert len(parity.choose_photos(run, index, limit=10)) == 10


def test_the_naive_resize_is_that_of_opencv():
    """By hand: halving 4 pixels takes the mean of the middle two of each four in a row."""
    row = np.array([0, 10, 20, 30, 40, 50, 60, 70], np.uint8)
    pixels = np.repeat(row[None, :, None], 3, axis=2).repeat(8, axis=0)
    small = parity.resize_naively(pixels, (2, 2))
    np.testing.assert_array_equal(small[:, :, 0], [[15, 55], [15, 55]])


def test_the_command_line_exports_and_says_how_near_it_comes(run, converted, tmp_path, cli):
    out = tmp_path / "out"
    workspace = run.workspace.root
    code, shown, _ = cli(
        "export", run.run_dir, "--format", "litert", "--format", "litert-float16",
        "--out", out, "--workspace", workspace, "--quiet",
    )  # fmt: skip
    assert code == 0
    assert (out / "litert" / "model.tflite").exists()
    assert (out / "litert-float16" / "model.tflite").exists()
    assert "100.0 %" in shown
    assert "Keep the resize of predict.py" in shown


def test_the_command_line_lists_the_formats(cli):
    code, shown, _ = cli("formats")
    assert code == 0
    assert all(name in shown for name in FORMATS)
    assert len(json.loads(cli("formats", "--json")[1])) == len(FORMATS)
