"""DICOM images that are damaged, compressed or of many frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_files import ENHANCED_CT, EVEN_Z, STRAIGHT, image, refusal, stored_values, write_series
from liverseg.dicom import list_series
from liverseg.reading import read_volume


def test_images_without_a_place_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path)
    path = sorted(tmp_path.iterdir())[2]
    ds = pydicom.dcmread(path)
    del ds.ImagePositionPatient
    ds.save_as(path)

    assert "without a place" in refusal(tmp_path)


def test_zero_pixel_spacing_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path)
        ds.PixelSpacing = [0, 0.7]
        ds.save_as(path)

    assert "zero or negative pixel spacing" in refusal(tmp_path)


def test_a_damaged_series_number_is_none(tmp_path: Path) -> None:
    hu = write_series(tmp_path)
    for path in tmp_path.iterdir():
        number = b"\x20\x00\x11\x00IS\x02\x00"
        data = path.read_bytes()
        assert number + b"1 " in data
        path.write_bytes(data.replace(number + b"1 ", number + b"1A"))

    (info,) = list_series(tmp_path)

    assert info.number is None
    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)


def test_a_damaged_size_is_a_problem_of_the_series(tmp_path: Path) -> None:
    write_series(tmp_path)
    path = min(tmp_path.iterdir())
    rows = b"\x28\x00\x10\x00US\x02\x00\x06\x00"
    data = path.read_bytes()
    assert rows in data
    # An element without a value.
    path.write_bytes(data.replace(rows, rows[:6] + b"\x00\x00"))

    assert "without a readable size" in refusal(tmp_path)


def test_a_damaged_number_of_frames_is_no_crash(tmp_path: Path) -> None:
    ds, hu = enhanced(range(5))
    path = tmp_path / "one_file"
    ds.save_as(path, enforce_file_format=True)
    frames = b"\x28\x00\x08\x00IS\x02\x00"
    path.write_bytes(path.read_bytes().replace(frames + b"5 ", frames + b"5A"))

    assert "without the place of each frame" in refusal(tmp_path)


def test_compressed_pixels_are_read(tmp_path: Path) -> None:
    hu = write_series(tmp_path, compress=True)

    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)


def test_damaged_pixels_are_refused_without_noise(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-60])

    assert "cannot be read" in refusal(tmp_path)
    assert capfd.readouterr().err == ""


def enhanced(frame_order: Sequence[int]) -> tuple[Dataset, np.ndarray]:
    """An enhanced CT (one file) whose frames lie in the given order, and its HU from below upwards."""
    stored = stored_values(len(frame_order))
    ds = image("1.2.3.9", sop_class=ENHANCED_CT)
    ds.NumberOfFrames = len(frame_order)
    measures, plane, rescale, shared = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.8, 0.7], 2.5
    plane.ImageOrientationPatient = list(STRAIGHT)
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, -1024, "HU"
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [plane]
    shared.PixelValueTransformationSequence = [rescale]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for n in frame_order:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [-50.0, -60.0, EVEN_Z[n]]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = stored[list(frame_order)].tobytes()
    return ds, stored.astype(np.int32) - 1024


@pytest.mark.parametrize("frame_order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (0, 2, 1, 4, 3)])
def test_an_enhanced_multi_frame_ct_is_read(tmp_path: Path, frame_order: tuple[int, ...]) -> None:
    ds, hu = enhanced(frame_order)
    ds.save_as(tmp_path / "one_file", enforce_file_format=True)

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, hu)
    expected = np.array([[-0.7, 0, 0, 50], [0, -0.8, 0, 60], [0, 0, 2.5, 100], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.geometry.ijk_to_ras, expected, atol=1e-6)
