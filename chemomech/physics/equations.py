"""What a physics hands to a solver: unknowns, residuals, Jacobian blocks, constraints."""

from __future__ import annotations

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
class Parts:
    """A residual as the sum of three forms, each None where nothing belongs to it.

    Attributes:
        affine: Linear in the unknowns with coefficients that never change.
        given: Free of the unknowns, changing from step to step.
        changing: The rest.
        affine_slopes, changing_slopes: Their derivatives with respect to each unknown by UFL, None where they vanish.
    """

    affine: Form | None
    given: Form | None
    changing: Form | None
    affine_slopes: tuple[Form | None, ...]
    changing_slopes: tuple[Form | None, ...]


@dataclass(frozen=True, slots=True)
class Equations:
    """A nonlinear block system F_i(x_0, x_1, ...) = loads_i.

    Attributes:
        unknowns: The fields x_i; equation i is tested in the space of x_i.
        residuals: UFL forms F_i.
        changing: Coefficients and constants, beside the unknowns, that change from step to step.
        entity_maps: Maps between the meshes the unknowns live on.
        dirichlet: Conditions on each unknown.
        supply: Owned rows of the last equation where lithium may enter because c or mu is fixed.
        replacements: Replaced rows.
        loads: Constant right-hand sides, local arrays of the owned dofs, None where zero.
    """

    unknowns: tuple[Unknown, ...]
    residuals: tuple[Form, ...]
    changing: tuple[Any, ...] = ()
    entity_maps: list[Any] | None = None
    dirichlet: tuple[tuple[DirichletBC, ...], ...] = ()
    replacements: tuple[Replacement, ...] = ()
    loads: tuple[Array | None, ...] = ()
    supply: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int32))

    def parts(self) -> tuple[Parts, ...]:
        """The residuals, sorted by what their integrals depend on."""
        return tuple(self._sorted(f) for f in self.residuals)

    def _sorted(self, residual: Form) -> Parts:
        unknowns = {id(u.function) for u in self.unknowns}
        changing = {id(c) for c in self.changing}
        forms: dict[str, list[Form]] = {"affine": [], "given": [], "changing": []}
        slopes: dict[str, list[tuple[Form | None, ...]]] = {"affine": [], "given": [], "changing": []}
        for integral in ufl.algorithms.expand_derivatives(residual).integrals():
            form = ufl.Form([integral])
            named = named_in(form)
            derivatives = tuple(_derivative(form, u.function) for u in self.unknowns) if named & unknowns else ()
            bent = any(named_in(d) & unknowns for d in derivatives if d is not None)
            kind = "affine"
            if named & changing:
                kind = "changing" if named & unknowns else "given"
            elif bent:
                kind = "changing"
            forms[kind].append(form)
            slopes[kind].append(derivatives or (None,) * len(self.unknowns))

        def added(parts: list[Form | None]) -> Form | None:
            integrals = [i for form in parts if form is not None for i in form.integrals()]
            return ufl.Form(integrals) if integrals else None

        columns = range(len(self.unknowns))
        return Parts(
            **{kind: added(list(found)) for kind, found in forms.items()},
            affine_slopes=tuple(added([s[j] for s in slopes["affine"]]) for j in columns),
            changing_slopes=tuple(added([s[j] for s in slopes["changing"]]) for j in columns),
        )


def _derivative(form: Form, function: Function) -> Form | None:
    trial = ufl.TrialFunction(function.function_space)
    out = ufl.algorithms.expand_derivatives(ufl.derivative(form, function, trial))
    return None if out.empty() else out


def named_in(form: Form) -> set[int]:
    """Identities of the coefficients and constants of a form."""
    return {id(c) for c in (*form.coefficients(), *form.constants())}


def nodal(form: Form) -> bool:
    """Whether all integrals use the corners of the cells, so that a dof meets only those of its own node."""
    rules = [integral.metadata().get("quadrature_rule") for integral in form.integrals()]
    return all(rule == "vertex" for rule in rules)
