"""The pipeline: every job computed once, in whatever order, and an end that comes at once."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np
import pytest

from tl_core.errors import ImageError, Stopped
from tl_core.features import pipeline
from tl_core.features.engine import EnginePool
from tl_core.features.pipeline import Job, run_pipeline
from tl_core.progress import Monitor


class FakeEngine:
    """Its features are an image's first number and the number of the call."""

    feature_dim = 2

    def __init__(self, batch_size: int = 1) -> None:
        self.batch_size = batch_size
        self.batches: list[int] = []

    def run(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        features = np.zeros((len(images), 2), np.float32)
        features[:, 0] = images[:, 0, 0, 0]
        return features


class HangingEngine(FakeEngine):
    """Computes nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.is_running, self.may_end = threading.Event(), threading.Event()

    def run(self, images: np.ndarray) -> np.ndarray:
        self.is_running.set()
        self.may_end.wait(300)
        return super().run(images)


def ready(engine: FakeEngine) -> Future[EnginePool]:
    future: Future[EnginePool] = Future()
    future.set_result(EnginePool.of(engine))
    return future


def load(job: Job) -> np.ndarray:
    return np.full((2, 2, 3), job.number, np.uint8)


def make_view(job: Job, image: np.ndarray, view: int) -> np.ndarray:
    return image + np.uint8(10 * view)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("num_workers", [1, 3])
def test_each_job_gets_the_features_of_its_own_views(batch_size: int, num_workers: int) -> None:
    jobs = [Job(number, (0, 2) if number % 3 else (1,)) for number in range(11)]
    found: dict[int, list[float]] = {}

    def on_result(job: Job, features: np.ndarray | None) -> None:
        assert features is not None
        assert job.number not in found
        found[job.number] = features[:, 0].tolist()

    run_pipeline(jobs, load, make_view, ready(FakeEngine(batch_size)), num_workers, on_result)
    assert found == {job.number: [job.number + 10 * view for view in job.views] for job in jobs}


def test_images_are_gathered_into_the_batches_an_engine_wants() -> None:
    engine = FakeEngine(batch_size=4)
    jobs = [Job(number) for number in range(10)]
    run_pipeline(jobs, load, make_view, ready(engine), 1, lambda job, features: None)
    assert engine.batches == [4, 4, 2]


def test_a_job_without_pixels_is_handed_on_without_features() -> None:
    outcomes: dict[int, bool] = {}
    run_pipeline(
        [Job(0), Job(1)],
        lambda job: load(job) if job.number else None,
        make_view,
        ready(FakeEngine()),
        2,
        lambda job, features: outcomes.update({job.number: features is not None}),
    )
    assert outcomes == {0: False, 1: True}


def test_lanes_decode_ahead_while_the_engines_are_made() -> None:
    engines: Future[EnginePool] = Future()
    loaded: list[int] = []
    results: list[int] = []

    def load_and_note(job: Job) -> np.ndarray:
        loaded.append(job.number)
        if len(loaded) == 6:
            threading.Timer(0.1, engines.set_result, [EnginePool.of(FakeEngine())]).start()
        return load(job)

    jobs = [Job(number) for number in range(6)]
    run_pipeline(
        jobs, load_and_note, make_view, engines, 2, lambda job, features: results.append(job.number)
    )
    assert sorted(results) == list(range(6))


STOPPED = Monitor(None, lambda: True)


def end_of_lanes() -> None:
    """Wait for the workers to end; it is for a good while, should they not."""
    for thread in threading.enumerate():
        if thread.name.startswith("features-"):
            thread.join(300)
            assert not thread.is_alive()


def test_a_stop_is_heard_even_while_the_engines_are_made() -> None:
    never: Future[EnginePool] = Future()
    with pytest.raises(Stopped):
        run_pipeline([Job(0)], load, make_view, never, 2, lambda job, features: None, STOPPED)
    end_of_lanes()


def test_a_stop_waits_neither_for_the_views_that_are_left_nor_for_an_engine_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "_JOIN_SECONDS", 0.01)
    engine = HangingEngine()
    jobs = [Job(number, tuple(range(20))) for number in range(4)]
    results: list[int] = []
    with pytest.raises(Stopped):
        run_pipeline(
            jobs,
            load,
            make_view,
            ready(engine),
            2,
            lambda job, features: results.append(job.number),
            Monitor(None, engine.is_running.is_set),
        )
    engine.may_end.set()
    end_of_lanes()
    assert len(engine.batches) <= 2  # the one that each worker was at, of the 80 wanted
    assert results == []


def test_what_a_lane_raises_is_raised_to_the_caller() -> None:
    def fail(job: Job) -> np.ndarray:
        raise ImageError("no picture")

    with pytest.raises(ImageError, match="no picture"):
        run_pipeline([Job(0)], fail, make_view, ready(FakeEngine()), 2, lambda job, features: None)


def test_engines_that_cannot_be_had_are_an_error_for_the_caller() -> None:
    engines: Future[EnginePool] = Future()
    engines.set_exception(ImageError("no engine"))
    with pytest.raises(ImageError, match="no engine"):
        run_pipeline([Job(0)], load, make_view, engines, 2, lambda job, features: None)


def test_what_on_result_raises_ends_the_lanes() -> None:
    def fail(job: Job, features: np.ndarray | None) -> None:
        raise OSError("disk full")

    before = threading.active_count()
    with pytest.raises(OSError, match="disk full"):
        run_pipeline([Job(n) for n in range(50)], load, make_view, ready(FakeEngine()), 2, fail)
    assert threading.active_count() == before
