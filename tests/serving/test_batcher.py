"""Images of several requests share threads and batches, and take turns."""

import pytest
from made_service import FakeModel, wait_until

from tl_core.errors import ImageError
from tl_core.serving.batcher import Batcher, Work
from tl_core.serving.refusal import Refusal


@pytest.fixture
def done():
    return []


def computing(work, max_queue):
    """Return a model that computes the first image of ``work`` and stays there, and its batcher."""
    model = FakeModel()
    model.may_compute.clear()
    batcher = Batcher(model, max_queue=max_queue, max_megapixels=1)
    batcher.submit(work)
    assert model.started.acquire(timeout=60)
    return model, batcher


def test_requests_take_turns(done):
    model, batcher = computing(
        Work([b"large 0", b"large 1", b"large 2"], done.append), max_queue=10
    )
    batcher.submit(Work([b"small"], done.append))
    model.may_compute.set()
    wait_until(lambda: len(done) == 2)
    batcher.stop()
    assert model.seen == [b"large 0", b"large 1", b"small", b"large 2"]


def test_as_long_as_images_wait_a_few_are_answered_together(done):
    model = FakeModel()
    model.may_compute.clear()
    batcher = Batcher(model, max_queue=10, max_megapixels=1)
    for number in range(6):
        batcher.submit(Work([bytes([number])], done.append))
    model.may_compute.set()
    wait_until(lambda: len(done) == 6)
    batcher.stop()
    assert model.batches == [4, 2]


def test_a_cancelled_request_that_waits_holds_up_no_answer(done):
    model, batcher = computing(Work([b"a"], done.append), max_queue=10)
    cancelled = Work([b"b"], done.append)
    batcher.submit(cancelled)
    cancelled.cancel()
    model.may_compute.set()
    wait_until(lambda: len(done) == 1)
    batcher.stop()
    assert model.batches == [1]


def test_what_is_computed_while_another_thread_answers_is_answered_together(done, monkeypatch):
    monkeypatch.setattr("tl_core.serving.batcher.ANSWERED_TOGETHER", 1)
    model = FakeModel(num_workers=2)
    model.may_answer.clear()
    batcher = Batcher(model, max_queue=10, max_megapixels=1)
    for number in range(4):
        batcher.submit(Work([bytes([number])], done.append))
    wait_until(lambda: model.batches == [1] and len(batcher._computed) == 3)
    model.may_answer.set()
    wait_until(lambda: len(done) == 4)
    batcher.stop()
    assert model.batches == [1, 3]
    assert all(work.outcomes[0].top[0] == ("dog", 0.75) for work in done)


def test_an_unreadable_image_does_not_affect_the_others(done):
    model = FakeModel()
    features = model.features

    def compute(image, max_megapixels):
        if image == b"bad":
            raise ImageError("cannot be read")
        return features(image, max_megapixels)

    model.features = compute
    batcher = Batcher(model, max_queue=10, max_megapixels=1)
    batcher.submit(Work([b"good", b"bad", b"good"], done.append))
    wait_until(lambda: done)
    batcher.stop()
    kinds = [type(outcome).__name__ for outcome in done[0].outcomes]
    assert kinds == ["Prediction", "ImageError", "Prediction"]
    assert done[0].outcomes[1].__traceback__ is None  # whose frames would hold the image
    assert batcher.is_working


def test_a_cancelled_request_frees_its_places(done):
    model, batcher = computing(Work([b"running"], done.append), max_queue=3)
    cancelled = Work([b"a", b"b", b"c"], done.append)
    batcher.submit(cancelled)
    with pytest.raises(Refusal, match="3 images are waiting, at most 3 may"):
        batcher.submit(Work([b"no room"], done.append))
    cancelled.cancel()
    model.may_compute.set()
    wait_until(lambda: batcher.num_waiting == 0)
    batcher.submit(Work([b"next"], done.append))
    wait_until(lambda: len(done) == 2)
    batcher.stop()
    assert model.seen == [b"running", b"next"]


def test_a_stopped_batcher_answers_what_waits_and_takes_no_more(done):
    model = FakeModel()
    batcher = Batcher(model, max_queue=3, max_megapixels=1)
    batcher.submit(Work([b"a", b"b", b"c"], done.append))
    batcher.stop()
    assert len(done) == 1
    with pytest.raises(Refusal, match="is stopping"):
        batcher.submit(Work([b"late"], done.append))
