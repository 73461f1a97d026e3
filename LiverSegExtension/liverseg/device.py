"""Where the networks run, and what is tried when memory does not suffice."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from liverseg.errors import UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rung:
    """One rung of the memory ladder.

    Attributes:
        device: "cuda", "mps" or "cpu".
        precision: "fp32", "bf16" or "fp16".
        tile: factor on the patch size (1 or 0.5).
    """

    device: str
    precision: str
    tile: float = 1.0

    def describe(self) -> str:
        """For warnings and provenance."""
        return f"{self.device}, {self.precision}" + (", half-size tiles" if self.tile < 1 else "")

    @property
    def dtype(self) -> torch.dtype:
        """The type that autocast computes in."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]


@dataclass(frozen=True)
class FoundDevice:
    """What the networks can run on here.

    Attributes:
        device: "cuda", "mps" or "cpu".
        name: of the GPU, or how many cores the CPU has.
        free_bytes: memory that can be had now; None where the system does not tell.
        total_bytes: all of it; None where the system does not tell.
    """

    device: str
    name: str
    free_bytes: int | None = None
    total_bytes: int | None = None

    def describe(self) -> str:
        """One line for people."""
        memory = "" if self.free_bytes is None else f", {self.free_bytes / 1e9:.1f} GB free"
        return f"{self.device}: {self.name}{memory}"


def found_devices() -> tuple[FoundDevice, ...]:
    """The devices present, the one that "auto" takes first."""
    return tuple(_found(name) for name, there in _present().items() if there)


def _found(device: str) -> FoundDevice:
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        return FoundDevice(device, torch.cuda.get_device_name(), int(free), int(total))
    if device == "mps":
        return FoundDevice(device, "Apple GPU")
    cores = os.cpu_count() or 1
    name = "1 core" if cores == 1 else f"{cores} cores"
    return FoundDevice(device, name, free_memory_bytes(device), _memory_line("MemTotal:"))


def _present() -> dict[str, bool]:
    """Which devices are there, the best one first."""
    return {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }


def choose_device(wanted: str) -> str:
    """ "auto" becomes the best device present; others are checked.

    Raises:
        UsageError: the device is not there.
    """
    present = _present()
    if wanted == "auto":
        return next(name for name, there in present.items() if there)
    if not present.get(wanted, False):
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise UsageError(f"the device {wanted!r} is not usable here (usable: {there}); use --device auto")
    return wanted


def _cpu_precision() -> str:
    # Without the instruction bf16 is emulated and slower than fp32.
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


# Of PyTorch's allocators (on Linux, on Windows, on GPUs), of cuBLAS and cuDNN.
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "_ALLOC_FAILED")
# What may be said of windows: as large as memory lets them be, or half of the side from the start.
TILES = {"auto": 1.0, "half": 0.5}


def ladder(device: str, largest_tile: float = 1.0) -> Iterator[Rung]:
    """What to try in turn: full tile, half tile, half precision, then the CPU; no tile above the largest."""
    yield from (rung for rung in _rungs(device) if rung.tile <= largest_tile)


def _rungs(device: str) -> Iterator[Rung]:
    if device == "cuda":
        half = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        # Half precision is the fast way on any GPU with the instruction, so it is the first rung too.
        yield Rung("cuda", half)
        yield Rung("cuda", half, 0.5)
    elif device == "mps":
        yield Rung("mps", "fp32")
        yield Rung("mps", "fp32", 0.5)
        yield Rung("mps", "fp16", 0.5)
    precision = _cpu_precision()
    yield Rung("cpu", precision)
    yield Rung("cpu", precision, 0.5)


def free_memory_bytes(device: str) -> int | None:
    """Memory that can still be had on the device, or None where the system does not tell."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    # MemAvailable counts the file cache, which is given back when asked for; MemFree does not.
    return _memory_line("MemAvailable:")


def _memory_line(name: str) -> int | None:
    """Bytes that a line of Linux's table of memory tells; None on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def needed(rung: Rung) -> int:
    """Bytes that a window of the bundled networks takes on a rung, measured and rounded up."""
    return int(1.5e9 * rung.tile**3) + int(3e8)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY_WORDS)
