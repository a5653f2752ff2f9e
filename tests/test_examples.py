"""The examples in the docstrings, run as they stand in a folder with photos and a trained run."""

import doctest
import importlib
import inspect
import shutil
from pathlib import Path

import pytest

import tl_core
from tl_core import TrainConfig, scan_dataset, train

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "tl_core").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a folder with ``photos/`` of cats and dogs, one twice, and ``runs/first``."""
    from conftest import draw_image

    root = tmp_path_factory.mktemp("examples")
    for kind, name in enumerate(("cat", "dog")):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(12):
            image = draw_image(kind, number, (64, 56))
            image.save(root / "photos" / name / f"{number}.png")
    shutil.copy(root / "photos" / "dog" / "0.png", root / "photos" / "dog" / "copy.png")
    config = TrainConfig(backbone="tiny", fc_layers=(8,), epochs=3, learning_rate=0.01)
    train(config, scan_dataset(root / "photos"), root / "runs" / "first", cache_dir=root / "cache")
    return root


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name, prepared, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TL_WORKSPACE", str(tmp_path / "workspace"))
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(example, out=report.append)
    assert runner.tries
    assert not runner.failures, "".join(report)


def test_every_public_function_and_class_shows_how_it_is_used():
    public = {name: getattr(tl_core, name) for name in tl_core.__all__}
    without = [
        name
        for name, value in public.items()
        if callable(value) and ">>> " not in (inspect.getdoc(value) or "")
    ]
    assert without == []
