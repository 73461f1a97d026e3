"""Keys for reading lesion after lesion without the mouse, while the module is on screen."""

from __future__ import annotations

from typing import Any

import qt
import slicer

# With Shift: single letters are Slicer's. R resets a view, A closes a contour of Draw.
NEXT, PREVIOUS, ACCEPT, REJECT = "Shift+N", "Shift+P", "Shift+A", "Shift+R"


class ReviewKeys:
    """Installed on the main window when the module is entered, removed when it is left."""

    def __init__(self, results: Any) -> None:
        self._results = results
        self._shortcuts: list[Any] = []

    def install(self, window: Any = None) -> None:
        """Make the keys work in a window (the main window)."""
        self.uninstall()
        window = window or slicer.util.mainWindow()
        if window is None:
            return
        results = self._results
        for key, action in (
            (NEXT, lambda: results.step(1)),
            (PREVIOUS, lambda: results.step(-1)),
            (ACCEPT, lambda: results.review("accepted")),
            (REJECT, lambda: results.review("rejected")),
        ):
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.activated.connect(action)
            self._shortcuts.append(shortcut)

    def uninstall(self) -> None:
        """Give the keys back."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
