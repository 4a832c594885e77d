"""Linear solvers of the coupled system: a direct one, and block elimination for large problems.

The Jacobian has the form [K, -B, 0; -B^T, D, -M; 0, M', g A] for (u, c, mu). M is diagonal (corner quadrature),
and so is the chemical part of D; its elastic part is a mass matrix. The equation of u is linear, so its residual
vanishes but for what the solver of K leaves: c and mu come first, with the body's relaxation in their equation,
and then the displacement that follows them. One application of the preconditioner takes c by a diagonal D~, mu by
the Schur complement S = g A + M' D~^-1 M, and u by one solve with K. D~ holds the chemical part and the stiffness
e:C:e - (C e)_kk^2/C_kkkk that is left when the body relaxes around a concentration wave (e is the eigenstrain per
unit of c).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
from petsc4py import PETSc

from chemomech.errors import ConvergenceError
from chemomech.parallel import global_max
from chemomech.solvers.substructures import NotFactorised, Substructures
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


GAMG: dict[str, float] = {"pc_gamg_threshold": 0.02}
"""Weak couplings are left out of the aggregates: the iterations grow less with the size of the problem."""


@contextmanager
def options(prefix: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Entries of PETSc's database that are there for a while; what the user has set stays."""
    database = PETSc.Options()
    mine = [key for key in given if not database.hasName(prefix + key)]
    for key in mine:
        database.setValue(prefix + key, given[key])
    try:
        yield
    finally:
        for key in mine:
            database.delValue(prefix + key)


BOOMERAMG: dict[int, dict[str, str | float]] = {
    2: {},
    3: {
        "pc_hypre_boomeramg_coarsen_type": "HMIS",
        "pc_hypre_boomeramg_interp_type": "ext+i",
        "pc_hypre_boomeramg_strong_threshold": 0.5,
        "pc_hypre_boomeramg_P_max": 4,
        "pc_hypre_boomeramg_agg_nl": 1,
    },
}
"""Multigrid for S by dimension: in 3D the default coarsening fills the coarse levels; a cycle takes 4 times as long."""


class DisplacementSolver:
    """Applies K^-1, exactly (factorised once) or by one multigrid cycle (set up once).

    Args:
        block: The constant matrix K.
        rigid: Rigid motions on the owned dofs, columns.
        places: Where the owned nodes are, (n, dimension).
        components: Components of the displacement.
        exact: Factorise instead of multigrid.

    Attributes:
        ksp: PETSc's solver, None where the factors are those of ``Substructures``.
    """

    def __init__(self, block: PETSc.Mat, rigid: Array, places: Array, components: int, *, exact: bool) -> None:
        self._prefix = f"chemomech_displacement_{next(_numbers)}_"
        self.exact = exact
        self._substructures: Substructures | None = None
        self.ksp: Any = None
        if exact:
            block.setOption(PETSc.Mat.Option.SPD, True)
            if components == 2:
                try:
                    self._substructures = Substructures(block, places)
                    return
                except NotFactorised:
                    pass
        with options(self._prefix, MUMPS if exact else GAMG):
            self.ksp = self._factorised(block) if exact else self._multigrid(block, rigid, components)
        # K is constant; the assembly of the whole matrix would pass for a change of it.
        self.ksp.getPC().setReusePreconditioner(True)

    def stored(self) -> float:
        """Entries of the factors on all ranks, as far as they are exact; collective."""
        if self._substructures is not None:
            return self._substructures.stored
        # MUMPS tells every rank the sum.
        factor = self.ksp.getPC().getFactorMatrix()
        return float(factor.getInfo(PETSc.Mat.InfoType.GLOBAL_MAX)["nz_used"])

    def _new(self, block: PETSc.Mat) -> PETSc.KSP:
        ksp = PETSc.KSP().create(block.comm)
        ksp.setOptionsPrefix(self._prefix)
        ksp.setOperators(block)
        ksp.setType("preonly")
        return ksp

    def _factorised(self, block: PETSc.Mat) -> PETSc.KSP:
        """By a general code: CHOLMOD's solves take two thirds of the time of MUMPS's, but it knows one rank only."""
        alone = block.comm.size == 1 and any(map(PETSc.Sys.hasExternalPackage, ("cholmod", "suitesparse")))
        for package in ("cholmod", "mumps") if alone else ("mumps",):
            ksp = self._new(block)
            pc = ksp.getPC()
            pc.setType("cholesky")
            pc.setFactorSolverType(package)
            ksp.setFromOptions()
            ksp.setUp()
            if package == "mumps" or pc.getFailedReason() == PETSc.PC.FailedReason.NOERROR:
                break
            ksp.destroy()
        return ksp

    def _multigrid(self, block: PETSc.Mat, rigid: Array, components: int) -> PETSc.KSP:
        """Smoothed aggregation (PETSc's GAMG) on matrices of small dense blocks: a cycle reads a third less memory."""
        block.setBlockSize(components)
        modes = []
        for column in rigid.T:
            mode = block.createVecRight()
            mode.setArray(column)
            modes.append(mode)
        orthonormal(modes)
        block.setNearNullSpace(PETSc.NullSpace().create(vectors=modes, comm=block.comm))
        made = self._new(block)
        made.getPC().setType("gamg")
        made.setFromOptions()
        made.setUp()
        levels = made.getPC().getMGLevels()
        transfer = [made.getPC().getMGInterpolation(level) for level in range(1, levels)]
        coarse = [_level(made.getPC(), level).getOperators()[0] for level in range(levels - 1)]
        made.destroy()

        block.convert("baij")
        ksp = self._new(block)
        pc = ksp.getPC()
        pc.setType("mg")
        pc.setMGLevels(levels)
        for level, matrix in enumerate((*coarse, block)):
            solver = _level(pc, level)
            if level == 0:
                solver.setOperators(matrix)
                solver.setType("preonly")
                solver.getPC().setType("redundant")
                continue
            pc.setMGInterpolation(level, transfer[level - 1])
            solver.setOperators(matrix if level == levels - 1 else matrix.convert("baij"))
            solver.setType("chebyshev")
            solver.setTolerances(max_it=2)
            solver.setNormType(PETSc.KSP.NormType.NONE)
            solver.getPC().setType("pbjacobi")
        ksp.setFromOptions()
        ksp.setUp()
        return ksp

    def solve(self, b: PETSc.Vec, x: PETSc.Vec) -> None:
        """x = K^-1 b, or its approximation."""
        solver = self.ksp if self._substructures is None else self._substructures
        solver.solve(b, x)

    def solve_to(self, b: PETSc.Vec, x: PETSc.Vec, rtol: float) -> None:
        """K x = b to the relative tolerance ``rtol``.

        Raises:
            ConvergenceError: If that fails.
        """
        if self._substructures is not None:
            self._substructures.solve(b, x)
            return
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
        for thing in (self._substructures, self.ksp):
            if thing is not None:
                thing.destroy()


def _level(pc: PETSc.PC, level: int) -> PETSc.KSP:
    """Smoother of a multigrid level; the solver of the coarsest one."""
    return pc.getMGSmoother(level) if level else pc.getMGCoarseSolve()


def orthonormal(vectors: list[PETSc.Vec]) -> None:
    """Gram-Schmidt in place."""
    for i, v in enumerate(vectors):
        for w in vectors[:i]:
            v.axpy(-v.dot(w), w)
        v.normalize()


class BlockElimination:
    """The preconditioner as a PETSc Python context.

    The multigrid hierarchy of S is kept while the diagonals S is made of stay near those it was made for.

    Args:
        system: The block system.
        displacement: Solver of its first block.
        relief: Per phase (and class of grain boundaries), what to take off the diagonal of the c block.

    Attributes:
        setups: How often the hierarchy of S was made.
    """

    NEAR = 0.15
    """Relative change of D~ and of the diagonal of g A up to which a hierarchy of S is kept."""

    def __init__(self, system: System, displacement: DisplacementSolver, relief: list[Array]) -> None:
        self.system, self.displacement = system, displacement
        self._prefix = f"chemomech_schur_{next(_numbers)}_"
        self.relief, self.dimension = relief, system.functions[0].function_space.mesh.geometry.dim
        self.phases = range(1, 1 + len(relief))
        self.last = 1 + len(relief) if system.size > 1 + len(relief) else None
        self._schur: Any = None  # S, the terms it is made of, its solver and the diagonals that one was made for
        self._sources: dict[int, tuple[Any, Any]] = {}
        self._ksp: Any = None
        self._made_for: list[Array] = []
        self.setups = 0
        vectors = system.x.getNestSubVecs()
        self._inverse = [vectors[k].duplicate() for k in self.phases]
        self._work = [v.duplicate() for v in vectors]

    def setUp(self, pc: PETSc.PC) -> None:  # PETSc's name
        """Refresh D~^-1, and S with its hierarchy where the present Jacobian asks for it."""
        blocks = self.system.blocks
        for k, relief, inverse in zip(self.phases, self.relief, self._inverse, strict=True):
            blocks[k][k].getDiagonal(inverse)
            full = inverse.array_r
            # A miscible phase stays on the stable side; elsewhere D itself is the safe choice.
            soft = full - relief
            inverse.array_w[:] = 1.0 / np.where(np.abs(soft) > 0.02 * np.abs(full), soft, full)
        if self.last is not None and not self._near():
            self._form_schur(self.last)
            self._set_up_schur()

    def _near(self) -> bool:
        """Whether the diagonals S is made of are near those of the last hierarchy; they are kept if not."""
        own = None if self.last is None else self.system.blocks[self.last][self.last]
        present = [v.array_r.copy() for v in self._inverse]
        if own is not None:
            diagonal = own.getDiagonal()
            present.append(diagonal.array_r.copy())
            diagonal.destroy()
        away = np.inf
        if self._made_for:
            pairs = zip(present, self._made_for, strict=True)
            away = max(
                float(np.max(np.abs(new - old) / np.maximum(np.abs(old), 1e-300), initial=0.0)) for new, old in pairs
            )
        if global_max(self.system.comm, away) <= self.NEAR:
            return True
        self._made_for = present
        return False

    def _form_schur(self, last: int) -> None:
        """S = g A - sum over phases of M' D~^-1 (-M)."""
        blocks = self.system.blocks
        own = blocks[last][last]
        alone = len(self.phases) == 1  # the product is then S itself: they have the same entries
        if not alone and own is not None:
            if self._schur is None:
                self._schur = own.copy()
            else:
                own.copy(self._schur, PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        elif not alone and self._schur is not None:
            self._schur.zeroEntries()
        for k, inverse in zip(self.phases, self._inverse, strict=True):
            if k in self._sources:
                right, product = self._sources[k]
                blocks[k][last].copy(right, PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
                right.diagonalScale(L=inverse)
                blocks[last][k].matMult(right, product)
            else:
                right = blocks[k][last].copy()
                right.diagonalScale(L=inverse)
                product = blocks[last][k].matMult(right)
                self._sources[k] = right, product
            if alone:
                product.scale(-1.0)
                if own is not None:
                    product.axpy(1.0, own, structure=PETSc.Mat.Structure.SUBSET_NONZERO_PATTERN)
                self._schur = product
            elif self._schur is None:
                self._schur = product.copy()
                self._schur.scale(-1.0)
            else:
                self._schur.axpy(-1.0, product, structure=PETSc.Mat.Structure.SUBSET_NONZERO_PATTERN)

    def _set_up_schur(self) -> None:
        if self._ksp is None:
            self._ksp = PETSc.KSP().create(self._schur.comm)
            self._ksp.setOptionsPrefix(self._prefix)
            self._ksp.setType("preonly")
            inner = self._ksp.getPC()
            keys: dict[str, str | float] = {}
            if self._schur.getSize()[0] == 1:
                inner.setType("jacobi")
            else:
                inner.setType("hypre")
                inner.setHYPREType("boomeramg")
                keys = BOOMERAMG[self.dimension]
            with options(self._prefix, keys):
                self._ksp.setFromOptions()
        self._ksp.setOperators(self._schur)
        self._ksp.setUp()
        self.setups += 1

    def apply(self, pc: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """y = P^-1 x."""
        blocks, last = self.system.blocks, self.last
        r, z, work = x.getNestSubVecs(), y.getNestSubVecs(), self._work
        if last is not None:
            b = work[last]
            r[last].copy(b)
            b.scale(-1.0)
            for k, inverse in zip(self.phases, self._inverse, strict=True):
                work[k].pointwiseMult(inverse, r[k])
                blocks[last][k].multAdd(work[k], b, b)
            b.scale(-1.0)
            self._ksp.solve(b, z[last])
        back = work[0]
        back.set(0.0)
        for k, inverse in zip(self.phases, self._inverse, strict=True):
            b = work[k]
            r[k].copy(b)
            if last is not None:
                b.scale(-1.0)
                blocks[k][last].multAdd(z[last], b, b)
                b.scale(-1.0)
            z[k].pointwiseMult(inverse, b)
            if blocks[0][k] is not None:
                blocks[0][k].multAdd(z[k], back, back)
        back.aypx(-1.0, r[0])
        self.displacement.solve(back, z[0])

    def destroy(self, pc: Any = None) -> None:
        """Free the PETSc objects; collective."""
        terms = [m for pair in self._sources.values() for m in pair if m is not self._schur]
        for thing in (*self._inverse, *self._work, *terms, self._schur, self._ksp):
            if thing is not None:
                thing.destroy()
        self._inverse, self._work, self._sources = [], [], {}
        self._schur = self._ksp = None
        self._made_for = []


def block_elimination(ksp: PETSc.KSP, context: BlockElimination) -> None:
    """fgmres with block elimination."""
    ksp.setType("fgmres")
    ksp.setGMRESRestart(40)
    ksp.setTolerances(rtol=1e-4, max_it=300)
    pc = ksp.getPC()
    pc.setType("python")
    pc.setPythonContext(context)
