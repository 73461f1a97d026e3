"""PyTorch Lightning around a task: the samples of a step, the loss, the optimizer, the averaged weights."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch.utils.data import DataLoader, Dataset, Sampler

from liverseg.networks import build_network
from liverseg.networks.segresnet import Redrawn
from liverseg.training.burden import BurdenTask, burden_term
from liverseg.training.checkpoints import trim_log
from liverseg.training.config import OptimizerConfig, RunConfig
from liverseg.training.losses import LossSettings, build_loss, divergence, reconstruction, sample_loss
from liverseg.training.mean_teacher import MeanTeacher
from liverseg.training.optimizers import OPTIMIZERS, follow_plateau, with_schedule
from liverseg.training.road_config import TeacherConfig
from liverseg.training.scan_task import ScanTask
from liverseg.training.tasks import Sample, Task

log = logging.getLogger(__name__)


class Samples(Dataset[list[Sample]]):
    """Sample number n of a run, and unlabeled ones beside it: the same for the same seed in any process."""

    def __init__(
        self, task: Task | BurdenTask, seed: int, unlabeled: Task | None = None, share: int = 1
    ) -> None:
        self.task, self.seed = task, seed
        self.unlabeled, self.share = unlabeled, share

    def __getitem__(self, number: int) -> list[Sample]:
        rng = np.random.default_rng((self.seed, number))
        if isinstance(self.task, ScanTask | BurdenTask):
            labeled = self.task.numbered(self.seed, number)
        else:
            labeled = self.task.sample(rng)
        if self.unlabeled is None:
            return [labeled]
        # A sample without groups of classes is one without labels.
        others = [replace(self.unlabeled.sample(rng), groups=()) for _ in range(self.share)]
        return [labeled, *others]


class Numbers(Sampler[int]):
    """The numbers of the samples from ``first`` on, ``count`` of them; both move on from epoch to epoch."""

    def __init__(self) -> None:
        self.first = self.count = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.count))

    def __len__(self) -> int:
        return self.count


class Batch(list[Sample]):
    """The samples that come to the trainer together."""

    def pin_memory(self) -> Batch:
        """The same in page-locked memory; the loader calls it where it is asked to."""
        return Batch(
            replace(
                sample,
                inputs=sample.inputs.pin_memory(),
                target=sample.target.pin_memory(),
                counted=sample.counted.pin_memory(),
            )
            for sample in self
        )


def _as_batch(samples: list[list[Sample]]) -> Batch:
    return Batch(sample for part in samples for sample in part)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


class TaskData(pl.LightningDataModule):
    """The samples of one epoch after the other, going on at the trainer's step."""

    def __init__(
        self,
        training: Task | BurdenTask,
        validation: Task | None,
        config: RunConfig,
        unlabeled: Task | None = None,
    ) -> None:
        super().__init__()
        self.training, self.validation, self.config = training, validation, config
        self.unlabeled = unlabeled
        self._loaders: dict[str, tuple[DataLoader[list[Sample]], Numbers]] = {}

    def _loader(self, name: str, samples: Samples, first: int, count: int) -> DataLoader[list[Sample]]:
        """The loader of that name, led on to these samples; one for a run, so that its workers live on."""
        if name not in self._loaders:
            data, numbers = self.config.data, Numbers()
            # Samples made on a GPU are made where it is used.
            workers = 0 if data.on_gpu else data.workers
            loader = DataLoader(
                samples,
                batch_size=self.config.trainer.batch,
                sampler=numbers,
                num_workers=workers,
                collate_fn=_as_batch,
                worker_init_fn=_one_thread,
                prefetch_factor=4 if workers else None,
                persistent_workers=data.persistent and workers > 0,
                pin_memory=data.pinned and not data.on_gpu and torch.cuda.is_available(),
            )
            self._loaders[name] = loader, numbers
        loader, numbers = self._loaders[name]
        numbers.first, numbers.count = first, count
        return loader

    def train_dataloader(self) -> DataLoader[list[Sample]]:
        """As many samples as the next epoch has steps for."""
        trainer = self.config.trainer
        assert self.trainer is not None
        # Processes of a distributed run share the samples of a step.
        a_step = trainer.batch * trainer.accumulate
        world, rank = self.trainer.world_size, self.trainer.global_rank
        steps = min(trainer.steps_an_epoch, trainer.steps - self.trainer.global_step)
        first = (self.trainer.global_step * world + rank * steps) * a_step
        samples = Samples(self.training, self.config.seed, self.unlabeled, self.config.teacher.share)
        return self._loader("training", samples, first, max(1, steps) * a_step)

    def val_dataloader(self) -> DataLoader[list[Sample]] | list[Any]:
        """A fixed set of samples of held-out persons, or none."""
        if self.validation is None:
            return []
        # A seed of its own: no sample of the training is repeated.
        samples = Samples(self.validation, self.config.seed + 1_000_003)
        return self._loader("validation", samples, 0, self.config.data.validate)


class TaskModule(pl.LightningModule):
    """A network, its loss and its optimizer."""

    def __init__(
        self,
        description: Mapping[str, Any],
        deep_supervision: int,
        foreground_from: int,
        optimizer: OptimizerConfig,
        steps: int,
        teacher: TeacherConfig | None = None,
    ) -> None:
        super().__init__()
        self.network = build_network(dict(description), deep_supervision, training=True)
        self.in_planes = int(description.get("dimensions", 3)) == 2
        self.foreground_from = foreground_from
        self.settings = optimizer
        self.steps = steps
        self.time_share = 0.0
        self.loss = build_loss(
            optimizer.loss,
            LossSettings(
                class_weights=tuple(optimizer.class_weights),
                boundary=optimizer.boundary,
                blobs=optimizer.blobs,
            ),
        )
        self.teacher = MeanTeacher(self.network, teacher) if teacher and teacher.unlabeled else None
        self._followed = 0
        self._judged_at = -1

    def forward(self, inputs: torch.Tensor) -> Any:
        """(batch, channels, z, y, x) to logits, with one more axis for the levels in training.

        Of stacked slices (batch, slices, y, x) the logits are those of one slice (batch, classes, 1, y, x);
        a network with a variational branch gives its terms, too (``Redrawn``).
        """
        layout = torch.channels_last_3d if inputs.dim() == 5 else torch.channels_last
        outputs = self.network(inputs.contiguous(memory_format=layout))
        return outputs[:, :, None] if inputs.dim() == 4 else outputs

    def _loss(self, samples: list[Sample]) -> torch.Tensor:
        losses, further = [], []
        for part in self._parts(samples):
            outputs = self(self._stacked(part))
            if isinstance(outputs, Redrawn):
                further += [self._redrawing(outputs)] * len(part)
                outputs = outputs.logits
            losses += [
                sample_loss(
                    output,
                    sample.target.to(self.device, non_blocking=True),
                    sample.counted.to(self.device, non_blocking=True),
                    sample.groups,
                    self.loss,
                    self.foreground_from,
                )
                + burden_term(output, sample)
                for output, sample in zip(outputs, part, strict=True)
            ]
        return torch.stack([*losses, *further]).sum() / len(losses)

    def _stacked(self, samples: list[Sample]) -> torch.Tensor:
        # One by one: what lies in page-locked memory goes over while the CPU works on.
        return torch.stack([sample.inputs.to(self.device, non_blocking=True) for sample in samples])

    def _parts(self, samples: list[Sample]) -> list[list[Sample]]:
        """The samples that go through the network together."""
        same = len({s.inputs.shape for s in samples}) == 1
        # One forward pass a sample keeps a CPU's fast layout; a GPU and slices want them together.
        return [samples] if same and (self.device.type != "cpu" or self.in_planes) else [[s] for s in samples]

    def _redrawing(self, outputs: Redrawn) -> torch.Tensor:
        settings = self.settings
        drawn = reconstruction(outputs.redrawn, outputs.inputs)
        return settings.redrawing * drawn + settings.divergence * divergence(outputs.mean, outputs.deviation)

    def _disagreement(self, samples: list[Sample]) -> torch.Tensor:
        """What teacher and network say differently about samples without labels."""
        assert self.teacher is not None
        if self.global_step > self._followed:
            # The step before this one has moved the network.
            self.teacher.follow(self.network, self.global_step)
            self._followed = self.global_step
        terms = [
            self.teacher.disagreement(self.network, self._stacked(part), self.global_step)
            for part in self._parts(samples)
        ]
        return torch.stack(terms).mean()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Draw dropout and noise by the step, so that a run that goes on draws what it would have."""
        torch.manual_seed(1_000_003 * (self.global_step + 1) + batch_idx)

    def training_step(self, batch: list[Sample], index: int) -> torch.Tensor:
        unlabeled = [sample for sample in batch if not sample.groups]
        loss = self._loss([sample for sample in batch if sample.groups])
        if unlabeled:
            loss = loss + self._disagreement(unlabeled)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: list[Sample], index: int) -> None:
        self.log("val_loss", self._loss(batch), on_epoch=True, batch_size=len(batch), sync_dist=True)

    def transfer_batch_to_device(
        self, batch: list[Sample], device: torch.device, dataloader_idx: int
    ) -> list[Sample]:
        return batch

    def configure_optimizers(self) -> Any:
        settings = self.settings
        fused = self.device.type == "cuda"
        optimizer = OPTIMIZERS[settings.name](self.network.parameters(), settings, fused)
        return with_schedule(optimizer, settings, self._done)

    def on_validation_epoch_end(self) -> None:
        self._judged_at = self.global_step

    def validation_loss(self) -> torch.Tensor | None:
        """That of the weights as they are; None at the end of an epoch that was cut short.

        The trainer's metrics keep the loss of the last validation, however long ago it was.
        """
        if self._judged_at != self.global_step:
            return None
        return self.trainer.callback_metrics.get("val_loss")

    def on_train_epoch_end(self) -> None:
        follow_plateau(self.lr_schedulers(), self.validation_loss())

    def _done(self, step: int) -> float:
        """The share of the training that lies behind, by steps or by time, whichever is more."""
        return max(step / self.steps, self.time_share)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave out a step whose gradient is not finite, as half precision gives now and then."""
        size = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        if not torch.isfinite(size):
            log.warning("step %d: the gradient is not finite; the step is left out", self.global_step + 1)
            for parameter in self.network.parameters():
                parameter.grad = None


class Average(WeightAveraging):
    """The exponential moving average of the weights; it starts fast and soon forgets the first ones."""

    def __init__(self, decay: float) -> None:
        def average(averaged: Any, current: Any, count: torch.Tensor | int) -> None:
            if not averaged[0].is_floating_point():
                # Counters of batch normalization; all tensors of a call are of one type.
                torch._foreach_copy_(averaged, current)
                return
            now = min(decay, (1 + int(count)) / (10 + int(count)))
            torch._foreach_lerp_(averaged, current, 1 - now)

        super().__init__(multi_avg_fn=average)

    @property
    def averaged(self) -> TaskModule | None:
        """The module with the averaged weights, while training."""
        return None if self._average_model is None else cast(TaskModule, self._average_model.module)


class TimeBudget(pl.Callback):
    """Ends a run after so many minutes of training in all its calls, and lets the learning rate fall so."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.used_s = 0.0
        self._last = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = time.monotonic()
        self._tell(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        self.used_s += now - self._last
        self._last = now
        self._tell(trainer, pl_module)

    def _tell(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, TaskModule)
        module.time_share = min(1.0, self.used_s / (60 * self.minutes))
        if module.time_share >= 1 and trainer.global_step > 0:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"used_s": self.used_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.used_s = float(state_dict["used_s"])


class BestCheckpoints(ModelCheckpoint):
    """The best checkpoints by validation loss; an epoch that was cut short has none to compare."""

    @property
    def state_key(self) -> str:
        # That of Lightning's own class, so that runs from before this one go on with theirs.
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TaskModule)
        if pl_module.validation_loss() is not None:
            super().on_train_epoch_end(trainer, pl_module)


class EpochLog(pl.Callback):
    """One line an epoch in ``log.csv``: step, loss, validation loss, seconds a step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began, self._step = time.monotonic(), 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step
        if trainer.is_global_zero:
            trim_log(self.path, trainer.global_step)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._step = time.monotonic(), trainer.global_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        steps = trainer.global_step - self._step
        if steps == 0 or not trainer.is_global_zero:
            # Going on from the checkpoint of an epoch's end closes that epoch once more.
            return
        seconds = (time.monotonic() - self._began) / steps
        assert isinstance(pl_module, TaskModule)
        losses = (trainer.callback_metrics.get("loss"), pl_module.validation_loss())
        loss, val = (None if value is None else float(value) for value in losses)
        row = [trainer.global_step, loss, val, round(seconds, 3)]
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "loss", "val_loss", "seconds_a_step"])
            writer.writerow(row)
        log.info("step %d: loss %.4f, validation %s, %.2f s a step", row[0], loss or 0.0, val, seconds)
