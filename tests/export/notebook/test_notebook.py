"""The notebook trains a run again without this package, as well as the run was trained."""

import json
import os
import subprocess
import sys

import pytest
from made_export import make_export_run

from tl_core.config.training import AugmentConfig
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.export.model_info import describe_run
from tl_core.export.notebook.cells import left_out
from tl_core.export.notebook.folder import notebook_json, write_notebook
from tl_core.export.writers import Writing

# Runs the code of a notebook's cells one after the other, as Jupyter does, and prints what the
# test looks at. matplotlib is not among this project's packages.
EXECUTE = """
import json, sys
from unittest import mock
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("tl_core", "ui"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
axes = mock.MagicMock(), mock.MagicMock()
plt = mock.MagicMock(subplots=lambda *_, **__: (mock.MagicMock(), axes))
sys.modules["matplotlib"], sys.modules["matplotlib.pyplot"] = mock.MagicMock(pyplot=plt), plt
names = {"__name__": "__main__"}
for cell in json.load(open("notebook.ipynb", encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), names)
import keras, numpy as np
def statistics(model):
    return {one.path: np.array(one) for one in model.variables if "moving" in one.path}
before, after = statistics(keras.saving.load_model("backbone.keras")), statistics(names["backbone"])
images = names["test"][0]
answers = [one.predict(images) for one in (names["model"], keras.saving.load_model("model.keras"))]
print(json.dumps({
    "statistics": len(before),
    "statistics_kept": all(np.array_equal(before[path], after[path]) for path in before),
    "saved_answers_alike": bool(np.array_equal(*answers)),
    "accuracy": names["accuracy"],
    "photos": [len(names[part][0]) for part in ("train", "val", "test")],
    "epochs": len(names["history"]["val_loss"]),
    "trained": sum(bool(layer.trainable_weights) for layer in names["backbone"].layers),
    "lines": axes[0].plot.call_count + axes[1].plot.call_count,
}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(
        tmp_path_factory.mktemp("made"),
        fc_layers=(16,),
        dropout=0.1,
        learning_rate=0.01,
        batch_size=8,
        epochs=12,
        augment=AugmentConfig(horizontal_flip=True, rotation=5),
        fine_tune_blocks=1,
        fine_tune_epochs=2,
    )


@pytest.fixture(scope="module")
def interval(run):
    return evaluate_run(run.run_dir, cache_dir=run.workspace.cache_dir).to_dict()["interval"]


@pytest.fixture(scope="module")
def folder(run, interval, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    metrics = {"part": "test", "num_images": 9, "accuracy": 1.0, "interval": interval}
    write_notebook(Writing(run, describe_run(run, metrics), folder, run.workspace.cache_dir))
    return folder


def cells(folder, kind):
    notebook = json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))
    return ["".join(one["source"]) for one in notebook["cells"] if one["cell_type"] == kind]


def test_it_trains_the_run_again_and_is_as_good(run, interval, folder):
    done = subprocess.run(
        [sys.executable, "-P", "-c", EXECUTE],
        cwd=folder,
        env={**os.environ, "DATA_DIR": str(run.data_dir), "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert interval[0] <= found["accuracy"] <= interval[1]
    assert found["photos"] == [18, 9, 9]
    assert found["epochs"] == 12 + 2
    assert found["trained"] == 2  # convolution and normalisation of the top block
    assert found["lines"] == 4
    assert found["statistics"] > 0
    assert found["statistics_kept"]  # fine-tuning as in the run: BatchNorm as in inference
    assert found["saved_answers_alike"]
    assert (folder / "model.keras").stat().st_size > 0


def test_it_is_a_notebook_without_a_path_of_this_machine(run, folder):
    notebook = json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert not any("outputs" in cell for cell in notebook["cells"] if cell["cell_type"] != "code")
    for name in ("notebook.ipynb", "split.csv", "requirements.txt"):
        assert str(run.data_dir) not in (folder / name).read_text(encoding="utf-8")
    assert "tl_core" not in "".join(cells(folder, "code"))


def test_it_says_what_the_run_reached(folder, interval):
    title = cells(folder, "markdown")[0]
    assert "right on 100.0 % of 9 test photos" in title
    assert f"{100 * interval[0]:.1f}" in title


def test_names_of_classes_are_data_and_no_code(run, tmp_path):
    info = describe_run(run).model_copy(update={"class_names": ('a"""b', "'); x = 1 #", "ü")})
    write_notebook(Writing(run, info, tmp_path, run.workspace.cache_dir))
    names = {}
    exec(next(line for line in cells(tmp_path, "code")[0].splitlines() if "CLASS_" in line), names)
    assert tuple(names["CLASS_NAMES"]) == info.class_names


def test_what_is_not_repeated_is_named(run):
    assert left_out(run.config) == []
    config = run.config.updated(mixup=0.2, sampling="balanced")
    assert left_out(config) == ["sampling classes equally often", "mixup"]


def test_a_cell_of_text_has_no_outputs():
    (text, code) = json.loads(notebook_json([("markdown", "# A"), ("code", "a = 1\nb = 2")]))[
        "cells"
    ]
    assert text == {"cell_type": "markdown", "id": "cell-0", "metadata": {}, "source": ["# A"]}
    assert code["source"] == ["a = 1\n", "b = 2"]
    assert code["outputs"] == []
