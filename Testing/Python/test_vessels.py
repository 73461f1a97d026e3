"""Vessels of the network: inside the liver, outside lesions, portal told from hepatic."""

from __future__ import annotations

import numpy as np
import torch

from liverseg.stages import vessels_in

CLASSES = ("background", "liver", "lesion", "portal vein", "hepatic vein")


def scores() -> torch.Tensor:
    values = torch.zeros(5, 8, 8, 8)
    values[1] = 1.0
    values[:, :, 1] = torch.tensor([0.0, 0.3, 0.0, 0.6, 0.1])[:, None, None]
    values[:, :, 4] = torch.tensor([0.0, 0.3, 0.0, 0.3, 0.4])[:, None, None]
    values[:, :, 6] = torch.tensor([0.0, 0.6, 0.0, 0.2, 0.2])[:, None, None]
    return values


def test_a_vessel_is_where_both_kinds_together_outweigh_the_rest():
    vessels = vessels_in(scores(), CLASSES, np.ones((8, 8, 8), dtype=bool))
    assert vessels is not None
    assert (vessels[:, 1] == 1).all()
    assert (vessels[:, 4] == 2).all(), "0.3 and 0.4 are a vessel together, the larger says which"
    assert not vessels[:, [0, 2, 3, 5, 6, 7]].any()


def test_no_vessel_lies_where_none_may_be():
    where = np.ones((8, 8, 8), dtype=bool)
    where[:4] = False
    vessels = vessels_in(scores(), CLASSES, where)
    assert vessels is not None
    assert not vessels[:4].any()
    assert vessels[4:].any()


def test_they_come_on_the_finer_grid_of_the_ct():
    vessels = vessels_in(scores(), CLASSES, np.ones((16, 24, 8), dtype=bool))
    assert vessels is not None
    assert vessels.shape == (16, 24, 8)
    assert (vessels[:, 4] == 1).all()


def test_a_network_without_vessels_gives_none():
    assert vessels_in(scores()[:3], CLASSES[:3], np.ones((8, 8, 8), dtype=bool)) is None
