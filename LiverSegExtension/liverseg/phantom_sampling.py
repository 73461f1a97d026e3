"""A made-up patient sampled on a grid: HU with partial volume and noise, and the true masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

from liverseg import phantom_anatomy as anatomy
from liverseg.case import Masks
from liverseg.geometry import Geometry
from liverseg.labels import HEPATIC_VEINS, PORTAL_VEIN
from liverseg.phantom_lesions import PlannedLesion, lesion_hu, unit_distance
from liverseg.phantom_liver import Segment3D
from liverseg.phantom_patient import Patient
from liverseg.phantom_shapes import Points, Tissue, box_around, cone, coverage

_SLAB_VOXELS = 500_000


class Slab:
    """Some slices of the grid while they are painted."""

    def __init__(self, patient: Patient, geometry: Geometry, start: int, stop: int) -> None:
        self.patient = patient
        self.to_patient = patient.ras_to_patient @ geometry.ijk_to_ras
        self.from_patient = np.linalg.inv(self.to_patient)
        self.start = start
        self.shape = (stop - start, *geometry.shape[1:])
        self.hu = np.full(self.shape, anatomy.AIR, dtype=np.float32)
        # The blur of the scanner (about 1.5 mm) and of the voxel itself.
        voxel = (geometry.voxel_volume_ml * 1000) ** (1 / 3)
        self.blur = float(np.hypot(1.5, voxel)) * patient.scale
        index = [np.arange(n, dtype=np.float64) for n in reversed(self.shape)]
        index[2] += start
        self.points = Points(*(self._coordinate(row, index) for row in self.to_patient[:3]))

    @staticmethod
    def _coordinate(row: np.ndarray, index: list[np.ndarray]) -> np.ndarray:
        """One coordinate, with length 1 along the axes on which it does not depend."""
        out = np.full((1, 1, 1), row[3])
        for n in range(3):
            if abs(row[n]) > 1e-9:
                shape = [1, 1, 1]
                shape[2 - n] = -1
                out = out + (row[n] * index[n]).reshape(shape)
        return out.astype(np.float32)

    def box(self, low: Sequence[float], high: Sequence[float]) -> tuple[slice, slice, slice] | None:
        """The voxels of a box given in the patient's coordinates; None when it misses the slab."""
        corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
        ijk = self.from_patient[:3, :3] @ corners + self.from_patient[:3, 3:]
        ijk[2] -= self.start
        box = []
        for axis in range(3):
            first = max(0, int(np.floor(ijk[2 - axis].min())))
            last = min(self.shape[axis], int(np.ceil(ijk[2 - axis].max())) + 1)
            if first >= last:
                return None
            box.append(slice(first, last))
        return box[0], box[1], box[2]

    def at(self, box: tuple[slice, slice, slice]) -> Points:
        """The points of a box of voxels."""
        return Points(
            *(
                axis[tuple(s if n > 1 else slice(None) for s, n in zip(box, axis.shape, strict=True))]
                for axis in self.points
            )
        )

    def paint(self, tissue: Tissue) -> None:
        """Blend a tissue in."""
        box = self.box(tissue.low, tissue.high)
        if box is not None:
            tissue.paint(self.hu[box], self.at(box), self.blur)


def sample(
    patient: Patient, lesions: Sequence[PlannedLesion], geometry: Geometry, noise_hu: float
) -> tuple[np.ndarray, Masks]:
    """CT (int16) and masks on a grid in axial order, made slab by slab to spare memory."""
    ct = np.empty(geometry.shape, dtype=np.int16)
    masks = Masks(
        liver=np.zeros(geometry.shape, dtype=bool),
        couinaud=np.zeros(geometry.shape, dtype=np.uint8),
        lesions=np.zeros(geometry.shape, dtype=np.uint16),
        vessels=np.zeros(geometry.shape, dtype=np.uint8),
    )
    rng = np.random.default_rng([patient.seed, 6])
    thickness = max(1, _SLAB_VOXELS // (geometry.shape[1] * geometry.shape[2]))
    for start in range(0, geometry.shape[0], thickness):
        stop = min(start + thickness, geometry.shape[0])
        slab = Slab(patient, geometry, start, stop)
        for tissue in patient.surroundings:
            slab.paint(tissue)
        part = slice(start, stop)
        assert masks.vessels is not None
        here = Masks(masks.liver[part], masks.couinaud[part], masks.lesions[part], masks.vessels[part])
        _paint_liver(slab, patient, lesions, here)
        if noise_hu > 0:
            slab.hu += _noise(rng, slab.shape, geometry, noise_hu)
        ct[part] = np.rint(np.clip(slab.hu, -1024, 3071))
    return ct, masks


def _paint_liver(slab: Slab, patient: Patient, lesions: Sequence[PlannedLesion], masks: Masks) -> None:
    """Liver, its vessels, its lesions and the gallbladder, onto HU and masks of a slab."""
    liver = patient.liver
    distance = np.full(slab.shape, 1e3, dtype=np.float32)
    box = slab.box(liver.low, liver.high)
    if box is not None:
        p, hu = slab.at(box), slab.hu[box]
        distance[box] = d = liver.distance(p)
        # A thin layer of fat parts the liver from stomach and bowel, not from the wall and the diaphragm.
        cavity = np.maximum(liver.wall_distance(p) + 1, liver.diaphragm_distance(p) + 3)
        hu += coverage(np.maximum(d - 2.5, cavity), slab.blur) * (anatomy.FAT - hu)
        texture = 3 * np.sin(0.21 * p.x) * np.sin(0.19 * p.y) * np.sin(0.23 * p.z)
        hu += coverage(d, slab.blur) * (patient.liver_hu + texture - hu)
        masks.liver[box] = d < 0
        masks.couinaud[box][d < 0] = liver.segments(p.where(d < 0))
    vessels = [(s, patient.vein_hu, HEPATIC_VEINS.label) for s in liver.hepatic_veins]
    vessels += [(s, patient.portal_hu, PORTAL_VEIN.label) for s in liver.portal_vein]
    assert masks.vessels is not None
    for segment, value, label in vessels:
        _paint_vessel(slab, segment, value, label, distance, masks.vessels)
    _paint_cava(slab, patient, masks.vessels)
    slab.paint(Tissue(liver.gallbladder_distance, _gallbladder_hu, (25, 20, -145), (80, 95, -75)))
    for lesion in lesions:
        _paint_lesion(slab, patient, lesion, distance, masks)


def _paint_cava(slab: Slab, patient: Patient, labels: np.ndarray) -> None:
    """The cava once more, over the fat around the liver; it is a hepatic vein to the labels."""
    low, high = anatomy.CAVA_BOX
    slab.paint(Tissue(patient.liver.cava_distance, patient.vein_hu, low, high))
    box = slab.box(low, high)
    if box is not None:
        view = labels[box]
        inside = patient.liver.cava_distance(slab.at(box)) < 0
        view[np.broadcast_to(inside, view.shape)] = HEPATIC_VEINS.label


def _gallbladder_hu(p: Points, distance: np.ndarray) -> np.ndarray:
    """Bile in a thin wall."""
    return 8 + coverage(-(distance + 1.5), 1.5) * 50


def _paint_vessel(
    slab: Slab, segment: Segment3D, hu: float, label: int, liver: np.ndarray, labels: np.ndarray
) -> None:
    box = slab.box(*box_around([segment.a, segment.b], [max(segment.radius_a, segment.radius_b) + 3] * 3))
    if box is None:
        return
    d = cone(slab.at(box), segment.a, segment.b, segment.radius_a, segment.radius_b)
    if segment.inside_liver:
        d = np.maximum(d, liver[box] + 1.5)
    view = slab.hu[box]
    view += coverage(d, slab.blur) * (hu - view)
    labels[box][d < 0] = label


def _paint_lesion(
    slab: Slab, patient: Patient, lesion: PlannedLesion, liver: np.ndarray, masks: Masks
) -> None:
    center = patient.from_ras(np.array(lesion.center_ras_mm))
    radius = lesion.radius_mm * patient.scale
    box = slab.box(*box_around([center], [radius + 4] * 3))
    if box is None:
        return
    p = slab.at(box)
    unit = Points((p.x - center[0]) / radius, (p.y - center[1]) / radius, (p.z - center[2]) / radius)
    d = np.maximum(unit_distance(unit, lesion.shape) * radius, liver[box])
    view = slab.hu[box]
    edge = 1.0 if lesion.kind == "cyst" else 1.0 + 0.04 * lesion.diameter_mm
    view += coverage(d, np.hypot(slab.blur, edge)) * (
        lesion_hu(lesion, patient.liver_hu, d / patient.scale, p) - view
    )
    inside = d < 0
    masks.lesions[box][inside] = lesion.id
    assert masks.vessels is not None
    masks.vessels[box][inside] = 0


def _noise(rng: np.random.Generator, shape: tuple[int, ...], geometry: Geometry, sd: float) -> np.ndarray:
    """Noise with the in-plane grain of a soft reconstruction kernel (Gaussian of 0.8 mm)."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    scale = sd
    for axis in (1, 2):
        sigma = 0.8 / geometry.spacing_kji[axis]
        impulse = np.zeros(33)
        impulse[16] = 1
        scale /= float(np.sqrt((gaussian_filter1d(impulse, sigma) ** 2).sum()))
        noise = gaussian_filter1d(noise, sigma, axis=axis, truncate=3)
    return noise * np.float32(scale)
