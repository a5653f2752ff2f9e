"""The rows of ``benchmarks.reliability --alone``: the same faults with Keras, Pillow and Streamlit.

Each runs a small script as their documentation shows it, and returns what happened.
"""

from __future__ import annotations

import csv
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.request
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.reliability_rows import Options

HANG_SECONDS = 60
UPLOAD_MB = 200
UPLOAD_SECONDS = 420  # for which the memory of an upload is watched


def _python(code: str, *words: object, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )


def _last(done: subprocess.CompletedProcess[str]) -> str:
    """Return how a script ended: its last line, of its output or its traceback."""
    text = done.stdout if done.returncode == 0 else done.stderr
    return (text.strip().splitlines() or [""])[-1][:160]


def pillow_alone(options: Options) -> str:
    """What ``Image.open(path).convert("RGB")`` does with the corpus."""
    if options.corpus is None:
        return "skipped: no --corpus"
    with (options.corpus / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    verdicts: Counter[str] = Counter()
    for row in rows:
        command = "import sys; from PIL import Image; Image.open(sys.argv[1]).convert('RGB')"
        try:
            done = subprocess.run(
                [sys.executable, "-c", command, str(options.corpus / row["file"])],
                capture_output=True,
                text=True,
                timeout=60,
            )
            last = (done.stderr.strip().splitlines() or [""])[-1].split(":")[0].rpartition(".")[2]
            verdicts["read" if done.returncode == 0 else last or "killed"] += 1
        except subprocess.TimeoutExpired:
            verdicts["over 60 s"] += 1
    return ", ".join(f"{name} {count}" for name, count in verdicts.most_common())


def pillow_large(_: Options) -> str:
    """What ``Image.open(path).convert("RGB")`` does with a PNG of 170 and of 200 megapixels."""
    code = """
        import resource, sys
        from PIL import Image
        Image.open(sys.argv[1]).convert("RGB")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000, "MB")
        """
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for width, height in ((17_000, 10_000), (20_000, 10_000)):
            path = Path(folder) / f"{width}.png"
            Image.new("RGBA", (width, height)).save(path, compress_level=1)
            told.append(f"{width * height // 10**6} megapixels: {_last(_python(code, path))}")
    return "; ".join(told)


def pillow_odd(options: Options) -> str:
    """What ``convert("RGB")`` makes of a photo with a rotation in its EXIF, and of 16-bit grey."""
    photo, grey = options.folder / "turned.jpg", options.folder / "grey.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (60, 40)).save(photo, exif=exif)
    Image.fromarray(np.arange(0, 65_536, 64, dtype=np.uint16).reshape(32, 32)).save(grey)
    size = Image.open(photo).convert("RGB").size
    white = (np.asarray(Image.open(grey).convert("RGB")) == 255).mean()
    return (
        f"60 x 40 pixels to be turned by a quarter come as {size[0]} x {size[1]}; of a grey ramp "
        f"of 16 bits {white:.1%} come out white"
    )


_FIT = """
    import keras, sys
    data = keras.utils.image_dataset_from_directory(sys.argv[1], image_size=(32, 32), verbose=False)
    layers = [keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data, epochs=1, verbose=0)
    print("trained")
    """


def keras_bad_files(options: Options) -> str:
    """``image_dataset_from_directory`` and ``fit`` on a folder with 20 % damaged files."""
    data_dir = options.folder / "keras_bad"
    shutil.copytree(options.photos(), data_dir)
    for number, path in enumerate(sorted(data_dir.rglob("*.*g"))[::5]):
        whole = path.read_bytes()
        path.write_bytes([b"", whole[: len(whole) // 2], b"\0" * 400, b"<html>"][number % 4])
    done = _python(_FIT, data_dir)
    return "trained" if done.returncode == 0 else f"no epoch ends: {_last(done)}"


_RESUMABLE = """
    import json, os, pathlib, sys
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import keras, numpy
    folder, dies = pathlib.Path(sys.argv[1]), len(sys.argv) > 2
    keras.utils.set_random_seed(0)
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(400, 20)).astype("float32")
    y = (x[:, 0] + rng.normal(size=400) > 0).astype("int32")
    layers = [keras.layers.Input((20,)), keras.layers.Dense(64, "relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if dies and epoch == 12:
                os.kill(os.getpid(), 9)
    best = keras.callbacks.ModelCheckpoint(
        folder / "best.keras", monitor="val_loss", save_best_only=True
    )
    kept = keras.callbacks.BackupAndRestore(folder / "backup")
    history = model.fit(x, y, epochs=24, validation_split=0.3, verbose=0,
                        callbacks=[best, kept, Kill()])
    best = keras.models.load_model(folder / "best.keras").evaluate(x[280:], y[280:], verbose=0)
    print(json.dumps([len(history.history["loss"]), round(best[0], 5),
                      round(float(numpy.abs(model.get_weights()[0]).sum()), 5)]))
    """


def keras_killed(options: Options) -> str:
    """``fit`` with BackupAndRestore and ModelCheckpoint, killed in the middle and started again."""
    alone, killed = options.folder / "keras_alone", options.folder / "keras_killed"
    for folder in (alone, killed):
        folder.mkdir()
    whole = _python(_RESUMABLE, alone)
    died = _python(_RESUMABLE, killed, "dies")
    assert died.returncode == -signal.SIGKILL, died.stderr[-500:]
    again = _python(_RESUMABLE, killed)
    assert again.returncode == whole.returncode == 0, again.stderr[-500:]
    return (
        f"epochs in the history, loss of the best model, sum of weights: left alone "
        f"{_last(whole)}, killed and started again {_last(again)}"
    )


_WAITS = """
    import json, os, pathlib, sys
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import keras, numpy
    folder, dies = pathlib.Path(sys.argv[1]), len(sys.argv) > 2
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    saved = []
    class Value(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            if dies and epoch == 11:
                os.kill(os.getpid(), 9)
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = abs(epoch - 8) + 1.0  # the best is epoch 8
    class Checkpoint(keras.callbacks.ModelCheckpoint):
        def on_epoch_end(self, epoch, logs=None):
            before = self.best
            super().on_epoch_end(epoch, logs)
            if self.best != before:
                saved.append(epoch)
    value = Value()
    model.fit(numpy.zeros((8, 2)), numpy.zeros((8, 1)), epochs=40, verbose=0, callbacks=[
        value, Checkpoint(folder / "best.keras", monitor="val_loss", save_best_only=True),
        keras.callbacks.EarlyStopping("val_loss", patience=5),
        keras.callbacks.BackupAndRestore(folder / "backup")])
    print(f"stopped after epoch {value.epoch}, the best kept is of epoch {saved[-1]}")
    """


def keras_stops_early(options: Options) -> str:
    """EarlyStopping and ModelCheckpoint when epoch 8 is the best, killed at epoch 11, resumed."""
    told = []
    for name, *words in (("waits_alone",), ("waits_killed", "dies"), ("waits_killed",)):
        folder = options.folder / name
        folder.mkdir(exist_ok=True)
        told.append(_last(_python(_WAITS, folder, *words)))
    return f"left alone: {told[0]}; killed and started again: {told[2]}"


_SAVE_AND_DIE = """
    import os, sys, threading, time
    import keras
    layers = [keras.layers.Input((512,)), keras.layers.Dense(8192), keras.layers.Dense(2048)]
    model = keras.Sequential(layers)
    model.save(sys.argv[1])
    def die():
        started = time.monotonic()
        while time.monotonic() - started < float(sys.argv[2]):
            time.sleep(0.001)
        os.kill(os.getpid(), 9)
    started = time.monotonic()
    if len(sys.argv) > 2:
        threading.Thread(target=die).start()
    model.save(sys.argv[1])
    print(time.monotonic() - started)
    """


def keras_killed_in_save(options: Options) -> str:
    """``model.save`` over an older file, killed at ten moments of it, and loaded."""
    path = options.folder / "model.keras"
    seconds = float(_last(_python(_SAVE_AND_DIE, path)))
    states: Counter[str] = Counter()
    for number in range(2 if options.quick else 10):
        _python(_SAVE_AND_DIE, path, seconds * (number + 0.5) / 10)
        done = _python("import keras, sys; keras.models.load_model(sys.argv[1])", path)
        states["loads" if done.returncode == 0 else _last(done).split(":")[0]] += 1
    return ", ".join(f"{count} {name}" for name, count in states.most_common())


def keras_disk_full(options: Options) -> str:
    """``model.save`` of a larger model over an older one on a disk that has no room for it."""
    mounted = options.folder / "keras_small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3000000", "tmpfs", str(mounted)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        return "skipped: a small disk cannot be mounted here"
    try:
        code = """
            import keras, pathlib, sys
            path = pathlib.Path(sys.argv[1]) / "model.keras"
            for width in (1000, 2000):
                model = keras.Sequential([keras.layers.Input((300,)), keras.layers.Dense(width)])
                model.save(path)
                path.with_name("filler").write_bytes(b"x" * (2_900_000 - path.stat().st_size))
            """
        done = _python(code, mounted)
        assert done.returncode != 0, "the disk was not full"
        load = "import keras, sys; keras.models.load_model(sys.argv[1])"
        after = _python(load, mounted / "model.keras")
        opens = "still opens" if after.returncode == 0 else f"is lost ({_last(after)[:60]})"
        return f"traceback ({_last(done)[:60]}); the older model {opens}"
    finally:
        subprocess.run(["umount", str(mounted)], capture_output=True)


class _Hanging(http.server.BaseHTTPRequestHandler):
    """Never answers."""

    def do_GET(self) -> None:
        time.sleep(2 * HANG_SECONDS)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def keras_hanging(_: Options) -> str:
    """``keras.utils.get_file`` from a server that accepts the connection and never answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hanging)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = "import keras, sys; keras.utils.get_file('x', sys.argv[1], cache_dir=sys.argv[2])"
    try:
        with tempfile.TemporaryDirectory() as folder:
            url = f"http://127.0.0.1:{server.server_port}/x"
            try:
                return _last(_python(code, url, folder, timeout=HANG_SECONDS))
            except subprocess.TimeoutExpired:
                return f"still waiting after {HANG_SECONDS} s"
    finally:
        server.shutdown()


def keras_in_page(_: Options) -> str:
    """The memory of a process that imports TensorFlow and trains with Keras, as a page would."""
    code = """
        import gc, psutil
        def megabytes():
            return psutil.Process().memory_info().rss // 10**6
        before = megabytes()
        import keras, numpy
        x = numpy.zeros((64, 224, 224, 3), "float32")
        y = numpy.zeros((64, 1280), "float32")
        imported = megabytes()
        for _ in range(3):
            model = keras.applications.MobileNetV2(weights=None, include_top=False, pooling="avg")
            model.compile("adam", "mse")
            model.fit(x, y, epochs=1, batch_size=16, verbose=0)
            peak = megabytes()
            del model
            keras.backend.clear_session()
            gc.collect()
        print(f"{before} MB, with TensorFlow and the photos {imported} MB, after three trainings "
              f"and clear_session {megabytes()} MB")
        """
    return _last(_python(code))


def python_archives(options: Options) -> str:
    """``zipfile.ZipFile.extractall`` on every archive of the corpus."""
    if options.corpus is None:
        return "skipped: no --corpus"
    with (options.corpus / "archives.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    code = """
        import resource, sys, zipfile
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, 10**9))
        zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])
        """
    verdicts: Counter[str] = Counter()
    largest = 0
    for number, row in enumerate(rows):
        out = options.folder / f"extracted{number}"
        try:
            done = _python(code, options.corpus / row["file"], out, timeout=60)
            kind = "unpacked" if done.returncode == 0 else "exception"
        except subprocess.TimeoutExpired:
            kind = "over 60 s"
        verdicts[f"{row['expected']} {kind}"] += 1
        sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
        largest = max(largest, sum(sizes))
        shutil.rmtree(out, ignore_errors=True)
    words = ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items()))
    return f"{words}; up to {largest / 1e6:.0f} MB written"


def python_bomb(options: Options) -> str:
    """``zipfile.ZipFile.extractall`` on a small zip that holds half a gigabyte of zeros."""
    path = options.folder / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.png", "w") as entry,
    ):
        for _ in range(500):
            entry.write(bytes(10**6))
    zipfile.ZipFile(path).extractall(options.folder / "bomb")
    written = (options.folder / "bomb" / "a.png").stat().st_size
    shutil.rmtree(options.folder / "bomb")
    return f"{path.stat().st_size / 1e6:.1f} MB unpacked to {written / 1e6:.0f} MB without a word"


_TRAINING_APP = """
import os, pathlib, sys
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import keras, numpy
import streamlit as st
model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
note = lambda epoch, logs: pathlib.Path(sys.argv[1]).write_text(str(epoch + 1))
model.fit(numpy.zeros((8, 2)), numpy.zeros((8, 1)), epochs=100_000, verbose=0,
          callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)])
"""


def streamlit_killed(options: Options) -> str:
    """A page that trains with Keras in its script; the server is killed."""
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    app, noted = options.folder / "training_app.py", options.folder / "epochs.txt"
    app.write_text(_TRAINING_APP)
    with _served(app, str(noted)) as (process, port):
        address = f"ws://127.0.0.1:{port}/_stcore/stream"
        with connect(address, subprotocols=[Subprotocol("streamlit")]) as open_:
            _session_id(open_)
            for _ in range(1200):
                if noted.exists() and noted.read_text() > "":
                    break
                time.sleep(0.2)
            process.kill()
            process.wait()
    before = noted.read_text()
    time.sleep(10)
    return f"{before} epochs were trained, {noted.read_text()} ten seconds later, of 100,000"


_APP = """
import streamlit as st
file = st.file_uploader("Photo")
if file is not None:
    st.write(len(file.getvalue()))
"""


def streamlit_uploader(options: Options) -> str:
    """A page with ``st.file_uploader``: the memory of an upload whose browser has gone."""
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    app = options.folder / "plain_app.py"
    app.write_text(_APP)
    with _served(app) as (process, port):
        watched = psutil.Process(process.pid)
        before = watched.memory_info().rss
        here = f"http://127.0.0.1:{port}"
        metrics = urllib.request.urlopen(f"{here}/_stcore/metrics").read()
        with connect(
            f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=[Subprotocol("streamlit")]
        ) as open_:
            session_id = _session_id(open_)
            _put(here, session_id, UPLOAD_MB * 10**6)
        started = time.monotonic()
        while watched.memory_info().rss - before > UPLOAD_MB * 10**6 / 2:
            if time.monotonic() - started > UPLOAD_SECONDS:
                break
            time.sleep(1)
        seconds = time.monotonic() - started
        words = "at least " if seconds > UPLOAD_SECONDS else ""
        return (
            f"{UPLOAD_MB} MB of an upload stay {words}{seconds:.0f} s after its browser has gone; "
            f"/_stcore/metrics answers anybody with {len(metrics):,} bytes"
        )


@contextmanager
def _served(app: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Serve a page by Streamlit alone; yield the server and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(app), f"--server.port={port}"]
    command += ["--server.headless=true", "--server.fileWatcherType=none", "--", *words]
    process = subprocess.Popen(command, cwd=app.parent, stdout=subprocess.DEVNULL)
    try:
        wait_for_app(port)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def wait_for_app(port: int) -> None:
    """Wait until the app at a port of this machine answers, for two minutes."""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).read()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the page is served")


def _session_id(connection: object) -> str:
    """Run the page and return the id of its session."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    message = BackMsg()
    message.rerun_script.query_string = ""
    connection.send(message.SerializeToString())  # type: ignore[attr-defined]
    while True:
        answer = ForwardMsg.FromString(connection.recv(timeout=60))  # type: ignore[attr-defined]
        if answer.WhichOneof("type") == "new_session":
            return str(answer.new_session.initialize.session_id)


def _put(here: str, session_id: str, num_bytes: int) -> None:
    """Upload a file of zeros, as the browser's uploader does."""
    edge = uuid.uuid4().hex
    with urllib.request.urlopen(f"{here}/_stcore/health", timeout=120) as answer:
        cookie = str(answer.headers["set-cookie"]).split(";")[0]
    head = f'--{edge}\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n\r\n'
    body = head.encode() + bytes(num_bytes) + f"\r\n--{edge}--\r\n".encode()
    request = urllib.request.Request(
        f"{here}/_stcore/upload_file/{session_id}/{uuid.uuid4()}",
        body,
        {
            "Content-Type": f"multipart/form-data; boundary={edge}",
            "Cookie": cookie,
            "X-Xsrftoken": cookie.partition("=")[2],
        },
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=120).read()


ALONE: dict[str, tuple[str, Callable[[Options], str]]] = {
    function.__name__: ((function.__doc__ or "").split("\n")[0], function)
    for function in (
        pillow_alone,
        pillow_large,
        pillow_odd,
        python_archives,
        python_bomb,
        keras_bad_files,
        keras_killed,
        keras_stops_early,
        keras_killed_in_save,
        keras_disk_full,
        keras_hanging,
        keras_in_page,
        streamlit_killed,
        streamlit_uploader,
    )
}
