"""A DICOM folder gives the one CT it holds, or a list to choose from."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from dicom_files import EVEN_Z, refusal, write_series
from liverseg.checks import check_volume
from liverseg.dicom import list_series
from liverseg.geometry import CanonicalOrder
from liverseg.reading import read_volume


def test_two_phases_in_one_series_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, positions=[(0, 0, z) for z in (*EVEN_Z, *EVEN_Z)])

    assert "7 images lie at the place of another" in refusal(tmp_path)


def test_a_file_that_lies_twice_in_the_folder_counts_once(tmp_path: Path) -> None:
    hu = write_series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for path in (tmp_path / "a").iterdir():
        (tmp_path / "b" / path.name).write_bytes(path.read_bytes())

    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)


def test_mixed_orientations_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", orientation=(0, 1, 0, 0, 0, -1))

    assert "different orientation" in refusal(tmp_path)


def test_one_ct_beside_a_scout_and_an_mr_is_taken_with_a_word(tmp_path: Path) -> None:
    hu = write_series(tmp_path, number=2)
    write_series(tmp_path, "1.2.3.2", [(0, 0, 0)], image_type="LOCALIZER", description="SCOUT")
    write_series(tmp_path, "1.2.3.3", modality="MR", description="T1")

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, hu)
    assert len(volume.warnings) == 1
    assert "the only CT was taken: number 2, uid 1.2.3.1." in volume.warnings[0]
    assert [s.localizer for s in list_series(tmp_path)] == [True, False, False]


def test_a_scout_inside_the_series_is_dropped(tmp_path: Path) -> None:
    hu = write_series(tmp_path)
    write_series(tmp_path, positions=[(0, 0, 0)], orientation=(0, 1, 0, 0, 0, -1), image_type="LOCALIZER")

    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)


def test_the_only_whole_ct_is_taken_with_a_word(tmp_path: Path) -> None:
    hu = write_series(tmp_path, "1.2.3.1", description="WHOLE")
    write_series(tmp_path, "1.2.3.2", [(0, 0, z) for z in (0, 2, 4, 10, 12)], description="GAP")
    write_series(tmp_path, "1.2.3.4", [(0, 0, 50), (0, 0, 50)], description="BOLUS TRACKING")

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, hu)
    assert volume.source.series_uid == "1.2.3.1"
    assert "number 1, uid 1.2.3.1." in volume.warnings[0]


def test_warnings_hold_no_free_text_of_the_headers(tmp_path: Path) -> None:
    write_series(tmp_path, "1.2.3.1", description="EXAMPLE PERSON LIVER")
    write_series(tmp_path, "1.2.3.2", [(0, 0, z) for z in (0, 2, 4, 10, 12)], description="EXAMPLE PERSON")

    whole, with_gap = read_volume(tmp_path), read_volume(tmp_path, "1.2.3.2")

    assert whole.warnings
    assert with_gap.warnings
    assert not any("PERSON" in warning for warning in (*whole.warnings, *with_gap.warnings))


def test_a_ct_with_a_gap_beside_a_dose_report_is_taken(tmp_path: Path) -> None:
    hu = write_series(tmp_path, "1.2.3.1", [(0, 0, z) for z in (0, 2, 4, 10, 12)])
    write_series(tmp_path, "1.2.3.2", [(0, 0, 0)], description="DOSE REPORT")

    np.testing.assert_array_equal(read_volume(tmp_path).array, hu)


def test_series_that_fit_equally_well_are_listed_and_one_can_be_chosen(tmp_path: Path) -> None:
    write_series(tmp_path, "1.2.3.1", description="ARTERIAL", number=3)
    hu = write_series(
        tmp_path, "1.2.3.2", [(0, 0, 5.0 * n) for n in range(5)], description="PORTAL", number=4
    )

    message = refusal(tmp_path)

    for word in ("1.2.3.1", "1.2.3.2", "ARTERIAL", "PORTAL", "7 slices", "5 slices", "0.7 x 0.8 x 5 mm"):
        assert word in message
    np.testing.assert_array_equal(read_volume(tmp_path, "1.2.3.2").array, hu)
    unknown = refusal(tmp_path, "9.9.9")
    assert "No series 9.9.9" in unknown
    assert "1.2.3.1" in unknown


def test_another_modality_is_refused_by_its_tag(tmp_path: Path) -> None:
    write_series(tmp_path, "1.2.3.7", modality="MR", description="T2")

    assert "holds no CT" in refusal(tmp_path)
    assert "is MR, not CT" in refusal(tmp_path, "1.2.3.7")


def test_folders_without_dicom_are_refused(tmp_path: Path) -> None:
    assert "empty folder" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert "holds 1 files but no DICOM images" in refusal(tmp_path)


@pytest.mark.data
def test_a_real_folder_of_two_series_is_listed_and_read(tmp_path: Path) -> None:
    if "LIVERSEG_DATA" not in os.environ:
        pytest.skip("LIVERSEG_DATA is not set: no real DICOM to read")
    archive = Path(os.environ["LIVERSEG_DATA"]) / "ct_dicom" / "hcctace_013_two_series.tar.xz"
    if not archive.is_file():
        pytest.skip(f"LIVERSEG_DATA holds no {archive.name}")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")

    series = {s.slices: s for s in list_series(tmp_path)}

    assert set(series) == {22, 36}
    assert series[22].spacing_mm[2] == pytest.approx(10.0)
    assert series[36].spacing_mm[2] == pytest.approx(2.5)
    assert all(s.complete and s.modality == "CT" for s in series.values())
    message = refusal(tmp_path)
    assert all(s.uid in message for s in series.values())
    volume = read_volume(tmp_path, series[36].uid)
    assert volume.array.shape == (36, 512, 512)
    assert CanonicalOrder.of(volume.geometry).axes == (0, 1, 2)
    warnings = check_volume(volume).warnings
    assert any("can hardly hold a whole liver" in w for w in warnings)
