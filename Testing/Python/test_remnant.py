"""The future liver remnant, against sums done by hand."""

from __future__ import annotations

import math

import pytest

from liverseg.errors import UsageError
from liverseg.remnant import future_liver_remnant, standardized_liver_ml
from made_cases import make_case


def test_the_remnant_is_what_stays_without_its_tumor() -> None:
    case = make_case()
    by_name = {segment.name: segment for segment in case.segments}
    resected = ("V", "VI", "VII", "VIII")
    kept = sum(s.volume_ml - s.lesion_ml for name, s in by_name.items() if name not in resected)
    tumor = sum(lesion.volume_ml for lesion in case.lesions)
    remnant = future_liver_remnant(case.segments, ["VIII", "VI", "v", "VII"])
    assert remnant.resected == resected
    assert remnant.remnant_ml == pytest.approx(kept)
    assert remnant.percent_of_liver == pytest.approx(100 * kept / (case.liver.volume_ml - tumor))
    assert remnant.standardized_liver_ml is None
    assert remnant.percent_of_standardized is None


def test_all_segments_resected_leave_nothing() -> None:
    case = make_case()
    remnant = future_liver_remnant(case.segments, [segment.name for segment in case.segments])
    assert remnant.remnant_ml == 0.0
    assert remnant.percent_of_liver == 0.0


def test_segment_iv_means_both_of_its_parts() -> None:
    case = make_case(split_segment_4=True)
    whole = future_liver_remnant(case.segments, ["IV"])
    assert whole == future_liver_remnant(case.segments, ["IVb", "IVa"])
    assert whole.resected == ("IVa", "IVb")
    assert future_liver_remnant(case.segments, ["IVa"]).remnant_ml > whole.remnant_ml


def test_the_standardized_volume_is_vautheys() -> None:
    # BSA by Mosteller of 180 cm and 80 kg is exactly 2 m2.
    assert standardized_liver_ml(180, 80) == pytest.approx(-794.41 + 1267.28 * 2)
    case = make_case()
    remnant = future_liver_remnant(case.segments, ["I"], height_cm=165, weight_kg=62)
    expected = -794.41 + 1267.28 * math.sqrt(165 * 62 / 3600)
    assert remnant.standardized_liver_ml == pytest.approx(expected)
    assert remnant.percent_of_standardized == pytest.approx(100 * remnant.remnant_ml / expected)


@pytest.mark.parametrize("names", [["IX"], ["V", "left"], ["IVa"], [""], []])
def test_a_segment_that_this_liver_lacks_is_refused(names: list[str]) -> None:
    with pytest.raises(UsageError, match="segment"):
        future_liver_remnant(make_case().segments, names)


@pytest.mark.parametrize(
    ("height_cm", "weight_kg", "word"),
    [
        (1.75, 70, "height"),
        (175, 0, "weight"),
        (175, float("nan"), "weight"),
        (-175, 70, "height"),
        (175, None, "both"),
        (None, 70, "both"),
        (60, 12, "too small"),
    ],
)
def test_a_height_or_weight_of_no_adult_is_refused(
    height_cm: float | None, weight_kg: float | None, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        future_liver_remnant(make_case().segments, ["I"], height_cm, weight_kg)
