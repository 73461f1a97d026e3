"""Brings the views of a scene to a lesion."""

from __future__ import annotations

import math

import numpy as np
import slicer

from liverseg.case import LesionReadout, Point
from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.scene import Scene


def jump_to_lesion(scene: Scene, nodes: CaseNodes, lesion: LesionReadout) -> None:
    """Center all slice views and 3D cameras on a lesion, and show its axes alone."""
    jump_to_point(scene, axes_middle(lesion))
    show_axes_of(nodes, lesion.id)


def axes_middle(lesion: LesionReadout) -> Point:
    """The middle of the long axis (RAS mm): in its slice, where the axes can be seen and checked."""
    one, other = lesion.long_axis_points_ras_mm
    return ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2, (one[2] + other[2]) / 2)


def jump_to_point(scene: Scene, point_ras_mm: Point) -> None:
    """Center all slice views on a point; cameras turn about it from where they look now."""
    mode = slicer.vtkMRMLSliceNode.CenteredJumpSlice
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *point_ras_mm, mode)
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLCameraNode")):
        camera = scene.GetNthNodeByClass(n, "vtkMRMLCameraNode")
        move = np.asarray(point_ras_mm) - np.asarray(camera.GetFocalPoint())
        position = np.asarray(camera.GetPosition()) + move
        modified = camera.StartModify()
        camera.SetFocalPoint(*point_ras_mm)
        camera.SetPosition(*position.tolist())
        camera.EndModify(modified)
        camera.ResetClippingRange()


def show_ct_of(scene: Scene, nodes: CaseNodes) -> None:
    """Show a case's CT in the slice views that show it in no layer: outlines on another CT would mislead."""
    volume = nodes.volume.GetID()
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        layers = scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode")
        if volume not in (layers.GetBackgroundVolumeID(), layers.GetForegroundVolumeID()):
            layers.SetBackgroundVolumeID(volume)


def bring_into_view(scene: Scene, nodes: CaseNodes) -> None:
    """Let all 3D cameras see the whole of a case, from the side they look from now.

    Slicer leaves cameras where they are when something comes into a scene; a liver may lie far from there.
    """
    bounds = [0.0] * 6
    nodes.segmentation.GetRASBounds(bounds)
    low, high = np.asarray(bounds[::2]), np.asarray(bounds[1::2])
    if not (low < high).all():
        return
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLCameraNode")):
        camera = scene.GetNthNodeByClass(n, "vtkMRMLCameraNode")
        direction = np.asarray(camera.GetPosition()) - np.asarray(camera.GetFocalPoint())
        distance = radius / math.sin(math.radians(camera.GetViewAngle()) / 2)
        position = middle + direction / np.linalg.norm(direction) * distance
        modified = camera.StartModify()
        camera.SetFocalPoint(*middle.tolist())
        camera.SetPosition(*position.tolist())
        camera.SetParallelScale(radius)
        camera.EndModify(modified)
        camera.ResetClippingRange()


def show_axes_of(nodes: CaseNodes, lesion_id: int | None) -> None:
    """Show the axes of one lesion, or those of all for None."""
    for each, lines in nodes.axes.items():
        for line in (lines.long, lines.short):
            if line.GetDisplayNode() is not None:
                line.GetDisplayNode().SetVisibility(lesion_id in (None, each))
