"""Voxels by class: pixel accuracy and macro Dice, from one table of counts.

The three classes exclude each other: background, liver tissue (the liver without its lesions), lesion.
Elsewhere in the scores the liver includes its lesions; here it cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASSES = ("background", "liver tissue", "lesion")


@dataclass(frozen=True)
class ClassScores:
    """How voxels of each class were named.

    Attributes:
        counts: ``counts[t][p]`` voxels of true class t that were given class p, over the whole scan.
        failed: there is no usable prediction: every score is then 0.
    """

    counts: tuple[tuple[int, ...], ...]
    failed: bool = False

    @property
    def pixel_accuracy(self) -> float:
        """Share of all voxels of the scan with the right class.

        Most voxels are background, so that an empty prediction has 0.97 or so.
        """
        table = np.array(self.counts)
        return 0.0 if self.failed else float(np.trace(table) / table.sum())

    @property
    def liver_pixel_accuracy(self) -> float:
        """The same over the voxels that truth or prediction call liver or lesion; 1 when there are none."""
        table = np.array(self.counts)
        inside = table.sum() - table[0, 0]
        if self.failed:
            return 0.0
        return float((np.trace(table) - table[0, 0]) / inside) if inside else 1.0

    @property
    def dice(self) -> tuple[float, ...]:
        """Dice of each class; 1 for one that is in neither truth nor prediction."""
        table = np.array(self.counts)
        sizes = table.sum(axis=0) + table.sum(axis=1)
        return tuple(
            0.0 if self.failed else 2.0 * int(table[n, n]) / int(sizes[n]) if sizes[n] else 1.0
            for n in range(len(CLASSES))
        )

    @property
    def macro_dice(self) -> float:
        """Mean Dice of liver tissue and lesion, each class alike whatever its size."""
        return float(np.mean(self.dice[1:]))

    @property
    def macro_dice_with_background(self) -> float:
        """Mean Dice of all three classes."""
        return float(np.mean(self.dice))


def class_scores(
    truth: tuple[np.ndarray, np.ndarray],
    predicted: tuple[np.ndarray, np.ndarray],
    scan_voxels: int,
    failed: bool = False,
) -> ClassScores:
    """Count the classes of two pairs of bool masks (liver with lesions, lesions), all of one shape.

    Args:
        scan_voxels: voxels of the whole scan, of which the masks may be a crop that holds all of theirs.
    """
    own, found = (liver.astype(np.uint8) + lesions for liver, lesions in (truth, predicted))
    size = len(CLASSES)
    table = np.bincount((size * own + found).ravel(), minlength=size * size).reshape(size, size)
    table[0, 0] += scan_voxels - own.size
    return ClassScores(tuple(tuple(int(n) for n in row) for row in table), failed)
