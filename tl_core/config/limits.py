"""The limits of a hosted demo, read from the environment; docs/DEPLOY.md lists them.

Functions that take data in, start jobs or run them call the checks here. Outside of a demo there
are no limits, and every check passes.
"""

from __future__ import annotations

import functools
import os

from pydantic import Field

from tl_core.config.base import Settings
from tl_core.config.mode import current_mode
from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, LimitError

PREFIX = "TL_DEMO_"
MEGABYTE = 1_000_000
WORKER_MB = 1_000
"""MB of a job's memory that the process holds without one, and for what no estimate counts.

With TensorFlow and the default backbone loaded the worker held 764 to 830 MB, 950 after it had
looked at photos, and trainings took 45 to 80 MB more than estimated.
"""
LEAST_JOB_MB = 100
"""MB that a job may need by its estimate, however little a demo allows."""


class Limits(Settings):
    """What one visitor of a hosted demo may use, and all of them together.

    Each field is the environment variable ``TL_DEMO_<FIELD>``, or a secret of that name.
    """

    upload_mb: int = Field(20, ge=1, title="MB of one upload")
    photos: int = Field(1_000, ge=2, title="photos of a visitor")
    visitor_mb: int = Field(300, ge=1, title="MB of a visitor: photos, runs and caches")
    all_photos: int = Field(20_000, ge=2, title="photos of all visitors")
    disk_mb: int = Field(8_000, ge=1, title="MB of all visitors")
    intake_seconds: int = Field(60, ge=1, title="seconds of processor time for one upload")
    megapixels: int = Field(25, ge=1, le=250, title="megapixels of a photo")
    intake_megapixels: int = Field(2_000, ge=1, title="megapixels of the photos added at once")
    classes: int = Field(20, ge=2, title="classes of a dataset")
    label_rows: int = Field(20_000, ge=2, title="rows in the label files of a project")
    epochs: int = Field(50, ge=1, title="epochs of a training, in each of its phases")
    views: int = Field(5, ge=1, title="augmented versions of a photo")
    trials: int = Field(20, ge=1, title="heads of a search")
    image_side: int = Field(320, ge=32, title="pixels of the image size's longer side")
    backbones: str = Field(
        "EfficientNetLite0", title="backbones that may be trained, separated by commas"
    )
    job_minutes: float = Field(10, gt=0, title="minutes of a job")
    job_memory_mb: int = Field(2_300, ge=100, title="MB of memory of a job")
    waiting_jobs: int = Field(3, ge=1, title="jobs of a visitor that wait or run")
    visitors: int = Field(30, ge=1, title="visitors at once")
    address_visitors: int = Field(0, ge=0, title="visitors at once from one network address")
    tabs: int = Field(10, ge=1, title="open tabs of a visitor")
    upload_memory_mb: int = Field(150, ge=1, title="MB of uploads held in memory, of all visitors")
    hours: float = Field(24, gt=0, title="hours until the data of a visitor who left are deleted")

    @property
    def job_bytes(self) -> int:
        """The bytes of memory that a job may take beyond what its process holds without one."""
        return MEGABYTE * max(LEAST_JOB_MB, self.job_memory_mb - WORKER_MB)

    @property
    def cache_bytes(self) -> int:
        """The bytes that each cache of a visitor may take: a third of what a visitor may use."""
        return MEGABYTE * self.visitor_mb // 3

    @property
    def backbone_names(self) -> tuple[str, ...]:
        """The backbones that may be trained."""
        return tuple(name.strip() for name in self.backbones.split(",") if name.strip())


def environment_name(field: str) -> str:
    """Return the environment variable of a limit.

    Example:
        >>> environment_name("job_minutes")
        'TL_DEMO_JOB_MINUTES'
    """
    return PREFIX + field.upper()


@functools.lru_cache(maxsize=1)
def _parse(texts: tuple[str | None, ...]) -> Limits:
    """Return the limits with these values of their environment variables, in the fields' order."""
    values = dict(zip(Limits.model_fields, texts, strict=True))
    try:
        return Limits.create({name: text for name, text in values.items() if text})
    except ConfigError as error:
        raise ConfigError(
            f"{error} Change or remove its environment variable {PREFIX}... or its secret."
        ) from error


def current_limits() -> Limits | None:
    """Return the limits of this process; None outside of a hosted demo.

    Raises:
        ConfigError: a limit in the environment is not a number or out of range.

    Example:
        >>> current_limits() is None
        True
    """
    if current_mode() != "demo":
        return None
    return _parse(tuple(os.environ.get(environment_name(name)) for name in Limits.model_fields))


def over(name: str, received: float, advice: str) -> LimitError:
    """Return the error for a limit that was exceeded; its sentence names the limit.

    Args:
        name: a field of :class:`Limits`.
        received: the number that was asked for.
        advice: what to do, a full sentence.
    """
    limits = current_limits() or Limits()
    title = Limits.title_of(name)
    limit = getattr(limits, name)
    shown = f"{received:,.4g}" if received < 1000 else f"{received:,.0f}"
    return LimitError(f"This demo allows {limit:,} {title}; this would be {shown}. {advice}")


def check_classes(num_classes: int) -> None:
    """Check the number of classes of a dataset.

    Raises:
        LimitError: it exceeds the limit of a hosted demo.
    """
    limits = current_limits()
    if limits is not None and num_classes > limits.classes:
        raise over("classes", num_classes, "Merge classes, or leave some out.")


def check_config(config: TrainConfig) -> None:
    """Check the settings of a training against the limits of a hosted demo.

    Raises:
        LimitError: a setting exceeds its limit; the message names it.
    """
    limits = current_limits()
    if limits is None:
        return
    if config.backbone not in limits.backbone_names:
        raise LimitError(
            f"This demo trains these backbones: {', '.join(limits.backbone_names)}; received "
            f"'{config.backbone}'. Choose one of them."
        )
    epochs = max(config.epochs, config.fine_tune_epochs if config.fine_tune_blocks else 0)
    if epochs > limits.epochs:
        raise over("epochs", epochs, "Choose fewer epochs.")
    views = max(config.views, config.fine_tune_views)
    if views > limits.views:
        raise over("views", views, "Choose fewer views.")
    side = max(config.image_size or (0,))
    if side > limits.image_side:
        raise over("image_side", side, "Choose a smaller image size.")


def check_search(sweep: SweepConfig, num_trials: int) -> None:
    """Check the number of heads that a search tries.

    Raises:
        LimitError: it exceeds the limit of a hosted demo.
    """
    limits = current_limits()
    if limits is not None and num_trials > limits.trials:
        kind = "a smaller grid" if sweep.search == "grid" else "fewer heads"
        raise over("trials", num_trials, f"Choose {kind}.")
