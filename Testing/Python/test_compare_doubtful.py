"""Scans that do not fit each other: one that cuts the liver off, one of another person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from liverseg.case import Case, CouinaudMethod, Masks, Provenance
from liverseg.compare import TimePoint, compare_cases
from liverseg.compare.registration import register_livers
from liverseg.measure import measure
from liverseg.phantom import make_phantom
from liverseg.volume import Volume
from made_cases import make_case
from two_scans import read_out

LOW, HIGH = ((-0.6, 0.1, 0.3), 5.0), ((0.5, -0.1, -0.3), 6.0)


def without_ct(case: Case) -> TimePoint:
    return replace(TimePoint.of(case), ct=None)


def upper_part(case: Case, first_slice: int) -> Case:
    """The same scan, begun higher up."""
    box = (slice(first_slice, None), slice(None), slice(None))
    masks = case.masks
    whole = (slice(first_slice, case.ct.array.shape[0]), *(slice(0, n) for n in case.ct.array.shape[1:]))
    return measure(
        Volume(case.ct.array[box], case.ct.geometry.cropped(whole)),
        Masks(masks.liver[box], masks.couinaud[box], masks.lesions[box]),
        method=CouinaudMethod("planes"),
        provenance=Provenance("1.2.3", "made up"),
    )


def test_a_lesion_beyond_the_other_scans_edge_is_not_called_gone_or_new() -> None:
    whole = make_case(lesions=(HIGH, LOW))
    cut = upper_part(whole, 11)
    assert [lesion.id for lesion in cut.lesions] == [1]
    assert not cut.liver.complete
    later_cut = compare_cases(without_ct(whole), without_ct(cut))
    assert [(x.status, x.before, x.after) for x in later_cut.lesions] == [
        ("matched", (1,), (1,)),
        ("not_covered", (2,), ()),
    ]
    assert later_cut.lesions[1].volume_ml.after is None
    assert any("cuts the liver off" in warning for warning in later_cut.warnings)
    assert any("outside of the later scan" in sentence for sentence in later_cut.summary)
    # A target that cannot be seen leaves no sum.
    assert later_cut.targets.targets == (1, 2)
    assert later_cut.targets.sums_mm[1] is None
    earlier_cut = compare_cases(without_ct(cut), without_ct(whole))
    assert [(x.status, x.before, x.after) for x in earlier_cut.lesions] == [
        ("matched", (1,), (1,)),
        ("not_covered", (), (2,)),
    ]
    assert earlier_cut.targets.new_lesions == 0


def test_a_cut_liver_is_laid_where_it_belongs_and_not_on_the_others_middle() -> None:
    whole = make_case(lesions=())
    cut = upper_part(whole, 13)
    registration = register_livers(without_ct(whole), without_ct(cut))
    points = cut.ct.geometry.to_ras(np.argwhere(cut.masks.liver)[::20])
    assert np.linalg.norm(registration.to_before(points) - points, axis=1).mean() < 2.0
    assert registration.liver_dice > 0.95


def test_another_persons_liver_raises_a_doubt() -> None:
    phantom = make_phantom(3, (40, 60, 70), (6.0, 5.8, 5.4), lesions=())
    one = without_ct(read_out(phantom.ct, phantom.masks))
    other = make_case((26, 34, 48), (6.0, 4.0, 3.6), lesions=())
    assert any("one person" in warning for warning in compare_cases(one, without_ct(other)).warnings)
