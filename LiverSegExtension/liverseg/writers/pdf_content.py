"""What ``report.pdf`` shows: the numbers of a case, and its pictures as JPEG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from liverseg import labels
from liverseg.case import (
    Case,
    CouinaudMethod,
    LesionReadout,
    LiverReadout,
    Provenance,
    Remnant,
    SegmentReadout,
)
from liverseg.writers.lesion_view import draw_lesion, lesion_slices
from liverseg.writers.pdf_sheet import as_jpeg
from liverseg.writers.pdf_words import UNNAMED
from liverseg.writers.preview import canonical_case
from liverseg.writers.slices import AXIAL, CORONAL, SAGITTAL, CanonicalCase, draw_slice
from liverseg.writers.view3d import Look, render_looks

# As many lesions get a page of their own, the largest first; all are in the table.
LESION_PAGES = 20
OVERVIEW = "overview"
# Pixels; about 200 to the inch of paper.
_OVERVIEW_SIZE = (840, 560)
_DETAIL_SIDE = 720
_SMALL_SIZE = (420, 340)
_LESION_3D_SIZE = (600, 440)
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Content:
    """Everything the pages are made of.

    Attributes:
        ct_id: the start of the hash of the CT's voxels; no file name, which may be a patient's.
        scan: the CT's grid in words.
        pictures: JPEG by key (:func:`lesion_key`, :data:`OVERVIEW`); what is missing could not be drawn.
        patient: what the person who asked for the report typed, or None.
    """

    liver: LiverReadout
    segments: tuple[SegmentReadout, ...]
    lesions: tuple[LesionReadout, ...]
    method: CouinaudMethod
    provenance: Provenance
    hints: tuple[str, ...]
    warnings: tuple[str, ...]
    remnant: Remnant | None
    ct_id: str
    scan: str
    pictures: Mapping[str, bytes]
    patient: str | None = None

    @property
    def by_size(self) -> list[LesionReadout]:
        """Lesions by falling long axis."""
        return sorted(self.lesions, key=lambda lesion: (-lesion.long_axis_mm, lesion.id))

    @property
    def with_page(self) -> list[LesionReadout]:
        """The lesions that get a page of their own."""
        return self.by_size[:LESION_PAGES]


def lesion_key(lesion_id: int, view: str) -> str:
    """The name of a lesion's picture."""
    return f"lesion-{lesion_id}-{view}"


def lesion_anchor(lesion_id: int) -> str:
    """The name of a lesion's page, for links."""
    return f"lesion-{lesion_id}"


def content_of(case: Case, patient: str | None = None) -> Content:
    """The content for a case; draws the pictures."""
    geometry = case.ct.geometry
    size = " x ".join(str(n) for n in reversed(geometry.shape))
    spacing = " x ".join(f"{s:.2f}" for s in geometry.spacing_ijk)
    content = Content(
        liver=case.liver,
        segments=case.segments,
        lesions=case.lesions,
        method=case.method,
        provenance=case.provenance,
        hints=case.hints,
        warnings=case.warnings,
        remnant=case.remnant,
        ct_id=case.ct.source.sha256[:12] or UNNAMED,
        scan=f"{size} voxels of {spacing} mm",
        pictures={},
        patient=patient,
    )
    pictures = _pictures(case, content.with_page)
    return Content(**{**vars(content), "pictures": pictures})


def _pictures(case: Case, lesions: Sequence[LesionReadout]) -> dict[str, bytes]:
    canonical = canonical_case(case)
    geometry = case.ct.geometry
    pictures = _pictures_3d(canonical, lesions)
    for lesion in lesions:
        at = lesion_slices(canonical, geometry, lesion)
        views = {
            "marked": draw_lesion(canonical, geometry, lesion, _DETAIL_SIDE, marked=True),
            "plain": draw_lesion(canonical, geometry, lesion, _DETAIL_SIDE, marked=False),
            "axial": draw_slice(canonical, AXIAL, _SMALL_SIZE, at.axial),
            "coronal": draw_slice(canonical, CORONAL, _SMALL_SIZE, at.coronal),
            "sagittal": draw_slice(canonical, SAGITTAL, _SMALL_SIZE, at.sagittal),
        }
        pictures |= {lesion_key(lesion.id, view): as_jpeg(picture) for view, picture in views.items()}
    return pictures


def _pictures_3d(case: CanonicalCase, lesions: Sequence[LesionReadout]) -> dict[str, bytes]:
    """The overview, and each lesion in its segment; nothing without VTK."""
    looks = [Look(_OVERVIEW_SIZE, captioned=False)]
    for lesion in lesions:
        shown = _segment_labels(lesion, case.split_segment_4)
        looks.append(Look(_LESION_3D_SIZE, lesion.id, shown, captioned=False))
    keys = [OVERVIEW, *(lesion_key(lesion.id, "3d") for lesion in lesions)]
    drawn = render_looks(case, looks, _WHITE) or ()
    return {key: as_jpeg(picture) for key, picture in zip(keys, drawn, strict=False)}


def _segment_labels(lesion: LesionReadout, split: bool) -> tuple[int, ...]:
    """Labels of the lesion's primary segment, two when it lies in both alike."""
    names = (lesion.primary_segment or "").split("/")
    return tuple(s.label for s in labels.segments(split) if labels.numeral(s) in names)
