"""Which lesion is which, on one liver whose lesions are placed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from liverseg.case import Case, Review
from liverseg.compare import compare_cases
from liverseg.compare.matching import distance_limit_mm
from liverseg.compare.result import Comparison, LesionChange
from made_cases import make_case

# Center (z, y, x) in parts of the liver's half axes, radius in mm.
Ball = tuple[tuple[float, float, float], float]
A: Ball = ((0.3, -0.2, -0.4), 9.0)
B: Ball = ((-0.35, 0.1, 0.5), 6.0)


def case_with(*balls: Ball) -> Case:
    return make_case(lesions=balls)


def told(comparison: Comparison) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(lesion.status, lesion.before, lesion.after) for lesion in comparison.lesions]


def only(lesions: Sequence[LesionChange], status: str) -> LesionChange:
    (found,) = [lesion for lesion in lesions if lesion.status == status]
    return found


def test_the_same_case_twice_has_no_change_at_all() -> None:
    case = case_with(A, B)
    comparison = compare_cases(case, case)
    assert told(comparison) == [("matched", (1,), (1,)), ("matched", (2,), (2,))]
    for lesion in comparison.lesions:
        for change in (lesion.long_axis_mm, lesion.short_axis_mm, lesion.volume_ml, lesion.mean_hu):
            assert change.change == 0.0
            assert change.percent == 0.0
        assert lesion.overlap_percent == 100.0
        assert lesion.distance_mm == pytest.approx(0.0, abs=1e-6)
    assert comparison.targets.from_baseline.change == 0.0
    assert comparison.liver_ml.change == 0.0
    assert comparison.registration.steps == ("identity",)
    assert np.abs(comparison.registration.field).max() == 0.0


def test_ids_may_be_the_other_way_around() -> None:
    assert told(compare_cases(case_with(A, B), case_with(B, A))) == [
        ("matched", (1,), (2,)),
        ("matched", (2,), (1,)),
    ]


def test_a_lesion_that_moved_beside_its_place_is_matched_by_distance() -> None:
    small = ((0.0, 0.0, 0.0), 3.0)
    beside = ((0.0, 0.0, 0.26), 3.0)
    lesion = compare_cases(case_with(small), case_with(beside)).lesions[0]
    assert lesion.status == "matched"
    assert lesion.overlap_percent == 0.0
    assert 6.0 < lesion.distance_mm < 9.0
    far = ((0.0, 0.0, 0.6), 3.0)
    assert [x.status for x in compare_cases(case_with(small), case_with(far)).lesions] == ["gone", "new"]


def test_how_far_is_relative_to_size_and_has_a_limit() -> None:
    small = replace(case_with(A).lesions[0], volume_ml=0.1)
    large = replace(small, volume_ml=500.0)
    assert distance_limit_mm(small, small) == pytest.approx(6.0 + 5.7588 / 2, abs=1e-3)
    assert distance_limit_mm(large, large) == 20.0


def test_pairs_are_chosen_together_so_that_all_fit_best() -> None:
    # Along one row, in voxels of 1.6 mm. The later lesion at -5.5 lies nearest to the earlier one at -2.5,
    # but then the other two would stay alone.
    def at(voxel: float) -> Ball:
        return (0.5 / 10.4, 0.5 / 13.6, voxel / 19.2), 2.1

    comparison = compare_cases(case_with(at(-9.5), at(-2.5)), case_with(at(-5.5), at(1.5)))
    assert set(told(comparison)) == {("matched", (1,), (1,)), ("matched", (2,), (2,))}
    assert [lesion.distance_mm for lesion in comparison.lesions] == pytest.approx([6.4, 6.4])


def test_a_lesion_that_split_is_the_sum_of_its_parts() -> None:
    whole = ((0.0, 0.0, 0.0), 10.0)
    parts = (((0.0, 0.0, -0.3), 4.0), ((0.0, 0.0, 0.28), 3.0))
    before, after = case_with(whole, B), case_with(*parts)
    comparison = compare_cases(before, after)
    split = only(comparison.lesions, "split")
    assert (split.before, split.after) == ((1,), (1, 2))
    one, other = after.lesions
    assert split.volume_ml.after == pytest.approx(one.volume_ml + other.volume_ml)
    assert split.long_axis_mm.after == pytest.approx(one.long_axis_mm + other.long_axis_mm)
    assert split.mean_hu.after == pytest.approx(after.ct.array[after.masks.lesions > 0].mean())
    assert split.short_axis_mm.after is None
    # RECIST 1.1 adds the fragments of a target; the other target is gone.
    assert comparison.targets.sums_mm[1] == pytest.approx(one.long_axis_mm + other.long_axis_mm)


def test_lesions_that_merged_count_once() -> None:
    parts = (((0.0, 0.0, -0.3), 6.0), ((0.0, 0.0, 0.28), 6.0))
    before, after = case_with(*parts), case_with(((0.0, 0.0, 0.0), 12.0))
    comparison = compare_cases(before, after)
    merged = only(comparison.lesions, "merged")
    assert set(merged.before) == {1, 2}
    assert merged.after == (1,)
    assert comparison.targets.targets == (1, 2)
    assert comparison.targets.sums_mm[0] == pytest.approx(sum(x.long_axis_mm for x in before.lesions))
    assert comparison.targets.sums_mm[1] == pytest.approx(after.lesions[0].long_axis_mm)


def test_a_new_lesion_beside_a_matched_one_is_new() -> None:
    before = case_with(((0.0, 0.0, 0.0), 7.0))
    after = case_with(((0.0, 0.0, 0.0), 7.0), ((0.0, 0.0, 0.75), 4.0))
    assert told(compare_cases(before, after)) == [("matched", (1,), (1,)), ("new", (), (2,))]


def test_gone_and_new_lesions_have_zeros_for_sizes_and_no_hu() -> None:
    comparison = compare_cases(case_with(A), case_with(B))
    gone, new = only(comparison.lesions, "gone"), only(comparison.lesions, "new")
    assert gone.volume_ml.percent == pytest.approx(-100.0)
    assert gone.long_axis_mm.after == 0.0
    assert gone.mean_hu.after is None
    assert gone.mean_hu.change is None
    assert new.volume_ml.before == 0.0
    assert new.volume_ml.percent is None
    assert new.segment_before is None
    assert new.segment_after is not None


def test_rejected_lesions_are_left_out_and_told() -> None:
    before = case_with(A, B)
    after = case_with(A, B)
    rejected = replace(after.lesions[1], review=Review("rejected", "one"))
    after = replace(after, lesions=(after.lesions[0], rejected))
    comparison = compare_cases(before, after)
    assert told(comparison) == [("matched", (1,), (1,)), ("gone", (2,), ())]
    assert any("rejected" in warning for warning in comparison.warnings)


@pytest.mark.parametrize(
    ("earlier", "later", "statuses"),
    [
        ((), (A, B), ["new", "new"]),
        ((A, B), (), ["gone", "gone"]),
        ((), (), []),
    ],
)
def test_a_scan_without_lesions_is_no_trouble(
    earlier: tuple[Ball, ...], later: tuple[Ball, ...], statuses: list[str]
) -> None:
    comparison = compare_cases(case_with(*earlier), case_with(*later))
    assert [lesion.status for lesion in comparison.lesions] == statuses
    assert comparison.lesions_ml.before == pytest.approx(
        sum(x.volume_ml for x in case_with(*earlier).lesions)
    )
    assert comparison.summary


def test_a_scan_without_a_liver_compares_nothing_and_says_so() -> None:
    case = case_with(A)
    from writer_cases import empty_case

    for before, after in ((case, empty_case()), (empty_case(), case), (empty_case(), empty_case())):
        comparison = compare_cases(before, after)
        assert {lesion.status for lesion in comparison.lesions} <= {"not_compared"}
        assert comparison.registration is None
        assert comparison.targets.sums_mm[-1] is None
        assert any("no liver" in warning for warning in comparison.warnings)
    assert compare_cases(case, empty_case()).lesions[0].volume_ml.after is None
