"""Whether what a read-out was measured from is still the same: short hashes of the masks and their place.

They let a corrected case be measured anew only where something changed, and tell after a scene was opened
again whether it was edited since it was read out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from liverseg.case import LesionReadout, Masks
from liverseg.liver_crop import LiverCrop
from liverseg.mending import Box
from liverseg.volume import Volume

# World coordinates (mm) that differ by less are the same: saving and reading a scene rounds them.
_PLACE_DECIMALS = 3


@dataclass(frozen=True)
class Fingerprints:
    """Hashes of a case's parts. The order in which a file stores its voxels changes none of them.

    Attributes:
        grid: where the CT's voxels lie.
        liver: the liver's voxels.
        couinaud: the liver's voxels and their segments.
        lesions: of each lesion its voxels, their gray values and their segments, by lesion id.
    """

    grid: str = ""
    liver: str = ""
    couinaud: str = ""
    lesions: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def of(ct: Volume, masks: Masks) -> Fingerprints:
        """The fingerprints of masks that agree with each other (:func:`liverseg.mending.mend`)."""
        return Fingerprints.of_crop(LiverCrop.of(ct, masks))

    @staticmethod
    def of_crop(crop: LiverCrop) -> Fingerprints:
        """The same, from the crop around the liver."""
        grid = crop.full_geometry
        start = np.array(crop.start)
        return Fingerprints(
            grid=_hash(np.array(grid.shape), _rounded(grid.ijk_to_ras)),
            liver=_hash(start, np.array(crop.liver.shape), np.packbits(crop.liver)),
            couinaud=_hash(start, np.array(crop.couinaud.shape), crop.couinaud),
            lesions={n: _of_lesion(crop, n, box) for n, box in crop.lesion_boxes.items()},
        )

    def plain(self) -> dict[str, object]:
        """JSON types, for :meth:`from_plain`."""
        return {**asdict(self), "lesions": {str(n): text for n, text in self.lesions.items()}}

    @staticmethod
    def from_plain(fields: Mapping[str, object]) -> Fingerprints:
        """The reverse of :meth:`plain`. Fields that are missing stay empty and equal no others."""
        lesions = fields.get("lesions")
        return Fingerprints(
            grid=str(fields.get("grid", "")),
            liver=str(fields.get("liver", "")),
            couinaud=str(fields.get("couinaud", "")),
            lesions={int(n): str(text) for n, text in lesions.items()} if isinstance(lesions, dict) else {},
        )


@dataclass(frozen=True)
class EarlierReadout:
    """Lesions as they were measured, and the fingerprints of what they were measured from."""

    fingerprints: Fingerprints
    lesions: Sequence[LesionReadout]

    def still_true(self, now: Fingerprints, names: set[str]) -> tuple[dict[int, LesionReadout], bool]:
        """The lesions whose read-outs hold now, by id, and whether the whole liver is the same.

        Args:
            now: of the masks as they are now.
            names: the segments' numerals now: the same label is "IV" or, where IV is divided, "IVa".
        """
        before = self.fingerprints
        if before.grid != now.grid:
            return {}, False
        same = {n for n, text in now.lesions.items() if before.lesions.get(n) == text}
        true = (lesion for lesion in self.lesions if lesion.id in same and _named(lesion) <= names)
        return {lesion.id: lesion for lesion in true}, before.liver == now.liver


def _named(lesion: LesionReadout) -> set[str]:
    """The segments that a lesion's read-out names."""
    names = {share.name for share in lesion.segments} | {lesion.primary_segment, lesion.centroid_segment}
    return {name for name in names if name is not None}


def _rounded(matrix: np.ndarray) -> np.ndarray:
    # The small term keeps the tiny errors of turning a grid from deciding how an exact half is rounded.
    # Adding zero turns -0.0 into 0.0.
    return np.round(matrix + 1e-7, _PLACE_DECIMALS) + 0.0


def _of_lesion(crop: LiverCrop, lesion_id: int, box: Box) -> str:
    mask = crop.lesions[box] == lesion_id
    place = np.array([s.start + first for s, first in zip(box, crop.start, strict=True)])
    return _hash(place, np.array(mask.shape), np.packbits(mask), crop.couinaud[box][mask], crop.ct[box][mask])


def _hash(*arrays: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
