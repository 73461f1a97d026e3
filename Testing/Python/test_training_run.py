"""A training run: goes on as if never stopped, leaves out whom it must, refuses what cannot work."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg.bundle import load_network, read_bundle
from liverseg.errors import InputRefused, UsageError
from liverseg.training.cache import Known, write_cached
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.config_checks import check_config
from liverseg.training.export import export_bundle, unseen_cases
from liverseg.training.kept_settings import SETTINGS
from liverseg.training.persons import person_of
from liverseg.training.run import further_cases, judging_cases, split_cases, train
from liverseg.training.splits import make_folds, make_shares, write_splits
from made_data import write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
SMALL = [4, 8, 8]


@pytest.fixture
def cache(tmp_path):
    """Two made-up livers with a lesion each, and a third person's."""
    return write_tiny_livers(tmp_path / "cache", ("lits_004", "lits_005", "ircad_02"))


def config(cache: Path, run: Path, **trainer: object) -> RunConfig:
    settings = {"steps": 4, "steps_an_epoch": 2, "accumulate": 1, "precision": "32-true", **trainer}
    return RunConfig(
        run=str(run),
        data=DataConfig(cache=str(cache), workers=0, exclude=["ircad_02"]),
        task=TaskConfig(name="stage2", patch=[16, 16, 16], filters=SMALL, deep_supervision=1),
        optimizer=OptimizerConfig(warm_up=1),
        trainer=TrainerConfig(**settings),
    )


def state(run: Path) -> dict:
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=False)


def test_a_run_that_was_stopped_goes_on_as_if_never_stopped(cache, tmp_path):
    train(config(cache, tmp_path / "one"))
    half = config(cache, tmp_path / "two")
    train(replace(half, trainer=replace(half.trainer, stop_after=2)))
    assert state(tmp_path / "two")["global_step"] == 2
    train(half)
    whole, parted = state(tmp_path / "one"), state(tmp_path / "two")
    assert whole["global_step"] == parted["global_step"] == 4
    for kind in ("state_dict", "current_model_state"):
        for name, tensor in whole[kind].items():
            torch.testing.assert_close(tensor, parted[kind][name], rtol=0, atol=1e-6, msg=name)
    rows = list(csv.DictReader((tmp_path / "two" / "log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4"]


def test_a_trained_network_is_exported_and_loaded_by_the_engine(cache, tmp_path):
    train(config(cache, tmp_path / "run"))
    export_bundle(tmp_path / "a", "a", {"stage2": tmp_path / "run"}, {"license": "none"})
    bundle = read_bundle(tmp_path / "a")
    network = load_network(bundle, "stage2")
    averaged = state(tmp_path / "run")["state_dict"]
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, averaged[f"network.{name}"], rtol=0, atol=2e-3)
    assert bundle.card["networks"]["stage2"]["held_out"] == ["ircad_02"]
    assert bundle.networks["stage2"].classes[:3] == ("background", "liver", "lesion")


def test_a_models_unseen_cases_are_those_of_persons_whom_no_network_saw():
    first = ["ircad_17", "lits_000", "lits_001"]
    second = ["ircad_17_reading_a", "ircad_17_reading_b", "lits_001", "msd8_011"]
    unseen = unseen_cases([{"held_out": first}, {"held_out": second}])
    assert unseen == ["ircad_17", "ircad_17_reading_a", "ircad_17_reading_b", "lits_000", "lits_001"]
    assert unseen_cases([{"held_out": first}, {"held_out": []}]) == []


def test_a_person_whom_a_network_never_met_is_unseen_by_it():
    scans = {"held_out": ["lits_023", "lits_048"], "learned_from": ["lits_016"]}
    maps = {"held_out": ["ircad_02_reading_a"], "learned_from": ["lits_048", "msd8_011"]}
    assert unseen_cases([scans, maps]) == ["ircad_02_reading_a", "lits_023"]
    silent = {"held_out": ["lits_048", "lits_023"]}
    assert unseen_cases([scans, maps, silent]) == ["lits_023"]


def test_a_folder_without_a_run_is_no_bundle(tmp_path):
    with pytest.raises(InputRefused, match="holds no training run"):
        export_bundle(tmp_path / "a", "a", {"stage2": tmp_path}, {})


def test_what_a_run_learned_from_is_written_and_kept(cache, tmp_path):
    settings = config(cache, tmp_path / "run", steps=1)
    train(settings)
    told = json.loads((tmp_path / "run" / SETTINGS).read_text())
    assert told["learned_from"] == ["lits_004", "lits_005"]
    assert told["held_out"] == ["ircad_02"]
    everyone = replace(settings, data=replace(settings.data, exclude=[]))
    with pytest.raises(UsageError, match="other settings"):
        train(everyone)


def test_held_out_persons_judge_and_never_teach(cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    settings.data.validate = 2
    train(settings)
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert all(float(row["val_loss"]) > 0 for row in rows)
    assert list((tmp_path / "run" / "best").glob("*.ckpt"))


def test_folds_leave_out_every_case_of_a_person_and_keep_made_up_ones(tmp_path):
    names = ["lits_000", "lits_001", "lits_006", "lits_008", "ircad_02", "chaos_03", "phantom_1000"]
    persons = {name: person_of(name) for name in names if not name.startswith("phantom_")}
    write_splits(make_folds(persons, ["lits_000"], 3, 0, "project-roi"), tmp_path / "splits.json")
    for fold in range(3):
        data = DataConfig(cache="", splits=str(tmp_path / "splits.json"), part=str(fold))
        kept, held = split_cases(names, data)
        assert held
        assert sorted(kept + held) == sorted(names)
        assert "phantom_1000" in kept
        for pair in ({"lits_000", "lits_001"}, {"lits_006", "lits_008"}):
            assert pair <= set(kept) or pair <= set(held)


def test_with_shares_the_test_persons_neither_teach_nor_judge_while_training(tmp_path):
    names = [f"lits_{n:03d}" for n in range(60, 80)]
    shares = make_shares({name: name for name in names}, names[:5], (70, 15, 15), 0, "decathlon")
    write_splits(shares, tmp_path / "splits.json")
    data = DataConfig(cache="", splits=str(tmp_path / "splits.json"), part="val")
    kept, held = split_cases(names, data)
    assert kept == list(shares.part("train").cases)
    assert set(shares.part("test").cases) <= set(held)
    assert judging_cases(held, data) == list(shares.part("val").cases)


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("task", "name", "stage3", "couinaud, scan, slices, stage1, stage2"),
        ("task", "patch", [30, 32, 32], "multiple of 4"),
        ("task", "lesion", 0.9, "sum to 1"),
        ("task", "least_tissue", 1.0, "below 1"),
        ("task", "kernels", [[3, 3, 3]], "1 entries for 3 levels"),
        ("task", "flip", [3], "takes the axes 0"),
        ("optimizer", "loss", "hinge", "dice_ce"),
        ("data", "cache", "nowhere", "no folder nowhere"),
        ("data", "exclude", ["lits_099"], "no case of lits_099"),
        ("trainer", "steps", 0, "at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(part, name, value, said, cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    setattr(getattr(settings, part), name, value)
    with pytest.raises(UsageError, match=said):
        train(settings)
    assert not (tmp_path / "run").exists()


def test_only_patches_of_stage_2_are_mirrored(cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    settings.task.flip = [2]
    check_config(settings)
    for name in ("stage1", "couinaud"):
        settings.task.name = name
        with pytest.raises(UsageError, match="stage 2 alone"):
            check_config(settings)


def test_tasks_without_empty_patches_drop_none(cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    settings.task.least_tissue = 0.2
    check_config(settings)
    settings.task.name = "couinaud"
    with pytest.raises(UsageError, match="couinaud has none to drop"):
        check_config(settings)


def test_an_empty_data_folder_is_said_plainly(tmp_path):
    (tmp_path / "cache").mkdir()
    with pytest.raises(InputRefused, match="no cached case"):
        train(config(tmp_path / "cache", tmp_path / "run"))


@pytest.mark.parametrize("override", ["trainer.stepps=3", "task.name=stage3"])
def test_the_training_script_tells_a_wrong_setting_without_a_traceback(override, tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "experiment=stage2"]
    command += [f"data.cache={tmp_path}", f"run={tmp_path / 'run'}", override]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "LiverSegExtension"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert override.split("=")[0].split(".")[-1] in done.stderr or override.split("=")[1] in done.stderr
    assert not (tmp_path / "run").exists()


def test_further_cases_of_held_out_persons_never_teach(cache, tmp_path):
    folder = tmp_path / "pseudo"
    label = np.ones((20, 24, 24), dtype=np.uint8)
    for case in ("crlm_1004", "lits_007", "ircad_02"):
        write_cached(folder, case, label, 100 * label, Known(), label > 0)
    data = DataConfig(cache=str(cache), further=[str(folder)], exclude=["ircad_02"])
    assert {c.case for c in further_cases(data, held=["lits_006"]).values()} == {"crlm_1004"}
    settings = config(cache, tmp_path / "run", steps=1)
    settings.data.further, settings.data.further_share = [str(folder)], 1.0
    train(settings)
    assert state(tmp_path / "run")["global_step"] == 1
