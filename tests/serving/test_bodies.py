"""What the body of a request may cost: its own size a few times, and no call for each byte."""

import json
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from made_service import GIF, JSON, MULTIPART, FakeModel, multipart, served, wait_until

from tl_core.serving import app as app_module
from tl_core.serving import images as images_module
from tl_core.serving import open_inference
from tl_core.serving.body import PARSED_AT_ONCE
from tl_core.serving.images import images_in_body
from tl_core.serving.open_inference import InferRequest
from tl_core.serving.refusal import Refusal

SHORT = "multipart/form-data; boundary=a"
HEAD = b'Content-Disposition: form-data; name="images"'
MODEL = FakeModel(image_size=(2, 3))  # 18 numbers an image
FLAT = list(range(18))
NESTED = [[[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[9, 10, 11], [12, 13, 14], [15, 16, 17]]]]


def pixels(data):
    """Return the image of a request with pixels in JSON."""
    given = {"name": "images", "shape": [1, 2, 3, 3], "datatype": "UINT8", "data": data}
    [image] = InferRequest(json.dumps({"inputs": [given]}).encode(), None, MODEL, 4).images
    return image


def binary(rest, count):
    """Return the images of a request with files after the JSON."""
    given = {"name": "images", "shape": [count], "datatype": "BYTES"}
    given["parameters"] = {"binary_data_size": len(rest)}
    document = json.dumps({"inputs": [given]}).encode()
    return InferRequest(document + rest, str(len(document)), MODEL, 4).images


def peak_bytes(function):
    """Return the most memory that a call takes, which ends in a refusal."""
    tracemalloc.start()
    try:
        with pytest.raises(Refusal):
            function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [FLAT, NESTED], ids=["flat", "nested"])
def test_pixels_in_json_come_flat_or_as_their_shape_says(data):
    assert np.array_equal(pixels(data), np.arange(18, dtype=np.uint8).reshape(2, 3, 3))


@pytest.mark.parametrize(
    "data",
    [
        [FLAT],
        NESTED[0],
        [[[[0] * 3] * 3, [[0] * 3] * 2 + [[0] * 2]]],
        [[[[0] * 3] * 3, 5]],
        [*FLAT[:17], True],
        [*FLAT[:17], "1"],
        [*FLAT[:17], 1.0],
        [*FLAT[:17], None],
        [*FLAT[:17], -1],
        [*FLAT[:17], 256],
        [*FLAT[:17], 10**30],
        FLAT[:17],
        [],
        {},
        7,
    ],
)
def test_pixels_in_json_of_another_shape_or_kind_are_refused(data):
    with pytest.raises(Refusal, match="whole numbers from 0 to 255"):
        pixels(data)


def test_texts_in_place_of_pixels_take_no_memory_for_each_of_them():
    # an array of them would take 18 times 4 MB
    assert peak_bytes(lambda: pixels(["a" * 1_000_000, *[""] * 17])) < 8_000_000


def test_files_are_read_up_to_the_number_that_is_announced():
    files = [GIF, GIF + b"2"]
    rest = b"".join(len(one).to_bytes(4, "little") + one for one in files)
    assert binary(rest, 2) == files
    for count in (1, 3):
        with pytest.raises(Refusal, match=f"The shape says {count} images"):
            binary(rest, count)
    # the body twice, 4 MB each, and no list of a million empty files, 8 MB
    assert peak_bytes(lambda: binary(bytes(4_000_000), 1)) < 10_000_000


def test_texts_are_decoded_only_if_there_are_as_many_as_announced(monkeypatch):
    for module in (images_module, open_inference):
        monkeypatch.setattr(module, "decode_base64", lambda _: pytest.fail("decoded"))
    texts = ["R0lG"] * 5
    given = {"name": "images", "shape": [1], "datatype": "BYTES", "data": texts}
    with pytest.raises(Refusal, match="The shape says 1 images, 'data' has 5"):
        InferRequest(json.dumps({"inputs": [given]}).encode(), None, MODEL, 4)
    with pytest.raises(Refusal, match="at most 4 images"):
        images_in_body(json.dumps({"images": texts}).encode(), "application/json", 4)


def part(content):
    return HEAD + b"\r\n\r\n" + content


ALMOST = GIF + b"\r\n--aX\r\n--b\r\n-"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"--a\r\n" + part(GIF) + b"\r\n--a--\r\n", [GIF]),
        (b"\r\n--a\r\n" + part(GIF) + b"\r\n--a--", [GIF]),
        (b"--a\r\n\r\n" + GIF + b"\r\n--a--and what nobody reads", [GIF]),
        (b"--a\r\n" + part(GIF) + b"\r\n--a\r\n" + part(ALMOST) + b"\r\n--a--", [GIF, ALMOST]),
        (b"--a\r\n" + part(GIF + b"\r\n\r\n") + b"\r\n--a--", [GIF + b"\r\n\r\n"]),
    ],
    ids=["one", "empty line first", "no header", "almost a boundary", "empty lines"],
)
def test_the_parts_of_a_body_are_what_stands_between_its_boundaries(body, expected):
    assert images_in_body(body, SHORT, 2) == expected


def test_an_empty_part_is_an_empty_file():
    [found] = images_in_body(b"--a\r\n" + part(b"") + b"\r\n--a--", SHORT, 1)
    assert str(found).startswith("The file is empty")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "damaged"),
        (b"--b\r\n" + part(GIF) + b"\r\n--b--", "damaged"),
        (b"--a\r\n" + HEAD + b"\r\n--a--", "damaged"),
        (b"--a\r\n" + HEAD + b"\r\n--a\r\n" + part(GIF) + b"\r\n--a--", "damaged"),
        (b"--a\r\n" + part(GIF), "truncated"),
        (b"--a\r\n" + part(GIF) + b"\r\n--a", "truncated"),
        (b"--a\r\n" + part(GIF) + b"\r\n--a\r\n" + HEAD, "truncated"),
    ],
)
def test_a_damaged_multipart_body_is_refused(body, message):
    with pytest.raises(Refusal, match=message):
        images_in_body(body, SHORT, 2)


@pytest.mark.parametrize("almost", [b"\r\n--aX", b"\r\n--", b"\r\n"])
def test_a_body_full_of_what_may_be_a_boundary_takes_no_call_for_each(almost):
    body = b"--a\r\n" + part(GIF + almost * 20_000) + b"\r\n--a--"
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        found = images_in_body(body, SHORT, 1)
    finally:
        sys.setprofile(None)
    assert found == [GIF + almost * 20_000]
    assert calls < 1_000


def test_a_content_type_has_a_bound():
    with pytest.raises(Refusal) as refused:
        images_in_body(GIF, "image/gif; " + "a" * 1_000, 1)
    assert refused.value.code == "content_type"


def test_a_large_body_is_parsed_beside_what_else_is_asked_and_alone(monkeypatch):
    names, may_go_on = [], threading.Event()

    def parse_slowly(body, *others):
        if len(body) > PARSED_AT_ONCE:
            names.append(threading.current_thread())
            assert may_go_on.wait(20)
        return images_in_body(body, *others)

    monkeypatch.setattr(app_module, "images_in_body", parse_slowly)
    large = multipart(GIF + bytes(PARSED_AT_ONCE))
    with served(FakeModel()) as service:
        answers = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(service.ask("/predict", large, MULTIPART).status)
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        held = f"tl_buffered_bytes {float(2 * len(large))}".encode()
        wait_until(lambda: names and held in service.ask("/metrics").body)
        assert service.ask("/health").status == 200
        assert service.ask("/predict", multipart(GIF), MULTIPART).status == 200
        assert (len(names), answers) == (1, [])
        may_go_on.set()
        for thread in threads:
            thread.join(60)
    assert answers == [200, 200]
    assert len(names) == 2


def test_a_large_inference_request_is_parsed_in_a_thread_too(monkeypatch):
    threads = []

    class Noting(InferRequest):
        def __init__(self, *given):
            threads.append(threading.current_thread())
            super().__init__(*given)

    monkeypatch.setattr(app_module, "InferRequest", Noting)
    with served(FakeModel()) as service:
        for text in ("R0lG", "R0lG" * (PARSED_AT_ONCE // 4)):
            given = {"name": "images", "shape": [1], "datatype": "BYTES", "data": [text]}
            service.ask("/v2/models/fake/infer", json.dumps({"inputs": [given]}).encode(), JSON)
        loop, other = threads
        assert loop is service.thread
        assert other is not service.thread
