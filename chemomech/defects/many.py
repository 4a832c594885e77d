"""Sums over many parallel lines at points and in cells, most of them by way of a tree of boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from chemomech.defects.bundles import Bundle, Displacement
from chemomech.defects.simplex import Simplices
from chemomech.defects.tree import BLOCK, Boxes, Polynomials, descend, level_of, order, ranges
from chemomech.typing import Array, Flags, Longs

POINTS = 1e-7
"""Error of a sum at points, per line, relative to b/a, or to b for displacements."""

type Add = Callable[[Longs, Array], None]
type Refine = Callable[[Array, Longs, Longs], tuple[Flags, Array]]


def point_sums(bundle: Bundle, points: Array, tolerance: float = POINTS) -> Array:
    """Sum of the values of all lines at points of shape (n, 3), m; shape (components, n)."""
    where = bundle.flat(points)
    out = np.zeros((bundle.components, len(points)))

    def add(some: Longs, values: Array) -> None:
        out[:, some] += values[..., 0]

    _sums(bundle, where, None, lambda some: where[some][:, None], np.ones((1, 1)), tolerance, add, None)
    return out


def cell_sums(
    bundle: Bundle,
    vertices: Array | Simplices,
    corners: Array,
    weights: Array,
    tolerance: float,
    add: Add,
    refine: Refine | None = None,
) -> None:
    """Weighted sums of the values of all lines at points in every cell.

    Args:
        bundle: The lines.
        vertices: Corners of the simplices, shape (cells, corners, 3), m.
        corners: Barycentric coordinates of the points, shape (q, corners).
        weights: Shape (q, sums): the weights of a rule for means, or one for each point.
        tolerance: Error per line, relative to b/a.
        add: Takes the numbers of some cells, each once, and a part of their sums, shape (components, those, sums).
        refine: Takes the corners of some simplices, and the numbers of simplices and lines of some pairs, and gives
            the pairs that need more points, and their sums, shape (components, those, sums).
    """
    size = np.empty(len(vertices))
    centers = np.empty((len(vertices), 2))
    for some in blocks(len(vertices)):
        x = vertices[some]
        centers[some] = bundle.flat(x.mean(axis=1))
        size[some] = reaches(x)

    def places(some: Longs) -> Array:
        return np.asarray(corners @ bundle.flat(vertices[some]))

    finer = None if refine is None else partial(_of_cells, vertices, refine)
    _sums(bundle, centers, size, places, weights, tolerance, add, finer)


def _of_cells(
    vertices: Array | Simplices, refine: Refine, cells: Longs, owner: Longs, which: Longs
) -> tuple[Flags, Array]:
    return refine(vertices[cells], owner, which)


def blocks(n: int, size: int = 20_000) -> Iterator[slice]:
    """Slices that bound the memory of what is computed for n things."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def reaches(vertices: Array) -> Array:
    """Largest distance of a corner from the center of each simplex, m."""
    apart = vertices - vertices.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.max(np.einsum("ckd,ckd->kc", apart, apart), axis=0)))


def _sums(
    bundle: Bundle,
    centers: Array,
    size: Array | None,
    places: Callable[[Longs], Array],
    weights: Array,
    tolerance: float,
    add: Add,
    refine: Callable[[Longs, Longs, Longs], tuple[Flags, Array]] | None,
) -> None:
    """What ``cell_sums`` does, with the points of some targets from ``places``."""
    polynomials = Polynomials(order(tolerance))
    for boxes in descend(bundle, centers, None if size is None else level_of(size), tolerance):
        box = boxes.box
        if isinstance(bundle, Displacement):
            _add_steps(bundle, boxes, places, weights, add)
        done = np.flatnonzero(boxes.ends)
        pairs = np.diff(boxes.offsets)[box[done]]
        for some in _portions(np.full(len(done), 4 * len(weights)), BLOCK):
            b = box[done[some]]
            x = (places(boxes.targets[done[some]]) - boxes.centers[b][:, None]) / boxes.half
            for part in blocks(len(b), max(1, 20 * BLOCK // boxes.coefficients[0].size)):
                found = polynomials.sums(boxes.coefficients[b[part]], x[part], weights)
                add(boxes.targets[done[some][part]], found.swapaxes(0, 1))
        near = done[pairs > 0]
        pairs = pairs[pairs > 0]
        for some in _portions(pairs * len(weights), BLOCK):
            targets = boxes.targets[near[some]]
            which = boxes.near[ranges(boxes.offsets[box[near[some]]], pairs[some])]
            owner = np.repeat(np.arange(len(targets)), pairs[some])
            found = _near(bundle, targets, owner, which, places, weights, refine)
            add(targets, np.add.reduceat(found, np.flatnonzero(np.diff(owner, prepend=-1)), axis=1))


def _near(
    bundle: Bundle,
    targets: Longs,
    owner: Longs,
    which: Longs,
    places: Callable[[Longs], Array],
    weights: Array,
    refine: Callable[[Longs, Longs, Longs], tuple[Flags, Array]] | None,
) -> Array:
    """Sums for pairs of targets[owner] and lines, (components, pairs, sums)."""
    if refine is None:
        found = bundle.evaluate(places(targets)[owner], which)
        return found if np.array_equal(weights, np.eye(len(weights))) else found @ weights
    rough, values = refine(targets, owner, which)
    out = np.empty((len(values), len(which), weights.shape[1]))
    out[:, rough] = values
    smooth = np.flatnonzero(~rough)
    out[:, smooth] = bundle.evaluate(places(targets)[owner[smooth]], which[smooth]) @ weights
    return out


def _add_steps(bundle: Displacement, boxes: Boxes, places: Callable[[Longs], Array], weights: Array, add: Add) -> None:
    """Add the steps that the polynomials of these boxes leave out."""
    box, lines, behind = boxes.steps
    firsts = np.searchsorted(box, np.arange(len(boxes.centers) + 1))
    for k in np.flatnonzero(np.diff(firsts)):
        targets = boxes.targets[boxes.starts[k] : boxes.starts[k + 1]]
        points = places(targets).reshape(-1, 2)
        for some in blocks(firsts[k + 1] - firsts[k], max(1, BLOCK // len(points))):
            part = slice(firsts[k] + some.start, firsts[k] + some.stop)
            found = bundle.steps(points, lines[part], behind[part])
            add(targets, found.reshape(len(found), len(targets), -1) @ weights)


def _portions(costs: Longs, limit: int) -> Iterator[slice]:
    """Slices of things whose costs add up to about ``limit``, at least one thing each."""
    total = np.cumsum(costs)
    start = 0
    while start < len(costs):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + limit, side="right")))
        yield slice(start, stop)
        start = stop
