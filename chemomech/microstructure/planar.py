"""A plane region cut into grains by polylines: areas, lengths, junctions, loops, and whether it is a partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chemomech.microstructure.crossings import conflicts
from chemomech.typing import Array, Longs

OUTSIDE = -1


@dataclass(frozen=True, eq=False)
class PlanarMap:
    """A conforming partition of a region of the plane into grains.

    Attributes:
        points: Places, m, shape (n, 2).
        chains: Polylines of point numbers from junction to junction. A closed chain repeats its first point; no chain
            passes through the end of another one.
        left, right: Grain on the left and on the right of each chain when walking along it (x to the right, y upwards);
            -1 is outside.
    """

    points: Array
    chains: tuple[Longs, ...]
    left: Longs
    right: Longs

    # ---- flat views ----------------------------------------------------------------------------------
    @cached_property
    def first_segments(self) -> Longs:
        """Number of the first segment of each chain, and the number of all segments, shape (chains + 1,)."""
        counts = np.fromiter((len(chain) - 1 for chain in self.chains), np.int64, len(self.chains))
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def segments(self) -> Longs:
        """Point numbers of all segments, chain after chain, shape (s, 2)."""
        if not self.chains:
            return np.zeros((0, 2), dtype=np.int64)
        tails = np.concatenate([chain[:-1] for chain in self.chains])
        heads = np.concatenate([chain[1:] for chain in self.chains])
        return np.stack([tails, heads], axis=1)

    @cached_property
    def segment_chains(self) -> Longs:
        """The chain of each segment, shape (s,)."""
        return np.repeat(np.arange(len(self.chains)), np.diff(self.first_segments))

    @cached_property
    def ends(self) -> Longs:
        """First and last point of each chain, shape (chains, 2)."""
        flat = (number for chain in self.chains for number in (chain[0], chain[-1]))
        return np.fromiter(flat, np.int64, 2 * len(self.chains)).reshape(-1, 2)

    @cached_property
    def bounds(self) -> Array:
        """Smallest and largest coordinates, m, shape (2, 2)."""
        used = self.points[self.segments.ravel()]
        return np.stack([used.min(axis=0), used.max(axis=0)])

    # ---- measures ------------------------------------------------------------------------------------
    @cached_property
    def grains(self) -> Longs:
        """Numbers of the grains, sorted."""
        numbers = np.unique(np.concatenate([self.left, self.right]))
        return np.asarray(numbers[numbers >= 0], dtype=np.int64)

    @cached_property
    def lengths(self) -> Array:
        """Length of each chain, m."""
        tails, heads = self.points[self.segments.T]
        return self._sums(np.hypot(*(heads - tails).T))

    @cached_property
    def swept(self) -> Array:
        """Signed area between each chain and the middle, m^2: closed loops add up to what they enclose."""
        tails, heads = (self.points - self.bounds.mean(axis=0))[self.segments.T]
        return self._sums(0.5 * (tails[:, 0] * heads[:, 1] - tails[:, 1] * heads[:, 0]))

    def _sums(self, values: Array) -> Array:
        if not self.chains:
            return np.zeros(0)
        return np.asarray(np.add.reduceat(values, self.first_segments[:-1]))

    def _per_grain(self, signed: Array) -> Array:
        """Sums over the chains around each grain, counted positive where the grain is on the left."""
        size = int(self.grains[-1]) + 2 if len(self.grains) else 1
        sums = np.bincount(self.left + 1, signed, size) - np.bincount(self.right + 1, signed, size)
        return np.asarray(sums[self.grains + 1])

    @cached_property
    def areas(self) -> Array:
        """Area of each grain, m^2, in the order of ``grains``."""
        return self._per_grain(self.swept)

    @cached_property
    def centroids(self) -> Array:
        """Centre of mass of each grain, m, in the order of ``grains``, shape (g, 2)."""
        middle = self.bounds.mean(axis=0)
        tails, heads = (self.points - middle)[self.segments.T]
        cross = tails[:, 0] * heads[:, 1] - tails[:, 1] * heads[:, 0]
        first = [self._per_grain(self._sums((tails[:, k] + heads[:, k]) * cross / 6.0)) for k in range(2)]
        return np.asarray(middle + np.stack(first, axis=1) / self.areas[:, None])

    def area(self, grain: int) -> float:
        """Area of a grain, m^2; ValueError if there is no such grain."""
        return float(self.areas[self._place(grain)])

    def _place(self, grain: int) -> int:
        place = int(np.searchsorted(self.grains, grain))
        if place == len(self.grains) or self.grains[place] != grain:
            raise ValueError(f"there is no grain {grain}")
        return place

    @cached_property
    def boundaries(self) -> tuple[Longs, Array]:
        """Pairs of neighbouring grains, sorted, shape (b, 2), and the length of each boundary, m, shape (b,)."""
        pairs = np.sort(np.stack([self.left, self.right], axis=1), axis=1)
        inner = pairs[:, 0] >= 0
        found, which = np.unique(pairs[inner], axis=0, return_inverse=True)
        return found, np.bincount(which.ravel(), self.lengths[inner], len(found)).astype(float)

    def boundary_length(self, pair: tuple[int, int]) -> float:
        """Length of the boundary between two grains, m; -1 stands for outside; 0 if they do not touch."""
        return float(self.lengths[self.chains_between(pair)].sum())

    def chains_between(self, pair: tuple[int, int]) -> Longs:
        """Numbers of the chains between two grains; -1 stands for outside."""
        one, other = pair
        ahead = (self.left == one) & (self.right == other)
        return np.flatnonzero(ahead | ((self.left == other) & (self.right == one)))

    # ---- topology ------------------------------------------------------------------------------------
    def junctions(self) -> Longs:
        """Numbers of the points where three or more chains end, a chain that returns counted twice."""
        numbers, counts = np.unique(self.ends, return_counts=True)
        return np.asarray(numbers[counts >= 3], dtype=np.int64)

    def junction_grains(self) -> list[tuple[int, ...]]:
        """The grains that meet at each of ``junctions()``, sorted, with -1 first where outside takes part."""
        points = self.ends.ravel()
        around = np.stack([np.repeat(self.left, 2), np.repeat(self.right, 2)], axis=1)
        order = np.argsort(points, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(points[order]) > 0]) if len(order) else np.zeros(0, dtype=int)
        stops = np.r_[starts[1:], len(order)]
        return [tuple(np.unique(around[order[a:b]]).tolist()) for a, b in zip(starts, stops, strict=True) if b - a >= 3]

    @cached_property
    def departures(self) -> tuple[Longs, Array]:
        """Point and angle (rad) at which each directed chain departs; chain c is 2c forwards and 2c + 1 backwards."""
        second = np.fromiter((n for c in self.chains for n in (c[1], c[-2])), np.int64, 2 * len(self.chains))
        start = self.ends.ravel()
        along = self.points[second] - self.points[start]
        return start, np.arctan2(along[:, 1], along[:, 0])

    @cached_property
    def followers(self) -> Longs:
        """The directed chain that comes next when walking around the region on the left, shape (2 chains,)."""
        point, angle = self.departures
        order = np.lexsort((angle, point))
        new = np.r_[True, np.diff(point[order]) > 0]
        stops = np.r_[np.flatnonzero(new)[1:], len(order)] - 1
        before = np.arange(len(order)) - 1
        before[new] = stops
        clockwise = np.empty(len(order), dtype=np.int64)
        clockwise[order] = order[before]
        return np.asarray(clockwise[np.arange(len(order)) ^ 1])

    @cached_property
    def _loops(self) -> dict[int, list[tuple[float, list[tuple[int, int]]]]]:
        found: dict[int, list[tuple[float, list[tuple[int, int]]]]] = {}
        sides = np.stack([self.left, self.right], axis=1).ravel().tolist()
        start = self.departures[0].tolist()
        follow, swept = self.followers.tolist(), self.swept.tolist()
        seen = [False] * len(follow)
        for begin in range(len(follow)):
            walk = []
            step = begin
            while not seen[step]:
                seen[step] = True
                walk.append(step)
                step = follow[step]
            for loop in _simple(walk, start):
                area = sum(-swept[way >> 1] if way & 1 else swept[way >> 1] for way in loop)
                directed = [(way >> 1, -1 if way & 1 else 1) for way in loop]
                found.setdefault(sides[loop[0]], []).append((area, directed))
        for loops in found.values():
            loops.sort(key=lambda entry: -entry[0])
        return found

    def loops(self, grain: int) -> list[list[tuple[int, int]]]:
        """The loops around a grain as (chain, direction) with direction 1 or -1 and the grain on the left.

        Counterclockwise outer loops come first, the largest ahead, then clockwise ones around holes. Every loop is a
        simple polygon; loops may touch in junctions. A grain in several pieces has several outer loops.
        """
        self._place(grain)
        return [loop for _, loop in self._loops[grain]]

    def polygon(self, loop: list[tuple[int, int]]) -> Longs:
        """Point numbers around a loop, the first not repeated."""
        parts = [self.chains[chain][:-1] if way > 0 else self.chains[chain][:0:-1] for chain, way in loop]
        return np.concatenate(parts)

    def check(self) -> None:
        """Make sure that this is a partition.

        Raises:
            ValueError: Chains cross or touch, grains do not close, or sides contradict each other; says where.
        """
        for chain, problem in self._faults():
            where = ", ".join(f"{x:.6g}" for x in self.points[self.chains[chain][0]])
            sides = f"grains {self.left[chain]} and {self.right[chain]}"
            raise ValueError(f"chain {chain} between {sides}, from ({where}) m: {problem}")
        if np.any(self.areas <= 0.0):
            raise ValueError(f"grain {self.grains[int(np.argmin(self.areas))]} has no area")

    def _faults(self) -> Iterator[tuple[int, str]]:
        for chain in np.flatnonzero(np.diff(self.first_segments) < 1):
            yield int(chain), "it has fewer than two points"
            return
        for chain in self.segment_chains[~np.isfinite(self.points[self.segments]).all(axis=(1, 2))]:
            yield int(chain), "it has a place that is no number"
            return
        for chain in np.flatnonzero(self.left == self.right):
            yield int(chain), "it has the same grain on both sides"
        inner = np.concatenate([chain[1:-1] for chain in self.chains]) if self.chains else np.zeros(0, dtype=np.int64)
        uses = np.bincount(inner, minlength=len(self.points))
        uses[self.ends.ravel()] += 1
        for chain in np.unique(self.segment_chains[uses[self.segments[:, 0]] > 1]):
            inside = self.chains[chain][1:-1]
            if np.any(uses[inside] > 1):
                yield int(chain), "it passes through a point of another chain, or twice through one of its own"
        for name, chains in conflicts(self).items():
            for chain in chains:
                yield int(chain), name


def _simple(walk: list[int], start: list[int]) -> Iterator[list[int]]:
    """Cut a closed walk of directed chains where it comes back to a point."""
    if not walk:
        return
    path: list[int] = []
    place: dict[int, int] = {}
    for step in [*walk, walk[0]]:
        at = place.get(start[step])
        if at is not None:
            yield path[at:]
            for gone in path[at:]:
                del place[start[gone]]
            del path[at:]
        place[start[step]] = len(path)
        path.append(step)
