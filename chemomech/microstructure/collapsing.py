"""What collapsing edges needs in the plane and in space: points, the sides they lie on, their images across these."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from chemomech.microstructure.laguerre import Partition, twins
from chemomech.microstructure.ragged import Loops
from chemomech.typing import Array

type Merge = tuple[int, int, tuple[float, ...]]  # the point that stays, the one that goes, and where they meet

_LONG = 4.0  # times the shortest edge: edges of thin slices longer than this stay


class Collapsing:
    """Points with the sides they lie on and their images across periodic ones; what cells are is up to others."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.points: list[tuple[float, ...]] = [tuple(p) for p in partition.points.tolist()]
        self.grain = partition.piece_grain.tolist()
        self.pieces = np.bincount(partition.piece_grain, minlength=partition.count).tolist()
        low, high = partition.points == 0, partition.points == partition.size
        d = partition.dimension
        self.sides: list[int] = (low @ (1 << np.arange(d)) + high @ (1 << np.arange(d, 2 * d))).tolist()
        self.images: dict[int, dict[int, int]] = {}
        for axis in partition.periodic:
            one, two = (numbers.tolist() for numbers in twins(partition.points, axis, float(partition.size[axis])))
            self.images[axis] = dict(zip(one + two, two + one, strict=True))
        self.gone: set[int] = set()

    def edges(self) -> Iterator[tuple[int, int]]:
        """All edges, some perhaps twice."""
        raise NotImplementedError

    def outlines(self) -> Iterator[tuple[int, list[list[int]]]]:
        """Pieces and their loops."""
        raise NotImplementedError

    def attempt(self, merges: list[Merge]) -> bool:
        """Merge points if that leaves valid cells; says whether it was done."""
        raise NotImplementedError

    def finished(self) -> Partition:
        """The partition as it is now."""
        raise NotImplementedError

    def on_periodic_side(self, points: list[int]) -> bool:
        """Whether points lie on one and the same periodic side."""
        d, common = self.partition.dimension, -1
        for point in points:
            common &= self.sides[point]
        return any(common & (1 << axis | 1 << (axis + d)) for axis in self.partition.periodic)

    def alive(self, a: int, b: int) -> bool:
        """Whether both points are still there."""
        return a not in self.gone and b not in self.gone

    def short(self, shortest: float) -> list[tuple[int, int]]:
        """Edges below a length, the shortest first."""
        ends = np.array(sorted({(min(e), max(e)) for e in self.edges()}), dtype=np.int64).reshape(-1, 2)
        x = np.array(self.points)[ends]
        length = np.linalg.norm(x[:, 1] - x[:, 0], axis=1)
        found = np.flatnonzero(length < shortest)
        chosen: list[list[int]] = ends[found[np.argsort(length[found], kind="stable")]].tolist()
        return [(a, b) for a, b in chosen]

    def thin_slices(self, shortest: float) -> list[tuple[int, int]]:
        """Edges by which slices thinner than ``shortest`` hang on a periodic side, if not too long, the shortest first.

        A slice may only go as a whole, with what it has on the side: else its grain, which ends on the opposite side,
        would meet other grains within the side.
        """
        d, found = self.partition.dimension, set()
        for piece, loops in self.outlines():
            if self.pieces[self.grain[piece]] == 1:
                continue
            corners = {point for loop in loops for point in loop}
            for axis in self.partition.periodic:
                places = [self.points[point][axis] for point in corners]
                if max(places) - min(places) > shortest:
                    continue
                bits = 1 << axis | 1 << (axis + d)
                for loop in loops:
                    for a, b in zip(loop, loop[1:] + loop[:1], strict=True):
                        if self.sides[a] & self.sides[b] & bits:
                            found.add((math.dist(self.points[a], self.points[b]), min(a, b), max(a, b)))
        return [(a, b) for length, a, b in sorted(found) if shortest <= length < _LONG * shortest]

    def collapse(self, a: int, b: int) -> bool:
        """Make one point of the ends of an edge, here and on the opposite sides; says whether it was done."""
        one, two = self.sides[a], self.sides[b]
        if one & two == one and one != two:
            a, b, one, two = b, a, two, one
        if one & two != two:
            return False  # they lie on different sides
        here, there = self.points[a], self.points[b]
        choices = [(a, b, here)]
        if one == two:
            middle = tuple(u if u == v else (u + v) / 2 for u, v in zip(here, there, strict=True))
            choices = [(a, b, middle)] if len(here) == 2 else [(a, b, here), (b, a, there)]
        return any(self._together(choice, two) for choice in choices)

    def _together(self, merge: Merge, sides: int) -> bool:
        d = self.partition.dimension
        axes = [axis for axis in self.partition.periodic if sides & (1 << axis | 1 << (axis + d))]
        merges = []
        for count in range(len(axes) + 1):
            for chosen in combinations(axes, count):
                a, b, place = merge
                for axis in chosen:
                    a, b = self.images[axis][a], self.images[axis][b]
                    place = (*place[:axis], self.points[a][axis], *place[axis + 1 :])
                merges.append((a, b, place))
        if not self.attempt(merges):
            return False
        for a, b, place in merges:
            self.points[a] = place
            self.gone.add(b)
        return True


def merged(loop: list[int], into: dict[int, int]) -> list[int]:
    """A loop after points have become others; equal neighbours are one."""
    new = [into.get(point, point) for point in loop]
    return [point for k, point in enumerate(new) if point != new[k - 1]]


def used(points: Array, loops: Loops) -> tuple[Array, Loops]:
    """Points that are used, and loops with their new numbers."""
    kept, flat = np.unique(loops.flat, return_inverse=True)
    return points[kept], Loops(np.asarray(flat, dtype=np.int64), loops.starts)
