"""The command that unpacks archives into a new data folder, as adding them in the app does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tl_core.cli.arguments import Quiet, folder_at
from tl_core.cli.terminal import MAX_PATHS, say, working


def unpack(
    archives: Annotated[
        list[Path], typer.Argument(metavar="FILE ...", help="Zip or tar files of one dataset.")
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="New folder for the photos.")
    ],
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Class of an archive without class folders."),
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested", help="Unpack archives inside of the archives too.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Unpack archives with class folders, or one for each class, into a new data folder.

    Several archives without folders are classes that are called like them.
    """
    from tl_core.data.ingest.archive import ArchiveSource, extract_archives, look_into

    sources = []
    for path in archives:
        contents = look_into(path, path.name)
        name = class_name or (contents.class_name if len(archives) > 1 else None)
        sources.append(
            ArchiveSource(
                path,
                path.name,
                name if contents.is_flat else None,
                nested or (bool(contents.nested) and contents.num_images == 0),
            )
        )
    with working(quiet) as (_, monitor):
        report = extract_archives(sources, folder_at(out_dir, "for the photos"), monitor=monitor)
    say(f"{report.num_files:,} files in {out_dir}")
    for encoding in report.encodings:
        say(f"Names read as {encoding}")
    for kind, count in report.ignored.items():
        say(f"Left out: {kind} ({count:,})")
    for file_name, reason in report.refused[:MAX_PATHS]:
        say(f"Left out: {file_name}: {reason}")
    if (num_more := len(report.refused) - MAX_PATHS) > 0:
        say(f"and {num_more:,} more")
