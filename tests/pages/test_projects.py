"""Pages show what belongs to the project in view, and all projects on request."""

from __future__ import annotations

import io
import shutil

import pytest
from app_helpers import (
    CLASSIFY,
    DATA,
    TRAIN,
    assert_sound,
    finished_run,
    open_page,
    texts,
    unescaped,
)
from demo_helpers import let_in
from made_project import add_search

from tl_core.projects.archive import export_project, import_project
from tl_core.projects.registry import (
    SAMPLE_TITLE,
    load_project,
    open_folder,
    project_at,
    rename_project,
    runs_of,
)
from tl_core.projects.trash import delete_project
from tl_core.runs.files import end_run, update_status
from tl_core.runs.store import archive_run, create_run, delete_run
from tl_core.workspace import Workspace
from ui.datasets.downloads import file_for_download
from ui.runs.picker import EARLY_MODEL
from ui.shared.words import PART_PHOTOS

EVALUATE, SHARE = "pages/4_Evaluate.py", "pages/5_Share.py"


@pytest.fixture
def fruit(workspace, dataset, make_dataset):
    """A second project beside that of the cats and dogs, each with runs."""
    return make_dataset({"cup": 6, "jar": 5}, workspace.datasets_dir / "fruit")


@pytest.fixture
def runs(workspace, dataset, fruit):
    """Two runs of each project by name; those of the second project are newer."""
    made = {}
    for name, data_dir, classes in (
        ("pets", dataset, ("cat", "dog")),
        ("fruit", fruit, ("cup", "jar")),
    ):
        made[f"{name} 256"] = finished_run(workspace, data_dir, class_names=classes)
        made[f"{name} 64"] = finished_run(
            workspace, data_dir, class_names=classes, fc_layers=(64,), test_accuracy=0.7
        )
    return made


def shown_runs(at):
    return list(at.selectbox(key="run").options)


def table(at):
    (frame,) = [one for one in at.dataframe if "Run" in one.value.columns]
    return list(frame.value["Run"])


@pytest.mark.parametrize("page", [TRAIN, CLASSIFY, EVALUATE])
def test_a_page_lists_the_runs_of_the_project_in_view_named_by_what_differs(runs, page):
    for project in ("sample", "fruit"):
        name = "fruit" if project == "fruit" else runs["pets 64"].data_dir.name
        at = open_page(page, dataset=name)
        assert not at.exception
        assert shown_runs(at) == ["64", "256"]


def test_all_projects_are_one_click_away_and_say_whose_a_run_is(workspace, runs):
    rename_project(workspace, load_project(workspace, "fruit"), "Fruit")
    at = open_page(TRAIN, dataset="fruit")
    assert table(at) == ["64", "256"]
    at.toggle(key="all_projects").set_value(True).run()
    assert_sound(at)
    everything = [
        "Fruit: 64",
        "Fruit: 256",
        *(f"{SAMPLE_TITLE}: {name}" for name in ("64", "256")),
    ]
    assert shown_runs(at) == table(at) == everything
    assert at.selectbox(key="dataset").value == "fruit"


def test_the_compared_runs_are_of_the_project_in_view(runs):
    at = open_page(TRAIN, dataset="fruit", train_view="Compare")
    assert_sound(at)
    assert set(at.multiselect(key="compared").value) == {runs["fruit 64"].id, runs["fruit 256"].id}
    at.selectbox(key="dataset").set_value(runs["pets 64"].data_dir.name).run()
    assert_sound(at)
    assert set(at.multiselect(key="compared").value) == {runs["pets 64"].id, runs["pets 256"].id}


def test_another_project_is_shown_without_the_run_chosen_before(runs):
    pets = runs["pets 64"].data_dir.name
    at = open_page(TRAIN, dataset="fruit", run=runs["fruit 256"].id)
    at.selectbox(key="dataset").set_value(pets).run()
    assert_sound(at)
    assert at.query_params == {"dataset": pets}
    assert at.selectbox(key="run").value == runs["pets 64"].id
    assert not at.toggle(key="all_projects").value


def test_an_address_that_names_a_run_of_another_project_shows_it_and_keeps_the_project(runs):
    at = open_page(TRAIN, dataset="fruit", run=runs["pets 256"].id)
    assert_sound(at)
    assert at.selectbox(key="run").value == runs["pets 256"].id
    assert at.selectbox(key="dataset").value == "fruit"
    assert at.toggle(key="all_projects").value

    at.toggle(key="all_projects").set_value(False).run()
    assert_sound(at)
    assert at.query_params == {"dataset": "fruit"}
    assert at.selectbox(key="run").value == runs["fruit 64"].id


def test_a_run_that_is_gone_does_not_list_all_projects(runs):
    delete_run(runs["fruit 256"])
    at = open_page(TRAIN, dataset="fruit", run=runs["fruit 256"].id)
    assert_sound(at)
    assert not at.toggle(key="all_projects").value
    assert shown_runs(at) == [runs["fruit 64"].id] or shown_runs(at) == ["64, lr 0.001, frozen"]


def test_the_figure_in_the_sidebar_is_of_the_project_in_view(workspace, dataset, fruit):
    finished_run(workspace, dataset)
    run = create_run(workspace.runs_dir, finished_run(workspace, fruit).config, fruit)
    end_run(run.run_dir, "failed")
    pets = open_page(DATA, dataset=dataset.name)
    other = open_page(DATA, dataset="fruit")
    assert "Last run: 90.0 %" in "\n".join(one.value for one in pets.sidebar.caption)
    assert "Last run: failed" in "\n".join(one.value for one in other.sidebar.caption)


def killed_run(workspace, data_dir, **settings):
    """Return a run whose process was killed after an epoch, before its test."""
    run = finished_run(workspace, data_dir, test_accuracy=None, **settings)
    update_status(run.run_dir, state="running", pid=None)
    return run


@pytest.mark.parametrize("page", [CLASSIFY, EVALUATE, SHARE])
def test_a_run_that_was_interrupted_answers_only_when_it_is_chosen(workspace, dataset, page):
    finished = finished_run(workspace, dataset, fc_layers=(64,))
    killed = killed_run(workspace, dataset)
    at = open_page(page)
    assert_sound(at)
    assert at.selectbox(key="run").value == finished.id
    assert shown_runs(at) == ["256 (interrupted)", "64"]
    early = EARLY_MODEL.format(state="Interrupted")
    assert early not in texts(at)
    at.selectbox(key="run").set_value(killed.id).run()
    assert not at.exception
    assert at.selectbox(key="run").value == killed.id
    assert early in texts(at)


def test_without_a_finished_run_the_newest_answers_and_says_that_it_ended_early(workspace, dataset):
    end_run(finished_run(workspace, dataset, fc_layers=(64,)).run_dir, "failed")
    killed = killed_run(workspace, dataset)
    at = open_page(SHARE)
    assert_sound(at)
    assert at.selectbox(key="run").value == killed.id
    assert shown_runs(at) == ["256 (interrupted)", "64 (failed)"]
    assert EARLY_MODEL.format(state="Interrupted") in texts(at)


def test_the_figures_in_sidebar_and_cards_say_which_photos_they_are_of(workspace, dataset):
    finished_run(workspace, dataset)
    at = open_page(dataset=dataset.name)
    figure = f"90.0 % (75.5 to 96.8) on {PART_PHOTOS['test']}"
    said = "\n".join(one.value for one in at.sidebar.caption)
    assert f"Last run: {figure}  \n" in said
    assert f"**{figure}**" in texts(at)
    killed_run(workspace, dataset, fc_layers=(64,))
    at = open_page(dataset=dataset.name)
    said = "\n".join(one.value for one in at.sidebar.caption)
    assert f"80.0 % (60.0 to 92.0) on {PART_PHOTOS['val']}, interrupted" in said
    assert f"**{figure}**" in texts(at)  # of the run that Evaluate shows


def test_a_training_of_another_project_says_whose_it_is(workspace, dataset, fruit):
    create_run(workspace.runs_dir, finished_run(workspace, fruit).config, fruit)
    at = open_page(DATA, dataset=dataset.name)
    (bar,) = at.sidebar.get("progress")
    assert "Training in fruit" in bar.proto.text
    (own,) = open_page(DATA, dataset="fruit").sidebar.get("progress")
    assert "Training** " in own.proto.text


def test_home_counts_the_runs_of_the_project_in_view(workspace, dataset, fruit):
    finished_run(workspace, fruit)
    at = open_page(dataset=dataset.name)
    assert "No run yet" in texts(at)
    assert at.button(key="next_step").label == "Look at the photos"
    assert "1 run" in texts(open_page(dataset="fruit"))


def test_a_project_without_runs_beside_one_with_runs_says_so(workspace, dataset, fruit):
    finished_run(workspace, fruit)
    at = open_page(CLASSIFY, dataset=dataset.name)
    assert_sound(at)
    assert "This project has no model yet." in texts(at)
    at.toggle(key="all_projects").set_value(True).run()
    assert len(shown_runs(at)) == 1


def test_archived_runs_of_another_project_are_not_counted(workspace, runs):
    archive_run(runs["pets 64"])
    labels = [one.label for one in open_page(TRAIN, dataset="fruit").toggle]
    assert not [label for label in labels if label.startswith("Show archived")]


def test_searches_are_those_of_the_project_in_view(workspace, dataset, fruit):
    add_search(workspace, fruit)
    own = open_page(TRAIN, dataset="fruit", train_view="Search")
    other = open_page(TRAIN, dataset=dataset.name, train_view="Search")
    for at in (own, other):
        assert not at.exception
    assert "delete_search" in {button.key for button in own.button}
    assert "delete_search" not in {button.key for button in other.button}


def test_a_project_whose_folder_is_missing_stays_and_says_what_to_do(workspace, dataset, runs):
    shutil.move(runs["fruit 64"].data_dir, workspace.root / "moved")
    at = open_page(TRAIN, dataset="fruit")
    assert not at.exception
    assert "is missing" in at.error[0].value
    assert "fruit (folder missing)" in at.selectbox(key="dataset").options
    assert at.query_params["dataset"] == "fruit"


def test_a_project_is_renamed_from_the_sidebar(workspace, dataset, fruit):
    at = open_page(DATA, dataset="fruit")
    at.text_input(key="project_title_fruit").set_value("Our cups").run()
    at.button(key="project_rename").click().run()
    assert_sound(at)
    assert "Our cups" in at.selectbox(key="dataset").options
    assert at.query_params["dataset"] == "fruit"
    assert "Our cups" in at.toast[0].value
    box = at.selectbox(key="dataset").proto
    assert (box.set_value, box.raw_value) == (True, "Our cups")  # else the browser shows the old


def test_a_project_is_not_renamed_to_the_name_of_another(workspace, dataset, fruit):
    taken = load_project(workspace, dataset.name).title
    at = open_page(DATA, dataset="fruit")
    at.text_input(key="project_title_fruit").set_value(taken).run()
    at.button(key="project_rename").click().run()
    assert not at.exception
    (said,) = [unescaped(one.value) for one in at.error]
    assert said == f"Another project is called '{taken}' already. Choose another name."
    assert load_project(workspace, "fruit").title == "fruit"


def test_a_run_that_is_renamed_is_shown_with_its_name_in_the_boxes(workspace, runs):
    run = runs["fruit 64"]
    at = open_page(TRAIN, dataset="fruit", run=run.id)
    before = at.selectbox(key="run").proto.id
    at.text_input(key=f"run_name_{run.id}").set_value("The best").run()
    assert at.selectbox(key="run").proto.id == before  # not replaced without need
    at.button(key="rename_run").click().run()
    assert_sound(at)
    box = at.selectbox(key="run").proto
    assert (box.set_value, box.raw_value) == (True, "The best")


def test_a_box_in_which_another_run_or_project_is_chosen_stays_the_same_box(workspace, runs):
    at = open_page(TRAIN, dataset="fruit", run=runs["fruit 64"].id)
    for key in ("run", "dataset"):
        box = at.selectbox(key=key)
        before, shown = box.proto.id, box.options[box.index]
        box.select(next(one for one in box.options if one != shown)).run()
        assert_sound(at)
        now = at.selectbox(key=key)
        assert now.options[now.index] != shown
        assert now.proto.id == before  # another one would not have the focus of the keyboard


def test_a_project_is_deleted_and_the_deleting_taken_back(workspace, runs, dataset, fruit):
    at = open_page(TRAIN, dataset="fruit")
    at.button(key="project_delete").click().run()
    assert "2 runs" in at.sidebar.warning[0].value
    facts = "Folder fruit · 11 photos · changed just now"
    assert facts in [unescaped(one.value) for one in at.sidebar.caption]
    at.button(key="project_delete_yes").click().run()
    assert_sound(at)
    assert at.selectbox(key="dataset").value == dataset.name
    assert unescaped(at.toast[0].value) == f"'fruit' was deleted. Open now: {SAMPLE_TITLE}"
    assert f"*fruit* was deleted. Open now: *{SAMPLE_TITLE}*." in [
        unescaped(one.value) for one in at.sidebar.caption
    ]
    assert not fruit.exists()
    assert len(shown_runs(at)) == 2
    at.button(key="project_undo").click().run()
    assert_sound(at)
    assert at.selectbox(key="dataset").value == "fruit"
    assert shown_runs(at) == ["64", "256"]
    assert fruit.is_dir()
    assert "project_undo" not in {button.key for button in at.button}


def test_a_deleted_project_is_restored_in_another_session(workspace, dataset, fruit):
    token = delete_project(workspace, load_project(workspace, "fruit")).token
    at = open_page(DATA, dataset=dataset.name)
    at.button(key=f"restore_{token}").click().run()
    assert_sound(at)
    assert at.selectbox(key="dataset").value == "fruit"


def test_a_project_that_trains_is_not_deleted_and_says_why(workspace, dataset, fruit):
    create_run(workspace.runs_dir, finished_run(workspace, fruit).config, fruit)
    at = open_page(DATA, dataset="fruit")
    at.button(key="project_delete").click().run()
    at.button(key="project_delete_yes").click().run()
    assert not at.exception
    assert "under way" in at.sidebar.error[0].value
    assert fruit.is_dir()


def test_an_exported_project_is_imported_beside_the_original(workspace, runs, tmp_path):
    path = tmp_path / "fruit.zip"
    export_project(workspace, load_project(workspace, "fruit"), path)
    at = open_page(DATA, dataset="fruit")
    at.file_uploader(key="project_import_0").upload("fruit.zip", path.read_bytes()).run()
    at.button(key="project_import").click().run()
    assert_sound(at)
    assert at.selectbox(key="dataset").value == "fruit-2"
    assert len(runs_of(workspace, load_project(workspace, "fruit-2"))) == 2


def test_a_zip_that_is_no_project_is_refused_in_words(workspace, dataset):
    at = open_page(DATA)
    at.file_uploader(key="project_import_0").upload("x.zip", b"no zip").run()
    at.button(key="project_import").click().run()
    assert not at.exception
    assert "was not imported" in at.sidebar.error[0].value


def test_a_moved_folder_is_re_linked_from_the_sidebar(workspace, dataset, make_dataset, tmp_path):
    photos = make_dataset({"cup": 6, "jar": 5}, tmp_path / "photos")
    finished_run(workspace, photos)
    project = project_at(workspace, photos)
    moved = photos.rename(tmp_path / "moved")
    at = open_page(TRAIN, dataset=project.id)
    at.text_input(key=f"project_folder_{project.id}").set_value("/etc").run()
    at.button(key="project_relink").click().run()
    assert "Expected a folder inside" in at.sidebar.error[0].value
    at.text_input(key=f"project_folder_{project.id}").set_value(str(moved)).run()
    at.button(key="project_relink").click().run()
    assert_sound(at)
    assert at.query_params["dataset"] == project.id
    assert len(shown_runs(at)) == 1


@pytest.mark.parametrize("mode", ["studio", "demo"])
def test_folders_of_the_machine_are_named_in_studio_mode_only(
    workspace, dataset, make_dataset, tmp_path, monkeypatch, mode
):
    monkeypatch.setenv("TL_MODE", mode)
    let_in(monkeypatch)
    project = open_folder(workspace, make_dataset({"cup": 6, "jar": 5}, tmp_path / "photos"))
    at = open_page(DATA, dataset=project.id)
    keys = {button.key for button in at.button}
    assert ("project_relink" in keys) == (mode == "studio")
    assert "project_relink" not in {button.key for button in open_page(DATA).button}


def test_the_sample_set_says_why_it_cannot_be_deleted(workspace, dataset):
    at = open_page(DATA)
    assert "project_delete" not in {button.key for button in at.button}
    assert "drawn again" in "\n".join(one.value for one in at.sidebar.caption)


def test_the_zip_that_is_offered_is_the_project(workspace, runs, tmp_path):
    (button,) = [
        one
        for one in open_page(DATA, dataset="fruit").get("download_button")
        if "Export as a zip" in one.proto.label
    ]
    assert button is not None
    made = file_for_download(
        workspace,
        "a.zip",
        lambda out: export_project(workspace, load_project(workspace, "fruit"), out),
    )
    data = made.read()
    there = Workspace(tmp_path / "there")
    assert len(runs_of(there, import_project(there, io.BytesIO(data)))) == 2
    assert not list(workspace.cache_dir.glob("tmp*"))
