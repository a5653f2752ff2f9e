"""The live view shows the run's exported page; where there is none, it is prepared on request."""

import pytest
from app_helpers import CLASSIFY, assert_sound, finished_run, open_page, texts

from tl_core.export import run_exports
from tl_core.export.model_info import ModelInfo, write_model_info
from tl_core.export.web.folder import PLAYER_FILE
from tl_core.files import write_json
from tl_core.jobs.queue import JobQueue
from ui.classify import live
from ui.shared.job_progress import STARTING

LIVE = {"photo_source": "Live"}


@pytest.fixture
def run(workspace, dataset):
    return finished_run(workspace, dataset, name="pets")


def make_page(run, **changes):
    folder = run_exports.export_folder(run, live.FORMAT)
    folder.mkdir(parents=True)
    write_json(folder / PLAYER_FILE, {})
    info = ModelInfo(
        name="pets", class_names=("cat", "dog"), image_size=(32, 32), resize="squash",
        backbone="tiny", temperature=1.0, tl_core_version="0.1.0", created="2026-11-26", **changes,
    )  # fmt: skip
    write_model_info(folder, info)


def frames(at):
    return [element.proto for element in at.get("iframe")]


def test_it_is_prepared_by_the_worker_and_can_be_stopped(run, workspace):
    at = open_page(CLASSIFY, **LIVE)
    assert_sound(at)
    assert frames(at) == []
    assert live.OFFER in texts(at)
    at.button(key="prepare_live").click().run()
    assert_sound(at)
    (job,) = JobQueue(workspace).jobs()
    assert (job.kind, job.payload["format"]) == ("export", "web")
    assert [bar.proto.text for bar in at.get("progress")] == [f"{live.PREPARING}: {STARTING}"]
    at.button(key="stop_export_web").click().run()
    assert JobQueue(workspace).jobs() == []


def test_a_prepared_page_is_shown_in_a_frame(run):
    make_page(run)
    at = open_page(CLASSIFY, **LIVE)
    assert_sound(at)
    (frame,) = frames(at)
    assert frame.src.startswith("/component/ui.share.web_page.page_")
    assert "/index.html?embed=live&theme=light" in frame.src
    assert "camera images stay on this device" in texts(at)


def test_a_page_with_other_limits_than_the_runs_is_made_again(run, monkeypatch):
    limits = {"target": 0.1, "max_distance": 0.4, "min_probability": 0.5, "false_reject": 0.1}
    make_page(run, rejection=limits)
    info = run_exports.find_export(run, live.FORMAT).info
    now = info.model_copy(update={"rejection": None})
    monkeypatch.setattr(run_exports, "describe_now", lambda run: now)
    at = open_page(CLASSIFY, **LIVE)
    assert frames(at) == []
    assert at.button(key="prepare_live").label == "Prepare the live view"


def test_a_failure_is_told_with_another_try(run):
    failed = run_exports.export_folder(run, live.FORMAT).with_suffix(".failed.json")
    failed.parent.mkdir(parents=True, exist_ok=True)
    write_json(failed, {"reason": "The disk is full."})
    at = open_page(CLASSIFY, **LIVE)
    assert_sound(at)
    assert at.warning[0].value == "The disk is full."
    assert at.button(key="prepare_live")
