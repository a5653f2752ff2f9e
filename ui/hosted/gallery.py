"""Finished projects that whoever runs a demo shows on its home page; nobody can change them.

They are the projects of the workspace ``gallery`` in that of the demo.
"""

from __future__ import annotations

import streamlit as st

from tl_core.errors import TLError
from tl_core.projects.registry import Project, list_projects, runs_of
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.datasets.scans import load_raw
from ui.shared import words
from ui.shared.errors import logger
from ui.shared.page_layout import section
from ui.shared.thumbnails import thumbnail

GALLERY_DIR = "gallery"
NUM_SHOWN = 6
NUM_PICTURES = 4
TITLE = "Gallery"


def draw_gallery(workspace: Workspace) -> None:
    """Draw the finished projects of a demo's operator, if there are any."""
    host = workspace.host
    if host is None:
        return
    gallery = Workspace(host.root / GALLERY_DIR)
    shown = [
        (project, run)
        for project in list_projects(gallery)
        if project.is_ours
        and not project.is_missing
        and (run := _best_run(gallery, project)) is not None
    ][:NUM_SHOWN]
    if not shown:
        return
    section(TITLE, "Finished projects, to look at.")
    columns = st.columns(min(3, len(shown)), gap="medium")
    for place, (project, run) in enumerate(shown):
        with columns[place % len(columns)], st.container(border=True):
            try:
                _draw_project(gallery, project, run)
            except TLError:
                logger.warning("A project of the gallery cannot be shown", exc_info=True)


def _best_run(gallery: Workspace, project: Project) -> Run | None:
    runs = [run for run in runs_of(gallery, project) if run.state == "finished"]
    return max(runs, key=lambda run: run.metrics.get("val_accuracy") or 0.0, default=None)


def _draw_project(gallery: Workspace, project: Project, run: Run) -> None:
    index = load_raw(gallery, project)
    st.markdown(f"**{words.plain(project.title)}**")
    st.caption(
        f"{words.number_of(index.num_images, 'photo')}: "
        f"{', '.join(words.plain(name) for name in index.class_names)}"
    )
    step = max(1, index.num_images // NUM_PICTURES)
    tiles = [thumbnail(gallery, index, record) for record in index.records[::step][:NUM_PICTURES]]
    with st.container(horizontal=True, gap="small"):
        for tile in tiles:
            if tile is not None:
                st.image(tile, width=72, alt=f"A photo of {project.title}")
    if text := words.headline(run.metrics):
        st.markdown(f"**{text[0]}** {text[1]}")
