"""The first guess stands where the learned split is odd, and says what a person vouches for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverseg.couinaud import SplitOptions, split_liver
from liverseg.couinaud.border_reading import borders_of_split
from liverseg.couinaud.borders import segments_by_borders
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.field_grid import FieldGrid
from liverseg.couinaud.first_guess import installed_regression
from liverseg.couinaud.guessing import _borders
from liverseg.couinaud.landmarks import first_landmarks
from liverseg.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=501, shape_kji=(80, 110, 130), spacing_kji=(3.0, 3.0, 3.0), noise_hu=0)


@pytest.fixture(scope="module")
def liver(phantom) -> LiverCrop:
    crop = LiverCrop.of(phantom.masks.liver, phantom.ct.geometry)
    assert crop is not None
    return crop


def test_a_small_turned_border_gives_the_plane_that_parts_its_segments(liver):
    borders = installed_regression().guess(liver.mask, liver.spacing).borders
    segments = segments_by_borders(liver.mask, liver.spacing, borders)
    # All that is left of Cantlie's border is a strip in one coronal plane, as of a network that is unsure.
    z, y, x = np.indices(segments.shape)
    middle = borders.cantlie_x(y * liver.spacing[1])
    near = np.abs(x * liver.spacing[2] - middle) < 12
    behind = y > segments.shape[1] * 0.4
    row = np.abs(y - round(segments.shape[1] * 0.4)) <= 1
    cut = np.where(near & np.isin(segments, (4, 5, 8)), 0, segments)
    cut[near & row & liver.mask] = np.where(behind, 8, 4)[near & row & liver.mask]
    found = borders_of_split(cut, liver.spacing, borders.frame)
    assert found is not None
    for place in ("cantlie_x_front", "cantlie_x_back"):
        assert abs(found[place] - borders[place]) < 12, place


def test_planes_that_do_not_give_the_split_back_are_no_first_guess(liver):
    grid = FieldGrid.of(liver)
    borders = installed_regression().guess(liver.mask, liver.spacing).borders
    shown = replace(liver, mask=np.ones(liver.mask.shape, bool))
    sound = segments_by_borders(np.ones(grid.shape, bool), grid.spacing, borders)
    assert _borders(shown, sound) is not None
    # Stripes: every segment is there, and no plane parts any two of them.
    stripes = (np.indices(grid.shape).sum(axis=0) % 8 + 1).astype(np.uint8)
    assert _borders(shown, stripes) is None


def test_landmarks_that_nobody_moved_hold_their_borders_and_are_still_called_guessed(phantom, liver):
    shown = first_landmarks(liver)
    mask, geometry = phantom.masks.liver, phantom.ct.geometry
    alone = split_liver(mask, geometry, None, SplitOptions("landmarks"))
    left = split_liver(mask, geometry, None, SplitOptions("landmarks", guessed=shown))
    assert (left.labels == alone.labels)[mask].mean() > 0.97
    assert left.method.confidence == pytest.approx(alone.method.confidence, abs=0.02)
    assert any("No landmark was placed for cava" in text for text in left.warnings)

    moved = dict(shown)
    r, a, s = moved.pop("portal_bifurcation")
    placed = {"portal_bifurcation": (r, a, s + 20)}
    one = split_liver(mask, geometry, None, SplitOptions("landmarks", landmarks=placed, guessed=moved))
    assert not any("portal bifurcation" in text for text in one.warnings)
    # The level went up by 20 mm, the upright planes stayed where they were seen.
    before, after = (np.isin(each.labels, (7, 8)).sum() for each in (left, one))
    assert after < 0.9 * before
    groups = ((5, 8), (6, 7), (2, 3), (4,))
    same = [np.isin(left.labels, g) == np.isin(one.labels, g) for g in groups]
    assert min(each[mask].mean() for each in same) > 0.98
    sure = split_liver(mask, geometry, None, SplitOptions("landmarks", landmarks=shown))
    assert sure.method.confidence > left.method.confidence + 0.05
