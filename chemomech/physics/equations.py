"""What a physics hands to a solver: unknowns, residuals, Jacobian blocks, constraints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ufl

from chemomech.typing import Array, DirichletBC, Function, Ints, Longs

Form = Any  # a UFL form
Row = Callable[[int], Array]
"""Gives the linear part of an equation, by number, at the present values: owned dofs, not to be kept or changed."""


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


@dataclass(slots=True)
class Contact:
    """Rows of the last equation where its unknown has one value, which is found from step to step.

    Attributes:
        rows: Owned local rows, those of the unknown too.
        value: The value.
        open: Whether it holds; the rows are ordinary ones otherwise. The same on all ranks.
    """

    rows: Ints
    value: float = 0.0
    open: bool = True


@dataclass(frozen=True, slots=True)
class Follower:
    """A nodal coefficient that follows the unknowns node by node, by rules that are no form.

    Attributes:
        function: The coefficient.
        slopes: Number of an unknown -> derivative of the coefficient by its value at the same node, at each local dof.
            ``Equations.follow`` keeps function and slopes up to date, in place.
    """

    function: Function
    slopes: dict[int, Array]


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of a matrix that stands beside the forms.

    Attributes:
        rows: Local numbers of owned rows.
        columns: Global numbers of columns.
        values: Entries; those at one place add up.
    """

    rows: Longs
    columns: Longs
    values: Array


@dataclass(frozen=True, slots=True)
class Composite:
    """A coefficient b that some unknowns change linearly: where b stands, b + sum over j of E_j (x_j - o_j) is meant.

    The residuals name b alone and are affine in it; ``force`` is the derivative of the energy by b, so that equation j
    gains E_j^T force. All of it is constant blocks, made once.

    Attributes:
        function: b.
        force: Linear form of a test function in its space.
        maps: Number of an unknown -> E_j.
        offsets: Number of an unknown -> o_j, owned dofs.
        cells: Owned cells that a map reaches.
    """

    function: Function
    force: Form
    maps: dict[int, Entries]
    offsets: dict[int, Array]
    cells: Ints


@dataclass(frozen=True, slots=True)
class Parts:
    """A residual as the sum of three forms, each None where nothing belongs to it.

    Attributes:
        affine: Linear in the unknowns with coefficients that never change.
        given: Free of the unknowns, changing from step to step.
        changing: The rest.
        affine_slopes, changing_slopes: Their derivatives with respect to each unknown by UFL, None where they vanish.
        follower_slopes: Derivatives with respect to each follower.
    """

    affine: Form | None
    given: Form | None
    changing: Form | None
    affine_slopes: tuple[Form | None, ...]
    changing_slopes: tuple[Form | None, ...]
    follower_slopes: tuple[Form | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Equations:
    """A nonlinear block system F_i(x_0, x_1, ...) = loads_i.

    Attributes:
        unknowns: The fields x_i; equation i is tested in the space of x_i.
        residuals: UFL forms F_i.
        changing: Coefficients and constants, beside the unknowns, that change from step to step.
        entity_maps: Maps between the meshes the unknowns live on.
        dirichlet: Conditions on each unknown.
        supply: Number of a balance -> its owned rows where lithium may enter because c or a potential is fixed.
        replacements: Replaced rows.
        contacts: Rows of the last equation that hold one value for a while.
        loads: Constant right-hand sides, local arrays of the owned dofs, None where zero.
        followers: Coefficients that follow the unknowns by rules that are no form.
        follow: Brings the followers, and ``changing`` coefficients that go with them, up to date; called before each
            residual, when the functions hold the present values.
        eliminate: Makes the functions' values fit each other node by node, after each linear solve and before the
            first, given the linear part of each equation and its diagonal. It may change owned values and must then
            refresh the ghosts.
        composite: A coefficient that unknowns change linearly.
        sizes: (equation, unknown) -> at most so much is what the terms of the equation with this unknown count for when
            its residual is judged, per owned row.
    """

    unknowns: tuple[Unknown, ...]
    residuals: tuple[Form, ...]
    changing: tuple[Any, ...] = ()
    entity_maps: list[Any] | None = None
    dirichlet: tuple[tuple[DirichletBC, ...], ...] = ()
    replacements: tuple[Replacement, ...] = ()
    contacts: tuple[Contact, ...] = ()
    loads: tuple[Array | None, ...] = ()
    supply: dict[int, Ints] = field(default_factory=dict)
    followers: tuple[Follower, ...] = ()
    follow: Callable[[Row], None] | None = None
    eliminate: Callable[[Row, Row], None] | None = None
    composite: Composite | None = None
    sizes: dict[tuple[int, int], Array] = field(default_factory=dict)

    def parts(self) -> tuple[Parts, ...]:
        """The residuals, sorted by what their integrals depend on."""
        return tuple(self._sorted(f) for f in self.residuals)

    def _sorted(self, residual: Form) -> Parts:
        followers = {id(f.function) for f in self.followers}
        unknowns = {id(u.function) for u in self.unknowns} | followers
        changing = {id(c) for c in self.changing} | followers
        forms: dict[str, list[Form]] = {"affine": [], "given": [], "changing": []}
        slopes: dict[str, list[tuple[Form | None, ...]]] = {"affine": [], "given": [], "changing": []}
        for integral in ufl.algorithms.expand_derivatives(residual).integrals():
            form = ufl.Form([integral])
            named = named_in(form)
            derivatives = tuple(derivative(form, u.function) for u in self.unknowns) if named & unknowns else ()
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
        moving = added(list(forms["changing"]))
        followed = [None if moving is None else derivative(moving, f.function) for f in self.followers]
        return Parts(
            **{kind: added(list(found)) for kind, found in forms.items()},
            affine_slopes=tuple(added([s[j] for s in slopes["affine"]]) for j in columns),
            changing_slopes=tuple(added([s[j] for s in slopes["changing"]]) for j in columns),
            follower_slopes=tuple(followed),
        )


def derivative(form: Form, function: Function) -> Form | None:
    """The derivative by a function, None where it vanishes."""
    trial = ufl.TrialFunction(function.function_space)
    out = ufl.algorithms.expand_derivatives(ufl.derivative(form, function, trial))
    return None if out.empty() else out


def named_in(form: Form) -> set[int]:
    """Identities of the coefficients and constants of a form."""
    return {id(c) for c in (*form.coefficients(), *form.constants())}


def nodal(form: Form) -> bool:
    """Whether all integrals use corners of cells or facets and no gradient: a dof meets only those of its own node."""
    rules = [integral.metadata().get("quadrature_rule") for integral in form.integrals()]
    if not all(rule == "vertex" for rule in rules):
        return False
    return not ufl.algorithms.analysis.extract_type(form, ufl.classes.Grad)
