"""Images that belong together: frames of one video, several photos of one thing or person.

A group is kept on one side of a split: otherwise a model is tested on what it has as good as seen.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.label_files import ImageFinder, read_table
from tl_core.data.layout.name_patterns import compile_pattern, guess_group_pattern
from tl_core.data.layout.tree import Tree
from tl_core.errors import ConfigError

GROUPS_FILE = "groups.csv"
"""A table of ``file_name`` and ``group`` at the root says which images belong together."""


@dataclass(frozen=True)
class GroupProposal:
    """A rule for which images belong together. ``spec`` is what ``group=`` takes."""

    spec: str
    num_groups: int
    num_images: int
    reason: str


def propose_groups(layout: Layout, inner_groups: bool) -> GroupProposal | None:
    """Return how the images of a layout seem to belong together, or None.

    Args:
        layout: with files.
        inner_groups: whether the folders inside of class folders are sessions or the like.
    """
    if not layout.files or any(file.group for file in layout.files):
        return None
    paths = [file.path for file in layout.files]
    pattern = guess_group_pattern(paths)
    if pattern is not None:
        spec = f"name:{pattern}"
        reason = f"file names look like frames or bursts ('{paths[0].rpartition('/')[2]}')"
    elif inner_groups:
        spec, reason = "folder", "folders inside of the class folders look like sessions"
    else:
        return None
    groups = group_paths(layout, spec)
    of_class: dict[str, set[str]] = defaultdict(set)
    for file in layout.files:
        if file.path in groups:
            of_class[file.class_name].add(groups[file.path])
    # A group that is a class ("n01440764_18" in "n01440764/") could not be divided.
    if 2 * sum(len(own) > 1 for own in of_class.values()) <= len(of_class):
        return None
    return GroupProposal(spec, len(set(groups.values())), len(groups), reason)


def group_paths(layout: Layout, spec: str) -> dict[str, str]:
    """Return the group of each image that has one, by path.

    Args:
        layout: with files.
        spec: ``folder`` for the folder that an image lies in, or ``name:PATTERN``.

    Raises:
        ConfigError: it is neither, or the pattern says nothing about groups.
    """
    kind, _, argument = spec.partition(":")
    if kind == "folder":
        return {file.path: file.path.rpartition("/")[0] for file in layout.files}
    if kind == "name":
        pattern = compile_pattern(argument, "group")
        read = {file.path: pattern.read(file.path, "group") for file in layout.files}
        return {path: group for path, group in read.items() if group is not None}
    raise ConfigError(
        f"Expected group=folder, group=name:PATTERN or group=column:NAME, received '{spec}'."
    )


def apply_groups(layout: Layout, groups: Mapping[str, str]) -> None:
    """Set the group of each file that has one."""
    if groups:
        layout.files = [
            replace(file, group=groups[file.path]) if file.path in groups else file
            for file in layout.files
        ]


def groups_table(groups: Mapping[str, str]) -> str:
    """Return the content of ``groups.csv`` that :func:`read_groups_file` reads back."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file_name", "group"))
    writer.writerows(groups.items())
    return text.getvalue()


def read_groups_file(tree: Tree, finder: ImageFinder) -> dict[str, str]:
    """Return the groups that ``groups.csv`` at the root gives, by path; empty without it."""
    if GROUPS_FILE not in tree.top.others:
        return {}
    table = read_table(tree.root, GROUPS_FILE, finder)
    if table is None or not {"file_name", "group"} <= set(table.columns):
        return {}
    found: dict[str, str] = defaultdict(str)
    for name, group in zip(table.column("file_name"), table.column("group"), strict=True):
        image = finder.find(name, "")
        if image is not None and group:
            found[image.path] = group
    return found
