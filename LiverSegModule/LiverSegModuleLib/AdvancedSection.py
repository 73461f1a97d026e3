"""Section "Advanced": models in a folder elsewhere, what may be removed from the disk, the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.EngineLog import EngineLog
from LiverSegModuleLib.Messages import telling
from LiverSegModuleLib.StoredFiles import size_text, stored_files


class AdvancedSection:
    """The log, also that of the last session, and what may be removed from the disk."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self._kept = EngineLog(Path(slicer.app.temporaryPath))
        self.showKept()
        ui.copyLogButton.clicked.connect(
            lambda *_args: slicer.app.clipboard().setText(self.ui.logTextEdit.plainText)
        )
        ui.removeFilesButton.clicked.connect(self.onRemoveFiles)

    def log(self, text: str) -> None:
        """Add a line, on screen and in the file."""
        self._kept.add(text)
        self.ui.logTextEdit.appendPlainText(text)

    def showKept(self) -> None:
        """Show what the file has: a reload of the module begins with an empty panel."""
        kept = self._kept.lines()
        if kept:
            self.ui.logTextEdit.appendPlainText("\n".join(kept))

    def onRemoveFiles(self, *_args: object) -> None:
        """Remove downloads, the log, and what is left of runs that were broken off, after showing them."""
        with telling(_("The files could not be removed.")):
            cache = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory())
            found = stored_files(Path(slicer.app.temporaryPath), cache)
            if not found:
                self.ui.removeFilesLabel.text = _("There is nothing to remove.")
                return
            size = size_text(sum(each.size_bytes for each in found))
            question = _(
                "Remove {count} files or folders, {size} together? Those of broken-off runs hold image data; "
                "downloads can be downloaded again; the log says what the engine said."
            ).format(count=len(found), size=size)
            details = "\n".join(each.describe() for each in found)
            if not slicer.util.confirmOkCancelDisplay(
                question, windowTitle=_("LiverSeg"), detailedText=details
            ):
                return
            kept = [each.path for each in found if not each.remove()]
            text = _("{count} removed, {size}.").format(count=len(found) - len(kept), size=size)
            if kept:
                text += " " + _("In use, and left: {paths}").format(paths=", ".join(map(str, kept)))
            self.ui.removeFilesLabel.text = text
            # On screen alone: the file of the log is among those that were just removed.
            self.ui.logTextEdit.appendPlainText(f"{text}\n{details}")
