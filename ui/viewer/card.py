"""The model card of a bundle, as visitors of the viewer read it."""

from __future__ import annotations

from pathlib import Path

CARD_FILE = "README.md"
MAX_CARD_BYTES = 200_000
_FOR_OWNERS = ("## Use", "## How it was made")


def read_card(folder: Path) -> str:
    """Return the card without what is for owners alone; empty where there is none.

    Pictures become links, so that a card from a stranger loads nothing into visitors' browsers.
    """
    path = folder / CARD_FILE
    try:
        if path.is_symlink() or path.stat().st_size > MAX_CARD_BYTES:
            return ""
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    if text.startswith("---\n"):  # the front matter
        text = text.partition("\n---\n")[2]
    _, *sections = f"\n{text}".split("\n## ")
    first = f"\n{text}".split("\n## ")[0]
    kept = [f"## {one}" for one in sections if not f"## {one}".startswith(_FOR_OWNERS)]
    return "\n\n".join([_without_title(first), *kept]).replace("![", "[").strip()


def _without_title(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    return "\n".join(lines).strip()
