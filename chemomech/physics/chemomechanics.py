"""Lithium, stress and dislocations in a body: the mixed (u, c, mu) problem.

Weak form (paper 004, eqs 16-18, corrected as in docs/theory.md), with psi from energies.py, for all v, r, q:

    int d psi/d e : sym grad v                       = int t . v ds            (equation of u)
    int (d psi/d c) r - int c_m mu r                 = 0                       (equation of c)
    int c_m (c - c*) q - g int J . grad q            = g int J_in q ds         (equation of mu)

c* and g are the time integrator's: backward Euler has c* = c_n and g = dt. The chemical energy and the storage
use the corners of the cells as quadrature points: they are then diagonal, c stays inside (0, 1), and lithium is
conserved to rounding. The elastic energy and the flux are integrated exactly (degree 2): corner quadrature
there would act as a gradient energy of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, la, mesh

from chemomech.case import Case
from chemomech.defects.dislocations import cell_distortion, lift, lines
from chemomech.defects.simplex import Simplices
from chemomech.expressions import evaluate
from chemomech.materials.laws import Material
from chemomech.materials.orientation import average_moduli, chemical_stiffness, strain_vector
from chemomech.meshing.body import Body
from chemomech.parallel import global_max
from chemomech.physics import energies
from chemomech.physics.constraints import Constraints, constrain, corner_tractions, extent, node_map
from chemomech.physics.crystals import Crystals, components, crystals, plane_stiffness
from chemomech.physics.energies import PhaseLaw
from chemomech.physics.equations import Composite, Equations, Form, Unknown
from chemomech.physics.grain_boundary import Network
from chemomech.physics.local_equilibrium import Grain, LocalEquilibrium
from chemomech.physics.scales import Scales
from chemomech.typing import Array, Constant, DirichletBC, Function, Ints, Mesh


def scales_of(case: Case, length: float) -> Scales:
    """Internal units of a case whose meshes are in units of ``length`` metres."""
    materials = case.materials.values()
    return Scales(
        length=length,
        concentration=max(m.maximum_concentration for m in materials),
        diffusivity=max(m.diffusivity for m in materials),
        temperature=case.temperature,
    )


class ChemoMechanics:
    """Spaces, coefficients, energy and equations of one case on one body.

    Attributes:
        lines: Dislocations of the case, and their images in bodies with planes of symmetry.
        site_amount: Lithium sites of the body, internal units.
        crystals: What the cells of each phase are made of.
        u: Displacement, less ``lift``; in 2D with a third component where crystals need it (physics/crystals.py).
        lift: Part of the displacement that is known beforehand (see defects.dislocations.lift).
        distortion: beta_D, the distortion that dislocations bring beforehand, its mean in every cell, (3, 3).
        c: Occupied fraction per phase, each on the cells of its phase; it may jump where phases meet.
        mu: Chemical potential (continuous), or the number shared by a closed body in equilibrium.
        step: g, the weight of the flux in the balance.
        c_star: c* per phase.
        network: Grain boundaries that hold lithium, if there are any, and ``local`` what belongs to their nodes.
        stars: Name of a function of the state -> where its c* is kept.
    """

    def __init__(self, case: Case, body: Body, scales: Scales) -> None:
        self.case, self.body, self.scales = case, body, scales
        msh, d = body.mesh, body.dimension
        self._weights: dict[str, Array] = {}
        self.phases = tuple(sorted(body.phases, key=body.phases.__getitem__))
        self.materials: dict[str, Material] = {p: case.materials[p] for p in self.phases}
        self.lines = lines(case, np.array(extent(body)) * body.length)
        # That of the medium whose dislocations are known in closed form; any other would do.
        moduli = average_moduli(self.materials[self.phases[0]].elasticity)
        self.poissons_ratio = (3.0 * moduli.bulk - 2.0 * moduli.shear) / (6.0 * moduli.bulk + 2.0 * moduli.shear)
        single = len(self.phases) == 1

        element = basix.ufl.element("P", msh.basix_cell(), 1)
        self.crystals: dict[str, Crystals] = {p: crystals(case, body, p) for p in self.phases}
        self.space_u = fem.functionspace(msh, ("P", 1, (components(case, body, self.crystals),)))
        self.space_mu = fem.functionspace(msh, element)
        self.submeshes: dict[str, Mesh] = {}
        self.entity_maps: list[Any] = []
        self.vertices: dict[str, Ints] = {}
        spaces_c = {}
        for phase in self.phases:
            if single:
                sub, emap = msh, None
                nodes = np.arange(msh.geometry.x.shape[0], dtype=np.int32)
            else:
                sub, emap, _, nodes = mesh.create_submesh(msh, d, body.cell_tags.find(body.phases[phase]))
                self.entity_maps.append(emap)
            self.submeshes[phase] = sub
            self.vertices[phase] = np.asarray(nodes, dtype=np.int32)
            spaces_c[phase] = fem.functionspace(sub, element)
        if single:
            spaces_c[self.phases[0]] = self.space_mu.clone()

        self.u: Function = fem.Function(self.space_u, name="displacement")
        names = {p: "concentration" if single else f"concentration_{p}" for p in self.phases}
        self.c: dict[str, Function] = {p: fem.Function(spaces_c[p], name=names[p]) for p in self.phases}
        self.c_star: dict[str, Function] = {p: fem.Function(spaces_c[p]) for p in self.phases}
        self.step: Constant = fem.Constant(msh, 1.0)

        # One number for mu in a closed body at rest, a given one in an open body, a field otherwise.
        self.closed_equilibrium = self.open_equilibrium = False
        if case.mode == "equilibrium":
            reservoir = case.equilibrium
            self.open_equilibrium = (reservoir.chemical_potential, reservoir.concentration) != (None, None)
            self.closed_equilibrium = not self.open_equilibrium
        self.mu: Function
        if self.closed_equilibrium:
            self.space_lambda = fem.functionspace(msh, basix.ufl.real_element(msh.basix_cell(), ()))
            self.mu = fem.Function(self.space_lambda, name="chemical_potential")
        else:
            self.mu = fem.Function(self.space_mu, name="chemical_potential")

        self.distortion: Function = fem.Function(fem.functionspace(msh, ("DG", 0, (3, 3))))
        self.lift: Function = fem.Function(self.space_u)
        self._fill_cells()
        self.laws = {p: self._law(p) for p in self.phases}
        self.network = Network(case, body, scales, self.space_mu) if case.grain_boundaries else None
        if self.network is not None:
            self.entity_maps += self.network.entity_maps

        dx = ufl.Measure("dx", domain=msh, subdomain_data=None if single else body.cell_tags)
        self._whole = single
        self._dx_corner = dx(degree=1, scheme="vertex")
        self._dx_flux = dx(degree=2)
        self.constraints: Constraints = constrain(self)
        self.local = None if self.network is None else self._local(self.network)
        self.stars = {c.name: self.c_star[p] for p, c in self.c.items()}
        if self.network is not None and self.local is not None:
            self.stars |= {c.name: self.network.c_star[n] for n, c in self.network.c.items()}
            self.stars[self.local.columns.name] = self.local.columns_star
        self.equations = self._equations()
        self.site_amount = self._site_amount()
        self._energy = fem.form(self.energy(self.beta), entity_maps=self.entity_maps or None)

    # -- coefficients ------------------------------------------------------------------------------

    def _fill_cells(self) -> None:
        body = self.body
        cells = Simplices(body.points(), np.asarray(body.mesh.geometry.dofmaps[0]))
        out = self.distortion.x.array.reshape(-1, 3, 3)
        cell_distortion(self.lines, cells, self.poissons_ratio, self.case.plane, out=out)
        self.lift.x.array[:] = self.lift_at(body.dof_coordinates(self.space_u) * self.scales.length).ravel()

    def stiffness(self, phase: str) -> Array:
        """C of the problem that is solved, one per row of ``crystals[phase]``, internal units, shape (k, 6, 6)."""
        held = plane_stiffness(self.crystals[phase].stiffness, self.case.plane, self.body.dimension)
        return held / self.scales.stress

    def lift_at(self, points: Array) -> Array:
        """The known part of the displacement at points (n, 3) in m, internal units, a column per component."""
        known = lift(self.lines, self.poissons_ratio, self.case.plane, points)
        return np.asarray(known[:, : self.space_u.dofmap.bs] / self.scales.length)

    def _law(self, phase: str) -> PhaseLaw:
        material, s, msh = self.materials[phase], self.scales, self.body.mesh
        crystal = self.crystals[phase]

        def number(value: float | Array) -> Constant:
            return fem.Constant(msh, np.asarray(value, dtype=float))

        def tensor(values: Array, varies: bool) -> Constant | Function:
            if not varies:
                return number(values[0])
            field: Function = fem.Function(fem.functionspace(msh, ("DG", 0, values.shape[1:])))
            field.x.array.reshape(-1, *values.shape[1:])[crystal.cells] = values[crystal.row]
            return field

        return PhaseLaw(
            sites=number(material.maximum_concentration / s.concentration),
            interaction=number(material.interaction),
            reference_potential=number(material.reference_potential / s.potential),
            reference_concentration=number(material.reference_concentration),
            expansion=tensor(crystal.expansion, crystal.directed[0]),
            eigenstrain=tensor(crystal.eigenstrain, crystal.directed[1]),
            gradient_energy=number(material.gradient_energy / s.gradient_energy),
            has_gradient_energy=material.gradient_energy > 0.0,
            diffusivity=number(material.diffusivity / s.diffusivity),
            homologous=material.homologous_law(self.case.temperature, number),
            mobility=material.mobility,
            stiffening=number(chemical_stiffness(material) / s.potential),
            stiffness=tensor(self.stiffness(phase), crystal.grains),
        )

    def corner(self, phase: str) -> Any:
        """Measure over the cells of a phase with the corners as quadrature points."""
        return self._dx_corner if self._whole else self._dx_corner(self.body.phases[phase])

    def inner(self, phase: str) -> Any:
        """Measure over the cells of a phase, exact for quadratic integrands."""
        return self._dx_flux if self._whole else self._dx_flux(self.body.phases[phase])

    # -- equations ---------------------------------------------------------------------------------

    @property
    def mu_equation(self) -> int:
        """Number of the unknown mu and its equation."""
        return 1 + len(self.c) + (0 if self.network is None else self.network.size)

    @property
    def beta(self) -> Any:
        """Distortion without the slip of dislocations and the opening of boundaries: grad u + beta_D, (3, 3)."""
        known = energies.gradient(self.u) + self.distortion
        return known if self.network is None or self.network.opening is None else known + self.network.opening

    def energy(self, beta: Any) -> Form:
        """Free energy of the body, without the loads and the mixing in columns at grain boundaries.

        Args:
            beta: The distortion; in the equations grad u + beta_D, as the opening of boundaries enters by itself.
        """
        form = 0
        for p in self.phases:
            c, law = self.c[p], self.laws[p]
            if self.local is None:
                form += energies.chemical_energy(c, law) * self.corner(p)
            else:
                mixing = law.sites * energies.mixing_energy(c, law.interaction)
                form += self.local.inner * mixing * self.corner(p)
                form += law.sites * law.reference_potential * c * self.corner(p)
            elastic = energies.elastic_energy(energies.elastic_strain(beta, c, law), law.stiffness)
            form += elastic * self.inner(p)
            if law.has_gradient_energy:
                form += energies.gradient_energy(c, law) * self.inner(p)
        return form if self.network is None else form + self.network.energy()

    def _local(self, network: Network) -> LocalEquilibrium:
        phase, s = self.phases[0], self.scales
        grain = Grain.of(self.materials[phase], s, self.c[phase], self.mu, self.corner(phase), self.step)
        return LocalEquilibrium(network, grain, self.constraints, (self.case.time.end or 0.0) / s.time)

    def _composite(self, network: Network, local: LocalEquilibrium, psi: Form) -> Composite | None:
        """What the opening of boundaries does to the grains, reckoned from the state at t = 0."""
        for p, values in self.initial_concentration().items():
            self.c[p].x.array[:] = values
        force = ufl.derivative(psi, self.distortion, ufl.TestFunction(self.distortion.function_space))
        force = ufl.algorithms.expand_derivatives(force)
        return network.composite(self.distortion, force, 1 + len(self.c), local.initial())

    def _equations(self) -> Equations:
        v = ufl.TestFunction(self.space_u)
        psi = self.energy(energies.gradient(self.u) + self.distortion)
        residuals = [ufl.derivative(psi, self.u, v)]
        unknowns = [Unknown("displacement", self.u, size=self._displacement_size())]
        for p in self.phases:
            r = ufl.TestFunction(self.c[p].function_space)
            residuals.append(ufl.derivative(psi, self.c[p], r) - self.laws[p].sites * self.mu * r * self.corner(p))
            if self.local is not None:
                residuals[-1] += self.laws[p].sites * self.local.column_term(r) * self.corner(p)
            unknowns.append(Unknown(self.c[p].name, self.c[p], bounds=(0.0, 1.0)))
        changing: list[Any] = [self.step, *self.c_star.values(), *((self.mu,) if self.open_equilibrium else ())]
        more: dict[str, Any] = {}
        if self.network is not None and self.local is not None:
            for residual, unknown in self.network.equations(psi, self.mu, self.step):
                residuals.append(residual)
                unknowns.append(unknown)
            changing += [*self.network.c_star.values(), *self.local.changing]
            more = {
                "followers": self.local.followers,
                "follow": self.local.follow,
                "eliminate": self.local.eliminate,
                "sizes": {(self.mu_equation, 1): self.local.contents()},
                "composite": self._composite(self.network, self.local, psi),
            }
        if not self.open_equilibrium:
            residuals.append(self.balance())
            unknowns.append(Unknown("chemical_potential", self.mu))
        loads: list[Array | None] = [None] * len(unknowns)
        loads[0] = self.constraints.load
        for k, load in ({} if self.network is None else self.network.opening_loads(corner_tractions(self), 2)).items():
            loads[k] = load
        dirichlet: list[tuple[DirichletBC, ...]] = [()] * len(unknowns)
        dirichlet[0] = self.constraints.displacement
        supply: dict[int, Ints] = {}
        if not self.open_equilibrium:
            dirichlet[-1], supply[self.mu_equation] = self.constraints.potential, self.constraints.supply
        if self.network is not None and self.network.exchange is not None:
            dirichlet[-2], supply[self.mu_equation - 1] = self.network.exchange.held(self.constraints.potential)
        return Equations(
            unknowns=tuple(unknowns),
            residuals=tuple(residuals),
            changing=tuple(changing),
            entity_maps=self.entity_maps or None,
            dirichlet=tuple(dirichlet),
            supply=supply,
            replacements=self.constraints.replacements,
            contacts=self.constraints.contacts.rows,
            loads=tuple(loads),
            **more,
        )

    def _displacement_size(self) -> float:
        """Burgers vectors, openings, swelling and misfit over a unit of length: displacements that are not small."""
        slips = [line.burgers / self.scales.length for line in self.lines]
        tensors = [t for crystal in self.crystals.values() for t in (crystal.expansion, crystal.eigenstrain)]
        strains = [global_max(self.body.mesh.comm, float(np.max(np.abs(t), initial=0.0))) for t in tensors]
        openings = [] if self.network is None else [abs(size) for size in self.network.openings().values()]
        return max([*slips, *strains, *openings]) or 1e-12

    def balance(self) -> Form:
        """int c_m (c - c*) q - g int J . grad q - g int J_in q ds."""
        q = ufl.TestFunction(self.mu.function_space)
        form = 0
        for p in self.phases:
            law, c = self.laws[p], self.c[p]
            if self.closed_equilibrium:
                # One row sums up the body: the small difference must be taken before the sum.
                form += law.sites * (c - self.c_star[p]) * q * self.corner(p)
            else:
                form += law.sites * c * q * self.corner(p)
                form += -law.sites * self.c_star[p] * q * self.corner(p)
            if not self.closed_equilibrium:
                from_c, from_mu = (c, self.mu) if self.local is None else (self.local.flux_c, self.local.flux_mu)
                flux = energies.lithium_flux(from_c, from_mu, law)
                form += -self.step * ufl.inner(flux, ufl.grad(q)) * self.inner(p)
        for measure, influx in self.constraints.influx:
            form += -self.step * influx * q * measure
        return form if self.network is None else form + self.network.share(self.mu, q, self.step)

    def weights(self, phase: str) -> Array:
        """Volume of each owned node of a phase, int r dV with corner quadrature."""
        if phase not in self._weights:
            self._weights[phase] = self._nodal_integral(phase, 1.0)
        return self._weights[phase]

    def _nodal_integral(self, phase: str, factor: Form) -> Array:
        space = self.c[phase].function_space
        form = fem.form(factor * ufl.TestFunction(space) * self.corner(phase), entity_maps=self.entity_maps or None)
        vector = fem.assemble_vector(form)
        vector.scatter_reverse(la.InsertMode.add)
        return np.array(vector.array[: space.dofmap.index_map.size_local])

    def relief(self, phase: str) -> Array:
        """What to take off the diagonal of the c block so that it stands for a relaxed body, per owned node.

        The elastic part of the block is e:C:e times the mass matrix (e the eigenstrain per unit of c), of which
        the diagonal holds 2/(d + 2). A body relaxes around a concentration wave along the axis k until
        sigma_kk = 0, which leaves e:C:e - (C e)_kk^2/C_kkkk; the mean over the axes is taken.
        """
        d, crystal = self.body.dimension, self.crystals[phase]
        matrices = self.stiffness(phase)
        e = strain_vector(crystal.expansion)
        stress = (matrices @ e[:, :, None])[:, :, 0]
        clamped = np.sum(e * stress, axis=1)
        along = np.arange(d)
        relaxed = clamped - np.mean(stress[:, :d] ** 2 / matrices[:, along, along], axis=1)
        values = 2.0 / (d + 2.0) * clamped - relaxed
        if not crystal.grains:
            return np.asarray(values[0] * self.weights(phase))
        field = fem.Function(fem.functionspace(self.body.mesh, ("DG", 0)))
        field.x.array[crystal.cells] = values[crystal.row]
        return self._nodal_integral(phase, field)

    @property
    def reliefs(self) -> list[Array]:
        """``relief`` of every bounded unknown: phases, then classes of grain boundaries, which have none."""
        classes = {} if self.network is None else self.network.c
        none = [np.zeros(c.function_space.dofmap.index_map.size_local) for c in classes.values()]
        return [*(self.relief(p) for p in self.phases), *none]

    # -- numbers -----------------------------------------------------------------------------------

    def initial_concentration(self) -> dict[str, Array]:
        """Nodal values of c at t = 0, per phase."""
        given = self.case.initial.concentration
        out: dict[str, Array] = {}
        for p in self.phases:
            value = given.get(p) if isinstance(given, dict) else given
            if value is None:
                value = self.materials[p].reference_concentration
            x = self.body.dof_coordinates(self.c[p].function_space) * self.scales.length
            if isinstance(value, str):
                out[p] = np.asarray(evaluate(value, x.T), dtype=float)
            else:
                out[p] = np.full(len(x), float(value))
        return out

    def reservoir_potential(self) -> float:
        """mu of the reservoir of an open body, in units of RT."""
        reservoir = self.case.equilibrium
        if reservoir.chemical_potential is not None:
            return reservoir.chemical_potential / self.scales.potential
        if reservoir.concentration is None:
            raise ValueError("a closed body has no reservoir")
        return energies.stress_free_potential(reservoir.concentration, self.materials[self.phases[0]], self.scales)

    def potential(self) -> Array | float:
        """Nodal values of mu in units of RT; one number in a closed body at rest."""
        if self.closed_equilibrium:
            owned = self.mu.x.array[: self.space_lambda.dofmap.index_map.size_local]
            return float(self.body.mesh.comm.allreduce(owned.sum()))
        return self.mu.x.array

    def set_potential(self, system: Any) -> None:
        """mu in equilibrium with the present c and u, node by node (or for all at once)."""
        if self.local is not None:
            self.local.set_potential(lambda i: system.linear_row(i, system.x))
            return
        p = self.body.mesh.comm
        sites = {q: self.weights(q) * float(self.laws[q].sites.value) for q in self.phases}
        values = {q: system.nodal_residual(1 + k) for k, q in enumerate(self.phases)}
        if self.closed_equilibrium:
            total = p.allreduce(np.array([sum(v.sum() for v in values.values()), sum(w.sum() for w in sites.values())]))
            self.mu.x.array[:] = total[0] / total[1]
            return
        upper, lower = fem.Function(self.space_mu), fem.Function(self.space_mu)
        of_mu = node_map(self.space_mu)
        for q in self.phases:
            mine = node_map(self.c[q].function_space)
            n = len(sites[q])
            owned = mine < n
            rows = of_mu[self.vertices[q]]
            np.add.at(upper.x.array, rows[owned], values[q][mine[owned]])
            np.add.at(lower.x.array, rows[owned], sites[q][mine[owned]])
        for f in (upper, lower):
            f.x.scatter_reverse(la.InsertMode.add)
            f.x.scatter_forward()
        self.mu.x.array[:] = upper.x.array / lower.x.array

    def _site_amount(self) -> float:
        """Lithium sites of the body, internal units."""
        total = sum(self.weights(q).sum() * float(self.laws[q].sites.value) for q in self.phases)
        boundaries = 0.0 if self.network is None else sum(self.network.site_amounts().values())
        return float(self.body.mesh.comm.allreduce(total)) + boundaries

    @property
    def isolated(self) -> bool:
        """Whether nothing enters or leaves and the loads are dead: the free energy can then only fall."""
        given = any(b.chemical for b in self.case.boundaries.values())
        # The flux out of a column is driven by its end and paid at its surface: a small error of the energy.
        return self.network is None and not self.constraints.influx and not given

    def influx(self) -> float:
        """Prescribed lithium flux into the body, internal units."""
        form = sum(influx * measure for measure, influx in self.constraints.influx)
        if not self.constraints.influx:
            return 0.0
        return float(self.body.mesh.comm.allreduce(fem.assemble_scalar(fem.form(form))))

    def set_amount(self, amount: float) -> None:
        """Make the lithium of the body exactly ``amount`` by a change of c proportional to c (1 - c).

        It takes off what the tolerance of an iterative solver left, many orders below that of the time step.
        """
        comm = self.body.mesh.comm
        room = 0.0
        for q, c in self.c.items():
            weights = self.weights(q)
            nodal = c.x.array[: len(weights)]
            room += float(self.laws[q].sites.value) * float(weights @ (nodal * (1.0 - nodal)))
        boundaries = {} if self.network is None else self.network.c
        if self.network is not None:
            room += self.network.room()
        share = (amount - sum(self.amounts().values())) / comm.allreduce(room)
        for c in (*self.c.values(), *boundaries.values()):
            c.x.array[:] += share * c.x.array * (1.0 - c.x.array)

    def load_potential(self) -> float:
        """Work of the loads, int t . u ds (local part)."""
        load = self.constraints.load
        return 0.0 if load is None else float(load @ (self.u.x.array + self.lift.x.array)[: len(load)])

    def free_energy(self) -> float:
        """int psi dV - int t . u ds, internal units."""
        comm = self.body.mesh.comm
        columns = 0.0 if self.local is None else self.local.mixing_energy()
        return float(comm.allreduce(fem.assemble_scalar(self._energy) + columns - self.load_potential()))

    def _amounts(self, fractions: Mapping[str, Array]) -> dict[str, float]:
        """Lithium per phase where the nodes hold these fractions; exactly what corner quadrature gives."""
        comm, out = self.body.mesh.comm, {}
        for p in self.phases:
            weights = self.weights(p)
            local = float(weights @ fractions[p][: len(weights)])
            out[p] = float(comm.allreduce(local)) * float(self.laws[p].sites.value)
        return out

    def initial_amounts(self) -> dict[str, float]:
        """Lithium per phase at t = 0, internal units."""
        return self._amounts(self.initial_concentration())

    def amounts(self) -> dict[str, float]:
        """Lithium per phase and class of grain boundaries, internal units."""
        grains = self._amounts({p: c.x.array for p, c in self.c.items()})
        return grains if self.network is None else grains | self.network.amounts()
