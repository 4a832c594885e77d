"""Short edges of a partition are collapsed, so that a mesh needs no slivers; it stays a partition.

An edge goes when its two ends become one point. This is done only if all cells around remain star-shaped, with the
same closed surface topology: as the surfaces of neighbours cancel, cells then fill the box as before, without gap or
overlap. Corners on sides stay on them, corners on periodic sides move together with those opposite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from chemomech.microstructure.collapsing import Collapsing, Merge, merged, used
from chemomech.microstructure.laguerre import Partition
from chemomech.microstructure.ragged import Loops
from chemomech.microstructure.tidying_solid import Space

_THIN = 1e-3  # how near to flat a cell may come, relative to its own size
_ROUNDS = 8


@dataclass(frozen=True)
class Tidied:
    """What was done about short edges.

    Attributes:
        partition: What has become of it; its cells need no longer be convex.
        shortest: Edges below this were to go, m.
        collapsed: How many edges went.
        left: How many short edges could not go.
        vanished: Slices of grains, cut off by a periodic side, that went with them.
    """

    partition: Partition
    shortest: float
    collapsed: int
    left: int
    vanished: int


def tidied(partition: Partition, shortest: float) -> Tidied:
    """Collapse edges shorter than ``shortest`` (m) where that leaves a valid partition; 0 leaves all as it is."""
    if shortest <= 0:
        return Tidied(partition, 0.0, 0, 0, 0)
    work: Collapsing = Plane(partition) if partition.dimension == 2 else Space(partition)
    collapsed = 0
    for _ in range(_ROUNDS):
        done = sum(work.collapse(a, b) for a, b in work.short(shortest) if work.alive(a, b))
        done += sum(work.collapse(a, b) for a, b in work.thin_slices(shortest) if work.alive(a, b))
        collapsed += done
        if not done:
            break
    rest = len(work.short(shortest))
    before = len(partition.piece_grain)
    new = work.finished()
    return Tidied(new, shortest, collapsed, rest, before - len(new.piece_grain))


class Plane(Collapsing):
    """Cells of the plane, one loop each."""

    def __init__(self, partition: Partition) -> None:
        super().__init__(partition)
        self.loops: list[list[int]] = partition.loops.to_lists()
        self.at: list[set[int]] = [set() for _ in self.points]
        for cell, loop in enumerate(self.loops):
            for point in loop:
                self.at[point].add(cell)

    def edges(self) -> Iterator[tuple[int, int]]:
        """All edges, inner ones twice."""
        for loop in self.loops:
            yield from zip(loop, loop[1:] + loop[:1], strict=True)

    def outlines(self) -> Iterator[tuple[int, list[list[int]]]]:
        """Pieces and their only loop."""
        yield from ((piece, [loop]) for piece, loop in enumerate(self.loops) if loop)

    def attempt(self, merges: list[Merge]) -> bool:
        """Merge points if that leaves star-shaped cells; slices of a grain cut by a periodic side may go."""
        into = {b: a for a, b, _ in merges}
        moved = {a: place for a, _, place in merges}
        new: dict[int, list[int]] = {}
        lost: dict[int, int] = {}
        for cell in {cell for a, b, _ in merges for cell in self.at[a] | self.at[b]}:
            loop = merged(self.loops[cell], into)
            if len(loop) < 3:
                grain = self.grain[cell]
                lost[grain] = lost.get(grain, 0) + 1
                if self.pieces[grain] <= lost[grain] or self.on_periodic_side(loop):
                    return False  # its other piece would have another neighbour in the side itself
                loop = []
            elif len(set(loop)) != len(loop) or not _star([moved.get(p, self.points[p]) for p in loop]):
                return False
            new[cell] = loop
        for grain, count in lost.items():
            self.pieces[grain] -= count
        for cell, loop in new.items():
            for point in self.loops[cell]:
                self.at[point].discard(cell)
            for point in loop:
                self.at[point].add(cell)
            self.loops[cell] = loop
        return True

    def finished(self) -> Partition:
        """The partition as it is now."""
        keep = [cell for cell, loop in enumerate(self.loops) if loop]
        points, loops = used(np.array(self.points), Loops.from_lists([self.loops[cell] for cell in keep]))
        chosen = np.array(keep, dtype=np.int64)
        return replace(
            self.partition,
            points=points,
            loops=loops,
            left=np.arange(len(keep), dtype=np.int64),
            right=np.full(len(keep), -1, dtype=np.int64),
            piece_grain=self.partition.piece_grain[chosen],
            piece_shift=self.partition.piece_shift[chosen],
        )


def _star(corners: list[tuple[float, ...]]) -> bool:
    """Whether a counter-clockwise polygon is seen whole from its centroid."""
    x0, y0 = corners[0]
    double = sx = sy = 0.0
    for (ax, ay), (bx, by) in pairwise(corners[1:]):
        part = (ax - x0) * (by - y0) - (bx - x0) * (ay - y0)
        double += part
        sx += part * (ax + bx - 2 * x0)
        sy += part * (ay + by - 2 * y0)
    if double <= 0:
        return False
    cx, cy = x0 + sx / (3 * double), y0 + sy / (3 * double)
    thin = _THIN * math.sqrt(double)  # the least distance between the centroid and the line of an edge
    return all(
        (ax - cx) * (by - cy) - (bx - cx) * (ay - cy) > thin * math.hypot(bx - ax, by - ay)
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True)
    )
