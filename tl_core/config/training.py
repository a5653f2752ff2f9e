"""All settings of augmentation and training, defined once.

The Train page's form, the command line's options and a run's ``config.json`` are all built from
the fields declared here, so a setting added here appears in all three.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tl_core.config.base import Settings
from tl_core.errors import ConfigError, did_you_mean

ImageSize = tuple[
    Annotated[int, Field(ge=32, le=1024)],
    Annotated[int, Field(ge=32, le=1024)],
]
Resize = Literal["squash", "crop", "pad"]
Pooling = Literal["avg", "max", "flatten"]


class AugmentConfig(Settings):
    """Random transforms of training images. All are off by default.

    A number is the largest change that may be drawn; 0 switches the transform off.

    Examples:
        >>> from tl_core import AugmentConfig
        >>> config = AugmentConfig(horizontal_flip=True, rotation=15)
        >>> config.is_identity
        False
        >>> config.updated(rotation=0, horizontal_flip=False).is_identity
        True
    """

    horizontal_flip: bool = Field(False, title="Flip left-right")
    vertical_flip: bool = Field(
        False, title="Flip upside down", description="Only where up and down do not matter."
    )
    rotation: float = Field(0.0, ge=0, le=180, title="Rotation", description="Up to ± degrees.")
    zoom: float = Field(
        0.0, ge=0, le=0.9, title="Zoom", description="Size changes by up to ± this fraction."
    )
    shift: float = Field(
        0.0, ge=0, le=0.5, title="Shift", description="Moved by up to ± this fraction of a side."
    )
    shear: float = Field(0.0, ge=0, le=45, title="Shear", description="Slant of up to ± degrees.")
    brightness: float = Field(
        0.0, ge=0, le=1, title="Brightness", description="Light changes by up to ± this fraction."
    )
    contrast: float = Field(
        0.0, ge=0, le=1, title="Contrast", description="Contrast changes by up to ± this fraction."
    )
    saturation: float = Field(
        0.0, ge=0, le=1, title="Saturation", description="Colour strength, up to ± this fraction."
    )
    hue: float = Field(
        0.0, ge=0, le=0.5, title="Hue", description="Up to ± this fraction of the colour circle."
    )
    blur: float = Field(
        0.0, ge=0, le=5, title="Blur", description="Gaussian blur of up to this many pixels."
    )
    erasing: float = Field(
        0.0, ge=0, le=0.5, title="Erasing", description="A patch of up to this part of the area."
    )
    fill: Literal["reflect", "edge", "black"] = Field(
        "reflect", title="Fill", description="What shows where the image was moved away."
    )

    @property
    def is_identity(self) -> bool:
        """Whether all transforms are off, so that augmenting returns the image unchanged."""
        return self.updated(fill="reflect") == AugmentConfig()


AUGMENT_PRESETS: dict[str, AugmentConfig] = {
    "none": AugmentConfig(),
    "tutorial": AugmentConfig(horizontal_flip=True, vertical_flip=True, rotation=90, fill="edge"),
    "photo": AugmentConfig(
        horizontal_flip=True,
        rotation=15,
        zoom=0.2,
        shift=0.1,
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        hue=0.02,
    ),
    "document": AugmentConfig(
        rotation=3, zoom=0.1, shift=0.05, shear=3, brightness=0.2, contrast=0.3, blur=1, fill="edge"
    ),
}


def augment_preset(name: str) -> AugmentConfig:
    """Return the named preset.

    Raises:
        ConfigError: no preset has that name.

    Examples:
        >>> augment_preset("photo").rotation
        15.0
    """
    try:
        return AUGMENT_PRESETS[name]
    except KeyError:
        raise ConfigError(
            f"Expected an augmentation preset out of {', '.join(AUGMENT_PRESETS)}, "
            f"received '{name}'.{did_you_mean(name, AUGMENT_PRESETS)}"
        ) from None


class TrainConfig(Settings):
    """All settings of a training run.

    A run can be repeated from these, the data folder and the decisions about its images.

    Examples:
        >>> from tl_core import TrainConfig
        >>> config = TrainConfig(fc_layers=(128,), epochs=5)
        >>> TrainConfig.from_json(config.to_json()) == config
        True
        >>> config.updated(epochs=0)
        Traceback (most recent call last):
        tl_core.errors.ConfigError: Setting 'epochs': expected greater than or equal to 1...
    """

    backbone: str = Field(
        "EfficientNetLite0",
        title="Backbone",
        description="The pretrained network whose features the new layers are trained on.",
        json_schema_extra={"effect": "A larger one is slower and mostly more accurate."},
    )
    image_size: ImageSize | None = Field(
        None,
        title="Image size",
        description="(height, width) in pixels; empty takes the backbone's own.",
        json_schema_extra={"effect": "Raising it shows finer detail and takes longer."},
    )
    resize: Resize = Field(
        "squash",
        title="Resize",
        description="How a photo becomes that size: squash it, crop its centre, or pad it.",
        json_schema_extra={
            "effect": "Squash keeps the whole photo and changes its shape, crop loses the borders, "
            "pad adds black bars."
        },
    )
    pooling: Pooling = Field(
        "avg",
        title="Pooling",
        description="How the backbone's feature map becomes a vector; flatten is the tutorial's.",
        json_schema_extra={
            "effect": "Avg suits most photos; max follows the strongest spot; flatten keeps places "
            "and needs many more weights."
        },
    )
    augment: AugmentConfig = Field(AugmentConfig(), title="Augmentation")
    views: int = Field(
        1,
        ge=1,
        le=50,
        title="Views",
        description="Versions of each training image: the first as it is, the others augmented.",
        json_schema_extra={
            "effect": "Raising it shows each photo in more variations: less overfitting, a longer "
            "pass through the backbone."
        },
    )
    val_fraction: float = Field(
        0.15,
        gt=0,
        le=0.5,
        title="Validation part",
        description="Share of the images that picks the best epoch.",
        json_schema_extra={
            "effect": "Raising it makes the choice of the best epoch safer and leaves fewer photos "
            "to learn from."
        },
    )
    test_fraction: float = Field(
        0.15,
        ge=0,
        le=0.5,
        title="Test part",
        description="Share of the images kept unseen for the final figure; 0 for none.",
        json_schema_extra={
            "effect": "Raising it makes the final figure more precise and leaves fewer photos to "
            "learn from."
        },
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="The same seed gives the same run.",
        json_schema_extra={
            "effect": "Another one gives another split, start and order. Figures that change much "
            "with it rest on too few photos."
        },
    )
    fc_layers: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        (256,),
        max_length=8,
        title="FC layers",
        description="Widths of the fully connected layers before the softmax.",
        json_schema_extra={
            "effect": "More or wider layers fit finer differences and overfit sooner; none is the "
            "simplest."
        },
    )
    dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        title="Dropout",
        description="Share of units switched off in training.",
        json_schema_extra={
            "effect": "Raising it reduces overfitting; too much, and the model learns too little."
        },
    )
    learning_rate: float = Field(
        0.001,
        gt=0,
        le=1,
        title="Learning rate",
        description="Step size of Adam.",
        json_schema_extra={
            "effect": "Raising it learns in fewer epochs, until the loss jumps; lowering it is "
            "slower and steadier."
        },
    )
    epochs: int = Field(
        20,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the training images.",
        json_schema_extra={
            "effect": "Raising it learns longer. The best epoch is kept, so that too many cost "
            "only time."
        },
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=1024,
        title="Batch size",
        description="Images between two updates.",
        json_schema_extra={
            "effect": "Raising it makes steadier and fewer updates an epoch; a higher learning "
            "rate fits it."
        },
    )
    shuffle: bool = Field(
        True,
        title="Shuffle",
        description="A new order in every epoch.",
        json_schema_extra={
            "effect": "Without it an order that repeats is learned with the photos."
        },
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        title="Class weights",
        description="Balanced gives rare classes a higher weight.",
        json_schema_extra={
            "effect": "Balanced finds rare classes more often and takes a few common photos for "
            "rare ones."
        },
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Label smoothing",
        description="Softens the targets.",
        json_schema_extra={
            "effect": "Raising it makes answers less sure, which helps with a few wrong labels; "
            "above 0.2 it blurs the classes."
        },
    )
    early_stopping: int = Field(
        0,
        ge=0,
        le=1000,
        title="Early stopping",
        description="Stop after this many epochs without a better val_loss; 0 never does.",
        json_schema_extra={
            "effect": "Raising it waits longer; a low number can stop at a rise by chance."
        },
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=0.5,
        title="Weight decay",
        json_schema_extra={
            "effect": "Raising it keeps weights small, which reduces overfitting; too much, and "
            "the model learns too little.",
            "step": 0.0001,
        },  # what is in use is too little for a slider
        description="Pulls weights towards zero (AdamW); 0 is plain Adam.",
    )
    clip_norm: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Clip gradients",
        description="Longest step of one batch, as the norm of its gradient; 0 for any.",
        json_schema_extra={
            "effect": "Lowering it tames jumps of the loss; very low slows learning down."
        },
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled",
        title="Sampling",
        description="Balanced shows images of every class equally often in an epoch.",
        json_schema_extra={
            "effect": "Balanced repeats the photos of rare classes, which can be memorized."
        },
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=2,
        title="Mixup",
        description="Trains on blends of two images, more even the higher; 0 does not.",
        json_schema_extra={
            "effect": "Raising it blends more evenly, which reduces overfitting. With a frozen "
            "backbone the features of two photos are blended."
        },
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        le=2,
        title="CutMix",
        description="Fine-tunes on images with a patch of another, larger the higher; 0 does not.",
        json_schema_extra={
            "effect": "Raising it pastes larger patches, which reduces overfitting. It has no "
            "effect while the backbone is frozen."
        },
    )
    fine_tune_blocks: int = Field(
        0,
        ge=0,
        le=200,
        title="Fine-tuned blocks",
        description="Blocks of the backbone, from the top, that are trained on; 0 keeps it frozen.",
        json_schema_extra={
            "effect": "Raising it adapts more to your photos, takes longer, and overfits sooner on "
            "few of them."
        },
    )
    fine_tune_epochs: int = Field(
        10,
        ge=1,
        le=1000,
        title="Fine-tuning epochs",
        description="Passes over the training images after the head's own epochs.",
        json_schema_extra={
            "effect": "Raising it adapts further. The best epoch is kept, so that too many cost "
            "only time."
        },
    )
    fine_tune_learning_rate: float = Field(
        0.0003,
        gt=0,
        le=1,
        title="Fine-tuning learning rate",
        description="Highest step size of fine-tuning; it rises to it, then falls to zero.",
        json_schema_extra={
            "effect": "Raising it changes the backbone faster and can destroy what it knows."
        },
    )
    fine_tune_warmup_epochs: int = Field(
        1,
        ge=0,
        le=100,
        title="Fine-tuning warm-up",
        description="Epochs over which the step size rises; 0 begins at the highest.",
        json_schema_extra={"effect": "Raising it begins more gently."},
    )
    fine_tune_layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        title="Fine-tuning rate by depth",
        description="Each block below the top learns at this share of the rate above it; 1 is off.",
        json_schema_extra={"effect": "Lowering it leaves deeper blocks closer to what they were."},
    )
    fine_tune_views: int = Field(
        0,
        ge=0,
        le=50,
        title="Fine-tuning views",
        description="Augmented versions of each image; fewer than epochs are reused from memory, "
        "0 draws a fresh one in every epoch.",
        json_schema_extra={"effect": "Raising it repeats fewer views and takes more memory."},
    )
    mixed_precision: Literal["auto", "off", "on"] = Field(
        "auto",
        title="Mixed precision",
        description="Fine-tunes in 16-bit numbers; auto does so on GPUs that gain by it.",
        json_schema_extra={"effect": "On is faster on a fitting GPU; off computes in 32 bits."},
    )
    layout: str = Field(
        "",
        title="Layout",
        max_length=2000,
        description="How the data folder is read, as the command inspect lists it; empty takes "
        "what was chosen for the folder, else the most plausible reading.",
    )
    tensorboard: bool = Field(
        False,
        title="TensorBoard log",
        description="Also writes the curves for TensorBoard.",
        json_schema_extra={"effect": "It takes some space and changes nothing else."},
    )

    @field_validator("augment", mode="before")
    @classmethod
    def _preset_by_name(cls, value: Any) -> Any:
        return augment_preset(value) if isinstance(value, str) else value


def load_config(path: str | Path) -> TrainConfig:
    """Read a :class:`TrainConfig` from a JSON file.

    Raises:
        ConfigError: the file is missing or a setting in it is wrong.

    Examples:
        >>> from pathlib import Path
        >>> from tl_core import TrainConfig, load_config
        >>> _ = Path("config.json").write_text(TrainConfig(epochs=5).to_json())
        >>> load_config("config.json").epochs
        5
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read settings from '{path}': {error}.") from error
    return TrainConfig.from_json(text)
