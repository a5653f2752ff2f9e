"""Writing a run's model files: one function a format, called in a child process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.data.images.images import load_image
from tl_core.errors import DatasetError, ExportError
from tl_core.export.graph import (
    INPUT_NAME,
    OUTPUT_NAME,
    Precision,
    build_inference_model,
    convert_to_litert,
    freeze_model,
)
from tl_core.export.model_info import ModelInfo
from tl_core.features.engine_files import prepare_engine
from tl_core.head.model import save_weights
from tl_core.head.out_of_distribution import save_detector
from tl_core.inference.model_bundle import BACKBONE_FILE, HEAD_FILE
from tl_core.inference.predict import load_head
from tl_core.inference.reliability import load_reliability
from tl_core.runs.image_selection import select_part
from tl_core.runs.images import load_images_of
from tl_core.runs.store import Run
from tl_core.runs.weights import feature_spec_of

if TYPE_CHECKING:
    import keras

NUM_CALIBRATION_IMAGES = 200
ONNX_OPSET = 18

KERAS_FILE = "model.keras"
SAVED_MODEL_DIR = "saved_model"
LITERT_FILE = "model.tflite"
ONNX_FILE = "model.onnx"
OPENVINO_FILES = ("model.xml", "model.bin")


@dataclass(frozen=True, eq=False)
class Writing:
    """What a format's ``write`` gets: the run, and the folder to put its files into.

    Args:
        run: the run to export.
        info: the content of ``model.json`` to be, still without files.
        folder: an empty folder that only this export uses.
        cache_dir: the folder of what can be computed again.
        with_examples: whether photos of the test part go along, for visitors to try.
    """

    run: Run
    info: ModelInfo
    folder: Path
    cache_dir: Path
    with_examples: bool = False

    @cached_property
    def model(self) -> keras.Model:
        """The inference graph as a Keras model; see :func:`build_inference_model`."""
        return build_inference_model(self.run)

    def calibration_images(self) -> list[np.ndarray]:
        """Return training photos, evenly spread, at the run's image size.

        Raises:
            ExportError: the training photos are no longer there.
        """
        try:
            index = load_images_of(self.run, cache_dir=self.cache_dir)
            _, chosen = select_part(self.run, index, "train")
        except DatasetError as error:
            raise ExportError(
                f"int8 is calibrated on training photos, but they are not available: {error}"
            ) from error
        num = min(len(chosen.positions), NUM_CALIBRATION_IMAGES)
        spread = np.linspace(0, len(chosen.positions) - 1, num).astype(int)
        size, resize = self.info.image_size, self.info.resize
        return [
            index.decode(
                index.records[chosen.positions[place]],
                lambda data: load_image(data, size, resize, self.run.pixel_scale),
            )
            for place in spread
        ]


def write_keras(writing: Writing) -> None:
    """Write one ``.keras`` file of stock layers."""
    writing.model.save(writing.folder / KERAS_FILE)


def write_saved_model(writing: Writing) -> None:
    """Write a TensorFlow SavedModel whose signature also gives the class names."""
    import tensorflow as tf

    model, size = writing.model, writing.info.image_size
    names = tf.constant(list(writing.info.class_names))

    @tf.function(input_signature=[tf.TensorSpec((None, *size, 3), tf.uint8, name=INPUT_NAME)])
    def classify(images: Any) -> dict[str, Any]:
        probabilities = model(tf.cast(images, tf.float32), training=False)
        # One row of names an image, for servers expect every output to have the batch's length.
        rows = tf.tile(names[None], [tf.shape(probabilities)[0], 1])
        return {OUTPUT_NAME: probabilities, "class_names": rows}

    module = tf.Module()
    module.model, module.classify = model, classify
    folder = str(writing.folder / SAVED_MODEL_DIR)
    tf.saved_model.save(module, folder, signatures={"serving_default": classify})


def write_litert(writing: Writing, precision: Precision = "float32") -> None:
    """Write one LiteRT file that takes one uint8 image."""
    images = writing.calibration_images() if precision == "int8" else []
    model = writing.model
    content = convert_to_litert(model, precision, images)
    (writing.folder / LITERT_FILE).write_bytes(content)


def write_litert_float16(writing: Writing) -> None:
    """Write a LiteRT file with 16-bit weights."""
    write_litert(writing, "float16")


def write_litert_int8(writing: Writing) -> None:
    """Write a LiteRT file that computes in 8 bits, calibrated on training photos."""
    write_litert(writing, "int8")


def write_onnx(writing: Writing) -> None:
    """Write one ONNX file for any number of images."""
    import onnx
    import tf2onnx

    frozen = freeze_model(writing.model, None)
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[frozen.inputs[0].name],
        output_names=[frozen.outputs[0].name],
        opset=ONNX_OPSET,
    )
    _rename(model.graph, model.graph.input[0], INPUT_NAME)
    _rename(model.graph, model.graph.output[0], OUTPUT_NAME)
    onnx.checker.check_model(model)
    onnx.save(model, writing.folder / ONNX_FILE)


def _rename(graph: Any, value: Any, name: str) -> None:
    """Give an ONNX graph's input or output another name, wherever it occurs."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, old in enumerate(names):
                if old == value.name:
                    names[place] = name
    value.name = name
    value.type.tensor_type.shape.dim[0].dim_param = "batch"


def write_bundle(writing: Writing) -> None:
    """Write what the app itself answers with: converted backbone, head, and what it knows."""
    run = writing.run
    spec = feature_spec_of(run)
    engine = spec.engine_file or prepare_engine(
        spec.backbone, spec.image_size, spec.pooling, writing.cache_dir
    )
    shutil.copyfile(engine, writing.folder / BACKBONE_FILE)
    weights = load_head(run)
    save_weights(writing.folder / HEAD_FILE, weights)
    detector = load_reliability(run, weights).detector
    if detector is not None:
        save_detector(writing.folder, detector)
    for path in writing.folder.iterdir():
        path.chmod(0o644)  # the account that serves a published model has to read it


_OPENVINO_SCRIPT = """
import sys
import openvino
source, target, input_name, output_name = sys.argv[1:]
model = openvino.convert_model(source)
model.input().get_tensor().set_names({input_name})
model.output().get_tensor().set_names({output_name})
openvino.save_model(model, target, compress_to_fp16=False)
"""


def write_openvino(writing: Writing) -> None:
    """Write OpenVINO's intermediate representation, for one image, float32 weights."""
    litert = writing.folder / "source.tflite"
    litert.write_bytes(convert_to_litert(writing.model))
    target = writing.folder / OPENVINO_FILES[0]
    # In a process of its own: with TensorFlow loaded beside it OpenVINO crashes at exit.
    done = subprocess.run(
        [sys.executable, "-c", _OPENVINO_SCRIPT, litert, target, INPUT_NAME, OUTPUT_NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    litert.unlink()
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise ExportError(f"OpenVINO could not convert the model: {reason}.")
