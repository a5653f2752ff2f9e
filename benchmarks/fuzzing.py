"""What must hold for any input, as properties that hypothesis searches for counterexamples.

:data:`PROPERTIES` is run with 10,000 cases each by ``benchmarks.reliability`` and with a few by the
tests. A property raises for an input that is answered by anything but a result or a ``TLError``.
"""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import decisions_path, load_decisions
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.file_names import UnsafeName, name_parts, safe_component, show_name
from tl_core.data.images.images import load_image
from tl_core.data.ingest.archive import ArchiveSource, extract_archives
from tl_core.data.layout.label_files import ImageFinder, read_table
from tl_core.data.split import read_split, split_dataset, write_split
from tl_core.errors import TLError
from tl_core.files import is_contained, parse_json
from tl_core.inference.model_info import ModelInfo
from tl_core.logs import printable
from tl_core.runs.store import Run
from tl_core.workspace import Workspace

_ODD = st.sampled_from(
    ["..", ".", "~", "C:", "\\", "/", "\0", "\n", "\x1b", "\u202e", "CON", " ", "é"]
)
_NAMES = st.lists(st.one_of(_ODD, st.text(max_size=6)), max_size=6).map("".join)
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def names(name: str) -> None:
    """An untrusted name becomes one safe component, or is refused; shown, it is one line."""
    safe = safe_component(name)
    assert safe
    assert "/" not in safe
    assert safe not in (".", "..")
    assert len(safe.encode("utf-8")) <= 255
    assert safe_component(safe) == safe
    for shown in (show_name(name), printable(name)):
        assert "\x1b" not in shown
        assert len(shown.splitlines()) <= 1
    try:
        parts = name_parts(name)
    except UnsafeName:
        return
    assert is_contained("/".join(parts))


def archives(entries: list[tuple[str, bytes]], flips: list[tuple[int, int]]) -> None:
    """An archive of any names, damaged anywhere, changes its own folder only, or is refused."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name or "x"
            try:
                with warnings.catch_warnings(action="ignore"):  # of a name that is there twice
                    archive.writestr(info, content)
            except (ValueError, UnicodeError):
                return
    data = bytearray(buffer.getvalue())
    for place, value in flips:
        data[place % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "in" / "out"
        try:
            extract_archives([ArchiveSource(io.BytesIO(bytes(data)), "any.zip")], out)
        except TLError:
            assert not out.exists()
        assert [path.name for path in Path(folder).iterdir()] in ([], ["in"])
        assert {path.name for path in Path(folder).glob("in/*")} <= {"out"}


def configs(values: Any, text: str) -> None:
    """Settings of any types are accepted and kept as they are, or refused in a short sentence."""
    known = dict(zip(list(TrainConfig.model_fields)[:4], [values] * 4, strict=True))
    for build in (
        lambda: TrainConfig.create(known),
        lambda: TrainConfig.create({**TrainConfig().model_dump(), "fc_layers": values}),
        lambda: TrainConfig.from_json(text),
        lambda: TrainConfig.from_json(json.dumps(values)),
    ):
        refusal, config = "", TrainConfig()
        try:
            config = build()
        except TLError as error:
            refusal = str(error)
        assert len(refusal) <= 2_000
        assert TrainConfig.from_json(config.to_json()) == config


def decisions(value: Any, raw: bytes) -> None:
    """A file of decisions of any content is read, or refused."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        data_dir = workspace.datasets_dir / "pets"
        data_dir.mkdir(parents=True)
        path = decisions_path(workspace, data_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        shaped = {"schema": 1, "steps": [{"label": "x", "time": 1, "decisions": value}]}
        for content in (raw, json.dumps(value).encode(), json.dumps(shaped).encode()):
            path.write_bytes(content)
            try:
                found = load_decisions(workspace, data_dir)
            except TLError:
                continue
            assert type(found).from_dict(found.to_dict()) == found


def manifests(value: Any, raw: bytes, suffix: str) -> None:
    """Label tables, model cards and run files of any content are read, or refused."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for content in (raw, json.dumps(value).encode()):
            (root / f"labels{suffix}").write_bytes(content)
            read_table(root, f"labels{suffix}", ImageFinder.of([]))
            for name in ("status.json", "config.json", "origin.json", "meta.json", "metrics.json"):
                (root / name).write_bytes(content)
            run = Run(root)
            _ = run.state, run.message, run.name, run.notes, run.created, run.is_loadable
            for build in (ModelInfo.from_json, parse_json):
                try:
                    build(content.decode("utf-8", "replace"))
                except (TLError, ValueError):
                    continue


def splits(counts: list[int], seed: int, val: float, test: float, raw: bytes) -> None:
    """Each image is in one part, copies stay together, and any table is read back or refused."""
    records = []
    for label, count in enumerate(counts):
        for number in range(count):
            content = f"{label}-{number // 2}"
            path = f"c{label}/{number}.png"
            records.append(ImageRecord(path, label, content, 1, 1, 8, 8, "PNG", "RGB", 1, None))
    class_names = tuple(f"c{label}" for label in range(len(counts)))
    index = DatasetIndex(Path("data"), class_names, tuple(records), (), {})
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "split.csv"
        table.write_bytes(raw)
        with suppress(TLError):
            read_split(table)
        try:
            config = TrainConfig(seed=seed, val_fraction=val, test_fraction=test)
            split = split_dataset(index, config)
        except TLError:
            return
        placed = np.concatenate([positions for _, positions in split.items()])
        assert sorted(placed.tolist()) == list(range(len(records)))
        part_of: dict[str, str] = {}
        for part, positions in split.items():
            for position in positions:
                digest = records[int(position)].sha256
                assert part_of.setdefault(digest, part) == part
        write_split(table, index, split)
        assert len(read_split(table)) == len(records)


def resizes(width: int, height: int, out: tuple[int, int], resize: Any, mode: str) -> None:
    """A picture of any size and mode becomes the wanted size in every way of resizing."""
    buffer = io.BytesIO()
    kind = "JPEG" if mode in ("RGB", "CMYK") and width % 2 else "PNG" if mode != "CMYK" else "JPEG"
    Image.new(mode, (width, height), 7).save(buffer, kind)
    pixels = load_image(buffer.getvalue(), out, resize)
    assert pixels.shape == (*out, 3)
    assert pixels.dtype == np.uint8


def paths(path: str) -> None:
    """What counts as contained stays inside the folder that it is joined to."""
    if is_contained(path):
        assert ".." not in PurePosixPath(path).parts
        assert not Path(path).is_absolute()


_SIDE = st.integers(1, 700)
_GIVEN: dict[Callable[..., None], Any] = {
    names: given(name=_PATHS),
    paths: given(path=_PATHS),
    archives: given(
        entries=st.lists(st.tuples(_PATHS, st.binary(max_size=40)), max_size=4),
        flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=3),
    ),
    configs: given(values=_JSON, text=st.text(max_size=60)),
    decisions: given(value=_JSON, raw=st.binary(max_size=60)),
    manifests: given(
        value=_JSON,
        raw=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)),
        suffix=st.sampled_from([".csv", ".tsv", ".json", ".jsonl"]),
    ),
    splits: given(
        counts=st.lists(st.integers(0, 25), min_size=1, max_size=6),
        seed=st.integers(0, 2**31 - 1),
        val=st.floats(0.01, 0.5),
        test=st.floats(0, 0.5),
        raw=st.binary(max_size=80),
    ),
    resizes: given(
        width=_SIDE,
        height=_SIDE,
        out=st.tuples(st.integers(1, 400), st.integers(1, 400)),
        resize=st.sampled_from(["squash", "crop", "pad"]),
        mode=st.sampled_from(["RGB", "L", "RGBA", "P", "1", "CMYK", "I;16", "LA"]),
    ),
}
PROPERTIES = {function.__name__: function for function in _GIVEN}


def check(name: str, num_cases: int) -> None:
    """Search for a counterexample of a property in that many random cases.

    Raises:
        Exception: that of the smallest counterexample found.
    """
    function = PROPERTIES[name]
    search = settings(
        max_examples=num_cases,
        deadline=None,
        database=None,
        derandomize=num_cases < 1_000,  # the same cases in every run of the tests
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    search(_GIVEN[function](function))()
