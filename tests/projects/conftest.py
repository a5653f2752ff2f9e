"""Workspaces with datasets for projects."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tl_core.workspace import Workspace

MakeDataset = Callable[..., Path]


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Return an empty workspace."""
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def pets(place: Workspace, make_dataset: MakeDataset) -> Path:
    """Return a dataset of the workspace."""
    return make_dataset({"cat": 6, "dog": 6}, place.datasets_dir / "pets")


@pytest.fixture
def photos(tmp_path: Path, make_dataset: MakeDataset) -> Path:
    """Return a folder outside of the workspace."""
    return make_dataset({"cat": 5, "dog": 5}, tmp_path / "elsewhere" / "photos")


@pytest.fixture
def old(tmp_path: Path) -> Workspace:
    """Return a workspace that version 0.1.0 wrote."""
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "workspace_0_1.zip") as archive:
        archive.extractall(tmp_path / "old")
    return Workspace(tmp_path / "old")
