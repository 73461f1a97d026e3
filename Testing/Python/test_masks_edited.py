"""A folder whose segmentation was edited later is not passed over in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from liverseg.case import Case
from liverseg.errors import InputRefused
from liverseg.masks_reading import read_masks
from liverseg.writers import write_case
from masks_files import assert_same_masks, edit_header, save_later, write_lesions, write_results
from writer_cases import empty_case, make_case


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
