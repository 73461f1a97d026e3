"""How samples come to the trainer: by workers that live on, from exported slices, where the cases lie."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from liverseg.bundle import read_bundle
from liverseg.training.burden import BurdenSample, BurdenTask, Expectation
from liverseg.training.cached_cases import CachedCase, Known, cached_names, load_cached
from liverseg.training.config import DataConfig, OptimizerConfig, RunConfig, TaskConfig, TrainerConfig
from liverseg.training.export import export_bundle
from liverseg.training.lightning_parts import Batch, Samples, TaskData
from liverseg.training.road_config import NetworkConfig, ScanConfig
from liverseg.training.run import train
from liverseg.training.sampling import Places, Shares
from liverseg.training.scan_task import ScanTask
from liverseg.training.slice_loading import SliceRows, SliceTask
from liverseg.training.slices import SliceChoice, export_slices
from liverseg.training.tasks import LesionTask, Task
from made_data import write_tiny_livers

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def slices(tmp_path):
    """The exported slices of two tiny livers, each slice with its neighbors."""
    cache = write_tiny_livers(tmp_path / "cache", ("lits_004", "lits_005"))
    for case in cached_names(cache):
        export_slices(cache, case, tmp_path / "slices", SliceChoice(0.5, context=3))
    return tmp_path / "slices"


def on_slices(cache, run, workers: int) -> RunConfig:
    return RunConfig(
        run=str(run),
        data=DataConfig(cache=str(cache), workers=workers),
        task=TaskConfig(name="slices", patch=[1, 16, 16], filters=[4, 8, 8], deep_supervision=0),
        optimizer=OptimizerConfig(warm_up=1),
        trainer=TrainerConfig(steps=6, steps_an_epoch=2, batch=2, precision="32-true", threads=1, pictures=0),
        network=NetworkConfig(name="PlainUNet", dimensions=2, context=3, options={"norm": "instance"}),
    )


def test_a_run_learns_from_exported_slices_the_same_with_and_without_workers(slices, tmp_path):
    states = []
    for workers in (0, 1):
        last = train(on_slices(slices, tmp_path / f"run{workers}", workers))
        states.append(torch.load(last, weights_only=False)["state_dict"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    export_bundle(tmp_path / "mine", "mine", {"stage2": tmp_path / "run1"}, {})
    card = read_bundle(tmp_path / "mine").networks["stage2"]
    assert card.network["dimensions"] == 2 and card.network["context"] == 3


def task_over(cache, **more: object) -> LesionTask:
    cases = {name: load_cached(cache, name) for name in cached_names(cache)}
    return LesionTask(cases, Shares(), 0.0, (16, 16, 16), **more)


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_live_on_from_epoch_to_epoch_where_they_are_to(persistent, tmp_path):
    cache = write_tiny_livers(tmp_path / "cache", ("lits_004",))
    config = RunConfig(
        data=DataConfig(cache=str(cache), workers=1, persistent=persistent),
        trainer=TrainerConfig(steps=9, steps_an_epoch=3, accumulate=1),
    )
    data = TaskData(task_over(cache), None, config)
    data.trainer = SimpleNamespace(world_size=1, global_rank=0, global_step=0)
    own = Samples(data.training, config.seed)
    processes = set()
    for step in (0, 3, 6):
        data.trainer.global_step = step
        reader = iter(data.train_dataloader())
        (worker,) = reader._workers
        processes.add(worker.pid)
        batches = list(reader)
        assert all(isinstance(batch, Batch) for batch in batches)
        wanted = [own[step + n][0] for n in range(3)]
        got = [batch[0] for batch in batches]
        assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(got, wanted, strict=True))
    assert len(processes) == (1 if persistent else 3)


def test_a_batch_is_pinned_with_all_that_it_holds(tmp_path, monkeypatch):
    task = task_over(write_tiny_livers(tmp_path, ("lits_004",)))
    # Page-locked memory needs a GPU's driver: what is asked for is counted.
    pinned: list[torch.Size] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.shape) or tensor)
    batch = Batch([task.sample(np.random.default_rng(n)) for n in range(2)])
    again = batch.pin_memory()
    assert isinstance(again, Batch) and len(again) == 2
    assert len(pinned) == 6
    assert again[1].groups == batch[1].groups


def test_a_clinical_table_leaves_the_queue_of_patches_as_it_is():
    label = torch.zeros((16, 16, 16), dtype=torch.uint8)
    label[4:12, 4:12, 4:12] = 1
    cases = {
        f"lits_{n:03d}": CachedCase(f"lits_{n:03d}", label, torch.full_like(label, n), Known())
        for n in range(50, 60)
    }
    task = ScanTask(
        cases, Shares(0, 1, 0), 0.0, (4, 4, 4), settings=ScanConfig(queue=10, per_volume=5, noise=0.1)
    )
    told = {name: Expectation(0.1, 0.2, 500 + int(name[-2:]), 2, 1.0) for name in cases}
    plain, wrapped = Samples(task, 1), Samples(BurdenTask(task, told), 1)
    drawn = []
    for number in range(20):
        (sample,), (other,) = plain[number], wrapped[number]
        assert torch.equal(sample.inputs, other.inputs)
        assert isinstance(other, BurdenSample) and other.expectation is not None
        drawn.append(other.expectation.liver_voxels)
    assert sorted(drawn[:10].count(voxels) for voxels in set(drawn[:10])) in ([5, 5], [10])
    # Of another task every sample has a scan of its own.
    alone = Samples(BurdenTask(replace(task, settings=ScanConfig()), told), 1)
    assert len({alone[n][0].expectation.liver_voxels for n in range(20)}) > 4


ROADS = {
    "patches with a queue": (ScanConfig(queue=4, per_volume=2, rotation_deg=10, scale=0.1), (8, 8, 8), 1),
    "slices with neighbors": (
        ScanConfig(bend_voxels=1.0, flip=[1, 2], gray_values=True, noise=0.1),
        (1, 16, 16),
        3,
    ),
    "segments": (ScanConfig(segments=True, bend_voxels=1.0), (8, 8, 8), 1),
    "a plain crop": (ScanConfig(classes=["lesion"], translate_voxels=3.0), (8, 8, 8), 1),
}


@pytest.mark.parametrize("road", sorted(ROADS))
def test_a_roads_samples_are_made_where_its_cases_lie(road, tmp_path, monkeypatch):
    settings, patch, context = ROADS[road]
    case = load_cached(write_tiny_livers(tmp_path, ("lits_004",)), "lits_004")
    # PyTorch's device without memory refuses, as a GPU does, what lies elsewhere, and any look at a value.
    nowhere = torch.device("meta")
    task: Task = ScanTask(
        {"lits_004": case.on(nowhere)},
        Shares(),
        0.0,
        patch,
        device=nowhere,
        settings=settings,
        context=context,
        segments={"lits_004": torch.zeros_like(case.label)} if settings.segments else {},
    )
    task._places["lits_004"] = Places.of(case)
    noise = torch.randn
    monkeypatch.setattr(torch, "Generator", lambda device: SimpleNamespace(manual_seed=lambda seed: None))
    monkeypatch.setattr(torch, "randn", lambda *shape, generator, device: noise(*shape, device=device))
    samples = Samples(task, 1)
    for number in range(12):
        (sample,) = samples[number]
        assert {t.device.type for t in (sample.inputs, sample.target, sample.counted)} == {"meta"}


def test_samples_of_exported_slices_are_made_where_they_lie_too(slices, monkeypatch):
    case = load_cached(slices, "lits_004")
    nowhere = torch.device("meta")
    task = SliceTask({"lits_004": case.on(nowhere)}, Shares(), 0.0, (1, 16, 16), device=nowhere)
    task._rows["lits_004"] = SliceRows.of(case)
    noise = torch.randn
    monkeypatch.setattr(torch, "Generator", lambda device: SimpleNamespace(manual_seed=lambda seed: None))
    monkeypatch.setattr(torch, "randn", lambda *shape, generator, device: noise(*shape, device=device))
    for number in range(12):
        (sample,) = Samples(task, 1)[number]
        assert {t.device.type for t in (sample.inputs, sample.target, sample.counted)} == {"meta"}
