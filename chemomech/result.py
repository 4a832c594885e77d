"""What a finished computation gives back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from chemomech.analysis.fronts import StressAtFronts, stress_at_fronts
from chemomech.analysis.network import BOUNDARY, BoundaryValues, at_points, joined, values_of
from chemomech.analysis.probes import Probe
from chemomech.errors import CaseError
from chemomech.typing import Array

if TYPE_CHECKING:
    from chemomech.simulation import Simulation


class Result:
    """A finished computation.

    Attributes:
        case: What was computed.
        history: Column -> values, one per accepted step, the initial state first; times in s.
        summary: What ``summary.json`` holds.
        folder: Where the files are, None if none were written.
    """

    def __init__(
        self, simulation: Simulation, history: dict[str, list[float]], summary: dict[str, Any], folder: Path | None
    ) -> None:
        self.case, self.history, self.summary, self.folder = simulation.case, history, summary, folder
        self._simulation = simulation

    @property
    def mesh(self) -> Any:
        """The dolfinx mesh; ``length`` metres per unit."""
        return self._simulation.mesh

    @property
    def length(self) -> float:
        """Metres per unit of the mesh coordinates."""
        return self._simulation.length

    def function(self, name: str) -> Any:
        """The field ``name`` at the end as a dolfinx function with SI values."""
        return self._simulation.function(name)

    def evaluate(self, name: str, points: npt.ArrayLike) -> Array:
        """The field ``name`` at points, the same on every rank.

        Args:
            name: ``displacement``, ``concentration``, ``chemical_potential``, ``strain``, ``stress``,
                ``hydrostatic_stress``, ``von_mises_stress`` or ``eshelby_stress``; or
                ``grain_boundary_concentration``, of one class with its name behind ``_``. Where classes meet, the
                one that is named first in the mesh counts.
            points: Shape (n, 2) or (n, 3), m; of grain boundaries, points on them.

        Returns:
            SI values, shape (n,), (n, d) or (n, 3, 3).

        Raises:
            CaseError: If there is no such class.
            ChemomechError: If a point lies outside the body, or on no boundary.
        """
        if name.startswith(BOUNDARY):
            one = name.removeprefix(BOUNDARY).removeprefix("_")
            names = [one] if one or not self._simulation.grain_boundaries else [*self._simulation.grain_boundaries]
            return at_points(joined([self.grain_boundary(n) for n in names]), points)
        return Probe(self._simulation.body, points)(self.function(name))

    def grain_boundary(self, name: str) -> BoundaryValues:
        """The fraction along a class of grain boundaries at the end, the same on every rank. Collective.

        Raises:
            CaseError: If there is no such class.
        """
        fronts, network = self._simulation.fronts, self._simulation.physics.network
        if fronts is None or network is None or name not in network.c:
            known = "none: the case has no grain boundaries" if network is None else ", ".join(network.c)
            raise CaseError("name", name, "there is no such class of grain boundaries", known)
        return values_of(network.c[name], fronts.distance[name], fronts.depth[name], self.length)

    def stress_at_fronts(self, radius: float) -> dict[str, StressAtFronts]:
        """Class of grain boundaries -> von Mises stress within ``radius`` (m) of its fronts at the end. Collective."""
        made = self._simulation
        return {} if made.fronts is None else stress_at_fronts(made.fronts, made.physics, made.derived, radius)
