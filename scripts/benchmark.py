"""Seconds of each stage, of the CPU in all, and peak memory of ``liverseg segment``, run as its own process.

scripts/benchmark.py CT [--threads 2]            a CT of your own
scripts/benchmark.py --phantom 300 512 512       a made-up patient of that size (k j i)
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
from pathlib import Path

from liverseg.phantom import make_phantom, write_nifti


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ct", type=Path, nargs="?")
    parser.add_argument("--phantom", type=int, nargs=3, metavar=("K", "J", "I"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quality", default="full", choices=("fast", "full"))
    parser.add_argument("--tile", default="auto", choices=("auto", "half"))
    arguments = parser.parse_args()
    if (arguments.ct is None) == (arguments.phantom is None):
        parser.error("give a CT or --phantom")
    with tempfile.TemporaryDirectory() as scratch:
        ct = arguments.ct
        if ct is None:
            k, j, i = arguments.phantom
            # 360 mm in-plane and 450 mm long, as an abdomen and pelvis scan.
            phantom = make_phantom(seed=11, shape_kji=(k, j, i), spacing_kji=(450 / k, 360 / j, 360 / i))
            write_nifti(phantom, Path(scratch) / "phantom")
            ct = Path(scratch) / "phantom" / "ct.nii.gz"
            del phantom
        how = {"threads": arguments.threads, "quality": arguments.quality, "tile": arguments.tile}
        print(json.dumps(run(ct, Path(scratch) / "out", **how), indent=2))


def run(ct: Path, out: Path, threads: int, quality: str, tile: str) -> dict[str, object]:
    """Segment once and tell what it took."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "liverseg", "segment", str(ct), "-o", str(out), "--device", "cpu"]
    command += ["--quality", quality, "--tile", tile]
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode not in (0, 4):
        raise SystemExit(f"segment ended with {done.returncode}: {done.stderr.strip()}")
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "size_ijk": report["provenance"]["input"]["size_ijk"],
        "threads": threads,
        "quality": quality,
        "tile": tile,
        "wall_seconds": round(seconds, 1),
        # Of all cores; other programs at work change it little.
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "seconds_by_stage": report["provenance"]["seconds"],
        "peak_memory_gb": round(used.ru_maxrss / 1024**2, 2),
        "liver_ml": round(report["liver"]["volume_ml"], 1),
        "lesions": len(report["lesions"]),
    }


if __name__ == "__main__":
    main()
