"""Settings of the further roads: another network, scans on a grid of one's own, cases without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NORMALIZATIONS = ("unit", "symmetric", "foreground")


@dataclass
class NetworkConfig:
    """Which network learns the task.

    Attributes:
        name: a key of ``liverseg.networks.FAMILIES``; those with filters a level take ``task.filters``.
        dimensions: 3, or 2 for a network over slices.
        context: slices in all that a slice is seen with (odd; where dimensions is 2).
        options: of the family, see its file in ``liverseg/networks``.
        normalization: what the HU window becomes before the first layer: "unit" (0..1), "symmetric" (-1..1)
            or "foreground" (zero mean and unit deviation of the training cases' livers and lesions).
        pretrained: a local file of torchvision's ImageNet weights for the encoder of ResNetUNet, or empty.
    """

    name: str = "DynUNet"
    dimensions: int = 3
    context: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    normalization: str = "unit"
    pretrained: str = ""


@dataclass
class ScanConfig:
    """The task ``scan``: a network that sees the CT alone, on a grid and in a window of one's own.

    Attributes:
        classes: what is told apart from the background: liver (lesions included where they are no class of
            their own), lesion, or both.
        segments: also tell the Couinaud segments apart (with the network TwoHeads), in cases that have them.
        region: "whole" scan, or the "liver" with ``margin_mm`` around it.
        spacing_mm: voxel size (z, y, x); 0 keeps the scan's own.
        voxels: so many voxels along an axis of the whole scan instead of a spacing; 0 for none.
        size: (z, y, x) voxels of the cached scans, cropped or padded about their center; empty for no change.
        window_hu: HU range that becomes 0..1.
        queue: patches that are mixed before they are used, drawn ``per_volume`` from each scan; 0 to draw
            every patch from a scan of its own.
        rotation_deg, scale, stretch, bend_voxels: largest changes of space, see ``augment.SpatialRange``.
        translate_voxels: largest shift along each axis.
        flip: axes (0 z, 1 y, 2 x) along which half of the patches are mirrored.
        noise: largest standard deviation of added noise, as a share of the window.
        gray_values: also change brightness, contrast and the like, see ``augment.change_gray_values``.
        overlap: share of a window that its neighbors cover when a scan is read out; -1 for the engine's own.
    """

    classes: list[str] = field(default_factory=lambda: ["liver", "lesion"])
    segments: bool = False
    region: str = "whole"
    margin_mm: float = 20.0
    spacing_mm: list[float] = field(default_factory=lambda: [2.0, 2.0, 2.0])
    voxels: list[int] = field(default_factory=lambda: [0, 0, 0])
    size: list[int] = field(default_factory=list)
    window_hu: list[float] = field(default_factory=lambda: [-160.0, 240.0])
    queue: int = 0
    per_volume: int = 1
    rotation_deg: float = 0.0
    scale: float = 0.0
    stretch: float = 0.0
    bend_voxels: float = 0.0
    translate_voxels: float = 0.0
    flip: list[int] = field(default_factory=list)
    noise: float = 0.0
    gray_values: bool = False
    overlap: float = -1.0


@dataclass
class TeacherConfig:
    """Mean teacher: cases without labels are to look alike to the network and to its averaged self.

    Attributes:
        unlabeled: a cache folder of cases whose labels are not used; empty for no teacher.
        weight: of the consistency in the loss, once it has risen.
        ramp_up: steps over which it rises.
        decay: of the teacher's average.
        noise: standard deviation of the noise on the student's input, as a share of the window.
        share: unlabeled samples for each labeled one.
    """

    unlabeled: str = ""
    weight: float = 1.0
    ramp_up: int = 400
    decay: float = 0.99
    noise: float = 0.05
    share: int = 1
