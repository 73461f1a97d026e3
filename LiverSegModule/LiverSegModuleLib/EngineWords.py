"""The few fixed words of the engine that the panel shows, in the user's language. Free of Qt.

The engine knows no Slicer and speaks English in reports, warnings and refusals, which are data. The stages of
a run and the usual limits of a remnant are read on screen alone.
"""

from __future__ import annotations

import re

from LiverSegModuleLib.Translation import _

# As liverseg.remnant has it.
USUAL_LIMITS = (
    "at least 20 % is usually asked for in a healthy liver, 30 % after chemotherapy, 40 % in cirrhosis"
)
_COUNTED = re.compile(r"(window|slice|scan|case) (\d+)(?: of (\d+))?$")


def inUsersLanguage(text: str) -> str:
    """What the engine says, translated part by part ("lesions: window 3 of 8"); all else as it is."""
    known = _fixedWords()
    if text in known:
        return known[text]
    return ": ".join(_part(part, known) for part in text.split(": "))


def _part(text: str, known: dict[str, str]) -> str:
    counted = _COUNTED.match(text)
    if counted is None:
        return known.get(text, text)
    thing, number, count = counted.groups()
    words = {"window": _("window"), "slice": _("slice"), "scan": _("scan"), "case": _("case")}[thing]
    if count is None:
        return f"{words} {number}"
    return _("{thing} {number} of {count}").format(thing=words, number=number, count=count)


def _fixedWords() -> dict[str, str]:
    return {
        "reading": _("reading"),
        "checking the CT": _("checking the CT"),
        "liver": _("liver"),
        "lesions": _("lesions"),
        "Couinaud segments": _("Couinaud segments"),
        "measured": _("measured"),
        "measuring changes": _("measuring changes"),
        "matching lesions": _("matching lesions"),
        "registering the livers": _("registering the livers"),
        "rigid": _("rigid"),
        "affine": _("affine"),
        "b-spline": _("b-spline"),
        USUAL_LIMITS: _(
            "at least 20 % is usually asked for in a healthy liver, 30 % after chemotherapy, "
            "40 % in cirrhosis"
        ),
    }
