"""A liver in canonical order, cropped, as every method of splitting sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverseg.geometry import CanonicalOrder, Geometry, bounding_box

# The kinds of vessels that guide a split.
GUIDES = (1, 2, 3)


@dataclass(frozen=True, eq=False)
class LiverCrop:
    """The surroundings of a liver.

    Positions "in the crop" are mm along (z, y, x) from the center of the crop's first voxel: superior,
    posterior, left.

    Attributes:
        mask: bool (z, y, x), canonical order, contiguous.
        geometry: the crop's grid.
        order: from the original array to the canonical one.
        box: the crop in the canonical whole volume.
        vessels: uint8 (z, y, x) or None: 1 portal vein, 2 hepatic veins and cava, 3 kind not told.
    """

    mask: np.ndarray
    geometry: Geometry
    order: CanonicalOrder
    box: tuple[slice, slice, slice]
    vessels: np.ndarray | None = None

    @staticmethod
    def of(
        liver: np.ndarray, geometry: Geometry, vessels: np.ndarray | None = None, margin_mm: float = 0.0
    ) -> LiverCrop | None:
        """The crop around ``liver`` (bool, k, j, i), ``margin_mm`` wider where the volume goes on; None when
        the liver is empty. ``vessels`` are on the same grid."""
        order = CanonicalOrder.of(geometry)
        grid = order.geometry(geometry)
        view = order.apply(liver)
        margin = [int(np.ceil(margin_mm / s)) for s in grid.spacing_kji]
        box = bounding_box(view, (margin[0], margin[1], margin[2]))
        if box is None:
            return None
        return LiverCrop(
            mask=np.ascontiguousarray(view[box]),
            geometry=grid.cropped(box),
            order=order,
            box=box,
            vessels=None if vessels is None else _guides(_cut(vessels, order, box)),
        )

    def taken(self, labels: np.ndarray) -> np.ndarray:
        """The crop (z, y, x) of labels on the whole volume (k, j, i)."""
        return _cut(labels, self.order, self.box)

    def without_margin(self) -> tuple[LiverCrop, tuple[slice, slice, slice]]:
        """The crop on the liver's own box, and that box in this crop."""
        box = bounding_box(self.mask)
        assert box is not None
        outer = zip(self.box, box, strict=True)
        k, j, i = (slice(o.start + b.start, o.start + b.stop) for o, b in outer)
        return (
            LiverCrop(
                mask=np.ascontiguousarray(self.mask[box]),
                geometry=self.geometry.cropped(box),
                order=self.order,
                box=(k, j, i),
                vessels=None if self.vessels is None else self.vessels[box],
            ),
            box,
        )

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm (z, y, x)."""
        return self.geometry.spacing_kji

    def position_of(self, ras: tuple[float, float, float]) -> np.ndarray:
        """(3,) mm in the crop of a point in RAS mm."""
        return self.geometry.to_kji(ras) * np.array(self.spacing)

    def ras_of(self, position: np.ndarray) -> tuple[float, float, float]:
        """RAS mm of a position in the crop."""
        r, a, s = self.geometry.to_ras(np.asarray(position) / np.array(self.spacing)).tolist()
        return r, a, s

    def pasted(self, labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Labels of the crop in a whole volume of the original order and ``shape`` (k, j, i)."""
        whole = np.zeros(shape, dtype=labels.dtype)
        self.order.apply(whole)[self.box] = labels
        return whole


def _guides(vessels: np.ndarray) -> np.ndarray:
    return np.where(np.isin(vessels, GUIDES), vessels, 0)


def _cut(array: np.ndarray, order: CanonicalOrder, box: tuple[slice, slice, slice]) -> np.ndarray:
    return np.ascontiguousarray(order.apply(array)[box])
