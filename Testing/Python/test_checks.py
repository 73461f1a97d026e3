"""A CT in Hounsfield units passes with fitting warnings; everything else is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from liverseg.checks import CheckResult, check_volume
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.reading import read_volume
from liverseg.volume import Source, Volume

SHAPE = (60, 80, 80)


def torso(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A round body in air, float32 HU: fat rind, soft tissue, a spine and a gas bubble, with noise."""
    rng = np.random.default_rng(0)
    _, j, i = np.indices(shape)
    radius = np.hypot((j - shape[1] / 2) / (shape[1] * 0.42), (i - shape[2] / 2) / (shape[2] * 0.42))
    hu = np.full(shape, -1000.0)
    hu[radius < 1] = -100
    hu[radius < 0.85] = 60
    hu[np.hypot(j - shape[1] * 0.7, i - shape[2] / 2) < shape[1] * 0.08] = 600
    hu[np.hypot(j - shape[1] * 0.3, i - shape[2] / 2) < shape[1] * 0.05] = -900
    return (hu + rng.normal(0, 12, shape)).astype(np.float32)


def mr(seed: int, scale: float) -> np.ndarray:
    """A T1-like abdomen: dark air, bright fat, organs between, a coil's bias and Rician noise."""
    rng = np.random.default_rng(seed)
    hu = torso()
    signal = np.select([hu < -500, hu < -30, hu < 300], [0.02, 1.0, 0.45], 0.1)
    signal = signal * np.linspace(0.7, 1.3, SHAPE[2])
    noisy = np.hypot(signal + rng.normal(0, 0.03, SHAPE), rng.normal(0, 0.03, SHAPE))
    return np.rint(noisy * scale).astype(np.float32)


def undershot(array: np.ndarray) -> np.ndarray:
    """The array after a cubic interpolation there and back, which makes values below zero."""
    return ndimage.zoom(ndimage.zoom(array, 0.5, order=3), 2.0, order=3)


def volume(
    array: np.ndarray, spacing_ijk: tuple[float, float, float] = (2.0, 2.0, 4.0), modality: str | None = None
) -> Volume:
    matrix = np.diag([-spacing_ijk[0], -spacing_ijk[1], spacing_ijk[2], 1.0])
    return Volume(array, Geometry(array.shape, matrix), Source(modality=modality))


def said(result: CheckResult, words: str) -> bool:
    return any(words in w for w in result.warnings)


def refusal(array: np.ndarray, force: bool = False, **kwargs: object) -> str:
    with pytest.raises(InputRefused) as caught:
        check_volume(volume(array, **kwargs), force)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_plain_ct_passes_without_a_word(dtype: type) -> None:
    assert check_volume(volume(torso().astype(dtype), modality="CT")).warnings == ()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.clip((torso() + 1000) / 2000, 0, 1), "scaled or normalized"),
        ((torso() - torso().mean()) / torso().std(), "scaled or normalized"),
        (np.clip((torso() + 1000) / 2000, 0, 1) * 2 - 1, "scaled or normalized"),
        (np.rint((np.clip(torso(), -160, 240) + 160) / 400 * 255).astype(np.int16), "8-bit picture"),
        (np.rint(np.clip(torso(), -1000, 1000) + 1024).astype(np.int16), "HU + 1024"),
        ((torso() > 0).astype(np.int16) + (torso() > 300), "label map"),
        (mr(1, 400.0), "look like MR"),
        (mr(2, 1500.0), "look like MR"),
        (mr(3, 20000.0), "look like MR"),
        (undershot(mr(4, 400.0)), "look like MR"),
        (undershot(mr(5, 4000.0)), "no HU"),
        (torso() * 20, "no HU"),
    ],
    ids=[
        "0..1",
        "z-score",
        "-1..1",
        "8 bit",
        "unscaled",
        "labels",
        "MR",
        "MR 12 bit",
        "MR 16 bit",
        "MR cubic",
        "MR 12 bit cubic",
        "x20",
    ],
)
def test_values_that_are_no_hu_are_refused_unless_forced(array: np.ndarray, reason: str) -> None:
    message = refusal(array)

    assert reason in message
    assert "--force" in message
    assert said(check_volume(volume(array), force=True), reason)


def test_values_scaled_to_1_are_refused_even_when_their_outside_was_filled_with_air() -> None:
    scaled = np.clip((torso() + 1000) / 2000, 0, 1)
    scaled[torso() < -500] = -1024

    assert "scaled or normalized" in refusal(scaled)


def test_another_modality_is_refused_by_its_tag_even_when_forced() -> None:
    assert "MR by its DICOM tag" in refusal(torso(), modality="MR")
    assert "PT by its DICOM tag" in refusal(torso(), force=True, modality="PT")


def test_constant_volumes_and_those_without_numbers_are_refused_even_when_forced() -> None:
    assert "constant" in refusal(np.full(SHAPE, 40, np.int16), force=True)
    assert "no numbers" in refusal(np.full(SHAPE, np.nan, np.float32), force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 80, 80), "is a single slice (80 x 80 x 1 voxels)"),
        ((80, 1, 80), "is a single slice"),
        ((3, 80, 80), "has only 3 slices"),
    ],
)
def test_a_few_slices_are_no_volume_even_when_forced(
    shape: tuple[int, int, int], words: str, force: bool
) -> None:
    message = refusal(torso(shape), force)

    assert words in message
    assert "give the whole scan" in message


def test_slices_are_counted_from_below_upwards_however_the_file_stores_them() -> None:
    # Sagittal: the file's slices go to the left, its columns downwards.
    matrix = np.array([[0, 0, 4.0, 0], [2.0, 0, 0, 0], [0, -2.0, 0, 0], [0, 0, 0, 1]])
    thin, whole = (torso((80, n, 80)) for n in (3, 60))

    with pytest.raises(InputRefused, match="has only 3 slices"):
        check_volume(Volume(thin, Geometry(thin.shape, matrix)))
    check_volume(Volume(whole, Geometry(whole.shape, matrix)))


def test_clipped_hu_pass_with_warnings() -> None:
    result = check_volume(volume(np.clip(torso(), -160, 240).astype(np.int16)))

    assert said(result, "clipped at -160")
    assert said(result, "Nothing lies above 240")


def test_a_clipped_crop_of_the_liver_with_little_fat_passes() -> None:
    liver = np.random.default_rng(0).normal(100, 12, SHAPE)
    liver[:, :6] = -100
    check_volume(volume(np.clip(liver, -160, 240).astype(np.int16)))


def test_a_ct_whose_outside_of_the_liver_was_set_to_air_passes() -> None:
    masked = np.full(SHAPE, -1024, np.int16)
    masked[15:45, 20:60, 20:60] = np.random.default_rng(0).normal(100, 15, (30, 40, 40))
    check_volume(volume(masked))


def test_a_box_of_water_in_air_is_a_ct() -> None:
    box = np.full(SHAPE, -1000, np.int16)
    box[20:40, 20:60, 20:60] = 0
    check_volume(volume(box))


def test_coarse_gray_levels_are_told() -> None:
    steps = (np.rint(torso() / 16) * 16).astype(np.int16)

    assert said(check_volume(volume(steps)), "gray levels")
    assert not said(check_volume(volume(torso().astype(np.int16))), "gray levels")


@pytest.mark.parametrize("padding", [-2000, -3024])
def test_padding_is_told(padding: int) -> None:
    padded = torso()
    padded[:, :5, :5] = padding

    assert said(check_volume(volume(padded)), f"padded with values down to {padding}")


def test_an_outside_set_to_air_is_told() -> None:
    masked = torso()
    masked[masked < -500] = -1024

    assert said(check_volume(volume(masked)), "is set to -1024")


def test_nan_that_was_left_is_told_and_not_counted() -> None:
    holes = torso()
    holes[0, 0, 0] = np.nan

    result = check_volume(volume(holes))

    assert said(result, "NaN")
    assert all(np.isfinite(v) for v in result.facts["hu_range"])


def test_thick_slices_and_coarse_pixels_are_told() -> None:
    assert not said(check_volume(volume(torso(), (2.0, 2.0, 5.0))), "apart")
    assert said(check_volume(volume(torso(), (2.0, 2.0, 5.5))), "5.5 mm apart (over 5 mm)")
    assert said(check_volume(volume(torso(), (3.0, 3.0, 3.0))), "3 mm wide")


def test_short_scans_and_tiny_slices_are_told() -> None:
    assert said(check_volume(volume(torso((20, 80, 80)), (2.0, 2.0, 4.0))), "80 mm high")
    assert said(check_volume(volume(torso((60, 40, 40)), (4.0, 4.0, 4.0))), "Fewer than 64 pixels")


@pytest.mark.parametrize("spacing", [(0.002, 0.002, 0.004), (200.0, 200.0, 400.0)])
def test_a_header_that_is_not_in_mm_is_refused(spacing: tuple[float, float, float]) -> None:
    assert "not in mm" in refusal(torso(), spacing_ijk=spacing)


def test_facts_are_ready_for_display() -> None:
    array = np.clip(np.rint(torso()), -1000, 2000).astype(np.int16)
    array[0, 0, 0], array[1, 1, 1] = -1024, 3000

    facts = check_volume(volume(array, (1.5, 2.0, 4.0), modality="CT")).facts

    assert facts["size"] == [80, 80, 60]
    assert facts["spacing_mm"] == [1.5, 2.0, 4.0]
    assert facts["coverage_mm"] == {
        "inferior_superior": 240.0,
        "anterior_posterior": 160.0,
        "left_right": 120.0,
    }
    assert facts["hu_range"] == [-1024.0, 3000.0]
    assert facts["hu_percentiles"]["50"] == pytest.approx(np.median(array), abs=2)
    assert facts["modality"] == "CT"
    assert facts["even"] is True


@pytest.mark.data
def test_every_real_ct_passes() -> None:
    if "LIVERSEG_DATA" not in os.environ:
        pytest.skip("LIVERSEG_DATA is not set: no real CTs to check")
    root = Path(os.environ["LIVERSEG_DATA"])
    paths = sorted([*root.glob("ct/*/ct*.nii.gz"), *root.glob("ct_unlabelled/*.nii.gz")])
    if not paths:
        pytest.skip("LIVERSEG_DATA holds no CTs")

    for path in paths:
        ct = read_volume(path)
        result = check_volume(ct)
        assert ct.warnings == ()
        assert said(result, "clipped at") == (ct.array.min() > -500), path.name
