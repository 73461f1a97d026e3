"""The series of a folder of DICOM files as stacks of slices, and what is wrong with each.

Headers are read by pydicom, pixels not at all. Places come from ImagePositionPatient and
ImageOrientationPatient alone (DICOM PS3.3 C.7.6.2.1.1), never from file names, instance numbers or
SliceLocation. No patient name is read or kept.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from liverseg.checks import FEWEST_SLICES
from liverseg.errors import InputRefused
from liverseg.file_headers import cannot_open

log = logging.getLogger(__name__)

# Folders in the root of a disk that belong to the system, and that nobody else may open.
OF_THE_DISK = {"System Volume Information", "$RECYCLE.BIN", "lost+found"}
# Slices nearer to each other than this lie at the same place (a second phase or a second reconstruction).
SAME_PLACE_MM = 0.01
# A gap of this many median gaps means that a slice is missing.
GAP_FACTOR = 1.5
# Direction cosines of one series agree up to this; they are written with six digits or fewer.
SAME_DIRECTION = 1e-3

_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription"),
    *("SeriesNumber", "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames"),
    *("PixelSpacing", "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]


class NotOpened(InputRefused):
    """A refusal that names a file or folder of a series, which may be called by the patient's name.

    Attributes:
        without_names: the same without the name, for files that are kept.
    """

    def __init__(self, shown: object, kind: str, error: OSError) -> None:
        super().__init__(str(cannot_open(shown, error)))
        self.without_names = str(cannot_open(f"A {kind} of the series", error))


@dataclass(frozen=True)
class SeriesInfo:
    """One DICOM series of a folder.

    Attributes:
        uid: SeriesInstanceUID.
        study_uid: StudyInstanceUID, empty when missing.
        description: SeriesDescription: free text that may name the patient, for the terminal alone.
        modality: DICOM Modality ("CT", "MR", ...).
        number: SeriesNumber or None.
        slices: number of images.
        spacing_mm: voxel size (i, j, k) in mm, k being the median gap; None where it is not known.
        size: number of voxels (i, j, k).
        localizer: a scout: every image's ImageType says LOCALIZER.
        complete: one stack of at least four slices without a gap, and nothing in ``problems``.
        problems: why it cannot be read as one volume, one plain phrase each.
        gaps: number of gaps where slices are missing.
        missing_slices: how many slices would fill them.
    """

    uid: str
    study_uid: str
    description: str
    modality: str
    number: int | None
    slices: int
    spacing_mm: tuple[float, float, float] | None
    size: tuple[int, int, int]
    localizer: bool
    complete: bool
    problems: tuple[str, ...]
    gaps: int
    missing_slices: int = 0

    def __str__(self) -> str:
        """One line for a list: modality, description, slices, spacing, what is wrong, uid."""
        words = [self.modality or "?", f'"{self.description}"', f"{self.slices} slices"]
        if self.spacing_mm is not None:
            words.append(" x ".join(f"{s:.4g}" for s in self.spacing_mm) + " mm")
        if self.localizer:
            words.append("scout")
        if self.gaps:
            words.append(f"{slice_count(self.missing_slices)} missing")
        words.extend(self.problems)
        return ", ".join(words) + f", uid {self.uid}"

    def without_names(self) -> str:
        """What tells the series from others without free text: number and uid."""
        return f"uid {self.uid}" if self.number is None else f"number {self.number}, uid {self.uid}"


def slice_count(count: int) -> str:
    """A number of slices in words."""
    return "1 slice" if count == 1 else f"{count} slices"


@dataclass(frozen=True)
class Slice:
    """One image: a file, or a frame of an enhanced multi-frame file."""

    path: Path
    frame: int
    uid: str
    position: np.ndarray | None
    orientation: np.ndarray | None
    pixel_spacing: tuple[float, float] | None
    thickness: float | None


@dataclass(frozen=True)
class Stack:
    """A series with its slices sorted along the normal."""

    info: SeriesInfo
    slices: tuple[Slice, ...]
    positions: np.ndarray


def stacks_of(folder: Path) -> list[Stack]:
    """All series of a folder and its subfolders that hold images, by series number.

    Raises:
        InputRefused: the folder is missing, empty, cannot be read or holds no DICOM images.
    """
    if not folder.is_dir():
        raise InputRefused(f"{folder} is no folder: give the folder that holds the DICOM files.")
    files = _files_below(folder)
    if not files:
        raise InputRefused(f"{folder} is an empty folder: give the folder that holds the DICOM files.")
    by_series: dict[str, dict[str, tuple[Path, Dataset]]] = defaultdict(dict)
    for path, header in images_among(files):
        # The same instance copied twice into a folder is one image.
        by_series[str(header.SeriesInstanceUID)].setdefault(
            str(header.get("SOPInstanceUID", path)), (path, header)
        )
    if not by_series:
        raise InputRefused(
            f"{folder} holds {len(files)} files but no DICOM images: give the folder of a CT series."
        )
    stacks = [stack_of(list(images.values())) for images in by_series.values()]
    log.info("%d DICOM series found", len(stacks))
    unknown = 1 << 31
    return sorted(stacks, key=lambda s: (unknown if s.info.number is None else s.info.number, s.info.uid))


def _files_below(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, sorted.

    Raises:
        InputRefused: a folder cannot be looked into. Left out, a part of a series would pass for all of it.
    """

    def fail(error: OSError) -> None:
        raise error

    try:
        paths = []
        for place, folders, names in os.walk(folder, onerror=fail):
            folders[:] = [name for name in folders if name not in OF_THE_DISK]
            paths += [Path(place, name) for name in names]
        return sorted(path for path in paths if path.is_file())
    except OSError as error:
        raise NotOpened(error.filename or folder, "folder", error) from error


def images_among(files: Sequence[Path]) -> list[tuple[Path, Dataset]]:
    """The files that are DICOM images, with their headers; others are left out.

    Raises:
        InputRefused: a file cannot be opened.
    """
    read = ((path, _header(path)) for path in files)
    return [(path, header) for path, header in read if header is not None and _is_image(header)]


def _is_image(header: Dataset) -> bool:
    """Of a series and with pixels; whether their number can be read is asked later."""
    return bool(header.get("SeriesInstanceUID")) and "Rows" in header and "Columns" in header


def _header(path: Path) -> Dataset | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (InvalidDicomError, EOFError):
        return None
    except OSError as error:
        raise NotOpened(path.name, "file", error) from error


def _numbers(header: Dataset, keyword: str, count: int) -> np.ndarray | None:
    """``count`` finite numbers of an element, or None."""
    try:
        values = np.array(header.get(keyword), dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    return values if values.size == count and np.isfinite(values).all() else None


def _integer(header: Dataset, keyword: str) -> int | None:
    """A whole number of an element; None where it is missing, empty or damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(header.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return None


def _group(groups: list[Dataset], sequence: str) -> Dataset:
    """The first item of a functional group's sequence, from the frame's groups or the shared ones."""
    return next((g[sequence][0] for g in groups if sequence in g and len(g[sequence].value)), Dataset())


def _slices_of(path: Path, header: Dataset) -> list[Slice]:
    """The images of a file: one, or one a frame of an enhanced file (DICOM PS3.3 C.7.6.16)."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    sources = [(header, header, header)]
    if frames:
        names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        sources = [tuple(_group([frame, *shared], name) for name in names) for frame in frames]  # type: ignore[misc]
    result = []
    for n, (place, plane, measures) in enumerate(sources):
        spacing = _numbers(measures, "PixelSpacing", 2)
        thickness = _numbers(measures, "SliceThickness", 1)
        result.append(
            Slice(
                path=path,
                frame=n,
                uid=str(header.get("SOPInstanceUID", "")),
                position=_numbers(place, "ImagePositionPatient", 3),
                orientation=_numbers(plane, "ImageOrientationPatient", 6),
                pixel_spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
                thickness=None if thickness is None else float(thickness[0]),
            )
        )
    return result


def _is_localizer(header: Dataset) -> bool:
    kind = header.get("ImageType") or []
    return "LOCALIZER" in ([kind] if isinstance(kind, str) else [str(k).upper() for k in kind])


def stack_of(images: list[tuple[Path, Dataset]]) -> Stack:
    """A series' images, sorted along their normal, and what is wrong with them."""
    no_scouts = [(path, header) for path, header in images if not _is_localizer(header)]
    localizer = not no_scouts
    images = no_scouts or images
    first = images[0][1]
    slices = [s for path, header in images for s in _slices_of(path, header)]
    problems = _header_problems([header for _, header in images], slices)
    positions = np.zeros(len(slices))
    gaps = missing = 0
    if not problems:
        row, column = directions_of(slices[0])
        normal = np.cross(row, column)
        places = np.array([s.position for s in slices]) @ normal
        order = np.argsort(places, kind="stable")
        slices, positions = [slices[n] for n in order], places[order]
        steps = np.diff(positions)
        same = int((steps < SAME_PLACE_MM).sum())
        if same:
            problems.append(f"{same} images lie at the place of another (several phases in one series?)")
        elif len(steps):
            wide = steps[steps > GAP_FACTOR * np.median(steps)]
            gaps = len(wide)
            missing = int((np.rint(wide / np.median(steps)) - 1).sum())
    spacing = _spacing(slices[0], positions)
    if spacing is None and not problems:
        problems.append("a single image without a slice thickness")
    info = SeriesInfo(
        uid=str(first.SeriesInstanceUID),
        study_uid=str(first.get("StudyInstanceUID", "")),
        description=str(first.get("SeriesDescription", "") or ""),
        modality=str(first.get("Modality", "") or ""),
        number=_integer(first, "SeriesNumber"),
        slices=len(slices),
        spacing_mm=spacing,
        size=(_integer(first, "Columns") or 0, _integer(first, "Rows") or 0, len(slices)),
        localizer=localizer,
        complete=not (problems or gaps or localizer) and len(slices) >= FEWEST_SLICES,
        problems=tuple(problems),
        gaps=gaps,
        missing_slices=missing,
    )
    return Stack(info, tuple(slices), positions)


def _header_problems(headers: list[Dataset], slices: list[Slice]) -> list[str]:
    """What keeps the images from being one volume, apart from where they lie along the normal."""
    problems = []
    sizes = {(_integer(h, "Rows"), _integer(h, "Columns")) for h in headers}
    if any(not n for size in sizes for n in size):
        problems.append("images without a readable size (Rows, Columns)")
    elif len(sizes) > 1:
        problems.append("images of different sizes")
    if any((_integer(h, "SamplesPerPixel") or 1) > 1 for h in headers):
        problems.append("color images")
    if len(headers) > 1 and any((_integer(h, "NumberOfFrames") or 1) > 1 for h in headers):
        problems.append("several multi-frame files")
    elif len(headers) == 1 and (_integer(headers[0], "NumberOfFrames") or 1) != len(slices):
        problems.append("multi-frame file without the place of each frame")
    if any(s.position is None or s.orientation is None for s in slices):
        problems.append("images without a place in the patient (ImagePositionPatient)")
        return problems
    if len({s.pixel_spacing for s in slices}) > 1:
        problems.append("images of different pixel spacing")
    if any(s.pixel_spacing is None or min(s.pixel_spacing) <= 0 for s in slices):
        problems.append("a missing, zero or negative pixel spacing")
    directions = np.array([s.orientation for s in slices])
    lengths = np.linalg.norm(directions.reshape(-1, 2, 3), axis=2)
    crossing = np.abs((directions[:, :3] * directions[:, 3:]).sum(axis=1))
    if np.abs(lengths - 1).max() > 0.01 or crossing.max() > 0.01:
        problems.append("a singular image orientation")
    elif np.abs(directions - directions[0]).max() > SAME_DIRECTION:
        problems.append("images of different orientation")
    return problems


def directions_of(image: Slice) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (LPS) along a row (i) and along a column (j), at right angles."""
    assert image.orientation is not None  # a problem otherwise, and then not asked for
    row = image.orientation[:3] / np.linalg.norm(image.orientation[:3])
    column = image.orientation[3:] - (image.orientation[3:] @ row) * row
    return row, column / np.linalg.norm(column)


def _spacing(image: Slice, positions: np.ndarray) -> tuple[float, float, float] | None:
    """Voxel size (i, j, k) in mm; of a single slice its thickness."""
    if image.pixel_spacing is None:
        return None
    steps = np.diff(positions)
    gap = float(np.median(steps)) if len(steps) else (image.thickness or 0.0)
    between_rows, between_columns = image.pixel_spacing
    return (between_columns, between_rows, gap) if gap > 0 else None
