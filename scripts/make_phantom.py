#!/usr/bin/env python3
"""Write a made-up abdominal CT whose liver, lesions, Couinaud segments and vessels are known.

scripts/make_phantom.py --out FOLDER                      ct.nii.gz and its truth
scripts/make_phantom.py --out FOLDER --format dicom       a DICOM series of CT images
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "LiverSegExtension"))

from liverseg.errors import LiverSegError, UsageError
from liverseg.phantom import make_phantom, write_nifti
from liverseg.phantom_dicom import write_dicom_series


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made when missing")
    parser.add_argument("--seed", type=int, default=0, help="which patient (0 and up)")
    parser.add_argument("--format", choices=("nifti", "dicom", "both"), default="nifti")
    parser.add_argument("--shape", type=int, nargs=3, default=(120, 200, 200), metavar=("K", "J", "I"))
    parser.add_argument("--spacing", type=float, nargs=3, default=(2.5, 1.8, 1.8), metavar=("K", "J", "I"))
    parser.add_argument("--orientation", default="LPS", help="directions of i, j, k, such as LPS or RAS")
    parser.add_argument("--rotation", type=float, nargs=3, default=(0, 0, 0), metavar=("R", "A", "S"))
    parser.add_argument("--lesions", type=float, nargs="*", default=(40, 25, 18, 12), metavar="MM")
    parser.add_argument("--noise", type=float, default=12.0, metavar="HU")
    parsed = parser.parse_args(arguments)
    if parsed.seed < 0:
        parser.error("--seed must be 0 or more")
    if parsed.noise < 0:
        parser.error("--noise must be 0 or more")
    return parsed


def main(arguments: list[str] | None = None) -> int:
    """Write what was asked for; returns the exit code."""
    asked = parse(arguments)
    try:
        if asked.out.exists() and not asked.out.is_dir():
            raise UsageError(f"{asked.out} is a file; give a folder")
        phantom = make_phantom(
            asked.seed,
            tuple(asked.shape),
            tuple(asked.spacing),
            orientation=asked.orientation,
            rotation_deg=asked.rotation,
            diameters_mm=asked.lesions,
            noise_hu=asked.noise,
        )
        if asked.format in ("nifti", "both"):
            write_nifti(phantom, asked.out)
        if asked.format in ("dicom", "both"):
            write_dicom_series(phantom.ct, asked.out / "dicom" if asked.format == "both" else asked.out)
    except LiverSegError as error:
        print(f"make_phantom: {error}", file=sys.stderr)
        return error.exit_code
    truth = [asdict(lesion) | {"volume_ml": round(lesion.volume_ml, 3)} for lesion in phantom.lesions]
    if asked.format != "dicom":
        (asked.out / "lesions.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    liver_ml = phantom.masks.liver.sum() * phantom.ct.geometry.voxel_volume_ml
    print(f"wrote {asked.out}: liver {liver_ml:.0f} ml")
    for lesion in phantom.lesions:
        r, a, s = lesion.center_ras_mm
        print(
            f"  lesion {lesion.id}: {lesion.diameter_mm:g} mm {lesion.kind} at R {r:.0f} A {a:.0f} S {s:.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
