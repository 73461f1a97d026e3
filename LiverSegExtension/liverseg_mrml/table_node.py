"""The lesion table as a table node."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import vtk

from liverseg.case import Case, LesionReadout
from liverseg_mrml.scene import Node


@dataclass(frozen=True)
class Column:
    """One column: its stable name, what people read, its unit, and its value for a lesion."""

    name: str
    title: str
    unit: str
    array: type
    value: Callable[[LesionReadout], object]


def _number(value: float | None) -> float:
    # A table cell of numbers cannot be empty: NaN stands for unknown.
    return math.nan if value is None else float(value)


def _one_line(text: str | None) -> str:
    """Slicer saves a table as lines of cells: a line end or a tab in a cell would part it when it is read."""
    return " ".join((text or "").split())


COLUMNS: tuple[Column, ...] = (
    Column("id", "Lesion", "", vtk.vtkIntArray, lambda lesion: lesion.id),
    Column("segment", "Segment", "", vtk.vtkStringArray, lambda lesion: lesion.primary_segment or ""),
    Column("long_axis_mm", "Long axis", "mm", vtk.vtkDoubleArray, lambda lesion: lesion.long_axis_mm),
    Column("short_axis_mm", "Short axis", "mm", vtk.vtkDoubleArray, lambda lesion: lesion.short_axis_mm),
    Column("volume_ml", "Volume", "ml", vtk.vtkDoubleArray, lambda lesion: lesion.volume_ml),
    Column("mean_hu", "Mean", "HU", vtk.vtkDoubleArray, lambda lesion: _number(lesion.mean_hu)),
    Column("state", "State", "", vtk.vtkStringArray, lambda lesion: lesion.review.state),
    Column("comment", "Comment", "", vtk.vtkStringArray, lambda lesion: _one_line(lesion.review.comment)),
)


def fill_table(node: Node, case: Case) -> None:
    """Replace a table node's content by the case's lesions (:func:`fill_rows`)."""
    fill_rows(node, case.lesions)


def fill_rows(node: Node, lesions: Sequence[LesionReadout]) -> None:
    """Replace a table node's content, one row a lesion in the given order.

    The columns are typed and carry their units; unknown numbers are NaN.
    """
    modified = node.StartModify()
    node.RemoveAllColumns()
    for column in COLUMNS:
        array = column.array()
        array.SetName(column.name)
        for lesion in lesions:
            array.InsertNextValue(column.value(lesion))
        node.AddColumn(array)
        node.SetColumnTitle(column.name, f"{column.title} ({column.unit})" if column.unit else column.title)
        node.SetColumnUnitLabel(column.name, column.unit)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    node.EndModify(modified)
