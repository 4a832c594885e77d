"""Forces on dislocations: nodal configurational forces, domain integrals, Peach-Koehler from the resolved stress.

The Eshelby stress is Sigma = (psi - c_m mu c) I - beta^T sigma with beta free of slip (physics.energies). Where the
phase is uniform, its divergence is the Peach-Koehler force per volume, w (sigma b) x xi, less c_m c grad mu, and
nothing else (docs/theory.md, section 2.5). So, for every q that is one around a dislocation and zero further out,

    F = - int Sigma . grad q dV + int q c_m c grad mu dV

is the force on that dislocation, spread as it is; the last term vanishes at rest. The difference to the Peach-Koehler
force from the stress of the rest, weighted by the same core, is an error of the mesh, or what the phase does to the
force where it is not uniform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import basix
import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, la, mesh

from chemomech.defects.across import Across
from chemomech.defects.dislocations import Line, cell_distortion, distortion_at, distortion_in_cells, peach_koehler
from chemomech.defects.many import blocks
from chemomech.defects.simplex import Simplices
from chemomech.defects.spreading import line_density
from chemomech.materials.orientation import VOIGT
from chemomech.parallel import global_min, global_sum
from chemomech.physics import energies
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.constraints import AXES, extent
from chemomech.physics.derived import Derived
from chemomech.typing import Array, Flags, Function, Ints

DEGREE = 4


class ConfigurationalForces:
    """Forces on the dislocations of one body at its present state.

    Elements are linear, so that the displacement has one gradient per cell; what the dislocations bring beforehand is
    taken at every quadrature point, which is far more accurate than its mean in a cell.

    Args:
        physics: The physics; its functions hold the state.
        derived: Fields computed from it.
    """

    def __init__(self, physics: ChemoMechanics, derived: Derived) -> None:
        self.physics, self.derived = physics, derived
        body = physics.body
        msh = body.mesh
        cell = msh.basix_cell()
        rule: Any = basix.make_quadrature(cell, DEGREE)
        self._points, self._weights = (np.asarray(part) for part in rule)
        self._corners = np.column_stack([1.0 - self._points.sum(axis=1), self._points])
        self._stress: dict[str, Any] = {}
        element = basix.ufl.quadrature_element(cell.name, value_shape=(3, 3), degree=DEGREE)
        self._known: Function = fem.Function(fem.functionspace(msh, element))
        self._vertices = Simplices(body.points(), np.asarray(msh.geometry.dofmaps[0]))
        own = msh.topology.index_map(body.dimension).size_local
        self._middle = np.concatenate([self._vertices[b].mean(axis=1) for b in blocks(own)] or [np.zeros((0, 3))])
        self._tags = np.zeros(len(self._vertices), dtype=np.int32)
        self._tags[body.cell_tags.indices] = body.cell_tags.values
        self._ends = tuple(end * body.length for end in extent(body))
        self._near_cells: dict[tuple[float, ...], Across] = {}
        self._near_nodes: dict[tuple[float, ...], Across] = {}
        # The force moves nodes within the body: in 2D it has two components, whatever u has.
        same = physics.space_u.dofmap.bs == body.dimension
        space = physics.space_u if same else fem.functionspace(msh, ("P", 1, (body.dimension,)))
        self._nodes = body.dof_coordinates(space) * body.length
        self._nodes = self._nodes[: space.dofmap.index_map.size_local]
        self._fill_known()
        self.beta = energies.gradient(physics.u) + self._known
        v = ufl.TestFunction(space)
        dx = ufl.Measure("dx", domain=msh, subdomain_data=body.cell_tags, metadata={"quadrature_degree": DEGREE})
        form: Any = 0
        for phase in physics.phases:
            sigma = energies.eshelby_stress(
                self.beta, physics.c[phase], physics.mu, physics.laws[phase], physics.laws[phase].stiffness
            )
            form += -ufl.inner(sigma, energies.gradient(v)) * dx(body.phases[phase])
            if not (physics.closed_equilibrium or physics.open_equilibrium):
                # While lithium flows, div Sigma holds -c_m c grad mu as well, which pushes no dislocation.
                drag = physics.laws[phase].sites * physics.c[phase] * ufl.grad(physics.mu)
                form += ufl.inner(drag, v) * dx(body.phases[phase])
        self._form = fem.form(form, entity_maps=physics.entity_maps or None)
        self._unit = physics.scales.stress * physics.scales.length ** (body.dimension - 1)
        self._nodal: Function = fem.Function(space, name="configurational_force")

    def _fill_known(self) -> None:
        p, x = self.physics, self._vertices
        smooth = [line for line in p.lines if not line.slip]
        spread = [line for line in p.lines if line.slip]
        values = self._known.x.array.reshape(len(x), len(self._corners), 3, 3)
        distortion_in_cells(smooth, x, self._corners, p.poissons_ratio, p.case.plane, out=values)
        if spread:
            values += cell_distortion(spread, x, p.poissons_ratio, p.case.plane)[:, None]

    def nodal(self) -> Function:
        """Nodal forces, linear: N/m per node in 2D, N in 3D. Collective.

        - int Sigma . grad N dV + int N c_m c grad mu dV.
        """
        out = self._nodal
        out.x.array[:] = 0.0
        fem.assemble_vector(out.x.array, self._form)
        out.x.scatter_reverse(la.InsertMode.add)
        out.x.scatter_forward()
        out.x.array[:] *= self._unit
        return out

    def domain_integral(
        self, line: Line, inner: float, outer: float, others: Sequence[Line] = (), nodal: Function | None = None
    ) -> Array:
        """Force on a line by the domain integral: q = 1 within ``inner`` of it, 0 beyond ``outer``.

        Args:
            line: The dislocation line.
            inner: Radius within which q = 1, m; at least about three core widths.
            outer: Radius beyond which q = 0, m.
            others: Lines in reach that the domain must leave out: it ends half way to them.
            nodal: Result of ``nodal`` if it is at hand.

        Returns:
            Force per length of the line, shape (3,), N/m, on every rank.
        """
        p, body = self.physics, self.physics.body
        forces = self.nodal() if nodal is None else nodal
        within = _across(self._near_nodes, self._nodes, line).within(line, outer)
        x = self._nodes[within]
        near = line.distance(x)
        q = np.clip((outer - near) / (outer - inner), 0.0, 1.0)
        for other in others:
            # The tail of a core falls off fast: a narrow band half way loses little of either.
            gap = 0.5 * (other.distance(x) - near)
            band = 0.15 * float(line.distance(other.position[None])[0])
            q = np.minimum(q, np.clip(0.5 + gap / band, 0.0, 1.0))
        local = np.zeros(3)
        local[: body.dimension] = q @ forces.x.array.reshape(-1, body.dimension)[within]
        total = global_sum(body.mesh.comm, local)
        if body.dimension == 3:
            total /= self._length(line)
        for axis in planes_through(p, line, self._ends):  # half of it is in the body, the other half its image
            total *= 2.0
            total[axis] = 0.0
        return total

    def _length(self, line: Line) -> float:
        """Length of a straight line inside the body, m."""
        low, high = self._ends
        t = line.frame[2]
        crossed = np.abs(t) > 1e-12
        ends = np.array([(end - line.position)[crossed] / t[crossed] for end in (low, high)])
        return float(np.min(ends.max(axis=0)) - np.max(ends.min(axis=0)))

    def peach_koehler(self, line: Line, width: float | None = None) -> Array:
        """Force of everything else on a line: its own stress in an infinite medium is taken off.

        The stress that is left is weighted by the line's own core, as the energy of the spread dislocation asks; both
        dislocations of a pair then count as spread.

        Args:
            line: The dislocation line.
            width: Core width to weight with instead, m; one much smaller than the core gives the force that a sharp
                dislocation would feel at the same place.

        Returns:
            Force per length, shape (3,), N/m, on every rank.
        """
        width = width or line.core
        p, body = self.physics, self.physics.body
        x = self._vertices
        near = _across(self._near_cells, self._middle, line).within(line, 8.0 * line.core).astype(np.int32)
        corners = x[near]
        points = np.asarray(self._corners @ corners)
        rest = self._rest(line, near, points)
        weight = line_density(line.distance(points.reshape(-1, 3)), width).reshape(points.shape[:2])
        edges = (corners[:, 1:] - corners[:, :1])[:, :, : body.dimension]
        weight *= np.abs(np.linalg.det(edges))[:, None] * self._weights
        force = peach_koehler(np.einsum("cq,cqij->ij", weight, rest)[None], line)[0]
        packed = global_sum(body.mesh.comm, np.append(force, weight.sum()))
        for axis in planes_through(p, line, self._ends):
            packed[axis] = 0.0
        return np.asarray(packed[:3] / packed[3])

    def _rest(self, line: Line, cells: Ints, points: Array) -> Array:
        """Stress at the quadrature points (cells, q, 3) of some cells without a line's own, Pa, (cells, q, 3, 3)."""
        p = self.physics
        sigma = np.zeros((*points.shape[:2], 3, 3))
        tags = self._tags[cells]
        known = self._known.x.array.reshape(-1, points.shape[1], 3, 3)[cells]
        alone = [replace(line, slip=False, rest=0)]  # a row has no stress of its own in its middle plane
        known -= distortion_at(alone, points.reshape(-1, 3), p.poissons_ratio, p.case.plane).reshape(known.shape)
        for phase in p.phases:
            here = tags == p.body.phases[phase]
            if phase not in self._stress:
                c = self.derived.everywhere(phase)
                e = energies.elastic_strain(energies.gradient(p.u), c, p.laws[phase])
                self._stress[phase] = fem.Expression(energies.stress(e, p.laws[phase].stiffness), self._points)
            if here.any():
                values = self._stress[phase].eval(p.body.mesh, cells[here])
                sigma[here] = np.asarray(values).reshape(int(here.sum()), points.shape[1], 3, 3)
                crystal = p.stiffness(phase)[p.crystals[phase].rows(cells[here])]
                sigma[here] += _stress(crystal[:, None], known[here])
        return sigma * p.scales.stress


def _stress(stiffness: Array, beta: Array) -> Array:
    """C : sym beta, for (cells, 1, 6, 6) and (cells, q, 3, 3)."""
    e = 0.5 * (beta + beta.swapaxes(-1, -2))
    rows, columns = np.array(VOIGT).T
    s = (stiffness @ (e[..., rows, columns] * [1.0, 1.0, 1.0, 2.0, 2.0, 2.0])[..., None])[..., 0]
    out = np.empty_like(e)
    out[..., rows, columns] = out[..., columns, rows] = s
    return out


def _across(kept: dict[tuple[float, ...], Across], points: Array, line: Line) -> Across:
    key = Across.key(line)
    if key not in kept:
        kept[key] = Across(points, line)
    return kept[key]


def _clearance(line: Line, places: Array, directions: Array, in_rows: Flags) -> float:
    """Least distance from a line to others that are not parallel, m; of rows, that of their planes at worst.

    Args:
        line: The line.
        places: Points of the others, shape (n, 3), m.
        directions: Their directions, shape (n, 3).
        in_rows: Which of them are rows, shape (n,).
    """
    normals = np.cross(line.frame[2], directions)
    normals[in_rows | (line.period is not None)] = line.frame[1]
    apart = np.abs(np.sum((places - line.position) * normals, axis=1)) / np.linalg.norm(normals, axis=1)
    return float(np.min(apart, initial=np.inf))


def planes_through(physics: ChemoMechanics, line: Line, ends: tuple[Array, ...]) -> list[int]:
    """Axes whose plane of symmetry a line lies in; ``ends`` are the lowest and highest coordinates of the body, m."""
    low, high = ends
    reach = 1e-6 * line.core
    axes = [AXES[name] for name in physics.case.domain.mirror]
    return [k for k in axes if min(abs(line.position[k] - low[k]), abs(line.position[k] - high[k])) < reach]


class Surroundings:
    """How far it is from a line to the surface of the body and to the next phase.

    Args:
        physics: The physics of the body.
    """

    def __init__(self, physics: ChemoMechanics) -> None:
        self.physics = physics
        body = physics.body
        d = body.dimension
        facets = mesh.exterior_facet_indices(body.mesh.topology)
        nodes = mesh.entities_to_geometry(body.mesh, d - 1, facets)
        corners = body.points()[nodes].reshape(len(facets), d, 3)
        self._surface = corners.mean(axis=1)
        edges = corners[:, 1:] - corners[:, :1]
        normal = edges[:, 0][:, [1, 0, 2]] * [1.0, -1.0, 0.0] if d == 2 else np.cross(edges[:, 0], edges[:, -1])
        self._normals = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        used = np.zeros(len(body.points()), dtype=int)
        for phase in physics.phases:
            used[physics.vertices[phase]] += 1
        self._between = body.points()[used > 1]
        self._ends = tuple(end * body.length for end in extent(body))
        self._interfaces: dict[tuple[float, ...], Across] = {}
        self._surfaces: dict[tuple[float, ...], Across] = {}

    def surface(self, line: Line) -> float:
        """Distance to the surface, m; ends of the line and planes of symmetry through it do not count. Collective."""
        planes = planes_through(self.physics, line, self._ends)
        key = (*Across.key(line), *planes)
        if key not in self._surfaces:
            side = np.abs(self._normals @ line.frame[2]) < 0.9
            for axis in planes:
                side &= np.abs(self._normals[:, axis]) < 0.9
            self._surfaces[key] = Across(self._surface[side], line)
        return global_min(self.physics.body.mesh.comm, self._surfaces[key].least(line))

    def interface(self, line: Line) -> float:
        """Distance to the next phase, m, infinite in a body of one. Collective."""
        near = _across(self._interfaces, self._between, line)
        return global_min(self.physics.body.mesh.comm, near.least(line))


def forces(at_work: ConfigurationalForces) -> list[dict[str, Any]]:
    """What acts on every dislocation of the case, in its order. Collective.

    ``configurational_force_N_per_m`` is the domain integral around it, ``peach_koehler_N_per_m`` the force from the
    stress of everything else; ``crosses_interface`` says that the domain holds a piece of an interface, whose own
    force is then part of the component across it. A domain integral needs room: it is None where the surface, or a line
    that crosses, is nearer than about two core widths.
    """
    physics = at_work.physics
    lines = [line for line in physics.lines if not line.image]
    places = np.array([line.position for line in physics.lines])
    directions = np.array([line.frame[2] for line in physics.lines])
    in_rows = np.array([line.period is not None for line in physics.lines])
    around = Surroundings(physics)
    nodal = at_work.nodal()
    out = []
    for line in lines:
        surface, interface = around.surface(line), around.interface(line)
        reach = min(0.9 * surface, 20.0 * line.core)
        crosses = interface < 2.5 * line.core
        if not crosses:
            reach = min(reach, 0.95 * interface)
        if line.period is not None:
            reach = min(reach, 0.45 * line.period)
        along = np.abs(directions @ line.frame[2]) > 1.0 - 1e-9
        cross = np.flatnonzero(~along)
        reach = min(reach, 0.5 * _clearance(line, places[cross], directions[cross], in_rows[cross]))
        near = np.flatnonzero(along & (line.distance(places) < 2.0 * reach))
        others = [physics.lines[k] for k in near if physics.lines[k] is not line]
        force = None
        if reach > 2.0 * line.core:
            force = at_work.domain_integral(line, 0.6 * reach, reach, others, nodal).tolist()
        out.append(
            {
                "position_m": line.position.tolist(),
                "burgers_m": line.vector.tolist(),
                "configurational_force_N_per_m": force,
                "peach_koehler_N_per_m": at_work.peach_koehler(line).tolist(),
                "domain_radius_m": reach,
                "crosses_interface": bool(crosses),
            }
        )
    return out
