"""The registry of backbones. Nothing here loads TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, did_you_mean
from tl_core.installation import program_name

Preprocessing = Literal["tf", "caffe", "torch", "inside", "lite"]
KERAS_TABLE = "https://keras.io/api/applications/"
_KERAS_MOBILENET_V3 = "Keras' MobileNetV3 reference page, table of checkpoints"
_LITE_README = "EfficientNet-lite README, tensorflow/tpu, FP32 accuracy"


@dataclass(frozen=True)
class Backbone:
    """One pretrained network that turns an image into features.

    ``image_size`` is (height, width) in pixels, the size of pretraining; ``min_size`` the shortest
    supported side. ``num_params`` and ``weights_mb`` (10^6 bytes) exclude the top. ``top1`` is the
    published accuracy on ImageNet in [0, 1], None if unknown.
    """

    name: str
    family: str
    image_size: tuple[int, int]
    min_size: int
    preprocessing: Preprocessing
    feature_dim: int
    num_params: int
    weights_mb: float
    top1: float | None
    top1_source: str
    weights: Literal["bundled", "imagenet", "none"]
    hidden: bool = False


# keras.applications module: family, preprocessing, shortest supported side.
_MODULES: dict[str, tuple[str, Preprocessing, int]] = {
    "mobilenet": ("MobileNet", "tf", 32),
    "mobilenet_v2": ("MobileNetV2", "tf", 32),
    "mobilenet_v3": ("MobileNetV3", "inside", 32),
    "nasnet": ("NASNet", "tf", 32),
    "efficientnet": ("EfficientNet", "inside", 32),
    "efficientnet_v2": ("EfficientNetV2", "inside", 32),
    "densenet": ("DenseNet", "torch", 32),
    "resnet": ("ResNet", "caffe", 32),
    "resnet_v2": ("ResNetV2", "tf", 32),
    "inception_v3": ("Inception", "tf", 75),
    "inception_resnet_v2": ("Inception", "tf", 75),
    "xception": ("Xception", "tf", 71),
    "vgg16": ("VGG", "caffe", 32),
    "vgg19": ("VGG", "caffe", 32),
    "convnext": ("ConvNeXt", "inside", 32),
}


def _keras(
    name: str, module: str, side: int, feature_dim: int, num_params: int, top1: float
) -> Backbone:
    family, preprocessing, min_size = _MODULES[module]
    return Backbone(
        name,
        family,
        (side, side),
        min_size,
        preprocessing,
        feature_dim,
        num_params,
        round(num_params * 4 / 1e6, 1),
        top1,
        _KERAS_MOBILENET_V3 if module == "mobilenet_v3" else KERAS_TABLE,
        "imagenet",
    )


def _lite(name: str, side: int, num_params: int, weights_mb: float, top1: float) -> Backbone:
    return Backbone(
        name,
        "EfficientNetLite",
        (side, side),
        32,
        "lite",
        1280,
        num_params,
        weights_mb,
        top1,
        _LITE_README,
        "bundled",
    )


_ROWS = (
    _lite("EfficientNetLite0", 224, 3_413_024, 18.8, 0.751),
    _lite("EfficientNetLite1", 240, 4_189_344, 21.9, 0.767),
    _lite("EfficientNetLite2", 260, 4_869_168, 24.7, 0.776),
    _keras("MobileNet", "mobilenet", 224, 1024, 3_228_864, 0.704),
    _keras("MobileNetV2", "mobilenet_v2", 224, 1280, 2_257_984, 0.713),
    _keras("MobileNetV3Small", "mobilenet_v3", 224, 576, 939_120, 0.681),
    _keras("MobileNetV3Large", "mobilenet_v3", 224, 960, 2_996_352, 0.756),
    _keras("NASNetMobile", "nasnet", 224, 1056, 4_269_716, 0.744),
    _keras("NASNetLarge", "nasnet", 331, 4032, 84_916_818, 0.825),
    _keras("EfficientNetB0", "efficientnet", 224, 1280, 4_049_571, 0.771),
    _keras("EfficientNetB1", "efficientnet", 240, 1280, 6_575_239, 0.791),
    _keras("EfficientNetB2", "efficientnet", 260, 1408, 7_768_569, 0.801),
    _keras("EfficientNetB3", "efficientnet", 300, 1536, 10_783_535, 0.816),
    _keras("EfficientNetB4", "efficientnet", 380, 1792, 17_673_823, 0.829),
    _keras("EfficientNetB5", "efficientnet", 456, 2048, 28_513_527, 0.836),
    _keras("EfficientNetB6", "efficientnet", 528, 2304, 40_960_143, 0.84),
    _keras("EfficientNetB7", "efficientnet", 600, 2560, 64_097_687, 0.843),
    _keras("EfficientNetV2B0", "efficientnet_v2", 224, 1280, 5_919_312, 0.787),
    _keras("EfficientNetV2B1", "efficientnet_v2", 240, 1280, 6_931_124, 0.798),
    _keras("EfficientNetV2B2", "efficientnet_v2", 260, 1408, 8_769_374, 0.805),
    _keras("EfficientNetV2B3", "efficientnet_v2", 300, 1536, 12_930_622, 0.82),
    _keras("EfficientNetV2S", "efficientnet_v2", 384, 1280, 20_331_360, 0.839),
    _keras("EfficientNetV2M", "efficientnet_v2", 480, 1280, 53_150_388, 0.853),
    _keras("EfficientNetV2L", "efficientnet_v2", 480, 1280, 117_746_848, 0.857),
    _keras("DenseNet121", "densenet", 224, 1024, 7_037_504, 0.75),
    _keras("DenseNet169", "densenet", 224, 1664, 12_642_880, 0.762),
    _keras("DenseNet201", "densenet", 224, 1920, 18_321_984, 0.773),
    _keras("ResNet50", "resnet", 224, 2048, 23_587_712, 0.749),
    _keras("ResNet101", "resnet", 224, 2048, 42_658_176, 0.764),
    _keras("ResNet152", "resnet", 224, 2048, 58_370_944, 0.766),
    _keras("ResNet50V2", "resnet_v2", 224, 2048, 23_564_800, 0.76),
    _keras("ResNet101V2", "resnet_v2", 224, 2048, 42_626_560, 0.772),
    _keras("ResNet152V2", "resnet_v2", 224, 2048, 58_331_648, 0.78),
    _keras("InceptionV3", "inception_v3", 299, 2048, 21_802_784, 0.779),
    _keras("InceptionResNetV2", "inception_resnet_v2", 299, 1536, 54_336_736, 0.803),
    _keras("Xception", "xception", 299, 2048, 20_861_480, 0.79),
    _keras("VGG16", "vgg16", 224, 512, 14_714_688, 0.713),
    _keras("VGG19", "vgg19", 224, 512, 20_024_384, 0.713),
    _keras("ConvNeXtTiny", "convnext", 224, 768, 27_820_128, 0.813),
    _keras("ConvNeXtSmall", "convnext", 224, 768, 49_454_688, 0.823),
    _keras("ConvNeXtBase", "convnext", 224, 1024, 87_566_464, 0.853),
    _keras("ConvNeXtLarge", "convnext", 224, 1536, 196_230_336, 0.863),
    _keras("ConvNeXtXLarge", "convnext", 224, 2048, 348_147_968, 0.867),
    Backbone("tiny", "test", (32, 32), 32, "tf", 32, 14_512, 0.1, None, "", "none", hidden=True),
)

BACKBONES: dict[str, Backbone] = {row.name: row for row in _ROWS}


def get_backbone(name: str) -> Backbone:
    """Return the backbone of that name.

    Raises:
        ConfigError: no backbone has that name.

    Examples:
        >>> get_backbone("ResNet50").feature_dim
        2048
    """
    try:
        return BACKBONES[name]
    except KeyError:
        known = [backbone.name for backbone in list_backbones()]
        hint = did_you_mean(name, known) or f" '{program_name()} backbones' lists them."
        raise ConfigError(
            f"Expected one of the {len(known)} backbones, received '{name}'.{hint}"
        ) from None


def list_backbones(include_hidden: bool = False) -> list[Backbone]:
    """Return the backbones in the table's order: families together, the bundled one first.

    Examples:
        >>> [backbone.name for backbone in list_backbones()][:2]
        ['EfficientNetLite0', 'EfficientNetLite1']
    """
    return [row for row in _ROWS if include_hidden or not row.hidden]


def check_image_size(backbone: Backbone, image_size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the given (height, width), else the backbone's default.

    Raises:
        ConfigError: a side is shorter than the backbone supports.
    """
    if image_size is None:
        return backbone.image_size
    height, width = image_size
    if min(height, width) < backbone.min_size:
        raise ConfigError(
            f"Setting 'image_size': expected at least {backbone.min_size} pixels a side for "
            f"{backbone.name}, received {height} x {width}."
        )
    return height, width


def resolve_image_size(config: TrainConfig) -> tuple[int, int]:
    """Return the config's (height, width), else the default of its backbone.

    Raises:
        ConfigError: no backbone has that name, or a side is shorter than it supports.
    """
    return check_image_size(get_backbone(config.backbone), config.image_size)
