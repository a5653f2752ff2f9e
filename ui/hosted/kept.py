"""What pages keep of their visitors' files in memory, so that the guard can count it and free it.

A page that keeps a photo passes it to :func:`keep_photo`, and its upload to :func:`release`. The
values of uploaders are counted by themselves, also when their files were removed from Streamlit's
store. All of it is held weakly: what a session forgets is not counted any more.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from ui.hosted.internals import put_around

T = TypeVar("T")


class Photo(Protocol):
    """A photo whose content can be given up."""

    name: str

    @property
    def content(self) -> bytes:
        """Its bytes; none once they were given up."""

    def give_up(self) -> None:
        """Forget the bytes, whoever holds the photo."""


P = TypeVar("P", bound=Photo)
Key = tuple[str, int]  # session, number of the object in order of time

_numbers = itertools.count()
_photos: weakref.WeakValueDictionary[Key, Photo] = weakref.WeakValueDictionary()
_values: weakref.WeakValueDictionary[Key, UploadedFile] = weakref.WeakValueDictionary()


def keep_photo(photo: P) -> P:
    """Count a photo with the uploads of this session, as long as anything holds it; return it."""
    if (context := get_script_run_ctx(suppress_warning=True)) is not None:
        _photos[context.session_id, next(_numbers)] = photo
    return photo


def release(file: UploadedFile) -> None:
    """Remove an upload that a page has taken from Streamlit's store, which would keep it."""
    if (context := get_script_run_ctx(suppress_warning=True)) is not None:
        store: Any = context.uploaded_file_mgr
        store.remove_file(context.session_id, file.file_id)


def count_uploader_values() -> None:
    """Count what uploaders give to pages from now on.

    Raises:
        RuntimeError: this version of Streamlit has no such class.
    """

    def made(original: Callable[..., None], file: UploadedFile, *arguments: Any) -> None:
        original(file, *arguments)
        if (context := get_script_run_ctx(suppress_warning=True)) is not None:
            _values[context.session_id, next(_numbers)] = file

    put_around(UploadedFile, "__init__", made, "whose uploads can be counted")


def photos() -> Iterator[tuple[Key, Photo]]:
    """Return the photos that pages keep, the oldest first."""
    return _held(_photos)


def values() -> Iterator[tuple[Key, UploadedFile]]:
    """Return the values of uploaders, the oldest first."""
    return _held(_values)


def give_up_photo(key: Key) -> None:
    """Free the memory of a photo."""
    if (photo := _photos.pop(key, None)) is not None:
        photo.give_up()


def give_up_value(key: Key) -> None:
    """Free the memory of an uploader's value, whose file is not in the store any more."""
    if (file := _values.pop(key, None)) is not None and not file.closed:
        file.seek(0)
        file.truncate()


def content_of(file: UploadedFile) -> bytes:
    """Return the bytes of an uploader's value, without a copy."""
    return b"" if file.closed else file.getvalue()


def _held(registry: weakref.WeakValueDictionary[Key, T]) -> Iterator[tuple[Key, T]]:
    for one in registry.valuerefs():  # a list: other threads may add to the registry
        if (held := one()) is not None:
            yield one.key, held
