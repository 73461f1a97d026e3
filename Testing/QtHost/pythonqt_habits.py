"""PySide6 with the habits of PythonQt, in which the module is written.

In PythonQt a Qt property is an attribute (``label.text = "a"``, ``table.rowCount``), never a getter to be
called; methods, slots and signals are as in Qt. :class:`Habit` wraps a ``QObject`` and is strict about it,
so that code which would fail in Slicer fails here too.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

SOURCES = (QtCore, QtGui, QtWidgets, QtUiTools)


class Habit:
    """A ``QObject`` as PythonQt shows it."""

    def __init__(self, wrapped: QtCore.QObject) -> None:
        object.__setattr__(self, "wrapped", wrapped)

    def __getattr__(self, name: str) -> Any:
        wrapped = object.__getattribute__(self, "wrapped")
        if name == "name":
            return wrapped.objectName()
        if wrapped.metaObject().indexOfProperty(name) >= 0:
            return dressed(wrapped.property(name))
        return dressed(getattr(wrapped, name))

    def __setattr__(self, name: str, value: Any) -> None:
        wrapped = self.wrapped
        if wrapped.metaObject().indexOfProperty(name) < 0:
            raise AttributeError(f"{wrapped.metaObject().className()} has no property {name}")
        wrapped.setProperty(name, bare(value))

    def __eq__(self, other: object) -> bool:
        return bare(self) is bare(other)

    def __hash__(self) -> int:
        return id(self.wrapped)


class _Call:
    """A method whose arguments and result are dressed."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __call__(self, *arguments: Any) -> Any:
        return dressed(self._method(*[bare(argument) for argument in arguments]))


class _Signal:
    """A signal whose slots get dressed arguments."""

    def __init__(self, signal: Any) -> None:
        self._signal = signal

    def connect(self, slot: Any) -> None:
        self._signal.connect(lambda *arguments: slot(*[dressed(argument) for argument in arguments]))

    def emit(self, *arguments: Any) -> None:
        self._signal.emit(*[bare(argument) for argument in arguments])


class _Class:
    """A class of Qt: calling it makes a dressed object; enums and static methods are attributes."""

    def __init__(self, qt_class: type) -> None:
        self._class = qt_class

    def __call__(self, *arguments: Any) -> Any:
        return dressed(self._class(*[bare(argument) for argument in arguments]))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._class, name)
        return _Call(value) if callable(value) and not isinstance(value, type) else value


def dressed(value: Any) -> Any:
    """A value of PySide6 as PythonQt shows it."""
    if isinstance(value, QtCore.QObject):
        return Habit(value)
    if isinstance(value, QtCore.SignalInstance):
        return _Signal(value)
    if type(value).__name__ in ("builtin_function_or_method", "method", "method-wrapper", "function"):
        return _Call(value)
    if isinstance(value, list):
        return [dressed(each) for each in value]
    return value


def bare(value: Any) -> Any:
    """The reverse of :func:`dressed`."""
    return value.wrapped if isinstance(value, Habit) else value


class QtModule(ModuleType):
    """The module ``qt``."""

    def __getattr__(self, name: str) -> Any:
        # A module made in memory has no __file__, whatever Qt's own modules have: PyTorch asks when it loads.
        for source in () if name.startswith("__") else SOURCES:
            if hasattr(source, name):
                value = getattr(source, name)
                return value if name == "Qt" else _Class(value)
        raise AttributeError(f"qt has no {name}")
