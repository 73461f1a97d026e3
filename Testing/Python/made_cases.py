"""Small cases with a known make-up: an ellipsoid liver, its segments cut by planes, round lesions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverseg.case import Case, CouinaudMethod, Masks, Provenance, Review
from liverseg.geometry import Geometry
from liverseg.measure import measure
from liverseg.volume import Source, Volume

# Center (z, y, x) in parts of the liver's half axes, and radius in mm.
LESIONS = (((0.3, -0.2, -0.4), 9.0), ((-0.35, 0.1, 0.5), 6.0))


def make_case(
    shape_kji: tuple[int, int, int] = (26, 34, 48),
    spacing_kji: tuple[float, float, float] = (3.0, 2.0, 1.6),
    *,
    permutation: Sequence[int] = (0, 1, 2),
    flips: Sequence[bool] = (False, False, False),
    rotation: np.ndarray | None = None,
    split_segment_4: bool = False,
    vessels: bool = False,
    lesions: Sequence[tuple[tuple[float, float, float], float]] = LESIONS,
    source: Source | None = None,
) -> Case:
    """A case whose body lies in the same place of the world, however its voxels are stored.

    Args:
        shape_kji, spacing_kji: of the upright grid (axes superior, posterior, left), mm.
        permutation: array axis n of the result is upright axis ``permutation[n]``.
        flips: whether array axis n of the result is then reversed.
        rotation: 3x3, turns patient and grid in RAS (an oblique scan).
        split_segment_4: segment IV as IVa and IVb.
        vessels: with a portal vein, a hepatic vein and an aorta.
        lesions: centers in parts of the liver's half axes, and radii in mm.
        source: where the CT claims to come from.
    """
    masks = _masks(shape_kji, spacing_kji, lesions, split_segment_4, vessels)
    rng = np.random.default_rng(7)
    hu = rng.normal(-20, 30, shape_kji)
    hu[masks.liver] += 120
    hu[masks.lesions > 0] -= 60

    k, j, i = spacing_kji
    upright = np.diag([-i, -j, k, 1.0])
    upright[:3, 3] = (31.0, 42.0, -57.0)
    affine = np.eye(4)
    if rotation is not None:
        affine[:3, :3] = rotation
    geometry = _stored(Geometry(shape_kji, affine @ upright), permutation, flips)

    def stored(array: np.ndarray) -> np.ndarray:
        view = array.transpose(permutation)
        return np.ascontiguousarray(np.flip(view, [n for n in range(3) if flips[n]]))

    parts = (masks.liver, masks.couinaud, masks.lesions)
    return measure(
        Volume(stored(hu.astype(np.int16)), geometry, source or Source(sha256="ab" * 32)),
        Masks(*(stored(part) for part in parts), None if masks.vessels is None else stored(masks.vessels)),
        method=CouinaudMethod("planes", 0.75),
        provenance=Provenance("1.2.3", "made up", started="2025-01-02T03:04:05+00:00", seconds={"all": 0.5}),
        reviews={1: Review("accepted", "Reader | one", "2025-02-03T04:05:06+00:00")},
        confidences={1: 0.9},
        warnings=("The CT is made up: 100 % “synthetic”.",),
    )


def rotation_about(axis: Sequence[float], degrees: float) -> np.ndarray:
    """3x3 rotation matrix (Rodrigues' formula)."""
    x, y, z = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _stored(geometry: Geometry, permutation: Sequence[int], flips: Sequence[bool]) -> Geometry:
    """The grid of an upright array after permutation and flips of its axes."""
    steps = geometry.ijk_to_ras[:3, 2::-1][:, list(permutation)]
    shape = [geometry.shape[axis] for axis in permutation]
    origin = geometry.ijk_to_ras[:3, 3].copy()
    for axis in range(3):
        if flips[axis]:
            origin += (shape[axis] - 1) * steps[:, axis]
            steps[:, axis] *= -1
    matrix = np.eye(4)
    matrix[:3, :3] = steps[:, ::-1]
    matrix[:3, 3] = origin
    return Geometry((shape[0], shape[1], shape[2]), matrix)


def _masks(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    lesions: Sequence[tuple[tuple[float, float, float], float]],
    split_segment_4: bool,
    vessels: bool,
) -> Masks:
    half = [0.4 * n for n in shape]
    z, y, x = (
        (grid - (n - 1) / 2) / h
        for grid, n, h in zip(np.indices(shape, dtype=float), shape, half, strict=True)
    )
    liver = z**2 + y**2 + x**2 <= 1
    right = np.where(y < 0, np.where(z > 0, 8, 5), np.where(z > 0, 7, 6))
    left = np.where(z > 0, 2, 3)
    medial = np.where(z > 0, 4, 9) if split_segment_4 else np.full(shape, 4)
    couinaud = np.where(x <= 0, right, np.where(x > 0.4, left, medial))
    couinaud[z**2 + (y - 0.6) ** 2 + (x - 0.1) ** 2 < 0.09] = 1
    couinaud[~liver] = 0
    labels = np.zeros(shape, np.uint16)
    for n, (center, radius) in enumerate(lesions, start=1):
        squares = [
            ((axis - c) * h * s) ** 2 for axis, c, h, s in zip((z, y, x), center, half, spacing, strict=True)
        ]
        labels[sum(squares) <= radius**2] = n
    labels[~liver] = 0
    tubes = None
    if vessels:
        tubes = np.zeros(shape, np.uint8)
        tubes[(abs(y - 0.2) < 0.12) & (abs(z) < 0.15) & liver] = 1
        tubes[(abs(y + 0.1) < 0.12) & (abs(x - 0.2) < 0.1) & (z > 0.3) & liver] = 2
        # The aorta runs behind the liver from the first slice to the last.
        tubes[(y > 0.9) & (abs(x - 0.3) < 0.15) & ~liver] = 4
    return Masks(liver, couinaud.astype(np.uint8), labels, tubes)
