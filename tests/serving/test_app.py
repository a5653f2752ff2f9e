"""A real run and its bundle, served: the answers are those of the app."""

import base64
import json
import subprocess
import sys

import numpy as np
import pytest
from made_export import make_export_run
from made_service import JSON, MULTIPART, multipart, served

from tl_core.data.images.images import load_image
from tl_core.export.model_info import describe_run, write_model_info
from tl_core.export.writers import Writing, write_bundle
from tl_core.inference.predict import load_predictor
from tl_core.serving.model import open_model

BAD = b"no image at all"
TOLERANCE = 1e-5  # the last digits depend on how many images are answered together


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"), image_size=(40, 64), resize="pad")


@pytest.fixture(scope="module")
def photos(run):
    return [(run.data_dir / name / "0.png").read_bytes() for name in ("cat", "dog", "fox")]


@pytest.fixture(scope="module")
def expected(run, photos):
    return load_predictor(run.run_dir, run.workspace.cache_dir).predict(photos)


@pytest.fixture(scope="module")
def service(run):
    model = open_model(run.run_dir, run.workspace.cache_dir, name="pets", num_workers=2)
    with served(model) as running:
        yield running


def same_as(expected, answer):
    names = [
        (one["class_name"], pytest.approx(one["probability"], abs=TOLERANCE))
        for one in answer["top"]
    ]
    return (
        list(expected.top) == names
        and expected.is_none_of_these == answer["none_of_these"]
        and list(expected.reasons) == answer["reasons"]
    )


def encoded(data):
    return base64.b64encode(data).decode()


def bytes_input(data, count, **more):
    return {"name": "images", "shape": [count], "datatype": "BYTES", "data": data, **more}


def infer(service, body, headers=JSON):
    return service.ask("/v2/models/pets/infer", body, headers)


def test_many_images_are_answered_as_the_app_does_and_a_bad_one_with_its_reason(
    service, photos, expected
):
    answer = service.ask("/predict", multipart(*photos[:2], BAD, photos[2]), MULTIPART)
    assert answer.status == 200
    rows = answer.json["predictions"]
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    for one, row in zip(expected, (rows[0], rows[1], rows[3]), strict=True):
        assert same_as(one, row)
    assert rows[2] == {
        "index": 2,
        "error": "It is a text file, not a picture. Look for the picture itself.",
    }


def test_base64_and_single_files_get_the_same_answer(service, photos, expected):
    urls = [encoded(photos[0]), f"data:image/png;base64,{encoded(photos[1])}"]
    answer = service.ask("/predict", json.dumps({"images": urls}).encode(), JSON).json
    assert [same_as(*pair) for pair in zip(expected, answer["predictions"], strict=False)] == [
        True,
        True,
    ]
    single = service.ask("/predict?top_k=1", photos[2], {"Content-Type": "image/png"}).json
    [row] = single["predictions"]
    assert row["top"] == [
        {
            "class_name": expected[2].top[0][0],
            "probability": pytest.approx(expected[2].top[0][1], abs=TOLERANCE),
        }
    ]


def test_a_damaged_image_among_no_good_ones_is_answered_422(service, photos):
    answer = service.ask("/predict", multipart(photos[0][:100], BAD), MULTIPART)
    assert answer.status == 422
    assert [list(row) for row in answer.json["predictions"]] == [["index", "error"]] * 2


def test_a_bundle_answers_as_its_run(run, photos, expected, tmp_path):
    write_bundle(Writing(run, describe_run(run), tmp_path, run.workspace.cache_dir))
    write_model_info(tmp_path, describe_run(run))
    model = open_model(tmp_path, run.workspace.cache_dir, num_workers=2)
    with served(model) as service:
        answer = service.ask("/predict", multipart(*photos), MULTIPART).json
        described = service.ask("/model").json
    assert all(same_as(*pair) for pair in zip(expected, answer["predictions"], strict=True))
    assert described["class_names"] == ["cat", "dog", "fox"]
    assert described["image_size"] == [40, 64]
    assert str(tmp_path) not in json.dumps(described)


@pytest.mark.parametrize("form", ["json", "binary", "pixels", "pixels in json"])
def test_the_open_inference_protocol_gives_the_same_probabilities(service, photos, expected, form):
    if form == "pixels in json":
        photos, expected = photos[:1], expected[:1]
    headers, rest, count = dict(JSON), b"", len(photos)
    pixels = np.stack([load_image(one, (40, 64), "pad") for one in photos])
    if form == "json":
        given = bytes_input([encoded(one) for one in photos], count)
    elif form == "binary":
        rest = b"".join(len(one).to_bytes(4, "little") + one for one in photos)
        given = bytes_input([], count, parameters={"binary_data_size": len(rest)})
        del given["data"]
    else:
        given = {"name": "images", "shape": [count, 40, 64, 3], "datatype": "UINT8"}
        if form == "pixels":
            rest = pixels.tobytes()
            given["parameters"] = {"binary_data_size": len(rest)}
        else:
            given["data"] = pixels.ravel().tolist()
    document = json.dumps({"id": "7", "inputs": [given]}).encode()
    if rest:
        headers["Inference-Header-Content-Length"] = str(len(document))
    answer = infer(service, document + rest, headers)
    assert answer.status == 200, answer.body
    outputs = {one["name"]: one for one in answer.json["outputs"]}
    assert answer.json["id"] == "7"
    assert outputs["probabilities"]["shape"] == [count, 3]
    probabilities = np.stack([one.probabilities for one in expected])
    assert outputs["probabilities"]["data"] == pytest.approx(
        probabilities.ravel().tolist(), abs=TOLERANCE
    )
    assert outputs["class_name"]["data"] == [one.top[0][0] for one in expected]
    assert outputs["none_of_these"]["data"] == [one.is_none_of_these for one in expected]


def test_the_open_inference_protocol_describes_server_and_model(service):
    assert service.ask("/v2/health/live").json == {"live": True}
    assert service.ask("/v2/health/ready").status == 200
    assert service.ask("/v2").json["name"] == "tl_core"
    assert service.ask("/v2/models/pets/ready").status == 200
    described = service.ask("/v2/models/pets").json
    assert [one["shape"] for one in described["inputs"]] == [[-1], [-1, 40, 64, 3]]
    assert service.ask("/v2/models/other").status == 404


def test_one_unreadable_image_refuses_an_inference_request(service, photos):
    document = {"inputs": [bytes_input([encoded(photos[0]), encoded(BAD)], 2)]}
    answer = infer(service, json.dumps(document).encode())
    assert answer.status == 400
    assert answer.json["error"].startswith("Image 1: It is a text file")


def test_serving_loads_neither_tensorflow_nor_streamlit(run):
    code = (
        "import sys; from pathlib import Path\n"
        "from tl_core.serving.app import create_app\n"
        "from tl_core.serving.model import open_model\n"
        f"model = open_model(Path({str(run.run_dir)!r}), Path({str(run.workspace.cache_dir)!r}))\n"
        "create_app(model)\n"
        "heavy = {'tensorflow', 'keras', 'streamlit', 'pandas', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stderr
