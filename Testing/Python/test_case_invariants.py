"""What holds for every case, and that the way a file stores its voxels changes nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from liverseg.case import Case, InvariantError
from liverseg.measure import measure
from made_cases import make_case, rotation_about

SMALL = {"shape_kji": (16, 18, 24), "spacing_kji": (4.0, 3.0, 2.6)}
# Two lesions of the same make in mirrored places: ties that only the world can decide.
TWINS = (((0.3, -0.2, -0.4), 9.0), ((-0.3, 0.2, 0.4), 9.0), ((0.0, 0.0, 0.0), 5.0))
STORED = list(product(permutations(range(3)), product((False, True), repeat=3)))


def world_numbers(case: Case) -> list[object]:
    """Everything of a case that must not depend on how voxels are stored (the slice index does)."""
    return [
        case.liver,
        case.segments,
        *(replace(n, key_slice=0) for n in case.lesions),
        *case.summary,
        *case.hints,
    ]


def flat(value: object) -> list[object]:
    """Numbers and words in a nest of dataclasses and tuples, in order."""
    if hasattr(value, "__dataclass_fields__"):
        return [leaf for name in value.__dataclass_fields__ for leaf in flat(getattr(value, name))]
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in flat(item)]
    return [value]


def assert_same(case: Case, expected: Case) -> None:
    for found, wanted in zip(flat(world_numbers(case)), flat(world_numbers(expected)), strict=True):
        if isinstance(wanted, float):
            assert found == pytest.approx(wanted, abs=1e-6)
        else:
            assert found == wanted


@pytest.mark.parametrize("rotation", [None, rotation_about((1.0, 0.5, -0.3), 17)], ids=["upright", "oblique"])
def test_eight_flips_of_six_permutations_give_the_same_world_numbers(rotation: np.ndarray | None) -> None:
    expected = make_case(**SMALL, rotation=rotation, lesions=TWINS)
    assert len(expected.lesions) == 3
    for permutation, flips in STORED:
        case = make_case(**SMALL, rotation=rotation, lesions=TWINS, permutation=permutation, flips=flips)
        assert_same(case, expected)
        axial = permutation.index(0)
        for lesion, wanted in zip(case.lesions, expected.lesions, strict=True):
            key = case.masks.lesions.shape[axial] - 1 - lesion.key_slice if flips[axial] else lesion.key_slice
            assert key == wanted.key_slice
            ends = case.ct.geometry.to_kji(lesion.long_axis_points_ras_mm)
            assert ends[:, axial] == pytest.approx([lesion.key_slice] * 2, abs=1e-6)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("rotation", [None, rotation_about((0.2, 1.0, 0.1), 25)], ids=["upright", "oblique"])
def test_segments_sum_to_the_liver_and_lesions_to_the_lesions_in_segments(
    split: bool, rotation: np.ndarray | None
) -> None:
    case = make_case(split_segment_4=split, rotation=rotation)
    assert len(case.segments) == (9 if split else 8)
    assert sum(s.volume_ml for s in case.segments) == pytest.approx(case.liver.volume_ml)
    assert sum(s.share_percent or 0 for s in case.segments) == pytest.approx(100.0)
    tumor = sum(lesion.volume_ml for lesion in case.lesions)
    assert sum(s.lesion_ml for s in case.segments) == pytest.approx(tumor)
    assert case.liver.tumor_burden_percent == pytest.approx(100 * tumor / case.liver.volume_ml)


def test_a_turned_patient_keeps_every_length_and_volume() -> None:
    upright = make_case()
    turned = make_case(rotation=rotation_about((1.0, 2.0, 3.0), 20))
    for one, other in zip(upright.lesions, turned.lesions, strict=True):
        for name in ("volume_ml", "long_axis_mm", "short_axis_mm", "max_diameter_3d_mm", "sphericity"):
            assert getattr(one, name) == pytest.approx(getattr(other, name))
        assert one.distance_to_surface_mm == pytest.approx(other.distance_to_surface_mm)
        assert (one.primary_segment, one.key_slice) == (other.primary_segment, other.key_slice)


def test_every_lesion_keeps_its_order_of_sizes() -> None:
    for lesion in make_case().lesions:
        assert 0 < lesion.short_axis_mm <= lesion.long_axis_mm <= lesion.max_diameter_3d_mm + 1e-9
        assert lesion.distance_to_surface_mm >= 0
        assert sum(share.share_percent for share in lesion.segments) <= 100.0 + 1e-9


def test_measuring_a_case_again_from_its_own_masks_changes_nothing() -> None:
    case = make_case(lesions=TWINS)
    reviews = {lesion.id: lesion.review for lesion in case.lesions}
    confidences = {lesion.id: lesion.confidence for lesion in case.lesions if lesion.confidence is not None}
    again = measure(
        case.ct,
        case.masks,
        method=case.method,
        provenance=case.provenance,
        reviews=reviews,
        confidences=confidences,
        warnings=case.warnings,
    )
    assert_same(again, case)
    assert again.warnings == case.warnings
    assert again.masks.couinaud is case.masks.couinaud


@pytest.mark.parametrize(
    "broken", ["size", "segment missing", "segment outside", "lesion outside", "lesion unread"]
)
def test_a_case_with_masks_that_contradict_each_other_cannot_be_made(broken: str) -> None:
    case = make_case(**SMALL)
    liver, couinaud, lesions = (getattr(case.masks, n).copy() for n in ("liver", "couinaud", "lesions"))
    inside = tuple(np.argwhere(liver & (lesions == 0))[0])
    if broken == "size":
        lesions = lesions[1:]
    elif broken == "segment missing":
        couinaud[inside] = 0
    elif broken == "segment outside":
        couinaud[0, 0, 0] = 5
    elif broken == "lesion outside":
        lesions[0, 0, 0] = 1
    else:
        lesions[inside] = 99
    with pytest.raises(InvariantError):
        replace(case, masks=replace(case.masks, liver=liver, couinaud=couinaud, lesions=lesions))
