"""The values inside a LiteRT file, which an interpreter usually drops.

Imported by the guarded process, so it loads little.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.head.gradcam import find_pooling


def read_pooled_map(path: Path, image: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the last feature map of any LiteRT file that pools to the features it gives.

    For files whose backbone is not known. The interpreter is closed again.

    Args:
        path: the file.
        image: (height, width, 3) uint8 RGB.
        features: (dim,) float32, what the file gives for that image.

    Returns:
        (rows, columns, dim) float32; of shape (0, 0, 0) if there is none.
    """
    interpreter = open_preserving(path)
    (source,) = interpreter.get_input_details()
    interpreter.set_tensor(source["index"], image[None])
    interpreter.invoke()
    for tensor in sorted(interpreter.get_tensor_details(), key=lambda one: -one["index"]):
        shape = [int(side) for side in tensor["shape"]]
        if len(shape) != 4 or shape[0] != 1 or tensor["dtype"] != np.float32:
            continue
        # One position is a map that was pooled already, its sides kept.
        if shape[1] * shape[2] > 1 and features.size in (shape[3], math.prod(shape)):
            found: np.ndarray = interpreter.get_tensor(tensor["index"])[0]
            if find_pooling(found, features) is not None:
                return found
    return np.zeros((0, 0, 0), np.float32)


def open_preserving(path: Path) -> Any:
    """Return an interpreter that keeps the values of all tensors."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")
        interpreter = Interpreter(
            model_path=str(path),
            experimental_preserve_all_tensors=True,
            # Other resolvers fuse operations and do not preserve intermediate tensors.
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return interpreter
