import json
import shutil
from dataclasses import replace

import pytest
from app_helpers import DATA, assert_sound, open_page, sample_folder, texts, unescaped
from PIL import Image

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.overview import look
from tl_core.config.training import TrainConfig
from tl_core.data.audit.audit import audit_dataset
from tl_core.data.curation.store import (
    Decision,
    Decisions,
    edit_decisions,
    load_dataset,
    load_decisions,
)
from tl_core.data.dataset import Finding, scan_dataset
from tl_core.features.spec import FeatureSpec
from tl_core.files import read_json, write_json
from tl_core.jobs.queue import JobQueue
from ui.data.export import NO_NAME
from ui.data.findings import ALL_CLEAR, DONE, EXCLUDE, EXCLUDED, FILES_CLEAR
from ui.datasets.dataset_view import ensure_audit
from ui.datasets.finding_items import LABELS, NOT_CHECKED

FINDINGS = {"data_tabs": "Findings"}


@pytest.fixture
def dataset(workspace, make_dataset):
    """Return 12 cats and 12 dogs, two doubles of cats, one photo in both, two black ones."""
    folder = make_dataset({"cat": 12, "dog": 12}, sample_folder(workspace), size=(80, 64))
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "again_0.png")
    shutil.copy(folder / "cat" / "1.png", folder / "cat" / "again_1.png")
    shutil.copy(folder / "cat" / "2.png", folder / "dog" / "also_2.png")
    for shade in (0, 9):
        Image.new("RGB", (80, 64), (shade, 0, 0)).save(folder / "dog" / f"black_{shade}.png")
    look(scan_dataset(folder), workspace.cache_dir)
    return folder


def test_an_audit_by_an_older_version_is_made_anew(workspace, dataset):
    files = ExploreFiles(workspace.cache_dir, scan_dataset(dataset))
    stored = read_json(files.dir / "audit.json")
    write_json(files.dir / "audit.json", {**stored, "by": {"version": 0}})
    assert files.read_audit() is None
    looking = ensure_audit(workspace, scan_dataset(dataset))
    looking.thread.join(300)
    assert files.read_audit() is not None
    assert ensure_audit(workspace, scan_dataset(dataset)) is None


def button(at, start):
    return next(one for one in at.button if (one.key or "").startswith(start))


def titles(at):
    return "\n".join(expander.label for expander in at.expander)


def opened(kind_start):
    """Return the page with all findings of a kind unfolded: their expanders' keys begin so."""
    at = open_page(DATA, **FINDINGS)
    keys = [one.key for one in at.expander if (one.key or "").startswith(f"finding_{kind_start}")]
    for key in keys:
        at.session_state[key] = True
    at.run()
    assert_sound(at)
    return at


def held(workspace, dataset):
    return {
        path: one.class_name or one.action
        for path, one in load_decisions(workspace, dataset).current.items()
    }


def test_findings_are_listed_and_counted_in_the_sidebar(workspace, dataset):
    at = open_page(DATA, **FINDINGS)
    assert_sound(at)
    told = titles(at)
    assert "1 photo lies in two classes" in told
    assert "2 duplicates" in told
    assert "2 photos are very dark" in told
    (line,) = [one.value for one in at.sidebar.caption if "Findings:" in one.value]
    assert ":material/error:] 1" in line
    num_warnings = sum(":material/warning:" in one.label for one in at.expander)
    assert f":material/warning:] {num_warnings}" in line


def test_fix_all_of_a_kind_excludes_the_copies_and_keeps_one_of_each(workspace, dataset):
    at = opened("duplicate")
    button(at, "fix_all_duplicate").click().run()
    assert_sound(at)
    assert len(held(workspace, dataset)) == 2
    assert load_dataset(dataset, workspace).class_counts() == {"cat": 12, "dog": 15}
    assert "duplicates" in next(one.value for one in at.caption if "Resolved" in one.value)


def test_one_group_alone_can_be_settled(workspace, dataset):
    at = opened("duplicate")
    button(at, "fix_duplicate").click().run()
    assert_sound(at)
    assert len(held(workspace, dataset)) == 1


def test_a_photo_in_two_classes_stays_in_the_one_that_is_named(workspace, dataset):
    at = opened("two_classes")
    button(at, "keep_cat_two_classes").click().run()
    assert_sound(at)
    assert held(workspace, dataset) == {"dog/also_2.png": "exclude"}
    assert "two classes" not in titles(at)


def test_ignored_findings_stay_away_and_undo_brings_them_again(workspace, dataset):
    at = opened("dark")
    button(at, "ignore_all_dark").click().run()
    assert_sound(at)
    assert "very dark" not in titles(at)
    assert held(workspace, dataset) == {}
    at.button(key="findings_undo").click().run()
    assert "very dark" in titles(at)


def test_ignoring_does_not_undo_what_was_decided_otherwise(workspace, dataset):
    at = opened("dark")
    button(at, "fix_dark").click().run()
    assert len(held(workspace, dataset)) == 1
    button(at, "ignore_all_dark").click().run()
    assert_sound(at)
    assert len(held(workspace, dataset)) == 1


def test_a_photo_replaced_since_it_was_decided_about_is_a_finding_until_it_is_settled(
    workspace, dataset
):
    at = opened("dark")
    button(at, "fix_all_dark").click().run()
    assert_sound(at)
    (dataset / "dog" / "black_0.png").unlink()
    Image.new("RGB", (80, 64), (3, 0, 0)).save(dataset / "dog" / "black_0.png")
    look(scan_dataset(dataset), workspace.cache_dir)
    at = opened("stale_decisions")
    assert "1 decision is ignored: its file has changed" in titles(at).replace("\\", "")
    assert "very dark" in titles(at)
    button(at, "ignore_all_stale").click().run()
    assert_sound(at)
    assert "its file has changed" not in titles(at)
    assert held(workspace, dataset) == {"dog/black_9.png": "exclude"}


def test_files_that_cannot_be_read_are_removed_from_a_project_of_the_workspace(workspace, dataset):
    (dataset / "cat" / "broken.png").write_bytes(b"no image")
    at = opened("unreadable")
    button(at, "remove_all_unreadable").click().run()
    assert_sound(at)
    assert not (dataset / "cat" / "broken.png").exists()
    assert "cannot be read" not in titles(at)


def test_imbalance_is_judged_under_the_decisions(workspace, make_dataset):
    folder = make_dataset({"cat": 12, "dog": 12}, sample_folder(workspace), size=(80, 64))
    look(scan_dataset(folder), workspace.cache_dir)
    at = open_page(DATA, gallery_class="dog", gallery_search="1")
    at.button(key="gallery_tick_all").click().run()
    at.button(key="gallery_exclude").click().run()  # 1, 10 and 11 of 12
    at = open_page(DATA, **FINDINGS)
    assert "very few different photos: 'dog' 9" in titles(at).replace("\\", "")


def test_decisions_are_saved_and_loaded(workspace, dataset):
    at = opened("duplicate")
    button(at, "fix_all_duplicate").click().run()
    stored = load_decisions(workspace, dataset).to_json()
    before = held(workspace, dataset)
    at.button(key="findings_undo").click().run()
    assert held(workspace, dataset) == {}
    at.file_uploader(key="import_decisions_0").upload("mine.json", stored.encode()).run()
    at.button(key="import_now").click().run()
    assert_sound(at)
    assert held(workspace, dataset) == before


def test_a_file_of_something_else_is_refused_in_words(workspace, dataset):
    at = open_page(DATA, **FINDINGS)
    text = json.dumps({"schema": 99}).encode()
    at.file_uploader(key="import_decisions_0").upload("other.json", text).run()
    at.button(key="import_now").click().run()
    assert "Expected decisions as this studio exports them" in at.error[0].value


def test_a_cleaned_copy_is_a_folder_whatever_its_name_ends_in(workspace, dataset):
    at = open_page(DATA, **FINDINGS)
    next(one for one in at.text_input if one.key.startswith("copy_name")).set_value("mine.ZIP")
    at.button(key="copy_now").click().run()
    assert_sound(at)
    assert scan_dataset(workspace.datasets_dir / "mine").num_images == 29
    assert at.session_state["dataset"] == "mine"


def test_loaded_decisions_that_leave_one_class_are_refused_in_words(workspace, dataset):
    cats = [record for record in scan_dataset(dataset).records if record.path.startswith("cat")]
    out = [Decision(record.path, record.sha256, "exclude") for record in cats]
    at = open_page(DATA, **FINDINGS)
    stored = Decisions().decide("all out", out).to_json()
    at.file_uploader(key="import_decisions_0").upload("mine.json", stored.encode()).run()
    at.button(key="import_now").click().run()
    assert "That would leave 1 class" in at.error[0].value
    assert held(workspace, dataset) == {}


def test_a_cleaned_copy_becomes_a_dataset_of_its_own(workspace, dataset):
    at = opened("two_classes")
    button(at, "keep_cat_two_classes").click().run()
    at.button(key="copy_now").click().run()
    assert_sound(at)
    copy = workspace.datasets_dir / "sample-cleaned"
    assert scan_dataset(copy).class_counts() == {"cat": 14, "dog": 14}
    assert not (copy / "dog" / "also_2.png").exists()
    assert at.session_state["dataset"] == "sample-cleaned"


def test_a_cleaned_copy_without_a_name_is_answered_in_words(workspace, dataset):
    at = open_page(DATA, **FINDINGS)
    next(one for one in at.text_input if one.key.startswith("copy_name_")).set_value(" ").run()
    at.button(key="copy_now").click().run()
    assert at.error[0].value == NO_NAME
    assert list(workspace.datasets_dir.iterdir()) == [dataset]


def test_a_button_for_all_photos_of_a_finding_does_nothing_once_there_are_others(
    workspace, dataset
):
    at = opened("dark")
    stale = button(at, "fix_all_dark")
    record = next(one for one in scan_dataset(dataset).records if "black_0" in one.path)
    step = Decision(record.path, record.sha256, "keep", None, "dark")
    edit_decisions(workspace, dataset, lambda before: before.decide("kept in another tab", [step]))
    stale.click().run()
    assert_sound(at)
    assert held(workspace, dataset) == {}


@pytest.fixture
def clean_dataset(workspace, make_dataset):
    folder = make_dataset({"cat": 12, "dog": 12}, sample_folder(workspace), size=(80, 64))
    index = scan_dataset(folder)
    look(index, workspace.cache_dir)
    clear = replace(audit_dataset(index), findings=())
    ExploreFiles(workspace.cache_dir, index).write_audit(clear, has_features=False)
    return folder


def features_of(workspace, folder, **settings):
    spec = FeatureSpec.from_config(TrainConfig(**settings))
    return ExploreFiles(workspace.cache_dir, scan_dataset(folder), spec)


def test_without_the_check_of_the_labels_there_is_no_all_clear(workspace, clean_dataset):
    at = open_page(DATA, **FINDINGS)
    assert_sound(at)
    told = texts(at)
    assert FILES_CLEAR in told
    assert ALL_CLEAR not in told
    assert "none open" not in told
    assert f"{LABELS}: {NOT_CHECKED}" in told
    assert f"{LABELS}: {NOT_CHECKED}" in "\n".join(one.value for one in at.sidebar.caption)


def test_a_check_of_the_labels_that_failed_says_why_and_gives_no_all_clear(
    workspace, clean_dataset
):
    features_of(workspace, clean_dataset).write_failure("explore", "There is no network.")
    at = open_page(DATA, **FINDINGS)
    assert_sound(at)
    assert ALL_CLEAR not in texts(at)
    assert f"{LABELS}: could not be checked: There is no network" in texts(at)


def test_when_the_chosen_backbone_cannot_be_used_the_labels_are_checked_with_the_default_one(
    workspace, clean_dataset
):
    choice = {"train.backbone": "ResNet50"}
    failed = features_of(workspace, clean_dataset, backbone="ResNet50")
    failed.write_failure("explore", "It could not be downloaded.")
    at = open_page(DATA, **FINDINGS, **choice)
    assert_sound(at)
    asked = [job.payload["config"]["backbone"] for job in jobs(workspace, "explore")]
    assert asked == [TrainConfig().backbone]
    audit = replace(audit_dataset(scan_dataset(clean_dataset)), findings=())
    features_of(workspace, clean_dataset).write_audit(audit, has_features=True)
    at = open_page(DATA, **FINDINGS, **choice)
    assert ALL_CLEAR in texts(at)
    assert "ResNet50 could not be used. It could not be downloaded" in unescaped(texts(at))
    at.button(key="retry_backbone").click().run()
    assert_sound(at)
    assert failed.read_failure("explore") is None
    assert "ResNet50" in [job.payload["config"]["backbone"] for job in jobs(workspace, "explore")]


def jobs(workspace, kind):
    return [job for job in JobQueue(workspace).jobs() if job.kind == kind]


def test_a_doubted_label_can_be_any_class_and_the_list_stays_in_its_places(workspace, make_dataset):
    names = {"cat": 12, "dog": 12, "fox": 12}
    folder = make_dataset(names, sample_folder(workspace), size=(80, 64))
    index = scan_dataset(folder)
    look(index, workspace.cache_dir)
    paths = ("cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png")
    doubted = Finding("wrong_label", "warning", "", paths, "relabel", paths, "dog")
    found = replace(audit_dataset(index), findings=(doubted,))
    ExploreFiles(workspace.cache_dir, index).write_audit(found, has_features=False)
    at = opened("wrong_label")
    boxes = [box for box in at.selectbox if (box.key or "").startswith("other_wrong_label")]
    assert [box.options for box in boxes] == [["Exclude", "fox"]] * 4
    boxes[1].set_value("fox").run()
    assert_sound(at)
    assert held(workspace, folder) == {"cat/1.png": "fox"}

    def shown():
        captions = [unescaped(one.value) for one in at.caption]
        return [one for one in captions if one.endswith(".png")]

    assert shown() == [
        "cat: 0.png",
        ":green[:material/check:] fox: 1.png",
        "cat: 2.png",
        "cat: 3.png",
    ]
    boxes = [box for box in at.selectbox if (box.key or "").startswith("other_wrong_label")]
    boxes[1].set_value(EXCLUDE).run()
    assert held(workspace, folder) == {"cat/1.png": "fox", "cat/2.png": "exclude"}
    assert [one.value for one in at.caption if one.value in (DONE, EXCLUDED)] == [DONE, EXCLUDED]
    assert button(at, "fix_all_wrong_label").label == "Move 2 to dog"
