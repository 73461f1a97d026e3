"""The part of a case that is measured: the box around the liver, in the order of the body's axes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from liverseg.case import Masks
from liverseg.geometry import CanonicalOrder, Geometry, bounding_box
from liverseg.mending import Box
from liverseg.surfaces import Border
from liverseg.volume import Volume


@dataclass(frozen=True, eq=False)
class LiverCrop:
    """The surroundings of the liver in canonical order, contiguous.

    Attributes:
        ct, liver, couinaud, lesions: arrays of the crop, axes towards superior, posterior and left.
        geometry: the crop's grid.
        order: how the CT's own arrays came into this order.
        start: the crop's first voxel in the canonical whole volume.
        full_geometry: grid of that volume.
        input_hash: tells one CT from another.
    """

    ct: np.ndarray
    liver: np.ndarray
    couinaud: np.ndarray
    lesions: np.ndarray
    geometry: Geometry
    order: CanonicalOrder
    start: tuple[int, int, int]
    full_geometry: Geometry
    input_hash: str

    @staticmethod
    def of(ct: Volume, masks: Masks) -> LiverCrop:
        """The crop around the liver of masks that agree with each other, one voxel wider."""
        order = CanonicalOrder.of(ct.geometry)
        grid = order.geometry(ct.geometry)
        box: Box = bounding_box(order.apply(masks.liver), margin=(1, 1, 1)) or (slice(0, 1),) * 3
        gray, liver, couinaud, lesions = (
            np.ascontiguousarray(order.apply(array)[box])
            for array in (ct.array, masks.liver, masks.couinaud, masks.lesions)
        )
        return LiverCrop(
            ct=gray,
            liver=liver,
            couinaud=couinaud,
            lesions=lesions,
            geometry=grid.cropped(box),
            order=order,
            start=(box[0].start, box[1].start, box[2].start),
            full_geometry=grid,
            # Without a hash of the whole input the gray values around the liver tell one CT from another.
            input_hash=ct.source.sha256 or hashlib.sha256(gray.tobytes()).hexdigest(),
        )

    @property
    def full_shape(self) -> tuple[int, int, int]:
        """Size of the whole volume in canonical order."""
        return self.full_geometry.shape

    @cached_property
    def border(self) -> Border:
        """The liver's surface."""
        return Border(self.liver, self.geometry)

    @cached_property
    def lesion_boxes(self) -> dict[int, Box]:
        """The bounding box of each lesion in the crop, by id."""
        boxes = enumerate(ndimage.find_objects(self.lesions), start=1)
        return {lesion_id: box for lesion_id, box in boxes if box is not None}

    def original_slice(self, key: int) -> int:
        """The CT's own index of a slice of the crop."""
        index = self.start[0] + key
        return self.full_shape[0] - 1 - index if self.order.flips[0] else index
