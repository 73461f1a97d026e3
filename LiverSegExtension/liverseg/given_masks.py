"""What a person gives back of a result, on the CT's grid."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from liverseg.case import CouinaudMethod, Masks, Review


@dataclass(frozen=True, eq=False)
class ReadMasks:
    """What a person gives back, on the CT's grid.

    Attributes:
        masks: as drawn; the Couinaud segments need not fit the liver, nor the lesions lie inside of it.
            ``couinaud`` is all zero when ``couinaud_given`` is False, and the caller must split the liver.
        couinaud_given: whether there are Couinaud segments.
        tracking_uids: by lesion id, where known.
        reviews: by lesion id, where known.
        confidences: by lesion id, where known.
        method: how the liver was split, where known.
        warnings: one plain sentence each.
        last_lesion_id: the highest lesion id ever given, as far as known, lesions deleted since included.
    """

    masks: Masks
    couinaud_given: bool
    tracking_uids: dict[int, str] = field(default_factory=dict)
    reviews: dict[int, Review] = field(default_factory=dict)
    confidences: dict[int, float] = field(default_factory=dict)
    method: CouinaudMethod | None = None
    warnings: tuple[str, ...] = ()
    last_lesion_id: int = 0


def is_lesion_id(value: object) -> bool:
    """Whether a value can be the id of a lesion."""
    return isinstance(value, int) and 0 < value <= np.iinfo(np.uint16).max
