"""The gallbladder at the liver's rim is no lesion; tumors at the rim and cysts within the liver are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg import stages
from liverseg.bundle import Bundle, NetworkCard
from liverseg.rim_fluid import rim_fluid

SHAPE = (40, 60, 60)
SPACING = (1.5, 1.5, 1.5)


def scene(claim_hu: float, liver_hu: float = 110.0, left_out: bool = True):
    """Lesions, liver, stage 1's liver and HU: one claim at the rim, or one that stage 1 did not leave out."""
    liver = np.zeros(SHAPE, dtype=bool)
    liver[5:35, 10:50, 10:50] = True
    lesions = np.zeros(SHAPE, dtype=bool)
    lesions[12:24, 14:26, 10:24] = True
    rough = liver & ~lesions if left_out else liver
    hu = np.where(liver, liver_hu, -90.0) + np.random.default_rng(2).normal(0, 12, SHAPE)
    hu[lesions] += claim_hu - liver_hu
    return lesions, liver, rough, hu.astype(np.float32)


def test_bile_beside_stage_1s_liver_is_taken_off_as_a_whole():
    lesions, liver, rough, hu = scene(12)
    assert np.array_equal(rim_fluid(lesions, liver, rough, hu, SPACING), lesions)


@pytest.mark.parametrize(
    ("claim_hu", "liver_hu", "left_out"),
    [
        (60, 110, True),
        (12, 110, False),
        (12, 40, True),
    ],
    ids=["a tumor at the rim", "a cyst within the liver", "a tumor in a fatty liver"],
)
def test_what_may_be_a_lesion_stays(claim_hu, liver_hu, left_out):
    assert not rim_fluid(*scene(claim_hu, liver_hu, left_out), SPACING).any()


def test_each_claim_is_judged_by_itself_and_the_rough_liver_may_lie_on_a_coarser_grid():
    lesions, liver, rough, hu = scene(12)
    lesions[26:30, 34:40, 34:40] = True
    hu[26:30, 34:40, 34:40] = 15
    coarse = rough[1::2, 1::2, 1::2]
    fluid = rim_fluid(lesions, liver, coarse, hu, SPACING)
    assert fluid[12:24, 14:26, 10:24].all()
    assert not fluid[26:30, 34:40, 34:40].any()


def test_a_lesion_that_touches_the_gallbladder_stays():
    lesions, liver, rough, hu = scene(12)
    beside = np.zeros(SHAPE, dtype=bool)
    beside[12:24, 26:36, 12:24] = True
    hu[beside] = np.random.default_rng(3).normal(60, 12, np.count_nonzero(beside))
    fluid = rim_fluid(lesions | beside, liver, rough, hu, SPACING)
    assert fluid[lesions].all()
    assert fluid[beside].mean() < 0.5


def test_without_lesions_or_without_other_tissue_nothing_is_taken_off():
    lesions, liver, rough, hu = scene(12)
    assert not rim_fluid(np.zeros(SHAPE, dtype=bool), liver, rough, hu, SPACING).any()
    assert not rim_fluid(lesions, lesions, rough, hu, SPACING).any()


class UnsureOfBile(torch.nn.Module):
    """Liver where the CT is as bright as liver; of bile it thinks half that it is a lesion and half liver."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hu = x[:, :1] * 400 - 160
        liver, bile = (hu - 110).abs() < 40, (hu - 12).abs() < 40
        lesion = torch.where(bile, 0.5, 1e-4)
        tissue = torch.where(liver, 0.99, torch.where(bile, 0.45, 1e-4))
        return torch.cat([(1 - lesion - tissue).clamp(1e-4), tissue, lesion], dim=1).log()


@pytest.mark.parametrize("peak", [0.3, 0.9], ids=["a claim", "too unsure for a claim"])
def test_bile_is_taken_off_the_liver_whether_it_is_claimed_as_a_lesion_or_not(monkeypatch, peak):
    bile, liver, rough, hu = scene(12)
    network = {"name": "DynUNet", "in_channels": 2, "out_channels": 3, "filters": [4, 8, 8]}
    classes = ("background", "liver", "lesion")
    card = NetworkCard("stage2", network, 1.5, (32, 32, 32), (-160.0, 240.0), classes, "", "")
    monkeypatch.setattr(stages, "load_network", lambda bundle, stage: UnsureOfBile())
    rules = {"postprocessing": {"smallest_peak": peak, "lesion_threshold": 0.2}}
    found, _ = stages.find_lesions(
        hu,
        SPACING,
        stages.RoughLiver(rough, (slice(0, 40), slice(0, 60), slice(0, 60))),
        Bundle(Path("made-up"), "made up", rules, {"stage2": card}),
        "cpu",
    )
    assert found is not None
    assert np.count_nonzero(found.liver & bile) < 0.1 * np.count_nonzero(bile)
    assert np.count_nonzero(found.liver & liver & ~bile) > 0.9 * np.count_nonzero(liver & ~bile)
    assert not found.lesions.any()
