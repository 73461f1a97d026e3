"""DICOM images that are damaged, compressed or of many frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_files import ENHANCED_CT, EVEN_Z, STRAIGHT, image, refusal, stored_values, write_series
from liverseg.dicom import list_series
from liverseg.errors import InputRefused
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


def test_a_damaged_file_is_named_on_the_screen_and_nowhere_else(tmp_path: Path) -> None:
    write_series(tmp_path)
    path = sorted(tmp_path.iterdir())[3]
    path.write_bytes(path.read_bytes()[:-60])

    with pytest.raises(InputRefused) as caught:
        read_volume(tmp_path)

    kept = caught.value.without_names  # type: ignore[attr-defined]
    assert f"The pixels in {path.name} of series" in str(caught.value)
    assert kept.startswith("The pixels of series")
    assert path.name not in kept and "PORTAL" not in kept


def test_a_damaged_multi_frame_file_is_named(tmp_path: Path) -> None:
    enhanced(range(5))[0].save_as(tmp_path / "one_file", enforce_file_format=True)
    (tmp_path / "one_file").write_bytes((tmp_path / "one_file").read_bytes()[:-60])

    assert "The pixels in one_file of series" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["series", "part"])
def test_a_folder_that_may_not_be_read_is_told_so_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A series without the slices of one subfolder would be measured as a shorter one."""
    write_series(tmp_path / "series")
    write_series(tmp_path / "series" / "part", uid="1.2.3.2", number=2)
    allowed = os.scandir

    def closed(folder: str) -> object:
        if Path(folder).name == name:
            raise PermissionError(13, "Permission denied", str(folder))
        return allowed(folder)

    monkeypatch.setattr(os, "scandir", closed)
    message = refusal(tmp_path / "series")
    assert f"{name} cannot be opened: permission to read is missing" in message


def test_a_file_of_a_series_that_may_not_be_read_is_named_on_the_screen_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path)
    path = sorted(tmp_path.iterdir())[3]
    allowed = pydicom.dcmread

    def closed(opened: Path, **options: object) -> Dataset:
        if opened == path:
            raise PermissionError(13, "Permission denied", str(opened))
        return allowed(opened, **options)

    monkeypatch.setattr(pydicom, "dcmread", closed)
    with pytest.raises(InputRefused) as caught:
        list_series(tmp_path)
    said = "cannot be opened: permission to read is missing"
    assert f"{path.name} {said}" in str(caught.value)
    assert caught.value.without_names.startswith(f"A file of the series {said}")  # type: ignore[attr-defined]


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
