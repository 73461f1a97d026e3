"""Open the panel in a made-up language, [in brackets]; prints what is on screen without them.

another_language.py FOLDER    temporary folder
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "LiverSegExtension"), str(ROOT / "LiverSegModule")]


def translated(text: str) -> str:
    return f"[{text}]" if re.search("[A-Za-z]{2}", text) else text


# Before anything of ours is loaded, as in Slicer.
i18n = ModuleType("slicer.i18n")
i18n.tr = translated  # type: ignore[attr-defined]
i18n.translate = lambda context, text: translated(text)  # type: ignore[attr-defined]
sys.modules["slicer.i18n"] = i18n

from PySide6 import QtCore, QtWidgets  # noqa: E402

from host import Host  # noqa: E402
from pythonqt_habits import bare  # noqa: E402


class Language(QtCore.QTranslator):
    """Of the .ui file."""

    def translate(self, context: str, text: str, comment: str | None = None, n: int = -1) -> str:
        return translated(text) if context == "LiverSegModule" else ""

    def isEmpty(self) -> bool:  # noqa: N802
        return False


def texts(widget: QtWidgets.QWidget) -> Iterator[str]:
    """What a widget shows, and its tool tip."""
    yield widget.toolTip()
    if isinstance(widget, QtWidgets.QLabel | QtWidgets.QAbstractButton):
        yield widget.text()
    if isinstance(widget, QtWidgets.QComboBox):
        yield from (widget.itemText(n) for n in range(widget.count()))
    if isinstance(widget, QtWidgets.QListWidget):
        yield from (widget.item(n).text() for n in range(widget.count()))
    if isinstance(widget, QtWidgets.QTableWidget):
        yield from (widget.horizontalHeaderItem(n).text() for n in range(widget.columnCount()))
    if isinstance(widget, QtWidgets.QAbstractSpinBox):
        yield widget.specialValueText()


def english(text: str) -> str:
    """What is outside of brackets, without markup, numbers, file names and the names of things."""
    text = re.sub(r"<[^>]*>|&\w+;", " ", text)
    while re.search(r"\[[^\[\]]*\]", text):
        text = re.sub(r"\[[^\[\]]*\]", " ", text)
    return " ".join(re.findall("[A-Za-z]{3,}", text))


host = Host(Path(sys.argv[1]))
language = Language()
host.qt.installTranslator(language)
sys.modules["slicer.i18n"] = i18n
widget = host.open()
from LiverSegModuleLib.SelfTestTools import showPatient  # noqa: E402

# Names of what is in the scene are the user's own; the engine's hints and Couinaud's numerals are data.
NAMES = re.compile(r"Select a Volume|LiverSeg(, .*)?|liverseg-.*|Segment Editor \(embedded\)|Made-up patient")
NO_WORDS = re.compile(r"^[\w.]+ (?=\(\[)|VIII|VII|III")
count, seen = 0, set()
for step in ("empty", "patient"):
    if step == "patient":
        nodes, _case = showPatient(widget)
        widget.panel.session.selectLesion(1)
        nodes.segmentation.GetSegmentation().RemoveSegment("lesion_2")
        widget.panel.remnant.boxes["V"].click()
    host.settle()
    root = bare(host.window).centralWidget().widget()
    hints = {child.toolTip() for child in root.findChildren(QtWidgets.QWidget, "liverLabel")}
    for child in (root, *root.findChildren(QtWidgets.QWidget)):
        for text in texts(child):
            count += "[" in text
            if (
                english(NO_WORDS.sub("", text))
                and not NAMES.fullmatch(text)
                and text not in hints
                and text not in seen
            ):
                seen.add(text)
                print("ENGLISH", child.objectName(), repr(text))
print("TRANSLATED", count)
host.close()
