"""The one result object. Every door reads a ``Case``; none computes a number of its own.

A ``Case`` is made by :func:`liverseg.measure.measure` alone, from masks, whether these come from the
networks or from a person's hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from liverseg.volume import Volume

Point = tuple[float, float, float]


class InvariantError(ValueError):
    """The masks of a ``Case`` contradict each other; a defect of the caller, never of a user."""


@dataclass(frozen=True, eq=False)
class Masks:
    """What is where, on the CT's own grid; arrays are (k, j, i).

    Attributes:
        liver: bool, lesions included.
        couinaud: uint8, 0 outside the liver, 1..8; 9 is IVb when segment IV is split (4 is IVa then).
        lesions: uint16, 0 or the lesion's id.
        vessels: uint8 (1 portal vein, 2 hepatic veins and cava, 4 aorta) or None when the model gives none.
    """

    liver: np.ndarray
    couinaud: np.ndarray
    lesions: np.ndarray
    vessels: np.ndarray | None = None


@dataclass(frozen=True)
class Review:
    """What a reader said of a lesion. ``state``: "unreviewed", "accepted" or "rejected"."""

    state: str = "unreviewed"
    reader: str | None = None
    time: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class SegmentShare:
    """How much of a lesion lies in a segment (``name`` is a numeral such as "IVa")."""

    name: str
    share_percent: float


@dataclass(frozen=True)
class LiverReadout:
    """The whole liver, lesions included. Unknown is None, never 0.

    Attributes:
        volume_ml: voxels times the volume of one.
        mean_hu, sd_hu: of the liver without its lesions, on the original grid.
        tumor_burden_percent: lesions / (liver with lesions).
        complete: False when the scan cuts the liver off.
    """

    volume_ml: float
    mean_hu: float | None
    sd_hu: float | None
    tumor_burden_percent: float | None
    complete: bool


@dataclass(frozen=True)
class SegmentReadout:
    """One Couinaud segment: numeral, SNOMED CT code, volume, share of the liver, lesion volume in it."""

    name: str
    code: str
    volume_ml: float
    share_percent: float | None
    lesion_ml: float


@dataclass(frozen=True)
class LesionReadout:
    """One lesion, by the definitions in :mod:`liverseg.lesion_measures`. Points are RAS mm."""

    id: int
    tracking_uid: str
    volume_ml: float
    long_axis_mm: float
    short_axis_mm: float
    long_axis_points_ras_mm: tuple[Point, Point]
    short_axis_points_ras_mm: tuple[Point, Point]
    key_slice: int
    max_diameter_3d_mm: float
    centroid_ras_mm: Point
    centroid_segment: str | None
    segments: tuple[SegmentShare, ...]
    primary_segment: str | None
    mean_hu: float | None
    sd_hu: float | None
    contrast_to_liver_hu: float | None
    sphericity: float | None
    distance_to_surface_mm: float | None
    recist_measurable: bool
    touches_volume_edge: bool
    confidence: float | None = None
    review: Review = field(default_factory=Review)


@dataclass(frozen=True)
class CouinaudMethod:
    """How the liver was split. ``confidence`` is 0..1 or None; ``approximate`` when a check failed."""

    name: str
    confidence: float | None = None
    approximate: bool = False


@dataclass(frozen=True)
class Provenance:
    """What made the result. ``started`` is an ISO 8601 time; ``input`` has kind, hash and UIDs."""

    version: str
    model_name: str | None = None
    weights_sha256: dict[str, str] = field(default_factory=dict)
    device: str | None = None
    precision: str | None = None
    torch: str | None = None
    started: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, object] = field(default_factory=dict)
    input: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Remnant:
    """Future liver remnant, by the functions in :mod:`liverseg.remnant`; None where not known.

    Attributes:
        resected: numerals of whole segments; empty where a mask says what is resected.
        remnant_ml: liver that stays, without the tumor in it.
        percent_of_liver: of the whole liver without tumor.
        standardized_liver_ml, percent_of_standardized: with height and weight.
        resected_ml: what is taken out, tumor included.
        tumor_resected_ml, tumor_left_ml: lesions in the resected part and in the remnant.
    """

    resected: tuple[str, ...]
    remnant_ml: float
    percent_of_liver: float | None
    standardized_liver_ml: float | None = None
    percent_of_standardized: float | None = None
    resected_ml: float | None = None
    tumor_resected_ml: float | None = None
    tumor_left_ml: float | None = None


@dataclass(frozen=True)
class Case:
    """A CT's read-out.

    Raises (at creation):
        InvariantError: grids differ in size; a liver voxel without a segment or a segment voxel outside
            the liver; a lesion voxel outside the liver; lesion labels without a read-out or the reverse.
    """

    ct: Volume
    masks: Masks
    liver: LiverReadout
    segments: tuple[SegmentReadout, ...]
    lesions: tuple[LesionReadout, ...]
    method: CouinaudMethod
    provenance: Provenance
    summary: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    remnant: Remnant | None = None

    def __post_init__(self) -> None:
        masks = self.masks
        for name in ("liver", "couinaud", "lesions", "vessels"):
            array = getattr(masks, name)
            if array is not None and array.shape != self.ct.array.shape:
                raise InvariantError(
                    f"{name} mask {array.shape} is not on the CT's grid {self.ct.array.shape}"
                )
        if not np.array_equal(masks.couinaud > 0, masks.liver):
            raise InvariantError("the Couinaud segments and the liver are not the same set of voxels")
        if bool(np.any((masks.lesions > 0) & ~masks.liver)):
            raise InvariantError("a lesion reaches outside the liver")
        drawn = set(np.unique(masks.lesions).tolist()) - {0}
        if drawn != {lesion.id for lesion in self.lesions}:
            raise InvariantError("lesion labels and lesion read-outs differ")

    @property
    def split_segment_4(self) -> bool:
        """Whether segment IV comes as IVa (label 4) and IVb (label 9)."""
        return any(segment.name == "IVb" for segment in self.segments)
