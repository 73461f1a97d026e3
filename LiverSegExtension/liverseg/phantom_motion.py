"""The made-up person at a later time: moved, and deformed by a known field, as by breath and posture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from liverseg.case import Masks
from liverseg.geometry import Geometry
from liverseg.phantom import Phantom
from liverseg.volume import Source, Volume


@dataclass(frozen=True)
class Motion:
    """Where a point of the second scan lay in the first: back by the rigid motion, then along waves.

    Attributes:
        degrees, axis: turn of the person about the grid's middle.
        shift_ras_mm: of the person.
        waves_mm: amplitude of the deformation, which is smooth (a wave is 180 to 260 mm long).
    """

    degrees: float = 6.0
    axis: tuple[float, float, float] = (0.2, -0.3, 1.0)
    shift_ras_mm: tuple[float, float, float] = (14.0, -22.0, 31.0)
    waves_mm: float = 7.0

    def wave(self, ras: np.ndarray) -> np.ndarray:
        """Displacement (..., 3) before the rigid motion."""
        r, a, s = np.moveaxis(ras, -1, 0)
        lengths = 2 * np.pi / np.array([210.0, 180.0, 260.0])
        parts = (np.sin(lengths[0] * a + 1), np.cos(lengths[1] * s + 2), np.sin(lengths[2] * r + 0.5))
        return self.waves_mm * np.stack(parts, axis=-1)

    def _turn(self) -> np.ndarray:
        axis = np.array(self.axis) / np.linalg.norm(self.axis)
        return Rotation.from_rotvec(np.deg2rad(self.degrees) * axis).as_matrix()

    def rigid(self, middle: np.ndarray) -> np.ndarray:
        """4x4 of the person's motion, RAS."""
        turn = self._turn()
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        matrix[:3, 3] = middle - turn @ middle + np.array(self.shift_ras_mm)
        return matrix

    def to_first(self, later_ras: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """Points (n, 3) of the first scan for points of the second."""
        back = np.linalg.inv(self.rigid(middle))
        still = later_ras @ back[:3, :3].T + back[:3, 3]
        return still + self.wave(still)


def middle_of(geometry: Geometry) -> np.ndarray:
    """The grid's middle, RAS mm."""
    return geometry.to_ras((np.array(geometry.shape) - 1) / 2)


def moved(phantom: Phantom, motion: Motion) -> tuple[Volume, Masks]:
    """The phantom's CT and masks after the motion, on a grid that moved along with the rigid part."""
    return moved_scan(phantom.ct, phantom.masks, motion)


def moved_scan(ct: Volume, masks: Masks, motion: Motion) -> tuple[Volume, Masks]:
    """A scan and its masks (vessels are left out) after the motion, on a grid that moved along with the
    rigid part. Gray values are linear between voxels, labels are those of the nearest one; what comes from
    outside of the scan repeats its last voxels."""
    geometry = ct.geometry
    gray = np.empty_like(ct.array)
    liver, couinaud, lesions = (np.empty_like(a) for a in (masks.liver, masks.couinaud, masks.lesions))
    last = np.array(geometry.shape) - 1
    # Slice by slice: places of a whole scan of full size would take gigabytes.
    for k in range(geometry.shape[0]):
        index = np.moveaxis(np.indices((1, *geometry.shape[1:])), 0, -1)[0] + [k, 0, 0]
        still = geometry.to_ras(index)
        source = np.moveaxis(geometry.to_kji(still + motion.wave(still)), -1, 0)
        found = ndimage.map_coordinates(ct.array, source, output=np.float32, order=1, mode="nearest")
        gray[k] = np.rint(found) if gray.dtype.kind in "iu" else found
        nearest = tuple(
            np.clip(np.rint(part), 0, end).astype(int) for part, end in zip(source, last, strict=True)
        )
        liver[k] = masks.liver[nearest]
        couinaud[k] = np.where(liver[k], masks.couinaud[nearest], 0)
        lesions[k] = np.where(liver[k], masks.lesions[nearest], 0)
    turned = Geometry(geometry.shape, motion.rigid(middle_of(geometry)) @ geometry.ijk_to_ras)
    return Volume(gray, turned, Source(kind="array", name="second")), Masks(liver, couinaud, lesions)
