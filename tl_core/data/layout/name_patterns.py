"""Classes and groups from the names of files: patterns as they are typed, and guesses of them.

A pattern is a file name without its ending in which ``{class}`` and ``{group}`` stand for what is
to be read, ``{n}`` for a number and ``*`` for anything: ``{class}.{n}``, ``{group}_frame*``. With a
slash in it, it is one for the whole path below the data folder: ``{class}/{group}/*``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tl_core.data.layout.split_names import part_of_name
from tl_core.errors import ConfigError

_FIELDS = {"{class}": "(?P<class_{}>.+?)", "{group}": "(?P<group_{}>.+?)", "{n}": r"\d+"}
_TOKEN = re.compile(r"\{class\}|\{group\}|\{n\}|\*|\{[^}]*\}")
_MAX_LENGTH = 200  # characters of a pattern
_MAX_FREE = 2  # parts of any length that a regular expression finds in little time

# First words of names that cameras, phones and programs give.
_CAMERA = frozenset(
    (
        *("img", "dsc", "dscf", "dscn", "dcim", "pxl", "vid", "mvi", "gopr", "gp", "dji", "pict"),
        *("photo", "photos", "image", "images", "picture", "pic", "screenshot", "screen", "scan"),
        *("whatsapp", "frame", "file", "download", "untitled", "video", "capture", "snap", "p"),
        *("dscx", "cimg", "imgp", "sam", "wp", "fb", "received", "telegram", "signal", "mobile"),
    )
)
_TRAILING = re.compile(r"(?P<name>[\W\d_]*[^\W\d_].*?)(?P<gap>[ _.\-]*)\(?\d+\)?")
_PIECES = re.compile(r"[^\W\d_]+|\d+|[^\w]+|_+")
_FRAME = re.compile(
    r"(?P<group>\D*\d.*?|.*[^\W\d_])[ _.\-]*"
    r"(?:(?P<mark>frame|frm|fr|f|img|image|crop|tile|patch|slice|view|shot|aug|rot|copy|burst|t)"
    r"[ _.\-]*)?\(?(?P<number>\d+)\)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class NamePattern:
    """A pattern that was typed, ready to be held against paths.

    Attributes:
        text: as it was typed.
        tokens: each a field, ``*`` or text that stands for itself.
        regex: the same as a regular expression; its time grows with the power of the number of
            parts of any length.
    """

    text: str
    tokens: tuple[str, ...]
    regex: re.Pattern[str]

    def read(self, path: str, field: str) -> str | None:
        """Return what stands for ``field`` ("class" or "group") in a path, or None."""
        subject = path if "/" in self.text else path.rpartition("/")[2]
        folder, _, name = subject.rpartition("/")
        stem = PurePosixPath(name).stem if "." in name[1:] else name
        whole = f"{folder}/{stem}" if folder else stem
        if sum(token in (*_FIELDS, "*") for token in self.tokens) > _MAX_FREE:
            pieces = self._find(whole, f"{{{field}}}")
        else:
            match = self.regex.fullmatch(whole)
            named = {} if match is None else match.groupdict()
            pieces = [value for key, value in named.items() if key.startswith(f"{field}_")]
        return "/".join(pieces).strip(" _-.") or None

    def _find(self, whole: str, field: str) -> list[str]:
        """Return what the regular expression would find, in time linear in both lengths."""
        letters, end = [letter.lower() for letter in whole], len(whole)
        fits = [bytearray(end + 1)]  # for each token and place: whether the rest fits from there
        fits[0][end] = 1
        for token in reversed(self.tokens):
            after, here = fits[0], bytearray(end + 1)
            last = after.rfind(1)
            if token == "*":
                here[: last + 1] = b"\1" * (last + 1)
            elif token == "{n}":
                for place in reversed(range(end)):
                    rest_fits = after[place + 1] or here[place + 1]
                    here[place] = whole[place].isdecimal() and rest_fits
            elif token in _FIELDS:
                here[: max(last, 0)] = b"\1" * max(last, 0)
            else:
                text = [letter.lower() for letter in token]
                for place in range(end - len(text) + 1):
                    stop = place + len(text)
                    here[place] = after[stop] and letters[place:stop] == text
            fits.insert(0, here)
        if not fits[0][0]:
            return []
        pieces, start = [], 0
        for token, after in zip(self.tokens, fits[1:], strict=True):
            if token == "*":
                stop = after.rfind(1)
            elif token == "{n}":
                stop = start + 1
                while stop < end and whole[stop].isdecimal():
                    stop += 1
                stop = after.rfind(1, start + 1, stop + 1)
            elif token in _FIELDS:
                stop = after.find(1, start + 1)
            else:
                stop = start + len(token)
            if token == field:
                pieces.append(whole[start:stop])
            start = stop
        return pieces

    def reads(self, field: str) -> bool:
        """Return whether the pattern says anything about ``field``."""
        return f"{{{field}}}" in self.text


def compile_pattern(text: str, field: str) -> NamePattern:
    """Return a pattern as it was typed.

    Args:
        text: see the module.
        field: ``"class"`` or ``"group"``, which it must say.

    Raises:
        ConfigError: it does not say ``field``, has braces with something else in them, or is
            longer than any file name.

    Example:
        >>> compile_pattern("{class}.{n}", "class").read("train/cat.12.jpg", "class")
        'cat'
    """
    if f"{{{field}}}" not in text:
        raise ConfigError(
            f"Expected a pattern with {{{field}}} in it, such as '{{{field}}}_{{n}}', "
            f"received '{text}'."
        )
    if len(text) > _MAX_LENGTH:
        raise ConfigError(
            f"Expected a pattern of at most {_MAX_LENGTH} characters, received {len(text):,}. "
            "Use * for what differs."
        )
    pieces, position = [], 0
    tokens: list[str] = []
    for number, token in enumerate(_TOKEN.finditer(text)):
        pieces.append(re.escape(text[position : token.start()]))
        tokens += (text[position : token.start()], token[0])
        if token[0] == "*":
            pieces.append(".*")
        elif token[0] in _FIELDS:
            pieces.append(_FIELDS[token[0]].format(number))
        else:
            raise ConfigError(
                f"Expected {{class}}, {{group}}, {{n}} or * in the pattern '{text}', "
                f"found '{token[0]}'."
            )
        position = token.end()
    pieces.append(re.escape(text[position:]))
    parts = tuple(token for token in (*tokens, text[position:]) if token)
    return NamePattern(text, parts, re.compile("".join(pieces), re.IGNORECASE))


def guess_class_pattern(paths: Sequence[str]) -> str | None:
    """Return the pattern by which file names name a class, or None when they do not seem to.

    At least two classes must come out of it that cover nearly all names, most of them with two
    images or more, and none of them a word that cameras write.

    Example:
        >>> guess_class_pattern(["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"])
        '{class}.{n}'
    """
    if len(paths) < 4:
        return None
    best: tuple[float, str] | None = None
    for text in _candidates(paths):
        pattern = compile_pattern(text, "class")
        named = [pattern.read(path, "class") for path in paths]
        score = _score_classes(named)
        if score > 0 and (best is None or score > best[0]):
            best = score, text
    return None if best is None else best[1]


def guess_group_pattern(paths: Sequence[str]) -> str | None:
    """Return the pattern by which file names name a video, a burst or a thing, or None.

    Names such as ``VID_02_frame0007`` must make up nearly all of them, in groups of at least two
    images, and fewer groups than half of the images.
    """
    marks: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    for path in paths:
        stem = PurePosixPath(path.rpartition("/")[2]).stem
        match = _FRAME.fullmatch(stem)
        if match is None:
            continue
        between = stem[match.end("group") :]
        between = re.sub(r"\d+(?=\D*$)", "{n}", between)
        if not re.search(r"\d", match["group"]) and not match["mark"]:
            continue  # "cat_12" is a class and a number, not a group and a frame
        if not match["mark"] and not re.match(r"[ _.\-(]", between):
            continue
        marks[between] += 1
        groups[match["group"]] += 1
    if not marks:
        return None
    (ending, count) = marks.most_common(1)[0]
    num_grouped = sum(groups.values())
    if count < 0.9 * len(paths) or len(groups) < 2 or num_grouped < 2 * len(groups):
        return None
    if max(groups.values()) < 3 or _are_times(groups):
        return None
    return "{group}" + ending


def _are_times(groups: Iterable[str]) -> bool:
    """Whether the groups are dates of photos, which say when and not what."""
    return all(re.fullmatch(r"(?i)(img|pxl|vid|photo)?[ _\-]?(19|20)\d{6}", one) for one in groups)


def _candidates(paths: Sequence[str]) -> list[str]:
    """Return patterns to try, made of how the first names are put together."""
    found: dict[str, None] = {}
    for path in [*paths[:40], *paths[len(paths) // 2 :][:40], *paths[-40:]]:
        stem = PurePosixPath(path.rpartition("/")[2]).stem
        pieces = _PIECES.findall(stem)
        words = [i for i, piece in enumerate(pieces) if re.match(r"[^\W\d_]", piece)]
        if not words or len(pieces) > 24:
            continue
        first, last = words[0], words[-1]
        # A class up to the last number: "american_bulldog_12", "n01440764_18", "pug12".
        trailing = _TRAILING.fullmatch(stem)
        if trailing and trailing["name"]:
            gap = trailing["gap"]
            ending = "({n})" if stem.endswith(")") else "{n}"
            found[f"{{class}}{gap}{ending}"] = None
        # The first words, then anything: "label-001-IMG", "cat.0.crop".
        separators = [piece for piece in pieces if not re.match(r"\w", piece) or "_" in piece]
        for separator in dict.fromkeys(separators):
            found[f"{{class}}{separator}*"] = None
            found[f"*{separator}{{class}}"] = None
        if first > 0 and first == last and first == len(pieces) - 1:
            lead = "{n}" if pieces[0].isdigit() else pieces[0]
            found[f"{lead}{''.join(pieces[1:first])}{{class}}"] = None
    return list(found)


def _score_classes(named: Sequence[str | None]) -> float:
    """Return how well names divide images into classes: 0 when they do not."""
    counts = Counter(name for name in named if name is not None)
    covered = sum(counts.values())
    if covered < 0.95 * len(named) or len(counts) < 2:
        return 0.0
    in_several = sum(count for count in counts.values() if count > 1)
    if in_several < 0.9 * covered or covered < 2 * len(counts):
        return 0.0
    words = [re.findall(r"[^\W\d_]+", name.casefold()) for name in counts]
    if any(not own or own[0] in _CAMERA for own in words):
        return 0.0
    if all(part_of_name(name) is not None for name in counts):
        return 0.0
    # Fewer and larger classes are what people mean, and names without numbers.
    with_digits = sum(bool(re.search(r"\d", name)) for name in counts) / len(counts)
    mean_size = covered / len(counts)
    return covered / len(named) * (1 - 1 / mean_size) * (1 - 0.3 * with_digits)
