"""The thresholds of the audit, which decide what is reported as a problem."""

from __future__ import annotations

from pydantic import Field

from tl_core.config.base import Settings


class AuditConfig(Settings):
    """Thresholds of the audit; the defaults report nothing on ordinary photos.

    Brightness and sharpness are in [0, 1].

    Examples:
        >>> from tl_core import AuditConfig
        >>> AuditConfig(min_side=100).min_side
        100
    """

    dark: float = Field(
        0.25,
        ge=0,
        le=1,
        title="Dark",
        description="Too dark is a photo of little contrast of which 95 % is darker than this.",
    )
    bright: float = Field(
        0.7,
        ge=0,
        le=1,
        title="Bright",
        description="Too bright is a photo of little contrast of which 95 % is brighter than this.",
    )
    contrast: float = Field(
        0.02,
        ge=0,
        le=1,
        title="Contrast",
        description="A photo is nearly uniform when its light varies by less than this.",
    )
    sharpness: float = Field(
        0.6,
        ge=0,
        le=1,
        title="Sharpness",
        description="A photo is blurry when it has less than this share of the usual sharpness.",
    )
    min_side: int = Field(
        48, ge=0, title="Smallest side", description="A photo with a shorter side is tiny."
    )
    max_aspect: float = Field(
        3.0,
        ge=1,
        title="Longest shape",
        description="How many times longer than wide, or wider than long, a photo may be.",
    )
    odd_size: float = Field(
        5.0,
        gt=1,
        title="Odd size",
        description="How many times longer or shorter than usual the sides of a photo may be.",
    )
    greyscale_share: float = Field(
        0.2,
        ge=0,
        le=0.5,
        title="Grey share",
        description="Grey photos are reported as long as no more than this share is grey.",
    )
    common_share: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Common share",
        description="A property that more of the photos have than this share is not reported.",
    )
    copy_similarity: float = Field(
        0.98,
        ge=0.9,
        le=1,
        title="Copy similarity",
        description="How well two photos must match in detail to count as copies.",
    )
    imbalance: float = Field(
        5.0,
        ge=1,
        title="Imbalance",
        description="How many times larger than the smallest class the largest may be.",
    )
    min_class_images: int = Field(
        10,
        ge=3,
        title="Smallest class",
        description="A class with fewer different photos is too small to be judged.",
    )
    outlier: float = Field(
        1.6,
        gt=0,
        title="Outlier",
        description="How many times further from its class than 95 % of it a photo may lie.",
    )
    label_margin: float = Field(
        0.5,
        ge=0,
        lt=1,
        title="Label margin",
        description="By how much another class must be more probable than the given one.",
    )
