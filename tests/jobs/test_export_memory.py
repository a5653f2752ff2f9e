"""What the processes that a job starts take of a demo's memory is counted before it begins."""

import numpy as np
import pytest
from demo_helpers import new_visitor, start_demo
from safetensors.numpy import save_file

from tl_core.config.training import TrainConfig
from tl_core.errors import MemoryLimitError
from tl_core.export.formats import FORMATS
from tl_core.features.engine_files import engine_path
from tl_core.head.model import METADATA_KEY
from tl_core.jobs import demo_limits
from tl_core.jobs.demo_limits import JobClock, check_may_queue
from tl_core.jobs.handlers import CLASSIFY, EVALUATE, EXPLORE, EXPORT, LABEL, MEASURE_SPEED
from tl_core.jobs.memory import EXPORTS, num_bytes_of
from tl_core.jobs.queue import Job
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import create_run

MB = 10**6
NUM_BACKBONE = 3_413_024  # weights of EfficientNet-Lite0


@pytest.fixture
def visitor(monkeypatch, tmp_path):
    """A visitor of a demo, with two photos."""
    a = new_visitor(start_demo(monkeypatch, tmp_path / "demo"))
    folder = a.datasets_dir / "pets" / "cat"
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"{number}.png").touch()
    convert(a)
    return a


def convert(visitor, side=224):
    """Have a converted backbone of that size."""
    path = engine_path("EfficientNetLite0", (side, side), "avg", visitor.cache_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def run_with(visitor, *fc_layers, **settings):
    config = TrainConfig(backbone="EfficientNetLite0", fc_layers=fc_layers, **settings)
    return create_run(visitor.runs_dir, config, visitor.datasets_dir / "pets")


def export_of(run, visitor, format_name):
    return {"run": visitor.relative(run.run_dir), "format": format_name}


def test_the_need_of_every_format_is_known():
    assert set(EXPORTS) == set(FORMATS)


def test_an_export_counts_its_processes_and_their_copies_of_the_weights(visitor):
    run = run_with(visitor, 1000)
    num_head = 1280 * 1000 + 1000 + 1000 * 2 + 2
    rows = 30 * 1280 * 4  # fifteen for each photo
    copies = 4 * (num_head + NUM_BACKBONE)
    for name, expected in (
        ("web", 28 * copies + 360 * MB),
        ("savedmodel", 6 * copies + 390 * MB),
        ("bundle", 2 * 4 * num_head + 230 * MB),
    ):
        assert num_bytes_of(visitor, EXPORT, export_of(run, visitor, name), None) == expected + rows


# MB measured beyond what a new worker holds, with heads of 256, 1024 + 1024 and 2600 + 2600
MEASURED = {
    "web": (690, 885, 1628),
    "web-int8": (718, None, 1675),
    "litert": (716, None, 1720),
    "litert-float16": (None, None, 1597),
    "litert-int8": (729, None, 1793),
    "savedmodel": (438, 454, 636),
    "keras": (418, None, 643),
    "notebook": (373, None, 436),
    "bundle": (213, None, 246),
    "streamlit": (None, None, 253),
    "docker": (None, None, 259),
}


@pytest.mark.parametrize("name", MEASURED)
def test_an_export_is_estimated_as_more_than_it_took(visitor, name):
    heads = ((256,), (1024, 1024), (2600, 2600))
    for layers, measured in zip(heads, MEASURED[name], strict=True):
        if measured is not None:
            payload = export_of(run_with(visitor, *layers), visitor, name)
            estimated = num_bytes_of(visitor, EXPORT, payload, None)
            assert measured * MB < estimated < measured * MB * 1.1 + 120 * MB


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_model_with_the_default_head_is_exported_in_every_format(visitor, name):
    payload = export_of(run_with(visitor, 256), visitor, name)
    check_may_queue(visitor, EXPORT, payload, is_unique=True)


@pytest.mark.parametrize("name", ["web", "litert", "onnx"])
def test_a_head_too_large_for_a_format_is_refused_with_one_that_needs_less(visitor, name):
    run = run_with(visitor, 2600, 2600)
    message = r"This export needs about 1\.9 GB of memory; 1\.3 GB are available .* FC layers\. .*"
    with pytest.raises(MemoryLimitError, match=message + r" Exported as Bundle it needs less\."):
        check_may_queue(visitor, EXPORT, export_of(run, visitor, name), is_unique=True)
    check_may_queue(visitor, EXPORT, export_of(run, visitor, "bundle"), is_unique=True)


def test_no_other_format_is_advised_where_none_needs_less(visitor, monkeypatch):
    monkeypatch.setenv("TL_DEMO_JOB_MEMORY_MB", "1100")
    payload = export_of(run_with(visitor, 256), visitor, "docker")
    with pytest.raises(MemoryLimitError, match=r"for the programs that convert the model\.$"):
        check_may_queue(visitor, EXPORT, payload, is_unique=True)


def test_no_format_is_advised_for_what_is_no_export(visitor, monkeypatch):
    monkeypatch.setenv("TL_DEMO_JOB_MEMORY_MB", "1100")
    with pytest.raises(MemoryLimitError, match=r"Choose fewer or narrower ones\.$"):
        check_may_queue(visitor, "train", {}, run_with(visitor, 2600, 2600).run_dir, is_unique=True)


# A head of 1.3 MB: 28 copies of 1.31 and 13.65 are 419.0 MB, with 360 and the rows 779.2.
@pytest.mark.parametrize(("held", "fits"), [(1520, True), (1521, False)])
def test_a_worker_that_holds_too_much_for_an_export_starts_again_first(
    visitor, monkeypatch, held, fits
):
    monkeypatch.setattr(demo_limits, "family_memory", lambda: held * MB)
    job = Job("1", EXPORT, export_of(run_with(visitor, 256), visitor, "web"), workspace=visitor)
    assert JobClock().has_room(job) is fits


def test_nothing_runs_beside_an_export_for_which_it_leaves_no_room(visitor, monkeypatch):
    held = [1500]
    monkeypatch.setattr(demo_limits, "family_memory", lambda: held[0] * MB)
    run, clock = run_with(visitor, 256), JobClock()
    clock.start(Job("1", EXPORT, export_of(run, visitor, "web"), workspace=visitor))
    payload = {"run": visitor.relative(run.run_dir), "part": "test", "data_dir": None}
    evaluation = Job("2", EVALUATE, payload, workspace=visitor)  # some MB
    assert clock.fits_beside(evaluation, "1")
    held[0] = 1600
    clock = JobClock()
    clock.start(Job("1", EXPORT, export_of(run, visitor, "web"), workspace=visitor))
    assert not clock.fits_beside(evaluation, "1")


def test_a_backbone_that_is_not_converted_yet_is_counted_once(visitor):
    run = run_with(visitor, image_size=(320, 320))
    jobs = [
        (LABEL, {"data_dir": "datasets/pets", "config": {"image_size": [320, 320]}}, None),
        (EVALUATE, {"run": visitor.relative(run.run_dir), "data_dir": None}, None),
        (CLASSIFY, {"model": visitor.relative(run.run_dir), "photos": "datasets/pets"}, None),
        ("train", {}, run.run_dir),
    ]
    assert {num_bytes_of(visitor, *job) for job in jobs} == {450 * MB}  # then it needs less
    large = export_of(run, visitor, "web")
    before = num_bytes_of(visitor, EXPORT, large, None)
    convert(visitor, 320)
    assert max(num_bytes_of(visitor, *job) for job in jobs) < 10 * MB
    assert num_bytes_of(visitor, EXPORT, large, None) == before  # what it does later is more


def test_the_speed_of_a_backbone_that_is_not_converted_yet_needs_memory(visitor):
    payload = {"backbone": "EfficientNetLite0"}
    assert num_bytes_of(visitor, MEASURE_SPEED, payload, None) == 0
    engine_path("EfficientNetLite0", (224, 224), "avg", visitor.cache_dir).unlink()
    assert num_bytes_of(visitor, MEASURE_SPEED, payload, None) == 450 * MB


def test_the_process_that_lays_out_the_map_is_counted(visitor):
    payload = {"data_dir": "datasets/pets", "config": {}}
    rows = (3 * 2 + 30) * 1280 * 4
    assert num_bytes_of(visitor, EXPLORE, payload, None) == rows + 150 * MB


@pytest.mark.parametrize("facts", [None, "{"], ids=["no weights", "no facts"])
def test_weights_that_cannot_be_read_end_no_worker(visitor, facts):
    run = run_with(visitor)
    path = run.run_dir / WEIGHTS_FILE
    path.write_bytes(b"no weights")
    if facts is not None:
        save_file({"values": np.zeros(1, np.float32)}, path, {METADATA_KEY: facts})
    payload = {"run": visitor.relative(run.run_dir), "data_dir": None}
    assert num_bytes_of(visitor, EVALUATE, payload, None) is None
