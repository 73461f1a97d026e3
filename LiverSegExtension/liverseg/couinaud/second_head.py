"""Segments as stage 2 drew them: a network with two heads sees tissue and segments in the CT at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverseg.bundle import Bundle
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.method import Drawn, Guides, MethodUnavailable, SplitMethod
from liverseg.couinaud.splitting import DEFAULT_METHOD
from liverseg.surfaces import nearest_labels


@dataclass(frozen=True, eq=False)
class DrawnByStage2:
    """The segments of a network's second head; where it drew none, the nearest one.

    Attributes:
        segments: uint8 1..8 (k, j, i) on the liver's grid, 0 where the network did not look.
    """

    segments: np.ndarray
    name: str = "drawn with the lesions"
    margin_mm: float = 0.0

    def draw(self, liver: LiverCrop, guides: Guides) -> Drawn:
        """Split by the segments at hand.

        Raises:
            MethodUnavailable: they lie elsewhere than the liver.
        """
        segments = np.where(liver.mask, liver.taken(self.segments), np.uint8(0))
        if not segments.any():
            raise MethodUnavailable("stage 2 drew no segment in this liver")
        left_over = liver.mask & (segments == 0)
        if left_over.any():
            segments[left_over] = nearest_labels(segments, left_over, liver.spacing)
        return Drawn(segments, None)


def chosen_method(asked: str, bundle: Bundle, segments: np.ndarray | None) -> str | SplitMethod:
    """The method to split by: stage 2's own segments where the model has no network for the usual one.

    Args:
        asked: one of ``METHODS``.
        bundle: the model.
        segments: those of stage 2's second head, or None where it has none.
    """
    if segments is None or asked != DEFAULT_METHOD or "couinaud" in bundle.networks:
        return asked
    return DrawnByStage2(segments)
