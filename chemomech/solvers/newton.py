"""Newton's method on a block system: PETSc's SNES with nodal bounds and a test of every equation by itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc

from chemomech.errors import ConvergenceError
from chemomech.solvers.forcing import Judged, forcing
from chemomech.solvers.system import System
from chemomech.typing import Array

_LOG = logging.getLogger(__name__)
_numbers = count()

_GUESS = 1e-3


_REASONS = {
    -1: "the residual could not be evaluated",
    -3: "the linear solver failed",
    -4: "the residual is not a number",
    -5: "Newton's method did not converge within the allowed iterations",
    -6: "the line search failed",
}

_ADVICE = {
    "displacement": "Check that the body is held or its tractions are in balance, and the elastic constants.",
    "concentration": "Try a smaller initial_step, or a gradient energy if the interaction exceeds 2.",
    "chemical_potential": "Try a smaller initial_step or minimum_step, a finer mesh at the cores, or a coarser one "
    "where grain boundaries that open meet a contact.",
}


class Newton:
    """Solves a system by Newton's method.

    An equation counts as solved when every entry of its residual is below ``tolerance`` times the size of the
    terms it is made of (largest Jacobian entries of the row times the magnitude of the unknowns). Each nodal
    update of a bounded unknown is cut so that it goes at most nine tenths of the way to a bound.

    Attributes:
        system: The system.
        iterations, linear_iterations: Of the last solve.
        history: Relative residual per unknown and iteration of the last solve.
    """

    def __init__(
        self,
        system: System,
        tolerance: float,
        max_iterations: int,
        *,
        length: float,
        options: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        setup: Any = None,
        inexact: bool = False,
    ) -> None:
        self.system, self.tolerance, self._length = system, tolerance, length
        self.inexact = inexact
        self._norms: list[float] = []
        self._scaled = False  # in this solve
        self.iterations = self.linear_iterations = 0
        self.history: list[dict[str, float]] = []
        self._scales: list[Array] | None = None
        self._worst: dict[str, int] = {}
        self.prefix = f"chemomech_{next(_numbers)}_"
        self._next = system.x.duplicate() if system.equations.eliminate is not None else None
        self.snes = snes = PETSc.SNES().create(system.comm)
        snes.setOptionsPrefix(self.prefix)
        snes.setType("newtonls")
        snes.getLineSearch().setType("basic")
        snes.setFunction(lambda _, x, f: system.residual(x, f), system.f)
        snes.setJacobian(self._jacobian, system.matrix)
        snes.setConvergenceTest(self._converged)
        snes.setLineSearchPreCheck(self._bound)
        snes.setTolerances(rtol=0.0, atol=0.0, stol=0.0, max_it=max_iterations)
        # They stay until the end: factorisations and multigrid read theirs when they are made, or later.
        self._options, given = dict(options or {}), {**(defaults or {}), **(options or {})}
        self._set = [self.prefix + key for key in given]
        for key, value in given.items():
            PETSc.Options().setValue(self.prefix + key, value)
        if setup is not None:
            setup(snes)
        snes.setFromOptions()
        self._judged = None
        if inexact and self._next is not None:
            self._judged = Judged(
                snes.getKSP(), lambda parts: float(self._largest(self._ratios(parts))[1].max()), tolerance
            )

    # -- SNES callbacks -------------------------------------------------------------------------------

    def _jacobian(self, snes: PETSc.SNES, x: PETSc.Vec, a: PETSc.Mat, p: PETSc.Mat) -> None:
        self.system.jacobian()
        if not self._scaled:
            self._scales, self._scaled = self._row_scales(), True
        self._norms.append(snes.getFunctionNorm())
        if self.inexact and self._judged is None:
            over = max(self.history[-1].values()) / self.tolerance if self.history else np.inf
            snes.getKSP().setTolerances(rtol=forcing(self._norms, over))

    def _row_scales(self) -> list[Array]:
        """Size of the Jacobian entries per row, by equation and unknown, times the unknown's magnitude."""
        system, scales = self.system, []
        sizes = [self._size(k) for k in range(len(system.functions))]
        for i, row in enumerate(system.blocks):
            total = np.zeros(system.owned[i])
            for j, (block, size) in enumerate(zip(row, sizes, strict=True)):
                if block is None:
                    continue
                most, magnitude = system.equations.sizes.get((i, j)), system.magnitude(i, j)
                total += magnitude * size if most is None else np.minimum(magnitude * size, most)
            scales.append(np.where(total > 0.0, total, 1.0))
        return scales

    def _size(self, k: int) -> float:
        """Magnitude of an unknown: its own, or what its equation calls a size that matters."""
        unknown = self.system.equations.unknowns[k]
        if unknown.bounds is not None:
            return unknown.size
        part = unknown.function.x.array
        return max(unknown.size, float(self.system.comm.allreduce(np.max(np.abs(part), initial=0.0), op=MPI.MAX)))

    def _converged(self, snes: PETSc.SNES, iteration: int, norms: tuple[float, float, float]) -> int:
        system = self.system
        if not np.isfinite(norms[2]):
            return int(PETSc.SNES.ConvergedReason.DIVERGED_FNORM_NAN)
        if self._scales is None:
            return 0
        ratios = self._ratios(snes.getFunction()[0].getNestSubVecs())
        local, largest = self._largest(ratios)
        names = [u.name for u in system.equations.unknowns]
        self.history.append(dict(zip(names, largest.tolist(), strict=True)))
        self._worst = {n: int(np.argmax(r)) if len(r) else -1 for n, r in zip(names, ratios, strict=True)}
        self._local = dict(zip(names, local.tolist(), strict=True))
        # In a long step the flux of a small difference is large: a first guess has to be better than a solution.
        if np.all(largest <= (self.tolerance if iteration else _GUESS * self.tolerance)):
            return int(PETSc.SNES.ConvergedReason.CONVERGED_FNORM_RELATIVE)
        return 0

    def _ratios(self, parts: list[PETSc.Vec]) -> list[Array]:
        """Entries of a residual over the sizes of what they are made of, by equation."""
        return [np.abs(p.array_r) / s for p, s in zip(parts, self._scales or (), strict=True)]

    def _largest(self, ratios: list[Array]) -> tuple[Array, Array]:
        """The largest by equation, here and on all ranks."""
        local = np.array([np.max(r, initial=0.0) for r in ratios])
        largest = np.empty_like(local)
        self.system.comm.Allreduce(local, largest, op=MPI.MAX)
        return local, largest

    def _bound(self, x: PETSc.Vec, y: PETSc.Vec) -> bool:
        changed = False
        for k, unknown in enumerate(self.system.equations.unknowns):
            if unknown.bounds is None:
                continue
            low, high = unknown.bounds
            old = x.getNestSubVecs()[k].array_r
            step = y.getNestSubVecs()[k]
            new = np.clip(old - step.array_r, low + 0.1 * (old - low), high - 0.1 * (high - old))
            if np.any(new != old - step.array_r):
                step.array_w[:] = old - new
                changed = True
        if self._next is not None:
            x.copy(self._next)
            self._next.axpy(-1.0, y)
            self.system.eliminate(self._next)
            y.waxpy(-1.0, self._next, x)
            return True
        return bool(self.system.comm.allreduce(changed, op=MPI.LOR))

    # -- solve ----------------------------------------------------------------------------------------

    def solve(self, *, time: float = 0.0, step_size: float = 0.0) -> None:
        """Solve from the functions' present values; they hold the solution afterwards.

        Raises:
            ConvergenceError: If no solution was found; the functions then hold what they held before.
        """
        system = self.system
        backup = [f.x.array.copy() for f in system.functions]
        self.history, self._norms, self._scaled = [], [], False
        if self._judged is not None:
            self._judged.restart()
        system.push()
        if self._next is not None:
            system.eliminate(system.x)
        try:
            self.snes.solve(None, system.x)
        except PETSc.Error as error:
            self._restore(backup)
            if error.__cause__ is not None:
                raise  # a fault in a callback, not in the solution
            raise self._failure(f"PETSc stopped with error {error.ierr}", time, step_size) from error
        self.iterations = self.snes.getIterationNumber()
        self.linear_iterations = self.snes.getLinearSolveIterations()
        reason = self.snes.getConvergedReason()
        if reason <= 0:
            self._restore(backup)
            raise self._failure(_REASONS.get(reason, f"Newton's method stopped with reason {reason}"), time, step_size)
        system.pull(system.x)

    def _restore(self, backup: list[Array]) -> None:
        for function, values in zip(self.system.functions, backup, strict=True):
            function.x.array[:] = values

    def _failure(self, reason: str, time: float, step_size: float) -> ConvergenceError:
        comm = self.system.comm
        names = [u.name for u in self.system.equations.unknowns]
        field = names[0]
        point: tuple[float, ...] = ()
        if self.history:
            field = max(self.history[-1], key=lambda n: self.history[-1][n])
            space = self.system.functions[names.index(field)].function_space
            mine = self._local[field]
            _, owner = comm.allreduce((mine, comm.rank), op=MPI.MAXLOC)
            if comm.rank == owner and self._worst[field] >= 0:
                bs = space.dofmap.index_map_bs
                try:
                    x = space.tabulate_dof_coordinates()[self._worst[field] // bs] * self._length
                    point = tuple(x[: space.mesh.geometry.dim].tolist())
                except RuntimeError:  # a number has no place
                    point = ()
            point = comm.bcast(point, root=owner)
        key = next((k for k in _ADVICE if field.startswith(k)), "concentration")
        return ConvergenceError(
            reason,
            field=field,
            history=self.history,
            worst_point=point,
            advice=_ADVICE[key],
            time=time,
            step_size=step_size,
        )

    def destroy(self) -> None:
        """Free the PETSc objects and options; collective. Options that PETSc never looked at are named in the log."""
        database = PETSc.Options()
        for key in self._options:
            if self.system.comm.rank == 0 and not database.used(self.prefix + key):
                _LOG.warning("PETSc knows no option %s here (solver.petsc)", key)
        for key in self._set:
            database.delValue(key)
        self.snes.destroy()
        if self._next is not None:
            self._next.destroy()
