"""The limits of the service, each with its default."""

from __future__ import annotations

import os
from typing import Self

from pydantic import Field, model_validator

from tl_core.config.base import Settings
from tl_core.data.images.decode import MAX_JPEG_MEGAPIXELS
from tl_core.errors import ConfigError

API_KEY_NAME = "TL_API_KEY"
"""The environment variable that holds the key clients have to send; without it, none is needed."""

MAX_HEADER_BYTES = 2**14
KEEP_ALIVE_SECONDS = 15


class ServiceSettings(Settings):
    """Limits of the service.

    Example:
        >>> from tl_core.serving.settings import ServiceSettings
        >>> ServiceSettings(max_images=8).max_queue
        64
    """

    max_bytes: int = Field(
        32 * 2**20,
        ge=1,
        le=2**30,
        title="Bytes a request",
        description="Size of a request's body.",
    )
    max_megapixels: int = Field(
        40,
        ge=1,
        le=MAX_JPEG_MEGAPIXELS,
        title="Megapixels an image",
        description="Size of an image before it is resized.",
    )
    max_images: int = Field(
        32, ge=1, le=10_000, title="Images a request", description="Images in one request."
    )
    max_queue: int = Field(
        64,
        ge=1,
        le=100_000,
        title="Waiting images",
        description="Images of all requests that wait; further requests are answered 503.",
    )
    max_buffered_bytes: int = Field(
        256 * 2**20,
        ge=1,
        title="Bytes of all requests",
        description="Bodies held in memory at one time; further requests are answered 503.",
    )
    max_connections: int = Field(
        512,
        ge=1,
        le=100_000,
        title="Connections",
        description="Open connections; beyond it the address with most of them gives one up.",
    )
    read_seconds: int = Field(
        30,
        ge=1,
        le=3600,
        title="Seconds to send a request",
        description="Time to send a header, at most 15 s, and again to send a body.",
    )
    stop_seconds: int = Field(
        30,
        ge=0,
        le=3600,
        title="Seconds to stop",
        description="Time for running requests to end when the service is stopped.",
    )

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.max_images > self.max_queue:
            raise ConfigError(
                f"Expected room in the queue for one request of {self.max_images} images, "
                f"received a queue of {self.max_queue}. Raise max_queue or lower max_images."
            )
        if self.max_bytes > self.max_buffered_bytes:
            raise ConfigError(
                f"Expected max_buffered_bytes to hold one request of {self.max_bytes:,} bytes, "
                f"received {self.max_buffered_bytes:,}. Raise it or lower max_bytes."
            )
        return self


def api_key() -> str | None:
    """Return the key that clients have to send, None if there is none.

    Raises:
        ConfigError: the variable is set to nothing, or to what no header can hold.
    """
    key = os.environ.get(API_KEY_NAME)
    if key is None:
        return None
    if not key.strip() or not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"Expected {API_KEY_NAME} to be a key of printable ASCII characters. Set it to one, "
            "or remove the variable to serve without a key."
        )
    return key.strip()
