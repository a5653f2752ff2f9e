"""The base class of all settings: validated, immutable, JSON both ways, readable errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tl_core.errors import ConfigError, did_you_mean, shortened
from tl_core.files import parse_json


class Settings(BaseModel):
    """An immutable group of settings; invalid values raise :class:`ConfigError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def create(cls, values: Mapping[str, Any]) -> Self:
        """Build the settings from a mapping, such as a form's or a JSON file's content.

        Raises:
            ConfigError: a name is unknown or a value is out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(_explain(error, cls)) from error

    @classmethod
    def title_of(cls, name: str) -> str:
        """Return the title of a field, as shown in forms and tables."""
        return cls.model_fields[name].title or name

    @classmethod
    def help_of(cls, name: str) -> str:
        """Return what a field is and, if it is written there, what a higher value does."""
        field = cls.model_fields[name]
        extra = field.json_schema_extra
        effect = extra.get("effect") if isinstance(extra, dict) else None
        return "\n\n".join(str(text) for text in (field.description, effect) if text)

    def updated(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated like a new one."""
        return self.create({**self.model_dump(), **changes})

    def to_json(self) -> str:
        """Return the settings as indented JSON that :meth:`from_json` can read."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read settings written by :meth:`to_json`; fields left out take their defaults.

        Raises:
            ConfigError: the text is not a JSON object, or a setting in it is wrong.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise ConfigError(f"Expected settings as a JSON object, but: {error}.") from error
        if not isinstance(values, dict):
            raise ConfigError(
                f"Expected settings as a JSON object, received {type(values).__name__}."
            )
        return cls.create(values)


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Turn pydantic's first error into one sentence."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"Unknown setting '{shortened(name, 200)}'.{_suggestion(first['loc'], model)}"
    if first["type"] == "value_error":  # from a validator of ours, already a full sentence
        return str(first["ctx"]["error"])
    reason = first["msg"].removeprefix("Input should be ")
    return f"Setting '{name}': expected {reason}, received {shortened(repr(first['input']), 200)}."


def _suggestion(place: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Suggest a name for the last part of an error location, from the settings of its group."""
    *groups, name = map(str, place)
    group: Any = model
    for part in groups:
        group = group.model_fields[part].annotation
        if not (isinstance(group, type) and issubclass(group, BaseModel)):
            return ""
    return did_you_mean(name, group.model_fields)
