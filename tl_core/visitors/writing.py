"""What is being written for a visitor, checked against the limits before each file.

    with writing(out_dir) as written:
        for photo in photos:
            written.add(1, new=len(photo))
            path.write_bytes(photo)

All that one visitor's pages write at the same time counts together. What an error or a stop ends
does not count any more: whoever writes removes it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tl_core.config.limits import current_limits
from tl_core.visitors.store import take_place
from tl_core.visitors.usage import (
    NOTHING,
    Usage,
    check_photos,
    count_again,
    file_bytes,
    usage,
)
from tl_core.workspace import Workspace, visitor_at


class _Shared:
    """What a visitor used when the last of those who write now began, and what was added since."""

    def __init__(self) -> None:
        self.own = self.added = NOTHING
        self.writing: list[Written] = []

    def begin(self, written: Written, own: Usage) -> None:
        """Count one more; photos that the others have written are not kept and not in ``own``."""
        num_photos = sum(one.added.num_photos for one in self.writing)
        self.own, self.added = own, Usage(num_photos, 0)
        self.writing.append(written)


_shared: dict[Path, _Shared] = {}  # by visitor's workspace; one process serves all pages
_lock = threading.Lock()


class Written:
    """What one intake or copy has written; outside of a demo nothing is counted."""

    def __init__(self, visitor: Workspace | None = None, shared: _Shared | None = None) -> None:
        self._visitor, self._shared = visitor, shared
        self.added = NOTHING

    def add(self, num_photos: int, new: int | None = None, old: int | None = None) -> None:
        """Count what is to be written next.

        Args:
            num_photos: how many photos the file is: 1 or 0.
            new: the bytes of a file, if one is written.
            old: the bytes of a file that it replaces, or that was removed.

        Raises:
            LimitError: it exceeds a limit of the demo; the message names it.
        """
        if self._visitor is None or self._shared is None:
            return
        num_bytes = 0 if new is None else file_bytes(new)
        num_bytes -= 0 if old is None else file_bytes(old)
        with _lock:
            self.added += Usage(num_photos, num_bytes)
            self._shared.added += Usage(num_photos, num_bytes)
            added = self._shared.added
        check_photos(self._visitor, added.num_photos, added.num_bytes, self._shared.own)


@contextmanager
def writing(place: Path) -> Iterator[Written]:
    """Context manager that counts what is written for the visitor whose workspace has ``place``.

    Raises:
        LimitError: a limit of the demo is exceeded, or the visitor gets no place.
    """
    visitor = visitor_at(place)
    if visitor is None or visitor.host is None or current_limits() is None:
        yield Written()
        return
    take_place(visitor)
    own = usage(visitor)
    with _lock:
        shared = _shared.setdefault(visitor.root, _Shared())
        shared.begin(written := Written(visitor, shared), own)
    try:
        yield written
    except BaseException:  # a page that is closed or run again too
        with _lock:
            shared.added += Usage(-written.added.num_photos, -written.added.num_bytes)
        count_again(visitor)
        raise
    finally:
        with _lock:
            shared.writing.remove(written)
            if not shared.writing:
                del _shared[visitor.root]
