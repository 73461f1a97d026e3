"""Labeled cases go the road of a user's CT, and persons of the training are kept out."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.bundle import find_bundle
from liverseg.cli import main
from liverseg.errors import InputRefused, UsageError
from liverseg.evaluation.end_to_end import (
    carried,
    lesion_scores,
    predict_case,
    refuse_seen,
    same_box,
    write_predicted,
)
from liverseg.evaluation.overlap import dice
from liverseg.geometry import bounding_box
from liverseg.phantom import make_grid, make_phantom
from liverseg.pipeline import SegmentOptions
from liverseg.reading import to_sitk


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The bundled model with stage 2 on a coarser grid, which is several times faster."""
    bundle = find_bundle()
    folder = tmp_path_factory.mktemp("model")
    card = json.loads((bundle.folder / "card.json").read_text())
    card["networks"]["stage2"]["spacing_mm"] = 3.0
    for network in bundle.networks.values():
        shutil.copy(bundle.folder / network.file, folder)
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def with_card(**facts: object):
    return replace(find_bundle(), card=facts)


def test_scans_of_a_held_out_person_may_be_predicted_under_every_number():
    bundle = with_card(held_out=["lits_000", "ircad_17"])
    # lits_001 is the person of lits_000; LiTS 44 is patient 17 of 3D-IRCADb-01.
    refuse_seen(["lits_000", "lits_001", "ircad_17", "lits_044"], bundle)
    with pytest.raises(UsageError, match=r"persons of lits_002, ircad_02:"):
        refuse_seen(["lits_001", "lits_002", "ircad_02"], bundle)


def test_a_person_of_the_training_is_refused_under_every_number():
    bundle = with_card(trained_on=["lits_006", "ircad_03_reading_a"])
    refuse_seen(["lits_005", "ircad_04"], bundle)
    for case in ("lits_008", "lits_030", "ircad_03"):
        with pytest.raises(UsageError, match=f"persons of {case}:"):
            refuse_seen([case], bundle)


def test_a_card_that_does_not_tell_is_refused():
    with pytest.raises(UsageError, match="neither held_out nor trained_on"):
        refuse_seen(["lits_000"], with_card(name="mine"))


def test_a_mask_is_carried_to_a_finer_turned_and_tilted_grid_of_the_same_world():
    coarse = make_phantom(seed=5, shape_kji=(50, 72, 72), spacing_kji=(5.0, 5.0, 5.0))
    fine_grid = make_grid(
        (90, 110, 110), (2.5, 2.2, 2.2), coarse.ct.geometry.to_ras((25, 36, 36)), "RAI", (8, 0, 5)
    )
    fine = make_phantom(seed=5, geometry=fine_grid)
    assert dice(fine.masks.liver, carried(coarse.masks.liver, coarse.ct.geometry, fine_grid)) > 0.96


def test_grids_of_one_box_share_their_outer_faces():
    grid = make_grid((40, 50, 60), (3.0, 2.0, 1.5), (10, 20, 30), "LPS", (0, 10, 0))
    other = same_box(grid, (20, 25, 90))
    for corner in ((-0.5, -0.5, -0.5), (39.5, 49.5, 59.5)):
        there = np.where(np.array(corner) < 0, -0.5, np.array(other.shape) - 0.5)
        assert other.to_ras(there) == pytest.approx(grid.to_ras(corner))


def test_lesion_scores_are_mean_and_peak_of_each_lesion():
    labels = np.array([[[0, 1, 1, 3]]])
    score = np.array([[[0.9, 0.5, 0.7, 0.8]]], dtype=np.float32)
    assert lesion_scores(labels, score) == [
        {"id": 1, "mean": 0.6, "max": 0.7},
        {"id": 3, "mean": 0.8, "max": 0.8},
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A pair as the data folder has them: a 3 mm scan and the region of its liver, in one world."""
    folder = tmp_path_factory.mktemp("data")
    case = folder / "ct" / "case_1"
    case.mkdir(parents=True)
    coarse = make_phantom(seed=77, shape_kji=(74, 112, 124), spacing_kji=(3.5, 3.1, 3.0))
    whole = make_phantom(seed=77, shape_kji=(90, 150, 160), spacing_kji=(2.9, 2.3, 2.3))
    box = bounding_box(whole.masks.liver, (6, 8, 8))
    assert box is not None
    region = make_phantom(seed=77, geometry=whole.ct.geometry.cropped(box))
    for name, phantom in (("3mm", coarse), ("roi", region)):
        label = phantom.masks.liver.astype(np.uint8) + (phantom.masks.lesions > 0)
        for kind, array in (("ct", phantom.ct.array), ("liver_lesion", label)):
            sitk.WriteImage(to_sitk(array, phantom.ct.geometry), str(case / f"{kind}_{name}.nii.gz"))
    couinaud = case / "couinaud_roi.nii.gz"
    sitk.WriteImage(to_sitk(region.masks.couinaud, region.ct.geometry), str(couinaud))
    return folder


@pytest.fixture(scope="module")
def script(root) -> ModuleType:
    """scripts/predict_cases.py."""
    spec = importlib.util.spec_from_file_location("predict_cases", root / "scripts" / "predict_cases.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def words(data, model) -> list[str]:
    """What a user types, but for the folder of the results."""
    options = ["--data", str(data), "--cases", "case_1", "--model", str(model)]
    return [*options, "--device", "cpu", "--quality", "fast", "--threads", "1"]


@pytest.fixture(scope="module")
def predicted(script, words, tmp_path_factory) -> Path:
    """The pair, predicted."""
    out = tmp_path_factory.mktemp("pred")
    assert script.main([*words, "--out", str(out), "--seen-too"]) == 0
    return out


def test_the_script_predicts_no_person_whom_the_model_may_have_seen(script, words, tmp_path, capsys):
    assert script.main([*words, "--out", str(tmp_path / "pred")]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "case_1" in told[0] and "--seen-too" in told[0]
    assert not (tmp_path / "pred").exists()


def test_a_pair_is_predicted_on_its_region_and_scored_against_its_labels(data, predicted, tmp_path):
    assert {path.name for path in (predicted / "case_1").iterdir()} >= {
        *("liver.nii.gz", "lesions.nii.gz", "couinaud.nii.gz", "report.json"),
        *("lesion_scores.json", "stage1_liver.nii.gz", "prediction.json"),
    }
    arguments = ["evaluate", "--pred", str(predicted), "--truth", str(data / "ct"), "-o", str(tmp_path)]
    assert main(arguments) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["failed_cases"] == {}
    assert summary["liver"]["dice"]["mean"] > 0.85
    assert summary["stage1_liver"]["mean"] > 0.85
    assert summary["couinaud"]["mean_dice"]["mean"] > 0.3


def test_with_the_true_liver_the_later_stages_are_judged_alone(data, model, tmp_path):
    options = SegmentOptions(device="cpu", quality="fast", model=str(model))
    result = predict_case(data / "ct" / "case_1", options, true_liver=True)
    write_predicted(result, tmp_path / "pred" / "case_1")
    assert result.stage1 is None
    arguments = ["evaluate", "--pred", str(tmp_path / "pred"), "--truth", str(data / "ct")]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["liver"]["dice"]["mean"] == 1
    assert summary["stage1_liver"] is None


def test_a_folder_without_a_whole_scan_is_refused_in_one_line(data, tmp_path):
    shutil.copy(data / "ct" / "case_1" / "ct_roi.nii.gz", tmp_path)
    with pytest.raises(InputRefused, match=r"ct\.nii\.gz"):
        predict_case(tmp_path, SegmentOptions())


@pytest.fixture
def asked(script, monkeypatch, tmp_path) -> Callable[..., list[str]]:
    """The script without its networks: returns the cases that it predicted, and keeps what it writes."""

    def run(*more: str) -> list[str]:
        done: list[str] = []
        liver = SimpleNamespace(volume_ml=1500.0)
        fake = SimpleNamespace(case=SimpleNamespace(liver=liver, lesions=()))
        monkeypatch.setattr(script, "find_bundle", lambda name: find_bundle())
        monkeypatch.setattr(script, "case_folders", lambda data, cases, *rest: [data / c for c in cases])
        monkeypatch.setattr(script, "predict_case", lambda folder, *rest: done.append(folder.name) or fake)
        monkeypatch.setattr(script, "write_predicted", lambda predicted, out: out.mkdir(exist_ok=True))
        monkeypatch.setattr(script, "keep_scores", lambda predicted, truth, maps: None)
        words = ["--data", "d", "--cases", "a", "b", "a", "--out", str(tmp_path), "--device", "cpu", *more]
        code = script.main(words)
        return done if code == 0 else [f"exit code {code}"]

    return run


def test_a_case_that_other_weights_quality_or_liver_gave_is_refused_and_kept(asked, tmp_path, capsys):
    assert asked() == ["a", "b"]
    assert asked() == []
    facts = tmp_path / "b" / "prediction.json"
    before = facts.read_text()
    for fact, words in (("quality", ["--quality", "fast"]), ("true_liver", ["--true-liver"])):
        assert asked(*words) == ["exit code 2"]
        told = capsys.readouterr().err.strip().splitlines()
        assert len(told) == 1 and fact in told[0] and "--overwrite" in told[0]
    assert facts.read_text() == before
    for text in (json.dumps({**json.loads(before), "weights_sha256": {"stage1": "00"}}), "[]", "half"):
        facts.write_text(text)
        assert asked() == ["exit code 2"]
        assert "weights_sha256" in capsys.readouterr().err
    assert asked("--overwrite", "--quality", "fast") == ["a", "b"]
    assert json.loads(facts.read_text())["quality"] == "fast"


def test_a_case_whose_score_map_is_asked_for_and_not_there_is_predicted_again(asked, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "a.npz").touch()
    assert asked() == ["a", "b"]
    assert asked("--score-maps", str(maps)) == ["b"]
