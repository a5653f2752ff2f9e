"""Command-line options for every setting, made from the fields of ``tl_core.config.training``.

A field added there becomes an option by itself; its value is checked there and nowhere else.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tl_core.config.training import (
    AUGMENT_PRESETS,
    AugmentConfig,
    TrainConfig,
    augment_preset,
    load_config,
)
from tl_core.data.augmentation.presets import read_preset
from tl_core.errors import ConfigError

_SIGNS = (("ge", "{} <= "), ("gt", "{} < "), ("le", " <= {}"), ("lt", " < {}"))


@dataclass(frozen=True)
class _Option:
    """The command-line option of one field: ``parse`` turns its text into a value."""

    name: str
    field: FieldInfo
    type: Any
    metavar: str | None = None
    parse: Callable[[str, Any], Any] = lambda name, given: given

    def parameter(self) -> inspect.Parameter:
        """Return the parameter from which typer makes the option; None is 'not given'."""
        flag = f"--{self.name.replace('_', '-')}"
        flags = f"{flag}/--no-{flag[2:]}" if self.type is bool else flag
        option = typer.Option(
            None, flags, help=self.help(), metavar=self.metavar, show_default=False
        )
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=self.type | None
        )

    def help(self) -> str:
        """Return what the field means, its range and its default."""
        meaning = self.field.description or f"{self.field.title}."
        notes = [_range_of(self.field), f"default: {_shown(self.field.default)}"]
        return f"{meaning}  [{'; '.join(note for note in notes if note)}]"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a typer command, in place of its ``**settings``, an option for every setting.

    What was given arrives in ``settings`` by field name, for :func:`build_config`.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    made = [option.parameter() for option in _options()]
    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in own] + made

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        command(**given)

    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def build_config(config_file: Path | None, settings: Mapping[str, Any]) -> TrainConfig:
    """Return the settings of a file, or the defaults, with the options given laid over them.

    A preset named by ``augment`` comes first, single transforms change it.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    base = TrainConfig() if config_file is None else load_config(config_file)
    given = {
        option.name: option.parse(option.name, settings[option.name])
        for option in _options()
        if settings.get(option.name) is not None
    }
    augment = given.pop("augment", base.augment)
    transforms = {name: given.pop(name) for name in AugmentConfig.model_fields if name in given}
    return base.updated(**given, augment=augment.updated(**transforms).model_dump())


@functools.cache
def _options() -> tuple[_Option, ...]:
    return (*_options_of(TrainConfig), *_options_of(AugmentConfig))


def _options_of(model: type[BaseModel]) -> Iterator[_Option]:
    for name, field in model.model_fields.items():
        kind = _without_none(field.annotation)
        if kind is AugmentConfig:
            yield _Option(name, field, str, f"{'|'.join(AUGMENT_PRESETS)}|FILE.json", _parse_preset)
        elif typing.get_origin(kind) is tuple and typing.get_args(kind)[-1] is Ellipsis:
            yield _Option(name, field, list[str], "N,N,...|none", parse_numbers)
        elif typing.get_origin(kind) is tuple:
            yield _Option(name, field, str, "HEIGHTxWIDTH", _parse_size)
        elif typing.get_origin(kind) is Literal:
            yield _Option(name, field, str, "|".join(typing.get_args(kind)))
        elif kind in (bool, int, float, str):
            yield _Option(name, field, kind)
        else:
            raise TypeError(f"No option is known for field '{name}' of type {kind}.")


def _parse_preset(name: str, given: str) -> AugmentConfig:
    """Take a built-in preset by its name, or one that was saved or passed on by its file."""
    if given.lower().endswith(".json"):
        return read_preset(given).augment
    return augment_preset(given)


def parse_numbers(name: str, given: Sequence[str]) -> tuple[int, ...]:
    """Read ``256,128``, or the same number by number, or ``none``."""
    words = [word.strip() for text in given for word in text.split(",")]
    if words == ["none"]:
        return ()
    if not all(word.isdecimal() for word in words):
        raise ConfigError(
            f"Setting '{name}': expected whole numbers such as 256,128 or none, "
            f"received '{' '.join(given)}'."
        )
    return tuple(int(word) for word in words)


def _parse_size(name: str, given: str) -> tuple[int, int]:
    """Read ``224`` for a square or ``224x320``, height first."""
    words = given.lower().split("x")
    if len(words) > 2 or not all(word.strip().isdecimal() for word in words):
        raise ConfigError(
            f"Setting '{name}': expected one side such as 224, or height and width such as "
            f"224x320, received '{given}'."
        )
    return int(words[0]), int(words[-1])


def _without_none(annotation: Any) -> Any:
    """Return the type within ``type | None``."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        (kind,) = (one for one in typing.get_args(annotation) if one is not types.NoneType)
        return kind
    return annotation


def _range_of(field: FieldInfo) -> str:
    """Return the field's range as ``0 <= x < 1``, empty when it has none."""
    bounds = {
        name: form.format(value)
        for constraint in field.metadata
        for name, form in _SIGNS
        if (value := getattr(constraint, name, None)) is not None
    }
    low = bounds.get("ge", bounds.get("gt", ""))
    high = bounds.get("le", bounds.get("lt", ""))
    return f"{low}x{high}" if bounds else ""


def _shown(default: Any) -> str:
    """Return a default as it would be typed."""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, AugmentConfig):
        return next(name for name, preset in AUGMENT_PRESETS.items() if preset == default)
    if isinstance(default, tuple):
        return ",".join(str(item) for item in default) or "none"
    if default == "":
        return "none"
    return "the backbone's own" if default is None else str(default)
