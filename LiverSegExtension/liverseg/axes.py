"""The axes of a lesion: RECIST long and short axis, and the largest diameter in 3D.

End points lie on the lesion's outline, halfway between the center of a voxel inside and the center of
its neighbor outside: the vertices of the contour (marching squares) and of the surface mesh (marching
cubes) at level 0.5, between which the Image Biomarker Standardisation Initiative measures diameters
too (Zwanenburg et al., Radiology 2020). A row of n voxels is exactly n voxels long. The longest of many
chords reads a digitized sphere 0.3 to 0.8 pixels too long, however fine the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from liverseg.case import Point
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.surfaces import Points, face_centers

# Lengths that differ by less are ties, which fixed rules then decide: rounding must not.
TIE_MM = 1e-6


@dataclass(frozen=True)
class RecistAxes:
    """Long and short axis of a lesion in one slice.

    Attributes:
        long_axis_mm, short_axis_mm: lengths.
        long_axis_points_ras_mm, short_axis_points_ras_mm: end points.
        key_slice: 0-based index of the slice, along the array axis nearest to superior.
    """

    long_axis_mm: float
    short_axis_mm: float
    long_axis_points_ras_mm: tuple[Point, Point]
    short_axis_points_ras_mm: tuple[Point, Point]
    key_slice: int


def recist_axes(mask: np.ndarray, geometry: Geometry) -> RecistAxes:
    """The axes by RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009).

    The long axis is the longest chord between two points of the outline in any one slice; slices are
    those of the array axis nearest to superior, as the scan has them (an oblique scan keeps its plane).
    The short axis is the longest chord at right angles to it in the same slice. Both may leave a concave
    lesion. Of equally long axes the one in the middle slice is taken.

    Args:
        mask: bool (k, j, i), not empty.
        geometry: its grid.

    Raises:
        ValueError: the mask is empty.
    """
    order = CanonicalOrder.of(geometry)
    slices = order.apply(mask)
    grid = order.geometry(geometry)
    candidates = []
    for k in np.flatnonzero(slices.any(axis=(1, 2))):
        outline = face_centers(slices[k])
        ends = _farthest_pair(np.insert(outline, 0, k, axis=1), outline, grid)
        candidates.append((_length(grid.to_ras(ends)), int(k), ends))
    if not candidates:
        raise ValueError("an empty mask has no axes")
    longest = max(length for length, _, _ in candidates)
    ties = [c for c in candidates if c[0] >= longest - TIE_MM]
    _, key, ends = ties[(len(ties) - 1) // 2]

    long_points = grid.to_ras(ends)
    short_points = _longest_perpendicular(slices[key], key, long_points, grid)
    return RecistAxes(
        long_axis_mm=_length(long_points),
        short_axis_mm=_length(short_points),
        long_axis_points_ras_mm=_as_points(long_points),
        short_axis_points_ras_mm=_as_points(short_points),
        key_slice=slices.shape[0] - 1 - key if order.flips[0] else key,
    )


def max_diameter_3d_mm(mask: np.ndarray, geometry: Geometry) -> float:
    """The distance of the farthest pair of surface points, in mm, of a bool mask (k, j, i), not empty."""
    points = face_centers(mask)
    return _length(geometry.to_ras(_farthest_pair(points, points, geometry)))


def _farthest_pair(points: Points, hull_points: Points, geometry: Geometry) -> Points:
    """The two (2, 3) of the points (n, 3), in index units, that lie farthest apart in mm.

    ``hull_points`` (n, 2 or 3) are the same points in the coordinates that span a body. Index units keep
    the hull free of rounding, and a convex hull stays one under any affine.
    """
    corners = points[ConvexHull(hull_points).vertices]
    corners = corners[np.lexsort(corners.T[::-1])]
    world = geometry.to_ras(corners)
    # Only corners that could still beat a known pair are compared with each other.
    radius = np.linalg.norm(world - world.mean(axis=0), axis=1)
    far = world[np.argmax(radius)]
    known = np.linalg.norm(world - far, axis=1).max()
    kept = radius + radius.max() >= known - TIE_MM
    corners, world = corners[kept], world[kept]

    longest = np.array([np.linalg.norm(world - p, axis=1).max() for p in world])
    first = int(np.argmax(longest >= longest.max() - TIE_MM))
    distance = np.linalg.norm(world - world[first], axis=1)
    second = int(np.argmax(distance >= longest.max() - TIE_MM))
    return corners[[first, second]]


def _longest_perpendicular(inside: np.ndarray, key: int, long_points: Points, grid: Geometry) -> Points:
    """End points (2, 3), RAS mm, of the longest chord at right angles to the long axis in its slice."""
    segments = _outline_segments(inside)
    ends = grid.to_ras(np.insert(segments.reshape(-1, 2), 0, key, axis=1)).reshape(-1, 2, 3)
    middle = long_points.mean(axis=0)
    along = long_points[1] - long_points[0]
    along = along / np.linalg.norm(along)
    across = np.cross(np.cross(grid.directions[:, 0], grid.directions[:, 1]), along)
    across /= np.linalg.norm(across)
    t, s = (ends - middle) @ along, (ends - middle) @ across

    # The chord's length is linear between vertices of the outline, so its maximum lies at one of them.
    places = np.unique(np.round(t.ravel(), 9))
    low, high = _span_at(places, t, s)
    length = high - low
    ties = np.flatnonzero(length >= length.max() - TIE_MM)
    # Of equally long chords the one nearest to the middle of the long axis, then the first.
    best = ties[np.argmin(np.round(np.abs(places[ties]), 6))]
    return np.stack([middle + places[best] * along + side[best] * across for side in (low, high)])


def _span_at(places: Points, t: Points, s: Points) -> tuple[Points, Points]:
    """Lowest and highest ``s`` of the outline at each place ``t``; segments by their ends (n, 2)."""
    t_low, t_high = t.min(axis=1), t.max(axis=1)
    low, high = np.full(len(places), np.inf), np.full(len(places), -np.inf)
    width = np.where(t_high - t_low > TIE_MM, t[:, 1] - t[:, 0], np.inf)
    for n, place in enumerate(places):
        hit = (t_low <= place + TIE_MM) & (t_high >= place - TIE_MM)
        fraction = np.clip((place - t[hit, 0]) / width[hit], 0.0, 1.0)
        crossing = s[hit, 0] + fraction * (s[hit, 1] - s[hit, 0])
        upright = np.isinf(width[hit])
        reached = np.concatenate([crossing, s[hit][upright, 1]])
        low[n], high[n] = reached.min(), reached.max()
    return low, high


def _outline_segments(inside: np.ndarray) -> Points:
    """Marching squares at level 0.5: (n, 2, 2) segments, each two points (j, i) in index units.

    Voxels that touch at a corner are taken as joined, as in the components of lesions.
    """
    padded = np.pad(inside, 1)
    a, b = padded[:-1, :-1], padded[:-1, 1:]
    c, d = padded[1:, :-1], padded[1:, 1:]
    top, right, bottom, left = (
        (a != b, (0.0, 0.5)),
        (b != d, (0.5, 1.0)),
        (c != d, (1.0, 0.5)),
        (a != c, (0.5, 0.0)),
    )
    crossings = sum(side[0].astype(np.uint8) for side in (top, right, bottom, left))
    saddle = crossings == 4
    pieces = []
    for one, other in combinations((top, right, bottom, left), 2):
        pieces.append((one[0] & other[0] & (crossings == 2), one[1], other[1]))
    for one, other, joined in ((top, right, a), (bottom, left, a), (top, left, b), (bottom, right, b)):
        pieces.append((saddle & joined, one[1], other[1]))
    segments = []
    for cells, start, end in pieces:
        corner = np.argwhere(cells) - 1.0
        segments.append(np.stack([corner + start, corner + end], axis=1))
    return np.concatenate(segments)


def _length(points: Points) -> float:
    return float(np.linalg.norm(points[1] - points[0]))


def _as_points(points: npt.NDArray[np.float64]) -> tuple[Point, Point]:
    (a, b, c), (d, e, f) = points.tolist()
    return (a, b, c), (d, e, f)
