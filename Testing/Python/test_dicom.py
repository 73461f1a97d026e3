"""A DICOM folder gives the one CT it holds, where the patient lay, or a list to choose from."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from liverseg.checks import check_volume
from liverseg.dicom import list_series
from liverseg.errors import InputRefused
from liverseg.geometry import CanonicalOrder
from liverseg.reading import read_volume
from liverseg.uneven import needs_even_grid, shear_degrees

CT_IMAGE, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
ROWS, COLUMNS = 6, 8
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
EVEN_Z = tuple(100.0 + 2.5 * n for n in range(7))


def stored_values(count: int) -> np.ndarray:
    """Different in every voxel, (slice, row, column)."""
    return np.arange(count * ROWS * COLUMNS, dtype=np.int16).reshape(count, ROWS, COLUMNS)


def image(uid: str, modality: str = "CT", sop_class: str = CT_IMAGE) -> Dataset:
    """The elements that all images of a series share; a phase name stands where a patient's name would."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", uid
    ds.PatientName, ds.PatientID = "Example^Person", "ID-4711"
    ds.Modality, ds.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Rows, ds.Columns, ds.SamplesPerPixel = ROWS, COLUMNS, 1
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 1
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    return ds


def write_series(
    folder: Path,
    uid: str = "1.2.3.1",
    positions: Sequence[Sequence[float]] | None = None,
    *,
    orientation: Sequence[float] = STRAIGHT,
    modality: str = "CT",
    description: str = "PORTAL",
    number: int = 1,
    image_type: str = "AXIAL",
    compress: bool = False,
) -> np.ndarray:
    """Write one file a slice under names in an arbitrary order; returns the HU in the order of positions."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [(-50.0, -60.0, z) for z in EVEN_Z] if positions is None else positions
    stored = stored_values(len(places))
    for n in np.random.default_rng(1).permutation(len(places)):
        ds = image(uid, modality)
        ds.SeriesDescription, ds.SeriesNumber, ds.InstanceNumber = description, number, 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", image_type]
        ds.ImagePositionPatient = [round(float(x), 6) for x in places[n]]
        ds.ImageOrientationPatient = [round(float(x), 8) for x in orientation]
        ds.PixelSpacing, ds.SliceThickness = [0.8, 0.7], 2.5
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = stored[n].tobytes()
        if compress:
            ds.compress(RLELossless)
        ds.save_as(folder / f"IM{len(list(folder.iterdir())):04d}", enforce_file_format=True)
    return stored.astype(np.int32) - 1024


def refusal(folder: Path, series_uid: str | None = None) -> str:
    with pytest.raises(InputRefused) as caught:
        read_volume(folder, series_uid)
    assert "\n" not in str(caught.value)
    assert "Example" not in str(caught.value)
    return str(caught.value)


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
    assert "4711" not in repr(source)


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
    np.testing.assert_allclose(volume.geometry.spacing_kji[0], 3.0)
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
