"""What a person decided about single images: leave it out, or count it to another class.

Nothing in a data folder is touched. The decisions of each folder are one small file in the
workspace; :func:`load_dataset` is the scan that obeys them, for everything that trains or
evaluates. Each step can be taken back.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from tl_core.data.dataset import DatasetIndex, ImageRecord, scan_dataset
from tl_core.data.findings import Finding
from tl_core.data.layout import natural_path_key
from tl_core.data.progress import OnProgress, ShouldStop
from tl_core.errors import DatasetError
from tl_core.files import read_json, write_json
from tl_core.workspace import Workspace

Action = Literal["exclude", "relabel", "keep"]

_SCHEMA = 1


@dataclass(frozen=True)
class Decision:
    """One decision about one file.

    Args:
        path: the image, relative to its data folder, with slashes.
        sha256: of its bytes: for other bytes at the same path the decision does not hold.
        action: ``exclude`` it, ``relabel`` it to ``class_name``, or ``keep`` it as it is.
        class_name: the class it is to count for; only with ``relabel``.
        reason: why, such as the kind of finding.
    """

    path: str
    sha256: str
    action: Action
    class_name: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Step:
    """Decisions made together, and taken back together. ``time`` is in seconds since 1970."""

    label: str
    decisions: tuple[Decision, ...]
    time: float


@dataclass(frozen=True)
class Decisions:
    """All decisions about one data folder, in the order they were made."""

    steps: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = field(default=(), compare=False)

    @cached_property
    def current(self) -> Mapping[str, Decision]:
        """The decision that holds for each path; a later one replaces an earlier one."""
        held: dict[str, Decision] = {}
        for step in self.steps:
            for decision in step.decisions:
                held.pop(decision.path, None)
                if decision.action != "keep":
                    held[decision.path] = decision
        return held

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over what holds now, whatever steps led to it; empty when nothing was decided."""
        if not self.current:
            return ""
        lines = sorted(
            f"{decision.path}\0{decision.sha256}\0{decision.action}\0{decision.class_name or ''}\n"
            for decision in self.current.values()
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def decide(self, label: str, decisions: Iterable[Decision]) -> Decisions:
        """Return these decisions and one step more; what was undone can no longer be redone."""
        step = Step(label, tuple(decisions), time.time())
        return Decisions((*self.steps, step)) if step.decisions else self

    def undo(self) -> Decisions:
        """Return the decisions without the last step."""
        if not self.steps:
            return self
        return Decisions(self.steps[:-1], (*self.undone, self.steps[-1]))

    def redo(self) -> Decisions:
        """Return the decisions with the step that was undone last."""
        if not self.undone:
            return self
        return Decisions((*self.steps, self.undone[-1]), self.undone[:-1])

    def to_json(self) -> str:
        """Return the decisions as JSON text that :meth:`from_json` reads back."""
        return json.dumps(self._to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Decisions:
        """Read decisions written by :meth:`to_json`, such as an exported file.

        Raises:
            DatasetError: it is not such a file, or of a newer schema.
        """
        try:
            return cls._from_dict(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DatasetError(
                "Expected decisions as this studio exports them (a JSON file with 'schema' and "
                f"'steps'), but reading them failed: {error}."
            ) from error

    def _to_dict(self) -> dict[str, Any]:
        return {
            "schema": _SCHEMA,
            "steps": [asdict(step) for step in self.steps],
            "undone": [asdict(step) for step in self.undone],
        }

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> Decisions:
        if values["schema"] != _SCHEMA:
            raise ValueError(f"schema {values['schema']!r} is not {_SCHEMA}")
        return cls(
            tuple(_read_step(step) for step in values["steps"]),
            tuple(_read_step(step) for step in values.get("undone", ())),
        )


def decisions_path(workspace: Workspace, data_dir: str | os.PathLike[str]) -> Path:
    """Return where the decisions about a data folder are kept, whether there are any or not."""
    stored = workspace.relative(Path(data_dir))
    key = hashlib.sha256(stored.encode()).hexdigest()[:16]
    return workspace.decisions_dir / f"{Path(stored).name}-{key}.json"


def load_decisions(workspace: Workspace, data_dir: str | os.PathLike[str]) -> Decisions:
    """Return the decisions about a data folder; none yet is an empty set.

    Raises:
        DatasetError: their file is damaged or of a newer schema.
    """
    path = decisions_path(workspace, data_dir)
    try:
        return Decisions._from_dict(read_json(path))
    except FileNotFoundError:
        return Decisions()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetError(
            f"Expected decisions about '{data_dir}' in '{path}', but reading them failed: {error}. "
            "Move the file away to go on without them."
        ) from error


def edit_decisions(
    workspace: Workspace,
    data_dir: str | os.PathLike[str],
    change: Callable[[Decisions], Decisions],
) -> Decisions:
    """Replace the decisions about a data folder by ``change`` of them, and return the new ones.

    One edit at a time, whichever process asks, so that none is lost.

    Raises:
        DatasetError: the file that is there is damaged or of a newer schema.
    """
    path = decisions_path(workspace, data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        changed = change(load_decisions(workspace, data_dir))
        write_json(path, changed._to_dict())
    return changed


def apply_decisions(index: DatasetIndex, decisions: Decisions) -> DatasetIndex:
    """Return the index without excluded images and with relabelled ones in their new class.

    A class that loses its last image is no class any more; one that a decision names comes into
    being. A decision about a file that has changed or gone does not hold, and a finding says so.

    Raises:
        DatasetError: fewer than two classes are left.
    """
    if not decisions.current:
        return index
    kept: list[tuple[str, ImageRecord]] = []
    num_held = {"exclude": 0, "relabel": 0}
    by_path = {record.path: record for record in index.records}
    for record in index.records:
        decision = decisions.current.get(record.path)
        name = index.class_names[record.label]
        if decision is None or decision.sha256 != record.sha256:
            kept.append((name, record))
            continue
        num_held[decision.action] += 1
        if decision.action == "relabel":
            kept.append((decision.class_name or name, record))
    stale = tuple(
        decision.path
        for decision in decisions.current.values()
        if decision.path not in by_path or by_path[decision.path].sha256 != decision.sha256
    )
    return _rebuilt(index, kept, decisions, num_held, stale)


def load_dataset(
    data_dir: str | os.PathLike[str],
    workspace: Workspace,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> DatasetIndex:
    """Scan a data folder and obey the decisions about it: what training and evaluation read.

    Raises:
        DatasetError: as :func:`~tl_core.data.dataset.scan_dataset`, or the decisions leave fewer
            than two classes.
        Stopped: ``should_stop`` said so.
    """
    index = scan_dataset(
        data_dir, cache_dir=workspace.cache_dir, on_progress=on_progress, should_stop=should_stop
    )
    return apply_decisions(index, load_decisions(workspace, data_dir))


def _rebuilt(
    index: DatasetIndex,
    kept: list[tuple[str, ImageRecord]],
    decisions: Decisions,
    num_held: Mapping[str, int],
    stale: tuple[str, ...],
) -> DatasetIndex:
    present = {name for name, _ in kept}
    if len(present) < 2:
        raise DatasetError(
            f"Expected at least 2 classes in '{index.data_dir}', but the decisions about it leave "
            f"{len(present)}. Take some of them back."
        )
    known = [name for name in index.class_names if name in present]
    class_names = (*known, *sorted(present.difference(known), key=natural_path_key))
    label_of = {name: label for label, name in enumerate(class_names)}
    records = [replace(record, label=label_of[name]) for name, record in kept]
    records.sort(key=lambda record: (record.label, natural_path_key(record.path)))
    findings = list(index.findings)
    if stale:
        findings.append(
            Finding(
                "stale_decisions",
                "warning",
                f"{len(stale)} decisions are about files that have changed or gone; they do not "
                "hold.",
                stale,
            )
        )
    counted = {f"decision_{action}": count for action, count in num_held.items() if count}
    return replace(
        index,
        class_names=class_names,
        records=tuple(records),
        findings=tuple(findings),
        num_ignored={**index.num_ignored, **counted},
        decisions_fingerprint=decisions.fingerprint,
    )


def _read_step(values: Mapping[str, Any]) -> Step:
    return Step(
        label=str(values["label"]),
        decisions=tuple(_read_decision(decision) for decision in values["decisions"]),
        time=float(values["time"]),
    )


def _read_decision(values: Mapping[str, Any]) -> Decision:
    decision = Decision(**values)
    if decision.action not in get_args(Action):
        raise ValueError(f"action '{decision.action}' is not one of {', '.join(get_args(Action))}")
    if (decision.action == "relabel") != bool(decision.class_name):
        raise ValueError(f"'{decision.path}': a class name belongs to relabel, and only to it")
    return decision
