"""A copy of a dataset as it counts: without what was left out, every image in its class folder.

The files are copied byte for byte. A folder or a zip appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from tl_core.data.dataset import DatasetIndex
from tl_core.data.file_names import mark_name, path_key, safe_component
from tl_core.data.layout.groups import GROUPS_FILE, groups_table
from tl_core.errors import DatasetError, TakenError
from tl_core.files import check_is_new, expand, new_folder, replacing
from tl_core.progress import SILENT, Monitor


def export_cleaned_copy(
    index: DatasetIndex, out_path: str | os.PathLike[str], *, monitor: Monitor = SILENT
) -> Path:
    """Copy the images of an index to ``out_path/<class>/<file>``, or into a zip of that layout.

    A given split stays: ``out_path/<part>/<class>/<file>``, and so do groups, in ``groups.csv``.
    Files of one name that come from different folders get different names, and so do classes whose
    names some system cannot tell apart.

    Args:
        index: what to copy, with decisions already applied.
        out_path: a folder that is missing or empty; with the ending ``.zip`` the archive to write.
        monitor: counts the files, in stage ``"copy"``; checked between them.

    Returns:
        ``out_path`` as an absolute path.

    Raises:
        DatasetError: ``out_path`` is taken, lies inside the dataset or cannot be written to, or a
            file has gone.
        Stopped: ``monitor`` was asked to stop; nothing is left behind.
    """
    out = expand(out_path).absolute()
    if out.is_relative_to(index.data_dir.absolute()):
        raise DatasetError(
            f"Expected a place outside '{index.data_dir}' for the copy, received '{out}'."
        )
    groups: dict[str, str] = {}  # filled while files are copied
    try:
        if out.suffix.lower() == ".zip":
            check_is_new(out)
            with replacing(out) as archive:
                _write_zip(archive, _copies(index, groups, monitor), groups)
                with suppress(OSError):
                    out.rmdir()  # an empty folder of that name gives way, as for a folder copy
        else:
            with new_folder(out) as folder:
                _write_folder(folder, _copies(index, groups, monitor), groups)
    except TakenError:
        raise
    except OSError as error:
        raise DatasetError(
            f"The copy could not be written to '{out}' ({error.strerror or error}). Nothing of it "
            "was kept: make room, or choose another place."
        ) from error
    return out


def _write_zip(
    path: Path, copies: Iterable[tuple[Path, PurePosixPath]], groups: Mapping[str, str]
) -> None:
    # Photos are packed already. A zip knows no time before 1980: such a file gets that year.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for source, target in copies:
            archive.write(source, target.as_posix())
        if groups:
            archive.writestr(GROUPS_FILE, groups_table(groups))


def _write_folder(
    folder: Path, copies: Iterable[tuple[Path, PurePosixPath]], groups: Mapping[str, str]
) -> None:
    for source, target in copies:
        place = folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    if groups:
        (folder / GROUPS_FILE).write_text(groups_table(groups), encoding="utf-8", newline="")


def _copies(
    index: DatasetIndex, groups: dict[str, str], monitor: Monitor
) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield each file with its place in the copy, telling progress and naming one that has gone."""
    stage = monitor.stage("copy", index.num_images)
    folder_of = _class_folders(index.class_names)
    taken: set[str] = set()
    for record in index.records:
        monitor.check()
        source = index.path_of(record)
        if not source.is_file():
            raise DatasetError(f"Expected the image '{source}', but it has gone. Scan again.")
        folders = (record.part,) if record.part else ()
        name = safe_component(Path(record.path).name)
        target = PurePosixPath(*folders, folder_of[index.class_names[record.label]], name)
        if path_key(target) in taken:
            target = mark_name(target, _digest(record.path))
        taken.add(path_key(target))
        if record.group is not None:
            groups[target.as_posix()] = record.group
        yield source, target
        stage.advance()


def _class_folders(class_names: Iterable[str]) -> dict[str, PurePosixPath]:
    """Return a folder for each class that no other has: names that can stay as they are come first.

    A class whose name, made safe, is another's gets a mark in it.
    """
    folder_of: dict[str, PurePosixPath] = {}
    taken: set[str] = set()
    for name in sorted(class_names, key=lambda name: safe_component(name) != name):
        folder = PurePosixPath(safe_component(name))
        if path_key(folder) in taken:
            folder = mark_name(folder, _digest(name))
        taken.add(path_key(folder))
        folder_of[name] = folder
    return folder_of


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
