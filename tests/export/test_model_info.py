"""The description that lies beside every exported model."""

import json

import pytest

from tl_core.errors import ExportError
from tl_core.export.model_info import ModelInfo, Rejection, read_model_info, write_model_info
from tl_core.head.out_of_distribution import Thresholds

VALUES = {
    "format": "tl-model",
    "schema": 1,
    "name": "pets",
    "class_names": ["dog", "cat"],
    "image_size": [40, 64],
    "resize": "pad",
    "backbone": "tiny",
    "pixel_scale": None,
    "temperature": 1.5,
    "input": {"dtype": "uint8", "range": [0, 255], "layout": "NHWC", "color": "RGB"},
    "rejection": None,
    "metrics": {"accuracy": 0.9},
    "weights": "5f0c2a9be1d47c36",
    "files": {},
    "tl_core_version": "0.1.0",
    "created": "2026-11-26T12:00:00+00:00",
}


def info(**changes):
    return ModelInfo.from_json(json.dumps({**VALUES, **changes}))


def test_the_agreed_fields_are_written_as_agreed():
    assert json.loads(info().to_json()) == VALUES


def test_files_are_listed_with_size_and_digest(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "deep" / "b.bin").write_bytes(b"")
    write_model_info(tmp_path, info())
    files = read_model_info(tmp_path).files
    assert {name: one.bytes for name, one in files.items()} == {"a.bin": 3, "deep/b.bin": 0}
    # The SHA-256 of "abc", from FIPS 180-2.
    assert files["a.bin"].sha256 == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_the_limits_of_none_of_these_are_kept():
    rejection = Rejection.of(Thresholds(0.05, 0.3, 0.4, 0.04, None))
    assert rejection.max_distance == 0.3
    assert rejection.false_accept is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"format": "other"}, "format 'tl-model'"),
        ({"schema": 2}, "Update tl_core"),
        ({"schema": "1x"}, "schema"),
        ({"class_names": ["cat"]}, "class_names"),
        ({"class_names": ["cat", "cat"]}, "same name"),
        ({"image_size": [40]}, "image_size"),
        ({"image_size": [40, 10**9]}, "image_size"),
        ({"resize": "stretch"}, "resize"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"input": {"range": [0, 1]}}, "input"),
        ({"files": {"a": {"sha256": "x", "bytes": 1}}}, "files"),
    ],
)
def test_a_wrong_field_is_named(changes, word):
    with pytest.raises(ExportError, match=word):
        info(**changes)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_what_is_no_description_is_refused(text):
    with pytest.raises(ExportError, match=r"model\.json"):
        ModelInfo.from_json(text)


def test_a_folder_without_a_description_is_refused(tmp_path):
    with pytest.raises(ExportError, match="No such file"):
        read_model_info(tmp_path)
