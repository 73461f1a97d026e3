"""The key slice of a lesion from near: axes on the outline, in every axis order of the CT."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from liverseg.case import Case
from liverseg.writers.lesion_view import LONG_AXIS, draw_lesion, lesion_slices
from liverseg.writers.preview import canonical_case
from liverseg.writers.slices import RED
from made_cases import make_case

SIDE = 240


def near(picture: Image.Image, color: tuple[int, int, int], tolerance: int = 40) -> np.ndarray:
    """(n, 2) rows and columns of pixels of about this color."""
    distance = np.abs(np.asarray(picture).astype(int) - np.array(color)).max(axis=2)
    return np.argwhere(distance < tolerance)


def drawn(case: Case, marked: bool = True, lesion: int = 0) -> Image.Image:
    return draw_lesion(canonical_case(case), case.ct.geometry, case.lesions[lesion], SIDE, marked)


def test_the_long_axis_spans_the_outline_at_true_scale() -> None:
    case = make_case()
    lesion = case.lesions[0]
    picture = drawn(case)
    # Without letters and numbers along the edges.
    inner = near(picture, LONG_AXIS)
    inner = inner[(inner[:, 0] > 30) & (inner[:, 0] < SIDE - 60)]
    ends = inner[inner[:, 1].argmin()], inner[inner[:, 1].argmax()]
    length_mm = float(np.linalg.norm(ends[1] - ends[0])) * 100.0 / SIDE
    assert length_mm == pytest.approx(lesion.long_axis_mm, abs=3.5)
    outline = near(picture, RED)
    middle = np.median(outline, axis=0)
    assert np.abs(middle - SIDE / 2).max() < 12


def test_the_picture_without_marks_has_no_color() -> None:
    picture = np.asarray(drawn(make_case(), marked=False)).astype(int)
    assert (picture.max(axis=2) - picture.min(axis=2)).max() <= 2
    marked = np.asarray(drawn(make_case())).astype(int)
    assert ((marked.max(axis=2) - marked.min(axis=2)) > 60).sum() > 100


@pytest.mark.parametrize(
    ("permutation", "flips"), [((2, 0, 1), (True, False, True)), ((1, 2, 0), (False, True, True))]
)
def test_the_picture_is_the_same_for_other_axis_orders(permutation, flips) -> None:
    upright, turned = make_case(), make_case(permutation=permutation, flips=flips)
    one, other = (np.asarray(drawn(case)).astype(int)[40:] for case in (upright, turned))
    assert np.abs(one - other).mean() < 1.0


def test_the_slices_go_through_the_lesion() -> None:
    case = make_case(permutation=(1, 0, 2), flips=(True, True, False))
    canonical = canonical_case(case)
    for lesion in case.lesions:
        at = lesion_slices(canonical, case.ct.geometry, lesion)
        mask = canonical.lesions == lesion.id
        assert mask[at.axial].any()
        assert mask[:, at.coronal].any()
        assert mask[:, :, at.sagittal].any()
