"""The marks that say whether the numbers of a case still belong to its masks.

An edit marks a case stale at once (:class:`EditWatch`). The mark is an attribute and travels with the
scene; :func:`liverseg_mrml.edited_parts.edited_parts` finds out by comparing voxels. Nothing that measures is
loaded here: a panel must open before the packages for that are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import slicer

from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.renderings import STALE, set_renderings_stale

# Axes of an edited case are still a hint where the lesion is, but no measurement.
STALE_OPACITY = 0.3


def is_stale(nodes: CaseNodes) -> bool:
    """Whether a case is marked as edited since it was measured."""
    return bool(nodes.segmentation.GetAttribute(STALE) == "1")


def set_stale(nodes: CaseNodes, stale: bool) -> None:
    """Mark segmentation, table, axes and renderings as edited since the case was measured, or as measured.

    A rendering stays marked until it is made anew (:func:`liverseg_mrml.views3d.rendering_volume`).
    """
    if stale:
        set_renderings_stale(nodes)
    for node in (nodes.segmentation, nodes.table):
        node.SetAttribute(STALE, "1" if stale else None)
    for lines in nodes.axes.values():
        for line in (lines.long, lines.short):
            if line.GetDisplayNode() is not None:
                line.GetDisplayNode().SetOpacity(STALE_OPACITY if stale else 1.0)


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
        else:
            # It may have been made between two edits.
            set_renderings_stale(self.nodes)
        self._on_edit()
