"""Section "Input": which CT, and whether it can be read out, in plain words."""

from __future__ import annotations

from html import escape
from typing import Any

import slicer
from slicer.i18n import tr as _

from LiverSegModuleLib.EngineCommand import EngineOptions
from LiverSegModuleLib.Messages import busy, telling
from LiverSegModuleLib.Parameter import engineOptions
from LiverSegModuleLib.RunEstimate import estimate
from LiverSegModuleLib.SampleData import downloadCTLiver, makePatient
from LiverSegModuleLib.Session import Session
from LiverSegModuleLib.Signal import Signal

# Readable on light and dark themes alike; the mark in front says the same.
MARKS = {"good": ("#2e8b57", "✓"), "warning": ("#c77700", "!"), "refused": ("#d03020", "✗")}


class InputSection:
    """Shows what stands between the chosen volume and a run, with a button for each fix.

    Attributes:
        passed: whether the volume can be read out.
        changed: the answer changed.
    """

    def __init__(self, ui: Any, session: Session) -> None:
        self.ui, self.session = ui, session
        self.passed = False
        self.changed = Signal()
        self._seen: tuple[object, ...] = ()
        self._lines: list[str] = []
        self._voxels = 0
        self._watched: Any = None
        self._tags: list[int] = []
        ui.hardenButton.clicked.connect(self.onHarden)
        ui.copyFrameButton.clicked.connect(self.onCopyFrame)
        ui.makePatientButton.clicked.connect(self.onMakePatient)
        ui.downloadButton.clicked.connect(self.onDownload)

    def refresh(self, always: bool = False) -> None:
        """Look at the input again, when it or the options that matter are others."""
        parameters = self.session.parameters
        volume = parameters.inputVolume if parameters else None
        transform = volume.GetParentTransformNode() if volume else None
        seen = (
            volume.GetID() if volume else None,
            volume.GetImageData().GetMTime() if volume and volume.GetImageData() else 0,
            transform.GetTransformToWorldMTime() if transform else 0,
            bool(parameters and parameters.force),
        )
        self._watch(volume)
        if seen == self._seen and not always:
            self._show()
            return
        self._seen = seen
        findings, self._voxels = self._findings(volume, bool(parameters and parameters.force))
        self.passed = bool(volume) and all(finding.level != "refused" for finding in findings)
        fixes = {finding.fix for finding in findings}
        self.ui.hardenButton.visible = "harden" in fixes
        self.ui.copyFrameButton.visible = "copy_frame" in fixes
        self._lines = [_line(finding) for finding in findings]
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        """The findings, and what a run with the chosen options will take."""
        lines = list(self._lines)
        if self.passed and self.session.parameters:
            lines.append(_estimate(self._voxels, engineOptions(self.session.parameters)))
        text = "<br>".join(lines) or escape(_("Choose a CT of the abdomen."))
        if self.ui.preflightLabel.text != text:
            self.ui.preflightLabel.text = text

    def _watch(self, volume: Any) -> None:
        """Hear of transforms and voxels that change later."""
        if volume is self._watched:
            return
        for tag in self._tags:
            self._watched.RemoveObserver(tag)
        self._watched, self._tags = volume, []
        if volume is not None:
            events = (
                slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
                slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            )
            self._tags = [volume.AddObserver(event, lambda *_args: self.refresh()) for event in events]

    def _findings(self, volume: Any, force: bool) -> tuple[tuple[Any, ...], int]:
        from liverseg_mrml.input_volume import Finding, preflight

        if volume is None:
            return (), 0
        if volume.GetImageData() is None:
            return (Finding("refused", _("The volume has no voxels yet.")),), 0
        report = preflight(self.session.scene, volume, force)
        return report.findings, report.voxels

    def onHarden(self, *_args: object) -> None:
        """Apply the parent transforms to the input."""
        from liverseg_mrml.input_volume import harden_transform

        with telling(_("The transform could not be hardened.")), busy():
            harden_transform(self.session.parameters.inputVolume)
        self.refresh(always=True)

    def onCopyFrame(self, *_args: object) -> None:
        """Take the current frame of a sequence as a volume of its own."""
        from liverseg_mrml.input_volume import copy_current_frame

        with telling(_("The frame could not be copied.")):
            node = copy_current_frame(self.session.scene, self.session.parameters.inputVolume)
            self.session.parameters.inputVolume = node

    def onMakePatient(self, *_args: object) -> None:
        """A made-up patient as the input."""
        with telling(_("The made-up patient could not be made.")), busy():
            self.session.parameters.inputVolume = makePatient(self.session.scene)

    def onDownload(self, *_args: object) -> None:
        """Slicer's own CT of a liver as the input."""
        with telling(_("The sample could not be downloaded.")):
            self.session.parameters.inputVolume = downloadCTLiver()


def _line(finding: Any) -> str:
    color, mark = MARKS[finding.level]
    return f'<span style="color:{color}"><b>{mark}</b></span> {escape(finding.text)}'


def _estimate(voxels: int, options: EngineOptions) -> str:
    expected = estimate(voxels, options.quality, options.device, options.tile)
    if expected.on_gpu:
        text = _("Less than the {seconds} s of two CPU cores; about {memory} GB of memory beside the GPU's")
    elif options.device == "auto":
        text = _("About {seconds} s on two CPU cores, less on a GPU; about {memory} GB of memory")
    else:
        text = _("About {seconds} s on two CPU cores; about {memory} GB of memory")
    words = text.format(seconds=expected.seconds, memory=expected.gigabytes)
    return f'<span style="color:#808080">{escape(words)}</span>'
