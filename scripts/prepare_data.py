"""Cache labeled scans and Couinaud maps on the networks' grids (once, before training)."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from liverseg.training.cache import (
    COUINAUD_SPACING,
    STAGE1_SPACING,
    STAGE2_MARGIN_MM,
    STAGE2_SPACING,
    cache_couinaud_map,
    cache_phantom,
    cache_scan,
    cache_scan_without_liver,
    files_for_stage1,
    files_for_stage2,
)

# Tests and the demo use seeds below and above this range.
FIRST_PHANTOM = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with ct/ and couinaud/")
    parser.add_argument("--cache", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--phantoms",
        type=int,
        default=12,
        help="made-up patients beside the real ones, and twice as many scans without a liver",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for files in files_for_stage2(arguments.data):
        cache_scan(files, STAGE2_SPACING, arguments.cache / "stage2", STAGE2_MARGIN_MM)
    for files in files_for_stage1(arguments.data):
        cache_scan(files, STAGE1_SPACING, arguments.cache / "stage1", None)
    for path in sorted((arguments.data / "couinaud").glob("*.nii.gz")):
        cache_couinaud_map(path, COUINAUD_SPACING, arguments.cache / "couinaud")
    for seed in range(FIRST_PHANTOM, FIRST_PHANTOM + arguments.phantoms):
        cache_phantom(seed, arguments.cache)
    for seed in range(FIRST_PHANTOM, FIRST_PHANTOM + 2 * arguments.phantoms):
        cache_scan_without_liver(seed, arguments.cache)


if __name__ == "__main__":
    main()
