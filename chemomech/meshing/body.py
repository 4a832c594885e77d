"""The distributed mesh with its names: what physics and solvers see of a body."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import graph, io, mesh
from mpi4py import MPI

from chemomech.meshing.arrays import MeshArrays
from chemomech.typing import Array, FunctionSpace, Ints, Mesh, MeshTags


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
        seams: Periodic axis -> where its two sides lie, internal units. Nodes on them keep their own places, and
            share their degrees of freedom.
        cell_grain: Grain of every local cell, ghosts included; empty where nothing is known of grains.
        orientations: Unit quaternions of all grains, sample to crystal, shape (g, 4), on every rank.
        source: What the body was made of, in m, on rank 0; None on the others.
    """

    mesh: Mesh
    length: float
    cell_tags: MeshTags
    facet_tags: MeshTags
    phases: dict[str, int]
    boundaries: dict[str, int]
    seams: dict[int, tuple[float, float]] = field(default_factory=dict)
    cell_grain: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    orientations: Array = field(default_factory=lambda: np.zeros((0, 4)))
    source: MeshArrays | None = None

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

    def dof_coordinates(self, space: FunctionSpace) -> Array:
        """Places of the degrees of freedom, internal units, shape (n, 3); on a seam those of its lower side."""
        x: Array = space.tabulate_dof_coordinates()
        for axis, (low, high) in self.seams.items():
            x[x[:, axis] > high - 1e-9 * (high - low), axis] = low
        return x


def distribute(arrays: MeshArrays | None, length: float, comm: MPI.Comm) -> Body:
    """Share a mesh held by rank 0 among all ranks.

    Args:
        arrays: The mesh on rank 0, None on the others.
        length: Metres per internal unit of length.
        comm: Communicator.
    """
    head = None
    if arrays is not None:
        named = (arrays.dimension, arrays.phases, arrays.boundaries)
        grains = arrays.cell_grain.astype(np.int32), arrays.orientations
        head = (*named, arrays.cell_tags, _seams(arrays, length), *grains)
    dimension, phases, boundaries, cell_values, seams, cell_grain, orientations = comm.bcast(head, root=0)
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
    facet_tags = mesh.meshtags_from_entities(msh, tdim - 1, graph.adjacencylist(entities), values)
    if len(orientations):
        cell_grain = cell_grain[msh.topology.original_cell_index]
    body = Body(msh, length, cell_tags, facet_tags, phases, boundaries, seams, cell_grain, orientations, arrays)
    return _closed(body, arrays) if seams else body


def _seams(arrays: MeshArrays, length: float) -> dict[int, tuple[float, float]]:
    """Axes along which nodes have twins, and the extent of the mesh along them."""
    apart = np.abs(arrays.points[arrays.twins[:, 0]] - arrays.points[arrays.twins[:, 1]])
    low, high = arrays.points.min(axis=0), arrays.points.max(axis=0)
    axes = [k for k in range(arrays.dimension) if np.any(apart[:, k] > 0.5 * (high[k] - low[k]))]
    return {k: (float(low[k] / length), float(high[k] / length)) for k in axes}


def _closed(open_body: Body, arrays: MeshArrays | None) -> Body:
    """The body with the nodes of its periodic sides made one, two by two."""
    from scifem.periodic import create_periodic_mesh_from_igi, transfer_meshtags_to_periodic_mesh

    none = np.zeros(0, dtype=np.int64)
    order = none if arrays is None else np.argsort(arrays.twins[:, 0])
    replaced, partner = (none, none) if arrays is None else arrays.twins[order].T.astype(np.int64)
    nodes = 0 if arrays is None else len(arrays.points)
    msh, gone, _ = create_periodic_mesh_from_igi(open_body.mesh, replaced, partner, nodes)
    tdim = open_body.dimension
    for d in (tdim - 1, 0):
        msh.topology.create_connectivity(d, tdim)
    msh.topology.create_connectivity(tdim - 1, 0)

    def moved(tags: MeshTags) -> MeshTags:
        new: MeshTags = transfer_meshtags_to_periodic_mesh(open_body.mesh, msh, gone, tags)
        return new

    cell_grain = open_body.cell_grain
    if len(open_body.orientations):
        local = np.arange(len(cell_grain), dtype=np.int32)
        cell_grain = np.asarray(moved(mesh.meshtags(open_body.mesh, tdim, local, cell_grain)).values)
    return replace(
        open_body, mesh=msh, cell_tags=moved(open_body.cell_tags), facet_tags=moved(open_body.facet_tags),
        cell_grain=cell_grain,
    )  # fmt: skip
