"""A page is compared with the app in a browser of this machine, or says that it was not."""

import sys

import numpy as np
import pytest
from made_export import make_export_run

from tl_core.errors import ExportError, Stopped
from tl_core.export.formats import FORMATS
from tl_core.export.model_info import describe_run
from tl_core.export.parity import ProofPhoto
from tl_core.export.web import browser, parity
from tl_core.export.web.browser import Answers, answer_in_browser, find_browser
from tl_core.inference.predict import load_predictor
from tl_core.processes import run_watched
from tl_core.progress import SILENT, Monitor

ROW = FORMATS["web"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"))


@pytest.fixture
def photos(run):
    found = sorted(run.data_dir.rglob("*.png"))[::2]
    names = list(run.class_names)
    return [ProofPhoto(path, names.index(path.parent.name)) for path in found]


@pytest.fixture
def check(run, photos, tmp_path, monkeypatch):
    """Return ``check(change)``: the record of a page whose answers are the app's, changed."""
    predictor = load_predictor(run.run_dir, run.workspace.cache_dir)
    monkeypatch.setattr(parity, "find_browser", lambda: "browser")
    monkeypatch.setattr(parity, "naive_resize", lambda *_: None)
    odd = [ProofPhoto(photos[0].path)] * 3
    monkeypatch.setattr(parity, "write_odd_images", lambda folder: odd)

    def run_check(change=lambda number, probabilities: probabilities, row=ROW, monitor=SILENT):
        def answer(browser, folder, paths, stage):
            answers = Answers(user_agent="Chrome/1")
            for number, one in enumerate(predictor.predict(paths)):
                changed = change(number, np.array(one.probabilities))
                answers.by_number[number] = (
                    {"error": "unreadable"}
                    if changed is None
                    else {"probabilities": changed.tolist(), "milliseconds": 20.0}
                )
            return answers

        monkeypatch.setattr(parity, "answer_in_browser", answer)
        return parity.check_page(
            row, tmp_path, describe_run(run), predictor, photos, monitor=monitor
        )

    return run_check


def swapped(number, probabilities):
    """Another class is the most probable."""
    return np.roll(probabilities, 1)


def test_equal_answers_agree(check, photos):
    found = check()
    assert found["agrees"] is True
    assert found["num_photos"] == len(photos) == 18
    assert found["top1_agreement"] == 1
    assert found["images_per_second"] == 50
    assert found["versions"] == {"browser": "Chrome/1"}


@pytest.mark.parametrize(("num_other", "agrees"), [(1, True), (2, False)])
def test_one_photo_may_be_answered_otherwise_but_not_two(check, num_other, agrees, monkeypatch):
    monkeypatch.setattr(parity, "MAX_MEAN_DIFFERENCE", 1)
    found = check(lambda number, p: swapped(number, p) if number < num_other else p)
    assert found["agrees"] is agrees


def test_other_pixels_show_in_the_mean(check):
    found = check(lambda number, p: 0.97 * p + 0.03 / len(p))
    assert found["top1_agreement"] == 1
    assert found["agrees"] is False


def test_a_photo_that_only_the_app_reads_is_a_disagreement(check):
    assert check(lambda number, p: None if number == 0 else p)["agrees"] is False


def test_an_odd_image_that_browsers_read_otherwise_is_none(check, photos):
    found = check(lambda number, p: swapped(number, p) if number >= len(photos) else p)
    assert found["agrees"] is True
    assert found["top1_agreement"] < 1


def test_what_the_app_has_answered_is_counted_as_the_second_half(check, photos):
    reported = []
    check(monitor=Monitor(reported.append, report_seconds=0))
    total = 2 * (len(photos) + 3)
    assert {(one.stage, one.total) for one in reported} == {("parity", total)}
    assert reported[-1].done == total


def test_what_the_browser_has_answered_is_counted(tmp_path, monkeypatch):
    """The bar moves while the browser answers, which takes most of the time."""
    told = []

    class Counting(Answers):
        def __init__(self):
            super().__init__()
            self.by_number |= {0: {}, 1: {}}
            self.user_agent = "Chrome/1"

    monkeypatch.setattr(browser, "Answers", Counting)
    stage = Monitor(lambda one: told.append((one.done, one.total))).stage("parity", 8)
    script = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(browser, "run_watched", lambda command, look: run_watched(script, look))
    answer_in_browser("browser", tmp_path, [], stage)
    assert told == [(2, 8)]


def test_without_a_browser_it_is_not_proven(check, monkeypatch):
    monkeypatch.setattr(parity, "find_browser", lambda: None)
    found = check()
    assert found == {"format": "web", "agrees": None, "not_proven": browser.NO_BROWSER}


def test_a_browser_that_ends_is_no_disagreement(run, photos, monkeypatch):
    monkeypatch.setattr(parity, "find_browser", lambda: sys.executable)
    predictor = load_predictor(run.run_dir, run.workspace.cache_dir)
    found = parity.check_page(ROW, run.run_dir, describe_run(run), predictor, photos)
    assert found["agrees"] is None
    assert found["not_proven"].startswith("the browser ended")


def test_a_stop_ends_the_browser(tmp_path):
    script = tmp_path / "browser"
    script.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    script.chmod(0o755)
    stage = Monitor(None, lambda: True).stage("parity", 1)
    with pytest.raises(Stopped):
        answer_in_browser(str(script), tmp_path, [], stage)


def test_a_page_that_does_not_work_says_why(tmp_path):
    """In a real browser: the folder holds no page."""
    if (found := find_browser()) is None:
        pytest.skip("There is no browser.")
    with pytest.raises(ExportError, match=r"client\.js"):
        answer_in_browser(found, tmp_path, [], SILENT.stage("parity", 1))
