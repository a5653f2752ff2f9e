"""The runtime is the pinned one to the byte, or it is not used."""

import base64
import hashlib
import io
import tarfile
from types import SimpleNamespace

import pytest

from tl_core.export.web import runtime
from tl_core.export.web.runtime import RuntimeFile, cached_runtime, fetch_runtime


@pytest.fixture
def packages(monkeypatch):
    """Stand in for npm: packages of a few bytes each, pinned to those bytes."""
    contents = {"core.js": b"core", "utils.js": b"utils"}
    members = {"core": ("@litertjs/core", "core.js"), "utils": ("@litertjs/wasm-utils", "utils.js")}
    files = {
        key: RuntimeFile(package, f"dist/{name}", name, len(contents[name]), sha(contents[name]))
        for key, (package, name) in members.items()
    }
    monkeypatch.setattr(runtime, "FILES", files)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: f"/usr/bin/{name}")

    def npm(command, cwd, **options):
        for file in files.values():
            stem = file.package.removeprefix("@").replace("/", "-")
            with tarfile.open(cwd / f"{stem}-{runtime.VERSION}.tgz", "w:gz") as archive:
                member = tarfile.TarInfo(f"package/{file.member}")
                member.size = len(contents[file.name])
                archive.addfile(member, io.BytesIO(contents[file.name]))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(runtime.subprocess, "run", npm)
    return contents


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_it_is_fetched_once(packages, tmp_path, monkeypatch):
    assert cached_runtime(tmp_path) is None
    assert fetch_runtime(tmp_path) == ""
    assert cached_runtime(tmp_path) == {"core.js": b"core", "utils.js": b"utils"}
    monkeypatch.setattr(runtime.subprocess, "run", None)  # would raise
    assert fetch_runtime(tmp_path) == ""


def test_another_file_under_the_same_name_is_refused(packages, tmp_path):
    packages["utils.js"] = b"evil!"
    assert "not the expected file" in fetch_runtime(tmp_path)
    assert cached_runtime(tmp_path) is None


def test_a_changed_file_of_the_cache_is_fetched_again(packages, tmp_path):
    fetch_runtime(tmp_path)
    (runtime.runtime_dir(tmp_path) / "core.js").write_bytes(b"corf")
    assert cached_runtime(tmp_path) is None
    assert fetch_runtime(tmp_path) == ""
    assert cached_runtime(tmp_path)["core.js"] == b"core"


def test_without_npm_or_a_network_there_is_a_reason(packages, tmp_path, monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="npm warn x\nnpm error ENOTFOUND registry\n")
    monkeypatch.setattr(runtime.subprocess, "run", lambda *args, **options: failed)
    assert fetch_runtime(tmp_path) == "npm could not download it (npm error ENOTFOUND registry)"
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    assert fetch_runtime(tmp_path) == "npm is not installed"


def test_the_digest_is_written_as_browsers_take_it():
    file = runtime.FILES["wasm"]
    digest = base64.b64decode(file.integrity.removeprefix("sha256-"))
    assert digest.hex() == file.sha256
    assert file.cdn_url.startswith("https://cdn.jsdelivr.net/npm/@litertjs/core@2.5.3/")
