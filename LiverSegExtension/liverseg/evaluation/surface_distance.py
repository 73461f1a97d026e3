"""How far apart two surfaces lie.

Definitions after Nikolov et al., Clinically applicable segmentation of head and neck anatomy for
radiotherapy, J Med Internet Res 2021 (the ``surface-distance`` package, which the tests compare with). A
surface is cut into the elements that lie between the centers of 2 x 2 x 2 neighboring voxels. Each has an
area, by its voxels' pattern and the voxel size, and a distance: from its place to the nearest element of
the other surface. Means and percentiles are weighted by area, so that neither the voxel size nor its
anisotropy shifts them.

When one of the two masks is empty there is no distance. That is a failure, and it costs a penalty that
the caller chooses (:func:`penalty_mm`: no distance within the scan can be larger); the surface Dice is 0.
Two empty masks have distance 0 and surface Dice 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import edt
import numpy as np
import numpy.typing as npt

from liverseg.geometry import Geometry, bounding_box

Values = npt.NDArray[np.float64]
Corner = tuple[int, int, int]
Edge = frozenset[Corner]

# Corners of a cell of 2 x 2 x 2 voxel centers; corner n is bit n of the cell's pattern.
CORNERS: tuple[Corner, ...] = tuple((a, b, c) for a, b, c in product((0, 1), repeat=3))


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances in mm and areas in mm2 of all surface elements, each list sorted by distance.

    Attributes:
        from_truth, truth_areas: of the truth's elements, to the prediction.
        from_predicted, predicted_areas: of the prediction's elements, to the truth.
        penalty_mm: what a distance is when one surface is missing.
    """

    from_truth: Values
    truth_areas: Values
    from_predicted: Values
    predicted_areas: Values
    penalty_mm: float

    @property
    def undefined(self) -> bool:
        """Whether one surface is missing, so that the scores are penalties."""
        return (len(self.from_truth) == 0) != (len(self.from_predicted) == 0)

    @property
    def hausdorff_mm(self) -> float:
        """The largest distance from either surface to the other."""
        return self._larger(1.0)

    @property
    def hausdorff95_mm(self) -> float:
        """The larger of the two directed 95th percentiles, by area."""
        return self._larger(0.95)

    @property
    def average_mm(self) -> float:
        """Average symmetric surface distance (ASSD): the area-weighted mean over both surfaces."""
        if self.undefined:
            return self.penalty_mm
        area = self.truth_areas.sum() + self.predicted_areas.sum()
        total = self.from_truth @ self.truth_areas + self.from_predicted @ self.predicted_areas
        return float(total / area) if area > 0 else 0.0

    def surface_dice(self, tolerance_mm: float) -> float:
        """Normalized surface distance (NSD): the share of both surfaces that lies within the tolerance."""
        if self.undefined:
            return 0.0
        area = self.truth_areas.sum() + self.predicted_areas.sum()
        near = self.truth_areas[self.from_truth <= tolerance_mm].sum()
        near += self.predicted_areas[self.from_predicted <= tolerance_mm].sum()
        return float(near / area) if area > 0 else 1.0

    def _larger(self, share: float) -> float:
        if self.undefined:
            return self.penalty_mm
        return max(
            _weighted_percentile(self.from_truth, self.truth_areas, share),
            _weighted_percentile(self.from_predicted, self.predicted_areas, share),
        )


def penalty_mm(geometry: Geometry) -> float:
    """The diagonal of a scan: no two surfaces in it lie further apart."""
    return float(np.linalg.norm(np.array(geometry.shape) * geometry.spacing_kji))


def surface_distances(
    truth: np.ndarray, predicted: np.ndarray, spacing: Sequence[float], penalty: float
) -> SurfaceDistances:
    """Distances between the surfaces of two bool masks (k, j, i) of one shape.

    A mask that touches the array's edge is closed there. A sheared grid is taken as a straight one.

    Args:
        spacing: voxel size in mm, in array order.
        penalty: the distance in mm that a missing surface costs.
    """
    none = np.zeros(0)
    box = bounding_box(truth | predicted)
    if box is None:
        return SurfaceDistances(none, none, none, none, penalty)
    patterns = [_patterns(mask[box]) for mask in (truth, predicted)]
    surfaces = [(p > 0) & (p < 255) for p in patterns]
    areas = _pattern_areas(tuple(float(s) for s in spacing))
    own = [areas[p[s]] for p, s in zip(patterns, surfaces, strict=True)]
    if not surfaces[0].any() or not surfaces[1].any():
        distances = [np.full(len(a), penalty) for a in own]
    else:
        distances = []
        for here, other in ((0, 1), (1, 0)):
            away = edt.edt(~surfaces[other], anisotropy=tuple(spacing), black_border=False)
            distances.append(away[surfaces[here]].astype(np.float64))
    order = [np.argsort(d, kind="stable") for d in distances]
    return SurfaceDistances(
        distances[0][order[0]],
        own[0][order[0]],
        distances[1][order[1]],
        own[1][order[1]],
        penalty,
    )


def _weighted_percentile(distances: Values, areas: Values, share: float) -> float:
    """The first distance (sorted) at which the elements' area reaches ``share`` of the whole."""
    if len(distances) == 0:
        return 0.0
    reached = np.cumsum(areas) / areas.sum()
    return float(distances[min(int(np.searchsorted(reached, share)), len(distances) - 1)])


def _patterns(mask: np.ndarray) -> npt.NDArray[np.uint8]:
    """For each cell of 2 x 2 x 2 voxels (the mask padded by one), which of its corners are inside."""
    padded = np.pad(mask, 1).astype(np.uint8)
    result = np.zeros(tuple(n - 1 for n in padded.shape), dtype=np.uint8)
    for bit, corner in enumerate(CORNERS):
        part = tuple(slice(c, n - 1 + c) for c, n in zip(corner, padded.shape, strict=True))
        result |= padded[part] << np.uint8(bit)
    return result


@lru_cache(maxsize=16)
def _pattern_areas(spacing: tuple[float, float, float]) -> Values:
    """Area in mm2 of the surface in a cell, for each of the 256 patterns."""
    areas = np.zeros(256)
    for pattern in range(1, 255):
        inside = {corner for bit, corner in enumerate(CORNERS) if pattern >> bit & 1}
        for loop in _loops(inside):
            points = np.array([np.mean([*edge], axis=0) for edge in loop]) * spacing
            spokes = points - points.mean(axis=0)
            triangles = np.cross(spokes, np.roll(spokes, -1, axis=0))
            areas[pattern] += 0.5 * np.linalg.norm(triangles, axis=1).sum()
    return areas


def _loops(inside: set[Corner]) -> list[list[Edge]]:
    """The closed lines in which a cell's surface meets its faces, each as the crossed edges in order.

    The surface crosses an edge of the cell in its middle where one end is inside and the other is not. On
    a face with two inside corners across from each other, the lines keep the two apart.
    """
    partners: dict[Edge, list[Edge]] = {}
    for axis, side in product(range(3), (0, 1)):
        ring = [_on_face(axis, side, u, v) for u, v in ((0, 0), (0, 1), (1, 1), (1, 0))]
        edges = [frozenset((ring[n], ring[(n + 1) % 4])) for n in range(4)]
        crossed = [edge for edge in edges if len(edge & inside) == 1]
        pairs = [(crossed[0], crossed[1])] if len(crossed) == 2 else []
        if len(crossed) == 4:
            # Edges n - 1 and n meet in corner n.
            pairs = [(edges[n - 1], edges[n]) for n in range(4) if ring[n] in inside]
        for one, other in pairs:
            partners.setdefault(one, []).append(other)
            partners.setdefault(other, []).append(one)
    loops = []
    left = set(partners)
    while left:
        loop = [min(left, key=sorted)]
        while True:
            left.discard(loop[-1])
            ahead = [edge for edge in partners[loop[-1]] if edge in left]
            if not ahead:
                break
            loop.append(ahead[0])
        loops.append(loop)
    return loops


def _on_face(axis: int, side: int, u: int, v: int) -> Corner:
    corner = [u, v]
    corner.insert(axis, side)
    return corner[0], corner[1], corner[2]
