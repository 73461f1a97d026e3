"""Seconds and peak memory of ``liverseg compare`` at full size, run as its own process, and how right it is.

    scripts/benchmark_compare_full_size.py --phantom 300 512 512       a made-up patient of that size (k j i)
    scripts/benchmark_compare_full_size.py --ct CT --labels LABELS     a scan of your own (1 liver, 2 lesion)

The second scan is the first one after a known motion and deformation (``liverseg.phantom_motion``), in a
temporary folder. The made-up patient's lesions grow, shrink, go and come. Of a scan of one's own the smallest
lesion is taken out of the second labels and a ball of 20 mm is put in, as far from all lesions as can be.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import edt
import numpy as np

from liverseg.bundle import find_bundle
from liverseg.case import Case, CouinaudMethod, Masks, Provenance
from liverseg.compare import TimePoint, compare_cases, read_time_point
from liverseg.couinaud import split_liver
from liverseg.measure import label_lesions, measure
from liverseg.phantom import make_phantom
from liverseg.phantom_motion import Motion, middle_of, moved_scan
from liverseg.phantom_patient import Patient
from liverseg.reading import read_labels, read_volume
from liverseg.volume import Volume
from liverseg.writers import write_case
from liverseg.writers.volumes import write_nifti

# Diameters before and after, mm; 0 where there is no lesion.
LESIONS = ((36.0, 44.0), (26.0, 18.0), (20.0, 20.0), (16.0, 0.0), (12.0, 12.0), (0.0, 18.0), (0.0, 10.0))
NEW_MM = 20.0
Scan = tuple[Volume, Masks]


def made_up(shape: tuple[int, int, int]) -> tuple[Scan, Scan, str]:
    """A patient's two scans, the second not yet moved, and what should be told."""
    planned = Patient.of(3).plan_lesions([max(sizes) for sizes in LESIONS])
    pairs = list(zip(planned, LESIONS, strict=True))
    # 360 mm in-plane and 450 mm long, as an abdomen and pelvis scan.
    spacing = (450 / shape[0], 360 / shape[1], 360 / shape[2])
    scans = []
    for n in (0, 1):
        lesions = [replace(lesion, diameter_mm=sizes[n]) for lesion, sizes in pairs if sizes[n]]
        phantom = make_phantom(3, shape, spacing, lesions=lesions)
        scans.append((phantom.ct, phantom.masks))
    return scans[0], scans[1], "4 matched, 1 gone, 2 new"


def from_files(ct_file: Path, labels_file: Path) -> tuple[Scan, Scan, str]:
    """A scan of one's own twice, the second not yet moved, and what should be told."""
    ct, (labels, geometry) = read_volume(ct_file), read_labels(labels_file)
    liver, lesions = labels > 0, label_lesions(labels == 2, geometry)
    couinaud = split_liver(liver, geometry, find_bundle()).labels
    later = lesions.copy()
    count = int(lesions.max())
    if count:
        later[later == count] = 0
    away = edt.edt(liver & (lesions == 0), anisotropy=geometry.spacing_kji, black_border=True)
    center = np.unravel_index(int(away.argmax()), away.shape)
    places = zip(liver.shape, center, geometry.spacing_kji, strict=True)
    ball = [np.square((np.arange(n) - c) * s) for n, c, s in places]
    inside = ball[0][:, None, None] + ball[1][:, None] + ball[2] < (NEW_MM / 2) ** 2
    later[inside & liver] = count + 1
    matched = max(count - 1, 0)
    wanted = f"{matched} matched, {min(count, 1)} gone, 1 new"
    return (ct, Masks(liver, couinaud, lesions)), (ct, Masks(liver, couinaud, later)), wanted


def read_out(scan: Scan) -> Case:
    """The case of true masks."""
    ct, masks = scan
    masks = replace(masks, vessels=None)
    return measure(ct, masks, method=CouinaudMethod("truth"), provenance=Provenance("truth"))


def run(command: list[str], threads: int) -> tuple[float, float]:
    """Wall seconds of a process and its peak memory in GB."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"compare ended with {done.returncode}: {done.stderr.strip()}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2


def processor() -> float:
    """Seconds of the processor of all processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def counts(statuses: list[str]) -> str:
    """How many lesions of each status."""
    return ", ".join(f"{statuses.count(s)} {s}" for s in ("matched", "gone", "new") if s in statuses)


def error_mm(folders: list[Path], cts: list[Path], motion: Motion) -> str:
    """How far points of the liver are led astray, by the same comparison in this process."""
    points: list[TimePoint] = [read_time_point(*each) for each in zip(folders, cts, strict=False)]
    if not cts:
        points = [replace(read_time_point(folder), ct=None) for folder in folders]
    registration = compare_cases(points[0], points[1]).registration
    assert registration is not None
    liver = points[1].geometry.to_ras(np.argwhere(points[1].liver_mask)[::997])
    truth = motion.to_first(liver, middle_of(points[0].geometry))
    error = np.linalg.norm(registration.to_before(liver) - truth, axis=1)
    return f"error mean {error.mean():.1f} mm, 95 % {np.percentile(error, 95):.1f} mm"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantom", type=int, nargs=3, metavar=("K", "J", "I"))
    parser.add_argument("--ct", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    motion = Motion()
    if arguments.phantom:
        k, j, i = arguments.phantom
        first, second, wanted = made_up((k, j, i))
    elif arguments.ct and arguments.labels:
        first, second, wanted = from_files(arguments.ct, arguments.labels)
    else:
        parser.error("give --phantom, or --ct and --labels")
    with tempfile.TemporaryDirectory() as scratch:
        folders, cts = [], []
        for name, scan in (("before", first), ("after", moved_scan(*second, motion))):
            folder = Path(scratch) / name
            case = read_out(scan)
            write_case(case, folder, ["report", "liver", "lesions", "couinaud"])
            cts.append(Path(scratch) / f"{name}.nii.gz")
            write_nifti(case.ct.array, case.ct.geometry, cts[-1])
            folders.append(folder)
            print(f"{name}: {case.ct.array.shape}, liver {case.liver.volume_ml:.0f} ml", flush=True)
        del first, second, scan, case
        for name, given in (("masks alone", []), ("masks and CTs", cts)):
            out = Path(scratch) / name.replace(" ", "_")
            command = [sys.executable, "-m", "liverseg", "compare", *map(str, folders), "-o", str(out)]
            command += ["--ct", *map(str, given)] if given else []
            before = processor()
            seconds, memory = run(command, arguments.threads)
            used = processor() - before
            told = json.loads((out / "compare.json").read_text(encoding="utf-8"))
            statuses = [lesion["status"] for lesion in told["lesions"]]
            print(
                f"{name}: {seconds:.1f} s on {arguments.threads} threads ({used:.1f} s of the processor), "
                f"peak {memory:.2f} GB; told {counts(statuses)} (true: {wanted}); "
                f"{error_mm(folders, given, motion)}",
                flush=True,
            )
            for line in told["summary"]:
                print(f"  {line}")


if __name__ == "__main__":
    main()
