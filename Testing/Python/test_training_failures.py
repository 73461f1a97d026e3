"""A run that is killed goes on with the same curve; full disk, full memory and damaged files are one line."""

from __future__ import annotations

import csv
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg.errors import InputRefused, OutOfMemory, UsageError
from liverseg.training.cached_cases import Known, write_cached
from liverseg.training.checkpoints import trim_log
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.lightning_parts import TaskModule
from liverseg.training.run import train
from made_data import write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")

# Two runs as this file's own, killed at the third step and while the second checkpoint is written.
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from liverseg.training.lightning_parts import TaskModule
from liverseg.training.run import train
from test_training_failures import config

cache, folder = Path(sys.argv[1]), Path(sys.argv[2])
step, save = TaskModule.training_step, torch.save

def killed_in_a_step(self, batch, index):
    if self.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)

def killed_in_a_write(checkpoint, file):
    if checkpoint["global_step"] == 4:
        file.write(b"half a checkpoint")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(checkpoint, file)

torch.set_num_threads(1)
for where in ("step", "write"):
    child = os.fork()
    if child == 0:
        if where == "step":
            TaskModule.training_step = killed_in_a_step
        else:
            torch.save = killed_in_a_write
        train(config(cache, folder / where))
        os._exit(0)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def cache(tmp_path):
    """Two made-up livers with a lesion each."""
    return write_tiny_livers(tmp_path / "cache", ("lits_004", "ircad_02"))


def config(cache: Path, run: Path, **trainer: object) -> RunConfig:
    settings = {"steps": 6, "steps_an_epoch": 2, "accumulate": 1, "precision": "32-true", "pictures": 0}
    return RunConfig(
        run=str(run),
        data=DataConfig(cache=str(cache), workers=0),
        task=TaskConfig(name="stage2", patch=[16, 16, 16], filters=[4, 8, 8], deep_supervision=1),
        optimizer=OptimizerConfig(warm_up=1),
        trainer=TrainerConfig(**{**settings, **trainer}),
    )


def state(run: Path) -> dict:
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=False)


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_killed_in_a_step_or_in_a_checkpoint_goes_on_with_the_same_curve(cache, tmp_path):
    here = Path(__file__).resolve()
    paths = [here.parents[2] / "LiverSegExtension", here.parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(cache), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * 2, done.stderr
    runs = [tmp_path / "step", tmp_path / "write"]
    assert [row["step"] for row in log_of(runs[1])] == ["2", "4"]
    train(config(cache, tmp_path / "whole"))
    whole, rows = state(tmp_path / "whole"), log_of(tmp_path / "whole")
    for run in runs:
        assert state(run)["global_step"] == 2
        train(config(cache, run))
        again = state(run)
        for kind in ("state_dict", "current_model_state"):
            for name, tensor in whole[kind].items():
                torch.testing.assert_close(again[kind][name], tensor, rtol=0, atol=0, msg=name)
        told = log_of(run)
        assert [row["step"] for row in told] == ["2", "4", "6"]
        assert [row["loss"] for row in told] == [row["loss"] for row in rows]
        assert not list(run.glob(".*.part.*"))


def test_rows_that_will_be_written_again_and_half_rows_are_left_out_of_the_log(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,loss,val_loss,seconds_a_step\r\n2,1.5,,0.1\r\n4,1.2,,0.1\r\n6,1.")
    trim_log(log, 4)
    assert log.read_bytes() == b"step,loss,val_loss,seconds_a_step\r\n2,1.5,,0.1\r\n4,1.2,,0.1\r\n"
    trim_log(log, 0)
    assert log.read_bytes() == b"step,loss,val_loss,seconds_a_step\r\n"


def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_run_goes_on_later(cache, tmp_path):
    run = tmp_path / "run"
    train(config(cache, run, stop_after=2))
    size = (run / "last.ckpt").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(UsageError, match="make room and give the same command again") as told:
            train(config(cache, run))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(told.value)
    assert "last.ckpt is whole" in str(told.value)
    assert state(run)["global_step"] == 2
    assert not list(run.glob(".*.part.*"))
    train(config(cache, run))
    assert [row["step"] for row in log_of(run)] == ["2", "4", "6"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_a_gpu_out_of_memory_says_what_to_make_smaller(error, cache, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(TaskModule, "training_step", full)
    with pytest.raises(OutOfMemory) as told:
        train(config(cache, tmp_path / "run"))
    for wanted in ("on the GPU", "trainer.batch", "task.patch", "data.on_gpu=false"):
        assert wanted in str(told.value)


def test_another_error_in_a_run_stays_what_it_is(cache, tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(TaskModule, "training_step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(config(cache, tmp_path / "run"))


def test_a_damaged_checkpoint_is_named_with_what_to_do(cache, tmp_path):
    run = tmp_path / "run"
    settings = config(cache, run, steps=2)
    settings = replace(settings, data=replace(settings.data, exclude=["ircad_02"], validate=1))
    train(settings)
    last = run / "last.ckpt"
    for content in (last.read_bytes()[:5000], b"", b"text", last.read_bytes()[5000:]):
        last.write_bytes(content)
        with pytest.raises(InputRefused, match="last.ckpt is damaged") as told:
            train(settings)
        assert "delete it to begin again" in str(told.value)
        assert "best" in str(told.value)
    (best,) = (run / "best").glob("*.ckpt")
    last.write_bytes(best.read_bytes())
    train(replace(settings, trainer=replace(settings.trainer, steps=4)))
    assert state(run)["global_step"] == 4


def test_what_would_bend_the_curve_is_refused_when_a_run_goes_on(cache, tmp_path, caplog):
    run = tmp_path / "run"
    label = np.ones((20, 24, 24), dtype=np.uint8)
    for folder in ("pseudo", "moved"):
        write_cached(tmp_path / folder, "crlm_1004", label, 100 * label, Known(), label > 0)
    begun = config(cache, run, steps=1, batch=2)
    begun.data.further = [str(tmp_path / "pseudo")]
    train(begun)
    data, trainer = begun.data, begun.trainer
    changes = {
        "data.further": replace(begun, data=replace(data, further=[])),
        "data.further_share": replace(begun, data=replace(data, further_share=0.5)),
        "trainer.batch": replace(begun, trainer=replace(trainer, batch=1)),
        "trainer.accumulate": replace(begun, trainer=replace(trainer, accumulate=2)),
        "seed": replace(begun, seed=2),
        "optimizer": replace(begun, optimizer=replace(begun.optimizer, clip=1.0)),
    }
    for name, changed in changes.items():
        with pytest.raises(UsageError, match=f"other settings .*{name}"):
            train(changed)
    # Smaller batches that make the same steps, moved further cases and more steps bend nothing.
    moved = replace(data, further=[str(tmp_path / "moved")])
    with caplog.at_level("WARNING", "liverseg"):
        train(replace(begun, data=moved, trainer=replace(trainer, batch=1, accumulate=2, steps=2)))
    assert state(run)["global_step"] == 2
    assert "trainer.batch was 2 and is now 1" in caplog.text
    (run / "settings.json").write_text('{"task": ')
    with pytest.raises(InputRefused, match="settings.json is damaged"):
        train(begun)
