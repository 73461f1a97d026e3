"""Where the networks run, and what is tried when memory does not suffice."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

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
    """Free memory of the device, or None where the system does not tell."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
