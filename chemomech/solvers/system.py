"""A block system on PETSc: compiled forms, matrices made once, residual and Jacobian on demand."""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem, la
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from chemomech.physics.equations import Equations, Form, nodal
from chemomech.solvers.matrices import Changing, Sums, compressed, give_back, row_maximum
from chemomech.solvers.products import Products
from chemomech.typing import Array, DirichletBC, Longs


class System:
    """Residual and Jacobian of ``Equations`` as nested PETSc vectors and matrices.

    What is affine in the unknowns is assembled once, as matrices and a constant; a residual is then these matrices
    times the unknowns, plus what is left. ``assemblies`` counts what was assembled.

    Attributes:
        equations: The equations.
        x, f: Nested vectors of unknowns and residuals.
        blocks: Jacobian blocks, None where the Jacobian vanishes.
        constant: Which of them never change.
        matrix: Nested Jacobian.
        supplied: Sum of the balances over the supply rows at the last residual (local part).
        entered: The same over the rows of each contact.
    """

    def __init__(self, equations: Equations) -> None:
        self.equations = equations
        functions = [u.function for u in equations.unknowns]
        self.functions = functions
        self.comm = functions[0].function_space.mesh.comm
        self.size = len(functions)
        dofmaps = [f.function_space.dofmap for f in functions]
        self._work = [la.vector(d.index_map, d.index_map_bs) for d in dofmaps]
        self.owned = [d.index_map.size_local * d.index_map_bs for d in dofmaps]
        self._fixed = [self._fixed_values(i) for i in range(self.size)]
        self._loads = list(equations.loads) or [None] * self.size
        self.x, self.f = self._vector(), self._vector()
        self._rows: Any = None
        self._buffers = [np.zeros(n) for n in self.owned]
        self.supplied = 0.0
        self.entered = np.zeros(len(equations.contacts))
        self.assemblies = {"residual": 0, "vector": 0, "block": 0}

        parts = equations.parts()
        self._affine = [self._compile(p.affine) for p in parts]
        self._given = [self._compile(p.given) for p in parts]
        self._changing = [self._compile(p.changing) for p in parts]
        self._constants = [np.zeros(n) for n in self.owned]
        self._stepwise = [np.zeros(n) for n in self.owned]
        everything = range(self.size)
        # Rows that are replaced keep their balance: what enters there is summed up from it.
        self._own_rows = [i for i in everything if i == 0 or not self._replaced(i)]
        self._linear: list[list[Any]] = [[None] * self.size for _ in everything]
        self._diagonals: dict[int, Array] = {}
        self._nodal: dict[int, tuple[Any, Array]] = {}
        self._moving: dict[tuple[int, int], Changing] = {}
        self.blocks: list[list[Any]] = [[None] * self.size for _ in everything]
        self._followed: list[Sums] = []
        self.products = self._products()
        for i in everything:
            followed = self._slopes(i, parts[i].follower_slopes)
            for j in everything:
                chain = [(sums, slopes[j]) for sums, slopes in followed if j in slopes]
                self._make_block(i, j, parts[i].affine_slopes[j], parts[i].changing_slopes[j], chain)
        last = self.size - 1
        if equations.contacts and any(
            block is not None and (last, j) not in self._moving for j, block in enumerate(self.blocks[last])
        ):
            raise NotImplementedError("contacts in an equation with constant blocks")
        self.constant = [
            [(i, j) not in self._moving and (i != j or i not in self._nodal) for j in everything] for i in everything
        ]
        self._largest = {
            (i, j): row_maximum(block)
            for matrices in (self._linear, self.blocks)
            for i, row in enumerate(matrices)
            for j, block in enumerate(row)
            if block is not None and (matrices is self._linear or self.constant[i][j])
        }
        self.matrix = PETSc.Mat().createNest(self.blocks, comm=self.comm)
        self.refresh()
        give_back()

    # -- set-up -------------------------------------------------------------------------------------

    def _compile(self, form: Form | None) -> Any:
        return None if form is None else fem.form(form, entity_maps=self.equations.entity_maps)

    def _products(self) -> Products | None:
        given = self.equations.composite
        if given is None:
            return None
        fixed = [rows for rows, _ in self._fixed]
        return Products(given, self.equations.residuals, self._compile, fixed, self.owned)

    def _slopes(self, i: int, forms: tuple[Form | None, ...]) -> list[tuple[Sums, dict[int, Array]]]:
        """Derivatives of equation i by the followers, each with the slopes of that follower."""
        out = []
        for form, follower in zip(forms, self.equations.followers, strict=True):
            if form is not None:
                sums = Sums(self._compile(form), self._conditions(i), unit=False)
                self._followed.append(sums)
                out.append((sums, follower.slopes))
        return out

    def _make_block(
        self, i: int, j: int, fixed: Form | None, moving: Form | None, chain: list[tuple[Sums, Array]]
    ) -> None:
        """The Jacobian block (i, j), and the matrix of its affine part for the residual."""
        conditions = [*self._conditions(i), *(self._conditions(j) if j != i else [])]
        product = None if self.products is None else self.products.blocks.get((i, j))
        if product is not None:
            self._make_product(i, j, product, fixed, moving)
            return
        if fixed is not None:
            shared = moving is None and not chain and i in self._own_rows
            self._linear[i][j] = self._assembled(fixed, conditions if shared else [])
            if shared:
                self.blocks[i][j] = self._linear[i][j]
                return
        if chain:
            forms = [form for form in (moving, fixed) if form is not None]
            form = self._compile(sum(forms)) if forms else None
            self._moving[i, j] = Changing(form, conditions, chain, self._fixed[i][0] if i == j else None)
            self.blocks[i][j] = self._moving[i, j].matrix
        elif moving is None:
            if fixed is not None:
                self.blocks[i][j] = self._assembled(fixed, conditions)
                self._replace(i, j, self.blocks[i][j])
        elif i == j and not conditions and nodal(moving):
            diagonal = self._diagonal(i, moving)
            base = fixed if fixed is not None else moving
            block = self._assembled(base, []) if fixed is None else self._linear[i][j].copy()
            if fixed is None:
                block.zeroEntries()
            self.blocks[i][j] = block
            self._nodal[i] = (diagonal, block.getDiagonal().array.copy())
        else:
            whole = moving if fixed is None else moving + fixed
            # Integrals over facets alone have no entries for rows elsewhere.
            facets = all(integral.integral_type() != "cell" for integral in whole.integrals())
            ones = self._fixed[i][0] if i == j and facets else None
            self._moving[i, j] = Changing(self._compile(whole), conditions, unit=ones)
            self.blocks[i][j] = self._moving[i, j].matrix

    def _make_product(self, i: int, j: int, product: PETSc.Mat, fixed: Form | None, moving: Form | None) -> None:
        """A block of the products, with a changing diagonal where there is one."""
        if fixed is not None or (moving is not None and (i != j or not nodal(moving))):
            raise NotImplementedError("a block of a composite coefficient beside terms that are not nodal")
        self._linear[i][j] = self.blocks[i][j] = product
        if moving is not None:
            self.blocks[i][j] = product.copy()
            self._nodal[i] = (self._diagonal(i, moving), product.getDiagonal().array.copy())

    def _diagonal(self, i: int, moving: Form) -> Any:
        """Compiled form of the diagonal of a nodal form: its action on ones."""
        one = fem.Function(self.functions[i].function_space)
        one.x.array[:] = 1.0
        return self._compile(self._action(moving, one))

    @staticmethod
    def _action(form: Form, function: Any) -> Form:
        return ufl.algorithms.expand_derivatives(ufl.action(form, function))

    def _assembled(self, form: Form, conditions: list[DirichletBC]) -> PETSc.Mat:
        """A constant matrix; where every dof meets its own node only, without the zeros."""
        self.assemblies["block"] += 1
        compiled = self._compile(form)
        matrix = fem_petsc.create_matrix(compiled)
        fem_petsc.assemble_matrix(matrix, compiled, bcs=conditions)  # type: ignore[misc]  # an overload by singledispatch
        matrix.assemble()
        return compressed(matrix) if nodal(form) else matrix

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

    def _replaced(self, i: int) -> bool:
        """Whether rows of an equation are replaced, on any rank (conditions are made by all or none)."""
        if self.equations.contacts and i == self.size - 1:
            return True
        mine = bool(self._conditions(i)) or any(new.row == i for new in self.equations.replacements)
        return bool(self.comm.allreduce(mine))

    # -- data ---------------------------------------------------------------------------------------

    def dofs(self) -> int:
        """Number of unknowns, all ranks."""
        return int(self.x.getSize())

    def push(self) -> None:
        """Take over the functions' values, fixed ones included, and what is given for this step."""
        for contact in self.equations.contacts:
            if contact.open:
                self.functions[-1].x.array[contact.rows] = contact.value
        for part, function, (rows, values), n in zip(
            self.x.getNestSubVecs(), self.functions, self._fixed, self.owned, strict=True
        ):
            function.x.array[rows] = values
            part.array_w[:] = function.x.array[:n]
            function.x.scatter_forward()
        for form, out, i in zip(self._given, self._stepwise, range(self.size), strict=True):
            if form is not None:
                self._vector_of(form, i, out)

    def pull(self, x: PETSc.Vec) -> None:
        """Copy a vector into the functions, ghosts included."""
        for part, function, n in zip(x.getNestSubVecs(), self.functions, self.owned, strict=True):
            function.x.array[:n] = part.array_r
            function.x.scatter_forward()

    def refresh(self) -> None:
        """Assemble anew what the affine parts are where all unknowns vanish: a coefficient has changed."""
        kept = [f.x.array.copy() for f in self.functions]
        for i, form in enumerate(self._affine):
            if form is None:
                continue
            for j, (function, (rows, values)) in enumerate(zip(self.functions, self._fixed, strict=True)):
                function.x.array[:] = 0.0
                # Columns of fixed unknowns are missing in a matrix shared with the Jacobian.
                if self._linear[i][j] is not None and self._linear[i][j] is self.blocks[i][j]:
                    function.x.array[rows] = values
                function.x.scatter_forward()
            self._vector_of(form, i, self._constants[i])
        if self.products is not None:
            for function in self.functions:
                function.x.array[:] = 0.0
            self.products.add_constants(self._constants)
        for function, values in zip(self.functions, kept, strict=True):
            function.x.array[:] = values

    # -- assembly -----------------------------------------------------------------------------------

    def _vector_of(self, form: Any, i: int, out: Array) -> None:
        """out = the assembled vector of a form tested in space i, owned part."""
        self.assemblies["vector"] += 1
        work = self._work[i]
        work.array[:] = 0.0
        fem.assemble_vector(work.array, form)
        work.scatter_reverse(la.InsertMode.add)
        out[:] = work.array[: self.owned[i]]

    def residual(self, x: PETSc.Vec, f: PETSc.Vec) -> None:
        """Residual at x; fixed rows hold value minus prescribed value."""
        self.pull(x)
        self.assemblies["residual"] += 1
        unknowns, parts = x.getNestSubVecs(), f.getNestSubVecs()
        for i, part in enumerate(parts):
            self._linear_row(i, unknowns, part)
        if self.equations.follow is not None:
            self.equations.follow(lambda i: np.asarray(parts[i].array_r))
        for i, part in enumerate(parts):
            self._add_changing(i, part)
        self.supplied = sum(float(parts[i].array_r[rows].sum()) for i, rows in self.equations.supply.items())
        for k, contact in enumerate(self.equations.contacts):
            self.entered[k] = parts[-1].array_r[contact.rows].sum() if contact.open else 0.0
        for contact in self.equations.contacts:
            if contact.open:
                parts[-1].array_w[contact.rows] = self.functions[-1].x.array[contact.rows] - contact.value
        for i, part in enumerate(parts):
            rows, values = self._fixed[i]
            if len(rows):
                part.array_w[rows] = self.functions[i].x.array[rows] - values
        for new in self.equations.replacements:
            row = parts[new.row].array_w
            row[new.rows] = self.functions[new.column].x.array[new.columns] - new.values

    def nodal_residual(self, i: int) -> Array:
        """Residual of equation i at the functions' present values, owned part, before rows are fixed."""
        self.push()
        unknowns, parts = self.x.getNestSubVecs(), self.f.getNestSubVecs()
        if self.equations.follow is not None:
            self.equations.follow(lambda k: self.linear_row(k, self.x))
        self._linear_row(i, unknowns, parts[i])
        self._add_changing(i, parts[i])
        return np.array(parts[i].array_r)

    def linear_row(self, i: int, x: PETSc.Vec) -> Array:
        """Linear part of equation i at x, owned part."""
        if self._rows is None:
            self._rows = self._vector()
        out = self._rows.getNestSubVecs()[i]
        self._linear_row(i, x.getNestSubVecs(), out)
        return np.asarray(out.array_r)

    def eliminate(self, x: PETSc.Vec) -> None:
        """Make the values of x fit each other where the equations know how; the functions hold them afterwards."""
        self.pull(x)
        if self.equations.eliminate is not None:
            self.equations.eliminate(lambda i: self.linear_row(i, x), self._linear_diagonal)
            for part, function, n in zip(x.getNestSubVecs(), self.functions, self.owned, strict=True):
                part.array_w[:] = function.x.array[:n]

    def _linear_diagonal(self, i: int) -> Array:
        """Diagonal of the linear part of equation i by its own unknown, owned part."""
        if i not in self._diagonals:
            matrix = self._linear[i][i]
            self._diagonals[i] = np.zeros(self.owned[i]) if matrix is None else matrix.getDiagonal().array.copy()
        return self._diagonals[i]

    def _linear_row(self, i: int, unknowns: list[PETSc.Vec], out: PETSc.Vec) -> None:
        """What is known without a new assembly: constants, what is given for the step, matrices times the unknowns."""
        values = out.array_w
        values[:] = self._constants[i]
        if self._given[i] is not None:
            values += self._stepwise[i]
        load = self._loads[i]
        if load is not None:
            values -= load
        del values
        for matrix, x in zip(self._linear[i], unknowns, strict=True):
            if matrix is not None:
                matrix.multAdd(x, out, out)

    def _add_changing(self, i: int, out: PETSc.Vec) -> None:
        if self._changing[i] is not None:
            self._vector_of(self._changing[i], i, self._buffers[i])
            values = out.array_w
            values += self._buffers[i]

    def jacobian(self) -> None:
        """Jacobian at the functions' present values."""
        for i, (form, base) in self._nodal.items():
            diagonal = self.f.getNestSubVecs()[i].duplicate()
            values = diagonal.array_w
            self._vector_of(form, i, values)
            values += base
            del values
            self.blocks[i][i].setDiagonal(diagonal)
            self.blocks[i][i].assemble()
            diagonal.destroy()
        for sums in self._followed:
            self.assemblies["block"] += 1
            sums.assemble()
        for (i, j), block in self._moving.items():
            self.assemblies["block"] += 1
            block.assemble()
            self._replace(i, j, block.matrix)
        self.matrix.assemble()

    def magnitude(self, i: int, j: int) -> Array:
        """Size of the entries in each owned row of a block: the largest of a constant one, else the diagonal.

        Of a block that is neither, the largest of its constant part.
        """
        if i == j and not self.constant[i][j]:
            diagonal = self.blocks[i][j].getDiagonal()
            out: Array = np.abs(diagonal.array_r)
            diagonal.destroy()
            return out
        return self._largest[i, j] if (i, j) in self._largest else row_maximum(self.blocks[i][j])

    def _replace(self, i: int, j: int, block: PETSc.Mat) -> None:
        """Put the replaced rows of equation i into its block (i, j)."""
        for contact in self.equations.contacts if i == self.size - 1 else ():
            if contact.open:
                rows = (contact.rows + block.getOwnershipRange()[0]).astype(PETSc.IntType)
                block.zeroRows(rows, diag=1.0 if j == i else 0.0)
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
        done: set[int] = set()
        for row in (*self.blocks, *self._linear):
            for block in row:
                if block is not None and id(block) not in done:
                    done.add(id(block))
                    block.destroy()
        for thing in (self.matrix, self.x, self.f, self._rows):
            if thing is not None:
                thing.destroy()
        if self.products is not None:
            self.products.destroy()
