"""Reads masks back, after a person has corrected them: a folder of NIfTI files or a ``.seg.nrrd``.

What a segment is, its tags decide first, then its terminology codes, and only then its name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg import labels, segment_tags
from liverseg.case import CouinaudMethod, Masks, Review
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.reading import geometry_of, read_labels
from liverseg.segment_identity import FileSegment, LesionSegment, file_segments, number_lesions
from liverseg.volume import Volume

# Grids are one when no corner is off by more than this part of a voxel: NIfTI keeps float32 numbers.
GRID_TOLERANCE_VOXELS = 0.1
# LiverSeg writes the segmentation right after the label maps; one saved later than this was perhaps edited.
EDITED_AFTER_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class ReadMasks:
    """What a person gives back, on the CT's grid.

    Attributes:
        masks: as drawn; the Couinaud segments need not fit the liver, nor the lesions lie inside of it.
            ``couinaud`` is all zero when ``couinaud_given`` is False, and the caller must split the liver.
        couinaud_given: whether there are Couinaud segments.
        tracking_uids: by lesion id, where known.
        reviews: by lesion id, where known.
        confidences: by lesion id, where known.
        method: how the liver was split, where known.
        warnings: one plain sentence each.
        last_lesion_id: the highest lesion id ever given, as far as known, lesions deleted since included.
    """

    masks: Masks
    couinaud_given: bool
    tracking_uids: dict[int, str] = field(default_factory=dict)
    reviews: dict[int, Review] = field(default_factory=dict)
    confidences: dict[int, float] = field(default_factory=dict)
    method: CouinaudMethod | None = None
    warnings: tuple[str, ...] = ()
    last_lesion_id: int = 0


def read_masks(path: Path, ct: Volume) -> ReadMasks:
    """Read corrected masks and lay them onto the grid of their CT.

    Args:
        path: a folder with ``liver.nii.gz`` or ``couinaud.nii.gz`` (and ``lesions.nii.gz``,
            ``vessels.nii.gz``, ``report.json``, each optional), or a ``.seg.nrrd``.
        ct: the CT that the masks belong to.

    Raises:
        InputRefused: nothing to read, an unreadable file, a grid that is not the CT's, or a folder whose
            ``segmentation.seg.nrrd`` was edited after its label maps were written.
    """
    path = Path(path)
    if not path.exists():
        raise InputRefused(f"{path} is not there; give a folder of masks or a .seg.nrrd")
    if path.is_dir():
        if not (path / "liver.nii.gz").exists() and not (path / "couinaud.nii.gz").exists():
            raise InputRefused(
                f"{path} has neither liver.nii.gz nor couinaud.nii.gz; give a folder with masks"
            )
        return _read_folder(path, ct)
    if path.name.lower().endswith(".nrrd"):
        return _read_segmentation(path, ct)
    raise InputRefused(f"{path.name} is no folder of masks and no .seg.nrrd; give one of these")


def onto_grid(
    array: np.ndarray, geometry: Geometry, target: Geometry, name: str, same_box: bool = False
) -> tuple[np.ndarray, bool]:
    """Lay a label array onto another grid whose voxels are the same, by flips, permutation and shift alone.

    Args:
        array: (k, j, i) labels on ``geometry``, which may be a part of the target's box or reach outside.
        name: of the file, for the message.
        same_box: refuse a part of the target's box, too.

    Returns:
        The labels on the target grid, zero where the array does not reach, and whether labels were cut off.

    Raises:
        InputRefused: the voxels of the two grids are not the same.
    """
    if geometry.matches(target):
        return array, False
    # Rows: target index (i, j, k) from source index (i, j, k).
    change = np.linalg.inv(target.ijk_to_ras) @ geometry.ijk_to_ras
    turn = np.rint(change[:3, :3]).astype(int)
    shift = np.rint(change[:3, 3]).astype(int)
    refusal = InputRefused(
        f"{name} is not on the CT's grid: {_grid_text(geometry)}, the CT has {_grid_text(target)}; "
        "save the masks with the CT as reference"
    )
    is_permutation = np.array_equal(np.abs(turn) @ np.abs(turn).T, np.eye(3))
    if not is_permutation or _largest_drift(change, turn, shift, geometry) > GRID_TOLERANCE_VOXELS:
        raise refusal
    # In array order (k, j, i): target axis n runs along source axis axes[n], reversed where turned.
    turn, shift = turn[::-1, ::-1], shift[::-1]
    axes = np.abs(turn).argmax(axis=1)
    view = array.transpose(axes)
    reverse = turn[np.arange(3), axes] < 0
    view = view[tuple(slice(None, None, -1) if r else slice(None) for r in reverse)]
    start = np.where(reverse, shift - np.array(view.shape) + 1, shift)
    if same_box and (start.any() or view.shape != target.shape):
        raise refusal
    low = np.clip(start, 0, target.shape)
    high = np.clip(start + view.shape, 0, target.shape)
    inside = view[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
    result = np.zeros(target.shape, array.dtype)
    result[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = inside
    return result, bool(np.count_nonzero(view) > np.count_nonzero(inside))


def _largest_drift(change: np.ndarray, turn: np.ndarray, shift: np.ndarray, geometry: Geometry) -> float:
    """How far, in voxels, a corner of the source grid lies from the place that whole numbers give it."""
    k, j, i = geometry.shape
    corners = np.array(np.meshgrid((0, i - 1), (0, j - 1), (0, k - 1))).reshape(3, -1)
    exact = change[:3, :3] @ corners + change[:3, 3:]
    return float(np.abs(exact - (turn @ corners + shift[:, None])).max())


def _grid_text(geometry: Geometry) -> str:
    size = " x ".join(str(n) for n in reversed(geometry.shape))
    spacing = " x ".join(f"{s:.3g}" for s in geometry.spacing_ijk)
    origin = ", ".join(f"{x:.1f}" for x in geometry.ijk_to_ras[:3, 3])
    return f"{size} voxels of {spacing} mm at ({origin}) RAS mm"


# --- a folder -----------------------------------------------------------------------------------------


def _read_folder(folder: Path, ct: Volume) -> ReadMasks:
    warnings: list[str] = []
    arrays = {
        name: _read_nifti(folder / f"{name}.nii.gz", ct, highest)
        for name, highest in (("liver", 1), ("couinaud", 9), ("lesions", 65535), ("vessels", 2))
    }
    couinaud, lesions, vessels = arrays["couinaud"], arrays["lesions"], arrays["vessels"]
    report = _read_report(folder / "report.json", warnings)
    facts = [lesion for lesion in _list(report, "lesions") if _is_lesion_id(lesion.get("id"))]
    reported = {lesion["id"] for lesion in facts}
    last = max(reported | {_last_lesion_id(report)})
    labeled, renumbered = _labeled(lesions, ct.geometry, reported, last, warnings)
    drawn = set(np.unique(labeled).tolist()) - {0}
    # Ids that were given anew have nothing to do with the lesions of the report.
    known = [] if renumbered else [lesion for lesion in facts if lesion["id"] in drawn]
    reviews = {f["id"]: review for f in known if (review := _review(f.get("review"))) is not None}
    _refuse_edited_segmentation(folder, ct, arrays, reviews)
    liver = arrays["liver"]
    return ReadMasks(
        masks=Masks(
            liver=couinaud > 0 if liver is None and couinaud is not None else _bool(liver, ct),
            couinaud=_or_zeros(couinaud, np.uint8, ct),
            lesions=labeled if lesions is not None else _or_zeros(None, np.uint16, ct),
            vessels=None if vessels is None else vessels.astype(np.uint8),
        ),
        couinaud_given=couinaud is not None and bool(couinaud.any()),
        tracking_uids={f["id"]: f["tracking_uid"] for f in known if isinstance(f.get("tracking_uid"), str)},
        reviews=reviews,
        confidences={
            f["id"]: float(f["confidence"]) for f in known if isinstance(f.get("confidence"), int | float)
        },
        method=_method(report.get("method")),
        warnings=tuple(warnings),
        last_lesion_id=max(drawn | {last}),
    )


def _refuse_edited_segmentation(
    folder: Path, ct: Volume, arrays: dict[str, np.ndarray | None], reviews: dict[int, Review]
) -> None:
    """Refuse to take the label maps where a person has corrected the segmentation beside them.

    Times alone do not tell: copying a folder and slow disks move them. So a segmentation that is newer is
    compared with the label maps, and its reviews with those of a report that is older than it.
    """
    path, report = folder / "segmentation.seg.nrrd", folder / "report.json"
    given = {name: array for name, array in arrays.items() if array is not None}
    if not path.exists():
        return
    saved = path.stat().st_mtime - EDITED_AFTER_SECONDS
    if saved <= max((folder / f"{name}.nii.gz").stat().st_mtime for name in given):
        return
    try:
        edited = _read_segmentation(path, ct)
    except InputRefused:
        same = False
    else:
        same = all(_same_labels(array, getattr(edited.masks, name)) for name, array in given.items())
        if report.exists() and saved > report.stat().st_mtime:
            same = same and edited.reviews == reviews
    if not same:
        raise InputRefused(
            f"{path} was saved after the label maps beside it and differs from them; if you corrected the "
            f"segmentation, give {path} itself, if you corrected the label maps, move it out of {folder}"
        )


def _same_labels(array: np.ndarray, other: np.ndarray | None) -> bool:
    """Whether two label arrays agree; a mask's voxels are those above 0, and no array is one of zeros."""
    if other is None:
        return not array.any()
    return np.array_equal(array > 0 if other.dtype == bool else array, other)


def _read_nifti(path: Path, ct: Volume, highest: int) -> np.ndarray | None:
    """A label file on the CT's grid, or None when it is not there."""
    if not path.exists():
        return None
    array, geometry = read_labels(path)
    array, _ = onto_grid(array, geometry, ct.geometry, path.name, same_box=True)
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or (high > highest and path.name != "liver.nii.gz"):
        raise InputRefused(f"{path.name} has labels from {low} to {high}; expected 0 to {highest}")
    return array


def _labeled(
    lesions: np.ndarray | None, geometry: Geometry, reported: set[int], last: int, warnings: list[str]
) -> tuple[np.ndarray, bool]:
    """Lesion labels, and whether they were given here because the file is a mask of 0 and 1.

    Args:
        reported: lesion ids of the report beside the file.
        last: the highest id ever given; new ones follow it.
    """
    if lesions is None:
        return np.zeros(geometry.shape, np.uint16), False
    if lesions.max(initial=0) != 1:
        return lesions.astype(np.uint16), False
    # Imported here because only binary masks need it.
    from liverseg.measure import label_lesions  # noqa: PLC0415

    labeled = label_lesions(lesions > 0, geometry)
    count = int(labeled.max(initial=0))
    if 1 in reported:
        # The report knows a lesion 1: it is what is left after the others were deleted.
        if count > 1 and reported != {1}:
            warnings.append(
                f"lesions.nii.gz holds the label 1 alone, so its {count} separate parts are all lesion 1; "
                "give other lesions labels of their own."
            )
        return lesions.astype(np.uint16), False
    labeled[labeled > 0] += np.uint16(last)
    if count > 1 or reported:
        warnings.append(
            f"lesions.nii.gz holds one label, so its {count} separate parts were numbered by volume."
        )
    return labeled, True


def _read_report(path: Path, warnings: list[str]) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        report = None
    if not isinstance(report, dict):
        warnings.append("report.json beside the masks cannot be read; lesions get new tracking UIDs.")
        return {}
    return report


def _list(report: dict[str, object], name: str) -> list[dict]:
    value = report.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_lesion_id(value: object) -> bool:
    return isinstance(value, int) and 0 < value <= np.iinfo(np.uint16).max


def _last_lesion_id(report: dict[str, object]) -> int:
    """The highest lesion id that was known when the masks of a report were given, else 0."""
    provenance = report.get("provenance")
    parameters = provenance.get("parameters") if isinstance(provenance, dict) else None
    if not isinstance(parameters, dict):
        return 0
    value = parameters.get(segment_tags.LAST_LESION_ID_PARAMETER)
    return value if isinstance(value, int) and _is_lesion_id(value) else 0


def _review(value: object) -> Review | None:
    if not isinstance(value, dict) or value.get("state") not in ("unreviewed", "accepted", "rejected"):
        return None
    return Review(value["state"], value.get("reader"), value.get("time"), value.get("comment"))


def _method(value: object) -> CouinaudMethod | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    confidence = value.get("confidence")
    known = float(confidence) if isinstance(confidence, int | float) else None
    return CouinaudMethod(value["name"], known, bool(value.get("approximate", False)))


def _bool(array: np.ndarray | None, ct: Volume) -> np.ndarray:
    return np.zeros(ct.geometry.shape, bool) if array is None else array > 0


def _or_zeros(array: np.ndarray | None, dtype: type, ct: Volume) -> np.ndarray:
    return np.zeros(ct.geometry.shape, dtype) if array is None else array.astype(dtype)


# --- a .seg.nrrd --------------------------------------------------------------------------------------


def _read_segmentation(path: Path, ct: Volume) -> ReadMasks:
    try:
        image = sitk.ReadImage(str(path))
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
    last = max([0, *(int(number) for number in told if number and _is_lesion_id(int(number)))])
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
