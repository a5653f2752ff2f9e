"""A bundle's zip becomes a model of the workspace, or is refused in one line and leaves nothing."""

import io
import json
import zipfile

import pytest
from made_export import make_export_run

from tl_core.errors import ExportError
from tl_core.export.model_info import describe_run, write_model_info
from tl_core.export.writers import Writing, write_bundle
from tl_core.inference.imported_models import import_model, list_models, remove_model
from tl_core.inference.predict import load_predictor
from tl_core.workspace import Workspace


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def files(run, tmp_path_factory):
    """Return what a bundle holds, by name."""
    folder = tmp_path_factory.mktemp("bundle")
    info = describe_run(run)
    write_bundle(Writing(run, info, folder, run.workspace.cache_dir))
    (folder / "README.md").write_text("# Card\n![x](http://127.0.0.1:9/x.png)")
    (folder / "predict.py").write_text("raise SystemExit")
    write_model_info(folder, info)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


def packed(files, folder="mine/"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name if name.startswith("/") else folder + name, content)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("folder", ["mine/", ""])
def test_an_imported_model_answers_as_its_run_until_it_is_removed(run, files, workspace, folder):
    made = import_model(workspace, packed(files, folder))
    assert sorted(path.name for path in made.folder.iterdir()) == sorted({*files} - {"predict.py"})
    assert made.card.startswith("# Card")
    (listed,) = list_models(workspace)
    assert (listed.id, listed.info.class_names) == (made.id, ("cat", "dog", "fox"))
    photos = sorted((run.data_dir / "fox").iterdir())[:3]
    own = load_predictor(run.run_dir, run.workspace.cache_dir).predict(photos)
    theirs = load_predictor(listed.folder, workspace.cache_dir).predict(photos)
    for one, other in zip(own, theirs, strict=True):
        assert one.probabilities.tolist() == other.probabilities.tolist()
        assert one.reasons == other.reasons
    assert import_model(workspace, packed(files)).id == made.id
    assert len(list_models(workspace)) == 1
    remove_model(workspace, made.id)
    remove_model(workspace, made.id)
    assert list_models(workspace) == []


def without(name):
    return lambda files: {other: data for other, data in files.items() if other != name}


def with_file(name, content):
    return lambda files: {**files, name: content}


def changed(**values):
    return lambda files: {
        **files,
        "model.json": json.dumps({**json.loads(files["model.json"]), **values}),
    }


HOSTILE = {
    "no model.json": without("model.json"),
    "no backbone": without("backbone.tflite"),
    "no head": without("head.safetensors"),
    "another backbone": with_file("backbone.tflite", b"\0\0\0\0TFL3"),
    "a head of pickles": with_file("head.safetensors", b"\x80\x04K\x01."),
    "a path out": with_file("../../evil.txt", b"x"),
    "an absolute path": with_file("/evil.txt", b"x"),
    "two models": with_file("other/model.json", b"{}"),
    "a bomb": with_file("known.safetensors", b"\0" * 10**8),
    "deep JSON": with_file("model.json", b"[" * 10**5),
    "a large card": with_file("README.md", "x" * 2**19),
    "a newer schema": changed(schema=99),
    "too few classes": changed(class_names=["one"]),
    "an image size that does not fit": changed(image_size=[8, 8]),
}


@pytest.mark.parametrize("tamper", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_zip_is_refused_in_one_line_and_leaves_nothing(
    files, workspace, tmp_path, tamper
):
    with pytest.raises(ExportError) as refused:
        import_model(workspace, packed(tamper(files)))
    assert str(refused.value).startswith("The model was not imported. ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_no_zip_is_refused(workspace):
    with pytest.raises(ExportError, match="cannot be read as a zip"):
        import_model(workspace, io.BytesIO(b"no zip"))


def test_a_damaged_folder_spoils_no_list(workspace):
    (workspace.models_dir / ("0" * 16)).mkdir(parents=True)
    (workspace.models_dir / ("0" * 16) / "model.json").write_text("{}")
    (workspace.models_dir / "other").mkdir()
    assert list_models(workspace) == []
    remove_model(workspace, "../runs")
