"""Sums over thousands of lines by a tree of boxes.

In a square box of half side h the field of a line at a distance r > 3h from its center is analytic, and polynomials of
degree p - 1 along each side miss about (r/h + ((r/h)^2 - 1)^(1/2))^-p of it (interpolation at Chebyshev points;
Trefethen, Approximation Theory and Approximation Practice, SIAM 2013, theorem 8.2). So the sum of all such lines is
evaluated at p x p points only. A box adds the lines that were too near for the box it is a quarter of, and takes over
the polynomials of that box; lines too near for the smallest boxes are left to direct summation. The cost grows as
lines + targets, times the depth of the tree, instead of lines times targets (one half of the fast multipole method of
Greengard and Rokhlin, J. Comput. Phys. 73, 325, 1987; with polynomials, Fong and Darve, J. Comput. Phys. 228, 8712,
2009).

Boxes are squares of side 2^-n m on a grid fixed by the lines, and which of them holds a target depends on the target
alone: results do not depend on which other targets there are, and so not on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log, log2

import numpy as np

from chemomech.defects.bundles import Bundle, Displacement
from chemomech.typing import Array, Flags, Longs

FAR = 3.0
"""Distance over the half side of a box from which polynomials are used."""
BLOCK = 1 << 15
"""Values per component computed at once, a bound on memory that keeps them in the cache."""
_MARGIN = 1.25
"""Size of a polynomial's square over that of its box: targets may stick out."""
_RATE = 4.68
"""Factor gained per point at the distance ``FAR``, in the direction of the diagonal."""


def order(tolerance: float) -> int:
    """Points along the side of a box for errors of ``tolerance`` b/a per line, or b for displacements."""
    return max(3, ceil(log(10.0 / tolerance) / log(_RATE)))


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one size.

    Attributes:
        targets: Those in any of the boxes, sorted by box.
        starts: Where the targets of each box start, and the end, shape (boxes + 1,).
        ends: Targets of ``targets`` for which there are no smaller boxes.
        centers: In the plane, m, shape (boxes, 2).
        half: Half side of the polynomials' squares, m.
        coefficients: Of products of Chebyshev polynomials, shape (boxes, components, p, p).
        near: Numbers of lines too near, box by box.
        offsets: Where those of each box start in ``near``, shape (boxes + 1,).
        steps: For displacements: boxes, lines and counts of steps to be added at all ``targets``.
    """

    targets: Longs
    starts: Longs
    ends: Flags
    centers: Array
    half: float
    coefficients: Array
    near: Longs
    offsets: Longs
    steps: tuple[Longs, Longs, Array]

    @property
    def box(self) -> Longs:
        """The box of each target."""
        return np.repeat(np.arange(len(self.centers)), np.diff(self.starts))


def level_of(size: Array) -> Longs:
    """The smallest boxes, of side 2^-n m, that are still eight times as large as targets of some size, n."""
    return np.floor(-np.log2(8.0 * size)).astype(np.int64)


def ranges(starts: Longs, counts: Longs) -> Longs:
    """start, start + 1, ... for each of some ranges, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + counts, counts)


def descend(bundle: Bundle, places: Array, finest: Longs | None, tolerance: float) -> Iterator[Boxes]:
    """Go through the boxes from the largest to the smallest, as long as lines are near.

    Args:
        bundle: The lines.
        places: Centers of the targets in the plane, m, shape (n, 2).
        finest: The size of the smallest boxes for each target (``level_of``), shape (n,). If there is none, boxes end
            where they hold fewer targets than polynomials; sums at a target then depend on what others there are, by
            less than the tolerance.
        tolerance: See ``order``.
    """
    if not len(places):
        return
    origin = bundle.places.min(axis=0) - 0.381966 * bundle.core.max()
    lows, highs = (f([f(places, axis=0), f(bundle.places, axis=0)], axis=0) for f in (np.min, np.max))
    # No line is far from a box as large as all of this.
    level = -ceil(log2(2.0 * (np.linalg.norm(highs - lows) + bundle.core.max())))
    polynomials = Polynomials(order(tolerance))
    active = np.arange(len(places))
    coefficients = near = offsets = parents = None
    while len(active):
        side = 2.0**-level
        index = np.floor((places[active] - origin) / side).astype(np.int64)
        low = index.min(axis=0)
        width = int(index[:, 1].max() - low[1]) + 1
        keys, box = np.unique((index[:, 0] - low[0]) * width + index[:, 1] - low[1], return_inverse=True)
        by_box = np.argsort(box, kind="stable")
        targets, box = active[by_box], box[by_box]
        squares = np.stack(np.divmod(keys, width), axis=1) + low
        centers = origin + side * (squares + 0.5)
        half = 0.5 * side * _MARGIN
        if coefficients is None or near is None or offsets is None or parents is None:
            count = np.full(len(keys), len(bundle))
            owner, lines = np.repeat(np.arange(len(keys)), len(bundle)), np.tile(np.arange(len(bundle)), len(keys))
            values = np.zeros((len(keys), bundle.components, polynomials.order, polynomials.order))
        else:
            old_keys, old_low, old_width = parents
            up = squares >> 1
            parent = np.searchsorted(old_keys, (up[:, 0] - old_low[0]) * old_width + up[:, 1] - old_low[1])
            values = polynomials.of_quarters(coefficients[parent], squares & 1)
            count = np.diff(offsets)[parent]
            owner = np.repeat(np.arange(len(keys)), count)
            lines = near[ranges(offsets[parent], count)]
        far = bundle.distance(centers[owner], lines) >= FAR * half
        steps = _add_far(bundle, polynomials, values, centers, half, owner[far], lines[far])
        near = lines[~far]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[~far], minlength=len(keys)))])
        starts = np.searchsorted(box, np.arange(len(keys) + 1))
        last = np.diff(offsets) == 0
        if finest is None:
            last |= np.diff(starts) < 2 * polynomials.order**2
        ends = last[box] if finest is None else last[box] | (finest[targets] <= level)
        yield Boxes(targets, starts, ends, centers, half, values, near, offsets, steps)
        coefficients, parents = values, (keys, low, width)
        active = targets[~ends]
        level += 1


def _add_far(
    bundle: Bundle, polynomials: Polynomials, values: Array, centers: Array, half: float, boxes: Longs, lines: Longs
) -> tuple[Longs, Longs, Array]:
    """Add far lines to the coefficients of boxes; gives the steps left out."""
    p = polynomials.order
    kept = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))]
    block = max(1, BLOCK // p**2)
    for start in range(0, len(boxes), block):
        box, which = boxes[start : start + block], lines[start : start + block]
        points = centers[box][:, None] + half * polynomials.grid
        if isinstance(bundle, Displacement):
            behind = bundle.behind(centers[box], which, FAR * half)
            found = bundle.evaluate_smooth(points, which, behind)
            steps = np.flatnonzero(~np.isnan(behind) & (behind != bundle.forward[which]))
            kept.append((box[steps], which[steps], behind[steps]))
        else:
            found = bundle.evaluate(points, which)
        first = np.flatnonzero(np.diff(box, prepend=-1))
        sums = np.add.reduceat(found, first, axis=1).reshape(len(found), len(first), p, p)
        values[box[first]] += polynomials.coefficients(sums.transpose(1, 0, 2, 3))
    box, which, behind = (np.concatenate(part) for part in zip(*kept, strict=True))
    return box, which, behind


class Polynomials:
    """Interpolation at products of Chebyshev points in the square [-1, 1]^2.

    Args:
        order: Points along a side, p.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        angles = (np.arange(order) + 0.5) * np.pi / order
        x = np.cos(angles)
        self.grid = np.stack([np.repeat(x, order), np.tile(x, order)], axis=1)
        self._fit = 2.0 / order * np.cos(np.arange(order)[:, None] * angles)
        self._fit[0] *= 0.5
        half = 0.5 / _MARGIN
        self._quarters = np.array([self._fit @ self.at(0.5 * x + sign * half) for sign in (-1.0, 1.0)])

    def at(self, x: Array) -> Array:
        """The polynomials at points, shape (..., p)."""
        out = np.empty((*x.shape, self.order))
        out[..., 0], out[..., 1] = 1.0, x
        for k in range(2, self.order):
            out[..., k] = 2.0 * x * out[..., k - 1] - out[..., k - 2]
        return out

    def coefficients(self, values: Array) -> Array:
        """From values (..., p, p) on the grid to coefficients."""
        return np.asarray(self._fit @ values @ self._fit.T)

    def of_quarters(self, coefficients: Array, which: Longs) -> Array:
        """Coefficients (n, components, p, p) in quarters of boxes, given by 0 or 1 along each side, (n, 2)."""
        a, b = self._quarters[which[:, 0]][:, None], self._quarters[which[:, 1]][:, None]
        return np.asarray(a @ coefficients @ b.swapaxes(-1, -2))

    def sums(self, coefficients: Array, points: Array, weights: Array) -> Array:
        """Weighted sums of the polynomials at points of [-1, 1]^2.

        Args:
            coefficients: Shape (k, components, p, p).
            points: Shape (k, q, 2).
            weights: Shape (q, sums).

        Returns:
            Shape (k, components, sums).
        """
        x, y = self.at(points[..., 0]), self.at(points[..., 1])
        if weights.shape[1] == 1:
            matrix = (x * weights).swapaxes(-1, -2) @ y
            return np.asarray(np.einsum("kcij,kij->kc", coefficients, matrix)[..., None])
        # (k, c, i, j) (k, q, j) -> (k, c, i, q), then with (k, q, i)
        along = coefficients @ y.swapaxes(-1, -2)[:, None]
        return np.asarray(np.einsum("kciq,kqi->kcq", along, x) @ weights)
