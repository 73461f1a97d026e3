"""A checksum of what a case's segments hold, so that most often no voxels need be read out to see an edit.

Whole comparisons (:func:`liverseg_mrml.edited_parts.edited_parts`) bring every segment onto the CT's grid and
mend them, which takes seconds. Here the labelmaps are taken as they are. Equal checksums mean that nothing
was edited; others mean that it has to be looked at (``scripts/benchmark_show.py``).
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from scipy import ndimage

from liverseg import segment_tags
from liverseg.errors import InputRefused
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.closed_surfaces import binary_labelmap_name
from liverseg_mrml.grids import from_vtk_matrix, image_array, parent_matrix
from liverseg_mrml.segmentation_node import get_tag

DRAWN = "LiverSeg.Drawn"
# World coordinates (mm) that differ by less are the same: saving and reading a scene rounds them.
_PLACE_DECIMALS = 3
# What decides what a segment is; reviews and the rest change no number.
_TAGS = (segment_tags.KEY, segment_tags.LESION_ID, segment_tags.TERMINOLOGY_TAG)


def drawn_checksum(nodes: CaseNodes) -> str:
    """The checksum of all segments and of the CT around them; "" where a transform is not linear.

    Neither the order in which voxels are stored, nor empty margins, nor which segments share a labelmap
    changes it, so that it outlives saving and reading a scene.
    """
    segmentation = nodes.segmentation.GetSegmentation()
    told: list[object] = []
    try:
        layers = _Layers(parent_matrix(nodes.segmentation))
        for n in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(n)
            image = segment.GetRepresentation(binary_labelmap_name())
            if image is None:
                return ""
            tags = [get_tag(segment, tag) for tag in _TAGS]
            told.append((segment.GetName(), *tags, layers.voxels(image, int(segment.GetLabelValue()))))
        told.append(_of_ct(nodes))
    except InputRefused:
        return ""
    return hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()


def keep_drawn_checksum(nodes: CaseNodes) -> None:
    """Remember what the numbers in a scene were measured from."""
    nodes.segmentation.SetAttribute(DRAWN, drawn_checksum(nodes))


def is_as_measured(nodes: CaseNodes) -> bool:
    """Whether the segments surely are those that were measured; False where that is not known."""
    kept = nodes.segmentation.GetAttribute(DRAWN)
    return bool(kept) and kept == drawn_checksum(nodes)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A labelmap in canonical order, where it lies, and the box of each label."""

    array: np.ndarray
    grid: Geometry
    boxes: list[tuple[slice, slice, slice] | None]


class _Layers:
    """The labelmaps of a segmentation; one that many segments share is searched once."""

    def __init__(self, parent: np.ndarray) -> None:
        self._parent = parent
        self._known: list[tuple[Any, _Layer | None]] = []

    def voxels(self, image: Any, label: int) -> tuple[object, ...]:
        """Where the voxels of a label lie in the world, and their checksum."""
        layer = self._layer(image)
        box = layer.boxes[label - 1] if layer is not None and 0 < label <= len(layer.boxes) else None
        if layer is None or box is None:
            return ("empty",)
        drawn = layer.array[box] == label
        return (drawn.shape, _place(layer.grid.cropped(box)), _checksum(drawn))

    def _layer(self, image: Any) -> _Layer | None:
        for known, layer in self._known:
            if known is image:
                return layer
        self._known.append((image, self._read(image)))
        return self._known[-1][1]

    def _read(self, image: Any) -> _Layer | None:
        array = image_array(image)
        if array.size == 0:
            return None
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        lattice = Geometry(array.shape, self._parent @ from_vtk_matrix(matrix))
        # The image's first voxel has the index of its extent's lower corner.
        i, j, k = image.GetExtent()[::2]
        first = lattice.ijk_to_ras.copy()
        first[:3, 3] = lattice.to_ras((k, j, i))
        whole = Geometry(array.shape, first)
        order = CanonicalOrder.of(whole)
        turned = np.ascontiguousarray(order.apply(array))
        return _Layer(turned, order.geometry(whole), ndimage.find_objects(turned))


def _of_ct(nodes: CaseNodes) -> tuple[object, ...]:
    """Where the CT's voxels lie, and the checksum of their gray values."""
    image = nodes.volume.GetImageData()
    if image is None:
        raise InputRefused("")
    matrix = vtk.vtkMatrix4x4()
    nodes.volume.GetIJKToRASMatrix(matrix)
    array = image_array(image)
    whole = Geometry(array.shape, parent_matrix(nodes.volume) @ from_vtk_matrix(matrix))
    order = CanonicalOrder.of(whole)
    turned = np.ascontiguousarray(order.apply(array))
    return (array.dtype.str, turned.shape, _place(order.geometry(whole)), _checksum(turned))


def _place(grid: Geometry) -> list[list[float]]:
    # Minus zero is zero.
    return (np.round(grid.ijk_to_ras, _PLACE_DECIMALS) + 0.0).tolist()


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B"))
