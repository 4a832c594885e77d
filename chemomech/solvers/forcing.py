"""How accurately Newton's method has its linear systems solved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from petsc4py import PETSc

FIRST, LOOSEST = 0.01, 0.1
"""Relative tolerance of the first linear solve of a step, and of any."""


def forcing(norms: list[float], over: float) -> float:
    """Relative tolerance of the linear solver: no more than Newton's method can use (Eisenstat and Walker 1996).

    Args:
        norms: Of the residual, at each iteration so far.
        over: Largest entry of the residual over the tolerance of Newton's method.
    """
    quadratic = 0.9 * (norms[-1] / norms[-2]) ** 2 if len(norms) > 1 else FIRST
    return min(LOOSEST, max(quadratic, 0.3 / over))


class Judged:
    """Ends linear solves by the measure in which Newton's method judges its residuals, the largest scaled entry.

    Equations of grain boundaries are so much smaller than those of the cells beside them that the norm of a residual
    does not see them. And where Newton's method leaves something out of the Jacobian it gains the same factor with each
    iteration, however accurate they are: the tolerance is what the last linear model missed (Eisenstat and Walker 1996,
    choice 1).

    Args:
        ksp: The linear solver, one that can build its residual.
        largest: Largest scaled entry of a nested residual, the same on all ranks.
        tolerance: Of Newton's method.
    """

    def __init__(self, ksp: PETSc.KSP, largest: Callable[[list[PETSc.Vec]], float], tolerance: float) -> None:
        self._largest, self._tolerance = largest, tolerance
        self._begun = self._left = np.nan  # of the last linear solve: its right-hand side, and what it left
        self._norm = self._eta = 0.0
        ksp.setConvergenceTest(self._test)

    def restart(self) -> None:
        """A new solve by Newton's method begins."""
        self._begun = self._left = np.nan

    def _test(self, ksp: PETSc.KSP, iteration: int, norm: float) -> int:
        reasons = PETSc.KSP.ConvergedReason
        if not np.isfinite(norm):
            return int(reasons.DIVERGED_NANORINF)
        if iteration == 0:
            before, self._norm = self._begun, norm
            self._begun = self._largest(ksp.getRhs().getNestSubVecs())
            missed = FIRST if np.isnan(before) else abs(self._begun - self._left) / before
            enough = 0.3 * self._tolerance / self._begun if self._begun else FIRST
            self._eta = min(FIRST, max(missed, enough))
        if norm == 0.0 or iteration == 0:
            return int(reasons.CONVERGED_ATOL) if norm == 0.0 else 0
        if norm > self._eta * self._norm:
            return 0
        rest = ksp.buildResidual()
        self._left = self._largest(rest.getNestSubVecs())
        rest.destroy()
        return int(reasons.CONVERGED_RTOL) if self._left <= self._eta * self._begun else 0
