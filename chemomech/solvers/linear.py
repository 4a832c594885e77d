"""Linear solvers of the coupled system: a direct one, and block elimination for large problems.

The Jacobian has the form [K, -B, 0; -B^T, D, -M; 0, M', g A] for (u, c, mu). M is diagonal (corner quadrature),
and so is the chemical part of D; its elastic part is a mass matrix. The equation of u is linear, so its residual
vanishes but for what the solver of K leaves: c and mu come first, with the body's relaxation in their equation,
and then the displacement that follows them. One application of the preconditioner takes c by a diagonal D~, mu by
the Schur complement S = g A + M' D~^-1 M, and u by one solve with K. D~ holds the chemical part and the stiffness
e:C:e - (C e)_kk^2/C_kkkk that is left when the body relaxes around a concentration wave (e is the eigenstrain per
unit of c). Where boundaries have a potential m of their own, fractions belong to m or to mu, and S of both is one
matrix.
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

    The unknowns are the displacement, fractions, and one or several potentials. The multigrid hierarchy of S is kept
    while the diagonals S is made of stay near those it was made for.

    Args:
        system: The block system.
        displacement: Solver of its first block.
        relief: Per phase (and class of grain boundaries), what to take off the diagonal of the c block.

    Attributes:
        potentials: Numbers of the potentials; there are none in an open body at rest.
        setups: How often the hierarchy of S was made.
    """

    NEAR = 0.15
    """Relative change of D~ and of the diagonal of g A up to which a hierarchy of S is kept."""

    def __init__(self, system: System, displacement: DisplacementSolver, relief: list[Array]) -> None:
        self.system, self.displacement = system, displacement
        self._prefix = f"chemomech_schur_{next(_numbers)}_"
        self.relief, self.dimension = relief, system.functions[0].function_space.mesh.geometry.dim
        self.phases = range(1, 1 + len(relief))
        self.potentials = tuple(range(1 + len(relief), system.size))
        # Potential -> fractions that belong to it.
        self._fractions = {i: [k for k in self.phases if system.blocks[k][i] is not None] for i in self.potentials}
        self._schur: Any = None  # S, the terms it is made of, its solver and the diagonals that one was made for
        self._parts: dict[int, Any] = {}
        self._sources: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._nest: Any = None  # of the parts of several potentials, and their vectors in the order of S
        self._joint: list[Any] = []
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
        if self.potentials and not self._near():
            for i in self.potentials:
                self._form_schur(i)
            if len(self.potentials) == 1:
                self._schur = self._parts[self.potentials[0]]
            else:
                self._join()
            self._set_up_schur()

    def _near(self) -> bool:
        """Whether the diagonals S is made of are near those of the last hierarchy; they are kept if not."""
        present = [v.array_r.copy() for v in self._inverse]
        for i in self.potentials:
            own = self.system.blocks[i][i]
            if own is None:
                continue
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

    def _form_schur(self, i: int) -> None:
        """S = g A - sum over the fractions of M' D~^-1 (-M), of one potential."""
        blocks = self.system.blocks
        own, schur = blocks[i][i], self._parts.get(i)
        alone = len(self.phases) == 1  # the product is then S itself: they have the same entries
        if not alone and own is not None:
            if schur is None:
                schur = own.copy()
            else:
                own.copy(schur, PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        elif not alone and schur is not None:
            schur.zeroEntries()
        for k in self._fractions[i]:
            inverse = self._inverse[k - 1]
            if (i, k) in self._sources:
                right, product = self._sources[i, k]
                blocks[k][i].copy(right, PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
                right.diagonalScale(L=inverse)
                blocks[i][k].matMult(right, product)
            else:
                right = blocks[k][i].copy()
                right.diagonalScale(L=inverse)
                product = blocks[i][k].matMult(right)
                self._sources[i, k] = right, product
            if alone:
                product.scale(-1.0)
                if own is not None:
                    product.axpy(1.0, own, structure=PETSc.Mat.Structure.SUBSET_NONZERO_PATTERN)
                schur = product
            elif schur is None:
                schur = product.copy()
                schur.scale(-1.0)
            else:
                schur.axpy(-1.0, product, structure=PETSc.Mat.Structure.SUBSET_NONZERO_PATTERN)
        self._parts[i] = schur

    def _join(self) -> None:
        """S of several potentials as one matrix: exchange may couple them too closely to take one after the other."""
        if self._nest is None:
            blocks = self.system.blocks
            parts = [[self._parts[i] if i == j else blocks[i][j] for j in self.potentials] for i in self.potentials]
            self._nest = PETSc.Mat().createNest(parts, comm=self.system.comm)
            self._schur = PETSc.Mat()  # with a target that is empty a new matrix is made, without one the nest is lost
        self._nest.convert("aij", self._schur)
        if not self._joint:
            self._joint = list(self._schur.createVecs())

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
        blocks = self.system.blocks
        r, z, work = x.getNestSubVecs(), y.getNestSubVecs(), self._work
        for i in self.potentials:
            b = work[i]
            r[i].copy(b)
            b.scale(-1.0)
            for k in self._fractions[i]:
                work[k].pointwiseMult(self._inverse[k - 1], r[k])
                blocks[i][k].multAdd(work[k], b, b)
            b.scale(-1.0)
        self._solve_schur(z)
        back = work[0]
        back.set(0.0)
        for k, inverse in zip(self.phases, self._inverse, strict=True):
            b = work[k]
            r[k].copy(b)
            for i in self.potentials:
                if k in self._fractions[i]:
                    b.scale(-1.0)
                    blocks[k][i].multAdd(z[i], b, b)
                    b.scale(-1.0)
            z[k].pointwiseMult(inverse, b)
            if blocks[0][k] is not None:
                blocks[0][k].multAdd(z[k], back, back)
        back.aypx(-1.0, r[0])
        self.displacement.solve(back, z[0])

    def _solve_schur(self, z: list[PETSc.Vec]) -> None:
        """S z = work, the potentials."""
        if not self._joint:
            for i in self.potentials:
                self._ksp.solve(self._work[i], z[i])
            return
        solution, right = self._joint
        right.array_w[:] = np.concatenate([self._work[i].array_r for i in self.potentials])
        self._ksp.solve(right, solution)
        first = 0
        for i in self.potentials:
            size = self.system.owned[i]
            z[i].array_w[:] = solution.array_r[first : first + size]
            first += size

    def destroy(self, pc: Any = None) -> None:
        """Free the PETSc objects; collective."""
        terms = [m for pair in self._sources.values() for m in pair]
        matrices = (*terms, *self._parts.values(), self._schur, self._nest)
        things = (*self._inverse, *self._work, *self._joint, *matrices, self._ksp)
        for thing in {id(t): t for t in things if t is not None}.values():  # S may be a part of itself
            thing.destroy()
        self._inverse, self._work, self._joint, self._sources, self._parts = [], [], [], {}, {}
        self._schur = self._ksp = self._nest = None
        self._made_for = []


def block_elimination(ksp: PETSc.KSP, context: BlockElimination) -> None:
    """fgmres with block elimination."""
    ksp.setType("fgmres")
    ksp.setGMRESRestart(40)
    ksp.setTolerances(rtol=1e-4, max_it=300)
    pc = ksp.getPC()
    pc.setType("python")
    pc.setPythonContext(context)
