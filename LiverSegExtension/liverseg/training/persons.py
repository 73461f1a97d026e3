"""Who is who: scans, readings and slices of one person never meet on both sides of a split."""

from __future__ import annotations

import re
from collections.abc import Iterable

from liverseg.errors import InputRefused

# One person under several LiTS numbers (seen by comparing their scans and vessels).
_SAME_LITS_PERSON = {1: 0, 7: 6, 8: 6, 9: 6, 10: 6, 15: 14, 12: 11}
# The Decathlon's names of the same scans: Task03_Liver has those of LiTS by LiTS's numbers.
_SAME_SOURCE = {"liver": "lits", "hepaticvessel": "msd8"}

_PERSON_ENDS = "__"
# What tells several readings of one scan apart stands behind it.
_READING = "_reading_"


def case_of(person: str | None, name: str) -> str:
    """The case name of a scan whose person is known otherwise: ``PERSON__NAME``, or ``NAME`` alone.

    Caches, splits and runs know a person by the case's name, so it must be in it.
    """
    return name if not person or person_of(name) == person else f"{person}{_PERSON_ENDS}{name}"


def person_of(case: str) -> str:
    """The person behind a case name such as ``lits_001``, ``liver_1``, ``ircad_17_reading_b`` or ``anna__2``.

    What stands before two underscores is a person (:func:`case_of`); of a name that says nothing the case
    counts as a person of its own.
    """
    match = re.match(r"(ircad|lits|liver|msd8|hepaticvessel|chaos|hcctace|crlm|pcb)_?(\d+)", case)
    if not match:
        return case.split(_PERSON_ENDS, 1)[0]
    source, number = _SAME_SOURCE.get(match[1], match[1]), int(match[2])
    if source == "lits":
        if 28 <= number <= 47:
            return f"ircad_{number - 27:03d}"
        number = _SAME_LITS_PERSON.get(number, number)
    return f"{source}_{number:03d}"


def copy_of(case: str, kind: str, number: int) -> str:
    """The name of a changed copy of a case: of the same person, however the case is called."""
    return case_of(person_of(case), f"{case}_{kind}_{number}")


def refuse_other_persons(names: Iterable[str], cases: Iterable[str]) -> None:
    """Label maps that are called as a scan (or its readings) and would count as another person than it.

    Raises:
        InputRefused: names the first one, and what to call it.
    """
    cases = sorted(cases)
    called = {case.split(_PERSON_ENDS, 1)[-1]: case for case in cases} | {case: case for case in cases}
    for name in sorted(names):
        case = called.get(name.split(_READING, 1)[0])
        if case is not None and person_of(name) != person_of(case):
            raise InputRefused(
                f"the map {name}.nii.gz would be of another person than the scan {case}: name it "
                f"{case_of(person_of(case), name)}.nii.gz"
            )
