"""The mean of a run and one that began with it: halfway in its weights, honest about whom both have seen."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest
import torch

from liverseg.bundle import load_network, read_bundle
from liverseg.errors import InputRefused, UsageError
from liverseg.training.averaging import average_runs
from liverseg.training.config import DataConfig, TaskConfig
from liverseg.training.export import export_bundle
from liverseg.training.run import train
from made_data import tiny_run, write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
NAME = "network.output_block.conv.conv.weight"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and one that began with it."""
    folder = tmp_path_factory.mktemp("runs")
    cache = write_tiny_livers(folder / "cache", ("lits_004", "lits_005", "ircad_02"))
    train(tiny_run(cache, folder / "first"))
    train(tiny_run(cache, folder / "fine", begin_from=str(folder / "first"), seed=2))
    return folder


def weights(run: Path) -> torch.Tensor:
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"][NAME]


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_the_mean_lies_between_both_and_is_exported(runs, tmp_path, share):
    mean = average_runs(runs / "first", runs / "fine", tmp_path / "mean", share)
    expected = (1 - share) * weights(runs / "first") + share * weights(runs / "fine")
    assert not torch.equal(weights(runs / "first"), weights(runs / "fine"))
    torch.testing.assert_close(weights(mean), expected)
    export_bundle(tmp_path / "bundle", "a", {"stage2": mean}, {})
    bundle = read_bundle(tmp_path / "bundle")
    network = load_network(bundle, "stage2")
    torch.testing.assert_close(
        network.state_dict()[NAME.removeprefix("network.")], expected, rtol=0, atol=2e-3
    )
    entry = bundle.card["networks"]["stage2"]
    assert entry["learned_from"] == ["lits_004", "lits_005"]
    assert entry["training_steps"] == 4
    assert entry["held_out"] == ["ircad_02"]


def test_a_first_run_that_saw_whom_the_second_holds_out_is_refused(runs, tmp_path):
    other = DataConfig(cache=str(runs / "cache"), workers=0, exclude=["lits_004"])
    train(tiny_run(runs / "cache", tmp_path / "other", data=other))
    with pytest.raises(UsageError, match="has learned from persons whom"):
        average_runs(runs / "first", tmp_path / "other", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_what_cannot_be_averaged_is_refused(runs, tmp_path):
    with pytest.raises(UsageError, match="it may be 0 to 1"):
        average_runs(runs / "first", runs / "fine", tmp_path / "mean", 1.5)
    with pytest.raises(InputRefused, match="holds no"):
        average_runs(runs / "first", tmp_path / "none", tmp_path / "mean")
    with pytest.raises(UsageError, match="holds a run; give a new folder"):
        average_runs(runs / "first", runs / "fine", runs / "first")
    wider = TaskConfig(name="stage2", patch=[16, 16, 16], filters=[4, 8, 12], deep_supervision=1)
    train(tiny_run(runs / "cache", tmp_path / "wider", task=wider))
    with pytest.raises(UsageError, match="different networks"):
        average_runs(runs / "first", tmp_path / "wider", tmp_path / "mean")
    settings = json.loads((runs / "first" / "settings.json").read_text(encoding="utf-8"))
    assert settings["begin_from"] == ""


@pytest.mark.parametrize(("file", "size"), [("last.ckpt", 5000), ("settings.json", 200)])
def test_a_damaged_run_is_told_as_damaged(file, size, runs, tmp_path, capsys):
    shutil.copytree(runs / "fine", tmp_path / "fine")
    damaged = tmp_path / "fine" / file
    damaged.write_bytes(damaged.read_bytes()[:size])
    script = runpy.run_path(str(ROOT / "scripts" / "average_runs.py"))
    words = [str(runs / "first"), str(tmp_path / "fine"), "--out", str(tmp_path / "mean")]
    assert script["main"](words) == 3
    told = capsys.readouterr().err
    assert f"{file} is damaged" in told and told.count("\n") == 1
    assert not (tmp_path / "mean").exists()
