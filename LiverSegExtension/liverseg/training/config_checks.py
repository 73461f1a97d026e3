"""Settings of a training run that cannot work, refused before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from liverseg.errors import ModelError, UsageError
from liverseg.networks import FAMILIES, size_multiple
from liverseg.training.cached_cases import SEGMENTS, SLICES, WHOLE, cached_grid, cached_names, with_aorta
from liverseg.training.config import RunConfig
from liverseg.training.losses import LOSSES
from liverseg.training.optimizers import OPTIMIZERS, SCHEDULES
from liverseg.training.road_config import NORMALIZATIONS, ScanConfig
from liverseg.training.roads import SCAN, described_network, task_facts, task_names
from liverseg.training.sampling import Shares
from liverseg.training.scan_task import classes_of
from liverseg.writers.atomic import plain_reason

log = logging.getLogger(__name__)

# The numbers that a setting may be, both ends included; None for no end.
_BOUNDS: tuple[tuple[str, float, float | None], ...] = (
    ("seed", 0, 2**32 - 1),
    ("data.further_share", 0, 1),
    ("data.validate", 0, None),
    ("data.workers", 0, None),
    ("task.phantom_share", 0, 1),
    ("task.planted", 0, 1),
    ("task.deep_supervision", 0, None),
    ("optimizer.learning_rate", 0, None),
    ("optimizer.weight_decay", 0, None),
    ("optimizer.warm_up", 0, None),
    ("optimizer.momentum", 0, 1),
    ("optimizer.step_factor", 0, 1),
    ("optimizer.average", 0, 1),
    ("optimizer.boundary", 0, None),
    ("optimizer.blobs", 0, None),
    ("optimizer.redrawing", 0, None),
    ("optimizer.divergence", 0, None),
    ("trainer.steps", 1, None),
    ("trainer.batch", 1, None),
    ("trainer.accumulate", 1, None),
    ("trainer.steps_an_epoch", 1, None),
    ("trainer.devices", 1, None),
    ("trainer.minutes", 0, None),
    ("trainer.stop_after", 0, None),
    # Lightning's -1 is all of them.
    ("trainer.keep", -1, None),
    ("trainer.patience", 0, None),
    ("trainer.pictures", 0, None),
    ("trainer.threads", 0, None),
    ("teacher.weight", 0, None),
    ("teacher.ramp_up", 0, None),
    ("teacher.noise", 0, None),
    ("clinical.weight", 0, None),
    ("clinical.tolerance", 0, None),
)
# Settings of ``scan``: lengths, counts and largest changes.
_NOT_NEGATIVE = (
    "margin_mm",
    "queue",
    "rotation_deg",
    "scale",
    "stretch",
    "bend_voxels",
    "translate_voxels",
    "noise",
)
PRECISIONS = ("bf16-mixed", "16-mixed", "32-true")
ACCELERATORS = ("auto", "cpu", "gpu")


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
    check_numbers(config)
    check_machine(config)
    check_effects(config)
    check_places(config)
    check_flips(config)
    check_aorta(config)
    check_roads(config)
    name = config.network.name
    # MONAI's DynUNet cannot be built of fewer.
    levels = 3 if name == "DynUNet" else 2
    if "filters" in FAMILIES[name].required and (len(task.filters) < levels or min(task.filters) < 1):
        raise UsageError(
            f"task.filters is {list(task.filters)}; {name} needs a number of at least 1 for each of "
            f"{levels} levels or more"
        )
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
    if not Path(data.cache).is_dir():
        raise UsageError(f"data.cache: no folder {data.cache}; run scripts/prepare_data.py first")
    refuse_file_in_the_way(Path(config.run))


def check_numbers(config: RunConfig) -> None:
    """Refuse numbers that a setting cannot be.

    Raises:
        UsageError: names the setting and what it may be.
    """
    for name, low, high in _BOUNDS:
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        _within(name, value, low, high)
    if not config.optimizer.clip > 0:
        raise UsageError(f"optimizer.clip is {config.optimizer.clip:g}; it must be above 0")


def check_machine(config: RunConfig) -> None:
    """Refuse what this machine cannot train on.

    Raises:
        UsageError: a name that is none, or a GPU where there is none.
    """
    trainer = config.trainer
    _one_of("trainer.precision", trainer.precision, PRECISIONS)
    _one_of("trainer.accelerator", trainer.accelerator, ACCELERATORS)
    if config.data.on_gpu and trainer.accelerator == "cpu":
        raise UsageError("data.on_gpu needs a GPU: set trainer.accelerator=gpu, or data.on_gpu=false")
    if trainer.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UsageError(
            "trainer.accelerator=gpu: PyTorch finds no GPU here; set trainer.accelerator=cpu"
            f"{' and data.on_gpu=false' if config.data.on_gpu else ''}"
        )


def check_effects(config: RunConfig) -> None:
    """Refuse settings of another task, which would change nothing.

    Raises:
        UsageError: names the setting and the task that it is of.
    """
    task = config.task.name
    if config.task.planted and task != "stage2":
        raise UsageError(f"task.planted is for stage2 alone, and task.name is {task}; leave it at 0")
    if task == SCAN:
        return
    own, usual = asdict(config.scan), asdict(ScanConfig())
    changed = [f"scan.{name}" for name in own if own[name] != usual[name]]
    if changed:
        raise UsageError(
            f"{', '.join(changed)}: settings of task.name=scan alone, and it is {task}; leave them out"
        )


def refuse_file_in_the_way(folder: Path) -> None:
    """Refuse a run's folder that is a file, or lies below one.

    Raises:
        UsageError: names the file, or says why nothing is seen of the folder.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    except OSError as error:
        raise UsageError(f"run: {folder}: {plain_reason(error)}; give run= another folder") from error
    if not there.is_dir():
        raise UsageError(f"run: {there} is a file, not a folder; give run= another folder")


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


def check_grid(config: RunConfig, folder: Path) -> None:
    """Refuse a cache of another task, by its first case; what that case does not say passes.

    Raises:
        UsageError: its voxels are not those that the task learns from.
        InputRefused: the folder holds no case, or a damaged one.
    """
    grid = cached_grid(folder, cached_names(folder)[0])
    if grid is None:
        return
    scan, facts = config.scan, task_facts(config)
    kind = {"couinaud": SEGMENTS, "slices": SLICES}.get(config.task.name, WHOLE)
    wanted = [facts.spacing_mm] * 3
    if config.task.name == SCAN:
        # 0, and a number of voxels instead, are of any size.
        wanted = [0.0 if n else mm for mm, n in zip(scan.spacing_mm, scan.voxels, strict=True)]
    context = config.network.context if kind == SLICES else None
    told = [f"{grid.kind} instead of {kind}"] if grid.kind != kind else []
    if grid.spacing_mm and any(
        w and abs(w - own) > 1e-3 for w, own in zip(wanted, grid.spacing_mm, strict=True)
    ):
        told.append(f"voxels of {_shown(grid.spacing_mm)} mm instead of {_shown(wanted)}")
    if grid.window_hu and facts.window_hu and tuple(grid.window_hu) != tuple(facts.window_hu):
        told.append(f"HU from {_shown(grid.window_hu)} instead of {_shown(facts.window_hu)}")
    if grid.context and context and grid.context != context:
        told.append(f"a context of {grid.context} slices instead of {context}")
    if told:
        raise UsageError(
            f"{folder} is no cache for task.name={config.task.name} with these settings: it has "
            f"{', '.join(told)}; give the folder that was prepared for it"
        )


def _shown(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


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
    for name, least in (("spacing_mm", 0), ("voxels", 0), ("size", 1)):
        if any(not value >= least for value in getattr(scan, name)):
            raise UsageError(f"scan.{name} is {list(getattr(scan, name))}; each must be at least {least}")
    for name in _NOT_NEGATIVE:
        _within(f"scan.{name}", getattr(scan, name), 0, None)
    if not scan.window_hu[1] > scan.window_hu[0]:
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


def _within(name: str, value: float, low: float, high: float | None) -> None:
    # So that what is no number at all is refused, too.
    if not (value >= low and (high is None or value <= high)):
        wanted = f"at least {low}" if high is None else f"{low} to {high}"
        raise UsageError(f"{name} is {value:g}; it must be {wanted}")
