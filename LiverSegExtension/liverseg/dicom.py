"""A folder of DICOM files: which series lie in it, which one is the CT, and its voxels.

Headers are read by :mod:`liverseg.dicom_stacks`, pixels (with RescaleSlope and Intercept, and whatever
compression GDCM knows) by SimpleITK. No patient name is read or kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from liverseg.checks import FEWEST_SLICES
from liverseg.dicom_stacks import (
    SeriesInfo,
    Stack,
    directions_of,
    images_among,
    slice_count,
    stack_of,
    stacks_of,
)
from liverseg.errors import InputRefused
from liverseg.geometry import LPS_TO_RAS, Geometry
from liverseg.gray_values import gray_values
from liverseg.images import quiet_itk
from liverseg.uneven import fitted_to_most, is_sheared, uneven_positions
from liverseg.volume import Source, Volume
from liverseg.volume_identity import with_hash


class SeriesRefused(InputRefused):
    """A refusal that tells series by their descriptions, which is free text and may name the patient.

    Attributes:
        without_names: the same without descriptions, for files that are kept.
    """

    def __init__(self, text: str, *series: SeriesInfo) -> None:
        super().__init__(text)
        for info in series:
            text = text.replace(f'"{info.description}", ', "")
        self.without_names = text


def list_series(folder: Path) -> list[SeriesInfo]:
    """All series of a folder and its subfolders that hold images, by series number.

    Raises:
        InputRefused: the folder is missing, empty or holds no DICOM images.
    """
    return [stack.info for stack in stacks_of(Path(folder))]


def read_series(folder: Path, series_uid: str | None = None) -> Volume:
    """Read one CT series of a folder.

    Without ``series_uid`` the only CT series is taken, or the only one that is complete; scouts do not count.

    Returns:
        A ``Volume`` whose slices rise along the normal, with a sheared affine under gantry tilt. Where they
        lie unevenly ``slice_positions_mm`` is set and the grid is that of the longest even run. A warning
        tells when one series was chosen among several.

    Raises:
        InputRefused: no DICOM, no such series, another modality, several series that fit equally well, or a
            series that is not one stack of slices.
    """
    folder = Path(folder)
    stacks = stacks_of(folder)
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
    images = images_among(files)
    if not images:
        raise InputRefused(f"none of {len(files)} files is a DICOM image.")
    return _volume(stack_of(images), ())


def _volume(stack: Stack, notes: tuple[str, ...]) -> Volume:
    """The voxels of a stack."""
    info = stack.info
    if info.problems:
        raise SeriesRefused(
            f"The series cannot be read as one volume: {info}. Export one whole stack of slices.", info
        )
    source = _source(stack)
    geometry, positions = _geometry(stack), uneven_positions(stack.positions)
    if positions is not None:
        geometry, positions = fitted_to_most(geometry, positions)
    array, mended = gray_values(_pixels(stack), f"The series {info.without_names()}")
    return with_hash(Volume(array, geometry, source, (*notes, *_missing(info), *mended), positions))


def series_of_files(files: Sequence[Path]) -> tuple[Source, Geometry]:
    """Where a series comes from and its grid, by the headers of its files; no pixels are read.

    Raises:
        InputRefused: a file is missing or no image, or they are not one stack of one series.
    """
    if not all(path.is_file() for path in files):
        raise InputRefused("A DICOM file of the series is not in its place any more.")
    images = images_among(files)
    if len(images) < len(files):
        raise InputRefused("A file of the series is no DICOM image.")
    if len({str(header.SeriesInstanceUID) for _, header in images}) != 1:
        raise InputRefused("The files are not those of one DICOM series.")
    stack = stack_of(images)
    if stack.info.problems:
        raise InputRefused(f"The series is not one stack of slices: {'; '.join(stack.info.problems)}.")
    return _source(stack), _geometry(stack)


def _source(stack: Stack) -> Source:
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
        f"{slice_count(info.missing_slices)} {verb} missing in the series; the networks see what lies there "
        "interpolated, and volumes do not count it.",
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
            raise SeriesRefused(f"No series {series_uid} in this folder; choose one of: {listed}.", *series)
        if found[0].modality not in ("CT", ""):
            raise SeriesRefused(
                f"The series {found[0]} is {found[0].modality}, not CT: choose a CT of: {listed}.", *series
            )
        return found[0], ()
    fitting = [info for info in series if info.modality in ("CT", "") and not info.localizer]
    if not fitting:
        raise SeriesRefused(f"The folder holds no CT series, only: {listed}.", *series)
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
    raise SeriesRefused(f"Several CT series fit equally well; choose one by its uid: {listed}.", *series)


def _geometry(stack: Stack) -> Geometry:
    """The grid of a sorted stack; k is the mean step from the first slice to the last, tilt included."""
    first, last = stack.slices[0], stack.slices[-1]
    row, column = directions_of(first)
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


def _pixels(stack: Stack) -> np.ndarray:
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
        where = _of_damaged_file(files)
        refused = SeriesRefused(
            f"The pixels {where}of series {stack.info} cannot be read (damaged, or an unknown compression): "
            "export it again without compression.",
            stack.info,
        )
        # A file may be called by the patient's name.
        refused.without_names = str(refused.without_names).replace(where, "", 1)
        raise refused from error
    columns, rows, slices = stack.info.size
    if array.shape != (slices, rows, columns):
        raise SeriesRefused(
            f"The pixels of series {stack.info} do not fit its headers: export it again.", stack.info
        )
    return array


def _of_damaged_file(files: Sequence[str]) -> str:
    """Words that name the first file whose pixels cannot be read, and nothing where each alone can be."""
    with quiet_itk():
        for file in files:
            try:
                sitk.ReadImage(file)
            except RuntimeError:
                return f"in {Path(file).name} "
    return ""
