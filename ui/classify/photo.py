"""A photo to classify."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Photo:
    """A photo in memory; it is written only when it is added to a project."""

    name: str
    data: bytes

    @cached_property
    def digest(self) -> str:
        """The sha256 of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()
