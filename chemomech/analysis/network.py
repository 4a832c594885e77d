"""The fraction in grain boundaries as arrays that every rank holds, and at points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from chemomech.errors import ChemomechError
from chemomech.typing import Array, Function

BOUNDARY: Final = "grain_boundary_concentration"
_NEAR: Final = 1e-6  # of the size of the network, within which a point lies on it


@dataclass(frozen=True)
class BoundaryValues:
    """A class of grain boundaries, facet by facet.

    Attributes:
        corners: Shape (f, d, 3), m.
        distance: Shortest way along the network from the contact, shape (f, d), m; infinite where there is none.
        depth: Straight distance from the contact, shape (f, d), m; infinite without a contact.
        concentration: Occupied fraction there, shape (f, d).
    """

    corners: Array
    distance: Array
    depth: Array
    concentration: Array

    @property
    def profile(self) -> tuple[Array, Array]:
        """Distances (m) and fractions at all nodes, each once, by distance."""
        first = np.unique(self.corners.reshape(-1, 3), axis=0, return_index=True)[1]
        order = first[np.argsort(self.distance.ravel()[first], kind="stable")]
        return self.distance.ravel()[order], self.concentration.ravel()[order]


def values_of(c: Function, distance: Array, depth: Array, length: float) -> BoundaryValues:
    """Gather the facets of a class on every rank. Collective.

    Args:
        c: Its fraction.
        distance: At the dofs of c, m.
        depth: The same.
        length: Metres per unit of the mesh.
    """
    space: Any = c.function_space
    count = space.mesh.topology.index_map(space.mesh.topology.dim).size_local
    nodes = np.asarray(space.mesh.geometry.dofmaps[0])[:count]
    dofs = space.dofmap.list[:count]
    own = (space.mesh.geometry.x[nodes] * length, distance[dofs], depth[dofs], c.x.array[dofs])
    parts = space.mesh.comm.allgather(own)
    return BoundaryValues(*(np.concatenate([part[k] for part in parts]) for k in range(4)))


def joined(classes: Sequence[BoundaryValues]) -> BoundaryValues:
    """Several classes as one."""
    names = [field.name for field in fields(BoundaryValues)]
    return BoundaryValues(*(np.concatenate([getattr(values, name) for values in classes]) for name in names))


def at_points(values: BoundaryValues, points: npt.ArrayLike) -> Array:
    """Fractions at points on boundaries, linear on each facet.

    Args:
        values: The boundaries.
        points: Shape (n, 2) or (n, 3), m.

    Raises:
        ChemomechError: If a point lies on none of them.
    """
    given = np.atleast_2d(np.asarray(points, dtype=float))
    x = np.zeros((len(given), 3))
    x[:, : given.shape[1]] = given
    origin, size = values.corners[:, 0], float(np.ptp(values.corners.reshape(-1, 3), axis=0).max())
    inverse = np.linalg.pinv(
        values.corners[:, 1:] - values.corners[:, :1]
    )  # x - origin -> weights of the other corners
    out = np.zeros(len(x))
    for i, point in enumerate(x):
        others = np.einsum("fik,fi->fk", inverse, point - origin)
        weights = np.column_stack([1.0 - others.sum(axis=1), others])
        off = np.linalg.norm(np.einsum("fc,fcd->fd", weights, values.corners) - point, axis=1) / size
        off = np.maximum(off, -weights.min(axis=1))
        best = int(np.argmin(off))
        if off[best] > _NEAR:
            raise ChemomechError(f"The point {tuple(given[i].tolist())} m lies on no boundary of this name.")
        out[i] = weights[best] @ values.concentration[best]
    return out
