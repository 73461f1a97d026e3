"""The DICOM report says the case's numbers, in codes, of the segments that the segmentation shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_cases import dciodvfy_errors, dicom_case, run_dcmqi, unexpected
from liverseg.case import Case, Review
from liverseg.writers import write_case
from made_cases import make_case

hd = pytest.importorskip("highdicom", reason="highdicom is not installed (pip install 'liverseg[dicom]')")

VOLUME, LONG_AXIS, SHORT_AXIS = "118565006", "103339001", "103340004"
DIAMETER_3D, ATTENUATION, CERTAINTY = "L0JK", "112031", "111012"
MEAN, SD = "373098007", "386136009"
BOTH = ["dicom_seg", "dicom_sr", "report"]


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    case = dicom_case(tmp_path_factory.mktemp("series"), split_segment_4=True, vessels=True)
    second = replace(case.lesions[1], review=Review("rejected", "Reader"), primary_segment="IVa/V")
    return replace(case, lesions=(case.lesions[0], second))


@pytest.fixture(scope="module")
def written(case, tmp_path_factory) -> dict[str, Path]:
    return write_case(case, tmp_path_factory.mktemp("out"), BOTH)


def groups_of(path: Path) -> dict[str, hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations]:
    """The measurement groups as highdicom reads them, by tracking identifier."""
    groups = hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    return {group.tracking_identifier: group for group in groups}


def numbers_of(group) -> dict[tuple[str, str | None], tuple[float, str]]:
    """Values and units by quantity and derivation."""
    return {
        (m.name.value, m.derivation.value if m.derivation else None): (m.value, m.unit.value)
        for m in group.get_measurements()
    }


def test_there_is_one_group_for_the_liver_each_segment_and_each_lesion(case, written) -> None:
    groups = groups_of(written["dicom_sr"])
    numerals = ["I", "II", "III", "IVa", "IVb", "V", "VI", "VII", "VIII"]
    assert list(groups) == ["Liver", *(f"Segment {n}" for n in numerals), "Lesion 1", "Lesion 2"]
    assert all(group.finding_type is not None for group in groups.values())


def test_the_numbers_are_those_of_the_case(case, written) -> None:
    groups = groups_of(written["dicom_sr"])
    assert numbers_of(groups["Liver"]) == {
        (VOLUME, None): (pytest.approx(case.liver.volume_ml, abs=1e-4), "ml"),
        (ATTENUATION, MEAN): (pytest.approx(case.liver.mean_hu, abs=1e-4), "[hnsf'U]"),
        (ATTENUATION, SD): (pytest.approx(case.liver.sd_hu, abs=1e-4), "[hnsf'U]"),
    }
    for segment in case.segments:
        numbers = numbers_of(groups[f"Segment {segment.name}"])
        assert numbers == {(VOLUME, None): (pytest.approx(segment.volume_ml, abs=1e-4), "ml")}
    for lesion in case.lesions:
        numbers = numbers_of(groups[f"Lesion {lesion.id}"])
        assert numbers[VOLUME, None] == (pytest.approx(lesion.volume_ml, abs=1e-4), "ml")
        assert numbers[LONG_AXIS, None] == (pytest.approx(lesion.long_axis_mm, abs=1e-4), "mm")
        assert numbers[SHORT_AXIS, None] == (pytest.approx(lesion.short_axis_mm, abs=1e-4), "mm")
        assert numbers[DIAMETER_3D, None] == (pytest.approx(lesion.max_diameter_3d_mm, abs=1e-4), "mm")
        assert numbers[ATTENUATION, MEAN] == (pytest.approx(lesion.mean_hu, abs=1e-4), "[hnsf'U]")
        assert numbers[ATTENUATION, SD] == (pytest.approx(lesion.sd_hu, abs=1e-4), "[hnsf'U]")
    assert numbers_of(groups["Lesion 1"])[CERTAINTY, None] == (90.0, "%")
    assert (CERTAINTY, None) not in numbers_of(groups["Lesion 2"]), "unknown is left out, not 0"


def test_lesions_have_their_type_site_and_review(case, written) -> None:
    groups = groups_of(written["dicom_sr"])
    sites = {name: [s.value.value for s in group.finding_sites] for name, group in groups.items()}
    assert groups["Lesion 1"].finding_type.value == "52988006"
    assert sites["Lesion 1"] == ["277962002"], "segment VIII"
    assert sites["Lesion 2"] == ["871688003", "277959000"], "a tie names both"
    reviews = {
        name: [(e.name.value, e.value.value) for e in group.get_qualitative_evaluations()]
        for name, group in groups.items()
    }
    assert reviews["Lesion 1"] == [("review", "accepted")]
    assert reviews["Lesion 2"] == [("review", "rejected")]
    assert reviews["Segment V"] == []


def test_the_axes_of_each_lesion_have_their_ends_in_the_frame_of_the_scan(case, written) -> None:
    groups = hd.sr.srread(written["dicom_sr"]).content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["Lesion 1", "Lesion 2"]
    frame = pydicom.dcmread(case.ct.source.files[0][0]).FrameOfReferenceUID
    for group, lesion in zip(groups, case.lesions, strict=True):
        assert group.tracking_uid == lesion.tracking_uid
        assert group.finding_type.value == "52988006"
        axes = {measurement.name.value: measurement for measurement in group.get_measurements()}
        told = {
            LONG_AXIS: (lesion.long_axis_mm, lesion.long_axis_points_ras_mm),
            SHORT_AXIS: (lesion.short_axis_mm, lesion.short_axis_points_ras_mm),
        }
        assert set(axes) == set(told)
        for name, (length, ends_ras) in told.items():
            (line,) = axes[name].referenced_coordinates
            assert line.graphic_type == hd.sr.GraphicTypeValues3D.POLYLINE
            assert line.frame_of_reference_uid == frame
            ends_lps = np.array(ends_ras) * [-1, -1, 1]
            assert line.value == pytest.approx(ends_lps, abs=1e-3)
            assert axes[name].value == pytest.approx(length, abs=1e-4)
            assert np.linalg.norm(line.value[1] - line.value[0]) == pytest.approx(length, abs=1e-3)


@pytest.mark.parametrize("way", ["binary", "labelmap"])
def test_each_group_names_the_segment_that_it_was_measured_on(case, way: str, tmp_path: Path) -> None:
    maps = ["dicom_map_liver", "dicom_map_couinaud", "dicom_map_lesions"]
    names = ["dicom_seg", "dicom_sr"] if way == "binary" else [*maps, "dicom_sr_maps"]
    written = write_case(case, tmp_path, names)
    report = written.pop(names[-1])
    segs = {seg.SOPInstanceUID: seg for seg in map(hd.seg.segread, written.values())}
    for name, group in groups_of(report).items():
        reference = group.referenced_segment
        seg = segs[reference.referenced_sop_instance_uid]
        assert reference[0].ReferencedSOPSequence[0].ReferencedSOPClassUID == seg.SOPClassUID
        number = reference[0].referenced_segment_numbers[0]
        description = seg.get_segment_description(number)
        assert (description.segment_label, description.tracking_uid) == (name, group.tracking_uid)
        assert description.tracking_id == name
        assert reference[1].value == case.ct.source.series_uid
    evidence = pydicom.dcmread(report).CurrentRequestedProcedureEvidenceSequence
    listed = {
        i.ReferencedSOPInstanceUID
        for study in evidence
        for s in study.ReferencedSeriesSequence
        for i in s.ReferencedSOPSequence
    }
    assert listed == {*segs, *case.ct.source.instance_uids}


def test_the_report_is_of_the_scans_patient_and_made_by_a_device(case, written) -> None:
    report = pydicom.dcmread(written["dicom_sr"])
    image = pydicom.dcmread(case.ct.source.files[0][0])
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
        assert report[keyword].value == image[keyword].value
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    context = hd.sr.srread(written["dicom_sr"]).content.get_observer_contexts()
    assert [c.observer_type.meaning for c in context] == ["Device"]
    assert context[0].observer_identifying_attributes.name == "LiverSeg made up"


def test_the_validator_finds_no_error(case, written, tmp_path: Path) -> None:
    assert dciodvfy_errors(written["dicom_sr"]) == []
    maps = write_case(case, tmp_path, ["dicom_sr_maps"])["dicom_sr_maps"]
    assert unexpected(dciodvfy_errors(maps)) == []


def test_dcmqi_reads_the_same_groups_and_numbers(case, written, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    run_dcmqi("tid1500reader", "--inputDICOM", written["dicom_sr"], "--outputMetadata", out)
    read = json.loads(out.read_text())["Measurements"]
    groups = {g["TrackingIdentifier"]: g for g in read if "segmentationSOPInstanceUID" in g}
    assert len(groups) == 12
    axes = [g for g in read if "segmentationSOPInstanceUID" not in g]
    assert [g["TrackingIdentifier"] for g in axes] == ["Lesion 1", "Lesion 2"]
    seg = pydicom.dcmread(written["dicom_seg"])
    for lesion in case.lesions:
        group = groups[f"Lesion {lesion.id}"]
        assert group["TrackingUniqueIdentifier"] == lesion.tracking_uid
        assert group["segmentationSOPInstanceUID"] == seg.SOPInstanceUID
        numbers = {
            (m["quantity"]["CodeValue"], m.get("derivationModifier", {}).get("CodeValue")): float(m["value"])
            for m in group["measurementItems"]
        }
        assert numbers[VOLUME, None] == pytest.approx(lesion.volume_ml, abs=1e-4)
        assert numbers[LONG_AXIS, None] == pytest.approx(lesion.long_axis_mm, abs=1e-4)
        assert numbers[ATTENUATION, MEAN] == pytest.approx(lesion.mean_hu, abs=1e-4)


def test_a_file_without_headers_gets_a_valid_report_without_images(tmp_path: Path) -> None:
    written = write_case(make_case(), tmp_path, BOTH)
    report, seg = pydicom.dcmread(written["dicom_sr"]), pydicom.dcmread(written["dicom_seg"])
    assert report.StudyInstanceUID == seg.StudyInstanceUID
    assert "PertinentOtherEvidenceSequence" not in report
    assert dciodvfy_errors(written["dicom_sr"]) == []


def test_the_same_case_is_the_same_object_and_another_review_another(case, written, tmp_path: Path) -> None:
    again = pydicom.dcmread(write_case(case, tmp_path / "a", ["dicom_sr"])["dicom_sr"])
    assert again.SOPInstanceUID == pydicom.dcmread(written["dicom_sr"]).SOPInstanceUID
    reviewed = replace(case.lesions[0], review=Review("rejected"))
    other = replace(case, lesions=(reviewed, case.lesions[1]))
    changed = pydicom.dcmread(write_case(other, tmp_path / "b", ["dicom_sr"])["dicom_sr"])
    assert changed.SOPInstanceUID != again.SOPInstanceUID
