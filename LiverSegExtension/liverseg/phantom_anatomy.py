"""The rest of the made-up abdomen around the liver: body, bones, lungs, organs, bowel, great vessels.

Same coordinates as :mod:`liverseg.phantom_liver`. HU are those of a portal venous scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from liverseg.phantom_liver import LiverModel
from liverseg.phantom_shapes import (
    Coordinates,
    Distance,
    Points,
    Tissue,
    Triple,
    box_around,
    column,
    cone,
    coverage,
    ellipsoid,
    smooth_max,
    stick_tissue,
)

FAT, MUSCLE, LUNG, AIR = -103.0, 58.0, -850.0, -1000.0
_FAR = 1e4
Path = Sequence[Coordinates] | np.ndarray
CAVA_BOX = ((0.0, -50.0, -_FAR), (45.0, 5.0, 12.0))


def body_tissues(liver: LiverModel, fat_mm: float) -> list[Tissue]:
    """Skin, subcutaneous fat, muscles of the wall, and what fills the cavity: lung above the diaphragm, fat
    below it. In the order of painting."""
    a, b = liver.wall
    low, high = (-400.0, -400.0, -_FAR), (400.0, 400.0, _FAR)

    def body(p: Points) -> np.ndarray:
        return column(p, (0, 4 - 0.1 * fat_mm), (a + 13 + fat_mm, b + 16 + 0.9 * fat_mm), squareness=0.45)

    def under_skin(p: Points) -> np.ndarray:
        return body(p) + 2

    def muscles(p: Points) -> np.ndarray:
        return column(p, (0, 3), (a + 13, b + 14), squareness=0.42)

    def chest(p: Points, distance: np.ndarray) -> np.ndarray:
        dome = liver.diaphragm_distance(p)
        hu = LUNG + coverage(dome, 2) * (MUSCLE - LUNG)
        return hu + coverage(np.maximum(dome + 3, distance + 1), 2) * (FAT - hu)

    return [
        Tissue(body, 25, low, high),
        Tissue(under_skin, FAT, low, high),
        Tissue(muscles, _striped_muscle, low, high),
        Tissue(liver.wall_distance, chest, low, high),
    ]


def _striped_muscle(p: Points, distance: np.ndarray) -> np.ndarray:
    """Muscle with thin layers of fat parallel to the wall."""
    return MUSCLE - 60 * np.maximum(np.cos(0.75 * distance) - 0.6, 0)


def heart_tissues(liver: LiverModel) -> list[Tissue]:
    """Mediastinal fat, heart muscle and chambers; they belong before the diaphragm is painted over them."""
    sac = ((-22.0, 36.0, 18.0), (68.0, 54.0, 52.0))

    def above(center: tuple[float, float, float], axes: tuple[float, float, float], hu: float) -> Tissue:
        low, high = box_around([center], [r + 4 for r in axes])

        def distance(p: Points) -> np.ndarray:
            return np.maximum(ellipsoid(p, center, axes), -(liver.diaphragm_distance(p) - 1))

        return Tissue(distance, hu, low, high)

    def mediastinum(p: Points) -> np.ndarray:
        return np.maximum(column(p, (0, 0), (30, 62), 0.5), -(liver.diaphragm_distance(p) - 1))

    return [
        Tissue(mediastinum, -80, (-40, -70, -60), (40, 70, _FAR)),
        above(sac[0], (72, 58, 56), -90),
        above(sac[0], sac[1], 105),
        above((-43, 35, 18), (39, 40, 40), 150),
        above((20, 40, 24), (24, 38, 42), 148),
    ]


def lung_vessels(rng: np.random.Generator) -> list[Tissue]:
    """Small vessels of the lung bases; painted before the diaphragm's organs, which cover the stray ones."""
    out = []
    for side in (-1, 1):
        for _ in range(50):
            a = np.array([side * rng.uniform(35, 105), rng.uniform(-65, 55), rng.uniform(-10, 110)])
            out.append(stick_tissue(a, a + rng.normal(0, 9, 3), rng.uniform(0.8, 2.0), 0.6, 30))
    return out


def spine_tissues() -> list[Tissue]:
    """Paraspinal and psoas muscles, vertebrae and discs, canal, processes."""
    period = 34.0

    def height(p: Points) -> np.ndarray:
        """From the middle of the nearest vertebra."""
        return p.z - period * np.round(p.z / period)

    def vertebra(p: Points) -> np.ndarray:
        waist = 1.5 * np.abs(height(p)) / 13 - 1.5
        return column(p, (0, -50), (23, 17), 0.2) - waist

    def bone_or_disc(p: Points, distance: np.ndarray) -> np.ndarray:
        level = np.abs(height(p))
        shell = coverage(-(distance + 2.0), 2) + coverage(-(level - 10.5), 2)
        bone = 175 + 170 * np.minimum(shell, 1)
        return bone + coverage(-(level - 13), 2) * (85 - bone)

    def arch(p: Points) -> np.ndarray:
        ring = np.abs(column(p, (0, -77), (12, 12))) - 3.5
        return np.minimum(np.maximum(ring, np.abs(height(p)) - 12), _process(p, height(p)))

    low, high = (-60.0, -125.0, -_FAR), (60.0, -20.0, _FAR)
    muscles = []
    for side in (-1, 1):
        muscles.append(
            Tissue(
                _column_distance((side * 36, -88), (32, 20)),
                _striped_muscle,
                (-80, -120, -_FAR),
                (80, -60, _FAR),
            )
        )
        muscles.append(stick_tissue((side * 31, -50, -105), (side * 50, -34, -200), 8, 19, MUSCLE))
        muscles.append(stick_tissue((side * 50, -34, -200), (side * 56, -24, -420), 19, 20, MUSCLE))
        muscles.append(stick_tissue((side * 12, -27, 0), (side * 11, -27, -130), 6, 4, MUSCLE))
    return [
        *muscles,
        Tissue(vertebra, bone_or_disc, low, high),
        Tissue(arch, 300, low, high),
        Tissue(_column_distance((0, -77), (9, 9)), 22, low, high),
    ]


def _column_distance(center: tuple[float, float], axes: tuple[float, float]) -> Distance:
    return lambda p: column(p, center, axes)


def _process(p: Points, height: np.ndarray) -> np.ndarray:
    """Spinous and transverse processes."""
    level = Points(p.x, p.y, height)
    spinous = ellipsoid(level, (0, -100, -3), (3.5, 15, 10))
    transverse = ellipsoid(Points(np.abs(p.x), p.y, height), (27, -76, 3), (16, 4.5, 5))
    return np.minimum(spinous, transverse)


def rib_tissue(liver: LiverModel) -> Tissue:
    """Ribs as hoops in the wall that slope down to the front and end at the costal arch."""
    a, b = liver.wall
    period = 27.0

    def distance(p: Points) -> np.ndarray:
        depth = column(p, (0, liver.wall_y - 2), (a + 6, b + 6), squareness=0.4)
        slope = p.z + 0.45 * (p.y + 80) + 0.22 * np.abs(p.x)
        height = slope - period * np.round(slope / period)
        ring = np.sqrt((depth / 3.6) ** 2 + (0.9 * height / 6.5) ** 2)
        ring = (ring - 1) * 3.6
        # The costal arch: ribs reach further down at the sides than in front.
        arch = -150 + 0.55 * np.maximum(p.y + 10, 0) - p.z
        return np.maximum(np.maximum(ring, 0.8 * arch), p.y - 82)

    def hu(p: Points, distance: np.ndarray) -> np.ndarray:
        return 330 + 90 * np.clip(distance + 1, -1.5, 0)

    return Tissue(distance, hu, (-170, -130, -230), (170, 120, _FAR))


def great_vessels(liver: LiverModel, artery_hu: float, vein_hu: float) -> list[Tissue]:
    """Aorta with its front branches, cava, renal veins and arteries, splenic vein."""
    return [
        Tissue(_column_distance((-14, -20), (11, 11)), artery_hu, (-30, -35, -_FAR), (0, -5, _FAR)),
        stick_tissue((-13, -12, -92), (-10, 8, -100), 4, 3, artery_hu),
        stick_tissue((-13, -12, -112), (-12, 4, -160), 4, 3, artery_hu),
        Tissue(liver.cava_distance, vein_hu, *CAVA_BOX),
        stick_tissue((24, -18, -122), (50, -36, -126), 5, 4, vein_hu),
        stick_tissue((20, -12, -112), (-52, -36, -112), 5, 4, vein_hu),
        stick_tissue((-14, 8, -104), (-60, -12, -90), 4.5, 4, vein_hu + 15),
        stick_tissue((-60, -12, -90), (-88, -30, -74), 4, 3, vein_hu + 15),
        stick_tissue((-14, 8, -104), (-2, 16, -190), 5, 3.5, vein_hu + 15),
    ]


def organ_tissues(liver: LiverModel, rng: np.random.Generator) -> list[Tissue]:
    """Kidneys, spleen, pancreas, adrenal glands, stomach."""
    return [
        *_kidney(liver.right_kidney_distance, (62, -42, -128), 1, rng),
        *_kidney(
            left_kidney_distance,
            (-64, -44, -115),
            -1,
            rng,
        ),
        _spleen(liver, 118 + rng.normal(0, 6)),
        *_stomach(liver, rng),
        *_pancreas(92 + rng.normal(0, 6)),
        stick_tissue((-34, -18, -80), (-44, -34, -92), 3, 2.5, 70),
        stick_tissue((30, -32, -78), (38, -42, -90), 2.5, 2.5, 70),
    ]


def left_kidney_distance(p: Points) -> np.ndarray:
    """To the left kidney, its lower pole tilted outwards and forwards."""
    lean = 0.14 * (p.z + 115)
    return ellipsoid(Points(p.x - lean, p.y + lean, p.z), (-64, -44, -115), (27, 26, 55))


def _kidney(distance: Distance, center: Triple, side: int, rng: np.random.Generator) -> list[Tissue]:
    """Cortex brighter than medulla, fat in the sinus, which opens to the middle."""
    cortex, medulla = 195 + rng.normal(0, 12), 150 + rng.normal(0, 10)
    low, high = box_around([center], (44, 44, 62))

    def kidney(p: Points) -> np.ndarray:
        d = distance(p)
        return d + 1.0 * np.sin(0.11 * p.z) * np.sin(0.13 * p.y + 1)

    def hu(p: Points, d: np.ndarray) -> np.ndarray:
        pyramids = 0.5 + 0.5 * np.sin(0.42 * p.z) * np.cos(0.30 * (p.y - p.x))
        inner = medulla + (cortex - medulla) * pyramids
        return inner + coverage(-(d + 7), 5) * (cortex - inner)

    def sinus(p: Points) -> np.ndarray:
        return ellipsoid(p, (center[0] - side * 17, center[1] + 7, center[2]), (15, 10, 26))

    return [
        Tissue(kidney, hu, low, high),
        Tissue(sinus, lambda p, d: -50 + 60 * np.sin(0.35 * p.x) * np.sin(0.3 * p.z), low, high),
    ]


def _spleen(liver: LiverModel, hu: float) -> Tissue:
    """A crescent under the left dome, hollow towards stomach and kidney."""

    def distance(p: Points) -> np.ndarray:
        d = smooth_max(liver.wall_distance(p) + 5, liver.diaphragm_distance(p) + 4, 12)
        d = smooth_max(d, ellipsoid(p, (-96, -32, -70), (36, 54, 52)), 10)
        d = smooth_max(d, -(left_kidney_distance(p) - 4), 8)
        return smooth_max(d, -ellipsoid(p, (-52, 0, -75), (42, 52, 62)), 10)

    low, high = box_around([(-96, -32, -70)], (42, 60, 58))
    return Tissue(distance, hu, low, high)


def _stomach(liver: LiverModel, rng: np.random.Generator) -> list[Tissue]:
    """A bag from the left dome to the pylorus: wall, fluid, a bubble of air in front."""
    fill = float(rng.uniform(0.85, 1.15))
    level = float(rng.uniform(38, 58))
    chain = [
        (-58, 0, -52, 27),
        (-64, 22, -72, 29),
        (-56, 46, -96, 24),
        (-26, 58, -112, 19),
        (10, 48, -112, 14),
    ]

    def bag(p: Points) -> np.ndarray:
        d: np.ndarray = np.full((1, 1, 1), 1e3, dtype=np.float32)
        for (x0, y0, z0, r0), (x1, y1, z1, r1) in zip(chain, chain[1:], strict=False):
            d = np.minimum(d, cone(p, (x0, y0, z0), (x1, y1, z1), r0 * fill, r1 * fill))
        d = d + 1.5 * np.sin(0.17 * p.x + 1) * np.sin(0.15 * p.z) * np.sin(0.19 * p.y)
        return np.maximum(d, liver.diaphragm_distance(p) + 5)

    def hu(p: Points, d: np.ndarray) -> np.ndarray:
        content = 15 + 25 * np.sin(0.1 * p.x) * np.sin(0.12 * p.z)
        content = content + coverage(level - p.y, 2) * (AIR - content)
        return content + coverage(-(d + 4.5), 2) * (85 - content)

    low, high = box_around([c[:3] for c in chain], (36, 36, 36))
    return [Tissue(bag, hu, low, high)]


def _pancreas(hu: float) -> list[Tissue]:
    """Head beside the duodenum, body before the splenic vein, tail towards the spleen."""
    chain = [(20, 16, -126, 11), (4, 22, -110, 9), (-24, 20, -98, 8), (-56, -4, -86, 8), (-76, -18, -80, 6)]
    return [stick_tissue(a[:3], b[:3], a[3], b[3], hu) for a, b in zip(chain, chain[1:], strict=False)]


def bowel_tissues(liver: LiverModel, rng: np.random.Generator) -> list[Tissue]:
    """Duodenum, colon with gas and stool, loops of small bowel, and small vessels in the fat between."""
    out: list[Tissue] = []
    out += _loop(liver, [(34, 40, -118), (44, 14, -126), (42, 4, -158), (10, 0, -170)], 11, 35)
    ascending = [(98, -4, -340), (102, -2, -200), (94, 10, -166)]
    across = [(94, 10, -166), (62, 56, -158), (10, 72, -150), (-50, 70, -138), (-92, 34, -112)]
    descending = [(-92, 34, -112), (-100, -12, -140), (-104, -24, -340)]
    for path in (ascending, across, descending):
        out += _colon(liver, path, float(rng.uniform(15, 19)), rng)
    for place in _spread(rng):
        turn = rng.normal(0, 1, (3, 3)) * (13, 9, 8)
        path = place + np.cumsum(turn, axis=0) - turn.mean(axis=0)
        path[:, 1] = np.clip(path[:, 1], -12, 80)
        content = float(rng.choice([25, 40, 60, -600], p=[0.4, 0.3, 0.2, 0.1]))
        out += _loop(liver, path, float(rng.uniform(9, 13)), content)
    for _ in range(70):
        a = rng.uniform((-90, -20, -330), (80, 60, -115))
        b = a + rng.normal(0, 12, 3)
        out.append(stick_tissue(a, b, 1.8, 1.2, 130))
    return out


def _spread(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Places for loops of small bowel, at least 30 mm apart."""
    taken: list[np.ndarray] = []
    for _ in range(900):
        q = rng.uniform((-96, -4, -330), (84, 72, -138))
        if all(np.linalg.norm(q - other) > 27 for other in taken):
            taken.append(q)
            yield q


def _loop(liver: LiverModel, path: Path, radius: float, content: float) -> list[Tissue]:
    """A tube of bowel: enhancing wall around its content."""
    low, high = box_around(path, [radius + 5] * 3)

    def distance(p: Points) -> np.ndarray:
        d: np.ndarray = np.full((1, 1, 1), 1e3, dtype=np.float32)
        for a, b in zip(path, path[1:], strict=False):
            d = np.minimum(d, cone(p, a, b, radius, radius))
        d = d + 1.2 * np.sin(0.35 * p.x) * np.sin(0.33 * p.z + 1)
        return np.maximum(d, liver.wall_distance(p) + 3)

    def hu(p: Points, d: np.ndarray) -> np.ndarray:
        return content + coverage(-(d + 3), 2) * (95 - content)

    return [Tissue(distance, hu, low, high)]


def _colon(liver: LiverModel, path: Path, radius: float, rng: np.random.Generator) -> list[Tissue]:
    """A wide tube with pouches, thin wall, gas mixed with stool."""
    out = []
    phase = rng.uniform(0, 6, 3)
    gas = float(rng.uniform(-0.4, 0.5))
    for a, b in zip(path, path[1:], strict=False):
        low, high = box_around([a, b], [radius + 8] * 3)

        def distance(p: Points, a: Coordinates = a, b: Coordinates = b) -> np.ndarray:
            d = cone(p, a, b, radius, radius) + 2.5 * np.sin(0.2 * (p.x + p.y + p.z) + phase[0])
            return np.maximum(d, liver.wall_distance(p) + 3)

        def hu(p: Points, d: np.ndarray) -> np.ndarray:
            mix = np.sin(0.21 * p.x + 0.13 * p.y + phase[0]) + np.sin(0.19 * p.y - 0.16 * p.z + phase[1])
            mix = mix + np.sin(0.17 * p.z + 0.11 * p.x + phase[2])
            stool = 30 + 25 * np.sin(0.9 * p.x) * np.sin(0.8 * p.y)
            content = stool + coverage(gas - mix, 0.25) * (-880 - stool)
            return content + coverage(-(d + 2.2), 1.5) * (75 - content)

        out.append(Tissue(distance, hu, low, high))
    return out
