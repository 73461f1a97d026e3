"""What the networks can run on here, asked of the engine in a process of its own: PyTorch stays there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from LiverSegModuleLib.EngineCommand import build_devices_arguments, child_environment
from LiverSegModuleLib.EngineMessages import Done, Message, RunOutcome, RunState
from LiverSegModuleLib.EngineProcess import EngineProcess, pythonSlicerPath
from LiverSegModuleLib.InstallLogic import missingPackages
from LiverSegModuleLib.Session import Session


class DeviceList:
    """The line below the choice of the device. Looked up once, and again at a press of the button.

    Attributes:
        found: devices by the engine's names, the best first; None while nothing is known.
    """

    def __init__(self, ui: Any, session: Session, packages: Path, requirements: str) -> None:
        self.ui, self.session = ui, session
        self._packages, self._requirements = packages, requirements
        self.found: list[str] | None = None
        self._lines: list[str] = []
        self._process: EngineProcess | None = None
        ui.devicesButton.clicked.connect(lambda *_args: self.look())

    def lookOnce(self) -> None:
        """Look, unless something is known already."""
        if self.found is None:
            self.look()

    def look(self) -> None:
        """Ask the engine, which takes some seconds; the window stays alive."""
        if self._process is not None and self._process.isRunning:
            return
        if missingPackages(self._requirements):
            self.ui.devicesLabel.text = _("Known once the Python packages are installed, at the first Apply.")
            return
        try:
            program = pythonSlicerPath()
        except RuntimeError as error:
            self.ui.devicesLabel.text = str(error)
            return
        self.ui.devicesLabel.text = _("Looking for devices")
        self._process = EngineProcess(self._onMessage, self._onFinished)
        self._process.start(program, build_devices_arguments(), child_environment(self._packages, os.environ))

    def refresh(self) -> None:
        """Say what was found, and whether it fits what is chosen."""
        if self.found is None:
            return
        text = _("Found: {devices}").format(devices="; ".join(self._lines))
        chosen = self.session.parameters.device.value if self.session.parameters else "auto"
        if chosen != "auto" and chosen not in self.found:
            text += ". " + _("The chosen device is not among them.")
        self.ui.devicesLabel.text = text

    def abandon(self) -> None:
        """End the search without a word: for when the application closes."""
        if self._process is not None:
            self._process.abandon()

    def _onMessage(self, message: Message) -> None:
        if isinstance(message, Done):
            devices = json.loads("\n".join(message.summary))
            self.found = [str(device["device"]) for device in devices]
            self._lines = [deviceText(device) for device in devices]
            self.refresh()

    def _onFinished(self, outcome: RunOutcome) -> None:
        if outcome.state != RunState.DONE or self.found is None:
            self.ui.devicesLabel.text = _("The devices could not be found: {reason}").format(
                reason=outcome.words
            )


def deviceText(device: dict[str, Any]) -> str:
    """A device as people read it: "NVIDIA H100, 78 GB of memory free"."""
    kind = {"cuda": _("GPU {name}"), "mps": "{name}", "cpu": _("CPU with {name}")}[device["device"]]
    text = kind.format(name=device["name"])
    free = device.get("free_bytes")
    return (
        text
        if free is None
        else _("{device}, {free} GB of memory free").format(device=text, free=f"{free / 1e9:.0f}")
    )
