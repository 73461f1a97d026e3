"""A loss term: a person's predicted tumor burden is to be what the clinical table leads one to expect.

A patch shows a share of the liver, its coverage. From a burden between b1 and b2 of the whole liver follows
for the lesion share f of a patch that covers c of it, whatever lies elsewhere::

    (b1 - (1 - c)) / c  <=  f  <=  b2 / c

since the patch holds at most all lesions, and the rest of the liver cannot hold more than itself. Outside of
these bounds the squared ratio of logarithms counts, within them nothing does. Of a whole liver (c = 1) the
predicted burden itself is held between b1 and b2; a small patch is held from above alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from liverseg.errors import UsageError
from liverseg.training.cached_cases import CachedCase, Code
from liverseg.training.clinical import FLOOR, Severity, fit_severity, fit_severity_on_stage
from liverseg.training.clinical_table import read_clinical_table
from liverseg.training.config import ClinicalConfig
from liverseg.training.persons import person_of
from liverseg.training.scan_task import ScanTask
from liverseg.training.tasks import Sample, Task
from liverseg.writers.atomic import written_whole

log = logging.getLogger(__name__)

TARGETS = {"burden": fit_severity, "stage": fit_severity_on_stage}
CLINICAL_FILE = "clinical.json"


@dataclass(frozen=True)
class Expectation:
    """What is expected of a case.

    Attributes:
        lowest, highest: bounds of the burden of its liver (0..1).
        liver_voxels: of the whole liver, lesions included.
        lesion_channel: which class of the network is the lesion.
        weight: of the term in the loss.
    """

    lowest: float
    highest: float
    liver_voxels: int
    lesion_channel: int
    weight: float


@dataclass(frozen=True)
class BurdenSample(Sample):
    """A sample of a case with an expectation; None for a case that the table says nothing of."""

    expectation: Expectation | None = None


def burden_bounds(expectation: Expectation, coverage: float) -> tuple[float, float]:
    """The least and the largest lesion share of a patch that covers so much of the liver (0..1)."""
    lowest = max(0.0, (expectation.lowest - (1 - coverage)) / coverage)
    return lowest, min(1.0, expectation.highest / coverage)


def burden_term(output: torch.Tensor, sample: Sample) -> torch.Tensor:
    """The weighted term of one sample; zero without an expectation, or without liver in the patch.

    Args:
        output: (classes, z, y, x), or (1 + levels, classes, z, y, x) with deep supervision: the first counts.
        sample: its target is above 0 in the liver.
    """
    nothing = output.new_zeros((), dtype=torch.float32)
    expectation = sample.expectation if isinstance(sample, BurdenSample) else None
    if expectation is None or expectation.weight <= 0:
        return nothing
    head = output[0] if output.dim() == 5 else output
    liver = ((sample.target > 0) & sample.counted).to(head.device)
    voxels = int(liver.sum())
    if voxels == 0:
        return nothing
    # Patches are scaled a little, so that one may hold more voxels than the liver has.
    lowest, highest = burden_bounds(expectation, min(1.0, voxels / expectation.liver_voxels))
    score = torch.softmax(head.float(), dim=0)[expectation.lesion_channel]
    found = torch.log(score[liver].mean() + FLOOR)
    above = torch.relu(found - float(np.log(highest + FLOOR)))
    below = torch.relu(float(np.log(lowest + FLOOR)) - found)
    return expectation.weight * (above**2 + below**2)


def known_burdens(cases: Mapping[str, CachedCase]) -> dict[str, float]:
    """The burden of each person whose lesions are labeled, the mean over the person's scans."""
    found: dict[str, list[float]] = {}
    for name, case in cases.items():
        liver = int((case.label > 0).sum())
        if case.known.lesions and case.counted is None and liver and not name.startswith("phantom_"):
            found.setdefault(person_of(name), []).append(int((case.label == Code.LESION).sum()) / liver)
    return {person: float(np.mean(burdens)) for person, burdens in found.items()}


def severity_of_cases(settings: ClinicalConfig, cases: Mapping[str, CachedCase], seed: int) -> Severity:
    """The fit on the table of a run's settings, of the cases that it learns from alone.

    Raises:
        InputRefused: the table cannot be read.
        UsageError: the settings cannot work, or the table and the cases have too little in common.
    """
    if settings.target not in TARGETS:
        raise UsageError(f"clinical.target is {settings.target!r}; it may be {', '.join(TARGETS)}")
    table = read_clinical_table(Path(settings.table), settings.columns)
    return TARGETS[settings.target](table, known_burdens(cases), seed)


def expectations(
    severity: Severity, cases: Mapping[str, CachedCase], settings: ClinicalConfig, lesion_channel: int
) -> dict[str, Expectation]:
    """Those of the cases whose persons are in the table; empty where the table explains nothing."""
    weight = settings.weight * severity.explained
    if weight <= 0:
        log.warning("the clinical table explains nothing beyond chance: it has no part in the loss")
        return {}
    reach = settings.tolerance * severity.deviation
    result = {}
    for name, case in cases.items():
        middle, voxels = severity.expected.get(person_of(name)), int((case.label > 0).sum())
        if middle is None or voxels == 0:
            continue
        low, high = (float(np.clip(np.exp(middle + sign * reach) - FLOOR, 0, 1)) for sign in (-1, 1))
        result[name] = Expectation(low, high, voxels, lesion_channel, weight)
    return result


class BurdenTask:
    """A task whose samples carry what is expected of their case."""

    def __init__(self, task: Task, expected: Mapping[str, Expectation]) -> None:
        self.task, self.expected = task, dict(expected)
        self._single: dict[str, Task] = {}

    def sample(self, rng: np.random.Generator) -> Sample:
        """A random sample; the same for the same state of ``rng``."""
        case = self.task.draw_case(rng)
        name = self._name_of(case)
        if name not in self._single:
            # The same task over this case alone, so that it is known whose the sample is.
            self._single[name] = replace(
                self.task, cases={name: case}, further=(), further_share=0.0, phantom_share=1.0
            )
        return self._told(self._single[name].sample(rng), name)

    def numbered(self, seed: int, number: int) -> Sample:
        """Sample ``number`` of a run, out of the task's queue where it has one."""
        if not isinstance(self.task, ScanTask):
            return self.sample(np.random.default_rng((seed, number)))
        case, rng = self.task.drawn(seed, number)
        return self._told(self.task.sample_of(case, rng), self._name_of(case))

    def _name_of(self, case: CachedCase) -> str:
        return next(name for name, known in self.task.cases.items() if known is case)

    def _told(self, sample: Sample, name: str) -> BurdenSample:
        """The sample with what is expected of its case."""
        return BurdenSample(
            sample.inputs, sample.target, sample.counted, sample.groups, self.expected.get(name)
        )


def with_clinical_table(
    task: Task, classes: Sequence[str], settings: ClinicalConfig, seed: int, folder: Path
) -> Task | BurdenTask:
    """The task with the expectations of the table that the settings name; the task itself without one.

    What was fitted is written into ``folder`` as ``clinical.json``. ``classes`` are those of the network.

    Raises:
        InputRefused, UsageError: see :func:`severity_of_cases`; also a task that tells no lesions apart.
    """
    if not settings.table:
        return task
    if "lesion" not in classes:
        raise UsageError("clinical.table: this task tells no lesions apart; leave it empty")
    labeled = {name: case for name, case in task.cases.items() if name not in task.further}
    severity = severity_of_cases(settings, labeled, seed)
    with written_whole(folder / CLINICAL_FILE) as path:
        told = {name: value for name, value in asdict(severity).items() if name != "expected"}
        path.write_text(json.dumps({**asdict(settings), **told}, indent=2) + "\n", encoding="utf-8")
    expected = expectations(severity, labeled, settings, classes.index("lesion"))
    log.info("%d of %d cases have an expected burden", len(expected), len(labeled))
    return BurdenTask(task, expected) if expected else task
