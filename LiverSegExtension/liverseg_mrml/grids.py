"""Between numpy arrays (k, j, i) with a :class:`~liverseg.geometry.Geometry` and VTK images."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from liverseg import label_grids
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg_mrml.translation import _

# Cosine between axes above which a grid counts as sheared (0.1 degree).
SHEAR = 0.002

Box = tuple[slice, slice, slice]


def to_vtk_matrix(matrix: np.ndarray) -> Any:
    """A ``vtkMatrix4x4`` from a 4x4 array."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=float).ravel().tolist())
    return result


def from_vtk_matrix(matrix: Any) -> np.ndarray:
    """A 4x4 array from a ``vtkMatrix4x4``."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def parent_matrix(node: Any) -> np.ndarray:
    """4x4: from a node's own coordinates to world RAS mm, through its parent transforms.

    Raises:
        InputRefused: a parent transform is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    parent = node.GetParentTransformNode()
    if parent is not None and not parent.GetMatrixTransformToWorld(matrix):
        raise InputRefused(
            _("{name} is under a transform that is not linear; harden the transform and try again").format(
                name=node.GetName()
            )
        )
    return from_vtk_matrix(matrix)


def without_shear(geometry: Geometry, name: str) -> Geometry:
    """The grid itself.

    Raises:
        InputRefused: its axes are not at right angles, so that no slice or length could be measured.
    """
    cosines = geometry.directions.T @ geometry.directions - np.eye(3)
    if np.abs(cosines).max() > SHEAR:
        raise InputRefused(
            _("{name} is sheared by its transform; resample it onto an upright grid").format(name=name)
        )
    return geometry


def image_array(image: Any) -> np.ndarray:
    """A (k, j, i) view of an image's scalars; it is valid as long as the image lives and is not changed."""
    i, j, k = image.GetDimensions()
    scalars = image.GetPointData().GetScalars()
    if scalars is None or i * j * k == 0:
        return np.zeros((0, 0, 0), dtype=np.uint8)
    return numpy_support.vtk_to_numpy(scalars).reshape(k, j, i)


def copy_into_image(image: Any, array: np.ndarray) -> None:
    """Give an image a copy of an array (k, j, i); its extent must have the array's size already."""
    scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)


def labelmap(array: np.ndarray, ijk_to_ras: np.ndarray, box: Box | None) -> Any:
    """A ``vtkOrientedImageData`` with a copy of ``array[box]``, on the lattice of the whole grid.

    Args:
        array: labels (k, j, i) on the whole grid, uint8 or uint16.
        ijk_to_ras: 4x4 of the whole grid.
        box: what to take; None for an image without voxels.
    """
    image = slicer.vtkOrientedImageData()
    if box is None:
        image.SetExtent(0, -1, 0, -1, 0, -1)
    else:
        image.SetExtent([bound for s in reversed(box) for bound in (s.start, s.stop - 1)])
        copy_into_image(image, array[box])
    image.SetGeometryFromImageToWorldMatrix(to_vtk_matrix(ijk_to_ras))
    return image


def onto_grid(image: Any, parent: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, bool]:
    """An image's labels on a grid (k, j, i), 0 where the image has none, and whether some fell outside.

    Exact when the image lies on the grid's own lattice, also when flipped or permuted, as a left-handed
    grid is after a scene was saved and read. Otherwise each voxel takes the nearest label.

    Args:
        image: ``vtkOrientedImageData`` of whole-numbered labels, of any extent.
        parent: 4x4 from the image's world coordinates to RAS mm (:func:`parent_matrix`).
        geometry: the grid wanted.
    """
    array = image_array(image)
    if array.size == 0:
        return np.zeros(geometry.shape, dtype=array.dtype), False
    to_world = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(to_world)
    whole = Geometry(array.shape, parent @ from_vtk_matrix(to_world))
    # The image's first voxel has the index of its extent's lower corner.
    i, j, k = image.GetExtent()[::2]
    matrix = whole.ijk_to_ras.copy()
    matrix[:3, 3] = whole.to_ras((k, j, i))
    try:
        return label_grids.onto_grid(array, Geometry(array.shape, matrix), geometry, "a segment")
    except InputRefused:
        return _nearest(image, parent, geometry), False


def _nearest(image: Any, parent: np.ndarray, geometry: Geometry) -> np.ndarray:
    reference = slicer.vtkOrientedImageData()
    k, j, i = geometry.shape
    reference.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
    reference.SetGeometryFromImageToWorldMatrix(to_vtk_matrix(geometry.ijk_to_ras))
    transform = vtk.vtkTransform()
    transform.SetMatrix(to_vtk_matrix(parent))
    resampled = slicer.vtkOrientedImageData()
    done = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image, reference, resampled, False, False, transform
    )
    if not done:
        raise InputRefused(_("a segment could not be brought onto the CT's grid; check its transform"))
    return image_array(resampled).copy()
