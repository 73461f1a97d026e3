"""Exported slices as a task of a training run, and as a data set with a loader for loops of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from liverseg.training.cache import STAGE2_SPACING
from liverseg.training.cached_cases import CachedCase, Code
from liverseg.training.slices import STILL, PlaneChange, SliceCase, slice_sample
from liverseg.training.tasks import Groups, Sample, Task


class SliceTask(Task):
    """Liver and lesions on exported slices: the samples of stage 2 without stage 1's liver.

    ``cases`` are exported ones (:func:`liverseg.training.cached_cases.load_cached` reads them); of ``patch``
    the first number is 1. A slice is drawn by the shares: one with a lesion, one with liver, or any.
    """

    spacing_mm = STAGE2_SPACING
    classes = ("background", "liver", "lesion", "portal vein", "hepatic vein")
    in_channels = 1
    change = PlaneChange()

    def sample(self, rng: np.random.Generator) -> Sample:
        case = self.draw_case(rng)
        row, center = self._row_and_center(case, rng)
        return slice_sample(case, row, (self.patch[1], self.patch[2]), rng, self.change, center)

    def _row_and_center(self, case: CachedCase, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        if case.case not in self._rows:
            self._rows[case.case] = SliceRows.of(case)
        rows = self._rows[case.case]
        kind = rng.random()
        if kind < self.shares.lesion and len(rows.lesion):
            chosen, least, most = rows.lesion, Code.LESION, Code.LESION
        elif kind < self.shares.lesion + self.shares.liver and len(rows.liver):
            chosen, least, most = rows.liver, Code.LIVER, Code.VESSEL
        else:
            row = int(rng.integers(len(rows.label)))
            return row, np.array([rng.uniform(0, n) for n in rows.label.shape[1:]])
        row = int(rng.choice(chosen))
        voxels = np.argwhere((rows.label[row] >= least) & (rows.label[row] <= most))
        return row, voxels[int(rng.integers(len(voxels)))]

    @cached_property
    def _rows(self) -> dict[str, SliceRows]:
        return {}


@dataclass(frozen=True, eq=False)
class SliceRows:
    """Which exported slices of a case hold what.

    Attributes:
        label: (n, y, x) on the CPU, wherever the case itself lies: a GPU need not be waited for.
        lesion, liver: the slices with a lesion, and with liver.
    """

    label: np.ndarray
    lesion: np.ndarray
    liver: np.ndarray

    @staticmethod
    def of(case: CachedCase) -> SliceRows:
        """Those of a case with labels of :class:`~liverseg.training.cached_cases.Code`."""
        label = case.label.cpu().numpy()
        flat = label.reshape(len(label), -1)
        lesion, liver = (flat == Code.LESION).any(axis=1), (flat > 0).any(axis=1)
        return SliceRows(label, np.flatnonzero(lesion), np.flatnonzero(liver))


class SliceDataset(Dataset[Sample]):
    """Every exported slice of some cases once, in order: for validation, and for loops of one's own.

    Args:
        cases: exported slices.
        patch: rows and columns of a sample.
        change: None for slices as they are.
        seed: of the changes; slice n is changed alike whichever process draws it.
    """

    def __init__(
        self,
        cases: Mapping[str, SliceCase],
        patch: tuple[int, int],
        change: PlaneChange = STILL,
        seed: int = 0,
    ) -> None:
        self.cases, self.patch, self.change, self.seed = dict(cases), patch, change, seed
        self.places = [(name, row) for name, case in self.cases.items() for row in range(len(case.numbers))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Sample:
        name, row = self.places[number]
        rng = np.random.default_rng((self.seed, number))
        return slice_sample(self.cases[name].cached, row, self.patch, rng, self.change)


@dataclass(frozen=True)
class LoaderOptions:
    """How samples come to the trainer.

    Attributes:
        batch: samples together.
        workers: processes that read; 0 for the trainer's own.
        pinned: batches in page-locked memory, from which a GPU copies faster.
        persistent: workers live on from epoch to epoch.
        prefetch: batches that each worker reads ahead.
        shuffle: in a random order.
    """

    batch: int = 8
    workers: int = 0
    pinned: bool = False
    persistent: bool = False
    prefetch: int = 4
    shuffle: bool = False


@dataclass(frozen=True)
class SliceBatch:
    """Samples of one size together: inputs (n, context, y, x), target and counted (n, y, x)."""

    inputs: torch.Tensor
    target: torch.Tensor
    counted: torch.Tensor
    groups: tuple[Groups, ...]

    def pin_memory(self) -> SliceBatch:
        """The same in page-locked memory; the loader calls it where it is asked to."""
        inputs, target, counted = (t.pin_memory() for t in (self.inputs, self.target, self.counted))
        return SliceBatch(inputs, target, counted, self.groups)


def _together(samples: list[Sample]) -> SliceBatch:
    return SliceBatch(
        torch.stack([s.inputs for s in samples]),
        torch.cat([s.target for s in samples]),
        torch.cat([s.counted for s in samples]),
        tuple(s.groups for s in samples),
    )


def slice_loader(data: Dataset[Sample], options: LoaderOptions) -> DataLoader[Sample]:
    """A loader of :class:`SliceBatch`; persistence and reading ahead take effect where there are workers."""
    working = options.workers > 0
    return DataLoader(
        data,
        batch_size=options.batch,
        shuffle=options.shuffle,
        num_workers=options.workers,
        collate_fn=_together,
        pin_memory=options.pinned and torch.cuda.is_available(),
        persistent_workers=options.persistent and working,
        prefetch_factor=options.prefetch if working else None,
    )
