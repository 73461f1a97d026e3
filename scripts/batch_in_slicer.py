#!/usr/bin/env python3
"""Read out many CTs inside 3D Slicer, without a window.

Slicer --no-main-window --no-splash --python-script batch_in_slicer.py --input FOLDER --output FOLDER

The input is a folder of CTs, a list (.txt) or a table (.csv). Further options are those of
``liverseg batch``. Cases that are done are not done again; every case also gets ``scene.mrb``. Exit codes: 0
all done, 6 some cases failed (``summary.csv`` says why), 2 usage, 3 input refused, 130 cancelled.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from in_slicer import end, run_engine


def main(arguments: list[str]) -> int:
    """Parse the options of this script; the engine judges the rest."""
    parser = argparse.ArgumentParser(
        prog="batch_in_slicer.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", required=True, metavar="FOLDER|LIST|CSV", help="which CTs")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="for the cases' folders")
    parser.add_argument("--no-scene", action="store_true", help="leave scene.mrb out")
    parsed, rest = parser.parse_known_args(arguments)
    scene = [] if parsed.no_scene else ["--also", "scene"]
    return run_engine(["batch", parsed.input, "-o", parsed.output, *scene, *rest])


if __name__ == "__main__":
    end(main)
