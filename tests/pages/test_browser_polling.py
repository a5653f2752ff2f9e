"""Parts of a page that poll, when another page was opened meanwhile, in a real browser."""

from __future__ import annotations

import pytest
from app_helpers import sample_folder
from browser_helpers import NO_WORKER, open_page, run_app, settle
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

# A page has been drawn for a while before the server is done with it.
SLOW = """
import time
from streamlit.runtime.fragment import MemoryFragmentStorage
clear = MemoryFragmentStorage.clear
def clear_late(self, *args, **kwargs):
    time.sleep(4)
    clear(self, *args, **kwargs)
MemoryFragmentStorage.clear = clear_late
"""
# Keeps what the browser sends, to send it late, as a browser with much to do does.
KEEP_SENT = """(() => {
    const send = WebSocket.prototype.send;
    window.sent = [];
    WebSocket.prototype.send = function (data) {
        window.sent.push(data);
        window.sendLate = (late) => send.call(this, late);
        return send.call(this, data);
    };
})()"""


def test_a_poll_of_the_page_before_does_not_lead_back(browser, workspace, make_dataset):
    make_dataset({"cat": 8, "dog": 8}, sample_folder(workspace))
    with run_app(workspace, NO_WORKER + SLOW) as server:
        page = open_page(browser, server.url)
        page.add_init_script(KEEP_SENT)
        page.goto(f"{server.url}/Data?tab=Findings")
        expect(page.get_by_text("odd and mislabelled photos")).to_be_visible()
        page.wait_for_function("() => window.sent.length > 6")  # polls
        page.evaluate("window.poll = window.sent.at(-1)")
        page.locator(".st-key-go_train button").first.press("Enter")
        expect(page.locator("h1").first).to_have_text("Train")
        page.evaluate("window.sendLate(window.poll)")
        settle(page)
        expect(page.locator(".st-key-start_training button").first).to_be_visible()
        page.get_by_role("radio", name="Search").click()
        settle(page)
        expect(page.locator("h1").first).to_have_text("Train")
        expect(page.get_by_role("radio", name="Search")).to_be_checked()
        assert page.get_by_test_id("stException").count() == 0


def test_a_message_from_before_a_change_of_tab_does_not_undo_it(browser, workspace, make_dataset):
    make_dataset({"cat": 8, "dog": 8}, sample_folder(workspace))
    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Data")
        page.add_init_script(KEEP_SENT)
        page.goto(f"{server.url}/Data")
        settle(page)
        page.locator(".st-key-gallery_tiles .tile input").first.click()
        settle(page)
        page.evaluate("window.poll = window.sent.at(-1)")
        page.get_by_role("button", name="Similar").first.click()
        on_map = page.get_by_role("tab", name="Map")
        expect(on_map).to_have_attribute("aria-selected", "true")
        settle(page)
        page.evaluate("window.sendLate(window.poll)")
        settle(page)
        expect(on_map).to_have_attribute("aria-selected", "true")
        assert "tab=Map" in page.url
        page.get_by_role(
            "tab", name="Photos", exact=True
        ).click()  # back to what was said before, at once
        settle(page)
        expect(page.locator(".st-key-gallery_tiles")).to_be_visible()
        page.go_back()
        settle(page)
        expect(on_map).to_have_attribute("aria-selected", "true")
