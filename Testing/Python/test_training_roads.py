"""Optimizers and schedules follow their formulas; an averaged teacher learns from cases without labels."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg.bundle import read_bundle
from liverseg.errors import UsageError
from liverseg.networks import build_network
from liverseg.training.cached_cases import Known, load_cached, write_cached
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.export import export_bundle
from liverseg.training.mean_teacher import MeanTeacher, finest_logits, ramp
from liverseg.training.normalizing import foreground_statistics
from liverseg.training.optimizers import OPTIMIZERS, rate_factor, with_schedule
from liverseg.training.road_config import NetworkConfig, ScanConfig, TeacherConfig
from liverseg.training.roads import config_of_settings, described_network
from liverseg.training.run import train
from made_data import write_tiny_livers

DESCRIPTION = {"name": "DynUNet", "in_channels": 1, "out_channels": 2, "filters": [4, 8, 8]}


@pytest.fixture
def cache(tmp_path):
    """Two made-up livers with a lesion each."""
    folder = tmp_path / "cache"
    write_tiny_livers(folder, ["lits_004", "lits_005"])
    return folder


def config(cache: Path, run: Path, **optimizer: object) -> RunConfig:
    return RunConfig(
        run=str(run),
        data=DataConfig(cache=str(cache), workers=0),
        task=TaskConfig(name="scan", patch=[8, 8, 8], filters=[4, 8, 8], deep_supervision=0),
        optimizer=OptimizerConfig(warm_up=1, **optimizer),
        trainer=TrainerConfig(steps=4, steps_an_epoch=2, accumulate=1, precision="32-true"),
    )


def test_schedules_follow_their_formulas():
    def rates(**settings: object) -> list[float]:
        of = OptimizerConfig(warm_up=4, **settings)
        return [rate_factor(of, step, step / 100) for step in (1, 50, 99)]

    assert rates(schedule="constant") == [0.5, 1, 1]
    assert rates(schedule="poly") == pytest.approx([0.5, 0.5**0.9, 0.01**0.9])
    assert rates(schedule="cosine") == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * 0.01)) / 2, 0.5, (1 + math.cos(math.pi * 0.99)) / 2]
    )
    assert rates(schedule="step", step_every=30, step_factor=0.5) == pytest.approx([0.5, 0.5, 0.125])


def test_on_a_plateau_the_rate_falls_with_the_validation_loss():
    weight = torch.nn.Parameter(torch.zeros(1))
    settings = OptimizerConfig(schedule="plateau", step_every=1, step_factor=0.5, learning_rate=0.1)
    made = with_schedule(OPTIMIZERS["adamw"]([weight], settings, False), settings, lambda step: 0.0)
    assert made["lr_scheduler"]["monitor"] == "val_loss"
    for loss in (1.0, 1.0, 1.0):
        made["lr_scheduler"]["scheduler"].step(loss)
    assert made["optimizer"].param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_an_optimizer_is_made_by_name_with_its_settings(name, kind):
    settings = OptimizerConfig(name=name, learning_rate=0.3, weight_decay=0.01, momentum=0.8)
    made = OPTIMIZERS[name]([torch.nn.Parameter(torch.zeros(1))], settings, False)
    assert type(made) is kind
    assert made.defaults["lr"] == 0.3
    assert made.defaults["weight_decay"] == 0.01
    if name == "sgd":
        assert made.defaults["nesterov"]
        assert made.defaults["momentum"] == 0.8


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "sgd", "learning_rate": 1e-2, "schedule": "step", "step_every": 2, "loss": "boundary"},
        {"name": "adam", "schedule": "constant", "loss": "size_aware"},
        {"schedule": "cosine", "loss": "weighted_cross_entropy", "class_weights": [0.1, 1.0, 5.0]},
    ],
)
def test_a_run_learns_with_what_is_named(settings, cache, tmp_path):
    train(config(cache, tmp_path / "run", **settings))
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(np.isfinite(float(row["loss"])) for row in rows)


def test_the_foreground_statistics_of_the_training_cases_go_into_the_card(cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    settings.network = NetworkConfig(normalization="foreground")
    train(settings)
    entry = export_bundle_entry(tmp_path)
    cases = {name: load_cached(cache, name) for name in ("lits_004", "lits_005")}
    values = np.concatenate([c.image.numpy()[c.label.numpy() > 0] / 255.0 for c in cases.values()])
    scaled = values * entry["network"]["normalization"]["scale"] + entry["network"]["normalization"]["shift"]
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std() == pytest.approx(1, abs=1e-6)
    assert foreground_statistics(cases.values()).to_json() == entry["network"]["normalization"]


def export_bundle_entry(folder: Path) -> dict:
    export_bundle(folder / "mine", "mine", {"stage2": folder / "run"}, {})
    return read_bundle(folder / "mine").card["networks"]["stage2"]


def test_settings_of_a_run_begun_before_a_setting_was_there_are_read(cache, tmp_path):
    told = {"run": "r", "task": {"name": "stage2", "filters": [4, 8, 8], "kernels": []}, "optimizer": {}}
    old = config_of_settings(told)
    assert described_network(old) == {
        "name": "DynUNet",
        "filters": [4, 8, 8],
        "in_channels": 2,
        "out_channels": 5,
    }


def test_other_settings_of_the_network_are_refused_for_the_same_run(cache, tmp_path):
    settings = config(cache, tmp_path / "run")
    train(settings)
    with pytest.raises(UsageError, match=r"other settings \(network\)"):
        train(replace(settings, network=NetworkConfig(normalization="symmetric")))
    with pytest.raises(UsageError, match=r"other settings \(scan\)"):
        train(replace(settings, scan=ScanConfig(noise=0.1)))


def test_the_consistency_rises_as_published():
    assert ramp(0, 100) == pytest.approx(math.exp(-5))
    assert ramp(50, 100) == pytest.approx(math.exp(-5 / 4))
    assert ramp(100, 100) == ramp(250, 100) == 1


def test_a_teacher_is_the_average_of_its_student():
    torch.manual_seed(1)
    network = build_network(DESCRIPTION)
    teacher = MeanTeacher(network, TeacherConfig(unlabeled="x", decay=0.75))
    first = next(iter(teacher.copy.parameters())).clone()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    teacher.follow(network, 100)
    torch.testing.assert_close(next(iter(teacher.copy.parameters())), first + 0.25)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_teacher_that_agrees_teaches_nothing_and_one_that_does_not_teaches_the_student_alone():
    torch.manual_seed(1)
    network = build_network(DESCRIPTION)
    settings = TeacherConfig(unlabeled="x", noise=0.0, ramp_up=10, weight=2.0)
    teacher = MeanTeacher(network, settings)
    inputs = torch.rand(1, 1, 8, 8, 8)
    assert float(teacher.disagreement(network, inputs, 10).detach()) == pytest.approx(0, abs=1e-10)
    with torch.no_grad():
        for parameter in teacher.copy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    loss = teacher.disagreement(network, inputs, 10)
    said, taught = (torch.softmax(n(inputs), 1).detach() for n in (network, teacher.copy))
    assert float(loss.detach()) == pytest.approx(2 * float(((said - taught) ** 2).mean()), rel=1e-4)
    loss.backward()
    assert any(float(p.grad.abs().sum()) > 0 for p in network.parameters() if p.grad is not None)
    early = teacher.disagreement(network, inputs, 0)
    assert float(early.detach()) == pytest.approx(math.exp(-5) * float(loss.detach()), rel=1e-4)


def test_the_finest_of_several_outputs_is_compared():
    heads = torch.rand(2, 3, 4, 8, 8, 8)
    assert torch.equal(finest_logits(heads), heads[:, 0])


def test_a_run_with_a_teacher_learns_from_unlabeled_cases_goes_on_and_exports_the_student(cache, tmp_path):
    unlabeled = tmp_path / "unlabeled"
    empty = np.zeros((16, 16, 16), dtype=np.uint8)
    image = np.random.default_rng(5).integers(0, 255, empty.shape, dtype=np.uint8)
    for case in ("crlm_1004", "lits_004"):
        write_cached(unlabeled, case, empty, image, Known())

    def settings(run: str, weight: float) -> RunConfig:
        begun = config(cache, tmp_path / run)
        begun.teacher = TeacherConfig(unlabeled=str(unlabeled), weight=weight, ramp_up=2, decay=0.5)
        return begun

    train(settings("run", 5.0))
    train(settings("alone", 0.0))
    half = settings("parted", 5.0)
    train(replace(half, trainer=replace(half.trainer, stop_after=2)))
    train(half)

    def state(run: str) -> dict:
        return torch.load(tmp_path / run / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]

    whole, parted, alone = state("run"), state("parted"), state("alone")
    assert any(name.startswith("teacher.") for name in whole)
    for name, tensor in whole.items():
        if name.startswith("network."):
            torch.testing.assert_close(tensor, parted[name], rtol=0, atol=1e-5, msg=name)
    assert any(not torch.equal(whole[name], alone[name]) for name in whole if name.startswith("network."))
    entry = export_bundle_entry(tmp_path)
    assert not any("teacher" in name for name in entry["network"])
    # Who was seen without labels was seen.
    assert "crlm_1004" in entry["learned_from"]


def test_cases_of_held_out_persons_are_no_unlabeled_cases_either(cache, tmp_path):
    unlabeled = tmp_path / "unlabeled"
    write_tiny_livers(unlabeled, ["lits_005"])
    settings = config(cache, tmp_path / "run")
    settings.data.exclude = ["lits_005"]
    settings.teacher = TeacherConfig(unlabeled=str(unlabeled))
    with pytest.raises(UsageError, match="every case in .* is of a held-out person"):
        train(settings)
