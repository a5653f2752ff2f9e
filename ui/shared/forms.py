"""Widgets built from the fields of our settings: label, help, bounds and type exist once, there.

The value of each is held under the session key ``<prefix>.<field>``, see ``ui/shared/controls.py``.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import streamlit as st
from pydantic.fields import FieldInfo

from tl_core.config.base import Settings
from tl_core.errors import ConfigError
from ui.shared.controls import control
from ui.shared.words import plain

MAX_NAME = 80
MAX_DIGITS = 15  # of a number; more are a slip of the hand
WHOLE_NUMBERS = r"^\s*(\d+(\s*[,x× ]\s*\d+)*)?\s*$"


def draw_fields(
    model: type[Settings],
    names: Iterable[str],
    prefix: str,
    initial: Mapping[str, Any],
    *,
    num_columns: int = 2,
) -> tuple[dict[str, Any], list[str]]:
    """Draw one widget per named field, in columns, each with what is wrong with it below.

    Args:
        model: the settings class whose fields describe the widgets.
        names: the fields to draw, in order.
        prefix: of the session keys.
        initial: values to start from, by field name.
        num_columns: how many stand side by side in a wide window.

    Returns:
        The values by field name, without those that are not valid, and why these are not.
    """
    values, problems = {}, []
    chosen = list(names)
    for start in range(0, len(chosen), num_columns):
        for name, column in zip(
            chosen[start : start + num_columns], st.columns(num_columns), strict=False
        ):
            with column:
                try:
                    values[name] = draw_field(model, name, prefix, initial[name])
                except ConfigError as error:
                    problems.append(str(error))
                    draw_problem(problems[-1])
    return values, problems


def draw_problem(problem: str) -> None:
    """Draw why something cannot be started, in one line."""
    st.caption(f":red[:material/error: {plain(problem)}]")


def draw_field(
    model: type[Settings],
    name: str,
    prefix: str,
    initial: Any,
    *,
    on_change: Callable[..., None] | None = None,
    args: tuple[Any, ...] = (),
) -> Any:
    """Draw the widget that fits one field and return its value.

    Args:
        model: the settings class whose field describes the widget.
        name: the field.
        prefix: of the session key.
        initial: the value to start from.
        on_change: called with ``args`` when the person changes it.
        args: what ``on_change`` is called with.

    Raises:
        ConfigError: what was typed is out of range, or is not the numbers that it should be.
            Checked here, as a widget with limits of its own goes on with its last valid value.
    """
    field = model.model_fields[name]
    key = f"{prefix}.{name}"
    kind = _inner_type(field.annotation)
    st.session_state.setdefault(key, kind(initial) if kind in (int, float) else to_widget(initial))
    ways = _number_ways(field, kind) if kind in (int, float) else {}
    if "min_value" in ways:
        _bring_into_range(key, ways["min_value"], ways["max_value"])
    shared: dict[str, Any] = {
        "label": field.title or name,
        "help": model.help_of(name) or None,
        **control(key, on_change=on_change, args=args),
    }
    if kind is bool:
        return st.toggle(**shared)
    if typing.get_origin(kind) is Literal:
        return st.selectbox(**shared, options=typing.get_args(kind), format_func=str.capitalize)
    if kind in (int, float):
        if "min_value" in ways:
            return st.slider(**shared, **ways)
        return check_number(field, st.number_input(**shared, **ways))
    text = st.text_input(
        **shared,
        placeholder="Backbone's own" if initial is None else "None",
    )
    return _parse_tuple(text, field)


def draw_name(label: str, *, key: str, value: str = "") -> str:
    """Draw a box for the name of a dataset or a class and return what is in it.

    A name over ``MAX_NAME`` characters is refused below the box and "" is returned; a box with a
    limit of its own would go on with what it held before.
    """
    name = st.text_input(label, value=value, key=key)
    if len(name) > MAX_NAME:
        draw_problem(f"Expected at most {MAX_NAME} characters, received {len(name):,}.")
        return ""
    return name


def to_widget(value: Any) -> Any:
    """Return a field's value as its widget holds it: tuples of numbers are shown as text."""
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else value


def from_widget(model: type[Settings], name: str, value: Any) -> Any:
    """Return a widget's value as its field takes it; the way back from :func:`to_widget`.

    Raises:
        ConfigError: a text cannot be read as the numbers that it should hold.
    """
    field = model.model_fields[name]
    holds_numbers = typing.get_origin(_inner_type(field.annotation)) is tuple
    return _parse_tuple(value, field) if holds_numbers else value


def set_fields(prefix: str, values: Mapping[str, Any]) -> None:
    """Put values into widgets; they show them from the next run on where they are drawn already."""
    for name, value in values.items():
        st.session_state[f"{prefix}.{name}"] = to_widget(value)


def parse_whole_numbers(text: str) -> tuple[int, ...]:
    """Read ``"256, 128"`` or ``"224 x 320"`` as whole numbers; an empty text holds none.

    Raises:
        ConfigError: there is something else in it, or a number of more than ``MAX_DIGITS`` digits.
    """
    if not re.match(WHOLE_NUMBERS, text):
        raise ConfigError(f"Expected whole numbers such as '256, 128', received '{text[:40]}'.")
    parts = re.findall(r"\d+", text)
    if any(len(part) > MAX_DIGITS for part in parts):
        raise ConfigError(
            f"Expected numbers of at most {MAX_DIGITS} digits, received {max(map(len, parts)):,}."
        )
    return tuple(map(int, parts))


def bounds_of(field: FieldInfo) -> tuple[float | None, float | None, bool, bool]:
    """Return a number field's (low, high, low is excluded, high is excluded)."""
    low = high = None
    open_low = open_high = False
    for limit in field.metadata:
        for name in ("ge", "gt"):
            if (value := getattr(limit, name, None)) is not None:
                low, open_low = value, name == "gt"
        for name in ("le", "lt"):
            if (value := getattr(limit, name, None)) is not None:
                high, open_high = value, name == "lt"
    return low, high, open_low, open_high


def slider_step(low: float, high: float) -> float:
    """Return a round step (1, 2 or 5 times a power of ten), about a hundredth of the range."""
    rough = (high - low) / 100
    power = 10.0 ** math.floor(math.log10(rough))
    return max(step * power for step in (1, 2, 5) if step * power <= rough * 1.0001)


def say_number(field: FieldInfo, value: float) -> str:
    """Return a number as the field's slider shows it: ``"15°"``, ``"20 %"``, ``"2 px"``."""
    _, high, _, _ = bounds_of(field)
    number_format = _number_format(field, math.inf if high is None else high)
    return f"{100 * value:.3g} %" if number_format == "percent" else number_format % round(value, 2)


def _number_ways(field: FieldInfo, kind: type) -> dict[str, Any]:
    """Return how a number is drawn, as arguments: a box, or a slider if there is a ``min_value``.

    A share or strength has a slider, a count or a very small number a box.
    """
    low, high, open_low, open_high = bounds_of(field)
    default = field.default if isinstance(field.default, int | float) else 0
    if kind is int or low is None or high is None:
        return {"step": kind(1)}
    own_step = _own_step(field)
    if own_step or 0 < default < 0.01 * (high - low):  # a slider could not be aimed at it
        return {"step": own_step or default / 2, "format": "%g"}
    step = slider_step(low, high)
    return {
        "min_value": float(low + step if open_low else low),
        "max_value": float(high - step if open_high else high),
        "step": step,
        "format": _number_format(field, high),
    }


def check_number(field: FieldInfo, value: float, title: str | None = None) -> float:
    """Return a number that was typed.

    Args:
        field: its limits, and its title unless there is another.
        value: the number.
        title: what the number is called.

    Raises:
        ConfigError: it is out of the field's range.
    """
    low, high, open_low, open_high = bounds_of(field)
    is_low = low is not None and (value <= low if open_low else value < low)
    is_high = high is not None and (value >= high if open_high else value > high)
    if is_low or is_high:
        limits = [
            "" if low is None else f"{'above' if open_low else 'at least'} {_in_full(low)}",
            "" if high is None else f"{'below' if open_high else 'at most'} {_in_full(high)}",
        ]
        raise ConfigError(
            f"{title or field.title}: expected {' and '.join(limit for limit in limits if limit)}, "
            f"received {_in_full(value)}."
        )
    return value


def _in_full(value: float) -> str:
    """Return a number with all its digits if it is whole: ``"1,000,000,000"``, not ``"1e+09"``."""
    is_whole = abs(value) < 10**MAX_DIGITS and value == int(value)
    return f"{int(value):,}" if is_whole else f"{value:,g}"


def _bring_into_range(key: str, least: float, most: float) -> None:
    """Have a number that its slider cannot hold be the nearest that it can.

    A run from the command line may have been given such a number: where a limit itself is not
    allowed, a slider ends a step before it.
    """
    value = st.session_state[key]
    held = min(max(value, least), most)
    if held != value:
        st.session_state[key] = held


def _own_step(field: FieldInfo) -> float | None:
    """Return the step that a field asks for, and with it a box instead of a slider."""
    extra = field.json_schema_extra
    step = extra.get("step") if isinstance(extra, dict) else None
    return float(step) if isinstance(step, int | float) else None


def _number_format(field: FieldInfo, high: float) -> str:
    if high <= 1:
        return "percent"
    unit = next((word for word in ("degrees", "pixels") if word in (field.description or "")), "")
    return {"degrees": "%g°", "pixels": "%g px"}.get(unit, "%g")


def _parse_tuple(text: str, field: FieldInfo) -> tuple[int, ...] | None:
    """Read a text field; where nothing is allowed, none is None and one number is a square."""
    try:
        numbers = parse_whole_numbers(text)
    except ConfigError as error:
        raise ConfigError(f"{field.title}: {error}") from error
    parts = typing.get_args(_inner_type(field.annotation))
    for number in numbers:
        check_number(_limits_of(parts[0]), number, field.title)
    if type(None) in typing.get_args(field.annotation):  # a size: two numbers, or one for a square
        if len(numbers) > len(parts):
            raise ConfigError(
                f"{field.title}: expected at most {len(parts)} numbers, received {len(numbers)}."
            )
        return None if not numbers else numbers * 2 if len(numbers) == 1 else numbers
    most = next((one.max_length for one in field.metadata if hasattr(one, "max_length")), None)
    if most is not None and len(numbers) > most:
        raise ConfigError(
            f"{field.title}: expected at most {most} numbers, received {len(numbers)}."
        )
    return numbers


def _limits_of(annotation: Any) -> FieldInfo:
    """Return what a number inside a field may be: the field in ``Annotated[int, Field(...)]``."""
    found = typing.get_args(annotation)[1:]
    return next((one for one in found if isinstance(one, FieldInfo)), FieldInfo())


def _inner_type(annotation: Any) -> Any:
    """Return the type inside ``X | None`` and ``Annotated[X, ...]``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(annotation) if part is not type(None)]
        return _inner_type(inner[0])
    if typing.get_origin(annotation) is typing.Annotated:
        return _inner_type(typing.get_args(annotation)[0])
    return annotation
