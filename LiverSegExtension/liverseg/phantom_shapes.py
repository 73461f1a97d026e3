"""Shapes of the made-up patient: signed distances at points, and their painting onto a grid.

Distances are in mm, negative inside, and nearly Euclidean close to the surface, which is all that partial
volume needs. Primitives and the polynomial smooth minimum follow Inigo Quilez, "Distance functions"
(https://iquilezles.org/articles/distfunctions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Triple = tuple[float, float, float]
Coordinates = Sequence[float] | np.ndarray


class Points(NamedTuple):
    """Coordinates (mm, x right, y anterior, z superior) as arrays that broadcast to one (k, j, i) block."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the block."""
        return np.broadcast_shapes(self.x.shape, self.y.shape, self.z.shape)

    def where(self, mask: np.ndarray) -> Points:
        """The points of a (k, j, i) bool mask, as three flat arrays."""
        return Points(*(np.broadcast_to(axis, mask.shape)[mask] for axis in self))


def points(xyz: np.ndarray) -> Points:
    """Points of an (n, 3) array."""
    return Points(*np.asarray(xyz, dtype=np.float32).T)


Distance = Callable[[Points], np.ndarray]


def ellipsoid(p: Points, center: Coordinates, semi_axes: Coordinates) -> np.ndarray:
    """Distance to an ellipsoid with axes along x, y, z; exact for a sphere, first order otherwise."""
    u = (p.x - center[0]) / semi_axes[0]
    v = (p.y - center[1]) / semi_axes[1]
    w = (p.z - center[2]) / semi_axes[2]
    u, v, w = u * u, v * v, w * w
    level = np.sqrt(u + v + w)
    slope = np.sqrt(u / semi_axes[0] ** 2 + v / semi_axes[1] ** 2 + w / semi_axes[2] ** 2)
    return level * (level - 1) / np.maximum(slope, 1e-6)


def column(p: Points, center: Coordinates, semi_axes: Coordinates, squareness: float = 0.0) -> np.ndarray:
    """Distance to an upright elliptic column; squareness (0..0.6) makes its section squarer."""
    u = ((p.x - center[0]) / semi_axes[0]) ** 2
    v = ((p.y - center[1]) / semi_axes[1]) ** 2
    level = np.sqrt(np.maximum(u + v - squareness * np.minimum(u * v, 1), 1e-6))
    slope = np.sqrt(u / semi_axes[0] ** 2 + v / semi_axes[1] ** 2) + 1e-6
    return level * (level - 1) / slope


def cone(p: Points, a: Coordinates, b: Coordinates, radius_a: float, radius_b: float) -> np.ndarray:
    """Distance to a rounded stick from a to b whose radius runs from radius_a to radius_b."""
    ax, ay, az = (b[n] - a[n] for n in range(3))
    length2 = max(ax * ax + ay * ay + az * az, 1e-6)
    dx, dy, dz = p.x - a[0], p.y - a[1], p.z - a[2]
    t = np.clip((dx * ax + dy * ay + dz * az) / length2, 0, 1)
    distance = np.sqrt((dx - t * ax) ** 2 + (dy - t * ay) ** 2 + (dz - t * az) ** 2)
    return distance - (radius_a + t * (radius_b - radius_a))


def smooth_min(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Union with a fillet of about ``width`` mm."""
    h = np.maximum(width - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h / (4 * width)


def smooth_max(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Intersection with an edge rounded over about ``width`` mm."""
    h = np.maximum(width - np.abs(a - b), 0)
    return np.maximum(a, b) + h * h / (4 * width)


def coverage(distance: np.ndarray, blur: float) -> np.ndarray:
    """Share of a voxel that lies inside, 0..1, for an edge ``blur`` mm wide."""
    return np.clip(0.5 - distance / blur, 0, 1)


@dataclass(frozen=True)
class Tissue:
    """Something to paint.

    Attributes:
        distance: signed distance at points.
        hu: its HU, or a function (points, distance) -> HU.
        low, high: corners of the box (mm) that holds it.
    """

    distance: Distance
    hu: float | Callable[[Points, np.ndarray], np.ndarray]
    low: Triple
    high: Triple

    def paint(self, hu: np.ndarray, p: Points, blur: float) -> None:
        """Blend it into ``hu`` (k, j, i), in place."""
        distance = self.distance(p)
        value = self.hu(p, distance) if callable(self.hu) else self.hu
        hu += coverage(distance, blur) * (value - hu)


def ball_tissue(center: Coordinates, semi_axes: Coordinates, hu: float) -> Tissue:
    """An ellipsoid of one HU."""
    low, high = box_around([center], [max(r, 0) + 4 for r in semi_axes])
    return Tissue(lambda p: ellipsoid(p, center, semi_axes), hu, low, high)


def stick_tissue(a: Coordinates, b: Coordinates, radius_a: float, radius_b: float, hu: float) -> Tissue:
    """A rounded stick of one HU."""
    low, high = box_around([a, b], [max(radius_a, radius_b) + 4] * 3)
    return Tissue(lambda p: cone(p, a, b, radius_a, radius_b), hu, low, high)


def box_around(corners: Sequence[Coordinates] | np.ndarray, margin: Coordinates) -> tuple[Triple, Triple]:
    """Low and high corner of the box that holds the points with a margin."""
    array = np.asarray(corners, dtype=float)
    low, high = array.min(axis=0) - margin, array.max(axis=0) + margin
    return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))
