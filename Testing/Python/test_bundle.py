"""Model bundles: what is bundled is whole, and what is damaged is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from liverseg.bundle import DEFAULT_MODEL, STAGES, find_bundle, installed_bundles, load_network, read_bundle
from liverseg.errors import ModelError
from liverseg.networks import build_network
from liverseg.training.export import export_bundle
from liverseg.training.loop import Plan, train
from liverseg.training.tasks import TASKS


def test_the_bundled_model_has_all_networks_and_intact_weights():
    bundle = find_bundle()
    assert bundle.name == DEFAULT_MODEL
    assert set(bundle.networks) == set(STAGES)
    for stage in STAGES:
        assert sum(p.numel() for p in load_network(bundle, stage).parameters()) > 1_000_000


def test_all_bundles_together_stay_under_30_mb():
    size = sum(f.stat().st_size for b in installed_bundles() for f in b.folder.iterdir())
    assert size < 30e6


def test_the_card_names_sources_license_and_who_was_left_out():
    card = find_bundle().card
    assert "research" in card["license"].lower()
    assert any("3D-IRCADb" in source["name"] for source in card["sources"])
    assert all(source["license"] for source in card["sources"])
    assert {"ircad_17", "lits_000", "lits_001"} <= set(card["held_out"])
    for case in ("ircad_17", "lits_000"):
        assert 0.8 < card["results"]["full_scans"][case]["liver_dice"] < 1
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


def test_a_damaged_card_is_refused(tmp_path):
    (tmp_path / "card.json").write_text("{not json")
    with pytest.raises(ModelError, match="damaged"):
        read_bundle(tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"name": "x", "networks": {"stage1": {}}}))
    with pytest.raises(ModelError, match="damaged"):
        read_bundle(tmp_path)


def test_training_goes_on_from_its_checkpoint_and_exports_what_the_engine_loads(tmp_path):
    label = torch.zeros((20, 20, 20), dtype=torch.uint8)
    label[4:16, 4:16, 4:10] = 2
    label[4:16, 4:16, 10:16] = 5
    cache = {"made_up_1": {"label": label}}
    one, two = tmp_path / "one", tmp_path / "two"
    plan = Plan(steps=4, checkpoint_every=2, accumulate=1, bf16=False)
    torch.set_num_threads(1)
    start = build_network(TASKS["couinaud"][1]).state_dict()
    train("couinaud", cache, plan, one)
    train("couinaud", cache, plan, two, stop_after=2)
    train("couinaud", cache, plan, two)
    whole, parted = (
        torch.load(run / "last.ckpt", map_location="cpu", weights_only=True) for run in (one, two)
    )
    assert whole["step"] == parted["step"] == 4
    for kind in ("network", "average"):
        for name, tensor in whole[kind].items():
            assert torch.allclose(tensor, parted[kind][name], atol=1e-6), name
    assert any(not torch.allclose(t, start[n], atol=1e-3) for n, t in whole["network"].items())
    export_bundle(tmp_path / "a", "a", {"couinaud": one}, {})
    network = load_network(read_bundle(tmp_path / "a"), "couinaud")
    for name, tensor in network.state_dict().items():
        assert torch.allclose(tensor, whole["average"][f"module.{name}"], atol=2e-3), name
