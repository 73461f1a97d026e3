"""What a reader does to whole lesions: split, merge, make one of an island.

An edit changes segments alone. Numbers follow when the case is measured again
(:func:`liverseg_mrml.from_scene.case_from_nodes`, :func:`liverseg_mrml.to_scene.refresh`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverseg import segment_tags
from liverseg.case import Point
from liverseg.errors import UsageError
from liverseg.geometry import bounding_box
from liverseg.segment_identity import LesionSegment
from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.segment_voxels import SegmentVoxels
from liverseg_mrml.segmentation_node import get_tag
from liverseg_mrml.segments_reading import drawn_segments
from liverseg_mrml.translation import _

REVIEW_TAGS = (
    segment_tags.REVIEW_STATE,
    segment_tags.REVIEW_READER,
    segment_tags.REVIEW_TIME,
    segment_tags.REVIEW_COMMENT,
)
# The state of a merged lesion: the first of these that one of its parts has.
STRONGER_FIRST = ("accepted", "unreviewed", "rejected")


def split_lesion_into_parts(nodes: CaseNodes, lesion_id: int) -> tuple[int, ...]:
    """Make every connected part (26 neighbors) of a lesion a lesion of its own.

    The largest part keeps the id, the tracking UID and the review; the others get new ids, by falling
    volume, and the same review, because it was said of their voxels too.

    Returns:
        The ids of all parts, that of the largest first.

    Raises:
        UsageError: there is no such lesion, or it has one part only.
    """
    from liverseg.measure import label_lesions

    voxels = SegmentVoxels(nodes)
    mask = voxels.mask(voxels.lesion_segment(lesion_id))
    parts = label_lesions(mask, voxels.grid)
    count = int(parts.max(initial=0))
    if count < 2:
        raise UsageError(_("lesion {id} is one connected piece; split it by a plane").format(id=lesion_id))
    return _split(voxels, lesion_id, [parts == n for n in range(1, count + 1)])


def split_lesion_by_plane(
    nodes: CaseNodes, lesion_id: int, origin_ras_mm: Point, normal_ras: Point
) -> tuple[int, ...]:
    """Cut a lesion in two by a plane; voxels whose center lies on it go to the side of the normal.

    The larger side keeps the id (the side of the normal where both are equal), the other gets a new one and
    the same review.

    Args:
        origin_ras_mm: a point of the plane, world RAS mm.
        normal_ras: its normal, of any length but 0.

    Returns:
        The ids of both sides, that of the larger first.

    Raises:
        UsageError: there is no such lesion, the normal is 0, or the plane misses the lesion.
    """
    normal = np.asarray(normal_ras, dtype=float)
    if not np.linalg.norm(normal) > 0:
        raise UsageError(_("the plane has no direction; place it again"))
    voxels = SegmentVoxels(nodes)
    mask = voxels.mask(voxels.lesion_segment(lesion_id))
    places = np.argwhere(mask)
    beyond = (voxels.grid.to_ras(places) - np.asarray(origin_ras_mm)) @ normal >= 0
    if beyond.all() or not beyond.any():
        raise UsageError(
            _("the plane does not cut lesion {id}; move it through the lesion").format(id=lesion_id)
        )
    sides = []
    for side in (beyond, ~beyond):
        part = np.zeros_like(mask)
        part[tuple(places[side].T)] = True
        sides.append(part)
    return _split(voxels, lesion_id, sorted(sides, key=np.count_nonzero, reverse=True))


def merge_lesions(nodes: CaseNodes, lesion_ids: Sequence[int]) -> int:
    """Make one lesion of several, connected or not.

    The lowest id stays, with its tracking UID. The review is that of the part with the strongest word:
    accepted before unreviewed before rejected.

    Returns:
        The id that stays.

    Raises:
        UsageError: fewer than two lesions, or one that is not there.
    """
    wanted = sorted(set(lesion_ids))
    if len(wanted) < 2:
        raise UsageError(_("choose at least two lesions to merge"))
    voxels = SegmentVoxels(nodes)
    found = {lesion_id: voxels.lesion_segment(lesion_id) for lesion_id in wanted}
    masks = {lesion_id: voxels.mask(segment_id) for lesion_id, segment_id in found.items()}
    kept = voxels.segmentation.GetSegment(found[wanted[0]])
    reviews = [_tags(voxels, found[n], REVIEW_TAGS) for n in wanted]
    review = min(reviews, key=lambda tags: _strength(tags.get(segment_tags.REVIEW_STATE, "unreviewed")))
    confidence = _mean_confidence(voxels, found, masks)
    for lesion_id in wanted[1:]:
        voxels.segmentation.RemoveSegment(found[lesion_id])
    voxels.set_mask(found[wanted[0]], np.logical_or.reduce(list(masks.values())))
    for name in REVIEW_TAGS:
        kept.RemoveTag(name)
    for name, value in (review | confidence).items():
        kept.SetTag(name, value)
    return wanted[0]


def add_lesion_from_island(nodes: CaseNodes, point_ras_mm: Point, segment_id: str | None = None) -> int:
    """Make a lesion of the connected piece (26 neighbors) under a point, and take it out of its segment.

    The piece may belong to a lesion of several parts, or to any segment that is no part of the read-out,
    such as one that was just drawn by threshold. Liver, Couinaud segments and vessels are left alone.

    Args:
        point_ras_mm: a point of the piece, world RAS mm.
        segment_id: the segment to look in; None for the first that has the point.

    Returns:
        The id of the new lesion.

    Raises:
        UsageError: no piece lies there, or it is a whole lesion already.
    """
    import cc3d

    voxels = SegmentVoxels(nodes)
    place = tuple(int(n) for n in np.rint(voxels.grid.to_kji(point_ras_mm)))
    if any(n < 0 or n >= size for n, size in zip(place, voxels.grid.shape, strict=True)):
        raise UsageError(_("the point lies outside of the CT; click on the piece"))
    source, mask, is_lesion = _piece_source(voxels, place, segment_id)
    box = bounding_box(mask)
    assert box is not None  # the point is in it
    parts = cc3d.connected_components(mask[box], connectivity=26)
    inside = tuple(n - s.start for n, s in zip(place, box, strict=True))
    piece = np.zeros_like(mask)
    piece[box] = parts == parts[inside]
    rest = mask & ~piece
    if is_lesion and not rest.any():
        raise UsageError(_("this piece is a lesion of its own already"))
    voxels.set_mask(source, rest)
    return voxels.add_lesion(piece)


def _piece_source(
    voxels: SegmentVoxels, place: tuple[int, ...], segment_id: str | None
) -> tuple[str, np.ndarray, bool]:
    """The segment that has a voxel, its mask, and whether it is a lesion."""
    for n, drawn in enumerate(drawn_segments(voxels.node)):
        found = voxels.segmentation.GetNthSegmentID(n)
        is_lesion = isinstance(drawn.what, LesionSegment)
        if segment_id not in (None, found) or not (is_lesion or drawn.what is None):
            continue
        mask = voxels.mask(found)
        if mask[place]:
            return found, mask, is_lesion
    raise UsageError(_("there is no piece of a lesion or of a new segment at this point; click on one"))


def _split(voxels: SegmentVoxels, lesion_id: int, parts: Sequence[np.ndarray]) -> tuple[int, ...]:
    segment_id = voxels.lesion_segment(lesion_id)
    review = _tags(voxels, segment_id, REVIEW_TAGS)
    voxels.set_mask(segment_id, parts[0])
    return (lesion_id, *(voxels.add_lesion(part, review) for part in parts[1:]))


def _tags(voxels: SegmentVoxels, segment_id: str, names: Sequence[str]) -> dict[str, str]:
    segment = voxels.segmentation.GetSegment(segment_id)
    return {name: value for name in names if (value := get_tag(segment, name)) is not None}


def _strength(state: str) -> int:
    return STRONGER_FIRST.index(state) if state in STRONGER_FIRST else len(STRONGER_FIRST)


def _mean_confidence(
    voxels: SegmentVoxels, found: dict[int, str], masks: dict[int, np.ndarray]
) -> dict[str, str]:
    """The tag of the mean over the voxels, where all parts have one."""
    name = segment_tags.CONFIDENCE
    values = {n: segment_tags.number(_tags(voxels, found[n], (name,)).get(name)) for n in found}
    sizes = {n: int(np.count_nonzero(masks[n])) for n in found}
    total = sum(sizes.values())
    if total == 0 or any(value is None for value in values.values()):
        return {}
    mean = sum((value or 0.0) * sizes[n] for n, value in values.items()) / total
    return {name: f"{mean:.4f}"}
