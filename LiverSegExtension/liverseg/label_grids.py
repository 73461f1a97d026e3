"""Label arrays on another grid of the same voxels: by flips, permutation and shift, never interpolated."""

from __future__ import annotations

import numpy as np

from liverseg.errors import InputRefused
from liverseg.geometry import Geometry

# Grids are one when no corner is off by more than this part of a voxel: NIfTI keeps float32 numbers.
GRID_TOLERANCE_VOXELS = 0.1


def onto_grid(
    array: np.ndarray, geometry: Geometry, target: Geometry, name: str, same_box: bool = False
) -> tuple[np.ndarray, bool]:
    """Lay a label array onto another grid whose voxels are the same, by flips, permutation and shift alone.

    Args:
        array: (k, j, i) labels on ``geometry``, which may be a part of the target's box or reach outside.
        name: of the file, for the message.
        same_box: refuse a part of the target's box, too.

    Returns:
        The labels on the target grid, zero where the array does not reach, and whether labels were cut off.

    Raises:
        InputRefused: the voxels of the two grids are not the same.
    """
    if geometry.matches(target):
        return array, False
    # Rows: target index (i, j, k) from source index (i, j, k).
    change = np.linalg.inv(target.ijk_to_ras) @ geometry.ijk_to_ras
    turn = np.rint(change[:3, :3]).astype(int)
    shift = np.rint(change[:3, 3]).astype(int)
    refusal = InputRefused(
        f"{name} is not on the CT's grid: {_grid_text(geometry)}, the CT has {_grid_text(target)}; "
        "save the masks with the CT as reference"
    )
    is_permutation = np.array_equal(np.abs(turn) @ np.abs(turn).T, np.eye(3))
    if not is_permutation or _largest_drift(change, turn, shift, geometry) > GRID_TOLERANCE_VOXELS:
        raise refusal
    # In array order (k, j, i): target axis n runs along source axis axes[n], reversed where turned.
    turn, shift = turn[::-1, ::-1], shift[::-1]
    axes = np.abs(turn).argmax(axis=1)
    view = array.transpose(axes)
    reverse = turn[np.arange(3), axes] < 0
    view = view[tuple(slice(None, None, -1) if r else slice(None) for r in reverse)]
    start = np.where(reverse, shift - np.array(view.shape) + 1, shift)
    if same_box and (start.any() or view.shape != target.shape):
        raise refusal
    low = np.clip(start, 0, target.shape)
    high = np.clip(start + view.shape, 0, target.shape)
    inside = view[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
    result = np.zeros(target.shape, array.dtype)
    result[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = inside
    return result, bool(np.count_nonzero(view) > np.count_nonzero(inside))


def _largest_drift(change: np.ndarray, turn: np.ndarray, shift: np.ndarray, geometry: Geometry) -> float:
    """How far, in voxels, a corner of the source grid lies from the place that whole numbers give it."""
    k, j, i = geometry.shape
    corners = np.array(np.meshgrid((0, i - 1), (0, j - 1), (0, k - 1))).reshape(3, -1)
    exact = change[:3, :3] @ corners + change[:3, 3:]
    return float(np.abs(exact - (turn @ corners + shift[:, None])).max())


def _grid_text(geometry: Geometry) -> str:
    size = " x ".join(str(n) for n in reversed(geometry.shape))
    spacing = " x ".join(f"{s:.3g}" for s in geometry.spacing_ijk)
    origin = ", ".join(f"{x:.1f}" for x in geometry.ijk_to_ras[:3, 3])
    return f"{size} voxels of {spacing} mm at ({origin}) RAS mm"
