"""From a run's settings to its task and its network, whichever road they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from liverseg.errors import UsageError
from liverseg.intensity import SYMMETRIC
from liverseg.networks import FAMILIES
from liverseg.training.config import RunConfig
from liverseg.training.optimizers import OPTIMIZERS, SCHEDULES
from liverseg.training.road_config import NORMALIZATIONS, ScanConfig
from liverseg.training.scan_cache import load_segments
from liverseg.training.scan_task import ScanTask, classes_of
from liverseg.training.slice_loading import SliceTask
from liverseg.training.tasks import TASKS, Task

SCAN = "scan"
# Tasks beside the three stages and the scan.
_TASKS: dict[str, type[Task]] = {**TASKS, "slices": SliceTask}


@dataclass(frozen=True)
class TaskFacts:
    """What a task is made of, beside how its samples are drawn.

    Attributes:
        spacing_mm: voxel size; of a grid that differs by axis the mean of what is set, 0 for the scan's own.
        window_hu: HU range that is mapped to 0..1; None where no CT goes in.
        classes: of the network's output.
        in_channels: of the network, without neighboring slices.
        foreground_from: the first class in terms of overlap.
    """

    spacing_mm: float
    window_hu: tuple[float, float] | None
    classes: tuple[str, ...]
    in_channels: int
    foreground_from: int


def task_names() -> list[str]:
    """What ``task.name`` may be."""
    return sorted([*_TASKS, SCAN])


def task_facts(config: RunConfig) -> TaskFacts:
    """Those of the task that the settings name."""
    if config.task.name != SCAN:
        task = _TASKS[config.task.name]
        return TaskFacts(
            task.spacing_mm, task.window_hu, task.classes, task.in_channels, task.foreground_from
        )
    scan = config.scan
    given = [s for s, n in zip(scan.spacing_mm, scan.voxels, strict=True) if s > 0 and n == 0]
    low, high = scan.window_hu
    return TaskFacts(float(np.mean(given)) if given else 0.0, (low, high), classes_of(scan), 1, 1)


def make_task(config: RunConfig, **common: Any) -> Task:
    """The task over the given cases; ``common`` are the fields of :class:`~liverseg.training.tasks.Task`."""
    if config.task.name == SCAN:
        segments = load_segments(Path(config.data.cache), common["cases"]) if config.scan.segments else {}
        return ScanTask(**common, settings=config.scan, context=config.network.context, segments=segments)
    return _TASKS[config.task.name](**common)


def described_network(config: RunConfig, normalization: Mapping[str, float] | None = None) -> dict[str, Any]:
    """What ``networks.build_network`` needs.

    Args:
        normalization: the foreground's, from ``training.normalizing``, where it is asked for.
    """
    settings, task, facts = config.network, config.task, task_facts(config)
    description: dict[str, Any] = {"name": settings.name, **settings.options}
    family = FAMILIES.get(settings.name)
    if family and "filters" in family.required:
        description["filters"] = list(task.filters)
    if family and "patch" in family.required:
        description["patch"] = list(task.patch)
    if family and "kernels" in family.options and task.kernels:
        description["kernels"] = [list(kernel) for kernel in task.kernels]
    description |= {"in_channels": facts.in_channels, "out_channels": len(facts.classes)}
    if settings.dimensions != 3:
        description |= {"dimensions": settings.dimensions, "context": settings.context}
    if settings.normalization == "symmetric":
        description["normalization"] = SYMMETRIC.to_json()
    if settings.normalization == "foreground" and normalization:
        description["normalization"] = dict(normalization)
    return description


def grid_of_card(config: RunConfig) -> dict[str, Any]:
    """What a model card says of a grid that is not isotropic, and of the windows' overlap."""
    if config.task.name != SCAN:
        return {}
    scan = config.scan
    told: dict[str, Any] = {}
    if len(set(scan.spacing_mm)) > 1 or min(scan.spacing_mm) <= 0 or any(scan.voxels):
        told["grid"] = {"spacing_mm": list(scan.spacing_mm), "voxels": list(scan.voxels)}
    if scan.overlap >= 0:
        told["overlap"] = scan.overlap
    return told


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


def config_of_settings(told: Mapping[str, Any]) -> RunConfig:
    """The settings that a run's folder keeps, also of a run begun before a setting was there."""
    return _filled(RunConfig, told)


def _filled(kind: Any, told: Mapping[str, Any]) -> Any:
    hints = get_type_hints(kind)
    values = {}
    for field in fields(kind):
        if field.name in told:
            value = told[field.name]
            values[field.name] = (
                _filled(hints[field.name], value) if is_dataclass(hints[field.name]) else value
            )
    return kind(**values)
