"""A block system on PETSc: compiled forms, matrices made once, residual and Jacobian on demand."""

from __future__ import annotations

from typing import Any

import numpy as np
from dolfinx import fem, la
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from chemomech.physics.equations import Equations
from chemomech.typing import Array, DirichletBC, Longs


class System:
    """Residual and Jacobian of ``Equations`` as nested PETSc vectors and matrices.

    Blocks that never change are assembled once. ``assemblies`` counts what was assembled.

    Attributes:
        equations: The equations.
        x, f: Nested vectors of unknowns and residuals.
        matrix: Nested Jacobian.
        supplied: Sum of the balance over the supply rows at the last residual (local part).
    """

    def __init__(self, equations: Equations) -> None:
        self.equations = equations
        functions = [u.function for u in equations.unknowns]
        self.functions = functions
        self.comm = functions[0].function_space.mesh.comm
        maps = equations.entity_maps
        self._residuals = [fem.form(f, entity_maps=maps) for f in equations.residuals]
        self._jacobian = [
            [None if j is None else fem.form(j, entity_maps=maps) for j in row] for row in equations.jacobian
        ]
        self._loads = list(equations.loads) or [None] * len(functions)
        dofmaps = [f.function_space.dofmap for f in functions]
        self._work = [la.vector(d.index_map, d.index_map_bs) for d in dofmaps]
        self.owned = [d.index_map.size_local * d.index_map_bs for d in dofmaps]
        self._fixed = [self._fixed_values(i) for i in range(len(functions))]
        self.blocks: list[list[Any]] = [  # None where the Jacobian vanishes
            [None if j is None else fem_petsc.create_matrix(j) for j in row] for row in self._jacobian
        ]
        for row in self.blocks:
            for block in row:
                if block is not None:
                    block.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)
        self.matrix = PETSc.Mat().createNest(self.blocks, comm=self.comm)
        self.x, self.f = self._vector(), self._vector()
        self.supplied = 0.0
        self.assemblies = {"residual": 0, "block": 0}
        self._ready = False

    def _vector(self) -> PETSc.Vec:
        parts = [PETSc.Vec().createMPI((n, PETSc.DETERMINE), comm=self.comm) for n in self.owned]
        return PETSc.Vec().createNest(parts, comm=self.comm)

    def _fixed_values(self, i: int) -> tuple[Longs, Array]:
        """Owned dofs held by Dirichlet conditions, and their values."""
        space = self.functions[i].function_space
        n = (space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts) * space.dofmap.index_map_bs
        value, mark = np.zeros(n), np.zeros(n, dtype=bool)
        for bc in self._conditions(i):
            bc.set(value)
            mark[bc.dof_indices()[0]] = True
        rows = np.flatnonzero(mark[: self.owned[i]])
        return rows, value[rows]

    def _conditions(self, i: int) -> list[DirichletBC]:
        return list(self.equations.dirichlet[i]) if self.equations.dirichlet else []

    # -- data ---------------------------------------------------------------------------------------

    def dofs(self) -> int:
        """Number of unknowns, all ranks."""
        return int(self.x.getSize())

    def push(self) -> None:
        """Copy the functions into the vector x, fixed values included."""
        for part, function, (rows, values), n in zip(
            self.x.getNestSubVecs(), self.functions, self._fixed, self.owned, strict=True
        ):
            function.x.array[rows] = values
            part.array_w[:] = function.x.array[:n]
            function.x.scatter_forward()

    def pull(self, x: PETSc.Vec) -> None:
        """Copy a vector into the functions, ghosts included."""
        for part, function, n in zip(x.getNestSubVecs(), self.functions, self.owned, strict=True):
            function.x.array[:n] = part.array_r
            function.x.scatter_forward()

    # -- assembly -----------------------------------------------------------------------------------

    def residual(self, x: PETSc.Vec, f: PETSc.Vec) -> None:
        """Residual at x; fixed rows hold value minus prescribed value."""
        self.pull(x)
        self.assemblies["residual"] += 1
        for i, part in enumerate(f.getNestSubVecs()):
            self._row(i, part.array_w)
        supply = self.equations.supply
        last = f.getNestSubVecs()[-1]
        self.supplied = float(last.array_r[supply].sum()) if len(supply) else 0.0
        for i, part in enumerate(f.getNestSubVecs()):
            rows, values = self._fixed[i]
            if len(rows):
                part.array_w[rows] = self.functions[i].x.array[rows] - values
        for new in self.equations.replacements:
            row = f.getNestSubVecs()[new.row].array_w
            row[new.rows] = self.functions[new.column].x.array[new.columns] - new.values

    def nodal_residual(self, i: int) -> Array:
        """Residual of equation i at the functions' present values, owned part, before rows are fixed."""
        out = np.zeros(self.owned[i])
        self._row(i, out)
        return out

    def _row(self, i: int, out: Array) -> None:
        work = self._work[i]
        work.array[:] = 0.0
        fem.assemble_vector(work.array, self._residuals[i])
        work.scatter_reverse(la.InsertMode.add)
        out[:] = work.array[: self.owned[i]]
        load = self._loads[i]
        if load is not None:
            out -= load

    def jacobian(self) -> None:
        """Jacobian at the functions' present values; constant blocks only the first time."""
        for i, row in enumerate(self._jacobian):
            for j, form in enumerate(row):
                if form is None or (self._ready and self.equations.constant[i][j]):
                    continue
                self._block(i, j, self.blocks[i][j], form)
        self._ready = True
        self.matrix.assemble()

    def _block(self, i: int, j: int, block: PETSc.Mat, form: Any) -> None:
        self.assemblies["block"] += 1
        block.zeroEntries()
        conditions = [*self._conditions(i), *(self._conditions(j) if j != i else [])]
        fem_petsc.assemble_matrix(block, form, bcs=conditions)  # type: ignore[misc]  # an overload by singledispatch
        block.assemble()
        for new in self.equations.replacements:
            if new.row != i:
                continue
            first = block.getOwnershipRange()[0]
            rows = (new.rows + first).astype(PETSc.IntType)
            block.zeroRows(rows, diag=0.0)
            if new.column == j:
                dofmap = self.functions[j].function_space.dofmap.index_map
                columns = dofmap.local_to_global(new.columns).astype(PETSc.IntType)
                for r, k in zip(rows, columns, strict=True):
                    block.setValue(r, k, 1.0)
            block.assemble()

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        for row in self.blocks:
            for block in row:
                if block is not None:
                    block.destroy()
        for thing in (self.matrix, self.x, self.f):
            thing.destroy()
