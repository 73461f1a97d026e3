"""A split whose borders move: every voxel that no border passes keeps its label.

Each border is a field of signed distances over the liver (:class:`Sides`) on a coarse grid. What is added to
a field moves its border. A voxel whose sign changes in a field goes over to the other side of that border.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache

import edt
import numpy as np

from liverseg.couinaud.borders import Sides
from liverseg.couinaud.field_grid import FIELD_MM

# The segments on the positive and on the negative side of each border.
GROUPS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "left": ((2, 3, 4), (5, 6, 7, 8)),
    "lateral": ((2, 3), (4,)),
    "posterior": ((6, 7), (5, 8)),
    "right_upper": ((7, 8), (5, 6)),
    "left_upper": ((2,), (3,)),
    "caudate": ((1,), (2, 3, 4, 5, 6, 7, 8)),
}
NAMES = tuple(field.name for field in fields(Sides))
# A field that changes by less than this anywhere, mm, moves no border.
LEAST_MM = 0.05
# So near to a border, in its coarse field, the labels tell the side; the field falls twice as fast there as
# far from it. A border that moves by less leaves no sliver.
UNCLEAR_MM = 2 * FIELD_MM
MOVES_MM = 0.5


def sides_of_split(segments: np.ndarray, spacing: tuple[float, float, float]) -> Sides:
    """The sides of a split (uint8, labels 1..8, all of them there): mm to the nearer voxel of the other side.

    A voxel that belongs to neither side of a border lies on that of the nearer one.
    """

    def away(labels: tuple[int, ...]) -> np.ndarray:
        others = ~np.isin(segments, labels)
        return edt.edt(others, anisotropy=spacing, black_border=False)

    return Sides(**{name: away(no) - away(yes) for name, (yes, no) in GROUPS.items()})


def moved(before: Sides, shifts: Mapping[str, np.ndarray]) -> Sides:
    """The sides after ``shifts`` (mm by name of the side, positive widens the side of the name)."""
    return replace(before, **{name: getattr(before, name) + shift for name, shift in shifts.items()})


def relabeled(segments: np.ndarray, before: Sides, after: Sides) -> np.ndarray:
    """A split after its borders moved.

    Args:
        segments: uint8 (z, y, x), 1..8, 0 outside of the liver.
        before: sides of that split on a coarse grid of the same box.
        after: sides on the same grid; where they equal ``before`` no label changes.
    """
    one = np.zeros(segments.shape, dtype=np.uint8)
    other = np.zeros(segments.shape, dtype=np.uint8)
    for bit, name in enumerate(NAMES):
        was, now = _signs(segments, name, getattr(before, name), getattr(after, name))
        one |= was << np.uint8(bit)
        other |= now << np.uint8(bit)
    result = segments.copy()
    changed = (one != other) & (segments > 0)
    result[changed] = _table()[segments[changed], one[changed], other[changed]]
    return result


def _signs(
    segments: np.ndarray, name: str, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """On which side of a border voxels lie before and after it moved: uint8, 1 on the side of its name.

    The coarse field misses the border of the labels by up to a coarse voxel. Where the border moves, voxels
    between the two count as on the side that their label says, or they would be left behind as slivers.
    """
    field = _on_grid(first, segments.shape)
    was = field > 0
    if np.abs(second - first).max(initial=0.0) <= LEAST_MM:
        return was.astype(np.uint8), was.astype(np.uint8)
    later = _on_grid(second, segments.shape)
    unclear = (np.abs(field) < UNCLEAR_MM) & (np.abs(later - field) > MOVES_MM)
    labels = segments[unclear]
    yes, no = (_in_group(group)[labels] for group in GROUPS[name])
    was[unclear] = np.where(yes | no, yes, was[unclear])
    return was.astype(np.uint8), (later > 0).astype(np.uint8)


def _in_group(group: tuple[int, ...]) -> np.ndarray:
    """(9,) bool by label."""
    return np.isin(np.arange(9), group)


def _on_grid(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A coarse field on the finer grid of ``shape``."""
    import torch

    from liverseg.resample import resize

    return resize(torch.from_numpy(np.ascontiguousarray(field, dtype=np.float32)), shape).numpy()


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """(9, 64, 64) the label of a voxel by its old one and its signs (one bit a border) before and after."""
    label, before, after = np.meshgrid(np.arange(9), np.arange(64), np.arange(64), indexing="ij")
    positive = {}
    for bit, name in enumerate(NAMES):
        was, now = (before >> bit) & 1 > 0, (after >> bit) & 1 > 0
        yes, no = (np.isin(label, group) for group in GROUPS[name])
        # The coarse field misses the border of the labels by a little: only a change of sign counts.
        inside = np.where(yes, ~(was & ~now), np.where(no, ~was & now, now))
        positive[name] = np.where(inside, 1.0, -1.0)
    return np.where(label > 0, Sides(**positive).labels(), np.uint8(0)).astype(np.uint8)
