"""Turn the last checkpoints of training runs into a bundle under Resources/Models."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from liverseg.training.export import export_bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--name", required=True)
    for stage in ("stage1", "stage2", "couinaud"):
        parser.add_argument(f"--{stage}", type=Path, help="run folder of this network")
    parser.add_argument("--facts", type=Path, help="JSON merged into the card (sources, license, results)")
    arguments = parser.parse_args()
    runs = {s: r for s in ("stage1", "stage2", "couinaud") if (r := getattr(arguments, s)) is not None}
    facts = json.loads(arguments.facts.read_text(encoding="utf-8")) if arguments.facts else {}
    export_bundle(arguments.out, arguments.name, runs, facts)


if __name__ == "__main__":
    main()
