"""Which volume renderings belong to a case: shown, hidden and removed with it. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.node_removal import remove_display, remove_node
from liverseg_mrml.scene import Node, Scene

MASKED, CONTRAST, SURFACE = "liver", "contrast", "surface"
# References of the segmentation node to the volumes made for a rendering.
VOLUME_ROLES = {MASKED: "LiverSeg.MaskedVolume", CONTRAST: "LiverSeg.ContrastVolume"}
# Attribute of a volume that was made for a rendering: the masks were edited since.
STALE = "LiverSeg.Stale"
# Attribute of a rendering of the CT itself that was made here; another one is the user's own.
OURS = "LiverSeg.Rendering"


def rendering_display(logic: Any, volume: Node) -> Node:
    """The volume rendering display node of a volume, made and marked as ours where there is none.

    Args:
        logic: ``vtkSlicerVolumeRenderingLogic``.
        volume: a CT, or what :func:`liverseg_mrml.views3d.rendering_volume` made.
    """
    present = next(_displays(volume), None)
    display = logic.CreateDefaultVolumeRenderingNodes(volume)
    if present is None:
        display.SetAttribute(OURS, "1")
    return display


def shown_rendering(nodes: CaseNodes) -> str | None:
    """Which of a case's renderings is visible: "liver", "contrast", "surface" (of the CT), or None."""
    for kind, volume in _volumes(nodes):
        if any(display.GetVisibility() for display in _displays(volume)):
            return kind
    return None


def set_renderings_stale(nodes: CaseNodes) -> None:
    """Mark the volumes that were made of the masks as older than those; made anew, they are no more."""
    for role in VOLUME_ROLES.values():
        volume = nodes.segmentation.GetNodeReference(role)
        if volume is not None:
            volume.SetAttribute(STALE, "1")


def shown_rendering_is_stale(nodes: CaseNodes) -> bool:
    """Whether what is rendered shows the masks as they were before an edit."""
    kind = shown_rendering(nodes)
    if kind not in VOLUME_ROLES:
        return False
    return bool(nodes.segmentation.GetNodeReference(VOLUME_ROLES[kind]).GetAttribute(STALE) == "1")


def hide_renderings(nodes: CaseNodes, surface: bool = True) -> None:
    """Hide a case's volume renderings.

    Args:
        surface: also the iso-surface of the CT, which other cases of the CT have in common.
    """
    for kind, volume in _volumes(nodes):
        if kind != SURFACE or surface:
            for display in _displays(volume):
                display.SetVisibility(False)


def remove_renderings(scene: Scene, nodes: CaseNodes, surface: bool = True) -> None:
    """Take the volumes that were made for a case's renderings out of the scene, with their display nodes.

    Args:
        surface: also the iso-surface of the CT, where it was made here.
    """
    for kind, volume in list(_volumes(nodes)):
        if kind != SURFACE:
            remove_node(scene, volume)
        elif surface:
            for display in list(_displays(volume)):
                if display.GetAttribute(OURS):
                    remove_display(scene, display)


def _volumes(nodes: CaseNodes) -> Iterator[tuple[str, Node]]:
    for kind, role in VOLUME_ROLES.items():
        volume = nodes.segmentation.GetNodeReference(role)
        if volume is not None:
            yield kind, volume
    yield SURFACE, nodes.volume


def _displays(volume: Node) -> Iterator[Node]:
    for n in range(volume.GetNumberOfDisplayNodes()):
        display = volume.GetNthDisplayNode(n)
        if display is not None and display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
            yield display
