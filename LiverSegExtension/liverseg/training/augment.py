"""Random changes of space and gray values that a real scan could have.

All of it works where the tensors are, on the CPU or on a GPU; what is drawn is the same on both but for the
scanner's noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage


@dataclass(frozen=True)
class SpatialRange:
    """How far a patch may be turned, scaled and bent.

    Attributes:
        rotation_deg: largest turn about each axis.
        scale: largest relative change of size, common to all axes.
        stretch: largest further relative change along each axis.
        bend_voxels: standard deviation of the elastic displacement.
    """

    rotation_deg: float = 12.0
    scale: float = 0.15
    stretch: float = 0.08
    bend_voxels: float = 1.5


def random_matrix(rng: np.random.Generator, change: SpatialRange) -> np.ndarray:
    """A random 3x3 map from patch offsets to volume offsets, both in voxels (z, y, x)."""
    matrix = np.eye(3)
    for axis in range(3):
        angle = np.deg2rad(rng.uniform(-change.rotation_deg, change.rotation_deg))
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    size = np.exp(rng.uniform(-change.scale, change.scale))
    sizes = size * np.exp(rng.uniform(-change.stretch, change.stretch, 3))
    return matrix @ np.diag(sizes)


def sample_patch(
    volumes: list[torch.Tensor],
    modes: list[str],
    center: np.ndarray,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    change: SpatialRange | None,
) -> list[torch.Tensor]:
    """The same randomly moved patch out of several volumes of one grid.

    Args:
        volumes: tensors (z, y, x) of any type.
        modes: ``"bilinear"`` or ``"nearest"`` for each volume.
        center: patch center in voxels (z, y, x).
        shape: patch size in voxels.
        change: None for a plain crop.

    Returns:
        Float tensors of ``shape``; 0 where the patch reaches beyond the volume.
    """
    device = volumes[0].device
    matrix = random_matrix(rng, change) if change else np.eye(3)
    reach = np.abs(matrix) @ ((np.array(shape) - 1) / 2)
    axes = [torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2 for n in shape]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    points = offsets @ _on(matrix.T, device) + _on(center, device)
    if change and change.bend_voxels > 0:
        coarse = rng.normal(0, change.bend_voxels, (1, 3, 5, 6, 6))
        reach += np.abs(coarse).max(axis=(0, 2, 3, 4))
        points += F.interpolate(_on(coarse, device), size=shape, mode="trilinear")[0].movedim(0, -1)
    # Bounds from the numbers above and not from the points: a GPU need not be waited for.
    low = [max(0, int(np.floor(c - r)) - 1) for c, r in zip(center, reach, strict=True)]
    high = [
        min(side, int(np.ceil(c + r)) + 2) for side, c, r in zip(volumes[0].shape, center, reach, strict=True)
    ]
    if any(h - lo < 2 for lo, h in zip(low, high, strict=True)):
        return [torch.zeros(shape, device=device) for _ in volumes]
    size = _on(np.array([h - lo for lo, h in zip(low, high, strict=True)]), device)
    grid = ((points - _on(np.array(low), device)) * 2 + 1) / size - 1
    grid = grid.flip(-1)[None]
    patches = []
    for volume, mode in zip(volumes, modes, strict=True):
        part = volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]].float()[None, None]
        patches.append(F.grid_sample(part, grid, mode=mode, padding_mode="zeros", align_corners=False)[0, 0])
    return patches


def _on(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device, non_blocking=True)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], cells: int, device: torch.device
) -> torch.Tensor:
    """Gaussian noise of unit deviation on a coarse grid, interpolated to ``shape``."""
    coarse = _on(rng.normal(0, 1, (1, 1, cells, cells, cells)), device)
    return F.interpolate(coarse, size=shape, mode="trilinear")[0, 0]


def box_mean(volume: torch.Tensor, size: int) -> torch.Tensor:
    """The mean over a cube of ``size`` (odd) voxels around each voxel of a (z, y, x) tensor, as float32.

    Axis by axis, ten times faster than a 3D pooling; edge voxels are repeated outside.
    """
    if volume.device.type == "cpu":
        array = volume.numpy().astype(np.float32)
        return torch.from_numpy(ndimage.uniform_filter(array, size, mode="nearest"))
    return pooled_mean(volume, size)


def pooled_mean(volume: torch.Tensor, size: int) -> torch.Tensor:
    """What :func:`box_mean` gives, by average pooling: the way of a GPU."""
    mean = volume.float()[None, None]
    for axis in range(3):
        kernel, border = [1, 1, 1], [0] * 6
        kernel[axis] = size
        # F.pad counts axes from the last one.
        border[4 - 2 * axis] = border[5 - 2 * axis] = size // 2
        mean = F.avg_pool3d(F.pad(mean, border, mode="replicate"), kernel, stride=1)
    return mean[0, 0]


def change_gray_values(image: torch.Tensor, organ: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Scanner, dose, contrast phase: random changes of a patch with values 0..1.

    Args:
        image: (z, y, x), normalized HU.
        organ: (z, y, x) bool, the liver with its lesions; its brightness is sometimes moved alone, which
            covers contrast phases, fatty and very bright livers.
    """
    inside = image > 0
    if rng.random() < 0.3:
        soft = box_mean(organ, 3)
        image = image + soft * float(rng.uniform(-0.12, 0.2))
    if rng.random() < 0.5:
        image = image * float(rng.uniform(0.8, 1.25)) + float(rng.uniform(-0.1, 0.1))
    if rng.random() < 0.3:
        image = image.clamp(0, 1) ** float(np.exp(rng.uniform(-0.35, 0.35)))
    if rng.random() < 0.15:
        image = image + smooth_noise(rng, tuple(image.shape), 4, image.device) * float(rng.uniform(0, 0.05))
    if rng.random() < 0.25:
        image = _thick_slices(image, int(rng.integers(2, 5)))
    if rng.random() < 0.15:
        image = box_mean(image, 3)
    if rng.random() < 0.35:
        generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**31)))
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        image = image + noise * float(rng.uniform(0, 0.08))
    return torch.where(inside, image, torch.zeros((), device=image.device)).clamp(0, 1)


def change_vessels(image: torch.Tensor, kinds: list[torch.Tensor], rng: np.random.Generator) -> torch.Tensor:
    """Move the brightness of each kind of vessel alone, as phases with dark or very bright veins do.

    Args:
        image: (z, y, x), normalized HU.
        kinds: (z, y, x) bool, one mask a kind.
    """
    for vessel in kinds:
        # A kind that is not there changes nothing; to ask for it first would wait for a GPU.
        image = image + box_mean(vessel, 3) * float(rng.uniform(-0.2, 0.15))
    return image


def _thick_slices(image: torch.Tensor, thickness: int) -> torch.Tensor:
    slices = max(1, image.shape[0] // thickness)
    thick = F.adaptive_avg_pool3d(image[None, None], (slices, image.shape[1], image.shape[2]))
    return F.interpolate(thick, size=tuple(image.shape), mode="trilinear")[0, 0]


def cut_field_of_view(patches: list[torch.Tensor], rng: np.random.Generator) -> list[torch.Tensor]:
    """End the scan somewhere inside patches (z, y, x) of one place, above or below, as short scans do."""
    slices = patches[0].shape[0]
    cut = int(rng.integers(slices // 8, slices // 2))
    part = slice(0, cut) if rng.random() < 0.5 else slice(slices - cut, None)
    copies = [patch.clone() for patch in patches]
    for copy in copies:
        copy[part] = 0
    return copies
