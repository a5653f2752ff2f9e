"""A stranger with a raw client against a running demo: nothing of another visitor comes back."""

import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from browser_helpers import ROOT
from conftest import draw_image, png
from raw_client import finish_run, open_stream, rerun, run_page
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.memory_media_file_storage import _calculate_file_id
from websockets.exceptions import ConnectionClosed

from tl_core.config.training import TrainConfig
from tl_core.jobs.queue import JobQueue
from tl_core.runs.store import create_run
from tl_core.visitors.store import open_visitor
from tl_core.visitors.tokens import issue_token
from tl_core.workspace import Workspace
from ui.hosted.guard import COOKIE

SECRET = b"secretcup"
DEMO = {"TL_MODE": "demo", "TL_DEMO_VISITORS": "1000"}
SERVE = """
import sys, uvicorn
from tl_core.jobs import worker_client
def none(*_): raise OSError("no worker here")
worker_client._spawn = none
import hosted
uvicorn.run(hosted.app, port=int(sys.argv[1]), log_level="warning", ws="websockets")
"""


class Stranger:
    """What a raw client can send to a demo, with the cookie of one visitor."""

    def __init__(self, port, host, token):
        self.port, self.host, self.token = port, host, token

    def get(self, path, method="GET", data=None, **headers):
        return self.ask(path, method, data, **headers)[:2]

    def ask(self, path, method="GET", data=None, **headers):
        """Return status, body and headers of the answer."""
        headers = {"Cookie": f"{COOKIE}={self.token}", **headers}
        address = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(address, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def page(self, name="", query=""):
        """Run a page over a websocket and return all that the server sends, as bytes."""
        return run_page(self.port, name, query, f"{COOKIE}={self.token}")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Serve a demo without a worker; yield its port and its workspace."""
    host = Workspace(tmp_path_factory.mktemp("attack") / "demo")
    for kind, name in enumerate(("cat", "dog")):
        folder = host.datasets_dir / "sample" / name
        folder.mkdir(parents=True)
        for seed in range(4):
            draw_image(kind, seed).save(folder / f"{seed}.png")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, **DEMO, "TL_WORKSPACE": str(host.root)}
    command = [sys.executable, "-c", SERVE, str(port)]
    with (host.root / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).read()
                break
            assert process.poll() is None, (host.root / "log").read_text()
            time.sleep(0.2)
        yield port, host
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def victim(demo, monkeypatch):
    """Return workspace, token and run of a visitor with photos, and with a job in the queue."""
    _, host = demo
    for name, value in DEMO.items():
        monkeypatch.setenv(name, value)
    token = issue_token(host)
    workspace = open_visitor(host, token)
    for kind, name in enumerate((SECRET.decode(), "secretjar")):
        folder = workspace.datasets_dir / "secretkitchen" / name
        folder.mkdir(parents=True)
        for seed in range(4):
            draw_image(kind, 100 + seed).save(folder / f"{seed}.png")
    data = workspace.datasets_dir / "secretkitchen"
    run = create_run(workspace.runs_dir, TrainConfig(backbone="tiny"), data, name="secretrun")
    JobQueue(workspace).submit("train", {}, run.run_dir)
    return workspace, token, run


@pytest.fixture
def stranger(demo, victim):
    return Stranger(*demo, issue_token(demo[1]))


def test_the_owner_sees_the_photos_so_that_the_rest_means_something(demo, victim):
    _, token, _ = victim
    assert b"secretkitchen" in Stranger(*demo, token).page("Data", "dataset=secretkitchen")


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("", "dataset=secretkitchen&run={run}"),
        ("Data", "visitor={folder}&dataset=secretkitchen"),
        ("Data", "dataset=../../{folder}/datasets/secretkitchen"),
        ("Train", "dataset=secretkitchen&run={run}"),
        ("Evaluate", "run=../../{folder}/runs/{run}"),
    ],
)
def test_addresses_over_a_raw_websocket_show_nothing_of_others(stranger, victim, page, query):
    workspace, _, run = victim
    shown = stranger.page(page, query.format(run=run.id, folder=workspace.root.name))
    assert b"Your data" in shown  # a page was drawn
    secrets = (SECRET, b"secretjar", b"secretrun", bytes(stranger.host.root))
    assert [secret for secret in secrets if secret in shown] == []


def test_what_was_sent_touched_nothing(demo, stranger, victim):
    workspace, _, run = victim
    before = sorted(path for path in workspace.root.rglob("*") if "cache" not in path.parts)
    stranger.page("Train", f"dataset=secretkitchen&run={run.id}")
    assert before == sorted(p for p in workspace.root.rglob("*") if "cache" not in p.parts)
    assert [job.kind for job in JobQueue(workspace).jobs()] == ["train"]


def test_media_are_not_found_by_their_content(demo, stranger, victim):
    _, token, _ = victim
    Stranger(*demo, token).page("Data", "dataset=secretkitchen")
    for data in (png(0, 100), png(1, 100)):
        status, _ = stranger.get(f"/media/{_calculate_file_id(data, 'image/png')}.png")
        assert status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/_stcore/metrics",
        "/_stcore/agent/apps",
        "/demo/counters",
        "/media/../secret.key",
        "/media/..%2f..%2fsecret.key",
        "/component/page_0123456789ab/index.html",
        "/component/../../secret.key",
        "/component/ui.shared.tile_grid/..%2f..%2f..%2fsecret.key",
        "/app/static/../secret.key",
        "/static/..%2f..%2fhosted.py",
        "/_stcore/bidi-components/..%2f..%2fsecret.key",
        "//etc/passwd",
    ],
)
def test_no_address_leads_to_files_of_the_server(demo, stranger, path):
    _, body = stranger.get(path)
    key = (demo[1].root / "secret.key").read_bytes()
    assert key not in body
    assert b"root:" not in body
    assert b"visitors_now" not in body
    assert b"cache_memory_bytes" not in body
    assert b"VisitorGuard" not in body


def test_uploads_and_deletions_need_the_session_of_the_visitor(stranger):
    session = "0" * 8 + "-0000-4000-8000-" + "0" * 12
    for method in ("PUT", "DELETE"):
        status, _ = stranger.get(f"/_stcore/upload_file/{session}/x", method, b"x")
        assert status in (400, 403)


def upload(visitor, session, method, file_id):
    """Store or remove a file in a session, as its page's uploader does; return the status."""
    _, _, headers = visitor.ask("/_stcore/health")
    token = re.search("_streamlit_xsrf=([^;]+)", " ".join(headers.get_all("set-cookie"))).group(1)
    head = b'--e\r\nContent-Disposition: form-data; name="f"; filename="f.png"\r\n\r\n'
    status, _, _ = visitor.ask(
        f"/_stcore/upload_file/{session}/{file_id}",
        method,
        head + b"x\r\n--e--\r\n",
        Cookie=f"{COOKIE}={visitor.token}; _streamlit_xsrf={token}",
        **{"X-Xsrftoken": token, "Content-Type": "multipart/form-data; boundary=e"},
    )
    return status


def test_who_knows_the_id_of_a_session_stores_and_removes_no_file_in_it(demo, stranger, victim):
    owner = Stranger(*demo, victim[1])
    with open_stream(demo[0], f"{COOKIE}={victim[1]}") as connection:
        rerun(connection, "Data")
        received = []
        finish_run(connection, received)
        messages = map(ForwardMsg.FromString, received)
        started = next(one for one in messages if one.WhichOneof("type") == "new_session")
        session = started.new_session.initialize.session_id
        for method in ("PUT", "DELETE"):
            assert upload(owner, session, method, "x") == 204
            assert upload(stranger, session, method, "x") == 403
            assert upload(Stranger(*demo, ""), session, method, "x") == 403


def test_cookies_that_were_not_issued_open_nothing(demo, victim):
    workspace, token, _ = victim
    forged = [workspace.root.name, token[:-4] + "AAAA", f"../{workspace.root.name}", "' OR 1=1"]
    for cookie in forged:
        shown = Stranger(*demo, cookie).page("Data", "dataset=secretkitchen")
        assert SECRET not in shown


def test_a_flood_of_reruns_gets_few_runs_while_another_visitor_has_pages(demo, stranger):
    """Counts scripts, not seconds: eight pages that always want another run, and one visitor."""
    port, host = demo
    runs, is_over = itertools.count(), threading.Event()
    done, flooded = [0], []

    def flood(cookie):
        with open_stream(port, cookie) as connection, suppress(ConnectionClosed):
            while not is_over.is_set():
                rerun(connection, "Data")
                finish_run(connection)
                done[0] = next(runs) + 1

    flooder = f"{COOKIE}={issue_token(host)}"
    with ThreadPoolExecutor(8) as pool:
        try:
            floods = [pool.submit(flood, flooder) for _ in range(8)]
            for _ in range(20):
                before = done[0]
                for _ in range(5):
                    stranger.page("Data")
                flooded.append(done[0] - before)
                if flooded[-1] <= 10:
                    break
        finally:
            is_over.set()
    assert [one.exception() for one in floods] == [None] * 8
    assert flooded[-1] <= 10, flooded
