"""Settings of a training run that cannot work, refused before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liverseg.errors import ModelError, UsageError
from liverseg.networks import FAMILIES, size_multiple
from liverseg.training.cache import with_aorta
from liverseg.training.config import RunConfig
from liverseg.training.losses import LOSSES
from liverseg.training.optimizers import OPTIMIZERS, SCHEDULES
from liverseg.training.road_config import NORMALIZATIONS, ScanConfig
from liverseg.training.roads import SCAN, described_network, task_facts, task_names
from liverseg.training.sampling import Shares
from liverseg.training.scan_task import classes_of

log = logging.getLogger(__name__)


def check_config(config: RunConfig) -> None:
    """Refuse settings that cannot work, before anything runs.

    Raises:
        UsageError: names the setting and what it may be.
    """
    task, data = config.task, config.data
    if task.name not in task_names():
        raise UsageError(f"task.name is {task.name!r}; it may be {', '.join(task_names())}")
    if config.optimizer.loss not in LOSSES:
        raise UsageError(
            f"optimizer.loss is {config.optimizer.loss!r}; it may be {', '.join(sorted(LOSSES))}"
        )
    check_places(config)
    check_flips(config)
    check_aorta(config)
    check_roads(config)
    try:
        multiples = size_multiple(described_network(config))
    except ModelError as error:
        raise UsageError(f"network: {error}") from error
    sides = zip(task.patch, multiples, strict=False)
    if len(task.patch) != 3 or any(side < multiple or side % multiple for side, multiple in sides):
        raise UsageError(
            f"task.patch is {list(task.patch)}; with this network its three sides must each be a multiple of "
            f"{multiples[-1] if len(set(multiples)) == 1 else multiples}"
        )
    if task.kernels and len(task.kernels) != len(task.filters):
        raise UsageError(f"task.kernels has {len(task.kernels)} entries for {len(task.filters)} levels")
    if config.network.name == "DynUNet" and not 0 <= task.deep_supervision <= len(task.filters) - 2:
        raise UsageError(f"task.deep_supervision must lie in 0..{len(task.filters) - 2}")
    for name in ("steps", "batch", "accumulate", "steps_an_epoch"):
        if getattr(config.trainer, name) < 1:
            raise UsageError(f"trainer.{name} must be at least 1")
    if config.trainer.minutes < 0:
        raise UsageError("trainer.minutes must be 0 (no such end) or more")
    if data.on_gpu and config.trainer.accelerator == "cpu":
        raise UsageError("data.on_gpu needs a GPU: set trainer.accelerator=gpu, or data.on_gpu=false")
    if not Path(data.cache).is_dir():
        raise UsageError(f"data.cache: no folder {data.cache}; run scripts/prepare_data.py first")


def check_places(config: RunConfig) -> None:
    """Refuse shares that say no place for patches.

    Raises:
        UsageError: they do not sum to 1, one is none, or the task drops no patches.
    """
    task = config.task
    try:
        Shares(task.lesion, task.liver, task.anywhere)
    except ValueError as error:
        raise UsageError(f"task.lesion, task.liver, task.anywhere: {error}") from error
    if not 0 <= task.least_tissue < 1:
        raise UsageError(f"task.least_tissue is {task.least_tissue:g}; it is a share, 0 or more and below 1")
    if task.least_tissue and task.name in ("couinaud", "slices"):
        raise UsageError(f"task.least_tissue drops patches of volumes; {task.name} has none to drop")


def check_flips(config: RunConfig) -> None:
    """Refuse mirrored patches where left is not right.

    Raises:
        UsageError: the task is not stage 2, or an axis is none.
    """
    if set(config.task.flip) - {0, 1, 2}:
        raise UsageError(f"task.flip is {list(config.task.flip)}; it takes the axes 0 (z), 1 (y) and 2 (x)")
    if config.task.flip and config.task.name != "stage2":
        raise UsageError("task.flip mirrors patches of stage 2 alone; organs and segments have sides")


def check_aorta(config: RunConfig) -> None:
    """Refuse an aorta that cannot be learned.

    Raises:
        UsageError: the task is not stage 1, the share is none, or nobody drew an aorta.
    """
    share, cache = config.task.aorta, Path(config.data.cache)
    if not share:
        return
    if config.task.name != "stage1":
        raise UsageError("task.aorta is a class of stage 1 alone")
    if not 0 < share < 1:
        raise UsageError(f"task.aorta is {share:g}; it is a share of the patches, above 0 and below 1")
    if cache.is_dir() and not with_aorta(cache):
        raise UsageError(
            f"task.aorta: nobody drew an aorta in {cache}; leave it at 0, or prepare scans with anatomy maps"
        )


def check_judging(config: RunConfig, judging: Sequence[str]) -> None:
    """Say when settings that follow the validation loss follow nothing.

    Args:
        judging: the held-out cases that may judge while training.

    Raises:
        UsageError: the schedule cannot work without them.
    """
    if config.data.validate and judging:
        return
    missing = (
        "nobody is held out to judge: give data.splits" if config.data.validate else "data.validate is 0"
    )
    if config.optimizer.schedule == "plateau":
        raise UsageError(f"optimizer.schedule=plateau follows the validation loss, and {missing}")
    if config.data.validate or config.trainer.patience:
        log.warning(
            "%s; there is no validation loss: no early stopping (trainer.patience), no best checkpoints "
            "(trainer.keep)",
            missing,
        )


def check_roads(config: RunConfig) -> None:
    """Refuse settings of network, scan, optimizer and teacher that cannot work.

    Raises:
        UsageError: names the setting and what it may be.
    """
    network, optimizer = config.network, config.optimizer
    _one_of("network.name", network.name, sorted(FAMILIES))
    _one_of("network.normalization", network.normalization, NORMALIZATIONS)
    _one_of("optimizer.name", optimizer.name, sorted(OPTIMIZERS))
    _one_of("optimizer.schedule", optimizer.schedule, SCHEDULES)
    if optimizer.schedule == "plateau" and not config.data.validate:
        raise UsageError("optimizer.schedule=plateau follows the validation loss: set data.validate")
    if optimizer.schedule in ("step", "plateau") and optimizer.step_every < 1:
        raise UsageError("optimizer.step_every must be at least 1")
    classes = task_facts(config).classes if config.task.name != SCAN else checked_scan(config.scan)
    if optimizer.class_weights and len(optimizer.class_weights) != len(classes):
        raise UsageError(f"optimizer.class_weights needs one number for each of {', '.join(classes)}")
    if config.task.deep_supervision and not (
        FAMILIES[network.name].deep_supervision and network.dimensions == 3
    ):
        raise UsageError(f"task.deep_supervision must be 0 with {network.name} in {network.dimensions}D")
    if (network.name == "TwoHeads") != (config.task.name == SCAN and config.scan.segments):
        raise UsageError("scan.segments and network.name=TwoHeads go together, with task.name=scan")
    odd = network.context > 0 and network.context % 2 == 1
    if not odd or (network.context > 1 and network.dimensions != 2):
        raise UsageError(
            f"network.context is {network.context}; it may be an odd number where dimensions is 2"
        )
    if config.task.name == SCAN and network.dimensions == 2 and config.task.patch[:1] != [1]:
        raise UsageError(f"task.patch is {list(config.task.patch)}; slices are one voxel thick: [1, y, x]")
    if config.teacher.unlabeled and (config.teacher.share < 1 or not 0 <= config.teacher.decay < 1):
        raise UsageError("teacher.share must be at least 1 and teacher.decay in 0..1")


def checked_scan(scan: ScanConfig) -> tuple[str, ...]:
    """The classes of a ``scan`` task whose settings can work.

    Raises:
        UsageError: names the setting and what it may be.
    """
    for name, length in (("spacing_mm", 3), ("voxels", 3), ("window_hu", 2)):
        if len(getattr(scan, name)) != length:
            raise UsageError(f"scan.{name} needs {length} numbers")
    if scan.size and len(scan.size) != 3:
        raise UsageError("scan.size needs three numbers (z, y, x), or none")
    if scan.window_hu[1] <= scan.window_hu[0]:
        raise UsageError(f"scan.window_hu is {list(scan.window_hu)}; the second HU must be the larger one")
    if (
        not scan.classes
        or set(scan.classes) - {"liver", "lesion"}
        or len(set(scan.classes)) < len(scan.classes)
    ):
        raise UsageError(f"scan.classes is {list(scan.classes)}; it may be liver, lesion or both")
    if scan.segments and set(scan.classes) != {"liver", "lesion"}:
        raise UsageError("scan.segments needs scan.classes=[liver,lesion]")
    _one_of("scan.region", scan.region, ("liver", "whole"))
    if scan.queue < 0 or scan.per_volume < 1 or set(scan.flip) - {0, 1, 2} or not -1 <= scan.overlap < 1:
        raise UsageError("scan: queue 0 or more, per_volume 1 or more, flip of 0, 1, 2, overlap below 1")
    return classes_of(scan)


def _one_of(name: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}; it may be {', '.join(allowed)}")
