"""From a run's settings to its task and its network, whichever road they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from liverseg.intensity import SYMMETRIC
from liverseg.labels import AORTA
from liverseg.networks import FAMILIES
from liverseg.training.config import RunConfig
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
        classes = (*task.classes, AORTA.key) if config.task.aorta else task.classes
        return TaskFacts(task.spacing_mm, task.window_hu, classes, task.in_channels, task.foreground_from)
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
