"""Section "Export": whatever writers the engine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.Messages import telling
from LiverSegModuleLib.Session import Session


class ExportSection:
    """A box for each output in the engine's registry, so that new writers appear by themselves."""

    def __init__(self, ui: Any, session: Session) -> None:
        self.ui, self.session = ui, session
        self._fill()
        ui.exportButton.clicked.connect(self.onExport)
        session.caseChanged.connect(self.refresh)

    def refresh(self) -> None:
        """Nothing can be written without a result."""
        self.ui.exportButton.enabled = self.session.nodes is not None

    def chosen(self) -> list[str]:
        """The keys of the outputs that are ticked."""
        items = (self.ui.exportList.item(row) for row in range(self.ui.exportList.count))
        return [str(item.data(qt.Qt.UserRole)) for item in items if item.checkState() == qt.Qt.Checked]

    def onExport(self, *_args: object) -> None:
        """Write the ticked outputs; earlier files are replaced after asking only."""
        from liverseg.errors import UsageError
        from liverseg.writers import OUTPUTS, write_case

        with telling(_("The result could not be exported.")):
            names, text = self.chosen(), str(self.ui.exportFolder.currentPath or "")
            if not names or not text:
                raise UsageError(_("choose a folder and at least one file to write"))
            folder = Path(text)
            present = [o.filename for o in OUTPUTS.values() if (folder / o.filename).exists()]
            question = _("{folder} holds results already ({file} and others). Replace them?").format(
                folder=folder, file=present[0] if present else ""
            )
            if present and not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("LiverSeg")):
                return
            case = self.session.currentCase()
            written = write_case(case, folder, names, overwrite=bool(present))
            text = _("{count} files written to {folder}").format(count=len(written), folder=folder)
            without = [OUTPUTS[name].filename for name in names if name not in written]
            if without:
                text += ". " + _("Nothing to write in this result for: {files}").format(
                    files=", ".join(without)
                )
            self.ui.exportLabel.text = text

    def _fill(self) -> None:
        from liverseg.writers import OUTPUTS

        self.ui.exportList.clear()
        files = [output.filename for output in OUTPUTS.values()]
        for name, output in OUTPUTS.items():
            # Several writers may make one file in different ways.
            several = files.count(output.filename) > 1
            self.ui.exportList.addItem(f"{output.filename} ({name})" if several else output.filename)
            item = self.ui.exportList.item(self.ui.exportList.count - 1)
            item.setData(qt.Qt.UserRole, name)
            item.setCheckState(qt.Qt.Unchecked if output.on_request else qt.Qt.Checked)
