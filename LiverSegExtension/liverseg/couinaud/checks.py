"""What a normal liver's split would not show. Each finding is a plain sentence and makes it approximate.

Ranges are those of 141 label maps of 126 livers, widened by a fifth or more, so that a split they object to
is not one of an ordinary liver: it was resected, cut off by the scan, mirrored, or the method failed.
"""

from __future__ import annotations

import cc3d
import numpy as np

from liverseg.couinaud.crop import LiverCrop
from liverseg.geometry import Geometry, bounding_box
from liverseg.labels import SEGMENT_IVA, SEGMENT_IVB, SEGMENTS, numeral

# Share of the liver of one segment, and of V to VIII together (seen: 0.003 to 0.33, 0.48 to 0.81).
PLAUSIBLE_SHARE = (0.003, 0.5)
PLAUSIBLE_RIGHT_SHARE = (0.42, 0.86)
# Share of IVa in segment IV (seen: 0.31 to 0.97).
PLAUSIBLE_IVA_SHARE = (0.15, 0.99)
# How far right of the middle of its box a liver's center of mass lies, in box widths (seen: 0.08 to 0.22).
PLAUSIBLE_BULK = (0.03, 0.28)
# A pair of segments that do not touch shares at most this part of all borders between segments (seen: 0.025)
# and neighbors at least this one (seen: 0.014).
MOST_CONTACT, LEAST_CONTACT = 0.04, 0.004
STRANGERS = ((2, 5), (2, 6), (2, 7), (3, 5), (3, 6), (3, 7), (3, 8), (4, 6), (4, 7), (5, 7), (6, 8))
NEIGHBORS = ((1, 8), (2, 3), (2, 4), (4, 8), (5, 6), (5, 8), (6, 7), (7, 8))
# (segment, direction, other): the center of the first lies beyond the other's.
ORDER = (
    (8, "above", 5),
    (7, "above", 6),
    (2, "above", 3),
    (6, "behind", 5),
    (7, "behind", 8),
    (4, "left of", 5),
    (4, "left of", 8),
    (2, "left of", 4),
    (3, "left of", 4),
    (1, "left of", 7),
)
AXES = {"above": 0, "behind": 1, "left of": 2}
# So much of a segment must hang together.
MAIN_PART = 0.9


def doubts(segments: np.ndarray) -> tuple[str, ...]:
    """Plain sentences about what a normal liver's split would not show.

    Args:
        segments: uint8 (z, y, x) in canonical order, labels 1..8, 0 outside the liver.
    """
    if not segments.any():
        return ()
    counts = np.bincount(segments.ravel(), minlength=9)[1:9]
    found = [*_share_doubts(counts), *_laterality_doubts(segments)]
    if np.all(counts > 0):
        small = _thinned(segments)
        found += [*_order_doubts(small), *_contact_doubts(small), *_part_doubts(segments)]
    return tuple(f"{text}; the split is approximate" for text in found)


def doubts_of_iv(segments: np.ndarray) -> tuple[str, ...]:
    """Plain sentences about a division of segment IV that a normal liver would not show.

    Args:
        segments: uint8 (z, y, x), segment IV as IVa (4) and IVb (9).
    """
    upper, lower = (np.count_nonzero(segments == part.label) for part in (SEGMENT_IVA, SEGMENT_IVB))
    if upper == 0 or lower == 0:
        return ("segment IV could not be divided into IVa and IVb; the split is approximate",)
    share = upper / (upper + lower)
    if PLAUSIBLE_IVA_SHARE[0] <= share <= PLAUSIBLE_IVA_SHARE[1]:
        return ()
    small, part = (SEGMENT_IVA, share) if share < 0.5 else (SEGMENT_IVB, 1 - share)
    return (
        f"segment {numeral(small)} has only {part:.1%} of segment IV, as where the scan cuts the liver; "
        "the split is approximate",
    )


def doubts_of_given(segments: np.ndarray, geometry: Geometry) -> tuple[str, ...]:
    """What a normal liver's split would not show, in segments that a person drew or edited.

    Args:
        segments: integers (k, j, i): 1..8, or 4 for IVa and 9 for IVb.
        geometry: their grid.
    """
    liver = LiverCrop.of(segments > 0, geometry)
    if liver is None:
        return ()
    drawn = liver.taken(segments).astype(np.uint8)
    whole = np.where(drawn == SEGMENT_IVB.label, np.uint8(4), drawn)
    return (*doubts(whole), *(doubts_of_iv(drawn) if (drawn == SEGMENT_IVB.label).any() else ()))


def _name(label: int) -> str:
    return numeral(SEGMENTS[label - 1])


def _share_doubts(counts: np.ndarray) -> list[str]:
    total = counts.sum()
    found = []
    for label, count in enumerate(counts, start=1):
        share = count / total
        if count == 0:
            found.append(f"segment {_name(label)} is missing in the Couinaud split")
        elif not PLAUSIBLE_SHARE[0] <= share <= PLAUSIBLE_SHARE[1]:
            found.append(f"segment {_name(label)} has an unusual share of the liver ({share:.1%})")
    right = counts[4:8].sum() / total
    if not PLAUSIBLE_RIGHT_SHARE[0] <= right <= PLAUSIBLE_RIGHT_SHARE[1]:
        found.append(
            f"segments V to VIII have an unusual share of the liver ({right:.0%}), as after a resection or "
            "where the scan cuts the liver"
        )
    return found


def _laterality_doubts(segments: np.ndarray) -> list[str]:
    filled = (segments > 0).sum(axis=(0, 1))
    columns = np.flatnonzero(filled)
    middle = (columns[0] + columns[-1]) / 2
    width = columns[-1] - columns[0] + 1
    if width < 4:
        return []
    bulk = (middle - np.average(np.arange(filled.size), weights=filled)) / width
    if bulk < -PLAUSIBLE_BULK[0]:
        return ["the liver's bulk lies on the left side, as in situs inversus or after a resection"]
    if not PLAUSIBLE_BULK[0] <= bulk <= PLAUSIBLE_BULK[1]:
        return ["the liver's shape is unusual, as after a resection or where the scan cuts it"]
    return []


def _thinned(segments: np.ndarray) -> np.ndarray:
    """Every few voxels of the liver's box, enough for centers and contacts."""
    box = bounding_box(segments)
    assert box is not None
    part = segments[box]
    return part[tuple(slice(None, None, max(1, n // 64)) for n in part.shape)]


def _order_doubts(segments: np.ndarray) -> list[str]:
    centers = {label: np.argwhere(segments == label).mean(axis=0) for label in np.unique(segments) if label}
    return [
        f"segment {_name(one)} does not lie {direction} segment {_name(other)}"
        for one, direction, other in ORDER
        if one in centers
        and other in centers
        and centers[one][AXES[direction]] <= centers[other][AXES[direction]]
    ]


def _contact_doubts(segments: np.ndarray) -> list[str]:
    contact = np.zeros((10, 10), dtype=np.int64)
    for axis in range(3):
        moved = np.moveaxis(segments, axis, 0)
        one, other = moved[:-1].ravel(), moved[1:].ravel()
        apart = (one != other) & (one > 0) & (other > 0)
        codes = one[apart].astype(np.int64) * 10 + other[apart]
        contact += np.bincount(codes, minlength=100).reshape(10, 10)
    contact += contact.T
    total = contact.sum() / 2
    if total == 0:
        return []
    found = [
        f"segments {_name(a)} and {_name(b)} touch, which they do not in an ordinary liver"
        for a, b in STRANGERS
        if contact[a, b] > MOST_CONTACT * total
    ]
    return found + [
        f"segments {_name(a)} and {_name(b)} do not touch"
        for a, b in NEIGHBORS
        if contact[a, b] < LEAST_CONTACT * total
    ]


def _part_doubts(segments: np.ndarray) -> list[str]:
    pieces, count = cc3d.connected_components(segments, connectivity=26, return_N=True)
    if count <= 8:
        return []
    found = []
    for label in range(1, 9):
        sizes = np.bincount(pieces[segments == label])
        if sizes.max(initial=0) < MAIN_PART * sizes.sum():
            found.append(f"segment {_name(label)} lies in separate parts")
    return found
