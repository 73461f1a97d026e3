"""``seg.dcm``, and the label maps ``seg_*.dcm``: DICOM segmentations (PS3.3 A.51).

Liver, Couinaud segments, vessels and lesions overlap. In a binary segmentation they may: ``seg.dcm`` holds
them all. A label map gives each voxel one number, so each layer becomes a file of its own, with the values of
the NIfTI label map of that name; together they hold the same voxels as ``seg.dcm``.

Frames lie where the CT's slices lie, flipped, oblique, tilted or unevenly spaced: nothing is resampled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from liverseg.case import Case
from liverseg.dicom_headers import SourceHeaders, source_headers
from liverseg.segment_tags import COUINAUD_LAYER, LESION_LAYER, LIVER_LAYER, VESSEL_LAYER, Segment
from liverseg.writers.dicom_object import (
    LAYERS,
    addresses,
    algorithm_of,
    case_digest,
    category_of,
    code_of,
    drawn_segments,
    is_automatic,
    quiet_highdicom,
    series_attributes,
    sites_of,
    tracking_uid,
)


def write_binary(case: Case, path: Path) -> None:
    """Write all segments into one binary segmentation. The case must have a liver."""
    segments = drawn_segments(case)
    digest = case_digest(case)
    places = addresses(case, "binary", digest)
    described = [_description(case, s, places[s.structure.key].number) for s in segments]
    headers = source_headers(case.ct)
    uid = next(iter(places.values())).sop_instance_uid
    attributes = series_attributes(case, "binary", digest)
    parts = []
    for layer in LAYERS:
        numbers = {s.structure.label: places[s.structure.key].number for s in segments if s.layer == layer}
        if numbers:
            array = _renumbered(getattr(case.masks, layer), numbers)
            # Two at least: of a single one the number would be said once for all frames, not in each.
            shown = described[: max(2, *numbers.values())]
            parts.append(_segmentation(headers, array, shown, "binary", uid, 1, attributes))
    merged = _merged(parts)
    if headers.generated:
        _forget_images(merged)
    merged.save_as(path, enforce_file_format=True)


def write_liver_map(case: Case, path: Path) -> None:
    """Write the liver as a label map: 1."""
    _write_label_map(case, LIVER_LAYER, path)


def write_couinaud_map(case: Case, path: Path) -> None:
    """Write the Couinaud segments as a label map, with the values of ``couinaud.nii.gz``."""
    _write_label_map(case, COUINAUD_LAYER, path)


def write_vessels_map(case: Case, path: Path) -> None:
    """Write the vessels as a label map, with the values of ``vessels.nii.gz``."""
    _write_label_map(case, VESSEL_LAYER, path)


def write_lesions_map(case: Case, path: Path) -> None:
    """Write the lesions as a label map of their ids."""
    _write_label_map(case, LESION_LAYER, path)


def _write_label_map(case: Case, layer: str, path: Path) -> None:
    digest = case_digest(case)
    places = addresses(case, "labelmap", digest)
    segments = [s for s in drawn_segments(case) if s.layer == layer]
    segments.sort(key=lambda s: s.structure.label)
    described = [_description(case, s, s.structure.label) for s in segments]
    headers = source_headers(case.ct)
    uid = places[segments[0].structure.key].sop_instance_uid
    array = getattr(case.masks, layer).astype(np.uint16)
    number = LAYERS.index(layer) + 1
    attributes = series_attributes(case, "labelmap", digest)
    seg = _segmentation(headers, array, described, "labelmap", uid, number, attributes)
    if headers.generated:
        _forget_images(seg)
    seg.save_as(path, enforce_file_format=True)


def _segmentation(
    headers: SourceHeaders,
    array: np.ndarray,
    described: list[hd.seg.SegmentDescription],
    encoding: str,
    uid: str,
    instance_number: int,
    attributes: dict[str, Any],
) -> hd.seg.Segmentation:
    """A segmentation of one layer; ``array`` (k, j, i) holds segment numbers."""
    images = list(headers.images)
    if headers.frames is not None:
        # The frames of a multi-frame file in the order of the file.
        ordered = np.zeros((max(headers.frames) + 1, *array.shape[1:]), array.dtype)
        ordered[list(headers.frames)] = array
        array = ordered
    with quiet_highdicom():
        return hd.seg.Segmentation(
            source_images=images,
            pixel_array=array,
            segmentation_type=encoding.upper(),
            segment_descriptions=described,
            sop_instance_uid=uid,
            instance_number=instance_number,
            transfer_syntax_uid=ExplicitVRLittleEndian if encoding == "binary" else RLELossless,
            content_label="LIVERSEG",
            content_creator_name="LiverSeg^",
            content_description="Liver, Couinaud segments and lesions (research use)",
            **attributes,
        )


def _description(case: Case, segment: Segment, number: int) -> hd.seg.SegmentDescription:
    structure = segment.structure
    sites: list[Code] = []
    if segment.layer == LESION_LAYER:
        lesion = next(each for each in case.lesions if each.id == structure.label)
        sites = sites_of(case, lesion)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name,
        segmented_property_category=category_of(segment),
        segmented_property_type=code_of(structure),
        algorithm_type="AUTOMATIC" if is_automatic(case, segment.layer) else "SEMIAUTOMATIC",
        algorithm_identification=algorithm_of(case),
        tracking_uid=tracking_uid(case, structure),
        tracking_id=structure.name,
        anatomic_regions=sites or None,
        display_color=hd.color.CIELabColor.from_rgb(*structure.color),
    )


def _renumbered(array: np.ndarray, numbers: dict[int, int]) -> np.ndarray:
    """uint16 of the same shape: labels become segment numbers."""
    table = np.zeros(max(int(array.max()), *numbers) + 1, np.uint16)
    table[list(numbers)] = list(numbers.values())
    return table[array.astype(np.uint16)]


def _merged(parts: list[hd.seg.Segmentation]) -> hd.seg.Segmentation:
    """One binary segmentation of several that describe segments 1..n each and show segments of their own.

    highdicom takes overlapping segments as one array of all voxels times all segments only, which for
    hundreds of lesions fills any memory.
    """
    whole = parts[-1]
    frames = [frame for part in parts for frame in part.PerFrameFunctionalGroupsSequence]
    places = np.array([frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames], dtype=float)
    cosines = whole.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    normal = np.cross(np.array(cosines[:3], float), np.array(cosines[3:], float))
    _, ranks = np.unique(np.round(places @ normal, 6), return_inverse=True)
    for frame, rank in zip(frames, ranks.ravel().tolist(), strict=True):
        number = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        frame.FrameContentSequence[0].DimensionIndexValues = [number, rank + 1]
    pixels = whole.Rows * whole.Columns
    # Bits follow each other without a gap between frames (PS3.5 8.1.1), so bytes fit only at multiples of 8.
    bits = [
        np.unpackbits(np.frombuffer(part.PixelData, np.uint8), bitorder="little")[
            : part.NumberOfFrames * pixels
        ]
        for part in parts
    ]
    packed = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    whole.PixelData = packed + b"\0" * (len(packed) % 2)
    whole.PerFrameFunctionalGroupsSequence = frames
    whole.NumberOfFrames = len(frames)
    whole.SegmentsOverlap = "YES" if len(parts) > 1 else "NO"
    return whole


def _forget_images(seg: Dataset) -> None:
    """Remove the references to images: those of a scan that is no DICOM do not exist."""
    for keyword in ("SourceImageSequence", "ReferencedSeriesSequence"):
        if keyword in seg:
            del seg[keyword]
    for frame in (*seg.SharedFunctionalGroupsSequence, *seg.PerFrameFunctionalGroupsSequence):
        if "DerivationImageSequence" in frame:
            del frame["DerivationImageSequence"]
