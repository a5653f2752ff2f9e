"""Small drawn datasets for any test that needs a folder of class images."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tl_core.analysis import explore
from tl_core.data.dataset import DatasetIndex
from tl_core.workspace import Workspace

MakeDataset = Callable[..., Path]

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
def drawn_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exploring have features that are drawn; the classes lie apart in them."""

    def draw(index: DatasetIndex, *_: object) -> np.ndarray:
        noise = np.random.default_rng(0).normal(size=(index.num_images, 6))
        return (noise + 8 * np.eye(6)[index.labels]).astype(np.float32)

    monkeypatch.setattr(explore, "_features", draw)


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
