"""From raw network masks to clean ones: components, holes, crumbs, small claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cc3d
import edt
import numpy as np

from liverseg.geometry import bounding_box


def keep_main_parts(mask: np.ndarray, smallest_share: float) -> np.ndarray:
    """The largest component and all others with at least ``smallest_share`` of its size (26-connected)."""
    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    if count <= 1:
        return mask
    sizes = cc3d.statistics(labels)["voxel_counts"].astype(float)
    sizes[0] = 0
    keep = sizes >= smallest_share * sizes.max()
    keep[0] = False
    return keep[labels]


def fill_holes(mask: np.ndarray, largest_voxels: float) -> np.ndarray:
    """Fill enclosed background components of at most ``largest_voxels`` (6-connected background)."""
    box = bounding_box(mask)
    if box is None:
        return mask
    part = mask[box]
    labels = cc3d.connected_components(~np.pad(part, 1), connectivity=6)
    sizes = cc3d.statistics(labels)["voxel_counts"]
    fill = sizes <= largest_voxels
    fill[0] = False
    fill[labels[0, 0, 0]] = False
    filled = mask.copy()
    filled[box] |= fill[labels][1:-1, 1:-1, 1:-1]
    return filled


def drop_small_claims(
    lesions: np.ndarray,
    score: np.ndarray,
    smallest_voxels: float,
    smallest_peak: float | Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Lesion components without those that are too small or that the network never was sure of.

    Args:
        lesions: bool.
        score: the network's lesion probability on the same grid.
        smallest_voxels: components with fewer voxels go.
        smallest_peak: components whose highest score stays below go; by size when it is a function of the
            components' voxel counts.
    """
    labels, count = cc3d.connected_components(lesions, connectivity=26, return_N=True)
    if count == 0:
        return lesions
    sizes = cc3d.statistics(labels)["voxel_counts"]
    peaks = np.zeros(count + 1, dtype=np.float32)
    inside = labels > 0
    np.maximum.at(peaks, labels[inside], score[inside])
    wanted = smallest_peak(sizes) if callable(smallest_peak) else smallest_peak
    # The peaks have single precision: a peak of 0.6 must pass a rule of 0.6.
    keep = (sizes >= smallest_voxels) & (peaks >= np.asarray(wanted, dtype=np.float32))
    keep[0] = False
    return keep[labels]


def merge_crumbs(segments: np.ndarray, fixed: np.ndarray | None = None) -> np.ndarray:
    """One component a segment: every smaller piece takes the label it touches most (26-connected).

    A piece that touches no other segment, an island of the liver, keeps its label.

    Args:
        segments: uint8, 0 outside the liver.
        fixed: bool; pieces with a voxel here keep their label.
    """
    pieces, count = cc3d.connected_components(segments, connectivity=26, return_N=True)
    statistics = cc3d.statistics(pieces)
    sizes = statistics["voxel_counts"]
    result = segments.copy()
    main: dict[int, int] = {}
    label_of = {}
    for piece in range(1, count + 1):
        box = statistics["bounding_boxes"][piece]
        label_of[piece] = int(segments[box][pieces[box] == piece][0])
        best = main.get(label_of[piece])
        if best is None or sizes[piece] > sizes[best]:
            main[label_of[piece]] = piece
    held = set() if fixed is None else set(np.unique(pieces[fixed]).tolist())
    crumbs = [p for p in range(1, count + 1) if main[label_of[p]] != p and p not in held]
    for piece in sorted(crumbs, key=lambda p: int(sizes[p])):
        box = statistics["bounding_boxes"][piece]
        wide = tuple(
            slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(box, segments.shape, strict=True)
        )
        own = pieces[wide] == piece
        around = dilate(own) & ~own
        neighbors = result[wide][around]
        votes = np.bincount(neighbors[neighbors > 0], minlength=1)
        if votes.sum() > 0:
            result[wide][own] = np.argmax(votes)
    return result


def opened(mask: np.ndarray, spacing: Sequence[float], radius_mm: float) -> np.ndarray:
    """What of a mask a ball of this radius reaches that fits into it; beyond the grid it goes on."""
    steps = tuple(spacing)
    core = edt.edt(mask, anisotropy=steps) > radius_mm
    return mask & (edt.edt(~core, anisotropy=steps) <= radius_mm)


def dilate(mask: np.ndarray) -> np.ndarray:
    """26-neighborhood dilation by one voxel."""
    grown = mask
    for axis in range(3):
        shifted = grown.copy()
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        shifted[tuple(ahead)] |= grown[tuple(behind)]
        shifted[tuple(behind)] |= grown[tuple(ahead)]
        grown = shifted
    return grown
