"""How a case looks in 3D: surfaces with presets of opacity, and volume renderings inside the liver."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from scipy import ndimage

from liverseg.errors import UsageError
from liverseg.geometry import bounding_box
from liverseg.segment_tags import COUINAUD_LAYER, LESION_LAYER, LIVER_LAYER, VESSEL_LAYER
from liverseg_mrml.case_nodes import CaseNodes
from liverseg_mrml.closed_surfaces import SMOOTHING, make_surfaces, set_smoothing
from liverseg_mrml.grids import copy_into_image
from liverseg_mrml.renderings import CONTRAST, MASKED, STALE, SURFACE, VOLUME_ROLES
from liverseg_mrml.scene import Node, Scene
from liverseg_mrml.segment_voxels import SegmentVoxels
from liverseg_mrml.segmentation_node import segment_ids
from liverseg_mrml.subject_hierarchy import put_into
from liverseg_mrml.translation import _
from liverseg_mrml.volume_node import volume_of

# Opacity by layer; segments of a layer that is not named are hidden.
OPACITY_PRESETS: dict[str, dict[str, float]] = {
    "overview": {LIVER_LAYER: 0.15, COUINAUD_LAYER: 0.25, LESION_LAYER: 1.0, VESSEL_LAYER: 1.0},
    "segments": {COUINAUD_LAYER: 1.0, LESION_LAYER: 1.0, VESSEL_LAYER: 1.0},
    "glass liver": {LIVER_LAYER: 0.2, LESION_LAYER: 1.0},
    "vessels": {LIVER_LAYER: 0.1, VESSEL_LAYER: 1.0, LESION_LAYER: 1.0},
}
PRESET = "LiverSeg.OpacityPreset"
# Voxels so near to the liver's border hold a part of fat, lung or bowel.
RIM_MM = 4.0
# Vessels with contrast lie below, bone above.
BONE_HU = 250.0
# Noise of single voxels would outshine a lesion in a maximum projection.
SMOOTHING_MM = 1.5


def apply_opacity_preset(nodes: CaseNodes, preset: str) -> None:
    """Show the surfaces as a preset says; slices keep their outlines.

    Raises:
        UsageError: there is no such preset.
    """
    if preset not in OPACITY_PRESETS:
        raise UsageError(
            _("no preset is called {preset}; there are: {names}").format(
                preset=repr(preset), names=", ".join(OPACITY_PRESETS)
            )
        )
    opacity = OPACITY_PRESETS[preset]
    display = nodes.segmentation.GetDisplayNode()
    modified = display.StartModify()
    for key, segment_id in segment_ids(nodes.segmentation).items():
        shown = opacity.get(_layer_of(key))
        display.SetSegmentVisibility3D(segment_id, shown is not None)
        if shown is not None:
            display.SetSegmentOpacity3D(segment_id, shown)
    display.EndModify(modified)
    nodes.segmentation.SetAttribute(PRESET, preset)


def shown_preset(nodes: CaseNodes) -> str:
    """The preset that was last applied to a case; "overview" is how a new one looks."""
    kept = nodes.segmentation.GetAttribute(PRESET)
    return kept if kept in OPACITY_PRESETS else next(iter(OPACITY_PRESETS))


def offered_presets(nodes: CaseNodes) -> list[str]:
    """The presets of opacity that show something of a case: "vessels" only where it has vessels."""
    layers = {_layer_of(key) for key in segment_ids(nodes.segmentation)}
    return [name for name in OPACITY_PRESETS if name != "vessels" or VESSEL_LAYER in layers]


def surface_smoothing(nodes: CaseNodes) -> float:
    """The smoothing factor that a case's surfaces have."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule
    text = nodes.segmentation.GetSegmentation().GetConversionParameter(rule.GetSmoothingFactorParameterName())
    return float(text) if text else SMOOTHING


def set_surface_smoothing(nodes: CaseNodes, factor: float) -> None:
    """Make the closed surfaces anew with a smoothing factor 0 (voxel steps) .. 1 (small lesions shrink).

    Raises:
        UsageError: a factor outside of 0..1.
    """
    if not 0 <= factor <= 1:
        raise UsageError(_("a smoothing of {factor} is not from 0 to 1").format(factor=f"{factor:g}"))
    set_smoothing(nodes.segmentation, factor)
    make_surfaces(nodes.segmentation)


def rendering_volume(scene: Scene, nodes: CaseNodes, kind: str) -> Node:
    """A volume to render, cropped to the liver: made once, and again after the masks were edited.

    Args:
        kind: "liver" (HU minus the liver's mean: dark lesions below 0, vessels above) or "contrast" (the
            same without its sign: lesions and vessels shine alike). Outside of the liver and in its rim,
            where voxels hold a part of something else, both are 0.
    """
    if kind not in VOLUME_ROLES:
        raise UsageError(
            _("no rendering is called {kind}; there are: {names}").format(
                kind=repr(kind), names=", ".join(VOLUME_ROLES)
            )
        )
    present = nodes.segmentation.GetNodeReference(VOLUME_ROLES[kind])
    ct = volume_of(nodes.volume)
    mask = SegmentVoxels(nodes).mask(segment_ids(nodes.segmentation)["liver"])
    margin = tuple(int(np.ceil(3 / s)) for s in ct.geometry.spacing_kji)
    box = bounding_box(mask, margin) or (slice(0, 1),) * 3  # type: ignore[arg-type]
    difference = _difference_to_liver(ct.array[box], mask[box], ct.geometry.spacing_kji)
    values = (np.abs(difference) if kind == CONTRAST else difference).astype(np.int16)
    node = present or scene.AddNewNodeByClass(
        "vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(f"{nodes.segmentation.GetName()} {kind}")
    )
    image = vtk.vtkImageData()
    image.SetDimensions(values.shape[::-1])
    copy_into_image(image, values)
    matrix = vtk.vtkMatrix4x4()
    nodes.volume.GetIJKToRASMatrix(matrix)
    corner = matrix.MultiplyPoint([box[2].start, box[1].start, box[0].start, 1.0])
    for row in range(3):
        matrix.SetElement(row, 3, corner[row])
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(image)
    node.SetAttribute(STALE, None)
    node.SetAndObserveTransformNodeID(nodes.volume.GetTransformNodeID())
    if present is None:
        node.CreateDefaultDisplayNodes()
        nodes.segmentation.SetNodeReferenceID(VOLUME_ROLES[kind], node.GetID())
        put_into(scene, nodes.folder, [node])
    return node


def _difference_to_liver(
    gray: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """Smoothed HU minus their mean in the liver; smoothing takes nothing from outside, and the rim is 0."""
    import edt  # noqa: PLC0415

    sigma = [SMOOTHING_MM / s for s in spacing]
    inside = mask.astype(np.float32)
    sums = ndimage.gaussian_filter(gray.astype(np.float32) * inside, sigma)
    smooth = sums / np.maximum(ndimage.gaussian_filter(inside, sigma), 1e-3)
    core = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing) > RIM_MM
    mean = float(smooth[core].mean()) if core.any() else 0.0
    return np.where(core, smooth - mean, 0.0)


def style_rendering(display: Node, kind: str, threshold: float | None = None) -> None:
    """Colors and opacities of a volume rendering.

    Args:
        display: ``vtkMRMLVolumeRenderingDisplayNode`` with a volume property node.
        kind: "liver", "contrast", or "surface" (an iso-surface of the CT at ``threshold`` HU).
        threshold: for "surface".
    """
    opacity, color = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for x, y in _opacity_points(kind, threshold):
        opacity.AddPoint(x, y)
    for x, rgb in _color_points(kind, threshold):
        color.AddRGBPoint(x, *rgb)
    node = display.GetVolumePropertyNode()
    node.SetScalarOpacity(opacity)
    node.SetColor(color)
    properties = node.GetVolumeProperty()
    properties.SetInterpolationTypeToLinear()
    properties.SetShade(kind == SURFACE)
    properties.SetAmbient(0.35)
    properties.SetDiffuse(0.8)
    properties.SetSpecular(0.15)
    # So thin that the first millimeter behind the threshold hides what is behind it.
    properties.SetScalarOpacityUnitDistance(0.3 if kind == SURFACE else 2.0)


def _opacity_points(kind: str, threshold: float | None) -> list[tuple[float, float]]:
    if kind == MASKED:
        return [(-400, 0.5), (-60, 0.5), (-18, 0), (22, 0), (60, 0.25), (400, 0.5)]
    if kind == CONTRAST:
        return [(0, 0), (12, 0), (60, 1), (3000, 1)]
    level = 150.0 if threshold is None else threshold
    return [(-3000, 0), (level - 10, 0), (level + 10, 1), (4000, 1)]


def _color_points(kind: str, threshold: float | None) -> list[tuple[float, tuple[float, float, float]]]:
    if kind == MASKED:
        return [
            (-80, (1.0, 0.55, 0.15)),
            (-15, (1.0, 0.8, 0.4)),
            (20, (0.5, 0.7, 1.0)),
            (90, (0.3, 0.5, 1.0)),
        ]
    if kind == CONTRAST:
        return [(0, (0, 0, 0)), (70, (1, 1, 1))]
    bone = threshold is not None and threshold >= BONE_HU
    color = (0.96, 0.92, 0.82) if bone else (0.9, 0.45, 0.38)
    return [(-3000, color), (3000, color)]


def _layer_of(key: str) -> str:
    if key == "liver":
        return LIVER_LAYER
    if key.startswith("lesion"):
        return LESION_LAYER
    return COUINAUD_LAYER if key.startswith("couinaud") else VESSEL_LAYER
