"""Nodes on periodic sides and the nodes they stand for."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from chemomech.case import Box, MeshFile, Rectangle
from chemomech.case.regions import AXES
from chemomech.errors import CaseError
from chemomech.typing import Array, Flags, Longs
from chemomech.units import pretty

_NEAR = 1e-6  # of the width: what separates nodes that should match
_CELLS = 3  # fewer cells around a closed axis, and two cells would have the same corners


def sides(points: Array, axis: int) -> tuple[Flags, Flags]:
    """Which points lie on the side of smaller and on that of larger coordinates."""
    low, high = points[:, axis].min(), points[:, axis].max()
    near = _NEAR * (high - low)
    return points[:, axis] < low + near, points[:, axis] > high - near


def find_twins(domain: Rectangle | Box | MeshFile, points: Array, cells: Longs, dimension: int) -> Longs:
    """Pairs of a node on the side of larger coordinates and the node it stands for, shape (k, 2).

    Nodes on the edges of a body that is periodic along two axes stand for the one on the edge where all begins.
    Coordinates on the larger sides are set to those of the twin, moved by the period.

    Raises:
        CaseError: If two sides do not match, or are less than three cells apart.
    """
    stands_for = np.arange(len(points))
    for name in domain.periodic:
        axis = AXES[name]
        low, high = (np.flatnonzero(side) for side in sides(points, axis))
        match = _matching(domain, name, points, low, high, dimension)
        _wide_enough(domain, name, points, cells, low, high)
        stands_for[high] = stands_for[low[match]]
        width = points[:, axis].max() - points[:, axis].min()
        points[high] = points[low[match]]
        points[high, axis] += width
    while np.any(stands_for != stands_for[stands_for]):
        stands_for = stands_for[stands_for]
    twins = np.flatnonzero(stands_for != np.arange(len(points)))
    return np.stack([twins, stands_for[twins]], axis=1).astype(np.int64)


def _matching(
    domain: Rectangle | Box | MeshFile, name: str, points: Array, low: Longs, high: Longs, dimension: int
) -> Longs:
    """For every node of the larger side, which of the smaller side has the same other coordinates."""
    axis = AXES[name]
    others = [i for i in range(dimension) if i != axis]
    width = float(points[:, axis].max() - points[:, axis].min())
    far, match = cKDTree(points[low][:, others]).query(points[high][:, others])
    worst = int(np.argmax(far))
    if len(low) == len(high) and far[worst] < _NEAR * width and len(np.unique(match)) == len(match):
        return np.asarray(match, dtype=np.int64)
    place = ", ".join(pretty(x, "m") for x in points[high[worst], :dimension])
    what = (
        f"the node at ({place}) has none opposite, the nearest is off by {pretty(float(far[worst]), 'm')}"
        if far[worst] >= _NEAR * width
        else f"they have {len(low)} and {len(high)} nodes"
    )
    path = isinstance(domain, MeshFile)
    raise CaseError(
        "domain.path" if path else "domain.periodic",
        getattr(domain, "path", [name]),
        f"the two sides of the periodic axis {name} do not match: {what}",
        "a mesh made with periodic sides (Periodic Line or Surface in gmsh)" if path else "a finer mesh",
    )


def _wide_enough(
    domain: Rectangle | Box | MeshFile, name: str, points: Array, cells: Longs, low: Longs, high: Longs
) -> None:
    reached = np.zeros(len(points), dtype=bool)
    reached[low] = True
    for _ in range(_CELLS - 1):
        reached[cells[np.any(reached[cells], axis=1)]] = True
    if not np.any(reached[high]):
        return
    width = float(points[:, AXES[name]].max() - points[:, AXES[name]].min())
    raise CaseError(
        "domain.path" if isinstance(domain, MeshFile) else "mesh.size",
        getattr(domain, "path", None),
        f"the body, {pretty(width, 'm')} wide along the periodic axis {name}, is less than {_CELLS} cells wide",
        f"cells of at most {pretty(width / (_CELLS + 1), 'm')}",
    )
