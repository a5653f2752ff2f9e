"""The verdict on a training, from curves written by hand."""

from __future__ import annotations

import pytest

from tl_core.config.training import TrainConfig
from tl_core.evaluation.verdict import CUTMIX_FROZEN, read_history
from tl_core.training.checkpoints import EpochResult

CONFIG = TrainConfig(epochs=10, dropout=0.25)
COUNTS = {"num_images": {"val": 50}}


def curve(val_losses, losses=None, accuracy=0.9, val_accuracy=0.9, phase="head"):
    """Return epochs with these losses; those of training fall evenly where none are given."""
    losses = losses or [1 / (1 + number) for number in range(len(val_losses))]
    return [
        EpochResult(phase, number, loss, accuracy, val_loss, val_accuracy, 0.001, 1.0)
        for number, (loss, val_loss) in enumerate(zip(losses, val_losses, strict=True))
    ]


def read(history, config=CONFIG, **metrics):
    return [(one.kind, one.text) for one in read_history(history, config, COUNTS | metrics)]


FALL_AND_RISE = [1.0, 0.6, 0.4, 0.5, 0.6, 0.7, 0.7, 0.8, 0.8, 0.9]


def test_a_validation_loss_that_rises_again_is_overfitting_from_the_epoch_after_the_lowest():
    ((kind, text),) = read(curve(FALL_AND_RISE))
    assert kind == "hint"
    assert text == (
        "It overfits from epoch 4: the validation loss rises from 0.400 to 0.900, while the "
        "training loss goes on falling. More photos, augmentation, more dropout than 0.25 or "
        "weight decay can help; the weights of epoch 3 are kept."
    )


def test_only_what_is_not_used_yet_is_proposed():
    config = CONFIG.updated(dropout=0.5, weight_decay=0.01, augment="photo", views=3)
    ((_, text),) = read(curve(FALL_AND_RISE), config)
    assert "falling. More photos can help;" in text


@pytest.mark.parametrize(
    ("val_losses", "losses"),
    [
        ([1.0, 0.5, 0.4, 0.43, 0.42, 0.43], None),  # rises by less than a tenth
        ([1.0, 0.8, 0.7, 0.4, 0.6, 0.9], None),  # two epochs may be chance
        ([1.0, 0.5, 0.4, 0.6, 0.8, 0.9], [1.0, 0.6, 0.3, 0.4, 0.5, 0.6]),  # training gets worse too
    ],
)
def test_no_other_rise_is_called_overfitting(val_losses, losses):
    ((kind, text),) = read(curve(val_losses, losses))
    assert kind == "good"
    assert text.startswith("Trained without overfitting")


def test_an_early_end_says_why():
    config = CONFIG.updated(epochs=60, early_stopping=2)
    told = read(curve([1.0, 0.5, 0.4, 0.42, 0.41]), config)
    text = (
        "Stopped early at epoch 5 of 60, because the validation loss had not fallen for 2 epochs "
        "(the setting Early stopping). The weights of epoch 3 are kept."
    )
    assert told == [("info", text)]
    assert read(curve([1.0, 0.5, 0.4]), config)[0][1].startswith("Trained")  # stopped by hand


def test_a_gap_beyond_chance_is_told_and_one_within_it_is_not():
    falling = [1.0, 0.8, 0.7, 0.69]
    # 44 of 50 right: the 95 % interval ends at 94.4 %.
    ((kind, text),) = read(curve(falling, accuracy=1.0, val_accuracy=0.88))
    assert kind == "hint"
    assert "100.0 % of them are right, 88.0 % of the validation photos" in text
    ((kind, _),) = read(curve(falling, accuracy=0.93, val_accuracy=0.8), num_images={"val": 10})
    assert kind == "good"


def test_a_loss_that_still_falls_asks_for_more_epochs():
    told = read(curve([1.0, 0.9, 0.8, 0.7, 0.6]), CONFIG.updated(epochs=5))
    assert told == [
        (
            "hint",
            "It was still improving in its last epoch: the validation loss fell to 0.600. More "
            "epochs than 5 can help.",
        )
    ]


def test_a_training_loss_that_hardly_falls_asks_for_another_rate():
    ((kind, text),) = read(curve([1.4] * 5, [1.4, 1.39, 1.38, 1.4, 1.38], accuracy=0.3))
    assert kind == "hint"
    assert text.startswith("It hardly learned: the training loss went from 1.400 to 1.380.")
    assert "than 0.001" in text


TUNED = CONFIG.updated(fine_tune_blocks=3)


def test_fine_tuning_that_never_beats_the_head_says_why_it_did_not_help():
    history = curve([1.0, 0.5, 0.4]) + curve([0.5, 0.6, 0.7, 0.8], phase="fine_tune")
    first, *_ = read(history, TUNED, best_phase="head")
    assert first == (
        "hint",
        "Fine-tuning did not help: no epoch of it has a lower validation loss than 0.400 before, "
        "so those weights are kept. Probably the validation loss rose from its first epoch on: "
        "lower its learning rate or fine-tune fewer blocks.",
    )


@pytest.mark.parametrize(
    ("after", "kind", "told"),
    [
        (0.98, "good", "raised the accuracy by 18.0 points on 50 validation photos."),
        (0.84, "info", "by 4.0 points on 50 validation photos, which may be chance on so few."),
        (0.80, "info", "lowered the validation loss from 0.400 to 0.200 and got no more photos"),
    ],
)
def test_fine_tuning_that_helped_says_how_much_and_whether_that_is_chance(after, kind, told):
    tuned = curve([0.3, 0.25, 0.2, 0.2], accuracy=after, val_accuracy=after, phase="fine_tune")
    history = curve([1.0, 0.5, 0.4], val_accuracy=0.8) + tuned
    first, *_ = read(history, TUNED, best_phase="fine_tune")
    # 40 of 50 right: the 95 % interval ends at 88.8 %.
    assert first[0] == kind
    assert told in first[1]


def test_cutmix_on_a_frozen_backbone_is_noted():
    assert ("info", CUTMIX_FROZEN) in read(curve([1.0, 0.5, 0.4, 0.4]), CONFIG.updated(cutmix=1))
    assert ("info", CUTMIX_FROZEN) not in read(
        curve([1.0, 0.5, 0.4, 0.4]), TUNED.updated(cutmix=1), best_phase="head"
    )


def test_very_few_epochs_are_not_judged_and_none_say_nothing():
    ((kind, text),) = read(curve([1.0, 0.5]))
    assert (kind, text) == ("info", "Only 2 epochs: too few to judge by.")
    assert read([]) == []
