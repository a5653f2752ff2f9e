"""Export a copy of a dataset with decisions applied, every image in its class folder.

The files are copied byte for byte. A folder or a zip is created atomically.
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
from tl_core.visitors.writing import Written, writing


def export_cleaned_copy(
    index: DatasetIndex, out_path: str | os.PathLike[str], *, monitor: Monitor = SILENT
) -> Path:
    """Copy the images of an index to ``out_path/<class>/<file>``, or into a zip of that layout.

    A given split is preserved as ``out_path/<part>/<class>/<file>``, groups as ``groups.csv``.
    Files of the same name from different folders get different names, as do classes whose names are
    the same on some file systems.

    Args:
        index: the dataset, with decisions applied.
        out_path: a missing or empty folder, or the path of a ``.zip`` archive to write.
        monitor: counts the files, in stage ``"copy"``; checked between them.

    Returns:
        ``out_path`` as an absolute path.

    Raises:
        DatasetError: ``out_path`` exists, lies inside the dataset or cannot be written to, or a
            file is missing.
        LimitError: it would exceed what a visitor of a hosted demo may use; nothing was changed.
        Stopped: ``monitor`` was asked to stop; no partial copy remains.
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
            with writing(out) as written, new_folder(out) as folder:
                copies = _counted(_copies(index, groups, monitor), written)
                _write_folder(folder, copies, groups)
    except TakenError:
        raise
    except OSError as error:
        raise DatasetError(
            f"The copy could not be written to '{out}' ({error.strerror or error}), so nothing was "
            "saved. Free some space, or choose another folder."
        ) from error
    return out


def _write_zip(
    path: Path, copies: Iterable[tuple[Path, PurePosixPath]], groups: Mapping[str, str]
) -> None:
    # Photos are already compressed. A zip cannot store times before 1980; 1980 is used instead.
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


def _counted(
    copies: Iterable[tuple[Path, PurePosixPath]], written: Written
) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield each file, after it was counted with what is written for a demo's visitor."""
    for source, target in copies:
        written.add(1, new=source.stat().st_size)
        yield source, target


def _copies(
    index: DatasetIndex, groups: dict[str, str], monitor: Monitor
) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield each file with its path in the copy, reporting progress and missing files."""
    stage = monitor.stage("copy", index.num_images)
    folder_of = _class_folders(index.class_names)
    taken: set[str] = set()
    for record in index.records:
        monitor.check()
        source = index.path_of(record)
        if not source.is_file():
            raise DatasetError(f"Expected the image '{source}', but it is missing. Scan again.")
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
    """Return a unique folder name for each class; names that need no change take precedence.

    A class whose safe name is already used gets a suffix.
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
