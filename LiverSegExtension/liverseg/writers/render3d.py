"""Draws the liver in 3D off screen: ``python -m liverseg.writers.render3d IN.npz OUT.png``.

It is a program of its own, because a broken graphics driver kills the process it runs in, and that must
not be the one that holds the result.

IN.npz: ``segments`` (uint8), ``lesions`` (uint8) and ``vessels`` (uint8), arrays in canonical order (towards
superior, posterior, left) of one shape; ``spacing_mm`` along these axes; ``segment_colors``,
``lesion_color``, ``vessel_colors`` (0..1, row n for label n); ``size`` (width, height); ``half_height_mm``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.meshes import vtk_image

SEGMENT_OPACITY = 0.65
VESSEL_OPACITY = 0.9
# Lesions are drawn again over the liver, or its colors would turn them pink or orange.
LESION_SHINE = 0.6
BACKGROUND = (0.0, 0.0, 0.0)


def _surface(labels: np.ndarray, spacing: np.ndarray) -> Any:  # a vtkPolyData; vtk is imported late
    """The surface between all labels and around them (vtkSurfaceNets3D), points in the array's mm.

    Neighbors share their border, which a surface of each alone (:mod:`liverseg.meshes`) would draw twice.
    """
    import vtk  # noqa: PLC0415

    nets = vtk.vtkSurfaceNets3D()
    nets.SetInputData(vtk_image(np.pad(labels, 1), spacing))
    for n, value in enumerate(int(v) for v in np.unique(labels) if v):
        nets.SetValue(n, value)
    nets.SetOutputStyleToBoundary()
    nets.SmoothingOn()
    nets.SetNumberOfIterations(20)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(nets.GetOutputPort())
    normals.SplittingOff()
    # The faces are consistent already; turning them outwards again fails where the liver folds onto itself.
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def _actor(labels: np.ndarray, spacing: np.ndarray, colors: np.ndarray, opacity: float) -> Any:
    """An actor in which each label has its color."""
    import vtk  # noqa: PLC0415
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy  # noqa: PLC0415

    surface = _surface(labels, spacing)
    # Each face has the labels on its two sides; outside is 0.
    sides = vtk_to_numpy(surface.GetCellData().GetArray("BoundaryLabels")).astype(int)
    rgb = numpy_to_vtk((colors[sides.max(axis=1)] * 255).astype(np.uint8), deep=True)
    surface.GetCellData().SetScalars(rgb)
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(surface)
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetOpacity(opacity)
    # The far side would mix another segment's color into the near one.
    actor.GetProperty().BackfaceCullingOn()
    actor.GetProperty().SetAmbient(0.25)
    actor.GetProperty().SetDiffuse(0.75)
    actor.GetProperty().SetSpecular(0.15)
    return actor


def render(scene: dict[str, np.ndarray], path: Path) -> None:
    """Render from the front: superior is up, the patient's right on the left."""
    import vtk  # noqa: PLC0415

    spacing = scene["spacing_mm"]
    renderer = vtk.vtkRenderer()
    renderer.SetBackground(*BACKGROUND)
    parts = (
        (scene["segments"], scene["segment_colors"], SEGMENT_OPACITY),
        (scene["vessels"], scene["vessel_colors"], VESSEL_OPACITY),
        (scene["lesions"], scene["lesion_color"], 1.0),
    )
    for labels, colors, opacity in parts:
        if labels.any():
            renderer.AddActor(_actor(labels, spacing, colors, opacity))
    overlay = vtk.vtkRenderer()
    overlay.SetLayer(1)
    if scene["lesions"].any():
        overlay.AddActor(_actor(scene["lesions"], spacing, scene["lesion_color"], LESION_SHINE))
    # Axes of the scene: x left, y posterior, z superior (array order reversed); one voxel of padding.
    center = [float(s) * (n + 1) / 2 for s, n in zip(spacing, scene["segments"].shape, strict=True)][::-1]
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetFocalPoint(*center)
    camera.SetPosition(center[0], center[1] - 1000.0, center[2])
    camera.SetViewUp(0.0, 0.0, 1.0)
    camera.SetParallelScale(float(scene["half_height_mm"]))
    overlay.SetActiveCamera(camera)
    renderer.ResetCameraClippingRange()
    window = vtk.vtkRenderWindow()
    window.SetNumberOfLayers(2)
    window.SetOffScreenRendering(1)
    # Depth peeling draws nothing translucent when the window is multi-sampled.
    window.SetMultiSamples(0)
    window.SetAlphaBitPlanes(1)
    renderer.SetUseDepthPeeling(1)
    renderer.SetMaximumNumberOfPeels(12)
    renderer.UseFXAAOn()
    window.AddRenderer(renderer)
    window.AddRenderer(overlay)
    window.SetSize(*(int(n) for n in scene["size"]))
    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetInputConnection(grabber.GetOutputPort())
    writer.SetFileName(str(path))
    writer.Write()


if __name__ == "__main__":
    with np.load(sys.argv[1]) as arrays:
        render(dict(arrays), Path(sys.argv[2]))
