"""The borders of a liver that is split already: five planes and the caudate lobe's center."""

from __future__ import annotations

import numpy as np

from liverseg.couinaud.borders import Borders, Frame
from liverseg.couinaud.segment_iv import separating_level

# A line flatter than this (change of the given coordinate a mm of length) is taken as so steep.
LEAST_RUN = 0.2


def borders_of_split(
    segments: np.ndarray,
    spacing: tuple[float, float, float],
    frame: Frame | None = None,
    start: np.ndarray | None = None,
) -> Borders | None:
    """The planes that fit the borders of a split best (total least squares), or None where one is missing.

    Args:
        segments: uint8 (z, y, x), canonical order, labels 1..8.
        spacing: mm (z, y, x).
        frame: the liver's box, where it is known better than from ``segments``.
        start: mm in the crop of the first voxel's center, where it is not 0.
    """
    start = np.zeros(3) if start is None else start
    frame = frame or Frame.of(segments > 0, spacing)
    cantlie = _line(segments, (5, 8), (4,), spacing, start)
    umbilical = _line(segments, (4,), (2, 3), spacing, start)
    right = _line(segments, (5, 8), (6, 7), spacing, start)
    right_level = separating_level(np.isin(segments, (7, 8)), np.isin(segments, (5, 6)))
    left_level = separating_level(segments == 2, segments == 3)
    caudate = np.argwhere(segments == 1)
    if cantlie is None or umbilical is None or right is None or len(caudate) == 0:
        return None
    if right_level is None or left_level is None:
        return None
    front, back = frame.place(1, 0.3), frame.place(1, 0.5)
    far, near = frame.place(2, 0.1), frame.place(2, 0.4)
    values = [
        *(_at(right, place, along=1) for place in (far, near)),
        *(_at(line, place, along=0) for line in (cantlie, umbilical) for place in (front, back)),
        *((level - 0.5) * spacing[0] + start[0] for level in (right_level, left_level)),
        *(caudate.mean(axis=0) * np.array(spacing) + start),
    ]
    return Borders(frame, np.array(values))


def _line(
    segments: np.ndarray,
    one: tuple[int, ...],
    other: tuple[int, ...],
    spacing: tuple[float, float, float],
    start: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Center and direction in (y, x), mm, of the upright plane between two groups of segments."""
    first, second = np.isin(segments, one), np.isin(segments, other)
    points = []
    for axis in range(3):
        ahead = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        behind = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        between = (first[behind] & second[ahead]) | (second[behind] & first[ahead])
        where = np.argwhere(between).astype(np.float64)
        where[:, axis] += 0.5
        points.append(where)
    flat = np.concatenate(points)[:, 1:] * np.array(spacing[1:]) + start[1:]
    if len(flat) < 8:
        return None
    center = flat.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((flat - center).T))
    return center, vectors[:, 1]


def _at(line: tuple[np.ndarray, np.ndarray], place: float, along: int) -> float:
    """The other coordinate of a line where its coordinate ``along`` (0 y, 1 x) is ``place``."""
    center, direction = line
    run = direction[along]
    if abs(run) < LEAST_RUN:
        run = LEAST_RUN if run >= 0 else -LEAST_RUN
    return float(center[1 - along] + direction[1 - along] / run * (place - center[along]))
