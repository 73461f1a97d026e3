"""The temporary folder of one run: the CT, the engine's outputs, and the way back to a ``Case``.

Free of Qt.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from LiverSegModuleLib.Translation import _

if TYPE_CHECKING:
    from liverseg.case import Case, Provenance
    from liverseg.volume import Volume

PREFIX = "LiverSeg-"
# Names the process that made the folder.
OWNER = "owner"


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. Holds image data, so it is always removed at the end.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def create(cls, parent: Path) -> RunFolder:
        """A new, empty folder in ``parent`` that only this user can read."""
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        (path / OWNER).write_text(str(os.getpid()), encoding="ascii")
        return cls(path)

    @property
    def ct(self) -> Path:
        """Where the CT is put for the engine. NRRD keeps the grid in double precision."""
        return self.path / "ct.nrrd"

    @property
    def output(self) -> Path:
        """Where the engine writes to; it makes the folder itself."""
        return self.path / "output"

    def remove(self) -> None:
        """Delete the folder; files that another process still holds open stay behind."""
        shutil.rmtree(self.path, ignore_errors=True)


def leftovers(parent: Path) -> list[RunFolder]:
    """Folders of runs in ``parent`` that no running process has marked as its own."""
    try:
        import psutil
    except ModuleNotFoundError:
        # It comes with the engine's packages, without which no run was ever made.
        return []
    found = []
    for path in sorted(parent.glob(f"{PREFIX}*")):
        owner = path / OWNER
        pid = owner.read_text(encoding="ascii").strip() if owner.is_file() else ""
        if path.is_dir() and not (pid.isdecimal() and psutil.pid_exists(int(pid))):
            found.append(RunFolder(path))
    return found


def write_ct(run: RunFolder, ct: Volume) -> None:
    """Put the CT where the engine reads it from, on its own grid and without compression, which is faster."""
    import SimpleITK as sitk

    from liverseg.reading import to_sitk

    sitk.WriteImage(to_sitk(ct.array, ct.geometry), str(run.ct), False)


def read_case(run: RunFolder) -> Case:
    """The result of a finished run, rebuilt from its masks and its report.

    Raises:
        liverseg.errors.InputRefused: a file is missing or does not fit the CT.
    """
    from liverseg.case import CouinaudMethod
    from liverseg.errors import InputRefused
    from liverseg.masks_reading import read_masks
    from liverseg.measure import measure
    from liverseg.reading import read_volume

    report_path = run.output / "report.json"
    if not report_path.is_file():
        raise InputRefused(_("the engine left no report.json; see the log for its last words"))
    report = json.loads(report_path.read_text(encoding="utf-8"))
    ct = read_volume(run.ct)
    read = read_masks(run.output, ct)
    return measure(
        ct,
        read.masks,
        method=read.method or CouinaudMethod("unknown"),
        provenance=provenance_of(report),
        tracking_uids=read.tracking_uids,
        reviews=read.reviews,
        confidences=read.confidences,
        # The report has the warnings of the run that made the masks; reading them back may add some.
        warnings=tuple(dict.fromkeys((*report.get("warnings", ()), *read.warnings))),
    )


def provenance_of(report: dict[str, object]) -> Provenance:
    """The provenance that a ``report.json`` tells; fields that this version does not know are left out."""
    from liverseg.case import Provenance

    told = report.get("provenance")
    told = told if isinstance(told, dict) else {}
    known = {field.name for field in fields(Provenance)}
    return Provenance(**{"version": "unknown"} | {name: told[name] for name in known & told.keys()})
