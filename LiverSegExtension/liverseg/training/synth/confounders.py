"""What looks like a lesion and is none: vessels with and without contrast agent, fat in fissures, a bile sac.

They are painted into the patch and labeled as what they are: liver or background, never lesion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverseg.training.synth.fields import (
    LESION,
    average_3,
    box_around,
    is_liver,
    local_tissue,
    log_uniform,
    offsets_mm,
    smooth_field,
    soft_step,
    split_noise,
)
from liverseg.training.synth.recipe import CONFOUNDERS
from liverseg.training.synth.shapes import lesion_distance, reach_mm

Spacing = tuple[float, float, float]
_SHARES = {"bright vessel": 0.25, "dark vessel": 0.3, "fissure": 0.2, "sac": 0.25}
FAT_HU = (-110.0, -60.0)
BILE_HU = (-5.0, 22.0)


def add_confounders(
    hu: np.ndarray,
    label: np.ndarray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    count: int,
    kinds: Sequence[str] = CONFOUNDERS,
) -> tuple[str, ...]:
    """Paint up to ``count`` of them in place (``hu`` float32, ``label`` uint8); the names of those done.

    Where the label tells vessels apart (codes above 2) none are painted: it would have to name their kind.
    """
    if (label > LESION).any():
        kinds = [kind for kind in kinds if "vessel" not in kind]
    if not kinds:
        return ()
    shares = np.array([_SHARES[kind] for kind in kinds])
    painters = {"bright vessel": _vessel, "dark vessel": _vessel, "fissure": _fissure, "sac": _sac}
    done = []
    for _ in range(count):
        kind = str(rng.choice(kinds, p=shares / shares.sum()))
        if painters[kind](hu, label, spacing_mm, rng, kind):
            done.append(kind)
    return tuple(done)


def _liver_place(label: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    for _ in range(30):
        place = rng.integers(0, label.shape)
        if is_liver(label[tuple(place)]):
            return place
    return None


def _rim_place(label: np.ndarray, spacing_mm: Spacing, rng: np.random.Generator) -> np.ndarray | None:
    """A voxel of the liver's rim, found by walking from a liver voxel in a random direction."""
    start = _liver_place(label, rng)
    if start is None:
        return None
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction) * np.array(spacing_mm)
    for step in range(1, 80):
        place = np.round(start + step * 1.5 * direction).astype(int)
        if (place < 2).any() or (place >= np.array(label.shape) - 2).any():
            return None
        if label[tuple(place)] == 0:
            return place
    return None


def _vessel(
    hu: np.ndarray, label: np.ndarray, spacing_mm: Spacing, rng: np.random.Generator, kind: str
) -> bool:
    """A curved, tapering tube with a branch: a vessel with contrast agent, or one without."""
    start = _liver_place(label, rng)
    if start is None:
        return False
    spacing = np.array(spacing_mm)
    radius = log_uniform(rng, 1.5, 5.0)
    length = float(rng.uniform(18, 60))
    path = _curve(start * spacing, length, rng)
    paths = [(path, radius)]
    if rng.random() < 0.6:
        fork = path[int(rng.integers(len(path) // 4, 3 * len(path) // 4))]
        paths.append((_curve(fork, 0.6 * length, rng), 0.75 * radius))
    ends = np.concatenate([points for points, _ in paths]) / spacing
    middle = (ends.min(0) + ends.max(0)) / 2
    box = box_around(middle, (ends.max(0) - ends.min(0)) / 2 + (radius + 3) / spacing, label.shape)
    if any(s.stop - s.start < 4 for s in box):
        return False
    tissue = local_tissue(hu[box], label[box] == 1)
    if tissue is None:
        return False
    distance = np.full([s.stop - s.start for s in box], 99.0, dtype=np.float32)
    low = np.array([s.start for s in box])
    for points, thick in paths:
        _tube(distance, points, low, thick, spacing)
    if kind == "bright vessel":
        contrast = float(rng.uniform(20, 70))
    else:
        contrast = -float(rng.uniform(12, min(50.0, max(15.0, tissue.mean - 25))))
    share = soft_step(distance, 2.0) * (label[box] == 1)
    hu[box] += share * np.float32(contrast)
    return bool(share.any())


def _curve(start: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """Points (n, 3), mm, 1.5 mm apart, along a gentle bend."""
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    bend = rng.standard_normal(3) * 0.035
    points = [start.astype(float)]
    for _ in range(int(length / 1.5)):
        direction = direction + bend + rng.standard_normal(3) * 0.04
        direction /= np.linalg.norm(direction)
        points.append(points[-1] + 1.5 * direction)
    return np.array(points)


def _tube(
    distance: np.ndarray, points: np.ndarray, low: np.ndarray, radius: float, spacing: np.ndarray
) -> None:
    """Lower ``distance`` (in place) to the distance from a tube that tapers to two thirds."""
    for number, point in enumerate(points):
        thick = radius * (1 - number / len(points) / 3)
        center = point / spacing - low
        box = box_around(center, (thick + 2) / spacing, distance.shape)
        if any(s.stop <= s.start for s in box):
            continue
        z, y, x = offsets_mm(box, center, (spacing[0], spacing[1], spacing[2]))
        ball = np.sqrt(z * z + y * y + x * x) - np.float32(thick)
        np.minimum(distance[box], ball, out=distance[box])


def _fissure(
    hu: np.ndarray, label: np.ndarray, spacing_mm: Spacing, rng: np.random.Generator, kind: str
) -> bool:
    """A wedge of fat that runs from the liver's surface inwards; it is no liver."""
    rim = _rim_place(label, spacing_mm, rng)
    if rim is None:
        return False
    spacing = np.array(spacing_mm)
    depth = float(rng.uniform(12, 35))
    box = box_around(rim, (depth + 4) / spacing, label.shape)
    if (label[box] == 2).any():
        return False
    inward = _towards_liver(is_liver(label[box]), rim, box, spacing)
    if inward is None:
        return False
    across = np.cross(inward, rng.standard_normal(3))
    across /= np.linalg.norm(across)
    side = np.cross(inward, across)
    z, y, x = offsets_mm(box, rim, spacing_mm)
    shape = [s.stop - s.start for s in box]
    into = inward[0] * z + inward[1] * y + inward[2] * x
    aside = across[0] * z + across[1] * y + across[2] * x
    along = side[0] * z + side[1] * y + side[2] * x
    aside = aside + 2.5 * smooth_field(rng, shape, [2, 2, 2])
    # A leaf: thickest at the surface, thin towards its edges.
    leaf = 1 - np.maximum(into / depth, -into / 4) ** 2 - (along / (0.8 * depth)) ** 2
    width = log_uniform(rng, 0.9, 3.5) * np.sqrt(np.clip(leaf, 0, 1))
    distance = (np.abs(aside) - width + 6 * np.clip(-leaf, 0, 1)).astype(np.float32)
    fat = float(rng.uniform(*FAT_HU))
    share = soft_step(distance, 2.0) * np.minimum(1.5 * average_3(is_liver(label[box])), 1)
    tissue = local_tissue(hu[box], label[box] == 1)
    if tissue is None:
        return False
    anatomy, noise = split_noise(hu[box], tissue.sd)
    hu[box] = anatomy + share * (np.float32(fat) - anatomy) + noise
    part = label[box]
    part[(share > 0.5) & is_liver(part)] = 0
    return bool((share > 0.3).any())


def _towards_liver(
    liver: np.ndarray, place: np.ndarray, box: tuple[slice, slice, slice], spacing: np.ndarray
) -> np.ndarray | None:
    """Unit vector (mm) from a place at the rim towards the middle of the liver near it."""
    where = np.argwhere(liver)
    if len(where) < 50:
        return None
    middle = where.mean(0) + [s.start for s in box]
    vector = (middle - place) * spacing
    size = float(np.linalg.norm(vector))
    return vector / size if size > 1 else None


def _sac(hu: np.ndarray, label: np.ndarray, spacing_mm: Spacing, rng: np.random.Generator, kind: str) -> bool:
    """A gallbladder: bile in a thin wall, beside the liver or in a fossa of it; it is no liver."""
    rim = _rim_place(label, spacing_mm, rng)
    if rim is None:
        return False
    spacing = np.array(spacing_mm)
    radius = log_uniform(rng, 7, 20)
    near = box_around(rim, 8 / spacing, label.shape)
    inward = _towards_liver(is_liver(label[near]), rim, near, spacing)
    if inward is None:
        return False
    # Most of it hangs outside; the rest dents the liver.
    center = rim - inward * radius * float(rng.uniform(0.35, 0.95)) / spacing
    box = box_around(center, reach_mm(radius, 0.1) / spacing, label.shape)
    if any(s.stop - s.start < 4 for s in box) or (label[box] == 2).any():
        return False
    distance = lesion_distance(box, center, radius, spacing_mm, 0.08, rng)
    inside = distance < 0
    outside = hu[box][inside & (label[box] == 0)]
    soft = (outside > -140) & (outside < 140)
    # Lung, ribs and spine leave no room for it.
    if (
        len(outside) < 50
        or soft.mean() < 0.98
        or np.count_nonzero(inside & is_liver(label[box])) > len(outside)
    ):
        return False
    tissue = local_tissue(hu[box], label[box] == 1)
    if tissue is None:
        return False
    bile = float(rng.uniform(*BILE_HU))
    wall = float(rng.uniform(20, 70)) if rng.random() < 0.7 else bile
    content = bile + (1 - soft_step(distance + 1.8, 1.5)) * np.float32(wall - bile)
    anatomy, noise = split_noise(hu[box], tissue.sd)
    share = soft_step(distance, 1.8)
    hu[box] = anatomy + share * (content - anatomy) + noise
    label[box][inside] = 0
    return True
