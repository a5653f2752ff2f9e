"""The formats a run can be exported in: one row each. A new format is one row and one function.

Importing this loads neither TensorFlow nor a format's own packages.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace

from tl_core.errors import ConfigError, did_you_mean
from tl_core.export import docker, predict_script, writers
from tl_core.export.graph import Precision
from tl_core.export.model_info import InputType
from tl_core.export.notebook import folder as notebook_folder
from tl_core.export.predict_script import REQUIREMENTS_FILE
from tl_core.export.viewer import folder as viewer_folder
from tl_core.export.web import folder as web_folder
from tl_core.export.writers import Writing
from tl_core.inference.model_bundle import BACKBONE_FILE, HEAD_FILE
from tl_core.installation import install_command
from tl_core.runs.files import SPLIT_FILE


@dataclass(frozen=True)
class Format:
    """One format of an exported model.

    Args:
        name: as on the command line.
        title: as in the studio.
        files: model files and folders it consists of.
        purpose: what it is for, one sentence.
        runtime: what opens it.
        write: puts ``files`` into :attr:`Writing.folder`; runs in a child process.
        requirements: what its ``predict.py`` needs beside Pillow and NumPy, as pip names.
        packages: modules that writing needs and that are not always installed.
        extra: the optional extra of this package that brings them.
        open_code: the part of ``predict.py`` that opens the model; see
            :mod:`tl_core.export.predict_script`. None for formats without a ``predict.py``, which
            then are not compared with the app either.
        precision: of the weights.
        has_examples: whether photos of the test part can go along, for visitors to try.
        is_page: whether it is a web page to publish rather than a model to open in a program.
        input_dtype: what its model takes.
        use: how it is used, in Markdown; empty for what every model's card says.
        space: lines of a Hugging Face Space's front matter; empty for that of a model.
        rejection: what applies "none of these"; empty where only its second limit can be.
    """

    name: str
    title: str
    files: tuple[str, ...]
    purpose: str
    runtime: str
    write: Callable[[Writing], None]
    requirements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str = ""
    open_code: str | None = None
    precision: Precision = "float32"
    has_examples: bool = False
    is_page: bool = False
    input_dtype: InputType = "uint8"
    use: str = ""
    space: tuple[str, ...] = ()
    rejection: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that writing needs and that are not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)

    @property
    def is_available(self) -> bool:
        """Whether it can be written here."""
        return not self.missing

    @property
    def install_command(self) -> str:
        """The command that brings the packages it needs; empty where it needs none."""
        return install_command(self.extra) if self.extra else ""


_WEB = Format(
    name="web",
    title="Web page",
    files=web_folder.PAGE_FILES,
    purpose="Share it as a link: it answers in the visitor's browser, with photos and camera.",
    runtime="any current browser",
    write=web_folder.write_web,
    precision="float16",
    has_examples=True,
    is_page=True,
    use=web_folder.USE,
    space=web_folder.SPACE,
    rejection="The page applies both limits.",
)

_ROWS = (
    _WEB,
    replace(
        _WEB,
        name="web-int8",
        title="Web page, 8 bit",
        purpose="The same page with a smaller download and nearly the same probabilities.",
        write=web_folder.write_web_int8,
        precision="int8_weights",
    ),
    Format(
        name="bundle",
        title="Bundle",
        files=(BACKBONE_FILE, HEAD_FILE),
        purpose="For another studio: opened on its Classify page with “Import a model”.",
        runtime="this studio, or LiteRT and NumPy",
        write=writers.write_bundle,
        requirements=("ai-edge-litert>=2.0", "safetensors>=0.6"),
        open_code=predict_script.BUNDLE,
        rejection="The studio applies both limits to a bundle, `predict.py` the second alone.",
    ),
    Format(
        name="streamlit",
        title="Streamlit app",
        files=(BACKBONE_FILE, HEAD_FILE, viewer_folder.APP_FILE, "ui", "tl_core"),
        purpose="A small app that only classifies, for Streamlit Community Cloud or Docker.",
        runtime="Streamlit, without TensorFlow",
        write=viewer_folder.write_streamlit,
        requirements=viewer_folder.REQUIREMENTS,
        open_code=predict_script.BUNDLE,
        has_examples=True,
        use=viewer_folder.USE,
        space=viewer_folder.SPACE,
        rejection="The app applies both limits, `predict.py` the second alone.",
    ),
    Format(
        name="docker",
        title="HTTP service",
        files=(BACKBONE_FILE, HEAD_FILE, docker.DOCKER_FILE, "tl_core"),
        purpose="Answer other programs over HTTP, in a container or as a process.",
        runtime="Docker, or Python without TensorFlow",
        write=docker.write_docker,
        requirements=docker.REQUIREMENTS,
        open_code=predict_script.BUNDLE,
        use=docker.USE,
        rejection="The service applies both limits, `predict.py` the second alone.",
    ),
    Format(
        name="keras",
        title="Keras",
        files=(writers.KERAS_FILE,),
        purpose="Continue in Python: inspect, change or train the model further.",
        runtime="Keras 3 with any of its back ends",
        write=writers.write_keras,
        input_dtype="float32",
        requirements=("tensorflow>=2.16", "keras>=3.15.1"),
        open_code=predict_script.KERAS,
    ),
    Format(
        name="savedmodel",
        title="SavedModel",
        files=(writers.SAVED_MODEL_DIR,),
        purpose="Serve the model with TensorFlow Serving, Vertex AI or another TensorFlow program.",
        runtime="TensorFlow 2",
        write=writers.write_saved_model,
        requirements=("tensorflow>=2.16",),
        open_code=predict_script.SAVED_MODEL,
    ),
    Format(
        name="litert",
        title="LiteRT",
        files=(writers.LITERT_FILE,),
        purpose="Phones, Raspberry Pi and small servers, with exactly the app's probabilities.",
        runtime="LiteRT (TensorFlow Lite)",
        write=writers.write_litert,
        requirements=("ai-edge-litert>=2.0",),
        open_code=predict_script.LITERT,
    ),
    Format(
        name="litert-float16",
        title="LiteRT, 16 bit",
        files=(writers.LITERT_FILE,),
        purpose="Half the size of LiteRT with nearly the same probabilities.",
        runtime="LiteRT (TensorFlow Lite)",
        write=writers.write_litert_float16,
        requirements=("ai-edge-litert>=2.0",),
        open_code=predict_script.LITERT,
        precision="float16",
    ),
    Format(
        name="litert-int8",
        title="LiteRT, 8 bit",
        files=(writers.LITERT_FILE,),
        purpose="A quarter of the size and the fastest on CPUs and microchips, less exact.",
        runtime="LiteRT (TensorFlow Lite)",
        write=writers.write_litert_int8,
        requirements=("ai-edge-litert>=2.0",),
        open_code=predict_script.LITERT,
        precision="int8",
    ),
    Format(
        name="onnx",
        title="ONNX",
        files=(writers.ONNX_FILE,),
        purpose="One file for most runtimes and languages: C#, Java, C++, Rust, Python.",
        runtime="ONNX Runtime",
        write=writers.write_onnx,
        requirements=("onnxruntime>=1.20",),
        open_code=predict_script.ONNX,
        packages=("tf2onnx", "onnx", "onnxruntime"),
        extra="onnx",
    ),
    Format(
        name="openvino",
        title="OpenVINO",
        files=writers.OPENVINO_FILES,
        purpose="The fastest on Intel processors.",
        runtime="OpenVINO",
        write=writers.write_openvino,
        requirements=("openvino>=2025.0",),
        open_code=predict_script.OPENVINO,
        packages=("openvino",),
        extra="openvino",
    ),
    Format(
        name="notebook",
        title="Notebook",
        files=(notebook_folder.NOTEBOOK_FILE, SPLIT_FILE, REQUIREMENTS_FILE),
        purpose="Read, change and train the run again in plain Keras, on the same split.",
        runtime="Jupyter and Keras 3 with TensorFlow",
        write=notebook_folder.write_notebook,
        use=notebook_folder.USE,
        rejection="The notebook does not fit these limits.",
    ),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}


def get_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS)
        raise ConfigError(
            f"Expected a format out of {', '.join(FORMATS)}, received '{name}'.{hint}"
        )
    return FORMATS[name]
