"""Sizes of cells that spread an error evenly, from the errors of the cells of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from chemomech.case import Case
from chemomech.defects.dislocations import Line, lines
from chemomech.meshing.arrays import MeshArrays, measures
from chemomech.typing import Array, Longs

SLOPE = 0.5
"""By how much the size of cells may grow per unit of distance."""
_STEPS = 32  # sizes per factor of two: the same on any number of ranks, whatever rounding did
_LESS = 0.25  # no cell shrinks by more than this at once
_MORE = 2.0  # nor grows


@dataclass(frozen=True, slots=True)
class Sizes:
    """A wanted size at every node of a mesh, linear in between.

    Attributes:
        points: Nodes, m, shape (n, 3).
        cells: Corner numbers, shape (m, dimension + 1).
        values: Edge lengths wanted there, m, shape (n,).
    """

    points: Array
    cells: Longs
    values: Array

    def scaled(self, factor: float) -> Sizes:
        """All sizes times a factor."""
        return Sizes(self.points, self.cells, self.values * factor)


def cell_sizes(mesh: MeshArrays) -> Array:
    """Size of each cell: the edge of an equilateral simplex as large, m, shape (m,)."""
    volume = np.abs(measures(mesh.points, mesh.cells))
    if mesh.dimension == 2:
        return np.asarray(np.sqrt(4.0 * volume / np.sqrt(3.0)))
    return np.asarray(np.cbrt(6.0 * np.sqrt(2.0) * volume))


def predicted_cells(mesh: MeshArrays, sizes: Sizes) -> float:
    """How many cells a mesh of these sizes has, about."""
    wanted = sizes.values[mesh.cells].mean(axis=1)
    return float(np.sum((cell_sizes(mesh) / wanted) ** mesh.dimension))


def for_energy(mesh: MeshArrays, squares: Array, ratio: float, largest: Array) -> Sizes:
    """The fewest cells whose squared errors sum up to ``ratio`` of those of this mesh.

    A cell of size h has the squared error g^2 h^2 per volume. The least number of cells at a given sum has
    h proportional to g^(-2/(dimension + 2)): every cell the same squared error.

    Args:
        mesh: The mesh.
        squares: Squared error of each cell, shape (m,).
        ratio: What is to be left of their sum.
        largest: Largest size allowed at each node, m, shape (n,).
    """
    d = mesh.dimension
    density = _density(mesh, squares)
    pattern = density ** (-2.0 / (d + 2))
    volume = np.abs(measures(mesh.points, mesh.cells))
    inside = density[mesh.cells].mean(axis=1) ** (2.0 * d / (d + 2))
    scale = np.sqrt(ratio * squares.sum() / float(volume @ inside))
    return _limited(mesh, scale * pattern, largest)


def for_peak(mesh: MeshArrays, squares: Array, peaks: Longs, ratio: float, largest: Array) -> Sizes:
    """Cells that make the stress in some places more accurate.

    The error of a stress at a point is that of all cells, each weighted with the error of the response to a
    dipole at that point, whose second derivative falls off like r^-(dimension + 1). The least number of cells then has
    h proportional to (g g_z)^(-1/(dimension + 2)).

    Args:
        mesh: The mesh.
        squares: Squared error of each cell, shape (m,).
        peaks: The cells whose stress matters.
        ratio: Their size wanted, over what it is.
        largest: Largest size allowed at each node, m, shape (n,).
    """
    d = mesh.dimension
    edge = cell_sizes(mesh)
    middle = mesh.points[mesh.cells].mean(axis=1)
    core = 2.0 * float(np.median(edge[peaks]))
    near = np.full(len(mesh.points), np.inf)
    for move in _periods(mesh):
        near = np.minimum(near, cKDTree(middle[peaks] + move).query(mesh.points)[0])
    pattern = _density(mesh, squares) ** (-1.0 / (d + 2)) * (near**2 + core**2) ** (0.5 * (d + 1) / (d + 2))
    scale = ratio * float(np.median(edge[peaks] / pattern[mesh.cells[peaks]].mean(axis=1)))
    return _limited(mesh, scale * pattern, largest)


def _density(mesh: MeshArrays, squares: Array) -> Array:
    """g at the nodes: the squared error per volume is g^2 h^2, shape (n,)."""
    volume = np.abs(measures(mesh.points, mesh.cells))
    places, count = mesh.places[mesh.cells], len(mesh.points)
    above, below = (
        np.bincount(places.ravel(), weights=np.repeat(x, mesh.dimension + 1), minlength=count)
        for x in (squares, volume * cell_sizes(mesh) ** 2)
    )
    g = np.sqrt(above / np.where(below > 0.0, below, 1.0))[mesh.places]
    # Where nothing happens any size will do.
    return np.asarray(np.maximum(g, 1e-6 * g.max())) if g.max() > 0.0 else np.ones(count)


def _limited(mesh: MeshArrays, sizes: Array, largest: Array) -> Sizes:
    """Sizes not too far from the present ones, rounded, and growing slowly; the same on both sides of an axis."""
    d, places = mesh.dimension, mesh.places
    cells = mesh.cells.ravel()
    count = np.bincount(cells, minlength=len(sizes))
    present = np.bincount(cells, weights=np.repeat(np.log(cell_sizes(mesh)), d + 1), minlength=len(sizes))
    present = np.exp(present / np.maximum(count, 1))
    held = np.clip(sizes, _LESS * present, _MORE * present)
    held = np.minimum(np.exp2(np.round(np.log2(held) * _STEPS) / _STEPS), largest)
    one = np.full(len(sizes), np.inf)
    np.minimum.at(one, places, held)
    pairs = np.concatenate([mesh.cells[:, list(pair)] for pair in combinations(range(d + 1), 2)])
    length = np.linalg.norm(mesh.points[pairs[:, 0]] - mesh.points[pairs[:, 1]], axis=1)
    rows, columns = places[pairs[:, 0]], places[pairs[:, 1]]
    key, first = np.unique(np.minimum(rows, columns) * len(sizes) + np.maximum(rows, columns), return_index=True)
    rows, columns, length = key // len(sizes), key % len(sizes), SLOPE * length[first]
    # The largest field below the given one that grows by at most SLOPE: the shortest way from one more node, which is
    # as far from every node as the size wanted there.
    used = np.flatnonzero(np.isfinite(one))
    source = len(sizes)
    graph = coo_matrix(
        (
            np.concatenate([length, one[used]]),
            (np.concatenate([rows, np.full(len(used), source)]), np.concatenate([columns, used])),
        ),
        shape=(source + 1, source + 1),
    ).tocsr()
    graded = dijkstra(graph, directed=False, indices=source)[:source]
    return Sizes(mesh.points, mesh.cells, np.asarray(graded[places]))


def _periods(mesh: MeshArrays) -> Array:
    """Moves to the images nearby of a periodic body, and none, m, shape (k, 3)."""
    moves = [np.zeros(3)]
    if len(mesh.twins):
        period = np.abs(mesh.points[mesh.twins[:, 0]] - mesh.points[mesh.twins[:, 1]]).max(axis=0)
        for axis in np.flatnonzero(period > 1e-9 * period.max()):
            step = period[axis] * np.eye(3)[axis]
            moves = [move + sign * step for move in moves for sign in (-1.0, 0.0, 1.0)]
    return np.array(moves)


def largest_sizes(case: Case, points: Array) -> Array:
    """The size the case allows at points (n, 3): ``mesh.size``, and near a dislocation no more than its core, m."""
    sizes = np.full(len(points), case.resolved_mesh.size or np.inf)
    groups: dict[tuple[float, ...], list[Line]] = {}
    for line in lines(case):
        groups.setdefault((line.core, *np.round(np.abs(line.frame[2]), 9).tolist()), []).append(line)
    for (core, *_), parallel in groups.items():
        across = parallel[0].frame[:2]
        places = [
            line.position + turn * (line.period or 0.0) * line.frame[0]
            for line in parallel
            for turn in ((0.0,) if line.period is None else (-1.0, 0.0, 1.0))
        ]
        distance = cKDTree(np.array(places) @ across.T).query(points @ across.T)[0]
        sizes = np.minimum(sizes, core + SLOPE * np.maximum(distance - core, 0.0))
    return sizes
