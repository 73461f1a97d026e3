"""Section "Export": whatever writers the engine has."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.InstallLogic import ensureExportPackages
from LiverSegModuleLib.Messages import busy, enable, noResultYet, telling
from LiverSegModuleLib.Session import Session

# Slicer's DICOM plugin lists a volume's images in it.
INSTANCES = "DICOM.instanceUIDs"
PAPER_SETTING = "LiverSeg/Paper"


def outputText(name: str, filename: str) -> str:
    """A file as people read it: its name, and what it is where the name does not say it."""
    what = {
        "liver": _("liver mask"),
        "couinaud": _("segments"),
        "lesions": _("lesion mask"),
        "vessels": _("vessel mask"),
        "ct_liver": _("CT inside of the liver"),
        "segmentation": _("Slicer segmentation"),
        "scene": _("Slicer scene"),
        "dicom_seg": _("DICOM segmentation"),
        "dicom_sr": _("DICOM report on seg.dcm"),
        "dicom_map_liver": _("DICOM label map"),
        "dicom_map_couinaud": _("DICOM label map"),
        "dicom_map_lesions": _("DICOM label map"),
        "dicom_map_vessels": _("DICOM label map"),
        "dicom_sr_maps": _("DICOM report on the label maps"),
        "preview": _("picture"),
        "pdf": _("PDF report"),
        "lesions_table": _("a row a lesion"),
        "measurements": _("a row a number"),
        "report": _("all numbers"),
    }.get(name)
    if what is None and name.startswith("surfaces"):
        what = _("surfaces, RAS") if name.endswith("ras") else _("surfaces, LPS")
    return f"{filename} ({what or name})"


class ExportSection:
    """A box for each output in the engine's registry, so that new writers appear by themselves.

    Outputs whose packages are not installed are shown, and can be ticked once these are.
    """

    def __init__(self, ui: Any, session: Session, requirements: str) -> None:
        self.ui, self.session, self._requirements = ui, session, requirements
        self.fill()
        for text, paper in ((_("A4"), "a4"), (_("Letter"), "letter")):
            ui.paperComboBox.addItem(text, paper)
        index = ui.paperComboBox.findData(slicer.util.settingsValue(PAPER_SETTING, "a4"))
        ui.paperComboBox.currentIndex = max(index, 0)
        ui.paperComboBox.currentIndexChanged.connect(self.onPaper)
        ui.exportButton.clicked.connect(self.onExport)
        ui.exportInstallButton.clicked.connect(self.onInstall)
        session.caseChanged.connect(self.refresh)

    def refresh(self) -> None:
        """Nothing can be written without a result; what was written of another one is not told any more."""
        self.ui.exportLabel.text = ""
        enable(self.ui.exportButton, noResultYet(self.session.nodes))

    def chosen(self) -> list[str]:
        """The keys of the outputs that are ticked."""
        items = (self.ui.exportList.item(row) for row in range(self.ui.exportList.count))
        return [str(item.data(qt.Qt.UserRole)) for item in items if item.checkState() == qt.Qt.Checked]

    def settings(self) -> dict[str, dict[str, object]]:
        """Settings of single writers, by the output's key."""
        return {"pdf": {"paper": str(self.ui.paperComboBox.currentData)}}

    def onPaper(self, *_args: object) -> None:
        """Keep the paper for the next time, in Slicer's settings."""
        qt.QSettings().setValue(PAPER_SETTING, str(self.ui.paperComboBox.currentData))

    def onExport(self, *_args: object) -> None:
        """Write the ticked outputs; earlier files are replaced after asking only."""
        from liverseg.errors import UsageError
        from liverseg.writers import OUTPUTS, with_warnings, write_case

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
            with busy():
                case = self._withStudy(self.session.currentCase(), names)
                written = write_case(case, folder, names, overwrite=bool(present), settings=self.settings())
            text = _("{count} files written to {folder}").format(count=len(written), folder=folder)
            without = [OUTPUTS[name].filename for name in names if name not in written]
            if without:
                text += ". " + _("Nothing to write in this result for: {files}").format(
                    files=", ".join(without)
                )
            told = [each for each in with_warnings(case, names).warnings if each not in case.warnings]
            self.ui.exportLabel.text = ". ".join([text, *told])

    def _withStudy(self, case: Any, names: list[str]) -> Any:
        """The case with the files of its CT in Slicer's database, so that DICOM objects join its study."""
        from liverseg.dicom_origin import with_dicom_files
        from liverseg.errors import InputRefused

        database = getattr(slicer, "dicomDatabase", None)
        uids = (self.session.nodes.volume.GetAttribute(INSTANCES) or "").split()
        if database is None or not uids or not any(name.startswith("dicom") for name in names):
            return case
        try:
            return replace(
                case, ct=with_dicom_files(case.ct, [Path(database.fileForInstance(uid)) for uid in uids])
            )
        except InputRefused as error:
            # The writers say that ids are made up then.
            logging.info("LiverSeg: %s", error)
            return case

    def onInstall(self, *_args: object) -> None:
        """Install what the outputs that cannot be ticked need, after asking."""
        with telling(_("The packages could not be installed.")):
            ensureExportPackages(self._requirements)
        self.fill()

    def fill(self) -> None:
        """List the outputs; those whose packages are missing cannot be ticked."""
        from liverseg.writers import OUTPUTS, missing_modules

        kept = self.chosen() if self.ui.exportList.count else None
        self.ui.exportList.clear()
        anyMissing = False
        for name, output in OUTPUTS.items():
            missing = missing_modules(name)
            self.ui.exportList.addItem(outputText(name, output.filename))
            item = self.ui.exportList.item(self.ui.exportList.count - 1)
            item.setData(qt.Qt.UserRole, name)
            ticked = not output.on_request if kept is None else name in kept
            item.setCheckState(qt.Qt.Checked if ticked and not missing else qt.Qt.Unchecked)
            if missing:
                anyMissing = True
                item.setFlags(qt.Qt.ItemIsSelectable)
                item.setToolTip(
                    _("Needs packages that are not installed: {names}").format(names=", ".join(missing))
                )
        self.ui.exportInstallButton.visible = anyMissing
