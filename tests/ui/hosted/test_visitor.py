import shutil
import threading

import pytest
from app_helpers import DATA, TRAIN, assert_sound, open_page, texts, unescaped
from demo_helpers import let_in

from tl_core.config.limits import environment_name
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import Stopped
from tl_core.jobs.queue import JobQueue
from tl_core.projects import shared_sample
from tl_core.projects.registry import SAMPLE_TITLE
from tl_core.runs.store import create_run, list_runs
from tl_core.visitors.store import end_visitor, list_visitors, open_visitor, take_place
from tl_core.visitors.tokens import issue_token
from ui.datasets import dataset_view
from ui.hosted import ending, guard, visitor
from ui.hosted.ending import delete_now
from ui.hosted.panel import upload_caption
from ui.shared.errors import DELETED, DEMO_BUG_MESSAGE
from ui.shared.navigation import ADD_TAB
from ui.shared.words import plain


def cards(at):
    return texts(at) + " ".join(one.value for one in [*at.warning, *at.info, *at.error])


def test_a_demo_without_its_guard_shows_nothing(host):
    at = open_page()
    assert [unescaped(one.value) for one in at.error] == [unescaped(plain(visitor.NOT_GUARDED))]
    assert list_visitors(host) == []


@pytest.mark.parametrize("waits", [True, False])
def test_a_worker_is_started_for_jobs_that_wait_though_no_page_is_open(host, monkeypatch, waits):
    started, looked = threading.Event(), threading.Event()
    monkeypatch.setattr(ending, "ensure_worker", lambda _: started.set())
    monkeypatch.setattr(ending, "UPKEEP_SECONDS", 0.01)
    monkeypatch.setattr(ending, "end_expired", lambda _: looked.set() or [])
    visitor = open_visitor(host, issue_token(host))
    ended = ending.start_upkeep(host)
    try:
        for _ in range(3):  # the second and third look come after whole turns
            looked.clear()
            assert looked.wait(60)
        assert not started.is_set()
        if waits:
            JobQueue(visitor).submit("train", {})
            assert started.wait(60)
    finally:
        ended.set()


def test_the_cookie_says_whose_workspace_a_page_shows(host, monkeypatch, make_dataset):
    first, second = issue_token(host), issue_token(host)
    let_in(monkeypatch, first)
    mine = open_visitor(host, first)
    make_dataset({"cup": 6, "jar": 5}, mine.datasets_dir / "kitchen")
    at = open_page(DATA, dataset="kitchen")
    assert_sound(at)
    assert at.selectbox(key="dataset").value == "kitchen"
    run = create_run(mine.runs_dir, TrainConfig(backbone="tiny"), mine.datasets_dir / "kitchen")
    let_in(monkeypatch, second)
    for page in (None, DATA, TRAIN):
        at = open_page(page, dataset="kitchen", run=run.id)
        assert not at.exception
        assert "kitchen" not in cards(at).replace("'kitchen' is gone", "")
        assert at.selectbox(key="dataset").options == [SAMPLE_TITLE]
    other = open_visitor(host, second)
    assert list_runs(other.runs_dir) == []
    assert {job.payload["data_dir"] for job in JobQueue(other).jobs()} == {"datasets/sample"}


def test_an_address_that_names_folders_of_others_opens_none(host, monkeypatch, make_dataset):
    theirs = open_visitor(host, issue_token(host))
    make_dataset({"cup": 6, "jar": 5}, theirs.datasets_dir / "kitchen")
    let_in(monkeypatch, issue_token(host))
    for name in (
        str(theirs.datasets_dir / "kitchen"),
        f"../../{theirs.root.name}/datasets/kitchen",
        theirs.root.name,
    ):
        at = open_page(DATA, dataset=name)
        assert not at.exception
        assert at.selectbox(key="dataset").options == [SAMPLE_TITLE]


def test_visitors_share_one_sample_set_but_not_what_they_do_to_it(host, monkeypatch):
    tokens = [issue_token(host) for _ in range(2)]
    samples = []
    for token in tokens:
        let_in(monkeypatch, token)
        assert_sound(open_page(DATA))
        samples.append(open_visitor(host, token).datasets_dir / "sample")
    shared = host.datasets_dir / "sample" / "cat" / "0.png"
    first, second = (sample / "cat" / "0.png" for sample in samples)
    assert first.samefile(shared)
    assert first.stat().st_mode & 0o222 == 0
    first.unlink()
    (samples[0] / "dog").rename(samples[0] / "wolf")
    assert second.exists()
    assert shared.exists()
    assert (samples[1] / "dog").is_dir()


def test_a_link_opens_another_workspace_only_when_the_visitor_agrees(host, monkeypatch):
    own, link = issue_token(host), issue_token(host)
    theirs = open_visitor(host, link)
    let_in(monkeypatch, own)
    at = open_page(None)
    at = open_page_with(link)
    assert visitor.OPEN_OTHER in [one.value for one in at.warning]
    assert visitor.TOKEN not in at.session_state
    at.button(key="refuse_link").click().run()
    assert at.session_state[visitor.TOKEN] == own
    assert "visitor" not in at.query_params
    # Agreeing loads the address that changes the cookie, with a proof of who agreed.
    at = open_page_with(link)
    pages = [one.proto.body for one in at.get("html")]
    assert any(guard.enter_proof(host, own, link) in page for page in pages)
    # Without cookies the session itself goes to the workspace.
    let_in(monkeypatch, None)
    at = open_page_with(link)
    at.button(key="open_link").click().run()
    assert at.session_state["workspace_root"] == str(theirs.root)


@pytest.mark.parametrize("kind", ["made up", "ended"])
def test_a_link_that_leads_nowhere_says_so(host, monkeypatch, kind):
    own, link = issue_token(host), issue_token(host)
    if kind == "ended":
        end_visitor(open_visitor(host, link))
    let_in(monkeypatch, own)
    at = open_page_with(link if kind == "ended" else "A" * 48)
    assert at.session_state[visitor.TOKEN] == own
    told = [one.value for one in at.warning]
    assert (visitor.LINK_GONE in told) == (kind == "ended")


def open_page_with(link):
    from app_helpers import ROOT
    from streamlit.testing.v1 import AppTest

    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params[guard.LINK] = link
    return at.run()


def test_a_browser_without_cookies_is_told_and_given_a_link(host, monkeypatch):
    let_in(monkeypatch, None)
    at = open_page()
    assert_sound(at)
    (button,) = at.sidebar.get("link_button")
    assert at.session_state[visitor.TOKEN] in button.proto.url
    first = at.session_state["workspace_root"]
    at.run()
    assert at.session_state["workspace_root"] == first
    assert len(list_visitors(host)) == 1


def test_data_are_deleted_on_demand(host, monkeypatch):
    token = issue_token(host)
    let_in(monkeypatch, token)
    at = open_page()
    mine = open_visitor(host, token)
    at.button(key="delete_data").click().run()
    at.button(key="delete_data_yes").click().run()
    for thread in threading.enumerate():
        if thread.name == "look":
            thread.join(60)  # one that was under way leaves nothing behind
    assert not mine.root.exists()
    assert [one.value for one in at.info] == [visitor.ENDED]
    at.run()  # it is not made again by a page that is still open
    assert not mine.root.exists()


@pytest.mark.parametrize("looks_for_all", [True, False])
def test_a_look_at_photos_that_are_deleted_meanwhile_leaves_nothing_behind(
    host, monkeypatch, looks_for_all
):
    """What it notes of its progress after that must not end it before it has tidied up."""
    token, begun, is_deleted, stopped = issue_token(host), threading.Event(), threading.Event(), []

    mine = open_visitor(host, token)

    def look(raw, cache_dir, monitor):
        begun.set()
        assert is_deleted.wait(60)
        stage = monitor.stage("look", 2)
        (mine.cache_dir / "late").mkdir(parents=True)
        stage.advance()
        try:
            monitor.check()
        except Stopped:
            stopped.append(True)
            raise

    if looks_for_all:
        monkeypatch.setattr(shared_sample, "look", look)
    else:
        monkeypatch.setattr(dataset_view, "look", look)
        monkeypatch.setattr(dataset_view, "look_at_shared_sample", lambda *_: False)
    let_in(monkeypatch, token)
    assert_sound(open_page(DATA))
    assert begun.wait(60)
    (thread,) = [one for one in threading.enumerate() if one.name == "look"]
    delete_now(mine)
    is_deleted.set()
    thread.join(60)
    assert not mine.root.exists()
    assert stopped == [True]


def test_looks_at_photos_of_one_visitor_do_not_keep_another_waiting(
    host, monkeypatch, make_dataset
):
    looked, may_end = [], threading.Event()

    def look(raw, cache_dir, monitor):
        looked.append((raw.data_dir.name, raw.num_images))
        if raw.data_dir.name != "short":
            assert may_end.wait(60)

    monkeypatch.setattr(dataset_view, "look", look)
    monkeypatch.setattr(dataset_view, "look_at_shared_sample", lambda *_: False)
    monkeypatch.setattr("tl_core.fair_turns.LOOK_SECONDS", 0.01)
    flood, other = (open_visitor(host, issue_token(host)) for _ in range(2))

    def ask(workspace, name, count):
        folder = workspace.datasets_dir / name
        shutil.rmtree(folder, ignore_errors=True)
        index = scan_dataset(make_dataset({"cat": count, "dog": count}, folder))
        return dataset_view.ensure_audit(workspace, index).thread

    tasks = [ask(flood, "long", 1), ask(flood, "long", 2), ask(flood, "next", 4)]
    newer = ask(flood, "long", 3)
    tasks[1].join(60)  # of photos that are there no longer, before its turn
    assert not tasks[1].is_alive()
    ask(other, "short", 1).join(60)
    assert looked == [("long", 2), ("short", 2)]
    may_end.set()
    for task in (*tasks, newer):
        task.join(60)
    assert looked[2:] == [("next", 8), ("long", 6)]


def test_messages_name_no_folder_of_the_server_and_no_log(host, monkeypatch):
    token = issue_token(host)
    let_in(monkeypatch, token)
    assert plain(f"Expected a folder at '{host.root}/visitors/ab/datasets/pets', found none") == (
        r"Expected a folder at 'pets', found none"
    )
    monkeypatch.setattr("ui.shell.page.draw_sidebar", lambda *_: 1 / 0)
    at = open_page()
    assert [one.value for one in at.error] == [DEMO_BUG_MESSAGE]


def test_a_page_whose_data_another_browser_deletes_meanwhile_says_so(host, monkeypatch):
    token = issue_token(host)
    let_in(monkeypatch, token)

    def train(*_):
        end_visitor(open_visitor(host, token))
        raise FileNotFoundError("runs/.new/config.json")

    monkeypatch.setattr("ui.shell.page.draw_sidebar", train)
    at = open_page()
    assert [one.value for one in at.info] == [DELETED]
    assert not at.error


def test_names_hold_no_links(host):
    for text in ("https://evil.example/x", "www.evil.example", "mailto:me@x.example", "[a](b)"):
        shown = plain(text)
        assert "https\\://evil" not in shown
        assert shown != text


def test_limits_are_said_beside_the_uploader(host, monkeypatch):
    let_in(monkeypatch, issue_token(host))
    assert upload_caption() in [one.value for one in open_page().caption]


def test_the_backbones_to_choose_from_are_those_that_may_be_trained(host, monkeypatch):
    monkeypatch.setenv(environment_name("backbones"), "tiny, MobileNetV2")
    let_in(monkeypatch, issue_token(host))
    at = open_page(TRAIN)
    assert_sound(at)
    picker = at.selectbox(key="train.backbone")
    assert (picker.value, picker.options) == ("tiny", ["tiny", "MobileNetV2"])
    assert not at.button(key="start_training").disabled


@pytest.mark.parametrize(("layers", "fits"), [("1000", True), ("2000, 2000", False)])
def test_layers_that_need_more_memory_than_a_job_may_have_are_refused_in_the_form(
    host, monkeypatch, layers, fits
):
    monkeypatch.setenv(environment_name("job_memory_mb"), "1050")  # of which a training has 100
    let_in(monkeypatch, issue_token(host))
    at = open_page(TRAIN)
    at.text_input(key="train.fc_layers").set_value(layers).run()
    assert_sound(at)
    assert at.button(key="start_training").disabled == (not fits)
    told = "100 MB are available of the 1,050 MB that this demo allows a job"
    assert (told in texts(at)) == (not fits)


def test_what_a_demo_does_not_offer(host, monkeypatch):
    let_in(monkeypatch, issue_token(host))
    at = open_page(DATA, data_tabs=ADD_TAB)
    assert_sound(at)
    assert not any("this machine" in one for one in at.get_by_key("intake_way").options)
    assert "Import an exported project" not in [one.label for one in at.get("file_uploader")]


def test_a_full_demo_says_which_limit(host, monkeypatch):
    monkeypatch.setenv("TL_DEMO_VISITORS", "1")
    take_place(open_visitor(host, issue_token(host)))
    let_in(monkeypatch, issue_token(host))
    assert_sound(open_page())  # to look around needs no place
    at = open_page(TRAIN)
    at.button(key="start_training").click().run()
    assert "room for 1 visitors at once" in at.error[0].value
