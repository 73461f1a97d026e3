"""Masks that agree with each other, whatever was drawn.

Hand edits leave lesions that stick out of the liver, liver without a segment and segments beyond the
liver. What was drawn last and smallest wins: lesions are kept, and the rest follows them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from liverseg.case import Masks
from liverseg.couinaud.resplit import fill
from liverseg.errors import UsageError
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.labels import SEGMENT_IVB, SEGMENTS

SEGMENT_LABELS = (*(s.label for s in SEGMENTS), SEGMENT_IVB.label)
Box = tuple[slice, slice, slice]


def mend(
    masks: Masks, geometry: Geometry, fresh_split: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[Masks, tuple[str, ...]]:
    """Masks that hold every invariant of a :class:`liverseg.case.Case`, and a sentence for each change.

    A lesion voxel outside the liver is added to the liver; a liver voxel without a segment joins the
    segments that are there (:mod:`liverseg.couinaud.resplit`); segment voxels outside the liver are dropped.
    The given arrays are never written to; what needs no change is passed on as it is.

    Args:
        fresh_split: gives a Couinaud split (uint8) of a liver (bool) on this grid; asked where much liver has
            no segment. Without it the nearest segment is taken.

    Raises:
        UsageError: an array is not on the grid; labels are negative, no integers or too large; or the
            liver has voxels and no segment at all.
    """
    liver, couinaud, lesions = _checked(masks, geometry)
    order = CanonicalOrder.of(geometry)
    views = [order.apply(array) for array in (liver, couinaud, lesions)]
    box = _common_box(views)
    fixed = Masks(liver, couinaud, lesions, masks.vessels)
    if box is None:
        return fixed, ()

    spacing = order.geometry(geometry).spacing_kji
    voxel_ml = geometry.voxel_volume_ml

    def fresh(new_liver: np.ndarray) -> np.ndarray | None:
        if fresh_split is None:
            return None
        whole = _pasted(liver, new_liver, order, box)
        return np.ascontiguousarray(order.apply(fresh_split(whole))[box])

    new_liver, new_couinaud, warnings = _mend_crop(
        views[0][box], views[1][box], views[2][box], spacing, voxel_ml, fresh
    )
    return (
        Masks(
            _pasted(liver, new_liver, order, box),
            _pasted(couinaud, new_couinaud, order, box),
            lesions,
            masks.vessels,
        ),
        warnings,
    )


def _mend_crop(
    liver: np.ndarray,
    couinaud: np.ndarray,
    lesions: np.ndarray,
    spacing: tuple[float, float, float],
    voxel_ml: float,
    fresh: Callable[[np.ndarray], np.ndarray | None],
) -> tuple[np.ndarray | None, np.ndarray | None, tuple[str, ...]]:
    """New liver and new segments of a crop in world order (None where nothing changes), and warnings."""
    warnings = []
    lesion = lesions > 0
    sticking_out = lesion & ~liver
    grown = np.count_nonzero(sticking_out)
    if grown:
        ids = ", ".join(str(n) for n in np.unique(lesions[sticking_out]))
        warnings.append(
            f"Lesion {ids} reached outside the liver: {_ml(grown, voxel_ml)} were added to the liver."
        )
        liver = liver | sticking_out

    known = (couinaud > 0) & (couinaud <= max(SEGMENT_LABELS))
    beyond = np.count_nonzero((couinaud > 0) & ~known)
    if beyond:
        warnings.append(
            f"{_ml(beyond, voxel_ml)} of the segments had a label above {max(SEGMENT_LABELS)}, which is no "
            "Couinaud segment, and took the nearest one."
        )
    outside = np.count_nonzero(known & ~liver)
    if outside:
        warnings.append(
            f"{_ml(outside, voxel_ml)} of the Couinaud segments lay outside the liver and were left out."
        )
    missing = liver & ~known
    without = np.count_nonzero(missing & ~sticking_out & (couinaud == 0))
    if without:
        warnings.append(
            f"{_ml(without, voxel_ml)} of the liver had no Couinaud segment and joined those around it."
        )

    unchanged = not (outside or beyond or missing.any())
    mended = None
    if not unchanged:
        mended = np.where(known & liver, couinaud, 0).astype(np.uint8)
        if missing.any():
            if not mended.any():
                raise UsageError(
                    "The masks hold a liver or lesions but no Couinaud segment inside the liver: split the "
                    "liver into segments first (liverseg couinaud)."
                )
            whole = liver
            mended = fill(mended, liver, missing & (couinaud == 0), spacing, lambda: fresh(whole))
    return (liver if grown else None), mended, tuple(warnings)


def _checked(masks: Masks, geometry: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Liver as bool, segments as uint8, lesions as uint16, on the grid."""
    for name in ("liver", "couinaud", "lesions", "vessels"):
        array = getattr(masks, name)
        if array is not None and array.shape != geometry.shape:
            raise UsageError(
                f"The {name} mask has {array.shape} voxels and the CT {geometry.shape}: "
                "give masks on the CT's grid."
            )
    liver = masks.liver if masks.liver.dtype == bool else masks.liver > 0
    return (
        liver,
        _as_labels("Couinaud", masks.couinaud, np.uint8),
        _as_labels("lesion", masks.lesions, np.uint16),
    )


def _as_labels(name: str, array: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    if array.dtype == dtype:
        return array
    labels = array.astype(dtype)
    if not np.array_equal(labels, array):
        largest = np.iinfo(dtype).max
        raise UsageError(f"The {name} labels are no integers from 0 to {largest}: write them as a label map.")
    return labels


def _common_box(views: list[np.ndarray]) -> Box | None:
    boxes = [box for box in (bounding_box(view) for view in views) if box is not None]
    if not boxes:
        return None
    k, j, i = (
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes))
        for axis in range(3)
    )
    return k, j, i


def _pasted(original: np.ndarray, crop: np.ndarray | None, order: CanonicalOrder, box: Box) -> np.ndarray:
    if crop is None:
        return original
    result = original.copy()
    order.apply(result)[box] = crop
    return result


def _ml(voxels: np.integer, voxel_ml: float) -> str:
    volume = float(voxels) * voxel_ml
    return f"{volume:.2g} ml" if volume < 10 else f"{volume:.0f} ml"
