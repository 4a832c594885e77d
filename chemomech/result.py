"""What a finished computation gives back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from chemomech.analysis.probes import Probe
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
                ``hydrostatic_stress``, ``von_mises_stress`` or ``eshelby_stress``.
            points: Shape (n, 2) or (n, 3), m.

        Returns:
            SI values, shape (n,), (n, d) or (n, 3, 3).
        """
        return Probe(self._simulation.body, points)(self.function(name))
