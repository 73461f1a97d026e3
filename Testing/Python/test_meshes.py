"""Surfaces are closed, face outwards, lie where their masks lie and hold as much."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from liverseg.geometry import Geometry
from liverseg.meshes import Mesh, mesh_of
from made_cases import make_case, rotation_about

pytest.importorskip("vtk", reason="vtk is not installed (pip install 'liverseg[surfaces]')")

SPACINGS = [(1.0, 0.7, 0.7), (2.5, 0.7, 0.7), (5.0, 0.8, 0.8)]


def upright(mask: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Geometry:
    k, j, i = spacing
    return Geometry(mask.shape, np.diag([-i, -j, k, 1.0]))


def ball(diameter_mm: float, spacing: tuple[float, float, float]) -> np.ndarray:
    """A ball beside the middle of a voxel."""
    shape = [int(diameter_mm / s) + 5 for s in spacing]
    grid = np.indices(shape).astype(float)
    middle = [(n - 1) / 2 + off for n, off in zip(shape, (0.3, 0.1, 0.45), strict=True)]
    squares = [((g - m) * s) ** 2 for g, m, s in zip(grid, middle, spacing, strict=True)]
    return sum(squares) <= (diameter_mm / 2) ** 2


def is_closed(mesh: Mesh) -> bool:
    """Whether each edge belongs to two triangles, which run along it in opposite directions."""
    t = mesh.triangles
    edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    there = {tuple(edge) for edge in edges.tolist()}
    return len(there) == len(edges) and all((b, a) in there for a, b in there)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("diameter_mm", [10.0, 20.0, 60.0])
def test_a_ball_keeps_its_volume_and_becomes_round(diameter_mm: float, spacing) -> None:
    mask = ball(diameter_mm, spacing)
    geometry = upright(mask, spacing)
    mesh = mesh_of(mask, geometry)
    assert mesh.volume_ml == pytest.approx(mask.sum() * geometry.voxel_volume_ml, rel=2e-3)
    assert is_closed(mesh)
    center = geometry.to_ras(np.argwhere(mask).mean(axis=0))
    radii = np.linalg.norm(mesh.points - center, axis=1)
    assert radii.max() - radii.min() < 1.0 * max(spacing)


def test_any_shape_gives_a_closed_surface() -> None:
    rng = np.random.default_rng(0)
    for n in range(8):
        mask = ndimage.gaussian_filter(rng.normal(size=(24, 26, 28)), 0.6 + 0.1 * n) > 0.05
        mesh = mesh_of(mask, upright(mask))
        assert is_closed(mesh)
        assert mesh.volume_ml == pytest.approx(mask.sum() / 1000.0, rel=2e-3)


@pytest.mark.parametrize("offset", [(0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1)])
def test_one_voxel_and_two_that_touch_have_a_surface(offset) -> None:
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = True
    mask[tuple(1 + o for o in offset)] = True
    mesh = mesh_of(mask, upright(mask))
    assert is_closed(mesh)
    assert mesh.volume_ml == pytest.approx(mask.sum() / 1000.0, rel=2e-3)


def test_a_mask_that_fills_its_array_is_closed_at_the_edge() -> None:
    mask = np.ones((3, 4, 5), bool)
    mesh = mesh_of(mask, upright(mask, (3.0, 2.0, 1.0)))
    assert is_closed(mesh)
    assert mesh.volume_ml == pytest.approx(60 * 6.0 / 1000.0, rel=2e-3)


def test_an_empty_mask_has_no_surface() -> None:
    mask = np.zeros((3, 3, 3), bool)
    assert mesh_of(mask, upright(mask)) is None


@pytest.mark.parametrize(
    "grid",
    [
        {},
        {"flips": (True, False, False)},
        {"flips": (True, True, True)},
        {"permutation": (1, 2, 0), "flips": (False, True, False)},
        {"rotation": rotation_about((1, 0.4, -0.2), 13), "permutation": (2, 1, 0)},
    ],
)
def test_surfaces_lie_where_the_masks_lie_and_face_outwards(grid) -> None:
    case = make_case(**grid)
    geometry = case.ct.geometry
    for label in (1, 2, 8):
        mask = case.masks.couinaud == label
        mesh = mesh_of(mask, geometry)
        assert mesh.volume_ml > 0, "negative where triangles face inwards"
        world = geometry.to_ras(np.argwhere(mask))
        np.testing.assert_allclose(centroid(mesh), world.mean(axis=0), atol=0.15)
        half_a_voxel = 0.5 * max(geometry.spacing_kji)
        np.testing.assert_allclose(mesh.points.min(axis=0), world.min(axis=0), atol=2 * half_a_voxel)
        np.testing.assert_allclose(mesh.points.max(axis=0), world.max(axis=0), atol=2 * half_a_voxel)


def test_a_tilted_gantry_tilts_the_surface() -> None:
    mask = ball(20.0, (2.5, 1.0, 1.0))
    matrix = upright(mask, (2.5, 1.0, 1.0)).ijk_to_ras.copy()
    matrix[:3, 2] += (0.0, 0.9, 0.0)
    geometry = Geometry(mask.shape, matrix)
    mesh = mesh_of(mask, geometry)
    assert is_closed(mesh)
    assert mesh.volume_ml == pytest.approx(mask.sum() * geometry.voxel_volume_ml, rel=2e-3)
    np.testing.assert_allclose(centroid(mesh), geometry.to_ras(np.argwhere(mask)).mean(axis=0), atol=0.15)


def centroid(mesh: Mesh) -> np.ndarray:
    """Of what the surface encloses (sum over the tetrahedra to the origin)."""
    corners = mesh.points[mesh.triangles]
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return (corners.sum(axis=1) / 4 * volumes[:, None]).sum(axis=0) / volumes.sum()
