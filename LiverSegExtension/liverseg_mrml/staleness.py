"""Whether the numbers of a case still belong to its masks, and the marks that say so.

An edit marks a case stale at once (:class:`EditWatch`). The mark is an attribute and travels with the
scene; :func:`edited_parts` finds out by comparing voxels, also for edits that nobody watched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import slicer

from liverseg.fingerprints import Fingerprints
from liverseg.liver_crop import LiverCrop
from liverseg.mending import mend
from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.scene import Node
from liverseg_mrml.segments_reading import read_segments
from liverseg_mrml.volume_node import volume_of

STALE = "LiverSeg.Stale"
FINGERPRINTS = "LiverSeg.Fingerprints"
# Axes of an edited case are still a hint where the lesion is, but no measurement.
STALE_OPACITY = 0.3


@dataclass(frozen=True)
class EditedParts:
    """What differs from what was read out: whole liver, segments, and ids of lesions (gone ones too)."""

    liver: bool
    couinaud: bool
    lesions: tuple[int, ...]

    def __bool__(self) -> bool:
        return self.liver or self.couinaud or bool(self.lesions)


def is_stale(nodes: CaseNodes) -> bool:
    """Whether a case is marked as edited since it was measured."""
    return bool(nodes.segmentation.GetAttribute(STALE) == "1")


def set_stale(nodes: CaseNodes, stale: bool) -> None:
    """Mark segmentation, table and axes as edited since the case was measured, or as measured."""
    for node in (nodes.segmentation, nodes.table):
        node.SetAttribute(STALE, "1" if stale else None)
    for lines in nodes.axes.values():
        for line in (lines.long, lines.short):
            if line.GetDisplayNode() is not None:
                line.GetDisplayNode().SetOpacity(STALE_OPACITY if stale else 1.0)


def keep_fingerprints(segmentation: Node, fingerprints: Fingerprints) -> None:
    """Remember what the numbers in a scene were measured from."""
    segmentation.SetAttribute(FINGERPRINTS, json.dumps(fingerprints.plain()))


def stored_fingerprints(segmentation: Node) -> Fingerprints:
    """The reverse of :func:`keep_fingerprints`; empty fingerprints, which equal no others, without any."""
    try:
        fields = json.loads(segmentation.GetAttribute(FINGERPRINTS) or "{}")
    except ValueError:
        fields = {}
    return Fingerprints.from_plain(fields if isinstance(fields, dict) else {})


def edited_parts(nodes: CaseNodes) -> EditedParts:
    """Compare the voxels of a case with those that were read out.

    Raises:
        InputRefused: see :func:`liverseg_mrml.segments_reading.read_segments`.
    """
    before = stored_fingerprints(nodes.segmentation)
    ct = volume_of(nodes.volume)
    masks, _ = mend(read_segments(nodes.segmentation, ct).masks, ct.geometry)
    now = Fingerprints.of_crop(LiverCrop.of(ct, masks))
    moved = before.grid != now.grid
    ids = sorted(before.lesions.keys() | now.lesions.keys())
    return EditedParts(
        liver=moved or before.liver != now.liver,
        couinaud=moved or before.couinaud != now.couinaud,
        lesions=tuple(n for n in ids if moved or before.lesions.get(n) != now.lesions.get(n)),
    )


class EditWatch:
    """Marks a case stale as soon as a segment's voxels change, or a segment comes or goes.

    Args:
        nodes: the case.
        on_edit: called after each edit, which may be many times a second while someone paints.
    """

    def __init__(self, nodes: CaseNodes, on_edit: Callable[[], None] = lambda: None) -> None:
        self.nodes = nodes
        self._on_edit = on_edit
        self._paused = 0
        self._segmentation: Any = nodes.segmentation.GetSegmentation()
        events = slicer.vtkSegmentation
        self._tags = [
            self._segmentation.AddObserver(event, self._edited)
            for event in (events.SourceRepresentationModified, events.SegmentAdded, events.SegmentRemoved)
        ]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Changes inside of the block are no edits: those of :func:`~liverseg_mrml.to_scene.refresh`."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def stop(self) -> None:
        """Watch no more."""
        for tag in self._tags:
            self._segmentation.RemoveObserver(tag)
        self._tags = []

    def _edited(self, caller: object, event: str) -> None:
        if self._paused:
            return
        if not is_stale(self.nodes):
            set_stale(self.nodes, True)
        self._on_edit()
