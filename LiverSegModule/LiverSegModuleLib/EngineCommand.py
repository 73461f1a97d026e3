"""The command line of the engine's own process. Free of Qt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from LiverSegModuleLib.Translation import _

DEVICES = ("auto", "cuda", "mps", "cpu")
QUALITIES = ("full", "fast")
TILES = ("auto", "half")
COUINAUD_METHODS = ("shape", "vessels", "landmarks")


@dataclass(frozen=True)
class EngineOptions:
    """How the CT is read out.

    Attributes:
        device: one of :data:`DEVICES`.
        quality: one of :data:`QUALITIES`.
        split_segment_4: segment IV as IVa and IVb.
        force: go on where the gray values are no plausible Hounsfield units.
        model: a name or a bundle's folder; empty for the default.
        tile: one of :data:`TILES`.
        couinaud_method: one of :data:`COUINAUD_METHODS`; landmarks are all guessed.
    """

    device: str = "auto"
    quality: str = "full"
    split_segment_4: bool = False
    force: bool = False
    model: str = ""
    tile: str = "auto"
    couinaud_method: str = "shape"

    def is_valid(self) -> tuple[bool, str]:
        """Whether the engine knows these options, and if not, why."""
        if self.device not in DEVICES:
            return False, _("the device {device} is not known; use one of {names}").format(
                device=repr(self.device), names=", ".join(DEVICES)
            )
        if self.quality not in QUALITIES:
            return False, _("the quality {quality} is not known; use one of {names}").format(
                quality=repr(self.quality), names=", ".join(QUALITIES)
            )
        if self.tile not in TILES:
            return False, _("the tile {tile} is not known; use one of {names}").format(
                tile=repr(self.tile), names=", ".join(TILES)
            )
        if self.couinaud_method not in COUINAUD_METHODS:
            return False, _("the Couinaud method {method} is not known; use one of {names}").format(
                method=repr(self.couinaud_method), names=", ".join(COUINAUD_METHODS)
            )
        return True, ""


@dataclass(frozen=True)
class CouinaudFiles:
    """The files of a split of a liver in the engine's own process, all in one folder."""

    folder: Path

    @property
    def liver(self) -> Path:
        """The liver's mask. NRRD keeps the grid in double precision."""
        return self.folder / "liver.nrrd"

    @property
    def vessels(self) -> Path:
        """Labels of vessels on the same grid."""
        return self.folder / "vessels.nrrd"

    @property
    def landmarks(self) -> Path:
        """Landmarks that were placed, and those left where they were guessed."""
        return self.folder / "landmarks.json"

    @property
    def segments(self) -> Path:
        """The label map that the engine writes."""
        return self.folder / "segments.nii.gz"

    @property
    def guess(self) -> Path:
        """Where the engine guesses the landmarks."""
        return self.folder / "guess.mrk.json"

    @property
    def report(self) -> Path:
        """Method, confidence and warnings of the split."""
        return self.folder / "split.json"


def build_arguments(ct: Path, output: Path, options: EngineOptions) -> list[str]:
    """Arguments for a Python interpreter that run ``liverseg segment`` with JSON progress lines.

    Raises:
        ValueError: an option the engine does not know.
    """
    return ["-m", "liverseg", "segment", str(ct), "-o", str(output), *_option_arguments(options)]


def build_batch_arguments(source: Path, output: Path, options: EngineOptions) -> list[str]:
    """Arguments for a Python interpreter that run ``liverseg batch`` with JSON progress lines.

    Args:
        source: a folder of CTs, a list or a table.
        output: the folder of the cases' folders.

    Raises:
        ValueError: an option the engine does not know.
    """
    return ["-m", "liverseg", "batch", str(source), "-o", str(output), *_option_arguments(options)]


def build_couinaud_arguments(
    files: CouinaudFiles, method: str, split_segment_4: bool, model: str, vessels: bool
) -> list[str]:
    """Arguments for a Python interpreter that run ``liverseg couinaud`` with JSON progress lines.

    Args:
        files: what to read and to write.
        method: of the engine.
        split_segment_4: segment IV as IVa and IVb.
        model: a name or a bundle's folder; empty for the default.
        vessels: whether there is a file of vessels.
    """
    arguments = ["-m", "liverseg", "couinaud", str(files.liver), "-o", str(files.segments)]
    arguments += ["--method", method, "--landmarks", str(files.landmarks), "--report", str(files.report)]
    arguments += ["--save-landmarks", str(files.guess), "--json-progress"]
    if split_segment_4:
        arguments.append("--split-segment-4")
    if vessels:
        arguments += ["--vessels", str(files.vessels)]
    if model:
        arguments += ["--model", model]
    return arguments


def build_devices_arguments() -> list[str]:
    """Arguments for a Python interpreter that list the devices as JSON, in the summary of a JSON line."""
    return ["-m", "liverseg", "devices", "--json", "--json-progress"]


def build_compare_arguments(before: Path, after: Path, output: Path, overwrite: bool = False) -> list[str]:
    """Arguments for a Python interpreter that run ``liverseg compare`` with JSON progress lines.

    Args:
        before, after: result folders.
        output: the folder for the comparison.
        overwrite: replace an earlier comparison in it.
    """
    arguments = ["-m", "liverseg", "compare", str(before), str(after), "-o", str(output), "--json-progress"]
    return [*arguments, "--overwrite"] if overwrite else arguments


def _option_arguments(options: EngineOptions) -> list[str]:
    valid, reason = options.is_valid()
    if not valid:
        raise ValueError(reason)
    arguments = ["--device", options.device, "--quality", options.quality, "--json-progress"]
    if options.split_segment_4:
        arguments.append("--split-segment-4")
    if options.force:
        arguments.append("--force")
    if options.tile != "auto":
        arguments += ["--tile", options.tile]
    if options.couinaud_method != "shape":
        arguments += ["--couinaud-method", options.couinaud_method]
    if options.model:
        arguments += ["--model", options.model]
    return arguments


def child_environment(packages: Path, parent: Mapping[str, str]) -> dict[str, str]:
    """The variables that the engine's process has beside those of this one.

    Args:
        packages: the folder of the package ``liverseg``; comes first on the child's ``PYTHONPATH``.
        parent: the environment of this process.
    """
    inherited = parent.get("PYTHONPATH", "")
    return {
        "PYTHONPATH": os.pathsep.join([str(packages), inherited] if inherited else [str(packages)]),
        # Progress lines must come at once, and file names and messages are UTF-8 on Windows, too.
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
