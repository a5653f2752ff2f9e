"""Read a PyTorch weights file without PyTorch and without executing anything in it.

Only the legacy layout (PyTorch before 1.6) is read: three small pickles, a pickle of the tensors'
names and shapes, a pickle of storage keys, then the raw storages in the order of those keys.
"""

from __future__ import annotations

import collections
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tl_core.errors import WeightsError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGE_DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
_MAX_ELEMENTS = 2**28


class _Storage:
    """A block of numbers that the pickle only declares; its data follow after the pickles."""

    def __init__(self, dtype: np.dtype[Any], num_elements: int) -> None:
        self.dtype = dtype
        self.num_elements = num_elements
        self.data: np.ndarray | None = None


class _Tensor:
    """A view into a storage, as ``torch._utils._rebuild_tensor_v2`` describes it."""

    def __init__(
        self,
        storage: _Storage,
        offset: int,
        shape: tuple[int, ...],
        stride: tuple[int, ...],
        requires_grad: bool,
        hooks: object,
    ) -> None:
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.stride = stride

    def to_array(self) -> np.ndarray:
        data = self.storage.data
        if data is None:
            raise ValueError("a tensor refers to numbers that the file does not hold")
        if len(self.shape) != len(self.stride) or min(self.shape + self.stride, default=1) < 0:
            raise ValueError("a tensor has no valid shape")
        last = self.offset + sum(
            (length - 1) * step for length, step in zip(self.shape, self.stride, strict=True)
        )
        if 0 in self.shape or self.offset < 0 or last >= data.size:
            raise ValueError("a tensor reaches past its numbers")
        byte_strides = tuple(step * data.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(
            data[self.offset :], self.shape, byte_strides, writeable=False
        )
        return view.copy()


class _Unpickler(pickle.Unpickler):
    """An unpickler that allows four names and refuses all others."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return name
        raise pickle.UnpicklingError(f"it names '{module}.{name}', which weights have no use for")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, num_elements, *view = pid
        if kind != "storage" or view not in ([], [None]):
            raise pickle.UnpicklingError("it holds something other than plain storages")
        if not 0 <= num_elements <= _MAX_ELEMENTS:
            raise pickle.UnpicklingError(f"it declares {num_elements} numbers in one storage")
        return self.storages.setdefault(
            str(key), _Storage(_STORAGE_DTYPES[storage_type], num_elements)
        )


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a legacy PyTorch state dict by name.

    Raises:
        WeightsError: the file is missing, of another layout, truncated, or names anything but
            plain tensors. Nothing in it is executed.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error)
    except Exception as error:  # a malicious pickle can raise any exception from the C unpickler
        reason = f"{type(error).__name__}: {error}"
    raise WeightsError(
        f"Expected pretrained weights in '{path.name}', but the file cannot be read: {reason}. "
        "Install its package again."
    )


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    unpickler = _Unpickler(file)
    if unpickler.load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
        raise ValueError("it is not a legacy PyTorch file")
    _Unpickler(file).load()  # byte order and integer sizes of the writer; always little-endian
    tensors_pickle = _Unpickler(file)
    tensors = tensors_pickle.load()
    keys = _Unpickler(file).load()
    if sorted(keys) != sorted(tensors_pickle.storages):
        raise ValueError("its list of storages does not fit its tensors")
    for key in keys:
        storage = tensors_pickle.storages[key]
        (num_elements,) = struct.unpack("<q", _read_exactly(file, 8))
        if num_elements != storage.num_elements:
            raise ValueError("a storage is longer or shorter than announced")
        data = _read_exactly(file, num_elements * storage.dtype.itemsize)
        storage.data = np.frombuffer(data, storage.dtype)
    return {str(name): tensor.to_array() for name, tensor in tensors.items()}


def _read_exactly(file: BinaryIO, num_bytes: int) -> bytes:
    data = file.read(num_bytes)
    if len(data) != num_bytes:
        raise EOFError("it ends too early")
    return data
