"""Reading legacy PyTorch files. The files are pickled here with stand-ins for torch's names."""

import os
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tl_core.backbones.torch_pickle import read_torch_file
from tl_core.errors import WeightsError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    def __init__(self, key, values, kind="FloatStorage", announced=None):
        self.key, self.values, self.kind = key, values, kind
        self.announced = len(values) if announced is None else announced


class Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, None)

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


def _rebuild_tensor_v2(*arguments):
    raise AssertionError("only its name is pickled")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return ``write(tensors)``, which pickles a file as old PyTorch did and gives its path."""
    torch = types.ModuleType("torch")
    utils = types.ModuleType("torch._utils")
    _rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for kind in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                kind = getattr(torch, thing.kind)
                return ("storage", kind, thing.key, "cpu", thing.announced, None)
            return None

    def write_file(tensors, storages=(), magic=MAGIC):
        path = tmp_path / "weights.pth"
        with path.open("wb") as file:
            for value in (magic, PROTOCOL, {"little_endian": True}):
                pickle.dump(value, file, protocol=2)
            Pickler(file, protocol=2).dump(tensors)
            pickle.dump([storage.key for storage in storages], file, protocol=2)
            for storage in storages:
                dtype = "<i8" if storage.kind == "LongStorage" else "<f4"
                file.write(struct.pack("<q", len(storage.values)))
                file.write(np.asarray(storage.values, dtype).tobytes())
        return path

    return write_file


def test_tensors_come_back_by_name_with_shape_and_type(write):
    floats, longs = Storage("1", [0, 1, 2, 3, 4, 5]), Storage("2", [7], "LongStorage")
    tensors = read_torch_file(
        write(
            {"w": Tensor(floats, 0, (2, 3), (3, 1)), "n": Tensor(longs, 0, (), ())}, [floats, longs]
        )
    )
    assert tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["w"].dtype == np.float32
    assert tensors["n"].shape == ()
    assert tensors["n"] == 7


def test_a_transposed_view_and_one_with_an_offset_are_read_as_they_look(write):
    storage = Storage("1", [0, 1, 2, 3, 4, 5])
    tensors = read_torch_file(
        write(
            {"t": Tensor(storage, 0, (3, 2), (1, 3)), "tail": Tensor(storage, 4, (2,), (1,))},
            [storage],
        )
    )
    assert tensors["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["tail"].tolist() == [4, 5]


def test_a_name_with_no_place_in_weights_is_refused_and_not_run(write, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    with pytest.raises(WeightsError, match="mkdir"):
        read_torch_file(write({"w": Evil()}))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [(0, (7,), (1,)), (4, (3,), (1,)), (0, (2, 2), (4, 2)), (-1, (2,), (1,)), (0, (3,), (-1,))],
    ids=["longer", "offset", "stride", "before", "backwards"],
)
def test_a_tensor_that_reaches_past_its_numbers_is_refused(write, offset, shape, stride):
    storage = Storage("1", [0, 1, 2, 3, 4, 5])
    path = write({"w": Tensor(storage, offset, shape, stride)}, [storage])
    with pytest.raises(WeightsError, match="cannot be read"):
        read_torch_file(path)


def test_other_storage_kinds_are_refused_by_name(write):
    storage = Storage("1", [1], "HalfStorage")
    with pytest.raises(WeightsError, match=r"torch\.HalfStorage"):
        read_torch_file(write({"w": Tensor(storage, 0, (1,), (1,))}, [storage]))


def test_a_storage_of_another_length_than_announced_is_refused(write):
    storage = Storage("1", [1, 2, 3], announced=2)
    with pytest.raises(WeightsError, match="longer or shorter"):
        read_torch_file(write({"w": Tensor(storage, 0, (2,), (1,))}, [storage]))


def test_a_storage_that_was_never_written_is_refused(write):
    storage = Storage("1", [1, 2])
    with pytest.raises(WeightsError, match="list of storages"):
        read_torch_file(write({"w": Tensor(storage, 0, (2,), (1,))}, []))


def test_a_file_cut_anywhere_is_refused_with_its_name(write):
    storage = Storage("1", [0.5] * 8)
    path = write({"w": Tensor(storage, 0, (8,), (1,))}, [storage])
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"weights\.pth"):
            read_torch_file(path)


def test_a_zip_a_text_and_a_missing_file_are_refused_in_plain_words(tmp_path):
    for name, content in (("a.pth", b"PK\x03\x04" + bytes(50)), ("b.pth", b"hello, world")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="Install its package again"):
            read_torch_file(tmp_path / name)
    with pytest.raises(WeightsError, match=r"c\.pth"):
        read_torch_file(Path(tmp_path / "c.pth"))


def test_another_magic_number_is_refused(write):
    with pytest.raises(WeightsError, match="not a legacy PyTorch file"):
        read_torch_file(write({}, magic=1))
