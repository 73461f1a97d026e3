"""What a full-resolution network of the kind of nnU-Net would take on a volume, timed on a few windows.

The plan is the one nnU-Net makes for LiTS (Isensee et al., Nature Methods 2021; 3d_fullres): 0.77 x 0.77 x
1 mm, windows of 128 voxels cubed that overlap by half, six levels from 32 to 320 filters, about 31 million
parameters, no mirroring. The weights are random: time does not depend on them. Only ``--windows`` windows
are run, in the precision that ``liverseg segment`` takes here; the whole is their mean times the number of
windows, without reading, resampling and merging. ``--ours``: wall seconds of scripts/benchmark.py.

scripts/benchmark_full_resolution.py --size-mm 450 360 360 --windows 4 --ours SECONDS
"""

from __future__ import annotations

import argparse
import json
import math
import time

import torch

from liverseg.device import ladder
from liverseg.networks import build_network

SPACING_MM = (1.0, 0.77, 0.77)
PATCH = 128
FILTERS = [32, 64, 128, 256, 320, 320]


def window_count(size_mm: list[float]) -> int:
    """Windows with steps of half a patch over a volume of that size (z, y, x)."""
    count = 1
    for length, step in zip(size_mm, SPACING_MM, strict=True):
        voxels = max(PATCH, round(length / step))
        count *= math.ceil((voxels - PATCH) / (PATCH // 2)) + 1
    return count


def seconds_a_window(windows: int) -> tuple[float, int]:
    """Mean seconds of a window on the CPU after one to warm up, and the network's parameters."""
    network = build_network(
        {"name": "DynUNet", "in_channels": 1, "out_channels": 3, "filters": FILTERS}
    ).eval()
    rung = next(ladder("cpu"))
    volume = torch.rand(1, 1, PATCH, PATCH, PATCH).contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode(), torch.autocast("cpu", rung.dtype, enabled=rung.precision != "fp32"):
        network(volume)
        began = time.monotonic()
        for _ in range(windows):
            network(volume)
    return (time.monotonic() - began) / windows, sum(p.numel() for p in network.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size-mm", type=float, nargs=3, default=[450, 360, 360], metavar=("Z", "Y", "X"))
    parser.add_argument("--windows", type=int, default=4, help="windows to time")
    parser.add_argument("--ours", type=float, help="wall seconds of scripts/benchmark.py on the same volume")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    each, parameters = seconds_a_window(arguments.windows)
    count = window_count(arguments.size_mm)
    result = {
        "parameters": parameters,
        "windows": count,
        "timed_windows": arguments.windows,
        "seconds_a_window": round(each, 2),
        "seconds_of_all_windows": round(each * count, 1),
        "threads": arguments.threads,
    }
    if arguments.ours:
        result["ratio"] = round(each * count / arguments.ours, 1)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
