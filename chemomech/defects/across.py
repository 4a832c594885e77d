"""Points seen along parallel lines: which are near a line, without asking all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from chemomech.typing import Array, Longs

if TYPE_CHECKING:
    from chemomech.defects.dislocations import Line


class Across:
    """Points projected along a line, and folded into one period of a row.

    Args:
        points: Shape (n, 3), m.
        line: A line; others may have another place and Burgers vector, but no other direction and period.
    """

    def __init__(self, points: Array, line: Line) -> None:
        self._axes, self._period = line.frame[:2], line.period
        box = None if line.period is None else [line.period, 0.0]
        self._tree = cKDTree(self._flat(points), boxsize=box) if len(points) else None

    def _flat(self, points: Array) -> Array:
        x = np.asarray(points @ self._axes.T)
        if self._period is not None:
            x[..., 0] -= self._period * np.floor(x[..., 0] / self._period)
            x[..., 0][x[..., 0] >= self._period] = 0.0  # rounding
        return x

    @staticmethod
    def key(line: Line) -> tuple[float, ...]:
        """The same for lines that may share one object."""
        direction = np.round(line.frame[2], 9)
        first = direction[np.flatnonzero(direction)[0]]
        return (*(direction * np.sign(first) + 0.0).tolist(), line.period or 0.0)

    def within(self, line: Line, radius: float) -> Longs:
        """Numbers of the points nearer to a line, or to any of its row, than ``radius``, in order."""
        if self._tree is None:
            return np.zeros(0, dtype=np.int64)
        found = self._tree.query_ball_point(self._flat(line.position[None])[0], radius)
        return np.sort(np.array(found, dtype=np.int64))

    def least(self, line: Line) -> float:
        """Distance of the nearest point from a line, m; infinite without points."""
        return np.inf if self._tree is None else float(self._tree.query(self._flat(line.position[None])[0])[0])

    def count(self, points: Array, radius: float) -> Array:
        """How many of these points other points (n, 3) have within ``radius``, shape (n,)."""
        if self._tree is None:
            return np.zeros(len(points))
        found = self._tree.query_ball_point(self._flat(points), radius, return_length=True)
        return np.asarray(found, dtype=float)
