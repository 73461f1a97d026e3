"""Split a liver by a method of one's choice: fall back where it cannot, clean up, check, say how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from liverseg.bundle import Bundle
from liverseg.case import CouinaudMethod
from liverseg.couinaud.checks import doubts, doubts_of_iv
from liverseg.couinaud.crop import GUIDES, LiverCrop
from liverseg.couinaud.landmark_file import Point
from liverseg.couinaud.method import Drawn, Guides, MethodUnavailable, SplitMethod
from liverseg.couinaud.segment_iv import split_segment_iv
from liverseg.errors import UsageError
from liverseg.geometry import Geometry
from liverseg.postprocess import merge_crumbs
from liverseg.surfaces import nearest_labels
from liverseg.uneven import labels_to_read_grid, needs_even_grid, to_even_grid
from liverseg.volume import Volume

DEFAULT_METHOD = "shape"


@dataclass(frozen=True, eq=False)
class SplitOptions:
    """How a liver is split.

    Attributes:
        method: one of ``METHODS``, or a method made by the caller. One that cannot split a liver falls back
            (vessels to shape, shape to landmarks) with a warning.
        split_segment_4: segment IV as IVa (4) and IVb (9).
        landmarks: RAS mm by name, see :mod:`liverseg.couinaud.landmark_file`.
        guessed: landmarks that were shown to a person and not moved, see :class:`Guides`.
    """

    method: str | SplitMethod = DEFAULT_METHOD
    split_segment_4: bool = False
    landmarks: Mapping[str, Point] = field(default_factory=dict)
    guessed: Mapping[str, Point] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Split:
    """Couinaud labels on the liver's grid (uint8, 0 outside), how they came about, and what is doubtful."""

    labels: np.ndarray
    method: CouinaudMethod
    warnings: tuple[str, ...]


def _shape() -> SplitMethod:
    from liverseg.couinaud.learned import LearnedFromShape

    return LearnedFromShape()


def _vessels() -> SplitMethod:
    from liverseg.couinaud.vessels import GuidedByVessels

    return GuidedByVessels()


def _landmarks() -> SplitMethod:
    from liverseg.couinaud.landmarks import PlanesFromLandmarks

    return PlanesFromLandmarks()


# Each is made when it is asked for: the network's method loads PyTorch.
METHODS: dict[str, Callable[[], SplitMethod]] = {
    "shape": _shape,
    "vessels": _vessels,
    "landmarks": _landmarks,
}
# What does the work of a method that cannot.
FALLBACK = {"vessels": "shape", "shape": "landmarks"}


def split_liver(
    liver: np.ndarray,
    geometry: Geometry,
    bundle: Bundle | None,
    options: SplitOptions | None = None,
    vessels: np.ndarray | None = None,
) -> Split:
    """Split a liver into the Couinaud segments.

    Args:
        liver: bool (k, j, i), lesions included.
        geometry: its grid.
        bundle: model with a ``couinaud`` network, for the method ``shape``.
        options: how; None for the defaults.
        vessels: integers on the same grid: 1 portal vein, 2 hepatic veins and cava, 3 kind not told; others
            are no guides.

    Raises:
        UsageError: the method is not known, or the vessels are on another grid.
        ModelError: the bundle's network is damaged.
    """
    options = options or SplitOptions()
    chosen = _method(options.method)
    if vessels is not None and vessels.shape != liver.shape:
        raise UsageError(
            f"the vessels have {vessels.shape} voxels and the liver {liver.shape}: give both on one grid"
        )
    crop = LiverCrop.of(liver, geometry, vessels, chosen.margin_mm)
    if crop is None:
        return Split(np.zeros(liver.shape, dtype=np.uint8), CouinaudMethod(chosen.name), ())
    guides = Guides(bundle, options.landmarks, options.guessed)
    name, drawn = _draw(chosen, options.method, crop, guides)

    segments = merge_crumbs(drawn.segments)
    doubtful = (*drawn.doubts, *doubts(segments))
    if options.split_segment_4:
        segments = split_segment_iv(segments)
        doubtful = (*doubtful, *doubts_of_iv(segments))
    confidence = None if drawn.confidence is None else round(drawn.confidence, 4)
    return Split(
        crop.pasted(segments, liver.shape),
        CouinaudMethod(name, confidence, approximate=bool(doubtful)),
        (*drawn.warnings, *doubtful),
    )


def split_mask(
    liver: np.ndarray,
    volume: Volume,
    bundle: Bundle | None,
    options: SplitOptions | None = None,
    vessels: np.ndarray | None = None,
) -> Split:
    """:func:`split_liver` for a mask on the grid of a volume that may be tilted or unevenly spaced.

    Args:
        liver: bool (k, j, i) on the volume's grid.
        volume: whose grid it is; its gray values do not matter.
        vessels: on the volume's grid, too.
    """
    if not needs_even_grid(volume):
        return split_liver(liver, volume.geometry, bundle, options, vessels)
    even = to_even_grid(replace(volume, array=liver.astype(np.float32)))
    if vessels is not None:
        vessels = _vessels_on_even_grid(vessels, volume)
    split = split_liver(even.array > 0.5, even.geometry, bundle, options, vessels)
    labels = np.where(liver, labels_to_read_grid(split.labels, even.geometry, volume), np.uint8(0))
    left_over = liver & (labels == 0)
    if left_over.any() and labels.any():
        labels[left_over] = nearest_labels(labels, left_over, volume.geometry.spacing_kji)
    return replace(split, labels=labels)


def _vessels_on_even_grid(vessels: np.ndarray, volume: Volume) -> np.ndarray:
    """Labels 1..3 on the even grid, each where it covers most of a voxel."""
    result: np.ndarray | None = None
    for kind in GUIDES:
        part = to_even_grid(replace(volume, array=(vessels == kind).astype(np.float32))).array > 0.5
        result = np.zeros(part.shape, dtype=np.uint8) if result is None else result
        result[part] = kind
    assert result is not None
    return result


def _method(method: str | SplitMethod) -> SplitMethod:
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        raise UsageError(f"the Couinaud method {method!r} is not known; use {', '.join(METHODS)}")
    return METHODS[method]()


def _draw(
    chosen: SplitMethod, asked: str | SplitMethod, crop: LiverCrop, guides: Guides
) -> tuple[str, Drawn]:
    """The name of the method that did it and what it drew; a warning for every one that could not."""
    said: tuple[str, ...] = ()
    key = asked if isinstance(asked, str) else "vessels"
    method = chosen
    while True:
        try:
            drawn = method.draw(crop, guides)
        except MethodUnavailable as reason:
            if key not in FALLBACK:
                raise UsageError(f"the liver cannot be split: {reason}") from reason
            key = FALLBACK[key]
            instead = METHODS[key]()
            said += (f"The method '{method.name}' was not used: {reason}. Used '{instead.name}' instead.",)
            method = instead
        else:
            return method.name, replace(drawn, warnings=(*said, *drawn.warnings))
