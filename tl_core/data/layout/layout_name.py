"""The names of readings, which say how a data folder is read.

A name says all there is to its reading, so that it can be kept, typed and written into a run:
``class-folders``, ``top-folders``, ``level:2``, ``variant:color``, ``table:labels.csv``,
``names:{class}.{n}``, ``unlabelled``. Options follow as in a web address:
``class-folders?group=name:{group}_frame{n}&links=follow``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from tl_core.errors import ConfigError, did_you_mean

KINDS = ("class-folders", "top-folders", "level", "variant", "table", "names", "unlabelled")
_OPTIONS = ("file", "label", "split", "group", "links")
_SAFE = " /:{}*.()+,@!$-_~[]'"


@dataclass(frozen=True)
class LayoutName:
    """The name of a reading in its pieces."""

    kind: str
    argument: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> LayoutName:
        """Read the name of a reading.

        Raises:
            ConfigError: there is no such kind of reading or option.

        Example:
            >>> LayoutName.parse("table:labels.csv?label=breed").options
            {'label': 'breed'}
        """
        head, _, tail = text.strip().partition("?")
        kind, _, argument = head.partition(":")
        if kind not in KINDS:
            raise ConfigError(
                f"Expected a layout out of {', '.join(KINDS)}, received '{text}'."
                f"{did_you_mean(kind, KINDS)}"
            )
        options = {}
        for pair in filter(None, tail.split("&")):
            key, _, value = pair.partition("=")
            if key not in _OPTIONS:
                raise ConfigError(
                    f"Expected layout options out of {', '.join(_OPTIONS)}, received '{key}'."
                    f"{did_you_mean(key, _OPTIONS)}"
                )
            options[key] = unquote(value)
        if kind == "level" and not argument.isdecimal():
            raise ConfigError(f"Expected a level such as 'level:2', received '{text}'.")
        if kind in ("variant", "table", "names") and not argument:
            raise ConfigError(f"Expected something after '{kind}:', received '{text}'.")
        return cls(kind, unquote(argument), options)

    def __str__(self) -> str:
        head = f"{self.kind}:{quote(self.argument, safe=_SAFE)}" if self.argument else self.kind
        options = "&".join(
            f"{key}={quote(value, safe=_SAFE)}" for key, value in self.options.items() if value
        )
        return f"{head}?{options}" if options else head

    def with_options(self, **changes: str) -> LayoutName:
        """Return the same reading with other options; an empty value takes one away."""
        merged = {**self.options, **changes}
        return LayoutName(
            self.kind, self.argument, {key: value for key, value in merged.items() if value}
        )
