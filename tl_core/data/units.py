"""Which images belong on one side of any split: identical ones, near copies, and given groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tl_core.data.dataset import DatasetIndex


def unit_names(
    index: DatasetIndex, positions: Iterable[int], groups: Mapping[str, str] | None = None
) -> list[str]:
    """Return a name for each position, equal for images that must stay together.

    Images belong together that have the same content, the same group in the index, or the same
    group in ``groups``, and all that are linked by a chain of such.

    Args:
        index: the dataset.
        positions: places in its records.
        groups: group name by sha256 of images that are near copies of each other.
    """
    named = groups or {}
    records = [index.records[int(position)] for position in positions]
    # A group's name and a content's digest are told apart by the letter before them.
    by_content = [
        f"g{named[record.sha256]}" if record.sha256 in named else f"s{record.sha256}"
        for record in records
    ]
    if all(record.group is None for record in records):
        return by_content
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name

    for name, record in zip(by_content, records, strict=True):
        if record.group is not None:
            first, second = sorted((root(name), root(f"u{record.group}")))
            parents[second] = first
    return [root(name) for name in by_content]
