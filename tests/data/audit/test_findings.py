"""What cannot be read, and classes without a folder, among the findings of the Data page."""

import pytest
from app_helpers import DATA, assert_sound, open_page, sample_folder, texts
from PIL import Image

from tl_core.data.curation.store import Decision, Decisions, edit_decisions, load_decisions
from tl_core.data.dataset import scan_dataset


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 6, "dog": 6}, sample_folder(workspace))


def opened(kind):
    """Return the page with the findings of a kind unfolded."""
    at = open_page(DATA, data_tabs="Findings")
    for one in at.expander:
        if (one.key or "").startswith(f"finding_{kind}"):
            at.session_state[one.key] = True
    at.run()
    assert_sound(at)
    return at


def titles(at):
    return "\n".join(expander.label for expander in at.expander)


def test_files_that_fail_alike_are_one_finding_with_the_reason_of_each(dataset, monkeypatch):
    monkeypatch.setattr("tl_core.data.images.decode.MAX_MEGAPIXELS", 0.01)
    for side in (200, 300):
        Image.new("RGB", (side, 100)).save(dataset / "cat" / f"wide_{side}.png")
    (dataset / "cat" / "empty.png").write_bytes(b"")
    found = [one for one in scan_dataset(dataset).findings if one.kind == "unreadable"]
    by_paths = {one.paths: one for one in found}
    assert set(by_paths) == {("cat/wide_200.png", "cat/wide_300.png"), ("cat/empty.png",)}
    large = by_paths["cat/wide_200.png", "cat/wide_300.png"]
    told = "2 files cannot be read as images. The first, 'cat/wide_200.png': It has "
    assert large.message.startswith(told)
    assert "200 x 100" in large.reasons[0]
    assert "300 x 100" in large.reasons[1]


def test_files_that_cannot_be_read_are_listed_with_their_reasons_and_can_be_settled(
    workspace, dataset
):
    for name in ("a", "b"):
        (dataset / "cat" / f"{name}.png").write_bytes(b"")
    at = opened("unreadable")
    assert "2 files cannot be read as images" in titles(at)
    listed = at.dataframe[0].value
    assert listed["File"].tolist() == ["cat/a.png", "cat/b.png"]
    assert all("The file is empty" in reason for reason in listed["Why"])
    next(one for one in at.button if one.key.startswith("ignore_all_unreadable")).click().run()
    assert_sound(at)
    assert "cannot be read" not in titles(at)
    assert "Resolved: files that cannot be read" in texts(at)
    assert load_decisions(workspace, dataset).current == {}
    at.button(key="findings_undo").click().run()
    assert "2 files cannot be read as images" in titles(at)


def test_a_small_class_made_by_moving_says_where_its_pictures_are(workspace, dataset):
    record = scan_dataset(dataset).records[0]
    moved = Decision(record.path, record.sha256, "relabel", "emu")
    edit_decisions(workspace, dataset, lambda _: Decisions().decide("moved", [moved]))
    at = opened("small_class")
    assert "'emu' 1" in titles(at)
    assert "See them under *Photos*." in texts(at)
