"""How good a mesh is, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from chemomech.meshing.arrays import MeshArrays, interface_name, measures
from chemomech.typing import Array


@dataclass(frozen=True, slots=True)
class Quality:
    """Numbers of a mesh.

    Attributes:
        nodes, cells: Counts.
        cells_of, facets_of: Cells of each phase and facets of each boundary, by name.
        interfaces_of: Facets of each interface between two phases, by name.
        volume_of: Area (m^2) or volume (m^3) of each phase, by name.
        twins: Nodes that stand for another one across a periodic axis.
        shortest, longest: Edge lengths, m.
        worst, mean: Shape of the cells: 1 for equal edges, 0 for flat ones.
        worst_at: Middle of the worst cell, m.
        volume: Area (m^2) or volume (m^3) of the body.
    """

    nodes: int
    cells: int
    cells_of: dict[str, int]
    facets_of: dict[str, int]
    interfaces_of: dict[str, int]
    volume_of: dict[str, float]
    twins: int
    shortest: float
    longest: float
    worst: float
    mean: float
    worst_at: tuple[float, ...]
    volume: float


def quality(mesh: MeshArrays) -> Quality:
    """Measure a mesh."""
    lengths = edge_lengths(mesh)
    shapes = shape(mesh)
    worst = int(np.argmin(shapes))
    middle = mesh.points[mesh.cells[worst]].mean(axis=0)
    sizes = np.abs(measures(mesh.points, mesh.cells))
    inner = {interface_name(mesh.phases, *pair) for pair in combinations(mesh.phases, 2)}
    facets_of = {name: int(np.sum(mesh.facet_tags == tag)) for name, tag in mesh.boundaries.items()}
    return Quality(
        nodes=len(mesh.points),
        cells=len(mesh.cells),
        cells_of={name: int(np.sum(mesh.cell_tags == tag)) for name, tag in mesh.phases.items()},
        facets_of={name: number for name, number in facets_of.items() if name not in inner},
        interfaces_of={name: number for name, number in facets_of.items() if name in inner},
        volume_of={name: float(sizes[mesh.cell_tags == tag].sum()) for name, tag in mesh.phases.items()},
        twins=len(mesh.twins),
        shortest=float(lengths.min()),
        longest=float(lengths.max()),
        worst=float(shapes[worst]),
        mean=float(shapes.mean()),
        worst_at=tuple(middle[: mesh.dimension].tolist()),
        volume=float(sizes.sum()),
    )


def edge_lengths(mesh: MeshArrays) -> Array:
    """Lengths of the edges of every cell, m, shape (cells, 3 or 6)."""
    x = mesh.points[mesh.cells]
    pairs = combinations(range(mesh.dimension + 1), 2)
    return np.stack([np.linalg.norm(x[:, j] - x[:, i], axis=1) for i, j in pairs], axis=1)


def shape(mesh: MeshArrays) -> Array:
    """Mean ratio of every cell: its size over that of a cell with equal edges and the same sum of their squares."""
    size = np.abs(measures(mesh.points, mesh.cells))
    squares = np.sum(edge_lengths(mesh) ** 2, axis=1)
    if mesh.dimension == 2:
        return np.asarray(4.0 * np.sqrt(3.0) * size / squares)
    return np.asarray(12.0 * (3.0 * size) ** (2.0 / 3.0) / squares)
