#!/usr/bin/env python3
"""Make the pictures of the documentation, all of a made-up patient.

scripts/make_screenshots.py --out Resources/Screenshots [--only overview panel views]

LiverSeg.png: what ``liverseg segment`` draws with the bundled model. Panel.png, PanelMore.png: the sections
of the module; the panel is the product's, Slicer's own widgets are the plain stand-ins of the tests
(``Testing/QtHost``). Views3D.png: the presets of the section 3D, drawn by Slicer's own displayable managers.
Needs the packages of the extras ``mrml`` and ``dev``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Testing" / "QtHost"), str(ROOT / "LiverSegExtension")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

SEED = 2026
TIME = "2026-01-02T03:04:05+00:00"
OVERVIEW, VIEW = (1280, 800), (520, 400)
# Seconds that a comparison may take.
PATIENCE_S = 240
# Preset of the surfaces, or a volume rendering, with its caption.
VIEWS = (
    ("overview", "Overview"),
    ("segments", "Segments"),
    ("glass liver", "Lesions in glass liver"),
    ("vessels", "Vessels"),
    ("liver", "CT inside the liver"),
    ("contrast", "Maximum projection of contrast"),
)


def main() -> None:
    """Make what was asked for; all of it by default."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--only", nargs="+", choices=tuple(PICTURES), default=tuple(PICTURES))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        PICTURES[name](arguments.out)


def overview(out: Path) -> None:
    """The picture that every run writes."""
    from liverseg.phantom import make_phantom
    from liverseg.pipeline import SegmentOptions, segment
    from liverseg.writers.preview import write_preview

    path = out / "LiverSeg.png"
    write_preview(segment(make_phantom(seed=SEED).ct, SegmentOptions(device="cpu")), path)
    Image.open(path).resize(OVERVIEW, Image.Resampling.LANCZOS).save(path, optimize=True)


def made_cases() -> list[Any]:
    """A patient's true read-out, and that of a later scan: one lesion grown, one gone."""
    from liverseg.case import CouinaudMethod, Provenance
    from liverseg.measure import measure
    from liverseg.phantom import make_phantom

    def read(phantom: Any) -> Any:
        return measure(
            phantom.ct, phantom.masks, method=CouinaudMethod("made up"), provenance=Provenance("made up")
        )

    first = make_phantom(seed=SEED)
    grown = [
        replace(lesion, diameter_mm=lesion.diameter_mm * (1.3 if lesion.id == 2 else 0.95))  # noqa: PLR2004
        for lesion in first.lesions
        if lesion.id != 3  # noqa: PLR2004
    ]
    return [read(first), read(make_phantom(seed=SEED, lesions=grown))]


def panel(out: Path) -> None:
    """The sections of the panel with the patient's result, a review, a plan and a comparison."""
    from host import Host

    with tempfile.TemporaryDirectory() as temporary:
        _python_slicer(Path(temporary) / "bin")
        host = Host(Path(temporary))
        widget = host.open()
        from liverseg_mrml.to_scene import add_case_to_scene
        from liverseg_mrml.volume_node import add_volume

        shown = []
        for n, case in enumerate(made_cases()):
            volume = add_volume(host.scene, case.ct, ("Portal venous, May", "Portal venous, November")[n])
            shown.append(add_case_to_scene(host.scene, case, volume, ("LiverSeg", "LiverSeg (2)")[n]))
        ui, session = widget.ui, widget.panel.session
        widget._parameterNode.inputVolume = shown[1].volume
        session.show(shown[1])
        _compare(host, widget)
        session.show(shown[1])
        session.review(1, "accepted", "", "Reader", TIME)
        session.review(3, "rejected", "a cyst", "Reader", TIME)
        session.selectLesion(2)
        for numeral in ("V", "VI", "VII", "VIII"):
            widget.panel.remnant.boxes[numeral].click()
        ui.heightSpinBox.value, ui.weightSpinBox.value = 172, 70
        _wait(host, lambda: widget.panel.run.devices.found is not None)
        sections = ("inputs", "run", "results", "correct")
        more = ("segments", "remnant", "views", "export", "compare", "batch")
        ui.landmarksButton.click()
        _wait(host, lambda: not widget.panel.segments.run.isRunning)
        ui.splitAgainButton.click()
        _wait(host, lambda: not widget.panel.segments.run.isRunning)
        for file, opened in (("Panel.png", sections), ("PanelMore.png", more[:5])):
            for name in (*sections, *more, "advanced"):
                getattr(ui, f"{name}CollapsibleButton").collapsed = name not in opened
            ui.advancedCollapsibleButton.collapsed = file == "Panel.png"
            host.settle(300)
            host.picture(out / file)
        host.close()


def _compare(host: Any, widget: Any) -> None:
    widget.panel.compare.onRunOrCancel()
    _wait(host, lambda: not widget.panel.compare.isRunning)


def _wait(host: Any, until: Any) -> None:
    for _ in range(PATIENCE_S * 10):
        if until():
            return
        host.settle(100)
    raise SystemExit(f"the engine took more than {PATIENCE_S} s")


def _python_slicer(folder: Path) -> None:
    """A stand-in for Slicer's Python in front of PATH."""
    folder.mkdir()
    program = folder / "PythonSlicer"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def views(out: Path) -> None:
    """The presets of surfaces and volume renderings, from the front."""
    import slicer

    from liverseg_mrml.renderings import CONTRAST
    from liverseg_mrml.scene import make_scene
    from liverseg_mrml.to_scene import add_case_to_scene
    from liverseg_mrml.versions import show_case
    from liverseg_mrml.views3d import (
        OPACITY_PRESETS,
        apply_opacity_preset,
        rendering_volume,
        style_rendering,
    )

    made = make_scene()
    nodes = add_case_to_scene(made.scene, made_cases()[0])
    logic = slicer.vtkSlicerVolumeRenderingLogic()
    logic.SetMRMLScene(made.scene)
    made.application.SetModuleLogic("VolumeRendering", logic)
    view = made.scene.AddNewNodeByClass("vtkMRMLViewNode", "View1")
    window, managers = _window(made.application, view)
    for lines in nodes.axes.values():
        lines.long.GetDisplayNode().SetVisibility(False)
        lines.short.GetDisplayNode().SetVisibility(False)
    pictures = []
    for name, caption in VIEWS:
        if name in OPACITY_PRESETS:
            apply_opacity_preset(nodes, name)
            pictures.append(_snapshot(window, caption))
            continue
        show_case(nodes, False)
        display = logic.CreateDefaultVolumeRenderingNodes(rendering_volume(made.scene, nodes, name))
        display.SetFollowVolumeDisplayNode(False)
        style_rendering(display, name)
        technique = view.MaximumIntensityProjection if name == CONTRAST else view.Composite
        view.SetRaycastTechnique(technique)
        display.SetVisibility(True)
        pictures.append(_snapshot(window, caption))
        display.SetVisibility(False)
    managers.SetMRMLDisplayableNode(None)
    _sheet(pictures, columns=3).save(out / "Views3D.png", optimize=True)


def _window(application: Any, view: Any) -> tuple[Any, Any]:
    """An off-screen window of a 3D view with Slicer's displayable managers."""
    import slicer
    import vtk

    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    # Translucent surfaces vanish with depth peeling in a multi-sampled window.
    window.SetMultiSamples(0)
    window.SetSize(*VIEW)
    renderer = vtk.vtkRenderer()
    renderer.SetUseDepthPeeling(1)
    renderer.SetMaximumNumberOfPeels(12)
    window.AddRenderer(renderer)
    interactor = vtk.vtkGenericRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(application)
    for name in ("vtkMRMLSegmentationsDisplayableManager3D", "vtkMRMLVolumeRenderingDisplayableManager"):
        factory.RegisterDisplayableManager(name)
    managers = factory.InstantiateDisplayableManagers(renderer)
    managers.SetMRMLDisplayableNode(view)
    return window, managers


def _snapshot(window: Any, caption: str) -> Image.Image:
    """The scene from the front with a caption; all pictures have one scale."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    renderer = window.GetRenderers().GetFirstRenderer()
    camera = renderer.GetActiveCamera()
    if not camera.GetParallelProjection():
        renderer.ResetCamera()
        x, y, z = camera.GetFocalPoint()
        camera.ParallelProjectionOn()
        camera.SetPosition(x, y + 1000, z)
        camera.SetViewUp(0, 0, 1)
        camera.SetFocalPoint(x - 20, y, z + 15)
        camera.SetPosition(x - 20, y + 1000, z + 15)
        camera.SetParallelScale(115)
    renderer.ResetCameraClippingRange()
    window.Render()
    reader = vtk.vtkWindowToImageFilter()
    reader.SetInput(window)
    reader.ReadFrontBufferOff()
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3]
    picture = Image.fromarray(pixels.copy())
    ImageDraw.Draw(picture).text((12, 8), caption, fill=(255, 255, 255), font=ImageFont.load_default(16))
    return picture


def _sheet(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * VIEW[0], rows * VIEW[1]))
    for n, picture in enumerate(pictures):
        sheet.paste(picture, (n % columns * VIEW[0], n // columns * VIEW[1]))
    return sheet


PICTURES = {"overview": overview, "panel": panel, "views": views}

if __name__ == "__main__":
    main()
