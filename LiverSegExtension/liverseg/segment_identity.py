"""Tells what a segment of a segmentation is: LiverSeg's tags first, then terminology, then the name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from liverseg import labels, segment_tags
from liverseg.labels import Structure

# SNOMED CT: lesion, neoplasm.
LESION_TYPE_CODES = ("52988006", "108369006")
_VENA_CAVA_CODE = "64131007"
_CATEGORY_CODES = (
    labels.ANATOMICAL_STRUCTURE[0],
    labels.ANATOMICAL_STRUCTURE_ALSO_READ,
    labels.MORPHOLOGY[0],
)
_STRUCTURES = (labels.LIVER, *labels.SEGMENTS, labels.SEGMENT_IVA, labels.SEGMENT_IVB, *labels.VESSELS)
_BY_KEY = {structure.key: structure for structure in _STRUCTURES}
_BY_CODE = {structure.code: structure for structure in _STRUCTURES} | {_VENA_CAVA_CODE: labels.HEPATIC_VEINS}
_BY_NAME = {structure.name.lower(): structure for structure in _STRUCTURES}
# "iva" and "4a" alike.
_NUMERALS = {labels.numeral(s).lower(): s for s in _STRUCTURES if s.name.startswith("Segment ")}
_NUMERALS |= {s.key.removeprefix("couinaud_"): s for s in _STRUCTURES if s.key.startswith("couinaud_")}
_LESION_NAME = re.compile(r"(?:liver[ _-]*)?(?:lesion|tumou?r|metastasis)[ _-]*(\d*)", re.IGNORECASE)
_SEGMENT_NAME = re.compile(r"(?:(?:couinaud|liver|hepatic)[ _-]*)*(?:segment[ _-]*)?(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class LesionSegment:
    """A lesion, with its id when the segment tells one."""

    lesion_id: int | None


def identify(name: str, tags: dict[str, str]) -> Structure | LesionSegment | None:
    """What a segment with this name and these tags is, or None when nothing tells.

    Terminology counts with the category Anatomical Structure (123037004, or 91723000 as older versions of
    Slicer wrote it) or Morphologically Altered Structure. A segment that Slicer calls "Tissue", as all new
    ones, is known by its name.
    """
    for known in (_by_tags(tags), _by_terminology(name, tags), _by_name(name)):
        if known is not None:
            return known
    return None


def _by_tags(tags: dict[str, str]) -> Structure | LesionSegment | None:
    key = tags.get(segment_tags.KEY, "")
    if segment_tags.LESION_ID in tags or key.startswith("lesion"):
        return LesionSegment(_lesion_id(tags.get(segment_tags.LESION_ID) or key.removeprefix("lesion_")))
    return _BY_KEY.get(key)


def _by_terminology(name: str, tags: dict[str, str]) -> Structure | LesionSegment | None:
    codes = segment_tags.terminology_codes(tags.get(segment_tags.TERMINOLOGY_TAG, ""))
    if codes is None or codes[0] not in _CATEGORY_CODES:
        return None
    if codes[1] in LESION_TYPE_CODES:
        match = _LESION_NAME.fullmatch(name.strip())
        return LesionSegment(_lesion_id(match[1]) if match else None)
    return _BY_CODE.get(codes[1])


def _by_name(name: str) -> Structure | LesionSegment | None:
    name = name.strip().lower()
    if match := _LESION_NAME.fullmatch(name):
        return LesionSegment(_lesion_id(match[1]))
    if name in _BY_NAME:
        return _BY_NAME[name]
    match = _SEGMENT_NAME.fullmatch(name)
    return _NUMERALS.get(match[1]) if match else None


def _lesion_id(text: str) -> int | None:
    return int(text) if text.isdigit() and 0 < int(text) < 65536 else None
