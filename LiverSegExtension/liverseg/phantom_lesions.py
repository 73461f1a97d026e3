"""Lesions of the made-up liver: what each looks like, and where there is room for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from liverseg.case import Point
from liverseg.errors import UsageError
from liverseg.phantom_liver import LiverModel
from liverseg.phantom_shapes import Points, coverage, ellipsoid, points, smooth_min

KINDS = ("metastasis", "ring", "cyst", "hyper", "faint")
SHAPES = ("sphere", "ellipsoid", "lobulated")
_ELLIPSOID_AXES = np.array([1.0, 0.8, 0.7])
_GAP_MM = 4.0


@dataclass(frozen=True)
class PlannedLesion:
    """One lesion as it was put in.

    Attributes:
        center_ras_mm: its center in world coordinates.
        diameter_mm: its longest diameter (that of the sphere around it).
        kind: "metastasis" (darker than the liver), "ring" (dark core, bright rim), "cyst" (water),
            "hyper" (brighter than the liver) or "faint" (20 HU darker).
        shape: "sphere", "ellipsoid" (axes 1 : 0.8 : 0.7 along the patient's) or "lobulated".
        hu: HU of its core; None for what its kind usually has.
        id: 1..n by falling volume; given by ``make_phantom``.

    Raises:
        UsageError: unknown kind or shape, or no positive diameter.
    """

    center_ras_mm: Point
    diameter_mm: float
    kind: str = "metastasis"
    shape: str = "sphere"
    hu: float | None = None
    id: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"lesion kind {self.kind!r} is not known; choose one of {', '.join(KINDS)}")
        if self.shape not in SHAPES:
            raise UsageError(f"lesion shape {self.shape!r} is not known; choose one of {', '.join(SHAPES)}")
        if not self.diameter_mm > 0:
            raise UsageError(f"lesion diameter {self.diameter_mm} mm is not above 0; give millimeters")

    @property
    def radius_mm(self) -> float:
        """Half the longest diameter."""
        return self.diameter_mm / 2

    @property
    def volume_ml(self) -> float:
        """Its volume: by formula, of the lobulated shape by counting a fine grid (within 0.1 %)."""
        return _share_of_ball(self.shape) * 4 / 3 * np.pi * self.radius_mm**3 / 1000


def unit_distance(p: Points, shape: str) -> np.ndarray:
    """Signed distance to a lesion of radius 1 around the origin."""
    if shape == "ellipsoid":
        return ellipsoid(p, (0, 0, 0), _ELLIPSOID_AXES)
    if shape == "lobulated":
        d = ellipsoid(p, (0, 0, 0), (0.7, 0.7, 0.7))
        for n in range(7):
            height = 1 - (2 * n + 1) / 7
            across, turn = np.sqrt(1 - height**2), 2.4 * n
            bump = np.array([across * np.cos(turn), across * np.sin(turn), height]) * 0.52
            d = smooth_min(d, ellipsoid(p, bump, (0.44, 0.44, 0.44)), 0.12)
        return d
    return ellipsoid(p, (0, 0, 0), (1, 1, 1))


@cache
def _share_of_ball(shape: str) -> float:
    """Volume of a shape over that of the sphere around it."""
    if shape == "sphere":
        return 1.0
    if shape == "ellipsoid":
        return float(_ELLIPSOID_AXES.prod())
    axis = (np.arange(120) + 0.5) / 60 - 1
    grid = Points(axis[None, None, :], axis[None, :, None], axis[:, None, None])
    return float((unit_distance(grid, shape) < 0).mean() * 8 / (4 / 3 * np.pi))


def lesion_hu(lesion: PlannedLesion, liver_hu: float, distance: np.ndarray, p: Points) -> np.ndarray:
    """HU inside a lesion at points with their distance (mm) to its surface."""
    usual = {
        "metastasis": liver_hu - 46,
        "ring": liver_hu - 58,
        "cyst": 5.0,
        "hyper": liver_hu + 45,
        "faint": liver_hu - 20,
    }
    core = usual[lesion.kind] if lesion.hu is None else lesion.hu
    if lesion.kind == "cyst":
        return np.broadcast_to(np.float32(core), distance.shape)
    if lesion.kind == "ring":
        rim = coverage(-(distance + 0.08 * lesion.diameter_mm), 0.06 * lesion.diameter_mm + 1)
        return core + rim * (liver_hu + 28 - core)
    # Larger ones are darker in the middle, where they are necrotic.
    necrosis = 14 * coverage(distance + 0.30 * lesion.diameter_mm, 0.2 * lesion.diameter_mm + 1)
    return core - necrosis + 4 * np.sin(0.5 * p.x) * np.sin(0.45 * p.y + p.z * 0.4)


def place(liver: LiverModel, radii: Sequence[float], rng: np.random.Generator) -> list[np.ndarray]:
    """Centers (patient's mm) for spheres of the given radii, inside the liver and apart from each other.

    Raises:
        UsageError: there is no room for one.
    """
    order = np.argsort(radii)[::-1]
    occupied: list[tuple[np.ndarray, float]] = []
    centers: dict[int, np.ndarray] = {}
    candidates = liver.inner_points
    directions = _directions(200)
    for n in order:
        radius = radii[n]
        for q in candidates[rng.permutation(len(candidates))]:
            if any(np.linalg.norm(q - other) < radius + size + _GAP_MM for other, size in occupied):
                continue
            around = points(np.concatenate([q + directions * (radius + 2), q + directions * radius / 2]))
            if liver.distance(around).max() < -0.5 and liver.cava_distance(around).min() > 1:
                centers[int(n)] = q
                occupied.append((q, radius))
                break
        else:
            raise UsageError(f"a lesion of {2 * radius:g} mm does not fit into this liver; plan fewer")
    return [centers[n] for n in range(len(radii))]


def _directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3) spread evenly over the sphere (golden spiral)."""
    n = np.arange(count) + 0.5
    height = 1 - 2 * n / count
    across = np.sqrt(1 - height**2)
    turn = np.pi * (1 + 5**0.5) * n
    return np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)
