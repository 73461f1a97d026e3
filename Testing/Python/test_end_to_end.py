"""The whole road with the bundled weights, on made-up patients that no training saw."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest

from liverseg.bundle import find_bundle
from liverseg.geometry import Geometry
from liverseg.phantom import make_phantom
from liverseg.pipeline import SegmentOptions, segment
from liverseg.volume import Volume

# Training saw the seeds from 1000 on.
SEEDS = (2001, 2002)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_liver_and_every_lesion_of_15_mm_are_found(seed):
    phantom = make_phantom(seed=seed, shape_kji=(110, 190, 200), spacing_kji=(2.5, 1.9, 1.8))
    case = segment(phantom.ct, SegmentOptions(device="cpu"))
    assert dice(case.masks.liver, phantom.masks.liver) >= 0.90
    for lesion in phantom.lesions:
        if lesion.diameter_mm >= 15:
            assert (case.masks.lesions[phantom.masks.lesions == lesion.id] > 0).mean() > 0.3, lesion
    assert sum(s.volume_ml for s in case.segments) == pytest.approx(case.liver.volume_ml, rel=1e-6)
    assert case.provenance.seconds.keys() >= {"check", "stage1", "stage2", "couinaud"}


@pytest.fixture(scope="module")
def coarse_model(tmp_path_factory):
    """The bundled weights on a coarse stage 2 grid: the same road in a second."""
    folder = tmp_path_factory.mktemp("model") / "coarse"
    shutil.copytree(find_bundle().folder, folder)
    card = json.loads((folder / "card.json").read_text())
    card["networks"]["stage2"]["spacing_mm"] = 5.0
    (folder / "card.json").write_text(json.dumps(card))
    return str(folder)


@pytest.fixture(scope="module")
def small():
    return make_phantom(seed=2003, shape_kji=(52, 78, 84), spacing_kji=(5.0, 4.4, 4.2)).ct


@pytest.fixture(scope="module")
def plain(small, coarse_model):
    case = segment(small, SegmentOptions(device="cpu", model=coarse_model, quality="fast"))
    assert case.masks.liver.any()
    assert case.lesions, "without a lesion the comparisons below would be empty"
    return case


def turned(ct: Volume, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same world content with array axes permuted and then flipped."""
    array = ct.array.transpose(axes)
    matrix = ct.geometry.ijk_to_ras.copy()
    matrix[:3, :3] = ct.geometry.ijk_to_ras[:3, [2 - a for a in axes][::-1]]
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            matrix[:3, 3] += matrix[:3, 2 - axis] * (array.shape[axis] - 1)
            matrix[:3, 2 - axis] *= -1
    return Volume(np.ascontiguousarray(array), Geometry(array.shape, matrix))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_flips_and_permutations_give_the_same_labels_in_world_space(axes, flips, small, plain, coarse_model):
    ct = turned(small, axes, flips)
    points = np.array([[10, 20, 30], [40, 50, 60]])
    back = small.geometry.to_kji(ct.geometry.to_ras(points))
    assert all(
        small.array[tuple(np.rint(b).astype(int))] == ct.array[tuple(p)]
        for p, b in zip(points % np.array(ct.array.shape), back, strict=True)
        if (points < ct.array.shape).all()
    )
    case = segment(ct, SegmentOptions(device="cpu", model=coarse_model, quality="fast"))
    for name in ("liver", "couinaud", "lesions"):
        expected = getattr(plain.masks, name).transpose(axes)
        for axis, flip in enumerate(flips):
            expected = np.flip(expected, axis) if flip else expected
        assert np.array_equal(getattr(case.masks, name), expected), name
    assert case.liver.volume_ml == pytest.approx(plain.liver.volume_ml)
    for one, other in zip(case.lesions, plain.lesions, strict=True):
        assert one.id == other.id
        assert one.long_axis_mm == pytest.approx(other.long_axis_mm, abs=1e-6)
        assert one.centroid_ras_mm == pytest.approx(other.centroid_ras_mm, abs=1e-6)


def test_a_voxel_without_a_number_counts_as_air(small, plain, coarse_model):
    array = small.array.astype(np.float32)
    array[0, 0, 0], array[-1, -1, -1] = np.nan, np.inf
    case = segment(
        Volume(array, small.geometry), SegmentOptions(device="cpu", model=coarse_model, quality="fast")
    )
    assert dice(case.masks.liver, plain.masks.liver) > 0.999
    assert any("NaN" in warning for warning in case.warnings)


def test_the_same_input_gives_the_same_result_twice(small, plain, coarse_model):
    again = segment(small, SegmentOptions(device="cpu", model=coarse_model, quality="fast"))
    assert np.array_equal(again.masks.lesions, plain.masks.lesions)
    assert again.lesions == plain.lesions
    assert again.liver == plain.liver


def test_an_oblique_scan_finds_the_same_liver():
    straight = make_phantom(seed=2004, shape_kji=(70, 110, 120), spacing_kji=(4.0, 3.2, 3.0))
    oblique = make_phantom(
        seed=2004, shape_kji=(70, 110, 120), spacing_kji=(4.0, 3.2, 3.0), rotation_deg=(12.0, 0.0, 8.0)
    )
    volumes = []
    for phantom in (straight, oblique):
        case = segment(phantom.ct, SegmentOptions(device="cpu", quality="fast"))
        assert dice(case.masks.liver, phantom.masks.liver) >= 0.88
        volumes.append(case.liver.volume_ml)
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)


def test_a_liver_cut_off_by_the_scan_is_read_out_and_said_to_be_incomplete():
    whole = make_phantom(seed=2001, shape_kji=(70, 110, 120), spacing_kji=(4.0, 3.2, 3.0))
    rows = np.flatnonzero(whole.masks.liver.any(axis=(1, 2)))
    middle = int(rows[len(rows) // 2])
    ct = Volume(
        whole.ct.array[:middle].copy(),
        whole.ct.geometry.cropped((slice(0, middle), slice(None), slice(None))),
    )
    case = segment(ct, SegmentOptions(device="cpu", quality="fast"))
    assert case.liver.volume_ml > 100
    assert not case.liver.complete
    assert any("cut" in warning for warning in case.warnings)
