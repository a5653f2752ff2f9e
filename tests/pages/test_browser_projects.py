"""Two projects side by side in a real browser: nothing of one shows in the other."""

from __future__ import annotations

import zipfile
from urllib.parse import parse_qs, urlsplit

import pytest
from app_helpers import sample_folder
from browser_helpers import click, fill, go_to, open_page, run_app, settle
from conftest import keep_default_backbone
from made_run import CONFIG, make_run
from playwright.sync_api import Page, expect

from tl_core.files import write_json
from tl_core.projects.registry import load_project, project_at
from tl_core.projects.run_names import run_names
from tl_core.runs.files import METRICS_FILE
from tl_core.runs.store import Run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


def assert_sound(page: Page, project: str, run: str | None = None) -> None:
    """Assert which project and run the address names, and that nothing is wrong."""
    settle(page)
    named = parse_qs(urlsplit(page.url).query)
    named.pop("tab", None)
    assert named == {"dataset": [project]} | ({"run": [run]} if run else {})
    for trouble in ("stAlertContentError", "stException"):
        assert page.get_by_test_id(trouble).all_inner_texts() == []


def options(page: Page, key: str) -> list[str]:
    """Return what a select box offers."""
    page.locator(f"[class*=st-key-{key}-] input").click()
    page.wait_for_selector("[role=option]")
    shown = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    settle(page)
    return shown


def pick(page: Page, key: str, title: str) -> None:
    page.locator(f"[class*=st-key-{key}-] input").click()
    page.get_by_role("option", name=title, exact=True).click()
    settle(page)


def with_figures(run: Run, accuracy: float) -> Run:
    figures = {"val_accuracy": accuracy, "val_interval": [accuracy - 0.1, accuracy + 0.05]}
    test = {"test_accuracy": accuracy, "test_interval": figures["val_interval"]}
    write_json(run.run_dir / METRICS_FILE, {**figures, **test, "best_epoch": 0})
    return run


def test_two_projects_stay_apart(browser, workspace, make_dataset, tmp_path, cache_dir):
    make_dataset({"cat": 3, "dog": 3}, sample_folder(workspace))
    jars = make_dataset({"cup": 8, "jar": 8}, tmp_path / "glass")
    leaves = make_dataset({"ash": 8, "elm": 8, "oak": 8}, tmp_path / "leaves")
    with zipfile.ZipFile(tmp_path / "leaves.zip", "w") as archive:
        for path in sorted(leaves.rglob("*.png")):
            archive.write(path, path.relative_to(leaves))
    glass_runs = []
    for number, rate in enumerate((0.001, 0.003), start=1):
        run_dir = workspace.runs_dir / f"2026010{number}-030405_tiny"
        run = make_run(run_dir, jars, cache_dir, CONFIG.updated(learning_rate=rate))
        glass_runs.append(with_figures(run, 0.6 + number / 10))
    glass = project_at(workspace, jars).id

    keep_default_backbone(workspace)
    with run_app(workspace) as server:
        page = open_page(browser, server.url)
        uploader = page.locator("[class*=st-key-intake_zip] input[type=file]")
        uploader.set_input_files(tmp_path / "leaves.zip")
        settle(page)
        click(page, "add_zip")
        assert_sound(page, "leaves")
        assert page.get_by_text("24 photos in 3 classes").count() == 1
        assert page.get_by_text("No run yet").count() == 1
        run_dir = workspace.runs_dir / "20260105-030405_tiny"
        data_dir = load_project(workspace, "leaves").path
        leaf = with_figures(make_run(run_dir, data_dir, cache_dir), 0.9)

        go_to(page, "Train")
        assert_sound(page, "leaves")
        leaf_name = run_names([leaf])[leaf.id]
        assert options(page, "run") == [leaf_name]
        sidebar = page.get_by_test_id("stSidebar")
        expect(sidebar.get_by_text("Last run: 90.0 %")).to_be_visible()

        tab = page.context.new_page()
        tab.goto(f"{server.url}/Train?dataset={glass}")
        assert_sound(tab, glass)
        assert options(tab, "run") == ["lr 0.003", "lr 0.001"]
        expect(tab.get_by_test_id("stSidebar").get_by_text("Last run: 80.0 %")).to_be_visible()
        pick(tab, "run", "lr 0.001")
        assert_sound(tab, glass, glass_runs[0].id)
        for title in ("Evaluate", "Classify", "Train"):
            go_to(tab, title)
            assert_sound(tab, glass, glass_runs[0].id)
            assert tab.locator("[class*=st-key-run-] input").input_value() == "lr 0.001"
        tab.get_by_role("radio", name="Compare").click()
        settle(tab)
        chips = tab.locator("[class*=st-key-compared-] [data-tag]").all_inner_texts()
        assert [chip.strip() for chip in chips] == ["lr 0.001", "lr 0.003"]

        # The first tab is still where it was, and reloads to the same.
        for reload in (False, True):
            if reload:
                page.reload()
            assert_sound(page, "leaves")
            assert options(page, "run") == [leaf_name]

        # All projects are one click away, and a run of another one does not change the project.
        sidebar.get_by_text("Runs of all projects").click()
        settle(page)
        other = f"glass (in {tmp_path}): lr 0.003"
        assert other in options(page, "run")
        pick(page, "run", other)
        assert_sound(page, "leaves", glass_runs[1].id)
        page.reload()
        assert_sound(page, "leaves", glass_runs[1].id)
        assert page.locator("[class*=st-key-run-] input").input_value() == other
        sidebar.get_by_text("Runs of all projects").click()
        settle(page)
        assert_sound(page, "leaves")
        page.go_back()
        assert_sound(page, "leaves", glass_runs[1].id)
        page.go_forward()
        assert_sound(page, "leaves")

        # Another project drops the run that was chosen; Back brings both back.
        pick(tab, "dataset", "leaves")
        assert_sound(tab, "leaves")
        expect(tab.get_by_text("Comparing needs two finished runs.")).to_be_visible()
        tab.get_by_role("radio", name="This run").click()
        settle(tab)
        assert tab.locator("[class*=st-key-run-] input").input_value() == leaf_name
        tab.go_back()  # to the view before
        assert_sound(tab, "leaves")
        expect(tab.get_by_role("radio", name="Compare")).to_be_checked()
        tab.go_back()
        assert_sound(tab, glass, glass_runs[0].id)

        # One is deleted and taken back; the other does not notice.
        sidebar.get_by_text("Manage project").click()
        page.locator(".st-key-project_delete button").click()
        page.locator(".st-key-project_delete_yes button").click()
        expect(page.locator(".st-key-project_undo button")).to_be_visible()
        assert not (workspace.datasets_dir / "leaves").exists()
        tab.reload()
        assert_sound(tab, glass, glass_runs[0].id)
        click(page, "project_undo")
        assert_sound(page, "leaves")
        assert options(page, "run") == [leaf_name]

        # The box of projects shows another name at once.
        sidebar.get_by_text("Manage project").click()
        name = page.get_by_label("Name of the project")
        fill(page, name, "Autumn")
        name.press("Enter")
        settle(page)
        click(page, "project_rename")
        expect(page.locator("[class*=st-key-dataset-] input")).to_have_value("Autumn")
    with run_app(workspace) as server:
        page = open_page(browser, f"{server.url}/Train?dataset={glass}&run={glass_runs[0].id}")
        assert_sound(page, glass, glass_runs[0].id)
        assert options(page, "run") == ["lr 0.003", "lr 0.001"]
        page.goto(server.url)
        assert_sound(page, "leaves")
