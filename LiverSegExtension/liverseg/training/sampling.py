"""Where patches are taken: persons alike, classes by set shares, small lesions as often as large ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cc3d
import numpy as np
import torch

from liverseg.training.cached_cases import CachedCase, Code
from liverseg.training.persons import person_of

# So many voxels of a class are remembered a case; more add nothing to where patches can lie.
REMEMBERED = 20000
# Places tried before a patch is taken that holds less tissue than is asked for.
MOST_TRIED = 20


@dataclass(frozen=True)
class Shares:
    """How often a patch is centered on what; the shares sum to 1.

    Where a case lacks a class, the next one in the order lesion, liver, anywhere is taken.
    """

    lesion: float = 0.5
    liver: float = 0.4
    anywhere: float = 0.1

    def __post_init__(self) -> None:
        total = self.lesion + self.liver + self.anywhere
        if min(self.lesion, self.liver, self.anywhere) < 0 or abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of patches must be 0 or more and sum to 1, not {total:g}")


@dataclass(eq=False)
class Places:
    """Voxels (n, 3) in (z, y, x) of one case where patches can be centered."""

    shape: tuple[int, ...]
    liver: np.ndarray
    lesions: list[np.ndarray] = field(default_factory=list)

    @staticmethod
    def of(case: CachedCase) -> Places:
        """Those of a case with labels of :class:`~liverseg.training.cached_cases.Code`."""
        label = case.label.cpu().numpy()
        rng = np.random.default_rng(0)
        liver = _some(np.argwhere(label > 0), rng)
        lesions = []
        if (label == Code.LESION).any():
            parts, count = cc3d.connected_components(label == Code.LESION, connectivity=26, return_N=True)
            lesions = [_some(np.argwhere(parts == n), rng) for n in range(1, count + 1)]
        return Places(label.shape, liver, lesions)

    def center(self, shares: Shares, rng: np.random.Generator) -> np.ndarray:
        """A voxel (z, y, x) to center a patch on."""
        kind = rng.random()
        if self.lesions and kind < shares.lesion:
            # Half of the draws by lesion and half by voxel: small ones are seen, and all parts of large ones.
            if rng.random() < 0.5:
                return _pick(self.lesions[int(rng.integers(len(self.lesions)))], rng)
            sizes = np.array([len(lesion) for lesion in self.lesions], dtype=float)
            return _pick(self.lesions[int(rng.choice(len(sizes), p=sizes / sizes.sum()))], rng)
        if len(self.liver) and kind < shares.lesion + shares.liver:
            return _pick(self.liver, rng)
        return np.array([rng.uniform(0, n) for n in self.shape])


def tissue_share(image: torch.Tensor, center: np.ndarray, patch: Sequence[int]) -> float:
    """The share of a patch that is no air; what lies beyond the scan is air.

    Args:
        image: (z, y, x) of a cached scan, 0 at the lower end of its HU window and below.
        center: voxels (z, y, x), of any number.
        patch: sides in voxels (z, y, x).
    """
    first = [round(float(c) - side / 2) for c, side in zip(center, patch, strict=True)]
    box = tuple(slice(max(start, 0), max(start + side, 0)) for start, side in zip(first, patch, strict=True))
    return int(torch.count_nonzero(image[box])) / math.prod(patch)


def with_tissue(
    draw: Callable[[], np.ndarray], image: torch.Tensor | None, patch: Sequence[int], least: float
) -> np.ndarray:
    """A place that ``draw`` gives whose patch is not empty, of up to ``MOST_TRIED``.

    Args:
        image: see :func:`tissue_share`; a map without a scan drops nothing.
        least: share of tissue that a patch must hold; 0 for any.
    """
    center = draw()
    if image is None or least <= 0:
        return center
    for _ in range(MOST_TRIED - 1):
        if tissue_share(image, center, patch) >= least:
            break
        center = draw()
    return center


def _some(voxels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(voxels) > REMEMBERED:
        voxels = voxels[rng.choice(len(voxels), REMEMBERED, replace=False)]
    return voxels.astype(np.int16)


def _pick(voxels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return voxels[int(rng.integers(len(voxels)))].astype(float)


@dataclass(eq=False)
class CaseDraw:
    """Draws a person, then one of the person's cases, so that nobody counts twice.

    Attributes:
        names: the training cases; made-up ones begin with ``phantom_``.
        phantom_share: how often a made-up case is drawn, where there are any.
        further: cases beside the labeled persons' (pseudo-labels, hard negatives).
        further_share: how often one of these is drawn, where there are any.
    """

    names: Sequence[str]
    phantom_share: float
    further: Sequence[str] = ()
    further_share: float = 0.0

    def __post_init__(self) -> None:
        self._phantoms = sorted(name for name in self.names if name.startswith("phantom_"))
        self._cases: dict[str, list[str]] = {}
        for name in sorted(set(self.names) - set(self._phantoms)):
            self._cases.setdefault(person_of(name), []).append(name)
        self._persons = sorted(self._cases)

    def draw(self, rng: np.random.Generator) -> str:
        """The name of a case."""
        if self.further and rng.random() < self.further_share:
            return self.further[int(rng.integers(len(self.further)))]
        if self._phantoms and (not self._persons or rng.random() < self.phantom_share):
            return self._phantoms[int(rng.integers(len(self._phantoms)))]
        cases = self._cases[self._persons[int(rng.integers(len(self._persons)))]]
        return cases[int(rng.integers(len(cases)))]
