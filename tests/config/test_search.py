import itertools

import pytest

from tl_core.config.search import SweepConfig, draw_trials
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError

BASE = TrainConfig(epochs=7, weight_decay=0.01)


def test_a_grid_holds_every_combination_once():
    sweep = SweepConfig(
        search="grid",
        fc_layers=((8,), (8, 4)),
        dropout=(0.1, 0.2, 0.2),
        learning_rate=(0.01,),
    )
    tried = [(c.fc_layers, c.dropout, c.learning_rate) for c in draw_trials(sweep, BASE)]
    layers = ((8,), (8, 4))
    assert tried == [(width, dropout, 0.01) for width in layers for dropout in (0.1, 0.2)]


def test_without_fc_layers_dropout_makes_no_other_head():
    sweep = SweepConfig(search="grid", fc_layers=((), (8,)), dropout=(0.1, 0.2), learning_rate=())
    tried = [(c.fc_layers, c.dropout) for c in draw_trials(sweep, BASE)]
    assert tried == [((), BASE.dropout), ((8,), 0.1), ((8,), 0.2)]


def test_random_heads_are_of_the_grid_none_twice_and_by_the_seed_alone():
    grid = draw_trials(SweepConfig(search="grid"), BASE)
    drawn = draw_trials(SweepConfig(num_trials=20), BASE)
    assert len(drawn) == 20
    assert len(set(drawn)) == 20
    assert set(drawn) < set(grid)
    assert drawn == draw_trials(SweepConfig(num_trials=20), BASE)
    assert drawn != draw_trials(SweepConfig(num_trials=20, seed=1), BASE)
    assert draw_trials(SweepConfig(num_trials=20, learning_rate=(0.1,), dropout=(0.5,)), BASE)


def test_what_is_not_varied_stays_as_the_settings_have_it():
    for config in draw_trials(SweepConfig(num_trials=5), BASE):
        assert (config.epochs, config.weight_decay, config.backbone) == (
            7,
            0.01,
            "EfficientNetLite0",
        )


def test_heads_stop_early_unless_the_settings_have_a_patience_of_their_own():
    assert draw_trials(SweepConfig(num_trials=1), BASE)[0].early_stopping == 3
    patient = BASE.updated(early_stopping=9)
    assert draw_trials(SweepConfig(num_trials=1), patient)[0].early_stopping == 9


def test_heads_of_one_backbone_come_after_each_other():
    sweep = SweepConfig(num_trials=12, backbone=("tiny", "EfficientNetLite0"))
    names = [config.backbone for config in draw_trials(sweep, BASE)]
    assert set(names) == {"tiny", "EfficientNetLite0"}
    assert sum(one != other for one, other in itertools.pairwise(names)) == 1


def test_a_grid_without_bounds_is_refused_in_words():
    many = tuple(i / 1000 for i in range(1, 500))
    with pytest.raises(ConfigError, match="at most 1,000 combinations"):
        SweepConfig.create({"search": "grid", "learning_rate": many, "dropout": (0.1, 0.2)})


def test_settings_read_back_as_they_were_written():
    sweep = SweepConfig(fc_layers=((), (64, 32)), backbone=("tiny",), folds=5)
    assert SweepConfig.from_json(sweep.to_json()) == sweep


def test_only_the_heads_that_are_drawn_are_made(monkeypatch):
    """Each takes 0.1 ms and a few kB, and 100,000 combinations are allowed."""
    made = []
    updated = TrainConfig.updated

    def note(config, **changes):
        made.append(changes)
        return updated(config, **changes)

    monkeypatch.setattr(TrainConfig, "updated", note)
    many = tuple(number / 40 for number in range(36))
    sweep = SweepConfig(
        fc_layers=((), (8,)), dropout=many, learning_rate=many[1:], weight_decay=many[:20]
    )
    drawn = draw_trials(sweep, BASE)
    assert len(drawn) == len(set(drawn)) == sweep.num_trials
    assert len(made) == sweep.num_trials
