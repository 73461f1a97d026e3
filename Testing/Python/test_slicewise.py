"""Networks over slices see the right neighbors, and their answers lie in the right places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg import stages
from liverseg.bundle import Bundle, NetworkCard
from liverseg.device import Rung
from liverseg.errors import Cancelled
from liverseg.slicewise import card_scores, neighbor_numbers, predict_slicewise, stack_slices, with_context

CPU = Rung("cpu", "fp32")


class SameAsMiddle(torch.nn.Module):
    """Class 1 where the middle slice of the first channel is bright; sees a known number of channels."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.channels, self.middle, self.seen = channels, middle, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 4 and x.shape[1] == self.channels
        assert x.shape[2] % 16 == 0 and x.shape[3] % 16 == 0
        self.seen += len(x)
        bright = x[:, self.middle : self.middle + 1] * 20 - 10
        return torch.cat([-bright, bright], dim=1)


def test_a_slice_is_seen_between_its_neighbors_channel_by_channel():
    volume = torch.arange(5.0)[None, :, None, None] + torch.tensor([0.0, 100.0])[:, None, None, None]
    seen = with_context(volume.expand(2, 5, 3, 4), [0, 2, 4], 3)
    assert seen.shape == (3, 6, 3, 4)
    assert seen[:, :, 0, 0].tolist() == [
        [0, 0, 1, 100, 100, 101],
        [1, 2, 3, 101, 102, 103],
        [3, 4, 4, 103, 104, 104],
    ]
    assert neighbor_numbers(0, 2, 5) == [0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="odd number"):
        neighbor_numbers(0, 2, 2)


@pytest.mark.parametrize("context", [1, 3, 5])
def test_the_answers_are_those_of_each_slice_whatever_its_size(context):
    volume = (torch.rand((2, 11, 37, 21), generator=torch.Generator().manual_seed(0)) > 0.5).float()
    network = SameAsMiddle(2 * context, context // 2)
    scores = predict_slicewise(network, volume, context, multiple=16)
    assert scores.shape == (2, 11, 37, 21)
    assert torch.equal(scores[1] > 0.5, volume[0] > 0.5)
    assert torch.allclose(scores.sum(dim=0), torch.ones(11, 37, 21))


def test_slices_without_a_voxel_of_interest_are_skipped_and_cancel_is_felt():
    network, where = SameAsMiddle(1, 0), torch.zeros((20, 32, 32), dtype=torch.bool)
    where[4:6, 3, 3] = True
    scores = predict_slicewise(network, torch.ones((1, 20, 32, 32)), where=where, multiple=16)
    assert network.seen == 2
    assert scores[1].mean(dim=(1, 2)).round().tolist() == [0] * 4 + [1, 1] + [0] * 14
    assert torch.equal(scores[0][7], torch.ones(32, 32))

    def stop(fraction: float, message: str) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        predict_slicewise(network, torch.ones((1, 20, 32, 32)), multiple=16, progress=stop)
    assert network.seen == 10, "the first eight, and no more"
    with pytest.raises(ValueError, match="no slice"):
        predict_slicewise(network, torch.ones((1, 20, 32, 32)), where=where & False)


def test_slices_go_back_into_their_places():
    volume = stack_slices(torch.full((2, 3, 4, 4), 0.2), [1, 3], 5)
    assert volume.shape == (3, 5, 4, 4)
    assert volume[0, :, 0, 0].tolist() == pytest.approx([1, 0.2, 1, 0.2, 1])
    assert volume[2, :, 0, 0].tolist() == pytest.approx([0, 0.2, 0, 0.2, 0])


def slice_card(stage: str, context: int, channels: int) -> NetworkCard:
    network = {
        "name": "DynUNet",
        "dimensions": 2,
        "context": context,
        "in_channels": channels,
        "out_channels": 2,
        "filters": [4, 8, 8, 8, 8],
    }
    classes = ("background", "liver") if stage == "stage1" else ("background", "lesion")
    return NetworkCard(stage, network, 4.0, (1, 64, 64), (-160.0, 240.0), classes, "none", "none")


def test_the_stages_run_a_network_over_slices_where_the_card_says_so(tmp_path, monkeypatch):
    hu = np.full((40, 60, 60), -100, np.int16)
    hu[8:30, 12:44, 10:50] = 220
    networks = {"stage1": SameAsMiddle(3, 1), "stage2": SameAsMiddle(6, 1)}
    monkeypatch.setattr(stages, "load_network", lambda bundle, stage: networks[stage])
    cards = {stage: slice_card(stage, 3, n) for n, stage in enumerate(networks, start=1)}
    bundle = Bundle(tmp_path, "over slices", {}, cards)
    spacing = (4.0, 4.0, 4.0)
    rough, ran = stages.find_liver(hu, spacing, bundle, "cpu")
    assert rough is not None and not ran.warnings
    assert np.array_equal(rough.mask, hu > 0)
    found, _ = stages.find_lesions(hu, spacing, rough, bundle, "cpu")
    assert found is not None
    assert np.array_equal(found.liver, hu[rough.box] > 0)


def test_other_cards_run_in_windows_as_before():
    class Whole(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dim() == 5
            return torch.cat([-x, x], dim=1)

    card = slice_card("stage1", 1, 1)
    network = {"name": "DynUNet", "in_channels": 1, "out_channels": 2, "filters": [4, 8, 8]}
    volume = NetworkCard("stage1", network, 4.0, (16, 16, 16), None, card.classes, "", "")
    inputs = torch.randn((1, 20, 20, 20), generator=torch.Generator().manual_seed(1))
    scores = card_scores(Whole(), volume, inputs, CPU, 0.25)
    assert torch.allclose(scores[1], torch.sigmoid(2 * inputs[0]), atol=1e-5)
