"""Convert one frozen backbone to a LiteRT file. Loads TensorFlow.

    python -m tl_core.backbones.litert BACKBONE HEIGHT WIDTH POOLING OUT_PATH

is run as a child process by processes that should not load TensorFlow; an error meant for the user
is printed as one line of JSON on standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tl_core import errors, files
from tl_core.backbones.build import build_base_model
from tl_core.config.training import Pooling
from tl_core.processes import end_with_parent, print_error


def build_forward(
    backbone: str, image_size: tuple[int, int], pooling: Pooling
) -> Callable[[Any], Any]:
    """Return the function from images (batch, height, width, 3) uint8 to features (batch, dim)."""
    import tensorflow  # noqa: F401  before Keras: another thread may be importing it as well

    return forward_of(build_base_model(backbone, image_size, pooling))


def forward_of(model: Any) -> Callable[[Any], Any]:
    """Wrap a Keras model as a function from uint8 images to flattened rows."""
    import tensorflow as tf

    def forward(images: Any) -> Any:
        features = model(tf.cast(images, tf.float32), training=False)
        return tf.reshape(features, (-1, features.shape[1:].num_elements()))

    return forward


def convert_backbone(
    backbone: str, image_size: tuple[int, int], pooling: Pooling, out_path: Path
) -> None:
    """Write the backbone as a LiteRT file for one uint8 image, atomically.

    Raises:
        ConfigError: no backbone has that name, or the image size is too small for it.
        WeightsError: its weights are not available.
    """
    forward = build_forward(backbone, image_size, pooling)
    files.write_bytes(out_path, convert_forward(forward, image_size))


def convert_forward(forward: Callable[[Any], Any], image_size: tuple[int, int]) -> bytes:
    """Return a function of uint8 images as the content of a LiteRT file for one image."""
    import tensorflow as tf

    # Freezing first is several times faster than in the converter and gives the same file.
    frozen = freeze_forward(forward, image_size, 1)
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()


def freeze_forward(
    forward: Callable[[Any], Any], image_size: tuple[int, int], batch_size: int | None
) -> Any:
    """Return the concrete function of a function of uint8 images, with variables as constants.

    Args:
        forward: function of ``images`` (batch, height, width, 3) uint8.
        image_size: (height, width) in pixels.
        batch_size: the batch size of the result; None for any.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    concrete = tf.function(forward).get_concrete_function(
        tf.TensorSpec((batch_size, *image_size, 3), tf.uint8, name="images")
    )
    return convert_variables_to_constants_v2(concrete)


def main(arguments: list[str]) -> int:
    """Run one conversion in its own process; see the module docstring."""
    backbone, height, width, pooling, out_path = arguments
    try:
        convert_backbone(
            backbone,
            (int(height), int(width)),
            pooling,  # type: ignore[arg-type]
            Path(out_path),
        )
    except errors.TLError as error:
        print_error(error)
        return 2
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(sys.argv[1:]))
