"""``TL_MODE=viewer``: one bundle in place of every page, and nothing of the studio."""

import csv
import hashlib
import io

import pytest
from app_helpers import assert_sound, open_page, texts
from made_export import make_export_run

from tl_core.export.model_info import describe_run, write_model_info
from tl_core.export.writers import Writing, write_bundle
from tl_core.files import write_text
from tl_core.inference.bulk import answers_csv
from tl_core.inference.predict import load_predictor
from ui.viewer import card, page
from ui.viewer.page import DOWNLOAD, MAX_PHOTOS, TOO_MANY, WITHOUT_CARD

PAGES = [None, "pages/1_Data.py", "pages/2_Train.py", "pages/3_Classify.py", "pages/5_Share.py"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    run, folder = make_export_run(tmp_path_factory.mktemp("made")), tmp_path_factory.mktemp("out")
    info = describe_run(run, {"part": "test", "num_images": 9, "accuracy": 8 / 9})
    write_bundle(Writing(run, info, folder, run.workspace.cache_dir))
    write_text(folder / card.CARD_FILE, "# Pets\n\nTells.\n\n## How good it is\n\nGood.\n")
    write_model_info(folder, info)
    return run, folder


@pytest.fixture
def viewer(workspace, bundle, monkeypatch):
    """Let the app view the bundle; return its folder."""
    monkeypatch.setenv("TL_MODE", "viewer")
    monkeypatch.setenv("TL_BUNDLE", str(bundle[1]))
    return bundle[1]


@pytest.mark.parametrize("path", PAGES)
def test_every_address_shows_the_model_and_no_page_of_the_studio(viewer, bundle, path):
    at = open_page(path)
    assert_sound(at)
    assert [title.value for title in at.title] == [bundle[0].name]
    assert [tab.label for tab in at.tabs] == ["Classify", "About the model"]
    assert len(at.sidebar) == 0
    assert "Tells 3 classes apart. Right on 88.9 % of 9 test photos." in texts(at)
    assert "How good it is" in texts(at)


def test_photos_are_answered_and_a_bad_file_says_why(viewer, bundle):
    photo = next((bundle[0].data_dir / "dog").iterdir())
    at = open_page()
    files = [("a.png", photo.read_bytes(), "image/png"), ("b.poc", b"no photo", "")]
    assert list(at.file_uploader(key="viewer_upload").proto.type) == []
    at.file_uploader(key="viewer_upload").set_value(files).run()
    assert_sound(at)
    assert "**dog**" in texts(at)
    assert [warning.value for warning in at.warning] != []
    assert len(at.get("progress")) == 3  # a bar a class, of the photo that was read


def test_it_shows_where_the_model_looked_and_gives_the_answers_as_a_table(viewer, bundle):
    run, folder = bundle
    photo = next((run.data_dir / "dog").iterdir())
    at = open_page()
    name = "=1.png"
    at.file_uploader(key="viewer_upload").set_value([(name, photo.read_bytes(), "image/png")]).run()
    at.button(key="viewer_heat_0").click().run()
    assert_sound(at)
    assert len(at.get("dialog")) == 1
    assert "dog" in at.segmented_control(key=closer_key(photo)).options
    predictor = load_predictor(folder, run.workspace.cache_dir)
    text = answers_csv(predictor.predict([photo], names=[name]), predictor.class_names).decode()
    lines = list(csv.reader(io.StringIO(text)))
    shares = [f"p({one})" for one in predictor.class_names]
    assert lines[0] == ["photo", "class", "probability", *shares, "reason", "error"]
    assert lines[1][:2] == ["'=1.png", "dog"]
    assert at.get("download_button")[0].label == DOWNLOAD


def closer_key(photo):
    return f"closer_class_{hashlib.sha256(photo.read_bytes()).hexdigest()}"


def test_more_photos_than_it_answers_at_once_are_said(viewer, bundle, monkeypatch):
    monkeypatch.setattr(page, "MAX_PHOTOS", 1)
    photos = sorted((bundle[0].data_dir / "dog").iterdir())[:2]
    at = open_page()
    files = [(photo.name, photo.read_bytes(), "image/png") for photo in photos]
    at.file_uploader(key="viewer_upload").set_value(files).run()
    assert [warning.value for warning in at.warning] == [TOO_MANY.format(limit=1)]
    assert len(at.get("progress")) == 3
    assert MAX_PHOTOS > 1


@pytest.mark.parametrize("folder", [None, "elsewhere"])
def test_without_a_bundle_it_says_what_to_set(workspace, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("TL_MODE", "viewer")
    if folder is None:
        monkeypatch.delenv("TL_BUNDLE", raising=False)
    else:
        monkeypatch.setenv("TL_BUNDLE", str(tmp_path / folder))
    at = open_page()
    assert not at.exception
    (error,) = at.error
    assert error.value.replace("\\", "").startswith("Expected")
    assert "TL_BUNDLE" in error.value.replace("\\", "")
    assert str(tmp_path) not in error.value


def test_a_card_from_a_stranger_loads_nothing(tmp_path):
    text = (
        "---\ntags: x\n---\n\n# Pets\n\nTells.\n\n![p](https://h/p.png)\n\n"
        "## Use\n\nrun\n\n## Limits\n\nNo.\n"
    )
    (tmp_path / card.CARD_FILE).write_text(text)
    assert card.read_card(tmp_path) == "Tells.\n\n[p](https://h/p.png)\n\n## Limits\n\nNo."
    (tmp_path / card.CARD_FILE).write_bytes(b"x" * (card.MAX_CARD_BYTES + 1))
    assert card.read_card(tmp_path) == ""
    assert WITHOUT_CARD
