"""Active contours: a lesion's border moves to where the gray values change.

Morphological Chan-Vese (Marquez-Neila, Baumela, Alvarez: A morphological approach to curvature-based
evolution of curves and surfaces, IEEE TPAMI 36(1), 2014): each step gives the voxels along the border to
the side whose mean they are nearer to, then smooths the border by the curvature operators SI and IS. Here it
is local: means and moves keep to bands around each lesion's border, so that vessels and fissures further
away say nothing, and only the voxels of the bands are ever computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cc3d
import edt
import numpy as np
from scipy import ndimage

from liverseg.lesion_rules import ContourRules, sphere_diameter_mm
from liverseg.postprocess import dilate, fill_holes, keep_main_parts

# A border that has not come to rest by then oscillates.
MOST_STEPS = 40
# So far to both sides of a border the means are taken. A lesion drawn 3 mm too small has nothing but lesion
# in the next 3 mm around it: the means must reach into what is liver for sure.
MEANS_MM = 10.0
# So much of what the network is sure of, lesion and liver, must lie nearer to its own mean; else two means do
# not describe the lesion and its border stays.
LEAST_TOLD_APART = 0.75
# A layer along the border that differs from the liver the other way than the lesion does, by so much of the
# lesion's own difference, is a rim (a bright ring around a dark core), which belongs to the lesion.
RIM_SHARE = 0.15
RIM_LAYER_MM = 1.5
# A border that runs away leaves its lesion; such a lesion stays as it was.
VOLUME_CHANGE = (1 / 3, 3.0)
# The 27 neighbors in the order of ``itertools.product``.
_NEIGHBORS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
_FACES = np.flatnonzero(np.abs(_NEIGHBORS).sum(axis=1) == 1)


def adjust_borders(
    lesions: np.ndarray,
    score: np.ndarray,
    liver: np.ndarray,
    hu: np.ndarray,
    spacing: Sequence[float],
    rules: ContourRules,
) -> np.ndarray:
    """Move the border of each lesion to the edge in the CT that it lies next to.

    No border moves by more than ``rules.reach_mm``, none leaves the liver, and the lesions stay as many as
    they were: none vanishes, falls apart or comes to touch another.

    Args:
        lesions: bool (z, y, x), inside the liver; its components (26) are the lesions.
        score: the network's lesion probability.
        liver: bool, lesions included.
        hu: gray values in HU.
        spacing: voxel size in mm (z, y, x).

    Returns:
        bool, the lesions with their new borders.
    """
    labels, count = cc3d.connected_components(lesions, connectivity=26, return_N=True)
    if count == 0:
        return lesions
    statistics = cc3d.statistics(labels)
    margin = [int(np.ceil(max(rules.reach_mm, MEANS_MM) / s)) + 2 for s in spacing]
    voxels, voxel_ml = statistics["voxel_counts"].astype(np.int64), float(np.prod(spacing)) / 1000
    by_size = np.argsort(-voxels[1:], kind="stable") + 1
    for lesion in by_size:
        box = tuple(
            slice(max(0, s.start - m), s.stop + m)
            for s, m in zip(statistics["bounding_boxes"][lesion], margin, strict=True)
        )
        part = labels[box]
        if sphere_diameter_mm(voxels[lesion] * voxel_ml) < rules.smallest_mm:
            break
        own = part == lesion
        others = (part > 0) & ~own
        moved = _adjust(own, others, score[box], liver[box], hu[box], spacing, rules)
        part[own] = 0
        part[moved] = lesion
    return labels > 0


def _adjust(
    own: np.ndarray,
    others: np.ndarray,
    score: np.ndarray,
    liver: np.ndarray,
    hu: np.ndarray,
    spacing: Sequence[float],
    rules: ContourRules,
) -> np.ndarray:
    """One lesion in its crop."""
    inside = edt.edt(own, anisotropy=tuple(spacing))
    outside = edt.edt(~own, anisotropy=tuple(spacing))
    distance = np.where(own, inside, outside)
    # A voxel that the border passes lies up to reach_mm behind it; distances are between voxel centers.
    band = distance <= rules.reach_mm + min(spacing) / 2
    around = (distance <= max(rules.reach_mm, MEANS_MM)) & liver & ~others
    apart = liver & ~dilate(others) if others.any() else liver
    low, high = rules.score_range
    free = band & np.where(own, score <= high, (score >= low) & apart)
    image = _blurred(hu, liver, [rules.blur_mm / s for s in spacing])
    layer = np.where(own, -1.0, 1.0)[around] * distance[around]
    if not free.any() or not _told_apart(image[around], layer, score[around], rules):
        return own
    steps = min(MOST_STEPS, int(np.ceil(rules.reach_mm / min(spacing))) + 2)
    moved = _evolve(own, free, around, image, _lines(spacing), steps, rules.smoothing)
    # A speck that left a lesion's inside is no border; a crumb that was cut off is no lesion.
    moved |= fill_holes(moved, moved.size) & own
    moved = keep_main_parts(moved, 1.0)
    change = float(moved.sum()) / float(own.sum())
    if not VOLUME_CHANGE[0] <= change <= VOLUME_CHANGE[1] or _parts(moved) != 1:
        return own
    return moved


def _told_apart(image: np.ndarray, depth: np.ndarray, score: np.ndarray, rules: ContourRules) -> bool:
    """Whether two means describe a lesion and the liver around it.

    Args:
        image, depth, score: (n,) of the voxels around the border; depth in mm, below 0 inside the lesion.
    """
    own = depth < 0
    if own.all() or not own.any():
        return False
    mean_in, mean_out = float(image[own].mean()), float(image[~own].mean())
    contrast = mean_in - mean_out
    if abs(contrast) < rules.least_contrast_hu:
        return False
    nearer_in = np.abs(image - mean_in) < np.abs(image - mean_out)
    low, high = rules.score_range
    sure_in, sure_out = own & (score > high), ~own & (score < low)
    right_in = nearer_in[sure_in if sure_in.any() else own].mean()
    right_out = 1.0 - nearer_in[sure_out if sure_out.any() else ~own].mean()
    if min(right_in, right_out) < LEAST_TOLD_APART:
        return False
    for start in np.arange(-rules.reach_mm, rules.reach_mm, RIM_LAYER_MM):
        layer = image[(depth >= start) & (depth < start + RIM_LAYER_MM)]
        if layer.size and (float(layer.mean()) - mean_out) / contrast < -RIM_SHARE:
            return False
    return True


def _parts(mask: np.ndarray) -> int:
    return int(cc3d.connected_components(mask, connectivity=26, return_N=True)[1])


def _blurred(hu: np.ndarray, liver: np.ndarray, sigma: Sequence[float]) -> np.ndarray:
    """The CT smoothed by a Gaussian (in voxels) within the liver, so that fat beside it does not bleed in."""
    if max(sigma) <= 0:
        return hu.astype(np.float32)
    weight = ndimage.gaussian_filter(liver.astype(np.float32), sigma, truncate=3)
    value = ndimage.gaussian_filter(np.where(liver, hu, 0).astype(np.float32), sigma, truncate=3)
    return np.divide(value, weight, out=hu.astype(np.float32), where=liver & (weight > 0))


def _lines(spacing: Sequence[float]) -> np.ndarray:
    """The four lines through a voxel within a slice, as rows of indices into ``_NEIGHBORS``.

    Curvature is that of the outlines in slices, as people draw them: neighbors across thick slices are too
    far away to say anything of it, and the planes of the 3D operators wear small lesions off (a sphere of
    twelve voxels across has no facet of three by three).
    """
    across = int(np.argmax(spacing))
    flat = [d for d in _directions() if d[across] == 0]
    return np.array([[_index(n * d) for n in (-1, 0, 1)] for d in flat])


def _directions() -> list[np.ndarray]:
    """One of each two opposite neighbors."""
    return [n for n in _NEIGHBORS if tuple(n) > (0, 0, 0)]


def _index(neighbor: np.ndarray) -> int:
    return int(np.dot(neighbor + 1, (9, 3, 1)))


def _evolve(
    own: np.ndarray,
    free: np.ndarray,
    around: np.ndarray,
    image: np.ndarray,
    elements: np.ndarray,
    steps: int,
    smoothing: int,
) -> np.ndarray:
    """Steps of the contour over the voxels of ``free``; means are taken over ``around``."""
    shape = tuple(n + 2 for n in own.shape)
    inside = np.pad(own, 1).ravel()
    where = np.flatnonzero(np.pad(free, 1))
    means_over = np.flatnonzero(np.pad(around, 1))
    values, mean_values = image[free], image[around]
    offsets = _NEIGHBORS @ np.array([shape[1] * shape[2], shape[2], 1])
    flip = False
    for _ in range(steps):
        before = inside[where]
        lesion = inside[means_over]
        if lesion.all() or not lesion.any():
            break
        mean_in, mean_out = float(mean_values[lesion].mean()), float(mean_values[~lesion].mean())
        near = inside[where[:, None] + offsets[_FACES]]
        border = (near != before[:, None]).any(axis=1)
        nearer_in = np.abs(values - mean_in) < np.abs(values - mean_out)
        inside[where] = np.where(border, nearer_in, before)
        for _ in range(smoothing):
            # SI after IS and IS after SI in turn, so that neither growth nor shrinking is favored.
            for outer in (flip, not flip):
                near = inside[where[:, None] + offsets][:, elements]
                inside[where] = near.any(axis=2).all(axis=1) if outer else near.all(axis=2).any(axis=1)
            flip = not flip
        if np.array_equal(inside[where], before):
            break
    return inside.reshape(shape)[1:-1, 1:-1, 1:-1]
