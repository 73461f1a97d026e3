"""Stand-ins for the widgets of qMRML and ctk that the panel uses; each has what the panel calls, no more.

``qMRMLWidget``, ``qMRMLNodeComboBox``, ``qMRMLSegmentEditorWidget``, ``ctkCollapsibleButton``,
``ctkSliderWidget``, ``ctkPathLineEdit``. Names, properties and signals are those of Slicer 5.12 and CTK.
"""

# ruff: noqa: N802, N803, N815

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)


class qMRMLWidget(QWidget):  # noqa: N801
    """Hands its scene to the widgets in it, as the connections of the .ui file do in Slicer."""

    def setMRMLScene(self, scene: Any) -> None:
        for child in self.findChildren(QWidget):
            if hasattr(child, "setMRMLScene"):
                child.setMRMLScene(scene)


class qMRMLNodeComboBox(QComboBox):  # noqa: N801
    """Lists the nodes of one class."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scene: Any = None
        self._observers: list[int] = []
        self.currentIndexChanged.connect(lambda *_: self.currentNodeChanged.emit(self.currentNode()))

    def setMRMLScene(self, scene: Any) -> None:
        self.scene = scene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent):
            self._observers.append(scene.AddObserver(event, lambda *_: self._list()))
        observers = self._observers
        self.destroyed.connect(lambda *_: [scene.RemoveObserver(tag) for tag in observers])
        self._list()

    def _list(self) -> None:
        chosen = self.currentNodeID()
        self.blockSignals(True)
        self.clear()
        self.addItem("Select a Volume", "")
        for n in range(self.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
            node = self.scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode")
            self.addItem(node.GetName(), node.GetID())
        self.setCurrentIndex(max(0, self.findData(chosen)))
        self.blockSignals(False)
        if self.currentNodeID() != chosen:
            self.currentNodeChanged.emit(self.currentNode())

    nodeTypes = Property("QStringList", lambda self: ["vtkMRMLScalarVolumeNode"], lambda self, v: None)

    def currentNodeID(self) -> str:
        return self.currentData() or ""

    def currentNode(self) -> Any:
        return self.scene.GetNodeByID(self.currentNodeID()) if self.scene and self.currentNodeID() else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentIndex(max(0, self.findData(node.GetID() if node else "")))


class ctkCollapsibleButton(QWidget):  # noqa: N801
    """A title that folds what is below it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._collapsed = False
        self._title = QToolButton(self)
        self._title.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self._title.setStyleSheet("QToolButton { border: none; font-weight: bold; text-align: left; }")
        self._title.clicked.connect(lambda: self.setCollapsed(not self._collapsed))
        self.setContentsMargins(0, 26, 0, 0)
        self._sync()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._sync()

    def _sync(self) -> None:
        self._title.setArrowType(Qt.RightArrow if self._collapsed else Qt.DownArrow)
        self._title.setGeometry(0, 0, max(self.width(), 300), 24)
        self.setMaximumHeight(26 if self._collapsed else 16777215)

    def text(self) -> str:
        return self._title.text()

    def setText(self, text: str) -> None:
        self._title.setText(text)

    def isCollapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        self._sync()

    text_ = text
    text = Property(str, text_, setText)  # type: ignore[assignment]
    collapsed = Property(bool, isCollapsed, setCollapsed)


class ctkSliderWidget(QWidget):  # noqa: N801
    """A slider with a spin box; double values."""

    valueChanged = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, self._box = QSlider(Qt.Horizontal), QDoubleSpinBox()
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._tracking = True
        self._box.valueChanged.connect(self._changed)
        self._slider.valueChanged.connect(lambda n: self._box.setValue(n * self._box.singleStep()))

    def _changed(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(round(value / self._box.singleStep()))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _range(self) -> None:
        step = self._box.singleStep()
        self._slider.setRange(round(self._box.minimum() / step), round(self._box.maximum() / step))

    def _set(self, setter: Any, value: Any) -> None:
        setter(value)
        self._range()

    value = Property(float, lambda self: self._box.value(), lambda self, v: self._box.setValue(v))
    minimum = Property(
        float, lambda self: self._box.minimum(), lambda self, v: self._set(self._box.setMinimum, v)
    )
    maximum = Property(
        float, lambda self: self._box.maximum(), lambda self, v: self._set(self._box.setMaximum, v)
    )
    singleStep = Property(
        float, lambda self: self._box.singleStep(), lambda self, v: self._set(self._box.setSingleStep, v)
    )
    decimals = Property(int, lambda self: self._box.decimals(), lambda self, v: self._box.setDecimals(v))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, v: self._box.setSuffix(v))
    tracking = Property(bool, lambda self: self._tracking, lambda self, v: setattr(self, "_tracking", v))


class ctkPathLineEdit(QWidget):  # noqa: N801
    """A path that can be typed."""

    currentPathChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit = QLineEdit()
        layout.addWidget(self._edit)
        self._edit.textChanged.connect(self.currentPathChanged.emit)

    currentPath = Property(str, lambda self: self._edit.text(), lambda self, v: self._edit.setText(v))


class qMRMLSegmentEditorWidget(QWidget):  # noqa: N801
    """Remembers what it was told; ``calls`` lists it. Undo keeps whole segmentations."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Segment Editor (embedded)"))
        self.calls: list[tuple[Any, ...]] = []
        self.parameters: Any = None
        self.segmentation: Any = None
        self.source: Any = None
        self.effect = ""
        self.observing = False

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self.parameters = node

    def mrmlSegmentEditorNode(self) -> Any:
        return self.parameters

    def setMRMLScene(self, scene: Any) -> None:
        self.observing = True

    def setSegmentationNode(self, node: Any) -> None:
        self.calls.append(("setSegmentationNode", node))
        self.segmentation = node
        self.observing = node is not None

    def segmentationNode(self) -> Any:
        return self.segmentation

    def setSourceVolumeNode(self, node: Any) -> None:
        self.source = node

    def setCurrentSegmentID(self, segment: str) -> None:
        self.parameters.SetSelectedSegmentID(segment)

    def setActiveEffectByName(self, name: str) -> None:
        self.effect = name

    def setActiveEffect(self, effect: Any) -> None:
        assert effect is None
        self.effect = ""

    def activeEffect(self) -> Any:
        return self if self.effect else None

    def setCommonParameter(self, name: str, value: str) -> None:
        self.parameters.SetAttribute(name, value)

    def saveStateForUndo(self) -> None:
        self.calls.append(("saveStateForUndo",))

    def removeViewObservations(self) -> None:
        self.observing = False

    def installKeyboardShortcuts(self) -> None:
        self.calls.append(("installKeyboardShortcuts",))

    def uninstallKeyboardShortcuts(self) -> None:
        self.calls.append(("uninstallKeyboardShortcuts",))

    def setMaximumNumberOfUndoStates(self, count: int) -> None: ...

    def setSegmentationNodeSelectorVisible(self, visible: bool) -> None: ...

    def setSourceVolumeNodeSelectorVisible(self, visible: bool) -> None: ...


IN_UI_FILES = (qMRMLWidget, qMRMLNodeComboBox, ctkCollapsibleButton, ctkSliderWidget, ctkPathLineEdit)
