"""Reads the masks of a ``.seg.nrrd``: what a segment is, tags decide first, then codes, only then names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg import labels, segment_tags
from liverseg.case import CouinaudMethod, Masks
from liverseg.errors import InputRefused
from liverseg.file_headers import cannot_open, check_header
from liverseg.given_masks import ReadMasks, is_lesion_id
from liverseg.images import geometry_of
from liverseg.label_grids import onto_grid
from liverseg.segment_identity import FileSegment, LesionSegment, file_segments, number_lesions
from liverseg.volume import Volume


def read_segmentation(path: Path, ct: Volume) -> ReadMasks:
    """The masks of a segmentation; see :func:`liverseg.masks_reading.read_masks`."""
    try:
        check_header(path)
        image = sitk.ReadImage(str(path))
    except OSError as error:
        raise cannot_open(path.name, error) from error
    except RuntimeError as error:
        raise InputRefused(
            f"{path.name} cannot be read as a NRRD file; save it again from 3D Slicer"
        ) from error
    if image.GetDimension() != 3:
        raise InputRefused(
            f"{path.name} has {image.GetDimension()} axes; save it as .seg.nrrd from 3D Slicer"
        )
    found = file_segments({key: image.GetMetaData(key) for key in image.GetMetaDataKeys()})
    if not found:
        raise InputRefused(f"{path.name} holds no segments; save a segmentation as .seg.nrrd from 3D Slicer")
    array = sitk.GetArrayViewFromImage(image)
    # One layer comes as a scalar image, more as a vector image with the layers last. The origin in the
    # file is that of its own first voxel, so a cropped file needs no look at the extent's offset.
    layers = [array] if array.ndim == 3 else [array[..., n] for n in range(array.shape[3])]
    geometry = geometry_of(image)
    warnings: list[str] = []
    placed = []
    for layer in layers:
        labeled, cut = onto_grid(layer, geometry, ct.geometry, path.name)
        placed.append(labeled)
        if cut:
            warnings.append("A part of the segmentation lies outside the CT and was left out.")
    return _assemble(found, placed, ct, list(dict.fromkeys(warnings)))


def _assemble(
    found: list[FileSegment], layers: list[np.ndarray], ct: Volume, warnings: list[str]
) -> ReadMasks:
    shape = ct.geometry.shape
    liver, couinaud = np.zeros(shape, bool), np.zeros(shape, np.uint8)
    vessels = np.zeros(shape, np.uint8)
    kinds = set()
    method: CouinaudMethod | None = None
    drawn: list[tuple[FileSegment, int | None]] = []
    for segment in found:
        what = segment.what()
        if what is None:
            warnings.append(
                f'The segment "{segment.name}" is nothing LiverSeg knows and was left out; '
                "name it Lesion, or set its terminology."
            )
        elif isinstance(what, LesionSegment):
            drawn.append((segment, what.lesion_id))
        elif what == labels.LIVER:
            kinds.add("liver")
            liver |= _mask(segment, layers)
            method = method or segment_tags.method_from_tags(segment.tags)
        elif what in labels.VESSELS:
            kinds.add("vessels")
            vessels[_mask(segment, layers)] = what.label
        else:
            couinaud[_mask(segment, layers)] = what.label
    if "liver" not in kinds and not couinaud.any():
        raise InputRefused("the segmentation has neither a liver nor Couinaud segments; draw or name one")
    told = [segment_tags.number(segment.tags.get(segment_tags.LAST_LESION_ID)) for segment in found]
    last = max([0, *(int(number) for number in told if number and is_lesion_id(int(number)))])
    numbered = number_lesions(drawn, last, warnings)
    lesions, tags = _paint_lesions(numbered, layers, shape, warnings)
    confidences = {n: segment_tags.number(t.get(segment_tags.CONFIDENCE)) for n, t in tags.items()}
    return ReadMasks(
        masks=Masks(
            liver=liver if "liver" in kinds else couinaud > 0,
            couinaud=couinaud,
            lesions=lesions,
            vessels=vessels if "vessels" in kinds else None,
        ),
        couinaud_given=bool(couinaud.any()),
        tracking_uids={n: uid for n, t in tags.items() if (uid := t.get(segment_tags.TRACKING_UID))},
        reviews={n: r for n, t in tags.items() if (r := segment_tags.review_from_tags(t)) is not None},
        confidences={n: value for n, value in confidences.items() if value is not None},
        method=method,
        warnings=tuple(warnings),
        last_lesion_id=max([last, *(lesion_id for _, lesion_id, _ in numbered)]),
    )


def _mask(segment: FileSegment, layers: list[np.ndarray]) -> np.ndarray:
    """The voxels of a segment; none when its layer is missing (a segmentation without any voxel)."""
    if segment.layer >= len(layers):
        return np.zeros(layers[0].shape, bool)
    return layers[segment.layer] == segment.label


def _paint_lesions(
    numbered: list[tuple[FileSegment, int, bool]],
    layers: list[np.ndarray],
    shape: tuple[int, int, int],
    warnings: list[str],
) -> tuple[np.ndarray, dict[int, dict[str, str]]]:
    """Lesion labels, and by id the tags of the segments that still are what their tags say."""
    lesions = np.zeros(shape, np.uint16)
    tags: dict[int, dict[str, str]] = {}
    for segment, lesion_id, original in numbered:
        mask = _mask(segment, layers)
        if not mask.any():
            warnings.append(f'The segment "{segment.name}" is empty and is no lesion any more.')
            continue
        if bool((lesions[mask] > 0).any()):
            warnings.append(
                f'The segment "{segment.name}" overlaps another lesion; shared voxels are its own.'
            )
        lesions[mask] = lesion_id
        if original:
            tags[lesion_id] = segment.tags
    # A lesion that another one covers whole has no voxels left, and so nothing to tell.
    left = set(np.unique(lesions).tolist())
    return lesions, {lesion_id: found for lesion_id, found in tags.items() if lesion_id in left}
