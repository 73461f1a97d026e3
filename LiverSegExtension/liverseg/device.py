"""Where the networks run, and what is tried when memory does not suffice."""

from __future__ import annotations

import logging
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


def choose_device(wanted: str) -> str:
    """ "auto" becomes the best device present; others are checked.

    Raises:
        UsageError: the device is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, there in present.items() if there)
    if not present.get(wanted, False):
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise UsageError(f"the device {wanted!r} is not usable here (usable: {there}); use --device auto")
    return wanted


def _cpu_precision() -> str:
    # Without the instruction bf16 is emulated and slower than fp32.
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def ladder(device: str) -> Iterator[Rung]:
    """What to try in turn: full tile, half tile, half precision, then the CPU."""
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
    try:
        # MemAvailable counts the file cache, which is given back when asked for; MemFree does not.
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def needed(rung: Rung) -> int:
    """Bytes that a window of the bundled networks takes on a rung, measured and rounded up."""
    return int(1.5e9 * rung.tile**3) + int(3e8)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
