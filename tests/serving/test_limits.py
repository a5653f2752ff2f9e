"""What is refused, what waits, and how the service stops."""

import io
import json
import logging
import socket
import threading

import pytest
from made_service import GIF, HOST, JSON, MULTIPART, FakeModel, multipart, served, wait_until

from tl_core.errors import ExportError
from tl_core.serving import logs
from tl_core.serving.settings import ServiceSettings

LIMITS = ServiceSettings(
    max_bytes=100_000, max_images=3, max_queue=4, read_seconds=1, max_buffered_bytes=250_000
)
ONE = {"Content-Type": "image/gif"}


@pytest.fixture(scope="module")
def service():
    with served(FakeModel(), LIMITS) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/predict?top_k=0", 400, "bad_parameter"),
        ("/predict?top_k=many", 400, "bad_parameter"),
        ("/nowhere", 404, "no_path"),
        ("/health", 405, "no_method"),
    ],
)
def test_wrong_paths_and_parameters_are_refused_in_the_same_form(service, path, status, code):
    answer = service.ask(path, GIF, ONE)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def image_json(*images):
    return json.dumps({"images": images}).encode()


@pytest.mark.parametrize(
    ("status", "code", "body", "headers"),
    [
        (413, "too_many_images", multipart(*[GIF] * 4), MULTIPART),
        (413, "too_many_images", image_json(*["R0lG"] * 4), JSON),
        (413, "body_too_large", bytes(100_001), ONE),
        (413, "body_too_large", iter([bytes(60_000)] * 2), ONE),
        (413, "too_many_values", b"[" + b"[]," * 30_000 + b"1]", JSON),
        (415, "content_encoding", GIF, {**ONE, "Content-Encoding": "gzip"}),
        (415, "content_type", GIF, {"Content-Type": "application/x-www-form-urlencoded"}),
        (415, "content_type", GIF, {}),
        (400, "no_images", multipart(), MULTIPART),
        (400, "no_images", image_json(), JSON),
        (400, "not_multipart", multipart(GIF)[:-10], MULTIPART),
        (400, "not_multipart", multipart(GIF), {"Content-Type": "multipart/form-data"}),
        (400, "not_multipart", b"junk before the first boundary", MULTIPART),
        (400, "not_json", b"{", JSON),
        (400, "not_json", b"\xff\xfe", JSON),
        (400, "not_json", b"[" * 5_000, JSON),
        (400, "not_json", b'{"images": [NaN]}', JSON),
        (400, "not_images", b'{"images": "R0lG"}', JSON),
        (400, "not_images", b'{"pictures": []}', JSON),
    ],
)
def test_what_is_no_request_is_refused_with_a_word_and_a_sentence(
    service, status, code, body, headers
):
    answer = service.ask("/predict", body, headers)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("text", ["not base64!", "R0lG\n", "R0l", 7, None, ["R0lG"], "ä"])
def test_what_is_no_base64_is_an_unreadable_image(service, text):
    answer = service.ask("/predict", image_json(text), JSON)
    assert answer.status == 422
    assert answer.json["predictions"][0]["error"].startswith("Expected an image file in base64")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"shape": [2]},
        {"shape": [0]},
        {"shape": [10**12]},
        {"shape": "1"},
        {"datatype": "FP32"},
        {"datatype": "UINT8", "shape": [1, 224, 224, 3]},
        {"datatype": "UINT8", "shape": [1, 4, 6, 3], "data": [256] * 72},
        {"datatype": "UINT8", "shape": [1, 4, 6, 3], "data": [0.5] * 72},
        {"datatype": "UINT8", "shape": [1, 4, 6, 3], "data": [0] * 71},
        {"datatype": "UINT8", "shape": [1, 4, 6, 3], "data": [[0], [0, 0]]},
        {"data": 5},
        {"data": None, "parameters": {"binary_data_size": 10}},
    ],
)
def test_a_wrong_input_of_the_inference_protocol_is_refused(service, change):
    given = {"name": "images", "shape": [1], "datatype": "BYTES", "data": ["R0lG"], **change}
    body = json.dumps({"inputs": [given]}).encode()
    answer = service.ask("/v2/models/fake/infer", body, JSON)
    assert answer.status == 400
    assert list(answer.json) == ["error"]


@pytest.mark.parametrize("length", ["-1", "x", "999", "1" * 5000])
def test_a_wrong_length_of_the_json_is_refused(service, length):
    headers = {**JSON, "Inference-Header-Content-Length": length}
    assert service.ask("/v2/models/fake/infer", b"{}", headers).status == 400


def raw(service, data):
    connection = socket.create_connection((HOST, service.port), timeout=60)
    connection.sendall(data)
    return connection


def read_all(connection):
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_slow_clients_do_not_hold_their_connections(service):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/gif\r\n"
    silent = raw(service, b"")
    slow_header = raw(service, head)
    slow_body = raw(service, head + b"Content-Length: 50\r\n\r\nGIF89a")
    assert service.ask("/predict", GIF, ONE).status == 200
    assert read_all(silent) == b""
    assert read_all(slow_header) == b""
    assert b" 408 " in read_all(slow_body).partition(b"\r\n")[0]


def test_a_body_without_length_is_refused(service):
    with raw(service, b"POST /predict HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert b" 411 " in connection.recv(65536).partition(b"\r\n")[0]


def test_an_endless_header_ends_the_connection(service):
    connection = raw(service, b"GET /health HTTP/1.1\r\nX-Long: ")
    for _ in range(20):
        try:
            connection.sendall(b"x" * 8192)
        except OSError:
            break
    try:
        answer = read_all(connection)
    except ConnectionResetError:
        answer = b""
    assert answer == b"" or b" 400 " in answer.partition(b"\r\n")[0]
    assert service.ask("/health").status == 200


def test_a_full_queue_is_answered_503_and_what_waits_is_answered_later():
    model = FakeModel()
    with served(model, LIMITS) as service:
        model.may_compute.clear()
        answers = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(
                    service.ask("/predict", multipart(GIF, GIF), MULTIPART)
                )
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: service.ask("/health").json["waiting_images"] == 3)
        refused = service.ask("/predict", multipart(GIF, GIF), MULTIPART)
        model.may_compute.set()
        for thread in threads:
            thread.join(60)
    assert (refused.status, refused.json["error"]["code"]) == (503, "queue_full")
    assert int(refused.headers["Retry-After"]) >= 1
    assert [answer.status for answer in answers] == [200, 200]


def test_images_of_a_client_that_went_away_are_not_computed():
    model = FakeModel()
    with served(model, LIMITS) as service:
        model.may_compute.clear()
        first = threading.Thread(target=lambda: service.ask("/predict", GIF, ONE))
        first.start()
        assert model.started.acquire(timeout=60)
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/gif\r\n"
        with raw(service, head + b"Content-Length: 6\r\n\r\nGIF89a"):
            wait_until(lambda: service.ask("/health").json["waiting_images"] == 1)
        metrics = b'tl_requests_total{route="/predict",status="400"} 1.0'
        wait_until(lambda: metrics in service.ask("/metrics").body)
        model.may_compute.set()
        first.join(60)
        assert service.ask("/predict", GIF, ONE).status == 200
    assert model.seen == [GIF, GIF]


def test_a_stop_answers_what_runs_and_takes_nothing_new():
    model = FakeModel()
    with served(model, LIMITS) as service:
        model.may_compute.clear()
        answers = []
        asking = threading.Thread(target=lambda: answers.append(service.ask("/predict", GIF, ONE)))
        asking.start()
        assert model.started.acquire(timeout=60)
        service.server.should_exit = True
        wait_until(lambda: not service.server.servers[0].is_serving())
        model.may_compute.set()
        asking.join(60)
        service.stop()
        with pytest.raises(ConnectionError):
            service.ask("/health")
    assert [answer.status for answer in answers] == [200]


def test_a_model_that_fails_is_reported_and_may_recover():
    model = FakeModel(error=ExportError("the backbone broke"))
    with served(model, LIMITS) as service:
        failed = service.ask("/predict", GIF, ONE)
        health = service.ask("/health").status, service.ask("/v2/health/ready").status
        model.error = None
        assert service.ask("/predict", GIF, ONE).status == 200
        assert service.ask("/health").status == 200
    assert (failed.status, failed.json["error"]["code"]) == (500, "failed")
    assert b"backbone" not in failed.body
    assert health == (503, 503)


def test_a_key_is_asked_for_everywhere_but_by_probes():
    with served(FakeModel(), LIMITS, key="secret") as service:
        paths = ("/predict", "/model", "/metrics", "/v2/models/fake", "/nowhere")
        assert [service.ask(path).status for path in paths] == [401] * 5
        assert service.ask("/predict", GIF, ONE).json["error"]["code"] == "no_key"
        for given in ({"Authorization": "Bearer secret"}, {"X-API-Key": "secret"}):
            assert service.ask("/predict", GIF, {**ONE, **given}).status == 200
        wrong = {"Authorization": "Bearer wrong"}, {"X-API-Key": "s\u00e9cret"}, {"X-API-Key": ""}
        assert [service.ask("/model", headers=one).status for one in wrong] == [401] * 3
        open_paths = ("/health", "/v2/health/live", "/v2/health/ready", "/openapi.json")
        assert [service.ask(path).status for path in open_paths] == [200] * 4


def test_logs_are_json_with_ids_and_without_names(service):
    stream, before = io.StringIO(), {}
    for name in logs._LOGGERS:
        logger = logging.getLogger(name)
        before[logger] = logger.handlers, logger.propagate, logger.level
    logs.set_up_logs(stream)
    try:
        named = multipart(GIF, b"bad", name="../../etc/my-secret.jpg")
        service.ask("/predict", named, {**MULTIPART, "X-Request-ID": "mine-1"})
        service.ask("/my-secret", headers={"X-Request-ID": "not allowed\t"})
        wait_until(lambda: stream.getvalue().count("\n") == 2)  # written after the answer is sent
    finally:
        for logger, (handlers, propagate, level) in before.items():
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["request_id"] == "mine-1"
    assert (first["route"], first["status"]) == ("/predict", 200)
    assert (first["images"], first["unreadable"], first["bytes"]) == (2, 1, len(named))
    assert (second["route"], second["status"]) == ("unknown", 404)
    assert len(second["request_id"]) == 32
    assert "secret" not in stream.getvalue()


def test_metrics_count_images_and_requests():
    with served(FakeModel(), LIMITS) as service:
        service.ask("/predict", multipart(GIF, b"bad", GIF), MULTIPART)
        counted = b'tl_requests_total{route="/predict",status="200"} 1.0'
        wait_until(lambda: counted in service.ask("/metrics").body)
        text = service.ask("/metrics").body.decode()
    assert 'tl_images_total{outcome="answered"} 2.0' in text
    assert 'tl_images_total{outcome="unreadable"} 1.0' in text
    assert "tl_waiting_images 0.0" in text
    assert "tl_buffered_bytes 0.0" in text


def test_the_description_of_the_interface_names_all_paths(service):
    paths = service.ask("/openapi.json").json["paths"]
    assert {"/predict", "/model", "/health", "/metrics", "/v2/models/{name}/infer"} <= set(paths)
    assert set(paths["/predict"]["post"]["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
        "image/*",
    }
    assert b"swagger" in service.ask("/docs").body
