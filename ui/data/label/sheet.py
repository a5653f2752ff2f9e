"""A sheet of photos that is labelled by keys: number keys for classes, whole groups at once.

The browser marks what was labelled at once and sends its actions; it sends those again that Python
has not answered yet, so that quick keys are not lost. Python keeps what holds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import streamlit as st

from ui.shared.controls import as_kind

Act = Literal["label", "out", "undo", "next", "more"]

# R and C are Streamlit's own keys; the others here stand for the actions.
_RESERVED = "rcuxnma"
KEYS = (*"1234567890", *(key for key in "bdefghijklopqstvwyz" if key not in _RESERVED))
"""The keys of the classes, in order; classes beyond them are chosen by their buttons."""

_HERE = Path(__file__).parent
_SHEET = st.components.v2.component(
    "label_sheet",
    html='<div class="sheet"></div>',
    css=(_HERE / "sheet.css").read_text("utf-8"),
    js=(_HERE / "sheet.js").read_text("utf-8"),
)


def keys_of(names: Collection[str]) -> dict[str, str]:
    """Return the key of each class, "" for those beyond the keys that there are.

    A class that is called like a key has that one; the others have the rest in order.

    Example:
        >>> keys_of(["0", "1", "cat"])
        {'0': '0', '1': '1', 'cat': '2'}
    """
    rest = iter([one for one in KEYS if one not in names])
    return {name: name if name in KEYS else next(rest, "") for name in names}


@dataclass(frozen=True)
class SheetTile:
    """One photo of a sheet.

    Attributes:
        path: tells it from all others.
        name: stands under it.
        jpeg: None for a file that cannot be read any more.
        label: the class that it has, "" for none.
        is_out: whether it was left out.
        hint: what it probably shows, "" when nothing is known.
    """

    path: str
    name: str
    jpeg: bytes | None
    label: str = ""
    is_out: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Action:
    """What the person did: ``paths`` are the photos that it is about."""

    act: Act
    paths: tuple[str, ...]
    class_name: str


@dataclass(frozen=True)
class _Done:
    """An action as the browser tells it."""

    id: str
    act: str
    paths: list[str]
    name: str


@dataclass(frozen=True)
class _Acted:
    actions: list[_Done]


def label_sheet(
    tiles: Sequence[SheetTile],
    classes: Mapping[str, int],
    sheet_id: str,
    key: str,
    on_act: Callable[[Sequence[Action]], None],
    *,
    ticked: Collection[str] = (),
    suggestion: str = "",
    can_undo: bool = False,
    tile_width: int = 150,
) -> None:
    """Draw photos to be labelled by keys, or by the buttons below them.

    Args:
        tiles: the photos, in order.
        classes: how many photos each class has, in the order of their keys.
        sheet_id: another one starts with other ticks.
        key: of the element.
        on_act: called with what the person did since the last call, in order. Paths and names come
            from the browser and may be any text.
        ticked: the photos that are ticked at the start: a key is for all that are.
        suggestion: the class that the Enter key gives to the ticked ones; "" for none.
        can_undo: whether there is something to undo.
        tile_width: least width of a photo, in pixels.
    """
    answered_key = f"{key}_answered"

    def take() -> None:
        last = st.session_state.get(answered_key, "")
        fresh, is_new = [], False
        acted = as_kind(_Acted, st.session_state[key].acted)
        sent = [] if acted is None else acted.actions
        if all(one.id != last for one in sent):
            is_new = True
        for one in sent:
            if is_new and one.act in get_args(Act):
                fresh.append(Action(cast(Act, one.act), tuple(one.paths), one.name))
            is_new = is_new or one.id == last
        if sent:
            st.session_state[answered_key] = sent[-1].id
        on_act(fresh)

    data = {
        "sheet": sheet_id,
        "tiles": [
            {
                "path": tile.path,
                "name": tile.name,
                "label": tile.label,
                "out": tile.is_out,
                "hint": tile.hint,
                "source": None
                if tile.jpeg is None
                else "data:image/jpeg;base64," + base64.b64encode(tile.jpeg).decode("ascii"),
            }
            for tile in tiles
        ],
        "ticked": sorted(ticked),
        "classes": [
            {"name": name, "count": classes[name], "key": of_class}
            for name, of_class in keys_of(classes).items()
        ],
        "suggestion": suggestion,
        "can_undo": can_undo,
        "answered": st.session_state.get(answered_key, ""),
        "tile_width": tile_width,
    }
    _SHEET(key=key, data=data, on_acted_change=take)
