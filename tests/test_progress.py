import pytest

from tl_core import progress as module
from tl_core.errors import Stopped
from tl_core.progress import FINISHING, Monitor, Progress, after_words, amount, stage_words
from ui.shared.progress import progress_text, shower


class Bar:
    def __init__(self):
        self.shown = []

    def progress(self, share, text):
        self.shown.append((share, text))


@pytest.mark.parametrize(
    ("stage", "text"),
    [("scan", "1,500,000 of 20,000,000"), ("download", "2 of 20 MB"), ("unpack", "2 of 20 MB")],
)
def test_bytes_are_shown_as_megabytes_and_the_rest_is_counted(stage, text):
    assert amount(stage, 1_500_000, 20_000_000) == text


def test_of_an_unknown_total_only_what_is_done_is_shown():
    assert amount("download", 34_000_000, 0) == "34 MB"
    assert amount("scan", 1500, 0) == "1,500"
    unknown = Progress("download", 34_000_000, 0, 2.0)
    assert (unknown.share, unknown.seconds_left, unknown.is_through) == (0.0, None, False)


def test_a_stage_without_words_is_called_by_its_name():
    assert stage_words("scan") == "reading the photos"
    assert stage_words("polishing") == "polishing"


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress("scan", 0, 200, 0.0), "Reading the photos: 0 of 200"),
        (Progress("scan", 50, 200, 10.0), "Reading the photos: 50 of 200 · 30 s left"),
        (
            Progress("scan", 200, 200, 40.0),
            f"Reading the photos: 200 of 200 · {after_words('scan')}",
        ),
        (Progress("backbone", 0, 1, 3.0), "Preparing the backbone"),
        (Progress("download", 34_000_000, 0, 2.0), "Downloading the weights: 34 MB"),
        (Progress("download", 0, 0, 0.0), "Downloading the weights"),
    ],
)
def test_a_bar_says_what_how_much_and_the_time_left_or_what_follows(progress, text):
    assert progress_text(progress) == text


def test_a_bar_fills_and_never_over():
    bar = Bar()
    show = shower(bar, "Map")
    for progress in (Progress("map", 1, 4, 1.0), Progress("map", 5, 4, 5.0)):
        show(progress)
    assert bar.shown == [(0.25, "Map: 1 of 4 · 3 s left"), (1.0, f"Map: 5 of 4 · {FINISHING}")]


class Clock:
    """A clock that is set by hand, in place of the module ``time``."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def counts(events):
    return [(event.stage, event.done, event.total) for event in events]


def test_reports_are_the_first_of_a_stage_the_last_and_some_between(clock):
    seen = []
    monitor = Monitor(seen.append, report_seconds=1.0)
    stage = monitor.stage("scan", 10)
    for _ in range(10):
        clock.now += 0.3
        stage.advance()
    monitor.stage("audit", 3).advance()
    assert counts(seen) == [
        ("scan", 1, 10),
        ("scan", 5, 10),
        ("scan", 9, 10),
        ("scan", 10, 10),
        ("audit", 1, 3),
    ]
    assert seen[0].seconds == pytest.approx(0.3)
    assert seen[1].rate == pytest.approx(1 / 0.3)
    assert seen[1].seconds_left == pytest.approx(1.5)


def test_a_stop_is_asked_for_at_every_check_or_not_more_often_than_wanted(clock):
    asked = []

    def should_stop():
        asked.append(clock.now)
        return len(asked) == 3

    monitor = Monitor(None, should_stop, poll_seconds=1.0)
    for _ in range(8):
        monitor.check()
        clock.now += 0.25
    assert asked == [0.0, 1.0]
    with pytest.raises(Stopped):
        monitor.check()
    eager = Monitor(None, lambda: bool(asked.append(-1)))
    eager.check()
    eager.check()
    assert asked[3:] == [-1, -1]
    module.SILENT.check()


def test_what_was_done_in_an_earlier_session_tells_no_rate(clock):
    stage = Monitor().stage("sweep", 100, done=40)
    assert (stage.rate, stage.seconds_left, stage.progress().seconds) == (0.0, None, 0.0)
    clock.now += 5
    stage.advance(10)
    assert stage.rate == 2.0
    assert stage.seconds_left == 25.0
    assert stage.progress().share == 0.5


def test_a_restarted_clock_keeps_the_rate_until_there_is_another(clock):
    stage = Monitor().stage("sweep", 100)
    clock.now += 10
    stage.advance(20)
    clock.now += 60  # other work
    stage.update(20)
    stage.restart_clock()
    before = stage.rate
    assert before == pytest.approx(20 / 70)
    clock.now += 1
    assert stage.rate == before
    stage.advance(4)
    assert stage.rate == 4.0


def test_parts_add_up_at_the_pace_since_the_first_item_and_other_stages_pass(clock):
    seen = []
    stage = Monitor(seen.append, report_seconds=0).stage("features")
    part = stage.part(num_later=6)
    part.stage("backbone", 1).report()
    clock.now += 30  # preparing is not part of the pace
    inner = part.stage("features", 4)
    inner.advance()
    for _ in range(3):
        clock.now += 2
        inner.advance()
    rest = stage.part().stage("features", 5)  # one of six was known
    clock.now += 2
    rest.advance()
    assert counts(seen) == [
        ("backbone", 0, 1),
        ("features", 1, 10),
        ("features", 2, 10),
        ("features", 3, 10),
        ("features", 4, 10),
        ("features", 5, 9),
    ]
    assert seen[1].rate == 0.0
    assert seen[-1].rate == pytest.approx(0.5)
    assert seen[-1].seconds_left == pytest.approx(8.0)


def test_a_part_is_stopped_with_the_whole_and_a_monitor_goes_through_the_public_interface():
    monitor = Monitor(None, lambda: True)
    with pytest.raises(Stopped):
        monitor.stage("features").part().check()
    with pytest.raises(Stopped):
        Monitor(**monitor.callbacks).check()
