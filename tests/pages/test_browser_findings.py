"""Findings in a real browser: what stands in the boxes of the tiles can be read whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from app_helpers import sample_folder
from browser_helpers import NO_WORKER, open_page, run_app, settle
from playwright.sync_api import expect

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.overview import look
from tl_core.data.audit.audit import audit_dataset
from tl_core.data.dataset import Finding, scan_dataset
from ui.data.findings import OTHERWISE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

WINDOW_WIDTHS = (480, 720, 1000, 1280, 1600)  # pixels
# The pixels that remain beside the placeholder of an input; less than none when it is cut.
ROOM = """input => {
    const style = getComputedStyle(input);
    const context = document.createElement('canvas').getContext('2d');
    context.font = style.font;
    const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    return input.clientWidth - padding - context.measureText(input.placeholder).width;
}"""


def test_the_choice_below_a_doubted_label_can_be_read_whole(browser, workspace, make_dataset):
    folder = make_dataset({"cat": 8, "dog": 8, "fox": 8}, sample_folder(workspace), size=(80, 64))
    index = scan_dataset(folder)
    look(index, workspace.cache_dir)
    paths = tuple(f"cat/{number}.png" for number in range(6))
    doubted = Finding("wrong_label", "warning", "", paths, "relabel", paths, "dog")
    found = replace(audit_dataset(index), findings=(doubted,))
    ExploreFiles(workspace.cache_dir, index).write_audit(found, has_features=False)
    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Data?tab=Findings")
        boxes = page.get_by_role("combobox", name=OTHERWISE)
        expect(boxes).to_have_count(len(paths))
        expect(boxes.first).to_have_attribute("placeholder", OTHERWISE)
        for width in WINDOW_WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            settle(page)
            assert min(boxes.evaluate_all(f"all => all.map({ROOM})")) >= 0, width
