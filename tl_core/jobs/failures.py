"""Why a job could not be done, kept in words for the page that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tl_core.errors import Stopped, TLError


@contextmanager
def keeping_reason(keep: Callable[[str], None]) -> Iterator[None]:
    """Give ``keep`` the reason when the work inside fails, and let the error go on.

    A stop is no failure; of a bug only that there was one is told, the log has the rest.
    """
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        keep(str(error) if isinstance(error, TLError) else "Something went wrong in the worker.")
        raise
