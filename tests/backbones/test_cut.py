import numpy as np
import pytest

from tl_core.backbones import blocks as tables
from tl_core.backbones.api import build_base_model, list_backbones
from tl_core.backbones.blocks import (
    Block,
    block_table,
    check_settings,
    num_trainable,
    recommended_blocks,
)
from tl_core.backbones.cut import depth_of_variables, list_blocks, split_at
from tl_core.backbones.finetuned_weights import set_backbone_weights, split_weights, variable_names
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, RunError


@pytest.fixture(scope="module")
def tiny():
    return build_base_model("tiny", (32, 32), "avg")


@pytest.fixture(scope="module")
def lite():
    return build_base_model("EfficientNetLite0", (64, 64))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)


def test_blocks_come_from_the_top_with_what_may_be_trained_in_them(tiny):
    # 3x3 kernels of 16 or 32 channels into 32, each with an offset and a scale; stem 3 into 16
    assert list_blocks(tiny) == [
        Block("block2a", 9 * 32 * 32 + 64),
        Block("block1a", 9 * 16 * 32 + 64),
        Block("stem", 9 * 3 * 16),
    ]


def test_a_block_is_never_split_and_residual_connections_stay_whole(lite):
    names = [block.name for block in list_blocks(lite)]
    assert names[:6] == ["top", "block7a", "block6d", "block6c", "block6b", "block6a"]
    assert names[-2:] == ["block1a", "stem"]
    assert len(names) == 18


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_trunk_and_top_together_are_the_backbone(tiny, pixels, num_blocks):
    frozen_part, top = split_at(tiny, num_blocks)
    np.testing.assert_allclose(top(frozen_part(pixels)), tiny(pixels), atol=1e-6)


def test_only_the_blocks_above_the_cut_are_trainable(tiny):
    for num_blocks, expected in ((1, 3), (3, 7), (2, 6)):
        frozen_part, top = split_at(tiny, num_blocks)
        assert frozen_part.trainable_variables == []
        assert len(top.trainable_variables) == expected


def test_the_statistics_of_batch_norm_are_never_trained(lite):
    _, top = split_at(lite, 3)
    names = {variable.name for variable in top.trainable_variables}
    assert names == {"kernel", "gamma", "beta"}


def test_more_blocks_than_there_are_is_refused(tiny):
    for num_blocks in (0, 4):
        with pytest.raises(ConfigError, match="expected 1 to 3"):
            split_at(tiny, num_blocks)


def test_listing_blocks_leaves_layers_frozen_as_they_were(tiny):
    split_at(tiny, 1)
    before = [layer.trainable for layer in tiny.layers]
    list_blocks(tiny)
    assert [layer.trainable for layer in tiny.layers] == before


def test_depth_counts_the_blocks_above(tiny):
    depths = depth_of_variables(tiny)
    by_layer = {layer.name: depths[id(layer.weights[0])] for layer in tiny.layers if layer.weights}
    assert by_layer["block2a_conv"] == by_layer["block2a_bn"] == 0
    assert by_layer["block1a_conv"] == 1
    assert by_layer["stem_conv"] == 2


# The table


@pytest.mark.parametrize("name", ["tiny", "EfficientNetLite0"])
def test_the_table_says_what_the_models_have(name, request):
    model = request.getfixturevalue("tiny" if name == "tiny" else "lite")
    assert list(block_table(name)) == list_blocks(model)


def test_the_table_knows_every_backbone():
    assert set(tables._read()) == {row.name for row in list_backbones(include_hidden=True)}
    for row in list_backbones():
        assert num_trainable(row.name, 200) <= row.num_params
        assert num_trainable(row.name, 200) > 0.97 * row.num_params


def test_what_is_recommended_holds_most_weights_but_not_all():
    assert recommended_blocks("EfficientNetLite0") == 5
    for row in list_backbones():
        number = recommended_blocks(row.name)
        total = num_trainable(row.name, 200)
        assert num_trainable(row.name, number) >= 0.6 * total > num_trainable(row.name, number - 1)


def test_too_many_blocks_are_refused_before_anything_is_computed():
    check_settings(TrainConfig(fine_tune_blocks=18))
    with pytest.raises(ConfigError, match="expected 0 to 18 for EfficientNetLite0, received 19"):
        check_settings(TrainConfig(fine_tune_blocks=19))


# Fine-tuned weights


def test_fine_tuned_weights_go_back_to_where_they_came_from(tiny, pixels):
    other = build_base_model("tiny", (32, 32), "avg")
    changed = {
        name: np.asarray(variable) + 0.5
        for name, variable in variable_names(other).items()
        if name.endswith(("kernel", "gamma"))
    }
    set_backbone_weights(other, changed)
    again = build_base_model("tiny", (32, 32), "avg")
    set_backbone_weights(again, changed)
    np.testing.assert_array_equal(other(pixels), again(pixels))
    assert not np.allclose(other(pixels), tiny(pixels))


def test_weights_of_another_backbone_are_refused_before_any_is_taken(tiny):
    name, variable = next(iter(variable_names(tiny).items()))
    good = {name: np.zeros(tuple(variable.shape), np.float32)}
    for wrong in ({"backbone/999.0/kernel": np.zeros(3)}, {name: np.zeros(3)}):
        with pytest.raises(RunError, match="do not fit backbone tiny"):
            set_backbone_weights(tiny, {**good, **wrong})
    assert np.asarray(variable).any()


def test_head_and_backbone_are_told_apart_by_name():
    weights = {"predictions/bias": np.zeros(1), "backbone/003.0/kernel": np.ones(1)}
    head, backbone = split_weights(weights)
    assert (list(head), list(backbone)) == (["predictions/bias"], ["backbone/003.0/kernel"])
