"""The app in a temporary workspace, without a worker process and without waiting for drawings."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.proto.Common_pb2 import UploadedFileInfo
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner import script_runner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.state.common import user_key_from_element_id
from streamlit.testing.v1 import AppTest, element_tree, local_script_runner

from tl_core.config.training import TrainConfig
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.files import write_bytes, write_json, write_text
from tl_core.inference.predict import Prediction
from tl_core.jobs import training as training_jobs
from tl_core.jobs import worker_client
from tl_core.jobs.handlers import KINDS, JobContext
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor
from tl_core.runs.files import CLASSES_FILE, HISTORY_FILE, METRICS_FILE, WEIGHTS_FILE, end_run
from tl_core.runs.store import Run, create_run
from tl_core.workspace import ENVIRONMENT_NAME, Workspace
from ui.shared import page_layout
from ui.shared.controls import MARK

ROOT = Path(__file__).resolve().parents[1]
DATA, TRAIN, CLASSIFY = (f"pages/{name}.py" for name in ("1_Data", "2_Train", "3_Classify"))


def make_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """Return an empty workspace that the app will use; no worker is started in it."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.datasets_dir.mkdir(parents=True)
    monkeypatch.setenv(ENVIRONMENT_NAME, str(workspace.root))
    monkeypatch.setenv("TL_FOLDERS", str(tmp_path))
    for module in (training_jobs, worker_client):
        monkeypatch.setattr(module, "ensure_worker", lambda *args, **kwargs: None)
    return workspace


def work_at_once(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Have jobs of a kind done the moment they are asked for; others wait for ever."""

    def work(workspace: Workspace, **_: object) -> None:
        queue = JobQueue(workspace)
        for job in queue.jobs():
            if job.kind == kind:
                with suppress(Exception):  # the worker lives on, and the job keeps the reason
                    KINDS[kind].run(JobContext(workspace, job, Monitor()))
                queue.finish(job.id)

    monkeypatch.setattr(worker_client, "ensure_worker", work)


def sample_folder(workspace: Workspace) -> Path:
    """Return where the app expects the sample set; a test puts a small one there."""
    return workspace.datasets_dir / SAMPLE_NAME


# Which packages bring components does not change meanwhile, and looking through all that are
# installed takes longer than most pages.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


_wait_for_script = local_script_runner.require_widgets_deltas


def _join_script(runner: Any, timeout: float) -> None:
    """Wait for a page without asking for it a thousand times a second."""
    runner.join()  # pytest's time limit ends a wait in vain
    _wait_for_script(runner, timeout)


local_script_runner.require_widgets_deltas = _join_script

_compiled = ScriptCache()
_compile = ScriptCache.get_bytecode


def _compile_once(_: ScriptCache, script_path: str) -> Any:
    """Compile a page once for all tests; the app's server does so once for all its sessions."""
    return _compile(_compiled, script_path)


ScriptCache.get_bytecode = _compile_once

# After each run of a page Streamlit clears Keras' state and collects the garbage of the whole
# process, if Keras is loaded. The app's server never loads it; a process of these tests may have,
# and has so much else that this takes longer than most pages.
script_runner._clean_problem_modules = lambda: None

_valid_charts: set[str] = set()
_specification = page_layout.chart_specification


def _valid_specification(chart: Any) -> dict[str, Any]:
    """Check a chart against the schema of Vega-Lite, unless one that differs in data alone was."""
    chart_dict = _specification(chart)
    shape = re.sub(r'"data": \{"name": "[^"]*"\}', "", json.dumps(chart_dict, sort_keys=True))
    if shape not in _valid_charts:
        chart.validate(chart_dict)
        _valid_charts.add(shape)
    return chart_dict


page_layout.chart_specification = _valid_specification


def _name_of(element_id: str) -> str | None:
    """Return an element's key; a control that the app sets too goes by its name alone."""
    key = user_key_from_element_id(element_id)
    return None if key is None else key.partition(MARK)[0]


element_tree.user_key_from_element_id = _name_of


def open_page(
    page: str | None = None,
    *,
    dataset: str | None = None,
    run: str | None = None,
    **session: object,
) -> AppTest:
    """Open a page by its address.

    Args:
        page: its file; None for the home page.
        dataset: the id that the address names.
        run: likewise.
        session: the session's state, as it was left elsewhere.
    """
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    named = {"dataset": dataset, "run": run}
    at.query_params.update({name: value for name, value in named.items() if value is not None})
    for key, value in session.items():
        at.session_state[key] = value
    if page is not None:
        at.switch_page(page)
    return at.run()


def assert_sound(at: AppTest) -> None:
    """Assert that the page neither crashed nor shows the banner of a mistake or a bug."""
    assert not at.exception
    assert [error.value for error in at.error] == []


def element_ids(at: AppTest) -> dict[str, str]:
    """Return the ids of all widgets on the page, by their keys."""
    protos = [getattr(one, "proto", None) for one in at]
    found = [getattr(proto, "id", None) or "" for proto in protos]
    return {one.split("-", 2)[-1]: one for one in found if one.startswith("$$ID")}


def send(at: AppTest, *values: tuple[str, str, Any]) -> AppTest:
    """Send what no browser of a person would: (id of a widget, field, value), and run the page."""
    states = WidgetStates()
    for element_id, field, value in values:
        one = states.widgets.add(id=element_id)
        if field.endswith("_array_value"):
            getattr(one, field).SetInParent()
            getattr(one, field).data.extend(value)
        elif field in ("string_trigger_value", "chat_input_value"):
            getattr(one, field).data = value
        elif field == "arrow_value":
            one.arrow_value.SetInParent()
        elif field == "file_uploader_state_value":
            files = one.file_uploader_state_value.uploaded_file_info
            files.extend([UploadedFileInfo(file_id=name, name="a\0.exe") for name in value])
        else:
            setattr(one, field, value)
    return at._run(states)


def texts(at: AppTest) -> str:
    """Return everything that is said on the page in Markdown, captions and headings."""
    parts = [*at.markdown, *at.caption, *at.subheader, *at.title]
    return "\n".join(part.value for part in parts)


def unescaped(text: str) -> str:
    """Return text without the escapes that ``ui.shared.words.plain`` puts into it."""
    return re.sub(r"\\(.)", r"\1", text)


def grids(at: AppTest) -> list[Any]:
    """Return the grids of pictures on the page."""
    return [one for one in at.get("bidi_component") if "tile_grid" in one.proto.component_name]


def tiles(at: AppTest) -> list[dict[str, Any]]:
    """Return what the grid of pictures was given of each; "ticked" tells whether it is."""
    (grid,) = grids(at)
    data = json.loads(grid.proto.json)
    ticked = data["ticked"] or ()
    return [{**tile, "ticked": tile["path"] in ticked} for tile in data["tiles"]]


def finished_run(
    workspace: Workspace,
    data_dir: Path,
    *,
    class_names: tuple[str, ...] = ("cat", "dog"),
    name: str | None = None,
    test_accuracy: float | None = 0.9,
    num_epochs: int = 2,
    **settings: object,
) -> Run:
    """Return a finished run with figures and curves, but weights that are no weights."""
    config = TrainConfig.create({"backbone": "tiny", **settings})
    run = create_run(workspace.runs_dir, config, data_dir, name=name)
    write_json(run.run_dir / CLASSES_FILE, list(class_names))
    write_bytes(run.run_dir / WEIGHTS_FILE, b"")
    write_json(
        run.run_dir / METRICS_FILE,
        {
            "val_accuracy": 0.8,
            "val_interval": [0.6, 0.92],
            "test_accuracy": test_accuracy,
            "test_interval": None if test_accuracy is None else [0.755, 0.968],
            "best_epoch": 1,
            "num_images": {"train": 80, "val": 20, "test": 0 if test_accuracy is None else 40},
            "seconds": {"total": 3.2},
        },
    )
    lines = ["phase,epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds"]
    lines += [f"head,{epoch},0.{9 - epoch},0.7,0.5,0.8,0.001,0.1" for epoch in range(num_epochs)]
    write_text(run.run_dir / HISTORY_FILE, "\n".join(lines) + "\n")
    end_run(run.run_dir, "finished")
    return run


class FakePredictor:
    """Answers by the width of a photo, so that a test knows the answer without a network."""

    def __init__(self, class_names):
        self.class_names = class_names
        self.calls = []

    def predict(self, images, top_k, names, on_progress, should_stop):
        self.calls.append(list(names))
        return [self._answer(*pair) for pair in zip(images, names, strict=True)]

    def _answer(self, data, name):
        if data.startswith(b"no"):
            return Prediction(name, None, (), "It is no image: expected JPEG or PNG.")
        probabilities = np.full(len(self.class_names), 0.1 / (len(self.class_names) - 1))
        probabilities[1] = 0.9
        order = np.argsort(-probabilities, kind="stable")
        top = tuple((self.class_names[label], float(probabilities[label])) for label in order)
        return Prediction(name, probabilities.astype(np.float32), top)
