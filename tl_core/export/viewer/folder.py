"""Writing the folder of a Streamlit app that classifies with one run.

app.py ui/ tl_core/                     the app: the viewer and the modules that it imports
requirements.txt                        what it needs; no TensorFlow
.streamlit/config.toml Dockerfile       how hosts serve it
model.json backbone.tflite ...          the run, as in a bundle
README.md                               the model card, and what hosts need
"""

from __future__ import annotations

from tl_core.export.examples import write_examples
from tl_core.export.modules import copy_modules
from tl_core.export.writers import Writing, write_bundle
from tl_core.files import write_text
from tl_core.installation import app_path

APP_FILE, DOCKER_FILE, CONFIG_FILE = "app.py", "Dockerfile", ".streamlit/config.toml"
REQUIREMENTS = (
    "streamlit>=1.67,<1.68",
    "ai-edge-litert>=2.3,<2.4",
    "pydantic>=2.11,<3",
    "safetensors>=0.6,<1",
    "psutil>=7.0,<8",
    "filelock>=3.20.1,<5",
)
"""As in this project's own requirements; Pillow and NumPy come with ``predict.py``."""

SPACE = ("sdk: docker", "app_port: 8501")
USE = """\
## Use

A Streamlit app of its own: all that it needs is in this folder and in `requirements.txt`, without
TensorFlow. It reads photos exactly as in training and keeps none.

- **This machine**, with Python 3.11 to 3.13:

  ```
  pip install -r requirements.txt
  streamlit run app.py
  ```

- **Streamlit Community Cloud**: put the content of this folder at the top of a GitHub repository
  (only there its `.streamlit/config.toml` is read). Choose *Create app*, the repository and
  `app.py`, and Python 3.11 to 3.13 under *Advanced settings*. A file of more than 100 MB needs Git
  LFS. There is no `packages.txt`, because no system package is needed. An app without visitors
  falls asleep; the next visitor wakes it.
- **A Docker host**: `docker build -t classifier .`, then `docker run -p 8501:8501 classifier`. One
  processor and 512 MB of memory are enough for a few visitors; what each uploads is in memory until
  two minutes after the page was closed. Before strangers use it, put a proxy in front that lets
  WebSockets through and bounds how much and how often one address may send.

Browsers allow the camera only with https or on localhost. To show another model, set `TL_BUNDLE` to
the folder of one exported with `--format bundle`. `python predict.py PHOTO...` answers on the
command line."""

_ENTRIES = ("ui.viewer.page", "tl_core.features.guarded_engine")
_APP = '''\
"""A model that classifies photos, on a page. Start it with: streamlit run app.py"""

import os
from pathlib import Path

# TL_BUNDLE can name the folder of another bundle, exported with --format bundle.
os.environ.setdefault("TL_BUNDLE", str(Path(__file__).resolve().parent))

from ui.viewer.page import draw_viewer  # noqa: E402

draw_viewer()
'''
_CONFIG = """\
[server]
# Without a watcher the app starts faster; photos are small.
fileWatcherType = "none"
maxUploadSize = 20

[browser]
gatherUsageStats = false

[client]
showErrorDetails = "none"
toolbarMode = "minimal"

"""
_DOCKER = """\
# docker build -t classifier . && docker run -p 8501:8501 classifier
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 app
WORKDIR /app
COPY requirements.txt .
# Streamlit draws tables, charts and maps with the packages that are removed; this app draws none.
RUN pip install --no-cache-dir -r requirements.txt \\
  && pip uninstall -y pyarrow pydeck pandas altair
COPY --chown=app . .
USER app
EXPOSE 8501
HEALTHCHECK CMD ["python", "-c", "import urllib.request as web; \\
  web.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]
CMD ["streamlit", "run", "app.py", \\
  "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
"""


def write_streamlit(writing: Writing) -> None:
    """Write the app of a run, without its ``model.json``, ``requirements.txt`` and ``README.md``.

    All of it is in the folder: nothing of this package has to be installed beside it.
    """
    folder = writing.folder
    write_bundle(writing)
    write_examples(writing)
    copy_modules(folder, *_ENTRIES)
    write_text(folder / APP_FILE, _APP)
    write_text(folder / DOCKER_FILE, _DOCKER)
    write_text(folder / CONFIG_FILE, _CONFIG + _theme())


def _theme() -> str:
    """Return the studio's colours, which stand at the end of its configuration."""
    text = (app_path().parent / CONFIG_FILE).read_text(encoding="utf-8")
    return text[text.index("[theme]") :]
