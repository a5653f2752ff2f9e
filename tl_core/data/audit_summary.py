"""What an audit found, in one line of plain words."""

from __future__ import annotations

from collections.abc import Sequence

from tl_core.data.findings import Finding

# Kinds worth a place in the line, in its order: what is counted of them, one, several.
_WORDS = {
    "unreadable": ("paths", "unreadable file", "unreadable files"),
    "two_classes": ("groups", "photo in two classes", "photos in two classes"),
    "across_parts": ("groups", "photo in two parts", "photos in two parts"),
    "duplicate": ("action_paths", "duplicate", "duplicates"),
    "near_two_classes": ("groups", "near copy in two classes", "near copies in two classes"),
    "near_across_parts": ("groups", "near copy in two parts", "near copies in two parts"),
    "near_duplicate": ("action_paths", "near duplicate", "near duplicates"),
    "wrong_label": ("paths", "probably wrong label", "probably wrong labels"),
    "dark": ("paths", "very dark", "very dark"),
    "bright": ("paths", "very bright", "very bright"),
    "uniform": ("paths", "even surface", "even surfaces"),
    "blurry": ("paths", "blurry", "blurry"),
    "tiny": ("paths", "tiny", "tiny"),
}


def summarise(findings: Sequence[Finding]) -> str:
    """Return such as "4 duplicates, 1 photo in two classes, 2 very dark"; "" for nothing of note.

    What is merely for information is left out.
    """
    parts = []
    for kind, (counted, one, several) in _WORDS.items():
        number = sum(
            len(getattr(finding, counted))
            for finding in findings
            if finding.kind == kind and finding.severity != "info"
        )
        if number:
            parts.append(f"{number:,} {one if number == 1 else several}")
    return ", ".join(parts)
