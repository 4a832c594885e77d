"""Boundaries with as many points as a mesh of a given size needs, and the same areas on both sides."""

from __future__ import annotations

from typing import Final

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.crossings import conflicts
from chemomech.microstructure.planar import OUTSIDE, PlanarMap
from chemomech.typing import Array, Flags, Longs

# A chain becomes one straight line only if that moves less than this of the smaller grain beside it.
_STRAIGHT: Final = 0.002
_KINK: Final = np.radians(30.0)
_SUM: Final = 0.005
# New points lie no further than this from the old chain, in distances of points.
_SHIFT: Final = 0.35


def resample(plane: PlanarMap, size: float) -> PlanarMap:
    """The same map with points about ``size`` apart along every chain.

    Ends of chains and the kinks of the outline stay; grains keep their areas, except that short, nearly straight
    chains may give way, by 0.5 % of a grain altogether. Chains that would touch others keep more points than asked for,
    in the worst case all they have.

    Args:
        plane: A valid map.
        size: Distance of points, m.

    Raises:
        CaseError: ``size`` is not positive.
    """
    if not (np.isfinite(size) and size > 0.0):
        raise CaseError("size", size, "must be positive", "a length in m")
    pieces = _Pieces(plane)
    counts = np.maximum(np.rint(pieces.lengths / size).astype(np.int64), pieces.least)
    points = np.diff(pieces.starts)
    while True:
        counts = np.minimum(counts, points)
        places = pieces.sampled(counts)
        shift, gap = pieces.corrected(counts, places)
        spare = np.where((counts == 1) & ~pieces.outer, _STRAIGHT, 1e-13) * pieces.room
        coarse = (counts < points) & ((shift > _SHIFT * pieces.lengths / counts) | (np.abs(gap) > spare))
        if coarse.any():
            counts[coarse] = np.maximum(2, counts[coarse] + (counts[coarse] + 1) // 2)
            continue
        new = pieces.drawn(counts, places)
        wrong = np.zeros(len(plane.chains), dtype=bool)
        for chains in conflicts(new).values():
            wrong[chains] = True
        finer = wrong[pieces.chain] & (counts < points)
        if wrong.any() and not finer.any():
            finer = counts < points  # the chain at fault is another one
        finer |= pieces.beside(np.abs(new.areas - plane.areas) > _SUM * plane.areas) & (gap != 0.0)
        if not finer.any():
            return new
        counts[finer] = np.maximum(2, 2 * counts[finer])


class _Pieces:
    """Chains cut at the kinks of the outline; the points of all pieces one after the other."""

    def __init__(self, plane: PlanarMap) -> None:
        self.plane = plane
        self.middle = plane.bounds.mean(axis=0)
        flat = np.concatenate(plane.chains)
        offsets = np.concatenate([[0], np.cumsum([len(chain) for chain in plane.chains])])
        cut = self._kinks(flat, offsets)
        cut[offsets[1:] - 1] = False
        cut[offsets[:-1]] = True
        # A piece runs from its cut to the next one of the same chain, or to the chain's end: both ends belong to it.
        begin = np.flatnonzero(cut)
        self.chain = np.searchsorted(offsets, begin, side="right") - 1
        end = np.minimum(np.append(begin[1:], len(flat)), offsets[self.chain + 1] - 1)
        lengths = end - begin + 1
        self.first = np.concatenate([[0], np.cumsum(lengths)])
        own = np.arange(self.first[-1]) - np.repeat(self.first[:-1], lengths) + np.repeat(begin, lengths)
        self.numbers = flat[own]
        self.starts = np.concatenate([[0], np.cumsum(lengths - 1)])  # counted in segments
        self.points = plane.points[self.numbers] - self.middle
        step = np.hypot(*np.diff(self.points, axis=0).T) if len(self.points) > 1 else np.zeros(0)
        step[self.first[1:-1] - 1] = 0.0
        self.walked = np.concatenate([[0.0], np.cumsum(step)])
        self.lengths = self.walked[self.first[1:] - 1] - self.walked[self.first[:-1]]
        self.swept = _swept(self.points, self.first)
        self.sides = [
            np.where(side == OUTSIDE, len(plane.grains), np.searchsorted(plane.grains, side))[self.chain]
            for side in (plane.left, plane.right)
        ]
        self.outer = self.beside(np.zeros(len(plane.grains), dtype=bool), outside=True)
        areas = np.append(plane.areas, np.inf)
        self.room = np.minimum(*(areas[side] for side in self.sides))
        self.least = self._least()

    def _kinks(self, flat: Longs, offsets: Longs) -> Flags:
        """Points of outer chains where the outline turns."""
        points = self.plane.points[flat]
        ahead = np.diff(points, axis=0)
        cut = np.zeros(len(flat), dtype=bool)
        one, other = ahead[:-1], ahead[1:]
        turn = np.arctan2(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0], np.einsum("ij,ij->i", one, other))
        outer = np.repeat((self.plane.left == OUTSIDE) | (self.plane.right == OUTSIDE), np.diff(offsets))
        cut[1:-1] = (np.abs(turn) > _KINK) & outer[1:-1]
        return cut

    def _least(self) -> Longs:
        """The fewest segments of each piece that leave a polygon: loops need three, all but one of twins two."""
        ends = np.sort(np.stack([self.numbers[self.first[:-1]], self.numbers[self.first[1:] - 1]], axis=1), axis=1)
        least = np.ones(len(ends), dtype=np.int64)
        _, which, uses = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
        least[uses[which.ravel()] > 1] = 2
        least[ends[:, 0] == ends[:, 1]] = 3
        return least

    def beside(self, grains: Flags, outside: bool = False) -> Flags:
        """The pieces beside one of these grains or outside."""
        known = np.append(grains, outside)
        return np.asarray(known[self.sides[0]] | known[self.sides[1]])

    def sampled(self, counts: Longs) -> tuple[Array, Longs]:
        """Equally spaced points along each piece, both ends included, in one array; and where each piece begins."""
        first = np.concatenate([[0], np.cumsum(counts + 1)])
        piece = np.repeat(np.arange(len(counts)), counts + 1)
        within = np.arange(first[-1]) - first[piece]
        share = within / counts[piece]
        at = self.walked[self.first[piece]] + share * self.lengths[piece]
        # Pieces that keep all their points keep them where they are.
        whole = counts == np.diff(self.starts)
        original = np.minimum(self.first[piece] + within, self.first[piece + 1] - 1)
        base = np.clip(np.searchsorted(self.walked, at, side="right") - 1, self.first[piece], self.first[piece + 1] - 2)
        span = self.walked[base + 1] - self.walked[base]
        part = np.clip((at - self.walked[base]) / np.where(span > 0.0, span, 1.0), 0.0, 1.0)[:, None]
        places = (1.0 - part) * self.points[base] + part * self.points[base + 1]
        keep = whole[piece] | (within == 0) | (within == counts[piece])
        end = np.where(within == counts[piece], self.first[piece + 1] - 1, original)
        places[keep] = self.points[end[keep]]
        return places, first

    def corrected(self, counts: Longs, sampled: tuple[Array, Longs]) -> tuple[Array, Array]:
        """Push the inner points sideways, in place, until pieces sweep what they did; how far, and what is missing."""
        places, first = sampled
        piece = np.repeat(np.arange(len(counts)), counts + 1)
        within = np.arange(len(piece)) - first[piece]
        inner = np.flatnonzero((within > 0) & (within < counts[piece]) & (counts < np.diff(self.starts))[piece])
        owner = piece[inner]
        start = places.copy()
        for _ in range(8):
            gap = self.swept - _swept(places, first)
            across = places[inner + 1] - places[inner - 1]
            length = np.maximum(np.hypot(*across.T), 1e-300)
            normal = np.stack([across[:, 1], -across[:, 0]], axis=1) / length[:, None]
            gain = np.bincount(owner, 0.5 * length, len(counts))
            push = np.where(gain > 0.0, gap / np.where(gain > 0.0, gain, 1.0), 0.0)
            # A push beyond half a spacing is none: such pieces get more points anyway.
            limit = 0.5 * self.lengths / counts
            places[inner] += np.clip(push, -limit, limit)[owner][:, None] * normal
        shift = np.zeros(len(counts))
        np.maximum.at(shift, owner, np.hypot(*(places[inner] - start[inner]).T))
        return shift, np.where(counts == np.diff(self.starts), 0.0, self.swept - _swept(places, first))

    def drawn(self, counts: Longs, sampled: tuple[Array, Longs]) -> PlanarMap:
        """The map through these points; pieces of one chain joined again."""
        places, first = sampled
        total = len(self.plane.points)
        piece = np.repeat(np.arange(len(counts)), counts + 1)
        within = np.arange(len(piece)) - first[piece]
        numbers = total + np.arange(len(piece))
        begin, end = within == 0, within == counts[piece]
        numbers[begin] = self.numbers[self.first[:-1]]
        numbers[end] = self.numbers[self.first[1:] - 1]
        points = np.concatenate([self.plane.points, places + self.middle])
        # The last point of a piece is the first of the next one of its chain.
        follows = np.append(self.chain[1:] == self.chain[:-1], False)
        kept = ~(end & follows[piece])
        chain = self.chain[piece[kept]]
        used, new = np.unique(numbers[kept], return_inverse=True)
        cuts = np.flatnonzero(np.diff(chain)) + 1
        return PlanarMap(
            points=points[used],
            chains=tuple(np.split(new.astype(np.int64), cuts)),
            left=self.plane.left,
            right=self.plane.right,
        )


def _swept(points: Array, first: Longs) -> Array:
    """Signed area between each piece and its chord."""
    # Counted from where each piece begins: far from the origin digits would be lost.
    own = points - np.repeat(points[first[:-1]], np.diff(first), axis=0)
    cross = own[:-1, 0] * own[1:, 1] - own[:-1, 1] * own[1:, 0]
    cross[first[1:-1] - 1] = 0.0
    return np.asarray(0.5 * np.add.reduceat(cross, first[:-1]))
