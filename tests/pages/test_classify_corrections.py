"""A wrong answer adds its photo to the project; retraining shows the new run on every page."""

import io

import pytest
from app_helpers import (
    CLASSIFY,
    DATA,
    FakePredictor,
    assert_sound,
    finished_run,
    open_page,
    texts,
    unescaped,
)
from conftest import draw_image, png

from tl_core.data.curation.store import Decision, edit_decisions, load_dataset, load_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.files import write_bytes, write_json
from tl_core.jobs.queue import JobQueue
from tl_core.projects.registry import open_folder
from tl_core.runs.files import CLASSES_FILE, ORIGIN_FILE, WEIGHTS_FILE, end_run
from tl_core.runs.store import Run, list_runs
from ui.runs import predictors, retraining

UPLOAD = {"photo_source": "Upload"}


@pytest.fixture(autouse=True)
def _answers(monkeypatch):
    monkeypatch.setattr(
        predictors,
        "load_predictor",
        lambda run_dir, cache_dir: FakePredictor(Run(run_dir).class_names),
    )


@pytest.fixture
def run(workspace, dataset):
    return finished_run(workspace, dataset)


def jpeg(seed):
    buffer = io.BytesIO()
    draw_image(0, seed).save(buffer, "JPEG")
    return buffer.getvalue()


def upload(*photos):
    at = open_page(CLASSIFY, **UPLOAD)
    for name, content in photos:
        at.file_uploader(key="photo_upload_0").upload(name, content)
    return at.run()


def boxes(at):
    return [box for box in at.selectbox if box.key and box.key.startswith("wrong_")]


def toasts(at):
    return [unescaped(toast.value) for toast in at.toast]


def counts(workspace, dataset):
    return load_dataset(dataset, workspace).class_counts()


def end(workspace, run):
    """End a queued run as the worker would, on other photos."""
    queue = JobQueue(workspace)
    queue.finish(queue.take().id)
    write_json(run.run_dir / ORIGIN_FILE, {**run.origin, "fingerprint": "corrected"})
    write_json(run.run_dir / CLASSES_FILE, ["cat", "dog"])
    write_bytes(run.run_dir / WEIGHTS_FILE, b"")
    end_run(run.run_dir, "finished")


def test_a_wrong_answer_adds_the_photo_to_its_class_and_says_where(workspace, dataset, run):
    before = counts(workspace, dataset)
    at = upload(("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)))
    first, _ = boxes(at)
    assert first.options == ["cat", "dog"]
    first.set_value("cat").run()
    assert_sound(at)
    assert (dataset / "cat" / "a.jpg").read_bytes() == jpeg(1)
    assert counts(workspace, dataset) == {**before, "cat": before["cat"] + 1}
    (told,) = toasts(at)
    assert told.startswith("a.jpg added to cat of ")
    assert told.endswith(": cat/a.jpg")
    assert "In the project: as **cat**" in texts(at)
    assert [box.value for box in boxes(at)] == [None, None]
    assert not (dataset / "cat" / "b.jpg").exists()


def test_the_addition_is_listed_and_undone(workspace, dataset, run):
    before = counts(workspace, dataset)
    at = upload(("a.jpg", jpeg(1)))
    boxes(at)[0].set_value("cat").run()
    assert "a.jpg added to cat" in unescaped(texts(at))
    at.button(key="correct_undo").click().run()
    assert_sound(at)
    assert not (dataset / "cat" / "a.jpg").exists()
    assert counts(workspace, dataset) == before
    assert "In the project" not in texts(at)
    assert toasts(at) == ["Undone: a.jpg added to cat"]


def test_a_photo_of_the_project_is_moved_and_not_added_twice(workspace, dataset, run):
    content = (dataset / "cat" / "0.png").read_bytes()
    at = upload(("again.png", content))
    assert "In the project: as **cat**" in texts(at)
    (box,) = boxes(at)
    assert box.options == ["dog"]
    box.set_value("dog").run()
    assert_sound(at)
    assert not (dataset / "dog" / "again.png").exists()
    held = load_decisions(workspace, dataset).current["cat/0.png"]
    assert (held.action, held.class_name) == ("relabel", "dog")
    assert "In the project: as **dog**" in texts(at)


def test_a_photo_that_cannot_be_added_gets_its_reason_once(workspace, dataset, run):
    before = counts(workspace, dataset)
    at = upload(("~evil.png", png(1, 77)))
    boxes(at)[0].set_value("cat").run()
    assert_sound(at)
    assert "was not added" in unescaped(at.warning[0].value)
    assert counts(workspace, dataset) == before
    at.run()
    assert not at.warning


def test_an_opened_folder_is_not_written_to_but_its_photos_can_be_moved(
    workspace, make_dataset, tmp_path, dataset
):
    folder = make_dataset({"cat": 6, "dog": 6}, tmp_path / "mine")
    project = open_folder(workspace, folder)
    finished_run(workspace, folder)
    at = open_page(CLASSIFY, dataset=project.id, **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("new.jpg", jpeg(1))
    at.file_uploader(key="photo_upload_0").upload(
        "old.png", (folder / "cat" / "0.png").read_bytes()
    )
    at.run()
    assert_sound(at)
    assert "a folder that is never written to" in texts(at)
    (box,) = boxes(at)  # of the photo that is in the folder
    box.set_value("dog").run()
    assert_sound(at)
    assert load_decisions(workspace, folder).current["cat/0.png"].class_name == "dog"
    assert len(list(folder.rglob("*.*"))) == 12


def test_photos_that_are_gone_leave_the_answers_and_a_reason(workspace, dataset, make_dataset):
    folder = make_dataset({"cat": 3, "dog": 3}, workspace.datasets_dir / "gone")
    finished_run(workspace, folder)
    for file in folder.rglob("*.png"):
        file.unlink()
    at = open_page(CLASSIFY, dataset="gone", **UPLOAD)
    at.file_uploader(key="photo_upload_0").upload("a.jpg", jpeg(1)).run()
    assert_sound(at)
    assert "**dog**, 90.0 %" in texts(at)
    assert "Answers cannot be corrected here" in texts(at)
    assert boxes(at) == []


def decide(workspace, dataset):
    record = scan_dataset(dataset).records[0]
    decision = Decision(record.path, record.sha256, "exclude")
    edit_decisions(workspace, dataset, lambda held: held.decide("one excluded", [decision]))


@pytest.mark.parametrize(
    ("page", "session"), [(CLASSIFY, UPLOAD), (DATA, {"data_tabs": "Findings"})]
)
def test_the_new_run_is_shown_once_it_has_ended(
    workspace, dataset, run, monkeypatch, page, session
):
    compared = []
    monkeypatch.setattr(
        retraining, "draw_difference", lambda _, before, after, shown=None: compared.append(
            (before.id, after.id, shown and shown.id)
        ),
    )  # fmt: skip
    decide(workspace, dataset)
    at = open_page(page, run=run.id, **session)
    assert_sound(at)
    assert "one excluded" in texts(at)
    at.button(key="retrain").click().run()
    assert_sound(at)
    assert "Retraining with the same settings" in texts(at)
    new = list_runs(workspace.runs_dir)[0]
    assert (new.config, new.state) == (run.config, "queued")
    assert at.button(key="retrain").disabled
    end(workspace, new)
    at.run()
    assert_sound(at)
    assert at.query_params["run"] in (new.id, [new.id])
    assert compared[-1] == (run.id, new.id, new.id)
    if page == CLASSIFY:  # back to the run before: it is not left again
        at.selectbox(key="run").set_value(run.id).run()
        assert_sound(at)
        assert compared[-1] == (run.id, new.id, None)
    count = len(compared)
    at.button(key="close_retrained").click().run()
    assert_sound(at)
    assert len(compared) == count
