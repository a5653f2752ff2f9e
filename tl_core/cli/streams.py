"""Keeping a command's output clean of what TensorFlow and other libraries print."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress

from tl_core.errors import TLError


@contextmanager
def silence_libraries(stdout_too: bool) -> Iterator[None]:
    """Hide what C code and child processes print while a command works.

    TensorFlow prints on stderr at every log level. It is shown after all when the work ends
    in an error that is not a ``TLError``, since it may say why. Python's own ``sys.stderr`` still
    goes to the terminal, with the warnings of this package.

    Args:
        stdout_too: also keep stdout clean, and send what Python prints there to stderr.
    """
    with ExitStack() as stack:
        chatter = stack.enter_context(tempfile.TemporaryFile())
        kept = {number: os.dup(number) for number in (1, 2)}
        for copy in kept.values():
            stack.callback(os.close, copy)
        sys.stdout.flush()
        sys.stderr.flush()
        encoding = sys.stderr.encoding
        if sys.stderr is sys.__stderr__:
            terminal = os.fdopen(kept[2], "w", 1, encoding, "backslashreplace", closefd=False)
            stack.enter_context(redirect_stderr(terminal))
        if stdout_too:
            stack.enter_context(redirect_stdout(sys.stderr))
        stack.enter_context(_only_warnings_logged())
        hidden = (1, 2) if stdout_too else (2,)
        for number in hidden:
            os.dup2(chatter.fileno(), number)
        try:
            yield
        except (TLError, KeyboardInterrupt):
            raise
        except BaseException:
            chatter.seek(0)
            with suppress(OSError):
                os.write(kept[2], chatter.read())
            raise
        finally:
            for number in hidden:
                os.dup2(kept[number], number)


@contextmanager
def _only_warnings_logged() -> Iterator[None]:
    """Show only this package's warnings; its other records go to log files only.

    Errors are not shown either, since they are also raised and printed when the command ends.
    """
    own, absl = logging.getLogger("tl_core"), logging.getLogger("absl")
    before = own.propagate, absl.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: record.levelno < logging.ERROR)
    own.addHandler(handler)
    own.propagate = False
    absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        own.removeHandler(handler)
        own.propagate = before[0]
        absl.setLevel(before[1])
