"""Linear solvers of the coupled system: a direct one, and block elimination for large problems.

The Jacobian has the form [K, -B, 0; -B^T, D, -M; 0, M', g A] for (u, c, mu). M is diagonal (corner quadrature),
and so is the chemical part of D; its elastic part is a mass matrix. One application of the preconditioner
eliminates in that order: displacement by one solve with K, c by a diagonal D~, mu by the Schur complement
S = g A + M' D~^-1 M, and goes back. D~ holds the chemical part and the stiffness e:C:e - (C e)_kk^2/C_kkkk that is
left when the body relaxes around a concentration wave (e is the eigenstrain per unit of c).
"""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
from petsc4py import PETSc

from chemomech.errors import ConvergenceError
from chemomech.solvers.system import System
from chemomech.typing import Array

_numbers = count()


MUMPS: dict[str, int] = {"mat_mumps_icntl_14": 100}
"""MUMPS guesses its workspace and gives up where pivoting takes more; on several ranks 20 % extra may not do."""


def direct(ksp: PETSc.KSP) -> None:
    """LU factorisation by MUMPS, with the options ``MUMPS``."""
    ksp.setType("preonly")
    pc = ksp.getPC()
    pc.setType("lu")
    pc.setFactorSolverType("mumps")


class DisplacementSolver:
    """Applies K^-1, exactly (factorised once) or by one multigrid cycle (set up once).

    Args:
        block: The constant matrix K.
        rigid: Rigid motions on the owned dofs, columns.
        dimension: 2 or 3.
        exact: Factorise instead of multigrid.
    """

    def __init__(self, block: PETSc.Mat, rigid: Array, dimension: int, *, exact: bool) -> None:
        prefix, database = f"chemomech_displacement_{next(_numbers)}_", PETSc.Options()
        for key, value in MUMPS.items():
            database.setValue(prefix + key, value)
        self.ksp = PETSc.KSP().create(block.comm)
        self.ksp.setOptionsPrefix(prefix)
        self.ksp.setOperators(block)
        self.ksp.setType("preonly")
        self.exact = exact
        pc = self.ksp.getPC()
        if exact:
            block.setOption(PETSc.Mat.Option.SPD, True)
            pc.setType("cholesky")
            pc.setFactorSolverType("mumps")
        else:
            block.setBlockSize(dimension)
            modes = []
            for column in rigid.T:
                mode = block.createVecRight()
                mode.setArray(column)
                modes.append(mode)
            orthonormal(modes)
            block.setNearNullSpace(PETSc.NullSpace().create(vectors=modes, comm=block.comm))
            pc.setType("gamg")
        self.ksp.setFromOptions()
        self.ksp.setUp()
        for key in MUMPS:
            database.delValue(prefix + key)

    def solve(self, b: PETSc.Vec, x: PETSc.Vec) -> None:
        """x = K^-1 b, or its approximation."""
        self.ksp.solve(b, x)

    def solve_to(self, b: PETSc.Vec, x: PETSc.Vec, rtol: float) -> None:
        """K x = b to the relative tolerance ``rtol``.

        Raises:
            ConvergenceError: If that fails.
        """
        if self.exact:
            self.ksp.solve(b, x)
            reason = self.ksp.getConvergedReason()
        else:
            cg = PETSc.KSP().create(b.comm)
            cg.setType("cg")
            cg.setOperators(*self.ksp.getOperators())
            cg.setPC(self.ksp.getPC())
            cg.setTolerances(rtol=rtol, max_it=500)
            cg.solve(b, x)
            reason = cg.getConvergedReason()
            cg.destroy()
        if reason <= 0:
            raise ConvergenceError(
                f"the solver of the displacements stopped with PETSc's reason {reason}",
                field="displacement",
                history=[],
                worst_point=(),
                advice="Check the elastic constants and the quality of the mesh.",
            )

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        self.ksp.destroy()


def orthonormal(vectors: list[PETSc.Vec]) -> None:
    """Gram-Schmidt in place."""
    for i, v in enumerate(vectors):
        for w in vectors[:i]:
            v.axpy(-v.dot(w), w)
        v.normalize()


class BlockElimination:
    """The preconditioner as a PETSc Python context."""

    def __init__(self, system: System, displacement: DisplacementSolver, relief: list[Array]) -> None:
        self.system, self.displacement = system, displacement
        self._prefix = f"chemomech_schur_{next(_numbers)}_"
        self.relief = relief
        self.phases = range(1, 1 + len(relief))
        self.last = 1 + len(relief) if len(system.functions) > 1 + len(relief) else None
        self._schur: Any = None  # Mat and KSP, made by setUp
        self._ksp: Any = None
        self._inverse: list[PETSc.Vec] = []

    def setUp(self, pc: PETSc.PC) -> None:  # PETSc's name
        """Refresh D~^-1 and S from the present Jacobian."""
        blocks = self.system.blocks
        for v in self._inverse:
            v.destroy()
        self._inverse = []
        for k, relief in zip(self.phases, self.relief, strict=True):
            d = blocks[k][k].getDiagonal()
            full = d.array_r
            # A miscible phase stays on the stable side; elsewhere D itself is the safe choice.
            soft = full - relief
            d.array_w[:] = 1.0 / np.where(np.abs(soft) > 0.02 * np.abs(full), soft, full)
            self._inverse.append(d)
        if self.last is None:
            return
        schur: Any = None if blocks[self.last][self.last] is None else blocks[self.last][self.last].copy()
        for k, inverse in zip(self.phases, self._inverse, strict=True):
            right = blocks[k][self.last].copy()
            right.diagonalScale(L=inverse)
            product = blocks[self.last][k].matMult(right)
            right.destroy()
            product.scale(-1.0)
            if schur is None:
                schur = product
            else:
                schur.axpy(1.0, product, structure=PETSc.Mat.Structure.DIFFERENT_NONZERO_PATTERN)
                product.destroy()
        if self._schur is not None:
            self._schur.destroy()
        self._schur = schur
        if self._ksp is None:
            self._ksp = PETSc.KSP().create(schur.comm)
            self._ksp.setOptionsPrefix(self._prefix)
            self._ksp.setType("preonly")
            inner = self._ksp.getPC()
            if schur.getSize()[0] == 1:
                inner.setType("jacobi")
            else:
                inner.setType("hypre")
                inner.setHYPREType("boomeramg")
            self._ksp.setFromOptions()
        self._ksp.setOperators(schur)
        self._ksp.setUp()

    def apply(self, pc: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = P^-1 x."""
        blocks = self.system.blocks
        r, z = x.getNestSubVecs(), y.getNestSubVecs()
        self.displacement.solve(r[0], z[0])
        chemical = []
        for k in self.phases:
            b = r[k].duplicate()
            blocks[k][0].mult(z[0], b)
            b.aypx(-1.0, r[k])
            chemical.append(b)
        if self.last is not None:
            b = r[self.last].copy()
            for k, rc, inverse in zip(self.phases, chemical, self._inverse, strict=True):
                t = rc.duplicate()
                t.pointwiseMult(inverse, rc)
                w = b.duplicate()
                blocks[self.last][k].mult(t, w)
                b.axpy(-1.0, w)
                t.destroy()
                w.destroy()
            self._ksp.solve(b, z[self.last])
            b.destroy()
        back = r[0].copy()
        w = back.duplicate()
        for k, rc, inverse in zip(self.phases, chemical, self._inverse, strict=True):
            if self.last is not None:
                t = rc.duplicate()
                blocks[k][self.last].mult(z[self.last], t)
                rc.axpy(-1.0, t)
                t.destroy()
            z[k].pointwiseMult(inverse, rc)
            blocks[0][k].mult(z[k], w)
            back.axpy(-1.0, w)
            rc.destroy()
        self.displacement.solve(back, z[0])
        back.destroy()
        w.destroy()

    def destroy(self, pc: Any = None) -> None:
        """Free the PETSc objects; collective."""
        for v in self._inverse:
            v.destroy()
        self._inverse = []
        for thing in (self._schur, self._ksp):
            if thing is not None:
                thing.destroy()
        self._schur = self._ksp = None


def block_elimination(ksp: PETSc.KSP, context: BlockElimination) -> None:
    """fgmres with block elimination."""
    ksp.setType("fgmres")
    ksp.setGMRESRestart(60)
    ksp.setTolerances(rtol=1e-4, max_it=300)
    pc = ksp.getPC()
    pc.setType("python")
    pc.setPythonContext(context)
