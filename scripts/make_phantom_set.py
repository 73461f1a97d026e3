#!/usr/bin/env python3
"""Write a made-up data set to try the training with: CTs, labels and Couinaud maps of made-up patients.

scripts/make_phantom_set.py --out FOLDER                    as the Medical Segmentation Decathlon lays it out
scripts/make_phantom_set.py --out FOLDER --layout project   ct/<case>/ct, liver_lesion and couinaud

One patient in four has no lesion. The Couinaud maps lie in couinaud/<case>.nii.gz in both layouts.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "LiverSegExtension"))

from liverseg.errors import LiverSegError, UsageError
from liverseg.geometry import Geometry
from liverseg.phantom import Phantom, make_phantom
from liverseg.writers.atomic import make_folder, written_whole
from liverseg.writers.volumes import write_nifti

# Seeds below are those of tests, and from 1000 on those of scripts/prepare_data.py.
FIRST_SEED = 5000
PATIENT_MM = (330.0, 380.0, 380.0)


def made_patient(seed: int, spacing_mm: float) -> Phantom:
    """A patient with up to four lesions of 10 to 45 mm, or with none."""
    rng = np.random.default_rng(seed)
    step = (1.5 * spacing_mm, spacing_mm, spacing_mm)
    count = 0 if seed % 4 == 3 else int(rng.integers(1, 5))
    diameters = sorted(np.exp(rng.uniform(np.log(10), np.log(45), count)).tolist(), reverse=True)
    slices, rows, columns = (round(size / s) for size, s in zip(PATIENT_MM, step, strict=True))
    noise = float(rng.uniform(8, 18))
    return make_phantom(seed, (slices, rows, columns), step, diameters_mm=diameters, noise_hu=noise)


def file_paths(layout: str, root: Path, case: str) -> tuple[Path, Path, Path]:
    """Where a layout keeps a case's CT, its liver and lesions, and its Couinaud map."""
    couinaud = root / "couinaud" / f"{case}.nii.gz"
    if layout == "decathlon":
        return root / "imagesTr" / f"{case}.nii.gz", root / "labelsTr" / f"{case}.nii.gz", couinaud
    folder = root / "ct" / case
    return folder / "ct.nii.gz", folder / "liver_lesion.nii.gz", couinaud


def save(array: np.ndarray, geometry: Geometry, path: Path) -> None:
    """Write an array (k, j, i)."""
    make_folder(path.parent)
    with written_whole(path) as temporary:
        write_nifti(array, geometry, temporary)


def write_set(layout: str, root: Path, patients: int, spacing_mm: float) -> list[str]:
    """Write the patients; returns their case names."""
    cases = [f"made_{number:03d}" for number in range(patients)]
    for number, case in enumerate(cases):
        phantom = made_patient(FIRST_SEED + number, spacing_mm)
        masks, geometry = phantom.masks, phantom.ct.geometry
        ct, label, couinaud = file_paths(layout, root, case)
        save(phantom.ct.array, geometry, ct)
        save(masks.liver.astype(np.uint8) + (masks.lesions > 0), geometry, label)
        save(masks.couinaud, geometry, couinaud)
        print(f"{case}: {len(phantom.lesions)} lesions")
    if layout == "decathlon":
        pairs = [{"image": f"./imagesTr/{c}.nii.gz", "label": f"./labelsTr/{c}.nii.gz"} for c in cases]
        labels = {"0": "background", "1": "liver", "2": "cancer"}
        content = {"name": "Made-up livers", "labels": labels, "training": pairs}
        with written_whole(root / "dataset.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return cases


def main(words: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made when missing")
    parser.add_argument("--layout", choices=("decathlon", "project"), default="decathlon")
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--spacing", type=float, default=2.0, metavar="MM", help="pixel size")
    arguments = parser.parse_args(words)
    try:
        if arguments.patients < 1 or not 0.5 <= arguments.spacing <= 6:
            raise UsageError("--patients must be at least 1, and --spacing lie in 0.5 to 6 mm")
        write_set(arguments.layout, arguments.out, arguments.patients, arguments.spacing)
    except LiverSegError as error:
        print(f"make_phantom_set: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
