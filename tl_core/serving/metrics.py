"""The figures that ``/metrics`` shows to Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

ANSWERED, UNREADABLE = "answered", "unreadable"


class Metrics:
    """Counts requests and images.

    Args:
        model: the model's name.
        num_waiting: returns how many images wait.
        buffered_bytes: returns how many bytes of bodies are held.
    """

    def __init__(
        self, model: str, num_waiting: Callable[[], int], buffered_bytes: Callable[[], int]
    ) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info("tl_model", "The model that is served.", registry=registry).info({"name": model})
        self._registry = registry
        self._requests = Counter(
            "tl_requests", "Requests by route and status.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "tl_request_seconds",
            "Seconds from a request's header to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._images = Counter(
            "tl_images",
            "Images by outcome: answered or unreadable.",
            ("outcome",),
            registry=registry,
        )
        for outcome in (ANSWERED, UNREADABLE):
            self._images.labels(outcome)
        Gauge("tl_waiting_images", "Images in the queue.", registry=registry).set_function(
            num_waiting
        )
        Gauge("tl_buffered_bytes", "Bodies held in memory.", registry=registry).set_function(
            buffered_bytes
        )

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_images(self, answered: int, unreadable: int) -> None:
        """Count the images of one request."""
        self._images.labels(ANSWERED).inc(answered)
        self._images.labels(UNREADABLE).inc(unreadable)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
