"""A photo to classify."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tl_core.errors import ImageError

GIVEN_UP = (
    "This photo is not there any more: others needed the memory for uploads. Choose it again."
)


class Photo:
    """A photo in memory; it is written only when it is added to a project.

    Attributes:
        name: the file's name.
        digest: the sha256 of its bytes.
        is_given_up: whether its bytes were forgotten, as a hosted demo does when others need the
            memory.
    """

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.digest = hashlib.sha256(data).hexdigest()
        self.is_given_up = False
        self._data = data

    @property
    def content(self) -> bytes:
        """The file's bytes; none once they were given up."""
        return self._data

    @property
    def data(self) -> bytes:
        """The file's bytes.

        Raises:
            ImageError: they were given up.
        """
        data = self._data
        if self.is_given_up:
            raise ImageError(GIVEN_UP)
        return data

    def give_up(self) -> None:
        """Forget the bytes, whoever holds this photo."""
        self.is_given_up = True
        self._data = b""


def image_of(photo: Photo | Path) -> bytes | Path:
    """Return what an image is read from; pages hold the photo alone, which can be given up."""
    return photo if isinstance(photo, Path) else photo.data
