"""What each network learns: how a sample is drawn and what counts as an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from liverseg.shape_input import shape_input
from liverseg.training import augment
from liverseg.training.persons import person_of

Cache = dict[str, dict[str, torch.Tensor]]

PHANTOM_SHARE = 0.3


@dataclass(frozen=True)
class Sample:
    """One training sample.

    Attributes:
        inputs: (channels, z, y, x) float.
        target: (z, y, x) integer classes.
        counted: (z, y, x) bool, where errors count.
    """

    inputs: torch.Tensor
    target: torch.Tensor
    counted: torch.Tensor


@dataclass
class Task:
    """Base: draws a person, then one of the person's cases, so that nobody counts twice.

    Made-up scans, where the cache has any, are drawn with ``PHANTOM_SHARE`` in all.
    """

    cache: Cache

    def __post_init__(self) -> None:
        self._cases: dict[str, list[str]] = {}
        self._phantoms = sorted(case for case in self.cache if case.startswith("phantom_"))
        for case in sorted(set(self.cache) - set(self._phantoms)):
            self._cases.setdefault(person_of(case), []).append(case)
        self._persons = sorted(self._cases)

    def draw_case(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        if self._phantoms and (not self._persons or rng.random() < PHANTOM_SHARE):
            return self.cache[self._phantoms[int(rng.integers(len(self._phantoms)))]]
        person = self._persons[int(rng.integers(len(self._persons)))]
        cases = self._cases[person]
        return self.cache[cases[int(rng.integers(len(cases)))]]

    def sample(self, rng: np.random.Generator) -> Sample:
        raise NotImplementedError


def _center_in(mask: torch.Tensor, rng: np.random.Generator) -> np.ndarray | None:
    flat = torch.nonzero(mask.reshape(-1))
    if len(flat) == 0:
        return None
    pick = int(flat[int(rng.integers(len(flat)))])
    return np.array(np.unravel_index(pick, tuple(mask.shape)), dtype=float)


def _anywhere(shape: torch.Size, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.uniform(0, n) for n in shape])


class LiverTask(Task):
    """Stage 1: liver (lesions included) against everything else in a whole scan."""

    patch = (64, 80, 80)
    change = augment.SpatialRange(rotation_deg=12, scale=0.2, stretch=0.1, bend_voxels=1.0)

    def sample(self, rng: np.random.Generator) -> Sample:
        case = self.draw_case(rng)
        liver = case["label"] > 0
        center = _center_in(liver, rng) if rng.random() < 0.7 else None
        if center is None:
            center = _anywhere(liver.shape, rng)
        center = center + rng.normal(0, 8, 3)
        image, label = augment.sample_patch(
            [case["image"], liver], ["bilinear", "bilinear"], center, self.patch, rng, self.change
        )
        image = image / 255
        if rng.random() < 0.25:
            image, label = augment.cut_field_of_view(image, label, rng)
        target = label > 0.5
        image = augment.change_gray_values(image, target, rng)
        return Sample(image[None], target.long(), torch.ones_like(target))


class LesionTask(Task):
    """Stage 2: liver tissue (1) and lesions (2) in a fine crop, given stage 1's rough liver."""

    patch = (64, 96, 96)
    change = augment.SpatialRange(rotation_deg=15, scale=0.2, stretch=0.1, bend_voxels=1.5)

    def sample(self, rng: np.random.Generator) -> Sample:
        case = self.draw_case(rng)
        label = case["label"]
        kind = rng.random()
        center = _center_in(label == 2, rng) if kind < 0.5 else None
        if center is None and kind < 0.9:
            center = _center_in(label > 0, rng)
        if center is None:
            center = _anywhere(label.shape, rng)
        center = center + rng.normal(0, 8, 3)
        image, liver, lesion = augment.sample_patch(
            [case["image"], label > 0, label == 2], ["bilinear"] * 3, center, self.patch, rng, self.change
        )
        image = image / 255
        target = (liver > 0.5).long() + ((lesion > 0.5) & (liver > 0.5)).long()
        image = augment.change_gray_values(image, target > 0, rng)
        rough = imitate_stage1(target, rng)
        return Sample(torch.stack([image, rough]), target, torch.ones_like(target, dtype=torch.bool))


def imitate_stage1(target: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A liver mask as stage 1 may give it: rough borders, dents, and lesions at the rim left out."""
    shape = (target.shape[0], target.shape[1], target.shape[2])
    known = (target > 0).float()
    if rng.random() < 0.2:
        known = torch.where((target == 2) & (augment.smooth_noise(rng, shape, 5) > 0), 0.0, known)
    soft = F.avg_pool3d(known[None, None], 7, 1, 3, count_include_pad=False)[0, 0]
    noise = augment.smooth_noise(rng, shape, 12) * float(rng.uniform(0, 0.3))
    noise += augment.smooth_noise(rng, shape, 5) * float(rng.uniform(0, 0.2))
    return ((soft + noise + float(rng.normal(0, 0.1)) > 0.5) & (soft > 0)).float()


class CouinaudTask(Task):
    """Segments 1..8 (classes 0..7) from the liver's shape; only voxels of the liver count."""

    largest_side = 80
    change = augment.SpatialRange(rotation_deg=10, scale=0.15, stretch=0.12, bend_voxels=1.0)

    def sample(self, rng: np.random.Generator) -> Sample:
        label = self.draw_case(rng)["label"]
        shape = tuple(min(self.largest_side, -(-(n + 2) // 16) * 16) for n in label.shape)
        center = (np.array(label.shape) - 1) / 2 + rng.normal(0, 1, 3)
        (patch,) = augment.sample_patch(
            [label], ["nearest"], center, (shape[0], shape[1], shape[2]), rng, self.change
        )
        target = patch.round().long()
        liver = (target > 0).float()
        if rng.random() < 0.5:
            noise = augment.smooth_noise(rng, tuple(liver.shape), 8) * float(rng.uniform(0, 0.25))
            soft = F.avg_pool3d(liver[None, None], 3, 1, 1)[0, 0]
            liver = ((soft + noise > 0.5) & (soft > 0)).float()
        return Sample(shape_input(liver), (target - 1).clamp(min=0), (target > 0) & (liver > 0))


def loss(
    logits: torch.Tensor, target: torch.Tensor, counted: torch.Tensor, foreground_from: int
) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the counted voxels of one sample.

    Args:
        logits: (1, classes, z, y, x).
        target: (z, y, x) classes.
        counted: (z, y, x) bool.
        foreground_from: the first class in the Dice term (1 leaves the background out).
    """
    target, counted = target[None], counted[None]
    logits = logits.float()
    entropy = F.cross_entropy(logits, target, reduction="none")[counted].mean()
    score = torch.softmax(logits, dim=1) * counted[:, None]
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1) * counted[:, None]
    overlap = (score * truth).flatten(2).sum(-1)
    size = (score + truth).flatten(2).sum(-1)
    dice = (2 * overlap + 50.0) / (size + 50.0)
    return entropy + (1 - dice[:, foreground_from:]).mean()


TASKS: dict[str, tuple[type[Task], dict[str, Any], int]] = {
    "stage1": (
        LiverTask,
        {"name": "DynUNet", "in_channels": 1, "out_channels": 2, "filters": [16, 32, 64, 128, 160]},
        1,
    ),
    "stage2": (
        LesionTask,
        {"name": "DynUNet", "in_channels": 2, "out_channels": 3, "filters": [16, 32, 64, 128, 192]},
        1,
    ),
    "couinaud": (
        CouinaudTask,
        {"name": "DynUNet", "in_channels": 4, "out_channels": 8, "filters": [16, 32, 64, 96, 128]},
        0,
    ),
}
