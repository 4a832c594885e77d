"""Boundary conditions by name: fixed displacements, tractions, rigid motions, concentration, mu, flux."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.linalg
import ufl
from dolfinx import fem, la, mesh
from mpi4py import MPI

from chemomech.case import Boundary, Case
from chemomech.defects.dislocations import infinite_medium_stress, lines
from chemomech.errors import CaseError
from chemomech.materials.laws import Isotropic
from chemomech.meshing.body import Body
from chemomech.parallel import global_max, global_min
from chemomech.physics.contacts import Contacts, Place
from chemomech.physics.equations import Replacement
from chemomech.physics.scales import Scales
from chemomech.typing import Array, Constant, DirichletBC, Flags, Function, Ints

AXES = {"x": 0, "y": 1, "z": 2}


class Fields(Protocol):
    """What constraints need to know of a physics."""

    case: Case
    body: Body
    scales: Scales
    space_u: Any
    space_mu: Any
    lift: Any
    c: dict[str, Any]
    vertices: dict[str, Ints]
    closed_equilibrium: bool
    open_equilibrium: bool
    network: Any

    @property
    def mu_equation(self) -> int:
        """Number of the balance."""
        ...


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the boundaries do to the equations.

    Attributes:
        displacement: Conditions on the displacement.
        potential: Conditions on the chemical potential.
        replacements: Rows of the balance replaced by a fixed concentration.
        load: Work of the tractions on the owned displacement dofs, None without tractions.
        influx: Pairs of surface measure and molar flux into the body, internal units.
        supply: Owned rows of the balance where lithium may enter because c or mu is fixed.
        contacts: Boundaries with one mu that is to be found.
        free_motions: Number of rigid motions nothing fixes.
    """

    displacement: tuple[DirichletBC, ...]
    potential: tuple[DirichletBC, ...]
    replacements: tuple[Replacement, ...]
    load: Array | None
    influx: tuple[tuple[Any, Constant], ...]
    supply: Ints
    contacts: Contacts
    free_motions: int


def constrain(fields: Fields) -> Constraints:
    """Translate the boundaries of a case.

    Raises:
        CaseError: If tractions on a body that nothing holds are far from balance.
    """
    dirichlet, held = _displacements(fields)
    load = _tractions(fields)
    motions = free_motions(fields, held)
    if motions.shape[1]:
        if load is not None:
            load = _balanced(fields, load, motions)
        dirichlet.extend(_pins(fields, motions))
    replacements, mu_conditions, supply, contacts = _reservoirs(fields)
    return Constraints(
        displacement=tuple(dirichlet),
        potential=tuple(mu_conditions),
        replacements=replacements,
        load=load,
        influx=_fluxes(fields),
        supply=supply,
        contacts=contacts,
        free_motions=motions.shape[1],
    )


def surfaces(body: Body, facets: Mapping[Hashable, Ints]) -> dict[Hashable, Any]:
    """Measures over sets of facets on the outside; all share one set of integration data, as a form requires."""
    data = []
    for number, local in enumerate(facets.values(), start=1):
        owned = local[local < body.mesh.topology.index_map(body.dimension - 1).size_local]
        kind = fem.IntegralType.exterior_facet
        data.append((number, fem.compute_integration_domains(kind, body.mesh.topology, np.sort(owned))))
    ds = ufl.Measure("ds", domain=body.mesh, subdomain_data=data)
    return {key: ds(number) for number, key in enumerate(facets, start=1)}


def _displacements(fields: Fields) -> tuple[list[DirichletBC], Flags]:
    """Conditions on components, and which owned dofs they hold."""
    case, body, space = fields.case, fields.body, fields.space_u
    fdim = body.dimension - 1
    held = np.zeros(space.dofmap.index_map.size_local * space.dofmap.bs, dtype=bool)
    out: list[DirichletBC] = []
    for name, boundary in case.boundaries.items():
        fixed = _fixed_components(boundary, body, name)
        for axis, value in fixed.items():
            part, of_part = space.sub(axis).collapse()
            pairs = fem.locate_dofs_topological((space.sub(axis), part), fdim, body.facets(name))
            prescribed = fem.Function(part)
            known = fields.lift.x.array[np.asarray(of_part, dtype=np.int32).ravel()]
            prescribed.x.array[:] = value / fields.scales.length - known
            out.append(fem.dirichletbc(prescribed, pairs, space.sub(axis)))
            dofs = pairs[0]
            held[dofs[dofs < len(held)]] = True
    for name in case.domain.mirror:
        axis = AXES[name]
        dofs = fem.locate_dofs_topological(space.sub(axis), fdim, _mirrors(body, axis))
        out.append(fem.dirichletbc(np.float64(0.0), dofs, space.sub(axis)))
        held[dofs[dofs < len(held)]] = True
    return out, held


def _mirrors(body: Body, axis: int) -> Ints:
    """Facets on the two planes of symmetry normal to an axis, where the unknown displacement has no normal part.

    What dislocations and their images bring beforehand has that symmetry by itself.
    """
    low, high = extent(body)
    reach = 1e-9 * float(np.max(high - low))
    return np.asarray(
        mesh.locate_entities_boundary(
            body.mesh,
            body.dimension - 1,
            lambda x: (np.abs(x[axis] - low[axis]) < reach) | (np.abs(x[axis] - high[axis]) < reach),
        ),
        dtype=np.int32,
    )


def extent(body: Body) -> tuple[Array, Array]:
    """Lowest and highest coordinates of the body, internal units; collective."""
    x = body.mesh.geometry.x
    low = global_min(body.mesh.comm, np.min(x, axis=0, initial=np.inf))
    return low, global_max(body.mesh.comm, np.max(x, axis=0, initial=-np.inf))


def _fixed_components(boundary: Boundary, body: Body, name: str) -> dict[int, float]:
    if boundary.displacement is not None:
        given = {axis: getattr(boundary.displacement, key) for key, axis in AXES.items()}
        return {axis: value for axis, value in given.items() if value is not None}
    if boundary.roller:
        return {_normal_axis(body, name): 0.0}
    return {}


def _normal_axis(body: Body, name: str) -> int:
    """The coordinate axis a flat boundary is normal to."""
    facets = body.facets(name)
    nodes = mesh.entities_to_geometry(body.mesh, body.dimension - 1, facets)
    x = body.mesh.geometry.x[nodes.ravel(), : body.dimension]
    low, high = np.full(body.dimension, np.inf), np.full(body.dimension, -np.inf)
    body.mesh.comm.Allreduce(np.min(x, axis=0, initial=np.inf), low, op=MPI.MIN)
    body.mesh.comm.Allreduce(np.max(x, axis=0, initial=-np.inf), high, op=MPI.MAX)
    extent = high - low
    axis = int(np.argmin(extent))
    if extent[axis] > 1e-6 * extent.max():
        raise CaseError(
            f"boundaries.{name}.roller", True, "this boundary is not flat and normal to a coordinate axis",
            "displacement components instead",
        )  # fmt: skip
    return axis


def _tractions(fields: Fields) -> Array | None:
    """int t . v ds for all tractions, on the owned dofs."""
    form = _traction_form(fields, ufl.TestFunction(fields.space_u))
    if form is None:
        return None
    vector = fem.assemble_vector(fem.form(form))
    vector.scatter_reverse(la.InsertMode.add)
    return np.array(vector.array[: fields.space_u.dofmap.index_map.size_local * fields.space_u.dofmap.bs])


def corner_tractions(fields: Fields) -> Array | None:
    """int t N ds for the corners of every local cell, shape (cells, d + 1, components); None without tractions."""
    body, count = fields.body, fields.space_u.dofmap.bs
    space = fem.functionspace(body.mesh, ("DG", 1, (count,)))
    form = _traction_form(fields, ufl.TestFunction(space))
    if form is None:
        return None
    values = fem.assemble_vector(fem.form(form)).array.reshape(-1, count)
    return np.array(values[space.dofmap.list])


def _traction_form(fields: Fields, v: Any) -> Any:
    """int t . v ds for all tractions, None if there are none."""
    case, body, s = fields.case, fields.body, fields.scales
    count = fields.space_u.dofmap.bs
    loaded = {name: b.traction for name, b in case.boundaries.items() if b.traction is not None}
    measures = surfaces(body, {name: body.facets(name) for name in loaded})
    form = None
    for name, traction in loaded.items():
        if isinstance(traction, str):
            sigma = _dislocation_stress(fields, name)
            t = ufl.dot(sigma, ufl.FacetNormal(body.mesh))
        else:
            given = np.zeros(count)
            given[: body.dimension] = traction[: body.dimension]
            t = fem.Constant(body.mesh, given / s.stress)
        part = ufl.inner(t, v) * measures[name](degree=4)
        form = part if form is None else form + part
    return form


def _dislocation_stress(fields: Fields, name: str) -> Function:
    """Infinite-medium stress of all dislocations near a boundary; a row per component of the displacement."""
    case, body = fields.case, fields.body
    d, rows = body.dimension, fields.space_u.dofmap.bs
    phases = list(fields.c)
    elasticity = case.materials[phases[0]].elasticity
    if not isinstance(elasticity, Isotropic):
        raise CaseError(f"boundaries.{name}.traction", "dislocations", "needs isotropic elasticity", "numbers in Pa")
    space = fem.functionspace(body.mesh, ("P", 2, (rows, d)))
    sigma: Function = fem.Function(space)
    all_lines = lines(case)

    def exact(x: Array) -> Array:
        values = infinite_medium_stress(all_lines, elasticity, x.T * fields.scales.length, case.plane)
        return np.asarray(values[:, :rows, :d].reshape(len(values), rows * d).T / fields.scales.stress)

    facets = body.facets(name)
    links = body.mesh.topology.connectivity(d - 1, d)
    cells = np.unique([c for f in facets for c in links.links(f)]).astype(np.int32)
    sigma.interpolate(exact, cells0=cells)
    return sigma


def rigid_motions(body: Body, space_u: Any) -> Array:
    """Translations and infinitesimal rotations on the owned dofs, one per column, not normalised.

    A periodic body can't turn about an axis across its period. A 2D body with u_z(x, y) can be shifted along z; a tilt
    would shear it, for u_x and u_y do not depend on z.
    """
    d, count = body.dimension, space_u.dofmap.bs
    n = space_u.dofmap.index_map.size_local
    x = body.dof_coordinates(space_u)[:n]
    planes = [(0, 1)] if d == 2 else [(0, 1), (1, 2), (2, 0)]
    planes = [(i, j) for i, j in planes if i not in body.seams and j not in body.seams]
    modes = np.zeros((n, count, count + len(planes)))
    for axis in range(count):
        modes[:, axis, axis] = 1.0
    for k, (i, j) in enumerate(planes):
        modes[:, i, count + k], modes[:, j, count + k] = -x[:, j], x[:, i]
    return modes.reshape(n * count, modes.shape[-1])  # a rank may have no node


def free_motions(fields: Fields, held: Flags) -> Array:
    """Orthonormal rigid motions that the held dofs allow, on the owned dofs, shape (dofs, k)."""
    comm = fields.body.mesh.comm
    modes = rigid_motions(fields.body, fields.space_u)
    gram = comm.allreduce(modes.T @ modes)
    factor = scipy.linalg.cholesky(gram)  # upper: modes @ inv(factor) is orthonormal
    basis = scipy.linalg.solve_triangular(factor.T, modes.T, lower=True).T
    blocked = comm.allreduce(basis[held].T @ basis[held])
    values, vectors = np.linalg.eigh(blocked)
    allowed = values < 1e-12 * max(1.0, values.max())
    return np.asarray(basis @ vectors[:, allowed])


def _balanced(fields: Fields, load: Array, motions: Array) -> Array:
    """A load without resultant on the free motions."""
    comm = fields.body.mesh.comm
    resultant: Array = comm.allreduce(motions.T @ load)
    size = np.sqrt(comm.allreduce(float(load @ load)))
    if size > 0.0 and np.linalg.norm(resultant) > 0.05 * size:
        names = [n for n, b in fields.case.boundaries.items() if b.traction is not None]
        raise CaseError(
            f"boundaries.{names[0]}.traction", fields.case.boundaries[names[0]].traction,
            "the tractions are not in balance and nothing holds the body",
            "tractions whose sum and moment vanish, or a displacement or roller on some boundary",
        )  # fmt: skip
    return load - motions @ resultant


def _pins(fields: Fields, motions: Array) -> list[DirichletBC]:
    """Hold as many dofs as there are free motions; with balanced loads they carry no force.

    Candidates are the nodes furthest out along each axis; those that hold best are taken, the same on any
    number of ranks.
    """
    space, body = fields.space_u, fields.body
    comm, d, count = body.mesh.comm, body.dimension, space.dofmap.bs
    n = space.dofmap.index_map.size_local
    x = body.dof_coordinates(space)[:n, :d]
    # Of mixed signs, so that in a box they lead to six corners that are not all on one diagonal.
    directions = np.array([[1.0, 0.17, -0.05], [-0.23, 1.0, 0.11], [0.07, -0.13, 1.0]])[:d, :d]
    candidates = []
    for direction in np.concatenate([directions, -directions]):
        reach = x @ direction
        k = int(np.argmax(reach)) if n else -1
        _, owner = comm.allreduce((float(reach[k]) if n else -np.inf, comm.rank), op=MPI.MAXLOC)
        rows = motions[k * count : (k + 1) * count] if comm.rank == owner else None
        candidates.append((owner, k, comm.bcast(rows, root=owner)))
    matrix = np.concatenate([rows for _, _, rows in candidates])
    matrix *= 1.0 - 0.01 * np.arange(len(matrix))[:, None]  # of equals the first is taken, whatever the rounding
    _, _, order = scipy.linalg.qr(matrix.T, pivoting=True)
    mark = fem.Function(space)
    for row in order[: motions.shape[1]]:
        owner, k, _ = candidates[row // count]
        if owner == comm.rank:
            mark.x.array[k * count + int(row % count)] = 1.0
    mark.x.scatter_forward()  # ranks that hold a pinned dof as a ghost must know
    marked = mark.x.array.reshape(-1, count) > 0.5
    conditions: list[DirichletBC] = []
    for axis in range(count):
        dofs = (np.flatnonzero(marked[:, axis]) * count + axis).astype(np.int32)
        conditions.append(fem.dirichletbc(np.float64(0.0), dofs, space.sub(axis)))
    return conditions


def _reservoirs(fields: Fields) -> tuple[tuple[Replacement, ...], list[DirichletBC], Ints, Contacts]:
    """Chemical potentials that are fixed or to be found, fixed concentrations; where they meet, in this order."""
    body, space = fields.body, fields.space_mu
    owned = space.dofmap.index_map.size_local
    replacements: list[Replacement] = []
    conditions: list[DirichletBC] = []
    supply: list[Ints] = []
    dof_of_node = node_map(space)
    taken = np.zeros(owned, dtype=bool)
    mu_equation = fields.mu_equation
    for name, boundary in fields.case.boundaries.items():
        if boundary.chemical_potential is not None:
            dofs = fem.locate_dofs_topological(space, body.dimension - 1, body.facets(name))
            value = np.float64(boundary.chemical_potential / fields.scales.potential)
            conditions.append(fem.dirichletbc(value, dofs, space))
            supply.append(dofs[dofs < owned])
            taken[dofs[dofs < owned]] = True
    places = []
    for name, area in _contact_areas(fields).items():
        dofs = fem.locate_dofs_topological(space, body.dimension - 1, body.facets(name))
        here = dofs[dofs < owned]
        here = here[~taken[here]]
        taken[here] = True
        places.append(Place(name, here, area, float(body.mesh.comm.allreduce(area[:owned].sum()))))
    for name, boundary in fields.case.boundaries.items():
        if boundary.concentration is None:
            continue
        dofs = fem.locate_dofs_topological(space, body.dimension - 1, body.facets(name))
        dofs = dofs[dofs < owned]
        for k, (phase, c) in enumerate(fields.c.items()):
            own_node = node_map(c.function_space)
            of_mu = np.full(len(dof_of_node), -1, dtype=np.int32)
            of_mu[dof_of_node[fields.vertices[phase]]] = own_node
            here = dofs[(of_mu[dofs] >= 0) & ~taken[dofs]]
            taken[here] = True
            values = np.full(len(here), boundary.concentration)
            replacements.append(Replacement(mu_equation, 1 + k, here, of_mu[here], values))
            supply.append(here)
    rows = np.unique(np.concatenate(supply)) if supply else np.zeros(0, dtype=np.int32)
    contacts = Contacts(fields.case, fields.scales, places, body.mesh.comm)
    return tuple(replacements), conditions, rows.astype(np.int32), contacts


def _contact_areas(fields: Fields) -> dict[str, Array]:
    """Boundaries with one mu that is to be found -> area around each local dof of mu."""
    space = fields.space_mu
    names = [name for name, boundary in fields.case.boundaries.items() if boundary.source is not None]
    measures = surfaces(fields.body, {name: fields.body.facets(name) for name in names})
    out = {}
    for name in names:
        vector = fem.assemble_vector(fem.form(ufl.TestFunction(space) * measures[name]))
        vector.scatter_reverse(la.InsertMode.add)
        vector.scatter_forward()
        out[name] = np.array(vector.array)
    return out


def node_map(space: Any) -> Ints:
    """Dof of each geometry node, for a scalar linear space."""
    msh = space.mesh
    out = np.zeros(msh.geometry.x.shape[0], dtype=np.int32)
    out[msh.geometry.dofmaps[0].ravel()] = space.dofmap.list.ravel()
    return out


def influx_facets(case: Case, body: Body) -> dict[Hashable, Ints]:
    """Facets of the boundaries with a given flux, by name."""
    return {name: body.facets(name) for name, b in case.boundaries.items() if b.molar_flux is not None}


def _fluxes(fields: Fields) -> tuple[tuple[Any, Constant], ...]:
    body, unit = fields.body, fields.scales.molar_flux
    given = {n: b.molar_flux for n, b in fields.case.boundaries.items() if b.molar_flux is not None}
    # A form takes one set of integration data: free surfaces of a network bring theirs along.
    measures = surfaces(body, influx_facets(fields.case, body)) if fields.network is None else fields.network.outside
    return tuple((measures[n](degree=4), fem.Constant(body.mesh, j / unit)) for n, j in given.items())
