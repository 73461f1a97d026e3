"""What a reader says of a lesion and the time a reader takes, kept in the scene; nothing is measured."""

from __future__ import annotations

from dataclasses import asdict, replace

from liverseg import labels, segment_tags, summary
from liverseg.case import LesionReadout, Review
from liverseg.errors import UsageError
from liverseg_mrml.case_nodes import READOUT, CaseNodes
from liverseg_mrml.readout_json import StoredReadout, stored_readout
from liverseg_mrml.segmentation_node import segment_ids
from liverseg_mrml.table_node import fill_rows
from liverseg_mrml.translation import _

STATES = ("unreviewed", "accepted", "rejected")
# Among ``Provenance.seconds``, beside the stages of the networks' run.
REVIEW_STAGE = "review"


def review_lesion(nodes: CaseNodes, lesion_id: int, review: Review) -> None:
    """Keep a review in the lesion's tags, the table and the stored read-out (its sentences and hints too).

    Raises:
        UsageError: there is no such lesion or no such state.
        InputRefused: the segmentation holds no read-out.
    """
    if review.state not in STATES:
        raise UsageError(
            _("a lesion cannot be {state}; use one of {names}").format(
                state=repr(review.state), names=", ".join(STATES)
            )
        )
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    lesions = tuple(
        replace(lesion, review=review) if lesion.id == lesion_id else lesion for lesion in stored.lesions
    )
    segment_id = segment_ids(nodes.segmentation).get(labels.lesion_structure(lesion_id).key)
    if segment_id is None or lesion_id not in {lesion.id for lesion in lesions}:
        raise UsageError(_("there is no lesion {id}; update the measurements first").format(id=lesion_id))
    segment = nodes.segmentation.GetSegmentation().GetSegment(segment_id)
    for tag in (segment_tags.REVIEW_READER, segment_tags.REVIEW_TIME, segment_tags.REVIEW_COMMENT):
        segment.RemoveTag(tag)
    for tag, value in segment_tags.review_tags(review).items():
        segment.SetTag(tag, value)
    _store(nodes, stored, lesions)
    fill_rows(nodes.table, lesions)


def lesion_readouts(nodes: CaseNodes) -> tuple[LesionReadout, ...]:
    """The lesions of a case as they were last measured, with their reviews.

    Raises:
        InputRefused: the segmentation holds no read-out.
    """
    return stored_readout(nodes.segmentation.GetAttribute(READOUT)).lesions


def add_review_seconds(nodes: CaseNodes, seconds: float) -> float:
    """Add time that a reader spent with a case to its provenance.

    Returns:
        All seconds of review so far.

    Raises:
        InputRefused: the segmentation holds no read-out.
    """
    stored = stored_readout(nodes.segmentation.GetAttribute(READOUT))
    spent = dict(stored.provenance.seconds)
    spent[REVIEW_STAGE] = round(spent.get(REVIEW_STAGE, 0.0) + max(seconds, 0.0), 1)
    provenance = replace(stored.provenance, seconds=spent)
    fields = {**stored.fields, "provenance": asdict(provenance)}
    nodes.segmentation.SetAttribute(READOUT, replace(stored, fields=fields).text())
    return spent[REVIEW_STAGE]


def _store(nodes: CaseNodes, stored: StoredReadout, lesions: tuple[LesionReadout, ...]) -> None:
    fields = {
        **stored.fields,
        "lesions": [asdict(lesion) for lesion in lesions],
        "summary": summary.sentences(lesions),
        "hints": summary.hints(lesions),
    }
    nodes.segmentation.SetAttribute(READOUT, replace(stored, fields=fields).text())
