"""What a Slicer segment says about itself: terminology and LiverSeg's own tags.

Tags decide what a segment is, not its name: people rename segments. Terminology entries have the form
that Slicer serializes (Slicer source, vtkSlicerTerminologiesModuleLogic::SerializeTerminologyEntry):
seven parts joined by ``~``, a coded term being ``scheme^code^meaning``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from liverseg import labels
from liverseg.case import Case, CouinaudMethod, LesionReadout, Review
from liverseg.labels import Structure

TERMINOLOGY_TAG = "TerminologyEntry"
TERMINOLOGY_CONTEXT = "Segmentation category and type - LiverSeg"
ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"

KEY = "LiverSeg.Key"
LESION_ID = "LiverSeg.LesionId"
TRACKING_UID = "LiverSeg.TrackingUID"
CONFIDENCE = "LiverSeg.Confidence"
REVIEW_STATE = "LiverSeg.ReviewState"
REVIEW_READER = "LiverSeg.ReviewReader"
REVIEW_TIME = "LiverSeg.ReviewTime"
REVIEW_COMMENT = "LiverSeg.ReviewComment"
# Of the liver: the highest lesion id ever given, so that none is given twice.
LAST_LESION_ID = "LiverSeg.LastLesionId"
METHOD = "LiverSeg.CouinaudMethod"
METHOD_CONFIDENCE = "LiverSeg.CouinaudConfidence"
METHOD_APPROXIMATE = "LiverSeg.CouinaudApproximate"

# Among ``Provenance.parameters``: the same number for given masks, whose last lesions may be deleted by now.
LAST_LESION_ID_PARAMETER = "last_lesion_id"

# Layers of the segmentation file; segments of one layer never overlap.
LIVER_LAYER, COUINAUD_LAYER, LESION_LAYER, VESSEL_LAYER = "liver", "couinaud", "lesions", "vessels"


@dataclass(frozen=True)
class Segment:
    """One segment of a case: what it is, the mask array it lies in, and its tags."""

    structure: Structure
    layer: str
    tags: dict[str, str] = field(default_factory=dict)


def segments_of(case: Case) -> list[Segment]:
    """The segments of a case in the order people read them: liver, lesions, Couinaud, vessels.

    A segment's mask is ``getattr(case.masks, segment.layer) == segment.structure.label``.
    """
    liver_tags = method_tags(case.method) | {LAST_LESION_ID: str(last_lesion_id(case))}
    segments = [Segment(labels.LIVER, LIVER_LAYER, _tags(labels.LIVER, liver_tags))]
    for lesion in case.lesions:
        structure = labels.lesion_structure(lesion.id)
        segments.append(Segment(structure, LESION_LAYER, _tags(structure, lesion_tags(lesion))))
    for structure in labels.segments(case.split_segment_4):
        segments.append(Segment(structure, COUINAUD_LAYER, _tags(structure)))
    if case.masks.vessels is not None:
        segments += [
            Segment(structure, VESSEL_LAYER, _tags(structure))
            for structure in labels.VESSELS
            # A model without an aorta says nothing about it; one that finds no vein says that there is none.
            if structure != labels.AORTA or bool((case.masks.vessels == structure.label).any())
        ]
    return segments


def last_lesion_id(case: Case) -> int:
    """The highest lesion id that a case has or that was known when its masks were given; 0 without any."""
    known = case.provenance.parameters.get(LAST_LESION_ID_PARAMETER)
    return max([known if isinstance(known, int) else 0, *(lesion.id for lesion in case.lesions)])


def terminology_entry(structure: Structure) -> str:
    """The value of the tag ``TerminologyEntry``: a lesion's category is a morphology, others' an anatomy."""
    is_lesion = structure.code == labels.LESION.code
    code, scheme, meaning = labels.MORPHOLOGY if is_lesion else labels.ANATOMICAL_STRUCTURE
    parts = (
        TERMINOLOGY_CONTEXT,
        f"{scheme}^{code}^{meaning}",
        f"SCT^{structure.code}^{structure.meaning}",
        "^^",
        ANATOMIC_CONTEXT,
        "^^",
        "^^",
    )
    return "~".join(parts)


def terminology_codes(entry: str) -> tuple[str, str] | None:
    """The SNOMED CT codes (category, type) of a serialized entry, or None when it has other codes."""
    parts = [part.split("^") for part in entry.split("~")]
    if len(parts) < 3 or len(parts[1]) < 2 or len(parts[2]) < 2:
        return None
    if parts[1][0] != "SCT" or parts[2][0] != "SCT":
        return None
    return parts[1][1], parts[2][1]


def method_tags(method: CouinaudMethod) -> dict[str, str]:
    """Tags of the liver's segment that say how it was split."""
    tags = {METHOD: escaped(method.name), METHOD_APPROXIMATE: "1" if method.approximate else "0"}
    if method.confidence is not None:
        tags[METHOD_CONFIDENCE] = f"{method.confidence:.4f}"
    return tags


def method_from_tags(tags: dict[str, str]) -> CouinaudMethod | None:
    """The reverse of :func:`method_tags`."""
    if not tags.get(METHOD):
        return None
    return CouinaudMethod(
        unescaped(tags[METHOD]), number(tags.get(METHOD_CONFIDENCE)), tags.get(METHOD_APPROXIMATE) == "1"
    )


def lesion_tags(lesion: LesionReadout) -> dict[str, str]:
    """Tags of a lesion's segment: id, tracking UID, confidence and review."""
    tags = {
        LESION_ID: str(lesion.id),
        TRACKING_UID: lesion.tracking_uid,
        **review_tags(lesion.review),
    }
    if lesion.confidence is not None:
        tags[CONFIDENCE] = f"{lesion.confidence:.4f}"
    return tags


def review_tags(review: Review) -> dict[str, str]:
    """Tags of a lesion's segment that say what a reader said."""
    words = {REVIEW_READER: review.reader, REVIEW_TIME: review.time, REVIEW_COMMENT: review.comment}
    said = {name: escaped(text) for name, text in words.items() if text is not None}
    return {REVIEW_STATE: review.state, **said}


def review_from_tags(tags: dict[str, str]) -> Review | None:
    """The review a lesion's tags tell of, or None."""
    if tags.get(REVIEW_STATE) not in ("unreviewed", "accepted", "rejected"):
        return None
    names = (REVIEW_READER, REVIEW_TIME, REVIEW_COMMENT)
    reader, time, comment = (unescaped(tags[name]) if name in tags else None for name in names)
    return Review(tags[REVIEW_STATE], reader, time, comment)


def number(text: str | None) -> float | None:
    """A finite number in a tag, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def escaped(text: str) -> str:
    """Free text for a tag: Slicer separates tags by ``|`` and lines end a field of the file."""
    return quote(text, safe=" :,;.+-_/()@")


def unescaped(text: str) -> str:
    """The reverse of :func:`escaped`."""
    return unquote(text)


def _tags(structure: Structure, more: dict[str, str] | None = None) -> dict[str, str]:
    return {TERMINOLOGY_TAG: terminology_entry(structure), KEY: structure.key} | (more or {})
