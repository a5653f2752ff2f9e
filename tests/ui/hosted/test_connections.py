"""Connections to a demo's server: who asks for nothing does not keep others out."""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from server_helpers import UPGRADE, serve
from streamlit.runtime import app_session
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.client import connect

from tl_core import connections as shared
from tl_core.connections import allow_files
from ui.hosted import connections as module
from ui.hosted.connections import Connections, watch_connections

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture(params=["httptools", "h11"])
def connections(request, monkeypatch) -> Iterator[Connections]:
    """Return the connections of a server that may have 20, with short patience."""
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.5)
    watched = Connections(2 * 20)
    watch_connections(watched)
    with serve(http=request.param) as port:
        watched.port, watched.http = port, request.param
        yield watched


@pytest.fixture
def port(connections) -> int:
    return connections.port


def call(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def ask(connection: socket.socket) -> None:
    """Send a request and wait for the answer."""
    connection.sendall(REQUEST)
    answer = b""
    while b"hello" not in answer:
        part = connection.recv(1000)
        assert part
        answer += part


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server closes a connection."""
    with suppress(ConnectionError):
        while connection.recv(1000):
            pass
    return True


def send(connection: socket.socket, data: bytes) -> None:
    """Send as much as the server takes."""
    with suppress(ConnectionError):
        connection.sendall(data)


def test_a_connection_without_a_request_is_closed(port) -> None:
    silent, half = call(port), call(port)
    half.sendall(REQUEST[:20])
    assert is_closed(silent)
    assert is_closed(half)


def test_a_second_request_that_never_ends_is_closed_too(port) -> None:
    connection = call(port)
    ask(connection)
    connection.sendall(REQUEST[:20])
    assert is_closed(connection)


def test_who_comes_after_many_that_ask_for_nothing_is_answered(connections, port) -> None:
    connections.seconds = 3600.0
    silent = [call(port) for _ in range(60)]
    visitor = call(port)
    ask(visitor)
    assert all(is_closed(connection) for connection in silent[:40])
    silent[-1].setblocking(False)
    with pytest.raises(BlockingIOError):
        silent[-1].recv(1)


def test_who_comes_from_elsewhere_is_answered_when_one_address_has_all_connections(
    connections, monkeypatch
) -> None:
    connections.seconds = 3600.0
    monkeypatch.setattr(shared, "_is_waiting", lambda _: False)  # each has a request

    def from_address(number: int) -> socket.socket:
        source = (f"127.0.0.{number}", 0)
        return socket.create_connection(("127.0.0.1", connections.port), 60, source)

    visitors = [from_address(3) for _ in range(4)]
    greedy = [from_address(2) for _ in range(40)]
    last = from_address(4)
    for visitor in [*visitors, last]:
        ask(visitor)
    assert all(is_closed(connection) for connection in greedy[16:])


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 400_000,
        REQUEST[:-2] + b"X: " + b"a" * 400_000,
        REQUEST[:-2] + b"a:b\r\n" * 400,
    ],
    ids=["address", "header", "headers"],
)
def test_a_request_has_a_bound_before_it_is_read_whole(connections, head) -> None:
    if connections.http == "h11" and b"a:b" in head:
        head += b"a:b\r\n" * 40_000  # it counts bytes alone
    connections.seconds = 3600.0
    connection = call(connections.port)
    send(connection, head)
    assert is_closed(connection)


def with_words(*names, more=0):
    """Return a request with a header of 256 bytes of each name, the last one with more."""
    values = [b"a," * 128] * (len(names) - 1) + [b"a," * 128 + b"a" * more]
    lines = [name + b": " + value + b"\r\n" for name, value in zip(names, values, strict=True)]
    return REQUEST[:-2] + b"".join(lines) + b"\r\n"


CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (REQUEST.replace(b"/ ", b"/" + b"%61" * 2_700 + b" "), 404),
        (REQUEST.replace(b"/ ", b"/" + b"%61" * 2_731 + b" "), 400),  # 8,194 bytes
        (with_words(b"Connection", b"Connection", b"Upgrade", b"Sec-WebSocket-Protocol"), 200),
        (with_words(*[b"connection"] * 4, more=1), 400),
        (with_words(*[b"Sec-WebSocket-Protocol"] * 3, b"UPGRADE", more=1), 400),
        (with_words(b"Sec-WebSocket-Extensions", more=769), 400),
        (REQUEST[:-2] + b"X: " + b"a" * 8_192 + b"\r\n\r\n", 200),
        (REQUEST[:-2] + b"X: " + b"a" * 8_193 + b"\r\n\r\n", 400),
        (REQUEST[:-2] + b"Cookie: " + b"a" * 20_000 + b"\r\n\r\n", 200),
        (CHUNKED + b"1\r\na\r\n" * 200 + b"0\r\n\r\n", 405),
        (CHUNKED + b"1\r\na\r\n" * 201 + b"0\r\n\r\n", 400),
        (CHUNKED + (b"64\r\n" + b"a" * 100 + b"\r\n") * 201 + b"0\r\n\r\n", 405),
    ],
    ids=[
        *("address", "long address", "words", "lines of words", "words of kinds", "many words"),
        *("header", "long header", "cookies", "pieces", "many pieces", "large pieces"),
    ],
)
def test_what_takes_long_to_read_is_refused_before_it_is(connections, request_bytes, status):
    """Each of these took the loop 10 to 20 ms, in which nobody was answered."""
    if connections.http == "h11":
        pytest.skip("bounds bytes alone; requirements.txt has httptools")
    connections.seconds = 3600.0
    connection = call(connections.port)
    send(connection, request_bytes)
    begin = b"HTTP/1.1 %d" % status
    assert connection.recv(len(begin)) == begin
    if status == 400:
        assert is_closed(connection)
        return
    send(connection, request_bytes + REQUEST)  # of each request the pieces are counted again
    answers = begin
    while not (answers.count(b"HTTP/1.1") == 3 and answers.endswith(b"hello")):
        part = connection.recv(1000)
        assert part
        answers += part
    assert answers.count(begin) == (3 if status == 200 else 2)


def test_a_demo_that_is_installed_by_its_requirements_has_these_bounds() -> None:
    requirements = (Path(__file__).parents[3] / "requirements.txt").read_text(encoding="utf-8")
    assert any(line.startswith("httptools>=") for line in requirements.splitlines())
    assert AutoHTTPProtocol is HttpToolsProtocol  # what uvicorn takes where it is installed


def test_many_requests_at_once_are_refused_and_a_few_answered(connections) -> None:
    few, many = call(connections.port), call(connections.port)
    few.sendall(REQUEST * 6)
    answers = b""
    while answers.count(b"hello") < 6:
        part = few.recv(1000)
        assert part
        answers += part
    if connections.http == "httptools":  # h11 reads one by one
        send(many, REQUEST * 2_000)
        answers = b""
        with suppress(ConnectionError):
            while part := many.recv(1000):
                answers += part
        assert answers.count(b"hello") <= 1


def test_a_connection_that_has_ended_is_forgotten(connections) -> None:
    connections.seconds = 3600.0
    connection = call(connections.port)
    ask(connection)
    (timer,) = [one.timer for one in connections._open.values()]
    connection.close()
    with connect(f"ws://127.0.0.1:{connections.port}/echo", ping_interval=None) as page:
        page.send(b"a")
        assert page.recv(timeout=60) == b"a"
        while len(connections._open) > 1:  # forever, if one is kept
            time.sleep(0.01)
    while connections._open:
        time.sleep(0.01)
    assert timer.cancelled()


@pytest.mark.parametrize(
    "odd",
    [
        b"Origin: " + b"a" * 20_000,
        b"Sec-WebSocket-Protocol: " + b"a" * 20_000,
        b"\r\n".join(b"a%d: b" % number for number in range(150)),
    ],
    ids=["long header", "long protocol", "many headers"],
)
def test_an_upgrade_that_is_not_taken_is_ended(connections, odd) -> None:
    connections.seconds = 3600.0
    connection = call(connections.port)
    send(connection, UPGRADE.strip() + b"\r\n" + odd + b"\r\n\r\n")
    assert is_closed(connection)
    while connections._open:
        time.sleep(0.01)


def test_an_answer_that_nobody_takes_is_given_up(connections) -> None:
    connection = call(connections.port)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(REQUEST.replace(b"GET /", b"GET /large"))
    while not connections._open:
        time.sleep(0.01)
    while connections._open:  # for ever, if it is kept
        time.sleep(0.01)


def test_an_answer_that_is_taken_slowly_comes_whole(connections) -> None:
    connections.seconds = 2.0  # on a busy machine this thread may stand still for some time
    connection = call(connections.port)
    connection.sendall(REQUEST.replace(b"GET /", b"GET /large"))
    got = b""
    while not got.endswith(b"end"):
        part = connection.recv(500_000)
        assert part
        got += part
        time.sleep(0.1)  # longer than two seconds in all


def test_pages_count_as_connections(connections) -> None:
    connections.seconds = 3600.0
    address = f"ws://127.0.0.1:{connections.port}/echo"
    pages = [connect(address, ping_interval=None) for _ in range(20)]
    with pytest.raises((ConnectionClosed, OSError, InvalidMessage)):
        connect(address, ping_interval=None).recv(timeout=60)
    for page in pages:
        page.send(b"a")
        assert page.recv(timeout=60) == b"a"
        page.close()


def test_a_version_of_uvicorn_without_what_is_watched_is_refused(monkeypatch) -> None:
    monkeypatch.delattr(HttpToolsProtocol, "on_message_begin")
    with pytest.raises(RuntimeError, match="Expected a version"):
        watch_connections(Connections(40))


def test_a_page_that_is_open_stays_and_may_not_send_much_at_once(port) -> None:
    with connect(f"ws://127.0.0.1:{port}/echo", ping_interval=None) as page:
        page.send(b"a")
        assert page.recv(timeout=60) == b"a"
        time.sleep(3 * module.HEAD_SECONDS)  # longer than a request may take
        page.send(bytes(module.LARGEST_MESSAGE))
        assert len(page.recv(timeout=60)) == module.LARGEST_MESSAGE
        page.send(bytes(module.LARGEST_MESSAGE + 1))
        with pytest.raises(ConnectionClosed):
            page.recv(timeout=60)


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_requests_that_are_none_are_logged_seldom(caplog, http) -> None:
    watch_connections(Connections(40))
    watch_connections(Connections(40))  # as by another app of the process
    with serve(http=http, log_level="warning", log_config=None) as port:
        for _ in range(5):
            with call(port) as one:
                one.sendall(b"no request\r\n\r\n")
                assert is_closed(one)
    refused = [one for one in caplog.records if one.name == "uvicorn.error"]
    assert [one.getMessage() for one in refused] == ["Invalid HTTP request received."]


def test_what_streamlit_says_about_messages_of_pages_is_logged_seldom() -> None:
    logger = logging.getLogger(app_session.__name__)
    watch_connections(Connections(40))
    records = [logging.makeLogRecord({"msg": "no part %s", "args": ("x",)}) for _ in range(3)]
    assert [bool(logger.filter(one)) for one in records] == [True, False, False]


def test_that_no_file_can_be_opened_is_logged_once_and_other_errors_too(caplog) -> None:
    watch_connections(Connections(40))
    loop = asyncio.new_event_loop()
    full = {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")}
    for _ in range(3):
        loop.call_exception_handler(full)
        loop.call_exception_handler({"message": "accept", "exception": OSError("gone")})
    loop.close()
    errors = [str(one.exc_info[1]) for one in caplog.records if one.exc_info]
    assert errors == ["[Errno 24] Too many open files", "gone"]


def test_where_few_files_may_be_open_half_of_them_are_for_connections(monkeypatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    assert allow_files() == 1024
    assert Connections(1024)._most == 512


def test_a_demo_may_have_as_many_open_files_as_the_system_permits() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        number = allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == number
        assert number in (hard, shared.MOST_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
