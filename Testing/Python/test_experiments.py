"""The experiment files: each has its published settings, and learns a few steps on the grid it asks for."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from liverseg.bundle import read_bundle
from liverseg.errors import UsageError
from liverseg.networks import build_network
from liverseg.training.cached_cases import CachedCase, Known, cached_names, write_cached
from liverseg.training.config import RunConfig
from liverseg.training.config_checks import check_config
from liverseg.training.export import export_bundle
from liverseg.training.road_config import ScanConfig
from liverseg.training.roads import described_network
from liverseg.training.run import train
from liverseg.training.sampling import Shares
from liverseg.training.scan_cache import SEGMENTS_FILE, on_grid
from liverseg.training.scan_task import ScanTask
from made_data import made_scan, write_folder

CONFIGS = Path(__file__).resolve().parents[2] / "scripts" / "configs"

# What the five descriptions publish (and the values chosen where they name a thing without its size), and
# what the further files are for. Published splits are by shares: "val" judges while training.
PUBLISHED: dict[str, dict[str, Any]] = {
    "two_level_unet": {
        "data.part": "val",
        "optimizer.schedule": "poly",
        "scan.spacing_mm": [1.0, 1.0, 1.0],
        "scan.window_hu": [-150.0, 250.0],
        "scan.rotation_deg": 15.0,
        "scan.bend_voxels": 2.0,
        "scan.flip": [1, 2],
        "scan.gray_values": True,
        "trainer.precision": "bf16-mixed",
        "network.context": 3,
        "optimizer.loss": "dice_focal",
        "optimizer.name": "adam",
        "scan.region": "liver",
    },
    "slices_resnet34": {
        "data.part": "val",
        "optimizer.schedule": "cosine",
        "scan.window_hu": [-200.0, 250.0],
        "scan.translate_voxels": 0.0,
        "trainer.patience": 10,
        "trainer.precision": "bf16-mixed",
        "network.options.encoder": "resnet34",
        "network.options.repeat": 3,
        "network.dimensions": 2,
        "network.normalization": "unit",
        "optimizer.loss": "dice_ce",
        "optimizer.name": "adamw",
        "scan.classes": ["liver", "lesion"],
    },
    "patches_unet3d": {
        "data.part": "val",
        "optimizer.schedule": "constant",
        "scan.window_hu": [-1000.0, 1000.0],
        "scan.overlap": pytest.approx(8 / 96, abs=1e-4),
        "scan.translate_voxels": 0.0,
        "trainer.steps": 100 * 111 * 5 // 2,
        "task.patch": [96, 96, 96],
        "task.filters": [32, 64, 128, 256],
        "task.lesion": 0.5,
        "task.liver": 0.3,
        "task.anywhere": 0.2,
        "scan.size": [200, 256, 256],
        "scan.queue": 40,
        "scan.per_volume": 5,
        "scan.rotation_deg": 10.0,
        "scan.scale": 0.1,
        "network.normalization": "symmetric",
        "optimizer.loss": "cross_entropy",
        "optimizer.name": "adam",
        "optimizer.learning_rate": 1e-4,
        "trainer.batch": 2,
        "trainer.keep": 10,
    },
    "classic_unet3d": {
        "data.part": "val",
        "optimizer.schedule": "constant",
        "scan.voxels": [0, 256, 256],
        "scan.window_hu": [-200.0, 250.0],
        "scan.translate_voxels": 10.0,
        "scan.rotation_deg": 10.0,
        "scan.noise": 0.05,
        "task.patch": [16, 256, 256],
        "network.name": "ClassicUNet",
        "network.normalization": "unit",
        "optimizer.name": "adam",
        "scan.classes": ["liver"],
    },
    "global_local_vae": {
        "data.part": "val",
        "network.name": "SegResNetVAE",
        "optimizer.schedule": "poly",
        "scan.classes": ["lesion"],
        "scan.region": "liver",
    },
    "two_heads": {"network.name": "TwoHeads", "scan.segments": True},
    "two_level_unet_liver": {
        "data.part": "val",
        "scan.classes": ["liver"],
        "scan.region": "whole",
        "network.context": 3,
    },
    "global_local_vae_liver": {
        "data.part": "val",
        "scan.classes": ["liver"],
        "scan.region": "whole",
        "network.name": "SegResNetVAE",
    },
}
# The same roads at a size for a test: patch, filters and options of the network.
TINY = {
    "two_level_unet": ["task.patch=[1,32,32]", "task.filters=[4,8,8]"],
    "slices_resnet34": ["task.patch=[1,32,32]", "network.options.encoder=resnet10", "data.validate=0"],
    "patches_unet3d": ["task.patch=[16,16,16]", "task.filters=[4,8,8,8]", "data.validate=0"],
    "classic_unet3d": ["task.patch=[16,32,32]", "task.filters=[4,4,8,8]", "data.validate=0"],
    "global_local_vae": ["task.patch=[16,16,16]", "network.options.init_filters=8"],
    "two_level_unet_liver": ["task.patch=[1,32,32]", "task.filters=[4,8,8]"],
    "global_local_vae_liver": ["task.patch=[16,16,16]", "network.options.init_filters=8"],
    "two_heads": ["task.patch=[16,16,16]", "network.options.trunk.filters=[4,8,8]"],
}


def experiment(name: str, *overrides: str) -> RunConfig:
    ConfigStore.instance().store(name="run_config", node=RunConfig)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("train", [f"experiment={name}", "data.cache=.", "run=.", *overrides])
    config = OmegaConf.to_object(composed)
    assert isinstance(config, RunConfig)
    return config


def value(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = config[part] if isinstance(config, dict) else getattr(config, part)
    return config


@pytest.fixture(scope="module")
def scan():
    """A made-up scan of 20 slices: a body, its liver, a lesion in it."""
    hu = np.full((20, 40, 48), -1000.0, dtype=np.float32)
    hu[:, 4:-4, 4:-4] = 40.0
    label = np.zeros(hu.shape, np.uint8)
    label[4:16, 10:30, 10:34] = 1
    label[8:11, 16:22, 16:22] = 2
    hu[label == 1], hu[label == 2] = 110.0, 60.0
    return hu, label, (5.0, 3.0, 3.0)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_an_experiment_file_has_its_published_settings_and_can_work(name):
    config = experiment(name)
    check_config(config)
    assert {path: value(config, path) for path in PUBLISHED[name]} == PUBLISHED[name]


@pytest.mark.parametrize("name", sorted(TINY))
def test_an_experiment_learns_a_few_steps_on_its_own_grid_and_becomes_a_bundle(name, scan, tmp_path):
    cache, run = tmp_path / "cache", tmp_path / "run"
    config = experiment(name, *TINY[name], f"data.cache={cache}", f"run={run}", "data.workers=0")
    config.trainer.steps, config.trainer.steps_an_epoch, config.trainer.batch = 2, 2, 2
    config.trainer.precision = "32-true"
    hu, label, spacing = scan
    image, small = on_grid(hu, label, spacing, config.scan)
    write_cached(cache, "lits_004", small, image, Known())
    if config.scan.segments:
        np.save(cache / "lits_004" / SEGMENTS_FILE, (5 * (small > 0)).astype(np.uint8))
    train(config)
    assert len((run / "log.csv").read_text().splitlines()) == 2
    stage = "stage2" if "lesion" in config.scan.classes else "stage1"
    export_bundle(tmp_path / "mine", "mine", {stage: run}, {})
    card = read_bundle(tmp_path / "mine").networks[stage]
    assert card.window_hu == tuple(config.scan.window_hu)
    assert card.overlap == (None if config.scan.overlap < 0 else config.scan.overlap)
    if not config.scan.size and config.scan.region == "whole":
        # The engine brings the scan onto the very grid that was learned from.
        wanted = card.grid_spacing(hu.shape, spacing)
        grid = [round(n * own / s) for n, own, s in zip(hu.shape, spacing, wanted, strict=True)]
        assert tuple(grid) == image.shape


def test_a_grid_keeps_what_the_settings_keep(scan):
    hu, label, spacing = scan
    settings = experiment("patches_unet3d").scan
    image, small = on_grid(hu, label, spacing, settings)
    assert image.shape == small.shape == (200, 256, 256)
    assert (small > 0).sum() == (label > 0).sum()
    assert image[100, 128, 128] == round((110 + 1000) / 2000 * 255)
    settings = experiment("classic_unet3d").scan
    assert on_grid(hu, label, spacing, settings)[0].shape == (20, 256, 256)
    settings = experiment("global_local_vae").scan
    image, small = on_grid(hu, label, spacing, settings)
    liver = np.argwhere(small > 0)
    # The liver of 60 x 60 x 72 mm with whole voxels of 20 mm and more around it, as far as the scan goes.
    assert image.shape == (67, 68, 76)
    assert np.ptp(liver, axis=0) + 1 == pytest.approx([40, 40, 48], abs=1)


def test_of_a_queue_so_many_patches_come_from_each_scan(scan):
    _, label, _ = scan
    cases = {
        f"lits_{n:03d}": CachedCase(
            f"lits_{n:03d}", torch.from_numpy(label), torch.full(label.shape, n, dtype=torch.uint8), Known()
        )
        for n in range(50, 90)
    }
    task = ScanTask(
        cases=cases,
        shares=Shares(0, 1, 0),
        phantom_share=0.0,
        patch=(2, 4, 4),
        settings=ScanConfig(queue=20, per_volume=5),
    )
    drawn = [round(float(task.numbered(1, n).inputs.max()) * 255) for n in range(40)]
    for block in (drawn[:20], drawn[20:]):
        counts = {scan: block.count(scan) for scan in block}
        assert all(count % 5 == 0 for count in counts.values())
        assert block != sorted(block)
    assert drawn == [round(float(task.numbered(1, n).inputs.max()) * 255) for n in range(40)]


def test_the_classic_network_has_the_published_number_of_parameters():
    description = {**described_network(experiment("classic_unet3d")), "in_channels": 3, "out_channels": 3}
    assert sum(p.numel() for p in build_network(description).parameters()) == 19_069_955


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["network.name=NoNet"], "network.name is 'NoNet'"),
        (["network.normalization=percent"], "unit, symmetric, foreground"),
        (["optimizer.name=lion"], "adam, adamw, sgd"),
        (["optimizer.schedule=up"], "constant, cosine, plateau, poly, step"),
        (["optimizer.schedule=plateau", "data.validate=0"], "set data.validate"),
        (["optimizer.class_weights=[1,2]"], "background, liver, lesion"),
        (["+network.options.norms=batch"], "no option norms"),
        (["task.patch=[20,96,96]"], "multiple of 8"),
        (["task.deep_supervision=1"], "must be 0 with PlainUNet"),
        (["network.context=3"], "an odd number where dimensions is 2"),
        (["scan.window_hu=[200,100]"], "second HU"),
        (["scan.classes=[spleen]"], "liver, lesion or both"),
        (["scan.spacing_mm=[1,1]"], "needs 3 numbers"),
        (["scan.spacing_mm=[-1,1,1]"], "each must be at least 0"),
        (["scan.voxels=[-1,0,0]"], "each must be at least 0"),
        (["scan.size=[0,1,1]"], "each must be at least 1"),
        (["scan.rotation_deg=-3"], "scan.rotation_deg is -3; it must be at least 0"),
        (["network.dimensions=2"], "one voxel thick"),
    ],
)
def test_settings_that_cannot_work_are_told_with_what_they_may_be(overrides, said):
    with pytest.raises(UsageError, match=said):
        check_config(experiment("patches_unet3d", *overrides))


def prepare_scans(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """``scripts/prepare_scans.py`` in this process; its exit code."""
    script = runpy.run_path(str(CONFIGS.parent / "prepare_scans.py"))
    monkeypatch.setattr(sys, "argv", ["prepare_scans.py", *map(str, arguments)])
    return int(script["main"]())


def test_scans_are_checked_before_any_is_written_and_cases_can_be_left_out(tmp_path, monkeypatch, capsys):
    data, cache = tmp_path / "data", tmp_path / "cache"
    flat = made_scan("liver_2", 2)
    flat.label[flat.label == 1] = 7
    write_folder("decathlon", data, [made_scan("liver_1", 1), flat])
    given = ["--data", data, "--adapter", "decathlon", "--cache", cache]
    assert prepare_scans(monkeypatch, *given, "experiment=two_level_unet_liver") == 1
    said = capsys.readouterr().err
    assert "FATAL" in said and "liver_2" in said
    assert not cache.exists()
    assert prepare_scans(monkeypatch, *given, "--exclude", "liver_9", "experiment=two_level_unet_liver") == 2
    assert "no case liver_9 to leave out" in capsys.readouterr().err
    small = ["experiment=two_level_unet_liver", "scan.spacing_mm=[5,5,5]"]
    assert prepare_scans(monkeypatch, *given, "--exclude", "liver_2", *small) == 0
    assert cached_names(cache) == ["liver_1"]
    assert prepare_scans(monkeypatch, *given, "--exclude", "liver_2") == 2
    assert "Traceback" not in capsys.readouterr().err
