"""The contrast phase of a case, as far as anybody said it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from liverseg.errors import InputRefused

UNKNOWN = "unknown"
NON_CONTRAST, ARTERIAL, PORTAL, DELAYED = "non-contrast", "arterial", "portal venous", "delayed"
_WORDS = {
    NON_CONTRAST: {"noncontrast", "native", "unenhanced", "precontrast", "nc", "ncct"},
    ARTERIAL: {"arterial", "art"},
    PORTAL: {"portal", "venous", "portalvenous", "portovenous", "pv", "pvp"},
    DELAYED: {"delayed", "equilibrium"},
}


def phase_of(name: str) -> str:
    """The phase by the words of a name such as ``hcctace_005_arterial``; "unknown" without or with two."""
    words = re.split(r"[^a-z]+", name.lower())
    words += [one + two for one, two in zip(words, words[1:], strict=False)]
    found = {phase for phase, known in _WORDS.items() if known & set(words)}
    return found.pop() if len(found) == 1 else UNKNOWN


def read_phases(path: Path) -> dict[str, str]:
    """Phase by case, from a CSV with columns ``case`` and ``phase`` or a JSON object; any words will do.

    An empty entry is unknown. Known words are brought to the names used here.

    Raises:
        InputRefused: it cannot be read, or is neither.
    """
    refusal = f"{path} is no table of phases: give a CSV with columns case and phase, or JSON {{case: phase}}"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            pairs = [(str(case), phase) for case, phase in json.loads(text).items()]
        else:
            pairs = [(row["case"], row["phase"]) for row in csv.DictReader(text.splitlines())]
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: give the table of phases") from error
    except (ValueError, KeyError, AttributeError, csv.Error) as error:
        raise InputRefused(refusal) from error
    phases = {}
    for case, phase in pairs:
        # Of a row that ends early the reader makes None.
        if not isinstance(case, str) or not isinstance(phase, str | None):
            raise InputRefused(refusal)
        told = (phase or "").strip()
        known = phase_of(told)
        phases[case.strip()] = known if known != UNKNOWN else told or UNKNOWN
    return phases
