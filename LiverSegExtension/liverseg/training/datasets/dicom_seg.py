"""DICOM segmentations (PS3.3 A.51) read onto the grid of the CT they were drawn on.

Frames are placed by their own position; binary, fractional and label-map segmentations are read. Which series
and images were drawn on is told by ``ReferencedSeriesSequence``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from liverseg.errors import InputRefused
from liverseg.geometry import LPS_TO_RAS
from liverseg.training.datasets.dicom_masks import slice_index
from liverseg.volume import Volume

# Direction cosines and pixel sizes of the segmentation and the CT agree up to this.
_SAME = 1e-3


@dataclass(frozen=True)
class SegReference:
    """What a segmentation was drawn on."""

    series_uid: str
    instance_uids: frozenset[str]


def reference_of(path: Path) -> SegReference:
    """The series and the images that a segmentation names.

    Raises:
        InputRefused: it cannot be read, or names no series.
    """
    header = _read(path, pixels=False)
    for item in header.get("ReferencedSeriesSequence") or []:
        images = item.get("ReferencedInstanceSequence") or []
        return SegReference(
            str(item.SeriesInstanceUID), frozenset(str(image.ReferencedSOPInstanceUID) for image in images)
        )
    raise InputRefused(f"{path} does not say which series it was drawn on.")


def read_segments(path: Path, ct: Volume) -> dict[str, np.ndarray]:
    """Masks (bool, on the CT's grid) by what each segment is called: label, description and type in one.

    Segments of one name are put together; those without voxels have an empty mask.

    Raises:
        InputRefused: unreadable, of another orientation or pixel size than the CT, or frames where it has no
            slice.
    """
    seg = _read(path, pixels=True)
    names = {int(item.SegmentNumber): _name(item) for item in seg.get("SegmentSequence") or []}
    if not names:
        raise InputRefused(f"{path} holds no segments.")
    masks = {name: np.zeros(ct.geometry.shape, bool) for name in names.values()}
    try:
        pixels = seg.pixel_array
    except (AttributeError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InputRefused(f"{path}: the voxels cannot be read ({error}).") from error
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    if pixels.shape[1:] != ct.geometry.shape[1:]:
        raise InputRefused(
            f"{path} has frames of {pixels.shape[:0:-1]} pixels, the CT {ct.geometry.shape[:0:-1]}."
        )
    kind = str(seg.get("SegmentationType", "BINARY"))
    half = int(seg.get("MaximumFractionalValue", 255)) / 2
    for frame, (number, k) in zip(pixels, _frames(seg, ct, path), strict=True):
        if kind == "LABELMAP":
            for value, name in names.items():
                masks[name][k] |= frame == value
        elif number in names:
            masks[names[number]][k] |= frame > (half if kind == "FRACTIONAL" else 0)
        else:
            raise InputRefused(f"{path} has a frame of the segment {number}, which it does not describe.")
    return masks


def _read(path: Path, pixels: bool) -> Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise InputRefused(f"{path} cannot be read as a DICOM segmentation.") from error


def _name(segment: Dataset) -> str:
    kinds = segment.get("SegmentedPropertyTypeCodeSequence") or []
    words = [segment.get("SegmentLabel", ""), segment.get("SegmentDescription", "")]
    words += [kind.get("CodeMeaning", "") for kind in kinds]
    return ", ".join(dict.fromkeys(str(word).strip().lower() for word in words if word))


def _group(groups: list[Dataset], sequence: str) -> Dataset:
    return next((group[sequence][0] for group in groups if len(group.get(sequence) or [])), Dataset())


def _frames(seg: Dataset, ct: Volume, path: Path) -> Iterator[tuple[int, int]]:
    """The segment number (0 in a label map) and the CT's slice of each frame."""
    shared = list(seg.get("SharedFunctionalGroupsSequence") or [])
    frames = list(seg.get("PerFrameFunctionalGroupsSequence") or [])
    if len(frames) != int(seg.get("NumberOfFrames", 1)):
        raise InputRefused(f"{path} does not tell where its frames lie.")
    for frame in frames:
        groups = [frame, *shared]
        position = _group(groups, "PlanePositionSequence").get("ImagePositionPatient")
        if position is None:
            raise InputRefused(f"{path} has a frame without a position.")
        _check_plane(groups, ct, path)
        segment = _group(groups, "SegmentIdentificationSequence")
        yield (
            int(segment.get("ReferencedSegmentNumber", 0)),
            slice_index(np.array(position, dtype=np.float64), ct.geometry, str(path)),
        )


def _check_plane(groups: list[Dataset], ct: Volume, path: Path) -> None:
    plane = _group(groups, "PlaneOrientationSequence").get("ImageOrientationPatient")
    spacing = _group(groups, "PixelMeasuresSequence").get("PixelSpacing")
    if plane is not None:
        own = np.array(plane, dtype=np.float64).reshape(2, 3)
        theirs = (LPS_TO_RAS[:3, :3] @ ct.geometry.directions[:, :2]).T
        if np.abs(own - theirs).max() > _SAME:
            raise InputRefused(f"{path} has another orientation than its CT.")
    if spacing is not None:
        i, j = ct.geometry.spacing_ijk[:2]
        if np.abs(np.array(spacing, dtype=np.float64) - (j, i)).max() > _SAME:
            raise InputRefused(f"{path} has another pixel size than its CT.")
