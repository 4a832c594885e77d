"""Fields computed from the unknowns, in SI units: what people look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from dolfinx import fem

from chemomech.physics import energies
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.constraints import node_map
from chemomech.typing import Function

NAMES = (
    "displacement",
    "concentration",
    "chemical_potential",
    "strain",
    "stress",
    "hydrostatic_stress",
    "von_mises_stress",
    "eshelby_stress",
)

UNITS = {
    "displacement": "m",
    "concentration": "1",
    "chemical_potential": "J/mol",
    "strain": "1",
    "stress": "Pa",
    "hydrostatic_stress": "Pa",
    "von_mises_stress": "Pa",
    "eshelby_stress": "Pa",
}


class Derived:
    """Fields by name. Strain and stress are constant per cell (their mean); the others are linear.

    Forms and functions are made when a name is first asked for, and reused.
    """

    def __init__(self, physics: ChemoMechanics) -> None:
        self.physics = physics
        self._functions: dict[str, Function] = {}
        # An expression may hold functions of one mesh only: each phase's c is seen through one on the whole body.
        single = len(physics.phases) == 1
        self._c = {p: c if single else fem.Function(physics.space_mu) for p, c in physics.c.items()}
        self._expressions: dict[str, list[tuple[Any, Any]]] = {}

    def function(self, name: str) -> Function:
        """The field ``name`` at the present state, in SI units.

        Raises:
            KeyError: If there is no such field.
        """
        if name not in NAMES:
            raise KeyError(f"no field {name!r}; there are {', '.join(NAMES)}")
        return self._fill(name) if name in self._functions else self._make(name)

    def _make(self, name: str) -> Function:
        p, msh = self.physics, self.physics.body.mesh
        if name == "displacement":
            space = p.space_u
        elif name == "chemical_potential" or (name == "concentration" and len(p.phases) == 1):
            space = p.space_mu
        elif name in ("concentration", "hydrostatic_stress", "von_mises_stress"):
            space = fem.functionspace(msh, ("DG", 0))
        else:
            space = fem.functionspace(msh, ("DG", 0, (3, 3)))
        self._functions[name] = fem.Function(space, name=name)
        return self._fill(name)

    def _fill(self, name: str) -> Function:
        p, s = self.physics, self.physics.scales
        out = self._functions[name]
        if name == "displacement":
            out.x.array[:] = (p.u.x.array + p.lift.x.array) * s.length
        elif name == "chemical_potential":
            out.x.array[:] = p.potential() * s.potential
        elif name == "concentration" and len(p.phases) == 1:
            out.x.array[:] = p.c[p.phases[0]].x.array
        elif name in ("hydrostatic_stress", "von_mises_stress"):
            sigma = self.function("stress").x.array.reshape(-1, 3, 3)
            mean = np.trace(sigma, axis1=1, axis2=2) / 3.0
            deviator = sigma - mean[:, None, None] * np.eye(3)
            out.x.array[:] = mean if name[0] == "h" else np.sqrt(1.5 * np.sum(deviator**2, axis=(1, 2)))
        else:
            self._interpolate(name, out)
            out.x.array[:] *= {"strain": 1.0, "concentration": 1.0}.get(name, s.stress)
        return out

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
        if name == "concentration":
            return c
        if name == "strain":
            return energies.strain(p.u + p.lift)
        sigma = energies.stress(energies.elastic_strain(p.u, c, law, p.eigenstrain), p.stiffness)
        if name == "stress":
            return sigma
        psi = energies.energy_density(p.u, c, law, p.stiffness, p.eigenstrain)
        return energies.eshelby_stress(p.u + p.lift, psi, c, p.mu, sigma, law)
