"""What is written for the page: complete, checked, harmless whatever the names are."""

import json
import re

import numpy as np
import pytest
from made_export import make_export_run
from PIL import Image

from tl_core.export.model_info import describe_run, write_model_info
from tl_core.export.web import folder as web_folder
from tl_core.export.web.card import describe, make_card
from tl_core.export.web.folder import content_policy, write_web
from tl_core.export.writers import Writing
from tl_core.head.out_of_distribution import load_detector
from tl_core.inference.predict import load_head

HOSTILE = '<img src=x onerror="alert(1)"> & "{{policy}}"'


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"), image_size=(40, 64))


@pytest.fixture(scope="module")
def site(run, tmp_path_factory):
    """Return a page without npm, of a run with a hostile name."""
    folder = tmp_path_factory.mktemp("site")
    info = describe_run(run).model_copy(update={"name": HOSTILE})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web_folder, "fetch_runtime", lambda cache_dir: "npm is not installed")
        writing = Writing(run, info, folder, run.workspace.cache_dir, with_examples=True)
        write_web(writing, "float32")
    write_model_info(folder, info)
    return folder


def read(site, name):
    return json.loads((site / name).read_text(encoding="utf-8"))


def test_all_that_the_page_refers_to_is_there(site):
    player = read(site, "player.json")
    for file in (player["model"], player["head"], player["known"]):
        assert (site / file["url"]).stat().st_size == file["bytes"]
    for example in player["examples"]:
        assert (site / example["url"]).exists()
    page = (site / "index.html").read_text(encoding="utf-8")
    for reference in re.findall(r'(?:href|src)="([^"#]+)"', page):
        assert (site / reference).exists(), reference
    for path in (site / "player").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r'(?:from |import\()"\./([^"]+)"', text):
            assert (site / "player" / name).exists(), name


def test_offline_use_keeps_every_file_that_the_page_loads(site):
    text = (site / "sw.js").read_text(encoding="utf-8")
    kept = set(json.loads(re.search(r"const FILES = (\[.*?\]);", text, re.DOTALL)[1]))
    written = {p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()}
    assert written - kept == {"sw.js", "index.html"}  # the page itself is kept as ./
    assert {"./", *(url for url in kept if url.startswith("https://"))} == kept - written
    assert "{{" not in text


def test_without_npm_the_runtime_comes_from_one_pinned_host(site):
    player = read(site, "player.json")
    for file in player["runtime"].values():
        assert re.match(r"https://cdn\.jsdelivr\.net/npm/@litertjs/[a-z-]+@2\.5\.3/", file["url"])
        assert file["integrity"].startswith("sha256-")
    assert not (site / "runtime").exists()
    policy = (site / "policy.js").read_text(encoding="utf-8")
    assert "connect-src 'self' blob: https://cdn.jsdelivr.net;" in policy
    assert "https:" not in content_policy()


def test_a_name_is_text_wherever_it_stands(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;") == 2  # title and heading
    assert page.index("policy.js") < page.index("player/app.js")
    assert read(site, "app.webmanifest")["name"] == HOSTILE


def test_the_head_and_the_known_photos_are_those_of_the_run(site, run):
    player, head = read(site, "player.json"), load_head(run)
    content = (site / player["head"]["url"]).read_bytes()
    shapes = player["head"]["layers"]
    names = sorted({name.partition("/")[0] for name in head})  # fc_0 before predictions
    assert shapes == [list(head[f"{name}/kernel"].shape) for name in names]
    offset, floats = 0, []
    for inputs, outputs in shapes:
        for count in (inputs, outputs):
            floats.append(np.frombuffer(content, "<f4", count, offset))
            offset += 4 * count
    for number, (name, (inputs, outputs)) in enumerate(zip(names, shapes, strict=True)):
        kernel = np.frombuffer(content, np.int8, inputs * outputs, offset).reshape(inputs, outputs)
        offset += kernel.size
        scales, bias = floats[2 * number : 2 * number + 2]
        expected = head[f"{name}/kernel"]
        step = np.abs(expected).max() / 127
        np.testing.assert_allclose(kernel * scales[:, None], expected, atol=step)
        np.testing.assert_array_equal(bias, head[f"{name}/bias"])
    assert offset == len(content)
    known = load_detector(run.run_dir)
    assert [player["known"][key] for key in ("count", "dim")] == list(known.anchors.shape)


def test_no_photo_goes_into_a_page_unless_it_is_wanted(run, tmp_path, monkeypatch):
    monkeypatch.setattr(web_folder, "fetch_runtime", lambda cache_dir: "npm is not installed")
    write_web(Writing(run, describe_run(run), tmp_path, run.workspace.cache_dir))
    assert read(tmp_path, "player.json")["examples"] == []
    assert not (tmp_path / "examples").exists()


def test_examples_are_test_photos_of_every_class_without_metadata(site, run):
    examples = read(site, "player.json")["examples"]
    assert [one["name"] for one in examples][:3] == [
        f"Example of {n}" for n in ("cat", "dog", "fox")
    ]
    assert len(examples) == 6
    for one in examples:
        with Image.open(site / one["url"]) as image:
            assert image.format == "JPEG"
            assert not image.getexif()


def test_a_run_on_16_bit_photos_says_that_browsers_read_8(run):
    info = describe_run(run)
    titles = [note["title"] for note in make_card(run, info, "float16", "")["notes"]]
    assert "16-bit photos" not in titles
    deep = info.model_copy(update={"pixel_scale": (0.0, 4095.0)})
    notes = {note["title"]: note["text"] for note in make_card(run, deep, "float16", "")["notes"]}
    assert "upper 8 bits" in notes["16-bit photos"]


def test_a_description_names_a_few_classes():
    assert describe(["a", "b"]) == "Tells apart 2 classes: a, b."
    assert describe(list("abcdefgh")) == "Tells apart 8 classes: a, b, c, d, e, f and 2 more."
