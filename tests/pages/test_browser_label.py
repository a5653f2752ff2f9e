"""Labelling in a real browser by the keyboard alone: keys, quick ones too, undo, and a reload."""

from __future__ import annotations

import numpy as np
import pytest
from app_helpers import sample_folder
from browser_helpers import NO_WORKER, fill, open_page, run_app
from playwright.sync_api import expect

from tl_core.analysis.labelling import group_photos
from tl_core.analysis.labelling_cache import LabellingFiles
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_decisions
from tl_core.data.dataset import scan_photos
from tl_core.features.spec import FeatureSpec

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_photos_are_labelled_by_keys_and_stay_so(browser, workspace, make_dataset):
    make_dataset({"cat": 3, "dog": 3}, sample_folder(workspace))
    heap = workspace.datasets_dir / "heap"
    made = make_dataset({"any": 8}, workspace.root / "made")
    (made / "any").rename(heap)
    index = scan_photos(heap)
    # Two groups of four, 0 to 3 and 4 to 7, without running a backbone.
    features = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)
    pool = group_photos(index, features + 0.01 * np.arange(8, dtype=np.float32)[:, np.newaxis])
    pool.group_of[:] = [0] * 4 + [1] * 4
    LabellingFiles(workspace, heap, FeatureSpec.from_config(TrainConfig())).write_pool(pool)

    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Data?dataset=heap", width=480)
        page.get_by_role("button", name="Label these photos").click()
        fill(page, page.locator(".st-key-label_new_class input"), "cat, dog")
        page.keyboard.press("Enter")
        photos = page.get_by_label("Photos to label").get_by_role("checkbox")
        expect(photos).to_have_count(4)
        expect(photos.first).to_be_focused()

        page.keyboard.press("Space")  # the first does not belong to the group
        page.keyboard.press("1")
        page.keyboard.press("2")  # before the answer came
        expect(page.get_by_text("4 of 8 photos have a class")).to_be_visible()
        labels = {
            path: one.class_name for path, one in load_decisions(workspace, heap).labels.items()
        }
        assert sorted(labels.values()) == ["cat", "cat", "cat", "dog"]
        assert set(labels) == {"0.png", "1.png", "2.png", "3.png"}

        page.reload()
        page.get_by_role("tab", name="Label").click()
        expect(page.get_by_text("4 of 8 photos have a class")).to_be_visible()
        expect(photos).to_have_count(4)
        page.keyboard.press("u")
        expect(page.get_by_text("3 of 8 photos have a class")).to_be_visible()
        assert page.get_by_test_id("stAlertContentError").all_inner_texts() == []
