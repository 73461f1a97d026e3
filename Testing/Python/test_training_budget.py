"""A run may be given minutes instead of steps; samples are made where the cases are kept."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg.errors import InputRefused, UsageError
from liverseg.training import augment
from liverseg.training.cached_cases import (
    SLICES,
    WHOLE,
    CachedGrid,
    Known,
    cached_grid,
    cached_names,
    load_cached,
    write_cached,
)
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.persons import person_of
from liverseg.training.run import train
from liverseg.training.splits import Part, Splits, write_splits
from liverseg.training.synth.copies import spacing_of_copies
from made_data import write_tiny_livers


@pytest.fixture
def settings(tmp_path):
    """A run of one made-up liver that would take a thousand steps."""
    write_tiny_livers(tmp_path / "cache", ("lits_004",))
    return RunConfig(
        run=str(tmp_path / "run"),
        data=DataConfig(cache=str(tmp_path / "cache"), workers=0),
        task=TaskConfig(name="stage2", patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=1),
        optimizer=OptimizerConfig(warm_up=1),
        trainer=TrainerConfig(steps=1000, steps_an_epoch=500, accumulate=1, precision="32-true", threads=1),
    )


def plant(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``scripts/plant_lesions.py`` in its own process."""
    environment = {**os.environ, "PYTHONPATH": str(root / "LiverSegExtension")}
    command = [sys.executable, str(root / "scripts" / "plant_lesions.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def learning_rate(state: dict) -> float:
    return float(state["optimizer_states"][0]["param_groups"][0]["lr"])


def test_a_run_ends_after_its_minutes_with_a_learning_rate_that_fell(settings, tmp_path):
    settings.trainer.minutes = 0.03
    train(settings)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)
    assert 1 < state["global_step"] < 500
    assert learning_rate(state) < 0.1 * settings.optimizer.learning_rate
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [int(row["step"]) for row in rows] == [state["global_step"]]


def test_more_minutes_go_on_where_the_run_ended(settings, tmp_path):
    settings.trainer.minutes = 0.02
    train(settings)
    before = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)["global_step"]
    settings.trainer.minutes = 0.04
    train(settings)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)
    assert state["global_step"] > before + 1
    (budget,) = (value for name, value in state["callbacks"].items() if "TimeBudget" in name)
    assert 60 * 0.04 <= budget["used_s"] < 60 * 0.04 + 2


def test_samples_on_a_gpu_are_refused_where_there_is_none(settings):
    settings.data.on_gpu = True
    with pytest.raises(UsageError, match=r"set trainer\.accelerator=gpu"):
        train(settings)
    settings.trainer.accelerator = "gpu"
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UsageError, match="finds no GPU"):
        train(settings)


@pytest.mark.parametrize("size", [3, 7])
def test_a_gpus_box_mean_is_that_of_the_cpu(size):
    volume = torch.from_numpy(np.random.default_rng(2).random((9, 12, 10))).float()
    torch.testing.assert_close(augment.pooled_mean(volume, size), augment.box_mean(volume, size))


def test_a_plain_crop_is_the_volume_itself(tmp_path):
    volume = torch.from_numpy(np.random.default_rng(3).integers(0, 255, (20, 22, 24), dtype=np.uint8))
    rng = np.random.default_rng(0)
    (patch,) = augment.sample_patch([volume], ["nearest"], np.array([9.5, 11.5, 9.5]), (8, 8, 8), rng, None)
    torch.testing.assert_close(patch, volume[6:14, 8:16, 6:14].float())


def test_planted_copies_are_cases_of_their_person_with_more_lesion(settings, tmp_path, root):
    label = np.zeros((40, 44, 44), dtype=np.uint8)
    label[4:36, 4:40, 4:40] = 1
    image = np.random.default_rng(5).integers(150, 170, label.shape).astype(np.uint8)
    write_cached(tmp_path / "cache", "ircad_05", label, image, Known())
    write_cached(tmp_path / "cache", "phantom_1000", label, image, Known())
    out = tmp_path / "planted"
    done = plant(root, "--cache", tmp_path / "cache", "--out", out, "--copies", 2, "--processes", 1)
    assert done.returncode == 0, done.stderr
    assert cached_names(out) == [f"{case}_planted_{n}" for case in ("ircad_05", "lits_004") for n in (0, 1)]
    first, second = (load_cached(out, f"ircad_05_planted_{n}") for n in (0, 1))
    assert (first.label == 2).any()
    assert (first.label != second.label).any()
    assert ((first.label > 0) == torch.from_numpy(label > 0)).all()


def test_a_coarse_cache_gets_lesions_that_its_voxels_can_hold(tmp_path, root):
    label = np.zeros((50, 50, 50), dtype=np.uint8)
    label[5:45, 5:45, 5:45] = 1
    image = np.random.default_rng(6).integers(155, 165, label.shape).astype(np.uint8)
    write_cached(tmp_path / "cache", "ircad_05", label, image, Known())
    common = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "--copies", 4, "--processes", 1)
    done = plant(root, *common, "--spacing", 4)
    assert done.returncode == 0, done.stderr
    sizes = [int((load_cached(tmp_path / "out", n).label == 2).sum()) for n in cached_names(tmp_path / "out")]
    # A ball of 5.3 mm has 10 voxels of 4 mm, one of 35 mm has 2,800.
    assert max(sizes) > 10
    assert plant(root, *common, "--spacing", 0).returncode == 2


def test_bulging_copies_have_liver_where_none_was(tmp_path, root):
    label = np.zeros((40, 50, 60), dtype=np.uint8)
    label[8:32, 15:35, 15:35] = 1
    gray = np.full(label.shape, 40)
    gray[label == 1] = 160
    image = (gray + np.random.default_rng(8).integers(0, 8, label.shape)).astype(np.uint8)
    write_cached(tmp_path / "cache", "ircad_05", label, image, Known())
    common = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "--copies", 6, "--processes", 1)
    done = plant(root, *common, "--spacing", 4, "--bulging")
    assert done.returncode == 0, done.stderr
    own = [name for name in cached_names(tmp_path / "out") if name.startswith("ircad_05_bulging_")]
    assert len(own) == 6
    copies = [load_cached(tmp_path / "out", name).label.numpy() for name in own]
    assert max(int(((copy > 0) & (label == 0)).sum()) for copy in copies) > 20
    both = plant(root, *common, "--bulging", "--pasted")
    assert both.returncode == 2
    assert "one of --pasted and --bulging" in both.stderr


def test_copies_of_a_persons_own_naming_stay_that_persons_and_keep_the_caches_grid(tmp_path, root):
    label = np.zeros((30, 30, 30), dtype=np.uint8)
    label[3:27, 3:27, 3:27] = 1
    image = np.random.default_rng(6).integers(155, 165, label.shape).astype(np.uint8)
    grid = CachedGrid(WHOLE, (4.0, 4.0, 4.0))
    write_cached(tmp_path / "cache", "made_000", label, image, Known(), grid=grid)
    common = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "--copies", 1, "--processes", 1)
    other = plant(root, *common, "--spacing", 1.5)
    assert other.returncode == 2
    assert "--spacing 1.5: the voxels in" in other.stderr and "have 4 x 4 x 4 mm" in other.stderr
    done = plant(root, *common)
    assert done.returncode == 0, done.stderr
    (name,) = cached_names(tmp_path / "out")
    assert person_of(name) == "made_000"
    assert cached_grid(tmp_path / "out", name) == grid


def test_slices_and_scans_of_several_grids_are_not_copied(tmp_path):
    label = np.ones((4, 4, 4), dtype=np.uint8)
    for case, grid in (("a", CachedGrid(WHOLE, (4.0,) * 3)), ("b", CachedGrid(WHOLE, (3.0, 4.0, 4.0)))):
        write_cached(tmp_path, case, label, label, Known(), grid=grid)
    assert spacing_of_copies(tmp_path, ["b"]) == (3.0, 4.0, 4.0)
    with pytest.raises(InputRefused, match="voxels of several sizes"):
        spacing_of_copies(tmp_path, ["a", "b"])
    write_cached(tmp_path, "b", label, label, Known(), grid=CachedGrid(SLICES, (4.0,) * 3, context=3))
    with pytest.raises(InputRefused, match="copies are made of scans"):
        spacing_of_copies(tmp_path, ["a", "b"])


def test_planting_tells_an_empty_cache_plainly(tmp_path, root):
    (tmp_path / "cache").mkdir()
    done = plant(root, "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "no cached case" in done.stderr
    assert "Traceback" not in done.stderr


def test_pasted_copies_take_no_lesion_of_a_held_out_person(tmp_path, root):
    rng = np.random.default_rng(7)
    liver = np.zeros((48, 56, 56), dtype=np.uint8)
    liver[4:44, 4:52, 4:52] = 1
    for case, gray in (("ircad_05", 60), ("ircad_06", 250)):
        label, image = liver.copy(), rng.integers(155, 165, liver.shape).astype(np.uint8)
        label[20:28, 20:28, 20:28] = 2
        image[label == 2] = gray
        write_cached(tmp_path / "cache", case, label, image, Known())
    write_cached(
        tmp_path / "cache", "ircad_14", liver, rng.integers(155, 165, liver.shape).astype(np.uint8), Known()
    )
    parts = (Part("0", ("ircad_006",), ("ircad_06",)), Part("1", ("ircad_005",), ("ircad_05",)))
    write_splits(Splits("k-fold", "project-roi", 1, parts), tmp_path / "splits.json")
    common = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "--pasted", "--processes", 1)
    done = plant(root, *common, "--copies", 3, "--splits", tmp_path / "splits.json", "--part", 0)
    assert done.returncode == 0, done.stderr
    assert {name.split("_pasted")[0] for name in cached_names(tmp_path / "out")} == {"ircad_05", "ircad_14"}
    copies = [load_cached(tmp_path / "out", f"ircad_14_pasted_{n}") for n in range(3)]
    lesions = [copy.image[copy.label == 2].float() for copy in copies]
    assert sum(len(gray) for gray in lesions) > 0
    assert all(float(gray.max()) < 170 for gray in lesions if len(gray))
    alone = plant(root, *common, "--part", 0)
    assert alone.returncode == 2
    assert "go together" in alone.stderr
