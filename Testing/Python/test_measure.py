"""From masks to a case: what is mended, what is warned of, what ids and numbers come out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from liverseg.case import Case, CouinaudMethod, Masks, Provenance, Review
from liverseg.errors import UsageError
from liverseg.fingerprints import EarlierReadout, Fingerprints
from liverseg.geometry import Geometry
from liverseg.measure import label_lesions, measure
from liverseg.volume import Source, Volume
from made_cases import make_case

SHAPE = (20, 30, 40)
SPACING = (2.0, 1.0, 1.0)


def geometry(shape: tuple[int, int, int] = SHAPE, spacing: tuple[float, float, float] = SPACING) -> Geometry:
    k, j, i = spacing
    return Geometry(shape, np.diag([-i, -j, k, 1.0]))


def block_masks(shape: tuple[int, int, int] = SHAPE) -> Masks:
    """A block of liver, 2 voxels off every edge, segment V to the right and II to the left."""
    liver = np.zeros(shape, dtype=bool)
    liver[2:-2, 2:-2, 2:-2] = True
    couinaud = np.where(liver, 5, 0).astype(np.uint8)
    couinaud[:, :, shape[2] // 2 :][liver[:, :, shape[2] // 2 :]] = 2
    return Masks(liver, couinaud, np.zeros(shape, dtype=np.uint16))


def read_out(
    masks: Masks, hu: np.ndarray | None = None, warnings: Sequence[str] = (), **kwargs: object
) -> Case:
    array = np.full(masks.liver.shape, 100, dtype=np.int16) if hu is None else hu
    return measure(
        Volume(array, geometry(array.shape)),
        masks,
        method=CouinaudMethod("planes"),
        provenance=Provenance("0"),
        warnings=warnings,
        **kwargs,
    )


def test_a_clean_case_has_the_numbers_of_its_blocks_and_no_warning() -> None:
    masks = block_masks()
    masks.lesions[5:10, 10:16, 6:12] = 1
    hu = np.full(SHAPE, -100, dtype=np.int16)
    hu[masks.liver] = 100
    hu[5:10, 10:16, 6:12] = 40
    hu[5:10, 10:16, 6:9] = 20
    case = read_out(masks, hu)
    assert case.warnings == ()
    assert case.masks.liver is masks.liver and case.masks.couinaud is masks.couinaud
    liver_ml = 16 * 26 * 36 * 2 / 1000
    lesion_ml = 5 * 6 * 6 * 2 / 1000
    assert case.liver.volume_ml == pytest.approx(liver_ml)
    assert (case.liver.mean_hu, case.liver.sd_hu) == (100.0, 0.0)
    assert case.liver.tumor_burden_percent == pytest.approx(100 * lesion_ml / liver_ml)
    assert case.liver.complete
    (lesion,) = case.lesions
    assert lesion.volume_ml == pytest.approx(lesion_ml)
    assert (lesion.mean_hu, lesion.sd_hu, lesion.contrast_to_liver_hu) == (30.0, 10.0, -70.0)
    assert lesion.centroid_ras_mm == pytest.approx((-8.5, -12.5, 14.0))
    assert lesion.distance_to_surface_mm == pytest.approx(4.0)
    assert (lesion.centroid_segment, lesion.primary_segment) == ("V", "V")
    assert not lesion.touches_volume_edge and not lesion.recist_measurable
    assert lesion.key_slice == 7
    assert lesion.confidence is None and lesion.review == Review()
    by_name = {segment.name: segment for segment in case.segments}
    assert list(by_name) == ["I", "II", "III", "IV", "V", "VI", "VII", "VIII"]
    assert by_name["V"].volume_ml == pytest.approx(16 * 26 * 18 * 2 / 1000)
    assert by_name["V"].share_percent == pytest.approx(50.0)
    assert by_name["V"].lesion_ml == pytest.approx(lesion_ml)
    assert by_name["I"].volume_ml == 0.0
    assert case.summary == ("Lesion 1: 8 mm, segment V",)
    assert len(case.hints) == 3


def test_a_lesion_drawn_outside_is_added_to_the_liver_and_to_the_nearest_segment() -> None:
    masks = block_masks()
    before = masks.liver.copy()
    masks.lesions[8:10, 0:4, 30:33] = 7
    case = read_out(masks)
    assert case.masks.liver[8:10, 0:4, 30:33].all()
    assert (case.masks.couinaud[8:10, 0:4, 30:33] == 2).all()
    assert case.liver.volume_ml == pytest.approx((16 * 26 * 36 + 12) * 2 / 1000)
    assert len(case.warnings) == 2
    assert "Lesion 7 reached outside the liver" in case.warnings[0]
    assert "edge of the scan" in case.warnings[1]
    assert case.lesions[0].touches_volume_edge
    assert np.array_equal(masks.liver, before), "the masks that came in are left alone"


def test_liver_without_a_segment_takes_the_nearest_one_in_millimeters() -> None:
    masks = block_masks()
    masks.couinaud[:] = 0
    masks.couinaud[4, 15, 20] = 8
    masks.couinaud[10, 15, 11] = 3
    case = read_out(masks)
    # From (7, 15, 16): 6 mm along k and 4 mm to the first, 6 mm and 5 mm to the second.
    assert case.masks.couinaud[7, 15, 16] == 8
    assert case.masks.couinaud[7, 15, 15] == 3
    assert np.array_equal(case.masks.couinaud > 0, masks.liver)
    assert any("had no Couinaud segment" in warning for warning in case.warnings)


def test_the_nearest_segment_equals_a_search_through_all_voxels() -> None:
    rng = np.random.default_rng(2)
    masks = block_masks((8, 12, 12))
    holes = rng.random(masks.liver.shape) < 0.7
    known = np.where(masks.liver & ~holes, rng.integers(1, 9, masks.liver.shape), 0).astype(np.uint8)
    case = read_out(replace(masks, couinaud=known))
    seeds = np.argwhere(known)
    for voxel in np.argwhere(masks.liver & (known == 0)):
        distance = np.linalg.norm((seeds - voxel) * SPACING, axis=1)
        nearest = {known[tuple(seed)] for seed in seeds[distance <= distance.min() + 1e-9]}
        assert case.masks.couinaud[tuple(voxel)] in nearest


def test_segments_outside_the_liver_and_unknown_labels_are_dropped_with_a_word() -> None:
    masks = block_masks()
    masks.couinaud[0, 0, :5] = 3
    masks.couinaud[5, 5, 5] = 77
    case = read_out(masks)
    assert not case.masks.couinaud[0].any()
    assert case.masks.couinaud[5, 5, 5] == 5
    assert [w for w in case.warnings if "outside the liver" in w]
    assert [w for w in case.warnings if "no Couinaud segment, and took" in w]


def test_an_empty_liver_gives_an_empty_case_and_no_invented_number() -> None:
    nothing = np.zeros(SHAPE)
    case = read_out(Masks(nothing > 0, nothing.astype(np.uint8), nothing.astype(np.uint16)))
    assert case.liver.volume_ml == 0.0
    assert case.liver.mean_hu is None and case.liver.tumor_burden_percent is None
    assert not case.liver.complete
    assert [(s.volume_ml, s.share_percent) for s in case.segments] == [(0.0, None)] * 8
    assert case.lesions == () and case.summary == () and case.hints == ()
    assert case.warnings == ("No liver was found.",)


def test_a_liver_that_is_all_lesion_has_a_burden_of_100_and_no_contrast() -> None:
    masks = block_masks()
    masks.lesions[masks.liver] = 1
    case = read_out(masks)
    assert case.liver.tumor_burden_percent == 100.0
    assert case.liver.mean_hu is None
    assert case.lesions[0].contrast_to_liver_hu is None
    assert case.lesions[0].distance_to_surface_mm == 0.0


@pytest.mark.parametrize(
    "what", ["no segments", "no liver but a lesion", "another grid", "negative", "fraction"]
)
def test_masks_that_cannot_be_mended_are_refused_in_one_line(what: str) -> None:
    masks = block_masks()
    if what == "no segments":
        masks = replace(masks, couinaud=np.zeros_like(masks.couinaud))
    elif what == "no liver but a lesion":
        masks = Masks(masks.liver & False, masks.couinaud * 0, masks.lesions + 1)
    elif what == "another grid":
        masks = replace(masks, lesions=masks.lesions[1:])
    elif what == "negative":
        masks = replace(masks, lesions=masks.lesions.astype(np.int32) - 1)
    else:
        masks = replace(masks, couinaud=masks.couinaud * 0.5)
    with pytest.raises(UsageError) as refused:
        read_out(masks)
    assert "\n" not in str(refused.value)


def test_label_maps_of_other_integer_types_are_read_as_they_are() -> None:
    masks = block_masks()
    masks.lesions[5:10, 10:16, 6:12] = 3
    wide = Masks(
        masks.liver.astype(np.uint8), masks.couinaud.astype(np.float32), masks.lesions.astype(np.int64)
    )
    case = read_out(wide)
    assert (case.masks.liver.dtype, case.masks.couinaud.dtype, case.masks.lesions.dtype) == (
        np.dtype(bool),
        np.dtype(np.uint8),
        np.dtype(np.uint16),
    )
    assert [lesion.id for lesion in case.lesions] == [3]


def test_ids_are_the_labels_given_and_what_is_known_of_a_lesion_follows_its_id() -> None:
    masks = block_masks()
    masks.lesions[4:6, 4:6, 4:6] = 9
    masks.lesions[10:14, 10:20, 10:20] = 300
    masks.lesions[5:8, 20:24, 30:34] = 2
    case = read_out(
        masks,
        tracking_uids={9: "2.25.42"},
        reviews={300: Review("accepted", "R1", "2025-01-01T00:00:00")},
        confidences={2: 0.7},
    )
    assert [lesion.id for lesion in case.lesions] == [2, 9, 300]
    two, nine, many = case.lesions
    assert nine.tracking_uid == "2.25.42"
    assert many.review.state == "accepted" and nine.review.state == "unreviewed"
    assert (two.confidence, nine.confidence) == (0.7, None)


def test_tracking_uids_are_valid_unique_and_the_same_on_every_run() -> None:
    one, two = (make_case() for _ in range(2))
    uids = [lesion.tracking_uid for lesion in one.lesions]
    assert uids == [lesion.tracking_uid for lesion in two.lesions]
    assert len(set(uids)) == len(uids) == 2
    for uid in uids:
        assert uid.startswith("2.25.") and uid[5:].isdigit() and uid[5] != "0" and len(uid) <= 64
    other = make_case(source=Source(sha256="cd" * 32))
    assert not set(uids) & {lesion.tracking_uid for lesion in other.lesions}


def test_warnings_keep_their_order_and_come_once() -> None:
    masks = block_masks()
    ct = Volume(np.zeros(SHAPE, np.int16), geometry(), warnings=("Tilted.", "Clipped."))
    case = measure(
        ct,
        masks,
        method=CouinaudMethod("planes"),
        provenance=Provenance("0"),
        warnings=("Clipped.", "Slow.", "Slow."),
    )
    assert case.warnings == ("Tilted.", "Clipped.", "Slow.")


@pytest.mark.parametrize(
    ("axis", "index", "side"),
    [
        (0, 0, "inferior"),
        (0, -1, "superior"),
        (1, 0, "anterior"),
        (1, -1, "posterior"),
        (2, 0, "right"),
        (2, -1, "left"),
    ],
)
def test_a_liver_cut_by_the_scan_is_not_complete_and_the_side_is_named(
    axis: int, index: int, side: str
) -> None:
    shape = (40, 40, 40)
    for edge_mm, cut in ((21, False), (24, True)):
        liver = np.zeros(shape, dtype=bool)
        liver[10:30, 10:30, 10:30] = True
        # A square of 4.41 cm2 or 5.76 cm2 on the side, 1 mm voxels in plane and 2 mm along k.
        square = [slice(8, 8 + edge_mm)] * 3
        if axis != 0:
            square[0] = slice(8, 8 + edge_mm // 2)
            square[3 - axis] = slice(8, 8 + (21 * 21 if not cut else 24 * 24) // (2 * (edge_mm // 2)))
        square[axis] = slice(index, None) if index else slice(0, 1)
        liver[tuple(square)] = True
        masks = Masks(liver, liver.astype(np.uint8), np.zeros(shape, np.uint16))
        case = read_out(masks)
        assert case.liver.complete is not cut
        assert any(f"cuts the liver off ({side})" in w for w in case.warnings) is cut


def test_a_split_segment_4_is_seen_from_its_label_or_asked_for() -> None:
    masks = block_masks()
    assert not read_out(masks).split_segment_4
    masks.couinaud[5, 5, 5] = 9
    case = read_out(masks)
    assert [s.name for s in case.segments][3:5] == ["IVa", "IVb"]
    asked = measure(
        Volume(np.zeros(SHAPE, np.int16), geometry()),
        block_masks(),
        method=CouinaudMethod("planes"),
        provenance=Provenance("0", parameters={"split_segment_4": True}),
    )
    assert asked.split_segment_4


def test_gray_values_that_are_no_number_do_not_spread() -> None:
    masks = block_masks()
    masks.lesions[5:10, 10:16, 6:12] = 1
    hu = np.full(SHAPE, 80, dtype=np.float32)
    hu[5, 10, 6] = hu[15, 5, 5] = np.nan
    case = read_out(masks, hu)
    assert case.liver.mean_hu == 80.0
    assert case.lesions[0].contrast_to_liver_hu == 0.0


def test_lesions_are_labeled_by_falling_volume_with_corners_joined() -> None:
    mask = np.zeros((6, 12, 12), dtype=bool)
    mask[1, 1, 1:3] = True
    mask[2, 2, 3] = True
    mask[4, 5:9, 5:9] = True
    mask[1, 10, 10] = True
    ids = label_lesions(mask, geometry(mask.shape))
    assert ids.dtype == np.uint16
    assert ids[4, 5, 5] == 1
    assert ids[1, 1, 1] == ids[2, 2, 3] == 2, "voxels that touch at a corner are one lesion"
    assert ids[1, 10, 10] == 3
    assert np.array_equal(ids > 0, mask)
    assert not label_lesions(np.zeros_like(mask), geometry(mask.shape)).any()


def test_of_lesions_of_one_size_the_one_with_the_lowest_centroid_comes_first() -> None:
    mask = np.zeros((6, 10, 10), dtype=bool)
    mask[0:5, 1, 1] = True
    mask[1, 8, 3:8] = True
    ids = label_lesions(mask, geometry(mask.shape))
    assert (ids[1, 8, 3], ids[0, 1, 1]) == (1, 2)


def test_lesions_of_one_size_get_the_same_ids_however_the_array_is_stored() -> None:
    mask = np.zeros((8, 9, 10), dtype=bool)
    for k, j, i in ((1, 1, 1), (1, 1, 7), (1, 6, 4), (5, 2, 2), (6, 7, 8)):
        mask[k : k + 1, j : j + 2, i : i + 2] = True
    upright = geometry(mask.shape)
    expected = label_lesions(mask, upright)
    flipped = mask[::-1, :, ::-1].transpose(2, 0, 1)
    # Axes of the flipped array: i runs to the right, k to inferior, j stays.
    matrix = np.eye(4)
    matrix[:3, 2] = (1, 0, 0)
    matrix[:3, 1] = (0, 0, -2)
    matrix[:3, 0] = (0, -1, 0)
    matrix[:3, 3] = upright.to_ras((7, 0, 9))
    ids = label_lesions(flipped, Geometry(flipped.shape, matrix))
    assert np.array_equal(ids.transpose(1, 2, 0)[::-1, :, ::-1], expected)
    assert sorted(np.unique(expected)) == [0, 1, 2, 3, 4, 5]


def test_a_full_size_scan_with_many_lesions_is_measured_in_seconds() -> None:
    shape = (120, 384, 384)
    k, j, i = np.ogrid[:120, :384, :384]
    liver = ((k - 60) / 45) ** 2 + ((j - 190) / 100) ** 2 + ((i - 150) / 110) ** 2 <= 1
    couinaud = np.where(liver, 1 + (k > 60) + 2 * (j > 190) + 4 * (i > 150), 0).astype(np.uint8)
    lesions = np.zeros(shape, np.uint16)
    places = [(a, b, c) for a in (40, 55, 70, 80) for b in range(140, 250, 22) for c in range(100, 210, 22)]
    for n, (a, b, c) in enumerate(places, start=1):
        lesions[a - 2 : a + 3, b - 4 : b + 5, c - 4 : c + 5] = n
    ct = Volume(np.zeros(shape, np.int16), geometry(shape))
    start = time.process_time()
    case = measure(
        ct, Masks(liver, couinaud, lesions), method=CouinaudMethod("x"), provenance=Provenance("0")
    )
    assert len(case.lesions) == len(places) == 100
    assert time.process_time() - start < 15.0, "a pass over the whole volume for each lesion takes far longer"


def test_lesions_measured_earlier_are_told_in_the_segments_of_now_when_iv_is_divided_or_joined() -> None:
    whole = make_case(lesions=(((0.5, -0.1, 0.2), 5.0), ((-0.3, 0.1, -0.5), 6.0)))
    below = np.indices(whole.masks.liver.shape)[0] < 5
    divided = np.where((whole.masks.couinaud == 4) & below, np.uint8(9), whole.masks.couinaud)
    parts = replace(whole.masks, couinaud=divided)
    assert whole.lesions[0].primary_segment == "IV" or whole.lesions[1].primary_segment == "IV"

    def read(masks: Masks, earlier: EarlierReadout | None = None) -> Case:
        return measure(
            whole.ct, masks, method=whole.method, provenance=Provenance("0"), earlier=earlier, reviews={}
        )

    for before, now in ((whole.masks, parts), (parts, whole.masks)):
        first = read(before)
        known = EarlierReadout(Fingerprints.of(whole.ct, before), first.lesions)
        assert read(now, known).lesions == read(now).lesions
        assert read(now).lesions != first.lesions
