"""Lithium in grain boundaries: their facets gathered, and as files, ``grain_boundaries.pvd``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chemomech.output.fields import FieldSeries, Grid
from chemomech.output.nodes import layout, owned_cells
from chemomech.output.protocol import Snapshot
from chemomech.parallel import gather_rows
from chemomech.typing import Array, Function, Ints

FIELD, POTENTIAL = "grain_boundary_concentration", "grain_boundary_potential"


@dataclass(frozen=True)
class Facets:
    """Facets of the network with the fraction at their corners; where classes meet, each has its own.

    Attributes:
        corners: Shape (f, d, 3), m.
        values: Occupied fraction, shape (f, d).
        classes: Number of the class of each, from 1, shape (f,).
    """

    corners: Array
    values: Array
    classes: Ints

    def sizes(self) -> Array:
        """Length (m) or area (m^2) of each."""
        edges = self.corners[:, 1:] - self.corners[:, :1]
        if edges.shape[1] == 1:
            return np.asarray(np.linalg.norm(edges[:, 0], axis=1))
        return np.asarray(0.5 * np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1))

    @classmethod
    def owned(cls, snapshot: Snapshot) -> Facets:
        """Those of this rank."""
        d = snapshot.mesh.topology.dim
        corners, values, classes = [np.zeros((0, d, 3))], [np.zeros((0, d))], [np.zeros(0, np.int32)]
        for k, function in enumerate(snapshot.grain_boundaries.values(), 1):
            mesh = function.function_space.mesh
            cells = owned_cells(mesh)
            corners.append(mesh.geometry.x[cells] * snapshot.length)
            values.append(_at_corners(function))
            classes.append(np.full(len(cells), k, np.int32))
        return cls(np.concatenate(corners), np.concatenate(values), np.concatenate(classes))

    @classmethod
    def gathered(cls, snapshot: Snapshot) -> Facets:
        """All of them on rank 0, none elsewhere. Collective."""
        mine, comm = cls.owned(snapshot), snapshot.comm
        return cls(*(gather_rows(comm, rows) for rows in (mine.corners, mine.values, mine.classes)))


def _at_corners(function: Function) -> Array:
    """Values at the corners of the facets that this rank owns."""
    space = function.function_space
    return np.asarray(layout(space).values(function)[owned_cells(space.mesh)][:, :, 0])


class BoundarySeries(FieldSeries):
    """Writes the facets of the network with ``grain_boundary_concentration`` and the number of their class.

    With a finite rate of exchange ``grain_boundary_potential`` (J/mol) goes with them.

    Due as in `FieldSeries`. Facets do not share nodes in the file: where classes meet, the fraction jumps.
    """

    def _content(self, snapshot: Snapshot) -> tuple[Grid, dict[str, Array], dict[str, Array]]:
        facets = Facets.owned(snapshot)
        count, corners = facets.values.shape
        nodes = np.arange(count * corners, dtype=np.int64)
        grid = Grid(nodes, facets.corners.reshape(-1, 3), nodes.reshape(count, corners))
        fields = {FIELD: facets.values.reshape(-1, 1)}
        if potentials := snapshot.grain_boundary_potentials:
            fields[POTENTIAL] = np.concatenate([_at_corners(f) for f in potentials.values()]).reshape(-1, 1)
        return grid, fields, {"class": facets.classes[:, None].astype(float)}
