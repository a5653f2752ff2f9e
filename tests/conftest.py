"""What tests of all folders use: drawn datasets, converted backbones, an order in parallel."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # noqa: F401  before a test pretends to be on another system, which it would believe
import pytest
from filelock import FileLock
from PIL import Image, ImageDraw
from playwright.sync_api import Browser
from warm_children import can_fork, run_warm

from tl_core import files
from tl_core.analysis import explore
from tl_core.backbones import litert
from tl_core.backbones.api import resolve_image_size
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.sample.dataset import draw_sample_dataset
from tl_core.export import write
from tl_core.features import engine_files
from tl_core.workspace import Workspace

MakeDataset = Callable[..., Path]
SAMPLE_NUM = 12
TESTS = Path(__file__).parent

_WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if _WORKER is not None:  # one of several processes that share the processors
    for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(_name, "1")


# What a stranger, a crash or a full disk can do; ``-m reliability`` runs these.
RELIABILITY = (
    "backbones/test_weights",
    "cli/test_terminal",
    "data/images/test_decode",
    "data/ingest/",
    "data/test_file_names",
    "features/test_hardware",
    "inference/test_model_bundle",
    "jobs/test_doctor",
    "jobs/test_storage",
    "jobs/test_training",
    "runs/test_leftovers",
    "runs/test_store",
    "test_errors",
    "test_files",
    "test_fuzz",
    "test_logs",
    "test_old_workspace",
    "test_processes",
    "test_sqlite_cache",
    "test_tables",
    "test_tampered_workspace",
    "test_workspace",
    "training/test_memory",
    "training/test_resume",
    "ui/test_hostile_names",
    "ui/test_server",
    "visitors/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their file; in parallel, begin with the longest pieces."""
    for item in items:
        if item.path.relative_to(TESTS).as_posix().startswith(RELIABILITY):
            item.add_marker("reliability")
    if _WORKER is not None:
        items.sort(key=lambda item: _piece_of(item.nodeid)[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal out the tests in the pieces that :func:`_piece_of` names, in the order of collection."""
    if config.getoption("dist") != "load":  # another way was asked for
        return None
    from pieces import PieceScheduling  # needs xdist

    return PieceScheduling(config, log, lambda nodeid: _piece_of(nodeid)[1])


def _piece_of(nodeid: str) -> tuple[int, str]:
    """Return when a test's turn is, and the name that it shares with those of its process.

    One process drives all browsers, which take several processors each. Tests of a file share
    what is slow to make. Those of a page share nothing, and keep every process busy to the end.
    """
    path = nodeid.partition("::")[0]
    if "/test_browser" in path:
        return 0, "browser"
    return (2, nodeid) if path.startswith("tests/pages/") else (1, path)


_COLOURS = ("tomato", "seagreen", "royalblue", "goldenrod", "orchid", "slategray")


def draw_image(kind: int, seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Draw a small image: colour and shape tell its kind, the seed varies place and background.

    ``size`` is (width, height) in pixels. No two (kind, seed) pairs give the same pixels.
    """
    rng = np.random.default_rng((kind, seed))
    background = tuple(int(value) for value in rng.integers(150, 256, 3))
    image = Image.new("RGB", size, background)
    width, height = size
    side = min(size) * rng.uniform(0.45, 0.7)
    left = rng.uniform(0, width - side)
    top = rng.uniform(0, height - side)
    box = (left, top, left + side, top + side)
    draw = ImageDraw.Draw(image)
    colour = _COLOURS[kind % len(_COLOURS)]
    if kind % 3 == 0:
        draw.ellipse(box, fill=colour)
    elif kind % 3 == 1:
        draw.rectangle(box, fill=colour)
    else:
        draw.polygon([(left, top + side), (left + side / 2, top), box[2:]], fill=colour)
    return image


def png(kind: int, seed: int) -> bytes:
    """Return :func:`draw_image` as a PNG file."""
    buffer = io.BytesIO()
    draw_image(kind, seed).save(buffer, "PNG")
    return buffer.getvalue()


class FakeClock:
    """Stands in the place of the module ``time``; it goes on when somebody sleeps, and at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Return ``make_dataset(counts, root=None, size=(48, 40), suffix=".png")``.

    It draws ``counts[class name]`` images into one folder a class, below ``tmp_path/"data"`` or
    ``root``, and returns that folder. Names are ``0.png``, ``1.png``, ... A class name may hold a
    slash, as in ``"train/cat"``; images of equal last parts then share a look, not pixels.
    """

    def make(
        counts: Mapping[str, int],
        root: Path | None = None,
        size: tuple[int, int] = (48, 40),
        suffix: str = ".png",
    ) -> Path:
        data_dir = tmp_path / "data" if root is None else root
        data_dir.mkdir(parents=True, exist_ok=True)
        kinds: dict[str, int] = {}
        for folder_number, (name, count) in enumerate(counts.items()):
            kind = kinds.setdefault(name.rpartition("/")[2], len(kinds))
            folder = data_dir / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                image = draw_image(kind, 1000 * folder_number + number, size)
                image.save(folder / f"{number}{suffix}")
        return data_dir

    return make


_convert, _convert_in_child = litert.convert_backbone, engine_files._convert_in_child
_run_watched = engine_files.run_watched


@pytest.fixture(scope="session", autouse=True)
def warm_children() -> Iterator[None]:
    """Fork the children that convert and export from a process that has loaded TensorFlow."""
    with pytest.MonkeyPatch.context() as patch:
        if can_fork():
            patch.setattr(write, "run_watched", run_warm)
            patch.setattr(engine_files, "run_watched", run_warm)
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_backbones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Convert each backbone once for all tests, whichever process they are in."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if _WORKER is None else base.parent) / "engines"
    shared.mkdir(exist_ok=True)

    def once(convert: Callable[..., None]) -> Callable[..., None]:
        def copy(backbone: str, image_size: Any, pooling: Any, path: Path, *rest: Any) -> None:
            kept = shared / path.name
            with FileLock(f"{kept}.lock"):
                if not kept.exists():
                    convert(backbone, image_size, pooling, path, *rest)
                    files.write_bytes(kept, path.read_bytes())
            shutil.copy(kept, path)

        return copy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litert, "convert_backbone", once(_convert))
        patch.setattr(engine_files, "_convert_in_child", once(_convert_in_child))
        yield


@pytest.fixture(autouse=True)
def own_backbones(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests marked ``converts`` convert by themselves."""
    if request.node.get_closest_marker("converts") is not None:
        monkeypatch.setattr(litert, "convert_backbone", _convert)
        monkeypatch.setattr(engine_files, "_convert_in_child", _convert_in_child)
        monkeypatch.setattr(engine_files, "run_watched", _run_watched)


def keep_default_backbone(workspace: Workspace) -> None:
    """Put the converted default backbone into a workspace, which saves its worker converting it."""
    config = TrainConfig()
    size = resolve_image_size(config)
    engine_files.prepare_engine(config.backbone, size, config.pooling, workspace.cache_dir)


@pytest.fixture(scope="session")
def sample_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sample set of SAMPLE_NUM photos a class to read only, drawn once for all tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if _WORKER is None else base.parent) / "sample_set"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            draw_sample_dataset(folder, num_per_class=SAMPLE_NUM)
    return folder


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that keeps the converted backbone for all tests of a module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the package take itself for an installed one; return the folder that holds the app."""
    studio_dir = tmp_path / "_studio"
    studio_dir.mkdir()
    monkeypatch.setattr("tl_core.installation._STUDIO_DIR", studio_dir)
    return studio_dir


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """Return an empty workspace that the app's pages use; no worker is started in it."""
    from app_helpers import make_workspace  # brings Streamlit with it

    return make_workspace(monkeypatch, tmp_path)


@pytest.fixture
def dataset(workspace: Workspace, make_dataset: MakeDataset) -> Path:
    """Return 6 cats and 5 dogs where the app expects the sample set."""
    from app_helpers import sample_folder

    return make_dataset({"cat": 6, "dog": 5}, sample_folder(workspace))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace the opening of a run on Classify; return the list of what was opened."""
    from app_helpers import FakePredictor  # brings Streamlit with it

    from tl_core.runs.store import Run
    from ui.runs import predictors

    opened: list[Any] = []

    def load(run_dir: Path, cache_dir: Path) -> Any:
        opened.append(FakePredictor(Run(run_dir).class_names))
        return opened[-1]

    monkeypatch.setattr(predictors, "load_predictor", load)
    return opened


@pytest.fixture
def drawn_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exploring have features that are drawn; the classes lie apart in them."""

    def draw(index: DatasetIndex, *_: object) -> np.ndarray:
        noise = np.random.default_rng(0).normal(size=(index.num_images, 6))
        return (noise + 8 * np.eye(6)[index.labels]).astype(np.float32)

    monkeypatch.setattr(explore, "_features", draw)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a chromium without a window: one a process, as Playwright runs only one at a time."""
    from browser_helpers import open_chromium  # brings the app's helpers with it

    with open_chromium() as chromium:
        yield chromium


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return ``cli(*words)``, which gives exit code, stdout and stderr."""
    from tl_core.cli.app import main

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return run
