"""Seconds that each Couinaud method takes for a full-size liver.

    scripts/benchmark_couinaud.py --phantom 300 512 512                 a made-up liver on a grid of that size
    scripts/benchmark_couinaud.py --liver LIVER [--vessels VESSELS]     a liver mask of your own

Each method runs once to load what it needs and then ``--repeat`` times; the fastest counts. Wall seconds
depend on what else the computer does, seconds of the processor hardly.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from liverseg.bundle import find_bundle, networks_kept
from liverseg.couinaud import METHODS, Split, SplitOptions, split_liver
from liverseg.geometry import Geometry
from liverseg.phantom import make_phantom
from liverseg.reading import read_labels


def given(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray | None, Geometry]:
    """Liver, vessels and grid of the command line."""
    if arguments.phantom:
        k, j, i = arguments.phantom
        # 360 mm in-plane and 450 mm long, as an abdomen and pelvis scan.
        phantom = make_phantom(11, (k, j, i), (450 / k, 360 / j, 360 / i), noise_hu=0)
        return phantom.masks.liver, phantom.masks.vessels, phantom.ct.geometry
    liver, geometry = read_labels(arguments.liver)
    vessels = read_labels(arguments.vessels)[0] if arguments.vessels else None
    return liver > 0, vessels, geometry


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantom", type=int, nargs=3, metavar=("K", "J", "I"))
    parser.add_argument("--liver", type=Path)
    parser.add_argument("--vessels", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    if (arguments.phantom is None) == (arguments.liver is None):
        parser.error("give --phantom or --liver")
    torch.set_num_threads(arguments.threads)
    liver, vessels, geometry = given(arguments)
    bundle = find_bundle()
    print(f"liver of {np.count_nonzero(liver) * geometry.voxel_volume_ml:.0f} ml on a grid of {liver.shape}")

    def split(method: str) -> Split:
        return split_liver(liver, geometry, bundle, SplitOptions(method), vessels)

    with networks_kept():
        for method in METHODS:
            used = split(method).method.name
            taken = []
            for _ in range(arguments.repeat):
                began, processor = time.perf_counter(), time.process_time()
                split(method)
                taken.append((time.perf_counter() - began, time.process_time() - processor))
            wall, cpu = (min(column) for column in zip(*taken, strict=True))
            print(f"{method} ({used}): {wall:.1f} s, {cpu:.1f} s of the processor", flush=True)


if __name__ == "__main__":
    main()
