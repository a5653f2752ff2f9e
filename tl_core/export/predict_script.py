"""The ``predict.py`` that lies beside an exported model: one template, one opening function a
format.

The script needs that format's runtime, Pillow and NumPy, and nothing of this package.
"""

from __future__ import annotations

from pathlib import Path

PREDICT_FILE = "predict.py"
REQUIREMENTS_FILE = "requirements.txt"
_START, _END, _NEXT = "# Open the model.\n", "# Read a photo.\n", "# Classify.\n"
_TEMPLATE = Path(__file__).with_name("predict_template.py")

KERAS = '''
def open_model(folder: Path = FOLDER) -> Model:
    """Open the model in a folder."""
    import keras

    model = keras.saving.load_model(folder / "model.keras")
    return lambda images: model.predict_on_batch(images.astype(np.float32))
'''

SAVED_MODEL = '''
def open_model(folder: Path = FOLDER) -> Model:
    """Open the model in a folder."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / "saved_model"))
    signature = loaded.signatures["serving_default"]
    signature.loaded = loaded  # the signature alone does not keep the weights
    return lambda images: signature(images=tf.constant(images))["probabilities"].numpy()
'''

LITERT = '''
def open_model(folder: Path = FOLDER) -> Model:
    """Open the model in a folder."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"))
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def model(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return model
'''

BUNDLE = '''
def open_model(folder: Path = FOLDER) -> Model:
    """Open the model in a folder."""
    from ai_edge_litert.interpreter import Interpreter
    from safetensors.numpy import load_file

    interpreter = Interpreter(str(folder / "backbone.tflite"))
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    head = load_file(folder / "head.safetensors")
    names = [f"fc_{number}" for number in range((len(head) - 2) // 2)]
    temperature = json.loads((folder / "model.json").read_text("utf-8"))["temperature"]

    def model(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        x = interpreter.get_tensor(target)
        for name in names:
            x = np.maximum(x @ head[f"{name}/kernel"] + head[f"{name}/bias"], 0)
        x = (x @ head["predictions/kernel"] + head["predictions/bias"]) / temperature
        x = np.exp(x - x.max(axis=1, keepdims=True))
        return x / x.sum(axis=1, keepdims=True)

    return model
'''

ONNX = '''
def open_model(folder: Path = FOLDER) -> Model:
    """Open the model in a folder."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return lambda images: session.run(["probabilities"], {"images": images})[0]
'''

OPENVINO = '''
def open_model(folder: Path = FOLDER) -> Model:
    """Open the model in a folder."""
    import openvino

    # Newer processors would compute in 16 bits unless asked not to: faster, less exact.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", exact)
    return lambda images: compiled(images)[0]
'''


def predict_script(open_code: str) -> str:
    """Return the source of a ``predict.py``.

    Args:
        open_code: the source of ``open_model(folder)``, which returns a function from images
            (1, height, width, 3) uint8 to probabilities (1, num_classes).
    """
    template = _TEMPLATE.read_text(encoding="utf-8")
    before, rest = template.split(_START)
    _, after = rest.split(_END)
    return f"{before}{_START}\n{open_code}\n\n{_END}{after}"


def photo_code() -> str:
    """Return the part of the template that reads a photo: ``load_pixels`` and what it uses."""
    return _TEMPLATE.read_text(encoding="utf-8").split(_END)[1].split(_NEXT)[0].strip() + "\n"


def write_predict_script(folder: Path, open_code: str, requirements: tuple[str, ...]) -> None:
    """Write ``predict.py`` and the ``requirements.txt`` that it needs into an export."""
    (folder / PREDICT_FILE).write_text(predict_script(open_code), encoding="utf-8")
    lines = [*requirements, "pillow>=12", "numpy>=1.26"]
    (folder / REQUIREMENTS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
