"""A network may look at a scan on several grids, as its card says, and the looks are averaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg import stages
from liverseg.bundle import Bundle, NetworkCard, find_bundle, read_bundle
from liverseg.device import Rung
from liverseg.errors import ModelError, UsageError
from liverseg.training.export import export_bundle
from liverseg.views import scores_in_views

CPU = Rung("cpu", "fp32")
SPACING = (1.0, 1.0, 1.0)
NETWORK = {"name": "DynUNet", "in_channels": 2, "out_channels": 3, "filters": [4, 8, 8]}
CLASSES = ("background", "liver", "lesion")
CARD = NetworkCard("stage2", NETWORK, 2.0, (16, 16, 16), (-160.0, 240.0), CLASSES, "", "")


class AsDarkAsSure(torch.nn.Module):
    """Inside the mask that it is shown, what is darker is surer to be a lesion and the rest is liver."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(x.shape[2:]))
        gray, inside = x[:, :1].clamp(1e-3, 1 - 1e-3), x[:, 1:2] > 0.5
        lesion = torch.where(inside, 1 - gray, 1e-6)
        liver = torch.where(inside, gray, 1e-6)
        return torch.cat([(1 - lesion - liver).clamp(1e-6).log(), liver.log(), lesion.log()], dim=1)


def scores(views, image, told=None) -> torch.Tensor:
    inside = torch.ones(24, 24, 24)
    listener = {"progress": lambda fraction, message: told.append(fraction)} if told is not None else {}
    card = replace(CARD, views=views)
    return scores_in_views(AsDarkAsSure(), card, image, SPACING, [inside], inside > 0, CPU, 0.25, **listener)


def dark_spot() -> torch.Tensor:
    image = torch.full((48, 48, 48), 0.9)
    image[22:24, 22:24, 22:24] = 0.0
    return image


def test_a_spot_that_a_coarse_grid_blurs_is_seen_on_a_fine_one_and_the_average_lies_between():
    coarse, fine = (float(scores(((mm, 1.0),), dark_spot())[2].max()) for mm in (4.0, 2.0))
    assert fine > coarse + 0.02
    both = float(scores(((4.0, 0.25), (2.0, 0.75)), dark_spot())[2].max())
    assert both == pytest.approx(0.25 * coarse + 0.75 * fine, abs=1e-4)


def test_the_result_has_the_grid_of_the_masks_and_sums_to_one():
    found = scores(((3.0, 0.5), (2.0, 0.5)), dark_spot())
    assert found.shape == (3, 24, 24, 24)
    torch.testing.assert_close(found.sum(0), torch.ones(24, 24, 24), rtol=0, atol=1e-4)


def test_progress_rises_over_all_views_to_the_end():
    told: list[float] = []
    scores(((4.0, 0.3), (2.0, 0.7)), dark_spot(), told)
    assert told == sorted(told)
    assert told[0] < 0.2
    assert told[-1] == pytest.approx(1.0)


def found(monkeypatch, quality: str) -> tuple[AsDarkAsSure, np.ndarray]:
    hu = np.full((60, 80, 80), 200, np.int16)
    hu[28:32, 38:42, 38:42] = -160
    network = AsDarkAsSure()
    monkeypatch.setattr(stages, "load_network", lambda bundle, stage: network)
    card = replace(CARD, views=((4.0, 1.0),))
    rough = stages.RoughLiver(np.ones((30, 40, 40), bool), (slice(0, 60), slice(0, 80), slice(0, 80)))
    rules = {"postprocessing": {"lesion_threshold": 0.4, "smallest_peak": 0.0}}
    fine, _ = stages.find_lesions(
        hu, SPACING, rough, Bundle(Path("made-up"), "made up", rules, {"stage2": card}), "cpu", quality
    )
    assert fine is not None
    return network, fine.lesion_score


def test_full_quality_looks_at_the_views_and_fast_at_the_networks_own_grid(monkeypatch):
    monkeypatch.setattr(stages, "SMALLEST_LIVER_ML", 1.0)
    full, blurred = found(monkeypatch, "full")
    fast, sharp = found(monkeypatch, "fast")
    assert len(full.seen) < len(fast.seen)
    assert sharp[30, 40, 40] > blurred[30, 40, 40] + 0.05


@pytest.mark.parametrize(
    ("views", "why"),
    [
        ([[1.25, 0.5], [1.5, 0.4]], "do not sum to 1"),
        ([[0.0, 1.0]], "above 0"),
        ([[1.5, 1.5], [2.0, -0.5]], "above 0"),
        ([[1.5]], "damaged"),
        ("fine", "damaged"),
    ],
)
def test_views_that_make_no_average_are_refused_in_one_line(tmp_path, views, why):
    card = json.loads((find_bundle().folder / "card.json").read_text(encoding="utf-8"))
    card["networks"]["stage2"]["views"] = views
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError, match=why) as refused:
        read_bundle(tmp_path)
    assert "\n" not in str(refused.value)


def test_views_of_a_stage_2_that_is_not_written_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(UsageError, match="name its run"):
        export_bundle(tmp_path / "new", "new", {"stage1": tmp_path / "run"}, {}, views=((1.5, 1.0),))
    assert not (tmp_path / "new").exists()
