"""What is wrong with a dataset, in plain words, each kind with its pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import streamlit as st

from tl_core.data.dataset import DatasetIndex, Finding
from tl_core.workspace import Workspace
from ui.thumbnails import draw_grid

SEVERITIES = {
    "error": (":material/error:", "red"),
    "warning": (":material/warning:", "orange"),
    "info": (":material/info:", "blue"),
}
MAX_PICTURES = 12
MAX_NAMES = 30


def draw_findings(workspace: Workspace, index: DatasetIndex) -> None:
    """Draw the findings, the worst first; those of one kind share an expander."""
    if not index.findings:
        st.markdown(":green[:material/check_circle:] Nothing wrong was found with the files.")
        return
    kinds: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in index.findings:
        kinds[finding.severity, finding.kind].append(finding)
    order = list(SEVERITIES)
    for (severity, kind), findings in sorted(
        kinds.items(), key=lambda item: (order.index(item[0][0]), item[0][1])
    ):
        icon, color = SEVERITIES[severity]
        title = kind_title(kind, findings)
        with st.expander(f":{color}[{icon}] {title}", key=f"finding_{kind}"):
            _draw_kind(workspace, index, findings)


def kind_title(kind: str, findings: Sequence[Finding]) -> str:
    """Return the words for all findings of one kind: the finding's own when there is one."""
    if len(findings) == 1:
        return findings[0].message
    return f"{len(findings)} × {kind.replace('_', ' ')}"


def _draw_kind(workspace: Workspace, index: DatasetIndex, findings: Sequence[Finding]) -> None:
    known = {record.path: record for record in index.records}
    if len(findings) > 1:
        for finding in findings[:MAX_NAMES]:
            st.caption(finding.message)
    named = [path for finding in findings for path in finding.paths]
    records = [known[path] for path in named if path in known]
    if records:
        draw_grid(workspace, index, records[:MAX_PICTURES], tile_width=96)
    rest = [path for path in named if path not in known] + [
        record.path for record in records[MAX_PICTURES:]
    ]
    if rest:
        shown = ", ".join(f"`{path}`" for path in rest[:MAX_NAMES])
        more = f" and {len(rest) - MAX_NAMES:,} more" if len(rest) > MAX_NAMES else ""
        st.caption(f"{shown}{more}")
