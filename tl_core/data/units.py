"""Which images must stay together in any split: identical ones, near copies, and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tl_core.data.dataset import DatasetIndex


def unit_names(
    index: DatasetIndex, positions: Iterable[int], groups: Mapping[str, str] | None = None
) -> list[str]:
    """Return a name for each position, equal for images that must stay together.

    Images belong together if they have the same content, the same group in the index, or the same
    group in ``groups``, or are connected by a chain of such images.

    Args:
        index: the dataset.
        positions: positions in its records.
        groups: group name by sha256 of images that are near copies of each other.
    """
    named = groups or {}
    records = [index.records[int(position)] for position in positions]
    # A prefix letter distinguishes group names from content digests.
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
