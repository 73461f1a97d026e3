"""Vessels as graphs: which voxel is fed through which, and the branches of a tree with their order."""

from __future__ import annotations

from dataclasses import dataclass

import edt
import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

# Voxels of a tree are gathered into nodes of about this length along it, mm.
NODE_MM = 5.0
# A child that carries less than this part of its parent's tree is a twig, and makes no branching.
TWIG = 0.05


@dataclass(frozen=True, eq=False)
class VesselVoxels:
    """The voxels of a vessel mask and how they hang together.

    Attributes:
        index: (n, 3) voxel indices (z, y, x).
        places: (n, 3) mm in the crop.
        radius: (n,) mm to the vessel's wall.
        graph: (n, n) distances in mm between 26-neighbors, divided by the radius where asked.
    """

    index: np.ndarray
    places: np.ndarray
    radius: np.ndarray
    graph: csr_array

    @staticmethod
    def of(mask: np.ndarray, spacing: tuple[float, float, float], origin: np.ndarray) -> VesselVoxels:
        """The voxels of a mask (bool, z, y, x) whose first voxel lies at ``origin`` mm in the crop.

        Edges cost mm of way over mm of radius, so that a way along a trunk is shorter than one over to
        another vessel that touches it.
        """
        index = np.argwhere(mask)
        radius = edt.edt(mask, anisotropy=spacing, black_border=True)[mask]
        number = np.full(tuple(n + 2 for n in mask.shape), -1, dtype=np.int64)
        number[1:-1, 1:-1, 1:-1][mask] = np.arange(len(index))
        rows, columns, costs = [], [], []
        for step in _half_of_26():
            to = number[tuple((index + 1 + step).T)]
            joined = np.flatnonzero(to >= 0)
            way = float(np.linalg.norm(np.array(step) * np.array(spacing)))
            rows.append(joined)
            columns.append(to[joined])
            costs.append(way / (0.5 * (radius[joined] + radius[to[joined]]) + 0.5))
        row, column, cost = (np.concatenate(parts) for parts in (rows, columns, costs))
        half = coo_array((cost, (row, column)), shape=(len(index), len(index))).tocsr()
        return VesselVoxels(index, index * np.array(spacing) + origin, radius, half + half.T)

    def ways_from(self, seeds: np.ndarray) -> np.ndarray:
        """(n,) cost of the cheapest way from any seed (indices of voxels); infinite where there is none."""
        if len(seeds) == 0:
            return np.full(len(self.index), np.inf)
        return dijkstra(self.graph, directed=False, indices=seeds, min_only=True)


@dataclass(frozen=True, eq=False)
class VesselTree:
    """A tree of nodes, each a short stretch of a vessel.

    Attributes:
        places: (m, 3) mm in the crop.
        weight: (m,) number of voxels.
        parent: (m,) index of the node before it, -1 at a root; parents come before their children.
        order: (m,) number of branchings passed from the root.
        node_of: (n,) node of each voxel.
    """

    places: np.ndarray
    weight: np.ndarray
    parent: np.ndarray
    order: np.ndarray
    node_of: np.ndarray


def grow_tree(voxels: VesselVoxels, root: np.ndarray) -> VesselTree:
    """The tree of all voxels, from the one nearest to ``root`` (mm in the crop) in each connected part.

    Voxels in the same stretch of way from the root that touch make a node.
    """
    count = len(voxels.index)
    _, part = connected_components(voxels.graph, directed=False)
    far = np.linalg.norm(voxels.places - root, axis=1)
    by_distance = np.argsort(far, kind="stable")
    _, first = np.unique(part[by_distance], return_index=True)
    seeds = by_distance[first]
    length = _length_graph(voxels)
    way, before, _ = dijkstra(length, directed=False, indices=seeds, min_only=True, return_predecessors=True)
    shell = np.floor(way / NODE_MM).astype(np.int64)
    edges = length.tocoo()
    same = shell[edges.row] == shell[edges.col]
    inside = coo_array((edges.data[same], (edges.row[same], edges.col[same])), shape=(count, count))
    _, node_of = connected_components(inside.tocsr(), directed=False)
    starts = np.lexsort((way, node_of))
    _, first = np.unique(node_of[starts], return_index=True)
    entry = starts[first]
    rank = np.argsort(np.argsort(way[entry], kind="stable"), kind="stable")
    node_of = rank[node_of]
    entry = entry[np.argsort(rank, kind="stable")]
    weight = np.bincount(node_of)
    places = np.stack([np.bincount(node_of, voxels.places[:, a]) / weight for a in range(3)], axis=1)
    parent = np.where(before[entry] >= 0, node_of[np.maximum(before[entry], 0)], -1)
    return VesselTree(places, weight, parent, _orders(parent, weight), node_of)


def carried(parent: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum of ``values`` (m, ...) over each node and all that hangs on it."""
    total = np.array(values, dtype=np.float64)
    for node in range(len(parent) - 1, -1, -1):
        if parent[node] >= 0:
            total[parent[node]] += total[node]
    return total


def _orders(parent: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = carried(parent, weight)
    is_branch = np.array([p >= 0 and total[n] >= TWIG * total[p] for n, p in enumerate(parent)], dtype=bool)
    branches = np.bincount(parent[is_branch], minlength=len(parent))
    order = np.zeros(len(parent), dtype=np.int64)
    for node, before in enumerate(parent):
        if before >= 0:
            order[node] = order[before] + (branches[before] > 1)
    return order


def _length_graph(voxels: VesselVoxels) -> csr_array:
    """The same edges with their length in mm."""
    edges = voxels.graph.tocoo()
    length = np.linalg.norm(voxels.places[edges.row] - voxels.places[edges.col], axis=1)
    return coo_array((length, (edges.row, edges.col)), shape=edges.shape).tocsr()


def _half_of_26() -> list[tuple[int, int, int]]:
    """One of each pair of opposite steps to a neighbor."""
    steps = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    return [step for step in steps if step > (0, 0, 0)]
