"""Staircases made smooth: boundaries straighten within half a step, grains keep their areas, nothing can cross.

Every edge of a staircase separates two cells. Its middle slides on the line between the centres of these cells, and
nowhere else. Each corner lies in the polygon of the centres around it, and so do the pieces of boundary that run
through there, from side to side: polygons are convex and do not overlap, hence no two boundaries ever touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from chemomech.errors import CaseError
from chemomech.microstructure.planar import OUTSIDE, PlanarMap
from chemomech.microstructure.staircase import Staircase
from chemomech.typing import Array, Flags, Longs

# Of the way from the middle of an edge to the centre of a cell: grains keep a finite width.
_REACH: Final = 0.9
_DAMPING: Final = 0.6
_HASTE: Final = 1.5
_ALONG: Final = 0.02
_EVERY: Final = 4
_LAST: Final = 12
_SOLVED: Final = 1e-4
_BACK: Final = 0.25


def smooth(
    stairs: Staircase,
    iterations: int = 60,
    *,
    moved: float = 0.02,
    junctions: Literal["fixed", "free"] = "fixed",
    outline: Literal["straight", "kept"] = "straight",
) -> PlanarMap:
    """Remove the staircase from the boundaries between grains.

    Boundaries shorten, by successive overrelaxation, while every grain keeps its area. Where a grain cannot, its
    boundaries go back towards the staircase until no more than ``moved`` of it has changed hands. The total area stays
    what it is.

    Args:
        stairs: The map of an image.
        iterations: How often every edge moves; steps twenty cells long need about 50.
        moved: Largest allowed change of the area of a grain, relative.
        junctions: Whether triple points stay at the corners of cells or move within half a step.
        outline: What becomes of the jagged border of a hexagonal grid: a rectangle of the same area, if the image is
            one and ``moved`` allows it, or kept. The border of a square grid never changes.

    Raises:
        CaseError: An argument out of range.
    """
    if iterations < 0:
        raise CaseError("iterations", iterations, "must not be negative", "0 or more")
    if not 0.0 < moved < 1.0:
        raise CaseError("moved", moved, "must be a fraction", "between 0 and 1, such as 0.02")
    straight = outline == "straight" and stairs.grid == "hexagonal"
    corners = _Outline.of(stairs) if straight else None
    strings = _Strings(stairs, corners)
    slides, places = strings.relaxed(iterations, junctions == "free")
    back = strings.backed(slides, places, moved)
    if back is None:
        return smooth(stairs, iterations, moved=moved, junctions=junctions, outline="kept")
    return strings.drawn(slides, places, back)


@dataclass(frozen=True)
class _Outline:
    """A rectangle for the jagged border of a hexagonal grid."""

    low: Array
    high: Array

    @classmethod
    def of(cls, stairs: Staircase) -> _Outline | None:
        """The rectangle of the same area, or None if the image is none."""
        across, along = stairs.step
        nodes = stairs.points[stairs.segments[stairs.border[stairs.segment_chains]].ravel()]
        if not len(nodes):
            return None
        low, high = nodes.min(axis=0), nodes.max(axis=0)
        # The tips of hexagons reach a sixth of a row beyond the mean, their sides a quarter of a step.
        inset = np.array([across / 4.0, along / 6.0])
        low, high = low + inset, high - inset
        if not (high > low).all():
            return None
        excess = (high - low)[0] - stairs.cells * across * along / (high - low)[1]
        low[0], high[0] = low[0] + excess / 2.0, high[0] - excess / 2.0
        found = cls(low, high)
        beside = np.abs(nodes - found.clamped(nodes)[0])
        return found if (beside <= [0.4 * across, 0.3 * along]).all() else None

    def clamped(self, places: Array) -> tuple[Array, Longs]:
        """The nearest places on the rectangle, and on which side: 0 bottom, 1 right, 2 top, 3 left."""
        beside = np.abs(
            np.stack(
                [
                    places[:, 1] - self.low[1],
                    places[:, 0] - self.high[0],
                    places[:, 1] - self.high[1],
                    places[:, 0] - self.low[0],
                ]
            )
        )
        side = np.argmin(beside, axis=0)
        found = np.clip(places, self.low, self.high)
        for number, (axis, value) in enumerate(
            [(1, self.low[1]), (0, self.high[0]), (1, self.high[1]), (0, self.low[0])]
        ):
            found[side == number, axis] = value
        return found, side

    def corner(self, one: int, other: int) -> Array:
        """Where two neighbouring sides meet."""
        x = self.high[0] if 1 in (one, other) else self.low[0]
        y = self.high[1] if 2 in (one, other) else self.low[1]
        return np.array([x, y])


class _Strings:
    """The boundaries within an image: edges that slide, nodes at the corners of cells.

    A place has a number: edges come first, then the nodes.
    """

    def __init__(self, stairs: Staircase, outline: _Outline | None) -> None:
        self.stairs = stairs
        free = ~stairs.border
        self.free = np.flatnonzero(free)
        counts = np.diff(stairs.first_segments)[self.free]
        self.first = np.concatenate([[0], np.cumsum(counts)])
        self.chain = np.repeat(np.arange(len(self.free)), counts)
        self.tails, self.heads = stairs.segments[free[stairs.segment_chains]].T
        self.size = len(self.tails)
        self.middle = stairs.bounds.mean(axis=0)
        nodes = stairs.points - self.middle
        self.corners = nodes
        self.middles = 0.5 * (nodes[self.tails] + nodes[self.heads])
        self.normals = self._normals(nodes[self.heads] - nodes[self.tails])
        self.before, self.after = np.arange(self.size) - 1, np.arange(self.size) + 1
        uses = np.bincount(stairs.ends.ravel(), minlength=len(nodes))
        begin, end = self.first[:-1], self.first[1:] - 1
        round_ = (self.tails[begin] == self.heads[end]) & (uses[self.tails[begin]] == 2)
        self.before[begin] = np.where(round_, end, self.size + self.tails[begin])
        self.after[end] = np.where(round_, begin, self.size + self.heads[end])
        self.round = round_
        grains = stairs.grains
        self.left, self.right = (
            np.where(side == OUTSIDE, len(grains), np.searchsorted(grains, side))[self.free]
            for side in (stairs.left, stairs.right)
        )
        self.outer = [stairs.chains[chain] for chain in np.flatnonzero(stairs.border)]
        self.placed = nodes.copy()
        self.extra = np.zeros((0, 2))
        if outline is not None:
            self._straighten(outline)
        on_border = np.zeros(len(nodes), dtype=bool)
        for chain in self.outer:
            on_border[chain[chain < len(nodes)]] = True
        self.movable: Flags = (uses >= 3) & ~on_border

    def _normals(self, along: Array) -> Array:
        """From the middle of each edge to the centre of the cell on its left."""
        across, rows = self.stairs.step
        upright = np.abs(along[:, 0]) < 0.25 * across
        width = np.where(upright, across / 2.0, across / 4.0 if self.stairs.grid == "hexagonal" else 0.0)
        height = np.where(upright, 0.0, rows / 2.0)
        return np.stack([-np.sign(along[:, 1]) * width, np.sign(along[:, 0]) * height], axis=1)

    def _straighten(self, outline: _Outline) -> None:
        nodes = len(self.corners)
        corners: list[Array] = []
        outer = []
        for chain in self.outer:
            places, side = outline.clamped(self.corners[chain] + self.middle)
            self.placed[chain] = places - self.middle
            path = [] if chain[0] == chain[-1] else [int(chain[0])]
            for one, other in zip(side[:-1].tolist(), side[1:].tolist(), strict=True):
                if one != other:
                    path.append(nodes + len(corners))
                    corners.append(outline.corner(one, other) - self.middle)
            path.append(path[0] if chain[0] == chain[-1] else int(chain[-1]))
            outer.append(np.asarray(path, dtype=np.int64))
        self.outer = outer
        self.extra = np.reshape(corners, (-1, 2))

    # ---- areas ---------------------------------------------------------------------------------------
    @cached_property
    def _outer_areas(self) -> Array:
        """What the border contributes to the area of each grain, and of outside at the end."""
        nodes = np.concatenate([self.placed, self.extra])
        grains = self.stairs.grains
        areas = np.zeros(len(grains) + 1)
        for number, chain in zip(np.flatnonzero(self.stairs.border), self.outer, strict=True):
            swept = 0.5 * float(_cross(nodes[chain[:-1]], nodes[chain[1:]]).sum())
            for side, sign in ((self.stairs.left, 1.0), (self.stairs.right, -1.0)):
                areas[np.searchsorted(grains, side[number]) if side[number] >= 0 else -1] += sign * swept
        return areas

    def excess(self, places: Array, back: Array) -> Array:
        """By how much each grain is too large, m^2."""
        edges, bends, inner = self._paths(places, back)
        swept = np.where(
            inner,
            _cross(edges, bends) + _cross(bends, edges[np.where(inner, self.after, 0)]),
            _cross(edges, places[self.after]),
        )
        begin = self.before >= self.size
        swept[begin] += _cross(places[self.before[begin]], edges[begin])
        sums = 0.5 * np.bincount(self.chain, swept, len(self.free))
        size = len(self.stairs.grains) + 1
        areas = self._outer_areas + np.bincount(self.left, sums, size) - np.bincount(self.right, sums, size)
        return np.asarray(areas[:-1] - self.stairs.areas)

    def _paths(self, places: Array, back: Array) -> tuple[Array, Array, Flags]:
        """Places of the edges, of the bends after each, and whether the chain goes on there."""
        edges = places[: self.size]
        inner = self.after < self.size
        share = back[self.chain][:, None]
        bends = share * self.corners[self.heads] + (1.0 - share) * 0.5 * (edges + places[self.after])
        return edges, bends, inner

    # ---- relaxation ----------------------------------------------------------------------------------
    def relaxed(self, iterations: int, free: bool) -> tuple[Array, Array]:
        """How far each edge slides, in half distances of cells, and where the nodes go."""
        slides = np.zeros(self.size)
        places = np.concatenate([self.middles, self.placed])
        if not self.size:
            return slides, self.placed
        square = np.einsum("ij,ij->i", self.normals, self.normals)
        second = (np.arange(self.size) - self.first[self.chain]) % 2 == 1
        turns = [np.flatnonzero(~second), np.flatnonzero(second)]
        for left in reversed(range(iterations)):
            # The last steps are short, with areas right after each: small grains become round.
            haste = _HASTE if left >= _LAST else _HASTE / 3.0
            for edges in turns:
                # Towards the line between the neighbours; not if that runs along the way of the edge.
                line = places[self.after[edges]] - places[self.before[edges]]
                beside = _cross(places[edges] - places[self.before[edges]], line)
                gain = _cross(self.normals[edges], line)
                step = beside * gain / (gain**2 + _ALONG * square[edges] * np.einsum("ij,ij->i", line, line))
                slides[edges] = np.clip(slides[edges] - haste * step, -_REACH, _REACH)
                places[edges] = self.middles[edges] + slides[edges, None] * self.normals[edges]
            if free:
                self._move(places)
            if left % _EVERY == 0 or left < _LAST:
                slides = self._balanced(places, slides)
        for _ in range(12 if iterations else 0):
            worst = np.max(np.abs(self.excess(places, np.zeros(len(self.free)))) / self.stairs.areas, initial=0.0)
            if worst < 1e-13:
                break
            slides = self._balanced(places, slides)
        return slides, places[self.size :].copy()

    def _slide(self, places: Array, slides: Array) -> None:
        places[: self.size] = self.middles + slides[:, None] * self.normals

    def _move(self, places: Array) -> None:
        """Junctions go towards the mean of their neighbours, which lies within the polygon of the cells around."""
        begin, end = self.before >= self.size, self.after >= self.size
        nodes = np.concatenate([self.before[begin], self.after[end]]) - self.size
        near = np.concatenate([places[: self.size][begin], places[: self.size][end]])
        count = np.bincount(nodes, minlength=len(self.placed))
        mean = np.stack([np.bincount(nodes, near[:, k], len(count)) for k in range(2)], axis=1).astype(float)
        which = np.flatnonzero(self.movable & (count >= 3))
        if not len(which):
            return
        mean[which] /= count[which, None]
        places[self.size + which] += _DAMPING * (mean[which] - places[self.size + which])

    def _balanced(self, places: Array, slides: Array) -> Array:
        """Pressures in the grains push their boundaries until areas are right, as far as edges can slide."""
        excess = self.excess(places, np.zeros(len(self.free)))
        across = places[self.after] - places[self.before]
        # By how much area the left side shrinks if the edge slides to the left by one.
        gain = np.maximum(0.5 * _cross(across, self.normals), 0.0)
        # Edges that would slide along the boundary stay, and so do those at the end of their way.
        weight = gain / np.maximum(0.5 * np.hypot(*across.T) * np.hypot(*self.normals.T), np.finfo(float).tiny)
        push = self._push(gain * weight, excess)
        weight *= np.clip(1.0 - np.sign(push) * slides / _REACH, 0.0, 1.0)
        push = self._push(gain * weight, excess)
        slides = np.clip(slides + weight * push, -_REACH, _REACH)
        self._slide(places, slides)
        return np.asarray(slides)

    def _push(self, gain: Array, excess: Array) -> Array:
        """How far to push each edge, if areas change by ``gain`` for one."""
        weight = np.bincount(self.chain, gain, len(self.free))
        size = len(self.stairs.grains)
        one, other = np.concatenate([self.left, self.right]), np.concatenate([self.right, self.left])
        both = np.concatenate([weight, weight])
        inner = (one < size) & (other < size)
        diagonal = np.bincount(one, both, size + 1)[:size].astype(float)
        if not (diagonal > 0.0).any() or not excess.any():
            return np.zeros(self.size)
        # Grains without a way out share a pressure nobody needs to know.
        diagonal += 1e-12 * float(diagonal.max())
        matrix = sparse.coo_array((-both[inner], (one[inner], other[inner])), shape=(size, size)).tocsc()
        matrix = (matrix + sparse.diags_array(diagonal)).tocsc()
        # What an inexact solution leaves, the next one finds.
        solution, _ = cg(matrix, excess, rtol=_SOLVED, maxiter=500, M=sparse.diags_array(1.0 / diagonal))
        pressure = np.append(solution, 0.0)
        return np.asarray(np.clip((pressure[self.left] - pressure[self.right])[self.chain], -_REACH, _REACH))

    # ---- the way back --------------------------------------------------------------------------------
    def backed(self, slides: Array, nodes: Array, moved: float) -> Array | None:
        """How far each chain goes back to the staircase (1), so that no grain changes by more than ``moved``."""
        back = np.zeros(len(self.free))
        while True:
            excess = self.excess(self._mixed(slides, nodes, back), back)
            bad = np.append(np.abs(excess) > 0.999 * moved * self.stairs.areas, False)
            hit = bad[self.left] | bad[self.right]
            if not hit.any():
                return back if not bad.any() else None
            if np.all(back[hit] == 1.0):
                return None
            back[hit] = np.minimum(back[hit] + _BACK, 1.0)

    def _mixed(self, slides: Array, nodes: Array, back: Array) -> Array:
        share = back[self.chain]
        edges = self.middles + ((1.0 - share) * slides)[:, None] * self.normals
        ends = self.stairs.ends[self.free]
        still = np.zeros(len(nodes))
        for k in range(2):
            np.maximum.at(still, ends[:, k], back)
        return np.concatenate([edges, nodes + still[:, None] * (self.placed - nodes)])

    def drawn(self, slides: Array, nodes: Array, back: Array) -> PlanarMap:
        """The map, with as few points as show the boundaries."""
        places = self._mixed(slides, nodes, back)
        _, bends, _ = self._paths(places, back)
        points = np.concatenate([places, self.extra, bends])
        after_nodes = self.size + len(nodes) + len(self.extra)
        chains: list[Longs] = list(self.stairs.chains)
        for number, chain in zip(np.flatnonzero(self.stairs.border).tolist(), self.outer, strict=True):
            chains[number] = self.size + chain
        for k, number in enumerate(self.free.tolist()):
            edges = np.arange(self.first[k], self.first[k + 1])
            if back[k] == 1.0:
                chains[number] = self.size + self.stairs.chains[number]
                continue
            path = np.stack([edges, after_nodes + edges], axis=1).ravel() if back[k] else edges
            if self.round[k]:
                chains[number] = np.append(path, path[0])
            else:
                inner = path[:-1] if back[k] else path
                ends = self.size + self.stairs.chains[number][[0, -1]]
                chains[number] = np.concatenate([ends[:1], inner, ends[1:]])
        points += self.middle
        still = np.flatnonzero((nodes == self.corners).all(axis=1))
        points[self.size + still] = self.stairs.points[still]  # to the last digit
        used, numbers = np.unique(np.concatenate(chains), return_inverse=True)
        cuts = np.cumsum([len(chain) for chain in chains])[:-1]
        return PlanarMap(
            points=points[used],
            chains=tuple(np.split(numbers.astype(np.int64), cuts)),
            left=self.stairs.left,
            right=self.stairs.right,
        )


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
