"""A DICOM series is read in order, with its HU, where the patient lay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_files import EVEN_Z, write_series
from liverseg.checks import check_volume
from liverseg.dicom import list_series
from liverseg.reading import read_volume
from liverseg.uneven import needs_even_grid, shear_degrees


def test_a_series_is_read_in_order_with_its_hu_and_place(tmp_path: Path) -> None:
    hu = write_series(tmp_path / "deep" / "down")
    (tmp_path / "notes.txt").write_text("no DICOM")

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, hu)
    assert volume.array.dtype == np.int16
    expected = np.array([[-0.7, 0, 0, 50], [0, -0.8, 0, 60], [0, 0, 2.5, 100], [0, 0, 0, 1]])
    np.testing.assert_allclose(volume.geometry.ijk_to_ras, expected, atol=1e-6)
    assert volume.slice_positions_mm is None
    assert not needs_even_grid(volume)
    assert volume.warnings == ()


def test_the_source_names_the_series_and_no_patient(tmp_path: Path) -> None:
    write_series(tmp_path)

    source = read_volume(tmp_path).source

    assert (source.kind, source.name, source.modality) == ("dicom", "PORTAL", "CT")
    assert (source.study_uid, source.series_uid) == ("1.2.3", "1.2.3.1")
    assert len(set(source.instance_uids)) == len(EVEN_Z)
    assert len(source.sha256) == 64
    assert "Example" not in repr(source)
    assert "ID-4711" not in repr(source)


def test_instance_uids_follow_the_slices(tmp_path: Path) -> None:
    write_series(tmp_path)
    z_of = {}
    for path in tmp_path.iterdir():
        ds = pydicom.dcmread(path)
        z_of[ds.SOPInstanceUID] = float(ds.ImagePositionPatient[2])

    uids = read_volume(tmp_path).source.instance_uids

    assert [z_of[uid] for uid in uids] == list(EVEN_Z)


def test_an_oblique_series_lies_where_its_tags_say(tmp_path: Path) -> None:
    angle = np.radians(25)
    row = np.array([np.cos(angle), np.sin(angle), 0])
    column = np.array([0, 0, -1.0])
    normal = np.cross(row, column)
    places = [np.array([10.0, 20, 30]) + 3.0 * n * normal for n in (4, 0, 2, 1, 3)]
    hu = write_series(tmp_path, positions=places, orientation=(*row, *column))

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, hu[[1, 3, 2, 4, 0]])
    lps = places[2] + 5 * 0.7 * row + 3 * 0.8 * column
    np.testing.assert_allclose(volume.geometry.to_ras((2, 3, 5)), lps * (-1, -1, 1), atol=1e-4)


def test_a_missing_slice_is_warned_of_and_its_neighbors_keep_their_place(tmp_path: Path) -> None:
    z = [*EVEN_Z[:3], *EVEN_Z[4:]]
    hu = write_series(tmp_path, positions=[(0, 0, p) for p in z])

    (info,) = list_series(tmp_path)
    volume = read_volume(tmp_path)

    assert (info.gaps, info.missing_slices, info.complete) == (1, 1, False)
    assert "1 slice missing" in str(info)
    assert any(w.startswith("1 slice is missing in the series") for w in volume.warnings)
    assert volume.slice_positions_mm == (0.0, 2.5, 5.0, 10.0, 12.5, 15.0)
    np.testing.assert_allclose(volume.geometry.spacing_kji[0], 2.5)
    np.testing.assert_array_equal(volume.array, hu)
    assert any("unevenly" in w for w in check_volume(volume, force=True).warnings)


def test_missing_slices_are_counted(tmp_path: Path) -> None:
    z = [2.5 * n for n in range(14) if n not in (3, 7, 8, 9)]
    write_series(tmp_path, positions=[(0, 0, p) for p in z])

    (info,) = list_series(tmp_path)

    assert (info.gaps, info.missing_slices) == (2, 4)
    (warning,) = read_volume(tmp_path).warnings
    assert warning.startswith("4 slices are missing in the series")


def test_gantry_tilt_gives_a_sheared_grid(tmp_path: Path) -> None:
    tilt = np.radians(12)
    orientation = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
    write_series(tmp_path, positions=[(0, 0, 4.0 * n) for n in range(6)], orientation=orientation)

    volume = read_volume(tmp_path)

    assert shear_degrees(volume.geometry) == pytest.approx(12, abs=0.01)
    np.testing.assert_allclose(volume.geometry.to_ras((5, 0, 0)), (0, 0, 20), atol=1e-5)
    assert volume.slice_positions_mm is None
    assert any("tilted by 12.0" in w for w in check_volume(volume, force=True).warnings)
