"""What every method of splitting a liver takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from liverseg.bundle import Bundle
from liverseg.couinaud.crop import LiverCrop
from liverseg.couinaud.landmark_file import Point


class MethodUnavailable(Exception):
    """This liver cannot be split by this method; the text is a plain sentence without its period."""


@dataclass(frozen=True, eq=False)
class Guides:
    """What a method may go by besides the liver's shape.

    Attributes:
        bundle: the model whose ``couinaud`` network learned the split from shape.
        landmarks: RAS mm by name, as many as a person placed.
        guessed: RAS mm by name, those that a person saw and left where they had been guessed: borders pass by
            them, but nobody vouches for them.
    """

    bundle: Bundle | None = None
    landmarks: Mapping[str, Point] = field(default_factory=dict)
    guessed: Mapping[str, Point] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a method gives: segments 1..8 on the crop, its confidence (0..1), warnings and doubts.

    Doubts are warnings that make the split approximate.
    """

    segments: np.ndarray
    confidence: float | None
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class SplitMethod(Protocol):
    """A way to split a liver.

    Attributes:
        name: what the read-out calls it.
        margin_mm: how much of the surroundings of the liver it looks at.
    """

    @property
    def name(self) -> str: ...

    @property
    def margin_mm(self) -> float: ...

    def draw(self, liver: LiverCrop, guides: Guides) -> Drawn:
        """Split a liver that is not empty.

        Raises:
            MethodUnavailable: the guides do not allow it; another method must do it.
        """
        ...
