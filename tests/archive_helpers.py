"""Extracting a single archive, as most tests of archives do."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from tl_core.data.ingest.archive import (
    MAX_BYTES,
    MAX_FILES,
    ArchiveReport,
    ArchiveSource,
    extract_archives,
)
from tl_core.progress import SILENT, Monitor


def extract_archive(
    source: Path | BinaryIO,
    out_dir: Path,
    *,
    monitor: Monitor = SILENT,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> ArchiveReport:
    """Extract the images of one archive into a new folder; see :func:`extract_archives`."""
    name = source.name if isinstance(source, Path) else ""
    return extract_archives(
        [ArchiveSource(source, name)],
        out_dir,
        monitor=monitor,
        max_files=max_files,
        max_bytes=max_bytes,
    )
