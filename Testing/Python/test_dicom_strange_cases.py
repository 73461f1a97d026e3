"""Strange cases get valid DICOM objects, or none and a plain word about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from dicom_cases import dciodvfy_errors
from liverseg.case import Case, CouinaudMethod, Masks
from liverseg.cli import main
from liverseg.errors import UsageError
from liverseg.measure import measure
from liverseg.phantom_dicom import write_dicom_series
from liverseg.reading import to_sitk
from liverseg.writers import DICOM_NAMES, write_case
from made_cases import make_case
from writer_cases import empty_case

hd = pytest.importorskip("highdicom", reason="highdicom is not installed (pip install 'liverseg[dicom]')")

BINARY = ["dicom_seg", "dicom_sr", "report"]


@pytest.fixture(autouse=True)
def no_3d_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 3D view has its own tests; here it would only cost seconds."""
    monkeypatch.setattr("liverseg.writers.preview.render_3d", lambda case, size: None)


def assert_valid(written: dict[str, Path]) -> None:
    """No error in segmentation and report; last in a test, because without the validator it is skipped."""
    assert dciodvfy_errors(written["dicom_seg"]) == dciodvfy_errors(written["dicom_sr"]) == []


def with_lesions(labels: np.ndarray, case: Case) -> Case:
    masks = Masks(case.masks.liver, case.masks.couinaud, labels)
    return measure(case.ct, masks, method=case.method, provenance=case.provenance)


def test_no_lesion_is_a_report_of_the_liver_and_no_map_of_lesions(tmp_path: Path) -> None:
    case = make_case(lesions=())
    written = write_case(case, tmp_path / "a", BINARY)
    labels = [s.SegmentLabel for s in pydicom.dcmread(written["dicom_seg"]).SegmentSequence]
    assert labels[0] == "Liver"
    assert len(labels) == 9
    maps = write_case(case, tmp_path / "b", DICOM_NAMES["labelmap"])
    assert set(maps) == {"dicom_map_liver", "dicom_map_couinaud", "dicom_sr_maps"}
    assert_valid(written)


def test_three_hundred_lesions_are_three_hundred_segments_and_groups(tmp_path: Path) -> None:
    case = make_case(lesions=())
    places = np.argwhere(case.masks.liver)[::37][:300]
    labels = np.zeros(case.ct.array.shape, np.uint16)
    labels[tuple(places.T)] = np.arange(1, 301)
    case = with_lesions(labels, case)
    assert len(case.lesions) == 300
    written = write_case(case, tmp_path, [*BINARY, "dicom_map_lesions"])
    seg = hd.seg.segread(written["dicom_seg"])
    assert seg.number_of_segments == 309
    last = seg.get_volume(segment_numbers=[309], combine_segments=False)
    assert last.array.sum() == 1, "a lesion of one voxel"
    containers = [c for c in pydicom.dcmread(written["dicom_sr"]).ContentSequence if "ContentSequence" in c]
    groups = max((c.ContentSequence for c in containers), key=len)
    assert len(groups) == 309 + 300, "and the axes of each lesion"
    assert {g.ConceptNameCodeSequence[0].CodeMeaning for g in groups} == {"Measurement Group"}
    lesion_map = hd.seg.segread(written["dicom_map_lesions"])
    assert lesion_map.BitsAllocated == 16
    assert lesion_map.get_volume(combine_segments=True).array.max() == 300
    assert_valid(written)


def test_a_lesion_of_one_voxel_has_a_frame_and_its_numbers(tmp_path: Path) -> None:
    case = make_case(lesions=())
    labels = np.zeros(case.ct.array.shape, np.uint16)
    labels[tuple(np.argwhere(case.masks.liver)[2000])] = 5
    case = with_lesions(labels, case)
    written = write_case(case, tmp_path, BINARY)
    seg = pydicom.dcmread(written["dicom_seg"])
    assert seg.SegmentSequence[-1].SegmentLabel == "Lesion 5"
    numbers = [f.SegmentIdentificationSequence[0].ReferencedSegmentNumber for f in frames_of(seg)]
    assert numbers.count(len(seg.SegmentSequence)) == 1
    assert_valid(written)


def frames_of(seg: pydicom.Dataset) -> list[pydicom.Dataset]:
    return list(seg.PerFrameFunctionalGroupsSequence)


def test_frames_whose_pixels_fill_no_whole_bytes_are_put_together_right(tmp_path: Path) -> None:
    case = make_case((13, 17, 21), (6.0, 4.0, 3.6))
    assert (17 * 21) % 8
    seg = hd.seg.segread(write_case(case, tmp_path, ["dicom_seg"])["dicom_seg"])
    volume = seg.get_volume(combine_segments=False)
    sums = volume.array.sum(axis=(0, 1, 2)).tolist()
    masks = case.masks
    expected = [masks.liver.sum(), *np.bincount(masks.couinaud.ravel())[1:]]
    expected += [*np.bincount(masks.lesions.ravel())[1:]]
    assert sums == [n for n in expected if n]
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []


def test_without_a_liver_there_is_no_dicom_and_the_report_says_why(tmp_path: Path) -> None:
    for names in DICOM_NAMES.values():
        written = write_case(empty_case(), tmp_path / names[0], [*names, "report"])
        assert set(written) == {"report"}
        warnings = json.loads(written["report"].read_text())["warnings"]
        assert any("DICOM knows no empty segmentation" in w for w in warnings)


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Path:
    """A folder with a DICOM series, the same CT as a file, and masks."""
    folder = tmp_path_factory.mktemp("patient")
    case = make_case((30, 64, 96), (6.0, 4.0, 3.2))
    write_dicom_series(case.ct, folder / "series")
    sitk.WriteImage(to_sitk(case.ct.array, case.ct.geometry), str(folder / "ct.nii.gz"))
    write_case(case, folder / "masks", ["liver", "couinaud", "lesions", "lesions_table", "report"])
    empty = measure(
        case.ct,
        Masks(*(np.zeros_like(a) for a in (case.masks.liver, case.masks.couinaud, case.masks.lesions))),
        method=CouinaudMethod("none"),
        provenance=case.provenance,
    )
    write_case(empty, folder / "nothing", ["liver", "couinaud", "lesions", "report"])
    return folder


def run(patient: Path, out: Path, *flags: str, ct: str = "series", masks: str = "masks") -> int:
    arguments = ["measure", str(patient / ct), "--masks", str(patient / masks), "-o", str(out)]
    return main([*arguments, "--force", *flags])


def dicom_files(out: Path) -> set[str]:
    return {path.name for path in out.glob("*.dcm")}


def test_the_shell_writes_dicom_on_request_alone(patient: Path, tmp_path: Path, capsys) -> None:
    assert run(patient, tmp_path / "none") == 0
    assert dicom_files(tmp_path / "none") == set()
    assert run(patient, tmp_path / "binary", "--dicom") == 0
    assert dicom_files(tmp_path / "binary") == {"seg.dcm", "sr.dcm"}
    assert "generated ids" not in capsys.readouterr().err
    assert run(patient, tmp_path / "binary", "--dicom-seg", "labelmap", "--overwrite") == 0
    maps = {"seg_liver.dcm", "seg_couinaud.dcm", "seg_lesions.dcm", "sr.dcm"}
    assert dicom_files(tmp_path / "binary") == maps, "the earlier seg.dcm is gone"


def test_the_shell_says_that_ids_are_generated(patient: Path, tmp_path: Path, capsys) -> None:
    assert run(patient, tmp_path / "out", "--dicom", ct="ct.nii.gz") == 0
    assert "generated ids and no patient" in capsys.readouterr().err
    assert dicom_files(tmp_path / "out") == {"seg.dcm", "sr.dcm"}


def test_no_liver_keeps_exit_4_and_its_empty_outputs(patient: Path, tmp_path: Path, capsys) -> None:
    assert run(patient, tmp_path / "out", "--dicom", masks="nothing") == 4
    assert dicom_files(tmp_path / "out") == set()
    assert "No DICOM objects were written" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.json").exists()


def test_a_missing_library_is_told_before_the_work_begins(
    patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("liverseg.writers.find_spec", lambda name: None)
    monkeypatch.setattr("liverseg.cli.commands.read_volume", lambda *_: pytest.fail("the work began"))
    assert run(patient, tmp_path / "out", "--dicom") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "highdicom" in told[0]
    assert "pip install 'liverseg[dicom]'" in told[0]
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_half_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self, path, **_) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    for name in ("dicom_seg", "dicom_sr", "dicom_map_liver"):
        with pytest.raises(UsageError, match="no space left"):
            write_case(make_case(), tmp_path / name, [name])
        assert list((tmp_path / name).iterdir()) == []


def test_a_time_that_is_not_known_is_the_time_of_writing(tmp_path: Path) -> None:
    case = make_case()
    case = replace(case, provenance=replace(case.provenance, started=""))
    written = write_case(case, tmp_path, ["dicom_seg"])
    assert pydicom.dcmread(written["dicom_seg"]).ContentDate >= "20250101"
    assert dciodvfy_errors(written["dicom_seg"]) == []
