import pytest

from tl_core.progress import Progress, amount, stage_words
from ui.shared.progress import shower, told


class Bar:
    def __init__(self):
        self.shown = []

    def progress(self, share, text):
        self.shown.append((share, text))


@pytest.mark.parametrize(
    ("stage", "text"),
    [("scan", "1,500,000 of 20,000,000"), ("download", "2 of 20 MB"), ("unpack", "2 of 20 MB")],
)
def test_bytes_are_told_as_megabytes_and_the_rest_is_counted(stage, text):
    assert amount(stage, 1_500_000, 20_000_000) == text


def test_of_an_unknown_total_only_what_is_done_is_told():
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
        (Progress("scan", 200, 200, 40.0), "Reading the photos: 200 of 200"),
        (Progress("backbone", 0, 1, 3.0), "Preparing the backbone"),
        (Progress("download", 34_000_000, 0, 2.0), "Downloading the weights: 34 MB"),
        (Progress("download", 0, 0, 0.0), "Downloading the weights"),
    ],
)
def test_a_bar_says_what_how_much_and_the_time_left(progress, text):
    assert told(progress) == text


def test_a_bar_fills_and_never_over():
    bar = Bar()
    show = shower(bar, "Map")
    for progress in (Progress("map", 1, 4, 1.0), Progress("map", 5, 4, 5.0)):
        show(progress)
    assert bar.shown == [(0.25, "Map: 1 of 4 · 3 s left"), (1.0, "Map: 5 of 4")]


def test_who_knows_the_total_may_say_it():
    bar = Bar()
    shower(bar, total=4)(Progress("upload", 2, 0, 1.0))
    assert bar.shown == [(0.5, "Checking the photos: 2 of 4 · 1 s left")]
