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

from chemomech.defects.dislocations import Line, cell_distortion, distortion_at, peach_koehler
from chemomech.defects.spreading import line_density
from chemomech.materials.orientation import VOIGT
from chemomech.parallel import global_min, global_sum
from chemomech.physics import energies
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.constraints import AXES, extent
from chemomech.physics.derived import Derived
from chemomech.typing import Array, Function, Ints

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
        self._vertices = body.cell_vertices()
        self._middle = self._vertices[: msh.topology.index_map(body.dimension).size_local].mean(axis=1)
        # The force moves nodes within the body: in 2D it has two components, whatever u has.
        own = physics.space_u.dofmap.bs == body.dimension
        space = physics.space_u if own else fem.functionspace(msh, ("P", 1, (body.dimension,)))
        self._nodes = body.dof_coordinates(space) * body.length
        self._nodes = self._nodes[: space.dofmap.index_map.size_local]
        self._fill_known()
        self.beta = energies.gradient(physics.u) + self._known
        v = ufl.TestFunction(space)
        dx = ufl.Measure("dx", domain=msh, subdomain_data=body.cell_tags, metadata={"quadrature_degree": DEGREE})
        form: Any = 0
        for phase in physics.phases:
            sigma = energies.eshelby_stress(
                self.beta, physics.c[phase], physics.mu, physics.laws[phase], physics.stiffness
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
        p = self.physics
        x = self._vertices
        quadrature = np.einsum("qk,ckd->cqd", self._corners, x)
        shape = quadrature.shape
        smooth = [line for line in p.lines if not line.slip]
        spread = [line for line in p.lines if line.slip]
        values = distortion_at(smooth, quadrature.reshape(-1, 3), p.poissons_ratio, p.case.plane)
        values = values.reshape(shape[0], shape[1], 3, 3)
        if spread:
            values = values + cell_distortion(spread, x, p.poissons_ratio, p.case.plane)[:, None]
        self._known.x.array[:] = values.ravel()

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
        x = self._nodes
        near = line.distance(x)
        q = np.clip((outer - near) / (outer - inner), 0.0, 1.0)
        for other in others:
            # The tail of a core falls off fast: a narrow band half way loses little of either.
            gap = 0.5 * (other.distance(x) - near)
            band = 0.15 * float(line.distance(other.position[None])[0])
            q = np.minimum(q, np.clip(0.5 + gap / band, 0.0, 1.0))
        local = np.zeros(3)
        local[: body.dimension] = q @ forces.x.array.reshape(-1, body.dimension)[: len(x)]
        total = global_sum(body.mesh.comm, local)
        if body.dimension == 3:
            total /= self._length(line)
        for axis in planes_through(p, line):  # half of it is in the body, the other half its image
            total *= 2.0
            total[axis] = 0.0
        return total

    def _length(self, line: Line) -> float:
        """Length of a straight line inside the body, m."""
        low, high = (end * self.physics.body.length for end in extent(self.physics.body))
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
        near = np.flatnonzero(line.distance(self._middle) < 8.0 * line.core).astype(np.int32)
        points = np.einsum("qk,ckd->cqd", self._corners, x[near])
        rest = self._rest(line, near, points)
        weight = line_density(line.distance(points.reshape(-1, 3)), width).reshape(points.shape[:2])
        edges = (x[near][:, 1:] - x[near][:, :1])[:, :, : body.dimension]
        weight *= np.abs(np.linalg.det(edges))[:, None] * self._weights
        force = peach_koehler(np.einsum("cq,cqij->ij", weight, rest)[None], line)[0]
        packed = global_sum(body.mesh.comm, np.append(force, weight.sum()))
        for axis in planes_through(p, line):
            packed[axis] = 0.0
        return np.asarray(packed[:3] / packed[3])

    def _rest(self, line: Line, cells: Ints, points: Array) -> Array:
        """Stress at the quadrature points (cells, q, 3) of some cells without a line's own, Pa, (cells, q, 3, 3)."""
        p = self.physics
        sigma = np.zeros((*points.shape[:2], 3, 3))
        for phase in p.phases:
            here = np.isin(cells, p.body.cell_tags.find(p.body.phases[phase]))
            if phase not in self._stress:
                c = self.derived.everywhere(phase)
                e = energies.elastic_strain(energies.gradient(p.u), c, p.laws[phase])
                self._stress[phase] = fem.Expression(energies.stress(e, p.stiffness), self._points)
            if here.any():
                values = self._stress[phase].eval(p.body.mesh, cells[here])
                sigma[here] = np.asarray(values).reshape(int(here.sum()), points.shape[1], 3, 3)
        known = self._known.x.array.reshape(-1, points.shape[1], 3, 3)[cells]
        alone = [replace(line, slip=False, rest=0)]  # a row has no stress of its own in its middle plane
        own = distortion_at(alone, points.reshape(-1, 3), p.poissons_ratio, p.case.plane).reshape(known.shape)
        stiffness = p.stiffness.x.array.reshape(-1, 6, 6)[cells]
        sigma += _stress(stiffness, known - own)
        return sigma * p.scales.stress


def _stress(stiffness: Array, beta: Array) -> Array:
    """C : sym beta, for (cells, 6, 6) and (cells, q, 3, 3)."""
    e = 0.5 * (beta + beta.swapaxes(-1, -2))
    rows, columns = np.array(VOIGT).T
    s = np.einsum("cab,cqb->cqa", stiffness, e[..., rows, columns] * [1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    out = np.empty_like(e)
    out[..., rows, columns] = out[..., columns, rows] = s
    return out


def _clearance(line: Line, other: Line) -> float:
    """Least distance between two lines that are not parallel, m; of rows, that of their planes at worst."""
    normal = np.cross(line.frame[2], other.frame[2])
    if line.period is not None or other.period is not None:
        normal = line.frame[1]
    return float(abs((other.position - line.position) @ normal) / np.linalg.norm(normal))


def planes_through(physics: ChemoMechanics, line: Line) -> list[int]:
    """Axes whose plane of symmetry a line lies in."""
    low, high = (end * physics.body.length for end in extent(physics.body))
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

    def surface(self, line: Line) -> float:
        """Distance to the surface, m; ends of the line and planes of symmetry through it do not count. Collective."""
        side = np.abs(self._normals @ line.frame[2]) < 0.9
        for axis in planes_through(self.physics, line):
            side &= np.abs(self._normals[:, axis]) < 0.9
        return self._least(line, self._surface[side])

    def interface(self, line: Line) -> float:
        """Distance to the next phase, m, infinite in a body of one. Collective."""
        return self._least(line, self._between)

    def _least(self, line: Line, points: Array) -> float:
        least = float(np.min(line.distance(points))) if len(points) else np.inf
        return global_min(self.physics.body.mesh.comm, least)


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
        for k in np.flatnonzero(~along):
            reach = min(reach, 0.5 * _clearance(line, physics.lines[k]))
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
