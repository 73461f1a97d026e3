"""Checkpoints that are whole or not there, and what a run that cannot go on says."""

from __future__ import annotations

import csv
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from liverseg.device import is_out_of_memory
from liverseg.errors import InputRefused, OutOfMemory, UsageError
from liverseg.writers.atomic import plain_reason, remove_leftovers, written_whole

LAST = "last.ckpt"
BEST = "best"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the last one and renames it.

    Lightning's own writer goes through the system's temporary folder; where that is another disk, a run
    killed while the file is brought over leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raises: UsageError: the file could not be written (no space); the one before is still there."""
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A Python file gives the system's reason; torch's own writer says "failed writing file".
            with written_whole(path) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError, UsageError) as error:
            reason = _full_disk(error)
            if reason is None:
                raise
            raise UsageError(_told_full(path.parent, reason)) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = lambda storage, loc: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint.

        Raises:
            InputRefused: the file is damaged.
        """
        try:
            loaded = super().load_checkpoint(path, map_location, weights_only)
        except (FileNotFoundError, PermissionError):
            raise
        # Bytes that are no checkpoint raise whatever zip, pickle or torch stumble over.
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise InputRefused(_told_damaged(Path(path))) from error
        if not isinstance(loaded, dict) or not {"state_dict", "global_step"} <= set(loaded):
            raise InputRefused(_told_damaged(Path(path)))
        return dict(loaded)


@contextmanager
def told_plainly(folder: Path) -> Iterator[None]:
    """Turn a full disk and a full memory inside a run in ``folder`` into one line that says what to do.

    Raises:
        UsageError: no space is left for what the run writes.
        OutOfMemory: of the GPU or of the computer.
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            where = "the GPU" if _on_gpu(error) else "this computer"
            raise OutOfMemory(
                f"out of memory on {where}: take a smaller trainer.batch (and more of trainer.accumulate), "
                f"data.on_gpu=false{_kept(folder)}, or a new run with a smaller task.patch"
            ) from error
        reason = _full_disk(error)
        if reason is None:
            raise
        raise UsageError(_told_full(folder, reason)) from error


def trim_log(path: Path, step: int) -> None:
    """Leave out of a run's ``log.csv`` what the run will do again: rows after ``step``, and half a row.

    A run may end between the row of an epoch and its checkpoint.
    """
    remove_leftovers(path.parent, {LAST, path.name}, after_s=0)
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    kept = rows[:1] + [row for row in rows[1:] if _is_whole(row, rows[0]) and int(row[0]) <= step]
    if kept == rows:
        return
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(kept)


def _is_whole(row: list[str], header: list[str]) -> bool:
    return len(row) == len(header) and row[0].isdigit() and row[-1] != ""


def _full_disk(error: BaseException) -> str | None:
    """Why nothing can be written, where an error or one that led to it says so."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return plain_reason(seen)
        seen = seen.__cause__ or seen.__context__
    return None


def _on_gpu(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "cuda" in str(error).lower()


def _kept(folder: Path) -> str:
    last = folder / LAST
    return f" ({last} is whole: it goes on from there)" if last.exists() else ""


def _told_full(folder: Path, reason: str) -> str:
    return f"cannot write to {folder}: {reason}; make room and give the same command again{_kept(folder)}"


def _told_damaged(path: Path) -> str:
    best = sorted((path.parent / BEST).glob("*.ckpt"))
    other = f"copy one of {path.parent / BEST} over it to go on from there, or " if best else ""
    return f"{path} is damaged and cannot be gone on from: {other}delete it to begin again"
