import io
from dataclasses import replace

import numpy as np
from app_helpers import (
    CLASSIFY,
    FakePredictor,
    assert_sound,
    finished_run,
    open_page,
    sample_folder,
    texts,
)
from conftest import draw_image

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.sample import dataset as samples
from tl_core.inference.predict import Prediction
from tl_core.runs.store import create_run
from tl_core.training.trainer import train
from ui.classify.cards import CLOSEST
from ui.classify.review import answers_frame
from ui.shared.words import NO_MODEL, plain

UPLOAD = {"photo_source": "Upload"}


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_image(0, seed).save(buffer, "JPEG")
    return buffer.getvalue()


def test_without_a_model_the_page_leads_to_training(workspace, dataset):
    at = open_page(CLASSIFY)
    assert_sound(at)
    assert NO_MODEL in texts(at)
    assert at.button(key="empty_state_next").label == "Train a classifier"


def test_a_run_that_only_waits_is_no_model(workspace, dataset):
    create_run(workspace.runs_dir, TrainConfig(), dataset)
    assert NO_MODEL in texts(open_page(CLASSIFY))


def test_each_photo_gets_its_classes_with_probabilities(workspace, dataset, opened):
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).upload("b.jpg", jpeg(2)).run()
    assert_sound(at)
    assert len(at.image) == 2
    assert len(at.get("vega_lite_chart")) == 2
    assert "**dog**, 90.0 %" in texts(at)
    table = at.dataframe[0].value
    assert list(table["photo"]) == ["a.jpg", "b.jpg"]
    assert list(table["class"]) == ["dog", "dog"]
    np.testing.assert_allclose(table["p(cat)"], [10.0, 10.0], atol=1e-4)


def test_an_unreadable_file_gets_its_reason_and_spoils_nothing(workspace, dataset, opened):
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).upload("bad.jpg", b"no").run()
    assert_sound(at)
    assert "**dog**, 90.0 %" in texts(at)
    assert at.warning[0].value == plain("It is no image: expected JPEG or PNG.")
    errors = at.dataframe[0].value["error"]
    assert list(errors) == ["", "It is no image: expected JPEG or PNG."]


def test_a_file_of_another_kind_is_taken_and_named_with_its_reason(workspace, dataset, opened):
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    uploader = at.file_uploader(key="photo_upload_0")
    assert list(uploader.proto.type) == []
    files = [("notes.txt", b"not a picture\n", "text/plain"), ("crash.poc", b"no\x00", "")]
    uploader.set_value(files).run()
    assert_sound(at)
    table = at.dataframe[0].value
    assert list(table["photo"]) == ["notes.txt", "crash.poc"]
    assert all(table["error"])


def test_one_answer_says_that_it_is_unsure_as_many_do(workspace, dataset, opened):
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD, unsure_below=95)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).run()
    assert "**dog**, 90.0 % :orange-badge[unsure: under 95 %]" in texts(at)


def test_a_photo_unlike_all_classes_is_answered_with_none_of_these_and_why(
    workspace, dataset, opened, monkeypatch
):
    reason = "It is like none of the training photos."
    known = FakePredictor._answer
    monkeypatch.setattr(
        FakePredictor,
        "_answer",
        lambda *given: replace(known(*given), is_none_of_these=True, reasons=(reason,)),
    )
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).run()
    assert_sound(at)
    assert "**None of these**, nearest dog" in texts(at)
    assert CLOSEST in texts(at)
    assert reason in texts(at)
    table = at.dataframe[0].value
    assert list(table["class"]) == ["none of these"]
    assert list(table["reason"]) == [reason]


def test_a_closer_look_shows_where_it_looked_and_what_is_like_it(
    workspace, make_dataset, cache_dir, tmp_path
):
    """For real, with the backbone of the tests."""
    data_dir = make_dataset({"cat": 12, "dog": 12}, sample_folder(workspace))
    config = TrainConfig(backbone="tiny", epochs=3, fc_layers=())
    run = create_run(workspace.runs_dir, config, data_dir)
    train(config, scan_dataset(data_dir), run.run_dir, cache_dir=workspace.cache_dir)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).run()
    at.button(key="look_closer_0").click().run()
    assert_sound(at)
    captions = [image.caption for one in at.image for image in one.proto.imgs]
    assert len(captions) == 8  # the card, the heat map, and its neighbours
    assert sum("similarity" in caption for caption in captions) == 6
    assert at.slider(key="closer_opacity").value == 60


def test_limits_chosen_anew_are_obeyed_at_once(workspace, dataset, opened):
    run = finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).run()
    (run.run_dir / "known.safetensors").write_bytes(b"other limits")
    at.run()
    assert len(opened) == 2


def test_the_same_photos_are_not_computed_twice(workspace, dataset, opened):
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).run()
    at.slider(key="top_k").set_value(1).run()
    assert opened[0].calls == [["a.jpg"]]


def test_new_weights_of_a_run_are_opened_anew(workspace, dataset, opened):
    run = finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).run()
    (run.run_dir / "weights.safetensors").write_bytes(b"newer")
    at.run()
    assert_sound(at)
    assert len(opened) == 2


def test_the_table_holds_every_probability_and_the_errors():
    answers = [
        Prediction("a.jpg", np.array([0.25, 0.75], np.float32), (("dog", 0.75), ("cat", 0.25))),
        Prediction("b.jpg", None, (), "no image"),
    ]
    table = answers_frame(answers, ("cat", "dog"))
    assert table.to_csv(index=False).splitlines() == [
        "photo,class,probability,p(cat),p(dog),reason,error",
        "a.jpg,dog,0.75,0.25,0.75,,",
        "b.jpg,,,,,,no image",
    ]


def test_a_camera_picture_is_classified(workspace, dataset, opened):
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, photo_source="Camera")
    assert_sound(at)
    at.camera_input(key="photo_camera").upload("shot.jpg", jpeg(3)).run()
    assert_sound(at)
    assert "**dog**, 90.0 %" in texts(at)
    assert opened[0].calls == [["camera.jpg"]]
    at.segmented_control(key="photo_source").set_value("Upload").run()
    assert "**dog**" not in texts(at)
    at.segmented_control(key="photo_source").set_value("Camera").run()
    assert "**dog**, 90.0 %" in texts(at)
    assert len(opened[0].calls) == 1


def test_examples_of_the_sample_set_are_drawn_and_answered_at_once(
    workspace, dataset, opened, monkeypatch
):
    monkeypatch.setattr(samples, "draw_example", lambda name, seed: draw_image(len(name), seed))
    finished_run(workspace, dataset, class_names=samples.CLASS_NAMES)
    at = open_page(CLASSIFY)
    assert_sound(at)
    assert len(at.image) == len(samples.CLASS_NAMES)
    assert opened[0].calls == [[f"{name.lower()} example.jpg" for name in samples.CLASS_NAMES]]


def test_markdown_signs_in_a_file_name_are_shown_as_they_are(workspace, dataset, opened):
    finished_run(workspace, dataset)
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("my_dog [1] *.jpg", jpeg(1)).run()
    assert_sound(at)
    assert r"my\_dog \[1\] \*.jpg" in texts(at)


def test_the_model_says_how_good_it_is(workspace, dataset, opened):
    finished_run(workspace, dataset)
    told = texts(open_page(CLASSIFY, **UPLOAD))
    assert "90.0 % (75.5 to 96.8) on 40 photos the model has not seen." in told
