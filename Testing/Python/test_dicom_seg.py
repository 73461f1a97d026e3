"""A DICOM segmentation shows every voxel where the CT has it, and belongs to the CT's patient and study."""

from __future__ import annotations

import json
import tarfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from dicom_cases import (
    dciodvfy_errors,
    dicom_case,
    expected_masks,
    measured_on,
    on_case_grid,
    run_dcmqi,
    unexpected,
)
from liverseg.case import Case, CouinaudMethod, Masks, Provenance
from liverseg.dicom import list_series
from liverseg.errors import InputRefused
from liverseg.geometry import LPS_TO_RAS, Geometry
from liverseg.measure import measure
from liverseg.phantom_dicom import SeriesTags
from liverseg.reading import geometry_of, read_volume
from liverseg.writers import DICOM_NAMES, OUTPUTS, write_case
from liverseg_mrml.readout_json import readout_text
from made_cases import make_case, rotation_about

hd = pytest.importorskip("highdicom", reason="highdicom is not installed (pip install 'liverseg[dicom]')")

OBLIQUE = rotation_about((1, 0.4, -0.2), 13)
GRIDS = {
    "upright": {},
    "flipped": {"flips": (True, False, True)},
    "turned over": {"flips": (True, True, False)},
    "permuted": {"permutation": (1, 2, 0)},
    "sagittal and mirrored": {"permutation": (2, 0, 1), "flips": (False, True, False)},
    "oblique": {"rotation": OBLIQUE},
    "oblique, permuted and flipped": {
        "rotation": OBLIQUE,
        "permutation": (1, 0, 2),
        "flips": (True, False, False),
    },
}
MAPS = ("liver", "couinaud", "lesions", "vessels")


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    return dicom_case(tmp_path_factory.mktemp("series"), split_segment_4=True, vessels=True)


@pytest.fixture(scope="module")
def written(case, tmp_path_factory) -> dict[str, Path]:
    names = [*DICOM_NAMES["binary"][:1], *DICOM_NAMES["labelmap"][:-1]]
    return write_case(case, tmp_path_factory.mktemp("out"), names)


def segments_by_highdicom(path: Path, case: Case) -> dict[str, np.ndarray]:
    """Masks on the case's grid by segment label, as highdicom reads them."""
    seg = hd.seg.segread(path)
    numbers = [n for n in seg.segment_numbers if n > 0]
    volume = seg.get_volume(segment_numbers=numbers, combine_segments=False)
    return {
        seg.get_segment_description(n).segment_label: on_case_grid(case, volume.array[..., c], volume.affine)
        for c, n in enumerate(numbers)
    }


def segments_by_dcmqi(path: Path, case: Case, folder: Path) -> dict[str, np.ndarray]:
    """Masks on the case's grid by segment label, as dcmqi reads them."""
    folder.mkdir()
    run_dcmqi("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd")
    meta = json.loads((folder / "meta.json").read_text())
    found = {}
    for file, attributes in zip(
        sorted(folder.glob("*.nrrd"), key=lambda p: int(p.stem)), meta["segmentAttributes"], strict=True
    ):
        image = sitk.ReadImage(str(file))
        array, matrix = sitk.GetArrayFromImage(image), LPS_TO_RAS @ geometry_of(image).ijk_to_ras
        matrix = matrix[:, [2, 1, 0, 3]]
        for segment in attributes:
            mask = array == segment["labelID"]
            found[segment["SegmentLabel"]] = on_case_grid(case, mask, matrix)
    return found


def assert_same_masks(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, mask in expected.items():
        assert np.array_equal(found[name] > 0, mask), name


@pytest.mark.parametrize("grid", ["upright", "turned over", "permuted", "oblique, permuted and flipped"])
def test_every_voxel_of_a_series_comes_back_where_it_was(grid: str, tmp_path: Path) -> None:
    case = dicom_case(tmp_path / "series", vessels=True, **GRIDS[grid])
    path = write_case(case, tmp_path / "out", ["dicom_seg"])["dicom_seg"]
    expected = expected_masks(case)
    assert len(expected) == 14
    assert_same_masks(segments_by_highdicom(path, case), expected)
    assert_same_masks(segments_by_dcmqi(path, case, tmp_path / "dcmqi"), expected)


@pytest.mark.parametrize("grid", GRIDS)
def test_every_voxel_of_a_file_comes_back_where_it_was(grid: str, tmp_path: Path) -> None:
    case = make_case(**GRIDS[grid])
    path = write_case(case, tmp_path / "out", ["dicom_seg"])["dicom_seg"]
    assert_same_masks(segments_by_highdicom(path, case), expected_masks(case))
    assert_same_masks(segments_by_dcmqi(path, case, tmp_path / "dcmqi"), expected_masks(case))


def test_label_maps_hold_the_values_of_the_nifti_files(case, written, tmp_path: Path) -> None:
    expected = expected_masks(case)
    together: dict[str, np.ndarray] = {}
    for layer in MAPS:
        path = written[f"dicom_map_{layer}"]
        seg = hd.seg.segread(path)
        assert seg.segmentation_type == hd.seg.SegmentationTypeValues.LABELMAP
        volume = seg.get_volume(combine_segments=True)
        array = on_case_grid(case, volume.array, volume.affine)
        assert np.array_equal(array, getattr(case.masks, layer)), layer
        together |= segments_by_highdicom(path, case)
        by_dcmqi = segments_by_dcmqi(path, case, tmp_path / layer)
        assert_same_masks(by_dcmqi, {name: expected[name] for name in by_dcmqi})
    assert_same_masks(together, expected)


def test_patient_study_and_frame_of_reference_are_those_of_the_scan(case, written) -> None:
    image = pydicom.dcmread(case.ct.source.files[0][0])
    for name in ("dicom_seg", "dicom_map_couinaud"):
        seg = pydicom.dcmread(written[name])
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"):
            assert seg[keyword].value == image[keyword].value, keyword
        assert seg.FrameOfReferenceUID == image.FrameOfReferenceUID
        assert (seg.StudyDate, seg.StudyID) == (image.StudyDate, image.StudyID)
        assert seg.SeriesInstanceUID != image.SeriesInstanceUID
        (series,) = seg.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == image.SeriesInstanceUID
        referenced = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
        assert tuple(referenced) == case.ct.source.instance_uids


def test_every_frame_names_the_slice_it_lies_on(case, written) -> None:
    positions = {}
    for path, _ in case.ct.source.files:
        image = pydicom.dcmread(path)
        positions[image.SOPInstanceUID] = list(image.ImagePositionPatient)
    seg = pydicom.dcmread(written["dicom_seg"])
    assert len(seg.PerFrameFunctionalGroupsSequence) == seg.NumberOfFrames
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == positions[source]


def test_segments_carry_codes_tracking_ids_and_what_drew_them(case, written) -> None:
    seg = hd.seg.segread(written["dicom_seg"])
    found = {d.segment_label: d for d in seg.SegmentSequence}
    types = {name: d.segmented_property_type.value for name, d in found.items()}
    assert types["Liver"] == "10200004"
    assert (types["Segment IVa"], types["Segment IVb"]) == ("871688003", "871689006")
    assert (types["Portal vein"], types["Hepatic veins and cava"]) == ("32764006", "8993003")
    assert types["Lesion 1"] == types["Lesion 2"] == "52988006"
    assert found["Segment V"].segmented_property_category.value == "123037004"
    assert found["Lesion 1"].segmented_property_category.value == "49755003"
    for lesion in case.lesions:
        description = found[f"Lesion {lesion.id}"]
        assert description.tracking_uid == lesion.tracking_uid
        assert [r.meaning for r in description.anatomic_regions] == [
            f"Couinaud hepatic segment {name}" for name in lesion.primary_segment.split("/")
        ]
    uids = [d.tracking_uid for d in seg.SegmentSequence]
    assert len(set(uids)) == len(uids)
    algorithm = found["Liver"].algorithm_identification[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("LiverSeg made up", "1.2.3")
    assert "cd" * 32 in algorithm.AlgorithmParameters
    assert seg.SegmentsOverlap == "YES"


def test_given_masks_are_not_called_automatic(case, tmp_path: Path) -> None:
    assert (
        hd.seg.segread(write_case(case, tmp_path / "auto", ["dicom_seg"])["dicom_seg"])
        .SegmentSequence[0]
        .SegmentAlgorithmType
        == "AUTOMATIC"
    )
    given = replace(case, provenance=replace(case.provenance, parameters={"masks": "given"}))
    seg = hd.seg.segread(write_case(given, tmp_path / "given", ["dicom_seg"])["dicom_seg"])
    assert {d.SegmentAlgorithmType for d in seg.SegmentSequence} == {"SEMIAUTOMATIC"}


def test_the_validator_finds_no_error_in_the_binary_segmentation(written) -> None:
    assert dciodvfy_errors(written["dicom_seg"]) == []


def test_the_validator_finds_no_error_in_label_maps_but_that_it_does_not_know_them(written) -> None:
    for layer in MAPS:
        assert unexpected(dciodvfy_errors(written[f"dicom_map_{layer}"])) == []


def test_a_file_without_headers_gets_generated_ids_that_stay_and_a_warning(tmp_path: Path) -> None:
    case = make_case()
    written = write_case(case, tmp_path / "a", ["dicom_seg", "report"])
    seg = pydicom.dcmread(written["dicom_seg"])
    assert seg.PatientID == f"LIVERSEG-{case.ct.source.sha256[:12]}"
    assert str(seg.PatientName) == ""
    assert "ReferencedSeriesSequence" not in seg, "there are no images to refer to"
    assert not any("DerivationImageSequence" in f for f in seg.PerFrameFunctionalGroupsSequence)
    assert any("generated ids" in w for w in json.loads(written["report"].read_text())["warnings"])
    later = replace(case, provenance=replace(case.provenance, started="2025-06-07T08:09:10+00:00"))
    other = pydicom.dcmread(write_case(later, tmp_path / "b", ["dicom_seg"])["dicom_seg"])
    assert other.StudyInstanceUID == seg.StudyInstanceUID
    assert other.FrameOfReferenceUID == seg.FrameOfReferenceUID
    assert other.SOPInstanceUID != seg.SOPInstanceUID
    assert other.SeriesInstanceUID != seg.SeriesInstanceUID
    assert dciodvfy_errors(written["dicom_seg"]) == []


def slices_of(path: Path, case: Case) -> np.ndarray:
    """The liver (k, j, i) of a segmentation, by the slices that its frames name."""
    seg = hd.seg.segread(path)
    pixels = seg.get_pixels_by_source_instance(
        list(case.ct.source.instance_uids), segment_numbers=[1], assert_missing_frames_are_empty=True
    )
    return pixels[..., 0]


def test_a_tilted_gantry_keeps_every_slice_where_it_is_and_says_so(tmp_path: Path) -> None:
    def tilt(image: Dataset, k: int) -> None:
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, y + 0.8 * k, z]

    case = dicom_case(tmp_path / "series", change=tilt)
    written = write_case(case, tmp_path / "out", ["dicom_seg", "report"])
    assert np.array_equal(slices_of(written["dicom_seg"], case), case.masks.liver)
    assert any("slanted" in w for w in json.loads(written["report"].read_text())["warnings"])
    assert dciodvfy_errors(written["dicom_seg"]) == []


def test_missing_slices_are_no_frames_and_the_others_stay(tmp_path: Path) -> None:
    case = dicom_case(tmp_path / "series", change=lambda image, k: "remove" if k in (11, 12) else None)
    assert case.ct.slice_positions_mm is not None
    path = write_case(case, tmp_path / "out", ["dicom_seg"])["dicom_seg"]
    assert np.array_equal(slices_of(path, case), case.masks.liver)
    z = {float(p.ImagePositionPatient[2]) for p in map(pydicom.dcmread, (f for f, _ in case.ct.source.files))}
    frames = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    assert {float(f.PlanePositionSequence[0].ImagePositionPatient[2]) for f in frames} <= z
    assert dciodvfy_errors(path) == []


def test_rows_and_columns_without_a_right_angle_are_no_dicom_and_the_reason_is_told(tmp_path: Path) -> None:
    case = make_case()
    matrix = case.ct.geometry.ijk_to_ras.copy()
    matrix[:3, 0] += 0.2 * matrix[:3, 1]
    sheared = replace(case.ct, geometry=Geometry(case.ct.geometry.shape, matrix))
    written = write_case(replace(case, ct=sheared), tmp_path, ["dicom_seg", "dicom_sr", "report"])
    assert set(written) == {"report"}
    assert any("right angles" in w for w in json.loads(written["report"].read_text())["warnings"])


def enhanced(folder: Path, images: list[Dataset]) -> None:
    """One multi-frame file of single images, its frames not in the order of their places."""
    whole = images[0].copy()
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    order = np.random.default_rng(3).permutation(len(images))
    shared, groups = Dataset(), []
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = images[0].PixelSpacing, images[0].SliceThickness
    plane.ImageOrientationPatient = images[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    for n in order:
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = images[n].ImagePositionPatient
        group.PlanePositionSequence = [place]
        groups.append(group)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del whole[keyword]
    whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [shared], groups
    whole.NumberOfFrames = len(images)
    whole.PixelData = b"".join(images[n].PixelData for n in order)
    folder.mkdir()
    whole.save_as(folder / "enhanced.dcm", enforce_file_format=True)


def test_frames_of_a_multi_frame_scan_are_found_again(case, tmp_path: Path) -> None:
    enhanced(tmp_path / "series", [pydicom.dcmread(path) for path, _ in case.ct.source.files])
    again = measured_on(case, read_volume(tmp_path / "series"))
    path = write_case(again, tmp_path / "out", ["dicom_seg"])["dicom_seg"]
    assert_same_masks(segments_by_highdicom(path, again), expected_masks(again))
    assert dciodvfy_errors(path) == []


def test_names_in_any_script_are_carried(tmp_path: Path) -> None:
    def japanese(image: Dataset, k: int) -> None:
        image.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        image.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"

    case = dicom_case(tmp_path / "серия 系列", change=japanese)
    path = write_case(case, tmp_path / "вывод", ["dicom_seg"])["dicom_seg"]
    seg = pydicom.dcmread(path)
    assert seg.SpecificCharacterSet == "ISO_IR 192"
    assert str(seg.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert dciodvfy_errors(path) == []


def test_headers_with_holes_and_damage_do_not_spoil_the_segmentation(tmp_path: Path) -> None:
    def damage(image: Dataset, k: int) -> None:
        for keyword in ("StudyID", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID"):
            del image[keyword]
        del image["PatientName"]
        image.PatientSex = "U"
        code = Dataset()
        code.CodeValue = "CTABD"
        image.ProcedureCodeSequence = [code]
        image.ImageOrientationPatient = [1, 0, 1e-5 * k, 0, 1, 0]

    case = dicom_case(tmp_path / "series", change=damage)
    path = write_case(case, tmp_path / "out", ["dicom_seg"])["dicom_seg"]
    seg = pydicom.dcmread(path)
    assert (str(seg.PatientName), seg.PatientSex) == ("", "")
    assert "ProcedureCodeSequence" not in seg
    assert np.array_equal(slices_of(path, case), case.masks.liver)
    assert dciodvfy_errors(path) == []


def test_a_series_that_went_away_or_changed_is_told_in_one_line(tmp_path: Path) -> None:
    case = dicom_case(tmp_path / "series")
    path = case.ct.source.files[3][0]
    image = pydicom.dcmread(path)
    path.unlink()
    with pytest.raises(InputRefused, match="leave the series where it is"):
        write_case(case, tmp_path / "out", ["dicom_seg"])
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    image.save_as(path)
    with pytest.raises(InputRefused, match="was changed"):
        write_case(case, tmp_path / "out", ["dicom_seg"])
    assert not list((tmp_path / "out").iterdir()), "nothing half written"


def test_no_patient_name_gets_out_of_the_dicom_objects(tmp_path: Path) -> None:
    tags = SeriesTags(patient_name="Secret^Person", patient_id="SECRET-1")
    case = dicom_case(tmp_path / "Secret^Person", tags)
    assert "Secret" not in repr(case.ct.source)
    for name in ("report", "measurements", "lesions_table", "segmentation"):
        assert b"secret" not in write_case(case, tmp_path / name, [name])[name].read_bytes().lower()
    assert "secret" not in readout_text(case, ()).lower(), "scenes are passed on"


@pytest.mark.data
def test_objects_of_a_real_scan_are_valid_and_keep_every_voxel(data: Path, tmp_path: Path) -> None:
    with tarfile.open(data / "ct_dicom" / "hcctace_013_two_series.tar.xz") as archive:
        archive.extractall(tmp_path / "study", filter="data")
    thin = next(s for s in list_series(tmp_path / "study") if s.slices == 36)
    ct = read_volume(tmp_path / "study", thin.uid)
    # Boxes stand for a liver with eight segments and a lesion: what they look like does not matter here.
    couinaud, lesions = np.zeros(ct.array.shape, np.uint8), np.zeros(ct.array.shape, np.uint16)
    for n in range(8):
        couinaud[6:30, 200:280, 100 + 20 * n : 120 + 20 * n] = n + 1
    lesions[10:14, 210:230, 130:150] = 1
    case = measure(
        ct,
        Masks(couinaud > 0, couinaud, lesions),
        method=CouinaudMethod("planes"),
        provenance=Provenance("1.2.3"),
    )
    written = write_case(case, tmp_path / "out", [*DICOM_NAMES["binary"], "dicom_map_couinaud"])
    assert_same_masks(segments_by_highdicom(written["dicom_seg"], case), expected_masks(case))
    seg, image = pydicom.dcmread(written["dicom_seg"]), pydicom.dcmread(ct.source.files[0][0])
    assert (seg.PatientID, seg.StudyInstanceUID) == (image.PatientID, image.StudyInstanceUID)
    assert_same_masks(segments_by_dcmqi(written["dicom_seg"], case, tmp_path / "dcmqi"), expected_masks(case))
    assert dciodvfy_errors(written["dicom_seg"]) == dciodvfy_errors(written["dicom_sr"]) == []
    assert unexpected(dciodvfy_errors(written["dicom_map_couinaud"])) == []


def test_every_dicom_output_is_known() -> None:
    assert {OUTPUTS[name].filename for name in DICOM_NAMES["binary"]} == {"seg.dcm", "sr.dcm"}
    assert {OUTPUTS[name].filename for name in DICOM_NAMES["labelmap"]} == {
        *("seg_liver.dcm", "seg_couinaud.dcm", "seg_lesions.dcm", "seg_vessels.dcm", "sr.dcm"),
    }


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set here")
def test_content_and_series_are_told_by_the_same_clock_as_the_object(tmp_path: Path, monkeypatch) -> None:
    case = make_case()
    made = datetime.now(UTC)
    case = replace(case, provenance=replace(case.provenance, started=made.isoformat(timespec="seconds")))
    # Nine hours before Greenwich, as POSIX writes it.
    monkeypatch.setenv("TZ", "HERE-9")
    time.tzset()
    try:
        seg = pydicom.dcmread(write_case(case, tmp_path, ["dicom_seg"])["dicom_seg"])
    finally:
        monkeypatch.undo()
        time.tzset()
    here = made + timedelta(hours=9)
    assert (seg.ContentDate, seg.ContentTime) == (f"{here:%Y%m%d}", f"{here:%H%M%S}")
    assert (seg.SeriesDate, seg.SeriesTime) == (seg.ContentDate, seg.ContentTime)
    written = datetime.strptime(seg.InstanceCreationDate + seg.InstanceCreationTime[:6], "%Y%m%d%H%M%S")
    assert timedelta(seconds=-1) <= written - here.replace(microsecond=0, tzinfo=None) < timedelta(minutes=5)
