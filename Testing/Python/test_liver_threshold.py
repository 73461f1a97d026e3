"""How likely liver must be to be liver is said by the model's card."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg import stages
from liverseg.bundle import Bundle, NetworkCard
from liverseg.errors import ModelError
from liverseg.lesion_rules import LesionRules, rules_from_card

SPACING = (4.0, 4.0, 4.0)


class AsBrightAsSure(torch.nn.Module):
    """The score of liver is the gray value (0..1) of the CT; there are no lesions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gray = x[:, :1].clamp(1e-3, 1 - 1e-3)
        return torch.cat([(1 - gray).log(), gray.log(), torch.full_like(gray, -20.0)], dim=1)


def found_liver(monkeypatch, entry: dict[str, float]) -> np.ndarray:
    hu = np.full((40, 60, 60), -160, np.int16)
    # The HU window is -160 to 240: scores of 0.6 around, of 0.9 within.
    hu[8:32, 10:50, 10:50] = 80
    hu[12:28, 16:44, 16:44] = 200
    network = {"name": "DynUNet", "in_channels": 2, "out_channels": 3, "filters": [4, 8, 8]}
    classes = ("background", "liver", "lesion")
    card = NetworkCard("stage2", network, 4.0, (32, 32, 32), (-160.0, 240.0), classes, "", "")
    monkeypatch.setattr(stages, "load_network", lambda bundle, stage: AsBrightAsSure())
    rough = stages.RoughLiver(hu > 0, (slice(0, 40), slice(0, 60), slice(0, 60)))
    found, _ = stages.find_lesions(
        hu, SPACING, rough, Bundle(None, "made up", {"postprocessing": entry}, {"stage2": card}), "cpu"
    )
    assert found is not None
    return found.liver


def test_a_card_that_asks_for_more_gets_the_surer_liver(monkeypatch):
    wide = found_liver(monkeypatch, {})
    assert np.array_equal(wide, found_liver(monkeypatch, {"liver_threshold": 0.5}))
    narrow = found_liver(monkeypatch, {"liver_threshold": 0.7})
    assert wide[9:31, 12:48, 12:48].all()
    assert not narrow[8:11].any()
    assert narrow[13:27, 18:42, 18:42].all()
    assert np.count_nonzero(narrow) < 0.6 * np.count_nonzero(wide)


def test_the_setting_goes_into_a_card_and_back_and_nonsense_is_refused():
    rules = LesionRules(liver_threshold=0.65)
    assert rules_from_card(rules.to_card()) == rules
    assert rules_from_card({}).liver_threshold == 0.5
    for wrong in (1.5, -0.1, True, "half"):
        with pytest.raises(ModelError, match="liver_threshold"):
            rules_from_card({"liver_threshold": wrong})
