"""Finds and reads the label maps of a case, whichever of the usual layouts they come in.

A folder of cases holds one folder a case, or one label map a case (``<case>.nii.gz`` with 1 liver and 2
lesion, as the Medical Segmentation Decathlon has them), or both. In a case's folder are looked for:

- liver and lesions: ``liver_lesion*`` (1 liver, 2 lesion), or ``liver*`` (above 0, or with 2 for lesions)
  with ``lesions*`` beside it; without one the case is taken as free of lesions,
- Couinaud segments: ``couinaud*`` (1..8, 9 is IVb); several are several readings of one liver,
- vessels: ``vessels*`` (1 portal vein, 2 hepatic veins and cava, 3 a vessel of unknown kind).

A folder may hold maps on several grids (a 3 mm scan and a region of it): those of one grid belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.geometry import Geometry
from liverseg.label_grids import onto_grid
from liverseg.reading import read_labels

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
# What stage 1 alone found, beside a prediction; on the grid of the scan that stage 1 saw.
STAGE1_FILE = "stage1_liver.nii.gz"
# A whole scan beside its labels: stage 1 and the rest see the same one, and no mask of stage 1 is kept.
WHOLE_SCAN = "ct.nii.gz"


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """What is drawn in a case, on one grid; arrays are (k, j, i).

    Attributes:
        path: the case's folder or file.
        liver: bool, lesions included.
        lesions: integer, 0 outside of lesions.
        couinaud: one map a reading; none when there is no such file on this grid.
        vessels: or None when there is no such file on this grid.
        lesions_told: whether a file says what is lesion and what is not; without one there are none.
        notes: files that are there but lie on no usable grid, one plain sentence each.
    """

    path: Path
    geometry: Geometry
    liver: np.ndarray
    lesions: np.ndarray
    couinaud: tuple[np.ndarray, ...] = ()
    vessels: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    lesions_told: bool = True


def find_cases(folder: Path) -> dict[str, Path]:
    """The cases of a folder by name: folders with label maps, and single label maps.

    Raises:
        UsageError: it is not a folder, or holds no case.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give a folder that holds one folder or label map a case")
    cases = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if liver_files(path) or files_named(path, "couinaud"):
                cases[path.name] = path
        elif path.name.endswith(SUFFIXES):
            cases[case_name(path)] = path
    if not cases:
        raise UsageError(
            f"{folder} holds no case: neither folders with liver_lesion or liver label maps nor "
            "label maps of its own; give the folder above the cases"
        )
    return cases


def case_name(path: Path) -> str:
    """The name of a label map's case: the file name without its ending."""
    return next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(s)), path.name)


def liver_files(folder: Path) -> list[Path]:
    """The label maps of a case folder that may hold the liver, the likeliest first."""
    combined = files_named(folder, "liver_lesion")
    alone = [path for path in files_named(folder, "liver") if path not in combined]
    return combined + alone


def read_case(path: Path, onto: Geometry | None = None) -> LabelMaps:
    """Read a case.

    Args:
        path: its folder or its label map.
        onto: the grid to read onto. The case's maps must have the same voxels; flips and permutations of
            them are undone. None takes the grid of the likeliest liver file.

    Raises:
        InputRefused: there is nothing to read, a file is damaged or has labels of other organs, or no liver
            lies on the wanted grid.
    """
    if not path.is_dir():
        array, geometry = read_labels(path)
        _check_values(array, path)
        array, geometry = _laid(array, geometry, onto, path)
        return LabelMaps(path, geometry, array > 0, (array == 2).astype(np.uint8))
    files = liver_files(path)
    refusal: InputRefused | None = None
    for file in files:
        array, geometry = read_labels(file)
        try:
            array, geometry = _laid(array, geometry, onto, file)
        except InputRefused as error:
            refusal = refusal or error
            continue
        combined = case_name(file).startswith("liver_lesion")
        if combined:
            _check_values(array, file)
        return _with_the_rest(path, array, geometry, combined)
    for file in files_named(path, "couinaud") if not files else []:
        array, geometry = _laid(*read_labels(file), onto, file)
        return _with_the_rest(path, (array > 0).astype(np.uint8), geometry, False)
    raise refusal or InputRefused(
        f"{path} holds no liver; give a folder with liver or liver_lesion label maps"
    )


def _check_values(array: np.ndarray, path: Path) -> None:
    """Refuse a map of more than liver and lesions: its vessels or kidneys would be scored as liver."""
    if array.size and (array.min() < 0 or array.max() > 2):
        raise InputRefused(
            f"{path} has labels from {array.min()} to {array.max()}; it may have 0, 1 (liver) and 2 (lesion)"
        )


def _with_the_rest(folder: Path, liver: np.ndarray, geometry: Geometry, combined: bool) -> LabelMaps:
    """Add the other maps of the folder that lie on the liver's grid.

    Args:
        combined: the liver's map is one of liver and lesions, whether or not it has a lesion.

    Raises:
        InputRefused: the lesions lie on another grid than the liver and stand in no other map.
    """
    notes: list[str] = []
    separate = _on_grid(folder, "lesions", geometry, notes)
    told = bool(separate) or combined or bool((liver == 2).any())
    if files_named(folder, "lesions") and not told:
        # Scored without them, every lesion would silently become liver.
        raise InputRefused(
            f"{folder}: the lesions are not on the grid of the liver; give both on the grid of the CT"
        )
    lesions = separate[0] if separate else (liver == 2).astype(np.uint8)
    vessels = _on_grid(folder, "vessels", geometry, notes)
    return LabelMaps(
        folder,
        geometry,
        (liver > 0) | (lesions > 0),
        lesions,
        tuple(_on_grid(folder, "couinaud", geometry, notes)),
        vessels[0] if vessels else None,
        tuple(notes),
        told,
    )


def _on_grid(folder: Path, stem: str, geometry: Geometry, notes: list[str]) -> list[np.ndarray]:
    """The maps of one kind that lie on a grid; when all lie elsewhere, a note says so."""
    arrays = []
    files = files_named(folder, stem)
    for file in files:
        array, own = read_labels(file)
        try:
            arrays.append(_laid(array, own, geometry, file)[0])
        except InputRefused:
            continue
    if files and not arrays:
        notes.append(f"{files[0].name} is not on the grid of the liver's labels and is not scored")
    return arrays


def _laid(
    array: np.ndarray, geometry: Geometry, onto: Geometry | None, path: Path
) -> tuple[np.ndarray, Geometry]:
    if onto is None:
        return array, geometry
    try:
        return onto_grid(array, geometry, onto, path.name, same_box=True)[0], onto
    except InputRefused as error:
        raise InputRefused(
            f"{path.name} has {_grid(geometry)}, the prediction has {_grid(onto)}; "
            "predict on the grid of the labels"
        ) from error


def _grid(geometry: Geometry) -> str:
    size = " x ".join(str(n) for n in reversed(geometry.shape))
    spacing = " x ".join(f"{s:.4g}" for s in geometry.spacing_ijk)
    origin = ", ".join(f"{x:.1f}" for x in geometry.ijk_to_ras[:3, 3])
    return f"{size} voxels of {spacing} mm at ({origin}) RAS mm"


def files_named(folder: Path, stem: str) -> list[Path]:
    """Label maps called ``stem`` or ``stem_*``; ``stem`` first, then regions, then the others by name."""
    found = [
        path
        for path in folder.iterdir()
        if path.name.endswith(SUFFIXES) and (case_name(path) == stem or path.name.startswith(f"{stem}_"))
    ]
    return sorted(
        found, key=lambda p: (case_name(p) != stem, not case_name(p).startswith(f"{stem}_roi"), p.name)
    )
