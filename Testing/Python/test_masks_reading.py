"""Masks come back from a folder or from Slicer, onto the CT's grid, with what is known of each lesion."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from liverseg import masks_reading
from liverseg.case import Case, CouinaudMethod, Review
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.labels import Structure
from liverseg.masks_reading import ReadMasks, read_masks
from liverseg.reading import to_sitk
from liverseg.segment_identity import identify
from liverseg.writers import write_case
from test_seg_nrrd import load_in_slicer  # noqa: F401  a fixture
from writer_cases import empty_case, grids, make_case, on_other_axes, reordered

NIFTI = ["liver", "couinaud", "lesions", "vessels"]
READER = Review("accepted", "Dr. Müller | reader 2", "2026-01-02T03:04:05+00:00")


def write_folder(case: Case, folder: Path, names: list[str] | None = None) -> Path:
    write_case(case, folder, names or [*NIFTI, "report"])
    return folder


def write_segmentation(case: Case, folder: Path) -> Path:
    return write_case(case, folder, ["segmentation"])["segmentation"]


def edit_header(path: Path, change: Callable[[str], str]) -> None:
    header, data = path.read_bytes().split(b"\n\n", 1)
    path.write_bytes(change(header.decode("utf-8")).encode("utf-8") + b"\n\n" + data)


def assert_same_masks(read: ReadMasks, case: Case) -> None:
    for name in ("liver", "couinaud", "lesions"):
        assert np.array_equal(getattr(read.masks, name), getattr(case.masks, name)), name
    if case.masks.vessels is None:
        assert read.masks.vessels is None
    else:
        assert np.array_equal(read.masks.vessels, case.masks.vessels)
    assert read.masks.liver.dtype == bool
    assert read.masks.couinaud.dtype == np.uint8
    assert read.masks.lesions.dtype == np.uint16


@pytest.mark.parametrize("write", [write_folder, write_segmentation])
@pytest.mark.parametrize("case", [make_case(), make_case(split=True, vessels=False)], ids=["whole", "split"])
def test_what_was_written_is_read_back_with_ids_reviews_and_method(
    tmp_path: Path, write: Callable[[Case, Path], Path], case: Case
) -> None:
    read = read_masks(write(case, tmp_path), case.ct)
    assert_same_masks(read, case)
    assert read.couinaud_given
    assert read.tracking_uids == {1: "2.25.1001", 2: "2.25.1002"}
    assert read.reviews == {1: READER, 2: Review()}
    assert read.confidences == {1: 0.9, 2: 0.9}
    assert read.method == CouinaudMethod("shape network", 0.81)
    assert read.warnings == ()


@pytest.mark.parametrize("write", [write_folder, write_segmentation])
def test_masks_stored_with_other_axes_are_turned_onto_the_ct(
    tmp_path: Path, write: Callable[[Case, Path], Path]
) -> None:
    case = make_case()
    for n, (flips, axes) in enumerate(grids()):
        path = write(on_other_axes(case, flips, axes), tmp_path / str(n))
        assert_same_masks(read_masks(path, case.ct), case)


# --- folders


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


def write_lesions(lesions: np.ndarray, case: Case, folder: Path) -> None:
    """Save lesion labels as a person's program does."""
    sitk.WriteImage(to_sitk(lesions, case.ct.geometry), str(folder / "lesions.nii.gz"))


def edit_report(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    change(report)
    path.write_text(json.dumps(report), encoding="utf-8")


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


# --- a folder whose segmentation was edited


def write_results(case: Case, folder: Path) -> Path:
    """A folder as a run leaves it, but for the preview and the tables."""
    return write_folder(case, folder, [*NIFTI, "segmentation", "report"])


def save_later(path: Path, seconds: float) -> None:
    """Move a file's time of saving."""
    now = path.stat()
    os.utime(path, (now.st_atime + seconds, now.st_mtime + seconds))


def test_a_folder_is_refused_when_its_segmentation_was_corrected_later(tmp_path: Path) -> None:
    case = make_case()
    write_results(case, tmp_path)
    path = tmp_path / "segmentation.seg.nrrd"
    write_case(make_case(lesion_count=1), tmp_path / "slicer", ["segmentation"])["segmentation"].replace(path)
    save_later(path, 60)
    # The future liver remnant is written into the report after the correction.
    save_later(tmp_path / "report.json", 120)
    with pytest.raises(InputRefused, match="saved after the label maps") as caught:
        read_masks(tmp_path, case.ct)
    assert str(path) in str(caught.value)
    assert "move it out" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(np.unique(read_masks(path, case.ct).masks.lesions)) == {0, 1}


def test_a_folder_is_refused_when_reviews_were_saved_into_its_segmentation(tmp_path: Path) -> None:
    case = make_case()
    write_results(case, tmp_path)
    path = tmp_path / "segmentation.seg.nrrd"
    edit_header(path, lambda text: text.replace("ReviewState:unreviewed", "ReviewState:rejected"))
    save_later(path, 60)
    with pytest.raises(InputRefused, match="saved after the label maps"):
        read_masks(tmp_path, case.ct)


def test_a_damaged_segmentation_that_is_newer_is_not_passed_over(tmp_path: Path) -> None:
    case = make_case()
    write_results(case, tmp_path)
    path = tmp_path / "segmentation.seg.nrrd"
    path.write_text("no image")
    save_later(path, 60)
    with pytest.raises(InputRefused, match="saved after the label maps"):
        read_masks(tmp_path, case.ct)


@pytest.mark.parametrize("case", [make_case(), make_case(split=True, vessels=False), empty_case()])
def test_a_folder_as_written_is_read_however_long_its_files_took(tmp_path: Path, case: Case) -> None:
    write_results(case, tmp_path)
    assert_same_masks(read_masks(tmp_path, case.ct), case)
    # A slow disk, or a copy that sets new times.
    save_later(tmp_path / "segmentation.seg.nrrd", 600)
    assert_same_masks(read_masks(tmp_path, case.ct), case)


def test_label_maps_that_were_corrected_later_are_taken(tmp_path: Path) -> None:
    case = make_case()
    write_results(case, tmp_path)
    save_later(tmp_path / "segmentation.seg.nrrd", 60)
    write_lesions(np.where(case.masks.lesions == 2, 2, 0).astype(np.uint8), case, tmp_path)
    save_later(tmp_path / "lesions.nii.gz", 120)
    assert set(read_masks(tmp_path, case.ct).tracking_uids) == {2}


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


def spacing_off(geometry: Geometry) -> Geometry:
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, 0] *= 1.1
    return Geometry(geometry.shape, matrix)


def moved(geometry: Geometry) -> Geometry:
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 1]
    return Geometry(geometry.shape, matrix)


@pytest.mark.parametrize("change", [spacing_off, moved])
def test_another_grid_is_refused_with_the_numbers(
    tmp_path: Path, change: Callable[[Geometry], Geometry]
) -> None:
    case = make_case()
    other = change(case.ct.geometry)
    sitk.WriteImage(to_sitk(case.masks.liver, other), str(tmp_path / "liver.nii.gz"))
    with pytest.raises(InputRefused, match=r"24 x 20 x 12 voxels of .* the CT has 24 x 20 x 12") as caught:
        read_masks(tmp_path, case.ct)
    assert "\n" not in str(caught.value)


def test_a_smaller_file_is_refused(tmp_path: Path) -> None:
    case = make_case()
    box = (slice(0, 10), slice(0, 20), slice(0, 24))
    image = to_sitk(case.masks.liver[box], case.ct.geometry.cropped(box))
    sitk.WriteImage(image, str(tmp_path / "liver.nii.gz"))
    with pytest.raises(InputRefused, match="24 x 20 x 10"):
        read_masks(tmp_path, case.ct)


def test_labels_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    case = make_case()
    wrong = case.masks.couinaud.copy()
    wrong[5, 5, 5] = 12
    sitk.WriteImage(to_sitk(wrong, case.ct.geometry), str(tmp_path / "couinaud.nii.gz"))
    with pytest.raises(InputRefused, match="labels from 0 to 12; expected 0 to 9"):
        read_masks(tmp_path, case.ct)


def test_files_of_other_programs_are_read_too(tmp_path: Path) -> None:
    case = make_case()
    image = nibabel.Nifti1Image(case.masks.liver.T.astype(np.float64), case.ct.geometry.ijk_to_ras)
    nibabel.save(image, tmp_path / "liver.nii.gz")
    read = read_masks(tmp_path, case.ct)
    assert np.array_equal(read.masks.liver, case.masks.liver)


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    case = make_case()
    (tmp_path / "liver.nii").write_text("no image")
    (tmp_path / "broken.seg.nrrd").write_text("no image")
    for path, reason in (
        (tmp_path / "gone", "is not there"),
        (tmp_path, r"neither liver\.nii\.gz nor couinaud\.nii\.gz"),
        (tmp_path / "liver.nii", r"no folder of masks and no \.seg\.nrrd"),
        (tmp_path / "broken.seg.nrrd", "cannot be read as a NRRD file"),
    ):
        with pytest.raises(InputRefused, match=reason):
            read_masks(path, case.ct)


# --- .seg.nrrd


def test_tags_decide_and_not_names(tmp_path: Path) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    edit_header(path, lambda text: re.sub(r"(Segment\d+_Name:=).*", r"\1renamed", text))
    assert_same_masks(read_masks(path, case.ct), case)


def strip_own_tags(text: str) -> str:
    return re.sub(r"LiverSeg\.\w+:[^|\n]*\|", "", text)


@pytest.mark.parametrize("category", ["123037004", "91723000"])
def test_terminology_decides_where_there_are_no_tags_of_ours(tmp_path: Path, category: str) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    edit_header(
        path,
        lambda text: re.sub(
            r"(Segment\d+_Name:=)(?!Lesion).*", r"\1x", strip_own_tags(text).replace("123037004", category)
        ),
    )
    read = read_masks(path, case.ct)
    assert_same_masks(read, case)
    assert read.tracking_uids == {}
    assert read.method is None


def test_names_decide_where_there_is_nothing_else(tmp_path: Path) -> None:
    case = make_case(split=True)
    path = write_segmentation(case, tmp_path)
    names = {"Segment IVa": "couinaud 4a", "Segment V": "V", "Segment VI": "segment 6", "Lesion 2": "tumor_2"}

    def change(text: str) -> str:
        for old, new in names.items():
            text = text.replace(f"_Name:={old}\n", f"_Name:={new}\n")
        return re.sub(r"(_Tags:=).*", r"\1", text)

    edit_header(path, change)
    assert_same_masks(read_masks(path, case.ct), case)


def test_a_copied_lesion_gets_a_new_id_and_no_tracking_uid(tmp_path: Path) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    edit_header(path, lambda text: re.sub(r"Segment2_Tags:=.*", segment_1_tags(text), text))
    read = read_masks(path, case.ct)
    assert np.array_equal(read.masks.lesions > 0, case.masks.lesions > 0)
    # The id 2 was lesion 2's.
    assert read.masks.lesions.max() == 3
    assert read.tracking_uids == {1: "2.25.1001"}
    assert any("repeats lesion 1" in warning for warning in read.warnings)


def segment_1_tags(text: str) -> str:
    found = re.search(r"Segment1_Tags:=(.*)", text)
    assert found is not None
    return "Segment2_Tags:=" + found[1].replace("\\", r"\\")


def test_a_segment_of_something_else_is_left_out_with_a_word(tmp_path: Path) -> None:
    case = make_case(lesion_count=1)
    path = write_segmentation(case, tmp_path)
    edit_header(
        path,
        lambda text: re.sub(r"Segment1_Tags:=.*", "Segment1_Tags:=", text).replace("Lesion 1", "Gallbladder"),
    )
    read = read_masks(path, case.ct)
    assert not read.masks.lesions.any()
    assert read.warnings == (
        'The segment "Gallbladder" is nothing LiverSeg knows and was left out; '
        "name it Lesion, or set its terminology.",
    )


def as_new_segment(text: str, number: int, name: str, automatic: bool) -> str:
    """A segment as Slicer's Add button makes it: no tags of ours, and a name of its own counting."""
    text = re.sub(rf"(Segment{number}_Tags:=).*", r"\1", text)
    text = re.sub(rf"(Segment{number}_Name:=).*", rf"\g<1>{name}", text)
    return re.sub(rf"(Segment{number}_NameAutoGenerated:=).*", rf"\g<1>{int(automatic)}", text)


def test_a_new_segment_with_an_automatic_name_is_told_by_it(tmp_path: Path) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    edit_header(path, lambda text: as_new_segment(text, 2, "Segment_3", automatic=True))
    read = read_masks(path, case.ct)
    assert np.array_equal(read.masks.lesions, np.where(case.masks.lesions == 1, 1, 0))
    assert np.array_equal(read.masks.couinaud, case.masks.couinaud)
    (warning,) = read.warnings
    assert warning.startswith('The segment "Segment_3" is nothing')
    assert "name it Lesion" in warning


def test_a_new_lesion_does_not_take_the_id_of_a_deleted_one(tmp_path: Path) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    # Lesion 2 is deleted, and another drawn where it was.
    edit_header(path, lambda text: as_new_segment(text, 2, "Lesion", automatic=False))
    read = read_masks(path, case.ct)
    assert np.array_equal(read.masks.lesions, np.where(case.masks.lesions == 2, 3, case.masks.lesions))
    assert set(read.tracking_uids) == {1}
    assert read.last_lesion_id == 3


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("liver_segment_2", "couinaud_2"),
        ("Couinaud 2", "couinaud_2"),
        ("couinaud_segment_4a", "couinaud_4a"),
        ("Segment 8", "couinaud_8"),
        ("hepatic segment 4b", "couinaud_4b"),
        ("Liver segment VII", "couinaud_7"),
        ("liver II", "couinaud_2"),
        ("V", "couinaud_5"),
        *((name, None) for name in ("Liver 2", "liver_3", "hepatic 4a", "2", "4b", "Segment 12", "spleen")),
    ],
)
def test_arabic_numbers_are_segments_only_where_the_name_says_so(name: str, key: str | None) -> None:
    found = identify(name, {})
    assert (found.key if isinstance(found, Structure) else found) == key


def test_a_segmentation_on_another_grid_is_refused(tmp_path: Path) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    other = replace(case.ct, geometry=spacing_off(case.ct.geometry))
    with pytest.raises(InputRefused, match="not on the CT's grid"):
        read_masks(path, other)


def test_a_file_without_segments_is_refused(tmp_path: Path) -> None:
    case = make_case()
    path = tmp_path / "plain.nrrd"
    sitk.WriteImage(to_sitk(case.masks.couinaud, case.ct.geometry), str(path))
    with pytest.raises(InputRefused, match="holds no segments"):
        read_masks(path, case.ct)


@pytest.mark.parametrize("crop", [False, True])
def test_an_edit_saved_by_slicer_comes_back_on_the_ct_grid(
    tmp_path: Path,
    load_in_slicer,  # noqa: F811
    crop: bool,
) -> None:
    from vtk.util.numpy_support import vtk_to_numpy

    case = on_other_axes(make_case(), (True, False, False), (1, 2, 0))
    node, storage = load_in_slicer(write_segmentation(case, tmp_path))
    segmentation = node.GetSegmentation()
    lesion = segmentation.GetNthSegment(1)
    # Take lesion 1 away from the layer it shares, as an eraser does, and rename the liver.
    image = lesion.GetRepresentation("Binary labelmap")
    voxels = vtk_to_numpy(image.GetPointData().GetScalars())
    voxels[voxels == lesion.GetLabelValue()] = 0
    image.Modified()
    segmentation.GetNthSegment(0).SetName("Foie")
    # Vessels put before the rest, so that Slicer writes the layers in another order.
    segmentation.SetSegmentIndex("portal_vein", 0)
    storage.SetCropToMinimumExtent(crop)
    path = tmp_path / "edited.seg.nrrd"
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1
    saved = sitk.ReadImage(str(path)).GetSize()
    assert (saved != case.ct.geometry.shape[::-1]) == crop

    read = read_masks(path, case.ct)
    assert np.array_equal(read.masks.liver, case.masks.liver)
    assert np.array_equal(read.masks.couinaud, case.masks.couinaud)
    assert np.array_equal(read.masks.vessels, case.masks.vessels)
    assert np.array_equal(read.masks.lesions, np.where(case.masks.lesions == 2, 2, 0))
    assert read.tracking_uids == {2: "2.25.1002"}
    assert read.method == CouinaudMethod("shape network", 0.81)
    assert any("empty" in warning for warning in read.warnings)


def test_a_part_outside_the_ct_is_cut_off_with_a_word(tmp_path: Path) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    box = (slice(0, 5), slice(0, 20), slice(0, 24))
    part = replace(case.ct, array=case.ct.array[box], geometry=case.ct.geometry.cropped(box))
    read = read_masks(path, part)
    assert np.array_equal(read.masks.couinaud, case.masks.couinaud[box])
    assert any("outside the CT" in warning for warning in read.warnings)


def test_onto_grid_agrees_with_world_coordinates() -> None:
    rng = np.random.default_rng(1)
    case = make_case()
    array = rng.integers(0, 200, case.ct.geometry.shape).astype(np.uint8)
    box = (slice(2, 9), slice(1, 15), slice(5, 20))
    for flips, axes in grids():
        turned, geometry = reordered(array[box], case.ct.geometry.cropped(box), flips, axes)
        result, cut = masks_reading.onto_grid(turned, geometry, case.ct.geometry, "test")
        assert not cut
        assert np.array_equal(result[box], array[box])
        assert np.count_nonzero(result) == np.count_nonzero(array[box])


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
