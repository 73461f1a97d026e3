"""Files of LiverSeg on this computer that can be removed: broken-off runs, the log, downloads. Free of Qt."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from LiverSegModuleLib.EngineLog import NAME as LOG_NAME
from LiverSegModuleLib.RunFolder import leftovers

# What Slicer's Sample Data module puts into its cache for us.
DOWNLOADS = ("CTLiver.nrrd",)


@dataclass(frozen=True)
class StoredFiles:
    """A file or a folder that may go.

    Attributes:
        path: where it is.
        size_bytes: of the file, or of all files in the folder.
    """

    path: Path
    size_bytes: int

    def describe(self) -> str:
        """The path with its size."""
        return f"{self.path} ({size_text(self.size_bytes)})"

    def remove(self) -> bool:
        """Delete it; whether it is gone."""
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            try:
                self.path.unlink(missing_ok=True)
            except OSError:
                return False
        return not self.path.exists()


def stored_files(temporary: Path, cache: Path) -> list[StoredFiles]:
    """What can be removed, leftovers of runs first.

    Args:
        temporary: the application's folder for temporary files.
        cache: the folder of downloads.
    """
    runs = [run.path for run in leftovers(temporary)]
    files = [temporary / LOG_NAME, *(cache / name for name in DOWNLOADS)]
    found = [*runs, *(path for path in files if path.is_file())]
    return [StoredFiles(path, _size(path)) for path in found]


def size_text(size_bytes: int) -> str:
    """ "12.3 MB"; below a megabyte in kilobytes."""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)
