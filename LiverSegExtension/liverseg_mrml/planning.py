"""A planned resection, kept in the scene beside the read-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from liverseg.case import Remnant, SegmentReadout
from liverseg.remnant import future_liver_remnant
from liverseg_mrml.case_nodes import READOUT, CaseNodes
from liverseg_mrml.readout_json import stored_readout


def segment_readouts(nodes: CaseNodes) -> tuple[SegmentReadout, ...]:
    """The Couinaud segments of a case as they were last measured.

    Raises:
        InputRefused: the segmentation holds no read-out.
    """
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    return tuple(SegmentReadout(**segment) for segment in stored.fields["segments"])


def stored_plan(nodes: CaseNodes) -> Remnant | None:
    """The resection that was planned for a case, as it was last measured; None without one.

    Raises:
        InputRefused: the segmentation holds no read-out.
    """
    return stored_readout(nodes.segmentation.GetAttribute(READOUT)).remnant


def plan_resection(
    nodes: CaseNodes, resected: Sequence[str], height_cm: float | None = None, weight_kg: float | None = None
) -> Remnant | None:
    """What a resection would leave, kept in the stored read-out; without segments the plan is dropped.

    Raises:
        UsageError: see :func:`liverseg.remnant.future_liver_remnant`.
        InputRefused: the segmentation holds no read-out.
    """
    remnant = None
    if resected:
        remnant = future_liver_remnant(segment_readouts(nodes), resected, height_cm, weight_kg)
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    fields = {**stored.fields, "remnant": None if remnant is None else asdict(remnant)}
    nodes.segmentation.SetAttribute(READOUT, replace(stored, fields=fields).text())
    return remnant
