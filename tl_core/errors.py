"""The exceptions of tl_core. Each message can be shown to a user unchanged.


    * TLError                     base class
      x ConfigError  (ValueError) a setting is out of range or unknown
        + LimitError              a limit of a hosted demo was reached
          - MemoryLimitError      a job needs more memory than it allows, whenever it is asked for
      x DatasetError              folder missing, fewer than two classes, too few to split
        + ArchiveError            an archive was refused; nothing was extracted
        + UnlabelledError         photos without classes, which a person can label
        + TakenError (FileExistsError)  a folder to be created is not empty
      x ImageError                one file cannot be read as an image
      x RunError                  run missing, unfinished, or of a newer schema
      x WeightsError              pretrained weights are not available
      x ExportError               a model cannot be exported, or an exported one cannot be used
      x StorageError (OSError)    the disk is full or read-only, or writing is not allowed
      x Stopped                   the caller asked to stop; results so far are kept

Messages say what was expected, what was received and what to do, in one or two sentences.
Any other exception raised by tl_core is a bug.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

_LONGEST_WORD = 400  # of a message; the middle of a longer one is left out
_LONGEST_MESSAGE = 2_000
_LONGEST_NAME = 100  # that is compared with known ones, which takes longer than linear time

REMEDIES = ("link", "one_class", "unlabelled", "layout", "column", "archive", "group_effect")
"""What each interface has a way to do against an error or a finding, and words for."""


class TLError(Exception):
    """Base of every error whose message is written for the user.

    Messages repeat what was received, which may be of any length: they are shortened. They name
    no button and no option: each interface has its own words for what ``remedy`` names.

    Attributes:
        remedy: what helps, one of :data:`REMEDIES`; "" for what the message says itself.
    """

    def __init__(self, *args: object, remedy: str = "") -> None:
        super().__init__(*(shortened(arg) if isinstance(arg, str) else arg for arg in args))
        self.remedy = remedy


class ConfigError(TLError, ValueError):
    """A setting is out of range or unknown."""


class LimitError(ConfigError):
    """A limit of a hosted demo was reached; the message names it."""


class MemoryLimitError(LimitError):
    """A job needs more memory than a hosted demo allows one, whenever it is asked for."""


class DatasetError(TLError):
    """A folder cannot serve as a dataset: missing, too few classes, too few images to split."""


class ArchiveError(DatasetError):
    """An archive was refused as a whole; nothing was extracted."""


class TakenError(DatasetError, FileExistsError):
    """A folder to be created is not empty, or is a file."""


class UnlabelledError(DatasetError):
    """A folder of photos without classes, which a person can label."""


class ImageError(TLError):
    """One file cannot be read as an image."""


class RunError(TLError):
    """A run is missing, unfinished, or was written by a newer schema."""


class WeightsError(TLError):
    """Pretrained weights are not available."""


class ExportError(TLError):
    """A model cannot be written in a format, or an exported model cannot be used."""


class StorageError(TLError, OSError):
    """The disk is full or read-only, or this process may not write there; see ``errno``."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.errno, self.strerror = code, None if code is None else os.strerror(code)

    def __str__(self) -> str:
        return str(self.args[0])


class Stopped(TLError):
    """Work ended early because the caller's ``should_stop`` returned True."""

    def __init__(self, message: str = "Stopped on request.") -> None:
        super().__init__(message)


def shortened(text: str, num_chars: int = _LONGEST_MESSAGE) -> str:
    """Return a text of at most ``num_chars`` characters, the middle of a longer one left out.

    Examples:
        >>> shortened("a" * 100_000, 20)
        'aaaaaaaaaaaa ... aaa'
    """
    if len(text) > _LONGEST_WORD:
        text = _LONG_WORD.sub(lambda word: _without_middle(word[0], _LONGEST_WORD), text)
    return text if len(text) <= num_chars else _without_middle(text, num_chars)


def _without_middle(text: str, num_chars: int) -> str:
    num_last = num_chars // 6
    return f"{text[: num_chars - num_last - 5]} ... {text[-num_last:]}"


_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    if len(name) > _LONGEST_NAME:
        return ""
    names = list(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f" Did you mean '{lowered[close[0]]}'?" if close else ""
