"""What a physics hands to a solver: unknowns, residuals, Jacobian blocks, constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ufl

from chemomech.typing import Array, DirichletBC, Function, Ints

Form = Any  # a UFL form


@dataclass(frozen=True, slots=True)
class Unknown:
    """One field of the solution.

    Attributes:
        name: Field name, used in messages and files.
        function: Where its value lives, internal units.
        bounds: Open interval its nodal values must stay in, if any.
        size: Least magnitude of the unknown that matters; sets what counts as a small residual.
    """

    name: str
    function: Function
    bounds: tuple[float, float] | None = None
    size: float = 1.0


@dataclass(frozen=True, slots=True)
class Replacement:
    """Rows of one equation replaced by ``column unknown = value`` (a fixed concentration, say).

    Attributes:
        row: Number of the equation whose rows are replaced.
        column: Number of the unknown that is fixed.
        rows: Owned local rows of the equation.
        columns: Local dofs of the fixed unknown, one per row.
        values: Its values, one per row.
    """

    row: int
    column: int
    rows: Ints
    columns: Ints
    values: Array


@dataclass(frozen=True, slots=True)
class Equations:
    """A nonlinear block system F_i(x_0, x_1, ...) = loads_i.

    Attributes:
        unknowns: The fields x_i; equation i is tested in the space of x_i.
        residuals: UFL forms F_i.
        jacobian: UFL forms dF_i/dx_j; None where it vanishes.
        constant: Whether a block never changes during a computation.
        entity_maps: Maps between the meshes the unknowns live on.
        dirichlet: Conditions on each unknown.
        supply: Owned rows of the last equation where lithium may enter because c or mu is fixed.
        replacements: Replaced rows.
        loads: Constant right-hand sides, local arrays of the owned dofs, None where zero.
    """

    unknowns: tuple[Unknown, ...]
    residuals: tuple[Form, ...]
    jacobian: tuple[tuple[Form | None, ...], ...]
    constant: tuple[tuple[bool, ...], ...]
    entity_maps: list[Any] | None = None
    dirichlet: tuple[tuple[DirichletBC, ...], ...] = ()
    replacements: tuple[Replacement, ...] = ()
    loads: tuple[Array | None, ...] = ()
    supply: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int32))


def differentiate(
    residuals: Sequence[Form], unknowns: Sequence[Unknown], changing: Sequence[Any] = ()
) -> tuple[tuple[tuple[Form | None, ...], ...], tuple[tuple[bool, ...], ...]]:
    """Jacobian blocks dF_i/dx_j by UFL, and which of them are constant.

    Args:
        residuals: Forms F_i.
        unknowns: Fields x_j.
        changing: Further coefficients and constants that change during a computation (a time step, say).
    """
    moving = {id(u.function) for u in unknowns} | {id(c) for c in changing}
    blocks: list[tuple[Form | None, ...]] = []
    flags: list[tuple[bool, ...]] = []
    for residual in residuals:
        row: list[Form | None] = []
        fixed: list[bool] = []
        for unknown in unknowns:
            trial = ufl.TrialFunction(unknown.function.function_space)
            block = ufl.algorithms.expand_derivatives(ufl.derivative(residual, unknown.function, trial))
            row.append(None if block.empty() else block)
            fixed.append(not any(id(c) in moving for c in (*block.coefficients(), *block.constants())))
        blocks.append(tuple(row))
        flags.append(tuple(fixed))
    return tuple(blocks), tuple(flags)
