"""Lithium in a network of grain boundaries, a surface (in 2D: lines) inside the body.

Every class of boundaries k has a fraction c_k of its own on its facets; mu is one continuous field, that of the grains,
so that local equilibrium is exact and at a junction fluxes balance. Boundaries hold the energy per area

    psi_k = delta_k n_k { RT [c ln c + (1-c) ln(1-c) + chi_k c (1-c)] + (mu0 + dG_k) c },

n_k being their sites per volume. Its derivative by c_k is mu; the opening delta_k n_k Omega_k (c_k - c_0) along the
normal, which enters the elastic energy of the grains, adds -Omega_k sigma_nn (opening.py). Lithium flows along with
-delta_k n_k M_k grad_s mu, M_k = D_k c (1-c)/RT; between grain and boundary it flows by itself, both being parts of one
balance. All integrals use the corners of facets.

What the grain around a node of the network takes up is left to columns (columns.py, local_equilibrium.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem, la, mesh

from chemomech.case import Case
from chemomech.case.grain_boundaries import DEFAULT, GrainBoundary, resolved, table_of
from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean
from chemomech.meshing.body import Body
from chemomech.parallel import on_rank_zero
from chemomech.physics.constraints import node_map
from chemomech.physics.energies import mixing_energy
from chemomech.physics.equations import Composite, Entries, Form
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
        laws: Class -> numbers of the boundary, SI, complete.
        c: Class -> occupied fraction, on the facets of the class.
        c_star: Class -> c* of the time integrator.
        sites: Class -> delta n, sites per area, internal units.
        tags: Facets of the network by the number of their class, from 1.
        entity_maps: Between the body and the meshes of the classes.
        vertices: Class -> geometry node of the body at each geometry node of its mesh.
        nodes: Class -> dof of ``space`` at each local dof of c.
        area: Class -> area of the facets around each local dof of c.

    Raises:
        CaseError: If the mesh has no such boundary, or one on its outside, or the body is periodic.
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
        self.members = _members(case, body)
        self.laws: dict[str, GrainBoundary] = {}
        for name in self.members:
            law = resolved(case.grain_boundaries, name)
            if law.maximum_concentration is None:
                law = law.model_copy(update={"maximum_concentration": material.maximum_concentration})
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
        self._facet = {name: dS(k, degree=1, scheme="vertex") for k, name in enumerate(self.laws, 1)}
        self.area = {name: self._area(name) for name in self.laws}
        self._moved: tuple[Ints, Ints, Array] | None = None
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

    def _area(self, name: str) -> Array:
        r = ufl.TestFunction(self.c[name].function_space)
        vector = fem.assemble_vector(fem.form(r("+") * self._facet[name], entity_maps=self.entity_maps))
        vector.scatter_reverse(la.InsertMode.add)
        vector.scatter_forward()
        return np.array(vector.array)

    # -- equations ---------------------------------------------------------------------------------

    def energy(self) -> Form:
        """Energy of the boundaries without what opening does to the grains."""
        form = 0
        for name, function in self.c.items():
            c, sites = function("+"), self._sites[name]
            form += sites * mixing_energy(c, self._interaction[name]) * self._facet[name]
            form += sites * self._gain[name] * c * self._facet[name]
        return form

    def equilibrium(self, name: str, energy: Form, mu: Function) -> Form:
        """d energy/d c_k less the mu of the grains."""
        r = ufl.TestFunction(self.c[name].function_space)
        balance = self._sites[name] * mu("+") * r("+") * self._facet[name]
        return ufl.derivative(energy, self.c[name], r) - balance

    def balance(self, mu: Function, q: Any, step: Constant) -> Form:
        """int delta n (c_k - c_k*) q + g int delta n M_k grad_s mu . grad_s q, over all boundaries."""
        form = 0
        normal = ufl.FacetNormal(self.body.mesh)("+")

        def along(w: Any) -> Any:
            slope = ufl.grad(w)("+")
            return slope - ufl.dot(slope, normal) * normal

        for name, function in self.c.items():
            c, sites, dS = function("+"), self._sites[name], self._facet[name]
            form += sites * c * q("+") * dS
            form += -sites * self.c_star[name]("+") * q("+") * dS
            flux = sites * self._diffusivity[name] * c * (1.0 - c) * along(mu)
            form += step * ufl.dot(flux, along(q)) * dS
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


def _members(case: Case, body: Body) -> dict[str, list[str]]:
    """Class -> its boundaries of the mesh. Collective."""
    tables = case.grain_boundaries
    members: dict[str, list[str]] = {}
    inside = {name: _inside(body, name) for name in body.boundaries}
    for name, within in inside.items():
        table = table_of(name, tables)
        if table is None and within and DEFAULT in tables and resolved(tables, DEFAULT).diffusivity is not None:
            table = DEFAULT
        elif table is not None and not within:
            raise CaseError(
                f"grain_boundaries.{table}", None, f"the boundary '{name}' lies on the outside of the body",
                f"one of those inside: {', '.join(n for n, yes in inside.items() if yes) or 'there are none'}",
            )  # fmt: skip
        if table is not None:
            members.setdefault(table, []).append(name)
    for table in tables:
        if table not in members and table != DEFAULT:
            known = [n for n, yes in inside.items() if yes]
            raise CaseError(
                f"grain_boundaries.{table}", None,
                f"the mesh has no boundary of this name between grains{did_you_mean(table, known)}",
                f"{', '.join(known) or 'none: there are no facets with names inside the body'}",
            )  # fmt: skip
    if not members:
        raise CaseError("grain_boundaries", None, "the mesh has no named boundaries between grains", "another mesh")
    return {name: members[name] for name in tables if name in members}


def _inside(body: Body, name: str) -> bool:
    """Whether a named boundary has facets and all lie inside the body. Collective."""
    facets = body.facets(name)
    owned = facets[facets < body.mesh.topology.index_map(body.dimension - 1).size_local]
    outer = np.isin(owned, mesh.exterior_facet_indices(body.mesh.topology))
    count: Array = body.mesh.comm.allreduce(np.array([len(owned), int(outer.sum())]))
    return bool(count[0] > 0 and count[1] == 0)


def _local(space: Any) -> int:
    index_map = space.dofmap.index_map
    return int(index_map.size_local + index_map.num_ghosts)


def _slopes(corners: Array) -> Array:
    """grad N of all corners of simplices (n, d + 1, d)."""
    inverse = np.linalg.inv(corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
    return np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
