"""The made-up person, not yet on a grid: size, pose, enhancement, organs, all from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from liverseg import phantom_anatomy as anatomy
from liverseg.phantom_lesions import PlannedLesion, place
from liverseg.phantom_liver import LiverModel
from liverseg.phantom_shapes import Tissue

_LESION_KINDS = ("metastasis", "ring", "metastasis", "cyst", "faint", "hyper")
_LESION_SHAPES = ("lobulated", "sphere", "sphere", "sphere", "ellipsoid")


@dataclass(frozen=True, eq=False)
class Patient:
    """A made-up person without a grid. ``ras_to_patient`` (4x4) turns world RAS mm into the coordinates of
    :mod:`liverseg.phantom_liver`; its scale is uniform."""

    seed: int
    liver: LiverModel
    liver_hu: float
    artery_hu: float
    vein_hu: float
    portal_hu: float
    fat_mm: float
    ras_to_patient: np.ndarray

    @staticmethod
    @lru_cache(maxsize=8)
    def of(seed: int) -> Patient:
        """The patient of a seed: size, pose, fat, enhancement and the liver's proportions vary."""
        rng = np.random.default_rng([seed, 0])
        liver = LiverModel(
            seed=seed,
            length=float(rng.uniform(0.9, 1.12)),
            left_reach=float(rng.uniform(0.75, 1.35)),
            wall=(float(rng.uniform(120, 129)), float(rng.uniform(88, 100))),
            waves=float(rng.uniform(1.0, 2.2)),
        )
        liver_hu = float(rng.uniform(95, 120))
        size, roll = rng.uniform(0.96, 1.06), np.deg2rad(rng.uniform(-4, 4))
        turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        to_ras = np.eye(4)
        to_ras[:3, :3] = turn * size
        to_ras[:3, 3] = rng.uniform((-8, -20, 40), (8, 20, 60))
        return Patient(
            seed=seed,
            liver=liver,
            liver_hu=liver_hu,
            artery_hu=float(rng.uniform(140, 165)),
            vein_hu=float(rng.uniform(130, 150)),
            portal_hu=liver_hu + float(rng.uniform(50, 70)),
            fat_mm=float(rng.uniform(8, 26)),
            ras_to_patient=np.linalg.inv(to_ras),
        )

    @property
    def scale(self) -> float:
        """Patient's units in one world mm."""
        return float(np.cbrt(np.linalg.det(self.ras_to_patient[:3, :3])))

    def to_ras(self, xyz: np.ndarray) -> np.ndarray:
        """World RAS mm of patient's coordinates (..., 3)."""
        inverse = np.linalg.inv(self.ras_to_patient)
        return xyz @ inverse[:3, :3].T + inverse[:3, 3]

    def from_ras(self, ras: np.ndarray) -> np.ndarray:
        """Patient's coordinates of world RAS mm (..., 3)."""
        return np.asarray(ras) @ self.ras_to_patient[:3, :3].T + self.ras_to_patient[:3, 3]

    @cached_property
    def surroundings(self) -> list[Tissue]:
        """All but the liver, in the order of painting."""
        rng = np.random.default_rng([self.seed, 4])
        skin, fat, muscle, cavity = anatomy.body_tissues(self.liver, self.fat_mm)
        return [
            skin,
            fat,
            muscle,
            cavity,
            *anatomy.lung_vessels(rng),
            *anatomy.heart_tissues(self.liver),
            *anatomy.spine_tissues(),
            anatomy.rib_tissue(self.liver),
            *anatomy.bowel_tissues(self.liver, rng),
            *anatomy.organ_tissues(self.liver, rng),
            *anatomy.great_vessels(self.liver, self.artery_hu, self.vein_hu),
        ]

    def plan_lesions(self, diameters_mm: Sequence[float]) -> tuple[PlannedLesion, ...]:
        """Lesions of the given diameters at random places of the liver, apart from each other.

        Raises:
            UsageError: no room for one.
        """
        rng = np.random.default_rng([self.seed, 5])
        radii = [d / 2 * self.scale for d in diameters_mm]
        centers = place(self.liver, radii, rng)
        out = []
        for n, (diameter, center) in enumerate(zip(diameters_mm, centers, strict=True)):
            kind = _LESION_KINDS[n % len(_LESION_KINDS)]
            shape = _LESION_SHAPES[n % len(_LESION_SHAPES)]
            r, a, s = (float(v) for v in self.to_ras(center))
            out.append(PlannedLesion((r, a, s), float(diameter), kind, shape))
        return tuple(out)
