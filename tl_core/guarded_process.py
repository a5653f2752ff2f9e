"""A child process for files that are not trusted, with limits on memory, time and writing.

A malicious or damaged file can only affect the library that reads it in that process. The child
calls :func:`limit_resources` before it reads anything, then answers requests on its standard input
one after the other.
"""

from __future__ import annotations

import subprocess
import threading
import weakref
from contextlib import suppress

from tl_core.processes import child_environment, module_command

_LARGE_BYTES = 256 * 1024


class ChildEndedError(Exception):
    """The child process ended or was killed before it answered."""


class GuardedProcess:
    """A module of this package that runs as a child process and answers requests.

    Not for several threads at once. The process is started by :meth:`start`, and ended with this
    object.

    Args:
        module: name of the module to run.
        arguments: its command-line arguments.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = module_command(module, *arguments)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is there to answer."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start the process; one that was started before has ended."""
        self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # glibc then gives large blocks back to the system as soon as they are free.
            env=child_environment(MALLOC_MMAP_THRESHOLD_=str(_LARGE_BYTES)),
            start_new_session=True,  # Ctrl-C is for this process, which then ends the child
        )
        weakref.finalize(self, _end, self._child)

    def write(self, *pieces: bytes) -> None:
        """Send bytes.

        Raises:
            ChildEndedError: the process ended.
        """
        if self._child is None or self._child.stdin is None:
            raise ChildEndedError
        try:
            for piece in pieces:
                self._child.stdin.write(piece)
            self._child.stdin.flush()
        except OSError as error:
            self.close()
            raise ChildEndedError from error

    def read(self, num_bytes: int, limit_seconds: float) -> bytes:
        """Return so many bytes of its output; it is killed when they take too long.

        Raises:
            ChildEndedError: the process ended, or was killed.
        """
        if self._child is None or self._child.stdout is None:
            raise ChildEndedError
        watchdog = threading.Timer(limit_seconds, self._child.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            answer = self._child.stdout.read(num_bytes)
        finally:
            watchdog.cancel()
        if len(answer) < num_bytes:
            self.close()
            raise ChildEndedError
        return bytes(answer)

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            _end(self._child)


def limit_resources(memory_bytes: int) -> None:
    """Limit this process to so much memory and to writing no file, where the system supports it."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):  # what was not sent yet
                stream.close()
