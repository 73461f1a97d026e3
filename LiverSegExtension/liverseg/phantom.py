"""A made-up patient: an abdominal CT in the portal venous phase whose liver, lesions, Couinaud segments and
vessels are known exactly.

Everything is defined in the patient's own millimeters by a seed, so that any grid (size, spacing,
orientation, field of view) samples the same patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.case import Masks
from liverseg.errors import UsageError
from liverseg.geometry import CanonicalOrder, Geometry
from liverseg.images import to_sitk
from liverseg.phantom_lesions import PlannedLesion
from liverseg.phantom_patient import Patient
from liverseg.phantom_sampling import sample
from liverseg.phantom_shapes import points
from liverseg.volume import Source, Volume

__all__ = ["Phantom", "PlannedLesion", "make_grid", "make_phantom", "write_nifti"]


@dataclass(frozen=True, eq=False)
class Phantom:
    """A made-up CT and its truth, all on one grid.

    Attributes:
        ct: int16 HU, (k, j, i).
        masks: liver, Couinaud segments, lesions (their value is the ``id`` in ``lesions``), vessels.
        lesions: as planned, ids 1..n by falling volume; one outside the field of view has no voxels.
    """

    ct: Volume
    masks: Masks
    lesions: tuple[PlannedLesion, ...]


def make_grid(
    shape_kji: tuple[int, int, int],
    spacing_kji: tuple[float, float, float],
    center_ras_mm: Sequence[float],
    orientation: str = "LPS",
    rotation_deg: Sequence[float] = (0.0, 0.0, 0.0),
) -> Geometry:
    """A grid around a point.

    Shape and spacing are those of axial slices (slices, rows, columns); ``orientation`` then names the
    directions in which i, j, k of the stored array run, so that "LPS" stores them as they are and every
    other name stores the same points in another order. ``rotation_deg`` turns the whole grid about the R, A
    and S axes, in this order, through its center.

    Raises:
        UsageError: an orientation that does not name one of R/L, A/P and S/I each, or a size of 0.
    """
    if min(shape_kji) < 1 or not min(spacing_kji) > 0:
        raise UsageError(f"grid {shape_kji} of {spacing_kji} mm is empty; give sizes above 0")
    names = {"L": (2, 1), "R": (2, -1), "P": (1, 1), "A": (1, -1), "S": (0, 1), "I": (0, -1)}
    if len(orientation) != 3 or sorted(names[c][0] for c in orientation if c in names) != [0, 1, 2]:
        raise UsageError(f"orientation {orientation!r} is not known; name R/L, A/P, S/I once each, like LPS")
    axes = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]], dtype=float)  # S, P, L
    for axis, angle in enumerate(np.deg2rad(rotation_deg)):
        turn = np.eye(3)
        m, n = [(1, 2), (2, 0), (0, 1)][axis]
        turn[m, m] = turn[n, n] = np.cos(angle)
        turn[n, m], turn[m, n] = np.sin(angle), -np.sin(angle)
        axes = axes @ turn.T
    columns, shape, start = [], [], np.array(center_ras_mm, dtype=float)
    for letter in orientation:
        axis, sign = names[letter]
        step = sign * spacing_kji[axis] * axes[axis]
        start -= step * (shape_kji[axis] - 1) / 2
        columns.append(step)
        shape.append(shape_kji[axis])
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack(columns, axis=1)
    matrix[:3, 3] = start
    return Geometry((shape[2], shape[1], shape[0]), matrix)


def make_phantom(
    seed: int = 0,
    shape_kji: tuple[int, int, int] = (120, 200, 200),
    spacing_kji: tuple[float, float, float] = (2.5, 1.8, 1.8),
    *,
    orientation: str = "LPS",
    rotation_deg: Sequence[float] = (0.0, 0.0, 0.0),
    shift_ras_mm: Sequence[float] = (0.0, 0.0, 0.0),
    geometry: Geometry | None = None,
    lesions: Sequence[PlannedLesion] | None = None,
    diameters_mm: Sequence[float] = (40.0, 25.0, 18.0, 12.0),
    noise_hu: float = 12.0,
) -> Phantom:
    """A made-up CT with its truth.

    Args:
        seed: of the patient, of the lesions' places and of the noise.
        shape_kji, spacing_kji, orientation, rotation_deg: see :func:`make_grid`; the grid's center lies in
            the patient's middle at the height of the liver.
        shift_ras_mm: moves the grid's center; (0, 0, -h) cuts the top off.
        geometry: a grid of one's own, instead of all of the above.
        lesions: what to put in, instead of ``diameters_mm`` at random places. Ids are given anew.
        diameters_mm: longest diameters of lesions at random places.
        noise_hu: standard deviation of the noise; 0 for none.

    Raises:
        UsageError: an impossible grid; a lesion whose center lies outside the liver or that has no room.
    """
    patient = Patient.of(seed)
    if geometry is None:
        center = patient.to_ras(np.array([0.0, 2.0, -85.0])) + np.asarray(shift_ras_mm, dtype=float)
        geometry = make_grid(shape_kji, spacing_kji, center, orientation, rotation_deg)
    planned = patient.plan_lesions(diameters_mm) if lesions is None else tuple(lesions)
    for lesion in planned:
        if patient.liver.distance(points(patient.from_ras(np.array([lesion.center_ras_mm])))).max() > 0:
            raise UsageError(
                f"the lesion at RAS {lesion.center_ras_mm} mm lies outside the liver; move it inside"
            )
    planned = tuple(
        replace(lesion, id=n + 1)
        for n, lesion in enumerate(sorted(planned, key=lambda lesion: -lesion.volume_ml))
    )
    # Sampled in axial order, so that every order of storage gets the same values, noise included.
    order = CanonicalOrder.of(geometry)
    ct, masks = sample(patient, planned, order.geometry(geometry), noise_hu)
    ct, liver, couinaud, lesion_ids, vessels = (
        np.ascontiguousarray(order.undo(a))
        for a in (ct, masks.liver, masks.couinaud, masks.lesions, masks.vessels)
        if a is not None
    )
    source = Source(kind="array", name=f"phantom {seed}")
    return Phantom(Volume(ct, geometry, source), Masks(liver, couinaud, lesion_ids, vessels), planned)


def write_nifti(phantom: Phantom, folder: Path) -> dict[str, Path]:
    """Write ct, liver, lesions, couinaud and vessels as ``<name>.nii.gz``; returns the paths by name.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    masks = phantom.masks
    arrays = {
        "ct": phantom.ct.array,
        "liver": masks.liver,
        "lesions": masks.lesions,
        "couinaud": masks.couinaud,
        "vessels": masks.vessels,
    }
    make_folder(folder)
    paths = {}
    for name, array in arrays.items():
        if array is not None:
            paths[name] = folder / f"{name}.nii.gz"
            try:
                sitk.WriteImage(to_sitk(array, phantom.ct.geometry), str(paths[name]))
            except RuntimeError as error:
                raise UsageError(f"cannot write {paths[name]}; choose another folder") from error
    return paths


def make_folder(folder: Path) -> None:
    """Make a folder and its parents.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder} ({error.strerror}); choose another one") from error
