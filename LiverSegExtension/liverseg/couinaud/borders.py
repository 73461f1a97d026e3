"""The eight segments of a liver by the borders between them.

Segments meet in five planes and around one ellipsoid: the plane of Cantlie (cava, gallbladder fossa, middle
hepatic vein) between right and left; the right plane (cava, right hepatic vein) between anterior and
posterior; the umbilical plane (left hepatic vein, umbilical fissure) between IV and II, III; the level of
the portal bifurcation between upper and lower on the right, and that of the umbilical portion of the left
portal vein between II and III; and the caudate lobe in front of the cava. The planes of the veins are
upright, the levels axial: so were the 126 livers read whose maps the first guess was fitted to.

Positions are mm in the crop, along (z, y, x): superior, posterior, left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverseg.geometry import bounding_box

# The numbers that say where the borders lie. Lines of upright planes go through two points whose one
# coordinate is given by the frame: near and far are its two places.
NAMES = (
    "right_y_far",  # right plane, at the frame's right place
    "right_y_near",  # right plane, at the frame's middle place
    "cantlie_x_front",
    "cantlie_x_back",
    "umbilical_x_front",
    "umbilical_x_back",
    "right_level_z",
    "left_level_z",
    "caudate_z",
    "caudate_y",
    "caudate_x",
)
INDEX = {name: n for n, name in enumerate(NAMES)}
# Semi-axes of the caudate lobe in mm along (z, y, x); with its true center they fit the maps best.
CAUDATE_MM = (36.0, 24.0, 29.0)
# The axis along which each of the numbers counts: 0 z, 1 y, 2 x.
AXIS_OF = np.array([1, 1, 2, 2, 2, 2, 0, 0, 0, 1, 2])


@dataclass(frozen=True, eq=False)
class Frame:
    """The liver's box in the crop: mm, outer faces of its voxels."""

    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(mask: np.ndarray, spacing: tuple[float, float, float]) -> Frame:
        """The frame of a mask (bool, z, y, x) that is not empty."""
        box = bounding_box(mask)
        if box is None:
            raise ValueError("an empty liver has no frame")
        low = np.array([s.start - 0.5 for s in box]) * np.array(spacing)
        return Frame(low, np.array([s.stop - 0.5 for s in box]) * np.array(spacing))

    @property
    def center(self) -> np.ndarray:
        return (self.low + self.high) / 2

    @property
    def size(self) -> np.ndarray:
        return self.high - self.low

    def place(self, axis: int, part: float) -> float:
        """The position at a part (0..1) of the frame along an axis."""
        return float(self.low[axis] + part * self.size[axis])

    def right_weight(self, x: np.ndarray | float) -> np.ndarray:
        """0 at the far (right) and 1 at the near place of the right plane's line."""
        far, near = self.place(2, 0.1), self.place(2, 0.4)
        return (np.asarray(x) - far) / max(near - far, 1e-6)

    def depth_weight(self, y: np.ndarray | float) -> np.ndarray:
        """0 at the front and 1 at the back place of the lines of Cantlie's and the umbilical plane."""
        front, back = self.place(1, 0.3), self.place(1, 0.5)
        return (np.asarray(y) - front) / max(back - front, 1e-6)


@dataclass(frozen=True, eq=False)
class Borders:
    """Where the borders lie: ``values`` in the order of ``NAMES``, mm in the crop."""

    frame: Frame
    values: np.ndarray

    def __getitem__(self, name: str) -> float:
        return float(self.values[INDEX[name]])

    def right_y(self, x: np.ndarray | float) -> np.ndarray:
        """y of the right plane at x."""
        return self._between("right_y_far", "right_y_near", self.frame.right_weight(x))

    def cantlie_x(self, y: np.ndarray | float) -> np.ndarray:
        """x of Cantlie's plane at y."""
        return self._between("cantlie_x_front", "cantlie_x_back", self.frame.depth_weight(y))

    def umbilical_x(self, y: np.ndarray | float) -> np.ndarray:
        """x of the umbilical plane at y."""
        return self._between("umbilical_x_front", "umbilical_x_back", self.frame.depth_weight(y))

    def caudate_depth(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """How deep inside the caudate lobe (about mm; negative outside)."""
        squares = [
            np.square((np.asarray(p) - self[f"caudate_{axis}"]) / half)
            for p, axis, half in zip((z, y, x), "zyx", CAUDATE_MM, strict=True)
        ]
        return (1.0 - np.sqrt(squares[0] + squares[1] + squares[2])) * float(np.mean(CAUDATE_MM))

    def _between(self, first: str, second: str, weight: np.ndarray) -> np.ndarray:
        return self[first] + (self[second] - self[first]) * weight


@dataclass(frozen=True, eq=False)
class Sides:
    """On which side of each border points lie: mm, positive on the side of the name. Arrays broadcast."""

    left: np.ndarray
    lateral: np.ndarray
    posterior: np.ndarray
    right_upper: np.ndarray
    left_upper: np.ndarray
    caudate: np.ndarray

    def labels(self) -> np.ndarray:
        """Segments 1..8 (uint8)."""
        upper_left = np.where(self.left_upper >= 0, np.uint8(2), np.uint8(3))
        left = np.where(self.lateral > 0, upper_left, np.uint8(4))
        above = np.where(self.posterior > 0, np.uint8(7), np.uint8(8))
        below = np.where(self.posterior > 0, np.uint8(6), np.uint8(5))
        right = np.where(self.right_upper >= 0, above, below)
        return np.where(self.caudate > 0, np.uint8(1), np.where(self.left > 0, left, right))


def sides(borders: Borders, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> Sides:
    """Signed distances of points (arrays that broadcast) to the borders."""

    def across(front: str, back: str, places: tuple[float, float]) -> float:
        slope = (borders[back] - borders[front]) / max(places[1] - places[0], 1e-6)
        return float(1.0 / np.hypot(1.0, slope))

    frame = borders.frame
    depth = (frame.place(1, 0.3), frame.place(1, 0.5))
    width = (frame.place(2, 0.1), frame.place(2, 0.4))
    return Sides(
        left=(x - borders.cantlie_x(y)) * across("cantlie_x_front", "cantlie_x_back", depth),
        lateral=(x - borders.umbilical_x(y)) * across("umbilical_x_front", "umbilical_x_back", depth),
        posterior=(y - borders.right_y(x)) * across("right_y_far", "right_y_near", width),
        right_upper=z - borders["right_level_z"],
        left_upper=z - borders["left_level_z"],
        caudate=borders.caudate_depth(z, y, x),
    )


def grid_positions(
    shape: tuple[int, ...], spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mm in the crop of a grid's voxels as three float32 arrays that broadcast to its shape."""
    z, y, x = (
        (np.arange(n, dtype=np.float32) * np.float32(s)).reshape([-1 if b == a else 1 for b in range(3)])
        for a, (n, s) in enumerate(zip(shape, spacing, strict=True))
    )
    return z, y, x


def segments_by_borders(
    mask: np.ndarray, spacing: tuple[float, float, float], borders: Borders
) -> np.ndarray:
    """Segments 1..8 of a liver (bool, z, y, x), 0 outside of it, uint8."""
    z, y, x = grid_positions(mask.shape, spacing)
    return np.where(mask, sides(borders, z, y, x).labels(), np.uint8(0))
