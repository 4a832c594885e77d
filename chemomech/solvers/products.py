"""Constant blocks of a coefficient that unknowns change linearly: b + sum over j of E_j (x_j - o_j)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import ufl
from dolfinx import fem, la
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from chemomech.physics.equations import Composite, Form, derivative
from chemomech.solvers.matrices import with_diagonal
from chemomech.typing import Array, Ints


def within(form: Form, cells: Ints) -> Form:
    """A form of integrals over all cells, over some of them only."""
    if any(i.subdomain_id() not in ("everywhere", ("everywhere",)) for i in form.integrals()):
        raise NotImplementedError("a composite coefficient in integrals over parts of the body")
    data = [(1, cells)]
    return ufl.Form([i.reconstruct(subdomain_id=1, subdomain_data=data) for i in form.integrals()])


class Products:
    """What a ``Composite`` adds to the equations.

    With F_i the other residuals and f the force: blocks (dF_i/db) E_j and their transposes, E_j^T (df/db) E_k, and the
    constants E_j^T f less the blocks times o_j.

    Args:
        composite: The coefficient and its maps.
        residuals: UFL forms of all equations, affine in b.
        compiled: Compiles a form.
        fixed: Owned rows of each equation that Dirichlet conditions hold.
        owned: Number of owned dofs of each unknown.

    Attributes:
        blocks: (i, j) -> matrix; the rows in ``fixed`` are empty.
    """

    def __init__(
        self,
        composite: Composite,
        residuals: Sequence[Form],
        compiled: Callable[[Form], Any],
        fixed: Sequence[Any],
        owned: Sequence[int],
    ) -> None:
        self.composite = composite
        b = composite.function
        dofmap = b.function_space.dofmap
        self._work = la.vector(dofmap.index_map, dofmap.index_map_bs)
        self._force = compiled(within(composite.force, composite.cells))
        self._owned = owned
        size = dofmap.index_map.size_local * dofmap.index_map_bs
        comm = b.function_space.mesh.comm
        self._maps = {}
        for j, entries in composite.maps.items():
            matrix = PETSc.Mat().createAIJ([(size, PETSc.DETERMINE), (owned[j], PETSc.DETERMINE)], comm=comm)
            first = dofmap.index_map.local_range[0] * dofmap.index_map_bs
            rows = (entries.rows + first).astype(PETSc.IntType)
            matrix.setPreallocationCOO(rows, entries.columns.astype(PETSc.IntType))
            matrix.setValuesCOO(np.ascontiguousarray(entries.values))
            self._maps[j] = matrix
        self.blocks: dict[tuple[int, int], PETSc.Mat] = {}
        for i, residual in enumerate(residuals):
            slope = derivative(residual, b)
            if slope is not None:
                self._cross(i, self._matrix(compiled(within(slope, composite.cells))), fixed[i])
        stiffness = self._matrix(compiled(within(derivative(composite.force, b), composite.cells)))
        for k, right in self._maps.items():
            half = stiffness.matMult(right)
            for j, left in self._maps.items():
                product = left.transposeMatMult(half)
                self.blocks[j, k] = with_diagonal(product) if j == k else product
            half.destroy()
        stiffness.destroy()

    @staticmethod
    def _matrix(form: Any) -> PETSc.Mat:
        matrix = fem_petsc.assemble_matrix(form)
        matrix.assemble()
        return matrix

    def _cross(self, i: int, slope: PETSc.Mat, fixed: Any) -> None:
        for j, right in self._maps.items():
            block = slope.matMult(right)
            self.blocks[j, i] = PETSc.Mat().createTranspose(block).convert("aij", PETSc.Mat())
            rows = (np.asarray(fixed) + block.getOwnershipRange()[0]).astype(PETSc.IntType)
            block.zeroRows(rows, diag=0.0)
            self.blocks[i, j] = block
        slope.destroy()

    def add_constants(self, out: Sequence[Array]) -> None:
        """Add the constants to those of the equations; all unknowns must be zero at the moment. Collective."""
        self._work.array[:] = 0.0
        fem.assemble_vector(self._work.array, self._force)
        self._work.scatter_reverse(la.InsertMode.add)
        for j, matrix in self._maps.items():
            force, pushed, offset = matrix.createVecLeft(), matrix.createVecRight(), matrix.createVecRight()
            force.array_w[:] = self._work.array[: force.getLocalSize()]
            matrix.multTranspose(force, pushed)
            out[j][:] += pushed.array_r
            offset.array_w[:] = self.composite.offsets[j]
            for (i, k), block in self.blocks.items():
                if k == j:
                    share = block.createVecLeft()
                    block.mult(offset, share)
                    out[i][:] -= share.array_r
                    share.destroy()
            for vector in (force, pushed, offset):
                vector.destroy()

    def evaluate(self, functions: Sequence[Any], out: Any) -> None:
        """out = sum over j of E_j (x_j - o_j), ghosts included. Collective."""
        out.x.array[:] = 0.0
        for j, matrix in self._maps.items():
            x, share = matrix.createVecRight(), matrix.createVecLeft()
            x.array_w[:] = functions[j].x.array[: self._owned[j]] - self.composite.offsets[j]
            matrix.mult(x, share)
            out.x.array[: share.getLocalSize()] += share.array_r
            x.destroy()
            share.destroy()
        out.x.scatter_forward()

    def destroy(self) -> None:
        """Free the maps; collective. The blocks belong to the system."""
        for matrix in self._maps.values():
            matrix.destroy()
