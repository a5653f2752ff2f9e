"""Guess the encoding of names in an archive that does not declare it.

Zip programs on Windows write names in the local code page without recording which.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(rb"[A-Za-z\x80-\xff]+")
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_WESTERN = ("cp437", "cp1252")
_SAMPLE_BYTES = 8_192  # of names that are looked at: each takes time in each encoding
_CANDIDATES = ("cp932", "gbk", "cp949", "cp866", "cp437", "cp1252")
"""For Japanese, Chinese, Korean, Russian, and Western names; the first of ties is used."""

ENCODING_TITLES = {
    "cp932": "Shift-JIS (Japanese)",
    "gbk": "GBK (Chinese)",
    "cp949": "CP949 (Korean)",
    "cp866": "CP866 (Russian)",
    "cp1252": "Windows-1252 (Western)",
}


def guess_encoding(names: Sequence[bytes]) -> str:
    """Return the encoding in which names are most likely words, or "" if none has to be guessed.

    Args:
        names: as stored. Names in ASCII or UTF-8 are ignored, as they need no guess.

    Example:
        >>> guess_encoding(["кошки/1.jpg".encode("cp866")])
        'cp866'
    """
    unclear = [name for name in names if not name.isascii() and not _is_utf8(name)]
    if not unclear:
        return ""
    sample = _first_of(unclear[:: max(1, len(unclear) // 200)][:200])
    # Accented letters are isolated among ASCII letters; other scripts form whole words.
    words = [word for name in sample for word in _WORD.findall(name) if not word.isascii()]
    accented = sum(any(map(_is_letter, word)) and _longest_run(word) <= 2 for word in words)
    candidates = _WESTERN if accented >= 0.8 * len(words) else _CANDIDATES
    scores = {encoding: _score(sample, encoding) for encoding in candidates}
    best = max(candidates, key=lambda encoding: scores[encoding])
    return "" if best == "cp437" else best


def _first_of(names: Sequence[bytes]) -> list[bytes]:
    """Return the first of these names, as many as have :data:`_SAMPLE_BYTES` together."""
    sizes = itertools.accumulate(map(len, names))
    num = sum(size <= _SAMPLE_BYTES for size in sizes)
    return list(names[:num]) or [names[0][:_SAMPLE_BYTES]]


def _is_letter(byte: int) -> bool:
    return chr(byte).isalpha() and byte < 128


def _longest_run(word: bytes) -> int:
    """Return the length of the longest run of bytes that are not ASCII."""
    return max(len(run) for run in _NOT_ASCII.findall(word))


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _score(names: Sequence[bytes], encoding: str) -> float:
    """Return how plausible names are in an encoding: mean over bytes, below 0 if invalid."""
    counts: Counter[str] = Counter()
    for name in names:
        try:
            counts.update(name.decode(encoding))
        except UnicodeDecodeError:
            return -10.0
    total = num_bytes = 0.0
    for character, count in counts.items():
        if not character.isascii():
            num = count * (len(character.encode(encoding, "ignore")) or 1)
            total += num * _likeness(character, encoding)
            num_bytes += num
    return round(total / max(1.0, num_bytes), 9)


def _likeness(character: str, encoding: str) -> float:
    """Return how common a character is in the encoding's language, from -1 to 1."""
    code = ord(character)
    if 0x3041 <= code <= 0x30FF:  # kana
        return 1.0 if encoding == "cp932" else 0.2
    if 0xFF61 <= code <= 0xFF9F:  # half-width kana, as which any byte above 160 can be decoded
        return -0.5
    if 0xAC00 <= code <= 0xD7A3:  # Hangul
        is_usual = len(character.encode("euc_kr", "ignore")) == 2  # rare ones take 8 bytes
        return 1.0 if encoding == "cp949" and is_usual else -0.5
    if 0x4E00 <= code <= 0x9FFF:
        return _ideograph(character, encoding)
    if 0x0410 <= code <= 0x044F or character in "Ёё":
        return 0.9 if encoding == "cp866" else -0.2
    if 0xC0 <= code <= 0x17F and character.isalpha():
        return 0.6
    return 0.1 if character.isalpha() else -1.0


def _ideograph(character: str, encoding: str) -> float:
    """Return how common an ideograph is: both national standards list common ones first."""
    if encoding == "cp932":
        first = character.encode("cp932", "ignore")[:1]
        return 0.85 if b"\x88" <= first <= b"\x97" else 0.2
    if encoding == "gbk":
        first = character.encode("gb2312", "ignore")[:1]
        return 0.95 if b"\xb0" <= first <= b"\xd7" else 0.1
    return 0.0
