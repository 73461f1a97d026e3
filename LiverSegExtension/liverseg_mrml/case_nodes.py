"""The nodes that show one case, and how to find them again in a scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import slicer

from liverseg_mrml.markups import AxisLines, axes_of
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.subject_hierarchy import folder_of

# Attribute of the segmentation node: the read-out as JSON (liverseg_mrml.readout_json).
READOUT = "LiverSeg.Readout"
TABLE_ROLE = "LiverSeg.LesionTable"
# The points that a Couinaud split may go by (liverseg_mrml.landmark_points).
LANDMARKS_ROLE = "LiverSeg.Landmarks"


@dataclass(frozen=True, eq=False)
class CaseNodes:
    """Where a case is in a scene.

    Attributes:
        volume: ``vtkMRMLScalarVolumeNode``, the CT.
        segmentation: ``vtkMRMLSegmentationNode``; its attributes hold the read-out.
        table: ``vtkMRMLTableNode``, one row a lesion.
        axes: long and short axis of each lesion, by lesion id.
        folder: subject hierarchy item that holds the nodes, valid in this scene only.
    """

    volume: Node
    segmentation: Node
    table: Node
    axes: dict[int, AxisLines]
    folder: int

    def nodes(self) -> Iterator[Node]:
        """All nodes, the CT first."""
        yield from (self.volume, self.segmentation, self.table)
        for lines in self.axes.values():
            yield from (lines.long, lines.short)
        if self.landmarks is not None:
            yield self.landmarks

    @property
    def landmarks(self) -> Node | None:
        """``vtkMRMLMarkupsFiducialNode`` with the landmarks of the Couinaud split, once they were shown."""
        return self.segmentation.GetNodeReference(LANDMARKS_ROLE)


def find_case_nodes(scene: Scene) -> list[CaseNodes]:
    """The cases in a scene, for one that was opened from a file.

    Cases whose CT or table was deleted are left out.
    """
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    found = []
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        segmentation = scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode")
        volume, table = segmentation.GetNodeReference(role), segmentation.GetNodeReference(TABLE_ROLE)
        if segmentation.GetAttribute(READOUT) is None or volume is None or table is None:
            continue
        axes = {
            lesion_id: AxisLines(lines["long"], lines["short"])
            for lesion_id, lines in sorted(axes_of(scene, segmentation).items())
            if len(lines) == 2
        }
        found.append(CaseNodes(volume, segmentation, table, axes, folder_of(scene, segmentation)))
    return found
