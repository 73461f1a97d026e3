"""Which CTs a batch is about: from a folder, a list or a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from liverseg.errors import InputRefused
from liverseg.file_headers import suffix_of

LIST_SUFFIXES = (".txt", ".list")
# Names of the column that holds the CT's path; the first that is there counts.
PATH_COLUMNS = ("ct", "path", "image", "input")
# Segmentations beside the CTs are no CTs, nor is the voxel file of an .mhd.
NO_CT = (".seg.nrrd", ".raw", ".zraw")
# Files of LiverSeg and of other programs that lie beside CTs and hold labels.
NOT_IN_FOLDERS = re.compile(
    r"(liver|couinaud|lesions?|vessels|ct_liver|anatomy\w*|labels?|seg|segmentation|mask|liver_lesion\w*)"
    r"\.(nii|nii\.gz|nrrd|mha|mhd)$",
    re.IGNORECASE,
)
_DICOM_MAGIC = (128, b"DICM")


@dataclass(frozen=True)
class BatchInput:
    """One CT of a batch: the name of its folder of results, its path, its DICOM series when one was named."""

    name: str
    path: Path
    series_uid: str | None = None


def find_inputs(source: Path) -> list[BatchInput]:
    """The CTs that a folder, a list or a table names, in a stable order, with names that are all different.

    A folder is searched through its subfolders: every image file is a case (label maps by their usual names
    are left out), and every folder that holds DICOM files. A list (``.txt``) has one path a line, ``#``
    starts a comment. A table (``.csv``) has a column ``ct`` (or ``path``), and may have ``name``, ``series``.
    Paths are relative to the file that names them.

    Raises:
        InputRefused: nothing is there, or the table has no column of paths.
    """
    source = Path(source)
    if not source.exists():
        raise InputRefused(f"{source} does not exist; give a folder of CTs, a list (.txt) or a table (.csv)")
    if source.is_dir():
        found = list(_from_folder(source))
    elif source.suffix.lower() == ".csv":
        found = list(_from_table(source))
    elif source.suffix.lower() in LIST_SUFFIXES:
        found = [_input(source.parent / line) for line in _lines(source)]
    else:
        raise InputRefused(f"{source.name} is no folder, no list (.txt) and no table (.csv) of CTs")
    if not found:
        raise InputRefused(f"{source} names no CT; give image files or folders of DICOM files")
    return _named_apart(found)


def _from_folder(folder: Path) -> Iterator[BatchInput]:
    for path in sorted(folder.iterdir(), key=lambda p: p.name.lower()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _renamed(_from_folder(path), path.name)
        elif (
            suffix_of(path) and not path.name.lower().endswith(NO_CT) and not NOT_IN_FOLDERS.match(path.name)
        ):
            yield _input(path)
    if _holds_dicom(folder):
        yield BatchInput("", folder)


def _renamed(inputs: Iterator[BatchInput], folder: str) -> Iterator[BatchInput]:
    """Names that tell of the folder too; a file called like any other ("ct") is named by its folder alone."""
    for each in inputs:
        common = each.name.lower() in ("", "ct", "image", "volume", "scan")
        name = folder if common else f"{folder}_{each.name}"
        yield BatchInput(name, each.path, each.series_uid)


def _from_table(path: Path) -> Iterator[BatchInput]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
        column = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
        if column is None:
            raise InputRefused(f"{path.name} has no column called ct; name the column of the CTs' paths so")
        for row in rows:
            place = (row.get(column) or "").strip()
            if not place:
                continue
            one = _input(path.parent / place)
            name = (row.get(columns.get("name", "")) or "").strip() or one.name
            series = (row.get(columns.get("series", "")) or "").strip() or None
            yield BatchInput(name, one.path, series)


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _input(path: Path) -> BatchInput:
    suffix = suffix_of(path) or ""
    return BatchInput(path.name[: len(path.name) - len(suffix)], path)


def _holds_dicom(folder: Path) -> bool:
    """Whether a file directly in the folder has DICOM's mark; the first few that could decide."""
    offset, mark = _DICOM_MAGIC
    files = (p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith("."))
    for path, _ in zip(files, range(20), strict=False):
        try:
            with path.open("rb") as file:
                file.seek(offset)
                if file.read(len(mark)) == mark:
                    return True
        except OSError:
            continue
    return False


def _named_apart(inputs: list[BatchInput]) -> list[BatchInput]:
    taken: set[str] = set()
    result = []
    for each in inputs:
        plain = re.sub(r"[^\w.-]+", "_", each.name).strip("._") or "case"
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.lower())
        result.append(BatchInput(name, each.path, each.series_uid))
    return result
