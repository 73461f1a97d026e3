"""Where voxels lie: array axes, spacing, and the way to world coordinates.

Arrays are in (k, j, i) order, as SimpleITK and VTK give them: ``array[k, j, i]``, where ``i`` runs
fastest in memory. World coordinates are RAS millimeters: positive towards the patient's right,
anterior and superior.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a volume.

    Attributes:
        shape: number of voxels (k, j, i).
        ijk_to_ras: 4x4 affine from voxel indices (i, j, k), at voxel centers, to RAS mm.
    """

    shape: tuple[int, int, int]
    ijk_to_ras: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        matrix.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "ijk_to_ras", matrix)

    @cached_property
    def spacing_ijk(self) -> npt.NDArray[np.float64]:
        """Voxel size in mm along i, j, k."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def spacing_kji(self) -> tuple[float, float, float]:
        """Voxel size in mm in array order (k, j, i)."""
        i, j, k = self.spacing_ijk
        return float(k), float(j), float(i)

    @cached_property
    def voxel_volume_ml(self) -> float:
        """|det| of the affine, in milliliters."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3])) / 1000.0)

    @cached_property
    def directions(self) -> npt.NDArray[np.float64]:
        """3x3, columns are the unit vectors of i, j, k in RAS."""
        return self.ijk_to_ras[:3, :3] / self.spacing_ijk

    def to_ras(self, kji: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """World position (RAS mm) of array indices (..., 3) given in (k, j, i) order; fractions allowed."""
        ijk = np.asarray(kji, dtype=np.float64)[..., ::-1]
        return ijk @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def to_kji(self, ras: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Array indices (k, j, i), fractional, of world positions (..., 3) in RAS mm."""
        inverse = np.linalg.inv(self.ijk_to_ras)
        ijk = np.asarray(ras, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
        return ijk[..., ::-1]

    def matches(self, other: Geometry, tolerance_mm: float = 0.01) -> bool:
        """True when both grids have the same shape and no corner lies further apart than the tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1).T
        distance = np.linalg.norm(self.to_ras(corners) - other.to_ras(corners), axis=1)
        return bool(distance.max() <= tolerance_mm)

    def cropped(self, box: tuple[slice, slice, slice]) -> Geometry:
        """The grid of ``array[box]``; slices have integer bounds and no step."""
        start = [s.start or 0 for s in box]
        shape = [
            (n if s.stop is None else s.stop) - (s.start or 0) for n, s in zip(self.shape, box, strict=True)
        ]
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = self.to_ras(start)
        return Geometry((shape[0], shape[1], shape[2]), matrix)


@dataclass(frozen=True)
class CanonicalOrder:
    """The flips and the permutation that bring an array nearest to (S, P, L) axes, and back.

    In canonical order array axis 0 runs towards superior, axis 1 towards posterior and axis 2 towards
    left, as axial CT slices are stored and shown. Nothing is resampled: an oblique volume stays oblique
    by its remaining angle.

    Attributes:
        axes: ``axes[n]`` is the axis of the original array that becomes canonical axis n.
        flips: whether canonical axis n is reversed after the permutation.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @staticmethod
    def of(geometry: Geometry) -> CanonicalOrder:
        """The order for a grid, by the permutation with the largest sum of direction cosines."""
        wanted = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]], dtype=float)
        cosines = wanted @ geometry.directions[:, ::-1]
        best = max(
            ((a, b, c) for a in range(3) for b in range(3) for c in range(3) if {a, b, c} == {0, 1, 2}),
            key=lambda p: sum(abs(cosines[n, p[n]]) for n in range(3)),
        )
        flips = tuple(bool(cosines[n, best[n]] < 0) for n in range(3))
        return CanonicalOrder(best, (flips[0], flips[1], flips[2]))

    def apply(self, array: np.ndarray) -> np.ndarray:
        """A view of ``array`` (k, j, i) in canonical order."""
        view = array.transpose(self.axes)
        return view[tuple(slice(None, None, -1) if f else slice(None) for f in self.flips)]

    def undo(self, array: np.ndarray) -> np.ndarray:
        """A view of a canonical array in the original order."""
        view = array[tuple(slice(None, None, -1) if f else slice(None) for f in self.flips)]
        return view.transpose(np.argsort(self.axes))

    def geometry(self, geometry: Geometry) -> Geometry:
        """The grid of the array that :meth:`apply` returns."""
        shape = tuple(geometry.shape[a] for a in self.axes)
        start = np.zeros(3)
        columns = []
        for axis, flip in zip(self.axes, self.flips, strict=True):
            step = geometry.ijk_to_ras[:3, 2 - axis]
            columns.append(-step if flip else step)
            if flip:
                start[axis] = geometry.shape[axis] - 1
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack(columns[::-1], axis=1)
        matrix[:3, 3] = geometry.to_ras(start)
        return Geometry((shape[0], shape[1], shape[2]), matrix)


def bounding_box(
    mask: np.ndarray, margin: tuple[int, int, int] = (0, 0, 0)
) -> tuple[slice, slice, slice] | None:
    """The smallest box (three slices) that holds all nonzero voxels plus a margin, or None when empty."""
    if not mask.any():
        return None
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        low = max(0, int(filled[0]) - margin[axis])
        high = min(mask.shape[axis], int(filled[-1]) + 1 + margin[axis])
        box.append(slice(low, high))
    return box[0], box[1], box[2]
