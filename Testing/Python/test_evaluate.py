"""``liverseg evaluate`` on a made-up patient: perfect, damaged, missing and misplaced predictions."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.cli import main
from liverseg.errors import InputRefused
from liverseg.evaluation.plots import read_log
from liverseg.phantom import make_phantom, write_nifti
from liverseg.reading import to_sitk


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(
        seed=77, shape_kji=(56, 84, 96), spacing_kji=(4.5, 4.0, 3.8), diameters_mm=(40.0, 28.0, 20.0)
    )


@pytest.fixture(scope="module")
def truth(phantom, tmp_path_factory) -> Path:
    """Two cases of one person and one of another, all with the same labels and their CT."""
    folder = tmp_path_factory.mktemp("truth")
    for case in ("lits_000", "lits_001", "lits_002"):
        write_nifti(phantom, folder / case)
    return folder


def save(array: np.ndarray, path: Path, geometry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(to_sitk(array, geometry), str(path))


def predict(folder: Path, phantom, **changed: np.ndarray) -> None:
    """Write the truth as a prediction, with some maps replaced."""
    masks = phantom.masks
    maps = {
        "liver": masks.liver,
        "lesions": masks.lesions,
        "couinaud": masks.couinaud,
        "vessels": masks.vessels,
    } | changed
    for name, array in maps.items():
        save(array, folder / f"{name}.nii.gz", phantom.ct.geometry)


def evaluate(predicted: Path, truth: Path, out: Path, *more: str) -> dict:
    assert main(["evaluate", "--pred", str(predicted), "--truth", str(truth), "-o", str(out), *more]) == 0
    return json.loads((out / "summary.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def damaged(phantom, truth, tmp_path_factory) -> tuple[Path, Path]:
    """A perfect prediction, one without its largest lesion and with a false one, and none at all."""
    folder = tmp_path_factory.mktemp("damaged")
    predict(folder / "lits_000", phantom)
    lesions = phantom.masks.lesions.copy()
    lesions[lesions == 1] = 0
    false = np.argwhere(phantom.masks.liver & (phantom.masks.lesions == 0) & (phantom.masks.couinaud == 7))
    lesions[tuple(false[len(false) // 2])] = 9
    couinaud = np.where(phantom.masks.couinaud == 2, 3, phantom.masks.couinaud)
    predict(folder / "lits_001", phantom, lesions=lesions, couinaud=couinaud)
    scores = [{"id": 9, "mean": 0.61, "max": 0.75}]
    (folder / "lits_001" / "lesion_scores.json").write_text(json.dumps(scores))
    predict(folder / "without_labels", phantom)
    out = tmp_path_factory.mktemp("scores")
    evaluate(folder, truth, out, "--plots")
    return folder, out


def test_the_truth_itself_scores_perfectly(phantom, truth, tmp_path):
    for case in ("lits_000", "lits_001", "lits_002"):
        predict(tmp_path / "pred" / case, phantom)
    summary = evaluate(tmp_path / "pred", truth, tmp_path / "out")
    assert summary["failed_cases"] == {}
    for structure in ("liver", "lesions"):
        assert summary[structure]["dice"]["worst"] == 1
        assert summary[structure]["hausdorff_mm"]["worst"] == 0
        assert summary[structure]["surface_dice_1_mm"]["worst"] == 1
        assert summary[structure]["penalized"] == []
    assert summary["lesions"]["any_overlap"]["all"]["f1"] == 1
    assert summary["lesions"]["iou_over_0.5"]["all"]["f1"] == 1
    assert summary["lesions"]["primary_segment"]["right_by_report"] == 1
    assert summary["couinaud"]["mean_dice"]["worst"] == 1
    assert summary["vessels"]["portal_vein"]["worst"] == 1


def test_a_missing_prediction_is_a_counted_failure_in_every_mean(damaged):
    summary = json.loads((damaged[1] / "summary.json").read_text())
    assert list(summary["failed_cases"]) == ["lits_002"]
    assert summary["cases"] == 3
    assert summary["liver"]["dice"] == pytest.approx(
        {"cases": 3, "mean": 2 / 3, "median": 1, "sd": 0.4714, "worst": 0, "worst_case": "lits_002"}, abs=1e-4
    )
    assert summary["liver"]["penalized"] == ["lits_002"]
    assert summary["liver"]["surface_dice_1_mm"]["worst"] == 0
    assert summary["couinaud"]["mean_dice"]["worst"] == 0
    assert summary["lesions"]["any_overlap"]["all"]["lesions"] == 9
    assert summary["lesions"]["any_overlap"]["all"]["found"] == 5


def test_a_missed_and_a_false_lesion_are_told_one_by_one(damaged):
    summary = json.loads((damaged[1] / "summary.json").read_text())
    assert summary["lesions"]["false_lesions"] == 1
    assert summary["lesions"]["false_lesions_per_ct"] == 0.5
    mine = [row for row in rows(damaged[1] / "lesions.csv") if row["case"] == "lits_001"]
    truth = [row for row in mine if row["kind"] == "true"]
    assert [row["matched"] for row in truth] == ["False", "True", "True"]
    assert truth[0]["segment"] and not truth[0]["segment_by_report"]
    false = [row for row in mine if row["kind"] == "claim" and row["matched"] == "False"]
    assert [(row["confidence_mean"], row["confidence_max"]) for row in false] == [("0.61", "0.75")]


def test_the_person_mean_counts_a_person_once_however_many_scans(damaged):
    lesion = {row["case"]: float(row["lesion_dice"]) for row in rows(damaged[1] / "cases.csv")}
    summary = json.loads((damaged[1] / "summary.json").read_text())
    # lits_000 and lits_001 are one person, lits_002 failed.
    expected = ((lesion["lits_000"] + lesion["lits_001"]) / 2 + 0) / 2
    assert summary["lesions"]["person_mean_dice"] == pytest.approx(expected, abs=1e-4)
    assert summary["lesions"]["dice"]["mean"] == pytest.approx(np.mean(list(lesion.values())), abs=1e-4)
    assert summary["lesions"]["persons_with_lesions"] == 2


def test_a_segment_given_to_its_neighbor_costs_both(damaged):
    row = next(row for row in rows(damaged[1] / "cases.csv") if row["case"] == "lits_001")
    assert float(row["couinaud_dice_II"]) == 0
    assert 0 < float(row["couinaud_dice_III"]) < 1
    assert float(row["couinaud_dice_VIII"]) == 1


def test_plots_and_pictures_of_the_worst_cases_are_written(damaged):
    plots = {path.name for path in (damaged[1] / "plots").iterdir()}
    assert plots == {
        "dice_by_slice.png",
        "dice_distribution.png",
        "errors_by_group.png",
        "lesion_dice_by_size.png",
        "volume_agreement.png",
    }
    worst = sorted(path.name for path in (damaged[1] / "worst").iterdir())
    assert worst == ["lesions_1_lits_001.png", "lesions_2_lits_000.png"]
    assert all(path.stat().st_size > 20_000 for path in (damaged[1] / "worst").iterdir())


def test_every_problem_gets_one_clear_line(damaged, truth, phantom, tmp_path, capfd):
    folder = tmp_path / "pred"
    shutil.copytree(damaged[0] / "lits_000", folder / "lits_000")
    shorter = phantom.ct.geometry.cropped((slice(0, 55), slice(None), slice(None)))
    save(phantom.masks.liver[:55], folder / "lits_001" / "liver.nii.gz", shorter)
    shutil.copytree(damaged[0] / "lits_000", folder / "stranger")
    capfd.readouterr()
    summary = evaluate(folder, truth, tmp_path / "out")
    lines = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 3, lines
    assert "stranger" in lines[0]
    assert "lits_001" in lines[1] and "96 x 84 x 55 voxels" in lines[1]
    assert "lits_002" in lines[2] and "no prediction" in lines[2]
    assert set(summary["failed_cases"]) == {"lits_001", "lits_002"}


def test_a_prediction_stored_in_another_order_of_axes_scores_the_same(phantom, truth, tmp_path):
    masks, grid = phantom.masks, phantom.ct.geometry
    turned = grid.ijk_to_ras.copy()
    turned[:3, 3] = grid.to_ras((grid.shape[0] - 1, 0, 0))
    turned[:3, 2] *= -1
    flipped = type(grid)(grid.shape, turned)
    save(masks.liver[::-1], tmp_path / "pred" / "lits_000" / "liver.nii.gz", flipped)
    save(masks.lesions[::-1], tmp_path / "pred" / "lits_000" / "lesions.nii.gz", flipped)
    summary = evaluate(tmp_path / "pred", truth, tmp_path / "out", "--cases", "lits_000")
    assert summary["liver"]["dice"]["mean"] == summary["lesions"]["dice"]["mean"] == 1


def test_label_maps_in_one_flat_folder_are_read(phantom, tmp_path):
    combined = phantom.masks.liver.astype(np.uint8) + (phantom.masks.lesions > 0)
    smaller = combined.copy()
    smaller[phantom.masks.lesions == 3] = 1
    save(combined, tmp_path / "labelsTr" / "liver_7.nii.gz", phantom.ct.geometry)
    save(smaller, tmp_path / "pred" / "liver_7.nii.gz", phantom.ct.geometry)
    summary = evaluate(tmp_path / "pred", tmp_path / "labelsTr", tmp_path / "out")
    assert summary["liver"]["dice"]["mean"] == 1
    assert summary["lesions"]["any_overlap"]["all"]["found"] == 2
    # Nothing was predicted or labeled of these, so nothing is said.
    assert summary["couinaud"] is summary["vessels"] is None


def test_two_readings_of_the_segments_are_both_scored(phantom, tmp_path):
    folder = tmp_path / "truth" / "case"
    save(phantom.masks.liver.astype(np.uint8), folder / "liver_lesion_roi.nii.gz", phantom.ct.geometry)
    other = np.where(phantom.masks.couinaud == 2, 3, phantom.masks.couinaud)
    save(phantom.masks.couinaud, folder / "couinaud_roi_a.nii.gz", phantom.ct.geometry)
    save(other, folder / "couinaud_roi_b.nii.gz", phantom.ct.geometry)
    predict(tmp_path / "pred" / "case", phantom)
    summary = evaluate(tmp_path / "pred", tmp_path / "truth", tmp_path / "out")
    assert summary["couinaud"]["dice_by_segment"]["II"] == 0.5
    assert summary["couinaud"]["dice_by_segment"]["VIII"] == 1


def test_claims_in_a_lesion_free_liver_are_counted_apart(phantom, tmp_path):
    save(phantom.masks.liver, tmp_path / "truth" / "chaos_03" / "liver.nii.gz", phantom.ct.geometry)
    predict(tmp_path / "pred" / "chaos_03", phantom)
    summary = evaluate(tmp_path / "pred", tmp_path / "truth", tmp_path / "out")
    assert summary["lesions"]["false_lesions_in_lesion_free_cases"] == {"chaos_03": 3}
    assert summary["lesions"]["cases_with_lesions"] == 0
    assert summary["lesions"]["person_mean_dice"] is None
    assert summary["lesions"]["any_overlap"]["all"]["precision"] == 0


def test_an_empty_prediction_is_a_missed_liver_with_penalties(phantom, truth, tmp_path):
    nothing = np.zeros_like(phantom.masks.couinaud)
    predict(tmp_path / "pred" / "lits_002", phantom, liver=nothing, lesions=nothing, couinaud=nothing)
    summary = evaluate(tmp_path / "pred", truth, tmp_path / "out", "--cases", "lits_002")
    assert summary["failed_cases"] == {}
    assert summary["liver"]["dice"]["mean"] == 0
    assert summary["liver"]["penalized"] == ["lits_002"]
    diagonal = np.linalg.norm(np.array(phantom.ct.array.shape) * phantom.ct.geometry.spacing_kji)
    assert summary["liver"]["hausdorff95_mm"]["mean"] == pytest.approx(diagonal, abs=1e-3)
    assert summary["lesions"]["primary_segment"]["right_by_report"] == 0


def test_scores_that_are_there_are_kept_unless_told_otherwise(damaged, truth, capfd):
    folder, out = damaged
    before = (out / "summary.json").read_bytes()
    assert main(["evaluate", "--pred", str(folder), "--truth", str(truth), "-o", str(out)]) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert (out / "summary.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["missing", "empty", "unknown case"])
def test_what_cannot_be_scored_ends_in_2_with_one_line(kind, damaged, truth, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    predicted = {"missing": tmp_path / "nowhere", "empty": tmp_path / "empty"}.get(kind, damaged[0])
    more = ["--cases", "nobody"] if kind == "unknown case" else []
    arguments = ["evaluate", "--pred", str(predicted), "--truth", str(truth), "-o", str(tmp_path / "out")]
    assert main([*arguments, *more]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_training_logs_are_read_with_and_without_a_header(tmp_path):
    plain = tmp_path / "log.csv"
    plain.write_text("50,0.9,1.2\n100,0.7,1.2\n")
    assert read_log(plain) == {"loss": ([50, 100], [0.9, 0.7])}
    headed = tmp_path / "metrics.csv"
    headed.write_text("epoch,step,train_loss,val_loss\n0,10,0.9,\n0,20,,0.8\n")
    assert read_log(headed) == {"train_loss": ([10], [0.9]), "val_loss": ([20], [0.8])}
    headed.write_text("a,b\n1,2\n")
    with pytest.raises(InputRefused, match="training log"):
        read_log(headed)


def test_a_failed_case_gets_nothing_for_what_was_not_there(phantom, tmp_path):
    """Both masks of a lesion-free liver without a prediction are empty; that is no right answer."""
    save(phantom.masks.liver, tmp_path / "truth" / "chaos_03" / "liver.nii.gz", phantom.ct.geometry)
    without_first = np.where(phantom.masks.couinaud == 1, 2, phantom.masks.couinaud)
    save(without_first, tmp_path / "truth" / "chaos_03" / "couinaud.nii.gz", phantom.ct.geometry)
    predict(tmp_path / "pred" / "elsewhere", phantom)
    summary = evaluate(tmp_path / "pred", tmp_path / "truth", tmp_path / "out")
    row = rows(tmp_path / "out" / "cases.csv")[0]
    scores = ("liver_dice", "lesion_dice", "lesion_iou", "lesion_surface_dice_5_mm", "macro_dice")
    scores += ("liver_specificity", "lesion_specificity")
    assert {float(row[name]) for name in (*scores, "pixel_accuracy", "couinaud_dice_I")} == {0}
    assert row["lesion_penalized"] == "True"
    assert summary["couinaud"]["mean_dice"]["mean"] == 0
    assert summary["classes"]["macro_dice"]["mean"] == 0


def test_labels_without_a_map_of_lesions_are_told(phantom, tmp_path, capfd):
    save(phantom.masks.liver, tmp_path / "truth" / "chaos_03" / "liver.nii.gz", phantom.ct.geometry)
    predict(tmp_path / "pred" / "chaos_03", phantom)
    evaluate(tmp_path / "pred", tmp_path / "truth", tmp_path / "out")
    assert "chaos_03: the labels have no map of lesions" in capfd.readouterr().err


def test_lesions_on_another_grid_than_the_liver_are_not_scored_as_none(phantom, truth, tmp_path):
    predict(tmp_path / "pred" / "lits_000", phantom)
    shorter = phantom.ct.geometry.cropped((slice(0, 55), slice(None), slice(None)))
    save(phantom.masks.lesions[:55], tmp_path / "pred" / "lits_000" / "lesions.nii.gz", shorter)
    summary = evaluate(tmp_path / "pred", truth, tmp_path / "out", "--cases", "lits_000")
    assert "not on the grid" in summary["failed_cases"]["lits_000"]


def test_a_map_of_other_organs_is_not_scored_as_liver(phantom, truth, tmp_path, capfd):
    many = phantom.masks.liver.astype(np.uint8)
    many[:4] = 3
    save(many, tmp_path / "pred" / "lits_000.nii.gz", phantom.ct.geometry)
    summary = evaluate(tmp_path / "pred", truth, tmp_path / "out", "--cases", "lits_000")
    assert "labels from 0 to 3" in summary["failed_cases"]["lits_000"]
    predict(tmp_path / "good" / "case", phantom)
    save(many, tmp_path / "labels" / "case" / "liver_lesion.nii.gz", phantom.ct.geometry)
    folders = ["--pred", str(tmp_path / "good"), "--truth", str(tmp_path / "labels")]
    assert main(["evaluate", *folders, "-o", str(tmp_path / "none")]) == 3
    assert "labels from 0 to 3" in capfd.readouterr().err
