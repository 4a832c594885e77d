"""Where the values of a function sit: on the nodes or in the cells of its mesh, and under which number.

Meshes are made of triangles or tetrahedra with straight edges from arrays that rank 0 holds; the numbers of
the nodes and cells in those arrays ("input numbers") do not depend on the number of ranks.
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
        place: Continuous linear functions live on the nodes, piecewise constant ones in the cells.
        dofs: Degree of freedom (block) of each local node, or of each local cell; int32.
        shape: Shape of one value: (), (d,) or (3, 3).
    """

    space: FunctionSpace
    place: Literal["nodes", "cells"]
    dofs: Ints
    shape: tuple[int, ...]

    @property
    def numbers(self) -> Longs:
        """Input number of the node or cell of each *owned* degree of freedom (block)."""
        mesh, dofmap = self.space.mesh, self.space.dofmap
        source = mesh.geometry.input_global_indices if self.place == "nodes" else mesh.topology.original_cell_index
        by_dof = np.zeros(dofmap.index_map.size_local + dofmap.index_map.num_ghosts, np.int64)
        by_dof[self.dofs] = source[: self.dofs.size]
        return by_dof[: dofmap.index_map.size_local]

    def values(self, function: Function) -> Array:
        """Values at each local node or cell, ghosts included; shape (n, k), k numbers per value."""
        blocks = function.x.array.reshape(-1, self.space.dofmap.bs)
        return np.asarray(blocks[self.dofs], dtype=np.float64)


def layout(space: FunctionSpace) -> Layout:
    """Find out how ``space`` stores its values.

    Raises:
        TypeError: The functions are neither continuous linear nor constant per cell.
    """
    mesh = space.mesh
    topology = mesh.topology
    per_cell = space.dofmap.dof_layout.num_dofs
    cells = np.asarray(space.dofmap.list)
    shape = tuple(int(n) for n in space.value_shape)
    if per_cell == 1:
        return Layout(space, "cells", np.ascontiguousarray(cells[:, 0]), shape)
    basis = space.element.basix_element
    if per_cell != topology.dim + 1 or basis.discontinuous or basis.degree != 1:
        raise TypeError(
            f"only linear and cell-wise constant fields are supported, not {basis.family.name} of degree {basis.degree}"
        )
    dofs = np.zeros(mesh.geometry.x.shape[0], np.int32)
    dofs[_cell_nodes(mesh)] = cells
    return Layout(space, "nodes", dofs, shape)


def owned_cells(mesh: Mesh) -> Ints:
    """Local nodes of each owned cell, shape (cells, dim + 1)."""
    return _cell_nodes(mesh)[: mesh.topology.index_map(mesh.topology.dim).size_local]


def _cell_nodes(mesh: Mesh) -> Ints:
    maps: Any = mesh.geometry.dofmaps  # a method in DOLFINx 0.10, a list from 0.11 on
    return np.asarray(maps(0) if callable(maps) else maps[0])
