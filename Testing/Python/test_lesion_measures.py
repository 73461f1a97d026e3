"""Every measurement of a lesion, on shapes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg import labels
from liverseg.axes import max_diameter_3d_mm, recist_axes
from liverseg.case import CouinaudMethod, Masks, Provenance, SegmentShare
from liverseg.geometry import Geometry
from liverseg.lesion_measures import (
    centroid_kji,
    hu_statistics,
    is_measurable,
    label_at_centroid,
    primary_segment,
    segment_shares,
    sphericity,
    volume_ml,
)
from liverseg.measure import measure
from liverseg.surfaces import Border, face_centers, surface_area
from liverseg.volume import Volume
from made_cases import rotation_about

SPACINGS = [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (5.0, 0.7, 0.9)]
STRUCTURES = labels.segments(split_segment_4=False)


def grid(
    shape: tuple[int, ...], spacing: tuple[float, float, float], rotation: np.ndarray | None = None
) -> Geometry:
    """A grid in axial order (superior, posterior, left) with an odd origin, turned by ``rotation``."""
    k, j, i = spacing
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if rotation is None else rotation) @ np.diag([-i, -j, k])
    matrix[:3, 3] = (12.5, -31.0, 77.25)
    return Geometry((shape[0], shape[1], shape[2]), matrix)


def ellipsoid(
    radii: tuple[float, float, float], spacing: tuple[float, float, float], center: np.ndarray | None = None
) -> np.ndarray:
    """Voxels whose centers lie in an ellipsoid (mm), off the middle of its array by ``center`` mm."""
    center = np.zeros(3) if center is None else center
    half = [int(np.ceil(r / s)) + 2 for r, s in zip(radii, spacing, strict=True)]
    axes = np.meshgrid(*(np.arange(-n, n + 1) * s for n, s in zip(half, spacing, strict=True)), indexing="ij")
    return sum(((x - c) / r) ** 2 for x, c, r in zip(axes, center, radii, strict=True)) <= 1.0


def box(shape: tuple[int, int, int], margin: int = 2) -> np.ndarray:
    return np.pad(np.ones(shape, dtype=bool), margin)


def one_voxel() -> np.ndarray:
    return box((1, 1, 1))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_one_voxel_is_one_pixel_long_and_wide(spacing: tuple[float, float, float]) -> None:
    mask = one_voxel()
    geometry = grid(mask.shape, spacing)
    axes = recist_axes(mask, geometry)
    assert axes.long_axis_mm == pytest.approx(max(spacing[1:]))
    assert axes.short_axis_mm == pytest.approx(min(spacing[1:]))
    assert axes.key_slice == 2
    assert max_diameter_3d_mm(mask, geometry) == pytest.approx(max(spacing))
    assert volume_ml(mask, geometry) == pytest.approx(np.prod(spacing) / 1000)
    assert sphericity(mask, geometry) is None


def test_a_rod_of_n_voxels_is_n_voxels_long() -> None:
    mask = box((1, 1, 17))
    axes = recist_axes(mask, grid(mask.shape, (3.0, 0.8, 0.7)))
    assert axes.long_axis_mm == pytest.approx(17 * 0.7)
    assert axes.short_axis_mm == pytest.approx(0.8)


def test_a_rod_across_slices_is_short_in_plane_and_long_in_3d() -> None:
    mask = box((9, 1, 1))
    geometry = grid(mask.shape, (5.0, 0.8, 0.7))
    axes = recist_axes(mask, geometry)
    assert axes.long_axis_mm == pytest.approx(0.8)
    assert axes.key_slice == 2 + 4, "of equal slices the middle one is the key slice"
    assert max_diameter_3d_mm(mask, geometry) == pytest.approx(45.0)


def test_a_block_has_the_diagonal_between_its_outermost_face_centers() -> None:
    mask = box((3, 10, 20))
    geometry = grid(mask.shape, (4.0, 1.0, 1.0))
    assert recist_axes(mask, geometry).long_axis_mm == pytest.approx(np.hypot(20, 9))
    assert max_diameter_3d_mm(mask, geometry) == pytest.approx(np.sqrt(19**2 + 9**2 + 12**2))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [6.0, 12.0])
def test_spheres_anywhere_between_the_voxels_keep_their_size(
    spacing: tuple[float, float, float], radius: float
) -> None:
    rng = np.random.default_rng(3)
    pixel = max(spacing[1:])
    long, short, diameter, volume, round_ = [], [], [], [], []
    for _ in range(12):
        mask = ellipsoid((radius,) * 3, spacing, rng.uniform(-0.5, 0.5, 3) * spacing)
        geometry = grid(mask.shape, spacing)
        axes = recist_axes(mask, geometry)
        long.append(axes.long_axis_mm - 2 * radius)
        short.append(axes.short_axis_mm - 2 * radius)
        diameter.append(max_diameter_3d_mm(mask, geometry) - 2 * radius)
        volume.append(volume_ml(mask, geometry) / (4 / 3 * np.pi * radius**3 / 1000))
        round_.append(sphericity(mask, geometry))
    # The longest of many digitized chords is the luckiest one: below one pixel too long, never shorter
    # than what slices off the center miss.
    missed = 2 * (radius - np.sqrt(radius**2 - (spacing[0] / 2) ** 2))
    assert -missed < np.mean(long) < 0.85 * pixel
    assert -missed - 0.3 * pixel < np.mean(short) < 0.5 * pixel
    assert 0 <= np.mean(diameter) < max(spacing)
    assert np.mean(volume) == pytest.approx(1.0, abs=0.02)
    assert min(round_) >= 0.97
    assert max(round_) <= 1.0


@pytest.mark.parametrize("angle", [0, 25, 60, 90])
def test_an_ellipse_has_its_two_diameters_at_right_angles_in_the_key_slice(angle: float) -> None:
    a, b, spacing = 20.0, 9.0, (3.0, 0.8, 0.8)
    turn = np.radians(angle)
    j, i = np.meshgrid(np.arange(-30, 31) * 0.8, np.arange(-30, 31) * 0.8, indexing="ij")
    u, v = i * np.cos(turn) + j * np.sin(turn), -i * np.sin(turn) + j * np.cos(turn)
    disks = [(u / (a * f)) ** 2 + (v / (b * f)) ** 2 <= 1 for f in (0.6, 0.8, 1.0, 0.7)]
    mask = np.pad(np.stack(disks), ((3, 0), (0, 0), (0, 0)))
    geometry = grid(mask.shape, spacing)
    axes = recist_axes(mask, geometry)
    assert axes.key_slice == 5
    assert axes.long_axis_mm == pytest.approx(2 * a, abs=0.85)
    assert axes.short_axis_mm == pytest.approx(2 * b, abs=0.85)
    for points, length in (
        (axes.long_axis_points_ras_mm, axes.long_axis_mm),
        (axes.short_axis_points_ras_mm, axes.short_axis_mm),
    ):
        assert np.linalg.norm(np.subtract(*points)) == pytest.approx(length)
        assert geometry.to_kji(points)[:, 0] == pytest.approx([5, 5], abs=1e-6)
    long, short = (np.subtract(*p) for p in (axes.long_axis_points_ras_mm, axes.short_axis_points_ras_mm))
    assert long @ short == pytest.approx(0, abs=1e-6)


def test_the_long_axis_may_leave_a_concave_lesion() -> None:
    mask = np.zeros((5, 40, 40), dtype=bool)
    j, i = np.meshgrid(np.arange(40) - 19.5, np.arange(40) - 19.5, indexing="ij")
    ring = (np.hypot(j, i) <= 15) & (np.hypot(j, i) >= 10)
    mask[2] = ring & ~((i > 0) & (np.abs(j) < 8))
    axes = recist_axes(mask, grid(mask.shape, (1.0, 1.0, 1.0)))
    assert axes.long_axis_mm == pytest.approx(30, abs=1)
    middle = grid(mask.shape, (1.0, 1.0, 1.0)).to_kji(np.mean(axes.long_axis_points_ras_mm, axis=0))
    assert not mask[tuple(np.round(middle).astype(int))]


def test_the_short_axis_equals_a_search_through_all_perpendicular_chords() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        mask = np.zeros((1, 24, 24), dtype=bool)
        for _ in range(3):
            j, i = rng.integers(4, 14, 2)
            mask[0, j : j + rng.integers(2, 9), i : i + rng.integers(2, 9)] = True
        geometry = grid(mask.shape, (2.0, 1.0, 1.3))
        axes = recist_axes(mask, geometry)
        ends = np.array(axes.long_axis_points_ras_mm)
        along = (ends[1] - ends[0]) / axes.long_axis_mm
        # Sample the filled voxels finely: the span across the long axis in thin bins, without the corners
        # that the outline cuts off, must come close to the exact chord.
        fine = (np.arange(10) - 4.5) / 10
        voxels = np.argwhere(mask)[:, None, :] + np.array([(0.0, y, x) for y in fine for x in fine])[None]
        world = geometry.to_ras(voxels.reshape(-1, 3)) - ends.mean(axis=0)
        across = np.cross(along, [0, 0, 1])
        t, s = np.round(world @ along / 0.2).astype(int), world @ across
        spans = [np.ptp(s[t == place]) for place in np.unique(t)]
        assert axes.short_axis_mm <= max(spans) + 0.15
        assert axes.short_axis_mm >= max(spans) - 1.0


@pytest.mark.parametrize("angle", [10.0, 30.0])
def test_an_oblique_scan_is_measured_in_its_own_plane(angle: float) -> None:
    mask = ellipsoid((6.0, 15.0, 9.0), (2.0, 0.9, 0.7))
    upright = recist_axes(mask, grid(mask.shape, (2.0, 0.9, 0.7)))
    rotation = rotation_about((1, 0.4, -0.2), angle)
    geometry = grid(mask.shape, (2.0, 0.9, 0.7), rotation)
    oblique = recist_axes(mask, geometry)
    assert oblique.long_axis_mm == pytest.approx(upright.long_axis_mm)
    assert oblique.short_axis_mm == pytest.approx(upright.short_axis_mm)
    assert oblique.key_slice == upright.key_slice
    moved = (np.array(upright.long_axis_points_ras_mm) - geometry.ijk_to_ras[:3, 3]) @ rotation.T
    assert np.array(oblique.long_axis_points_ras_mm) == pytest.approx(moved + geometry.ijk_to_ras[:3, 3])
    assert max_diameter_3d_mm(mask, geometry) == pytest.approx(
        max_diameter_3d_mm(mask, grid(mask.shape, (2.0, 0.9, 0.7)))
    )


def test_a_coronal_scan_is_measured_in_axial_slices() -> None:
    axial = ellipsoid((25.0, 10.0, 6.0), (1.0, 1.0, 1.0))
    coronal = axial.transpose(1, 0, 2)
    matrix = np.eye(4)
    matrix[:3, :3] = [[-1, 0, 0], [0, 0, -1], [0, 1, 0]]
    axes = recist_axes(coronal, Geometry(coronal.shape, matrix))
    assert axes.long_axis_mm == pytest.approx(21, abs=0.2), "20 mm in plane, not 50 mm along the body"
    assert axes.key_slice == axial.shape[0] // 2


def test_the_3d_diameter_is_never_below_the_long_axis() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        mask = np.pad(rng.random((4, 6, 6)) > 0.6, 1)
        geometry = grid(mask.shape, (3.0, 0.7, 0.8))
        assert max_diameter_3d_mm(mask, geometry) >= recist_axes(mask, geometry).long_axis_mm - 1e-9


def test_a_lesion_on_the_edge_of_its_array_is_measured_whole() -> None:
    mask = box((3, 8, 8), margin=0)
    padded = box((3, 8, 8))
    inner, outer = grid(mask.shape, (1.0, 1.0, 1.0)), grid(padded.shape, (1.0, 1.0, 1.0))
    assert recist_axes(mask, inner).long_axis_mm == pytest.approx(recist_axes(padded, outer).long_axis_mm)
    assert sphericity(mask, inner) == pytest.approx(sphericity(padded, outer))


def test_an_empty_mask_has_no_axes() -> None:
    with pytest.raises(ValueError, match="empty"):
        recist_axes(np.zeros((3, 3, 3), dtype=bool), grid((3, 3, 3), (1.0, 1.0, 1.0)))


def test_a_cube_and_a_long_ellipsoid_are_less_round_than_a_ball() -> None:
    cube = box((40, 40, 40))
    assert sphericity(cube, grid(cube.shape, (1.0, 1.0, 1.0))) == pytest.approx(0.806, abs=0.025)
    spacing = (2.5, 0.8, 0.8)
    rugby = ellipsoid((30.0, 10.0, 10.0), spacing)
    # Prolate spheroid: A = 2 pi a^2 (1 + c/(a e) asin e).
    e = np.sqrt(1 - (10 / 30) ** 2)
    area = 2 * np.pi * 100 * (1 + 3 / e * np.arcsin(e))
    expected = np.pi ** (1 / 3) * (6 * 4 / 3 * np.pi * 3000) ** (2 / 3) / area
    assert sphericity(rugby, grid(rugby.shape, spacing)) == pytest.approx(expected, abs=0.02)


def test_the_area_of_a_tilted_plane_is_that_of_the_plane_and_not_of_its_stairs() -> None:
    k, j, i = np.indices((40, 40, 40)) - 19.5
    normal = np.array([1.0, 2.0, 2.0]) / 3
    slab = np.abs(k * normal[0] + j * normal[1] + i * normal[2]) < 6
    disk = slab & (k**2 + j**2 + i**2 < 18**2)
    caps = 2 * np.pi * (18**2 - 6**2)
    zone = 2 * np.pi * 18 * 12
    assert surface_area(disk, (1.0, 1.0, 1.0)) == pytest.approx(caps + zone, rel=0.04)


def test_sphericity_is_unknown_below_64_voxels() -> None:
    small, enough = box((3, 3, 7)), box((4, 4, 4))
    assert sphericity(small, grid(small.shape, (1.0, 1.0, 1.0))) is None
    assert sphericity(enough, grid(enough.shape, (1.0, 1.0, 1.0))) is not None


def test_hu_statistics_leave_out_what_is_no_number() -> None:
    assert hu_statistics(np.array([10, 20, 30], dtype=np.int16)) == (20.0, pytest.approx(np.sqrt(200 / 3)))
    assert hu_statistics(np.array([10.0, np.nan, 30.0], dtype=np.float32)) == (20.0, 10.0)
    assert hu_statistics(np.array([], dtype=np.int16)) == (None, None)
    assert hu_statistics(np.array([np.nan])) == (None, None)


@pytest.mark.parametrize(("gap", "expected"), [(0, 0.0), (1, 0.8), (6, 4.8)])
def test_distance_to_the_border_counts_the_voxels_between(gap: int, expected: float) -> None:
    liver = box((20, 30, 30))
    lesion = np.zeros_like(liver)
    lesion[8:14, 12:16, 2 + gap : 6 + gap] = True
    border = Border(liver, grid(liver.shape, (3.0, 0.8, 0.8)))
    assert border.distance_mm(face_centers(lesion)) == pytest.approx(expected)


@pytest.mark.parametrize("rotation", [np.eye(3), rotation_about((0, 1, 1), 30)])
def test_a_ball_in_a_ball_lies_as_deep_as_the_radii_say(rotation: np.ndarray) -> None:
    spacing = (2.5, 0.8, 0.8)
    liver = ellipsoid((40.0,) * 3, spacing)
    center = np.array([0.0, 12.0, 9.0])
    axes = np.meshgrid(
        *((np.arange(n) - n // 2) * s for n, s in zip(liver.shape, spacing, strict=True)), indexing="ij"
    )
    lesion = sum((x - c) ** 2 for x, c in zip(axes, center, strict=True)) <= 10.0**2
    border = Border(liver, grid(liver.shape, spacing, rotation))
    assert border.distance_mm(face_centers(lesion)) == pytest.approx(40 - 15 - 10, abs=0.8)


def test_the_edge_of_the_scan_is_no_border_of_the_liver() -> None:
    liver = np.zeros((10, 20, 20), dtype=bool)
    liver[:, :15, :] = True
    lesion = np.zeros_like(liver)
    lesion[0:2, 5:8, 0:3] = True
    assert Border(liver, grid(liver.shape, (1.0, 1.0, 1.0))).distance_mm(
        face_centers(lesion)
    ) == pytest.approx(7.0)
    lesion[5, 5:12, 10] = True
    assert Border(liver, grid(liver.shape, (1.0, 1.0, 1.0))).distance_mm(
        face_centers(lesion)
    ) == pytest.approx(3.0)
    everything = Border(np.ones_like(liver), grid(liver.shape, (1.0, 1.0, 1.0)))
    assert everything.distance_mm(face_centers(lesion)) is None


def test_the_centroid_of_a_c_shape_takes_the_segment_of_its_nearest_voxel() -> None:
    mask = np.zeros((3, 9, 9), dtype=bool)
    mask[1, 1:8, 1:3] = mask[1, 1:3, 1:8] = mask[1, 6:8, 1:8] = True
    segments = np.full(mask.shape, 5, dtype=np.uint8)
    segments[:, :, :3] = 8
    center = tuple(np.round(centroid_kji(mask)).astype(int))
    assert not mask[center] and segments[center] == 5
    assert label_at_centroid(mask, segments, grid(mask.shape, (1.0, 1.0, 1.0))) == 8
    assert label_at_centroid(mask, np.zeros_like(segments), grid(mask.shape, (1.0, 1.0, 1.0))) == 0


def test_segments_are_listed_from_ten_percent_or_half_a_milliliter_up() -> None:
    inside = np.repeat([8, 5, 4, 6], [700, 180, 99, 21])
    listed = segment_shares(inside, STRUCTURES, voxel_volume_ml=0.001)
    assert [(s.name, s.share_percent) for s in listed] == [("VIII", 70.0), ("V", 18.0)]
    listed = segment_shares(inside, STRUCTURES, voxel_volume_ml=0.006)
    assert [s.name for s in listed] == ["VIII", "V", "IV"], "0.59 ml of IV count, 0.13 ml of VI do not"


@pytest.mark.parametrize(
    ("shares", "name"),
    [
        ((("V", 60.0), ("IV", 40.0)), "V"),
        ((("V", 52.0), ("IV", 48.0)), "IV/V"),
        ((("V", 52.5), ("IV", 47.5)), "IV/V"),
        ((("V", 53.0), ("IV", 47.0)), "V"),
        ((("VIII", 35.0), ("V", 34.0), ("IV", 31.0)), "IV/V/VIII"),
        ((), None),
    ],
)
def test_a_tie_within_five_points_names_both_segments_in_reading_order(
    shares: tuple[tuple[str, float], ...], name: str | None
) -> None:
    assert primary_segment([SegmentShare(*share) for share in shares], STRUCTURES) == name


def test_measurable_begins_at_exactly_ten_millimeters() -> None:
    assert is_measurable(10 * 0.7 / 0.7)
    assert is_measurable(9.9999999999)
    assert not is_measurable(9.99)


def test_in_slices_of_more_than_five_millimeters_measurable_begins_at_twice_their_thickness() -> None:
    assert is_measurable(10.0, slice_mm=5.0)
    assert not is_measurable(10.0, slice_mm=5.5)
    assert is_measurable(11.0, slice_mm=5.5)
    assert not is_measurable(15.9, slice_mm=8.0)


def test_a_ball_in_a_case_has_its_segment_share_depth_and_hu_as_it_was_put_in() -> None:
    # Center and radius in mm on a grid of 1 mm: the ball lies 12 mm below the liver's upper surface, three
    # quarters of it right of the plane that parts segments VIII and IV.
    shape = (60, 70, 90)
    liver = np.zeros(shape, dtype=bool)
    liver[5:50, 5:65, 5:85] = True
    k, j, i = np.indices(shape)
    ball = (k - 28) ** 2 + (j - 35) ** 2 + (i - 40) ** 2 <= 10.0**2
    couinaud = np.where(liver, np.where(i <= 44, 8, 4), 0).astype(np.uint8)
    hu = np.where(ball, 55, np.where(liver, 100, -50)).astype(np.int16)
    case = measure(
        Volume(hu, grid(shape, (1.0, 1.0, 1.0))),
        Masks(liver, couinaud, ball.astype(np.uint16)),
        method=CouinaudMethod("planes"),
        provenance=Provenance("test"),
    )
    (lesion,) = case.lesions
    # A cap of height h = 10.5 - 5 of a ball of radius 10: pi h^2 (3 r - h) / 3 of 4/3 pi r^3.
    cap = np.pi * 5.5**2 * (30 - 5.5) / 3 / (4 / 3 * np.pi * 1000)
    shares = {share.name: share.share_percent for share in lesion.segments}
    assert shares["IV"] == pytest.approx(100 * cap, abs=1.5)
    assert shares["VIII"] + shares["IV"] == pytest.approx(100.0)
    assert lesion.primary_segment == lesion.centroid_segment == "VIII"
    assert lesion.distance_to_surface_mm == pytest.approx(49.5 - 38.5)
    assert (lesion.mean_hu, lesion.sd_hu, lesion.contrast_to_liver_hu) == (55.0, 0.0, -45.0)
    assert case.liver.mean_hu == 100.0
    assert case.liver.tumor_burden_percent == pytest.approx(100 * ball.sum() / liver.sum())
    assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi, rel=0.01)
    assert lesion.recist_measurable
    assert not lesion.touches_volume_edge


def test_a_lesion_at_the_edge_of_the_scan_says_so_and_one_beside_it_does_not() -> None:
    shape = (12, 20, 20)
    liver = np.ones(shape, dtype=bool)
    lesions = np.zeros(shape, dtype=np.uint16)
    lesions[0:3, 4:8, 4:8] = 1
    lesions[5:8, 10:14, 1:5] = 2
    lesions[5:8, 4:8, 16:20] = 3
    case = measure(
        Volume(np.zeros(shape, dtype=np.int16), grid(shape, (2.0, 1.0, 1.0))),
        Masks(liver, np.full(shape, 5, dtype=np.uint8), lesions),
        method=CouinaudMethod("planes"),
        provenance=Provenance("test"),
    )
    assert [lesion.touches_volume_edge for lesion in case.lesions] == [True, False, True]
    assert any("Lesion 1, 3 reaches the edge" in warning for warning in case.warnings)
