"""What a run's options do: accumulation, early stopping, who judges, Weights & Biases."""

from __future__ import annotations

import csv
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import wandb as wandb_logger

from liverseg.errors import UsageError
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.run import train
from liverseg.training.splits import make_shares, write_splits
from made_data import write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def settings(tmp_path) -> RunConfig:
    """A run on two made-up livers that a third, held-out one judges."""
    write_tiny_livers(tmp_path / "cache", ("lits_060", "lits_061", "ircad_02"))
    return RunConfig(
        run=str(tmp_path / "run"),
        data=DataConfig(cache=str(tmp_path / "cache"), workers=0, exclude=["ircad_02"]),
        task=TaskConfig(name="stage2", patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=1),
        # Steps of the gradient itself: Adam's are of one length whatever the gradient is.
        optimizer=OptimizerConfig(name="sgd", learning_rate=0.05, warm_up=1),
        trainer=TrainerConfig(steps=4, steps_an_epoch=2, accumulate=1, precision="32-true", pictures=0),
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run / "last.ckpt", weights_only=False)["current_model_state"]
    return {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_accumulated_passes_are_one_step_on_all_their_samples(settings, tmp_path):
    runs = {}
    for name, batch, accumulate in (("together", 4, 1), ("apart", 1, 4), ("fewer", 1, 1)):
        trainer = replace(settings.trainer, batch=batch, accumulate=accumulate, steps=2)
        train(replace(settings, run=str(tmp_path / name), trainer=trainer))
        runs[name] = weights(tmp_path / name)
    for name, tensor in runs["together"].items():
        torch.testing.assert_close(runs["apart"][name], tensor, rtol=0, atol=1e-5, msg=name)
    assert any((runs["fewer"][name] - tensor).abs().max() > 1e-3 for name, tensor in runs["together"].items())


@pytest.mark.parametrize(("patience", "ends_at"), [(0, "10"), (1, "4"), (2, "6")])
def test_a_run_without_gain_stops_after_its_patience(settings, tmp_path, patience, ends_at):
    settings.data.validate, settings.optimizer.learning_rate = 1, 0.0
    settings.trainer.steps, settings.trainer.patience = 10, patience
    train(settings)
    told = rows(tmp_path / "run")
    assert told[-1]["step"] == ends_at
    assert len({row["val_loss"] for row in told}) == 1


def test_a_run_that_goes_on_knows_its_best_checkpoints_and_its_patience(settings, tmp_path):
    settings.data.validate, settings.optimizer.learning_rate = 1, 0.0
    settings.trainer.steps, settings.trainer.patience = 10, 2
    for step, waited in ((2, 0), (4, 1)):
        train(replace(settings, trainer=replace(settings.trainer, stop_after=step)))
        known = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)["callbacks"]
        (best,) = (kept for name, kept in known.items() if "ModelCheckpoint" in name and "val_loss" in name)
        assert Path(best["best_model_path"]).name == "step=2.ckpt"
        (stopping,) = (kept for name, kept in known.items() if "EarlyStopping" in name)
        assert stopping["wait_count"] == waited
    train(settings)
    assert rows(tmp_path / "run")[-1]["step"] == "6"
    assert [path.name for path in (tmp_path / "run" / "best").iterdir()] == ["step=2.ckpt"]


def test_a_plateau_schedule_goes_on_as_if_never_stopped(settings, tmp_path):
    settings.data.validate, settings.trainer.steps = 1, 8
    settings.optimizer = replace(
        settings.optimizer, schedule="plateau", step_every=1, step_factor=0.5, learning_rate=1e-6
    )
    train(replace(settings, run=str(tmp_path / "whole")))
    for step in (2, 4, 6, 8):
        train(replace(settings, trainer=replace(settings.trainer, stop_after=step)))
    rates = [
        torch.load(run / "last.ckpt", weights_only=False)["optimizer_states"][0]["param_groups"][0]["lr"]
        for run in (tmp_path / "whole", tmp_path / "run")
    ]
    assert rates[0] == rates[1] < 1e-6


def test_a_plateau_schedule_stopped_inside_epochs_goes_on_as_if_never_stopped(settings, tmp_path):
    settings.data.validate, settings.trainer.steps, settings.trainer.keep = 1, 8, 3
    settings.trainer.patience = 3
    settings.optimizer = replace(
        settings.optimizer, schedule="plateau", step_every=1, step_factor=0.5, learning_rate=1e-6
    )
    train(replace(settings, run=str(tmp_path / "whole")))
    for step in (3, 5, 8):
        train(replace(settings, trainer=replace(settings.trainer, stop_after=step)))
    runs = [tmp_path / "whole", tmp_path / "run"]
    states = [torch.load(run / "last.ckpt", weights_only=False) for run in runs]
    whole, parted = (state["lr_schedulers"][0] for state in states)
    for told in ("_last_lr", "num_bad_epochs", "last_epoch", "best"):
        assert whole[told] == parted[told], told
    stopping = [
        kept["wait_count"]
        for state in states
        for name, kept in state["callbacks"].items()
        if "EarlyStopping" in name
    ]
    assert stopping[0] == stopping[1]
    # Nobody judged where an epoch was cut short.
    losses = [{row["step"]: row["val_loss"] for row in rows(run)} for run in runs]
    assert losses[1].pop("3") == losses[1].pop("5") == ""
    assert losses[0] == losses[1]
    best = [sorted(path.name for path in (run / "best").iterdir()) for run in runs]
    assert best[0] == best[1]


def test_patience_without_anybody_held_out_is_said(settings, caplog):
    settings.data.exclude, settings.data.validate = [], 2
    settings.trainer.steps, settings.trainer.patience = 1, 5
    with caplog.at_level("WARNING", "liverseg"):
        train(settings)
    assert "nobody is held out to judge: give data.splits" in caplog.text
    assert "no early stopping" in caplog.text


def test_a_plateau_schedule_without_anybody_held_out_is_refused(settings, tmp_path):
    settings.data.exclude, settings.data.validate = [], 2
    settings.optimizer.schedule = "plateau"
    with pytest.raises(UsageError, match="nobody is held out to judge"):
        train(settings)
    assert not (tmp_path / "run").exists()


def test_with_published_shares_the_part_val_judges(settings, tmp_path):
    persons = {name: name for name in ("lits_060", "lits_061", "ircad_02")}
    shares = make_shares(persons, [], (34, 33, 33), 0, "decathlon")
    write_splits(shares, tmp_path / "splits.json")
    data = {"exclude": [], "validate": 1, "splits": str(tmp_path / "splits.json")}
    settings.data, settings.trainer.steps = replace(settings.data, **data), 1
    with pytest.raises(UsageError, match="no part '0'; choose one of train, val, test"):
        train(settings)
    settings.data.part = "val"
    train(settings)
    assert float(rows(tmp_path / "run")[0]["val_loss"]) > 0


def test_weights_and_biases_without_its_package_is_one_line(settings, tmp_path):
    if importlib.util.find_spec("wandb") is not None:
        pytest.skip("the package wandb is installed here")
    settings.trainer.wandb = True
    with pytest.raises(UsageError, match="asks for the package wandb; install it or set it to false"):
        train(settings)
    assert not (tmp_path / "run").exists()


class SentRun:
    """Takes what a run sends to Weights & Biases, in place of its service."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {}
        self.config: dict[str, Any] = {}

    def log(self, metrics: dict[str, Any]) -> None:
        for name, value in metrics.items():
            self.sent.setdefault(name, []).append(value)


def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> SentRun:
    """Put a made-up package in place of wandb: its run, and pictures that stay arrays."""
    run, parts = SentRun(), {name: ModuleType(name) for name in ("wandb", "wandb.sdk", "wandb.sdk.lib")}
    parts["wandb.wandb_run"] = ModuleType("wandb.wandb_run")
    parts["wandb"].__dict__.update(run=None, init=lambda **_: run, Image=lambda picture: picture)
    parts["wandb.sdk.lib"].__dict__["RunDisabled"] = type("RunDisabled", (), {})
    parts["wandb.wandb_run"].__dict__["Run"] = SentRun
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, name, part)
    monkeypatch.setattr(wandb_logger, "_WANDB_AVAILABLE", True)
    return run


def test_losses_dice_and_pictures_are_sent_to_weights_and_biases(settings, monkeypatch):
    service = fake_wandb(monkeypatch)
    settings.data.validate = 1
    settings.trainer.wandb, settings.trainer.pictures = True, 1
    train(settings)
    assert len(service.sent["loss"]) == len(service.sent["val_loss"]) == 2
    assert all(0 <= dice <= 1 for dice in service.sent["dice_held_out/lesion"])
    (first,), (second,) = service.sent["held_out/0"]
    assert first.shape == second.shape
    assert first.dtype == np.uint8
    assert {2, 4} <= set(service.sent["trainer/global_step"])
