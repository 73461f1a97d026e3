"""The borders of a liver that is split already: five planes and the caudate lobe's center."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from liverseg.couinaud.borders import Borders, Frame
from liverseg.couinaud.segment_iv import separating_level

# A line flatter than this (change of the given coordinate a mm of length) is taken as so steep.
LEAST_RUN = 0.2
# A border that runs flatter than this is small and turned: its own course tells little, and the line that
# parts the two groups of segments best is taken in its place.
COURSE = 0.35
# Of that line: weight of the squared slopes, and steps of Newton's method.
RIDGE, STEPS = 1e-3, 50

Line = tuple[np.ndarray, np.ndarray]


def borders_of_split(
    segments: np.ndarray,
    spacing: tuple[float, float, float],
    frame: Frame | None = None,
    start: np.ndarray | None = None,
    course: float = COURSE,
) -> Borders | None:
    """The planes that fit the borders of a split best (total least squares), or None where one is missing.

    Args:
        segments: uint8 (z, y, x), canonical order, labels 1..8.
        spacing: mm (z, y, x).
        frame: the liver's box, where it is known better than from ``segments``.
        start: mm in the crop of the first voxel's center, where it is not 0.
        course: how steep a border must run for its own course to count (cosine).
    """
    start = np.zeros(3) if start is None else start
    frame = frame or Frame.of(segments > 0, spacing)
    cantlie = _line(segments, (5, 8), (4,), spacing, start, 0, course)
    umbilical = _line(segments, (4,), (2, 3), spacing, start, 0, course)
    right = _line(segments, (5, 8), (6, 7), spacing, start, 1, course)
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
    along: int,
    course: float,
) -> Line | None:
    """Center and direction in (y, x), mm, of the upright plane between two groups of segments.

    Args:
        along: the coordinate that it should run along, 0 y or 1 x.
        course: cosine; a plane that runs more across it is found by what lies on its two sides.
    """
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
    if abs(vectors[along, 1]) >= course:
        return center, vectors[:, 1]
    return _parting_line(first, second, spacing, start)


def _parting_line(
    first: np.ndarray, second: np.ndarray, spacing: tuple[float, float, float], start: np.ndarray
) -> Line:
    """The line in (y, x), mm, with the groups of voxels on its two sides, by logistic regression.

    Both groups weigh the same. The weights of a regression without its constant are the line's normal.
    """
    counts = np.stack([first.sum(axis=0), second.sum(axis=0)]).astype(np.float64)
    where = np.argwhere(counts.sum(axis=0) > 0)
    weights = (counts / counts.sum(axis=(1, 2), keepdims=True))[:, where[:, 0], where[:, 1]]
    places = where * np.array(spacing[1:]) + start[1:]
    center = weights.sum(axis=0) @ places / 2
    design = np.column_stack([np.ones(len(places)), places - center])
    scale = np.array([1.0, *(design[:, 1:].std(axis=0) + 1e-6)])
    design /= scale
    beta, ridge = np.zeros(3), RIDGE * np.diag([0.0, 1.0, 1.0])
    total = weights.sum(axis=0)
    for _ in range(STEPS):
        chance = expit(design @ beta)
        gradient = design.T @ (chance * total - weights[1]) + ridge @ beta
        curvature = (design * (chance * (1 - chance) * total)[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(3), gradient)
        beta -= step
        if np.abs(step).max() < 1e-6:  # noqa: PLR2004
            break
    normal = beta[1:] / scale[1:]
    length = float(np.hypot(*normal)) + 1e-12
    through = center - beta[0] * normal / length**2
    return through, np.array([-normal[1], normal[0]]) / length


def _at(line: Line, place: float, along: int) -> float:
    """The other coordinate of a line where its coordinate ``along`` (0 y, 1 x) is ``place``."""
    center, direction = line
    run = direction[along]
    if abs(run) < LEAST_RUN:
        run = LEAST_RUN if run >= 0 else -LEAST_RUN
    return float(center[1 - along] + direction[1 - along] / run * (place - center[along]))
