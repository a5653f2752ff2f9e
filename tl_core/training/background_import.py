"""Importing TensorFlow on the side: it takes seconds, in which features can be computed."""

from __future__ import annotations

import os
import sys
import threading
import time

from tl_core.data.progress import ShouldStop
from tl_core.errors import Stopped

_POLL_SECONDS = 0.05


class BackgroundImport:
    """An import of TensorFlow and Keras that began when this was made."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._load, name="import-tensorflow", daemon=True)
        self._thread.start()
        while "tensorflow" not in sys.modules and self._thread.is_alive():
            time.sleep(0.001)  # from now on others see that it is coming and wait for it

    def wait(self, should_stop: ShouldStop | None = None) -> None:
        """Return once TensorFlow can be used.

        Raises:
            Stopped: ``should_stop`` said so before; the import goes on by itself.
        """
        while self._thread.is_alive():
            if should_stop is not None and should_stop():
                raise Stopped
            self._thread.join(_POLL_SECONDS)
        if self._error is not None:
            raise self._error

    def _load(self) -> None:
        try:
            if "tensorflow" not in sys.modules:
                os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its notes are not for users
            import tensorflow  # noqa: F401, I001  first: Keras importing it halfway is slower
            import keras  # noqa: F401
        except BaseException as error:
            self._error = error
