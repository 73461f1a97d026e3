"""Which models can be chosen: those of the extension, and those of a folder elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.Session import Session

# Of this computer, and not of the scene: kept in Slicer's settings.
FOLDER_SETTING = "LiverSeg/ModelFolder"


class ModelList:
    """The box of models in the section Run, and the folder in the section Advanced."""

    def __init__(self, ui: Any, session: Session) -> None:
        self.ui, self.session = ui, session
        self._filling = False
        ui.modelFolder.currentPath = slicer.util.settingsValue(FOLDER_SETTING, "") or ""
        self.fill()
        ui.modelComboBox.currentIndexChanged.connect(self.onChosen)
        ui.modelFolder.currentPathChanged.connect(self.onFolder)

    def fill(self) -> None:
        """List the models by name; what was chosen stays chosen while it is there."""
        from liverseg.bundle import DEFAULT_MODEL, bundles_in, installed_bundles

        text = str(self.ui.modelFolder.currentPath or "").strip()
        own = installed_bundles()
        elsewhere = bundles_in(Path(text)) if text and Path(text).is_dir() else []
        names = [bundle.name for bundle in own]
        self._filling = True
        self.ui.modelComboBox.clear()
        self.ui.modelComboBox.addItem(_("{name} (default)").format(name=DEFAULT_MODEL), "")
        for bundle in own:
            if bundle.name != DEFAULT_MODEL:
                self.ui.modelComboBox.addItem(bundle.name, bundle.name)
        for bundle in elsewhere:
            # A name that is there twice would not say which.
            where = f" ({bundle.folder})" if bundle.name in names else ""
            self.ui.modelComboBox.addItem(f"{bundle.name}{where}", str(bundle.folder))
        self._filling = False
        if text:
            found = ", ".join(bundle.name for bundle in elsewhere)
            none = _("No model in this folder: a model is a folder with a card.json.")
            self.ui.modelFolderLabel.text = _("Models found: {names}").format(names=found) if found else none
        else:
            self.ui.modelFolderLabel.text = ""
        self.show()

    def show(self) -> None:
        """Choose in the list what the scene's parameters say."""
        wanted = self.session.parameters.model if self.session.parameters else ""
        index = self.ui.modelComboBox.findData(wanted)
        if index < 0:
            # From another computer, or moved: named, so that nobody takes another one unaware.
            self._filling = True
            self.ui.modelComboBox.addItem(_("{name} (not found)").format(name=wanted), wanted)
            self._filling = False
            index = self.ui.modelComboBox.findData(wanted)
        self.ui.modelComboBox.currentIndex = index

    def onChosen(self, *_args: object) -> None:
        """Keep the chosen model in the scene's parameters."""
        if self.session.parameters and not self._filling:
            self.session.parameters.model = str(self.ui.modelComboBox.currentData or "")

    def onFolder(self, *_args: object) -> None:
        """Keep the folder, and list what is in it."""
        qt.QSettings().setValue(FOLDER_SETTING, str(self.ui.modelFolder.currentPath or ""))
        self.fill()
