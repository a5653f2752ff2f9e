from types import SimpleNamespace

import pytest
from demo_helpers import run_async
from starlette.datastructures import Headers
from starlette.websockets import WebSocket
from streamlit import config
from streamlit.runtime.memory_media_file_storage import MemoryFile, MemoryMediaFileStorage
from streamlit.web.server.starlette.starlette_websocket import StarletteSessionClient

from tl_core.export.web.folder import PLAYER_FILE
from tl_core.visitors.store import end_visitor, open_visitor, take_place
from tl_core.visitors.tokens import issue_token, token_of_user, visitor_id
from ui.hosted import guard as guards
from ui.hosted import uploads
from ui.hosted.guard import COOKIE, VisitorGuard, enter_proof, page_name
from ui.share.web_page import page_address


class Answer:
    def __init__(self):
        self.status, self.headers, self.body, self.closed = None, [], b"", None
        self.num_pieces = 0

    @property
    def cookie(self):
        found = [value for name, value in self.headers if name == "set-cookie"]
        return found[0] if found else None

    @property
    def token(self):
        return self.cookie.partition("=")[2].partition(";")[0]


class Held:
    """Stand in for Streamlit's store of uploads, with files of these sizes by session."""

    def __init__(self, **sizes):
        self.file_storage = {
            session: {
                f"{session}{n}": SimpleNamespace(data=bytes(size)) for n, size in enumerate(files)
            }
            for session, files in sizes.items()
        }

    def remove_file(self, session, file):
        del self.file_storage[session][file]


def hold(monkeypatch, **sizes):
    held = Held(**sizes)
    monkeypatch.setattr(uploads, "_manager", lambda: held)
    monkeypatch.setattr(uploads, "held_files", lambda: held.file_storage)
    return held.file_storage


async def app(scope, receive, send):
    """Stand in for Streamlit: every address is there."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


@pytest.fixture
def ask(monkeypatch):
    monkeypatch.setattr(guards._Installed, "guard", None)
    guard = VisitorGuard(app)

    def request(path, query="", method="GET", kind="http", scheme="http", **headers):
        answer = Answer()
        scope = {
            "type": kind,
            "asgi": {"spec_version": "2.4"},  # Starlette does not listen while it sends
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "scheme": scheme,
            "headers": [
                (name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()
            ],
        }

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [
                    (name.decode(), value.decode()) for name, value in message["headers"]
                ]
            elif message["type"] == "http.response.body":
                answer.body += message["body"]
                answer.num_pieces += 1
            elif message["type"] == "websocket.close":
                answer.closed = message["code"]

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        run_async(guard(scope, receive, send))
        return answer

    return request


def test_a_browser_gets_a_cookie_that_scripts_cannot_read_and_keeps_it(host, ask):
    first = ask("/")
    assert "HttpOnly" in first.cookie
    assert "SameSite=Lax" in first.cookie
    assert "Secure" not in first.cookie
    assert ask("/Data", cookie=f"{COOKIE}={first.token}").token == first.token
    assert ask("/").token != first.token
    assert "Secure" in ask("/", x_forwarded_proto="https").cookie


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_cookies_in_quotes_which_may_take_a_minute_are_taken_away(host, monkeypatch, kind):
    passed_on = []

    async def remember(scope, receive, send):
        passed_on.append(Headers(scope=scope).getlist("cookie"))
        assert "accept-encoding" not in Headers(scope=scope)  # as compressing takes half a second
        assert Headers(scope=scope).getlist("range") == ["bytes=5-"]  # the file is read for each

    monkeypatch.setattr(guards._Installed, "guard", None)
    token = issue_token(host)
    given = [
        b'a="' + b"\\" * 60_000 + b'"; _streamlit_xsrf=2|1f',
        rb"b=\1;; c ; ",
    ]
    scope = {
        "type": kind,
        "method": "GET",
        "path": "/_stcore/stream" if kind == "websocket" else "/_stcore/health",
        "query_string": b"",
        "headers": [(b"cookie", given[0]), (b"cookie", given[1] + f"{COOKIE}={token}".encode())],
    }
    scope["headers"] += [(b"accept-encoding", b"gzip"), (b"range", b"bytes=0-0,2-2")]
    scope["headers"].append((b"range", b"bytes=5-"))
    run_async(VisitorGuard(remember)(scope, None, None))
    assert passed_on == [[f"_streamlit_xsrf=2|1f; {COOKIE}={token}"]]


def test_few_cookies_are_looked_at_and_none_of_who_asks_too_often(host, monkeypatch):
    """Taking 20,000 of them apart took 20 ms, in which nobody was answered."""
    passed_on, answers = [], []

    async def remember(scope, receive, send):
        passed_on.append(Headers(scope=scope).get("cookie"))

    async def send(message):
        answers.append(message.get("status"))

    monkeypatch.setattr(guards._Installed, "guard", None)
    guard = VisitorGuard(remember)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/_stcore/health",
        "query_string": b"",
        "headers": [(b"cookie", b"a=;" * 20_000), (b"cookie", b"b=;")],
    }
    run_async(guard(scope, None, send))
    assert passed_on == ["; ".join(["a="] * 200)]

    async def wait_too_long(scope, **kind):
        return False

    guard._requests.wait = wait_too_long
    monkeypatch.setattr(guards, "_cookies", None)  # nothing asks for them
    run_async(guard(scope, None, send))
    assert answers[:1] == [429]


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://[::"}, {"host": "[::"}, {"origin": "http://here:x"}, {"host": "a:99999"}],
)
def test_a_page_whose_origin_or_host_is_no_address_is_refused(host, ask, headers):
    assert ask("/_stcore/stream", kind="websocket", **headers).closed == 1008
    plain = {"origin": "https://here", "host": "here:8501"}
    assert ask("/_stcore/stream", kind="websocket", **plain).closed is None


def test_a_length_of_thousands_of_digits_is_none(host, ask):
    path = "/_stcore/upload_file/s1/a"
    assert ask(path, method="PUT", content_length="0" * 5_000 + "1").status == 411


def test_an_address_with_thousands_of_fields_is_not_read(host, ask, monkeypatch):
    token = issue_token(host)
    query = "&".join(f"a{number}=1" for number in range(5_000)) + f"&visitor={token}"
    answer = ask("/", query, cookie=f"{COOKIE}={token}")
    assert answer.status == 200
    assert ask("/", query[-60:], cookie=f"{COOKIE}={token}").status == 303


def test_of_two_tokens_the_last_counts(host, ask):
    tokens = [ask("/").token for _ in range(2)]
    both = "; ".join(f"{COOKIE}={one}" for one in tokens)
    assert ask("/Data", cookie=both).token == tokens[1]


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_an_address_is_that_of_a_household(client, expected):
    assert guards.network_address({"client": client}) == expected


def test_a_page_is_told_where_it_is_asked_from_whatever_the_browser_says(host, monkeypatch):
    """And what waits to be sent to it is counted for its address."""
    told, queues = [], []

    async def page(scope, receive, send):
        told.extend(value for name, value in scope["headers"] if name == b"x-visitor-address")
        queues.append(StarletteSessionClient(WebSocket(scope, receive, send))._send_queue)

    monkeypatch.setattr(guards._Installed, "guard", None)
    scope = {
        "type": "websocket",
        "path": "/_stcore/stream",
        "client": ("192.0.2.7", 1),
        "headers": [(b"X-Visitor-Address", b"192.0.2.1"), (b"x-forwarded-for", b"192.0.2.2")],
    }

    async def nothing(*_):
        return {"type": "websocket.disconnect"}

    run_async(VisitorGuard(page)(scope, nothing, nothing))
    assert told == [b"192.0.2.7"]
    assert [queue.tab.address for queue in queues] == ["192.0.2.7"]


@pytest.mark.parametrize("kind", ["made up", "ended", "garbage"])
def test_a_cookie_that_is_not_good_is_replaced(host, ask, kind):
    token = issue_token(host)
    if kind == "ended":
        mine = open_visitor(host, token)
        (mine.runs_dir / "first").mkdir(parents=True)
        end_visitor(mine)
    sent = {"made up": "A" * 48, "ended": token, "garbage": '"\\;x'}[kind]
    assert ask("/", cookie=f"{COOKIE}={sent}").token not in ("", sent)


def test_in_frames_the_cookie_is_set_where_the_operator_says_so(host, ask, monkeypatch):
    monkeypatch.setenv(guards.FRAMES_ENVIRONMENT_NAME, "1")
    assert "SameSite=None; Partitioned" in ask("/", x_forwarded_proto="https").cookie
    assert "SameSite=Lax" in ask("/").cookie  # None needs https


def test_a_link_alone_changes_no_cookie(host, ask):
    own, link = issue_token(host), issue_token(host)
    open_visitor(host, link)
    answer = ask("/", f"visitor={link}", cookie=f"{COOKIE}={own}")
    assert (answer.status, answer.token) == (200, own)
    assert ask("/", f"visitor={link}").token != link
    for proof in ("", "x", enter_proof(host, issue_token(host), link), "é"):
        answer = ask("/", f"visitor={link}&enter={proof}", cookie=f"{COOKIE}={own}")
        assert answer.token == own


def test_a_link_changes_the_cookie_of_who_agreed(host, ask):
    own, link = issue_token(host), issue_token(host)
    proof = enter_proof(host, own, link)
    answer = ask("/Data", f"run=a&visitor={link}&enter={proof}", cookie=f"{COOKIE}={own}")
    assert (answer.status, answer.token) == (303, link)
    assert ("location", "./Data?run=a") in answer.headers
    again = ask("/Data", f"visitor={link}", cookie=f"{COOKIE}={link}")
    assert (again.status, again.token) == (303, link)


@pytest.mark.parametrize(
    "path", ["/_stcore/metrics", "/_stcore/agent/x", "/_stcore/script-health-check", "/_stcore/x"]
)
def test_endpoints_that_visitors_do_not_need_are_closed(host, ask, path):
    assert ask(path).status == 404


@pytest.mark.parametrize("path", ["/_stcore/health", "/_stcore/host-config", "/media/a.png"])
def test_endpoints_that_they_need_are_open(host, ask, path):
    assert ask(path).status == 200


def test_websockets_are_taken_at_one_address(host, ask):
    assert ask("/_stcore/stream", kind="websocket").closed is None
    assert ask("/other", kind="websocket").closed == 1008


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_body_of_unknown_length_ends_the_connection(host, ask, method):
    answer = ask("/", method=method, transfer_encoding="chunked")
    assert answer.status == 411
    assert ("connection", "close") in answer.headers


def test_uploads_are_bounded_before_they_are_read(host, ask, monkeypatch):
    path = "/_stcore/upload_file/session/file"
    put = {"method": "PUT", "content_type": "multipart/form-data; boundary=abc"}
    assert ask(path, **put, content_length="1000").status == 200
    assert ask(path, **put).status == 411
    assert ask(f"{path}{'x' * 60_000}", **put, content_length="0").status == 404
    answer = ask(path, **put, content_length="22000000")
    assert (answer.status, answer.body) == (413, b"This demo allows 20 MB of one upload.")
    hold(monkeypatch, session=[20_000_000] * 3)
    assert b"one visitor at once" in ask(path, **put, content_length="19000000").body
    others = {f"other{number}": [14_000_000] for number in range(9)}
    hold(monkeypatch, session=[14_000_000], **others)
    assert b"150 MB of uploads at once" in ask(path, **put, content_length="19000000").body


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """Return a folder that Streamlit serves as the files of whatever component is named."""
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "model.tflite").write_bytes(bytes(range(250)) * 2_000)
    (tmp_path / "secret.key").write_text("secret")
    registry = SimpleNamespace(get_component_path=lambda _: str(folder))
    instance = SimpleNamespace(component_registry=registry)
    fake = SimpleNamespace(exists=lambda: True, get_instance=lambda: instance)
    monkeypatch.setattr(guards, "runtime", fake)
    return folder


@pytest.mark.parametrize("module", ["", "ui.share.web_page."])
def test_an_exported_page_is_shown_to_its_visitor_alone(host, ask, registered, module):
    own, other = issue_token(host), issue_token(host)
    name = page_name(host, visitor_id(own), "abc123")
    for path, cookie, status in (
        (name, own, 200),
        (name, other, 404),
        ("page_abc123", own, 404),
        (f"page_abc123_{'0' * 32}", other, 404),
        ("page_é", own, 404),
    ):
        answer = ask(f"/component/{module}{path}/index.html", cookie=f"{COOKIE}={cookie}")
        assert answer.status == status, path
    assert ask(f"/component/{module}{name}/index.html").status == 200  # it has no cookie in a frame


def test_the_address_of_a_page_is_one_that_the_guard_knows(host, ask, registered, monkeypatch):
    own, other = issue_token(host), issue_token(host)
    visitor = open_visitor(host, own)
    info = SimpleNamespace(files={PLAYER_FILE: SimpleNamespace(sha256="0123456789abcdef")})
    folder = visitor.runs_dir / "run" / "exports" / "web"
    folder.mkdir(parents=True)
    address = page_address(SimpleNamespace(info=info, folder=folder)).partition("?")[0]
    assert ask(address, cookie=f"{COOKIE}={own}").status == 200
    assert ask(address, cookie=f"{COOKIE}={other}").status == 404


def test_files_of_an_exported_page_come_in_pieces_and_no_other_file(host, ask, registered):
    root = f"/component/ui.share.web_page.{page_name(host, visitor_id('x'), 'abc123')}"
    model = ask(f"{root}/model.tflite")
    assert model.body == (registered / "model.tflite").read_bytes()
    assert model.num_pieces > 2
    headers = dict(model.headers)
    assert (headers["content-type"], headers["cache-control"]) == (
        "application/octet-stream",
        "public",
    )
    assert dict(ask(f"{root}/index.html").headers)["cache-control"] == "no-cache"
    for name in ("../secret.key", "none.bin", "", "%2e%2e/secret.key"):
        assert ask(f"{root}/{name}").status == 404


def test_an_exported_page_is_shown_where_the_login_says_whose_it_is(
    host, ask, registered, monkeypatch
):
    name = page_name(host, visitor_id(token_of_user(host, "issuer user")), "abc123")
    path, cookie = f"/component/{name}/index.html", f"{COOKIE}={issue_token(host)}"
    assert ask(path, cookie=cookie).status == 404
    monkeypatch.setenv(guards.LOGIN_ENVIRONMENT_NAME, "1")
    assert ask(path, cookie=cookie).status == 200


def test_counters_are_for_the_operator_and_hold_no_ids(host, ask, monkeypatch):
    mine, _ = open_visitor(host, issue_token(host)), open_visitor(host, issue_token(host))
    take_place(mine)
    assert ask("/demo/counters").status == 404
    monkeypatch.setenv(guards.OPERATOR_ENVIRONMENT_NAME, "an operator's token")
    assert ask("/demo/counters").status == 404
    assert ask("/demo/counters", authorization="Bearer wrong").status == 404
    answer = ask("/demo/counters", authorization="Bearer an operator's token")
    assert answer.status == 200
    assert b'"visitors_now":1' in answer.body
    assert mine.root.name.encode() not in answer.body


def test_addresses_below_a_sub_path_are_recognised(host, ask, monkeypatch):
    get_option = config.get_option
    monkeypatch.setattr(
        config, "get_option", lambda n: "demo/app" if n == "server.baseUrlPath" else get_option(n)
    )
    answer = ask("/demo/app/")
    assert "Path=/demo/app;" in answer.cookie
    assert ask("/demo/app/_stcore/metrics").status == 404
    assert ask("/demo/app/_stcore/health").cookie is None


def test_parts_of_files_in_memory_are_not_copied_from_the_start_on(monkeypatch, host):
    """Also before anybody has asked for a download."""
    content = b"a picture"

    def get_file(self, filename):
        return MemoryFile(content, "image/png", "media", None)

    monkeypatch.setattr(MemoryMediaFileStorage, "get_file", get_file)
    monkeypatch.setattr(guards._Installed, "guard", None)
    VisitorGuard(None)
    assert MemoryMediaFileStorage("/media").get_file("x").content[2:4].obj is content
