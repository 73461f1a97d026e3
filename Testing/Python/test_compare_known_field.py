"""Two scans of one made-up person, the second moved and deformed by a known field, lesions changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverseg.case import Case
from liverseg.compare import TimePoint, compare_cases
from liverseg.compare.registration import Registration, register_livers
from liverseg.compare.result import Comparison
from liverseg.phantom import PlannedLesion
from liverseg.phantom_motion import Motion, middle_of
from two_scans import scan

MOTION = Motion()
GREW, SHRANK, SAME, GONE, CAME = (
    (81.7, 32.4, -7.5),
    (104.6, -0.2, -67.0),
    (-13.0, 1.5, 0.3),
    (112.4, -9.6, -28.7),
    (70.0, 49.0, -33.0),
)


@pytest.fixture(scope="module")
def before() -> Case:
    planned = ((GREW, 36.0), (SHRANK, 26.0), (GONE, 18.0), (SAME, 12.0))
    return scan([PlannedLesion(center, size) for center, size in planned])


@pytest.fixture(scope="module")
def after() -> Case:
    planned = ((GREW, 48.0), (SHRANK, 16.0), (CAME, 20.0), (SAME, 12.0))
    return scan([PlannedLesion(center, size) for center, size in planned], MOTION)


@pytest.fixture(scope="module")
def comparison(before: Case, after: Case) -> Comparison:
    without_ct = [replace(TimePoint.of(case), ct=None) for case in (before, after)]
    return compare_cases(*without_ct)


def errors_mm(registration: Registration, after: Case) -> np.ndarray:
    """How far points of the later liver are led astray."""
    points = after.ct.geometry.to_ras(np.argwhere(after.masks.liver)[::40])
    # The later grid moved along with the person, so its middle tells where the earlier one was.
    first_middle = middle_of(after.ct.geometry) - np.array(MOTION.shift_ras_mm)
    return np.linalg.norm(registration.to_before(points) - MOTION.to_first(points, first_middle), axis=1)


def test_grown_shrunk_unchanged_gone_and_new_lesions_are_told_apart(comparison: Comparison) -> None:
    told = [(lesion.status, lesion.before, lesion.after) for lesion in comparison.lesions]
    assert told == [
        ("matched", (1,), (1,)),
        ("matched", (2,), (3,)),
        ("matched", (4,), (4,)),
        ("gone", (3,), ()),
        ("new", (), (2,)),
    ]


def test_changes_are_the_differences_of_the_two_read_outs(
    comparison: Comparison, before: Case, after: Case
) -> None:
    grew = comparison.lesions[0]
    one, other = before.lesions[0], after.lesions[0]
    assert grew.volume_ml.change == pytest.approx(other.volume_ml - one.volume_ml)
    assert grew.volume_ml.percent == pytest.approx(100 * (other.volume_ml / one.volume_ml - 1))
    assert grew.long_axis_mm.percent == pytest.approx(100 * (other.long_axis_mm / one.long_axis_mm - 1))
    assert grew.mean_hu.change == pytest.approx(other.mean_hu - one.mean_hu)
    assert comparison.lesions_ml.after == pytest.approx(sum(x.volume_ml for x in after.lesions))
    # The true diameters are 36 and 48, 26 and 16 mm; the grid has voxels of 3.4 mm.
    assert grew.long_axis_mm.change == pytest.approx(12, abs=4)
    assert comparison.lesions[1].long_axis_mm.change == pytest.approx(-10, abs=4)


def test_the_field_is_found_within_millimeters_and_led_back(comparison: Comparison, after: Case) -> None:
    registration = comparison.registration
    assert registration is not None
    assert registration.steps == ("rigid", "affine", "b-spline")
    error = errors_mm(registration, after)
    assert error.mean() < 2.5
    assert np.percentile(error, 95) < 5.0
    assert registration.liver_dice > 0.965
    assert registration.liver_dice > registration.rigid_dice
    assert registration.surface_distance_mm < 1.5
    points = after.ct.geometry.to_ras(np.argwhere(after.masks.liver)[::400])
    assert registration.to_after(registration.to_before(points)) == pytest.approx(points, abs=0.05)


def test_with_the_cts_the_vessels_lead_at_least_as_well(
    comparison: Comparison, before: Case, after: Case
) -> None:
    with_ct = register_livers(TimePoint.of(before), TimePoint.of(after))
    assert with_ct.steps[-1] == "CT"
    assert errors_mm(with_ct, after).mean() < errors_mm(comparison.registration, after).mean() + 0.1


def test_no_warning_for_two_like_scans(comparison: Comparison) -> None:
    assert comparison.warnings == ()
