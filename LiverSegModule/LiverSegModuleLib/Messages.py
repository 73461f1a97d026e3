"""What the user is told when something does not work or cannot be pressed; what the log keeps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

# A property of a widget that is disabled: the tool tip of the .ui file.
OWN_TOOL_TIP = "liverSegToolTip"


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Show an error of the block in one dialog; the panel goes on.

    A refusal of the engine is one plain sentence, for which no one needs a traceback. Anything else is a
    defect, and its traceback goes into the log.

    Args:
        what: translated; what did not work.
    """
    from liverseg.errors import LiverSegError

    try:
        yield
    except LiverSegError as error:
        slicer.util.errorDisplay(f"{what}\n\n{error}", windowTitle=_("LiverSeg"))
    except Exception as error:
        logging.exception("LiverSeg: %s", what)
        slicer.util.errorDisplay(f"{what}\n\n{error}", windowTitle=_("LiverSeg"))


@contextmanager
def busy() -> Iterator[None]:
    """Show the waiting cursor during the block. For what takes seconds; dialogs belong before it."""
    qt.QApplication.setOverrideCursor(qt.QCursor(qt.Qt.WaitCursor))
    try:
        yield
    finally:
        qt.QApplication.restoreOverrideCursor()


def enable(widget: Any, why_not: str = "") -> None:
    """Enable a widget, or disable it and let its tool tip say why.

    Args:
        why_not: translated; empty enables the widget, and its own tool tip comes back.
    """
    if widget.property(OWN_TOOL_TIP) is None:
        widget.setProperty(OWN_TOOL_TIP, widget.toolTip)
    widget.enabled = not why_not
    widget.toolTip = why_not or widget.property(OWN_TOOL_TIP)


def noResultYet(nodes: Any) -> str:
    """Why something needs a result first, for :func:`enable`; empty where there is one."""
    return "" if nodes is not None else _("There is no result yet: read out a CT first.")
