"""Sentences and hints: what people read about size and number."""

from __future__ import annotations

import pytest

from liverseg.case import LesionReadout, Review
from liverseg.summary import hints, sentences, size_mm


def lesion(
    size: float, number: int = 1, segment: str | None = "IVa", state: str = "unreviewed"
) -> LesionReadout:
    """A lesion of which only size, segment and review matter here."""
    here = (0.0, 0.0, 0.0)
    return LesionReadout(
        id=number,
        tracking_uid="2.25.1",
        volume_ml=1.0,
        long_axis_mm=size,
        short_axis_mm=size,
        long_axis_points_ras_mm=(here, here),
        short_axis_points_ras_mm=(here, here),
        key_slice=0,
        max_diameter_3d_mm=size,
        centroid_ras_mm=here,
        centroid_segment=segment,
        segments=(),
        primary_segment=segment,
        mean_hu=None,
        sd_hu=None,
        contrast_to_liver_hu=None,
        sphericity=None,
        distance_to_surface_mm=0.0,
        recist_measurable=size >= 10,
        touches_volume_edge=False,
        review=Review(state),
    )


def test_a_lesion_is_said_in_one_plain_sentence() -> None:
    assert sentences([lesion(41.2, 1, "IV/V"), lesion(22.6, 2), lesion(7.0, 3, None)]) == (
        "Lesion 1: 41 mm, segment IV/V",
        "Lesion 2: 23 mm, segment IVa",
        "Lesion 3: 7 mm",
    )


def test_halves_are_rounded_upwards() -> None:
    assert [size_mm(lesion(size)) for size in (22.5, 23.5, 22.49, 22.5 - 1e-12)] == [23, 24, 22, 23]


@pytest.mark.parametrize(
    ("sizes", "place"),
    [
        ([50], "within"),
        ([50.4], "within"),
        ([51], "beyond"),
        ([30, 30, 30], "within"),
        ([31, 10], "beyond"),
        ([10, 10, 10, 10], "beyond"),
    ],
)
def test_milan_is_one_of_five_or_three_of_three_centimeters(sizes: list[float], place: str) -> None:
    hint = next(h for h in hints([lesion(size) for size in sizes]) if "Milan" in h)
    assert f"{place} the Milan criteria" in hint


@pytest.mark.parametrize(
    ("sizes", "place"),
    [
        ([60], "within"),
        ([61], "beyond"),
        ([40, 10, 10], "within"),
        ([41, 10, 10], "beyond"),
        ([5] * 7, "beyond"),
    ],
)
def test_up_to_seven_adds_number_and_centimeters(sizes: list[float], place: str) -> None:
    hint = next(h for h in hints([lesion(size) for size in sizes]) if "up-to-seven" in h)
    assert f"{place} the up-to-seven criteria" in hint


def test_size_classes_count_every_lesion_once() -> None:
    hint = hints([lesion(size) for size in (9.4, 10, 20, 21, 35)])[-1]
    assert hint == "5 lesions by size: 1 under 10 mm, 2 of 10 to 20 mm, 2 over 20 mm."


def test_no_lesion_gives_no_hint_and_no_hint_gives_a_category() -> None:
    assert hints([]) == ()
    assert sentences([]) == ()
    for hint in hints([lesion(15), lesion(60)]):
        assert hint.startswith(("Size and number compatible with ", "2 lesions by size: "))
        assert "LI-RADS" not in hint and "LR-" not in hint


def test_a_rejected_lesion_is_named_so_and_left_out_of_the_hints() -> None:
    kept, rejected = lesion(20), lesion(80, 2, "V", state="rejected")
    assert hints([kept, rejected]) == hints([kept])
    assert hints([rejected]) == ()
    assert sentences([rejected]) == ("Lesion 2: 80 mm, segment V, rejected by the reader",)
