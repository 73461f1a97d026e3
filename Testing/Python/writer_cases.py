"""A small case made by hand, on any grid: what the tests of the writers write and read back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from liverseg import labels
from liverseg.case import (
    Case,
    CouinaudMethod,
    LesionReadout,
    LiverReadout,
    Masks,
    Point,
    Provenance,
    Review,
    SegmentReadout,
    SegmentShare,
)
from liverseg.geometry import Geometry
from liverseg.volume import Source, Volume

OBLIQUE_DEGREES = 12.0


def grids() -> Iterator[tuple[tuple[bool, ...], tuple[int, ...]]]:
    """All 8 flips x 6 permutations of the axes."""
    yield from itertools.product(itertools.product((False, True), repeat=3), itertools.permutations(range(3)))


def oblique_geometry(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    """A CT's grid turned about the left-right and the long axis; spacing (k, j, i) mm, i towards left."""
    a, b = np.deg2rad((OBLIQUE_DEGREES, 7.0))
    tilt = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = tilt @ turn @ np.diag([-1.0, -1.0, 1.0]) * np.array(spacing[::-1])
    matrix[:3, 3] = (31.5, 42.25, -110.0)
    return Geometry(shape, matrix)


def reordered(array: np.ndarray, geometry: Geometry, flips: tuple[bool, ...], axes: tuple[int, ...]):
    """The same volume in the same world, stored with other axes: returns (array, geometry)."""
    start = [geometry.shape[n] - 1 if flips[n] else 0 for n in range(3)]
    columns = [geometry.ijk_to_ras[:3, 2 - n] * (-1 if flips[n] else 1) for n in range(3)]
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([columns[a] for a in axes][::-1], axis=1)
    matrix[:3, 3] = geometry.to_ras(start)
    turned = array[tuple(slice(None, None, -1 if f else 1) for f in flips)].transpose(axes)
    return np.ascontiguousarray(turned), Geometry(turned.shape, matrix)


def ras(geometry: Geometry, kji: tuple[float, float, float]) -> Point:
    x, y, z = geometry.to_ras(kji)
    return float(x), float(y), float(z)


def make_case(
    shape: tuple[int, int, int] = (12, 20, 24),
    spacing: tuple[float, float, float] = (4.0, 1.5, 1.25),
    vessels: bool = True,
    split: bool = False,
    lesion_count: int = 2,
) -> Case:
    """A box of a liver with eight (or nine) slabs for segments, and small boxes for lesions."""
    geometry = oblique_geometry(shape, spacing)
    rng = np.random.default_rng(0)
    ct = rng.integers(-200, 300, shape).astype(np.int16)
    liver = np.zeros(shape, bool)
    liver[2:-2, 3:-3, 4:-2] = True
    values = [s.label for s in labels.segments(split)]
    columns = np.linspace(4, shape[2] - 2, len(values) + 1).round().astype(int)
    couinaud = np.zeros(shape, np.uint8)
    for value, low, high in zip(values, columns[:-1], columns[1:], strict=True):
        couinaud[2:-2, 3:-3, low:high] = value
    lesions = np.zeros(shape, np.uint16)
    boxes = [(slice(3, 6), slice(5, 9), slice(6, 11)), (slice(7, 9), slice(10, 13), slice(15, 18))]
    for n in range(lesion_count):
        lesions[boxes[n]] = n + 1
    veins = np.zeros(shape, np.uint8)
    veins[4:7, 14:16, 8:10], veins[4:7, 14:16, 12:14] = 1, 2
    ml = geometry.voxel_volume_ml
    return Case(
        ct=Volume(ct, geometry, Source("file", "liver_07.nii.gz", "ab" * 32)),
        masks=Masks(liver, couinaud, lesions, veins if vessels else None),
        liver=LiverReadout(float(liver.sum() * ml), 104.25, 18.0, 3.5, True),
        segments=tuple(
            SegmentReadout(labels.numeral(s), s.code, float((couinaud == s.label).sum() * ml), 12.5, 0.25)
            for s in labels.segments(split)
        ),
        lesions=tuple(_lesion(n + 1, lesions, geometry) for n in range(lesion_count)),
        method=CouinaudMethod("shape network", 0.81, approximate=False),
        provenance=Provenance("0.1.0", "test", {"liver": "00" * 32}, "cpu", "float32", "2.13.0"),
        summary=tuple(f"Lesion {n + 1}: 12 mm, segment II/III" for n in range(lesion_count)),
        hints=("size and number compatible with the Milan criteria",),
        warnings=("Slices are 4 mm thick.",),
    )


def empty_case() -> Case:
    """A CT without a liver."""
    case = make_case(lesion_count=0, vessels=False)
    nothing = np.zeros_like(case.masks.liver)
    return replace(
        case,
        masks=Masks(nothing, nothing.astype(np.uint8), nothing.astype(np.uint16)),
        liver=LiverReadout(0.0, None, None, None, False),
        segments=tuple(replace(s, volume_ml=0.0, share_percent=None, lesion_ml=0.0) for s in case.segments),
        summary=(),
        hints=(),
    )


def on_other_axes(case: Case, flips: tuple[bool, ...], axes: tuple[int, ...]) -> Case:
    """The same case, its CT stored with other axes."""

    def turn(array: np.ndarray) -> np.ndarray:
        return reordered(array, case.ct.geometry, flips, axes)[0]

    masks = case.masks
    veins = None if masks.vessels is None else turn(masks.vessels)
    geometry = reordered(case.ct.array, case.ct.geometry, flips, axes)[1]
    return replace(
        case,
        ct=Volume(turn(case.ct.array), geometry, case.ct.source),
        masks=Masks(turn(masks.liver), turn(masks.couinaud), turn(masks.lesions), veins),
    )


def _lesion(lesion_id: int, lesions: np.ndarray, geometry: Geometry) -> LesionReadout:
    k, j, i = (float(x.mean()) for x in np.nonzero(lesions == lesion_id))
    return LesionReadout(
        id=lesion_id,
        tracking_uid=f"2.25.{1000 + lesion_id}",
        volume_ml=float((lesions == lesion_id).sum() * geometry.voxel_volume_ml),
        long_axis_mm=12.123456,
        short_axis_mm=8.5,
        long_axis_points_ras_mm=(ras(geometry, (k, j, i - 2)), ras(geometry, (k, j, i + 2))),
        short_axis_points_ras_mm=(ras(geometry, (k, j - 1, i)), ras(geometry, (k, j + 1, i))),
        key_slice=round(k),
        max_diameter_3d_mm=14.0,
        centroid_ras_mm=ras(geometry, (k, j, i)),
        centroid_segment="II",
        segments=(SegmentShare("II", 60.0), SegmentShare("III", 40.0)),
        primary_segment="II",
        mean_hu=60.0,
        sd_hu=9.0,
        contrast_to_liver_hu=-44.25,
        sphericity=None,
        distance_to_surface_mm=3.0,
        recist_measurable=True,
        touches_volume_edge=False,
        confidence=0.9,
        review=Review("accepted", "Dr. Müller | reader 2", "2026-01-02T03:04:05+00:00")
        if lesion_id == 1
        else Review(),
    )
