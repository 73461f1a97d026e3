"""A liver that changed after it was split: the person's segments stay, the new liver joins them."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.case import CouinaudMethod, Masks, Provenance
from liverseg.couinaud import SplitOptions, resplit, split_liver, split_segment_iv
from liverseg.measure import measure
from liverseg.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=503, shape_kji=(60, 80, 96), spacing_kji=(4.0, 4.0, 4.0), noise_hu=0)


def cut(phantom) -> np.ndarray:
    """The phantom's liver without its lower quarter."""
    liver = phantom.masks.liver.copy()
    levels = np.flatnonzero(liver.any(axis=(1, 2)))
    liver[: levels[0] + len(levels) // 4] = False
    return liver


def test_what_a_person_drew_stays_and_all_new_liver_gets_a_segment(phantom):
    old, new = cut(phantom), phantom.masks.liver
    drawn = np.where(old, phantom.masks.couinaud, np.uint8(0))
    # The person moves the border between V and VI by three voxels.
    drawn[(drawn == 6) & np.roll(drawn == 5, 3, axis=1)] = 5
    joined = resplit(old, drawn, new, phantom.ct.geometry, lambda liver: phantom.masks.couinaud)
    assert np.array_equal(joined[old], drawn[old])
    assert np.array_equal(joined > 0, new)


def test_new_liver_follows_a_fresh_split_where_that_agrees_with_the_person(phantom):
    old, new = cut(phantom), phantom.masks.liver
    truth = phantom.masks.couinaud
    drawn = np.where(old, truth, np.uint8(0))
    added = new & ~old
    joined = resplit(old, drawn, new, phantom.ct.geometry, lambda liver: truth)
    nearest = resplit(old, drawn, new, phantom.ct.geometry)
    assert (joined == truth)[added].mean() > 0.99
    assert (joined == truth)[added].mean() >= (nearest == truth)[added].mean()


def test_new_liver_follows_the_person_where_the_fresh_split_disagrees(phantom):
    old, new = cut(phantom), phantom.masks.liver
    # The person calls all of V and VI one segment V.
    drawn = np.where(old, phantom.masks.couinaud, np.uint8(0))
    drawn[drawn == 6] = 5
    joined = resplit(old, drawn, new, phantom.ct.geometry, lambda liver: phantom.masks.couinaud)
    assert not np.any(joined == 6)


def test_an_erased_label_takes_its_neighbor_and_asks_for_no_new_split(phantom):
    liver, truth = phantom.masks.liver, phantom.masks.couinaud
    drawn = np.where(truth == 3, np.uint8(0), truth)

    def never(liver: np.ndarray) -> np.ndarray:
        raise AssertionError("a smaller segment is no reason for a new split")

    joined = resplit(liver, drawn, liver, phantom.ct.geometry, never)
    assert np.array_equal(joined > 0, liver)
    assert not np.any(joined == 3)


def test_liver_taken_away_takes_its_labels_along(phantom):
    new = cut(phantom)
    joined = resplit(phantom.masks.liver, phantom.masks.couinaud, new, phantom.ct.geometry)
    assert np.array_equal(joined > 0, new)


def test_a_segment_iv_in_one_part_stays_in_one_part(phantom):
    old, new = cut(phantom), phantom.masks.liver
    truth = phantom.masks.couinaud
    drawn = np.where(old, truth, np.uint8(0))
    halves = np.where(truth == 4, np.uint8(9), truth)
    assert not np.any(resplit(old, drawn, new, phantom.ct.geometry, lambda liver: halves) == 9)


def test_a_divided_segment_iv_goes_on_divided_where_the_fresh_split_has_it_whole(phantom):
    liver, truth = phantom.masks.liver, phantom.masks.couinaud
    divided = split_segment_iv(truth)
    lower, five = np.argwhere(divided == 9), np.argwhere(divided == 5)
    top = lower[:, 0].max()
    near = np.array([np.abs(five - voxel).sum(axis=1).min() <= 2 for voxel in lower])
    center = lower[near & (lower[:, 0] < top - 2)][0]
    ball = (np.linalg.norm(np.moveaxis(np.indices(liver.shape), 0, -1) - center, axis=-1) <= 6) & liver
    kept = np.where(ball, np.uint8(0), divided)
    assert np.any(ball & (divided == 9)) and np.any(ball & (divided == 5))
    joined = resplit(liver & ~ball, kept, liver, phantom.ct.geometry, lambda whole: truth)
    assert not np.any(joined[: top + 1] == 4)
    assert (joined == divided)[ball].mean() > 0.99
    # Without a IVa that tells the level, it is that of the segments beside it.
    alone = np.where(divided == 4, np.uint8(8), kept)
    assert not np.any(
        resplit(liver & ~ball, alone, liver, phantom.ct.geometry, lambda whole: truth)[:top] == 4
    )


def test_measuring_asks_for_a_new_split_where_the_segments_do_not_cover_the_liver(phantom):
    old = cut(phantom)
    drawn = np.where(old, phantom.masks.couinaud, np.uint8(0))
    asked = []

    def fresh(liver: np.ndarray) -> np.ndarray:
        asked.append(liver)
        return split_liver(liver, phantom.ct.geometry, None, SplitOptions("landmarks")).labels

    none = np.zeros(old.shape, np.uint16)
    case = measure(
        phantom.ct,
        Masks(phantom.masks.liver, drawn, none),
        method=CouinaudMethod("given"),
        provenance=Provenance("0"),
        fresh_split=fresh,
    )
    assert len(asked) == 1 and np.array_equal(asked[0], phantom.masks.liver)
    assert np.array_equal(case.masks.couinaud[old], drawn[old])
    assert any("had no Couinaud segment" in warning for warning in case.warnings)

    complete = Masks(phantom.masks.liver, case.masks.couinaud, none)
    measure(
        phantom.ct, complete, method=CouinaudMethod("given"), provenance=Provenance("0"), fresh_split=fresh
    )
    assert len(asked) == 1
