"""Which CTs a batch is about: from a folder, a list or a table."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from liverseg.errors import InputRefused
from liverseg.file_headers import suffix_of

log = logging.getLogger(__name__)

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
# Many CTs are called so: the name of their folder tells them apart.
COMMON_NAMES = ("", "ct", "dicom", "image", "imaging", "img", "scan", "volume")
# In a case's folder: which CT its results are of.
RECORD = ".input.json"
# File systems take 255; a number and the ends of temporary names are added.
LONGEST_NAME_BYTES = 150
_DICOM_MAGIC = (128, b"DICM")
# The table of contents of a disc; the images that it lists lie beside it or below.
_DICOM_CONTENTS = "DICOMDIR"


@dataclass(frozen=True)
class BatchInput:
    """One CT of a batch: the name of its folder of results, its path, its DICOM series when one was named."""

    name: str
    path: Path
    series_uid: str | None = None

    def key(self) -> str:
        """A checksum of the true path and the series: it tells inputs apart and names nobody."""
        place = os.fsencode(real_path(self.path))
        return hashlib.sha256(place + b"\n" + (self.series_uid or "").encode()).hexdigest()

    def stamp(self) -> str:
        """Number, bytes and last change of the CT's files; empty where they cannot be looked at."""
        try:
            stats = [file.stat() for file in self._files()]
        except OSError:
            return ""
        latest = max((each.st_mtime_ns for each in stats), default=0)
        return f"{len(stats)} {sum(each.st_size for each in stats)} {latest}"

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            return [p for p in self.path.rglob("*") if p.is_file() and not p.name.startswith(".")]
        voxels = [self.path.with_suffix(suffix) for suffix in (".raw", ".zraw")]
        beside = self.path.suffix.lower() == ".mhd"
        return [self.path, *(path for path in voxels if beside and path.is_file())]


def is_there(path: Path) -> bool:
    """Whether a path can be looked at: not where it is missing, closed to us or too long."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def real_path(path: Path) -> Path:
    """A path without links; one whose links go round in circles is kept as it is."""
    return Path(os.path.realpath(path))


def find_inputs(source: Path) -> list[BatchInput]:
    """The CTs that a folder, a list or a table names, in a stable order, with names that are all different.

    A folder is searched through its subfolders: every image file is a case (label maps by their usual names
    are left out), and every folder that holds DICOM files. Each folder is searched once, whatever links lead
    to it. Results of a batch are left out, and so are folders that cannot be opened, with a warning. A list
    (``.txt``) has one path a line, ``#`` starts a comment. A table (``.csv``) has a column ``ct`` (or
    ``path``), and may have ``name``, ``series``. Paths are relative to the file that names them.

    Raises:
        InputRefused: nothing is there, the list or table cannot be read as UTF-8, or has no column of paths.
    """
    source = Path(source)
    if not is_there(source):
        raise InputRefused(
            f"{source} does not exist, or may not be opened; "
            "give a folder of CTs, a list (.txt) or a table (.csv)"
        )
    if source.is_dir():
        found = list(_from_folder(source))
    elif source.suffix.lower() == ".csv":
        found = list(_from_table(source))
    elif source.suffix.lower() in LIST_SUFFIXES:
        found = [_listed(source.parent / line) for line in _lines(source)]
    else:
        raise InputRefused(f"{source.name} is no folder, no list (.txt) and no table (.csv) of CTs")
    if not found:
        raise InputRefused(f"{source} names no CT; give image files or folders of DICOM files")
    return _named_apart(found)


def _from_folder(source: Path) -> Iterator[BatchInput]:
    for folder, files in _folders(source):
        above = folder.relative_to(source).parts
        for path in files:
            if _is_image(path):
                yield BatchInput(_name_below(above, _stem(path)), path)
        if _holds_dicom(files):
            yield BatchInput(_name_below(above, ""), folder)


def _folders(source: Path) -> list[tuple[Path, list[Path]]]:
    """A folder and its subfolders with their files, by name. Each comes once, by no link if it can be."""
    found: dict[Path, tuple[Path, list[Path]]] = {}
    waiting, links = [source], list[Path]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        if real_path(folder) in found:
            continue
        subfolders, files = _listing(folder)
        found[real_path(folder)] = (folder, files)
        for path in subfolders:
            (links if path.is_symlink() else waiting).append(path)
    return sorted(found.values(), key=lambda each: [part.lower() for part in each[0].parts])


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """The subfolders to be searched and the files of a folder, by name; nothing where it cannot be opened."""
    try:
        shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
        shown.sort(key=lambda path: path.name.lower())
        is_folder = [path.is_dir() for path in shown]
    except OSError as error:
        log.warning("%s cannot be opened (%s) and is left out", folder, error.strerror)
        return [], []
    subfolders = [path for path, yes in zip(shown, is_folder, strict=True) if yes]
    files = [path for path, yes in zip(shown, is_folder, strict=True) if not yes]
    return [path for path in subfolders if not is_there(path / RECORD)], files


def _is_image(path: Path) -> bool:
    name = path.name
    return bool(suffix_of(path)) and not name.lower().endswith(NO_CT) and not NOT_IN_FOLDERS.match(name)


def _name_below(folders: Sequence[str], name: str) -> str:
    """A name that tells of the folders too; a file called like any other ("ct") is named by them alone."""
    for folder in reversed(folders):
        name = folder if name.lower() in COMMON_NAMES else f"{folder}_{name}"
    return name


def _listed(path: Path) -> BatchInput:
    """A CT that a list or a table names; one that is called like any other is named by its folder."""
    stem = _stem(path)
    above = Path(os.path.normpath(path.absolute())).parents
    names = (stem, *(folder.name for folder in above))
    return BatchInput(next((name for name in names if name.lower() not in COMMON_NAMES), stem), path)


def _from_table(path: Path) -> Iterator[BatchInput]:
    try:
        rows = list(csv.reader(io.StringIO(_text(path), newline="")))
    except csv.Error as error:
        raise InputRefused(f"{path.name} is no table ({error}); save it as CSV with commas") from error
    names = [name.strip().lower() for name in rows[0]] if rows else []
    column = next((name for name in PATH_COLUMNS if name in names), None)
    if column is None:
        raise InputRefused(f"{path.name} has no column called ct; name the column of the CTs' paths so")
    for row in rows[1:]:
        cells = dict(zip(names, (cell.strip() for cell in row), strict=False))
        if cells.get(column):
            one = _listed(path.parent / cells[column])
            yield replace(one, name=cells.get("name") or one.name, series_uid=cells.get("series") or None)


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in _text(path).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _text(path: Path) -> str:
    """The text of a list or a table.

    Raises:
        InputRefused: it cannot be opened, or is written in another encoding than UTF-8.
    """
    refused = InputRefused(f"{path.name} is no text in UTF-8; save it as UTF-8 (in Excel as 'CSV UTF-8')")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused from error
    except OSError as error:
        raise InputRefused(f"{path} cannot be opened ({error.strerror}); see to its permissions") from error
    # UTF-16 of plain letters is UTF-8 too, with a zero after each.
    if "\0" in text:
        raise refused
    return text


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(suffix_of(path) or "")]


def _holds_dicom(files: Sequence[Path]) -> bool:
    """Whether one of a folder's files has DICOM's mark; the first few decide."""
    offset, mark = _DICOM_MAGIC
    for path in [p for p in files if p.name.upper() != _DICOM_CONTENTS and p.is_file()][:20]:
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
        plain = _cut(re.sub(r"[^\w.-]+", "_", each.name).strip("._") or "case")
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.lower())
        result.append(replace(each, name=name))
    return result


def _cut(name: str) -> str:
    """A name that every file system takes; a long one ends in a checksum, so that its like stay apart."""
    letters = name.encode()
    if len(letters) <= LONGEST_NAME_BYTES:
        return name
    short = letters[:LONGEST_NAME_BYTES].decode(errors="ignore")
    return f"{short}_{hashlib.sha256(letters).hexdigest()[:8]}"
