"""What stands between a volume node and a run: transforms, sequences, modality; told in plain words.

Each problem names its fix where there is one, and the fixes are functions here.
"""

from __future__ import annotations

from dataclasses import dataclass

import slicer
import vtk

from liverseg.errors import InputRefused, LiverSegError
from liverseg.volume import Source
from liverseg_mrml.preflight_words import in_users_language
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.translation import _
from liverseg_mrml.volume_node import volume_of

# What fixes a problem.
HARDEN, FORCE, COPY_FRAME = "harden", "force", "copy_frame"
MODALITY_ATTRIBUTE = "DICOM.Modality"


@dataclass(frozen=True)
class Finding:
    """One sentence of the pre-flight: "good", "warning" or "refused", and its fix (None: nothing here)."""

    level: str
    text: str
    fix: str | None = None


@dataclass(frozen=True)
class Preflight:
    """Whether a volume node can be read out, and why.

    Attributes:
        findings: good news last.
        voxels: of the volume; 0 where it has none.
    """

    findings: tuple[Finding, ...]
    voxels: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing was refused."""
        return all(finding.level != "refused" for finding in self.findings)


def preflight(scene: Scene, node: Node, force: bool = False) -> Preflight:
    """Look at a volume node as the engine will. Changes nothing.

    Args:
        force: take gray values that are no plausible Hounsfield units.
    """
    from liverseg.checks import check_volume  # noqa: PLC0415

    transform = _transform_findings(node)
    if any(finding.level == "refused" for finding in transform):
        return Preflight(transform)
    modality = modality_of(scene, node)
    try:
        ct = volume_of(node, Source(kind="scene", modality=modality))
        checked = check_volume(ct, force=force)
    except LiverSegError as error:
        text = str(error).replace(" (--force reads it all the same).", ".")
        fix = FORCE if "--force" in str(error) else None
        return Preflight((*transform, Finding("refused", in_users_language(text), fix)))
    k, j, i = ct.geometry.shape
    spacing = " x ".join(f"{s:.2g}" for s in ct.geometry.spacing_ijk)
    size = " x ".join(f"{n * s:.0f}" for n, s in zip((i, j, k), ct.geometry.spacing_ijk, strict=True))
    low, high = checked.facts["hu_range"]
    findings = [*transform, *_sequence_findings(scene, node)]
    findings += [
        Finding("warning", in_users_language(text.replace(" (read because of --force)", "")))
        for text in checked.warnings
    ]
    findings.append(Finding("good", _modality_and_values(modality, low, high)))
    findings.append(
        Finding(
            "good",
            _("{i} x {j} x {k} voxels of {spacing} mm, covering {size} mm").format(
                i=i, j=j, k=k, spacing=spacing, size=size
            ),
        )
    )
    return Preflight(tuple(findings), i * j * k)


def _modality_and_values(modality: str | None, low: float, high: float) -> str:
    values = {"low": f"{low:.0f}", "high": f"{high:.0f}"}
    if modality:
        return _("{modality} with {low} to {high} HU").format(modality=modality, **values)
    return _("{low} to {high} HU; the modality is not known").format(**values)


def modality_of(scene: Scene, node: Node) -> str | None:
    """The DICOM modality that the subject hierarchy knows of a volume, or None."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    return (hierarchy.GetItemAttribute(item, MODALITY_ATTRIBUTE) or None) if item else None


def harden_transform(node: Node) -> None:
    """Apply a volume's parent transforms to it. Linear ones move its grid, others resample its voxels.

    Raises:
        InputRefused: MRML could not apply them.
    """
    if not node.HardenTransform():
        raise InputRefused(
            _("the transform of {name} could not be applied; resample the volume").format(name=node.GetName())
        )


def sequence_frame(scene: Scene, node: Node) -> tuple[str, int, int] | None:
    """The browser's name, the current frame (from 1) and their number, for a volume that shows a sequence."""
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(n, "vtkMRMLSequenceBrowserNode")
        if browser.IsProxyNodeID(node.GetID()) and browser.GetNumberOfItems() > 1:
            return browser.GetName(), browser.GetSelectedItemNumber() + 1, browser.GetNumberOfItems()
    return None


def copy_current_frame(scene: Scene, node: Node) -> Node:
    """A volume node of its own with the current frame, which stays when the browser goes on.

    Raises:
        InputRefused: the volume shows no sequence.
    """
    frame = sequence_frame(scene, node)
    if frame is None:
        raise InputRefused(_("{name} shows no sequence; use it as it is").format(name=node.GetName()))
    name = f"{node.GetName()} frame {frame[1]}"
    return slicer.vtkSlicerVolumesLogic.CloneVolume(scene, node, name)


def _transform_findings(node: Node) -> tuple[Finding, ...]:
    parent = node.GetParentTransformNode()
    if parent is None:
        return ()
    if not parent.IsTransformToWorldLinear():
        name = parent.GetName()
        if "acquisition" in name.lower():
            text = _(
                'The transform "{name}" spaces or tilts the slices unevenly, so no length could be measured.'
            )
        else:
            text = _('The transform "{name}" bends the volume, so no length could be measured.')
        advice = _("Harden it to bring the volume onto an even grid.")
        return (
            Finding(
                "refused",
                f"{text.format(name=name)} {advice}",
                HARDEN,
            ),
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    if matrix.IsIdentity():
        return ()
    return (
        Finding(
            "warning",
            _('The volume is moved by the transform "{name}"; results follow it.').format(
                name=parent.GetName()
            ),
            HARDEN,
        ),
    )


def _sequence_findings(scene: Scene, node: Node) -> tuple[Finding, ...]:
    frame = sequence_frame(scene, node)
    if frame is None:
        return ()
    text = _('Frame {number} of {count} of "{name}" is read out, as a volume of its own.')
    words = text.format(number=frame[1], count=frame[2], name=frame[0])
    return (Finding("warning", words, COPY_FRAME),)
