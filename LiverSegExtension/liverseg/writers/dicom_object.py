"""What the DICOM segmentation and the DICOM report have in common: ids, codes, equipment, algorithm.

Both are made from one ``Case`` by writers that know nothing of each other, and the report refers to the
segmentation. So every id follows from the case: one case written twice is one object, another case another.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from liverseg import labels
from liverseg.case import Case, LesionReadout
from liverseg.dicom_headers import derived_uid
from liverseg.labels import Structure
from liverseg.segment_tags import (
    COUINAUD_LAYER,
    LESION_LAYER,
    LIVER_LAYER,
    VESSEL_LAYER,
    Segment,
    segments_of,
)
from liverseg.volume_identity import volume_hash

# Label Map Segmentation Storage; not every version of pydicom has a name for it.
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
MANUFACTURER, MODEL_NAME = "LiverSeg", "LiverSeg"
SERIES_NUMBERS = {"binary": 9001, "labelmap": 9002, "report": 9003}
LAYERS = (LIVER_LAYER, COUINAUD_LAYER, VESSEL_LAYER, LESION_LAYER)
_LONGEST_LO = 64  # characters of a DICOM Long String


@dataclass(frozen=True)
class SegmentAddress:
    """Where a segment is found: a segment's number in a segmentation."""

    sop_class_uid: str
    sop_instance_uid: str
    number: int


def drawn_segments(case: Case) -> list[Segment]:
    """The segments that have voxels, layer after layer: liver, Couinaud, vessels, lesions."""
    arrays = {layer: getattr(case.masks, layer) for layer in LAYERS}
    present = {layer: _labels_in(array) for layer, array in arrays.items() if array is not None}
    segments = [s for s in segments_of(case) if s.structure.label in present[s.layer]]
    return sorted(segments, key=lambda s: LAYERS.index(s.layer))


def _labels_in(array: np.ndarray) -> set[int]:
    """The labels of a map, slice by slice: counting needs 64 bits a voxel."""
    return {int(label) for slab in array for label in np.flatnonzero(np.bincount(slab.ravel()))}


def case_digest(case: Case) -> str:
    """What tells one case from another: input, what made it and when, masks, what was said of the lesions."""
    digest = hashlib.sha256()
    made = replace(case.provenance, seconds={})
    said = [(lesion.tracking_uid, lesion.confidence, lesion.review) for lesion in case.lesions]
    digest.update(repr((case.ct.source.sha256, made, said)).encode())
    for layer in LAYERS:
        array = getattr(case.masks, layer)
        digest.update(b"none" if array is None else np.packbits(array > 0).tobytes() + _values(array))
    return digest.hexdigest()


def _values(array: np.ndarray) -> bytes:
    return array[array > 0].astype(np.uint16).tobytes()


def addresses(case: Case, encoding: str, digest: str) -> dict[str, SegmentAddress]:
    """Where each drawn segment is found, by its structure's key.

    Args:
        encoding: "binary" or "labelmap".
        digest: of :func:`case_digest`.
    """
    found = {}
    for number, segment in enumerate(drawn_segments(case), start=1):
        if encoding == "binary":
            place = SegmentAddress(SegmentationStorage, derived_uid("binary", digest), number)
        else:
            uid = derived_uid("labelmap", segment.layer, digest)
            place = SegmentAddress(LABEL_MAP_STORAGE, uid, segment.structure.label)
        found[segment.structure.key] = place
    return found


def tracking_uid(case: Case, structure: Structure) -> str:
    """The tracking UID: a lesion's own; of anatomy one that follows from the scan, the same at every run."""
    for lesion in case.lesions:
        if structure.key == labels.lesion_structure(lesion.id).key:
            return lesion.tracking_uid
    return derived_uid("tracking", case.ct.source.sha256 or volume_hash(case.ct), structure.key)


def series_uid(kind: str, digest: str) -> str:
    """The SeriesInstanceUID of a case's objects of a kind: "binary", "labelmap" or "report"."""
    return derived_uid("series", kind, digest)


def series_attributes(case: Case, kind: str, digest: str) -> dict[str, Any]:
    """Series, equipment and time of an object; ``kind``: "binary", "labelmap" or "report"."""
    made = _time_of(case)
    titles = {"report": "measurements", "binary": "segmentation", "labelmap": "segmentation (label maps)"}
    weights = "".join(case.provenance.weights_sha256.values())
    return {
        "series_instance_uid": series_uid(kind, digest),
        "series_number": SERIES_NUMBERS[kind],
        "series_description": f"LiverSeg {titles[kind]} (research use)",
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": case.provenance.version[:_LONGEST_LO],
        # A serial number is required of a device; of software it is what computes.
        "device_serial_number": hashlib.sha256(weights.encode()).hexdigest()[:16]
        if weights
        else "no weights",
        "content_date": made.date(),
        "content_time": made.time(),
        "series_date": made.date(),
        "series_time": made.time(),
        "specific_character_set": "ISO_IR 192",
    }


def _time_of(case: Case) -> datetime:
    """When the case was made, by the clock here, as highdicom tells when the object was; in no zone."""
    try:
        made = datetime.fromisoformat(case.provenance.started)
    except ValueError:
        made = datetime.now(UTC)
    return made.astimezone().replace(microsecond=0, tzinfo=None)


@contextmanager
def quiet_highdicom() -> Iterator[None]:
    """Keep to ourselves what highdicom says of names in the scan's headers: they are as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def device_uid(case: Case) -> str:
    """The UID of this version of LiverSeg with these weights, as an observer."""
    return derived_uid(
        "device", case.provenance.version, repr(sorted(case.provenance.weights_sha256.items()))
    )


def algorithm_name(case: Case) -> str:
    """LiverSeg and the bundle of weights that ran, if any."""
    return f"LiverSeg {case.provenance.model_name or ''}".strip()[:_LONGEST_LO]


def algorithm_of(case: Case) -> hd.AlgorithmIdentificationSequence:
    """What drew: name, version, weights."""
    weights = {f"{name}_sha256": digest for name, digest in sorted(case.provenance.weights_sha256.items())}
    quality = case.provenance.parameters.get("quality")
    parameters = weights | ({"quality": str(quality)} if quality else {})
    return hd.AlgorithmIdentificationSequence(
        name=algorithm_name(case),
        family=codes.DCM.ArtificialIntelligence,
        version=case.provenance.version[:_LONGEST_LO],
        source=MANUFACTURER,
        parameters=parameters or None,
    )


def is_automatic(case: Case, layer: str) -> bool:
    """Whether the networks alone drew a layer; given masks may be the networks', a person's or both."""
    parameters = case.provenance.parameters
    if parameters.get("measured_from") is not None:
        return False
    if parameters.get("masks") == "given":
        return layer == COUINAUD_LAYER and "couinaud" in case.provenance.weights_sha256
    return True


def code_of(structure: Structure) -> Code:
    """A structure's SNOMED CT code."""
    return Code(structure.code, "SCT", structure.meaning)


def category_of(segment: Segment) -> Code:
    """The category as 3D Slicer writes it: a lesion is a morphology, all else an anatomy."""
    value, scheme, meaning = (
        labels.MORPHOLOGY if segment.layer == LESION_LAYER else labels.ANATOMICAL_STRUCTURE
    )
    return Code(value, scheme, meaning)


def sites_of(case: Case, lesion: LesionReadout) -> list[Code]:
    """Where a lesion lies: its primary segment, both when two tie ("IV/V"), or the liver."""
    by_name = {labels.numeral(s): s for s in labels.segments(case.split_segment_4)}
    names = (lesion.primary_segment or "").split("/")
    return [code_of(by_name[name]) for name in names if name in by_name] or [code_of(labels.LIVER)]
