"""The fonts of ``report.pdf``: which one has a character, and how a line of any script is set with them.

Latin, Greek, Cyrillic, Arabic and Hebrew come with LiverSeg (``Resources/Fonts``, subsets of Noto Sans). All
other scripts come from the package weblate-fonts (Kurinto Sans), when it is installed. All are embedded as
subsets of the characters used.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

# Not used here by name, but without it Arabic letters would not join and reportlab would not say so.
import uharfbuzz  # noqa: F401
from bidi import algorithm as bidi
from bidi.mirror import MIRRORED
from reportlab.lib.abag import ABag
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont, shapeFragWord

from liverseg.resources import resources_folder

REGULAR, BOLD = "LiverSeg-Regular", "LiverSeg-Bold"
_BUNDLED = {
    REGULAR: "NotoSans-Regular.ttf",
    BOLD: "NotoSans-Bold.ttf",
    "LiverSeg-Arabic": "NotoSansArabic-Regular.ttf",
    "LiverSeg-Hebrew": "NotoSansHebrew-Regular.ttf",
}
_OPTIONAL_PACKAGE = "weblate_fonts"
_OPTIONAL_FOLDER = "static/weblate_fonts/kurinto/ttf"
_OPTIONAL = {
    f"LiverSeg-Kurinto{variant}": f"KurintoSans{variant}-Rg.ttf" for variant in ("", "JP", "KR", "SC", "TC")
}
_MISSING = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\u200c\u200d"
# Ligatures that a reader expects; "discretionary" ones would add vowel signs to an Arabic name.
_FEATURES = {"kern": True, "liga": True, "dlig": False}


@dataclass(frozen=True)
class Run:
    """A piece of a line in one font.

    Attributes:
        text: what is drawn, from left to right: characters, or glyphs that shaping chose.
        font: reportlab's name of the font.
        width: in parts of the font size.
        spoken: the characters to be copied or read aloud where ``text`` is other glyphs, or None. For
            right-to-left text it is None: its glyphs tell their letters, and readers of PDF files disagree
            about the order in which other characters are to be given.
    """

    text: str
    font: str
    width: float
    spoken: str | None


class FontBook:
    """The fonts of one document.

    Every document gets fonts of its own: reportlab keeps the glyphs that shaping has asked for, and what one
    document needed must not change the bytes of the next.

    Attributes:
        unknown: characters met that no font has.
    """

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {
            name: resources_folder() / "Fonts" / file for name, file in _BUNDLED.items()
        }
        self._paths |= _optional_paths()
        self._fonts: dict[str, TTFont] = {}
        self._lines: dict[tuple[str, bool], tuple[Run, ...]] = {}
        self.unknown: set[str] = set()
        for name in (REGULAR, BOLD):
            self._font(name)

    def runs(self, line: str, bold: bool = False) -> tuple[Run, ...]:
        """A line, in logical order, as pieces from left to right.

        Characters that no font has become a replacement sign.
        """
        key = (line, bold)
        if key not in self._lines:
            self._lines[key] = tuple(self._runs(_cleaned(line), bold))
        return self._lines[key]

    def width(self, line: str, size: float, bold: bool = False) -> float:
        """The width of a line in points."""
        return size * sum(run.width for run in self.runs(line, bold))

    def _runs(self, line: str, bold: bool) -> Iterator[Run]:
        fonts = self._choose(line, bold)
        for piece, right_to_left in _in_display_order(line):
            parts = [(name, "".join(part)) for name, part in groupby(piece, key=lambda c: fonts[c])]
            for name, text in reversed(parts) if right_to_left else parts:
                yield self._run(text, name, right_to_left)

    def _run(self, text: str, name: str, right_to_left: bool) -> Run:
        known = self._font(name).face.charToGlyph
        shown = "".join(c if ord(c) in known or c in _JOINERS else _MISSING for c in text)
        if right_to_left and not any(_is_right_to_left(c) for c in shown):
            # Shaping turns around what has right-to-left letters; brackets and dots alone it leaves.
            shown = "".join(MIRRORED.get(c, c) for c in reversed(shown))
        if name in (REGULAR, BOLD) and not any(unicodedata.combining(c) for c in shown):
            return Run(shown, name, pdfmetrics.stringWidth(shown, name, 1.0), None)
        word = [0, (ABag(fontName=name, fontSize=1000.0), shown)]
        width, (_, glyphs) = shapeFragWord(word, features=_FEATURES, force=True)
        return Run(glyphs, name, float(width) / 1000.0, None if right_to_left or glyphs == text else text)

    def _choose(self, line: str, bold: bool) -> dict[str, str]:
        """The font of each character of a line."""
        chosen: dict[str, str] = {}
        before = BOLD if bold else REGULAR
        for char in line:
            if char in chosen:
                continue
            # A sign that joins or follows another keeps its font, or it could not be placed upon it.
            if char in _JOINERS or (unicodedata.combining(char) and self._has(before, char)):
                chosen[char] = before
                continue
            candidates = (BOLD if bold else REGULAR, *self._candidates(char, line))
            found = next((name for name in candidates if self._has(name, char)), None)
            if found is None:
                self.unknown.add(char)
            chosen[char] = found or REGULAR
            before = chosen[char]
        return chosen

    def _candidates(self, char: str, line: str) -> Iterator[str]:
        yield "LiverSeg-Arabic"
        yield "LiverSeg-Hebrew"
        order = [""]
        if _is_east_asian(char):
            # One code serves for what China, Japan and Korea write in different ways: the other characters
            # of the line tell which.
            names = " ".join(unicodedata.name(c, "") for c in line)
            first = (
                "JP" if "HIRAGANA" in names or "KATAKANA" in names else "KR" if "HANGUL" in names else "SC"
            )
            order = [first, *(v for v in ("SC", "TC", "JP", "KR") if v != first), ""]
        for variant in order:
            if f"LiverSeg-Kurinto{variant}" in self._paths:
                yield f"LiverSeg-Kurinto{variant}"

    def _has(self, name: str, char: str) -> bool:
        return ord(char) in self._font(name).face.charToGlyph

    def _font(self, name: str) -> TTFont:
        if name not in self._fonts:
            font = TTFont(name, str(self._paths[name]))
            pdfmetrics.registerFont(font)
            self._fonts[name] = font
        return self._fonts[name]


def _optional_paths() -> dict[str, Path]:
    spec = find_spec(_OPTIONAL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / _OPTIONAL_FOLDER
    return {name: folder / file for name, file in _OPTIONAL.items() if (folder / file).is_file()}


def _cleaned(line: str) -> str:
    """Composed characters, without control and format characters that have no picture."""
    composed = unicodedata.normalize("NFC", line)
    kept = (c for c in composed if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") or c in _JOINERS)
    return "".join(kept)


def _in_display_order(line: str) -> list[tuple[str, bool]]:
    """A line as pieces from left to right, each in the order it is read in, and whether it runs leftwards.

    The Unicode bidirectional algorithm (UAX 9) up to its rule L2, which reverses whole pieces here.
    """
    if not any(_is_right_to_left(c) for c in line):
        return [(line, False)] if line else []
    levels = _levels(line)
    pieces = [
        (level, "".join(char for _, char in group))
        for level, group in groupby(zip(levels, line, strict=True), key=lambda pair: pair[0])
    ]
    for lowest in range(max(levels), 0, -1):
        turned: list[tuple[int, str]] = []
        for high, group in groupby(pieces, key=lambda piece: piece[0] >= lowest):
            neighbors = list(group)
            turned += reversed(neighbors) if high else neighbors
        pieces = turned
    return [(text, level % 2 == 1) for level, text in pieces]


def _levels(line: str) -> list[int]:
    """The embedding level of each character, odd for those that run leftwards."""
    storage = bidi.get_empty_storage()
    storage["base_level"] = bidi.get_base_level(line)
    storage["base_dir"] = "LR"[storage["base_level"]]
    bidi.get_embedding_levels(line, storage)
    bidi.explicit_embed_and_overrides(storage)
    bidi.resolve_weak_types(storage)
    bidi.resolve_neutral_types(storage, False)
    bidi.resolve_implicit_levels(storage, False)
    found = iter([char["level"] for char in storage["chars"]])
    levels: list[int] = []
    for char in line:
        # The algorithm leaves joiners out; they belong to the character before them.
        joins = unicodedata.bidirectional(char) == "BN"
        levels.append((levels[-1] if levels else storage["base_level"]) if joins else next(found))
    return levels


def _is_right_to_left(char: str) -> bool:
    return unicodedata.bidirectional(char) in ("R", "AL")


def _is_east_asian(char: str) -> bool:
    return unicodedata.east_asian_width(char) in ("W", "F")
