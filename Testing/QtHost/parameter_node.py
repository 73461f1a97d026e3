"""A stand-in for ``slicer.parameterNodeWrapper``: what the module uses of it, over a real MRML node."""

# ruff: noqa: N802

from __future__ import annotations

from enum import Enum
from typing import Any, get_type_hints

from pythonqt_habits import bare


class WithinRange:
    """The annotation of a number; without it Slicer's connector takes the widget's own range away."""

    def __init__(self, minimum: float, maximum: float) -> None: ...


def parameterNodeWrapper(cls: type) -> type:  # noqa: N802
    """The decorated class keeps its annotated fields in a ``vtkMRMLScriptedModuleNode``."""
    hints = get_type_hints(cls)
    defaults = {name: getattr(cls, name, None) for name in hints}

    def make(name: str, kind: type) -> property:
        def read(self: Any) -> Any:
            text = self.parameterNode.GetParameter(name)
            if kind.__module__.startswith(("vtkmodules", "slicer", "vtk")) or kind.__name__.startswith(
                "vtkMRML"
            ):
                return self.parameterNode.GetNodeReference(name)
            if text == "":
                return defaults[name]
            if issubclass(kind, Enum):
                return kind[text]
            return text == "True" if kind is bool else kind(text)

        def write(self: Any, value: Any) -> None:
            if kind.__name__.startswith("vtkMRML"):
                self.parameterNode.SetNodeReferenceID(name, value.GetID() if value else None)
            else:
                self.parameterNode.SetParameter(name, value.name if isinstance(value, Enum) else str(value))

        return property(read, write)

    fields = {name: make(name, kind) for name, kind in hints.items()}
    return type(cls.__name__, (_Wrapper,), {**fields, "hints": hints})


class _Wrapper:
    hints: dict[str, type] = {}

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._tags: dict[int, list[Any]] = {}

    def AddObserver(self, event: Any, call: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, call, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, ui: Any) -> int:
        """Widgets with the property SlicerParameterName follow their parameter, and the other way round."""
        tag = len(self._tags) + 1
        updates = []
        for widget in vars(ui).values():
            name = bare(widget).property("SlicerParameterName")
            if name:
                updates.append(self._connect(bare(widget), name))
        observer = self.parameterNode.AddObserver(
            "ModifiedEvent", lambda *_: [update() for update in updates]
        )
        self._tags[tag] = [observer]
        for update in updates:
            update()
        return tag

    def disconnectGui(self, tag: int) -> None:
        for observer in self._tags.pop(tag, []):
            self.parameterNode.RemoveObserver(observer)

    def _connect(self, widget: Any, name: str) -> Any:
        kind = self.hints[name]
        if kind is float:
            widget.valueChanged.connect(lambda value: setattr(self, name, value))
            return lambda: widget.setValue(getattr(self, name))
        if kind is bool:
            widget.toggled.connect(lambda value: setattr(self, name, value))
            return lambda: widget.setChecked(getattr(self, name))
        if isinstance(kind, type) and issubclass(kind, Enum):
            members = list(kind)
            widget.blockSignals(True)
            widget.clear()
            widget.addItems([member.label() for member in members])
            widget.blockSignals(False)
            widget.currentIndexChanged.connect(
                lambda index: index >= 0 and setattr(self, name, members[index])
            )
            return lambda: widget.setCurrentIndex(members.index(getattr(self, name)))
        widget.currentNodeChanged.connect(lambda node: setattr(self, name, node))
        return lambda: widget.setCurrentNode(getattr(self, name))
