"""The errors tl_core raises on purpose. Each message is fit to show to a user as it stands.

    * TLError                     message fit for a user
      x ConfigError  (ValueError) a setting is out of range or unknown
      x DatasetError              folder missing, fewer than two classes, too few to split
        + ArchiveError            an archive was refused; nothing of it was taken
        + TakenError (FileExistsError)  a folder to be created holds something already
      x ImageError                one file cannot be read as an image
      x RunError                  run missing, unfinished, or of a newer schema
      x WeightsError              pretrained weights cannot be had
      x ExportError               a model cannot be exported, or an exported one cannot be used
      x Stopped                   the caller asked to stop; what was done so far is kept

Messages say what was expected, what came and what to do, in one or two sentences.
Anything else that escapes from tl_core is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TLError(Exception):
    """Base of every error whose message is written for the user."""


class ConfigError(TLError, ValueError):
    """A setting is out of range or unknown."""


class DatasetError(TLError):
    """A folder cannot serve as a dataset: missing, too few classes, too few images to split."""


class ArchiveError(DatasetError):
    """An archive was refused as a whole; nothing of it was taken."""


class TakenError(DatasetError, FileExistsError):
    """A folder to be created holds something already, or is a file."""


class ImageError(TLError):
    """One file cannot be read as an image."""


class RunError(TLError):
    """A run is missing, unfinished, or was written by a newer schema."""


class WeightsError(TLError):
    """Pretrained weights cannot be had."""


class ExportError(TLError):
    """A model cannot be written in a format, or an exported model cannot be used."""


class Stopped(TLError):
    """Work ended early because the caller's ``should_stop`` returned True."""

    def __init__(self, message: str = "Stopped on request.") -> None:
        super().__init__(message)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    names = list(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f" Did you mean '{lowered[close[0]]}'?" if close else ""
