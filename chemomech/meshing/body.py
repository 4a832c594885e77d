"""The distributed mesh with its names: what physics and solvers see of a body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import io, mesh
from mpi4py import MPI

from chemomech.meshing.arrays import MeshArrays
from chemomech.typing import Array, Ints, Mesh, MeshTags


@dataclass(frozen=True, slots=True)
class Body:
    """A tagged mesh in internal units of length.

    Attributes:
        mesh: Simplices with one layer of ghost cells.
        length: Metres per unit of length.
        cell_tags: Phase tag of every local cell, ghosts included.
        facet_tags: Boundary tags.
        phases: Material name -> cell tag.
        boundaries: Boundary name -> facet tag.
    """

    mesh: Mesh
    length: float
    cell_tags: MeshTags
    facet_tags: MeshTags
    phases: dict[str, int]
    boundaries: dict[str, int]

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return int(self.mesh.topology.dim)

    def facets(self, name: str) -> Ints:
        """Local facets of a named boundary; ``outer`` is the whole exterior."""
        if name == "outer":
            return np.asarray(mesh.exterior_facet_indices(self.mesh.topology), dtype=np.int32)
        return np.asarray(self.facet_tags.find(self.boundaries[name]), dtype=np.int32)

    def points(self) -> Array:
        """Coordinates of the local nodes, m, shape (n, 3)."""
        return np.asarray(self.mesh.geometry.x * self.length)

    def cell_vertices(self) -> Array:
        """Corners of the local cells, ghosts included, m, shape (cells, corners, 3)."""
        return np.asarray(self.points()[self.mesh.geometry.dofmaps[0]])


def distribute(arrays: MeshArrays | None, length: float, comm: MPI.Comm) -> Body:
    """Share a mesh held by rank 0 among all ranks.

    Args:
        arrays: The mesh on rank 0, None on the others.
        length: Metres per internal unit of length.
        comm: Communicator.
    """
    head = None if arrays is None else (arrays.dimension, arrays.phases, arrays.boundaries, arrays.cell_tags)
    dimension, phases, boundaries, cell_values = comm.bcast(head, root=0)
    cell = {2: "triangle", 3: "tetrahedron"}[dimension]
    domain = ufl.Mesh(basix.ufl.element("P", cell, 1, shape=(dimension,)))
    if arrays is not None:
        x, cells = arrays.points[:, :dimension] / length, arrays.cells
        facets, facet_values = arrays.facets, arrays.facet_tags
    else:
        x, cells = np.zeros((0, dimension)), np.zeros((0, dimension + 1), dtype=np.int64)
        facets, facet_values = np.zeros((0, dimension), dtype=np.int64), np.zeros(0, dtype=np.int32)
    partition: Any = mesh.create_cell_partitioner  # has one argument less in DOLFINx 0.10
    try:
        partitioner = partition(mesh.GhostMode.shared_facet, 2)
    except TypeError:
        partitioner = partition(mesh.GhostMode.shared_facet)
    msh = mesh.create_mesh(comm, cells, domain, np.ascontiguousarray(x), partitioner)
    tdim = dimension
    for d in (tdim - 1, 0):
        msh.topology.create_connectivity(d, tdim)
    msh.topology.create_connectivity(tdim - 1, 0)
    local = np.arange(len(msh.topology.original_cell_index), dtype=np.int32)
    cell_tags = mesh.meshtags(msh, tdim, local, cell_values[msh.topology.original_cell_index])
    entities, values = io.distribute_entity_data(msh, tdim - 1, facets, facet_values)
    from dolfinx import graph

    facet_tags = mesh.meshtags_from_entities(msh, tdim - 1, graph.adjacencylist(entities), values)
    return Body(msh, length, cell_tags, facet_tags, phases, boundaries)
