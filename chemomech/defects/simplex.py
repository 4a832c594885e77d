"""Means of functions over simplices, by adaptive bisection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chemomech.typing import Array

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


def sampled_averages(function: Callable[[Array], Array], vertices: Array, chunk: int = 200_000) -> Array:
    """Mean of ``function`` over each simplex by one application of the rule, for simplices in which it is smooth."""
    parts = [_mean(function, vertices[start : start + chunk]) for start in range(0, len(vertices), chunk)]
    return np.concatenate(parts) if parts else _mean(function, vertices)


def cell_averages(
    function: Callable[[Array], Array], vertices: Array, tolerance: float, max_depth: int = 40, chunk: int = 200_000
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
        stop = min(start + chunk, len(vertices))
        current = vertices[start:stop]
        owner = np.arange(start, stop)
        weight = np.ones(stop - start)
        coarse = _mean(function, current)
        for depth in range(max_depth + 1):
            left, right = _bisect(current)
            a, b = _mean(function, left), _mean(function, right)
            fine = 0.5 * (a + b)
            # The first halving may fool a symmetric rule, so every cell is halved at least twice.
            done = (np.max(np.abs(fine - coarse), axis=1) * weight < tolerance) & (depth >= 1) | (depth == max_depth)
            np.add.at(out, owner[done], weight[done, None] * fine[done])
            keep = ~done
            if not keep.any():
                break
            current = np.concatenate([left[keep], right[keep]])
            coarse = np.concatenate([a[keep], b[keep]])
            owner = np.concatenate([owner[keep], owner[keep]])
            weight = 0.5 * np.concatenate([weight[keep], weight[keep]])
    return out
