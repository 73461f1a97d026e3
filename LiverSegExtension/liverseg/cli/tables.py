"""Results as short lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from liverseg.case import Case, Remnant
from liverseg.dicom_stacks import SeriesInfo
from liverseg.remnant import USUAL_LIMITS
from liverseg.summary import whole_mm


def case_lines(case: Case, folder: Path) -> list[str]:
    """Liver, segments and lesions of a case, and where its files are."""
    liver = case.liver
    burden = "-" if liver.tumor_burden_percent is None else f"{liver.tumor_burden_percent:.1f} %"
    count = "1 lesion" if len(case.lesions) == 1 else f"{len(case.lesions)} lesions"
    lines = [f"Liver {liver.volume_ml:.0f} ml, {count}, tumor burden {burden}"]
    if liver.volume_ml > 0:
        lines.append("Segments (ml): " + "  ".join(f"{s.name} {s.volume_ml:.0f}" for s in case.segments))
    if case.lesions:
        lines.append(f"{'id':>4} {'segment':>9} {'axes (mm)':>12} {'ml':>8} {'HU':>5}")
    for lesion in case.lesions:
        hu = "-" if lesion.mean_hu is None else f"{lesion.mean_hu:.0f}"
        axes = f"{whole_mm(lesion.long_axis_mm)} x {whole_mm(lesion.short_axis_mm)}"
        segment = lesion.primary_segment or "-"
        lines.append(f"{lesion.id:>4} {segment:>9} {axes:>12} {lesion.volume_ml:>8.1f} {hu:>5}")
    seconds = case.provenance.seconds
    if seconds:
        lines.append("Seconds: " + "  ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    lines.append(f"Results: {folder}")
    return lines


def remnant_lines(remnant: Remnant) -> list[str]:
    """A future liver remnant in words."""
    percent = "-" if remnant.percent_of_liver is None else f"{remnant.percent_of_liver:.1f} %"
    out = "-" if remnant.resected_ml is None else f"{remnant.resected_ml:.0f} ml"
    lines = [
        f"Resected: {', '.join(remnant.resected) or 'the part of the mask'} ({out})",
        f"Remnant: {remnant.remnant_ml:.0f} ml, {percent} of the liver without tumor",
    ]
    if remnant.standardized_liver_ml is not None and remnant.percent_of_standardized is not None:
        lines.append(
            f"Of the standardized liver volume ({remnant.standardized_liver_ml:.0f} ml): "
            f"{remnant.percent_of_standardized:.1f} %"
        )
    if remnant.tumor_left_ml:
        lines.append(f"Lesions that stay in the remnant: {remnant.tumor_left_ml:.1f} ml")
    return [*lines, f"For information: {USUAL_LIMITS}"]


def series_lines(series: Sequence[SeriesInfo]) -> list[str]:
    """One line a DICOM series."""
    if not series:
        return ["no DICOM series"]
    lines = []
    for info in series:
        spacing = "?" if info.spacing_mm is None else " x ".join(f"{s:.2f}" for s in info.spacing_mm)
        notes = [*info.problems]
        notes += ["localizer"] if info.localizer else []
        notes += [f"{info.missing_slices} slices missing"] if info.missing_slices else []
        text = f"{info.uid}  {info.modality}  {info.slices} slices of {spacing} mm  {info.description}"
        lines.append(text + (f"  ({'; '.join(notes)})" if notes else ""))
    return lines
