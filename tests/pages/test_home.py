import io
import logging
import threading
import zipfile
from types import SimpleNamespace

import pytest
from app_helpers import (
    DATA,
    assert_sound,
    finished_run,
    open_page,
    texts,
)
from streamlit.runtime import RuntimeState

from tl_core.analysis.overview import look
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import Decision, edit_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.errors import DatasetError
from tl_core.jobs import training as training_jobs
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Progress
from tl_core.runs.store import create_run
from ui.datasets import sample
from ui.datasets.finding_items import LABELS
from ui.home.cards import BEING_CHECKED, CHECKED_ON_DATA
from ui.shared import session_keys
from ui.shared.errors import BUG_MESSAGE, LABEL_TAB
from ui.shared.page_layout import HOME_TITLE
from ui.shell.page import report_unattended
from ui.shell.sidebar import AFTER_SAMPLE


def test_home_shows_the_sample_set_and_one_next_step(workspace, dataset):
    at = open_page()
    assert_sound(at)
    assert "11 photos in 2 classes" in texts(at)
    assert len(at.image) == 11
    assert at.button(key="next_step").label == "Look at the photos"


def test_home_names_the_findings_that_the_data_page_has_open(workspace, dataset):
    (dataset / "cat" / "broken.png").write_bytes(b"no image")
    look(scan_dataset(dataset), workspace.cache_dir)
    # The two others: classes too small to be judged, and tiny photos.
    assert "**3 findings** to look at" in texts(open_page(DATA, data_tabs="Findings"))
    home = texts(open_page())
    named = "3 findings to look at: files that cannot be read, tiny photos, 1 more."
    assert f"{named} {LABELS}: {CHECKED_ON_DATA}." in home
    kept = Decision("cat/broken.png", "", "keep", None, "unreadable")
    edit_decisions(workspace, dataset, lambda before: before.decide("", [kept]))
    told = f"2 findings to look at: tiny photos, 1 more. {LABELS}: {CHECKED_ON_DATA}."
    assert told in texts(open_page())


def test_home_of_photos_without_classes_counts_them_and_leads_to_the_label_tab(
    workspace, make_dataset
):
    make_dataset({"any": 9}, workspace.datasets_dir)
    (workspace.datasets_dir / "any").rename(workspace.datasets_dir / "heap")
    at = open_page(dataset="heap")
    assert_sound(at)
    assert "9 photos, no classes yet" in texts(at)
    assert len(at.image) == 9
    assert at.file_uploader(key="intake_zip_0").label == "Zip or tar files"
    at.button(key="go_label").click().run()
    assert at.session_state[session_keys.DATA_TABS] == LABEL_TAB


def test_home_of_a_project_whose_folder_is_gone_still_offers_the_upload(workspace, make_dataset):
    data = make_dataset({"cat": 4, "dog": 4}, workspace.datasets_dir / "pets")
    finished_run(workspace, data)
    data.rename(workspace.root / "moved")
    at = open_page(dataset="pets")
    assert not at.exception
    assert "is missing" in at.error[0].value
    assert at.file_uploader(key="intake_zip_0").label == "Zip or tar files"


def test_home_starts_all_checks_of_own_photos_and_none_of_the_sample(
    workspace, dataset, make_dataset
):
    open_page()
    assert [job.kind for job in JobQueue(workspace).jobs()] == []
    data = make_dataset({"cat": 4, "dog": 4}, workspace.datasets_dir / "pets")
    look(scan_dataset(data), workspace.cache_dir)
    at = open_page(dataset="pets", **{"train.backbone": "tiny"})
    assert [job.kind for job in JobQueue(workspace).jobs()] == ["explore"]
    assert f"{LABELS}: {BEING_CHECKED}." in texts(at)


@pytest.mark.parametrize(
    ("state", "label"),
    [("queued", "Watch the training"), ("finished", "Classify a photo")],
)
def test_the_next_step_follows_the_runs(workspace, dataset, state, label):
    if state == "queued":
        create_run(workspace.runs_dir, TrainConfig(), dataset)
    else:
        finished_run(workspace, dataset)
    at = open_page()
    assert_sound(at)
    assert at.button(key="next_step").label == label


def test_after_a_look_at_the_data_the_next_step_is_to_train(workspace, dataset):
    at = open_page(seen_data=True)
    assert at.button(key="next_step").label == "Train a classifier"


def test_home_tells_the_last_result_with_its_interval(workspace, dataset):
    finished_run(workspace, dataset)
    at = open_page()
    assert "90.0 % (75.5 to 96.8) on 40 photos the model has not seen" in texts(at)


def test_on_first_start_the_sample_set_is_drawn_with_progress(workspace, make_dataset, monkeypatch):
    may_end = threading.Event()

    def draw(out_dir, on_progress, should_stop):
        on_progress(Progress("sample", 3, 12, 0.1))
        may_end.wait(300)
        make_dataset({"cat": 4, "dog": 4}, out_dir)

    started = []
    monkeypatch.setattr(sample, "draw_sample_dataset", draw)
    monkeypatch.setattr(training_jobs, "ensure_worker", started.append)
    at = open_page()
    assert_sound(at)
    assert started == []  # it would take half of the processors from the drawing
    assert AFTER_SAMPLE in texts(at)
    (bar,) = at.progress
    assert bar.text.startswith(f"{sample.DRAWING}: 3 of 12")
    assert bar.text.endswith("left")
    assert not [button for button in at.button if button.key == "next_step"]
    drawing = sample.ensure_sample(workspace)
    may_end.set()
    drawing.thread.join(300)
    at.run()
    assert_sound(at)
    assert "8 photos in 2 classes" in texts(at)
    assert started[0] == workspace
    assert AFTER_SAMPLE not in texts(at)


def test_a_drawing_that_fails_says_so_and_can_be_repeated(workspace, monkeypatch):
    def fail(out_dir, on_progress, should_stop):
        raise OSError("disk full")

    monkeypatch.setattr(sample, "draw_sample_dataset", fail)
    drawing = sample.ensure_sample(workspace)
    drawing.thread.join(300)
    at = open_page()
    assert not at.exception
    assert "logs/app.log" in at.error[0].value
    assert at.button(key="redraw_sample").label == "Draw it again"


def test_a_server_that_stops_does_not_wait_for_the_sample_set(workspace, monkeypatch):
    runtime = SimpleNamespace(
        exists=lambda: True, get_instance=lambda: SimpleNamespace(state=RuntimeState.STOPPING)
    )
    monkeypatch.setattr("streamlit.runtime", runtime)
    drawing = sample.ensure_sample(workspace)
    drawing.thread.join(60)
    assert not drawing.thread.is_alive()
    assert drawing.error == ""
    assert not sample.sample_dir(workspace).exists()


def test_a_users_mistake_is_shown_as_it_stands(workspace, dataset, monkeypatch):
    monkeypatch.setattr(
        "ui.datasets.scans.scan_dataset",
        _raiser(DatasetError("Expected at least 2 class folders.")),
    )
    at = open_page()
    assert not at.exception
    assert [error.value for error in at.error] == ["Expected at least 2 class folders."]


def test_a_bug_is_logged_with_its_traceback_and_not_shown(workspace, dataset, monkeypatch):
    monkeypatch.setattr("ui.datasets.scans.scan_dataset", _raiser(KeyError("a bug")))
    at = open_page()
    assert not at.exception
    assert [error.value for error in at.error] == [BUG_MESSAGE]
    for handler in logging.getLogger("studio").handlers:
        handler.flush()
    assert "KeyError: 'a bug'" in (workspace.logs_dir / "app.log").read_text(encoding="utf-8")


def _raiser(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_a_closed_server_reports_what_the_worker_goes_on_with(workspace, monkeypatch, capsys):
    worker = SimpleNamespace(alive=True)
    monkeypatch.setattr(training_jobs, "worker_state", lambda _: worker)
    queue = JobQueue(workspace)
    queue.submit("features", {})
    report_unattended(workspace)
    assert capsys.readouterr().out == ""

    queue.submit("train", {})
    report_unattended(workspace)
    assert capsys.readouterr().out.startswith("1 training or search goes on in the background")
    queue.submit("sweep", {})
    report_unattended(workspace)
    assert capsys.readouterr().out.startswith("2 trainings or searches go on")

    worker.alive = False
    report_unattended(workspace)
    assert capsys.readouterr().out == ""


def zipped(data_dir):
    """Return a zip of a dataset's class folders."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(data_dir.rglob("*.png")):
            archive.write(path, path.relative_to(data_dir))
    return buffer.getvalue()


def test_own_photos_are_added_on_home_and_are_the_project_in_view(
    workspace, dataset, make_dataset, tmp_path
):
    cups = make_dataset({"cup": 4, "jar": 4}, tmp_path / "cups")
    at = open_page()
    (uploader,) = [one for one in at.file_uploader if one.key.startswith("intake_zip")]
    uploader.upload("cups.zip", zipped(cups)).run()
    at.button(key="add_zip").click().run()
    assert_sound(at)
    assert at.title[0].value == HOME_TITLE
    assert at.selectbox(key="dataset").value == "cups"
    assert at.query_params["dataset"] == "cups"
    assert "8 photos in 2 classes" in texts(at)
    assert "8 photos added" in at.success[0].value


def test_own_photos_can_be_added_before_the_sample_set_is_drawn(workspace, monkeypatch):
    monkeypatch.setattr(sample, "draw_sample_dataset", _raiser(OSError("disk full")))
    sample.ensure_sample(workspace).thread.join(300)
    at = open_page()
    assert not at.exception
    assert [one for one in at.file_uploader if one.key.startswith("intake_zip")]
