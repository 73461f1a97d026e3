"""Clinical tables: one row a patient, with what tells how far the tumor has gone.

Tables come as .csv, .tsv or .xlsx (first sheet). Columns are known by the names that HCC-TACE-Seg's table
gives them, or by plain ones, whatever their case; others are named by the caller. What is missing stays so.
"""

from __future__ import annotations

import csv
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from liverseg.errors import InputRefused, UsageError
from liverseg.training.persons import person_of

_PERSON_COLUMNS = ("tcia_id", "person", "patient", "patient_id", "case")
_XLSX = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4}


@dataclass(frozen=True, eq=False)
class ClinicalTable:
    """The variables of some patients, as numbers.

    Attributes:
        persons: as :func:`liverseg.training.persons.person_of` names them.
        variables: names of the columns of ``values``.
        values: (persons, variables), counts, sizes and levels of markers as logarithms, stages as ranks; NaN
            where the table says nothing.
    """

    persons: tuple[str, ...]
    variables: tuple[str, ...]
    values: np.ndarray


def _number(text: str) -> float:
    """The first number in a text ("> 20000", "3.5 cm"), NaN without one."""
    match = re.search(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", text.replace(",", ""), re.IGNORECASE)
    return float(match[0]) if match else math.nan


def _log(text: str) -> float:
    value = _number(text)
    return math.log(value) if value > 0 else math.nan


def _log_of_marker(text: str) -> float:
    """Markers run over many powers of ten and may be 0."""
    return math.log10(1 + _number(text))


def _count(text: str) -> float:
    """A number of tumors; "multinodular" says two or more."""
    low = text.lower()
    if "multi" in low:
        return math.log(2)
    return 0.0 if low.startswith("uni") or "solitary" in low else _log(text)


def _bclc(text: str) -> float:
    """Barcelona stages 0, A, B, C, D as 0..4, with or without "Stage" before them."""
    match = re.search(r"(?:^|[^a-z])([0abcd])\d?\b", text.lower().replace("stage", "").replace("bclc", ""))
    return float("0abcd".index(match[1])) if match else math.nan


def _roman(text: str) -> float:
    """Stages I..IV as 1..4; sub-stages A, B, C lie thirds above."""
    match = re.search(
        r"\b(iv|i{1,3})\s*-?\s*([abc])?\b", text.lower().replace("stage", " ").replace("_", " ")
    )
    if match:
        return _ROMAN[match[1]] + (0 if match[2] is None else "abc".index(match[2]) / 3)
    return _number(text)


def _over_half(text: str) -> float:
    """Whether more than half of the liver is tumor."""
    if "50" not in text:
        return math.nan
    return float(">" in text and "=" not in text)


# Each variable: the columns it may be found in, and how a cell becomes a number. Units do not matter, as
# everything is a logarithm or a rank that is standardized afterwards.
VARIABLES: dict[str, tuple[tuple[str, ...], Callable[[str], float]]] = {
    "afp": (("afp", "alpha-fetoprotein"), _log_of_marker),
    "size": (("tr_size", "tumor_size", "largest_diameter", "size"), _log),
    "count": (("tumor_nodul", "tumor_count", "number_of_tumors", "count"), _count),
    "involvement": (("t_involvment", "t_involvement", "involvement"), _over_half),
    "bclc": (("bclc",), _bclc),
    "tnm": (("tnm",), _roman),
    "okuda": (("okuda",), _roman),
    "clip": (("clip_score", "clip"), _number),
}
STAGES = ("bclc", "tnm", "okuda", "clip")


def read_clinical_table(path: Path, columns: Mapping[str, str] | None = None) -> ClinicalTable:
    """Read a table; a person with several rows keeps the first.

    Args:
        path: .csv, .tsv or .xlsx.
        columns: the column of a variable, or of "person", where it has another name.

    Raises:
        InputRefused: unreadable, or without a column of persons or any variable.
        UsageError: ``columns`` names an unknown variable or a column that is not there.
    """
    rows = _rows(path)
    if len(rows) < 2:
        raise InputRefused(f"{path} holds no table: give a header and one row a patient")
    header = [cell.strip().lower() for cell in rows[0]]
    places = _places(path, header, dict(columns or {}))
    persons: dict[str, list[float]] = {}
    for row in rows[1:]:
        cells = [*row, *[""] * (len(header) - len(row))]
        name = cells[places["person"]].strip()
        if name:
            read = [VARIABLES[v][1](cells[n].strip()) for v, n in places.items() if v != "person"]
            persons.setdefault(_person(name), read)
    variables = tuple(v for v in places if v != "person")
    values = np.array(list(persons.values()), dtype=np.float64).reshape(len(persons), len(variables))
    return ClinicalTable(tuple(persons), variables, values)


def _person(name: str) -> str:
    """``"hcctace_017"`` for HCC-TACE-Seg's ``"HCC_017"``; others as cases name them."""
    match = re.fullmatch(r"HCC_(\d+)", name, re.IGNORECASE)
    return person_of(f"hcctace_{int(match[1]):03d}" if match else name)


def _places(path: Path, header: list[str], columns: dict[str, str]) -> dict[str, int]:
    """Where each variable that the table has, and the person, stand in a row."""
    unknown = sorted(set(columns) - {*VARIABLES, "person"})
    if unknown:
        raise UsageError(f"no clinical variable {unknown[0]!r}; there are person, {', '.join(VARIABLES)}")
    places = {}
    for variable, known in {"person": _PERSON_COLUMNS, **{v: k for v, (k, _) in VARIABLES.items()}}.items():
        if variable in columns:
            wanted = columns[variable].strip().lower()
            if wanted not in header:
                raise UsageError(f"{path.name} has no column {columns[variable]!r} for {variable}")
            places[variable] = header.index(wanted)
        else:
            there = next((name for name in known if name in header), None)
            if there is not None:
                places[variable] = header.index(there)
    if "person" not in places:
        raise InputRefused(f"{path} has no column of persons: name one of {', '.join(_PERSON_COLUMNS)}")
    if len(places) == 1:
        raise InputRefused(f"{path} has no column of {', '.join(VARIABLES)}: nothing tells of the tumor")
    return places


def _rows(path: Path) -> list[list[str]]:
    try:
        if path.suffix.lower() == ".xlsx":
            return _sheet(path)
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise InputRefused(f"{path} cannot be read as a table: give .csv, .tsv or .xlsx") from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    return [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]


def _sheet(path: Path) -> list[list[str]]:
    """The cells of a workbook's first sheet (ECMA-376); formulas count as their stored values."""
    with zipfile.ZipFile(path) as book:
        texts = []
        if "xl/sharedStrings.xml" in book.namelist():
            root = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
            texts = [
                "".join(t.text or "" for t in item.iter(f"{_XLSX}t")) for item in root.iter(f"{_XLSX}si")
            ]
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    rows = []
    for row in sheet.iter(f"{_XLSX}row"):
        cells: dict[int, str] = {}
        for cell in row.iter(f"{_XLSX}c"):
            value = cell.find(f"{_XLSX}v")
            text = "".join(t.text or "" for t in cell.iter(f"{_XLSX}t"))
            if value is not None and value.text:
                text = texts[int(value.text)] if cell.get("t") == "s" else value.text
            cells[_column(cell.get("r", "A1"))] = text
        rows.append([cells.get(n, "") for n in range(max(cells, default=-1) + 1)])
    return [row for row in rows if any(row)]


def _column(address: str) -> int:
    number = 0
    for letter in re.sub(r"[^A-Z]", "", address.upper()):
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
