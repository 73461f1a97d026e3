"""The eight Couinaud segments of a liver."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from liverseg.bundle import Bundle, load_network
from liverseg.case import CouinaudMethod
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.labels import SEGMENT_IVA, SEGMENT_IVB, SEGMENTS, numeral
from liverseg.postprocess import merge_crumbs
from liverseg.resample import grid_for_spacing, resize, resize_best_class
from liverseg.shape_input import shape_input
from liverseg.surfaces import nearest_labels
from liverseg.uneven import labels_to_read_grid, needs_even_grid, to_even_grid
from liverseg.volume import Volume

# Shares of liver volume outside of which a segment is doubtful; wider than the range seen in 126 livers.
PLAUSIBLE_SHARE = (0.003, 0.5)
# Empty voxels around the liver on the network's grid, as in training.
BORDER = 2


@dataclass(frozen=True, eq=False)
class Split:
    """Couinaud labels on the liver's grid (uint8, 0 outside), how they came about, and what is doubtful."""

    labels: np.ndarray
    method: CouinaudMethod
    warnings: tuple[str, ...]


def split_liver(
    liver: np.ndarray, geometry: Geometry, bundle: Bundle, split_segment_4: bool = False
) -> Split:
    """Split a liver by its shape, with the network learned from label maps.

    Args:
        liver: bool (k, j, i), lesions included.
        geometry: its grid.
        bundle: model with a ``couinaud`` network.
        split_segment_4: segment IV as IVa (4) and IVb (9).

    Raises:
        ModelError: the bundle's network is missing or damaged.
    """
    name = "learned from shape"
    order = CanonicalOrder.of(geometry)
    mask = order.apply(liver)
    box = bounding_box(mask)
    labels = np.zeros(mask.shape, dtype=np.uint8)
    if box is None:
        return Split(order.undo(labels), CouinaudMethod(name), ())
    part = np.ascontiguousarray(mask[box])
    scores = shape_scores(part, order.geometry(geometry).spacing_kji, bundle)
    winner, best = resize_best_class(scores, part.shape)
    # cc3d sees the segments alone: class 0 is segment I, so labels start at 1.
    segments = np.where(part, winner + np.uint8(1), np.uint8(0))
    segments = merge_crumbs(segments)
    confidence = float(best[part].mean())
    warnings = doubts(segments)
    if split_segment_4:
        segments = split_segment_iv(segments)
        if not {SEGMENT_IVA.label, SEGMENT_IVB.label} <= set(np.unique(segments).tolist()):
            text = "segment IV could not be divided into IVa and IVb; the split is approximate"
            warnings = (*warnings, text)
    labels[box] = segments
    method = CouinaudMethod(name, round(confidence, 4), approximate=bool(warnings))
    return Split(np.ascontiguousarray(order.undo(labels)), method, warnings)


def split_mask(liver: np.ndarray, volume: Volume, bundle: Bundle, split_segment_4: bool = False) -> Split:
    """:func:`split_liver` for a mask on the grid of a volume that may be tilted or unevenly spaced.

    Args:
        liver: bool (k, j, i) on the volume's grid.
        volume: whose grid it is; its gray values do not matter.
    """
    if not needs_even_grid(volume):
        return split_liver(liver, volume.geometry, bundle, split_segment_4)
    even = to_even_grid(replace(volume, array=liver.astype(np.float32)))
    split = split_liver(even.array > 0.5, even.geometry, bundle, split_segment_4)
    labels = np.where(liver, labels_to_read_grid(split.labels, even.geometry, volume), np.uint8(0))
    left_over = liver & (labels == 0)
    if left_over.any() and labels.any():
        labels[left_over] = nearest_labels(labels, left_over, volume.geometry.spacing_kji)
    return replace(split, labels=labels)


def shape_scores(mask: np.ndarray, spacing: tuple[float, float, float], bundle: Bundle) -> torch.Tensor:
    """(8, z, y, x) probabilities of the segments on the network's coarse grid of a liver's box.

    Args:
        mask: bool (z, y, x), canonical order, cropped to the liver.
        spacing: voxel size in mm (z, y, x).
    """
    network = load_network(bundle, "couinaud")
    card = bundle.networks["couinaud"]
    coarse = grid_for_spacing(mask.shape, spacing, [card.spacing_mm] * 3)
    soft = resize(torch.from_numpy(mask.astype(np.float32)), coarse)
    multiple = 2 ** (len(card.network["filters"]) - 1)
    pads: list[int] = []
    for size in reversed(coarse):
        pads += [BORDER, BORDER + -(size + 2 * BORDER) % multiple]
    if max(coarse) + 2 * BORDER <= multiple:
        # One voxel is left at the bottom then, and instance normalization needs two.
        pads[-1] += multiple
    padded = F.pad((soft > 0.5).float(), pads)
    inputs = shape_input(padded)[None].contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        scores = torch.softmax(network(inputs).float(), dim=1)[0]
    inner = tuple(slice(BORDER, BORDER + size) for size in coarse)
    return scores[(slice(None), *inner)].clone()


def doubts(segments: np.ndarray) -> tuple[str, ...]:
    """Plain sentences about what a normal liver's split would not show (segments 1..8)."""
    counts = np.bincount(segments.ravel(), minlength=9)[1:9]
    total = counts.sum()
    found = []
    for structure, count in zip(SEGMENTS, counts, strict=True):
        share = count / total
        if count == 0:
            found.append(f"segment {numeral(structure)} is missing in the Couinaud split")
        elif not PLAUSIBLE_SHARE[0] <= share <= PLAUSIBLE_SHARE[1]:
            found.append(f"segment {numeral(structure)} has an unusual share of the liver ({share:.1%})")
    return tuple(f"{text}; the split is approximate" for text in found)


def split_segment_iv(segments: np.ndarray) -> np.ndarray:
    """Divide segment IV into IVa (above) and IVb (below).

    The level is the mean of the heights that best separate VIII from V and II from III: the plane of the
    portal bifurcation that divides upper from lower segments on both sides.

    Args:
        segments: uint8 (z, y, x) in canonical order, labels 1..8.
    """
    levels = [
        level
        for upper, lower in ((8, 5), (2, 3))
        if (level := _separating_level(segments == upper, segments == lower)) is not None
    ]
    result = segments.copy()
    if levels:
        below = result[: round(float(np.mean(levels)))]
        below[below == SEGMENT_IVA.label] = SEGMENT_IVB.label
    return result


def _separating_level(upper: np.ndarray, lower: np.ndarray) -> float | None:
    """The first slice of the upper part, with the fewest voxels on the wrong side; None if one is empty."""
    above = upper.sum(axis=(1, 2)).astype(float)
    below = lower.sum(axis=(1, 2)).astype(float)
    if above.sum() == 0 or below.sum() == 0:
        return None
    wrong = (
        np.concatenate([[0.0], np.cumsum(above)]) + below.sum() - np.concatenate([[0.0], np.cumsum(below)])
    )
    best = np.flatnonzero(wrong == wrong.min())
    return float(best.mean())
