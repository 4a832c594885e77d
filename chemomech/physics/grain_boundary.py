"""Lithium in a network of grain boundaries, a surface (in 2D: lines) inside the body.

Every class of boundaries k has a fraction c_k of its own on its facets; mu is one continuous field, that of the grains,
so that local equilibrium is exact and at a junction fluxes balance. Boundaries hold the energy per area

    psi_k = delta_k n_k { RT [c ln c + (1-c) ln(1-c) + chi_k c (1-c)] + (mu0 + dG_k) c },

n_k being their sites per volume. Its derivative by c_k is mu; the opening delta_k n_k Omega_k (c_k - c_0) along the
normal, which enters the elastic energy of the grains, adds -Omega_k sigma_nn (opening.py). Lithium flows along with
-delta_k n_k M_k grad_s mu, M_k = D_k c (1-c)/RT; between grain and boundary it flows by itself, both being parts of one
balance. All integrals use the corners of facets. A class on the outside of the body is a free surface: the same, with
grains on one side only, and without opening.

What the grain around a node of the network takes up is left to columns (columns.py, local_equilibrium.py). With a
finite rate of exchange the boundaries have a potential m of their own and a balance of their own (exchange.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import ufl
from dolfinx import fem, la, mesh

from chemomech.case import Case
from chemomech.case.grain_boundaries import DEFAULT, GrainBoundary, resolved, table_of
from chemomech.case.grains import classes_of
from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean
from chemomech.meshing.body import Body
from chemomech.parallel import on_rank_zero
from chemomech.physics.constraints import influx_facets, node_map, surfaces
from chemomech.physics.energies import mixing_energy
from chemomech.physics.equations import Composite, Entries, Form, Unknown
from chemomech.physics.exchange import Exchange
from chemomech.physics.opening import shifts
from chemomech.physics.scales import Scales
from chemomech.typing import Array, Constant, Function, Ints, MeshTags


class Network:
    """Spaces, energy, fluxes and opening of the boundaries of a case.

    Args:
        case: The case; its grains are of one material.
        body: The body, whose mesh knows the boundaries by name.
        scales: Internal units.
        space: Continuous linear functions on the body, the space of mu.

    Attributes:
        members: Class -> names of its boundaries of the mesh.
        sides: Class -> on how many sides of it there is a grain: 2, or 1 on the outside of the body.
        outside: Measures on the outside: of classes there, ("class", name), and where a flux is given, by its name.
        laws: Class -> numbers of the boundary, SI, complete.
        c: Class -> occupied fraction, on the facets of the class.
        c_star: Class -> c* of the time integrator.
        sites: Class -> delta n, sites per area, internal units.
        tags: Facets of the network by the number of their class, from 1.
        entity_maps: Between the body and the meshes of the classes.
        vertices: Class -> geometry node of the body at each geometry node of its mesh.
        nodes: Class -> dof of ``space`` at each local dof of c.
        area: Class -> area of the facets around each local dof of c.
        contact: Local facets at which mu is given: what grains take up there the mesh need not resolve either.
        exchange: Its rate and the boundaries' own potential, None in local equilibrium.
        surface: Area of the sides of the network around each local dof of ``space``.

    Raises:
        CaseError: If the mesh has no such boundary, a free surface opens, or the body is periodic.
    """

    def __init__(self, case: Case, body: Body, scales: Scales, space: Any) -> None:
        if body.seams:
            raise CaseError(
                "grain_boundaries", None, "lithium in boundaries that go on across a periodic side is not computed",
                "a body without periodic sides",
            )  # fmt: skip
        self.body, self.scales, self.space = body, scales, space
        material = next(iter(case.used_materials.values()))
        self.reference = material.reference_potential / scales.potential
        self._sum = la.vector(space.dofmap.index_map, 1)
        self.members, self.sides = _members(case, body)
        self.laws: dict[str, GrainBoundary] = {}
        for name in self.members:
            law = resolved(case.grain_boundaries, name)
            if law.maximum_concentration is None:
                law = law.model_copy(update={"maximum_concentration": material.maximum_concentration})
            if self.sides[name] == 1:
                law = law.model_copy(update={"partial_molar_volume": 0.0})
            self.laws[name] = law
        self._facets = {
            name: np.unique(np.concatenate([body.facets(n) for n in names])) for name, names in self.members.items()
        }
        self.tags: MeshTags = self._tagged()
        msh, fdim = body.mesh, body.dimension - 1
        self.c: dict[str, Function] = {}
        self.c_star: dict[str, Function] = {}
        self.entity_maps: list[Any] = []
        self.vertices: dict[str, Ints] = {}
        self.nodes: dict[str, Ints] = {}
        of_node = node_map(space)
        for name in self.laws:
            sub, emap, _, vertices = mesh.create_submesh(msh, fdim, self._facets[name])
            own = fem.functionspace(sub, ("P", 1))
            self.entity_maps.append(emap)
            self.vertices[name] = np.asarray(vertices, dtype=np.int32)
            here = np.zeros(_local(own), dtype=np.int32)
            here[node_map(own)] = of_node[self.vertices[name]]
            self.nodes[name] = here
            self.c[name] = fem.Function(own, name=f"grain_boundary_concentration_{name}")
            self.c_star[name] = fem.Function(own)
        self._make_laws()
        dS = ufl.Measure("dS", domain=msh, subdomain_data=self.tags)
        # Another rule on the same facets breaks this one in FFCx 0.11.
        corners: dict[str, Any] = {"degree": 1, "scheme": "vertex"}
        self._facet = {name: dS(k, **corners) for k, name in enumerate(self.laws, 1)}
        outer: dict[Hashable, Ints] = {("class", n): f for n, f in self._facets.items() if self.sides[n] == 1}
        self.outside = surfaces(body, outer | influx_facets(case, body))
        self._facet |= {n: self.outside["class", n](**corners) for n, sides in self.sides.items() if sides == 1}
        self.area = {name: self._area(name) for name in self.laws}
        parts = (self.sides[name] * self.to_body(name, area) for name, area in self.area.items())
        self.surface: Array = np.asarray(sum(parts))
        rates = {name: law.exchange_rate for name, law in self.laws.items() if law.exchange_rate is not None}
        self.exchange = Exchange(space, rates, material, scales, self.surface > 0.0) if rates else None
        self._potentials: dict[str, Function] = {name: fem.Function(self.c[name].function_space) for name in rates}
        self._moved: tuple[Ints, Ints, Array] | None = None
        given = [body.facets(name) for name, b in case.boundaries.items() if b.chemical_potential is not None]
        self.contact: Ints = np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *given]))
        self.opening: Function | None = None  # its distortion of cells, as it is looked at

    def _tagged(self) -> MeshTags:
        numbers = [np.full(len(f), k, dtype=np.int32) for k, f in enumerate(self._facets.values(), 1)]
        facets, values = np.concatenate([*self._facets.values()]), np.concatenate(numbers)
        order = np.argsort(facets)
        return mesh.meshtags(self.body.mesh, self.body.dimension - 1, facets[order].astype(np.int32), values[order])

    def _make_laws(self) -> None:
        s, msh = self.scales, self.body.mesh

        def number(value: float) -> Constant:
            return fem.Constant(msh, float(value))

        self.sites: dict[str, float] = {}
        self._sites, self._interaction, self._gain, self._diffusivity = {}, {}, {}, {}
        for name, law in self.laws.items():
            width, c_max, gain = law.width or 0.0, law.maximum_concentration or 0.0, law.segregation_energy or 0.0
            self.sites[name] = width / s.length * c_max / s.concentration
            self._sites[name] = number(self.sites[name])
            self._interaction[name] = number(law.interaction or 0.0)
            self._gain[name] = number(self.reference + gain / s.potential)
            self._diffusivity[name] = number((law.diffusivity or 0.0) / s.diffusivity)

    def _on(self, name: str, value: Any) -> Any:
        """A quantity on the facets of a class, of one side where there are two."""
        return value("+") if self.sides[name] == 2 else value

    def _area(self, name: str) -> Array:
        r = ufl.TestFunction(self.c[name].function_space)
        vector = fem.assemble_vector(fem.form(self._on(name, r) * self._facet[name], entity_maps=self.entity_maps))
        vector.scatter_reverse(la.InsertMode.add)
        vector.scatter_forward()
        return np.array(vector.array)

    # -- equations ---------------------------------------------------------------------------------

    def energy(self) -> Form:
        """Energy of the boundaries without what opening does to the grains."""
        form = 0
        for name, function in self.c.items():
            c, sites = self._on(name, function), self._sites[name]
            form += sites * mixing_energy(c, self._interaction[name]) * self._facet[name]
            form += sites * self._gain[name] * c * self._facet[name]
        return form

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return len(self.c) + (self.exchange is not None)

    def potential(self, mu: Function) -> Function:
        """The potential that boundaries are in equilibrium with: that of the grains, or their own."""
        return mu if self.exchange is None else self.exchange.potential

    def equations(self, energy: Form, mu: Function, step: Constant) -> Iterator[tuple[Form, Unknown]]:
        """Residuals and unknowns: the classes, then the potential of the boundaries if they have one."""
        for name, c in self.c.items():
            yield self.equilibrium(name, energy, self.potential(mu)), Unknown(c.name, c, bounds=(0.0, 1.0))
        if self.exchange is not None:
            own = self.exchange.potential
            q = ufl.TestFunction(own.function_space)
            yield self.balance(own, q, step) + self.outflow(mu, q, step), self.exchange.unknown

    def share(self, mu: Function, q: Any, step: Constant) -> Form:
        """What the balance of the grains has of the boundaries: theirs, or what they hand over."""
        return self.balance(mu, q, step) if self.exchange is None else -self.outflow(mu, q, step)

    def potentials(self) -> dict[str, Function]:
        """Class -> its potential on its facets, J/mol; empty in local equilibrium. The same functions each time."""
        if self.exchange is not None:
            m = self.exchange.potential.x.array * self.scales.potential
            for name, function in self._potentials.items():
                function.x.array[:] = m[self.nodes[name]]
        return self._potentials

    def outflow(self, mu: Function, q: Any, step: Constant) -> Form:
        """g int J q over both sides of all boundaries."""
        form = 0
        if self.exchange is not None:
            for name, sides in self.sides.items():
                here, own = self._on(name, mu), self._on(name, self.exchange.potential)
                flow = self.exchange.outflow(name, here, own)
                form += float(sides) * step * flow * self._on(name, q) * self._facet[name]
        return form

    def equilibrium(self, name: str, energy: Form, mu: Function) -> Form:
        """d energy/d c_k less the potential that the boundaries are in equilibrium with."""
        r = ufl.TestFunction(self.c[name].function_space)
        balance = self._sites[name] * self._on(name, mu) * self._on(name, r) * self._facet[name]
        return ufl.derivative(energy, self.c[name], r) - balance

    def balance(self, mu: Function, q: Any, step: Constant) -> Form:
        """int delta n (c_k - c_k*) q + g int delta n M_k grad_s mu . grad_s q, over all boundaries."""
        form = 0

        def along(name: str, w: Any) -> Any:
            slope, normal = self._on(name, ufl.grad(w)), self._on(name, ufl.FacetNormal(self.body.mesh))
            return slope - ufl.dot(slope, normal) * normal

        for name, function in self.c.items():
            c, here, sites, dS = self._on(name, function), self._on(name, q), self._sites[name], self._facet[name]
            form += sites * c * here * dS
            form += -sites * self._on(name, self.c_star[name]) * here * dS
            flux = sites * self._diffusivity[name] * c * (1.0 - c) * along(name, mu)
            form += step * ufl.dot(flux, along(name, q)) * dS
        return form

    # -- numbers -----------------------------------------------------------------------------------

    def to_body(self, name: str, values: Array) -> Array:
        """Values at the owned dofs of a class, on all local dofs of the body; zero off the class. Collective."""
        owned = self.c[name].function_space.dofmap.index_map.size_local
        work = self._sum
        work.array[:] = 0.0
        work.array[self.nodes[name][:owned]] = values[:owned]
        work.scatter_reverse(la.InsertMode.add)
        work.scatter_forward()
        return np.array(work.array)

    def amounts(self) -> dict[str, float]:
        """Lithium per class, internal units. Collective."""
        return {name: self.sites[name] * self._integral(name, c.x.array) for name, c in self.c.items()}

    def site_amounts(self) -> dict[str, float]:
        """Sites per class, internal units. Collective."""
        return {n: self.sites[n] * self._integral(n, np.ones_like(c.x.array)) for n, c in self.c.items()}

    def means(self) -> dict[str, float]:
        """Mean fraction per class. Collective."""
        sites = self.site_amounts()
        return {name: amount / sites[name] for name, amount in self.amounts().items()}

    def _integral(self, name: str, values: Array) -> float:
        n = self.c[name].function_space.dofmap.index_map.size_local
        return float(self.body.mesh.comm.allreduce(float(self.area[name][:n] @ values[:n])))

    def room(self) -> float:
        """int delta n c (1 - c) over all boundaries (local part)."""
        total = 0.0
        for name, c in self.c.items():
            n = c.function_space.dofmap.index_map.size_local
            total += self.sites[name] * float(self.area[name][:n] @ (c.x.array * (1.0 - c.x.array))[:n])
        return total

    # -- opening -----------------------------------------------------------------------------------

    def openings(self) -> dict[str, float]:
        """Opening per fraction of the classes that open, internal units of length."""
        s = self.scales
        per = {n: (law.partial_molar_volume or 0.0) * s.concentration * self.sites[n] for n, law in self.laws.items()}
        return {name: value for name, value in per.items() if value != 0.0}

    def composite(self, distortion: Function, force: Form, first: int, offsets: dict[str, Array]) -> Composite | None:
        """The distortion by opening as a linear function of c_k; None if no class opens. Collective.

        Args:
            distortion: What it adds to.
            force: Derivative of the energy by it.
            first: Number of the unknown of the first class.
            offsets: Class -> c_0 at its owned dofs.
        """
        openings = self.openings()
        if not openings:
            return None
        cells, corners, per_unit = self._moved = self._shifts(list(openings))
        d = self.body.dimension
        dofs = self.space.dofmap.list[cells, corners]
        slopes = _slopes(self.body.mesh.geometry.x[self.body.mesh.geometry.dofmaps[0][cells]][:, :, :d])
        slope = slopes[np.arange(len(cells)), corners]
        names = list(self.laws)
        maps, starts = {}, {}
        for k, (name, size) in enumerate(openings.items()):
            index_map = self.c[name].function_space.dofmap.index_map
            owned = np.arange(*index_map.local_range, dtype=float) + 1.0
            column = self.to_body(name, owned)[dofs] - 1.0
            on = column >= 0.0
            values = np.zeros((int(on.sum()), 3, 3))
            values[:, :d, :d] = size * np.einsum("ci,cj->cij", per_unit[on, k], slope[on])
            rows = 9 * cells[on].astype(np.int64)[:, None] + np.arange(9)
            columns = np.repeat(column[on].astype(np.int64), 9)
            j = first + names.index(name)
            maps[j] = Entries(rows.ravel(), columns, values.ravel())
            starts[j] = offsets[name][: index_map.size_local]
        self.opening = fem.Function(distortion.function_space)
        return Composite(distortion, force, maps, starts, np.unique(cells).astype(np.int32))

    def opening_loads(self, tractions: Array | None, first: int) -> dict[int, Array]:
        """Work of the tractions per fraction of a class: where a boundary ends on the outside its sides move.

        Args:
            tractions: int t N ds for the corners of the local cells (`constraints.corner_tractions`).
            first: Number of the unknown of the first class.

        Returns:
            Number of the unknown -> work at its owned dofs, internal units. Collective.
        """
        if self._moved is None or tractions is None:
            return {}
        cells, corners, per_unit = self._moved
        dofs = self.space.dofmap.list[cells, corners]
        pull = tractions[cells, corners, : self.body.dimension]
        out, work, names = {}, self._sum, list(self.laws)
        for k, (name, size) in enumerate(self.openings().items()):
            work.array[:] = 0.0
            np.add.at(work.array, dofs, size * np.einsum("ci,ci->c", per_unit[:, k], pull))
            work.scatter_reverse(la.InsertMode.add)
            work.scatter_forward()
            owned = self.c[name].function_space.dofmap.index_map.size_local
            out[first + names.index(name)] = np.array(work.array[self.nodes[name][:owned]])
        return out

    def _shifts(self, names: list[str]) -> tuple[Ints, Ints, Array]:
        """Owned cells, their local corners and the shift per opening of each class there, (k, classes, d)."""
        body, comm = self.body, self.body.mesh.comm
        kinds = {member: k for k, name in enumerate(names) for member in self.members[name]}

        def made() -> tuple[Any, ...]:
            arrays = body.source
            if arrays is None:
                raise RuntimeError("the mesh of the body is not at hand")
            of_tag = np.full(max(arrays.boundaries.values()) + 1, -1, dtype=np.int32)
            for member, k in kinds.items():
                of_tag[arrays.boundaries[member]] = k
            kind = of_tag[arrays.facet_tags]
            d = arrays.dimension
            found = shifts(arrays.points[:, :d], arrays.cells, arrays.facets[kind >= 0], kind[kind >= 0], len(names))
            return found.cells, arrays.cells[found.cells, found.corners], found.shift

        cell, node, shift = on_rank_zero(comm, made)
        msh = body.mesh
        n = msh.topology.index_map(body.dimension).size_local
        own = np.asarray(msh.topology.original_cell_index, dtype=np.int64)[:n]
        order = np.argsort(own)
        at = np.minimum(np.searchsorted(own, cell, sorter=order), max(n - 1, 0))
        local = order[at] if n else np.zeros(len(cell), dtype=np.int64)
        mine = (own[local] == cell) if n else np.zeros(len(cell), dtype=bool)
        local, node, shift = local[mine], node[mine], shift[mine]
        numbers = np.asarray(msh.geometry.input_global_indices, dtype=np.int64)[msh.geometry.dofmaps[0][local]]
        corner = np.argmax(numbers == node[:, None], axis=1)
        return local.astype(np.int32), corner.astype(np.int32), shift


def _members(case: Case, body: Body) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Class -> its boundaries of the mesh, and class -> its number of sides. Collective."""
    tables = case.grain_boundaries
    members: dict[str, list[str]] = {}
    sides = {name: _sides(body, name) for name in body.boundaries}
    sides = {name: count for name, count in sides.items() if count}
    for name, count in sides.items():
        table = table_of(name, tables)
        if table is None and count == 2 and DEFAULT in tables and resolved(tables, DEFAULT).diffusivity is not None:
            table = DEFAULT
        if table is not None:
            members.setdefault(table, []).append(name)
    for table in tables:
        key = f"grain_boundaries.{table}"
        mine = members.get(table, [])
        # A class of grains that happens not to occur is no error.
        if not mine and table not in (DEFAULT, *classes_of(case.domain)):
            known = [n for n, count in sides.items() if count == 2]
            raise CaseError(
                key, None, f"the mesh has no boundary of this name{did_you_mean(table, sides)}",
                f"between grains {', '.join(known) or 'there are none'}; free surfaces "
                f"{', '.join(n for n, count in sides.items() if count == 1) or 'there are none'}",
            )  # fmt: skip
        if len({sides[name] for name in mine}) > 1 or any(sides[name] < 0 for name in mine):
            raise CaseError(
                key, None, f"a part of {', '.join(mine)} lies inside the body and a part on its outside",
                "a table for boundaries between grains and one for free surfaces",
            )  # fmt: skip
        if mine and sides[mine[0]] == 1 and tables[table].partial_molar_volume:
            raise CaseError(
                f"{key}.partial_molar_volume", tables[table].partial_molar_volume,
                f"'{mine[0]}' lies on the outside of the body, and a free surface does not open", "0",
            )  # fmt: skip
    if not members:
        raise CaseError("grain_boundaries", None, "the mesh has no named boundaries between grains", "another mesh")
    return {n: members[n] for n in tables if n in members}, {n: sides[members[n][0]] for n in tables if n in members}


def _sides(body: Body, name: str) -> int:
    """On how many sides of a named boundary the body is: 2 or 1; -1 if that differs, 0 without facets. Collective."""
    facets = body.facets(name)
    owned = facets[facets < body.mesh.topology.index_map(body.dimension - 1).size_local]
    outer = np.isin(owned, mesh.exterior_facet_indices(body.mesh.topology))
    count: Array = body.mesh.comm.allreduce(np.array([len(owned), int(outer.sum())]))
    if 0 < count[1] < count[0]:
        return -1
    return 0 if count[0] == 0 else 2 if count[1] == 0 else 1


def _local(space: Any) -> int:
    index_map = space.dofmap.index_map
    return int(index_map.size_local + index_map.num_ghosts)


def _slopes(corners: Array) -> Array:
    """grad N of all corners of simplices (n, d + 1, d)."""
    inverse = np.linalg.inv(corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
    return np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
