"""Target lesions and their sum: RECIST 1.1 by hand-made numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverseg.case import LesionReadout, Review
from liverseg.compare import TimePoint, compare_cases
from liverseg.compare.matching import Group
from liverseg.compare.recist import choose_targets, limit_sentence, sum_of_targets
from liverseg.compare.result import Change
from liverseg.measure import measure
from made_cases import make_case

TEMPLATE = make_case().lesions[0]


def lesion(lesion_id: int, long_axis_mm: float, volume_ml: float = 1.0) -> LesionReadout:
    return replace(
        TEMPLATE,
        id=lesion_id,
        long_axis_mm=long_axis_mm,
        volume_ml=volume_ml,
        recist_measurable=long_axis_mm >= 10,
    )


def test_targets_are_the_two_longest_measurable_ones() -> None:
    lesions = [lesion(1, 18), lesion(2, 9.9), lesion(3, 31), lesion(4, 18, volume_ml=3)]
    assert choose_targets(lesions) == (3, 4)
    assert choose_targets(lesions[1:2]) == ()
    assert choose_targets([]) == ()


def test_the_sum_adds_parts_counts_merged_ones_once_and_gone_ones_as_nothing() -> None:
    later = {n: lesion(n, size) for n, size in ((1, 20.0), (2, 7.0), (3, 40.0))}
    groups = [Group((1,), (1, 2)), Group((2,), ()), Group((), (3,))]
    assert sum_of_targets((1, 2), groups, later) == 27.0
    assert sum_of_targets((1, 2), [Group((1, 2), (3,))], later) == 40.0
    assert sum_of_targets((2,), groups, later) == 0.0
    assert sum_of_targets((), groups, later) is None
    assert sum_of_targets((1, 2), groups, later, unknown=(2,)) is None


@pytest.mark.parametrize(
    ("sums", "word"),
    [
        ((100.0, 70.0), "30 % below"),
        ((100.0, 70.1), "passes no limit"),
        ((100.0, 120.0), "20 % and 5 mm above"),
        ((100.0, 119.0), "passes no limit"),
        ((20.0, 24.5), "passes no limit"),
        ((20.0, 25.0), "20 % and 5 mm above"),
        ((100.0, 40.0, 60.0), "20 % and 5 mm above"),
        ((100.0, 60.0, 62.0), "30 % below"),
        # Any growth is more than 20 % of nothing.
        ((30.0, 0.0, 12.0), "20 % and 5 mm above"),
        ((30.0, 0.0, 4.0), "30 % below"),
        ((30.0, 0.0, 0.0), "30 % below"),
    ],
)
def test_limits_are_told_as_information_and_never_as_a_response(sums: tuple[float, ...], word: str) -> None:
    sentence = limit_sentence(Change(sums[0], sums[-1]), Change(min(sums[:-1]), sums[-1]))
    assert word in sentence
    assert sentence.endswith("this is information, not a verdict.")
    for verdict in ("progress", "response", "stable", "remission"):
        assert verdict not in sentence.lower()


def test_no_sum_has_no_limit() -> None:
    assert limit_sentence(Change(None, None), Change(None, None)) == ""


def test_scans_in_between_give_the_smallest_sum() -> None:
    sizes = (12.0, 6.0, 9.0)
    first, middle, last = (make_case(lesions=[((0.0, 0.0, 0.0), size)]) for size in sizes)
    comparison = compare_cases(first, last, [middle])
    axes = [case.lesions[0].long_axis_mm for case in (first, middle, last)]
    assert comparison.targets.sums_mm == pytest.approx(axes)
    assert comparison.targets.from_smallest.before == pytest.approx(axes[1])
    assert comparison.targets.from_smallest.percent == pytest.approx(100 * (axes[2] / axes[1] - 1))
    assert comparison.targets.from_baseline.percent == pytest.approx(100 * (axes[2] / axes[0] - 1))
    assert "smallest sum" in comparison.summary[0]


def test_the_summary_gives_numbers_and_no_diagnosis() -> None:
    comparison = compare_cases(
        make_case(lesions=[((0.0, 0.0, 0.0), 10.0)]),
        make_case(lesions=[((0.0, 0.0, 0.0), 13.0), ((0.3, -0.2, -0.6), 4.0)]),
    )
    text = " ".join(comparison.summary)
    assert comparison.summary[0].startswith("Sum of diameters of target lesion 1: ")
    assert "+" in comparison.summary[0]
    assert "is new" in text
    assert "progressive" not in text.lower()


def test_rejected_lesions_take_no_part_in_the_tumor_burden() -> None:
    case = make_case()
    rejected = replace(case.lesions[0], review=Review("rejected"))
    before = replace(TimePoint.of(case), lesions=(rejected, *case.lesions[1:]))
    labels = np.where(case.masks.lesions == rejected.id, np.uint16(0), case.masks.lesions)
    after = measure(
        case.ct,
        replace(case.masks, lesions=labels),
        method=case.method,
        provenance=case.provenance,
    )
    found = compare_cases(before, after).tumor_burden_percent
    assert found.change == pytest.approx(0.0, abs=1e-9)
    assert found.after == pytest.approx(after.liver.tumor_burden_percent)
