"""Values of fields at points, the same on any number of ranks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from dolfinx import geometry
from mpi4py import MPI

from chemomech.errors import ChemomechError
from chemomech.meshing.body import Body
from chemomech.typing import Array, Function


class Probe:
    """Evaluates fields at fixed points; where cells meet, the one numbered first in the input mesh counts.

    Args:
        body: The mesh.
        points: Coordinates, m, shape (n, dimension) or (n, 3).

    Raises:
        ChemomechError: If a point lies outside the body.
    """

    def __init__(self, body: Body, points: npt.ArrayLike) -> None:
        given = np.atleast_2d(np.asarray(points, dtype=float))
        x = np.zeros((len(given), 3))
        x[:, : given.shape[1]] = given / body.length
        msh = body.mesh
        self._comm, self._count = msh.comm, len(x)
        tdim = body.dimension
        size = float(np.ptp(msh.geometry.x, axis=0).max(initial=0.0))
        size = msh.comm.allreduce(size, op=MPI.MAX)
        owned = np.arange(msh.topology.index_map(tdim).size_local, dtype=np.int32)
        tree = geometry.bb_tree(msh, tdim, padding=1e-9 * size, entities=owned)
        near = geometry.compute_collisions_points(tree, x)
        hits = geometry.compute_colliding_cells(msh, near, x)
        number = msh.topology.original_cell_index
        nobody = np.iinfo(np.int64).max
        first = np.full(len(x), nobody, dtype=np.int64)
        cells = np.zeros(len(x), dtype=np.int32)
        for i in range(len(x)):
            found = hits.links(i)
            if len(found):
                cells[i] = found[int(np.argmin(number[found]))]
                first[i] = number[cells[i]]
        winner = np.empty_like(first)
        msh.comm.Allreduce(first, winner, op=MPI.MIN)
        if np.any(winner == nobody):
            lost = given[int(np.argmax(winner == nobody))]
            raise ChemomechError(f"The point {tuple(lost.tolist())} m lies outside the body.")
        self._mine = np.flatnonzero(first == winner)
        self._x, self._cells = x[self._mine], cells[self._mine]

    def __call__(self, function: Function) -> Array:
        """Values, shape (n,) for scalars, (n, d) for vectors, (n, 3, 3) for tensors; on every rank."""
        shape = function.function_space.value_shape
        out = np.zeros((self._count, int(np.prod(shape, dtype=int))))
        if len(self._mine):
            out[self._mine] = np.asarray(function.eval(self._x, self._cells)).reshape(len(self._mine), -1)
        total = np.empty_like(out)
        self._comm.Allreduce(out, total, op=MPI.SUM)
        return np.asarray(total.reshape(self._count, *shape))
