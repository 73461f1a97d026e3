"""The engine's sentences on an input, in the user's language.

``liverseg.checks`` knows no Slicer and speaks English, as reports do. What it says on screen before a run is
found again here by its wording, numbers aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from liverseg_mrml.translation import _ as translate_here


def in_users_language(text: str) -> str:
    """A sentence of ``liverseg.checks`` translated; any other text as it is."""
    for english, translated in zip(phrases(str), phrases(translate_here), strict=True):
        found = _pattern(english).fullmatch(text)
        if found is not None:
            return translated.format(**found.groupdict())
    return text


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(english)))


def phrases(_: Callable[[str], str]) -> tuple[str, ...]:
    """All sentences; with ``str`` as the engine has them, with Slicer's ``_`` as the user reads them."""
    return (
        _("The input is {modality} by its DICOM tag, not CT: give a CT of the abdomen."),
        _("The volume is constant or holds no numbers: export the scan again."),
        _(
            "The values are no HU but look like a label map (values from {low} to {high}): "
            "give the CT itself."
        ),
        _(
            "The values are no HU but scaled or normalized (values from {low} to {high}): "
            "give the CT in Hounsfield units."
        ),
        _(
            "The values are no HU but an 8-bit picture (values from {low} to {high}): "
            "give the CT in Hounsfield units."
        ),
        _(
            "The values look like HU + 1024 (values from {low} to {high}): "
            "give the CT with its rescale intercept applied."
        ),
        _(
            "The values are no HU but look like MR (no fat or air, values from {low} to {high}): "
            "give a CT of the abdomen."
        ),
        _(
            "The values are no HU (values from {low} to {high}, 1 % above {bound}): "
            "give the CT in Hounsfield units."
        ),
        _(
            "The values are no HU (no soft tissue at 0 to 200, values from {low} to {high}): "
            "give a CT of the abdomen."
        ),
        _(
            "The input is a single slice ({size} voxels), not a volume: "
            "give the whole scan, all slices of the series."
        ),
        _(
            "The input has only {count} slices from below upwards ({size} voxels), not a volume: "
            "give the whole scan, all slices of the series."
        ),
        _("The scan measures {size} mm, so its header is not in mm: correct its spacing."),
        _("Some voxels hold no number (NaN); they count as air."),
        _("HU are clipped at {low}: air and lung cannot be told from fat."),
        _("Nothing lies above {high} HU: values are clipped, or there is no dense bone."),
        _("The outside is padded with values down to {low}; they count as air."),
        _("The outside of the body or of the field of view is set to {low}."),
        _("Only {count} gray levels, as in a picture of 8 bits: mean HU are less exact."),
        _("Slices are {gap} mm apart (over 5 mm): small lesions may be missed."),
        _("Pixels are {width} mm wide: lesions under 10 mm may be missed."),
        _(
            "Slices are spaced unevenly ({low} to {high} mm): the networks run on an even grid; "
            "sizes and places are right where slices lie {gap} mm apart."
        ),
        _("The slices are tilted by {angle} degrees: the networks run on a grid with right angles."),
        _("The scan is {height} mm high: it can hardly hold a whole liver."),
        _("Fewer than {count} pixels along a side of a slice: results are rough."),
    )
