"""The active contour moves lesion borders to edges in the CT, and does no harm where there is none."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
import pytest
from scipy import ndimage

from liverseg.errors import ModelError
from liverseg.geometry import bounding_box
from liverseg.lesion_borders import adjust_borders
from liverseg.lesion_masks import lesion_masks_from_scores
from liverseg.lesion_rules import ContourRules, LesionRules, rules_from_card, sphere_diameter_mm
from liverseg.phantom import make_phantom

RULES = ContourRules()


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def count(mask: np.ndarray) -> int:
    return int(cc3d.connected_components(mask, connectivity=26, return_N=True)[1])


@dataclass(frozen=True, eq=False)
class Scene:
    """A made-up patient's liver: HU, masks, signed distance to the lesions (mm, inside above 0), noise."""

    hu: np.ndarray
    liver: np.ndarray
    ids: np.ndarray
    kinds: dict[int, str]
    spacing: tuple[float, float, float]
    depth_mm: np.ndarray
    wobble: np.ndarray

    def claimed(self, shift_mm: float, wobble_mm: float = 1.0) -> np.ndarray:
        """Scores of a network that draws every lesion ``shift_mm`` too large and its border unsteady."""
        depth = self.depth_mm + shift_mm + wobble_mm * self.wobble
        return (1 / (1 + np.exp(-np.clip(depth, -50, 50) / 1.5))).astype(np.float32)


@pytest.fixture(scope="module", params=[(2.5, 1.8, 1.8), (5.0, 1.5, 1.5)], ids=["thin", "thick"])
def scene(request) -> Scene:
    spacing = request.param
    shape = tuple(round(size / s) for size, s in zip((220, 240, 300), spacing, strict=True))
    phantom = make_phantom(seed=3, shape_kji=shape, spacing_kji=spacing, diameters_mm=(60, 40, 25, 18, 12))
    box = bounding_box(phantom.masks.liver, (2, 2, 2))
    ids = phantom.masks.lesions[box]
    depth = edt.edt(ids > 0, anisotropy=spacing) - edt.edt(ids == 0, anisotropy=spacing)
    noise = np.random.default_rng(0).normal(0, 1, ids.shape).astype(np.float32)
    wobble = ndimage.gaussian_filter(noise, [6 / s for s in spacing], truncate=2)
    return Scene(
        phantom.ct.array[box],
        phantom.masks.liver[box],
        ids,
        {lesion.id: lesion.kind for lesion in phantom.lesions},
        spacing,
        depth,
        wobble / wobble.std(),
    )


@pytest.mark.parametrize("shift_mm", [-2.0, 2.0])
def test_borders_drawn_too_small_or_too_large_move_to_the_edge(scene, shift_mm):
    score = scene.claimed(shift_mm)
    start = scene.liver & (score > 0.5)
    moved = adjust_borders(start, score, scene.liver, scene.hu, scene.spacing, RULES)
    truth = scene.ids > 0
    assert dice(moved, truth) > dice(start, truth) + 0.01
    for lesion in (n for n, kind in scene.kinds.items() if kind in ("metastasis", "cyst")):
        near = ndimage.binary_dilation(scene.ids == lesion, iterations=3)
        assert dice(moved & near, truth & near) > 0.89, f"lesion {lesion}, a {scene.kinds[lesion]}"


def test_right_borders_stay_where_they_are(scene):
    score = scene.claimed(0.0, 0.0)
    start = scene.liver & (score > 0.5)
    moved = adjust_borders(start, score, scene.liver, scene.hu, scene.spacing, RULES)
    assert dice(moved, start) > 0.96


def test_a_bright_ring_around_a_dark_core_keeps_its_border(scene):
    score = scene.claimed(0.0)
    start = scene.liver & (score > 0.5)
    moved = adjust_borders(start, score, scene.liver, scene.hu, scene.spacing, RULES)
    rings = [n for n, kind in scene.kinds.items() if kind == "ring"]
    assert rings
    near = ndimage.binary_dilation(scene.ids == rings[0], iterations=2)
    assert dice(moved & near, scene.ids == rings[0]) > 0.9


@pytest.mark.parametrize("reach_mm", [2.0, 5.0])
def test_no_border_moves_further_than_allowed_or_leaves_the_liver(scene, reach_mm):
    rules = ContourRules(reach_mm=reach_mm, least_contrast_hu=0, score_range=(0, 1))
    start = scene.liver & (scene.claimed(-3.0, 2.0) > 0.5)
    moved = adjust_borders(start, scene.claimed(-3.0), scene.liver, scene.hu, scene.spacing, rules)
    assert (moved != start).any()
    assert not (moved & ~scene.liver).any()
    for one, other in ((start, moved), (moved, start)):
        distance = edt.edt(~one, anisotropy=scene.spacing)
        assert distance[other].max() <= reach_mm + max(scene.spacing)
    assert count(moved) == count(start)


def two_balls(gap: int, hu_between: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, liver, and two claims of 17 mm with ``gap`` voxels of 1 mm of ``hu_between`` between them."""
    z, y, x = np.indices((40, 40, 70)) - 20.0
    liver = np.ones(z.shape, bool)
    hu = np.full(z.shape, 110.0)
    shift = 17 + gap
    first, second = ((z**2 + y**2 + (x - at) ** 2) <= 72 for at in (0, shift))
    hu[(z**2 + y**2 <= 72) & (x >= 0) & (x <= shift)] = hu_between
    hu[first | second] = 50.0
    return hu, liver, first | second


@pytest.mark.parametrize("gap", [1, 2, 4])
def test_two_lesions_never_merge_even_where_the_ct_joins_them(gap):
    hu, liver, start = two_balls(gap, 50.0)
    score = np.full(hu.shape, 0.5, np.float32)
    moved = adjust_borders(start, score, liver, hu, (1.0, 1.0, 1.0), RULES)
    assert count(start) == count(moved) == 2
    assert gap < 4 or (moved & ~start).any(), "with room between them they grow towards each other"


def test_a_lesion_never_falls_apart():
    hu, liver, balls = two_balls(6, 110.0)
    z, y, x = np.indices(hu.shape) - 20.0
    joined = balls | ((z**2 + y**2 <= 4) & (x >= 0) & (x <= 23))
    moved = adjust_borders(joined, np.full(hu.shape, 0.5, np.float32), liver, hu, (1, 1, 1), RULES)
    assert count(moved) == 1


def test_the_network_has_the_last_word_on_what_it_is_sure_of():
    hu, liver, start = two_balls(20, 110.0)
    sure = np.where(start, 1.0, 0.0).astype(np.float32)
    larger = ndimage.binary_erosion(start, iterations=2)
    assert np.array_equal(adjust_borders(larger, sure * larger, liver, hu, (1, 1, 1), RULES), larger)


def test_small_and_faint_lesions_keep_their_borders():
    hu, liver, start = two_balls(20, 110.0)
    claim = ndimage.binary_erosion(start, iterations=2)
    score = np.full(hu.shape, 0.5, np.float32)
    small = ContourRules(smallest_mm=30)
    assert np.array_equal(adjust_borders(claim, score, liver, hu, (1, 1, 1), small), claim)
    faint = np.where(start, 100.0, 110.0)
    assert np.array_equal(adjust_borders(claim, score, liver, faint, (1, 1, 1), RULES), claim)
    assert not np.array_equal(adjust_borders(claim, score, liver, hu, (1, 1, 1), RULES), claim)


def test_nothing_in_nothing_out():
    nothing = np.zeros((4, 5, 6), bool)
    for liver in (nothing, ~nothing):
        hu = np.zeros(nothing.shape)
        assert not adjust_borders(nothing, hu, liver, hu, (1, 1, 1), RULES).any()
    everything = ~nothing
    hu = np.zeros(nothing.shape)
    assert adjust_borders(everything, hu, everything, hu, (9, 9, 9), RULES).all()


# --- the rules and the way from scores to masks


def made_scores() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores in a liver block of 1 mm voxels: a large claim of 0.6, small ones of 0.6 and 0.9."""
    liver = np.zeros((30, 40, 90), bool)
    liver[1:-1, 1:-1, 1:-1] = True
    score = np.zeros(liver.shape, np.float32)
    score[5:25, 5:25, 5:25] = 0.6
    score[5:10, 5:10, 40:45] = 0.6
    score[5:10, 5:10, 60:65] = 0.9
    return score, liver, np.where(score > 0, 50.0, 110.0)


def test_small_claims_need_a_higher_peak_when_the_card_says_so():
    score, liver, hu = made_scores()
    settings = {"smallest_peak": [[6, 0.8], [12, 0.5]]}
    lesions = lesion_masks_from_scores(score, liver, hu, (1, 1, 1), settings)
    assert lesions[10, 10, 10] and lesions[7, 7, 62]
    assert not lesions[7, 7, 42]
    assert lesion_masks_from_scores(score, liver, hu, (1, 1, 1), {})[7, 7, 42], "by default one peak for all"


def test_the_peak_wanted_is_linear_in_the_diameter_and_constant_beyond():
    rules = LesionRules(smallest_peak=((5.0, 0.9), (15.0, 0.5)))
    volumes = np.pi / 6 * np.array([2.0, 5.0, 10.0, 15.0, 60.0]) ** 3 / 1000
    assert sphere_diameter_mm(volumes) == pytest.approx([2, 5, 10, 15, 60])
    assert rules.peak_wanted(volumes) == pytest.approx([0.9, 0.9, 0.7, 0.5, 0.5])


def test_size_means_milliliters_whatever_the_voxels():
    score, liver, hu = made_scores()
    settings = {"smallest_lesion_ml": 0.5}
    assert not lesion_masks_from_scores(score, liver, hu, (1, 1, 1), settings)[7, 7, 62], "0.125 ml"
    assert lesion_masks_from_scores(score, liver, hu, (2, 2, 2), settings)[7, 7, 62], "1 ml"


def test_holes_of_lesions_are_filled_only_when_asked_and_small():
    score, liver, hu = made_scores()
    score[10:14, 10:14, 10:14] = 0.0
    for largest_ml, filled in ((0.0, False), (0.05, False), (0.1, True)):
        lesions = lesion_masks_from_scores(score, liver, hu, (1, 1, 1), {"largest_hole_ml": largest_ml})
        assert bool(lesions[12, 12, 12]) is filled


def test_lesions_stay_inside_the_liver_with_every_setting_on():
    score, liver, hu = made_scores()
    liver[:, :12] = False
    settings = {"largest_hole_ml": 5, "active_contour": {"score_range": [0, 1]}}
    lesions = lesion_masks_from_scores(score, liver, hu, (1, 1, 1), settings)
    assert lesions.any() and not (lesions & ~liver).any()


def test_the_contour_is_off_unless_the_card_has_it():
    assert rules_from_card({}).active_contour is None
    assert rules_from_card({"active_contour": False}).active_contour is None
    assert rules_from_card({"active_contour": True}).active_contour == ContourRules()
    assert rules_from_card({"active_contour": {"reach_mm": 2}}).active_contour == ContourRules(reach_mm=2)


def test_rules_come_back_from_the_card_they_were_written_to():
    rules = LesionRules(
        lesion_threshold=0.4,
        smallest_peak=((5.0, 0.9), (15.0, 0.5)),
        largest_hole_ml=0.5,
        active_contour=ContourRules(smoothing=2),
    )
    assert rules_from_card(rules.to_card()) == rules
    assert rules_from_card(LesionRules().to_card()) == LesionRules()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"treshold": 0.5}, "unknown setting 'treshold'"),
        ({"lesion_threshold": 1.5}, "not between 0 and 1"),
        ({"lesion_threshold": "high"}, "not a number"),
        ({"smallest_lesion_ml": -1}, "not a number from 0"),
        ({"smallest_peak": [[10, 0.5], [5, 0.8]]}, "rising diameter"),
        ({"smallest_peak": []}, "rising diameter"),
        ({"smallest_peak": [0.5]}, "postprocessing cannot be used"),
        ({"active_contour": {"reach": 3}}, "unknown setting 'reach'"),
        ({"active_contour": {"score_range": [0.1]}}, "postprocessing cannot be used"),
        ({"active_contour": 3}, "postprocessing cannot be used"),
    ],
)
def test_settings_that_make_no_sense_are_one_clear_error(settings, reason):
    with pytest.raises(ModelError, match=reason):
        rules_from_card(settings)
