"""Draws the liver in 3D off screen: ``python -m liverseg.writers.render3d IN.npz OUT_FOLDER``.

It is a program of its own, because a broken graphics driver kills the process it runs in, and that must
not be the one that holds the result.

OUT_FOLDER gets ``0.png``, ``1.png`` and so on, one for each of the n looks at the same liver.

IN.npz: ``segments`` (uint8), ``lesions`` (uint16, ids) and ``vessels`` (uint8), arrays in canonical order
(towards superior, posterior, left) of one shape; ``spacing_mm`` along these axes; ``segment_colors`` and
``vessel_colors`` (labels, 3), 0..1; ``shown_segments`` (n, labels), whether a segment has its color or is a
part of a gray shell; ``shown_lesions`` (n), the id that stands out or 0 for all; ``lesion_colors`` (2, 3) of
the others and of the shown; ``background`` (3); ``sizes`` (n, 2: width, height); ``half_heights_mm`` (n).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.meshes import vtk_image

SEGMENT_OPACITY = 0.65
SHELL_OPACITY = 0.18
SHELL_COLOR = np.array((0.55, 0.58, 0.62))
VESSEL_OPACITY = 0.9
# Lesions are drawn again over the liver, or its colors would turn them pink or orange.
LESION_SHINE = 0.6
PALE_OPACITY = 0.35


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


def _actor(surface: Any, colors: np.ndarray, opacity: float = 1.0) -> Any:
    """An actor in which each label has its color: ``colors`` (labels, 3), 0..1."""
    import vtk  # noqa: PLC0415
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy  # noqa: PLC0415

    # Each face has the labels on its two sides; outside is 0.
    sides = vtk_to_numpy(surface.GetCellData().GetArray("BoundaryLabels")).astype(int)
    painted = vtk.vtkPolyData()
    painted.ShallowCopy(surface)
    painted.GetCellData().SetScalars(
        numpy_to_vtk((colors[sides.max(axis=1)] * 255).astype(np.uint8), deep=True)
    )
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(painted)
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetOpacity(opacity)
    # The far side would mix another segment's color into the near one.
    actor.GetProperty().BackfaceCullingOn()
    actor.GetProperty().SetAmbient(0.25)
    actor.GetProperty().SetDiffuse(0.75)
    actor.GetProperty().SetSpecular(0.15)
    return actor


def render(scene: dict[str, np.ndarray], folder: Path) -> None:
    """Render each look from the front: superior is up, the patient's right on the left."""
    import vtk  # noqa: PLC0415

    spacing = scene["spacing_mm"]
    common = _Common.of(scene)
    renderer, overlay = vtk.vtkRenderer(), vtk.vtkRenderer()
    renderer.SetBackground(*scene["background"].tolist())
    overlay.SetLayer(1)
    # Axes of the scene: x left, y posterior, z superior (array order reversed); one voxel of padding.
    center = [float(s) * (n + 1) / 2 for s, n in zip(spacing, scene["segments"].shape, strict=True)][::-1]
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetFocalPoint(*center)
    camera.SetPosition(center[0], center[1] - 1000.0, center[2])
    camera.SetViewUp(0.0, 0.0, 1.0)
    overlay.SetActiveCamera(camera)
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
    for n, (segments, lesion) in enumerate(zip(scene["shown_segments"], scene["shown_lesions"], strict=True)):
        renderer.RemoveAllViewProps()
        overlay.RemoveAllViewProps()
        _add_segments(renderer, scene, common, segments)
        if common.vessels is not None:
            renderer.AddActor(_actor(common.vessels, scene["vessel_colors"], VESSEL_OPACITY))
        _add_lesions(renderer, overlay, scene, common, int(lesion))
        window.SetSize(*(int(pixels) for pixels in scene["sizes"][n]))
        camera.SetParallelScale(float(scene["half_heights_mm"][n]))
        renderer.ResetCameraClippingRange()
        window.Render()
        _write(window, folder / f"{n}.png")


@dataclass(frozen=True)
class _Common:
    """Surfaces (vtkPolyData) that every look needs; None where there is nothing."""

    liver: Any
    lesions: Any
    vessels: Any

    @staticmethod
    def of(scene: dict[str, np.ndarray]) -> _Common:
        spacing = scene["spacing_mm"]
        masks = ((scene["segments"] > 0), (scene["lesions"] > 0), scene["vessels"])
        return _Common(*(_surface(m.astype(np.uint8), spacing) if m.any() else None for m in masks))


def _add_segments(renderer: Any, scene: dict[str, np.ndarray], common: _Common, shown: np.ndarray) -> None:
    """All segments in their colors, or some of them inside of a gray shell."""
    segments = scene["segments"]
    colored = np.where(shown[segments], segments, 0).astype(np.uint8)
    if colored.any():
        surface = _surface(colored, scene["spacing_mm"])
        renderer.AddActor(_actor(surface, scene["segment_colors"], SEGMENT_OPACITY))
    if not shown.all() and common.liver is not None:
        renderer.AddActor(_actor(common.liver, np.array([SHELL_COLOR, SHELL_COLOR]), SHELL_OPACITY))


def _add_lesions(
    renderer: Any, overlay: Any, scene: dict[str, np.ndarray], common: _Common, shown: int
) -> None:
    """Lesions under the liver's surface, the shown ones also over it."""
    if common.lesions is None:
        return
    pale, bright = (np.array([(0, 0, 0), color]) for color in scene["lesion_colors"])
    front = common.lesions
    if shown:
        renderer.AddActor(_actor(common.lesions, pale, PALE_OPACITY))
        front = _surface((scene["lesions"] == shown).astype(np.uint8), scene["spacing_mm"])
    renderer.AddActor(_actor(front, bright))
    overlay.AddActor(_actor(front, bright, LESION_SHINE))


def _write(window: Any, path: Path) -> None:
    import vtk  # noqa: PLC0415

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
