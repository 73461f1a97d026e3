"""While a network learns: Dice by class, and truth beside prediction, of the same few samples each epoch.

The samples are of held-out persons where a run has some, else of persons it learns from (the tags say which).
They are drawn once by numbers of their own, so that what is seen changes by the network alone, and the run
itself draws the samples it would draw without them. The averaged weights are shown: those that are exported.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from liverseg.training.lightning_parts import Average, Samples, TaskData, TaskModule
from liverseg.training.losses import merge_classes
from liverseg.training.roads import TaskFacts
from liverseg.training.tasks import Sample, Task

log = logging.getLogger(__name__)

# Beside the numbers of training and validation.
_SEED = 2_000_003
HELD_OUT, SEEN = "held_out", "seen"
# Pixels of the picture a voxel.
ENLARGED = 3
# After Paul Tol's bright scheme, then muted ones: background is not colored.
_COLORS = np.array(
    [
        (0, 0, 0),
        (102, 204, 238),
        (238, 102, 119),
        (68, 119, 170),
        (34, 136, 51),
        (204, 187, 68),
        (170, 51, 119),
        (153, 153, 51),
        (136, 34, 85),
    ],
    dtype=np.float32,
)
_VEIL = 0.45


@dataclass
class ClassCounts:
    """Voxels of a class over several samples."""

    truth: int = 0
    predicted: int = 0
    both: int = 0

    @property
    def dice(self) -> float:
        """Dice of all samples as one volume; 1 when the class is in neither."""
        size = self.truth + self.predicted
        return 2 * self.both / size if size else 1.0


class Pictures(pl.Callback):
    """Writes to TensorBoard, and to Weights & Biases where a run logs there."""

    def __init__(self, count: int, seed: int, facts: TaskFacts) -> None:
        """``count`` samples, drawn by the run's ``seed``, of the task with these ``facts``."""
        self.count, self.seed, self.facts = count, seed, facts
        self._samples: list[Sample] = []
        self._began = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = trainer.global_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == self._began or not trainer.is_global_zero:
            # Going on from the checkpoint of an epoch's end closes that epoch once more.
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, TaskData) and isinstance(pl_module, TaskModule)
        task, kind = (data.training, SEEN) if data.validation is None else (data.validation, HELD_OUT)
        if not self._samples:
            drawn = Samples(task, self.seed + _SEED)
            self._samples = [_on_cpu(drawn[number][0]) for number in range(self.count)]
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        module = next((c.averaged for c in callbacks if isinstance(c, Average)), None) or pl_module
        with trainer.precision_plugin.forward_context():
            logits = predict(module, self._samples)
        dices = dice_by_class(logits, self._samples, self.facts)
        told = {f"dice_{kind}/{name}": dice for name, dice in dices.items()}
        for logger in trainer.loggers:
            logger.log_metrics(told, trainer.global_step)
            for number, (scores, sample) in enumerate(zip(logits, self._samples, strict=True)):
                picture = beside(sample, scores, self.facts.foreground_from)
                _log_picture(logger, f"{kind}/{number}", picture, trainer.global_step)


def _on_cpu(sample: Sample) -> Sample:
    inputs, target, counted = (t.cpu() for t in (sample.inputs, sample.target, sample.counted))
    return replace(sample, inputs=inputs, target=target, counted=counted)


def predict(module: TaskModule, samples: Sequence[Sample]) -> list[torch.Tensor]:
    """Logits (classes, z, y, x) of each sample, on the CPU; leaves the network in the mode it was in."""
    network = module.network
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return [module(sample.inputs[None].to(device))[0].float().cpu() for sample in samples]
    finally:
        network.train(training)


def dice_by_class(
    logits: Sequence[torch.Tensor], samples: Sequence[Sample], task: TaskFacts | type[Task]
) -> dict[str, float]:
    """Dice of each class that the labels tell apart, over the counted voxels of all samples together.

    Classes that a sample's labels do not tell apart are one, such as "liver + portal vein".
    """
    counts: dict[str, ClassCounts] = {}
    for scores, sample in zip(logits, samples, strict=True):
        merged, truth = merge_classes(scores[None], sample.target, sample.groups)
        found = merged[0].argmax(dim=0)
        for number, group in enumerate(sample.groups):
            if group[0] < task.foreground_from:
                continue
            count = counts.setdefault(_name(group, task.classes), ClassCounts())
            own, its = ((m == number) & sample.counted for m in (truth, found))
            count.truth += int(own.sum())
            count.predicted += int(its.sum())
            count.both += int((own & its).sum())
    return {name: count.dice for name, count in counts.items()}


def beside(sample: Sample, logits: torch.Tensor, foreground_from: int) -> np.ndarray:
    """The input, the truth, and the prediction, side by side: (rows, columns, 3) uint8.

    Of the input its first channel is shown, of stacked slices the middle one, in the axial slice with most of
    the rarest class of the truth, so of a lesion where there is one. Classes that the labels do not tell
    apart have one color, on both sides.
    """
    merged, own = merge_classes(logits[None], sample.target, sample.groups)
    # Each group in the color of its first class; 0 is not colored.
    colors = np.array([group[0] for group in sample.groups]) + (1 - foreground_from)
    counted = sample.counted.numpy()
    truth, found = (
        np.where(counted, colors[numbers.numpy()], 0) for numbers in (own, merged[0].argmax(dim=0))
    )
    level = _telling_slice(truth)
    shown = sample.inputs[0, level] if sample.inputs.dim() == 4 else sample.inputs[len(sample.inputs) // 2]
    image = shown.float().numpy().clip(0, 1) * 255
    gray = np.repeat(image[..., None], 3, axis=2)
    gap = np.full((gray.shape[0], 1, 3), 255, np.float32)
    panels = [gray, gap, _veiled(gray, truth[level]), gap, _veiled(gray, found[level])]
    picture = np.concatenate(panels, axis=1).round().astype(np.uint8)
    return picture.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


def _telling_slice(truth: np.ndarray) -> int:
    codes, sizes = np.unique(truth[truth > 0], return_counts=True)
    if not len(codes):
        return truth.shape[0] // 2
    return int((truth == codes[sizes.argmin()]).sum(axis=(1, 2)).argmax())


def _veiled(gray: np.ndarray, labels: np.ndarray) -> np.ndarray:
    colors = _COLORS[np.minimum(labels, len(_COLORS) - 1)]
    inside = (labels > 0)[..., None]
    return np.where(inside, (1 - _VEIL) * gray + _VEIL * colors, gray)


def _name(group: Sequence[int], classes: Sequence[str]) -> str:
    # Codes beyond the classes are of an unknown kind of those in the group.
    return " + ".join(classes[code] for code in group if code < len(classes))


def _log_picture(logger: Logger, name: str, picture: np.ndarray, step: int) -> None:
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, picture, step, dataformats="HWC")
    elif hasattr(logger, "log_image"):
        # Weights & Biases; other loggers have no place for pictures.
        logger.log_image(key=name, images=[picture], step=step)
