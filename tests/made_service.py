"""A service in a thread of the test's process, a client for it, and a model that is made up."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from tl_core.inference.predict import Prediction
from tl_core.serving.app import create_app
from tl_core.serving.server import listen, make_server
from tl_core.serving.settings import ServiceSettings

HOST = "127.0.0.1"
BOUNDARY = "boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"Content-Type": "application/json"}
GIF = b"GIF89a and more, which the made-up model does not look at"


@dataclass
class FakeModel:
    """Stands in for a :class:`~tl_core.serving.model.ServedModel`.

    ``may_compute`` and ``may_answer`` hold up its threads while they are not set; ``seen`` are the
    images it computed, ``batches`` how many it answered together; ``error`` is raised by an image.
    """

    num_workers: int = 1
    name: str = "fake"
    image_size: tuple[int, int] = (4, 6)
    num_classes: int = 2
    error: Exception | None = None
    seen: list[Any] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    may_compute: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)
    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    info: Any = field(default_factory=lambda: SimpleNamespace(name="Fake"))
    predictor: Any = field(default_factory=lambda: SimpleNamespace(class_names=("cat", "dog")))

    def __post_init__(self) -> None:
        self.may_compute.set()
        self.may_answer.set()

    def features(self, image: Any, max_megapixels: int) -> np.ndarray:
        self.seen.append(image)
        self.started.release()
        assert self.may_compute.wait(60)
        if self.error is not None:
            raise self.error
        return np.float32([0.25, 0.75])

    def answer(self, features: np.ndarray) -> list[Prediction]:
        self.batches.append(len(features))
        assert self.may_answer.wait(60)
        return [Prediction("", row, (("dog", 0.75), ("cat", 0.25))) for row in features]

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


@dataclass
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """A service that runs."""

    port: int
    server: Any
    thread: threading.Thread

    def ask(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request, POST if it has a body."""
        method = "GET" if body is None else "POST"
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        connection.request(
            method, path, body, dict(headers or {}), encode_chunked=not isinstance(body, bytes)
        )
        answer = connection.getresponse()
        read = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return read

    def stop(self) -> None:
        """Stop it as a signal does, and wait."""
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()


@contextmanager
def served(
    model: Any, settings: ServiceSettings | None = None, key: str | None = None
) -> Iterator[Service]:
    """Serve a model on a free port."""
    settings = settings or ServiceSettings()
    listener = listen(HOST, 0)
    server = make_server(create_app(model, settings, key), settings)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    service = Service(listener.getsockname()[1], server, thread)
    try:
        yield service
    finally:
        service.stop()
        listener.close()


def wait_until(is_true: Any) -> None:
    """Wait until something is true that other threads do."""
    while not is_true():  # pytest's time limit ends a wait in vain
        time.sleep(0.01)


def multipart(*files: bytes, name: str = "photo.jpg") -> bytes:
    """Return a multipart body of files."""
    head = f'Content-Disposition: form-data; name="images"; filename="{name}"'.encode()
    parts = [b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), head, one) for one in files]
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY.encode()
