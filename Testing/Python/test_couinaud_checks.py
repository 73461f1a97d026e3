"""A split that is not one of an ordinary liver says so, in words, whatever the method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverseg.bundle import find_bundle
from liverseg.cli.couinaud import METHOD_NAMES
from liverseg.couinaud import METHODS, SplitOptions, doubts, split_liver, split_segment_iv
from liverseg.couinaud.checks import doubts_of_iv
from liverseg.couinaud.method import Drawn
from liverseg.errors import UsageError
from liverseg.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(seed=502, shape_kji=(80, 110, 130), spacing_kji=(3.0, 3.0, 3.0), noise_hu=0)


def split(phantom, liver: np.ndarray, method: str):
    vessels = np.where(liver, phantom.masks.vessels, np.uint8(0))
    return split_liver(liver, phantom.ct.geometry, find_bundle(), SplitOptions(method), vessels)


@pytest.mark.parametrize("method", METHODS)
def test_an_ordinary_liver_raises_no_doubt(phantom, method):
    found = split(phantom, phantom.masks.liver, method)
    assert not found.method.approximate, found.warnings
    assert np.array_equal(found.labels > 0, phantom.masks.liver)


@pytest.mark.parametrize("method", METHODS)
def test_a_mirrored_liver_is_approximate_and_the_side_is_said(phantom, method):
    liver = np.ascontiguousarray(phantom.masks.liver[:, :, ::-1])
    found = split(phantom, liver, method)
    assert found.method.approximate
    assert any("left side" in warning for warning in found.warnings)
    assert np.array_equal(found.labels > 0, liver)


@pytest.mark.parametrize("method", METHODS)
def test_a_liver_without_its_right_half_is_approximate(phantom, method):
    liver = phantom.masks.liver & np.isin(phantom.masks.couinaud, (1, 2, 3, 4))
    found = split(phantom, liver, method)
    assert found.method.approximate
    assert np.array_equal(found.labels > 0, liver)


def test_true_segments_raise_no_doubt(phantom):
    assert doubts(phantom.masks.couinaud) == ()


def test_segments_in_the_wrong_order_are_named(phantom):
    swapped = phantom.masks.couinaud.copy()
    swapped[phantom.masks.couinaud == 5], swapped[phantom.masks.couinaud == 8] = 8, 5
    said = " ".join(doubts(swapped))
    assert "VIII does not lie above segment V" in said
    assert "segments V and VII touch" in said


def test_a_segment_in_two_parts_is_named(phantom):
    parts = phantom.masks.couinaud.copy()
    third = np.argwhere(parts == 2)
    middle = np.median(third[:, 2])
    parts[(phantom.masks.couinaud == 2) & (np.arange(parts.shape[2]) > middle)] = 6
    assert any("VI lies in separate parts" in text for text in doubts(parts))


class Known:
    """A method that knows the phantom's segments."""

    name, margin_mm = "true", 0.0

    def __init__(self, segments: np.ndarray) -> None:
        self.segments = segments

    def draw(self, liver, guides) -> Drawn:
        return Drawn(liver.taken(self.segments), None)


def test_a_part_of_segment_iv_that_is_nearly_empty_on_a_cut_off_liver_is_named(phantom):
    truth = phantom.masks.couinaud.copy()
    whole = split_segment_iv(truth)
    level = np.argwhere(whole == 4)[:, 0].min()
    # An oblique end of the scan leaves two slices of IVa.
    truth[level + 2 :][truth[level + 2 :] == 4] = 0
    found = split_liver(truth > 0, phantom.ct.geometry, None, SplitOptions(Known(truth), True))
    assert any("segment IVa has only" in text for text in found.warnings), found.warnings
    assert found.method.approximate


@pytest.mark.parametrize(
    ("upper", "lower", "said"),
    [
        (1, 49, "IVa has only 2.0% of segment IV"),
        (399, 1, "IVb has only 0.2% of segment IV"),
        (0, 50, "could not be divided"),
        (50, 0, "could not be divided"),
        (31, 69, None),
        (97, 3, None),
    ],
)
def test_what_is_odd_about_the_parts_of_segment_iv(upper, lower, said):
    parts = np.array([4] * upper + [9] * lower, np.uint8).reshape(1, 1, -1)
    found = doubts_of_iv(parts)
    assert found == () if said is None else said in found[0]


def test_the_method_falls_back_with_a_warning_and_says_what_was_used(phantom):
    found = split_liver(phantom.masks.liver, phantom.ct.geometry, find_bundle(), SplitOptions("vessels"))
    assert found.method.name == "learned from shape"
    assert "'guided by vessels' was not used: no vessels were given" in found.warnings[0]
    found = split_liver(phantom.masks.liver, phantom.ct.geometry, None, SplitOptions("vessels"))
    assert found.method.name == "planes from landmarks"
    assert "no model is at hand" in found.warnings[1]


def test_a_model_without_a_network_for_the_segments_falls_back_and_says_so(phantom):
    bundle = find_bundle()
    without = replace(bundle, networks={n: each for n, each in bundle.networks.items() if n != "couinaud"})
    found = split_liver(phantom.masks.liver, phantom.ct.geometry, without)
    assert found.method.name == "planes from landmarks"
    assert "has no network for the segments" in found.warnings[0]


def test_an_unknown_method_and_vessels_of_another_size_are_refused(phantom):
    with pytest.raises(UsageError, match="not known"):
        split_liver(phantom.masks.liver, phantom.ct.geometry, None, SplitOptions("guess"))
    with pytest.raises(UsageError, match="on one grid"):
        split_liver(
            phantom.masks.liver,
            phantom.ct.geometry,
            None,
            SplitOptions("vessels"),
            np.zeros((2, 2, 2), np.uint8),
        )


def test_the_shell_offers_every_method():
    assert tuple(METHODS) == METHOD_NAMES
