"""The workspaces of visitors: open one, give it a place, and delete those that have ended.

    <demo's workspace>/visitors/<id>/   a workspace as any other, see tl_core.workspace
                       visitor.json     modified when the visitor was last seen
                       place            modified while the visitor has one of the places; its
                                        time of access is that of the last work
    <demo's workspace>/visitors/.ended/ one empty file for each that was deleted with own data,
                                        of the last 14 days and the newest MOST_ENDED

Who only looks takes no place: adding photos or starting work does, see :func:`take_place`.
Whoever looks after the server counts with :mod:`tl_core.visitors.counters`.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from tl_core.config.limits import current_limits, over
from tl_core.errors import LimitError
from tl_core.fair_turns import Asker
from tl_core.files import read_json, write_json
from tl_core.visitors.counters import count
from tl_core.visitors.tokens import keyed_hash, visitor_id
from tl_core.workspace import Workspace

VISITOR_FILE = "visitor.json"
PLACE_FILE = "place"
ENDED_DIR = ".ended"
ACTIVE_SECONDS = 10 * 60.0  # for which a visitor who is not seen any more keeps a place
EMPTY_SECONDS = 10 * 60.0  # after which a workspace without own data is removed
EMPTY_EACH = 4  # such workspaces, for each of the places
_ENDED_SECONDS = 14 * 24 * 3600.0  # how long it is known that a workspace has ended
MOST_ENDED = 10_000  # of which this is known; of more, the oldest are forgotten
_TOUCH_SECONDS = 20.0
_REMAINS_SECONDS = 120.0  # after which what is no workspace is removed
_OWN_DIRS = ("runs", "sweeps", "decisions", "presets", "trash")


_AgeOf = Callable[[Workspace], float]

_taking = threading.Lock()  # one process serves all visitors


def visitor_at_token(host: Workspace, token: str) -> Workspace:
    """Return the workspace of a token, whether it exists or not."""
    return Workspace(host.visitors_dir / visitor_id(token))


def exists(workspace: Workspace) -> bool:
    """Whether a visitor's workspace has been opened and not deleted."""
    return (workspace.root / VISITOR_FILE).is_file()


def has_ended(host: Workspace, token: str) -> bool:
    """Whether the workspace of a token was deleted with own data, as far as that is remembered."""
    return (host.visitors_dir / ENDED_DIR / visitor_id(token)).exists()


def reopen(host: Workspace, token: str) -> None:
    """Let a token be used again after its data were deleted; for users who log in."""
    (host.visitors_dir / ENDED_DIR / visitor_id(token)).unlink(missing_ok=True)


def open_visitor(host: Workspace, token: str, address: str = "") -> Workspace:
    """Return the workspace of a token that was not deleted, creating it at the first visit.

    Args:
        host: the demo's workspace.
        token: the visitor's.
        address: of the network that the visitor comes from, if it is known; a hash of it is kept.

    Raises:
        StorageError: the disk is full or read-only, or writing is not allowed.
    """
    workspace = visitor_at_token(host, token)
    path = workspace.root / VISITOR_FILE
    key = keyed_hash(host, "address", address).hex()[:16] if address else ""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        _end_empty(host)
        write_json(path, {"created": time.time(), "address": key})
        count(host, "visitors")
        return workspace
    if age > _TOUCH_SECONDS:
        with suppress(OSError):
            if has_place(workspace):
                place = workspace.root / PLACE_FILE
                os.utime(place, (place.stat().st_atime, time.time()))
            if address_key(workspace) != key:
                write_json(path, {"created": time.time() - age, "address": key})
            else:
                os.utime(path)
    return workspace


def has_place(workspace: Workspace) -> bool:
    """Whether a visitor has one of the places: took one, and was seen in the last ten minutes."""
    path = workspace.root / PLACE_FILE
    return path.exists() and _age(path) < ACTIVE_SECONDS


def take_place(workspace: Workspace) -> None:
    """Take one of the demo's places, as who adds photos or starts work must; others need none.

    When all are taken, one of the network address with most is given up, of the visitor who added
    or started something longest ago, unless the address of ``workspace`` would have more then.

    Raises:
        LimitError: all places are taken, or those for one network address.
    """
    limits, host = current_limits(), workspace.host
    if limits is None or host is None or not exists(workspace):
        return
    place = workspace.root / PLACE_FILE
    if has_place(workspace):
        with suppress(OSError):
            os.utime(place)
        return
    with _taking:
        others = [one for one in list_visitors(host) if has_place(one)]
        groups = _by_address(others, _idle_seconds)
        neighbours = len(groups.get(_group_of(workspace), ()))
        if 0 < limits.address_visitors <= neighbours:
            count(host, "visitors_refused")
            raise over("address_visitors", neighbours + 1, "Try again in a few minutes.")
        if len(others) >= limits.visitors:
            largest = _largest(groups, _idle_seconds)
            if len(largest) <= neighbours + 1:
                count(host, "visitors_refused")
                raise LimitError(
                    f"This demo has room for {limits.visitors:,} visitors at once, and all places "
                    "are taken. Look around, and try again in a few minutes."
                )
            (largest[-1].root / PLACE_FILE).unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # deleted meanwhile
            place.touch()


def list_visitors(host: Workspace) -> list[Workspace]:
    """Return the workspaces of all visitors."""
    found = [Workspace(host.visitors_dir / name) for name in sorted(_names(host.visitors_dir))]
    return [workspace for workspace in found if exists(workspace)]


def address_key(workspace: Workspace) -> str:
    """Return the hash of the address that a visitor came from last; empty if it is unknown."""
    try:
        return str(read_json(workspace.root / VISITOR_FILE).get("address", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def asker_of(workspace: Workspace) -> Asker | None:
    """Return for whom work in a workspace is done; None outside of a demo."""
    if workspace.host is None:
        return None
    return Asker(workspace.root.name, address_key(workspace))


def seen_seconds(workspace: Workspace) -> float:
    """Return how long ago the visitor was last seen; infinity for a workspace that is gone."""
    path = workspace.root / VISITOR_FILE
    return _age(path) if path.exists() else float("inf")


def num_active(host: Workspace) -> int:
    """Return how many visitors have a place."""
    return sum(has_place(one) for one in list_visitors(host))


def has_own_data(workspace: Workspace) -> bool:
    """Whether a visitor added or made something."""
    folders = [workspace.root / name for name in _OWN_DIRS]
    if any(_names(folder) for folder in folders):
        return True
    datasets = [name for name in _names(workspace.datasets_dir) if name != "sample"]
    return any((workspace.datasets_dir / name).is_dir() for name in datasets)


def end_visitor(workspace: Workspace, *, may_return: bool = False) -> None:
    """Delete a visitor's workspace; its jobs stop.

    Args:
        workspace: the visitor's.
        may_return: whether the token opens a new workspace later. Else it is not accepted again,
            unless nothing was added or made: such a workspace leaves nothing on the disk.
    """
    host = workspace.host
    if host is None or not workspace.root.is_dir():
        return
    if not may_return and has_own_data(workspace):
        ended = host.visitors_dir / ENDED_DIR
        ended.mkdir(parents=True, exist_ok=True)
        (ended / workspace.root.name).touch()
    gone = host.visitors_dir / f".gone-{workspace.root.name}-{time.time_ns()}"
    with suppress(FileNotFoundError):
        workspace.root.rename(gone)  # all at once, so that no page shows half of it
    shutil.rmtree(gone, ignore_errors=True)
    count(host, "workspaces_ended")


def remove_remains(workspace: Workspace) -> None:
    """Remove what work wrote into a visitor's workspace after that was deleted."""
    if workspace.host is not None and not exists(workspace):
        shutil.rmtree(workspace.root, ignore_errors=True)


def end_expired(host: Workspace) -> list[Workspace]:
    """Delete the workspaces of visitors who left, and return them.

    That is after the limit ``hours``, and after ten minutes for one without own data, which is
    made again if its visitor returns. What an interrupted deletion left is removed too, and which
    workspaces have ended is forgotten as :data:`MOST_ENDED` and the time say.
    """
    limits = current_limits()
    if limits is None:
        return []
    ended = []
    for workspace in list_visitors(host):
        age = seen_seconds(workspace)
        is_empty = age > EMPTY_SECONDS and not has_own_data(workspace)
        if age > limits.hours * 3600 or is_empty:
            end_visitor(workspace, may_return=is_empty)
            ended.append(workspace)
    for name in _names(host.visitors_dir, hidden=True):
        folder = host.visitors_dir / name
        if name != ENDED_DIR and not exists(Workspace(folder)) and _age(folder) > _REMAINS_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)  # also what a job wrote after the deletion
    _forget_ended(host)
    return ended


def _forget_ended(host: Workspace) -> None:
    """Forget workspaces that ended long ago, and the oldest when there are too many."""
    folder = host.visitors_dir / ENDED_DIR
    ages = sorted((_age(folder / name), name) for name in _names(folder))
    for place, (age, name) in enumerate(ages):
        if place >= MOST_ENDED or age > _ENDED_SECONDS:
            (folder / name).unlink(missing_ok=True)


def _end_empty(host: Workspace) -> None:
    """Make room for a new visitor among those who only look.

    Of the network address with most of them, who was seen longest ago goes: fresh cookies of one
    address take the place of each other.
    """
    limits = current_limits()
    if limits is None:
        return
    most, found = EMPTY_EACH * limits.visitors, list_visitors(host)
    if len(found) < most:
        return
    empty = [one for one in found if not has_place(one) and not has_own_data(one)]
    groups = _by_address(empty, seen_seconds)
    for _ in range(len(empty) + 1 - most):
        end_visitor(_largest(groups, seen_seconds).pop(), may_return=True)


def _group_of(workspace: Workspace) -> str:
    """Return the address of a visitor; where that is unknown each is a group of one."""
    return address_key(workspace) or workspace.root.name


def _by_address(workspaces: Iterable[Workspace], age: _AgeOf) -> dict[str, list[Workspace]]:
    """Return the visitors of each network address, each time the one of the highest age last."""
    groups: dict[str, list[Workspace]] = {}
    for one in sorted(workspaces, key=age):
        groups.setdefault(_group_of(one), []).append(one)
    return groups


def _largest(groups: dict[str, list[Workspace]], age: _AgeOf) -> list[Workspace]:
    """Return the group with most visitors; of several, that whose last one has the highest age."""
    return max(filter(None, groups.values()), key=lambda own: (len(own), age(own[-1])))


def _idle_seconds(workspace: Workspace) -> float:
    """Return how long ago a visitor with a place added photos or started work."""
    try:
        return time.time() - (workspace.root / PLACE_FILE).stat().st_atime
    except OSError:
        return 0.0


def _age(path: Path) -> float:
    """Return the seconds since a file or folder was modified; 0 when it is gone."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def _names(folder: Path, *, hidden: bool = False) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if hidden or not e.name.startswith(".")]
    except OSError:
        return []
