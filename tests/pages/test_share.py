import dataclasses

import pytest
from app_helpers import ROOT, assert_sound, finished_run, open_page, texts

from tl_core.export import formats, run_exports
from tl_core.export.formats import FORMATS
from tl_core.export.model_info import ModelInfo, read_model_info, write_model_info
from tl_core.export.web import runtime
from tl_core.files import write_json, write_text
from tl_core.jobs.queue import JobQueue
from ui.share.formats import (
    FOR_ENGINEERS,
    NO_PHOTOS,
    NOT_OFFERED,
    NOT_REPLACED,
    OUTDATED,
    download_name,
    figures,
)
from ui.shared.job_progress import STOPPING
from ui.shell.sidebar import PAGES

SHARE = "pages/5_Share.py"
PARITY = {
    "num_photos": 60,
    "num_odd_images": 40,
    "top1_agreement": 0.99,
    "max_difference": 0.0213,
    "mean_difference": 0.00123,
    "images_per_second": 81.7,
    "accuracy": 0.9,
    "app_accuracy": 0.9125,
    "drop": 0.0125,
    "drop_interval": [-0.01, 0.035],
}


@pytest.fixture
def run(workspace, dataset):
    return finished_run(workspace, dataset, name="Pets: first/try")


def make_export(run, name, parity=PARITY):
    folder = run_exports.export_folder(run, name)
    folder.mkdir(parents=True)
    write_text(folder / "README.md", "---\ntags: x\n---\n\n# Pets\n\nTells cats from dogs.\n")
    write_json(folder / "parity.json", parity)
    info = ModelInfo(
        name="pets", class_names=("cat", "dog"), image_size=(32, 32), resize="squash",
        backbone="tiny", temperature=1.0, tl_core_version="0.1.0", created="2026-11-26",
    )  # fmt: skip
    write_model_info(folder, info)


def test_without_a_model_the_page_leads_to_training(workspace, dataset):
    at = open_page(SHARE)
    assert_sound(at)
    assert at.button(key="empty_state_next").label == "Train a classifier"


def test_the_sidebar_leads_to_every_page():
    pages = {path for path, _, _ in PAGES}
    assert {f"pages/{file.name}" for file in (ROOT / "pages").glob("*.py")} <= pages


def test_every_format_says_what_it_is_for(run):
    at = open_page(SHARE)
    assert_sound(at)
    for row in FORMATS.values():
        assert row.purpose in texts(at)


def test_an_export_is_asked_for_followed_and_stopped(run, workspace):
    at = open_page(SHARE)
    at.button(key="export_litert").click().run()
    assert_sound(at)
    (job,) = JobQueue(workspace).jobs()
    assert (job.kind, job.payload["format"]) == ("export", "litert")
    at.button(key="stop_export_litert").click().run()
    assert JobQueue(workspace).jobs() == []
    assert at.button(key="export_litert").label == "Export"


def test_an_export_that_is_being_stopped_says_so_and_is_stopped_once(run, workspace):
    at = open_page(SHARE)
    at.button(key="export_litert").click().run()
    JobQueue(workspace).take()
    at.run()
    at.button(key="stop_export_litert").click().run()
    assert_sound(at)
    (bar,) = at.get("progress")
    assert bar.proto.text == f"Export: {STOPPING}"
    assert at.button(key="stop_export_litert").disabled


def test_photos_go_into_a_page_only_when_asked_for(run, workspace):
    at = open_page(SHARE)
    assert {box.key for box in at.checkbox} == {
        "examples_web",
        "examples_web-int8",
        "examples_streamlit",
    }
    assert not at.checkbox(key="examples_web").value
    at.button(key="export_web-int8").click().run()
    at.checkbox(key="examples_web").check().run()
    at.button(key="export_web").click().run()
    assert_sound(at)
    asked = {
        job.payload["format"]: job.payload.get("examples") for job in JobQueue(workspace).jobs()
    }
    assert asked == {"web-int8": None, "web": True}
    at.button(key="stop_export_web").click().run()
    assert [job.payload["format"] for job in JobQueue(workspace).jobs()] == ["web-int8"]


def test_a_page_says_whether_it_holds_photos(run):
    make_export(run, "web")
    assert NO_PHOTOS in figures(run_exports.find_export(run, "web"))
    examples = run_exports.export_folder(run, "web") / "examples"
    examples.mkdir()
    for number in range(2):
        write_text(examples / f"{number}.jpg", "photo")
    write_model_info(examples.parent, read_model_info(examples.parent))
    line = figures(run_exports.find_export(run, "web"))
    assert "2 test photos inside" in line
    assert NO_PHOTOS not in line


def test_what_people_share_comes_before_the_files_for_engineers(run):
    shown = texts(open_page(SHARE))
    places = [shown.index(f"**{FORMATS[name].title}**") for name in ("web", "bundle", "keras")]
    assert places == sorted(places)
    assert FOR_ENGINEERS[0] in shown


def test_a_page_that_will_load_its_runtime_from_elsewhere_says_so(run, monkeypatch):
    told = "load its runtime (9 MB) from cdn.jsdelivr.net"
    monkeypatch.setattr(runtime.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert told not in texts(open_page(SHARE))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    assert texts(open_page(SHARE)).count(told) == 2  # of both pages
    monkeypatch.setattr(runtime, "cached_runtime", lambda cache_dir: {"core.js": b""})
    assert told not in texts(open_page(SHARE))


def test_a_finished_export_can_be_downloaded_and_shows_its_card(run):
    make_export(run, "litert-int8")
    at = open_page(SHARE)
    assert_sound(at)
    assert "same answer as the app on 99 of 100 images" in texts(at)
    assert "Tells cats from dogs." in texts(at)
    assert "tags: x" not in texts(at)
    labels = [button.proto.label for button in at.main.get("download_button")]
    assert labels == ["Download"]


def test_an_export_stays_while_it_is_made_again_and_after_a_stop(run):
    make_export(run, "litert-int8")
    at = open_page(SHARE)
    at.button(key="export_litert-int8").click().run()
    assert_sound(at)
    assert "same answer as the app on 99 of 100 images" in texts(at)
    assert len(at.main.get("download_button")) == 1
    at.button(key="stop_export_litert-int8").click().run()
    assert at.button(key="export_litert-int8").label == "Export again"
    assert "same answer as the app on 99 of 100 images" in texts(at)
    run_exports.write_failure(run, "litert-int8", "The disk is full.")
    at.run()
    (warning,) = at.warning
    assert warning.value == f"{NOT_REPLACED} The disk is full."


def test_an_export_of_a_model_that_has_changed_since_is_not_offered(run, monkeypatch):
    make_export(run, "litert")
    info = run_exports.find_export(run, "litert").info
    now = info.model_copy(update={"temperature": 2.0})
    monkeypatch.setattr(run_exports, "describe_now", lambda run: now)
    at = open_page(SHARE)
    assert_sound(at)
    assert [warning.value for warning in at.warning] == [OUTDATED]
    assert at.main.get("download_button") == []
    assert at.button(key="export_litert").label == "Export again"


def test_the_figures_of_an_export_are_one_line(run):
    make_export(run, "litert-int8")
    line = figures(run_exports.find_export(run, "litert-int8"))
    assert "probabilities differ by 0.001 on average, at most 0.02" in line
    assert "82 photos a second" in line
    assert "accuracy on these photos: 90.0 %, the app 91.2 %" in line
    assert "(95 % interval of the difference -3.5 to +1.0 points)" in line


def test_a_difference_that_is_hardly_one_has_no_power_of_ten(run):
    make_export(run, "litert", {**PARITY, "max_difference": 6.7e-07})
    assert "probabilities differ by less than 0.0001 ·" in figures(
        run_exports.find_export(run, "litert")
    )


def test_an_export_that_disagrees_is_not_offered_and_says_so(run):
    reason = {"reason": "The model as LiteRT does not agree with the app."}
    write_json(run_exports.export_folder(run, "litert").with_suffix(".failed.json"), reason)
    at = open_page(SHARE)
    (warning,) = at.warning
    assert warning.value.startswith(NOT_OFFERED)
    assert "does not agree" in warning.value
    at.button(key="export_litert").click().run()
    assert not at.warning


def test_a_format_whose_package_is_missing_shows_the_command(run, monkeypatch):
    row = dataclasses.replace(FORMATS["onnx"], packages=("no_such_package",))
    monkeypatch.setitem(formats.FORMATS, "onnx", row)
    at = open_page(SHARE)
    assert_sound(at)
    assert "pip install -e '.[onnx]'" in [code.value for code in at.code]
    assert "export_onnx" not in [button.key for button in at.button]


def test_a_download_has_a_name_that_every_system_takes(run):
    assert download_name(run, FORMATS["onnx"]) == "Pets-first-try-onnx"
