"""The rows of ``benchmarks.reliability``: each tries one kind of fault and returns a figure."""

from __future__ import annotations

import csv
import http.server
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tl_core.backbones import weights
from tl_core.backbones.keras_weights import WEIGHT_FILES, WeightFile
from tl_core.config.training import TrainConfig
from tl_core.data.ingest.archive import ArchiveSource, extract_archives
from tl_core.data.ingest.uploads import store_uploads
from tl_core.errors import ImageError, Stopped, TLError, WeightsError
from tl_core.inference.predict import load_predictor
from tl_core.jobs.housekeeping import sweep_workspace
from tl_core.jobs.training import end_worker, ensure_worker, start_training, worker_state
from tl_core.progress import Monitor
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import Run, list_runs
from tl_core.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("--backbone=tiny", "--fc-layers=16", "--epochs=6", "--quiet", "--json")
PATIENCE_SECONDS = 900
MARGIN_MB = 50


@dataclass(frozen=True)
class Options:
    """Where to work, how much, and on what."""

    folder: Path
    quick: bool
    data_dir: Path | None
    corpus: Path | None

    def photos(self) -> Path:
        """Return a folder of photos in two classes: the given one, else drawn."""
        if self.data_dir is not None:
            return self.data_dir.resolve()
        drawn = self.folder / "photos"
        if not drawn.exists():
            rng = np.random.default_rng(0)
            for name, colour in (("dark", 60), ("light", 190)):
                (drawn / name).mkdir(parents=True)
                for number in range(20):
                    pixels = rng.normal(colour, 30, (40, 48, 3)).clip(0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(drawn / name / f"{number}.png")
        return drawn

    def place(self, name: str) -> Workspace:
        """Return a new workspace."""
        workspace = Workspace(self.folder / name)
        workspace.cache_dir.mkdir(parents=True)
        return workspace


def _tl(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tl_core", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def _trained(workspace: Workspace, data_dir: Path, *words: str, **environment: str) -> Run:
    arguments = ["train", str(data_dir), *SMALL, *words, "--workspace", str(workspace.root)]
    done = _tl(*arguments, **environment)
    if done.returncode != 0:
        raise AssertionError(done.stderr[-500:])
    run = Run(Path(json.loads(done.stdout)["run_dir"]))
    assert run.state == "finished", run.message
    return run


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} within {PATIENCE_SECONDS} s")
        time.sleep(0.2)


def corpus_images(options: Options) -> str:
    """Every image of the corpus through intake and Classify."""
    if options.corpus is None:
        return "skipped: no --corpus"
    with (options.corpus / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[: 40 if options.quick else None]
    workspace = options.place("corpus")
    run = _trained(workspace, options.photos())
    predictor = load_predictor(run.run_dir, workspace.cache_dir)
    verdicts: Counter[str] = Counter()
    wrong = []
    for row in rows:
        path = options.corpus / row["file"]
        data = path.read_bytes()
        (kept,) = store_uploads(
            [(path.name, data)], workspace.datasets_dir / path.name, class_name="a"
        )
        (answer,) = predictor.predict([data], names=[path.name])
        assert kept.is_stored or kept.reason, row["file"]
        assert (answer.probabilities is None) == bool(answer.error), row["file"]
        is_read = answer.error is None
        verdicts["read" if is_read else "refused"] += 1
        if _is_of_the_extra(data):
            verdicts["of formats of the extra heif"] += 1
        elif row["app_expected"] != "either" and is_read != (row["app_expected"] == "accept"):
            wrong.append(f"{row['file']}: {answer.error}")
    assert not wrong, wrong
    return f"{len(rows)} of {len(rows)} as expected ({dict(verdicts)}), no other error"


def _is_of_the_extra(data: bytes) -> bool:
    """Whether a file is TIFF, HEIC or AVIF, which are read where the extra is installed."""
    return data[:4] in (b"II*\0", b"MM\0*") or data[4:8] == b"ftyp"


def corpus_archives(options: Options) -> str:
    """Every archive of the corpus through intake."""
    if options.corpus is None:
        return "skipped: no --corpus"
    with (options.corpus / "archives.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    verdicts: Counter[str] = Counter()
    for number, row in enumerate(rows):
        place = options.folder / f"archive{number}"
        place.mkdir()
        path = options.corpus / row["file"]
        try:
            extract_archives([ArchiveSource(path, path.name)], place / "out")
            verdicts["unpacked"] += 1
            assert row["expected"] != "reject_whole", row["file"]
        except TLError:
            verdicts["refused"] += 1
            assert not (place / "out").exists()
        outside = [one.name for one in place.iterdir() if one.name != "out"]
        assert not outside, (row["file"], outside)
    return f"{len(rows)} of {len(rows)} as expected ({dict(verdicts)}), nothing outside its folder"


def bad_files(options: Options) -> str:
    """Training on a folder of which a fifth of the files are damaged."""
    data_dir = options.folder / "bad"
    shutil.copytree(options.photos(), data_dir)
    paths = [path for path in sorted(data_dir.rglob("*")) if path.suffix in (".jpg", ".png")]
    broken = paths[::5]
    for number, path in enumerate(broken):
        whole = path.read_bytes()
        path.write_bytes([b"", whole[: len(whole) // 2], b"\0" * 400, b"<html>"][number % 4])
    run = _trained(options.place("bad_files"), data_dir)
    listed = len(run.left_out())
    assert listed >= len(broken), (listed, len(broken))
    used = sum(run.metrics["num_images"].values())
    return f"{used} of {len(paths)} trained on, {listed} listed with their reason"


def kill_training(options: Options) -> str:
    """A training killed at random moments and resumed, against one left alone."""
    return _kills(options, 5 if options.quick else 30)


def kill_fine_tuning(options: Options) -> str:
    """A fine-tuning killed at random moments and resumed, against one left alone."""
    words = ("--backbone=tiny", "--epochs=3", "--fine-tune-blocks=2", "--fine-tune-epochs=20")
    return _kills(options, 2 if options.quick else 10, *(f"--option={word}" for word in words))


def _kills(options: Options, number: int, *words: str) -> str:
    command = [sys.executable, "-m", "benchmarks.kill_and_resume", str(options.photos())]
    done = subprocess.run(
        [*command, f"--kills={number}", *words], cwd=ROOT, capture_output=True, text=True
    )
    last = (done.stdout.strip().splitlines() or [done.stderr[-300:]])[-1]
    assert done.returncode == 0, last
    return last


_KILL_IN_SAVE = """
import os, pathlib, sys
count, replace = [int(sys.argv[1])], pathlib.Path.replace
def dying(self, target):
    count[0] -= 1
    if count[0] == 0:
        os.kill(os.getpid(), 9)
    return replace(self, target)
pathlib.Path.replace = dying
from tl_core.cli.app import main
main(sys.argv[2:])
"""


def kill_in_saves(options: Options) -> str:
    """A training killed inside each of its saves, between writing and renaming, and resumed."""
    alone = _trained(options.place("alone"), options.photos())
    expected = (alone.run_dir / WEIGHTS_FILE).read_bytes()
    num_equal = num_killed = 0
    for number in range(1, 6 if options.quick else 31):
        workspace = options.place(f"save{number}")
        words = ["train", str(options.photos()), *SMALL, "--workspace", str(workspace.root)]
        done = subprocess.run(
            [sys.executable, "-c", _KILL_IN_SAVE, str(number), *words],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        if done.returncode != -signal.SIGKILL:
            break  # there are fewer saves
        num_killed += 1
        runs = list_runs(workspace.runs_dir)
        if runs and runs[0].state != "finished":
            words = ["train", "--resume", str(runs[0].run_dir), "--quiet", "--json"]
            done_again = _tl(*words, "--workspace", str(workspace.root))
            assert done_again.returncode == 0, done_again.stderr[-300:]
        run = list_runs(workspace.runs_dir)[0] if runs else _trained(workspace, options.photos())
        num_equal += (run.run_dir / WEIGHTS_FILE).read_bytes() == expected
        sweep_workspace(workspace)
        left = list(workspace.root.rglob(".*.tmp"))
        assert not left, left
    assert num_equal == num_killed > 0, (num_equal, num_killed)
    return f"{num_equal} of {num_killed} resumed to the same bytes, no file left over"


def disk_full(options: Options) -> str:
    """A training on a disk that fills up while it is trained."""
    mounted = options.folder / "small"
    mounted.mkdir()
    size = 3_000_000
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mounted)]
    try:
        if subprocess.run(command, capture_output=True).returncode != 0:
            return "skipped: a small disk cannot be mounted here"
    except OSError:
        return "skipped: there is no mount"
    try:
        (mounted / "filler").write_bytes(b"x" * (size - 150_000))
        words = ["train", str(options.photos()), *SMALL, "--workspace", str(mounted / "workspace")]
        full = _tl(*words)
        assert full.returncode == 2, full.stderr[-500:]
        assert "Traceback" not in full.stderr
        (mounted / "filler").unlink()
        done = _tl(*words)
        assert done.returncode == 0, done.stderr[-500:]
        return f"one sentence ({full.stderr.strip().splitlines()[-1][:70]}), then trained"
    finally:
        subprocess.run(["umount", str(mounted)], capture_output=True)


_SERVER = """
import pathlib, sys, time
from tl_core.config.training import TrainConfig
from tl_core.jobs.training import start_training
from tl_core.workspace import Workspace
config = TrainConfig(backbone="tiny", fc_layers=(16,), epochs=int(sys.argv[3]))
print(start_training(Workspace(pathlib.Path(sys.argv[1])), config, sys.argv[2]).run_dir, flush=True)
time.sleep(600)
"""


@contextmanager
def _server(workspace: Workspace, data_dir: Path, epochs: int) -> Iterator[tuple[Run, int]]:
    """A process as a server is: it queued a training; yields the run and the process's id."""
    command = [sys.executable, "-c", _SERVER, str(workspace.root), str(data_dir), str(epochs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert child.stdout is not None
        yield Run(Path(child.stdout.readline().strip())), child.pid
    finally:
        child.kill()
        child.wait()


def server_killed(options: Options) -> str:
    """The server killed while a training runs; closing a tab changes less than that."""
    workspace = options.place("server")
    try:
        with _server(workspace, options.photos(), 400) as (run, pid):
            _wait(lambda: run.state == "running", "the training starts")
            os.kill(pid, signal.SIGKILL)
        _wait(lambda: not run.is_active, "the training ends")
        assert run.state == "finished", run.message
        return f"the training finished, {len(run.history())} of 400 epochs"
    finally:
        end_worker(workspace)


def two_servers(options: Options) -> str:
    """Two servers on one workspace that queue trainings at the same time."""
    workspace = options.place("two")
    number = 2 if options.quick else 5
    try:
        with (
            _server(workspace, options.photos(), 5) as (first, _),
            _server(workspace, options.photos(), 5) as (second, _),
        ):
            config = TrainConfig(backbone="tiny", fc_layers=(16,), epochs=3)
            runs = [start_training(workspace, config, options.photos()) for _ in range(number)]
            runs += [first, second]
            pids = set()

            def are_done() -> bool:
                pids.add(worker_state(workspace).pid)
                return not any(run.is_active for run in runs)

            _wait(are_done, "all trainings end")
            states = Counter(run.state for run in runs)
            assert states == {"finished": len(runs)}, states
            return f"{len(runs)} of {len(runs)} trained once, {len(pids - {None})} worker"
    finally:
        end_worker(workspace)


def many_trainings(options: Options) -> str:
    """20 trainings in a row: the memory of worker and web process."""
    import psutil

    from tests.browser_helpers import run_app
    from tests.raw_client import run_page

    workspace = options.place("many")

    def worker_megabytes() -> int:
        _wait(lambda: worker_state(workspace).warm, "the worker is warm")
        return int(psutil.Process(worker_state(workspace).pid).memory_info().rss) // 10**6

    with run_app(workspace) as server:
        port = int(server.url.rpartition(":")[2])
        ensure_worker(workspace)
        idle, web = worker_megabytes(), []
        for number in range(3 if options.quick else 20):
            config = TrainConfig(epochs=3, seed=number, fine_tune_blocks=5 * (number % 4 == 3))
            run = start_training(workspace, config.updated(fine_tune_epochs=1), options.photos())
            while run.is_active:
                run_page(port, "Train", f"run={run.id}")
            assert run.state == "finished", run.message
            for name in ("", "Train", "Evaluate"):
                run_page(port, name, f"run={run.id}")
            web.append(round(server.megabytes))
        peak = worker_megabytes()
        time.sleep(60)
        after = worker_megabytes()
    assert after <= idle + 400, (idle, after)
    grown = web[-1] - web[len(web) // 2]
    assert grown <= MARGIN_MB, web
    return (
        f"{len(web)} trained; worker idle {idle} MB, {peak} at the end, {after} a minute later; "
        f"web process {web[0]} MB after the first, {grown:+d} MB in the second half"
    )


def sessions(options: Options) -> str:
    """Five browsers that walk through the pages at the same time."""
    try:
        from tests.browser_helpers import go_to, open_chromium, open_page, run_app
    except ImportError:
        return "skipped: there is no browser"
    workspace = options.place("sessions")
    number = 2 if options.quick else 5
    with run_app(workspace) as server, open_chromium() as browser:
        pages = [open_page(browser, server.url) for _ in range(number)]
        before = server.megabytes
        for title in ("Data", "Train", "Classify", "Evaluate"):
            for page in pages:
                go_to(page, title)
                assert page.locator("[data-testid=stException]").count() == 0
        return f"{number} sessions, no error, web process {server.megabytes - before:+.0f} MB"


def homes(options: Options) -> str:
    """A home folder that is missing, and one that cannot be written."""
    for number, home in enumerate(("/nonexistent", "/proc")):
        _trained(options.place(f"home{number}"), options.photos(), HOME=home)
    return "trained in both"


def locales(options: Options) -> str:
    """A locale without UTF-8, with classes in several scripts."""
    data_dir = options.folder / "scripts"
    sources = sorted(path for path in options.photos().iterdir() if path.is_dir())
    for source, name in zip(sources, ("Käse 猫", "ديك"), strict=False):
        shutil.copytree(source, data_dir / name)
    found = set()
    for number, name in enumerate(("C", "POSIX", "tr_TR.UTF-8")):
        workspace = options.place(f"locale{number}")
        run = _trained(workspace, data_dir, LC_ALL=name, LANG=name)
        found.add(run.class_names)
    assert found == {("Käse 猫", "ديك")}, found
    return "trained in 3 locales, class names kept"


def moved_workspace(options: Options) -> str:
    """A workspace that was moved to another place."""
    workspace = options.place("here")
    shutil.copytree(options.photos(), workspace.datasets_dir / "photos")
    run = _trained(workspace, workspace.datasets_dir / "photos")
    photo = next((workspace.datasets_dir / "photos").rglob("*.*g"))
    before = load_predictor(run.run_dir, workspace.cache_dir).predict([photo.read_bytes()])
    moved = Workspace(options.folder / "there")
    workspace.root.rename(moved.root)
    again = Run(moved.runs_dir / run.id)
    after = load_predictor(again.run_dir, moved.cache_dir).predict(
        [(moved.root / photo.relative_to(workspace.root)).read_bytes()]
    )
    assert before[0].top == after[0].top
    assert again.data_dir == moved.datasets_dir / "photos"
    done = _tl(
        "train", "--from-run", str(again.run_dir), "--fine-tune-epochs=1", "--quiet", "--json"
    )
    assert done.returncode == 0, done.stderr[-300:]
    return "opens, answers the same, goes on"


class _Bad(http.server.BaseHTTPRequestHandler):
    """Answers never, or a byte at a time."""

    def do_GET(self) -> None:
        if "hang" in self.path:
            time.sleep(120)
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        for _ in range(1000):
            try:
                self.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.2)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def networks(options: Options) -> str:
    """Weights from no network, one that hangs, and one that drips; and a stop while it drips."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Bad)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["KERAS_HOME"] = str(options.folder / "keras")
    here = f"http://127.0.0.1:{server.server_port}"
    took, kept = {}, WEIGHT_FILES["VGG16"]
    try:
        for name, url in (
            ("none", "http://127.0.0.1:9/x.h5"),
            ("hanging", f"{here}/hang"),
            ("dripping", f"{here}/drip"),
            ("stopped", f"{here}/drip"),
        ):
            WEIGHT_FILES["VGG16"] = WeightFile(url, "x.h5", "0" * 32)
            started = time.monotonic()
            asked = started + 2 if name == "stopped" else float("inf")
            monitor = Monitor(None, lambda asked=asked: time.monotonic() > asked)  # type: ignore[misc]
            try:
                weights.fetch_weights("VGG16", (224, 224), monitor)
                raise AssertionError(name)
            except (WeightsError, Stopped):
                took[name] = time.monotonic() - started
    finally:
        WEIGHT_FILES["VGG16"] = kept
        server.shutdown()
    assert took["none"] < 5
    assert took["hanging"] < 10
    assert took["dripping"] < 45
    assert took["stopped"] < 4
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())


def random_bytes(options: Options) -> str:
    """Photos with random bytes changed, each decoded or refused."""
    buffer = io.BytesIO()
    Image.open(next(options.photos().rglob("*.*g"))).convert("RGB").save(buffer, "JPEG")
    source = buffer.getvalue()
    draw, number = random.Random(0), 200 if options.quick else 10_000
    verdicts: Counter[str] = Counter()
    from tl_core.data.images.images import load_image

    for _ in range(number):
        data = bytearray(source)
        for _ in range(draw.randint(1, 20)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            load_image(bytes(data), (32, 32))
            verdicts["read"] += 1
        except ImageError:
            verdicts["refused"] += 1
    return f"{number:,} photos, {dict(verdicts)}, no other error"


ROWS: dict[str, tuple[str, Callable[[Options], str]]] = {
    function.__name__: ((function.__doc__ or "").split("\n")[0], function)
    for function in (
        bad_files,
        homes,
        locales,
        moved_workspace,
        disk_full,
        networks,
        corpus_archives,
        corpus_images,
        server_killed,
        two_servers,
        kill_in_saves,
        random_bytes,
        kill_training,
        kill_fine_tuning,
        sessions,
        many_trainings,
    )
}
