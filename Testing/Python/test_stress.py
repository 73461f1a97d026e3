"""Stresses change what they name and keep the liver with its voxels."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from liverseg.evaluation.stress import (
    LabeledCt,
    all_stresses,
    clipped,
    cropped_view,
    low_dose,
    part_of_liver,
    thicker_slices,
    white_noise,
)


@pytest.fixture
def ct() -> LabeledCt:
    """A bright block of liver in soft tissue, 2 mm slices of 1 mm pixels."""
    liver = np.zeros((40, 64, 80), dtype=bool)
    liver[10:30, 16:48, 10:50] = True
    return LabeledCt(np.where(liver, 100.0, 40.0).astype(np.float32), liver, (2.0, 1.0, 1.0))


def test_thick_slices_average_hu_and_take_the_majority_of_the_liver(ct):
    thick = thicker_slices(ct, 6.0)
    assert thick.spacing == (6.0, 1.0, 1.0)
    assert thick.hu.shape == thick.liver.shape == (13, 64, 80)
    # Slices 9 to 11 hold the liver's lower edge at 10: two of three are liver.
    assert thick.hu[3, 20, 20] == pytest.approx(80.0)
    assert thick.liver[3, 20, 20]
    volume = thick.liver.sum() * np.prod(thick.spacing)
    assert volume == pytest.approx(ct.liver.sum() * np.prod(ct.spacing), rel=0.1)


def test_noise_has_the_strength_that_was_asked_for(ct):
    rng = np.random.default_rng(1)
    assert (white_noise(ct, 30.0, rng).hu - ct.hu).std() == pytest.approx(30.0, rel=0.02)
    assert (low_dose(ct, 30.0, rng).hu - ct.hu).std() == pytest.approx(30.0, rel=0.02)


def test_low_dose_makes_streaks_from_left_to_right(ct):
    noise = low_dose(ct, 30.0, np.random.default_rng(1)).hu - ct.hu

    def likeness(axis: int) -> float:
        ahead, behind = np.delete(noise, 0, axis), np.delete(noise, -1, axis)
        return float(np.corrcoef(ahead.ravel(), behind.ravel())[0, 1])

    assert likeness(2) > likeness(1) + 0.3
    assert abs(likeness(0)) < 0.05


def test_clipping_keeps_what_is_inside_of_the_window(ct):
    assert clipped(ct, -100, 80).hu.max() == 80
    assert np.array_equal(clipped(ct, -100, 200).hu, ct.hu)


@pytest.mark.parametrize("upper", [True, False])
def test_a_cut_scan_ends_in_the_liver(ct, upper):
    part = part_of_liver(ct, 0.5, upper)
    assert part.liver.sum() == ct.liver.sum() / 2
    assert part.liver[0 if upper else -1].any()
    assert not part.liver[-1 if upper else 0].any()


def test_a_cropped_view_reaches_to_the_liver_or_into_it(ct):
    assert cropped_view(ct, 5.0).hu.shape == (40, 42, 50)
    assert cropped_view(ct, 0.0).liver.sum() == ct.liver.sum()
    assert cropped_view(ct, -5.0).liver.sum() < ct.liver.sum()


def test_every_stress_of_the_table_can_be_applied_and_repeats_itself(ct):
    # A liver of human size.
    ct = LabeledCt(ct.hu, ct.liver, (8.0, 4.0, 4.0))
    stresses = all_stresses()
    assert len({(stress.family, stress.level) for stress in stresses}) == len(stresses)
    for stress in stresses:
        once, again = (stress.apply(ct, np.random.default_rng(3)) for _ in range(2))
        assert once.hu.shape == once.liver.shape
        assert once.liver.any()
        assert np.array_equal(once.hu, again.hu)


def test_the_table_names_the_first_step_at_which_a_family_breaks(root):
    spec = importlib.util.spec_from_file_location("stress_stage1", root / "scripts" / "stress_stage1.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    stresses = [s for s in all_stresses() if s.family in ("none", "thick slices")]
    means = (0.96, 0.95, 0.91, 0.89, 0.92)
    table = {
        f"{s.family}: {s.level}": {"a": mean + 0.02, "b": mean - 0.02}
        for s, mean in zip(stresses, means, strict=True)
    }
    points = script.breaking_points(stresses, table, 0.9)
    assert points == {"none": None, "thick slices": "15 mm"}
    text = script.markdown(stresses, table, points, 0.9)
    assert "| thick slices | 10 mm | 0.910 | 0.890 | b |" in text
    assert "- thick slices: at 15 mm" in text
    assert "- none: at no step tried" in text
