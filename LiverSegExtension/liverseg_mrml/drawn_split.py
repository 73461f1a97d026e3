"""What the last method drew of the Couinaud segments, kept in the scene: by it a person's edits are told.

An attribute of the segmentation node; it travels with the scene.
"""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np

from liverseg.case import Case
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry, bounding_box
from liverseg.label_grids import onto_grid
from liverseg_mrml.scene import Node

DRAWN_SPLIT = "LiverSeg.DrawnSplit"


def is_edited(case: Case) -> bool:
    """Whether a case was measured from masks that a person may have drawn on."""
    return bool(case.provenance.parameters.keys() & {"masks", "measured_from"})


def keep_drawn_split(segmentation: Node, labels: np.ndarray | None, geometry: Geometry) -> None:
    """Remember a split; None forgets it.

    Args:
        labels: uint8 (k, j, i), 0 outside of the liver.
        geometry: its grid, world RAS mm.
    """
    if labels is None:
        segmentation.RemoveAttribute(DRAWN_SPLIT)
        return
    box = bounding_box(labels > 0) or (slice(0, 0),) * 3
    packed = zlib.compress(np.ascontiguousarray(labels[box], dtype=np.uint8).tobytes(), 1)
    fields = {
        "shape": geometry.shape,
        "ijk_to_ras": geometry.ijk_to_ras.tolist(),
        "box": [[s.start, s.stop] for s in box],
        "labels": base64.b64encode(packed).decode("ascii"),
    }
    segmentation.SetAttribute(DRAWN_SPLIT, json.dumps(fields))


def drawn_split(segmentation: Node, geometry: Geometry) -> np.ndarray | None:
    """The split that was remembered, uint8 (k, j, i) on a grid; None without one, or where the CT moved."""
    try:
        fields = json.loads(segmentation.GetAttribute(DRAWN_SPLIT) or "")
        grid = Geometry(tuple(fields["shape"]), np.array(fields["ijk_to_ras"]))
        box = tuple(slice(*ends) for ends in fields["box"])
        labels = np.frombuffer(zlib.decompress(base64.b64decode(fields["labels"])), dtype=np.uint8)
        whole = np.zeros(grid.shape, dtype=np.uint8)
        whole[box] = labels.reshape([s.stop - s.start for s in box])
        return onto_grid(whole, grid, geometry, "the last split", same_box=True)[0]
    except (ValueError, KeyError, TypeError, zlib.error, InputRefused):
        return None


def follow_mending(segmentation: Node, drawn: np.ndarray, mended: np.ndarray, geometry: Geometry) -> None:
    """Labels that measuring filled in are no edits of a person: remember them as drawn by the method.

    Args:
        drawn: uint8 (k, j, i), as the segments were drawn.
        mended: uint8, as they are after measuring.
        geometry: the grid of both.
    """
    filled = (drawn == 0) & (mended > 0)
    if not filled.any():
        return
    before = drawn_split(segmentation, geometry)
    if before is not None:
        keep_drawn_split(segmentation, np.where(filled, mended, before), geometry)
