"""What is written for a visitor counts before it is on the disk, and no more when it is gone."""

from contextlib import suppress

import pytest
from demo_helpers import new_visitor, put, start_demo

from tl_core.config.training import AugmentConfig
from tl_core.data.augmentation.presets import list_presets, save_preset
from tl_core.data.curation.edits import Decision
from tl_core.data.curation.store import edit_decisions
from tl_core.errors import LimitError, Stopped
from tl_core.visitors import usage as usage_module
from tl_core.visitors import writing as module
from tl_core.visitors.store import has_own_data, has_place, take_place
from tl_core.visitors.usage import total_usage, usage
from tl_core.visitors.writing import writing
from tl_core.workspace import Workspace

MB = 1_000_000


@pytest.fixture
def mine(monkeypatch, tmp_path):
    """Return a visitor who may have 10 photos and 20 MB, and has one photo and 5 MB."""
    limits = {"photos": 10, "visitor_mb": 20, "all_photos": 12, "disk_mb": 40}
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", **limits))
    put(mine, "datasets/pets/cat/0.jpg", 4_900_000)
    return mine


def test_each_limit_of_a_visitor_is_checked_before_a_file_is_written(mine):
    with writing(mine.datasets_dir / "new") as written:
        written.add(9, 14 * MB)
        with pytest.raises(LimitError, match="allows 10 photos of a visitor; this would be 11"):
            written.add(1)
    with writing(mine.datasets_dir / "new") as written:
        written.add(1, 14 * MB)
        with pytest.raises(LimitError, match=r"allows 20 MB of a visitor.*this would be 20\.9"):
            written.add(1, 2 * MB)


def test_what_is_replaced_or_removed_makes_room(mine):
    with writing(mine.datasets_dir / "new") as written:
        written.add(0, 14 * MB)
        written.add(1, new=3 * MB, old=7 * MB)
        written.add(0, old=1 * MB)
        written.add(1, 5 * MB)
        with pytest.raises(LimitError, match="allows 20 MB of a visitor"):
            written.add(0, 2 * MB)


def test_a_small_file_counts_as_it_does_on_the_disk(mine):
    with writing(mine.datasets_dir / "new") as written:
        for _ in range(8):
            written.add(1, 100)
        written.add(0, new=100, old=200)
        assert written.added.num_bytes == 80_000


@pytest.mark.parametrize("error", [LimitError("full"), Stopped(), KeyboardInterrupt()])
def test_pages_of_a_visitor_that_write_at_once_share_the_limit(mine, error):
    with writing(mine.datasets_dir / "a") as first:
        first.add(5)
        with pytest.raises(type(error)):
            write_beside(mine, first, error)
        first.add(1, 2 * MB)  # the other has removed its files
        with pytest.raises(LimitError, match="allows 10 photos"):
            first.add(2)  # 1 of before, and 5 + 1 + 1 + 1 + 2


def write_beside(mine, first, error):
    """Write in another page of a visitor until there is no room, and end with an error."""
    with writing(mine.datasets_dir / "b") as second:
        second.add(2, 7 * MB)
        place = put(mine, "datasets/.b.tmp/1.jpg", 7 * MB)
        first.add(1, 7 * MB)
        with pytest.raises(LimitError, match="allows 20 MB"):
            first.add(1, 2 * MB)
        place.unlink()
        raise error


def test_photos_that_another_page_has_written_count_until_they_are_kept(mine):
    with writing(mine.datasets_dir / "a") as first:
        first.add(8)
        with pytest.raises(LimitError, match="this would be 11"), writing(mine.datasets_dir) as one:
            one.add(2)


def test_nothing_is_kept_of_those_who_have_ended(mine):
    with writing(mine.datasets_dir / "a") as written:
        written.add(9, 10 * MB)
        put(mine, "datasets/a/cat/1.jpg", 10 * MB)
    assert module._shared == {}
    with (
        pytest.raises(LimitError, match=r"this would be 21\.9"),
        writing(mine.datasets_dir / "b") as written,
    ):
        written.add(1, 7 * MB)
    assert module._shared == {}


def test_the_limits_of_all_visitors_are_checked_too(monkeypatch, mine):
    other = new_visitor(mine.host)
    put(other, "datasets/a/1.jpg", 17 * MB)
    run = put(other, "runs/1", 17 * MB)
    with pytest.raises(LimitError, match=r"allows 40 MB of all visitors; this would be 40\.9"):
        write_another(monkeypatch, mine, 1, 2 * MB)
    run.unlink()
    for number in range(2, 6):
        put(other, f"datasets/a/{number}.jpg", 10)
    with pytest.raises(LimitError, match="allows 12 photos of all visitors; this would be 13"):
        write_another(monkeypatch, mine, 7)
    write_another(monkeypatch, mine, 6)


def write_another(monkeypatch, workspace, *added):
    """Write when it is not known what others use."""
    monkeypatch.setattr(usage_module, "_totals", {})
    with writing(workspace.datasets_dir / "new") as written:
        written.add(*added)


def test_what_is_being_written_counts_with_what_all_use_until_an_error(mine):
    take_place(mine)
    before = usage(mine)
    with pytest.raises(Stopped):
        stop_writing(mine, before.num_bytes)
    assert total_usage(mine.host) == usage(mine) == before


def stop_writing(mine, num_bytes):
    """Stop after everything was counted, and remove what was written."""
    with writing(mine.datasets_dir / "a") as written:
        written.add(2, 7 * MB)
        place = put(mine, "datasets/a/1.jpg", 7 * MB)
        assert total_usage(mine.host).num_photos == 3
        assert total_usage(mine.host).num_bytes == num_bytes + 7 * MB
        place.unlink()
        place.parent.rmdir()
        raise Stopped


def test_nobody_is_limited_outside_of_a_demo(monkeypatch, tmp_path):
    monkeypatch.delenv("TL_MODE", raising=False)
    with writing(Workspace(tmp_path / "studio").datasets_dir) as written:
        written.add(10**6, 10**12)


def exclude(decisions):
    return decisions.decide("Excluded", [Decision("cat/1.png", "0" * 64, "exclude")])


def test_who_writes_has_a_place(monkeypatch, tmp_path):
    """Else one with fresh cookies makes thousands of workspaces that are kept for a day."""
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=2)
    first, second, third = (new_visitor(host) for _ in range(3))
    augment = AugmentConfig(horizontal_flip=True)
    save_preset(first, "mine", augment)
    edit_decisions(second, second.datasets_dir / "sample", exclude)
    assert [has_place(one) for one in (first, second, third)] == [True, True, False]
    for write in (
        lambda: save_preset(third, "mine", augment),
        lambda: edit_decisions(third, third.datasets_dir / "sample", exclude),
    ):
        with pytest.raises(LimitError, match="room for 2 visitors at once"):
            write()
    assert not has_own_data(third)
    save_preset(first, "mine too", augment)


def test_presets_count_for_what_a_visitor_may_use(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", visitor_mb=1))
    put(mine, "runs/1", 900_000)
    augment = AugmentConfig()
    for number in range(20):  # of 0.01 MB each
        with suppress(LimitError):
            save_preset(mine, str(number), augment)
    assert 0 < len(list_presets(mine)) < 10
    with pytest.raises(LimitError, match="allows 1 MB of a visitor"):
        save_preset(mine, "more", augment)
    save_preset(mine, "0", augment)  # replaces one
