"""A training run: goes on as if never stopped, leaves out whom it must, refuses what cannot work."""

from __future__ import annotations

import csv
import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from liverseg.bundle import load_network, read_bundle
from liverseg.errors import InputRefused, UsageError
from liverseg.training.cached_cases import (
    SEGMENTS,
    SLICES,
    WHOLE,
    CachedCase,
    CachedGrid,
    Known,
    load_cached,
    write_cached,
)
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.config_checks import check_config, check_grid
from liverseg.training.export import export_bundle, trained_network, unseen_cases
from liverseg.training.kept_settings import SETTINGS
from liverseg.training.persons import person_of
from liverseg.training.road_config import ScanConfig
from liverseg.training.run import further_cases, judging_cases, split_cases, train
from liverseg.training.sampling import Shares
from liverseg.training.scan_task import ScanTask
from liverseg.training.splits import make_folds, make_shares, write_splits
from liverseg.training.tasks import LiverTask, Task
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
    with pytest.raises(UsageError, match="no run to export: name that of stage1, stage2 or couinaud"):
        export_bundle(tmp_path / "a", "a", {}, {})
    assert not (tmp_path / "a").exists()


def test_a_damaged_run_a_damaged_card_and_a_file_in_the_way_are_told_as_such(cache, tmp_path):
    run, out = tmp_path / "run", tmp_path / "a"
    train(config(cache, run, steps=1, pictures=0))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file, not a folder"):
        export_bundle(tmp_path / "file", "a", {"stage2": run}, {})
    out.mkdir()
    (out / "card.json").write_text("[]")
    with pytest.raises(InputRefused, match="card.json is damaged"):
        export_bundle(out, "a", {"stage2": run}, {})
    for file, size in (("last.ckpt", 5000), (SETTINGS, 200)):
        whole = (run / file).read_bytes()
        (run / file).write_bytes(whole[:size])
        with pytest.raises(InputRefused, match=f"{file} is damaged") as refused:
            export_bundle(tmp_path / "b", "a", {"stage2": run}, {})
        assert "\n" not in str(refused.value)
        (run / file).write_bytes(whole)


@pytest.mark.parametrize("option", ["--facts", "--confidence"])
@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot read"), ("{", "is no JSON"), ("[1]", "holds no names with values")]
)
def test_facts_that_cannot_be_read_are_one_line(option, content, said, tmp_path, monkeypatch, capsys):
    script, path = runpy.run_path(str(ROOT / "scripts" / "export_bundle.py")), tmp_path / "facts.json"
    if content is not None:
        path.write_text(content)
    words = ["export_bundle.py", "--out", tmp_path / "a", "--name", "a", "--stage2", tmp_path, option, path]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    assert script["main"]() == 3
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


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
        ("trainer", "precision", "bf17", "trainer.precision is 'bf17'; it may be bf16-mixed"),
        ("trainer", "accelerator", "gpux", "it may be auto, cpu, gpu"),
        ("trainer", "devices", 0, "trainer.devices is 0; it must be at least 1"),
        ("trainer", "keep", -5, "trainer.keep is -5; it must be at least -1"),
        ("data", "validate", -1, "data.validate is -1; it must be at least 0"),
        ("data", "workers", -1, "data.workers is -1"),
        ("data", "further_share", 7.0, "data.further_share is 7; it must be 0 to 1"),
        ("task", "phantom_share", 5.0, "task.phantom_share is 5; it must be 0 to 1"),
        ("task", "filters", [], r"task.filters is \[\]; DynUNet needs a number"),
        ("optimizer", "learning_rate", -1.0, "optimizer.learning_rate is -1"),
        ("optimizer", "learning_rate", float("nan"), "optimizer.learning_rate is nan"),
        ("optimizer", "average", 1.5, "optimizer.average is 1.5; it must be 0 to 1"),
        ("optimizer", "clip", -1.0, "optimizer.clip is -1; it must be above 0"),
        ("scan", "noise", 0.1, "scan.noise: settings of task.name=scan alone"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(part, name, value, said, cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    setattr(getattr(settings, part), name, value)
    with pytest.raises(UsageError, match=said) as refused:
        train(settings)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_seed_that_is_none_and_a_run_at_or_below_a_file_are_refused(cache, tmp_path):
    with pytest.raises(UsageError, match="seed is -1; it must be 0 to 4294967295"):
        train(replace(config(cache, tmp_path / "run"), seed=-1))
    (tmp_path / "file").touch()
    for run in (tmp_path / "file", tmp_path / "file" / "sub" / "run"):
        with pytest.raises(UsageError, match="run: .*file is a file, not a folder"):
            train(config(cache, run))


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no GPU here; set trainer.accelerator=cpu"):
        train(config(cache, tmp_path / "run", accelerator="gpu"))

    def refused(**settings: object) -> None:
        raise MisconfigurationException("You requested gpu: [0, 1]\n But your machine only has: [0]")

    monkeypatch.setattr(pl, "Trainer", refused)
    with pytest.raises(UsageError, match="But your machine only has") as told:
        train(config(cache, tmp_path / "run", devices=2))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("file", "content"), [("case.json", b'{"lesions"'), ("label.npy", b"half")])
def test_a_damaged_case_is_named_before_anything_is_written(file, content, cache, tmp_path):
    (cache / "lits_005" / file).write_bytes(content)
    with pytest.raises(InputRefused, match="lits_005 is damaged") as refused:
        train(config(cache, tmp_path / "run"))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "value", "other_task", "said"),
    [
        ("planted", 0.3, "stage1", "task.planted is for stage2 alone"),
        ("least_tissue", 0.2, "couinaud", "couinaud has none to drop"),
    ],
)
def test_what_a_task_cannot_do_is_refused_there_alone(cache, tmp_path, setting, value, other_task, said):
    settings = config(cache, tmp_path / "run")
    setattr(settings.task, setting, value)
    check_config(settings)
    settings.task.name = other_task
    with pytest.raises(UsageError, match=said):
        check_config(settings)


GRIDS = {
    "voxels of 4, 4, 4 mm instead of 1.5, 1.5, 1.5": ("stage2", CachedGrid(WHOLE, (4.0, 4.0, 4.0))),
    "HU from -1000, 1000 instead of -160, 240": ("stage2", CachedGrid(WHOLE, (1.5,) * 3, (-1000.0, 1000.0))),
    "segments instead of whole": ("stage1", CachedGrid(SEGMENTS, (4.0,) * 3, None)),
    "whole instead of segments": ("couinaud", CachedGrid(WHOLE, (5.0,) * 3)),
    "a context of 3 slices instead of 1": ("slices", CachedGrid(SLICES, None, None, 3)),
    "voxels of 1.5, 3, 3 mm instead of 0, 2, 2": ("scan", CachedGrid(WHOLE, (1.5, 3.0, 3.0))),
}


@pytest.mark.parametrize("said", sorted(GRIDS))
def test_a_cache_of_another_task_is_refused_and_one_that_says_nothing_is_not(said, cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    settings.scan.spacing_mm = [0.0, 2.0, 2.0]
    settings.task.name, grid = GRIDS[said]
    check_grid(settings, cache)
    one = np.ones((4, 4, 4), dtype=np.uint8)
    write_cached(tmp_path / "other", "a", one, one, Known(), grid=grid)
    with pytest.raises(UsageError, match=f"no cache for .*{said}") as refused:
        check_grid(settings, tmp_path / "other")
    assert "\n" not in str(refused.value)


def test_further_cases_of_another_grid_are_refused_by_their_run(cache, tmp_path):
    one = np.ones((8, 8, 8), dtype=np.uint8)
    write_cached(tmp_path / "other", "a", one, one, Known(), grid=CachedGrid(WHOLE, (4.0, 4.0, 4.0)))
    settings = config(cache, tmp_path / "run")
    settings.data.further = [str(tmp_path / "other")]
    with pytest.raises(UsageError, match="other is no cache for task.name=stage2"):
        train(settings)
    assert not (tmp_path / "run").exists()


def test_maps_without_a_scan_are_no_cache_of_a_network_that_sees_one(tmp_path):
    case = CachedCase("maps", torch.ones((8, 8, 8), dtype=torch.uint8), None, Known())
    task = LiverTask({"maps": case}, Shares(0, 1, 0), 0.0, (8, 8, 8))
    with pytest.raises(InputRefused, match="maps has no image in the cache"):
        task.sample(np.random.default_rng(0))


def test_only_patches_of_stage_2_are_mirrored(cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    settings.task.flip = [2]
    check_config(settings)
    for name in ("stage1", "couinaud"):
        settings.task.name = name
        with pytest.raises(UsageError, match="stage 2 alone"):
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


def test_cases_of_one_name_in_two_folders_have_patches_of_their_own(tmp_path):
    shapes, places = ((12, 12, 60), (60, 12, 12)), (np.s_[:, :, 50:58], np.s_[50:58])
    for folder, shape, place in zip(("one", "other"), shapes, places, strict=True):
        label = np.zeros(shape, np.uint8)
        label[place] = 1
        write_cached(tmp_path / folder, "anna__1_warped_0", label, 100 * label, Known())
    write_tiny_livers(tmp_path / "cache", ("anna__1_warped_0",))
    folders = [str(tmp_path / folder) for folder in ("one", "other")]
    data = DataConfig(cache=str(tmp_path / "cache"), further=folders)
    label = load_cached(tmp_path / "cache", "anna__1_warped_0").label
    segments = {"anna__1_warped_0": torch.zeros_like(label)}
    cases = {"anna__1_warped_0": load_cached(tmp_path / "cache", "anna__1_warped_0")} | further_cases(
        data, []
    )
    kinds: tuple[Task, ...] = (
        LiverTask(cases, Shares(0, 1, 0), 0.0, (8, 8, 8)),
        ScanTask(cases, Shares(0, 1, 0), 0.0, (8, 8, 8), segments=segments, settings=ScanConfig()),
    )
    for task in kinds:
        for case in task.cases.values():
            drawn = [task.center(case, np.random.default_rng(n)) for n in range(20)]
            wanted = np.argwhere(case.label.numpy() > 0).mean(axis=0)
            assert np.abs(np.mean(drawn, axis=0) - wanted).max() < 8, case.case
    # Held out, the person is so in every folder.
    assert not further_cases(data, ["anna__2"])


def test_the_card_names_further_persons_whatever_their_folder_is_called(cache, tmp_path):
    folder = write_tiny_livers(tmp_path / "scans in march__2" / "warped", ("anna__1_warped_0", "crlm_7"))
    settings = config(cache, tmp_path / "run", steps=1, pictures=0)
    settings.data.further = [str(folder)]
    train(settings)
    _, entry = trained_network(tmp_path / "run")
    assert entry["learned_from"] == ["anna", "crlm_007", "lits_004", "lits_005"]


def test_further_cases_of_held_out_persons_never_teach(cache, tmp_path):
    folder = tmp_path / "pseudo"
    label = np.ones((20, 24, 24), dtype=np.uint8)
    for case in ("crlm_1004", "lits_007", "ircad_02"):
        write_cached(folder, case, label, 100 * label, Known(), label > 0)
    data = DataConfig(cache=str(cache), further=[str(folder)], exclude=["ircad_02"])
    assert {c.case for c in further_cases(data, held=["lits_006"]).values()} == {f"crlm_1004 in {folder}"}
    settings = config(cache, tmp_path / "run", steps=1)
    settings.data.further, settings.data.further_share = [str(folder)], 1.0
    train(settings)
    assert state(tmp_path / "run")["global_step"] == 1
