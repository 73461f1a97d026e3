"""Model bundles: what is bundled is whole, and what is damaged is refused."""

from __future__ import annotations

import json
import shutil

import pytest

from liverseg.bundle import (
    DEFAULT_MODEL,
    STAGES,
    bundles_in,
    find_bundle,
    installed_bundles,
    load_network,
    read_bundle,
)
from liverseg.errors import ModelError


def test_the_bundled_model_has_all_networks_and_intact_weights():
    bundle = find_bundle()
    assert bundle.name == DEFAULT_MODEL
    assert set(bundle.networks) == set(STAGES)
    for stage in STAGES:
        assert sum(p.numel() for p in load_network(bundle, stage).parameters()) > 1_000_000


def test_all_bundles_together_stay_under_30_mb():
    size = sum(f.stat().st_size for b in installed_bundles() for f in b.folder.iterdir())
    assert size < 30e6


def test_the_card_names_sources_license_scores_and_whom_it_learned_from():
    card = find_bundle().card
    assert "research" in card["license"].lower()
    assert any("3D-IRCADb" in source["name"] for source in card["sources"])
    assert all(source["license"] for source in card["sources"])
    for stage in ("stage1", "stage2"):
        assert {"ircad_17", "lits_000"} <= set(card["networks"][stage]["learned_from"])
    assert not {"ircad_17", "lits_000"} & set(card["held_out"])
    folds = card["results"]["cross_validation"]
    assert folds["scans"] > folds["persons"] > 20
    assert 0.8 < folds["liver_dice_worst"] < folds["liver_dice"] < 1
    assert 0.5 < card["results"]["couinaud_cross_validation"]["mean_dice"] < 1


def test_changed_weights_are_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(find_bundle().folder, folder)
    file = folder / read_bundle(folder).networks["couinaud"].file
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="sha256"):
        load_network(read_bundle(folder), "couinaud")


def test_a_missing_model_is_refused_with_the_names_there_are():
    with pytest.raises(ModelError, match=DEFAULT_MODEL):
        find_bundle("no such model")


def test_bundles_are_found_in_a_folder_elsewhere_and_a_folder_can_be_one(tmp_path):
    shutil.copytree(find_bundle().folder, tmp_path / "mine")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "card.json").write_text("{not json")
    assert [bundle.folder for bundle in bundles_in(tmp_path)] == [tmp_path / "mine"]
    assert [bundle.folder for bundle in bundles_in(tmp_path / "mine")] == [tmp_path / "mine"]
    assert bundles_in(tmp_path / "nowhere") == []


def test_a_damaged_card_is_refused(tmp_path):
    (tmp_path / "card.json").write_text("{not json")
    with pytest.raises(ModelError, match="damaged"):
        read_bundle(tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"name": "x", "networks": {"stage1": {}}}))
    with pytest.raises(ModelError, match="damaged"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"lesion_treshold": 0.4}, "unknown setting 'lesion_treshold'"),
        ({"smallest_lesion_ml": -1}, "smallest_lesion_ml is -1"),
        ({"smallest_peak": 1.5}, "smallest_peak is 1.5"),
        ([0.5], "postprocessing cannot be used"),
        (None, "postprocessing cannot be used"),
    ],
)
def test_settings_that_cannot_be_used_are_told_when_the_card_is_read(tmp_path, entry, said):
    card = {**find_bundle().card, "postprocessing": entry}
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=said) as refused:
        read_bundle(tmp_path)
    text = str(refused.value)
    assert "card.json" in text and "\n" not in text


@pytest.mark.parametrize(
    ("stage", "entry", "said"),
    [
        ("stage1", {"spacing_mm": 0}, "spacing_mm and patch must be above 0"),
        ("stage2", {"patch": [0, 96, 96]}, "spacing_mm and patch must be above 0"),
        ("stage2", {"window_hu": [1, 1]}, "two rising numbers"),
        ("couinaud", {"classes": ["I", "II"]}, "2 classes for 8 outputs"),
        ("stage1", {"classes": ["background", "spleen", "aorta"]}, "no class is named liver"),
    ],
)
def test_a_network_that_cannot_run_as_its_card_says_is_refused(tmp_path, stage, entry, said):
    card = json.loads(json.dumps(find_bundle().card))
    card["networks"][stage].update(entry)
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=said) as refused:
        read_bundle(tmp_path)
    assert stage in str(refused.value)
