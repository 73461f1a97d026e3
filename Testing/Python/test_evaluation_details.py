"""Voxels by class, Dice by slice, and errors by group, on boxes whose answers are counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.errors import InputRefused
from liverseg.evaluation.case_files import LabelMaps
from liverseg.evaluation.case_scores import CaseScores, score_case
from liverseg.evaluation.error_groups import ErrorGroup, error_groups
from liverseg.evaluation.evaluate import evaluate_folders
from liverseg.evaluation.phases import phase_of, read_phases
from liverseg.evaluation.slice_scores import slice_summary
from liverseg.evaluation.summary import summarize
from liverseg.geometry import Geometry
from liverseg.reading import to_sitk
from liverseg.writers.volumes import write_nifti

SHAPE = (10, 20, 20)
# Stored from the head downwards, so that the lowest slice of the patient is the last one.
DOWNWARDS = Geometry(SHAPE, np.diag([-1.0, -1.0, -5.0, 1.0]))
# A lesion of 2 x 2 x 1 voxels (20 mm3) and one of 6 x 10 x 2 (600 mm3): 3.4 and 10.5 mm.
SMALL = (slice(2, 3), slice(4, 6), slice(4, 6))
LARGE = (slice(5, 7), slice(4, 10), slice(4, 14))


def maps(liver: np.ndarray, lesions: np.ndarray, couinaud: np.ndarray | None = None) -> LabelMaps:
    readings = () if couinaud is None else (couinaud,)
    return LabelMaps(Path("made-up"), DOWNWARDS, liver, lesions.astype(np.uint8), readings)


@pytest.fixture
def truth() -> LabelMaps:
    """A liver of 14 x 14 pixels in slices 2 to 7; segment VIII in its upper half, VI in its lower."""
    liver = np.zeros(SHAPE, bool)
    liver[2:8, 3:17, 3:17] = True
    lesions = np.zeros(SHAPE, bool)
    lesions[SMALL] = lesions[LARGE] = True
    couinaud = np.where(liver, 8, 0).astype(np.uint8)
    couinaud[5:8][liver[5:8]] = 6
    return maps(liver, lesions, couinaud)


@pytest.fixture
def predicted(truth) -> LabelMaps:
    """Half of the liver's lowest slice is lost; the small lesion too; half of the large one's lower slice."""
    liver, lesions = truth.liver.copy(), truth.lesions > 0
    liver[7, 3:10] = False
    lesions[SMALL] = False
    lesions[6, 4:10, 9:14] = False
    # A false claim in segment VIII.
    lesions[3, 15:17, 15:17] = True
    return maps(liver, lesions, truth.couinaud[0])


@pytest.fixture
def scores(truth, predicted) -> CaseScores:
    return score_case("case_arterial", truth, predicted).scores


def test_classes_exclude_each_other_and_count_alike(scores):
    liver, lesion = 6 * 14 * 14, 4 + 120
    # 98 voxels of liver lost; 4 + 30 of lesion called liver; 4 of liver called lesion.
    wrong = 98 + 34 + 4
    assert scores.classes.pixel_accuracy == pytest.approx(1 - wrong / 4000)
    assert scores.classes.liver_pixel_accuracy == pytest.approx(1 - wrong / liver)
    tissue = liver - lesion
    tissue_dice = 2 * (tissue - 98 - 4) / (tissue + tissue - 98 - 4 + 34)
    lesion_dice = 2 * 90 / (124 + 94)
    assert scores.classes.dice[1:] == pytest.approx((tissue_dice, lesion_dice))
    assert scores.classes.macro_dice == pytest.approx((tissue_dice + lesion_dice) / 2)
    background = 2 * (4000 - liver) / (2 * (4000 - liver) + 98)
    assert scores.classes.macro_dice_with_background == pytest.approx(
        (background + tissue_dice + lesion_dice) / 3
    )


def test_slices_are_scored_from_the_feet_upwards_and_empty_ones_not_at_all(scores):
    assert [s.name for s in scores.slices] == [f"k = {n}" for n in (7, 6, 5, 4, 3, 2)]
    assert [s.position for s in scores.slices] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert [s.liver.dice for s in scores.slices] == pytest.approx([2 / 3, 1, 1, 1, 1, 1])
    lesions = [None if s.lesions is None else s.lesions.dice for s in scores.slices]
    assert lesions == [None, pytest.approx(2 / 3), 1, None, 0, 0]
    assert scores.slices[0].liver.truth_ml == pytest.approx(14 * 14 * 0.005)


def test_the_distribution_of_slices_counts_the_missed_ones(scores):
    lesions = slice_summary([scores.slices])["lesions"]
    assert lesions["slices"] == 4
    assert lesions["mean"] == pytest.approx((2 / 3 + 1) / 4)
    assert lesions["missed_share"] == lesions["below_half_share"] == 0.5
    thirds = lesions["mean_by_third"]
    assert thirds["lower third"] == pytest.approx(2 / 3)
    assert thirds["middle third"] == 1
    assert thirds["upper third"] == 0
    assert thirds["beyond the true liver"] is None


def group(groups: tuple[ErrorGroup, ...], kind: str, name: str) -> ErrorGroup:
    return next(g for g in groups if (g.kind, g.name) == (kind, name))


def test_errors_are_told_by_size_by_segment_and_by_phase(truth, scores):
    failed = score_case("case", truth, None, "nothing there").scores
    groups = error_groups([scores, failed])
    small, middle = group(groups, "size", "under 10 mm"), group(groups, "size", "10 to 20 mm")
    assert (small.lesions, small.found, small.claims, small.false_claims) == (2, 0, 2, 1)
    assert (middle.lesions, middle.found, middle.recall) == (2, 1, 0.5)
    # Ninety of its 120 voxels are found in the one case, none in the other.
    assert middle.lesion_dice == pytest.approx(180 / 210 / 2)
    upper, lower = group(groups, "segment", "VIII"), group(groups, "segment", "VI")
    assert (upper.lesions, upper.found, upper.claims, upper.precision) == (2, 0, 1, 0)
    assert (lower.lesions, lower.found, lower.claims, lower.precision) == (2, 1, 1, 1)
    phases = [g for g in groups if g.kind == "phase"]
    assert [(g.name, g.cases, g.failed) for g in phases] == [("unknown", 2, 1)]
    assert phases[0].liver_dice == pytest.approx(scores.liver.dice / 2)


def test_without_any_segments_the_place_of_a_lesion_is_unknown(truth, predicted):
    scores = score_case(
        "case", maps(truth.liver, truth.lesions), maps(predicted.liver, predicted.lesions)
    ).scores
    assert [g.name for g in error_groups([scores]) if g.kind == "segment"] == ["unknown"]


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("hcctace_005_arterial", "arterial"),
        ("P12-PV", "portal venous"),
        ("case3_non_contrast", "non-contrast"),
        ("case3_noncontrast", "non-contrast"),
        ("lits_000", "unknown"),
        ("arterial_and_portal", "unknown"),
    ],
)
def test_the_phase_is_taken_from_the_name_where_one_is_told(name, phase):
    assert phase_of(name) == phase


def test_phases_come_from_a_table_too(tmp_path):
    table = tmp_path / "phases.csv"
    table.write_text("case,phase\nlits_000,PV\nlits_001,hepatobiliary\nlits_002,\n")
    assert read_phases(table) == {
        "lits_000": "portal venous",
        "lits_001": "hepatobiliary",
        "lits_002": "unknown",
    }
    other = tmp_path / "phases.json"
    other.write_text(json.dumps({"lits_000": "arterial", "lits_001": None}))
    assert read_phases(other) == {"lits_000": "arterial", "lits_001": "unknown"}
    for text in ("a,b\n1,2\n", "phase,case\nPV,lits_000\nPV\n"):
        table.write_text(text)
        with pytest.raises(InputRefused, match="no table of phases"):
            read_phases(table)


def test_a_found_lesion_whose_claim_has_no_segment_is_found_and_named_wrongly(truth, predicted):
    unsplit = maps(predicted.liver, predicted.lesions, np.zeros(SHAPE, np.uint8))
    told = summarize([score_case("case", truth, unsplit).scores])["lesions"]["primary_segment"]
    assert (told["lesions"], told["found_lesions"], told["right_by_report_of_found"]) == (2, 1, 0)


def written(folder: Path, **arrays: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        write_nifti(array.astype(np.uint8), DOWNWARDS, folder / f"{name}.nii.gz")


def scored(root: Path) -> dict[str, CaseScores]:
    return {scores.case: scores for scores in evaluate_folders(root / "pred", root / "truth")}


def test_a_case_without_a_mask_of_stage_1_is_in_the_mean_where_others_have_one(truth, tmp_path):
    for case in ("pair", "failed", "lost", "damaged", "missing", "whole"):
        written(tmp_path / "truth" / case, liver=truth.liver, lesions=truth.lesions)
        written(tmp_path / "pred" / case, liver=truth.liver, lesions=truth.lesions)
    (tmp_path / "truth" / "whole" / "ct.nii.gz").touch()
    for case in ("pair", "failed", "damaged", "missing"):
        written(tmp_path / "pred" / case, stage1_liver=truth.liver)
    (tmp_path / "pred" / "failed" / "liver.nii.gz").write_bytes(b"half a file")
    (tmp_path / "pred" / "damaged" / "stage1_liver.nii.gz").write_bytes(b"half a file")
    for name in ("liver", "lesions"):
        (tmp_path / "pred" / "missing" / f"{name}.nii.gz").unlink()
    cases = scored(tmp_path)
    told = {case: scores.stage1_dice for case, scores in cases.items()}
    assert told == {"pair": 1, "failed": 1, "missing": 1, "lost": 0, "damaged": 0, "whole": None}
    assert {case for case, scores in cases.items() if scores.failure} == {"failed", "missing"}


def test_stage_1_is_scored_nowhere_where_no_case_has_its_mask(truth, tmp_path):
    written(tmp_path / "truth" / "case", liver=truth.liver, lesions=truth.lesions)
    written(tmp_path / "pred" / "case", liver=truth.liver, lesions=truth.lesions)
    assert scored(tmp_path)["case"].stage1_dice is None


@pytest.mark.parametrize("name", ["couinaud.nrrd", "couinaud.mha", "couinaud_roi.nii"])
def test_segments_are_scored_whatever_format_they_are_predicted_in(name, truth, tmp_path):
    for case in ("one", "other"):
        written(tmp_path / "truth" / case, liver=truth.liver, couinaud=truth.couinaud[0])
        written(tmp_path / "pred" / case, liver=truth.liver)
    sitk.WriteImage(to_sitk(truth.couinaud[0], DOWNWARDS), str(tmp_path / "pred" / "one" / name))
    dice = {case: scores.couinaud_dice for case, scores in scored(tmp_path).items()}
    assert dice["one"] == (1,) * 8
    # Neither VI nor VIII was predicted; the others are in neither.
    assert [value for value in dice["other"] if value == 0] == [0, 0]
