"""A person's own photos from the zip to a corrected and retrained model, in a real browser."""

from __future__ import annotations

import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from app_helpers import sample_folder
from browser_helpers import click, go_to, open_page, run_app, settle
from conftest import keep_default_backbone
from made_photos import as_jpeg, draw_scene
from PIL import Image, ImageDraw
from playwright.sync_api import Page, TimeoutError, expect

from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset
from tl_core.projects.registry import load_project, runs_of
from ui.shared.page_layout import HOME_TITLE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

CLASSES = ("ball", "brick", "cone")
NUM_PHOTOS = 14  # of each class
TRAIN_SECONDS = 600
PROJECT = "toys"


def draw_toy(kind: str, seed: int) -> Image.Image:
    """Draw one of three toys before a scene that no other photo has."""
    photo = draw_scene(seed)
    left, top = 30 + seed * 7 % 40, 15 + seed * 5 % 25
    box = (left, top, left + 70, top + 70)
    draw = ImageDraw.Draw(photo)
    if kind == "ball":
        draw.ellipse(box, fill="crimson", outline="white", width=4)
    elif kind == "brick":
        draw.rectangle(box, fill="royalblue", outline="black", width=4)
    else:
        draw.polygon(
            [(left, top + 70), (left + 35, top), (left + 70, top + 70)],
            fill="gold",
            outline="brown",
        )
    return photo


def choose(page: Page, box: str, option: str) -> None:
    """Choose an option of a select box; a page that is still moving may close its list again."""
    wanted = page.get_by_role("option", name=option, exact=True)
    for _ in range(5):
        page.locator(box).first.click()
        with suppress(TimeoutError):
            wanted.click(timeout=3000)
            return
    raise AssertionError(f"The list of {box} does not stay open.")


def lay_out_toys(folder: Path) -> str:
    """Write the photos, one of them twice, and a ball among the bricks that is a test photo.

    Returns:
        The path of that ball.
    """
    for kind, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(NUM_PHOTOS):
            photo = draw_toy(name, 100 * kind + number)
            (folder / name / f"{name} {number}.jpg").write_bytes(as_jpeg(photo))
    shutil.copy(folder / "cone" / "cone 0.jpg", folder / "cone" / "again.jpg")
    wrong = folder / "brick" / "odd.jpg"
    for seed in range(1000, 1100):
        wrong.write_bytes(as_jpeg(draw_toy("ball", seed)))
        index = scan_dataset(folder)
        chosen = split_dataset(index, TrainConfig()).test
        if "brick/odd.jpg" in {index.records[place].path for place in chosen}:
            return "brick/odd.jpg"
    raise AssertionError("No seed puts the photo into the test part.")


def assert_sound(page: Page, title: str, run: str | None = None) -> None:
    """Assert that the project is still in view, which run is named, and that nothing is wrong."""
    expect(page.locator("h1").first).to_have_text(title)
    settle(page)
    named = parse_qs(urlsplit(page.url).query)
    for tab in named.pop("tab", []):
        chosen = page.get_by_role("tab", name=tab, selected=True, exact=True)
        view = page.get_by_role("radio", name=tab, checked=True, exact=True)
        expect(chosen.or_(view)).to_have_count(1)
    assert named.pop("dataset") == [PROJECT]
    assert named == ({"run": [run]} if run else {})
    shown = page.get_by_test_id("stSidebar").locator("[class*=st-key-dataset-] input").input_value()
    assert shown == PROJECT
    for trouble in ("stAlertContentError", "stException"):
        assert page.get_by_test_id(trouble).all_inner_texts() == []


def test_own_photos_from_the_zip_to_a_corrected_model(browser, workspace, make_dataset, tmp_path):
    make_dataset({"cat": 3, "dog": 3}, sample_folder(workspace))
    wrong = lay_out_toys(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / f"{PROJECT}.zip", "w") as archive:
        for path in sorted((tmp_path / "photos").rglob("*.jpg")):
            archive.write(path, path.relative_to(tmp_path / "photos"))
    home = HOME_TITLE

    keep_default_backbone(workspace)
    with run_app(workspace) as server:
        page = open_page(browser, server.url)
        uploader = page.locator("[class*=st-key-intake_zip] input[type=file]")
        uploader.set_input_files(tmp_path / f"{PROJECT}.zip")
        settle(page)
        click(page, "add_zip")
        assert_sound(page, home)
        click(page, "next_step")
        assert_sound(page, "Data")
        page.get_by_role("tab", name="Findings").click()
        settle(page)
        keep = page.locator("[class*=st-key-ignore_all_duplicate] button").first
        keep.wait_for(timeout=TRAIN_SECONDS * 1000)  # once the photos are checked
        keep.click()
        expect(page.get_by_text("Resolved: duplicates")).to_be_visible()
        assert_sound(page, "Data")

        click(page, "go_train")
        assert_sound(page, "Train")
        page.locator(".st-key-start_training button").first.click()
        evaluate = page.locator(".st-key-go_evaluate button").first
        evaluate.wait_for(timeout=TRAIN_SECONDS * 1000)
        project = load_project(workspace, PROJECT)
        (first,) = runs_of(workspace, project)
        assert_sound(page, "Train", first.id)

        click(page, "go_evaluate")
        assert_sound(page, "Evaluate", first.id)
        page.get_by_role("tab", name="Confusion").click()
        settle(page)
        click(page, "pair_brick_ball")
        expect(page.locator("[class*=st-key-cell_] img").first).to_be_visible()
        page.get_by_role("tab", name="Mistakes").click()
        settle(page)
        card = page.locator("[class*=st-key-card_move_brick]").first
        expect(card).to_contain_text("It is ball")
        card.get_by_role("button").click()
        retrain = page.locator(".st-key-retrain button").first
        retrain.wait_for()
        settle(page)
        assert load_decisions(workspace, project.path).current[wrong].class_name == "ball"
        assert_sound(page, "Evaluate", first.id)
        retrain.click()
        expect(page.get_by_text("Retrained:")).to_be_visible(timeout=TRAIN_SECONDS * 1000)
        second = next(run for run in runs_of(workspace, project) if run.id != first.id)
        assert_sound(page, "Evaluate", second.id)  # the new run is what is shown

        go_to(page, "Train")
        page.get_by_role("radio", name="Compare").click()
        settle(page)
        assert len(page.locator("[class*=st-key-compared-] [data-tag]").all()) == 2
        expect(page.get_by_text("Is the difference more than chance?")).to_be_visible()
        assert_sound(page, "Train", second.id)

        go_to(page, "Classify")
        page.get_by_text("Upload", exact=True).click()
        settle(page)
        photo = tmp_path / "from the garden.jpg"
        photo.write_bytes(as_jpeg(draw_toy("cone", 2000)))
        page.locator("[data-testid=stMain] input[type=file]").set_input_files(photo)
        page.locator(".st-key-answer_0").wait_for()
        settle(page)
        choose(page, "[class*=st-key-wrong_0] input", "cone")
        expect(page.get_by_test_id("stToast").first).to_contain_text("added to cone")
        assert_sound(page, "Classify", second.id)
        assert (project.path / "cone" / photo.name).read_bytes() == photo.read_bytes()

        page.go_back()
        assert_sound(page, "Train", second.id)
        page.go_forward()
        assert_sound(page, "Classify", second.id)
        page.reload()
        assert_sound(page, "Classify", second.id)
        tab = page.context.new_page()
        tab.goto(page.url)
        assert_sound(tab, "Classify", second.id)
        go_to(tab, "Data")
        assert_sound(tab, "Data", second.id)
        assert_sound(page, "Classify", second.id)
        address = urlsplit(page.url)
    with run_app(workspace) as server:
        page = open_page(browser, f"{server.url}{address.path}?{address.query}")
        assert_sound(page, "Classify", second.id)
        assert len(runs_of(workspace, project)) == 2
        page.goto(server.url)
        assert_sound(page, home)
