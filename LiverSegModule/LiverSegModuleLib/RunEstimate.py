"""How long a run takes and how much memory, from what was measured. Free of Qt.

Measured with ``scripts/benchmark.py`` on two cores of a server CPU (AMD EPYC with bf16) and the bundled
model: 512 x 512 x 300 voxels (79 million) took 25 s and 1.4 GB, another CT of 31 million 25 s and 1.2 GB,
256 x 256 x 120 (8 million) 1.0 GB. The networks see a grid of fixed spacing, so the time hangs on the size of
the body, not on the number of voxels; the memory grows with both.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL_S = 25.0
# Wall seconds against those of "full" with whole tiles: "fast" (one grid in place of three) on the first
# of these, half tiles on the last.
FAST, HALF_TILES = 20.5 / 24.8, 19.4 / 17.6
BASE_GB, GB_PER_MILLION_VOXELS, HALF_TILES_GB = 1.0, 0.0055, 0.1
GPUS = ("cuda", "mps")


@dataclass(frozen=True)
class RunEstimate:
    """What a run is expected to take.

    Attributes:
        seconds: on two CPU cores, in steps of 5 s.
        gigabytes: peak of main memory.
        on_gpu: a GPU was asked for, which takes less time; how much less was not measured.
    """

    seconds: int
    gigabytes: float
    on_gpu: bool


def estimate(voxels: int, quality: str, device: str, tile: str) -> RunEstimate:
    """The estimate for a CT.

    Args:
        voxels: of the CT.
        quality, device, tile: as ``EngineOptions`` has them.
    """
    seconds = FULL_S * (FAST if quality == "fast" else 1.0) * (HALF_TILES if tile == "half" else 1.0)
    gigabytes = BASE_GB + GB_PER_MILLION_VOXELS * voxels / 1e6 + (HALF_TILES_GB if tile == "half" else 0.0)
    return RunEstimate(5 * round(seconds / 5), round(gigabytes, 1), device in GPUS)
