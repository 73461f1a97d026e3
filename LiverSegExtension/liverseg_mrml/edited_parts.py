"""Which parts of a case differ from what was read out, by comparing voxels, also for unwatched edits."""

from __future__ import annotations

import json
from dataclasses import dataclass

from liverseg.fingerprints import Fingerprints
from liverseg.liver_crop import LiverCrop
from liverseg.mending import mend
from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.drawn_checksum import is_as_measured
from liverseg_mrml.scene import Node
from liverseg_mrml.segments_reading import number_lesions, read_segments
from liverseg_mrml.staleness import is_stale
from liverseg_mrml.volume_node import volume_of

FINGERPRINTS = "LiverSeg.Fingerprints"


@dataclass(frozen=True)
class EditedParts:
    """What differs from what was read out: whole liver, segments, and ids of lesions (gone ones too)."""

    liver: bool
    couinaud: bool
    lesions: tuple[int, ...]

    def __bool__(self) -> bool:
        return self.liver or self.couinaud or bool(self.lesions)


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

    New lesions, and copies of lesions, get their ids first
    (:func:`liverseg_mrml.segments_reading.number_lesions`).

    Raises:
        InputRefused: see :func:`liverseg_mrml.segments_reading.read_segments`.
    """
    before = stored_fingerprints(nodes.segmentation)
    ct = volume_of(nodes.volume)
    number_lesions(nodes.segmentation)
    masks, _ = mend(read_segments(nodes.segmentation, ct).masks, ct.geometry)
    now = Fingerprints.of_crop(LiverCrop.of(ct, masks))
    moved = before.grid != now.grid
    ids = sorted(before.lesions.keys() | now.lesions.keys())
    return EditedParts(
        liver=moved or before.liver != now.liver,
        couinaud=moved or before.couinaud != now.couinaud,
        lesions=tuple(n for n in ids if moved or before.lesions.get(n) != now.lesions.get(n)),
    )


def numbers_fit(nodes: CaseNodes) -> bool:
    """Whether the numbers of a case are those of its masks as these are drawn, and lie, now.

    Edits that nobody watched count, and a segmentation that a transform moved off its CT.

    Raises:
        InputRefused: see :func:`edited_parts`.
    """
    return not is_stale(nodes) and (is_as_measured(nodes) or not edited_parts(nodes))
