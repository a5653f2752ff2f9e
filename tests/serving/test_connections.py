"""Who sends no whole request keeps nobody out; requests are bounded before their body."""

import http.client
import json
import socket
import threading

import pytest
from made_service import GIF, HOST, FakeModel, served, wait_until

from tl_core.connections import HEAD_SECONDS
from tl_core.serving.server import make_server
from tl_core.serving.settings import ServiceSettings

ELSEWHERE = "127.0.0.2"
FEW = ServiceSettings(max_connections=4)
SHORT = ServiceSettings(read_seconds=1)
LITTLE = ServiceSettings(max_bytes=100_000, max_buffered_bytes=250_000)
REQUEST = b"GET /health HTTP/1.1\r\nHost: here\r\n"
MODEL_REQUEST = b"GET /model HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: image/gif\r\n"


def call(service, data=b"", source=HOST):
    connection = socket.create_connection((HOST, service.port), 60, (source, 0))
    connection.sendall(data)
    return connection


def ask(service, body=None, source=HOST):
    """Return the status of an answer, and its word if it is a refusal."""
    connection = http.client.HTTPConnection(HOST, service.port, 60, source_address=(source, 0))
    path = "/health" if body is None else "/predict"
    method = "GET" if body is None else "POST"
    connection.request(method, path, body, {"Content-Type": "image/gif"})
    answer = connection.getresponse()
    values = json.loads(answer.read())
    connection.close()
    return answer.status, values.get("error", {}).get("code")


def read_all(connection):
    """Return what the server sends until it closes the connection."""
    got = b""
    with connection:
        try:
            while part := connection.recv(65_536):
                got += part
        except ConnectionError:
            pass
    return got


def send(connection, data):
    """Send as much as the server takes; return whether it takes all."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def open_connections(service):
    return service.server.config.http_protocol_class.open_connections


@pytest.mark.parametrize(
    "half", [b"", REQUEST, POST + b"Content-Length: 9\r\n\r\nGIF"], ids=["none", "head", "body"]
)
def test_half_sent_requests_of_one_address_do_not_keep_others_out(half):
    with served(FakeModel(), FEW) as service:
        waiting = [call(service, half) for _ in range(12)]
        assert ask(service, source=ELSEWHERE) == (200, None)
        assert ask(service, GIF, ELSEWHERE) == (200, None)
        assert ask(service) == (200, None)  # nor those behind the same address
        for connection in waiting:
            connection.close()


def test_a_request_that_is_computed_stays_while_half_sent_ones_are_given_up():
    model = FakeModel()
    with served(model, FEW) as service:
        model.may_compute.clear()
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask(service, GIF)))
        asking.start()
        assert model.started.acquire(timeout=60)
        waiting = [call(service, REQUEST) for _ in range(12)]
        assert ask(service) == (200, None)
        model.may_compute.set()
        asking.join(60)
        for connection in waiting:
            connection.close()
    assert answers == [(200, None)]


def test_half_sent_bodies_of_one_address_do_not_take_the_memory_of_all():
    half = POST + b"Content-Length: 100000\r\n\r\n" + GIF.ljust(99_000)
    with served(FakeModel(), LITTLE) as service:
        # 198,000 bytes of 250,000
        first, second = (call(service, half, ELSEWHERE) for _ in range(2))
        wait_until(lambda: b"tl_buffered_bytes 198000.0" in service.ask("/metrics").body)
        assert ask(service, GIF.ljust(90_000)) == (200, None)
        assert b'"busy"' in first.recv(65_536)
        wait_until(lambda: b"tl_buffered_bytes 99000.0" in service.ask("/metrics").body)
        second.sendall(b" " * 1_000)
        assert b" 200 " in second.recv(65_536).partition(b"\r\n")[0]
        first.close()
        second.close()


def test_an_address_does_not_take_the_memory_of_one_that_has_less():
    half = POST + b"Content-Length: 100000\r\n\r\n" + GIF.ljust(99_000)
    with served(FakeModel(), LITTLE) as service:
        waiting = [call(service, half, ELSEWHERE) for _ in range(2)]
        wait_until(lambda: b"tl_buffered_bytes 198000.0" in service.ask("/metrics").body)
        assert ask(service, GIF.ljust(60_000), ELSEWHERE) == (503, "busy")
        for connection in waiting:
            connection.sendall(b" " * 1_000)
            assert b" 200 " in connection.recv(65_536).partition(b"\r\n")[0]
            connection.close()


def test_a_header_has_some_seconds_also_where_a_body_has_minutes():
    def seconds(settings):
        return make_server(None, settings).config.http.open_connections.seconds

    assert seconds(ServiceSettings(read_seconds=600)) == HEAD_SECONDS == 15
    assert seconds(SHORT) == 1


@pytest.mark.parametrize(
    "head",
    [
        REQUEST.replace(b"/health", b"/health?" + b"a" * 9_000) + b"\r\n",
        REQUEST + b"a: b\r\n" * 201 + b"\r\n",
        REQUEST + b"X: " + b"a" * 400_000,
        (REQUEST + b"\r\n") * 400,
        REQUEST + b"X: " + b"a" * 8_193 + b"\r\n\r\n",
        REQUEST + b"Connection: " + b"a," * 513 + b"\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 201,
    ],
    ids=["address", "headers", "header", "requests ahead", "long header", "words", "pieces"],
)
def test_what_comes_before_a_body_has_a_bound(head):
    with served(FakeModel(), ServiceSettings()) as service:
        open_connections(service).seconds = 3600
        connection = call(service)
        send(connection, head)
        answers = read_all(connection)
        assert answers.count(b" 200 ") <= 1
        assert answers == b"" or b" 400 " in answers


def test_cookies_are_not_taken_apart(monkeypatch):
    """The service has none; 10,000 of them took the loop 5 ms for each request."""
    taken_apart = []
    monkeypatch.setattr("starlette.requests.cookie_parser", lambda text: taken_apart.append(text))
    with served(FakeModel(), ServiceSettings()) as service:
        connection = call(service, REQUEST + b"Cookie: a=b\r\n\r\n")
        assert b" 200 " in connection.recv(65_536)
        connection.close()
    assert taken_apart == []


def test_a_few_requests_ahead_and_a_long_address_are_answered():
    with served(FakeModel(), ServiceSettings()) as service:
        long = REQUEST.replace(b"/health", b"/health?" + b"a" * 8_000) + b"\r\n"
        connection = call(service, long + (REQUEST + b"\r\n") * 6)
        got = b""
        while got.count(b" 200 ") < 7:
            part = connection.recv(65_536)
            assert part
            got += part
        connection.close()


def test_what_follows_a_body_has_a_bound():
    with served(FakeModel(), ServiceSettings()) as service:
        connection = call(service, POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nG\r\n0\r\nX: ")
        # 100 MB, of which the service keeps 16 kB
        assert not all(send(connection, b"x" * 1_000_000) for _ in range(100))
        connection.close()


@pytest.mark.parametrize("number", [1, 2])
def test_an_answer_that_nobody_takes_is_given_up(monkeypatch, number):
    monkeypatch.setattr(FakeModel, "describe", lambda _: {"name": "a" * 30_000_000})
    with served(FakeModel(), SHORT) as service:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((HOST, service.port))
        connection.sendall(MODEL_REQUEST * number)
        wait_until(lambda: open_connections(service)._open)
        wait_until(lambda: not open_connections(service)._open)  # for ever, if it is kept
        connection.close()
