"""Section "Advanced": the devices that were found, leftovers, the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.Messages import telling
from LiverSegModuleLib.RunFolder import leftovers


class AdvancedSection:
    """The log of this session, and what may be removed from the disk."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        ui.copyLogButton.clicked.connect(
            lambda *_args: slicer.app.clipboard().setText(self.ui.logTextEdit.plainText)
        )
        ui.removeLeftoversButton.clicked.connect(self.onRemoveLeftovers)

    def log(self, text: str) -> None:
        """Add a line."""
        self.ui.logTextEdit.appendPlainText(text)

    def onRemoveLeftovers(self, *_args: object) -> None:
        """Remove the files of runs that did not end in an orderly way; they hold image data."""
        with telling(_("The files could not be removed.")):
            found = leftovers(Path(slicer.app.temporaryPath))
            for folder in found:
                folder.remove()
            self.log(_("Folders of earlier runs removed: {count}").format(count=len(found)))
