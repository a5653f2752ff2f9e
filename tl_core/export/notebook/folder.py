"""Writing the folder of a notebook that trains a run again, without this package.

notebook.ipynb    reads the photos, splits them as the run did, trains, and evaluates
split.csv         which photo is in which part, by its path in the data folder
backbone.keras    the pretrained network, where Keras has no download of it
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from tl_core.backbones.api import get_backbone, resolve_image_size
from tl_core.backbones.build import build_base_model
from tl_core.backbones.cut import split_at
from tl_core.export.notebook.cells import Plan, make_cells
from tl_core.export.predict_script import REQUIREMENTS_FILE
from tl_core.export.writers import Writing
from tl_core.files import write_text
from tl_core.runs.files import SPLIT_FILE

if TYPE_CHECKING:
    import keras

NOTEBOOK_FILE = "notebook.ipynb"
BACKBONE_FILE = "backbone.keras"
REQUIREMENTS = (
    "tensorflow>=2.16",
    "keras>=3.15.1",
    "pillow>=12",
    "numpy>=1.26",
    "matplotlib>=3.8",
    "jupyterlab>=4",
)
USE = """\
## Use

The run in plain Keras, to read, change and train again: it reads the photos, splits them as the run
did, trains the layers, and measures them on the test part.

```
pip install -r requirements.txt
jupyter lab notebook.ipynb
```

Set `DATA_DIR` in its first cell to the folder of the photos. `split.csv` names each photo and its
part; leave it beside the notebook."""


def write_notebook(writing: Writing) -> None:
    """Write the notebook of a run."""
    folder, run = writing.folder, writing.run
    config, size = run.config, resolve_image_size(run.config)
    backbone = get_backbone(config.backbone)
    base = build_base_model(backbone.name, size)
    module = ""
    if backbone.weights == "imagenet":
        import keras

        module = getattr(keras.applications, backbone.name).__module__.rpartition(".")[2]
    else:
        base.save(folder / BACKBONE_FILE)
    num_layers = num_trained_layers(base, config.fine_tune_blocks)
    plan = Plan(config, writing.info, module, BACKBONE_FILE, num_layers)
    shutil.copyfile(run.run_dir / SPLIT_FILE, folder / SPLIT_FILE)
    write_text(folder / NOTEBOOK_FILE, notebook_json(make_cells(plan)))
    write_text(folder / REQUIREMENTS_FILE, "\n".join(REQUIREMENTS) + "\n")


def num_trained_layers(base: keras.Model, num_blocks: int) -> int:
    """Return how many layers at the end of a backbone hold its top blocks."""
    if num_blocks == 0:
        return 0
    _, trainable_part = split_at(base, num_blocks)
    trained = {layer.name for layer in trainable_part.layers}
    first = next(
        place for place, layer in enumerate(base.layers) if layer.name in trained and layer.weights
    )
    return len(base.layers) - first


def notebook_json(cells: list[tuple[str, str]]) -> str:
    """Return cells, each ``"markdown"`` or ``"code"`` and its text, as a Jupyter notebook."""
    return json.dumps(
        {
            "cells": [_cell(number, *cell) for number, cell in enumerate(cells)],
            "metadata": {
                "kernelspec": {
                    "display_name": "Python 3",
                    "language": "python",
                    "name": "python3",
                },
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    )


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    more: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    lines = text.strip("\n").splitlines(keepends=True)
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": lines, **more}
