"""Fields computed from the unknowns, in SI units: what people look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from chemomech.defects.dislocations import MANY, local_density
from chemomech.materials.orientation import average_moduli
from chemomech.materials.strength import crack_initiation_strength, taylor_stress
from chemomech.physics import energies
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.constraints import extent, node_map
from chemomech.typing import Array, Function

UNITS = {
    "displacement": "m",
    "concentration": "1",
    "chemical_potential": "J/mol",
    "strain": "1",
    "stress": "Pa",
    "hydrostatic_stress": "Pa",
    "von_mises_stress": "Pa",
    "eshelby_stress": "Pa",
    "phase": "1",
    "grain": "1",
    "strength_ratio": "1",
    "taylor_stress": "Pa",
}

_SCALARS = ("hydrostatic_stress", "von_mises_stress", "phase", "grain", "strength_ratio", "taylor_stress")


class Derived:
    """Fields by name. Strain and stress are constant per cell (their mean); the others are linear.

    With several phases the concentration is linear in every cell and may jump between cells. In a periodic body with
    dislocations, whose two sides are shifted against each other by slip, the displacement is that of the cells'
    middles. Forms and functions are made when a name is first asked for, and reused.

    Attributes:
        names: Fields there are for this body.
    """

    def __init__(self, physics: ChemoMechanics) -> None:
        self.physics = physics
        self._functions: dict[str, Function] = {}
        # An expression may hold functions of one mesh only: each phase's c is seen through one on the whole body.
        self._single = len(physics.phases) == 1
        self._c: dict[str, Function] = {
            p: c if self._single else fem.Function(physics.space_mu) for p, c in physics.c.items()
        }
        self._expressions: dict[str, list[tuple[Any, Any]]] = {}
        self._shifted = bool(physics.body.seams) and bool(physics.lines)
        self._strength = {p: crack_initiation_strength(m) for p, m in physics.materials.items()}
        brittle = any(s is not None for s in self._strength.values())
        self._density: Array | None = None
        own = [line for line in physics.lines if not line.image]
        parallel = all(abs(line.frame[2] @ own[0].frame[2]) > 0.999 for line in own)
        self._forest = own if parallel else []
        wanted = {
            "phase": not self._single,
            "grain": len(physics.body.orientations) > 0,
            "strength_ratio": brittle,
            "taylor_stress": len(self._forest) >= MANY,
        }
        self.names = tuple(name for name in UNITS if wanted.get(name, True))

    def function(self, name: str) -> Function:
        """The field ``name`` at the present state, in SI units.

        Raises:
            KeyError: If there is no such field.
        """
        if name not in self.names:
            raise KeyError(f"no field {name!r}; there are {', '.join(self.names)}")
        return self._fill(name) if name in self._functions else self._make(name)

    def _make(self, name: str) -> Function:
        p, msh = self.physics, self.physics.body.mesh
        if name == "displacement":
            space = fem.functionspace(msh, ("DG", 0, (p.space_u.dofmap.bs,))) if self._shifted else p.space_u
        elif name == "chemical_potential" or (name == "concentration" and self._single):
            space = p.space_mu
        elif name == "concentration":
            space = fem.functionspace(msh, ("DG", 1))
        elif name in _SCALARS:
            space = fem.functionspace(msh, ("DG", 0))
        else:
            space = fem.functionspace(msh, ("DG", 0, (3, 3)))
        self._functions[name] = fem.Function(space, name=name)
        return self._fill(name)

    def _fill(self, name: str) -> Function:
        p, s = self.physics, self.physics.scales
        out = self._functions[name]
        if name == "displacement":
            known = self._lift(out).ravel()
            if self._shifted:
                self._interpolate(name, out)
            else:
                out.x.array[:] = p.u.x.array
            out.x.array[:] += known
            out.x.array[:] *= s.length
        elif name == "chemical_potential":
            out.x.array[:] = p.potential() * s.potential
        elif name == "concentration" and self._single:
            out.x.array[:] = p.c[p.phases[0]].x.array
        elif name == "phase":
            for phase in p.phases:
                out.x.array[p.body.cell_tags.find(p.body.phases[phase])] = p.body.phases[phase]
        elif name == "grain":
            out.x.array[:] = p.body.cell_grain
        elif name == "taylor_stress":
            out.x.array[:] = self._taylor_stress()
        elif name in _SCALARS:
            out.x.array[:] = self._of_stress(name, self.function("stress").x.array.reshape(-1, 3, 3))
        else:
            self._interpolate(name, out)
            out.x.array[:] *= {"strain": 1.0, "concentration": 1.0}.get(name, s.stress)
        return out

    def _lift(self, out: Function) -> Array:
        p = self.physics
        if not self._shifted:
            return p.lift.x.array
        middle = p.body.cell_vertices().mean(axis=1)
        return p.lift_at(middle)

    def _of_stress(self, name: str, sigma: Array) -> Array:
        mean = np.trace(sigma, axis1=1, axis2=2) / 3.0
        if name == "hydrostatic_stress":
            return np.asarray(mean)
        if name == "von_mises_stress":
            deviator = sigma - mean[:, None, None] * np.eye(3)
            return np.asarray(np.sqrt(1.5 * np.sum(deviator**2, axis=(1, 2))))
        tension = np.maximum(np.linalg.eigvalsh(sigma)[:, -1], 0.0)
        ratio = np.zeros(len(sigma))
        for phase, strength in self._strength.items():
            cells = self.physics.body.cell_tags.find(self.physics.body.phases[phase])
            ratio[cells] = 0.0 if strength is None else tension[cells] / strength
        return ratio

    def _taylor_stress(self) -> Array:
        """alpha G b sqrt(rho) with the density of the lines around every cell."""
        p = self.physics
        if self._density is None:
            low, high = extent(p.body)
            across = np.abs(self._forest[0].frame[2]) < 0.5
            area = float(np.prod(((high - low) * p.scales.length)[: p.body.dimension][across[: p.body.dimension]]))
            self._density = local_density(self._forest, p.body.cell_vertices().mean(axis=1), area)
        burgers = float(np.mean([line.burgers for line in self._forest]))
        out = np.zeros(len(self._density))
        for phase, material in p.materials.items():
            cells = p.body.cell_tags.find(p.body.phases[phase])
            out[cells] = taylor_stress(1.0, burgers, 1.0) * np.sqrt(self._density[cells])
            out[cells] *= average_moduli(material.elasticity).shear
        return out

    def everywhere(self, phase: str) -> Function:
        """c of a phase as a function on the whole body; it means something on the cells of the phase."""
        self._refresh()
        return self._c[phase]

    def _refresh(self) -> None:
        p = self.physics
        for phase, c in p.c.items():
            if self._c[phase] is not c:
                rows = node_map(p.space_mu)[p.vertices[phase]]
                self._c[phase].x.array[rows] = c.x.array[node_map(c.function_space)]

    def _interpolate(self, name: str, out: Function) -> None:
        p = self.physics
        self._refresh()
        if name not in self._expressions:
            points = out.function_space.element.interpolation_points
            self._expressions[name] = [
                (
                    fem.Expression(self._ufl(name, phase), points),
                    p.body.cell_tags.find(p.body.phases[phase]),
                )
                for phase in p.phases
            ]
        for expression, cells in self._expressions[name]:
            out.interpolate(expression, cells0=cells)
        out.x.scatter_forward()

    def _ufl(self, name: str, phase: str) -> Any:
        p = self.physics
        c, law = self._c[phase], p.laws[phase]
        if name == "displacement":
            return p.u
        if name == "concentration":
            return c
        if name == "strain":
            return ufl.sym(p.beta) if self._shifted else ufl.sym(energies.gradient(p.u + p.lift))
        if name == "stress":
            return energies.stress(energies.elastic_strain(p.beta, c, law), law.stiffness)
        return energies.eshelby_stress(p.beta, c, p.mu, law, law.stiffness)
