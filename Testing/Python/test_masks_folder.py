"""Lesions of a folder of label maps keep their ids and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.case import Case
from liverseg.masks_reading import read_masks
from liverseg.reading import to_sitk
from masks_files import NIFTI, READER, edit_report, write_folder, write_lesions, write_segmentation
from writer_cases import make_case


def test_the_liver_is_derived_from_its_segments(tmp_path: Path) -> None:
    case = make_case()
    read = read_masks(write_folder(case, tmp_path, ["couinaud"]), case.ct)
    assert np.array_equal(read.masks.liver, case.masks.liver)
    assert not read.masks.lesions.any()
    assert read.masks.vessels is None


def test_without_segments_the_caller_must_split(tmp_path: Path) -> None:
    case = make_case()
    read = read_masks(write_folder(case, tmp_path, ["liver", "lesions"]), case.ct)
    assert not read.couinaud_given
    assert not read.masks.couinaud.any()
    assert read.method is None


def test_a_mask_of_zero_and_one_is_numbered_by_volume(tmp_path: Path) -> None:
    case = make_case()
    write_folder(case, tmp_path, NIFTI)
    write_lesions((case.masks.lesions > 0).astype(np.uint8), case, tmp_path)
    read = read_masks(tmp_path, case.ct)
    # Lesion 1 of the case is the larger one, so the new ids happen to be the same.
    assert np.array_equal(read.masks.lesions, case.masks.lesions)
    assert read.tracking_uids == {}
    assert any("numbered by volume" in warning for warning in read.warnings)


def test_lesion_1_keeps_its_facts_when_all_others_are_deleted(tmp_path: Path) -> None:
    case = make_case()
    write_folder(case, tmp_path)
    write_lesions(np.where(case.masks.lesions == 1, 1, 0).astype(np.uint8), case, tmp_path)
    read = read_masks(tmp_path, case.ct)
    assert np.array_equal(read.masks.lesions, np.where(case.masks.lesions == 1, 1, 0))
    assert read.tracking_uids == {1: "2.25.1001"}
    assert read.reviews == {1: READER}
    assert read.confidences == {1: 0.9}
    assert read.warnings == ()


def test_a_known_lesion_1_stays_itself_in_parts_with_a_word(tmp_path: Path) -> None:
    case = make_case()
    write_folder(case, tmp_path)
    write_lesions((case.masks.lesions > 0).astype(np.uint8), case, tmp_path)
    read = read_masks(tmp_path, case.ct)
    assert np.array_equal(read.masks.lesions, case.masks.lesions > 0)
    assert read.tracking_uids == {1: "2.25.1001"}
    assert any("2 separate parts are all lesion 1" in warning for warning in read.warnings)


def test_ids_of_deleted_lesions_are_not_given_to_the_parts_of_a_mask(tmp_path: Path) -> None:
    case = make_case()
    write_folder(case, tmp_path)
    edit_report(tmp_path, lambda report: report["lesions"].pop(0))
    write_lesions((case.masks.lesions > 0).astype(np.uint8), case, tmp_path)
    read = read_masks(tmp_path, case.ct)
    assert np.array_equal(read.masks.lesions, np.where(case.masks.lesions > 0, case.masks.lesions + 2, 0))
    assert read.tracking_uids == {}
    assert read.last_lesion_id == 4


@pytest.mark.parametrize("write", [write_folder, write_segmentation])
def test_the_highest_id_ever_given_outlives_its_lesion(
    tmp_path: Path, write: Callable[[Case, Path], Path]
) -> None:
    case = make_case(lesion_count=1)
    provenance = replace(case.provenance, parameters={"last_lesion_id": 5})
    assert read_masks(write(case, tmp_path / "new"), case.ct).last_lesion_id == 1
    later = replace(case, provenance=provenance)
    assert read_masks(write(later, tmp_path / "corrected"), case.ct).last_lesion_id == 5


def test_the_only_lesion_of_a_report_stays_itself_even_in_two_parts(tmp_path: Path) -> None:
    case = make_case(lesion_count=1)
    write_folder(case, tmp_path)
    parts = case.masks.lesions.copy()
    parts[8, 10, 15] = 1
    sitk.WriteImage(to_sitk(parts, case.ct.geometry), str(tmp_path / "lesions.nii.gz"))
    read = read_masks(tmp_path, case.ct)
    assert np.array_equal(read.masks.lesions, parts)
    assert read.tracking_uids == {1: "2.25.1001"}


def test_an_erased_lesion_takes_its_facts_with_it_and_a_new_one_has_none(tmp_path: Path) -> None:
    case = make_case()
    write_folder(case, tmp_path)
    edited = case.masks.lesions.copy()
    edited[edited == 1] = 0
    edited[8, 14, 20] = 7
    sitk.WriteImage(to_sitk(edited, case.ct.geometry), str(tmp_path / "lesions.nii.gz"))
    read = read_masks(tmp_path, case.ct)
    assert np.array_equal(read.masks.lesions, edited)
    assert set(read.tracking_uids) == set(read.reviews) == {2}


def test_a_damaged_report_is_a_warning(tmp_path: Path) -> None:
    case = make_case()
    write_folder(case, tmp_path)
    (tmp_path / "report.json").write_text('{"lesions": [')
    read = read_masks(tmp_path, case.ct)
    assert read.tracking_uids == {}
    assert any("report.json" in warning for warning in read.warnings)


def test_the_report_beside_is_json_that_was_written_by_us(tmp_path: Path) -> None:
    case = make_case()
    write_folder(case, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    report["lesions"][0]["review"]["state"] = "nonsense"
    report["lesions"][1].pop("tracking_uid")
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    read = read_masks(tmp_path, case.ct)
    assert set(read.reviews) == {2}
    assert set(read.tracking_uids) == {1}
