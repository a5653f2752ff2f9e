"""The exported page in a real browser: photos, camera, keyboard, heat map, offline."""

import gzip
import hashlib
import itertools
import json
import shutil

import numpy as np
import pytest
from browser_helpers import ANSWER_SECONDS, ARTIFACTS, NO_WORKER, open_page, run_app
from made_export import make_export_run
from PIL import Image
from playwright.sync_api import expect

from benchmarks.web_export import serve
from tl_core.export.card import CARD_FILE
from tl_core.export.exporter import export_run
from tl_core.export.run_exports import export_folder
from tl_core.export.web.folder import PLAYER_FILE
from tl_core.export.web.runtime import FILES, fetch_runtime
from tl_core.export.writers import LITERT_FILE
from tl_core.files import write_text
from tl_core.inference.predict import load_predictor

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

READY = "body[data-state=ready]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"), image_size=(40, 64))


@pytest.fixture(scope="module")
def host(run, tmp_path_factory):
    """Return a folder to serve, with the page in a sub-path."""
    if reason := fetch_runtime(run.workspace.cache_dir):
        pytest.skip(f"The page has no runtime: {reason}.")
    root = tmp_path_factory.mktemp("host")
    (root / "some").mkdir()
    out, cache_dir = root / "some" / "where", run.workspace.cache_dir
    made = export_run(run.run_dir, "web", out, with_examples=True, cache_dir=cache_dir)
    assert made.parity["agrees"]  # its own proof, in the browser that these tests use
    assert made.parity["num_photos"] == 18
    return root


@pytest.fixture(scope="module")
def site(host):
    """Return the address of the page."""
    with serve(host) as url:
        yield f"{url}some/where/"


@pytest.fixture
def page(browser, site):
    """Yield the page, ready, in a window of its own; nothing may go wrong on it."""
    context = browser.new_context(permissions=["camera"], viewport={"width": 1280, "height": 900})
    context.set_default_timeout(ANSWER_SECONDS * 1000)
    page = context.new_page()
    page.requested, page.errors = [], []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(site)
    page.wait_for_selector(READY)
    yield page
    assert page.errors == []
    assert {url.split("/")[2] for url in page.requested if url.startswith("http")} == {
        site.split("/")[2]
    }
    context.close()


def shown(page):
    """Return percentages by class as they stand beside the bars."""
    rows = page.locator("#bars li").all()
    return {
        row.locator(".name").inner_text(): float(row.locator(".percent").inner_text().strip("<>% "))
        for row in rows
    }


def test_the_runtime_is_compressed_and_each_of_its_files_checked(browser, site, host):
    folder = host / "some" / "where"
    player = json.loads((folder / PLAYER_FILE).read_text(encoding="utf-8"))
    total = 0
    for key, file in player["runtime"].items():
        stored = (folder / file["url"]).read_bytes()
        total += len(stored)
        assert len(stored) == file["bytes"]
        assert hashlib.sha256(gzip.decompress(stored)).hexdigest() == FILES[key].sha256
    assert total < 0.35 * sum(file.bytes for file in FILES.values())
    wasm = folder / player["runtime"]["wasm"]["url"]
    stored = wasm.read_bytes()
    context = browser.new_context(service_workers="block")
    try:
        wasm.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))  # the same size
        page = context.new_page()
        held = []
        page.route(f"**/{LITERT_FILE}", lambda route: held.append(route))
        page.goto(site)
        problem = page.locator("#loading-text")
        expect(problem).to_contain_text("litert.wasm.bin could not be loaded")
        with page.expect_event("requestfinished"):  # a file that comes later says nothing else
            held[0].continue_()
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        expect(problem).to_contain_text("litert.wasm.bin could not be loaded")
    finally:
        wasm.write_bytes(stored)
        context.close()


def test_photos_get_the_answers_of_the_app(page, run, tmp_path):
    rng = np.random.default_rng(0)
    source = next((run.data_dir / "dog").iterdir())
    with Image.open(source) as file:
        picture = file.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.fromarray(rng.integers(0, 2, picture.size[::-1], dtype=np.uint8) * 255))
    paths = {name: tmp_path / name for name in ("plain.png", "turned.png", "alpha.png", "grey.png")}
    picture.save(paths["plain.png"])
    picture.save(paths["turned.png"], exif=exif)
    alpha.save(paths["alpha.png"])
    picture.convert("L").resize((700, 500)).save(paths["grey.png"])
    predictor = load_predictor(run.run_dir, run.workspace.cache_dir)
    for path in paths.values():
        page.set_input_files("#files", path)
        expect(page.locator("#photo")).to_have_attribute("alt", path.name)
        expect(page.locator(".tile[aria-current] .tile-answer")).not_to_be_empty()
        page.wait_for_timeout(100)
        expected = predictor.predict([path])[0].probabilities
        got = shown(page)
        for name, probability in zip(run.class_names, expected, strict=True):
            assert got[name] == pytest.approx(
                100 * probability, abs=0.6
            )  # 16-bit weights, (path.name, name)


def test_a_bad_file_says_so_and_disturbs_no_other(page, tmp_path):
    bad, good = tmp_path / "bad.jpg", tmp_path / "good.png"
    bad.write_bytes(b"no photo")
    Image.new("RGB", (60, 40), "tomato").save(good)
    page.set_input_files("#files", [bad, good])
    expect(page.locator("#problem")).to_contain_text("cannot be read as a photo")
    expect(page.locator(".tile").first).to_contain_text("Unreadable")
    expect(page.locator(".tile .tile-answer").nth(1)).not_to_be_empty()
    page.locator(".tile").nth(1).click()
    expect(page.locator("#problem")).to_be_hidden()
    expect(page.locator("#result")).to_be_visible()


def test_the_bars_follow_the_camera_and_a_photo_can_be_taken(page):
    page.click("#camera")
    expect(page.locator("#rate")).to_contain_text("answers/s")
    # The fake camera's picture changes all the time.
    expect(page.locator("#bars")).not_to_have_text(page.locator("#bars").text_content())
    num_photos = page.locator(".tile").count()
    page.click("#shoot")
    expect(page.locator(".tile")).to_have_count(num_photos + 1)
    expect(page.locator("#video")).to_be_hidden()
    page.click("#camera")
    expect(page.locator("#video")).to_be_visible()
    page.click("#stop")
    expect(page.locator("#photo")).to_be_visible()


def test_escape_stops_the_camera(page):
    page.click("#camera")
    expect(page.locator("#rate")).to_contain_text("answers/s")
    page.keyboard.press("Escape")
    expect(page.locator("#video")).to_be_hidden()
    expect(page.locator("#photo")).to_be_visible()


def test_where_it_looked_is_laid_over_the_photo(page):
    heat = page.locator("#heat")
    expect(heat).to_be_hidden()
    page.click("#look")
    expect(heat).to_be_visible()
    script = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
    )
    first = heat.evaluate(f"canvas => [...({script})(canvas)].filter((_, i) => i % 4 === 3)")
    assert max(first) == pytest.approx(153, abs=2)  # the hottest place is opaque to 60 %
    chosen = page.locator(".bar[aria-pressed=true]")
    expect(chosen).to_have_count(1)
    other = page.locator(".bar[aria-pressed=false]").first
    other.click()
    expect(chosen).to_have_count(1)
    page.click("#look")
    expect(heat).to_be_hidden()


def test_a_pasted_photo_is_answered(page):
    count = page.locator(".tile").count()
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(50, 40);
            canvas.getContext("2d").fillRect(0, 0, 30, 30);
            const blob = await canvas.convertToBlob();
            const file = new File([blob], "pasted.png", {type: "image/png"});
            const clipboardData = new DataTransfer();
            clipboardData.items.add(file);
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }"""
    )
    expect(page.locator(".tile")).to_have_count(count + 1)
    expect(page.locator("#photo")).to_have_attribute("alt", "pasted.png")


def test_everything_is_reached_by_keyboard(page):
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.className")
        )
    assert {"skip", "files", "camera", "look", "tile", "bar"} <= set(itertools.chain(reached))
    page.locator(".tile").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile").nth(1)).to_have_attribute("aria-current", "")
    expect(page.locator("#photo")).to_have_attribute("alt", "Example of dog")


def test_it_works_without_its_server_after_the_first_visit(browser, host):
    context = browser.new_context()
    page = context.new_page()
    with serve(host) as url:
        page.goto(f"{url}some/where/")
        expect(page.locator("#offline")).to_contain_text("offline")
    page.goto(f"{url}some/where/index.html")  # the server is gone
    page.wait_for_selector(READY)
    expect(page.locator("#verdict")).not_to_be_empty()
    expect(page.locator(".tile img").first).to_have_js_property("complete", True)
    context.close()


def test_the_page_is_not_allowed_to_send_anything(page, site):
    attempt = """async () => {
        let refused = "";
        document.addEventListener("securitypolicyviolation", event => refused = event.blockedURI);
        await fetch("http://127.0.0.1:9/", {method: "POST", body: "photo"}).catch(() => {});
        await new Promise(resolve => setTimeout(resolve, 50));
        return refused;
    }"""
    assert page.evaluate(attempt).startswith("http://127.0.0.1:9")
    # The worker, which sees the photos, inherits that policy because it starts from a blob.
    assert all(worker.url.startswith("blob:") for worker in page.workers)
    assert page.workers


def test_only_a_space_may_load_from_its_hosts_storage(page, browser, host):
    policy = "document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
    assert "connect-src 'self' blob:;" in page.evaluate(policy)
    folder = host / "some" / "where"
    context = browser.new_context()
    context.route(
        "https://me-pets.static.hf.space/**",
        lambda route: route.fulfill(
            path=folder / (route.request.url.split("/", 3)[3] or "index.html")
        ),
    )
    space = context.new_page()
    space.goto("https://me-pets.static.hf.space/")
    assert "connect-src https://*.hf.co https://*.huggingface.co 'self' blob:;" in space.evaluate(
        policy
    )
    context.close()


def test_the_folder_is_a_static_space_with_a_model_card(host):
    folder = host / "some" / "where"
    card = (folder / "README.md").read_text(encoding="utf-8")
    head = card.split("---")[1]
    assert "sdk: static" in head
    assert "app_file: index.html" in head
    assert "pipeline_tag" not in head
    assert "The page applies both limits." in card
    assert not (folder / "predict.py").exists()


def test_the_model_card_and_the_promise_stand_on_the_page(page, run):
    expect(page.locator("#about")).to_contain_text("By class")
    expect(page.locator("#about")).to_contain_text("Accuracy")
    for name in run.class_names:
        expect(page.locator("#about table").first).to_contain_text(name)
    expect(page.locator("body")).to_contain_text("Photos never leave this device.")


def test_in_a_frame_it_is_the_player_alone_with_the_camera_on(browser, site):
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(f"{site}?embed=live&theme=dark")
    expect(page.locator("#rate")).to_contain_text("answers/s")
    for hidden in ("header", "footer", "#about"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator("body")).to_have_css("background-color", "rgb(18, 22, 21)")
    context.close()


def test_the_studio_shows_it_live(browser, run, host):
    shutil.copytree(host / "some" / "where", export_folder(run, "web"))
    with run_app(run.workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Classify?run={run.id}")
        page.get_by_text("Live", exact=True).click()
        frame = page.frame_locator("iframe[title='Live camera and its answers']")
        expect(frame.locator("#rate")).to_contain_text("answers/s")
        expect(frame.locator("#bars li")).to_have_count(3)
        page.wait_for_timeout(1000)
        page.screenshot(path=ARTIFACTS / "classify_live.png", full_page=True)
        page.context.close()


def test_a_wide_table_of_the_model_card_scrolls_in_place(browser, run, host):
    folder = export_folder(run, "web-int8")
    shutil.copytree(host / "some" / "where", folder)
    names = [f"class {number}" for number in range(12)]
    table = "\n".join(f"|{'|'.join(cells)}|" for cells in (names, ["---"] * 12, ["1"] * 12))
    write_text(folder / CARD_FILE, f"# Pets\n\n{table}\n")
    with run_app(run.workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Share?run={run.id}", 480)
        page.get_by_text("Model card", exact=True).last.click()
        table = page.locator("[data-testid=stMarkdownContainer] table").last
        expect(table).to_be_visible()
        inside, width = table.evaluate("table => [table.scrollWidth, table.clientWidth]")
        assert inside > width
        assert table.bounding_box()["x"] + width < 480
        page.context.close()


@pytest.mark.parametrize("width", [480, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_at_any_width(browser, site, width, theme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto(site)
    page.wait_for_selector(READY)
    page.click("#look")
    expect(page.locator("#heat")).to_be_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    if width == 480:  # the answer is seen without scrolling
        assert page.locator("#bars li").first.bounding_box()["y"] < 900
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"web_{width}_{theme}.png", full_page=True)
    context.close()
