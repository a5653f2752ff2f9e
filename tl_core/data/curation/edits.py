"""Decisions about images as values: decisions, undoable steps, and their JSON form."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal, get_args

from tl_core.errors import DatasetError
from tl_core.files import is_contained, parse_json

Action = Literal["exclude", "relabel", "keep", "label", "unlabel"]

ADDED = "photo_added"  # reason of a decision to keep a photo that was added in the same step

CLASS_VERBS = ("moved to", "added to", "labelled")
"""What stands before the name of a class at the end of a step's label."""

_SCHEMA = 1

# Errors of reading a JSON file of another structure.
UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, AttributeError),
    *(OverflowError, DatasetError),
)


@dataclass(frozen=True)
class Decision:
    """One decision about one file.

    Args:
        path: the image, relative to its data folder, with slashes.
        sha256: of its bytes; the decision does not apply to other bytes at the same path.
        action: ``exclude`` it, ``relabel`` it to ``class_name``, or ``keep`` it unchanged. A photo
            for which the folder names no class gets one by ``label`` and loses it by ``unlabel``.
        class_name: the class; only with ``relabel`` and ``label``.
        reason: why, such as the kind of finding.

    Raises:
        DatasetError: an argument is invalid, so that the decision could not be stored.
    """

    path: str
    sha256: str
    action: Action
    class_name: str | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        texts = {**vars(self), "class_name": self.class_name or ""}
        for name, value in texts.items():
            if not isinstance(value, str) or not _can_be_written(value):
                raise DatasetError(f"Expected '{name}' of a decision as text, received {value!r}.")
        if not is_contained(self.path):
            raise DatasetError(
                f"Expected the path of an image inside its data folder, received {self.path!r}."
            )
        if self.action not in get_args(Action):
            raise DatasetError(
                f"Expected {', '.join(get_args(Action))} as the action for '{self.path}', "
                f"received '{self.action}'."
            )
        if (self.action in ("relabel", "label")) != bool(self.class_name):
            raise DatasetError(
                f"Expected a class name for '{self.path}' if the action is relabel or label, and "
                f"none otherwise, received {self.class_name!r}."
            )


@dataclass(frozen=True)
class Step:
    """Decisions made and undone together. ``time`` is in seconds since 1970."""

    label: str
    decisions: tuple[Decision, ...]
    time: float


@dataclass(frozen=True)
class Decisions:
    """All decisions about one data folder, in the order they were made.

    ``classes`` are names of classes to label photos with, in the order of their keys; they may
    have no photo yet.
    """

    steps: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = field(default=(), compare=False)
    classes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def current(self) -> Mapping[str, Decision]:
        """What is excluded or moved, by path; a later decision replaces an earlier one.

        Labels are not among them: see :attr:`labels`. Labelling brings an excluded photo back.
        """
        held: dict[str, Decision] = {}
        for step in self.steps:
            for decision in step.decisions:
                held.pop(decision.path, None)
                if decision.action in ("exclude", "relabel"):
                    held[decision.path] = decision
        return held

    @cached_property
    def num_decisions(self) -> int:
        """How many decisions are stored, those of undone steps among them."""
        return sum(len(step.decisions) for step in (*self.steps, *self.undone))

    @cached_property
    def added(self) -> frozenset[tuple[str, str]]:
        """Path and sha256 of the photos that were added one by one."""
        return frozenset(
            (decision.path, decision.sha256)
            for step in self.steps
            for decision in step.decisions
            if decision.reason == ADDED
        )

    @cached_property
    def labels(self) -> Mapping[str, Decision]:
        """The labels given to photos without a class, by path. They outlast an exclusion."""
        held: dict[str, Decision] = {}
        for step in self.steps:
            for decision in step.decisions:
                if decision.action == "label":
                    held[decision.path] = decision
                elif decision.action == "unlabel":
                    held.pop(decision.path, None)
        return held

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the current decisions, independent of their history; empty without any."""
        if not self.current and not self.labels:
            return ""
        lines = sorted(
            f"{decision.path}\0{decision.sha256}\0{decision.action}\0{decision.class_name or ''}\n"
            for decision in (*self.current.values(), *self.labels.values())
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def decide(self, label: str, decisions: Iterable[Decision]) -> Decisions:
        """Return these decisions plus one step; undone steps can no longer be redone."""
        step = Step(label, tuple(decisions), time.time())
        return replace(self, steps=(*self.steps, step), undone=()) if step.decisions else self

    def converted(
        self,
        convert: Callable[[Decision], Decision | None],
        renamed: Mapping[str, str] | None = None,
    ) -> Decisions:
        """Return the same steps with each decision replaced by ``convert`` of it, None for none.

        ``renamed`` has the new name of a class by its old one, for the labels of the steps.
        """
        change = partial(_converted_step, convert=convert, renamed=renamed or {})
        return replace(
            self,
            steps=tuple(change(step) for step in self.steps),
            undone=tuple(change(step) for step in self.undone),
        )

    def with_classes(self, classes: Iterable[str]) -> Decisions:
        """Return the decisions with these names of classes to label with."""
        return replace(self, classes=tuple(dict.fromkeys(classes)))

    def with_class_renamed(self, old: str, new: str) -> Decisions:
        """Return the decisions with another name for a class."""

        def convert(decision: Decision) -> Decision:
            return replace(decision, class_name=new) if decision.class_name == old else decision

        classes = (new if name == old else name for name in self.classes)
        return self.converted(convert, {old: new}).with_classes(classes)

    def joined_with(self, later: Decisions) -> Decisions:
        """Return these decisions and those made later, whose undone steps can be redone."""
        classes = tuple(dict.fromkeys((*self.classes, *later.classes)))
        return Decisions((*self.steps, *later.steps), later.undone, classes)

    def undo(self) -> Decisions:
        """Return the decisions without the last step."""
        if not self.steps:
            return self
        return replace(self, steps=self.steps[:-1], undone=(*self.undone, self.steps[-1]))

    def redo(self) -> Decisions:
        """Return the decisions with the last undone step applied again."""
        if not self.undone:
            return self
        return replace(self, steps=(*self.steps, self.undone[-1]), undone=self.undone[:-1])

    def to_json(self) -> str:
        """Return the decisions as JSON that :meth:`from_json` can read."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Decisions:
        """Read decisions written by :meth:`to_json`, such as an exported file.

        Steps that added a photo come without it: the file does not carry photos, and undoing such
        a step must not remove one that was there before.

        Raises:
            DatasetError: it is not such a file, or its schema is newer.
        """
        try:
            read = cls.from_dict(parse_json(text))
        except UNREADABLE as error:
            raise DatasetError(
                "Expected decisions as this studio exports them (a JSON file with 'schema' and "
                f"'steps'), but reading them failed: {describe_read_error(error)}."
            ) from error
        return read.converted(lambda decision: None if decision.reason == ADDED else decision)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of their JSON file."""
        return {
            "schema": _SCHEMA,
            "steps": [asdict(step) for step in self.steps],
            "undone": [asdict(step) for step in self.undone],
            **({"classes": list(self.classes)} if self.classes else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Decisions:
        """Read the result of :meth:`to_dict`; raises ``UNREADABLE`` for anything else."""
        if values["schema"] != _SCHEMA:
            raise ValueError(f"schema {values['schema']!r} is not {_SCHEMA}")
        return cls(
            tuple(_read_step(step) for step in values["steps"]),
            tuple(_read_step(step) for step in values.get("undone", ())),
            _read_classes(values.get("classes", [])),
        )


def _converted_step(
    step: Step,
    convert: Callable[[Decision], Decision | None],
    renamed: Mapping[str, str],
) -> Step:
    decisions = (convert(decision) for decision in step.decisions)
    label = _label_with_new_name(step.label, renamed)
    return replace(step, label=label, decisions=tuple(one for one in decisions if one is not None))


def _label_with_new_name(label: str, renamed: Mapping[str, str]) -> str:
    """Return the label of a step with the new name of the class that it ends with."""
    for old, new in renamed.items():
        if any(label.endswith(f" {verb} {old}") for verb in CLASS_VERBS):
            return f"{label.removesuffix(old)}{new}"
    return label


def describe_read_error(error: Exception) -> str:
    """Return an error's message for use within a sentence."""
    return str(error).removesuffix(".")


def _read_step(values: Mapping[str, Any]) -> Step:
    label, seconds = str(values["label"]), float(values["time"])
    if not math.isfinite(seconds) or not _can_be_written(label):
        raise ValueError(f"a step has label {label!r} and time {seconds}")
    return Step(label, tuple(Decision(**decision) for decision in values["decisions"]), seconds)


def _read_classes(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(
        isinstance(name, str) and name and _can_be_written(name) for name in names
    ):
        raise ValueError(f"the classes are {names!r}")
    return tuple(dict.fromkeys(names))


def _can_be_written(text: str) -> bool:
    """Whether text can be encoded as UTF-8, unlike lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
