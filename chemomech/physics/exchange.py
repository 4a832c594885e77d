"""A finite rate at which grain boundaries and grains exchange lithium: a potential m of the network's own.

Each side of a boundary hands

    J = k n [exp((m - mu0)/RT) - exp((mu - mu0)/RT)]

over to its grain, n being the sites per volume of the grain: k times the difference of activities. J has the sign of
m - mu, so that the exchange dissipates; nothing comes out of what is empty. The fractions c_k of the boundaries belong
to m, the grains with their columns to mu. What leaves one balance enters the other, at the same corners of facets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from chemomech.materials.laws import Material
from chemomech.physics.equations import Form, Unknown
from chemomech.physics.scales import Scales
from chemomech.typing import Array, DirichletBC, Flags, Function, Ints


class Exchange:
    """The potential m and what it exchanges with mu.

    Args:
        space: The space of mu.
        rates: Class -> k, m/s.
        material: The grains.
        scales: Internal units.
        on_network: Local dofs that lie on the network.

    Attributes:
        potential: m, internal units; it means something on the network only and is zero elsewhere.
    """

    def __init__(
        self, space: Any, rates: dict[str, float], material: Material, scales: Scales, on_network: Flags
    ) -> None:
        # A space of its own: forms tell unknowns and test functions apart by it.
        self.potential: Function = fem.Function(space.clone(), name="grain_boundary_potential")
        self._on_network = on_network
        msh = space.mesh
        sites = material.maximum_concentration / scales.concentration
        unit = scales.diffusivity / scales.length
        self._rates = {name: fem.Constant(msh, sites * rate / unit) for name, rate in rates.items()}
        self._reference = fem.Constant(msh, material.reference_potential / scales.potential)

    @property
    def unknown(self) -> Unknown:
        """m as an unknown."""
        return Unknown(self.potential.name, self.potential)

    def outflow(self, name: str, mu: Any, m: Any) -> Form:
        """J out of one side of a class, into the grain."""
        return self._rates[name] * (ufl.exp(m - self._reference) - ufl.exp(mu - self._reference))

    def held(self, given: tuple[DirichletBC, ...]) -> tuple[tuple[DirichletBC, ...], Ints]:
        """Conditions on m, and the owned rows of its balance where lithium may enter.

        A contact that gives mu gives m too: boundaries touch it by themselves.

        Args:
            given: Conditions on mu.
        """
        space = self.potential.function_space
        values: Array = np.zeros(len(self._on_network))
        at_contact = np.zeros(len(values), dtype=bool)
        for condition in given:
            condition.set(values)
            at_contact[condition.dof_indices()[0]] = True
        at_contact &= self._on_network
        known = fem.Function(space)
        known.x.array[:] = np.where(at_contact, values, 0.0)
        dofs = np.flatnonzero(at_contact | ~self._on_network).astype(np.int32)
        owned = np.flatnonzero(at_contact[: space.dofmap.index_map.size_local]).astype(np.int32)
        return (fem.dirichletbc(known, dofs),), owned
