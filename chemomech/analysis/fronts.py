"""How far lithium has come along each class of grain boundaries, and the stress around its fronts.

The front of a class is where its fraction has covered erfc(1) = 0.157 of the way from what it held at t = 0 to what is
in equilibrium with the contact, free of stress. Its distance L is the shortest way along the network (of whatever
class) from the contact, the boundaries of the body at which lithium is given or let in: for a straight boundary in
empty grains L = sqrt(4 D t) (evaluation.py). Its depth is the straight distance, what is seen from outside; boundaries
that wind make it smaller. In 3D the way follows the edges of facets and is a few percent long.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from dolfinx import fem, geometry
from mpi4py import MPI
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from scipy.special import erfc

from chemomech.analysis.evaluation import Harrison, front_distance, harrison
from chemomech.analysis.front_history import column
from chemomech.errors import CaseError
from chemomech.parallel import gather_rows, global_max, on_rank_zero
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.columns import regular_fraction
from chemomech.physics.constraints import node_map
from chemomech.physics.derived import Derived
from chemomech.physics.grain_boundary import Network
from chemomech.typing import Array, Ints

LEVEL: Final = float(erfc(1.0))


class Fronts:
    """Fronts in the boundaries of a run whose contact gives lithium.

    Args:
        physics: The problem, with c as at t = 0.

    Attributes:
        classes: The classes of boundaries.
        depth: Class -> straight distance from the contact of each local dof, m; infinite without a contact.
        distance: Class -> shortest way along the network to it, m; infinite where none leads there.
        grain_size: Mean intercept between boundaries, m.
    """

    def __init__(self, physics: ChemoMechanics) -> None:
        network, local = physics.network, physics.local
        if network is None or local is None:
            raise ValueError("there are no grain boundaries")
        self._physics, self._network = physics, network
        self._comm: MPI.Intracomm = physics.body.mesh.comm
        self.classes = tuple(network.laws)
        self._start = local.initial()
        self._corners = {name: _corners(network, name) for name in self.classes}
        facets = _contact(physics)
        self.depth = {
            name: _depths(physics, facets, network.c[name].function_space.tabulate_dof_coordinates())
            for name in self.classes
        }
        self.distance = self._ways()
        at = np.zeros(len(physics.mu.x.array), dtype=bool)
        at[fem.locate_dofs_topological(physics.space_mu, physics.body.dimension - 1, facets)] = True
        self._at = {name: nodes[at[nodes]] for name, nodes in network.nodes.items()}
        self.grain_size = self._grain_size()

    def _ways(self) -> dict[str, Array]:
        """By Dijkstra's algorithm on rank 0, nodes being known by their number in the mesh that was given."""
        scale, numbers, pairs, lengths, begin = self._physics.scales.length, {}, [], [], []
        of_node = np.asarray(self._physics.body.mesh.geometry.input_global_indices, dtype=np.int64)
        for name in self.classes:
            space = self._network.c[name].function_space
            number = np.zeros(len(self.depth[name]), dtype=np.int64)
            number[node_map(space)] = of_node[self._network.vertices[name]]
            numbers[name] = number
            x, corners = space.tabulate_dof_coordinates() * scale, self._corners[name]
            for i, j in combinations(range(corners.shape[1]), 2):
                pairs.append(number[corners[:, [i, j]]])
                lengths.append(np.linalg.norm(x[corners[:, i]] - x[corners[:, j]], axis=1))
            begin.append(number[self.depth[name] < 1e-9 * scale])
        edges, size = gather_rows(self._comm, np.concatenate(pairs)), gather_rows(self._comm, np.concatenate(lengths))
        sources = gather_rows(self._comm, np.concatenate(begin))

        def found() -> tuple[Array, Array]:
            nodes, ends = np.unique(edges, return_inverse=True)
            keep = np.unique(np.sort(ends.reshape(-1, 2), axis=1), axis=0, return_index=True)[1]
            a, b = ends.reshape(-1, 2)[keep].T
            graph = coo_array((size[keep], (a, b)), shape=(len(nodes), len(nodes)))
            start = np.searchsorted(nodes, np.unique(sources))
            if not len(start):
                return nodes, np.full(len(nodes), np.inf)
            return nodes, dijkstra(graph.tocsr(), directed=False, indices=start, min_only=True)

        nodes, way = on_rank_zero(self._comm, found)
        return {name: way[np.searchsorted(nodes, number)] for name, number in numbers.items()}

    def _grain_size(self) -> float:
        """Mean intercept between boundaries, m: 2 V/S in 3D, pi A/(2 L) in 2D."""
        body, network = self._physics.body, self._network
        n = body.mesh.topology.index_map(body.dimension).size_local
        corners = body.cell_vertices()[:n, :, : body.dimension]
        volumes = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / (2.0 if body.dimension == 2 else 6.0)
        volume = float(self._comm.allreduce(float(volumes.sum())))
        area = sum(network.site_amounts()[name] / network.sites[name] for name in self.classes)
        area *= self._physics.scales.length ** (body.dimension - 1)
        return (0.5 * np.pi if body.dimension == 2 else 2.0) * volume / area

    # -- at the present state ------------------------------------------------------------------------

    def potential(self) -> float:
        """mu - mu0 of the boundaries at the contact, in units of RT; the largest where it varies. Collective."""
        mu = self._physics.mu.x.array
        at = max((float(np.max(mu[nodes], initial=-np.inf)) for nodes in self._at.values()), default=-np.inf)
        return global_max(self._comm, at) - self._network.reference

    def source(self) -> dict[str, float]:
        """Class -> fraction in equilibrium with the contact, free of stress; 0 without a contact. Collective."""
        psi = self.potential()
        laws = self._network.laws
        if not np.isfinite(psi):
            return dict.fromkeys(laws, 0.0)
        out = {}
        for name, law in laws.items():
            gain = (law.segregation_energy or 0.0) / self._network.scales.potential
            out[name] = float(regular_fraction(np.array([psi - gain]), law.interaction or 0.0)[0][0])
        return out

    def distances(self) -> tuple[dict[str, float], float, float]:
        """Class -> L, m; and distance and depth of the farthest point that holds 0.157 of what the fullest takes up.

        The first tell about diffusion along each class, the others what is seen as lithiated. Zero where nothing has
        come beyond the first facet, which the mesh can't tell apart. Collective.
        """
        source = self.source()
        full = max(source, key=source.__getitem__)
        out, farthest, deepest = {}, 0.0, 0.0
        for name in self.classes:
            held, start = self._network.c[name].x.array, self._start[name]
            depth, way = self.depth[name], self.distance[name]
            corners = self._corners[name]
            corners = corners[np.isfinite(way[corners]).all(axis=1)]
            own, of_full = source[name] - start, source[full] - start
            with np.errstate(divide="ignore", invalid="ignore"):
                part = np.where(own > 1e-9 * source[name], (held - start) / own, 0.0)
                swollen = np.where(of_full > 1e-9 * source[full], (held - start) / of_full, 0.0)
            own_front, all_front = _front(way[corners], part[corners]), _front(way[corners], swollen[corners])
            here = np.array([*own_front, *all_front, front_distance(depth[corners], swollen[corners], LEVEL)])
            passed, length, beyond, far, deep = global_max(self._comm, here).tolist()
            out[name] = length if passed > 0.0 else 0.0
            if beyond > 0.0:
                farthest, deepest = max(farthest, far), max(deepest, deep)
        return out, farthest, deepest

    def row(self) -> dict[str, float]:
        """`distances` as columns of ``history.csv``. Collective."""
        classes, farthest, deepest = self.distances()
        rows = {column(name): value for name, value in classes.items()}
        return rows | {column(): farthest, "front_depth_m": deepest}

    def regimes(self, t: float) -> dict[str, Harrison]:
        """Harrison's regime of each class after t, with s = c_gb/c of the grain in equilibrium with the contact.

        Collective.
        """
        psi, source = self.potential(), self.source()
        phase = self._physics.phases[0]
        grain = self._physics.materials[phase]
        if not np.isfinite(psi):
            return {}
        bulk = float(regular_fraction(np.array([psi]), grain.interaction)[0][0])
        return {
            name: harrison(
                grain.diffusivity, law.diffusivity or 0.0, law.width or 0.0, self.grain_size, t, source[name] / bulk
            )
            for name, law in self._network.laws.items()
        }

    def numbers(self, t: float) -> dict[str, Any]:
        """Harrison's regimes for ``summary.json``; nothing without a contact. Collective.

        ``harrison_regime`` is that of the class that carries most, with the largest s delta D_gb.
        """
        regimes, source, laws = self.regimes(t), self.source(), self._network.laws
        if not regimes:
            return {}
        lead = max(laws, key=lambda k: source[k] * (laws[k].width or 0.0) * (laws[k].diffusivity or 0.0))
        return {
            "harrison_regime": regimes[lead].regime,
            "harrison": {
                name: {"regime": r.regime, "alpha": r.alpha, "beta": r.beta, "reason": r.reason}
                for name, r in regimes.items()
            },
        }

    def points(self, name: str) -> Array:
        """Where the fraction of a class passes the level of its front, on every rank, m, shape (n, 3). Collective."""
        source, start = self.source()[name], self._start[name]
        corners = self._corners[name]
        x = self._network.c[name].function_space.tabulate_dof_coordinates() * self._physics.scales.length
        over = (self._network.c[name].x.array - start) - LEVEL * (source - start)
        found = [np.zeros((0, 3))]
        for i in range(corners.shape[1]):
            for j in range(corners.shape[1]):
                a, b = corners[:, i], corners[:, j]
                cut = (over[a] >= 0.0) & (over[b] < 0.0)
                a, b = a[cut], b[cut]
                part = over[a] / (over[a] - over[b])
                found.append(x[a] + part[:, None] * (x[b] - x[a]))
        return np.concatenate(self._comm.allgather(np.concatenate(found)))


def grain_front(physics: ChemoMechanics) -> float | None:
    """Depth of the front in the grains of a body of one phase, m; None without a contact. Collective.

    That is where c has covered 0.157 of the way from c at t = 0 to the largest at the contact; 0 if the first cells
    hold it all.
    """
    if len(physics.phases) > 1 or physics.case.mode == "equilibrium":
        return None
    body, comm = physics.body, physics.body.mesh.comm
    facets = _contact(physics)
    if comm.allreduce(len(facets)) == 0:
        return None
    c = physics.c[physics.phases[0]]
    start = physics.initial_concentration()[physics.phases[0]]
    at = fem.locate_dofs_topological(c.function_space, body.dimension - 1, facets)
    source = global_max(comm, float(np.max(c.x.array[at], initial=-np.inf)))
    gained = source - start
    part = np.divide(c.x.array - start, gained, out=np.zeros(len(start)), where=gained > 1e-9 * source)
    depth = _depths(physics, facets, body.dof_coordinates(c.function_space))
    corners = c.function_space.dofmap.list
    beyond, length = global_max(comm, np.array(_front(depth[corners], part[corners]))).tolist()
    return float(length) if beyond > 0.0 else 0.0


def _front(distance: Array, part: Array) -> tuple[float, float]:
    """Distance of the farthest corner at the level, and of the level itself."""
    return float(np.max(distance, initial=0.0, where=part >= LEVEL)), front_distance(distance, part, LEVEL)


def _corners(network: Network, name: str) -> Ints:
    """Dofs of the owned facets of a class, shape (facets, corners)."""
    space = network.c[name].function_space
    n = space.mesh.topology.index_map(space.mesh.topology.dim).size_local
    return np.asarray(space.dofmap.list[:n], dtype=np.int32)


def _depths(physics: ChemoMechanics, facets: Ints, x: Array) -> Array:
    """Distance of points of this rank from facets of all ranks, m; each rank tells that from its own. Collective."""
    msh, fdim, comm = physics.body.mesh, physics.body.dimension - 1, physics.body.mesh.comm
    parts = comm.allgather(x)
    everywhere = np.concatenate(parts)
    distance = np.full(len(everywhere), np.inf)
    if len(facets) and len(everywhere):
        tree = geometry.bb_tree(msh, fdim, entities=facets)
        middles = geometry.create_midpoint_tree(msh, fdim, facets)
        nearest = geometry.compute_closest_entity(tree, middles, msh, everywhere)
        distance = np.sqrt(geometry.squared_distance(msh, fdim, nearest, everywhere))
    least = np.empty_like(distance)
    comm.Allreduce(distance, least, op=MPI.MIN)
    first = sum(len(part) for part in parts[: comm.rank])
    return least[first : first + len(x)] * physics.scales.length


def _contact(physics: ChemoMechanics) -> Ints:
    """Local facets at which the case gives lithium or lets it in."""
    names = [name for name, given in physics.case.boundaries.items() if given.chemical]
    found = [physics.body.facets(name) for name in names]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *found])).astype(np.int32)


# -- stress around fronts --------------------------------------------------------------------------------


@dataclass(frozen=True)
class StressAtFronts:
    """Von Mises stress around the fronts of a class, Pa; nan where there is none.

    Attributes:
        points: Where the fronts are, m, shape (n, 3).
        mean: Over the volume within ``radius`` of them.
        largest: Of the cells there.
        elsewhere: Mean over the rest of the body.
        radius: m.
    """

    points: Array
    mean: float
    largest: float
    elsewhere: float
    radius: float


def stress_at_fronts(
    fronts: Fronts, physics: ChemoMechanics, derived: Derived, radius: float
) -> dict[str, StressAtFronts]:
    """Class -> `StressAtFronts`. Collective.

    Args:
        fronts: The fronts.
        physics: The problem.
        derived: Its fields at the same state.
        radius: How far around a front, m; a few cells at least.

    Raises:
        CaseError: If the radius is not above zero.
    """
    if not radius > 0.0:
        raise CaseError("radius", radius, "it is not above zero", "a length in m")
    body, comm = physics.body, physics.body.mesh.comm
    n = body.mesh.topology.index_map(body.dimension).size_local
    corners = body.cell_vertices()[:n]
    edges = (corners[:, 1:] - corners[:, :1])[:, :, : body.dimension]
    volume = np.abs(np.linalg.det(edges))
    stress = derived.function("von_mises_stress").x.array[:n]
    out = {}
    for name in fronts.classes:
        points = fronts.points(name)
        near = np.zeros(n, dtype=bool)
        if len(points) and n:
            near = np.isfinite(cKDTree(points).query(corners.mean(axis=1), distance_upper_bound=radius)[0])
        sums = np.array([volume @ (near * stress), volume @ near, volume @ (~near * stress), volume @ ~near])
        sums = comm.allreduce(sums)
        largest = global_max(comm, float(np.max(stress[near], initial=-np.inf)))
        means = np.divide(sums[::2], sums[1::2], out=np.full(2, np.nan), where=sums[1::2] > 0.0)
        out[name] = StressAtFronts(
            points, float(means[0]), largest if np.isfinite(largest) else float("nan"), float(means[1]), radius
        )
    return out
