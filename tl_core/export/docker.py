"""Writing the folder of a container image that serves one run over HTTP.

Dockerfile.serve tl_core/               the service: the modules that it imports
requirements.txt                        what it needs; no TensorFlow
model.json backbone.tflite ...          the run, as in a bundle
README.md                               the model card, and how to build and run the image
"""

from __future__ import annotations

from tl_core.export.modules import copy_modules
from tl_core.export.writers import Writing, write_bundle
from tl_core.files import write_text

DOCKER_FILE = "Dockerfile.serve"
REQUIREMENTS = (
    "ai-edge-litert>=2.3,<2.4",
    "pydantic>=2.11,<3",
    "safetensors>=0.6,<1",
    "psutil>=7.0,<8",
    "filelock>=3.20.1,<5",
    "threadpoolctl>=3.5,<4",
    "typer>=0.20,<1",
    "fastapi>=0.160,<1",
    "uvicorn>=0.50,<0.60",
    "httptools>=0.7,<1",
    "prometheus-client>=0.23,<1",
    "python-multipart>=0.0.30,<0.1",
)
"""As in this project's own requirements; Pillow and NumPy come with ``predict.py``."""

USE = f"""\
## Use

An HTTP service with all that it needs, without TensorFlow. With Docker or Podman:

    docker build -f {DOCKER_FILE} -t classifier .
    docker run --rm -p 8000:8000 -e TL_API_KEY=SECRET classifier
    curl -H 'X-API-Key: SECRET' -F images=@photo.jpg http://127.0.0.1:8000/predict

<http://127.0.0.1:8000/docs> describes the interface; `/v2/...` speaks the Open Inference Protocol,
so that KServe's clients work. Without `TL_API_KEY` no key is asked for. Limits are set by
environment variables: `TL_SERVE_WORKERS` (images computed at the same time, one a core),
`TL_SERVE_MAX_BYTES`, `TL_SERVE_MAX_MEGAPIXELS`, `TL_SERVE_MAX_IMAGES`, `TL_SERVE_MAX_QUEUE`,
`TL_SERVE_MAX_CONNECTIONS`, `TL_SERVE_READ_SECONDS`, `TL_SERVE_STOP_SECONDS`. It runs as an ordinary
user and writes no files but temporary ones: `--read-only --tmpfs /tmp` works. SIGTERM ends it after
the running requests.

Without Docker, with Python 3.11 to 3.13:

    pip install -r requirements.txt
    python -m tl_core.cli.serve .

`python predict.py PHOTO...` answers on the command line."""

_ENTRIES = (
    "tl_core.cli.serve",
    "tl_core.serving.app",
    "tl_core.serving.logs",
    "tl_core.serving.server",
    "tl_core.data.images.decode_child",
    "tl_core.features.guarded_engine",
)
_DOCKER = f"""\
# docker build -f {DOCKER_FILE} -t classifier . && docker run --rm -p 8000:8000 classifier
FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 1000 --no-create-home service
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY tl_core tl_core
COPY model.json backbone.tflite head.safetensors known.safetensors* model/
RUN python -c "import tl_core.serving.app, tl_core.serving.server, ai_edge_litert.interpreter"
USER service
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", \\
  "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
ENTRYPOINT ["python", "-m", "tl_core.cli.serve", "model", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--quiet"]
"""


def write_docker(writing: Writing) -> None:
    """Write the service of a run, without its ``model.json``, ``requirements.txt`` and README.

    All of it is in the folder: nothing of this package has to be installed beside it.
    """
    write_bundle(writing)
    copy_modules(writing.folder, *_ENTRIES)
    write_text(writing.folder / DOCKER_FILE, _DOCKER)
