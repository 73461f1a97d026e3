"""Reads the masks of a folder of NIfTI files, and what the report beside them says of the lesions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from liverseg import labels, segment_tags
from liverseg.case import CouinaudMethod, Masks, Review
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.given_masks import ReadMasks, is_lesion_id
from liverseg.label_grids import onto_grid
from liverseg.masks_in_segmentation import read_segmentation
from liverseg.reading import read_labels
from liverseg.volume import Volume

# LiverSeg writes the segmentation right after the label maps; one saved later than this was perhaps edited.
EDITED_AFTER_SECONDS = 5.0


def read_folder(folder: Path, ct: Volume) -> ReadMasks:
    """The masks of a folder; see :func:`liverseg.masks_reading.read_masks`."""
    warnings: list[str] = []
    arrays = {
        name: _read_nifti(folder / f"{name}.nii.gz", ct, highest)
        for name, highest in (
            ("liver", 1),
            ("couinaud", 9),
            ("lesions", 65535),
            ("vessels", labels.AORTA.label),
        )
    }
    couinaud, lesions, vessels = arrays["couinaud"], arrays["lesions"], arrays["vessels"]
    report = _read_report(folder / "report.json", warnings)
    facts = [lesion for lesion in _list(report, "lesions") if is_lesion_id(lesion.get("id"))]
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
        edited = read_segmentation(path, ct)
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


def _last_lesion_id(report: dict[str, object]) -> int:
    """The highest lesion id that was known when the masks of a report were given, else 0."""
    provenance = report.get("provenance")
    parameters = provenance.get("parameters") if isinstance(provenance, dict) else None
    if not isinstance(parameters, dict):
        return 0
    value = parameters.get(segment_tags.LAST_LESION_ID_PARAMETER)
    return value if isinstance(value, int) and is_lesion_id(value) else 0


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
