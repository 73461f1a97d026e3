"""A liver split anew after a person's edits: what they drew stays, the rest is the method's."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.case import CouinaudMethod
from liverseg.couinaud import Split, SplitOptions, split_keeping_edits, split_liver, split_segment_iv
from liverseg.couinaud.checks import doubts_of_given
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.said import MOVED_FAR, is_of_a_split, is_of_the_segments, kept_sentence
from liverseg.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=503, shape_kji=(60, 80, 96), spacing_kji=(4.0, 4.0, 4.0), noise_hu=0)


@pytest.fixture(scope="module")
def planes(phantom):
    """The split that edits begin with: planes guessed from the liver's shape."""
    return split_liver(phantom.masks.liver, phantom.ct.geometry, None, SplitOptions("landmarks")).labels


def by(labels):
    """A method that always gives these labels."""

    def split(liver):
        return Split(np.where(liver, labels, np.uint8(0)), CouinaudMethod("known", 0.8), ())

    return split


def moved_border(planes):
    """A brush gives a piece of V to VIII."""
    edited = planes.copy()
    piece = (planes == 5) & (np.roll(planes == 8, -3, axis=0) | np.roll(planes == 8, 3, axis=0))
    edited[piece] = 8
    return edited, piece


def test_without_edits_the_new_split_is_the_methods_own(phantom, planes):
    liver, truth = phantom.masks.liver, phantom.masks.couinaud
    found = split_keeping_edits(liver, planes, planes, phantom.ct.geometry, by(truth))
    assert np.array_equal(found.split.labels, truth)
    assert found.split.method == CouinaudMethod("known", 0.8)
    assert found.kept_ml == 0


def test_what_a_person_drew_stays_and_far_from_it_the_method_decides(phantom, planes):
    truth = phantom.masks.couinaud
    edited, piece = moved_border(planes)
    found = split_keeping_edits(phantom.masks.liver, edited, planes, phantom.ct.geometry, by(truth))
    assert np.all(found.split.labels[piece] == 8)
    assert found.kept_ml == pytest.approx(np.count_nonzero(piece) * 0.064)
    assert np.array_equal(found.fresh, truth)
    left = np.isin(truth, (2, 3)) & np.isin(planes, (2, 3))
    assert np.array_equal(found.split.labels[left], truth[left])
    assert not np.array_equal(truth[left], edited[left])


def test_a_border_that_the_method_draws_elsewhere_cuts_no_edit_off(phantom, planes):
    liver, geometry = phantom.masks.liver, phantom.ct.geometry
    edited, _ = moved_border(planes)
    # The new level lies two voxels higher than the old one: a slice of V between VIII and the person's VIII.
    higher = planes.copy()
    above = (planes == 8) & (np.roll(planes == 5, 2, axis=0) | np.roll(planes == 5, -2, axis=0))
    higher[above] = 5
    found = split_keeping_edits(liver, edited, planes, geometry, by(higher)).split.labels
    crop = LiverCrop.of(liver, geometry)
    runs = np.diff((crop.taken(found) == 8).astype(int), axis=0) == 1
    assert (runs.sum(axis=0) > 1).mean() < 0.01


def test_an_erased_label_and_removed_liver_are_no_edits(phantom, planes):
    truth = phantom.masks.couinaud
    liver = phantom.masks.liver.copy()
    liver[:20] = False
    erased = np.where(planes == 3, np.uint8(0), planes)
    found = split_keeping_edits(liver, erased, planes, phantom.ct.geometry, by(truth))
    assert np.array_equal(found.split.labels, np.where(liver, truth, 0))


def test_iva_and_ivb_are_asked_for_of_an_undivided_split_and_its_edits(phantom, planes):
    liver, geometry = phantom.masks.liver, phantom.ct.geometry
    crop = LiverCrop.of(liver, geometry)
    divided = crop.pasted(split_segment_iv(crop.taken(phantom.masks.couinaud)), liver.shape)
    edited = planes.copy()
    piece = (planes == 2) & (np.roll(planes == 4, 2, axis=2) | np.roll(planes == 4, -2, axis=2))
    edited[piece] = 4
    found = split_keeping_edits(liver, edited, planes, geometry, by(divided)).split.labels
    assert np.isin(found[piece], (4, 9)).all()
    own = np.isin(edited, (4,)) & (divided == 9)
    assert (found[own] == 9).all()
    back = split_keeping_edits(liver, found, divided, geometry, by(planes)).split.labels
    assert not np.any(back == 9)
    assert np.all(back[piece] == 4)


def test_edits_that_make_a_strange_liver_make_the_split_approximate(phantom):
    truth = phantom.masks.couinaud
    edited = np.where(truth == 1, np.uint8(8), truth)
    found = split_keeping_edits(phantom.masks.liver, edited, truth, phantom.ct.geometry, by(truth))
    assert not np.any(found.split.labels == 1)
    assert found.split.method.approximate
    assert any("segment I is missing" in text for text in found.split.warnings)


def test_every_warning_of_a_split_is_known_as_one(phantom):
    mask, grid, vessels = phantom.masks.liver, phantom.ct.geometry, phantom.masks.vessels
    resected = mask & (np.indices(mask.shape)[2] > mask.shape[2] // 2)
    untold = np.where(vessels > 0, np.uint8(3), np.uint8(0))
    portal = np.where(vessels == 1, np.uint8(1), np.uint8(0))
    far = SplitOptions("landmarks", landmarks={"cava": (900.0, 0.0, 0.0)})
    split = [
        split_liver(mask, grid, None, far),
        split_liver(resected, grid, None, SplitOptions("landmarks", split_segment_4=True)),
        split_liver(np.ascontiguousarray(mask[:, :, ::-1]), grid, None, SplitOptions("landmarks")),
        split_liver(mask, grid, None, SplitOptions("vessels")),
        split_liver(mask, grid, None, SplitOptions("vessels"), untold),
        split_liver(mask, grid, None, SplitOptions("vessels"), portal),
    ]
    warnings = [text for each in split for text in each.warnings]
    assert len(set(warnings)) > 6
    assert all(is_of_a_split(text) for text in [*warnings, kept_sentence(0.0), kept_sentence(1234.5)])
    assert not is_of_a_split("The scan cuts the liver off (superior): its volume is a lower limit.")
    assert split[1].method.approximate and not any(is_of_the_segments(text) for text in split[1].warnings)
    assert any(is_of_the_segments(text) for text in split[2].warnings)


def test_doubts_of_the_new_split_that_the_persons_labels_refute_are_not_told(phantom):
    truth, grid = phantom.masks.couinaud, phantom.ct.geometry
    without = np.where(truth == 1, np.uint8(8), truth)

    def found(*others):
        doubts = doubts_of_given(without, grid)
        fresh = Split(without, CouinaudMethod("known", 0.8, approximate=True), (*others, *doubts))
        assert any("segment I is missing" in text for text in doubts)
        return split_keeping_edits(phantom.masks.liver, truth, without, grid, lambda liver: fresh).split

    assert found().warnings == () and not found().method.approximate
    far = f"{MOVED_FAR} over 12% of the liver; the split is approximate"
    assert found(far).warnings == (far,) and found(far).method.approximate
    assert found("No landmark was placed for cava.").method.approximate is False
