"""Many photos on Classify: kept in the session, counted, filtered, added to the project at once."""

import io
import json
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from app_helpers import (
    CLASSIFY,
    DATA,
    FakePredictor,
    assert_sound,
    finished_run,
    open_page,
    texts,
    tiles,
    unescaped,
    work_at_once,
)
from conftest import draw_image
from streamlit.testing.v1 import AppTest

from tl_core.data.curation.store import load_dataset
from tl_core.errors import ExportError, Stopped
from tl_core.inference import folder_answers
from tl_core.inference.imported_models import list_models
from tl_core.jobs.handlers import CLASSIFY as CLASSIFY_JOB
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor
from tl_core.runs.store import Run
from ui.classify import answers, background, models
from ui.classify.folder import PARTLY
from ui.runs import predictors
from ui.shared import session_keys
from ui.shared.words import NO_MODEL
from ui.shell import page

UPLOAD = {"photo_source": "Upload"}


@pytest.fixture
def run(workspace, dataset, opened):
    return finished_run(workspace, dataset)


def jpeg(seed):
    buffer = io.BytesIO()
    draw_image(0, seed).save(buffer, "JPEG")
    return buffer.getvalue()


def upload(at, *photos):
    (box,) = [one for one in at.file_uploader if one.key.startswith("photo_upload")]
    for name, content in photos:
        box.upload(name, content)
    at.run()
    assert_sound(at)
    return at


def eight(first=1):
    return [(f"{n}.jpg", jpeg(n)) for n in range(first, first + 8)]


def pills(at):
    (one,) = [group for group in at.get("button_group") if group.key == "answer_filter"]
    return one


def test_uploads_and_answers_survive_another_source_and_another_page(run, opened):
    at = upload(open_page(CLASSIFY, **UPLOAD), ("a.jpg", jpeg(1)))
    at.segmented_control(key="photo_source").set_value("Camera").run()
    at.segmented_control(key="photo_source").set_value("Upload").run()
    assert "**dog**, 90.0 %" in texts(at)
    at.switch_page(DATA).run()
    at.switch_page(CLASSIFY).run()
    assert_sound(at)
    assert "**dog**, 90.0 %" in texts(at)
    upload(at, ("b.jpg", jpeg(2)))
    assert opened[0].calls == [["a.jpg"], ["b.jpg"]]
    at.button(key="remove_uploads").click().run()
    assert "**dog**" not in texts(at)


EIGHT_DOGS_AND_ONE_BAD = [
    "All (9)",
    "dog (8)",
    "cat (0)",
    "Unsure (0)",
    "None of these (0)",
    "Not readable (1)",
]


def test_a_list_of_many_classes_shows_names_and_icons_as_text(workspace, run, monkeypatch):
    monkeypatch.setattr("ui.classify.review.MAX_PILLS", 4)
    at = upload(open_page(CLASSIFY, **UPLOAD), *eight(), ("bad.jpg", b"no"))
    assert at.selectbox(key="answer_filter").options == EIGHT_DOGS_AND_ONE_BAD


def test_many_photos_are_counted_filtered_and_drawn_without_bars(run):
    at = upload(open_page(CLASSIFY, **UPLOAD), *eight(), ("bad.jpg", b"no"))
    assert len(at.get("vega_lite_chart")) == 0
    assert [unescaped(label) for label in pills(at).options] == EIGHT_DOGS_AND_ONE_BAD
    assert [tile["name"] for tile in tiles(at)] == ["dog 90.0 %"] * 8 + ["bad.jpg"]
    assert len(at.dataframe[0].value) == 9
    at.slider(key="unsure_below").set_value(95).run()
    assert "Unsure (8)" in [unescaped(label) for label in pills(at).options]
    assert tiles(at)[0]["name"] == "dog 90.0 %, unsure"
    at.session_state["answer_filter"] = "unreadable"
    at.run()
    assert [tile["name"] for tile in tiles(at)] == ["bad.jpg"]
    assert list(at.dataframe[0].value["error"]) == ["It is no image: expected JPEG or PNG."]


def test_ticked_photos_get_another_class_in_the_view_of_many(workspace, dataset, run):
    before = load_dataset(dataset, workspace).class_counts()
    at = upload(open_page(CLASSIFY, **UPLOAD), *eight())
    assert at.selectbox(key="answers_wrong_0").disabled
    at = open_page(CLASSIFY, **UPLOAD, **{session_keys.ANSWER_PICKED: {"0", "2"}})
    upload(at, *eight())
    at.selectbox(key="answers_wrong_0").set_value("cat").run()
    assert_sound(at)
    after = load_dataset(dataset, workspace)
    assert after.class_counts() == {**before, "cat": before["cat"] + 2}
    assert after.added == {"cat/1.jpg", "cat/3.jpg"}


def test_ticked_photos_are_added_as_one_step_that_is_undone(workspace, dataset, run):
    before = load_dataset(dataset, workspace).class_counts()
    at = open_page(CLASSIFY, **UPLOAD, **{session_keys.ANSWER_PICKED: {"0", "2", "8"}})
    upload(at, *eight(), ("bad.jpg", b"no"))
    at.button(key="add_answers_now").click().run()
    assert_sound(at)
    after = load_dataset(dataset, workspace)
    assert after.class_counts() == {**before, "dog": before["dog"] + 2}
    assert after.added == {"dog/1.jpg", "dog/3.jpg"}
    assert [unescaped(toast.value) for toast in at.toast] == [
        f"2 photos added to {dataset_title(at)}"
    ]
    at.button(key="correct_undo").click().run()
    assert load_dataset(dataset, workspace).class_counts() == before


def dataset_title(at: AppTest) -> str:
    box = at.selectbox(key=session_keys.DATASET)
    return box.options[box.index or 0]


def test_ticked_photos_are_added_to_the_class_that_is_chosen(workspace, dataset, run):
    at = open_page(CLASSIFY, **UPLOAD, **{session_keys.ANSWER_PICKED: {"1"}})
    upload(at, *eight())
    at.selectbox(key="add_answers_class").set_value("cat").run()
    at.button(key="add_answers_now").click().run()
    assert_sound(at)
    assert (dataset / "cat" / "2.jpg").read_bytes() == jpeg(2)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    for number in range(3):
        draw_image(1, number).save(folder / "deep" / f"{number}.png")
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


class FolderPredictor(FakePredictor):
    """Answers as :class:`FakePredictor`, by paths."""

    def predict(self, images, top_k, names, on_progress, should_stop):
        data = [image.read_bytes() for image in images]
        return super().predict(data, top_k, names, on_progress, should_stop)


@pytest.fixture
def worker(monkeypatch):
    """Have folders classified at once; return the predictors that were opened."""
    made = []

    def load(model_dir, cache_dir):
        made.append(FolderPredictor(Run(model_dir).class_names))
        return made[-1]

    monkeypatch.setattr(folder_answers, "load_predictor", load)
    monkeypatch.setattr(folder_answers, "model_identity", lambda predictor: "model")
    work_at_once(monkeypatch, CLASSIFY_JOB)
    return made


def choose(at, folder):
    (box,) = [box for box in at.text_input if box.key.startswith("answers_path")]
    box.set_value(str(folder)).run()
    at.button(key="classify_folder").click().run()
    assert_sound(at)
    return at


def test_a_folder_is_classified_by_the_worker_and_found_again(workspace, run, photos, worker):
    at = choose(open_page(CLASSIFY, photo_source="Folder"), photos)
    assert [tile["note"] for tile in tiles(at)][1:] == ["0.png", "1.png", "2.png"]
    assert list(at.dataframe[0].value["photo"]) == [
        "bad.jpg",
        *(f"deep/{number}.png" for number in range(3)),
    ]
    again = open_page(CLASSIFY, photo_source="Folder")
    assert len(tiles(again)) == 4
    draw_image(1, 3).save(photos / "deep" / "3.png")
    again.button(key="continue_folder").click().run()
    assert len(tiles(again)) == 5
    assert worker[1].calls == [["deep/3.png"]]
    again.button(key="remove_answers").click().run()
    assert_sound(again)
    assert list(workspace.answers_dir.iterdir()) == []
    assert len(list(photos.rglob("*.png"))) == 4


def test_a_folder_that_waits_can_be_stopped(workspace, run, photos):
    at = choose(open_page(CLASSIFY, photo_source="Folder"), photos)
    (job,) = JobQueue(workspace).jobs()
    assert (job.kind, job.needs_user) == (CLASSIFY_JOB, True)
    at.button(key="stop_folder").click().run()
    assert JobQueue(workspace).jobs() == []
    at.run()
    assert at.button(key="continue_folder").label == "Classify the folder"


def test_answers_so_far_are_shown_and_more_is_offered(run, photos, worker, monkeypatch):
    def stop(*args, **kwargs):
        raise Stopped

    monkeypatch.setattr(folder_answers, "answer_photos", stop)
    at = choose(open_page(CLASSIFY, photo_source="Folder"), photos)
    assert PARTLY in texts(at)
    assert at.button(key="continue_folder").label == "Continue"


def test_a_folder_outside_of_the_allowed_one_is_refused(run, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("TL_FOLDERS", str(tmp_path / "workspace"))
    at = open_page(CLASSIFY, photo_source="Folder")
    (box,) = [box for box in at.text_input if box.key.startswith("answers_path")]
    box.set_value(str(photos)).run()
    at.button(key="classify_folder").click().run()
    assert "Expected a folder inside" in unescaped(at.error[0].value)


def test_folders_and_imports_are_not_offered_to_strangers(run, monkeypatch):
    def offered() -> tuple[bool, bool]:
        at = open_page(CLASSIFY, **UPLOAD)
        assert_sound(at)
        uploaders = [one.key for one in at.file_uploader]
        sources = at.segmented_control(key="photo_source").options
        return "Folder" in sources, "model_upload_0" in uploaders

    assert offered() == (True, True)
    monkeypatch.setattr(page.Studio, "may_open_folders", property(lambda _: False))
    assert offered() == (False, False)


@pytest.fixture
def imported(workspace):
    """A model of someone else, whose weights are no weights."""
    folder = workspace.models_dir / ("a" * 16)
    folder.mkdir(parents=True)
    info = {
        "format": "tl-model",
        "schema": 1,
        "name": "Theirs ![x](y)",
        "class_names": ["cat", "dog"],
        "image_size": [32, 32],
        "resize": "squash",
        "backbone": "tiny",
        "temperature": 1.0,
        "metrics": {"accuracy": 0.875, "interval": [0.7, 0.95], "num_images": 40},
        "tl_core_version": "0.1.0",
        "created": "2026-01-01",
    }
    (folder / "model.json").write_text(json.dumps(info))
    (folder / "README.md").write_text("# Card ![x](http://127.0.0.1:9/x.png)")
    return folder


def test_an_imported_model_answers_shows_its_card_and_is_removed(
    workspace, dataset, imported, monkeypatch
):
    monkeypatch.setattr(
        predictors, "load_predictor", lambda folder, cache_dir: FakePredictor(("cat", "dog"))
    )
    at = upload(open_page(CLASSIFY, **UPLOAD), ("a.jpg", jpeg(1)))
    assert "**dog**, 90.0 %" in texts(at)
    assert "87.5 % (70.0 to 95.0) on 40 photos of its test part, as its author states." in texts(at)
    assert "![x]" not in texts(at)
    assert at.code[0].value.startswith("# Card")
    asked = []

    def explain_with(predictor, image, class_name):
        asked.append(class_name)
        raise ExportError("It has no map.")

    monkeypatch.setattr(predictors, "explain_with", explain_with)
    at.button(key="look_closer_0").click().run()
    assert asked == ["dog"]
    assert [warning.value for warning in at.warning] == ["It has no map."]
    assert answers.NO_NEIGHBOURS in texts(at)
    at.button(key="remove_model").click().run()
    assert_sound(at)
    assert list_models(workspace) == []
    assert NO_MODEL in texts(at)


def test_a_model_that_was_imported_is_chosen(workspace, run, imported, monkeypatch):
    (model,) = list_models(workspace)
    monkeypatch.setattr(models, "import_model", lambda *_, **__: model)
    at = open_page(CLASSIFY, **UPLOAD)
    assert at.segmented_control(key="model_kind").value == models.TRAINED
    at.file_uploader(key="model_upload_0").upload("m.zip", b"zip").run()
    assert_sound(at)
    assert at.segmented_control(key="model_kind").value == models.IMPORTED
    assert at.selectbox(key=session_keys.IMPORTED_MODEL).value == model.id


def test_imported_models_of_one_name_are_told_apart(workspace, dataset, imported):
    shutil.copytree(imported, imported.with_name("f" * 16))
    at = open_page(CLASSIFY, **UPLOAD)
    box = at.selectbox(key=session_keys.IMPORTED_MODEL)
    assert len(set(box.options)) == 2
    box.select_index(1).run()
    assert_sound(at)
    chosen = at.selectbox(key=session_keys.IMPORTED_MODEL).value
    assert chosen == list_models(workspace)[1].id
    at.run()
    assert at.selectbox(key=session_keys.IMPORTED_MODEL).value == chosen


def test_a_zip_that_is_no_model_is_refused_in_one_line(run):
    at = open_page(CLASSIFY, **UPLOAD)
    at.file_uploader(key="model_upload_0").upload("m.zip", b"no zip").run()
    (error,) = at.error
    assert unescaped(error.value).startswith("The model was not imported. It cannot be read")


@pytest.mark.parametrize("metrics", [{}, {"accuracy": "x"}, {"accuracy": 1, "interval": [1]}])
def test_figures_that_are_none_are_not_shown(metrics):
    class Info:
        pass

    info = Info()
    info.metrics = metrics
    assert models.bundle_figures(info) == ""


def test_work_in_a_thread_hears_a_stop():
    begun = threading.Event()

    def work(monitor: Monitor) -> None:
        while True:
            monitor.check()
            begun.set()

    task = background.Task("of", work)
    begun.wait(60)
    task.is_stopped.set()
    task.thread.join(60)
    assert isinstance(task.error, Stopped)


def test_work_ends_after_its_browser_has_gone_and_begins_again_with_it(monkeypatch):
    active, begun = [True], []
    server = SimpleNamespace(is_active_session=lambda session_id: active[0])
    monkeypatch.setattr(background.runtime, "exists", lambda: True)
    monkeypatch.setattr(background.runtime, "get_instance", lambda: server)
    context = SimpleNamespace(session_id="mine")
    monkeypatch.setattr(background, "get_script_run_ctx", lambda **_: context)
    monkeypatch.setattr(background, "add_script_run_ctx", lambda *_: None)
    monkeypatch.setattr(background, "_ASK_SECONDS", 0.0)
    monkeypatch.setattr(background, "LEFT_SECONDS", 0.05)
    monkeypatch.setattr(background, "AT_ONCE_SECONDS", 0.05)
    state = {}
    monkeypatch.setattr(background, "st", SimpleNamespace(session_state=state))

    def work(monitor: Monitor) -> str:
        begun.append(time.monotonic())
        while len(begun) == 1:
            monitor.check()
            if time.monotonic() > begun[0] + 0.2:  # with its browser it is not ended
                active[0] = False
        return "done"

    monkeypatch.setattr(background, "_draw", lambda name, task, what: task.thread.join(60))
    assert background.run_in_background("place", "of", "Working", work) is None
    (tasks,) = state.values()
    assert tasks["place"].was_left
    active[0] = True
    assert background.run_in_background("place", "of", "Working", work) == "done"
    assert len(begun) == 2
