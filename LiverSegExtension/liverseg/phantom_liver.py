"""The made-up liver: outline, gallbladder, vessel trees, Couinaud segments.

Coordinates are the patient's own: mm, x right of the spine, y in front of the middle of the body, z above
the top of the right dome of the diaphragm. Proportions follow ordinary adult anatomy on axial CT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from liverseg.phantom_shapes import (
    Points,
    Triple,
    column,
    cone,
    ellipsoid,
    points,
    smooth_max,
    smooth_min,
)

# Where the liver ends towards the left, by height: the left lobe reaches across the spine high up, and the
# visceral surface runs down to the right, to the tip of the right lobe.
_LEFT_BORDER_Z = (-190, -160, -150, -136, -122, -108, -95, -82, -68, -55, -42, -30, -15, 0, 20)
_LEFT_BORDER_X = (170, 108, 92, 76, 60, 42, 20, -8, -26, -46, -66, -78, -74, -50, 10)


@dataclass(frozen=True)
class Segment3D:
    """One stretch of a vessel: from a to b, radius in mm at both ends."""

    a: Triple
    b: Triple
    radius_a: float
    radius_b: float
    inside_liver: bool = True


@dataclass(frozen=True, eq=False)
class LiverModel:
    """A liver by its parameters.

    Attributes:
        seed: of the vessel twigs.
        length: stretches the right lobe downwards, 1 is usual.
        left_reach: stretches the left lobe across the midline, 1 is usual.
        wall: semi-axes (x, y) of the inner abdominal wall.
        wall_y: y of its middle.
        waves: amplitude (mm) of the outline's irregularity.
    """

    seed: int
    length: float = 1.0
    left_reach: float = 1.0
    wall: tuple[float, float] = (128.0, 98.0)
    wall_y: float = 8.0
    waves: float = 1.5

    low: Triple = (-125.0, -95.0, -205.0)
    high: Triple = (135.0, 105.0, 8.0)

    @cached_property
    def _border(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z = np.array(_LEFT_BORDER_Z, dtype=float)
        x = np.array(_LEFT_BORDER_X, dtype=float)
        z = np.where(z < -70, -70 + (z + 70) * self.length, z)
        x = np.where(x < 0, x * self.left_reach, x)
        grid = np.arange(-230.0, 41.0)
        smooth = gaussian_filter1d(np.interp(grid, z, x), 5)
        return grid, smooth, np.sqrt(1 + np.gradient(smooth) ** 2)

    def wall_distance(self, p: Points) -> np.ndarray:
        """To the inner surface of the rib cage and abdominal wall."""
        return column(p, (0, self.wall_y), self.wall, squareness=0.4)

    def diaphragm_distance(self, p: Points) -> np.ndarray:
        """To the upper surface of the diaphragm: a right dome, a lower left one, a recess behind."""

        def dome(center: Triple, semi_axes: Triple) -> np.ndarray:
            lifted = Points(p.x, p.y, np.maximum(p.z, center[2]))
            return ellipsoid(lifted, center, semi_axes)

        right = dome((48, 10, -82), (94, self.wall[1] + 4, 82))
        left = dome((-72, 6, -92), (68, self.wall[1] + 2, 70))
        flare = 0.3 * np.maximum(-95 - p.z, 0)
        return smooth_min(right, left, 40) - flare

    def right_kidney_distance(self, p: Points) -> np.ndarray:
        """To the right kidney, its lower pole tilted outwards and forwards along the psoas."""
        lean = (p.z + 128) * 0.16
        return ellipsoid(Points(p.x + lean, p.y + lean, p.z), (62, -42, -128), (26, 25, 54))

    def gallbladder_distance(self, p: Points) -> np.ndarray:
        """To the gallbladder, which hangs in its fossa at the lower edge."""
        return smooth_min(
            cone(p, (44, 38, -88), (52, 62, -116), 7, 14), ellipsoid(p, (53, 63, -117), (15, 17, 18)), 8
        )

    def cava_distance(self, p: Points) -> np.ndarray:
        """To the inferior vena cava."""
        return column(Points(p.x, p.y + 0.03 * (p.z + 60), p.z), (22, -22), (13, 10))

    def distance(self, p: Points) -> np.ndarray:
        """To the liver's surface."""
        grid, border, steep = self._border
        z = p.z.ravel()
        left = np.interp(z, grid, border).reshape(p.z.shape).astype(np.float32)
        scale = np.interp(z, grid, steep).reshape(p.z.shape).astype(np.float32)
        # The left lobe is an anterior one: behind it the border is that of the caudate lobe.
        visceral = (left + 0.10 * np.minimum(p.y - 40, 0) - p.x) / scale
        spine_side = -((p.x - 20) * 0.55 + (p.y + 26) * 0.835)
        d = smooth_max(self.wall_distance(p) + 3.5, self.diaphragm_distance(p) + 3, 14)
        d = smooth_max(d, visceral, 16)
        d = smooth_max(d, spine_side, 16)
        # Lower edge of the left lobe and of segment IV, sloping up to the left.
        d = smooth_max(
            d, (-96 - 0.30 * np.minimum(p.x - 30, 0) - 1.0 * np.maximum(p.x - 30, 0) - p.z) * 0.85, 14
        )
        d = smooth_max(d, -(self.right_kidney_distance(p) - 6), 10)
        d = smooth_max(d, -(self.gallbladder_distance(p) - 1.0), 6)
        d = smooth_max(d, -self.cava_distance(p), 4)
        # Fissure of the round ligament, and the porta hepatis: fat around the portal vein.
        d = smooth_max(d, 3.0 - cone(p, (11, 55, -62), (7, 105, -86), 0.5, 3.0), 5)
        d = smooth_max(d, cone(p, (8, 18, -92), (32, 14, -76), 11.0, 7.0) * -1, 6)
        wave = np.sin(0.071 * p.x + self.seed) * np.sin(0.083 * p.y + 2.1 * self.seed)
        return d + self.waves * wave * np.sin(0.077 * p.z + 0.7 * self.seed)

    def segments(self, p: Points) -> np.ndarray:
        """Couinaud segment 1..8 (uint8) of points inside the liver.

        Right and left meet in the plane of gallbladder and cava (Cantlie), right anterior and posterior in
        that of the right hepatic vein, IV and the left lateral segments in the umbilical plane; upper and
        lower meet at the height of the portal bifurcation; the caudate lobe lies before the cava.
        """
        right = (p.x - 22) * 62 - (p.y + 16) * 28 > 0
        posterior = p.y < 0.03 * (p.x - 22)
        upper = p.z > -72
        lateral = p.x < 15 - 0.06 * p.y
        upper_left = (p.z + 46) - 0.30 * (p.y - 45) > 0
        caudate = ellipsoid(p, (12, -4, -60), (23, 21, 33)) < 0
        out = np.where(
            right,
            np.where(posterior, np.where(upper, 7, 6), np.where(upper, 8, 5)),
            np.where(lateral, np.where(upper_left, 2, 3), 4),
        )
        return np.where(caudate, 1, out).astype(np.uint8)

    @cached_property
    def inner_points(self) -> np.ndarray:
        """About two thousand points (n, 3) spread through the liver, in random order."""
        rng = np.random.default_rng([self.seed, 1])
        xyz = rng.uniform(self.low, self.high, (12000, 3))
        return xyz[self.distance(points(xyz)) < -5]

    @cached_property
    def portal_vein(self) -> tuple[Segment3D, ...]:
        """Trunk, right and left branch, branches of the segments, twigs."""
        main = [
            [(-14, 8, -104), (8, 16, -92), (32, 15, -75)],
            [(32, 15, -75), (52, 12, -70), (66, 16, -66)],
            [(66, 16, -66), (76, 34, -52), (84, 42, -34)],
            [(66, 16, -66), (74, 36, -84), (82, 44, -104)],
            [(52, 12, -70), (78, -10, -72), (96, -26, -58)],
            [(78, -10, -72), (94, -20, -92), (104, -24, -118)],
            [(32, 15, -75), (16, 26, -62), (4, 44, -56)],
            [(4, 44, -56), (-18, 42, -46), (-40, 44, -40)],
            [(4, 44, -56), (-8, 62, -60), (-22, 74, -62)],
            [(4, 44, -56), (20, 58, -52), (30, 66, -48)],
        ]
        radii = [(6.5, 6), (5, 4.2), (3.4, 1.8), (3.2, 1.6), (3.4, 1.8), (2.8, 1.5), (4.6, 4), (2.5, 1.3)]
        radii += [(2.5, 1.3), (2.2, 1.2)]
        return self._grow(main, radii, outside=1, twigs=26, salt=2)

    @cached_property
    def hepatic_veins(self) -> tuple[Segment3D, ...]:
        """Right, middle and left hepatic vein, to the cava below the diaphragm, and twigs."""
        main = [
            [(24, -20, -26), (58, -8, -42), (88, 0, -72), (100, 2, -104)],
            [(20, -18, -26), (32, 14, -40), (42, 38, -62), (48, 50, -82)],
            [(18, -17, -26), (8, 10, -32), (-12, 34, -38), (-36, 46, -42)],
            [(42, 38, -62), (62, 52, -72), (76, 56, -90)],
            [(58, -8, -42), (80, 12, -36), (96, 24, -36)],
        ]
        radii = [(5.2, 1.8), (4.4, 1.8), (4.2, 1.5), (2.4, 1.2), (2.4, 1.2)]
        return self._grow(main, radii, outside=0, twigs=18, salt=3)

    def _grow(
        self,
        lines: list[list[tuple[int, int, int]]],
        radii: list[tuple[float, float]],
        outside: int,
        twigs: int,
        salt: int,
    ) -> tuple[Segment3D, ...]:
        """Stretches of the given lines (the first ``outside`` of them not held inside the liver) and of
        twigs, each from the nearest vessel to a random place of the liver."""
        rng = np.random.default_rng([self.seed, salt])
        grown = []
        nodes: list[tuple[np.ndarray, float]] = []
        for n, (line, (start, end)) in enumerate(zip(lines, radii, strict=True)):
            stops = np.array(line, dtype=float)
            widths = np.linspace(start, end, len(stops))
            for m in range(len(stops) - 1):
                a, b = stops[m], stops[m + 1]
                grown.append(_stretch(a, b, widths[m], widths[m + 1], n >= outside))
                if n >= outside:
                    steps = np.linspace(0, 1, 5)
                    nodes += [(a + t * (b - a), widths[m] + t * (widths[m + 1] - widths[m])) for t in steps]
        for target in self.inner_points[salt * 200 : salt * 200 + twigs]:
            nearest = cKDTree([node for node, _ in nodes]).query(target)[1]
            root, width = nodes[nearest]
            middle = (root + target) / 2 + rng.normal(0, 0.07, 3) * np.linalg.norm(target - root)
            thick = min(0.7 * width, 2.0)
            grown.append(_stretch(root, middle, thick, 0.8 * thick, True))
            grown.append(_stretch(middle, target, 0.8 * thick, 0.5, True))
            nodes += [(middle, 0.8 * thick), ((middle + target) / 2, 0.6 * thick)]
        return tuple(grown)


def _stretch(a: np.ndarray, b: np.ndarray, radius_a: float, radius_b: float, inside: bool) -> Segment3D:
    """A vessel's stretch with plain numbers."""
    return Segment3D(
        (float(a[0]), float(a[1]), float(a[2])),
        (float(b[0]), float(b[1]), float(b[2])),
        float(radius_a),
        float(radius_b),
        inside,
    )
