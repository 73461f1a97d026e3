"""The masks of a case as one segmentation node.

Liver, Couinaud segments, lesions and vessels overlap, so each is a layer of its own: one labelmap shared by
all segments of that kind, cropped to what is drawn. That is the form Slicer itself brings segments into
when it saves them, made here at once instead of by collapsing twenty labelmaps of a whole CT.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from liverseg.case import Case
from liverseg.geometry import bounding_box
from liverseg.segment_tags import (
    COUINAUD_LAYER,
    KEY,
    LESION_LAYER,
    LIVER_LAYER,
    VESSEL_LAYER,
    Segment,
    segments_of,
)
from liverseg_mrml.grids import labelmap, parent_matrix
from liverseg_mrml.scene import Node, Scene, register_surface_rule

# 3D opacity: the lesions and vessels are seen through the liver and its segments.
OPACITY_3D = {LIVER_LAYER: 0.15, COUINAUD_LAYER: 0.25, LESION_LAYER: 1.0, VESSEL_LAYER: 1.0}
# In slices only outlines, over the gray values that people read; Couinaud segments get a hint of a fill.
FILL_2D = {LIVER_LAYER: 0.0, COUINAUD_LAYER: 0.2, LESION_LAYER: 0.0, VESSEL_LAYER: 0.3}
# Between smooth and true: at 0.5 (Slicer's default) a lesion of a few voxels shrinks visibly.
SMOOTHING = "0.3"


def binary_labelmap_name() -> str:
    """The name of the representation by voxels."""
    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def closed_surface_name() -> str:
    """The name of the representation by surfaces."""
    return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())


def add_segmentation(scene: Scene, case: Case, volume_node: Node, name: str) -> Node:
    """A segmentation node with all segments of a case, their closed surfaces and how they are shown.

    Args:
        volume_node: the case's CT, whose grid becomes the segmentation's reference geometry.
    """
    register_surface_rule()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(binary_labelmap_name())
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
    # Flying edges. Surface nets (method 1) take two thirds of the time, but orient the polygons of segments
    # that share a labelmap at random: measured on such a surface, a segment's volume comes out anyhow.
    segmentation.SetConversionParameter(rule.GetConversionMethodParameterName(), "0")
    segmentation.SetConversionParameter(rule.GetSmoothingFactorParameterName(), SMOOTHING)
    write_segments(node, case)
    return node


def write_segments(node: Node, case: Case) -> None:
    """Bring a segmentation node's LiverSeg segments up to a case; other segments are left alone.

    Segments are matched by their tags. New ones get names and colors; those that are there keep theirs,
    because people rename and recolor them. Segments of lesions that are gone are removed. All share one
    labelmap a layer afterwards, and the closed surfaces are made anew.
    """
    modified = node.StartModify()
    segmentation = node.GetSegmentation()
    segmentation.RemoveRepresentation(closed_surface_name())
    present = segment_ids(node)
    wanted = segments_of(case)
    for key in present.keys() - {segment.structure.key for segment in wanted}:
        segmentation.RemoveSegment(present[key])
    to_local = np.linalg.inv(parent_matrix(node)) @ case.ct.geometry.ijk_to_ras
    images = {layer: _layer_image(case, layer, to_local) for layer in {s.layer for s in wanted}}
    for segment in wanted:
        segment_id = present.get(segment.structure.key)
        if segment_id is None:
            _add_segment(node, segment, images[segment.layer])
        else:
            _update_segment(segmentation.GetSegment(segment_id), segment, images[segment.layer])
    segmentation.CreateRepresentation(closed_surface_name())
    node.EndModify(modified)


def segment_ids(node: Node) -> dict[str, str]:
    """Segment ids by the key in the segment's tags; the first one where a key repeats."""
    segmentation = node.GetSegmentation()
    found: dict[str, str] = {}
    for n in range(segmentation.GetNumberOfSegments()):
        key = get_tag(segmentation.GetNthSegment(n), KEY)
        if key:
            found.setdefault(key, segmentation.GetNthSegmentID(n))
    return found


def get_tag(segment: Any, name: str) -> str | None:
    """The value of a segment's tag, or None."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else None


def _layer_image(case: Case, layer: str, ijk_to_local: np.ndarray) -> Any:
    array = getattr(case.masks, layer)
    kind = np.uint16 if array.dtype != bool and array.max(initial=0) > 255 else np.uint8
    return labelmap(array.astype(kind, copy=False), ijk_to_local, bounding_box(array))


def _add_segment(node: Node, wanted: Segment, image: Any) -> None:
    structure = wanted.structure
    segment = slicer.vtkSegment()
    segment.SetName(structure.name)
    segment.SetColor([value / 255 for value in structure.color])
    # Otherwise Slicer's terminology selector writes its own over them.
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    _update_segment(segment, wanted, image)
    segmentation = node.GetSegmentation()
    segment_id = structure.key
    if segmentation.GetSegment(segment_id) is not None:
        segment_id = segmentation.GenerateUniqueSegmentID(segment_id)
    segmentation.AddSegment(segment, segment_id)
    show_as_layer(node, segment_id, wanted.layer)


def show_as_layer(node: Node, segment_id: str, layer: str) -> None:
    """Give a segment the opacities of its kind."""
    display = node.GetDisplayNode()
    display.SetSegmentOpacity3D(segment_id, OPACITY_3D[layer])
    display.SetSegmentOpacity2DFill(segment_id, FILL_2D[layer])
    display.SetSegmentVisibility2DFill(segment_id, FILL_2D[layer] > 0)


def _update_segment(segment: Any, wanted: Segment, image: Any) -> None:
    for name, value in wanted.tags.items():
        segment.SetTag(name, value)
    segment.SetLabelValue(wanted.structure.label)
    segment.AddRepresentation(binary_labelmap_name(), image)
