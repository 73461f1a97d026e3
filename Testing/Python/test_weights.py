"""Weights in files: half precision, or eight bits that are half the size and change next to nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from liverseg.bundle import find_bundle, load_network, read_bundle, save_network
from liverseg.phantom import make_phantom
from liverseg.stages import find_liver
from liverseg.weights import from_eight_bits, in_eight_bits, read_weights, write_weights


def made_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    filters = torch.randn(32, 16, 3, 3, 3, generator=generator)
    # Filters of very different size, one of them empty.
    filters *= torch.logspace(-4, 2, 32)[:, None, None, None, None]
    filters[7] = 0
    return {
        "conv.weight": filters,
        "conv.bias": torch.randn(32, generator=generator),
        "norm.count": torch.tensor(70001),
    }


def test_eight_bits_move_no_weight_by_more_than_half_a_step_of_its_filter():
    filters = made_weights()["conv.weight"]
    whole, factor = in_eight_bits(filters)
    assert whole.dtype == torch.int8
    off = (from_eight_bits(whole, factor) - filters).abs().flatten(1).amax(dim=1)
    largest = filters.abs().flatten(1).amax(dim=1)
    assert (off <= largest / 254 * 1.001).all()
    assert off[7] == 0


@pytest.mark.parametrize("eight_bits", [False, True])
def test_a_file_gives_back_every_tensor_under_its_name(tmp_path, eight_bits):
    weights = made_weights()
    write_weights(weights, tmp_path / "a.safetensors", eight_bits)
    read = read_weights(tmp_path / "a.safetensors")
    assert set(read) == set(weights)
    assert int(read["norm.count"]) == 70001
    torch.testing.assert_close(read["conv.bias"], weights["conv.bias"], rtol=1e-3, atol=1e-3)
    largest = weights["conv.weight"].abs().flatten(1).amax(dim=1)[:, None, None, None, None]
    assert ((read["conv.weight"] - weights["conv.weight"]).abs() <= largest / 250 + 1e-7).all()


def test_eight_bits_halve_a_network_and_leave_its_liver_as_it_is(tmp_path):
    phantom = make_phantom(seed=3, shape_kji=(70, 90, 90), spacing_kji=(4.0, 3.6, 3.6))
    bundle = find_bundle()
    entry, network = bundle.card["networks"]["stage1"], load_network(bundle, "stage1")
    # Off the grid of eight bits, on which a bundle's weights may lie already.
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1 + 0.002 * torch.randn(weight.shape, generator=generator))
    hu = np.ascontiguousarray(phantom.ct.array).astype(np.float32)
    sizes, masks, weights = [], [], []
    for name, eight_bits in (("half", False), ("eight", True)):
        path = tmp_path / name / entry["file"]
        path.parent.mkdir()
        sha256 = save_network(network, path, eight_bits)
        sizes.append(path.stat().st_size)
        weights.append(read_weights(path))
        card = {"format": 1, "name": name, "networks": {"stage1": {**entry, "sha256": sha256}}}
        (path.parent / "card.json").write_text(json.dumps(card), encoding="utf-8")
        rough, _ = find_liver(hu, phantom.ct.geometry.spacing_kji, read_bundle(path.parent), "cpu")
        assert rough is not None
        masks.append(rough.mask)
    assert sizes[1] < 0.52 * sizes[0]
    rounded = [name for name, half in weights[0].items() if not torch.equal(half, weights[1][name])]
    assert len(rounded) > 10, "the two files must not be the same network"
    overlap = 2 * np.count_nonzero(masks[0] & masks[1]) / (masks[0].sum() + masks[1].sum())
    assert overlap > 0.995
