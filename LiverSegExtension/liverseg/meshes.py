"""Closed triangle surfaces of masks, each with the volume of its mask.

Smoothing a surface shrinks what is small and round: a lesion of 10 mm loses several percent. Here the mask
is smoothed instead, and of all its level surfaces the one is taken that encloses as much as the mask does. A
level surface inside a box is always closed.

vtk is imported where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import brentq

from liverseg.geometry import Geometry, bounding_box

# Width of the smoothing in voxels along each axis: enough to hide the steps between voxels. Steps between
# thick slices are terraces, which only smoothing of that width within the slices hides; small structures,
# which it would make balls of, get less.
SIGMA_VOXELS = 0.7
SIGMA_DIAMETERS = 0.05
# And in units of the triangles' size, so that what is finer than a triangle does not make noise.
SIGMA_STEPS = 0.5
_TRUNCATE = 3.0
# Triangles for each diameter, within limits: a lesion of 10 mm stays round, a liver does not get a million.
STEPS_A_DIAMETER = 20
FINEST_MM, COARSEST_MM = 0.5, 1.5
# How near the enclosed volume comes to the mask's.
VOLUME_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface.

    Attributes:
        points: (n, 3) RAS mm.
        triangles: (m, 3) indices of points, counterclockwise as seen from outside.
    """

    points: npt.NDArray[np.float64]
    triangles: npt.NDArray[np.int64]

    @property
    def volume_ml(self) -> float:
        """What it encloses."""
        return signed_volume(self.points, self.triangles) / 1000.0


def signed_volume(points: npt.NDArray[np.float64], triangles: npt.NDArray[np.int64]) -> float:
    """What a closed surface encloses, in its points' unit cubed; negative when triangles face inwards."""
    a, b, c = (points[triangles[:, n]] for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6.0


def mesh_of(mask: np.ndarray, geometry: Geometry) -> Mesh | None:
    """The surface of a mask (bool, k, j, i) on its grid, sheared or not; None for an empty mask.

    Points are about a twentieth of the structure's diameter apart, 0.5 to 1.5 mm. The edge of the array is a
    surface where the mask touches it. Parts of a voxel or two beside something larger may come out rounder or
    vanish; the volume is that of the mask within 0.1 %.
    """
    box = bounding_box(mask)
    if box is None:
        return None
    voxels = int(np.count_nonzero(mask))
    spacing = np.array(geometry.spacing_kji)
    diameter = 2.0 * (voxels * geometry.voxel_volume_ml * 1000.0 * 0.75 / np.pi) ** (1 / 3)
    step = float(np.clip(diameter / STEPS_A_DIAMETER, FINEST_MM, COARSEST_MM))
    within_slices = min(SIGMA_VOXELS * float(spacing.max()), SIGMA_DIAMETERS * diameter)
    sigma = np.maximum(SIGMA_VOXELS, max(SIGMA_STEPS * step, within_slices) / spacing)
    margin = np.ceil(_TRUNCATE * sigma).astype(int) + 1
    field = np.pad(mask[box].astype(np.float32), [(m, m) for m in margin])
    field = ndimage.gaussian_filter(field, sigma, mode="constant", truncate=_TRUNCATE)
    points_along = np.maximum(np.ceil((np.array(field.shape) - 1) * spacing / step).astype(int) + 1, 2)
    factors = points_along / np.array(field.shape)
    field = ndimage.zoom(field, factors, order=1, mode="nearest")
    scale = (np.array(mask[box].shape) + 2 * margin - 1) / (np.array(field.shape) - 1)
    start = np.array([b.start for b in box]) - margin

    index, triangles = _surface_of_volume(field, voxels / float(np.prod(scale)))
    points = geometry.to_ras(index * scale + start)
    if signed_volume(points, triangles) < 0:
        triangles = triangles[:, ::-1]
    return Mesh(points, np.ascontiguousarray(triangles))


def _surface_of_volume(
    field: np.ndarray, voxels: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The level surface that encloses so many voxels: points (n, 3) in (k, j, i) and triangles."""
    image = vtk_image(field)

    def surplus(level: float) -> float:
        points, triangles = _level_surface(image, level)
        return abs(signed_volume(points, triangles)) - voxels if len(triangles) else -voxels

    top = float(field.max())
    # Between the smallest levels that still mean something and the peak, volumes fall from above to zero.
    level = brentq(surplus, 1e-3 * top, (1 - 1e-3) * top, rtol=1e-6, xtol=VOLUME_TOLERANCE * 0.1 * top)
    return _level_surface(image, level)


def _level_surface(image: Any, level: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, level)
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    surface = edges.GetOutput()
    if surface.GetNumberOfCells() == 0:
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    points = vtk_to_numpy(surface.GetPoints().GetData())[:, ::-1].astype(np.float64)
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    return points, triangles


def vtk_image(array: np.ndarray, spacing_kji: npt.ArrayLike = (1.0, 1.0, 1.0)) -> Any:
    """A ``vtkImageData`` of an array (k, j, i); its points run along i, j, k."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(array.shape))
    image.SetSpacing(*(float(s) for s in reversed(np.asarray(spacing_kji))))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image
