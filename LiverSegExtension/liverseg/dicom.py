"""A folder of DICOM files: which series lie in it, which one is the CT, and its voxels.

Headers are read by pydicom, pixels (with RescaleSlope and Intercept, and whatever compression GDCM knows) by
SimpleITK. Places come from ImagePositionPatient and ImageOrientationPatient alone (DICOM PS3.3 C.7.6.2.1.1),
never from file names, instance numbers or SliceLocation. No patient name is read or kept.
"""

from __future__ import annotations

import logging
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from liverseg.checks import FEWEST_SLICES
from liverseg.errors import InputRefused
from liverseg.geometry import LPS_TO_RAS, Geometry
from liverseg.reading import gray_values, quiet_itk, with_hash
from liverseg.uneven import is_sheared, uneven_positions
from liverseg.volume import Source, Volume

log = logging.getLogger(__name__)

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
            words.append(f"{_slice_count(self.missing_slices)} missing")
        words.extend(self.problems)
        return ", ".join(words) + f", uid {self.uid}"

    def without_names(self) -> str:
        """What tells the series from others without free text: number and uid."""
        return f"uid {self.uid}" if self.number is None else f"number {self.number}, uid {self.uid}"


def _slice_count(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


@dataclass(frozen=True)
class _Slice:
    """One image: a file, or a frame of an enhanced multi-frame file."""

    path: Path
    frame: int
    uid: str
    position: np.ndarray | None
    orientation: np.ndarray | None
    pixel_spacing: tuple[float, float] | None
    thickness: float | None


@dataclass(frozen=True)
class _Stack:
    """A series with its slices sorted along the normal."""

    info: SeriesInfo
    slices: tuple[_Slice, ...]
    positions: np.ndarray


def list_series(folder: Path) -> list[SeriesInfo]:
    """All series of a folder and its subfolders that hold images, by series number.

    Raises:
        InputRefused: the folder is missing, empty or holds no DICOM images.
    """
    return [stack.info for stack in _stacks(Path(folder))]


def read_series(folder: Path, series_uid: str | None = None) -> Volume:
    """Read one CT series of a folder.

    Without ``series_uid`` the only CT series is taken, or the only one that is complete; scouts do not count.

    Returns:
        A ``Volume`` whose slices rise along the normal; ``slice_positions_mm`` is set when they lie unevenly
        and the affine is sheared under gantry tilt. A warning tells when one series was chosen among several.

    Raises:
        InputRefused: no DICOM, no such series, another modality, several series that fit equally well, or a
            series that is not one stack of slices.
    """
    folder = Path(folder)
    stacks = _stacks(folder)
    chosen, notes = choose_series([stack.info for stack in stacks], series_uid)
    return _volume(next(s for s in stacks if s.info is chosen), notes)


def read_files(files: Sequence[Path]) -> Volume:
    """The images of these files as one stack, whatever series they claim to be of.

    For data sets whose every image was given a series of its own, and for the images of one phase.

    Returns:
        As :func:`read_series`.

    Raises:
        InputRefused: no image among them, or they are not one stack of slices.
    """
    images = [(path, header) for path in files if (header := _header(path)) is not None]
    images = [(path, header) for path, header in images if _is_image(header)]
    if not images:
        raise InputRefused(f"none of {len(files)} files is a DICOM image.")
    return _volume(_stack(images), ())


def _volume(stack: _Stack, notes: tuple[str, ...]) -> Volume:
    """The voxels of a stack."""
    info = stack.info
    if info.problems:
        raise InputRefused(
            f"The series cannot be read as one volume: {info}. Export one whole stack of slices."
        )
    source = _source(stack)
    array, mended = gray_values(_pixels(stack), f'The series "{source.name}"')
    volume = Volume(
        array,
        _geometry(stack),
        source,
        (*notes, *_missing(info), *mended),
        uneven_positions(stack.positions),
    )
    return with_hash(volume)


def series_of_files(files: Sequence[Path]) -> tuple[Source, Geometry]:
    """Where a series comes from and its grid, by the headers of its files; no pixels are read.

    Raises:
        InputRefused: a file is missing or no image, or they are not one stack of one series.
    """
    images = []
    for path in files:
        if not path.is_file():
            raise InputRefused("A DICOM file of the series is not in its place any more.")
        header = _header(path)
        if header is None or not _is_image(header):
            raise InputRefused("A file of the series is no DICOM image.")
        images.append((path, header))
    if len({str(header.SeriesInstanceUID) for _, header in images}) != 1:
        raise InputRefused("The files are not those of one DICOM series.")
    stack = _stack(images)
    if stack.info.problems:
        raise InputRefused(f"The series is not one stack of slices: {'; '.join(stack.info.problems)}.")
    return _source(stack), _geometry(stack)


def _source(stack: _Stack) -> Source:
    return Source(
        kind="dicom",
        name=stack.info.description or "DICOM series",
        study_uid=stack.info.study_uid or None,
        series_uid=stack.info.uid,
        modality=stack.info.modality or None,
        instance_uids=tuple(dict.fromkeys(s.uid for s in stack.slices)),
        files=tuple((s.path, s.frame) for s in stack.slices),
    )


def _missing(info: SeriesInfo) -> tuple[str, ...]:
    """A warning of slices that are missing in a series, or nothing."""
    if not info.missing_slices:
        return ()
    verb = "is" if info.missing_slices == 1 else "are"
    return (
        f"{_slice_count(info.missing_slices)} {verb} missing in the series; what lies there is interpolated, "
        "and volumes there are less exact.",
    )


def choose_series(
    series: list[SeriesInfo], series_uid: str | None = None
) -> tuple[SeriesInfo, tuple[str, ...]]:
    """The series to read and a word about it, free of free text, when there was a choice.

    Raises:
        InputRefused: unknown uid, no CT, or several that fit equally well; the series are listed.
    """
    listed = "; ".join(f"({n}) {info}" for n, info in enumerate(series, 1))
    if series_uid is not None:
        found = [info for info in series if info.uid == series_uid]
        if not found:
            raise InputRefused(f"No series {series_uid} in this folder; choose one of: {listed}.")
        if found[0].modality not in ("CT", ""):
            raise InputRefused(
                f"The series {found[0]} is {found[0].modality}, not CT: choose a CT of: {listed}."
            )
        return found[0], ()
    fitting = [info for info in series if info.modality in ("CT", "") and not info.localizer]
    if not fitting:
        raise InputRefused(f"The folder holds no CT series, only: {listed}.")
    if len(series) == 1:
        return fitting[0], ()
    # Dose reports, bolus trackers and untagged scouts do not compete with a stack of slices.
    fitting = [i for i in fitting if not i.problems and i.slices >= FEWEST_SLICES] or fitting
    whole = [info for info in fitting if info.complete]
    if len(fitting) == 1:
        return fitting[0], (
            f"Of {len(series)} series in the folder the only CT was taken: {fitting[0].without_names()}.",
        )
    if len(whole) == 1:
        why = "the only CT that is one stack without gaps"
        return whole[0], (
            f"Of {len(series)} series in the folder {why} was taken: {whole[0].without_names()}.",
        )
    raise InputRefused(f"Several CT series fit equally well; choose one by its uid: {listed}.")


def _stacks(folder: Path) -> list[_Stack]:
    if not folder.is_dir():
        raise InputRefused(f"{folder} is no folder: give the folder that holds the DICOM files.")
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if not files:
        raise InputRefused(f"{folder} is an empty folder: give the folder that holds the DICOM files.")
    by_series: dict[str, dict[str, tuple[Path, Dataset]]] = defaultdict(dict)
    for path in files:
        header = _header(path)
        if header is not None and _is_image(header):
            # The same instance copied twice into a folder is one image.
            by_series[str(header.SeriesInstanceUID)].setdefault(
                str(header.get("SOPInstanceUID", path)), (path, header)
            )
    if not by_series:
        raise InputRefused(
            f"{folder} holds {len(files)} files but no DICOM images: give the folder of a CT series."
        )
    stacks = [_stack(list(images.values())) for images in by_series.values()]
    log.info("%d DICOM series found", len(stacks))
    unknown = 1 << 31
    return sorted(stacks, key=lambda s: (unknown if s.info.number is None else s.info.number, s.info.uid))


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
        raise InputRefused(f"A file of the folder cannot be opened ({error.strerror}).") from error


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


def _slices_of(path: Path, header: Dataset) -> list[_Slice]:
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
            _Slice(
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


def _stack(images: list[tuple[Path, Dataset]]) -> _Stack:
    """Sort a series' images along their normal and see what is wrong with them."""
    no_scouts = [(path, header) for path, header in images if not _is_localizer(header)]
    localizer = not no_scouts
    images = no_scouts or images
    first = images[0][1]
    slices = [s for path, header in images for s in _slices_of(path, header)]
    problems = _header_problems([header for _, header in images], slices)
    positions = np.zeros(len(slices))
    gaps = missing = 0
    if not problems:
        row, column = _directions(slices[0])
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
    return _Stack(info, tuple(slices), positions)


def _header_problems(headers: list[Dataset], slices: list[_Slice]) -> list[str]:
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


def _directions(image: _Slice) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (LPS) along a row (i) and along a column (j), at right angles."""
    assert image.orientation is not None  # a problem otherwise, and then not asked for
    row = image.orientation[:3] / np.linalg.norm(image.orientation[:3])
    column = image.orientation[3:] - (image.orientation[3:] @ row) * row
    return row, column / np.linalg.norm(column)


def _spacing(image: _Slice, positions: np.ndarray) -> tuple[float, float, float] | None:
    """Voxel size (i, j, k) in mm; of a single slice its thickness."""
    if image.pixel_spacing is None:
        return None
    steps = np.diff(positions)
    gap = float(np.median(steps)) if len(steps) else (image.thickness or 0.0)
    between_rows, between_columns = image.pixel_spacing
    return (between_columns, between_rows, gap) if gap > 0 else None


def _geometry(stack: _Stack) -> Geometry:
    """The grid of a sorted stack; k is the mean step from the first slice to the last, tilt included."""
    first, last = stack.slices[0], stack.slices[-1]
    row, column = _directions(first)
    normal = np.cross(row, column)
    assert first.position is not None and last.position is not None and stack.info.spacing_mm is not None
    across, down, gap = stack.info.spacing_mm
    steps = len(stack.slices) - 1
    step = (last.position - first.position) / steps if steps else normal * gap
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([row * across, column * down, step], axis=1)
    matrix[:3, 3] = first.position
    columns, rows, slices = stack.info.size
    geometry = Geometry((slices, rows, columns), LPS_TO_RAS @ matrix)
    if not is_sheared(geometry):
        # Positions rounded by the scanner, no tilt: right angles, which every file format can hold.
        matrix[:3, 2] = normal * (step @ normal)
        geometry = Geometry(geometry.shape, LPS_TO_RAS @ matrix)
    return geometry


def _pixels(stack: _Stack) -> np.ndarray:
    """Array (k, j, i) in the order of the stack, rescaled to HU."""
    files = list(dict.fromkeys(str(s.path) for s in stack.slices))
    try:
        with quiet_itk():
            if len(files) == 1:
                array = sitk.GetArrayFromImage(sitk.ReadImage(files[0]))
                array = array.reshape(-1, *array.shape[-2:])[[s.frame for s in stack.slices]]
            else:
                reader = sitk.ImageSeriesReader()
                reader.SetFileNames(files)
                array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise InputRefused(
            f"The pixels of series {stack.info} cannot be read (damaged, or an unknown compression): "
            "export it again without compression."
        ) from error
    columns, rows, slices = stack.info.size
    if array.shape != (slices, rows, columns):
        raise InputRefused(f"The pixels of series {stack.info} do not fit its headers: export it again.")
    return array
