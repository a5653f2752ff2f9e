"""Names of files, classes and datasets are shown as they are, and never read as Markdown."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from app_helpers import (
    CLASSIFY,
    DATA,
    ROOT,
    TRAIN,
    assert_sound,
    open_page,
    sample_folder,
    work_at_once,
)
from browser_helpers import go_to, run_app, settle
from browser_helpers import open_page as open_page_in
from conftest import draw_image, keep_default_backbone
from google.protobuf.message import Message
from made_run import make_run
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from tl_core.data.images.images import encode_jpeg
from tl_core.errors import DatasetError
from tl_core.workspace import Workspace
from ui.data.intake.parts import IntakeReport
from ui.data.overview import MEANS
from ui.datasets.picker import dataset_id
from ui.shared import session_keys
from ui.shared.navigation import ADD_TAB, PHOTOS_TAB
from ui.shared.words import plain
from ui.shell import page as bootstrap

EVALUATE = "pages/4_Evaluate.py"
# A browser that read this as Markdown would ask another host for a picture.
PICTURE = "![x](&#47;&#47;127.0.0.1:9&#47;p.png)"
FOLDER, LINK = f"set {PICTURE}", "`www.example.com` *me@example.com*"
REPORT = IntakeReport(f"datasets/{FOLDER}", 1, ((PICTURE, "added"),), is_unread=False)
LISTS = ("selectbox", "multiselect", "select_slider")
MARKS = ("![", "&#47;", "`www", "*me", "www.", "@example")
# What a page hands over in these fields is read as Markdown; the fields of others is text.
MARKDOWN_FIELDS = {"body", "label", "help", "caption", "text", "content", "title", "message"}


def test_lists_that_read_no_markdown_show_names_without_escapes() -> None:
    escaped = []
    for path in sorted((ROOT / "ui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(LISTS):
                shown = [one.value for one in node.keywords if one.arg == "format_func"]
                escaped += [f"{path.name}: {node.lineno}" for one in shown if is_escaping(one)]
    assert escaped == []


def is_escaping(function: ast.expr) -> bool:
    return any(
        "plain" in (getattr(one, "id", ""), getattr(one, "attr", "")) for one in ast.walk(function)
    )


@pytest.fixture
def hostile(workspace: Workspace, make_dataset) -> Path:
    """Return a dataset whose own name, classes and files all hold Markdown."""
    make_dataset({"cat": 2, "dog": 2}, sample_folder(workspace))
    data_dir = make_dataset({PICTURE: 8, LINK: 8}, workspace.datasets_dir / FOLDER)
    for path in sorted(data_dir.glob("*/*.png")):
        path.rename(path.with_name(f"{PICTURE}{path.stem}.png"))
    (data_dir / PICTURE / f"{PICTURE}broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    copied = data_dir / PICTURE / f"{PICTURE}0.png"
    (data_dir / LINK / f"copy {PICTURE}.png").write_bytes(copied.read_bytes())
    return data_dir


@pytest.fixture
def run(workspace: Workspace, hostile: Path, cache_dir: Path):
    """Return a run on it that can answer."""
    made = make_run(workspace.runs_dir / "20260102-030405_tiny", hostile, cache_dir)
    shutil.copytree(cache_dir, workspace.cache_dir, dirs_exist_ok=True)  # its backbone is there
    return made


def read_as_markdown(at: AppTest) -> Iterator[tuple[str, str]]:
    """Yield (field, text) of all that the page hands over to be read as Markdown."""
    for node in at._tree:
        proto = getattr(node, "proto", None)
        if isinstance(proto, Message):
            yield from _texts(proto)


def _texts(message: Message) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if isinstance(one, Message):
                yield from _texts(one)
            elif field.name in MARKDOWN_FIELDS and isinstance(one, str):
                yield f"{message.DESCRIPTOR.name}.{field.name}", one


def assert_shown_as_it_is(at: AppTest) -> None:
    """Assert that nothing in the page's Markdown would be more than text to its reader."""
    bare = [(field, re.sub(r"\\.", "", text)) for field, text in read_as_markdown(at)]
    assert [pair for pair in bare if any(mark in pair[1] for mark in MARKS)] == []


def open_hostile(workspace: Workspace, page: str | None, hostile: Path, **session) -> AppTest:
    at = open_page(page, dataset=dataset_id(workspace, hostile), **session)
    assert_sound(at)
    return at


def test_home_shows_names_as_they_are(workspace, hostile):
    at = open_hostile(workspace, None, hostile)
    assert_shown_as_it_is(at)
    assert any(plain(PICTURE) in text for _, text in read_as_markdown(at))


@pytest.mark.parametrize(
    "session",
    [
        {"data_tabs": PHOTOS_TAB, "overview_part": MEANS},
        {"data_tabs": "Findings"},
        {"data_tabs": "Map"},
        {"data_tabs": "Split"},
        {"data_tabs": "Augmentation"},
        {"data_tabs": ADD_TAB, "intake_way": "Photos"},
        {"data_tabs": ADD_TAB, "intake_way": "Classes"},
        {"intake_way": "Camera", "data_tabs": ADD_TAB, "intake_class_camera": PICTURE},
        {"data_tabs": ADD_TAB, session_keys.INTAKE_REPORT: REPORT},
    ],
    ids=lambda session: " ".join(map(str, [*session.values()][:2]))[:30],
)
def test_the_data_page_shows_names_as_they_are(workspace, hostile, session):
    session = {session_keys.SHOTS: [(PICTURE, encode_jpeg(draw_image(0, 0)))], **session}
    assert_shown_as_it_is(open_hostile(workspace, DATA, hostile, **session))


def test_deciding_tells_names_as_they_are(workspace, hostile):
    ticked = {session_keys.PICKED: {f"{LINK}/{PICTURE}1.png"}}
    ticked[session_keys.PICKED_DATASET] = dataset_id(workspace, hostile)
    at = open_hostile(workspace, DATA, hostile, data_tabs=PHOTOS_TAB, **ticked)
    at.selectbox(key="gallery_move_target").set_value(PICTURE).run()
    at.button(key="gallery_move_now").click().run()
    assert at.toast
    assert_shown_as_it_is(at)
    at.button(key="gallery_undo").click().run()
    assert at.toast
    assert_shown_as_it_is(at)


@pytest.mark.parametrize("page", [TRAIN, CLASSIFY])
def test_train_and_classify_show_names_as_they_are(workspace, hostile, run, page):
    assert_shown_as_it_is(open_hostile(workspace, page, hostile))


@pytest.mark.parametrize("tab", ["Summary", "Confusion", "Mistakes", "Trust"])
def test_the_evaluate_page_shows_names_as_they_are(workspace, hostile, run, tab, monkeypatch):
    work_at_once(monkeypatch, "evaluate")
    path = f"{PICTURE}/{PICTURE}1.png"
    at = open_hostile(workspace, EVALUATE, hostile, evaluate_tabs=tab, evaluate_photo=path)
    assert at.tabs
    assert_shown_as_it_is(at)


def test_an_error_shows_names_as_they_are(workspace, hostile, monkeypatch):
    def fail(*args):
        raise DatasetError(f"Expected a folder, received '{PICTURE}'.")

    monkeypatch.setattr(bootstrap, "load_index", fail)
    at = open_page(TRAIN, dataset=dataset_id(workspace, hostile))
    assert [error.value for error in at.error] == [
        plain(f"Expected a folder, received '{PICTURE}'.")
    ]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a&lt;b", r"a\&lt;b"),
        ("**bold** `code` <b>", r"\*\*bold\*\* \`code\` \<b\>"),
        (":red[x] $x$", r"\:red\[x\] \$x\$"),
        ("1. pizza", r"1\. pizza"),
        ("cat 1.2.png", "cat 1.2.png"),
        ("www.example.com.jpg", "www\u2060.example.com.jpg"),
        ("WWW.example.com", "WWW\u2060.example.com"),
        ("me@2x.png", "me@\u20602x.png"),
    ],
)
def test_plain_text_says_nothing_to_a_reader_of_markdown(name, written):
    assert plain(name) == written


@pytest.mark.browser
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("run")
def test_names_make_the_browser_ask_no_other_host(browser, workspace, hostile):
    asked: list[str] = []
    keep_default_backbone(workspace)
    with run_app(workspace) as server:
        query = urlencode({"dataset": hostile.name})
        page = open_page_in(browser, f"{server.url}/?{query}")
        page.context.on("request", lambda request: asked.append(request.url))
        page.reload()
        settle(page)
        expect(page.get_by_text(PICTURE).first).to_be_visible()
        for title in ("Data", "Train", "Classify", "Evaluate"):
            go_to(page, title)
            for tab in page.get_by_role("tab").all():
                tab.click()
                settle(page)
            assert page.get_by_test_id("stAlertContentError").all_inner_texts() == []
            assert page.locator("[data-testid=stMain] a[href*='example.com']").count() == 0
    hosts = {urlsplit(url).netloc for url in asked if url.startswith("http")}
    assert hosts == {urlsplit(server.url).netloc}
