"""What visitors use of the disk, and whether they may use more: of their own, and of all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tl_core.config.limits import MEGABYTE, Limits, current_limits, over
from tl_core.errors import LimitError
from tl_core.visitors.store import address_key, list_visitors
from tl_core.workspace import Workspace

ENTRY_BYTES = 10_000  # that a file or folder counts at least: each is looked at again and again
_TOTAL_SECONDS = 30.0  # how long what others use is known, at least
_TIMES = 200  # of the time that it took to find out, if that is longer
_PAUSE_SECONDS = 1.0  # between two looks at others
_LOOK_SECONDS = 0.2  # for which a page finds out what others use
SHARE_OF_FREE = 2  # of what no visitor uses, that one network address may use
_STEPS = 400  # to which shares are rounded, so that they do not reveal how much others use


@dataclass(frozen=True)
class Usage:
    """Photos and bytes on disk, without what is shared with all visitors.

    Each file and folder counts :data:`ENTRY_BYTES` at least.
    """

    num_photos: int
    num_bytes: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.num_photos + other.num_photos, self.num_bytes + other.num_bytes)


NOTHING = Usage(0, 0)


def usage(workspace: Workspace) -> Usage:
    """Return what a visitor uses: files that are not shared, photos among them."""
    num_photos = num_bytes = 0
    for entry, is_photo in _entries(workspace):
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                num_bytes += ENTRY_BYTES
                continue
            facts = entry.stat(follow_symlinks=False)
            if facts.st_nlink == 1:  # a link is to the shared sample set or its features
                num_bytes += file_bytes(facts.st_size)
                num_photos += is_photo
    return Usage(num_photos, num_bytes)


_totals: dict[Path, _Totals] = {}  # by demo


@dataclass(frozen=True)
class _Known:
    """What a visitor uses, as it was found out last; what is added is noted at once."""

    used: Usage
    address: str
    look_at: float  # when to find out again


def file_bytes(num_bytes: int) -> int:
    """Return for how much a file of so many bytes counts."""
    return max(ENTRY_BYTES, num_bytes)


class _Totals:
    """What each visitor of a demo uses."""

    def __init__(self) -> None:
        self._known: dict[Path, _Known] = {}
        self._looked_at = -_PAUSE_SECONDS

    def note(self, workspace: Workspace, used: Usage) -> str:
        """Note what a visitor uses now, as somebody else found out; return the address."""
        known = self._known.get(workspace.root)
        if known is None:
            known = _Known(used, address_key(workspace), time.monotonic() + _TOTAL_SECONDS)
        self._known[workspace.root] = replace(known, used=used)
        return known.address

    def look(self, host: Workspace) -> None:
        """Find out what visitors use, of whom it is not known or who may have changed it.

        Those whom it takes long, as they have many files, are looked at less often.
        """
        began = time.monotonic()
        if began - self._looked_at < _PAUSE_SECONDS:
            return
        self._looked_at = began
        visitors = list_visitors(host)
        for root in set(self._known) - {one.root for one in visitors}:
            self._known.pop(root, None)
        for workspace in visitors:
            known = self._known.get(workspace.root)
            if known is not None:
                now = time.monotonic()
                if now < known.look_at or now - began > _LOOK_SECONDS:
                    continue
            before = time.monotonic()
            used, now = usage(workspace), time.monotonic()
            look_at = now + max(_TOTAL_SECONDS, _TIMES * (now - before))
            self._known[workspace.root] = _Known(used, address_key(workspace), look_at)

    def sums(self, address: str = "") -> tuple[Usage, Usage]:
        """Return what all visitors use, and what those of an address do."""
        found = [one for root, one in list(self._known.items()) if root.is_dir()]
        of_address = (one.used for one in found if one.address == address)
        return sum((one.used for one in found), NOTHING), sum(of_address, NOTHING)


def total_usage(host: Workspace) -> Usage:
    """Return what all visitors use together, as far as it is known."""
    return _looked(host).sums()[0]


def _looked(host: Workspace) -> _Totals:
    totals = _totals.setdefault(host.root, _Totals())
    totals.look(host)
    return totals


@dataclass(frozen=True)
class _Left:
    """How much more a visitor may use of a limit of all, and of the share of the address."""

    name: str  # a field of Limits
    unit: int  # photos or bytes of which that counts one
    total: int  # what all use
    of_all: int
    of_share: int
    share: int  # what the address may use then

    @property
    def least(self) -> int:
        return max(0, min(self.of_all, self.of_share))

    def check(self, num: int) -> None:
        """Check that there is as much.

        Raises:
            LimitError: there is less; the message names the limit.
        """
        if num > self.of_all:
            raise over(self.name, (self.total + num) / self.unit, "Try again in a few hours.")
        if num > self.of_share:
            limits = current_limits() or Limits()
            raise LimitError(
                f"This demo allows {getattr(limits, self.name):,} {Limits.title_of(self.name)}, of "
                f"which those of your network address may have {self.share // self.unit:,} at the "
                "moment. Delete photos, projects or runs, or try again in a few hours."
            )


def _left(name: str, unit: int, total: int, of_address: int | None) -> _Left:
    """Return how much more there is of a limit.

    One address may use as much as :data:`SHARE_OF_FREE` times what is free then, so that some is
    free for others however many fill up what they may: with two addresses a fifth, with twelve a
    twenty-fifth.

    References:
        A. Choudhury and E. Hahne, "Dynamic queue length thresholds for shared-memory packet
        switches", IEEE/ACM Transactions on Networking 6(2), 1998.

    Args:
        name: of the limit of all visitors.
        unit: photos or bytes of which the limit counts one.
        total: what they use.
        of_address: what those of the address use; None if it is not known, which has no share.
    """
    limit = getattr(current_limits() or Limits(), name) * unit
    free = more = limit - total
    share = limit
    if of_address is not None:
        more = (SHARE_OF_FREE * free - of_address) // (1 + SHARE_OF_FREE)
        more -= more % (limit // _STEPS or 1)
        share = of_address + max(0, more)
    return _Left(name, unit, total, free, more, share)


def _left_of_all(workspace: Workspace, host: Workspace, own: Usage) -> tuple[_Left, _Left]:
    """Return how many photos and bytes there are for a visitor, who uses ``own``."""
    totals = _looked(host)
    address = totals.note(workspace, own)
    total, of_address = totals.sums(address)
    photos, num_bytes = of_address.num_photos, of_address.num_bytes
    return (
        _left("all_photos", 1, total.num_photos, photos if address else None),
        _left("disk_mb", MEGABYTE, total.num_bytes, num_bytes if address else None),
    )


def allowance(workspace: Workspace, own: Usage | None = None) -> Usage:
    """Return how many photos and bytes a visitor may still add, each 0 or more.

    Args:
        workspace: the visitor's workspace; any other has no limits.
        own: what the visitor uses, when it was computed before.

    Example:
        >>> from tl_core.workspace import default_workspace
        >>> allowance(default_workspace()).num_photos >= 1_000_000  # no limits outside of a demo
        True
    """
    limits, host = current_limits(), workspace.host
    if limits is None or host is None:
        return Usage(2**40, 2**60)
    own = own or usage(workspace)
    photos, num_bytes = _left_of_all(workspace, host, own)
    return Usage(
        max(0, min(limits.photos - own.num_photos, photos.least)),
        max(0, min(limits.visitor_mb * MEGABYTE - own.num_bytes, num_bytes.least)),
    )


def check_photos(
    workspace: Workspace, num_photos: int, num_bytes: int, own: Usage | None = None
) -> None:
    """Check whether a visitor may add photos, and count them with what all use.

    While they are written :mod:`tl_core.visitors.writing` calls this for each.

    Args:
        workspace: the visitor's workspace; any other has no limits.
        num_photos: how many.
        num_bytes: their bytes on disk.
        own: what the visitor uses, when it was computed before.

    Raises:
        LimitError: it exceeds a limit of the demo; the message names it.
    """
    limits, host = current_limits(), workspace.host
    if limits is None or host is None:
        return
    own = own or usage(workspace)
    if own.num_photos + num_photos > limits.photos:
        raise over(
            "photos", own.num_photos + num_photos, "Add fewer, or delete photos that you added."
        )
    if own.num_bytes + num_bytes > limits.visitor_mb * MEGABYTE:
        raise over(
            "visitor_mb",
            (own.num_bytes + num_bytes) / MEGABYTE,
            "Add smaller photos, or delete projects and runs.",
        )
    photos, free = _left_of_all(workspace, host, own)
    photos.check(num_photos)
    free.check(num_bytes)
    _totals[host.root].note(workspace, own + Usage(num_photos, num_bytes))


def count_again(workspace: Workspace) -> None:
    """Look at what a visitor uses now, after much of it was removed, for the sum of all."""
    if workspace.host is not None:
        _totals.setdefault(workspace.host.root, _Totals()).note(workspace, usage(workspace))


def check_own_room(workspace: Workspace, own: Usage | None = None) -> None:
    """Check whether a visitor uses less of the disk than a visitor may, whatever others use.

    Args:
        workspace: the visitor's workspace; any other has no limits.
        own: what the visitor uses, when it was computed before.

    Raises:
        LimitError: the limit on the data of a visitor is reached.
    """
    limits = current_limits()
    if limits is None or workspace.host is None:
        return
    own = own or usage(workspace)
    if own.num_bytes >= limits.visitor_mb * MEGABYTE:
        raise over("visitor_mb", own.num_bytes / MEGABYTE, "Delete projects or runs first.")


def check_room(workspace: Workspace, own: Usage | None = None) -> None:
    """Check whether a visitor may use more of the disk.

    Args:
        workspace: the visitor's workspace; any other has no limits.
        own: what the visitor uses, when it was computed before.

    Raises:
        LimitError: a limit on the data of the visitor, of an address or of all is reached.
    """
    host = workspace.host
    if current_limits() is None or host is None:
        return
    own = own or usage(workspace)
    check_own_room(workspace, own)
    _, free = _left_of_all(workspace, host, own)
    free.check(1)


def _entries(workspace: Workspace) -> Iterator[tuple[os.DirEntry[str], bool]]:
    """Yield all files and folders of a workspace, and whether a file is a photo.

    In a hidden folder none is yet: those are still being unpacked or encoded, and may be there
    twice.
    """
    pending = [(str(workspace.root), False)]
    datasets = str(workspace.datasets_dir)
    while pending:
        folder, is_photo = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        is_dataset = folder == datasets and not entry.name.startswith(".")
                        pending.append((entry.path, is_photo or is_dataset))
                    yield entry, is_photo
        except OSError:  # deleted meanwhile
            continue
