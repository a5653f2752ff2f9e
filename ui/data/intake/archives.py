"""Adding archives: one, the parts of one folder, or one for each class; new or to a dataset."""

from __future__ import annotations

import streamlit as st
from streamlit.typing import UploadedFile

from tl_core.data.curation.store import choose_layout, kept_layout
from tl_core.data.ingest.archive import (
    ARCHIVE_ENDINGS,
    ArchiveContents,
    ArchiveSource,
    extract_archives,
    look_into,
)
from tl_core.data.ingest.archive_entries import propose_class
from tl_core.data.ingest.intake_budget import check_num_archives
from tl_core.data.ingest.name_encoding import ENCODING_TITLES
from tl_core.data.ingest.uploads import add_archives
from tl_core.data.layout.folder_structure import is_generic
from tl_core.errors import TLError
from tl_core.progress import Monitor
from ui.data.intake.parts import adding, draw_target, finish, fresh
from ui.shared import session_keys
from ui.shared.progress import shower
from ui.shared.words import number_of, plain
from ui.shell.page import Studio

UNLABELLED = "unlabelled"


def draw_archives(studio: Studio, *, begins_new: bool) -> None:
    """Draw the upload of archives, what has to be asked about each, and the button that adds."""
    st.markdown(
        "A zip or tar with **one folder per class**, with a label file beside the photos, or **one "
        "zip for each class**. Several archives that are parts of one folder are added together. "
        "A split into `train`, `val` and `test` folders is kept."
    )
    files = (
        st.file_uploader(
            "Zip or tar files",
            type=list(ARCHIVE_ENDINGS),
            accept_multiple_files=True,
            key=fresh("intake_zip"),
        )
        or []
    )
    check_num_archives(len(files))
    looked = _look(files)
    target = draw_target(studio, "zip", _suggestion(looked), begins_new=begins_new)
    # One flat archive alone has photos still to be sorted; several, or one for a project with
    # classes, are classes.
    is_one_class = len(files) > 1 or bool(target.class_names())
    sources = [_draw_source(file, contents, is_one_class) for file, contents in looked]
    # The button does not wait for a name: one just typed comes with the click on it.
    label = "Add the zip" if len(files) <= 1 else f"Add {number_of(len(files), 'archive')}"
    if not st.button(label, key="add_zip", type="primary", disabled=not files):
        return
    out_dir = target.folder()
    if target.standing is not None:
        with adding(target.title) as bar:
            outcomes = add_archives(
                sources,
                out_dir,
                layout=kept_layout(studio.workspace, out_dir),
                monitor=Monitor(shower(bar)),
            )
        left_out = [(one.name, one.reason or "") for one in outcomes if not one.is_stored]
        finish(studio, out_dir, sum(one.is_stored for one in outcomes), left_out)
    with adding(target.name.strip()) as bar:
        report = extract_archives(sources, out_dir, monitor=Monitor(shower(bar)))
    (contents,) = [one for _, one in looked] if len(looked) == 1 else [None]
    if contents is not None and sources[0].class_name is None and _is_heap(contents, files[0].name):
        choose_layout(studio.workspace, out_dir, UNLABELLED)
    left_out = report.refused + [(kind, f"{n} left out") for kind, n in report.ignored.items()]
    finish(studio, out_dir, report.num_files, left_out, is_unread=True)


def _is_heap(contents: ArchiveContents, file_name: str) -> bool:
    """Whether the only folder in an archive just holds its photos, as "trees" in "trees.zip"."""
    folder = contents.class_name
    named_alike = folder.casefold() == propose_class(file_name).casefold()
    return contents.is_flat and (named_alike or is_generic(folder))


def _look(files: list[UploadedFile]) -> list[tuple[UploadedFile, ArchiveContents | None]]:
    """Return what is in each archive; None for one that cannot be read, as adding it will tell.

    Each is looked into once. Any click ends that, as it ends an intake.
    """
    before = st.session_state.get(session_keys.LOOKED_INTO, {})
    known = {file.file_id: before[file.file_id] for file in files if file.file_id in before}
    st.session_state[session_keys.LOOKED_INTO] = known
    for file in files:
        if file.file_id not in known:
            bar = st.empty()
            try:
                known[file.file_id] = look_into(file, file.name, monitor=Monitor(shower(bar)))
            except TLError:
                known[file.file_id] = None
            bar.empty()
    return [(file, known[file.file_id]) for file in files]


def _suggestion(looked: list[tuple[UploadedFile, ArchiveContents | None]]) -> str:
    """Return a name for the dataset: that of the archive, or of the folder that has parts."""
    if not looked:
        return ""
    stems = {propose_class(file.name) for file, _ in looked}
    if len(stems) > 1 and all(contents is not None and contents.is_flat for _, contents in looked):
        return "my classes"
    return propose_class(looked[0][0].name)


def _draw_source(
    file: UploadedFile, contents: ArchiveContents | None, is_one_class: bool
) -> ArchiveSource:
    """Draw what has to be asked about one archive, and return how it is to be unpacked."""
    if contents is None:
        return ArchiveSource(file, file.name)
    if contents.encoding:
        title = ENCODING_TITLES.get(contents.encoding, contents.encoding)
        shown = f", such as {plain(contents.examples[0])}" if contents.examples else ""
        st.caption(f"Names in {plain(file.name)} are read as {plain(title)}{shown}.")
    class_name, unpack_nested = None, False
    if contents.is_flat:
        class_name = st.text_input(
            f"Class of the {number_of(contents.num_images, 'photo')} in {plain(file.name)}",
            value=contents.class_name if is_one_class else "",
            key=f"intake_zip_class_{file.file_id}_{is_one_class}",
            max_chars=80,
            help="Leave it empty for photos of several classes.",
        ).strip()
    if contents.nested:
        named = ", ".join(plain(name) for name in contents.nested[:3])
        unpack_nested = st.checkbox(
            f"Unpack the archives in {plain(file.name)} too: {named}",
            value=contents.num_images == 0,
            key=f"intake_zip_nested_{file.file_id}",
        )
    return ArchiveSource(file, file.name, class_name or None, unpack_nested)
