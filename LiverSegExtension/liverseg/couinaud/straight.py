"""The network's segments with the borders straight that readers draw straight.

Upper and lower right segments, and II and III, meet at the level of portal branches, on CT an axial plane;
right anterior and posterior ones in a coronal plane: so the 126 livers were read whose maps the network
learned (see :mod:`liverseg.couinaud.borders`). Where these planes lie the network knows better than how they
run: on 141 maps that it never saw, straight borders raised the mean Dice from 0.839 to 0.845. Cantlie's plane
and the umbilical one are oblique, and stay as the network drew them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from liverseg.resample import resize_best_class

# Segments between which the network's borders stay.
CAUDATE, LATERAL, MEDIAL, RIGHT = (1,), (2, 3), (4,), (5, 6, 7, 8)
GROUPS = (CAUDATE, LATERAL, MEDIAL, RIGHT)


@dataclass(frozen=True)
class Planes:
    """Where the straight borders lie, as a share (0..1) of the box from its lower or front face.

    Attributes:
        lateral_z: III below, II above.
        right_z: V and VI below, VII and VIII above.
        right_y: V and VIII in front, VI and VII behind.
    """

    lateral_z: float
    right_z: float
    right_y: float

    @staticmethod
    def of(scores: torch.Tensor) -> Planes:
        """The planes that agree best with scores (8, z, y, x), each voxel by its weight."""
        along_z, along_y = (scores.sum(dim=axes).double().numpy() for axes in ((2, 3), (1, 3)))

        def sides(profiles: np.ndarray, low: tuple[int, ...], high: tuple[int, ...]) -> float:
            one, other = (profiles[[n - 1 for n in labels]].sum(axis=0) for labels in (low, high))
            return _best_face(one, other)

        return Planes(
            lateral_z=sides(along_z, (3,), (2,)),
            right_z=sides(along_z, (5, 6), (7, 8)),
            right_y=sides(along_y, (5, 8), (6, 7)),
        )


def straight_segments(scores: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Labels 1..8 (uint8) on a finer grid of the same box, also outside of the liver.

    Args:
        scores: (8, z, y, x) of segments I to VIII in canonical (S, P, L) order, small where no liver is.
        shape: voxels (z, y, x) of the result.
    """
    planes = Planes.of(scores)
    together = torch.stack([scores[[n - 1 for n in group]].sum(dim=0) for group in GROUPS])
    winner, _ = resize_best_class(together, shape)
    z, y = ((np.arange(n) + 0.5) / n for n in shape[:2])
    above_left, above = (z > planes.lateral_z)[:, None, None], (z > planes.right_z)[:, None, None]
    behind = (y > planes.right_y)[None, :, None]
    lateral = np.where(above_left, np.uint8(2), np.uint8(3))
    posterior, anterior = (np.where(above, np.uint8(u), np.uint8(low)) for u, low in ((7, 6), (8, 5)))
    right = np.where(behind, posterior, anterior)
    return np.choose(winner, (np.uint8(1), lateral, np.uint8(4), right))


def _best_face(low: np.ndarray, high: np.ndarray) -> float:
    """Where a line is best cut, as a share of it: most of ``low`` before and most of ``high`` behind.

    The cut lies where their difference, read between the middles of two voxels, is zero.
    """
    surplus = low - high
    face = int(np.concatenate([[0.0], np.cumsum(surplus)]).argmax())
    if face in (0, len(low)):
        return face / len(low)
    before, behind = float(surplus[face - 1]), float(surplus[face])
    return (face - 0.5 + before / max(before - behind, 1e-12)) / len(low)
