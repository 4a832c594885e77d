"""Means of functions over simplices, by adaptive bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chemomech.typing import Array, Ints, Longs


@dataclass(frozen=True, slots=True)
class Simplices:
    """Corners of many simplices that share them; parts of it are arrays of corners, as of one of shape ``shape``.

    Attributes:
        points: Places of the nodes, shape (nodes, 3), m.
        cells: Nodes of the simplices, shape (cells, 3 or 4).
    """

    points: Array
    cells: Ints

    @property
    def shape(self) -> tuple[int, int, int]:
        """(cells, corners, 3)."""
        return (*self.cells.shape, 3)

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, some: slice | Longs | Ints) -> Array:
        return np.asarray(self.points[self.cells[some]])


# Symmetric rules in barycentric coordinates, exact to degree 5 (triangle) and 2 (tetrahedron).
_SQRT15 = 15.0**0.5


def _triangle() -> tuple[Array, Array]:
    a, b = (6.0 - _SQRT15) / 21.0, (6.0 + _SQRT15) / 21.0
    points = [[1 / 3, 1 / 3, 1 / 3]]
    for t in (a, b):
        points += [[1 - 2 * t, t, t], [t, 1 - 2 * t, t], [t, t, 1 - 2 * t]]
    weights = [9 / 40] + [(155 - _SQRT15) / 1200] * 3 + [(155 + _SQRT15) / 1200] * 3
    return np.array(points), np.array(weights)


def _tetrahedron() -> tuple[Array, Array]:
    t = (5.0 - 5.0**0.5) / 20.0
    return np.full((4, 4), t) + (1.0 - 4.0 * t) * np.eye(4), np.full(4, 0.25)


_RULES = {3: _triangle(), 4: _tetrahedron()}
ORDER = {3: 6, 4: 3}  # of the first terms of a Taylor series that the rules miss, by the number of corners


def rule(corners: int) -> tuple[Array, Array]:
    """Barycentric coordinates (q, corners) and weights (q,) of the rule for a simplex."""
    return _RULES[corners]


def _mean(function: Callable[[Array], Array], vertices: Array) -> Array:
    points, weights = _RULES[vertices.shape[1]]
    x = np.einsum("qk,ckd->cqd", points, vertices)
    values = function(x.reshape(-1, 3))
    values = values.reshape(len(vertices), len(weights), int(np.prod(values.shape[1:])))
    return np.asarray(np.einsum("cqv,q->cv", values, weights))


def _bisect(vertices: Array) -> tuple[Array, Array]:
    """Halve every simplex at its longest edge."""
    n, k = vertices.shape[:2]
    i, j = np.triu_indices(k, 1)
    length = np.linalg.norm(vertices[:, i] - vertices[:, j], axis=2)
    longest = np.argmax(length, axis=1)
    rows = np.arange(n)
    middle = 0.5 * (vertices[rows, i[longest]] + vertices[rows, j[longest]])
    left, right = vertices.copy(), vertices.copy()
    left[rows, j[longest]] = middle
    right[rows, i[longest]] = middle
    return left, right


def sampled_averages(function: Callable[[Array], Array], vertices: Array) -> Array:
    """Mean of ``function`` over each simplex by one application of the rule, for simplices in which it is smooth."""
    return _mean(function, vertices)


def cell_averages(
    function: Callable[[Array], Array], vertices: Array, tolerance: float, max_depth: int = 40, chunk: int = 20_000
) -> Array:
    """Mean of ``function`` over each simplex.

    A simplex is halved until the mean from its two halves differs by less than ``tolerance``.

    Args:
        function: Maps points (n, 3) to values (n,) or (n, ...).
        vertices: Corners, shape (cells, 3 or 4, 3).
        tolerance: Allowed error of a mean, in the units of ``function``.
        max_depth: Halvings after which a simplex is taken as it is.
        chunk: Simplices treated at once, a bound on memory.

    Returns:
        Means, shape (cells, k) for k numbers per value.
    """
    out = np.zeros((len(vertices), function(vertices[:1, 0]).size if len(vertices) else 1))
    for start in range(0, len(vertices), chunk):
        some = vertices[start : start + chunk]
        out[start : start + chunk] = averages(lambda x, _: function(x), some, tolerance, max_depth)
    return out


def averages(
    function: Callable[[Array, Longs], Array], vertices: Array, tolerance: Array | float, max_depth: int = 40
) -> Array:
    """As ``cell_averages``, of a function for each simplex.

    Args:
        function: Maps points (n, 3) and the numbers (n,) of the simplices they belong to, to values (n, ...).
        vertices: Corners, shape (cells, 3 or 4, 3).
        tolerance: Allowed error of a mean; one, or one for each simplex.
        max_depth: Halvings after which a simplex is taken as it is.
    """
    allowed = np.broadcast_to(np.asarray(tolerance, dtype=float), len(vertices))
    current, owner, weight = vertices, np.arange(len(vertices)), np.ones(len(vertices))

    def mean(of: Array) -> Array:
        q = len(_RULES[of.shape[1]][1])
        return _mean(lambda x: function(x, np.repeat(owner, q)), of)

    coarse = mean(current)
    out = np.zeros_like(coarse)
    for depth in range(max_depth + 1):
        left, right = _bisect(current)
        a, b = mean(left), mean(right)
        fine = 0.5 * (a + b)
        # The first halving may fool a symmetric rule, so every cell is halved at least twice.
        small = np.max(np.abs(fine - coarse).T, axis=0) * weight < allowed[owner]
        done = small & (depth >= 1) | (depth == max_depth)
        np.add.at(out, owner[done], weight[done, None] * fine[done])
        keep = ~done
        if not keep.any():
            break
        current = np.concatenate([left[keep], right[keep]])
        coarse = np.concatenate([a[keep], b[keep]])
        owner = np.concatenate([owner[keep], owner[keep]])
        weight = 0.5 * np.concatenate([weight[keep], weight[keep]])
    return out
