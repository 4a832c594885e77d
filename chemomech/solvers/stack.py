"""Chooses and holds the linear solvers of one system."""

from __future__ import annotations

from typing import Any

from petsc4py import PETSc

from chemomech.solvers import linear
from chemomech.solvers.matrices import give_back
from chemomech.solvers.newton import Newton
from chemomech.solvers.system import System
from chemomech.typing import Array

DIRECT_LIMIT = {2: 20_000, 3: 4_000}
"""Unknowns up to which one factorisation of everything is chosen: slower, but nobody waits, and without an iteration
two runs on several ranks differ by rounding only."""

EXACT_LIMIT = {2: 4_000_000, 3: 8_000}
"""Unknowns up to which the displacement block is factorised instead of multigrid."""


class SolverStack:
    """System, Newton's method and linear solvers of one physics.

    Args:
        system: The block system, unknown 0 being the displacement.
        rigid: Rigid motions on the owned displacement dofs, columns.
        relief: Per phase, what to take off the diagonal of the c block so that it stands for a relaxed body.
        dimension: 2 or 3.
        linear_solver: ``auto``, ``direct`` or ``block``.
        tolerance, max_iterations, length, options: As for ``Newton``.
    """

    def __init__(
        self,
        system: System,
        rigid: Array,
        relief: list[Array],
        dimension: int,
        *,
        linear_solver: str,
        tolerance: float,
        max_iterations: int,
        length: float,
        options: dict[str, Any],
    ) -> None:
        self.system = system
        n = system.dofs()
        if linear_solver == "auto":
            linear_solver = "direct" if n <= DIRECT_LIMIT[dimension] else "block"
        self.kind = linear_solver
        system.push()
        system.jacobian()
        exact = linear_solver == "direct" or n <= EXACT_LIMIT[dimension]
        space = system.functions[0].function_space
        components = space.dofmap.bs
        places = space.tabulate_dof_coordinates()[: space.dofmap.index_map.size_local, :dimension]
        self.displacement = linear.DisplacementSolver(system.blocks[0][0], rigid, places, components, exact=exact)
        self._elimination: linear.BlockElimination | None = None
        if linear_solver == "block":
            if exact:  # it is only multiplied from now on: half of it is enough
                system.blocks[0][0].setBlockSize(components)
                system.blocks[0][0].convert("sbaij")
            self._elimination = linear.BlockElimination(system, self.displacement, relief)
        self.newton = Newton(
            system,
            tolerance,
            max_iterations,
            length=length,
            options=options,
            defaults=linear.MUMPS if linear_solver == "direct" else None,
            setup=self._set_up,
            inexact=linear_solver == "block" and "ksp_rtol" not in options,
        )
        give_back()

    def _set_up(self, snes: PETSc.SNES) -> None:
        if self._elimination is None:
            linear.direct(snes.getKSP())
        else:
            linear.block_elimination(snes.getKSP(), self._elimination)

    def relax(self) -> None:
        """Mechanical equilibrium at the present c: one solve with K; the functions hold the result."""
        system = self.system
        system.push()
        system.residual(system.x, system.f)
        b = system.f.getNestSubVecs()[0]
        b.scale(-1.0)
        du = b.duplicate()
        self.displacement.solve_to(b, du, 1e-12)
        u = system.x.getNestSubVecs()[0]
        u.axpy(1.0, du)
        du.destroy()
        system.pull(system.x)

    def destroy(self) -> None:
        """Free the PETSc objects; collective."""
        self.newton.destroy()
        if self._elimination is not None:
            self._elimination.destroy()
        self.displacement.destroy()
        self.system.destroy()
        PETSc.garbage_cleanup(self.system.comm)
