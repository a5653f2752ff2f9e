"""How a folder is read, and how else it could be: one click changes it.

Where two readings are plausible the plan is shown first; else it is one line that opens.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tl_core.data.curation.store import choose_layout, kept_layout
from tl_core.data.layout.layout_name import LayoutName
from tl_core.data.layout.plan import LayoutPlan, Reading
from tl_core.errors import TLError
from tl_core.projects.registry import Project
from tl_core.tables import safe_table
from tl_core.workspace import Workspace
from ui.datasets.scans import read_plan
from ui.shared.errors import FOLLOW_LINKS, KEEP_TOGETHER, READ_THIS_WAY
from ui.shared.words import counted, number_of, plain

MAX_CLASSES_NAMED = 6
LEFT_OUT = {
    "stray": "outside class folders",
    "no_row": "without a row in the label file",
    "no_class": "without a class in their names",
    "two_labels": "with rows of two classes",
    "variant": "folders of other renderings",
    "copy": "folders with the same files once more",
    "mask": "masks of other photos",
    "missing": "rows without an image",
    "link": "links",
}
OPTIONS = ("group", "links")  # what holds for a folder whichever reading is taken


def draw_plan(workspace: Workspace, dataset: Project, *, failed: bool = False) -> None:
    """Draw how a folder is read.

    Args:
        workspace: where the choice is kept.
        dataset: the folder.
        failed: whether it could not be read as a dataset, so that the plan is what helps.
    """
    try:
        plan = read_plan(workspace, dataset)
    except TLError as error:
        if kept_layout(workspace, dataset.path) is not None:
            st.warning(plain(str(error)), icon=":material/rule_folder:")
            _button("Use the default reading", workspace, dataset, None, "auto")
        return
    chosen = plan.chosen
    if chosen is None:
        return
    has_more = len(plan.readings) > 1 or plan.groups is not None or plan.links
    if failed or not plan.is_sure:
        with st.container(border=True, key="layout_plan"):
            _draw(workspace, dataset, plan, chosen)
    elif has_more or plan.is_chosen or chosen.examples:
        with st.expander(f"Read as {plain(chosen.title)}", icon=":material/account_tree:"):
            _draw(workspace, dataset, plan, chosen)


def _draw(workspace: Workspace, dataset: Project, plan: LayoutPlan, chosen: Reading) -> None:
    st.markdown(f"**Read as {plain(chosen.title)}.** {_summary_line(chosen)}")
    st.caption(plain("; ".join(chosen.reasons)))
    if chosen.examples:
        st.dataframe(
            safe_table(pd.DataFrame(chosen.examples, columns=["In the file", "Photo", "Class"])),
            hide_index=True,
            key="layout_examples",
            alt="The first rows of the label file, each with its photo and class",
        )
    others = plan.readings[1:]
    if others or not plan.is_sure:
        st.markdown("Other ways to read it:" if others else "")
        for place, reading in enumerate(others):
            summary, action = st.columns([5, 1], vertical_alignment="center")
            mark = ":" if reading.class_counts else ""
            summary.markdown(f"{plain(reading.title)}{mark} {_summary_line(reading)}")
            with action:
                name = str(LayoutName.parse(reading.name).with_options(**_options(plan)))
                _button(READ_THIS_WAY, workspace, dataset, name, f"layout_{place}")
    with st.container(horizontal=True, vertical_alignment="center"):
        if not plan.is_sure:
            _button("This is right", workspace, dataset, chosen.name, "layout_keep", "primary")
        if plan.is_chosen:
            _button("Use the default reading", workspace, dataset, None, "layout_forget")
    _draw_groups(workspace, dataset, plan, chosen)
    _draw_links(workspace, dataset, plan, chosen)
    _draw_pattern(workspace, dataset, plan)


def _draw_groups(workspace: Workspace, dataset: Project, plan: LayoutPlan, chosen: Reading) -> None:
    """Draw the offer to keep groups on one side of the split, or that they are."""
    name = LayoutName.parse(chosen.name)
    if chosen.num_groups and "group" in name.options:
        summary, action = st.columns([5, 1], vertical_alignment="center")
        summary.markdown(
            f"{number_of(chosen.num_groups, 'group')} of photos stay together in every split."
        )
        with action:
            _button("Split freely", workspace, dataset, str(name.with_options(group="")), "ungroup")
    elif plan.groups is not None:
        summary, action = st.columns([5, 1], vertical_alignment="center")
        photos = number_of(plan.groups.num_images, "photo")
        groups = number_of(plan.groups.num_groups, "group")
        summary.markdown(
            f":orange[:material/groups:] {photos} seem to come in {groups}: "
            f"{plain(plan.groups.reason)}. A model "
            "tested on photos of a group that it was trained on looks better than it is."
        )
        with action:
            grouped = str(name.with_options(group=plan.groups.spec))
            _button(KEEP_TOGETHER, workspace, dataset, grouped, "group", "primary")


def _draw_links(workspace: Workspace, dataset: Project, plan: LayoutPlan, chosen: Reading) -> None:
    if not plan.links:
        return
    link, target = next(iter(plan.links.items()))
    summary, action = st.columns([5, 1], vertical_alignment="center")
    summary.markdown(
        f"{number_of(len(plan.links), 'link')} left out, such as *{plain(link)}* to "
        f"*{plain(target)}*."
    )
    with action:
        name = str(LayoutName.parse(chosen.name).with_options(links="follow"))
        _button(FOLLOW_LINKS, workspace, dataset, name, "follow_links")


def _draw_pattern(workspace: Workspace, dataset: Project, plan: LayoutPlan) -> None:
    """Draw the field for a pattern of file names, with what it would give."""
    text = st.text_input(
        "Class from the file name",
        key=f"layout_pattern_{dataset.id}",
        placeholder="{class}_{n}",
        help="{class} stands for the class, {group} for what stays together, {n} for a number "
        "and * for anything. With a slash it is a pattern for the whole path.",
    )
    if not text:
        return
    name = str(LayoutName("names", text.strip(), _options(plan)))
    try:
        reading = read_plan(workspace, dataset, name).chosen
    except TLError as error:
        st.warning(plain(str(error)), icon=":material/rule_folder:")
        return
    if reading is None or not reading.class_counts:
        st.caption("No file name fits that pattern.")
        return
    st.markdown(f"This gives {plain(reading.title)}: {_summary_line(reading)}")
    _button(READ_THIS_WAY, workspace, dataset, name, "layout_pattern_use", "primary")


def _options(plan: LayoutPlan) -> dict[str, str]:
    """Return the options of the reading that is taken which hold for any other as well."""
    if plan.chosen is None:
        return {}
    options = LayoutName.parse(plan.chosen.name).options
    return {key: options[key] for key in OPTIONS if key in options}


def _summary_line(reading: Reading) -> str:
    """Return classes with counts, parts, and what is left out, in one line."""
    counts = list(reading.class_counts.items())
    summary = ", ".join(counted(plain(name), count) for name, count in counts[:MAX_CLASSES_NAMED])
    if len(counts) > MAX_CLASSES_NAMED:
        summary += f" and {len(counts) - MAX_CLASSES_NAMED:,} more"
    summary = f"{summary}. " if summary else ""
    rest = [counted(part, count) for part, count in reading.part_counts.items()]
    if reading.class_counts and reading.num_unlabelled:
        rest.append(f"{reading.num_unlabelled:,} without a class")
    rest += [
        f"{count:,} {LEFT_OUT[why]}" for why, count in reading.left_out.items() if why in LEFT_OUT
    ]
    return summary + (f":gray[{'; '.join(rest)}]" if rest else "")


def _button(
    label: str,
    workspace: Workspace,
    dataset: Project,
    layout: str | None,
    key: str,
    kind: str = "secondary",
) -> None:
    st.button(
        label,
        key=f"plan_{key}",
        type="primary" if kind == "primary" else "secondary",
        on_click=choose_layout,
        args=(workspace, dataset.path, layout),
    )
