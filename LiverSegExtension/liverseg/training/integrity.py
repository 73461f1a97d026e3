"""Is the data fit to train on? Every scan is looked at before the first step.

What would teach a network something false, or stop a run in its third hour, is fatal: files that cannot be
read, a CT and a label on different grids, NaN, values that are no HU, label values nobody knows, empty
labels, lesions far from any liver, the same voxels under two persons. What a person should know but a
training can live with is a note: HU clipped to a window, thick slices, crumbs of labels.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cc3d
import numpy as np

from liverseg.checks import check_volume
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.postprocess import dilate
from liverseg.reading import read_labels
from liverseg.training.datasets import LabeledScan, ScanLabels, standard_label
from liverseg.uneven import needs_even_grid
from liverseg.volume import Volume

log = logging.getLogger(__name__)

T = TypeVar("T")

# Scanners give pixels of 0.4 to 1.4 mm and slices of up to 10 mm; compact copies 3 mm.
PLAUSIBLE_SPACING_MM = (0.2, 10.0)
# Grids further apart than half of the smallest voxel give borders in the wrong place; below a hundredth of
# a millimeter it is rounding.
_SAME_PLACE_MM = 0.01
# A child's liver has some 200 ml, a very large one 5 liters.
PLAUSIBLE_LIVER_ML = (150.0, 6000.0)
# A piece of a lesion that touches no liver: below this a slip of the reader's brush, above it a label of
# something else.
LARGEST_STRAY_ML = 0.1
_FILES_SHOWN = 3
_FORCE = " (--force reads it all the same)."
_COUINAUD_VALUES = frozenset(range(10))
_VESSEL_VALUES = frozenset(range(4))


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or to be known.

    Attributes:
        fatal: nothing may be trained while it stands.
        check: which check found it, a stable word.
        file: where, as a path in the data folder.
        text: what, in plain words.
    """

    fatal: bool
    check: str
    file: str
    text: str


@dataclass(frozen=True)
class ScanReport:
    """What was found in one scan.

    Attributes:
        size_ijk, spacing_ijk_mm: of the CT; None when it could not be read.
        hu_range: lowest and highest gray value.
        liver_ml: lesions included.
        lesions: connected components (26); None when the label tells none apart.
        lesion_ml: of all of them.
    """

    case: str
    person: str
    ct: str
    label: str
    size_ijk: tuple[int, ...] | None = None
    spacing_ijk_mm: tuple[float, ...] | None = None
    hu_range: tuple[float, float] | None = None
    liver_ml: float | None = None
    lesions: int | None = None
    lesion_ml: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """The findings that forbid training."""
        return tuple(finding for finding in self.findings if finding.fatal)


@dataclass(frozen=True)
class DataReport:
    """What was found in a data set; ``findings`` are those between scans."""

    scans: tuple[ScanReport, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """All findings that forbid training."""
        return tuple(f for f in self._all() if f.fatal)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """All others."""
        return tuple(f for f in self._all() if not f.fatal)

    def _all(self) -> Iterator[Finding]:
        for scan in self.scans:
            yield from scan.findings
        yield from self.findings

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "fatal": len(self.fatal),
            "notes": len(self.notes),
            "findings": [asdict(f) for f in self.findings],
            "scans": [asdict(scan) for scan in self.scans],
        }

    def lines(self) -> list[str]:
        """For reading: each fatal finding, then the notes with their files together, then a count."""
        files: dict[tuple[str, str], list[str]] = {}
        for note in self.notes:
            files.setdefault((note.check, note.text), []).append(note.file)
        persons = len({scan.person for scan in self.scans})
        return [
            *(f"FATAL {f.check}: {f.file}: {f.text}" for f in self.fatal),
            *(f"note {check}: {text} [{_listed(named)}]" for (check, text), named in files.items()),
            f"{counted(len(self.scans), 'scan')} of {counted(persons, 'person')}: {len(self.fatal)} fatal, "
            f"{counted(len(self.notes), 'note')}",
        ]


def counted(number: int, what: str) -> str:
    """``"1 person"``, ``"2 persons"``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: list[str]) -> str:
    """The first few of several file names, and how many there are."""
    shown = ", ".join(names[:_FILES_SHOWN])
    return shown if len(names) <= _FILES_SHOWN else f"{shown}, ... {len(names)} files"


def check_data(
    scans: Sequence[LabeledScan], root: Path, each: Callable[[ScanReport], None] = lambda _: None
) -> DataReport:
    """Check every scan, and that no two share their voxels.

    Args:
        scans: as an adapter lists them; those of several adapters may be given together.
        root: the data folder, which file names in the report are relative to.
        each: called after each scan, for progress.
    """
    reports, found = [], []
    seen: dict[str, LabeledScan] = {}
    for scan in scans:
        report, digest = _check_scan(scan, root)
        other = seen.setdefault(digest, scan) if digest else scan
        if other.ct != scan.ct:
            found.append(_same_voxels(other, scan, root))
        reports.append(report)
        each(report)
    return DataReport(tuple(reports), tuple(found))


def check_maps(paths: Iterable[Path], root: Path) -> tuple[Finding, ...]:
    """Check label maps of Couinaud segments that have no CT."""
    found = _Findings()
    for path in paths:
        _check_values(path, _COUINAUD_VALUES, "Couinaud segments", root, found)
    return tuple(found.items)


def check_scan(scan: LabeledScan, root: Path) -> ScanReport:
    """Check the files of one scan; file names in the report are relative to ``root``."""
    return _check_scan(scan, root)[0]


def _same_voxels(one: LabeledScan, other: LabeledScan, root: Path) -> Finding:
    text = f"the same voxels as {_name(one.ct, root)}"
    if one.person == other.person:
        return Finding(False, "duplicate", _name(other.ct, root), f"{text}, of the same person")
    text += f", but another person ({other.person}, {one.person})"
    return Finding(True, "duplicate", _name(other.ct, root), text)


@dataclass
class _Findings:
    """Gathers what is found in one scan."""

    items: list[Finding] = field(default_factory=list)

    def fatal(self, check: str, file: str, text: str) -> None:
        self.items.append(Finding(True, check, file, text))

    def note(self, check: str, file: str, text: str) -> None:
        self.items.append(Finding(False, check, file, text))


def _check_scan(scan: LabeledScan, root: Path) -> tuple[ScanReport, str]:
    """The report, and a hash of the CT's voxels ("" when it could not be read)."""
    found = _Findings()
    ct_name, label_name = _name(scan.ct, root), _name(scan.label, root)
    ct = _read(lambda: scan.reader.ct(scan), scan.ct, ct_name, found)
    labels = _read(lambda: scan.reader.labels(scan), scan.label, label_name, found)
    facts: dict[str, Any] = {}
    if ct is not None:
        facts |= _check_ct(ct, ct_name, found)
    if ct is not None and labels is not None:
        _check_grids(ct.geometry, labels.geometry, ct_name, label_name, found)
    if labels is not None:
        facts |= _check_label(labels, scan, label_name, found)
        _check_other_maps(labels.label, labels.geometry, scan, root, found)
    digest = "" if ct is None else hashlib.sha256(np.ascontiguousarray(ct.array).data).hexdigest()
    return ScanReport(
        scan.case, scan.person, ct_name, label_name, findings=tuple(found.items), **facts
    ), digest


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _reason(error: InputRefused, path: Path) -> str:
    """The refusal, without the file's name in front: the finding has it."""
    text = str(error)
    for name in (str(path), path.name):
        text = text.removeprefix(name)
    return text.lstrip(": ")


def _read(read: Callable[[], T], path: Path, name: str, found: _Findings) -> T | None:
    try:
        return read()
    except InputRefused as error:
        found.fatal("readable", name, _reason(error, path))
        return None


def _check_ct(ct: Volume, name: str, found: _Findings) -> dict[str, Any]:
    for warning in ct.warnings:
        # The reader replaces NaN by air and says so; in training data they have no business.
        if "NaN" in warning:
            found.fatal("numbers", name, warning)
        else:
            found.note("header", name, warning)
    low, high = PLAUSIBLE_SPACING_MM
    spacing = tuple(round(float(s), 4) for s in ct.geometry.spacing_ijk)
    if min(spacing) < low or max(spacing) > high:
        shown = " x ".join(f"{s:g}" for s in spacing)
        text = f"voxels of {shown} mm; plausible are {low:g} to {high:g} mm along each axis"
        found.fatal("spacing", name, text)
    if needs_even_grid(ct):
        found.fatal(
            "slices", name, "slices that lie unevenly or slanted: resample the scan and its labels first"
        )
    try:
        for warning in check_volume(ct).warnings:
            found.note("values", name, warning)
    except InputRefused as error:
        found.fatal("values", name, str(error).removesuffix(_FORCE))
    return {
        "size_ijk": tuple(int(n) for n in reversed(ct.geometry.shape)),
        "spacing_ijk_mm": spacing,
        "hu_range": (float(ct.array.min()), float(ct.array.max())),
    }


def _check_grids(one: Geometry, other: Geometry, name: str, other_name: str, found: _Findings) -> None:
    """``other`` must lie on the grid of ``one``."""
    if one.shape != other.shape:
        sizes = [" x ".join(str(n) for n in reversed(g.shape)) for g in (one, other)]
        found.fatal("grid", other_name, f"{sizes[1]} voxels, but {name} has {sizes[0]}")
    elif not one.matches(other, float(one.spacing_ijk.min()) / 2):
        found.fatal("grid", other_name, f"lies elsewhere than {name} (the affines differ)")
    elif not one.matches(other, _SAME_PLACE_MM):
        found.note("grid", other_name, f"lies less than half a voxel beside {name}")


def _check_label(labels: ScanLabels, scan: LabeledScan, name: str, found: _Findings) -> dict[str, Any]:
    label, geometry = labels.label, labels.geometry
    values = [scan.liver_value, None if scan.liver_only else scan.lesion_value]
    allowed = sorted({0, *(value for value in values if value is not None)})
    surplus = sorted({int(v) for v in np.unique(label)} - set(allowed))
    if surplus:
        found.fatal("label values", name, f"holds the values {surplus}; allowed are {allowed}")
    if labels.vessels is not None and not set(np.unique(labels.vessels).tolist()) <= _VESSEL_VALUES:
        found.fatal("label values", name, "holds values of vessels that nobody declared")
    standard = standard_label(label, scan)
    if scan.liver_value is None:
        found.note("no liver", name, "nobody drew the liver: no network can be trained on it without one")
        if not (standard > 0).any() and (labels.vessels is None or not labels.vessels.any()):
            found.fatal("empty label", name, "holds nothing")
        return _lesion_facts(standard, geometry)
    if not (standard > 0).any():
        found.fatal("empty label", name, "holds no liver")
        return {"liver_ml": 0.0, "lesions": None if scan.liver_only else 0}
    liver_ml = float((standard > 0).sum() * geometry.voxel_volume_ml)
    low, high = PLAUSIBLE_LIVER_ML
    if not low <= liver_ml <= high:
        text = f"a liver of {liver_ml:.0f} ml (plausible are {low:g} to {high:g})"
        found.note("liver volume", name, text)
    facts: dict[str, Any] = {"liver_ml": round(liver_ml, 1)}
    if not scan.liver_only:
        facts |= _check_lesions(standard, geometry, name, found)
    return facts


def _check_lesions(standard: np.ndarray, geometry: Geometry, name: str, found: _Findings) -> dict[str, Any]:
    """Lesions must touch the liver (26 neighbors): count, volume, strays."""
    labels, count = cc3d.connected_components(standard == 2, connectivity=26, return_N=True)
    statistics = cc3d.statistics(labels)
    strays = []
    for lesion in range(1, count + 1):
        box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in statistics["bounding_boxes"][lesion])
        # Some neighbor (26) of a component that touches the liver is liver; other lesions do not count.
        if not (dilate(labels[box] == lesion) & (standard[box] == 1)).any():
            strays.append(float(statistics["voxel_counts"][lesion]) * geometry.voxel_volume_ml)
    if strays:
        text = f"{len(strays)} lesions of up to {max(strays):.2g} ml touch no liver"
        if max(strays) > LARGEST_STRAY_ML:
            found.fatal("stray lesion", name, text)
        else:
            found.note("stray lesion", name, text)
    return _lesion_facts(standard, geometry)


def _lesion_facts(standard: np.ndarray, geometry: Geometry) -> dict[str, Any]:
    _, count = cc3d.connected_components(standard == 2, connectivity=26, return_N=True)
    return {
        "lesions": int(count),
        "lesion_ml": round(float((standard == 2).sum() * geometry.voxel_volume_ml), 2),
    }


def _check_other_maps(
    label: np.ndarray, geometry: Geometry, scan: LabeledScan, root: Path, found: _Findings
) -> None:
    """Couinaud segments and vessels: readable, on the label's grid, values known, not empty.

    A map of the anatomy need be readable alone: its grid is its own, and what it lacks nobody drew.
    """
    if scan.anatomy is not None:
        _read(partial(read_labels, scan.anatomy), scan.anatomy, _name(scan.anatomy, root), found)
    label_name = _name(scan.label, root)
    maps = [(path, _COUINAUD_VALUES, "Couinaud segments") for path in scan.couinaud]
    if scan.vessels is not None:
        maps.append((scan.vessels, _VESSEL_VALUES, "vessels"))
    for path, allowed, what in maps:
        name = _name(path, root)
        read = _check_values(path, allowed, what, root, found)
        if read is None:
            continue
        _check_grids(geometry, read[1], label_name, name, found)
        if what == "Couinaud segments" and geometry.shape == read[1].shape and read[0].any():
            liver = standard_label(label, scan) > 0
            share = float((liver & (read[0] > 0)).sum() / max(1, int(liver.sum())))
            if share < 0.9:
                found.note("couinaud", name, f"covers {100 * share:.0f} % of the liver")


def _check_values(
    path: Path, allowed: frozenset[int], what: str, root: Path, found: _Findings
) -> tuple[np.ndarray, Geometry] | None:
    """A map as it was read, or None; its values must be known, and some must be there."""
    name = _name(path, root)
    read = _read(partial(read_labels, path), path, name, found)
    if read is None:
        return None
    surplus = sorted({int(v) for v in np.unique(read[0])} - allowed)
    if surplus:
        found.fatal("label values", name, f"holds the values {surplus}; no {what} are called so")
    if not read[0].any():
        found.fatal("empty label", name, f"holds no {what}")
    return read
