"""What a message repeats is shortened, whatever was received."""

from __future__ import annotations

import inspect

import pytest

from tl_core import errors
from tl_core.backbones.registry import get_backbone
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.errors import ConfigError, TLError, did_you_mean, shortened
from tl_core.files import expand

HUGE = "x" * 100_000
WORDY = "many words " * 10_000
KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TLError)
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [HUGE, WORDY], ids=["one word", "words"])
def test_no_message_is_longer_than_a_paragraph(kind: type[TLError], text: str) -> None:
    message = str(kind(f"Expected a name, received '{text}'. Choose another."))
    assert message.startswith("Expected a name, received '")
    assert message.endswith("Choose another.")
    assert len(message) <= 2_000


def test_a_short_message_is_as_it_was() -> None:
    text = "Expected a folder at '/a/b c/\n', found none."
    assert str(TLError(text)) == shortened(text) == text


@pytest.mark.parametrize(
    "values",
    [{"backbone": HUGE, "epochs": HUGE}, {"fc_layers": HUGE}, {HUGE: 1}, {"augment": {HUGE: 1}}],
)
def test_a_wrong_setting_is_not_repeated_in_full(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refusal:
        TrainConfig.create(values)
    assert len(str(refusal.value)) < 700


def test_other_places_that_repeat_what_they_received() -> None:
    for refused in (
        lambda: get_backbone(HUGE),
        lambda: AugmentConfig.from_json("[" + HUGE),
        lambda: expand(f"~{HUGE}"),
    ):
        with pytest.raises(TLError) as refusal:
            refused()
        assert len(str(refusal.value)) <= 2_000


def test_only_short_names_are_compared_with_known_ones() -> None:
    assert did_you_mean("epoch", ["epochs"]) == " Did you mean 'epochs'?"
    assert did_you_mean(HUGE, ["epochs"]) == ""
