"""Turn the last checkpoints of training runs into a bundle: a folder with a card and the weights."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from liverseg.bundle import STAGES
from liverseg.calibration import from_card
from liverseg.errors import InputRefused, LiverSegError
from liverseg.training.export import export_bundle


def card_facts(facts: Path | None, confidence: Path | None) -> dict[str, Any]:
    """What goes into the card beside the networks.

    Raises:
        InputRefused: a file cannot be read, or is no JSON of names and values.
        ModelError: the confidence is none that the pipeline could apply.
    """
    told = read_facts(facts) if facts else {}
    if confidence:
        told["confidence"] = read_facts(confidence)
    from_card(told)
    return told


def read_facts(path: Path) -> dict[str, Any]:
    """Names and values of a JSON file.

    Raises:
        InputRefused: it cannot be read, or holds something else.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputRefused(f"cannot read {path}: {error.strerror}; give a file that is there") from error
    except ValueError as error:
        raise InputRefused(f"{path} is no JSON ({error}); mend it") from error
    if not isinstance(told, dict):
        raise InputRefused(f'{path} holds no names with values: give JSON as {{"license": ...}}')
    return told


def view(text: str) -> tuple[float, float]:
    """A spacing in mm and a share, from ``1.25:0.4``."""
    spacing, share = text.split(":")
    return float(spacing), float(share)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--name", required=True)
    for stage in STAGES:
        parser.add_argument(f"--{stage}", type=Path, help="run folder of this network")
    parser.add_argument("--facts", type=Path, help="JSON merged into the card (sources, license, results)")
    parser.add_argument(
        "--confidence", type=Path, help="confidence.json of scripts/calibrate_confidence.py, for the card"
    )
    parser.add_argument(
        "--views",
        nargs="+",
        type=view,
        default=[],
        metavar="MM:SHARE",
        help="grids that stage 2 looks at, averaged, as 1.25:0.4 1.5:0.4 1.8:0.2",
    )
    parser.add_argument("--eight-bits", action="store_true", help="weights of half the size, 1/254 exact")
    arguments = parser.parse_args()
    runs = {stage: run for stage in STAGES if (run := getattr(arguments, stage)) is not None}
    try:
        facts = card_facts(arguments.facts, arguments.confidence)
        export_bundle(arguments.out, arguments.name, runs, facts, arguments.eight_bits, arguments.views)
    except LiverSegError as error:
        print(f"export_bundle: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
