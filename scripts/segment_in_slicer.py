#!/usr/bin/env python3
"""Read out one CT inside 3D Slicer, without a window.

Slicer --no-main-window --no-splash --python-script segment_in_slicer.py --input CT --output FOLDER

Further options are those of ``liverseg segment``. The folder also gets ``scene.mrb``. Exit codes: 0 done,
2 usage, 3 input refused, 4 no liver, 5 out of memory, 130 cancelled. Outside of Slicer, where the package
slicer-core is installed, plain Python runs it in the same way.
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
        prog="segment_in_slicer.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", required=True, metavar="CT", help="an image file or a DICOM folder")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="for the results")
    parser.add_argument("--no-scene", action="store_true", help="leave scene.mrb out")
    parsed, rest = parser.parse_known_args(arguments)
    scene = [] if parsed.no_scene else ["--scene"]
    return run_engine(["segment", parsed.input, "-o", parsed.output, *scene, *rest])


if __name__ == "__main__":
    end(main)
