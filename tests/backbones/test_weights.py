"""Fetching weights files, from a server on this machine."""

import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tl_core.backbones import weights
from tl_core.backbones.api import fetch_weights, has_weights, weights_fingerprint
from tl_core.backbones.keras_weights import WEIGHT_FILES, WeightFile
from tl_core.errors import Stopped, WeightsError
from tl_core.progress import Monitor

CONTENT = os.urandom(700_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/silent.h5":
            self.server.silent.wait(600)
            return
        if self.path == "/missing.h5":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unmeasured.h5":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/drip.h5":
            for number in range(len(CONTENT)):
                if self.server.silent.wait(0.01):
                    return
                self.wfile.write(CONTENT[number : number + 1])
        self.wfile.write(CONTENT[:1000] if self.path == "/short.h5" else CONTENT)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Return ``publish(file, checksum)``, which makes a server here offer VGG16's weights."""
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.silent = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def offer(name="whole.h5", checksum=MD5):
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        monkeypatch.setitem(WEIGHT_FILES, "VGG16", WeightFile(url, "vgg16.h5", checksum))
        return tmp_path / "models" / "vgg16.h5"

    yield offer
    server.silent.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(**options):
    return fetch_weights("VGG16", (224, 224), **options)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("checksum", [MD5, SHA256, None], ids=["md5", "sha256", "none"])
def test_a_download_appears_whole_in_keras_folder_with_progress(publish, checksum):
    path = publish(checksum=checksum)
    assert not has_weights("VGG16", (224, 224))
    seen = []
    assert fetch(monitor=Monitor(seen.append, report_seconds=0)) == path
    assert path.read_bytes() == CONTENT
    assert files_in(path.parent) == ["vgg16.h5"]
    assert has_weights("VGG16", (224, 224))
    assert seen[-1].done == seen[-1].total == len(CONTENT)
    assert seen[-1].stage == "download"


def test_a_download_of_unknown_size_is_never_told_as_done(publish):
    publish("unmeasured.h5")
    seen = []
    fetch(monitor=Monitor(seen.append, report_seconds=0))
    assert [progress.share for progress in seen] == [0.0] * len(seen)
    assert (seen[-1].done, seen[-1].total) == (len(CONTENT), 0)


def test_a_file_that_is_there_is_not_fetched_again(publish):
    path = publish("missing.h5")
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch() == path


def test_a_damaged_file_is_replaced_and_kept_when_that_fails(publish):
    path = publish("missing.h5")
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="is damaged or another file"):
        fetch()
    assert path.read_bytes() == CONTENT[:-1]
    publish()
    fetch()
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "checksum", "reason"),
    [
        ("missing.h5", MD5, "Not Found"),
        ("short.h5", None, "not the published one"),
        ("whole.h5", "0" * 32, "not the published one"),
    ],
    ids=["not there", "cut short", "another file"],
)
def test_a_failed_download_says_why_and_leaves_nothing(publish, name, checksum, reason):
    path = publish(name, checksum)
    with pytest.raises(WeightsError, match=reason) as error:
        fetch()
    assert str(path) in str(error.value)
    assert "choose EfficientNetLite0" in str(error.value)
    assert not path.parent.exists() or files_in(path.parent) == []


def test_a_stopped_download_leaves_nothing(publish):
    path = publish()
    with pytest.raises(Stopped):
        fetch(monitor=Monitor(should_stop=lambda: True))
    assert files_in(path.parent) == []


def test_a_server_that_never_answers_is_given_up(publish, monkeypatch):
    assert weights._ANSWER_SECONDS <= 10
    monkeypatch.setattr(weights, "_ANSWER_SECONDS", 0.2)
    publish("silent.h5")
    with pytest.raises(WeightsError, match="cannot be downloaded from"):
        fetch()  # the server would be silent for ten minutes


def test_a_name_look_up_that_hangs_is_given_up_too(publish, monkeypatch):
    publish()
    release = threading.Event()
    monkeypatch.setattr(weights, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: release.wait(600))
    with pytest.raises(WeightsError, match="no answer within"):
        fetch()
    release.set()


def test_a_fingerprint_follows_the_weights(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"one")
    monkeypatch.setattr(weights, "lite_weights_path", lambda name: path)
    first = weights_fingerprint("EfficientNetLite0")
    assert first == "sha256:" + hashlib.sha256(b"one").hexdigest()[:32]
    path.write_bytes(b"another")
    assert weights_fingerprint("EfficientNetLite0") != first
    fingerprints = {weights_fingerprint(name) for name in ("VGG16", "VGG19", "MobileNet", "tiny")}
    assert len(fingerprints) == 4


def test_keras_folder_is_found_by_keras_rules(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "named"))
    assert weights.keras_models_dir() == tmp_path / "named" / "models"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.keras_models_dir() == tmp_path / ".keras" / "models"


def test_bundled_and_test_backbones_need_no_download():
    path = fetch_weights("EfficientNetLite0", (224, 224))
    assert path is not None
    assert path.is_file()
    assert fetch_weights("tiny", (32, 32)) is None
    assert has_weights("tiny", (32, 32))


def test_a_dripping_download_hears_a_stop(publish):
    path = publish("drip.h5")
    seen = []
    with pytest.raises(Stopped):
        fetch(monitor=Monitor(seen.append, lambda: len(seen) > 3, report_seconds=0, poll_seconds=0))
    assert files_in(path.parent) == []


def test_a_dripping_download_is_given_up(publish, monkeypatch):
    monkeypatch.setattr(weights, "_SLOW_SECONDS", 0.1)
    path = publish("drip.h5")
    with pytest.raises(WeightsError, match=r"only [\d,]+ bytes arrived"):
        fetch()
    assert files_in(path.parent) == []
