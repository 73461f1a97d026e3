"""The CT as a scalar volume node."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.volume import Source, Volume
from liverseg_mrml.grids import (
    copy_into_image,
    from_vtk_matrix,
    image_array,
    parent_matrix,
    to_vtk_matrix,
    without_shear,
)
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.translation import _

# Window and level (HU) in which radiologists read the abdomen.
WINDOW, LEVEL = 400.0, 40.0


def add_volume(scene: Scene, ct: Volume, name: str) -> Node:
    """A ``vtkMRMLScalarVolumeNode`` with a copy of the CT's voxels, shown in an abdominal window."""
    image = vtk.vtkImageData()
    image.SetDimensions(ct.geometry.shape[::-1])
    copy_into_image(image, ct.array)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(to_vtk_matrix(ct.geometry.ijk_to_ras))
    node.SetAndObserveImageData(image)
    node.SetVoxelValueUnits(_hounsfield_units())
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(WINDOW, LEVEL)
    return node


def node_geometry(node: Node) -> Geometry:
    """The grid of a volume node in world RAS mm, its linear parent transforms included.

    Raises:
        InputRefused: the node has no voxels, or is under a transform that is not linear or shears it.
    """
    image = node.GetImageData()
    if image is None or image.GetNumberOfScalarComponents() != 1 or 0 in image.GetDimensions():
        raise InputRefused(
            _("{name} is not a volume with one gray value a voxel; choose the CT").format(name=node.GetName())
        )
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    i, j, k = image.GetDimensions()
    geometry = Geometry((k, j, i), parent_matrix(node) @ from_vtk_matrix(matrix))
    return without_shear(geometry, node.GetName())


def volume_of(node: Node, source: Source | None = None) -> Volume:
    """A copy of a volume node's voxels (k, j, i), int16 when they are integers and float32 otherwise.

    Raises:
        InputRefused: see :func:`node_geometry`.
    """
    geometry = node_geometry(node)
    voxels = image_array(node.GetImageData())
    kind = np.int16 if np.issubdtype(voxels.dtype, np.integer) else np.float32
    if kind is np.int16:
        voxels = np.clip(voxels, -32768, 32767)
    return Volume(np.array(voxels, dtype=kind), geometry, source or Source(kind="scene"))


def _hounsfield_units() -> Node:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    return entry
