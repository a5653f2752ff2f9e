"""The formats a run can leave in: what each is for, how far its export is, what came of it."""

from __future__ import annotations

import re
from typing import Any, NoReturn
from urllib.parse import urlsplit

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tl_core.export import run_exports
from tl_core.export.card import CARD_FILE, accuracy_change
from tl_core.export.examples import EXAMPLES_DIR
from tl_core.export.exporter import Export, zip_export
from tl_core.export.formats import FORMATS, Format
from tl_core.export.model_info import ModelInfo
from tl_core.export.web.runtime import CDN, why_from_cdn
from tl_core.jobs import export as export_jobs
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.datasets.downloads import file_for_download
from ui.share.web_page import page_address
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar, stop_button
from ui.shared.page_layout import draw_document, section
from ui.shared.words import number_of, plain

POLL_SECONDS = 0.7
SAME_BELOW = 0.0001
FOR_PEOPLE = ("web", "web-int8", "bundle")
FOR_ENGINEERS = ("Files for engineers", "For programs, servers and devices of your own.")
NOT_OFFERED = "Not offered."
NOT_REPLACED = "The new export failed; this is the earlier one."
OUTDATED = (
    "The model has changed since this export: it was trained further, or its limits of "
    "“none of these” were changed. Export it again to share its present answers."
)
EXAMPLES_LABEL = "Include test photos as examples for visitors"
NOT_COMPARED = "not compared with the app"
NO_PHOTOS = "none of your photos inside"
FROM_CDN = (
    "The page will load its runtime (9 MB) from {host} instead of carrying it, because {reason}. "
    "Photos still stay on the visitor's device."
)


def draw_formats(workspace: Workspace, run: Run) -> None:
    """Draw one box a format: first those for people, then those for engineers."""
    has_heading, now = False, run_exports.describe_now(run)
    for row in FORMATS.values():
        if row.name not in FOR_PEOPLE and not has_heading:
            section(*FOR_ENGINEERS)
            has_heading = True
        with st.container(border=True):
            _draw_format(workspace, run, row, now)


def _draw_format(workspace: Workspace, run: Run, row: Format, now: ModelInfo | None) -> None:
    words, action = st.columns([3, 1], vertical_alignment="center", gap="medium")
    with words:
        st.markdown(f"**{row.title}**  \n{row.purpose} :gray[Opened by {row.runtime}.]")
    export = run_exports.find_export(run, row.name)
    is_queued = export_jobs.export_state(workspace, run, row.name) is not None
    if export is not None:
        _draw_export(workspace, run, export, action, is_queued, now)
    elif is_queued:
        draw_export_progress(workspace, run.id, row.name)
    elif not row.is_available:
        st.caption("It needs a package that is not installed. This command installs it:")
        st.code(row.install_command, language="bash")
    else:
        failure = run_exports.export_failure(run, row.name)
        if failure:
            st.warning(f"{NOT_OFFERED} {plain(failure)}", icon=":material/warning:")
        _draw_options(workspace, row)
        with action:
            _draw_start(workspace, run, row, "Try again" if failure else "Export")


def _draw_export(
    workspace: Workspace,
    run: Run,
    export: Export,
    action: DeltaGenerator,
    is_queued: bool,
    now: ModelInfo | None,
) -> None:
    """Draw an export that is there; another may be on its way, which replaces it."""
    row = export.format
    is_outdated = run_exports.is_outdated(export, now)
    if is_outdated:
        st.warning(OUTDATED, icon=":material/history:")
    else:
        st.caption(figures(export))
        with action:
            _draw_downloads(workspace, run, export)
    if is_queued:
        draw_export_progress(workspace, run.id, row.name)
    else:
        if failure := run_exports.export_failure(run, row.name):
            st.warning(f"{NOT_REPLACED} {plain(failure)}", icon=":material/warning:")
        _draw_options(workspace, row)
        with action:
            _draw_start(workspace, run, row, "Export again", ":material/refresh:")
    if not is_outdated:
        _draw_card(export)


def figures(export: Export) -> str:
    """Return in one line how large an export is and how near it comes to the app."""
    size = sum(one.bytes for one in export.info.files.values())
    facts = [f"{size / 1e6:,.1f} MB"]
    if export.format.has_examples:
        count = sum(name.startswith(f"{EXAMPLES_DIR}/") for name in export.info.files)
        facts.append(f"{number_of(count, 'test photo')} inside" if count else NO_PHOTOS)
    parity = export.parity
    if parity is None:
        facts.append(NOT_COMPARED)
    elif reason := parity.get("not_proven"):
        facts.append(f"not proven here: {reason}")
    else:
        total = parity["num_photos"] + parity["num_odd_images"]
        same = round(parity["top1_agreement"] * total)
        facts += [
            f"same answer as the app on {same:,} of {total:,} images "
            f"({number_of(parity['num_photos'], 'photo')} of yours and "
            f"{parity['num_odd_images']:,} generated ones in unusual formats)",
            f"probabilities differ by {_difference(parity)}",
            f"{parity['images_per_second']:,.0f} photos a second here",
        ]
        if export.format.precision != "float32" and parity["drop"] is not None:
            facts.append(f"accuracy on these photos: {accuracy_change(parity)}")
    return " · ".join(facts)


def _difference(parity: dict[str, Any]) -> str:
    """Return how far probabilities differ, without powers of ten."""
    mean, greatest = parity["mean_difference"], parity["max_difference"]
    if greatest < SAME_BELOW:
        return f"less than {SAME_BELOW}"
    if mean < SAME_BELOW:
        return f"at most {greatest:.1g}"
    return f"{mean:.1g} on average, at most {greatest:.1g}"


def download_name(run: Run, row: Format) -> str:
    """Return a name for a download that every file system takes."""
    stem = re.sub(r"[^\w.-]+", "-", run.name).strip("-.") or run.id
    return f"{stem}-{row.name}"


def _draw_start(
    workspace: Workspace, run: Run, row: Format, label: str, icon: str = ":material/ios_share:"
) -> None:
    if st.button(label, key=f"export_{row.name}", icon=icon, width="stretch"):
        _request(workspace, run, row)


def _draw_downloads(workspace: Workspace, run: Run, export: Export) -> None:
    row, name = export.format, download_name(run, export.format)
    st.download_button(
        "Download",
        lambda: file_for_download(
            workspace, "export.zip", lambda path: zip_export(export, name, path)
        ),
        file_name=f"{name}.zip",
        mime="application/zip",
        key=f"download_{row.name}",
        icon=":material/download:",
        on_click="ignore",
        type="primary",
        width="stretch",
    )
    if row.is_page:
        st.link_button("Open", page_address(export), icon=":material/open_in_new:", width="stretch")


def _draw_options(workspace: Workspace, row: Format) -> None:
    """Draw what can be chosen about an export, and what is to be known before it is written."""
    if row.has_examples:
        st.checkbox(
            EXAMPLES_LABEL,
            key=f"examples_{row.name}",
            persist_state="session",
            help="Everyone who opens the page sees these photos; else visitors use their own.",
        )
    if row.is_page and (reason := why_from_cdn(workspace.cache_dir)):
        st.caption(f":material/info: {FROM_CDN.format(reason=reason, host=urlsplit(CDN).netloc)}")


def _request(workspace: Workspace, run: Run, row: Format) -> NoReturn:
    with_examples = row.has_examples and bool(st.session_state.get(f"examples_{row.name}"))
    export_jobs.request_export(workspace, run, row.name, with_examples=with_examples)
    st.rerun()


def _draw_card(export: Export) -> None:
    with st.expander("Model card", icon=":material/description:"):
        text = (export.folder / CARD_FILE).read_text(encoding="utf-8")
        draw_document(text.split("---\n", 2)[-1])  # without the front matter


@st.fragment(run_every=POLL_SECONDS)
@guarded
def draw_export_progress(
    workspace: Workspace, run_id: str, format_name: str, what: str = "Export"
) -> None:
    """Draw how far an export is, and a button that stops it; rerun the page when it ends.

    ``what`` says what it is made for.
    """
    run = Run(workspace.runs_dir / run_id)
    state = export_jobs.export_state(workspace, run, format_name)
    if state is None:
        st.rerun()
    draw_bar(workspace, state, what)
    if stop_button(state, f"stop_export_{format_name}"):
        export_jobs.stop_export(workspace, run, format_name)
        st.rerun()
