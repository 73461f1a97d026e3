"""Masks come back from files as they were written, onto the CT's grid."""

from __future__ import annotations

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
from liverseg.masks_reading import read_masks
from liverseg.reading import to_sitk
from masks_files import READER, assert_same_masks, write_folder, write_segmentation
from writer_cases import grids, make_case, on_other_axes, reordered


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
        (tmp_path / "broken.seg.nrrd", "is not an image"),
    ):
        with pytest.raises(InputRefused, match=reason):
            read_masks(path, case.ct)


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


def test_a_segmentation_on_another_grid_is_refused(tmp_path: Path) -> None:
    case = make_case()
    path = write_segmentation(case, tmp_path)
    other = replace(case.ct, geometry=spacing_off(case.ct.geometry))
    with pytest.raises(InputRefused, match="not on the CT's grid"):
        read_masks(path, other)
