"""What the simulation and its outputs agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mpi4py import MPI

from chemomech.typing import Function, Mesh


class Snapshot(Protocol):
    """What an output may look at: one accepted state, in SI units."""

    @property
    def comm(self) -> MPI.Comm:
        """The ranks that compute together."""
        ...

    @property
    def mesh(self) -> Mesh:
        """Triangles or tetrahedra with straight edges, coordinates in internal units.

        Nodes on the two sides of a periodic body share their degrees of freedom.
        """
        ...

    @property
    def length(self) -> float:
        """Metres per unit of the mesh coordinates."""
        ...

    @property
    def time(self) -> float:
        """Time reached, s."""
        ...

    @property
    def step(self) -> int:
        """Number of accepted steps; 0 is the initial state."""
        ...

    @property
    def step_size(self) -> float:
        """Last accepted step, s; 0 in the initial state."""
        ...

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names that `function` accepts, all of which go into the field files."""
        ...

    def function(self, name: str) -> Function:
        """The field ``name`` in SI units, up to date on ghosts too.

        Continuous linear, constant per cell, or linear with jumps between cells (``concentration`` of a body with
        several phases); a scalar, a vector or a (3, 3) tensor. ``phase``, which bodies with several phases have, is
        the number of the phase of each cell. Each name always gives the same object. Collective.
        """
        ...

    @property
    def grain_boundaries(self) -> Mapping[str, Function]:
        """Class of grain boundaries -> occupied fraction, each on a mesh of its facets; empty without any."""
        ...

    @property
    def grain_boundary_potentials(self) -> Mapping[str, Function]:
        """Class of grain boundaries -> potential of its own, J/mol, likewise; empty in equilibrium with the grains."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the results so far, in words; those that come later come at the end."""
        ...

    def row(self) -> dict[str, float]:
        """One row of the history: numbers of the whole body, equal on every rank. Collective."""
        ...


class Output(Protocol):
    """Something that listens to a simulation. All ranks call all three methods, in step."""

    def open(self, snapshot: Snapshot) -> None:
        """Begin, with the initial state or the one that was restored."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """Take note of an accepted step."""
        ...

    def close(self, snapshot: Snapshot) -> None:
        """Finish, with the last accepted state, which `update` has seen."""
        ...
