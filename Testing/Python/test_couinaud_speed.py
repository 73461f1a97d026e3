"""A full-size liver is split in less than three seconds on two cores, by every method."""

from __future__ import annotations

import time

import numpy as np
import pytest

from liverseg.bundle import find_bundle, networks_kept
from liverseg.couinaud import METHODS, SplitOptions, split_keeping_edits, split_liver
from liverseg.geometry import Geometry
from liverseg.phantom import make_phantom

# Processor seconds: three on two cores. Measured: 0.4 to 1.9 (scripts/benchmark_couinaud.py).
LIMIT_S = 6.0


@pytest.fixture(scope="module")
def full_size():
    """Liver and vessels of 1.3 l on 300 x 512 x 512 voxels, as scaled from a quarter of the resolution."""
    phantom = make_phantom(11, (75, 128, 128), (6.0, 2.8, 2.8), noise_hu=0)
    liver, vessels = (
        np.repeat(np.repeat(np.repeat(array, 4, 0), 4, 1), 4, 2)
        for array in (phantom.masks.liver, phantom.masks.vessels)
    )
    matrix = phantom.ct.geometry.ijk_to_ras @ np.diag([0.25, 0.25, 0.25, 1.0])
    geometry = Geometry((300, 512, 512), matrix)
    assert np.count_nonzero(liver) * geometry.voxel_volume_ml > 1000
    return liver, vessels, geometry


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("method", METHODS)
def test_a_full_size_liver_is_split_in_less_than_three_seconds_on_two_cores(full_size, method) -> None:
    liver, vessels, geometry = full_size
    bundle = find_bundle()
    with networks_kept():
        # What is loaded once, the network and PyTorch's own, is not the split's.
        split_liver(liver[::8, ::8, ::8].copy(), geometry, bundle)
        began = time.process_time()
        split = split_liver(liver, geometry, bundle, SplitOptions(method), vessels)
        taken = time.process_time() - began
    assert np.array_equal(split.labels > 0, liver)
    assert taken < LIMIT_S, f"{method}: {taken:.1f} s"


def test_keeping_edits_of_a_full_size_liver_takes_no_longer(full_size) -> None:
    liver, _, geometry = full_size
    split = split_liver(liver, geometry, None, SplitOptions("landmarks"))
    edited = split.labels.copy()
    edited[140:160][edited[140:160] == 5] = 8
    began = time.process_time()
    found = split_keeping_edits(liver, edited, split.labels, geometry, lambda mask: split)
    assert time.process_time() - began < LIMIT_S
    assert found.kept_ml > 0
