"""A scene outside of Slicer. Inside Slicer the application's scene is passed to the functions instead."""

from __future__ import annotations

import logging
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from liverseg.errors import InputRefused
from liverseg_mrml.translation import _

log = logging.getLogger(__name__)

Scene = Any
Node = Any

# What gives a bare scene the nodes that Slicer's scene has: color tables and the registered node classes.
MODULE_LOGICS = {
    "Colors": "vtkMRMLColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


@dataclass(frozen=True, eq=False)
class MadeScene:
    """A ``vtkMRMLScene`` and the logics that watch it; they must live as long as the scene is used.

    Attributes:
        scene: the scene.
        application: its ``vtkSlicerApplicationLogic``, which displayable managers ask for.
        logics: the modules' logics, by the module's name.
    """

    scene: Scene
    application: Any
    logics: dict[str, Any]


def make_scene() -> MadeScene:
    """An empty scene with color tables, markups, segmentations and a subject hierarchy."""
    register_surface_rule()
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    logics = {}
    for module, name in MODULE_LOGICS.items():
        logics[module] = getattr(slicer, name)()
        logics[module].SetMRMLScene(scene)
        application.SetModuleLogic(module, logics[module])
    return MadeScene(scene, application, logics)


def read_scene(path: Path) -> MadeScene:
    """A new scene with what a ``.mrb`` file holds.

    Raises:
        InputRefused: the file is no scene bundle, or a node's data could not be read.
    """
    made = make_scene()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as bundle:
                bundle.extractall(folder)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputRefused(
                _("{path} is not a scene bundle (.mrb): {error}").format(path=path, error=error)
            ) from error
        scene_file = next(Path(folder).glob("*/*.mrml"), None)
        if scene_file is None:
            raise InputRefused(
                _("{path} is not a scene bundle (.mrb): it holds no .mrml file").format(path=path)
            )
        made.scene.SetURL(str(scene_file))
        read_whole = bool(made.scene.Connect())
    if not read_whole:
        raise InputRefused(_("{path} could not be read whole; write it again").format(path=path))
    return made


def register_surface_rule() -> None:
    """Let segmentations make closed surfaces; needed before the first segmentation node is made.

    Slicer's Segmentations module registers the rule at start-up; a second one would be tried twice.
    """
    factory = slicer.vtkSegmentationConverterFactory.GetInstance()
    name = "vtkBinaryLabelmapToClosedSurfaceConversionRule"
    if not any(rule.IsA(name) for rule in factory.GetConverterRules()):
        factory.RegisterConverterRule(getattr(slicer, name)())
