"""Made-up scans without a liver: a head, a knee, a box of water."""

from __future__ import annotations

import numpy as np

from liverseg.geometry import Geometry
from liverseg.phantom import make_grid
from liverseg.phantom_shapes import Points, cone, coverage, ellipsoid
from liverseg.volume import Source, Volume

_AIR, _FAT, _SKIN, _MUSCLE, _BRAIN, _WATER = -1000.0, -100.0, 30.0, 55.0, 36.0, 0.0


def make_head_phantom(
    seed: int = 0,
    shape_kji: tuple[int, int, int] = (60, 120, 120),
    spacing_kji: tuple[float, float, float] = (3.0, 2.0, 2.0),
    noise_hu: float = 6.0,
) -> Volume:
    """A head in HU, int16: scalp, skull, brain with ventricles, air in the sinuses."""
    geometry, p, hu = _empty(shape_kji, spacing_kji)
    skull = ellipsoid(p, (0, 0, 0), (72, 90, 82))
    _fill(hu, skull - 7, _SKIN)
    _fill(hu, skull - 5, _FAT)
    _fill(hu, skull, 1100)
    _fill(hu, skull + 6, _BRAIN)
    for side in (-1, 1):
        _fill(hu, ellipsoid(p, (side * 13, 0, 12), (6, 30, 10)), 8)
        _fill(hu, ellipsoid(p, (side * 30, 72, -25), (13, 12, 13)), 15)
        _fill(hu, ellipsoid(p, (side * 25, 60, -52), (14, 14, 16)), _AIR)
    return _finish(hu, geometry, seed, noise_hu, "head phantom")


def make_knee_phantom(
    seed: int = 0,
    shape_kji: tuple[int, int, int] = (60, 100, 100),
    spacing_kji: tuple[float, float, float] = (3.0, 1.6, 1.6),
    noise_hu: float = 8.0,
) -> Volume:
    """A knee in HU, int16: skin, fat, muscle, femur, tibia, fibula, patella."""
    geometry, p, hu = _empty(shape_kji, spacing_kji)
    leg = cone(p, (0, 0, -150), (0, 0, 150), 52, 64)
    _fill(hu, leg, _SKIN)
    _fill(hu, leg + 2, _FAT)
    _fill(hu, leg + 10, _MUSCLE)
    bones = [
        cone(p, (0, 5, 26), (0, 8, 50), 28, 18),
        cone(p, (0, 8, 50), (0, 8, 150), 18, 14),
        cone(p, (0, 2, -28), (0, 0, -60), 26, 15),
        cone(p, (0, 0, -60), (0, 0, -150), 15, 13),
        cone(p, (30, -18, -40), (30, -18, -150), 7, 6),
        ellipsoid(p, (0, 44, 20), (18, 8, 20)),
    ]
    bone = np.minimum.reduce(bones)
    _fill(hu, bone, 900)
    _fill(hu, bone + 4, 180)
    return _finish(hu, geometry, seed, noise_hu, "knee phantom")


def water_box(
    shape_kji: tuple[int, int, int] = (40, 60, 60),
    spacing_kji: tuple[float, float, float] = (5.0, 5.0, 5.0),
    seed: int = 0,
    noise_hu: float = 5.0,
    hu: float = _WATER,
) -> Volume:
    """A cube of water, or of another fluid (``hu``), 60 % of each side, in air, int16."""
    geometry, p, values = _empty(shape_kji, spacing_kji)
    half = [0.3 * n * s for n, s in zip(reversed(shape_kji), reversed(spacing_kji), strict=True)]
    edges = (np.abs(axis) - h for axis, h in zip(p, half, strict=True))
    outside = np.maximum.reduce(np.broadcast_arrays(*edges))
    _fill(values, outside, hu)
    return _finish(values, geometry, seed, noise_hu, "water box")


def _empty(
    shape_kji: tuple[int, int, int], spacing_kji: tuple[float, float, float]
) -> tuple[Geometry, Points, np.ndarray]:
    """An axial grid around 0, its points (RAS mm), and air."""
    geometry = make_grid(shape_kji, spacing_kji, (0, 0, 0))
    indices = np.moveaxis(np.indices(shape_kji, dtype=np.float32), 0, -1)
    ras = np.moveaxis(geometry.to_ras(indices), -1, 0).astype(np.float32)
    return geometry, Points(*ras), np.full(shape_kji, _AIR, dtype=np.float32)


def _fill(hu: np.ndarray, distance: np.ndarray, value: float) -> None:
    """Blend one HU in, with an edge 2 mm wide."""
    hu += coverage(distance, 2.0) * (np.float32(value) - hu)


def _finish(hu: np.ndarray, geometry: Geometry, seed: int, noise_hu: float, name: str) -> Volume:
    """Add noise and round to int16."""
    noise = np.random.default_rng([seed, 7]).normal(0, noise_hu, hu.shape)
    array = np.rint(np.clip(hu + noise, -1024, 3071)).astype(np.int16)
    return Volume(array, geometry, Source(kind="array", name=name))
