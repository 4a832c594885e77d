"""Where the values of a function sit: on the nodes, in the cells or at the corners of the cells of its mesh.

Meshes are made of triangles or tetrahedra with straight edges from arrays that rank 0 holds; the numbers of
the nodes and cells in those arrays ("input numbers") do not depend on the number of ranks. Where a mesh is
periodic, nodes of both sides keep their numbers and coordinates, and share a degree of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chemomech.typing import Array, Function, FunctionSpace, Ints, Longs, Mesh


@dataclass(frozen=True)
class Layout:
    """How a function space stores its values.

    Attributes:
        space: The function space.
        place: Continuous linear functions live on the nodes, piecewise constant ones in the cells, linear ones
            that jump between cells at the corners of the cells.
        dofs: Degree of freedom (block) of each local node, shape (nodes,), -1 where no cell uses it; of each local
            cell, shape (cells,); or of each corner, shape (cells, dim + 1).
        shape: Shape of one value: (), (d,) or (3, 3).
        nodes: Input number of each local node of the mesh of the space.
    """

    space: FunctionSpace
    place: Literal["nodes", "cells", "corners"]
    dofs: Ints
    shape: tuple[int, ...]
    nodes: Longs

    @property
    def numbers(self) -> Longs:
        """An input number for each *owned* degree of freedom (block), where its value can be found.

        It counts nodes, cells, or corners (the cell times dim + 1, plus the corner). Of the nodes that share a
        degree of freedom, any is good: `entries` gives them all.
        """
        dofmap = self.space.dofmap
        by_dof = np.full(dofmap.index_map.size_local + dofmap.index_map.num_ghosts, -1, np.int64)
        used = self.dofs >= 0
        by_dof[self.dofs[used]] = self._sources()[used]
        return by_dof[: dofmap.index_map.size_local]

    def entries(self, function: Function) -> tuple[Longs, Array]:
        """Input numbers and values of what this rank answers for: over all ranks, each number comes once.

        Ghosts of the function must be up to date: a node may be owned by another rank than its degree of freedom.

        Returns:
            Shapes (n,) and (n, k), k numbers per value.
        """
        mesh = self.space.mesh
        on_nodes = self.place == "nodes"
        held = mesh.geometry.index_map() if on_nodes else mesh.topology.index_map(mesh.topology.dim)
        mine = self.dofs[: held.size_local]
        used = mine >= 0
        blocks = function.x.array.reshape(-1, self.space.dofmap.bs)
        return self._sources()[: held.size_local][used], np.asarray(blocks[mine[used]], np.float64)

    def values(self, function: Function) -> Array:
        """Values at each local node, cell or corner, ghosts included; shape (*dofs.shape, k), k numbers per value."""
        blocks = function.x.array.reshape(-1, self.space.dofmap.bs)
        return np.asarray(blocks[self.dofs], dtype=np.float64)

    def _sources(self) -> Longs:
        """Input number of each entry of ``dofs``."""
        if self.place == "nodes":
            return self.nodes
        cells = np.asarray(self.space.mesh.topology.original_cell_index, np.int64)[: len(self.dofs)]
        if self.place == "cells":
            return cells
        corners = self.dofs.shape[1]
        return np.asarray(cells[:, None] * corners + np.arange(corners))


def layout(space: FunctionSpace, numbers: Longs | None = None) -> Layout:
    """Find out how ``space`` stores its values.

    Args:
        space: A space on the mesh itself, or on a submesh of some of its cells.
        numbers: Input number of each local geometry node of the mesh of the space, where that mesh does not know
            them itself.

    Raises:
        TypeError: The functions are neither linear nor constant per cell.
    """
    mesh = space.mesh
    per_cell = space.dofmap.dof_layout.num_dofs
    cells = np.asarray(space.dofmap.list)
    shape = tuple(int(n) for n in space.value_shape)
    nodes = np.asarray(mesh.geometry.input_global_indices if numbers is None else numbers, np.int64)
    if per_cell == 1:
        return Layout(space, "cells", np.ascontiguousarray(cells[:, 0]), shape, nodes)
    basis = space.element.basix_element
    if per_cell != mesh.topology.dim + 1 or basis.degree != 1 or not np.allclose(basis.points, _corners(per_cell)):
        raise TypeError(
            f"only linear and cell-wise constant fields are supported, not {basis.family.name} of degree {basis.degree}"
        )
    if basis.discontinuous:
        return Layout(space, "corners", cells, shape, nodes)
    dofs = np.full(mesh.geometry.x.shape[0], -1, np.int32)
    dofs[_cell_nodes(mesh)] = cells
    return Layout(space, "nodes", dofs, shape, nodes)


def owned_cells(mesh: Mesh) -> Ints:
    """Local nodes of each owned cell, shape (cells, dim + 1)."""
    return _cell_nodes(mesh)[: mesh.topology.index_map(mesh.topology.dim).size_local]


def _corners(count: int) -> Array:
    """Corners of the reference triangle or tetrahedron."""
    return np.vstack([np.zeros(count - 1), np.eye(count - 1)])


def _cell_nodes(mesh: Mesh) -> Ints:
    maps: Any = mesh.geometry.dofmaps  # a method in DOLFINx 0.10, a list from 0.11 on
    return np.asarray(maps(0) if callable(maps) else maps[0])
