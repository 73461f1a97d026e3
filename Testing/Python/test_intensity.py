"""HU become what a network wants to see, by its card and alike in training."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from liverseg.bundle import load_network, read_bundle, save_network
from liverseg.errors import ModelError, UsageError
from liverseg.intensity import SYMMETRIC, UNIT, Normalization, NormalizedInput, normalize_hu, standardizing
from liverseg.networks import build_network
from liverseg.training.cached_cases import WINDOW, CachedCase, Known
from liverseg.training.normalizing import foreground_statistics, normalization_of

SMALL = {"name": "DynUNet", "in_channels": 2, "out_channels": 2, "filters": [4, 8, 8]}


def seen(hu: list[float], normalization: Normalization) -> list[float]:
    """What a network sees of some HU."""
    return normalization(torch.from_numpy(normalize_hu(np.array(hu), WINDOW))).tolist()


def test_the_window_becomes_0_to_1_or_minus_1_to_1():
    hu = [-1000.0, -160.0, 40.0, 240.0, 900.0]
    assert seen(hu, UNIT) == pytest.approx([0, 0, 0.5, 1, 1])
    assert seen(hu, SYMMETRIC) == pytest.approx([-1, -1, 0, 1, 1])


def test_by_statistics_the_foreground_has_mean_0_and_deviation_1_and_its_rare_values_are_clipped():
    normalization = standardizing(100.0, 25.0, (30.0, 170.0), WINDOW)
    assert seen([100, 125, 75], normalization) == pytest.approx([0, 1, -1], abs=1e-5)
    assert seen([-500, 0, 30], normalization) == pytest.approx([-2.8] * 3, abs=1e-5)
    assert seen([170, 240, 900], normalization) == pytest.approx([2.8] * 3, abs=1e-5)


def test_statistics_are_those_of_the_labeled_voxels_up_to_a_gray_step():
    rng = np.random.default_rng(0)
    cases, values = [], []
    for n in range(3):
        label = np.zeros((20, 20, 20), np.uint8)
        label[4:16, 4:16, 4:16] = 1 + n % 2
        hu = np.where(label > 0, rng.normal(90 + 10 * n, 20, label.shape), -100.0)
        image = np.round(normalize_hu(hu, WINDOW) * 255).astype(np.uint8)
        cases.append(CachedCase(str(n), torch.from_numpy(label), torch.from_numpy(image), Known()))
        values.append(hu[label > 0])
    cases.append(CachedCase("a map alone", torch.ones((4, 4, 4), dtype=torch.uint8), None, Known()))
    found, step = foreground_statistics(cases), 400 / 255
    foreground = np.concatenate(values)
    low, high = np.percentile(foreground, (0.5, 99.5))
    assert 400 / found.scale == pytest.approx(foreground.std(), abs=0.1 * step)
    assert -found.shift * foreground.std() - 160 == pytest.approx(foreground.mean(), abs=0.1 * step + 0.3)
    assert found.low * 400 - 160 == pytest.approx(low, abs=2 * step)
    assert found.high * 400 - 160 == pytest.approx(high, abs=2 * step)
    assert normalization_of("foreground", cases) == found
    beside = [replace(c, image=torch.stack([255 - c.image, c.image, c.image * 0], 1)) for c in cases[:3]]
    assert foreground_statistics(beside) == found, "of exported slices their own voxels alone"
    assert normalization_of("unit", []) == UNIT
    with pytest.raises(UsageError, match="unit, symmetric, foreground"):
        normalization_of("zscore", cases)
    with pytest.raises(UsageError, match="no voxel of the cases"):
        foreground_statistics([])


def test_a_card_says_what_its_network_sees_and_masks_stay_as_they_are(tmp_path):
    torch.manual_seed(0)
    network = build_network(SMALL).eval()
    normalization = standardizing(100.0, 25.0, (30.0, 170.0), WINDOW)

    def loaded(described: dict) -> torch.nn.Module:
        entry = {
            "network": described,
            "spacing_mm": 4.0,
            "patch": [16, 16, 16],
            "window_hu": list(WINDOW),
            "classes": ["background", "liver"],
            "file": "stage1.safetensors",
            "sha256": save_network(network, tmp_path / "stage1.safetensors"),
        }
        (tmp_path / "card.json").write_text(json.dumps({"name": "x", "networks": {"stage1": entry}}))
        return load_network(read_bundle(tmp_path), "stage1")

    inputs = torch.rand((1, 2, 16, 16, 16))
    own = torch.cat([normalization(inputs[:, :1]), inputs[:, 1:]], dim=1)
    with torch.inference_mode():
        plain = loaded(SMALL)
        expected = plain(own)
        answer = loaded({**SMALL, "normalization": normalization.to_json()})(inputs)
        assert torch.equal(answer, expected) and not torch.allclose(answer, plain(inputs))
        assert torch.equal(loaded({**SMALL, "normalization": UNIT.to_json()})(inputs), plain(inputs))
    for damaged in ({"scale": 1}, {"scale": 0, "shift": 1}, {"scale": 1, "shift": 0, "mean": 3}, "zscore"):
        with pytest.raises(ModelError, match="damaged"):
            loaded({**SMALL, "normalization": damaged})


def test_over_slices_all_neighbors_are_brought_into_range():
    hook = NormalizedInput(SYMMETRIC, context=3)
    (seen_by_network,) = hook(torch.nn.Identity(), (torch.full((1, 6, 4, 4), 0.5),))
    assert seen_by_network[0, :, 0, 0].tolist() == [0, 0, 0, 0.5, 0.5, 0.5]
