"""Grain boundaries and the grains beside them, node by node: columns, their place in the equations, elimination.

On the network the unknown c of a node is the mean of its column (columns.py). With psi = mu - mu0 - p, p being what
stress adds to the potential of the grain, its equation is

    V [(c - mean(psi))/mean'(psi) + psi + mu0 + p - mu] = 0,

and lithium that flows on into the grain leaves the balance of the node but is driven by the end of the column, with
fraction c_N and potential mu(c_N) + p. The linear part of the equation of c is V (mu0 + p - mu): psi is read from it.

The potential that the boundaries are in equilibrium with is mu, or with a finite rate of exchange m, their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, la, mesh

from chemomech.materials.laws import Material
from chemomech.materials.lithiation import HomologousLaw
from chemomech.physics.columns import CELLS, FINE, Columns, Response, regular_fraction, stiff_fraction
from chemomech.physics.constraints import Constraints, node_map
from chemomech.physics.equations import Follower, Row
from chemomech.physics.grain_boundary import Network
from chemomech.physics.scales import Scales
from chemomech.typing import Array, Constant, Flags, Function, Ints

_PASSES, _NEAR = 20, 1e-9  # of the columns in one elimination; how near psi has to be
_FILLING = 1e-9  # d(mean)/d(psi), per RT
_KEPT = 0.5  # of RT (and of the slope of mu_k over that of an ideal solution): nearer than this to mu_k, mu is kept


@dataclass(frozen=True, slots=True)
class Grain:
    """The grains as the nodes of the network see them.

    Attributes:
        c, mu: Unknowns.
        equation: Number of the equation of c; those of the classes follow.
        volume: Measure with the corners of cells as quadrature points.
        sites: Sites per volume, internal units.
        diffusivity, interaction, reference: D0, chi and mu0, internal units.
        homologous: D(c)/D0 where that is not one.
        step: g of the time integrator.
    """

    c: Function
    mu: Function
    equation: int
    volume: Any
    sites: float
    diffusivity: float
    interaction: float
    reference: float
    homologous: HomologousLaw | None
    step: Constant

    @classmethod
    def of(cls, material: Material, scales: Scales, c: Function, mu: Function, volume: Any, step: Constant) -> Grain:
        """The grains of a material, the first of the phases."""
        return cls(
            c=c,
            mu=mu,
            equation=1,
            volume=volume,
            sites=material.maximum_concentration / scales.concentration,
            diffusivity=material.diffusivity / scales.diffusivity,
            interaction=material.interaction,
            reference=material.reference_potential / scales.potential,
            homologous=material.homologous_law(scales.temperature),
            step=step,
        )


class LocalEquilibrium:
    """Columns of the network's nodes, and what follows from the unknowns node by node.

    Args:
        network: The boundaries.
        grain: The grains.
        constraints: Where c is given there is no column. At a contact whose mu is given, or to be found, there is one,
            for what enters there counts.
        time: Duration of the run, internal units; columns resolve what it takes.

    Attributes:
        seen: The potential that the boundaries are in equilibrium with.
        inner: One at nodes without a column, zero at those with one.
        columns: Fractions of the cells of columns, by node.
        columns_star: c* of the time integrator.
        mean, stiffness, potential: mean(psi), 1/mean'(psi) and psi, for the equation of c.
        flux_c, flux_mu: What drives the flux in the grains: c and mu inside, those of the column's end on the network.
    """

    def __init__(self, network: Network, grain: Grain, constraints: Constraints, time: float) -> None:
        self.network, self.grain, self._time = network, grain, time
        space_c, space = grain.c.function_space, grain.mu.function_space
        self._owned = space.dofmap.index_map.size_local
        self._stiff: Array | None = None
        self.inner: Function = fem.Function(space_c)
        self.mean: Function = fem.Function(space_c)
        self.stiffness: Function = fem.Function(space_c)
        self.potential: Function = fem.Function(space_c)
        self.flux_c: Function = fem.Function(space_c)
        self.flux_mu: Function = fem.Function(space)
        self.stiffness.x.array[:] = 1.0
        vector = fem.assemble_vector(fem.form(ufl.TestFunction(space) * grain.volume))
        vector.scatter_reverse(la.InsertMode.add)
        vector.scatter_forward()
        volume = np.array(vector.array)
        self.weight = grain.sites * volume
        self.seen = network.potential(grain.mu)
        self._shared = network.exchange is None
        inside = network.surface
        self._given_mu, given_c = self._held(constraints)
        places = constraints.contacts.places
        self._contacts = [(row, p.nodal > 0.0) for row, p in zip(constraints.contacts.rows, places, strict=True)]
        area = inside + self._outer(network.contact) + sum(place.nodal for place in places)
        # There a boundary's fraction decides on the potential it sees, unless a contact does.
        self._bound: Flags = (inside > 0.0) & ~self._given_mu & ~given_c
        self._nodes = np.flatnonzero((area > 0.0) & ~given_c)
        decided = self._given_mu | self._bound if self._shared else self._given_mu
        self._loose = self._nodes[~decided[self._nodes]]
        self.inner.x.array[:] = 1.0
        self.inner.x.array[self._nodes] = 0.0
        self._depth = volume[self._nodes] / area[self._nodes]
        self._count = CELLS if grain.homologous is None else FINE
        block = fem.functionspace(space.mesh, basix.ufl.element("P", space.mesh.basix_cell(), 1, shape=(self._count,)))
        self.columns: Function = fem.Function(block, name="grain_columns")
        self.columns_star: Function = fem.Function(block)
        of_block = np.zeros(len(volume), dtype=np.int32)
        of_block[node_map(space)] = node_map(block)
        self._rows = of_block[self._nodes]
        n = len(volume)
        self._first = self._deciding()
        mu_number = grain.equation + 1 + network.size
        self._c_by_c, self._mu_by_c = self.inner.x.array.copy(), np.zeros(n)
        self._c_by_mu, self._mu_by_mu = np.zeros(n), np.ones(n)
        self.followers = (
            Follower(self.flux_c, {grain.equation: self._c_by_c, mu_number: self._c_by_mu}),
            Follower(self.flux_mu, {grain.equation: self._mu_by_c, mu_number: self._mu_by_mu}),
        )
        self.reach(time)

    @property
    def changing(self) -> tuple[Function, ...]:
        """Coefficients of the equations that change."""
        return self.mean, self.stiffness, self.potential

    def contents(self) -> Array:
        """Sites of the boundaries at owned nodes with a column, infinite elsewhere.

        Against them the balance of a node is judged: the grain around it may be thousands of times as large.
        """
        net = self.network
        sites = sum(net.sites[name] * net.to_body(name, area) for name, area in net.area.items())
        return np.where(self._bound, sites, np.inf)[: self._owned]

    def column_term(self, r: Any) -> Any:
        """(c - mean(psi))/mean'(psi) + psi at nodes with a column, tested with r."""
        return (1.0 - self.inner) * ((self.grain.c - self.mean) * self.stiffness + self.potential) * r

    def reach(self, time: float) -> None:
        """Make the columns for a run of this duration; one that is continued keeps those it has begun with."""
        self._time = time
        g = self.grain
        width = min(self.network.sites.values()) / g.sites
        reach = float(np.sqrt(g.diffusivity * time))
        self._columns = Columns(self._depth, g.diffusivity, g.interaction, reach, g.homologous, width)

    @property
    def time(self) -> float:
        """Duration the columns are made for, internal units."""
        return self._time

    def _outer(self, facets: Ints) -> Array:
        """Area of facets on the outside around each local dof."""
        space = self.grain.mu.function_space
        msh = space.mesh
        facets = facets[facets < msh.topology.index_map(msh.topology.dim - 1).size_local]
        ends = mesh.meshtags(msh, msh.topology.dim - 1, np.sort(facets), np.ones(len(facets), dtype=np.int32))
        ds = ufl.Measure("ds", domain=msh, subdomain_data=ends)(1, degree=1, scheme="vertex")
        vector = fem.assemble_vector(fem.form(ufl.TestFunction(space) * ds))
        vector.scatter_reverse(la.InsertMode.add)
        vector.scatter_forward()
        return np.array(vector.array)

    def _held(self, constraints: Constraints) -> tuple[Flags, Flags]:
        """Local dofs whose mu, or whose c, is given."""
        mark = fem.Function(self.grain.mu.function_space)
        mu = np.zeros(len(mark.x.array), dtype=bool)
        for condition in constraints.potential:
            mu[condition.dof_indices()[0]] = True
        for new in constraints.replacements:
            mark.x.array[new.rows] = 1.0
        mark.x.scatter_forward()
        return mu, np.asarray(mark.x.array > 0.5)

    def _deciding(self) -> dict[str, Flags]:
        """Per class, the owned dofs whose fraction decides at their node: where classes meet, the first."""
        taken = np.zeros(len(self.weight))
        out = {}
        for name in self.network.laws:
            c = self.network.c[name]
            n = c.function_space.dofmap.index_map.size_local
            out[name] = taken[self.network.nodes[name][:n]] < 0.5
            taken += self.network.to_body(name, out[name].astype(float))
        return out

    # -- state -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Columns filled evenly with the grain's c, boundaries as the case says; potentials follow from them."""
        g, net = self.grain, self.network
        self._fill()
        g.mu.x.array[:] = self._of(g.c.x.array) + g.reference
        for name, start in self.initial().items():
            net.c[name].x.array[:] = start
            net.c_star[name].x.array[:] = start
        if net.exchange is not None:
            s = net.scales.potential
            gains = {n: g.reference + (law.segregation_energy or 0.0) / s for n, law in net.laws.items()}
            owned = {n: np.full(len(first), gains[n]) for n, first in self._first.items()}
            self.seen.x.array[:] = self._decided(owned)[0]

    def _fill(self) -> None:
        """Columns with the c of their nodes."""
        self.columns.x.array[:] = 0.0
        blocks = self.columns.x.array.reshape(-1, self._count)
        blocks[self._rows] = self.grain.c.x.array[self._nodes][:, None]
        self.columns_star.x.array[:] = self.columns.x.array

    def set_potential(self, row: Row) -> None:
        """mu of the grains with their c and stress; boundaries of other content adapt in the first step.

        Columns are filled again: the search for the stress at t = 0 has let them follow.
        """
        mu = self.grain.mu.x.array
        mu[:] = self._of(self.grain.c.x.array) + (mu - self._surface(row))
        if not self._shared:
            self.seen.x.array[:] = self._decided(self._gains(row))[0]
        self._fill()

    def initial(self) -> dict[str, Array]:
        """Fractions of the boundaries at t = 0, local dofs: given, or in equilibrium with a grain free of stress."""
        out = {}
        mu = self._of(self.grain.c.x.array)
        for name, law in self.network.laws.items():
            given, nodes = law.initial_concentration, self.network.nodes[name]
            gain = (law.segregation_energy or 0.0) / self.network.scales.potential
            found = regular_fraction(mu[nodes] - gain, law.interaction or 0.0)[0]
            out[name] = found if given is None else np.full(len(nodes), given)
        return out

    def _of(self, c: Array) -> Array:
        return np.asarray(np.log(c / (1.0 - c)) + self.grain.interaction * (1.0 - 2.0 * c))

    def _respond(self, psi: Array) -> Response:
        blocks = self.columns.x.array.reshape(-1, self._count)
        start = self.columns_star.x.array.reshape(-1, self._count)[self._rows].T
        c = np.ascontiguousarray(blocks[self._rows].T)
        out = self._columns.respond(psi, c, start, float(self.grain.step.value))
        blocks[self._rows] = c.T
        return out

    def lowest_star(self) -> float:
        """Smallest c* of the columns (this rank)."""
        return float(np.min(self.columns_star.x.array.reshape(-1, self._count)[self._rows], initial=1.0))

    def settle(self) -> None:
        """Give every column exactly the mean that its node holds."""
        blocks = self.columns.x.array.reshape(-1, self._count)
        c = np.ascontiguousarray(blocks[self._rows].T)
        self._columns.settle(c, self.grain.c.x.array[self._nodes])
        blocks[self._rows] = c.T

    def mixing_energy(self) -> float:
        """Energy of mixing of the columns (local part)."""
        blocks = self.columns.x.array.reshape(-1, self._count)
        energy = self._columns.mixing_energy(np.ascontiguousarray(blocks[self._rows].T))
        own = self._nodes < self._owned
        return float(self.weight[self._nodes[own]] @ energy[own])

    # -- in Newton's method --------------------------------------------------------------------------

    def _surface(self, row: Row) -> Array:
        """psi at all local dofs."""
        n = self._owned
        psi = self.potential
        psi.x.array[:n] = -row(self.grain.equation) / self.weight[:n]
        psi.x.scatter_forward()
        return psi.x.array

    def follow(self, row: Row) -> None:
        """Columns and what hangs on them at the present values."""
        g, on = self.grain, self._nodes
        psi = self._surface(row)[on]
        found = self._respond(psi)
        self.mean.x.array[on] = found.mean
        with np.errstate(over="ignore", divide="ignore"):  # not finite: the step is then tried again in parts
            self.stiffness.x.array[on] = 1.0 / found.mean_slope
        end = found.end
        self.flux_c.x.array[:] = g.c.x.array
        self.flux_mu.x.array[:] = g.mu.x.array
        self.flux_c.x.array[on] = end
        self.flux_mu.x.array[on] += self._of(end) - psi
        bend = found.end_slope * (1.0 / (end * (1.0 - end)) - 2.0 * g.interaction) - 1.0
        # psi = mu - mu0 - p follows from c too, with the effect of stress; a column that hardly fills changes p hardly.
        fills = found.mean_slope > _FILLING
        by_c = np.where(fills, self.stiffness.x.array[on], 0.0)
        self._c_by_c[on], self._c_by_mu[on] = found.end_slope * by_c, np.where(fills, 0.0, found.end_slope)
        self._mu_by_c[on], self._mu_by_mu[on] = bend * by_c, np.where(fills, 1.0, 1.0 + bend)

    def eliminate(self, row: Row, slope: Row) -> None:
        """One fraction per node decides, c in the grains and c_k on the network; potentials and all others follow.

        Without it Newton's method diverges where a boundary that is nearly empty meets a contact: a small fraction and
        its potential are linear in each other only very near. A fraction that follows changes the stress it follows,
        by the diagonal of the linear part of its equation.
        """
        g, net = self.grain, self.network
        c, mu = g.c.x.array, g.mu.x.array
        before = self.potential.x.array.copy()
        stiff = self._stiffness(slope)
        psi = self._surface(row).copy()
        stress = mu - psi  # mu0 + p
        gains, seen = self._gains(row), self.seen.x.array
        chosen, near = self._decided(gains)
        # Near the solution the potential is kept: a fraction says it only as well as the stress there was solved for.
        kept = self._given_mu | (self._bound & (np.abs(chosen - seen) < near))
        new = self._of(c) + stress
        # A column that no boundary decides on: the fraction at its surface does.
        loose = self._loose
        y, rise = regular_fraction(before[loose], g.interaction)
        y = np.clip(y + rise * (psi - before)[loose], 0.1 * y, 1.0 - 0.1 * (1.0 - y))
        new[loose] = self._of(y) + stress[loose]
        for contact, there in self._contacts:
            if contact.open:
                kept |= there
        if self._shared:
            mu[:] = np.where(kept, mu, np.where(self._bound, chosen, new))
        else:
            mu[:] = np.where(self._given_mu, mu, new)
            seen[:] = np.where(self._bound & ~kept, chosen, seen)
        for k, (name, law) in enumerate(net.laws.items()):
            own, n = net.c[name].x.array, len(gains[name])
            stiffness = slope(g.equation + 1 + k) / (net.sites[name] * net.area[name][:n])
            follows = ~self._first[name] | kept[net.nodes[name][:n]]
            target = (seen[net.nodes[name][:n]] - gains[name])[follows]
            at = own[:n][follows]
            own[:n][follows] = stiff_fraction(target, law.interaction or 0.0, stiffness[follows], at)
            net.c[name].x.scatter_forward()
        on = self._nodes
        c[on] = self._taken_up(mu[on] - stress[on], psi[on], c[on], stiff[on])

    def _gains(self, row: Row) -> dict[str, Array]:
        """Class -> mu0 + dG and what stress adds, at its owned dofs."""
        net, seen, out = self.network, self.seen.x.array, {}
        for k, name in enumerate(net.laws):
            n = len(self._first[name])
            weight = net.sites[name] * net.area[name][:n]
            out[name] = seen[net.nodes[name][:n]] + row(self.grain.equation + 1 + k) / weight
        return out

    def _decided(self, gains: dict[str, Array]) -> tuple[Array, Array]:
        """The potential that the deciding fractions say, and how near to it one is kept, at local dofs. Collective."""
        net = self.network
        chosen, near = np.zeros(len(self.weight)), np.zeros(len(self.weight))
        for name, law in net.laws.items():
            own, chi = net.c[name].x.array[: len(gains[name])], law.interaction or 0.0
            potential = np.log(own / (1.0 - own)) + chi * (1.0 - 2.0 * own)
            chosen += net.to_body(name, np.where(self._first[name], potential + gains[name], 0.0))
            steep = np.clip(1.0 - 2.0 * chi * own * (1.0 - own), 0.0, 1.0)
            near += net.to_body(name, np.where(self._first[name], _KEPT * steep, 0.0))
        return chosen, near

    def _stiffness(self, slope: Row) -> Array:
        """By how much p grows with a node's own c, at all local dofs; made once. Collective."""
        if self._stiff is None:
            work = fem.Function(self.grain.c.function_space)
            work.x.array[: self._owned] = slope(self.grain.equation) / self.weight[: self._owned]
            work.x.scatter_forward()
            self._stiff = np.array(work.x.array)
        return self._stiff

    def _taken_up(self, psi: Array, guess: Array, at: Array, stiffness: Array) -> Array:
        """Means of the columns whose surfaces are at psi - stiffness (mean - at)."""
        low, high = psi - stiffness * (1.0 - at), psi + stiffness * at
        x = np.clip(guess, low, high)
        for _ in range(_PASSES):
            found = self._respond(x)
            off = x + stiffness * (found.mean - at) - psi
            if np.max(np.abs(off), initial=0.0) < _NEAR:
                break
            low, high = np.where(off < 0.0, x, low), np.where(off > 0.0, x, high)
            new = x - off / (1.0 + stiffness * found.mean_slope)
            x = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        return found.mean
