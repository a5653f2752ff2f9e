"""The journey of the first minutes in a real browser: sample set, training, an own photo."""

from __future__ import annotations

import json
import statistics

import pytest
from browser_helpers import (
    ARTIFACTS,
    FEW_PHOTOS,
    Server,
    click,
    fill,
    go_to,
    keep_screenshot,
    new_context,
    open_page,
    run_app,
    settle,
)
from conftest import keep_default_backbone
from playwright.sync_api import Locator, Page, expect

from tl_core.data.sample.dataset import draw_example
from tl_core.runs.store import list_runs
from tl_core.workspace import Workspace
from ui.shared.thumbnails import PAGE_SIZE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

DRAW_SECONDS, TRAIN_SECONDS = 600, 600
MAX_WEB_MEGABYTES = 300

# Resolves with the milliseconds from sending the new value to having all new pictures decoded.
TIME_REDRAW = """count => {
    const images = () => [...document.querySelectorAll('[data-testid=stImage] img')];
    const before = images().map(image => image.src);
    const send = WebSocket.prototype.send;
    let sent = 0;
    WebSocket.prototype.send = function (...what) {
        sent = sent || performance.now();
        return send.apply(this, what);
    };
    window.redrawn = new Promise(resolve => {
        const look = () => {
            const now = images();
            const changed = now.filter((image, place) => image.src !== before[place]).length;
            if (!sent || changed < count || !now.every(image => image.complete)) {
                setTimeout(look, 4);
            } else {
                WebSocket.prototype.send = send;
                resolve(performance.now() - sent);
            }
        };
        look();
    });
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("studio") / "workspace")
    keep_default_backbone(workspace)
    with run_app(workspace, FEW_PHOTOS) as running:
        yield running


@pytest.fixture(scope="module")
def drawn(browser, server: Server) -> Server:
    """The server once its sample set is there."""
    page = open_page(browser, server.url)
    page.locator(".st-key-next_step button").first.wait_for(timeout=DRAW_SECONDS * 1000)
    page.context.close()
    return server


def assert_no_banner(page: Page) -> None:
    assert page.get_by_test_id("stAlertContentError").all_inner_texts() == []
    assert page.get_by_test_id("stException").count() == 0


def number_box(page: Page, label: str) -> Locator:
    return page.get_by_role("spinbutton", name=label)


def keep_figures(**figures: float) -> None:
    path = ARTIFACTS / "figures.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**known, **figures}, indent=2) + "\n", encoding="utf-8")


def test_from_the_sample_set_to_a_classified_photo(browser, server: Server, tmp_path):
    page = open_page(browser, server.url)
    next_step = page.locator(".st-key-next_step button").first
    next_step.wait_for(timeout=DRAW_SECONDS * 1000)
    settle(page)
    assert_no_banner(page)
    keep_screenshot(page, "1_home")

    next_step.click()
    page.wait_for_selector("h1:has-text('Data')")
    settle(page)
    expect(page.get_by_text("photos in 4 classes")).to_be_visible()
    assert page.locator(".st-key-gallery_tiles .tile img").count() == PAGE_SIZE
    assert_no_banner(page)
    keep_screenshot(page, "2_data")

    page.get_by_role("tab", name="Augmentation").click()
    settle(page)
    keep_screenshot(page, "3_augmentation")
    keep_figures(augmentation_redraw_seconds=time_redraws(page))

    click(page, "go_train")
    page.wait_for_selector("h1:has-text('Train')")
    settle(page)
    fill(page, number_box(page, "Epochs"), "5")
    number_box(page, "Epochs").press("Enter")
    settle(page)
    page.locator(".st-key-start_training button").first.click()
    page.locator(".st-key-stop_run button").first.wait_for()
    keep_screenshot(page, "4_train_live")
    page.locator(".st-key-go_classify button").first.wait_for(timeout=TRAIN_SECONDS * 1000)
    settle(page)
    expect(page.get_by_text("photos the model has not seen").first).to_be_visible()
    assert_no_banner(page)
    keep_screenshot(page, "5_train_done")
    (run,) = list_runs(server.workspace.runs_dir)
    assert run.state == "finished"
    assert run.config.epochs == 5

    click(page, "go_classify")
    page.wait_for_selector("h1:has-text('Classify')")
    settle(page)
    page.get_by_text("taco example.jpg").first.wait_for()
    settle(page)
    keep_screenshot(page, "6_classify_examples")
    photo = tmp_path / "my lunch.jpg"
    draw_example("Pizza", seed=11).save(photo)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    page.get_by_text("Upload", exact=True).click()
    settle(page)
    page.locator("input[type=file]").set_input_files([photo, broken])
    page.locator(".st-key-answer_0").wait_for()
    settle(page)
    expect(page.locator(".st-key-answer_0")).to_contain_text("Pizza")
    expect(page.locator(".st-key-answer_0").get_by_test_id("stVegaLiteChart")).to_be_visible()
    expect(page.locator(".st-key-answer_1")).to_contain_text("broken.jpg")
    assert_no_banner(page)
    keep_screenshot(page, "7_classify_upload")
    keep_figures(web_process_megabytes=round(server.megabytes, 1))
    assert server.megabytes < MAX_WEB_MEGABYTES


def time_redraws(page: Page) -> float:
    """Return the median seconds in which the pictures answer a slider."""
    slider = page.get_by_role("slider").first
    slider.focus()
    times = []
    for _ in range(7):
        page.evaluate(TIME_REDRAW, 1)
        slider.press("ArrowRight")
        times.append(page.evaluate("window.redrawn") / 1000)
        settle(page)
    return round(statistics.median(times), 3)


@pytest.fixture(scope="module")
def wide(browser):
    """Return a context for windows of the usual width."""
    context = new_context(browser)
    yield context
    context.close()


@pytest.fixture(scope="module")
def narrow(browser):
    """Return contexts for windows of 480 pixels by theme."""
    contexts = {theme: new_context(browser, 480, theme) for theme in ("light", "dark")}
    yield contexts
    for context in contexts.values():
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("title", ["Home", "Data", "Train", "Classify"])
def test_pages_fit_a_narrow_window_and_ask_no_other_host(narrow, drawn: Server, title, theme):
    address = "" if title == "Home" else title
    asked = []
    page = narrow[theme].new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{drawn.url}/{address}")
    settle(page)
    assert_no_banner(page)
    elsewhere = [url for url in asked if not url.startswith((drawn.url, "data:", "blob:"))]
    assert elsewhere == []
    overflow = page.locator("[data-testid=stMain]").evaluate("e => e.scrollWidth - e.clientWidth")
    assert overflow <= 0
    keep_screenshot(page, f"narrow_{title.lower()}_{theme}")
    page.close()


def test_pictures_are_ticked_by_mouse_and_keyboard(wide, drawn: Server):
    page = open_page(wide, f"{drawn.url}/Data")
    boxes = page.locator(".st-key-gallery_tiles .tile input")
    exclude = page.locator(".st-key-gallery_exclude button").first
    boxes.nth(1).click()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(exclude).to_contain_text("Exclude (3)")
    boxes.nth(6).click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(exclude).to_contain_text("Exclude (5)")

    def ticked() -> list[int]:
        return boxes.evaluate_all("all => all.flatMap((box, place) => box.checked ? [place] : [])")

    assert ticked() == [1, 2, 3, 6, 7]
    page.get_by_test_id("stPaginationNext").click()
    expect(page.get_by_text(f"Photos {PAGE_SIZE + 1} to")).to_be_visible()
    settle(page)
    assert ticked() == []
    page.get_by_test_id("stPaginationPrev").click()
    expect(page.get_by_text("Photos 1 to")).to_be_visible()
    settle(page)
    assert ticked() == [1, 2, 3, 6, 7]
    click(page, "gallery_untick")
    assert ticked() == []
    page.close()


def test_a_picture_is_shown_large_by_mouse_and_keyboard(narrow, drawn: Server):
    page = open_page(narrow["light"], f"{drawn.url}/Data")
    boxes = page.locator(".st-key-gallery_tiles .tile input")
    viewer = page.locator(".st-key-gallery_tiles dialog")
    page.locator(".st-key-gallery_tiles .tile img").nth(1).click()
    expect(viewer).to_be_visible()
    expect(viewer.locator(".note")).to_contain_text(f"2 of {PAGE_SIZE}")
    small = page.locator(".st-key-gallery_tiles .tile img").nth(1).get_attribute("src") or ""
    expect(viewer.locator("img")).not_to_have_attribute("src", small)  # the large one has come
    page.keyboard.press("ArrowRight")
    expect(viewer.locator(".note")).to_contain_text(f"3 of {PAGE_SIZE}")
    viewer.get_by_label("Tick").check()
    page.keyboard.press("ArrowLeft")
    expect(viewer.get_by_label("Tick")).not_to_be_checked()
    page.keyboard.press("ArrowLeft")
    expect(viewer.get_by_role("button", name="Previous picture")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(viewer).not_to_be_visible()
    assert boxes.evaluate_all("all => all.findIndex(box => box.checked)") == 2
    page.keyboard.press("ArrowRight")  # the keyboard is where the view was
    page.keyboard.press("Enter")
    expect(viewer.locator(".note")).to_contain_text(f"2 of {PAGE_SIZE}")
    page.keyboard.press("Escape")
    expect(page.locator(".st-key-gallery_exclude button").first).to_contain_text("Exclude (1)")
    page.close()


def test_shift_and_a_click_between_two_pictures_begins_no_range(wide, drawn: Server):
    page = open_page(wide, f"{drawn.url}/Data")
    boxes = page.locator(".st-key-gallery_tiles .tile input")
    exclude = page.locator(".st-key-gallery_exclude button").first
    boxes.nth(0).click()
    expect(exclude).to_contain_text("Exclude (1)")
    tile = page.locator(".st-key-gallery_tiles .tile").first.bounding_box()
    assert tile is not None
    page.keyboard.down("Shift")
    page.mouse.click(tile["x"] + tile["width"] + 4, tile["y"] + 30)
    page.keyboard.up("Shift")
    boxes.nth(4).click()
    expect(exclude).to_contain_text("Exclude (2)")
    page.close()


def test_what_was_chosen_survives_a_look_at_another_page(wide, drawn: Server):
    page = open_page(wide, f"{drawn.url}/Train")
    fill(page, number_box(page, "Batch size"), "16")
    number_box(page, "Batch size").press("Enter")
    settle(page)
    go_to(page, "Data")
    go_to(page, "Train")
    expect(number_box(page, "Batch size")).to_have_value("16")
    page.close()


def test_a_click_on_a_dot_chooses_the_backbone(wide, drawn: Server):
    page = open_page(wide, f"{drawn.url}/Train")
    page.get_by_text("Backbones", exact=True).click()
    page.locator("path[aria-label*='Backbone: MobileNetV3Small;']").click()
    settle(page)
    expect(page.locator("[class*=st-key-train-backbone-] input")).to_have_value("MobileNetV3Small")
    page.close()
