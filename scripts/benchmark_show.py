"""Seconds that it takes to see whether a result was edited while nobody watched, as when it is shown.

scripts/benchmark_show.py [--phantom 300 512 512]      a made-up patient of that size (k j i)

Prints the whole comparison and the checksum that mostly spares it. Needs the package slicer-core.
"""

from __future__ import annotations

import argparse
import time

from liverseg.case import CouinaudMethod, Provenance
from liverseg.measure import measure
from liverseg.phantom import make_phantom
from liverseg_mrml.drawn_checksum import is_as_measured
from liverseg_mrml.edited_parts import edited_parts
from liverseg_mrml.scene import make_scene
from liverseg_mrml.to_scene import add_case_to_scene

REPEATS = 3


def main() -> None:
    """Make the case once, and look for edits both ways."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantom", type=int, nargs=3, metavar=("K", "J", "I"), default=(300, 512, 512))
    k, j, i = parser.parse_args().phantom
    phantom = make_phantom(seed=11, shape_kji=(k, j, i), spacing_kji=(450 / k, 360 / j, 360 / i))
    method, provenance = CouinaudMethod("made up"), Provenance("benchmark")
    case = measure(phantom.ct, phantom.masks, method=method, provenance=provenance)
    made = make_scene()
    nodes = add_case_to_scene(made.scene, case)
    for name, look in (("every voxel compared", edited_parts), ("checksum", is_as_measured)):
        seconds = []
        for _ in range(REPEATS):
            began, spent = time.perf_counter(), time.process_time()
            found = look(nodes)
            seconds.append((time.perf_counter() - began, time.process_time() - spent))
        clock, cpu = min(seconds)
        print(f"{i} x {j} x {k} voxels, {name}: {clock:.2f} s (CPU {cpu:.2f} s), found {found}")


if __name__ == "__main__":
    main()
