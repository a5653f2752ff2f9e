"""What a page picker is of: other things, or another order of them, begin on their first page."""

from __future__ import annotations

from zlib import crc32


def page_key(prefix: str, *of: object) -> str:
    """Return the key of a page picker.

    Args:
        prefix: of the key.
        of: what the pages are of, each with a ``repr`` that tells it from others.
    """
    return f"{prefix}_page_{crc32(repr(of).encode()):08x}"
