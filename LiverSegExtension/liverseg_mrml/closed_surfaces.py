"""The closed surfaces of a segmentation node's segments, made fast and facing outwards.

Slicer's own rule (``vtkBinaryLabelmapToClosedSurfaceConversionRule``) has two methods. Flying edges go over
the labelmap of the whole layer for every segment, and take more from a small lesion than surface nets do.
Surface nets turn polygons the wrong way where segments share a labelmap, as ours do. Here each segment is cut
out into a labelmap of its own first, on which surface nets are right (``scripts/benchmark_surfaces.py``).

After an edit Slicer makes the surfaces itself, by the method that the segmentation's parameters name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from scipy import ndimage

from liverseg_mrml.grids import copy_into_image, image_array
from liverseg_mrml.scene import Node

FLYING_EDGES, SURFACE_NETS = "0", "1"
# Between smooth and true: at 0.5 (Slicer's default) a lesion of a few voxels shrinks visibly.
SMOOTHING = 0.3


def binary_labelmap_name() -> str:
    """The name of the representation by voxels."""
    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def closed_surface_name() -> str:
    """The name of the representation by surfaces."""
    return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())


def set_smoothing(node: Node, factor: float) -> None:
    """Keep how smooth the surfaces are (0..1), for :func:`make_surfaces` and for Slicer after an edit."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
    segmentation = node.GetSegmentation()
    segmentation.SetConversionParameter(rule.GetSmoothingFactorParameterName(), f"{factor:g}")
    # The one method of Slicer's that is right on labelmaps which segments share.
    segmentation.SetConversionParameter(rule.GetConversionMethodParameterName(), FLYING_EDGES)


def make_surfaces(node: Node) -> None:
    """Make the closed surfaces of all segments anew, with the smoothing that the segmentation has.

    Surfaces lie in the node's own coordinates (mm), are closed, and their polygons run counterclockwise as
    seen from outside, also on grids that are left-handed.
    """
    # A 3D view that hears of a segment without a surface would make all of them in Slicer's way at once.
    modified = node.StartModify()
    segmentation = node.GetSegmentation()
    segmentation.RemoveRepresentation(closed_surface_name())
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule()
    smoothing = rule.GetSmoothingFactorParameterName()
    rule.SetConversionParameter(smoothing, segmentation.GetConversionParameter(smoothing))
    rule.SetConversionParameter(rule.GetConversionMethodParameterName(), SURFACE_NETS)
    layers = _Layers()
    for n in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(n)
        image = segment.GetRepresentation(binary_labelmap_name())
        if image is None:
            continue
        alone = layers.cut_out(image, int(segment.GetLabelValue()))
        surface = vtk.vtkPolyData() if alone is None else _surface(rule, alone)
        segment.AddRepresentation(closed_surface_name(), surface)
    # Segments that have no labelmap yet; nothing where all have a surface.
    segmentation.CreateRepresentation(closed_surface_name())
    node.EndModify(modified)


class _Layers:
    """Cuts segments out of their labelmaps; one that many share is searched once."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, np.ndarray, list[Any]]] = []

    def cut_out(self, image: Any, label: int) -> Any | None:
        """A labelmap with the voxels of one label alone (as 1) in their box; None where there are none."""
        array, boxes = self._of(image)
        box = boxes[label - 1] if 0 < label <= len(boxes) else None
        if box is None:
            return None
        low = image.GetExtent()[::2]
        alone = slicer.vtkOrientedImageData()
        alone.SetExtent(
            [
                start + bound
                for start, part in zip(low, reversed(box), strict=True)
                for bound in (part.start, part.stop - 1)
            ]
        )
        copy_into_image(alone, (array[box] == label).astype(np.uint8))
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        alone.SetGeometryFromImageToWorldMatrix(matrix)
        return alone

    def _of(self, image: Any) -> tuple[np.ndarray, list[Any]]:
        for known, array, boxes in self._known:
            if known is image:
                return array, boxes
        array = image_array(image)
        self._known.append((image, array, ndimage.find_objects(array) if array.size else []))
        return self._known[-1][1:]


def _surface(rule: Any, alone: Any) -> Any:
    """The surface of a labelmap's voxels of value 1, with normals for smooth shading."""
    segment = slicer.vtkSegment()
    segment.SetLabelValue(1)
    segment.AddRepresentation(binary_labelmap_name(), alone)
    rule.Convert(segment)
    surface = segment.GetRepresentation(closed_surface_name())
    surface.GetCellData().Initialize()
    matrix = vtk.vtkMatrix4x4()
    alone.GetImageToWorldMatrix(matrix)
    normals = vtk.vtkPolyDataNormals()
    if matrix.Determinant() < 0:
        turned = vtk.vtkReverseSense()
        turned.SetInputData(surface)
        turned.ReverseCellsOn()
        turned.ReverseNormalsOff()
        normals.SetInputConnection(turned.GetOutputPort())
    else:
        normals.SetInputData(surface)
    normals.SplittingOff()
    # Polygons are consistent already.
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()
