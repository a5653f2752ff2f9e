"""A bundle answers as its run; one that was tampered with is refused, and nothing of it is used."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
from made_export import make_export_run
from PIL import Image

from tl_core.errors import ExportError
from tl_core.export.model_info import describe_run, write_model_info
from tl_core.export.writers import Writing, write_bundle
from tl_core.features import engine, guarded_engine
from tl_core.features.guarded_engine import GuardedEngine
from tl_core.head.model import load_weights, load_weights_metadata, save_weights
from tl_core.inference.explain import explain
from tl_core.inference.model_bundle import read_bundle
from tl_core.inference.model_info import read_model_info
from tl_core.inference.predict import load_predictor


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    return make_export_run(root, image_size=(40, 64), resize="crop")


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    info = describe_run(run)
    write_bundle(Writing(run, info, folder, run.workspace.cache_dir))
    write_model_info(folder, info)
    return folder


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made, tmp_path / "bundle")


def relist(folder):
    """Write sizes and digests again, as someone does who tampers with a bundle."""
    write_model_info(folder, read_model_info(folder))


def change(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_a_bundle_answers_as_its_run(run, made, tmp_path):
    photos = sorted((run.data_dir / "fox").iterdir())[:4]
    unknown = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(unknown)
    own = load_predictor(run.run_dir, run.workspace.cache_dir).predict([*photos, unknown])
    theirs = load_predictor(made, tmp_path / "cache").predict([*photos, unknown])
    for one, other in zip(own, theirs, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert one.reasons == other.reasons


def test_another_process_opens_the_backbone(made, monkeypatch):
    """The interpreter is never loaded over a foreign file in this process."""
    monkeypatch.setattr(engine.Engine, "__init__", None)
    predictor = load_predictor(made)
    assert predictor.spec.is_foreign
    assert predictor.predict([b"no image"])[0].error


def truncate_backbone(folder):
    path = folder / "backbone.tflite"
    path.write_bytes(path.read_bytes()[:5000])
    relist(folder)


def garbage_backbone(folder):
    noise = np.random.default_rng(1).bytes(20_000)
    (folder / "backbone.tflite").write_bytes(noise[:4] + b"TFL3" + noise)
    relist(folder)


def pickled_backbone(folder):
    (folder / "backbone.tflite").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    relist(folder)


def head_of_another_size(folder):
    weights = load_weights(folder / "head.safetensors")
    wider = np.zeros((64, 3), np.float32)
    save_weights(folder / "head.safetensors", {**weights, "predictions/kernel": wider})
    (folder / "known.safetensors").unlink()
    relist(folder)


def head_with(folder, content):
    (folder / "head.safetensors").write_bytes(content)
    relist(folder)


def tensor(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def named_head(kernel, bias, data):
    return safetensors({"predictions/kernel": kernel, "predictions/bias": bias}, data)


def weights_with_nan(folder):
    weights = load_weights(folder / "head.safetensors")
    weights["predictions/bias"][0] = np.nan
    save_weights(folder / "head.safetensors", weights)
    relist(folder)


def linked_head(folder):
    (folder / "head.safetensors").unlink()
    (folder / "head.safetensors").symlink_to("/etc/passwd")


def piped_head(folder):
    (folder / "head.safetensors").unlink()
    os.mkfifo(folder / "head.safetensors")


def linked_description(folder):
    (folder / "model.json").rename(folder / "real.json")
    (folder / "model.json").symlink_to("real.json")


def detector_of_another_head(folder):
    weights = load_weights(folder / "head.safetensors")
    save_weights(folder / "head.safetensors", {k: v + 1 for k, v in weights.items()})
    relist(folder)


def detector_with_a_foreign_class(folder):
    path = folder / "known.safetensors"
    arrays, metadata = load_weights(path), load_weights_metadata(path)
    arrays["labels"] = arrays["labels"] + 7
    save_weights(path, arrays, metadata)
    relist(folder)


HOSTILE = {
    "file swapped": lambda f: (f / "head.safetensors").write_bytes(b"x" * 10),
    "file missing": lambda f: (f / "head.safetensors").unlink(),
    "link to a file of the machine": linked_head,
    "pipe that never ends": piped_head,
    "folder in place of a file": lambda f: (
        (f / "head.safetensors").unlink(),
        (f / "head.safetensors").mkdir(),
    ),
    "description behind a link": linked_description,
    "description of 9 MB": lambda f: (f / "model.json").write_bytes(b" " * 9_000_000),
    "description nested deeply": lambda f: (f / "model.json").write_bytes(b"[" * 200_000),
    "newer schema": lambda f: change(f, schema=99),
    "a million classes": lambda f: change(f, class_names=[str(n) for n in range(10**6)]),
    "classes the head has not": lambda f: change(f, class_names=["a", "b"]),
    "image of a terapixel": lambda f: change(f, image_size=[10**6, 10**6]),
    "temperature of zero": lambda f: change(f, temperature=0),
    "unlisted files": lambda f: change(f, files={}),
    "backbone cut off": truncate_backbone,
    "backbone of noise": garbage_backbone,
    "backbone is a pickle": pickled_backbone,
    "head of another backbone": head_of_another_size,
    "header longer than the file": lambda f: head_with(f, struct.pack("<Q", 2**62) + b"{}"),
    "header of no JSON": lambda f: head_with(f, safetensors(b"{'a'")),
    "tensor of a terabyte": lambda f: head_with(
        f, named_head(tensor([2**20, 2**18], [0, 2**40]), tensor([3], [2**40, 2**40 + 12]), b"")
    ),
    "tensors that overlap": lambda f: head_with(
        f, named_head(tensor([32, 3], [0, 384]), tensor([3], [372, 384]), bytes(384))
    ),
    "negative shape": lambda f: head_with(
        f, named_head(tensor([-32, -3], [0, 384]), tensor([3], [384, 396]), bytes(396))
    ),
    "unknown type": lambda f: head_with(
        f, named_head(tensor([32, 3], [0, 384], "PY"), tensor([3], [384, 396]), bytes(396))
    ),
    "bytes behind the tensors": lambda f: head_with(
        f, named_head(tensor([32, 3], [0, 384]), tensor([3], [384, 396]), bytes(9000))
    ),
    "other names": lambda f: head_with(
        f, safetensors({"../../evil": tensor([1], [0, 4])}, bytes(4))
    ),
    "not a number": weights_with_nan,
    "detector of another head": detector_of_another_head,
    "detector with a foreign class": detector_with_a_foreign_class,
}


@pytest.mark.parametrize("tamper", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_bundle_is_refused_in_one_line(bundle, tamper):
    tamper(bundle)
    with pytest.raises(ExportError) as refused:
        load_predictor(bundle)
    assert "\n" not in str(refused.value)
    assert "root:" not in str(refused.value)


def test_paths_in_the_description_are_not_followed(bundle, tmp_path):
    (tmp_path / "secret").write_text("secret")
    info = read_model_info(bundle)
    change(
        bundle, files={**info.model_dump()["files"], "../secret": {"sha256": "0" * 64, "bytes": 6}}
    )
    assert read_bundle(bundle).info.name == info.name


def test_a_backbone_that_takes_too_long_is_ended(made, monkeypatch):
    foreign = GuardedEngine(made / "backbone.tflite")
    monkeypatch.setattr(guarded_engine, "IMAGE_SECONDS", 0.0)
    with pytest.raises(ExportError, match="memory or time"):
        foreign.run(np.zeros((1000, 40, 64, 3), np.uint8))
    assert not foreign._process.is_running


def test_a_bundle_explains_as_its_run_does_without_opening_its_file_here(
    run, made, tmp_path, monkeypatch
):
    photo = next((run.data_dir / "dog").iterdir())
    expected = explain(run.run_dir, photo, "cat", cache_dir=run.workspace.cache_dir)
    monkeypatch.setattr("tl_core.inference.explain.open_map_engine", None)
    found = explain(made, photo, "cat", cache_dir=tmp_path)
    assert np.abs(found.heat - expected.heat).max() < 1e-3
    assert found.probability == pytest.approx(expected.probability, abs=1e-5)


def test_a_backbone_without_a_map_says_so(made, monkeypatch):
    monkeypatch.setattr(guarded_engine, "find_pooling", lambda *_: None)
    with pytest.raises(ExportError, match="no feature map to explain"):
        GuardedEngine(made / "backbone.tflite").read_map(np.zeros((40, 64, 3), np.uint8))
