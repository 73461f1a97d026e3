"""The script that scores the Couinaud methods on predicted livers and vessels."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.bundle import find_bundle
from liverseg.phantom import make_phantom
from liverseg.reading import to_sitk

ROOT = Path(__file__).resolve().parents[2]


def model_whose_card_says(folder: Path, **card: list[str]) -> Path:
    """A copy of the bundled model that knows other persons."""
    shutil.copytree(find_bundle().folder, folder)
    path = folder / "card.json"
    old = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: value for name, value in old.items() if name not in ("trained_on", "held_out")}
    path.write_text(json.dumps(kept | card), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model that never saw the persons of this file."""
    return model_whose_card_says(tmp_path_factory.mktemp("m") / "fold", held_out=["unseen_1", "unseen_2"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Two made-up persons, one with drawn vessels, "predicted" a voxel too low."""
    folder = tmp_path_factory.mktemp("predicted")
    weights = find_bundle().sha256
    for n, name in enumerate(("unseen_1", "unseen_2")):
        phantom = make_phantom(seed=700 + n, shape_kji=(48, 64, 72), spacing_kji=(5.0, 5.0, 5.0), noise_hu=0)
        masks = {
            "liver": phantom.masks.liver,
            "vessels": phantom.masks.vessels,
            "couinaud": phantom.masks.couinaud,
        }
        truth, found = folder / "ct" / name, folder / "pred" / name
        truth.mkdir(parents=True)
        found.mkdir(parents=True)
        for kind, mask in masks.items():
            array, grid = mask.astype(np.uint8), phantom.ct.geometry
            if n == 0 or kind != "vessels":
                sitk.WriteImage(to_sitk(array, grid), str(truth / f"{kind}.nii.gz"))
            sitk.WriteImage(to_sitk(np.roll(array, -1, axis=0), grid), str(found / f"{kind}.nii.gz"))
        (found / "prediction.json").write_text(json.dumps({"weights_sha256": weights}))
    return folder


def run(*words: object) -> int:
    script = runpy.run_path(str(ROOT / "scripts" / "evaluate_couinaud_predicted.py"))
    return int(script["main"]([str(word) for word in words]))


def test_every_method_is_scored_on_the_predicted_liver_beside_the_shape(folders, model, tmp_path, capsys):
    out = tmp_path / "scores.json"
    arguments = ("--data", folders, "--pred", folders / "pred", "--models", model, "--out", out)
    assert run(*arguments) == 0
    rows = {row["method"]: row for row in json.loads(out.read_text())["summary"]}
    assert [row["scans"] for row in rows.values()] == [2, 2, 1, 2]
    shape, vessels = rows["learned from shape"], rows["vessels, predicted"]
    assert shape["gain_on_shape"] == 0 and 0.4 < shape["mean_dice"] < 1
    assert vessels["gain_on_shape"] == pytest.approx(vessels["mean_dice"] - shape["mean_dice"], abs=2e-4)
    assert vessels["fell_back"] == 0
    cases = json.loads(out.read_text())["cases"]
    assert cases["unseen_1"]["used"]["vessels, drawn by readers"] == "guided by vessels"
    assert "vessels, drawn by readers" not in cases["unseen_2"]["dice"]
    assert cases["unseen_1"]["vessels_ml"] > 2
    assert "| vessels, predicted | 2 (2) |" in capsys.readouterr().out


def test_predictions_of_another_model_are_refused(folders, model, tmp_path, capsys):
    other = tmp_path / "pred" / "unseen_1"
    other.mkdir(parents=True)
    arguments = ("--data", folders, "--pred", tmp_path / "pred", "--models", model)
    assert run(*arguments, "--out", tmp_path / "scores.json") == 3
    assert "does not say which model" in capsys.readouterr().err
    (other / "prediction.json").write_text(json.dumps({"weights_sha256": {"couinaud": "00"}}))
    assert run(*arguments, "--out", tmp_path / "scores.json") == 2
    assert "none of the models given" in capsys.readouterr().err
    knowing = model_whose_card_says(tmp_path / "seen", trained_on=["unseen_1"])
    seen = ("--data", folders, "--pred", folders / "pred", "--models", knowing)
    assert run(*seen, "--out", tmp_path / "scores.json") == 2
    assert "scores of these say nothing" in capsys.readouterr().err
    assert not (tmp_path / "scores.json").exists()
