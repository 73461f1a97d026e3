"""Long and short axes of lesions as line nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liverseg.case import LesionReadout, Point
from liverseg.segment_tags import LESION_ID
from liverseg_mrml.scene import Node, Scene

AXIS = "LiverSeg.Axis"
LONG, SHORT = "long", "short"
SEGMENTATION_ROLE = "LiverSeg.Segmentation"
# Yellow and white stand out from every color of a segment and from gray.
COLORS = {LONG: (1.0, 0.85, 0.1), SHORT: (1.0, 1.0, 1.0)}


@dataclass(frozen=True, eq=False)
class AxisLines:
    """The two ``vtkMRMLMarkupsLineNode`` of one lesion; their points are RAS mm."""

    long: Node
    short: Node


def place_axes(
    scene: Scene, segmentation: Node, lesion: LesionReadout, present: Mapping[str, Node]
) -> AxisLines:
    """Put a lesion's axes where its read-out says: nodes that are there are moved, others made.

    Args:
        segmentation: the segmentation node the lesion belongs to; lines stand under its transform.
        present: the lesion's line nodes by "long" and "short".
    """
    points = {LONG: lesion.long_axis_points_ras_mm, SHORT: lesion.short_axis_points_ras_mm}
    lines = {}
    for axis, ends in points.items():
        node = present.get(axis) or _new_line(scene, segmentation, lesion.id, axis)
        _place(node, segmentation, ends)
        lines[axis] = node
    return AxisLines(lines[LONG], lines[SHORT])


def axes_of(scene: Scene, segmentation: Node) -> dict[int, dict[str, Node]]:
    """The line nodes that belong to a segmentation node: by lesion id, then by "long" and "short"."""
    found: dict[int, dict[str, Node]] = {}
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLMarkupsLineNode")
        lesion_id, axis = node.GetAttribute(LESION_ID), node.GetAttribute(AXIS)
        belongs = node.GetNodeReferenceID(SEGMENTATION_ROLE) == segmentation.GetID()
        if belongs and axis in COLORS and lesion_id and lesion_id.isdecimal():
            found.setdefault(int(lesion_id), {})[axis] = node
    return found


def _new_line(scene: Scene, segmentation: Node, lesion_id: int, axis: str) -> Node:
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", f"Lesion {lesion_id} {axis} axis")
    node.SetAttribute(LESION_ID, str(lesion_id))
    node.SetAttribute(AXIS, axis)
    node.SetNodeReferenceID(SEGMENTATION_ROLE, segmentation.GetID())
    node.CreateDefaultDisplayNodes()
    # A line that a stray click moves would contradict the table.
    node.SetLocked(True)
    display = node.GetDisplayNode()
    display.SetSelectedColor(COLORS[axis])
    display.SetColor(COLORS[axis])
    display.SetGlyphScale(1.0)
    display.SetTextScale(2.5)
    display.SetPropertiesLabelVisibility(axis == LONG)
    display.SetPointLabelsVisibility(False)
    display.SetOccludedVisibility(True)
    return node


def _place(node: Node, segmentation: Node, ends: tuple[Point, Point]) -> None:
    modified = node.StartModify()
    node.SetAndObserveTransformNodeID(segmentation.GetTransformNodeID())
    node.SetLineStartPositionWorld(ends[0])
    node.SetLineEndPositionWorld(ends[1])
    node.EndModify(modified)
