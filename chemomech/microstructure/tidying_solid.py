"""Collapsing short edges in space: faces stay plane, a corner that leaves the plane takes a triangle of it along."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from chemomech.microstructure.collapsing import Collapsing, Merge, merged, used
from chemomech.microstructure.laguerre import Partition
from chemomech.microstructure.ragged import Loops

type Point = tuple[float, ...]
type Face = tuple[list[int], int, int]  # corners, cell on the left, cell on the right or -1

_THIN = 1e-3  # how near to flat a cell may come, relative to its own size
_PLANE = 1e-7  # of the extent of a face: what is not off its plane
_OUTSIDE = -1
_TRIES = 50


class Space(Collapsing):
    """Cells of space: closed sets of plane faces."""

    def __init__(self, partition: Partition) -> None:
        super().__init__(partition)
        sides = zip(partition.left.tolist(), partition.right.tolist(), strict=True)
        loops = partition.loops.to_lists()
        self.faces: dict[int, Face] = {k: (loop, *s) for k, (loop, s) in enumerate(zip(loops, sides, strict=True))}
        self.next = len(self.faces)
        self.at: list[set[int]] = [set() for _ in self.points]
        self.cells: dict[int, set[int]] = {cell: set() for cell in range(len(self.grain))}
        for number, face in self.faces.items():
            self._enter(number, face)

    def _enter(self, number: int, face: Face) -> None:
        self.faces[number] = face
        for point in face[0]:
            self.at[point].add(number)
        for cell in face[1:]:
            if cell != _OUTSIDE:
                self.cells[cell].add(number)

    def _leave(self, number: int) -> None:
        loop, left, right = self.faces.pop(number)
        for point in loop:
            self.at[point].discard(number)
        for cell in (left, right):
            if cell != _OUTSIDE:
                self.cells[cell].discard(number)

    def edges(self) -> Iterator[tuple[int, int]]:
        """All edges, some of them several times."""
        for loop, _, _ in self.faces.values():
            yield from zip(loop, loop[1:] + loop[:1], strict=True)

    def outlines(self) -> Iterator[tuple[int, list[list[int]]]]:
        """Pieces and their faces."""
        yield from ((piece, [self.faces[number][0] for number in faces]) for piece, faces in self.cells.items())

    def attempt(self, merges: list[Merge]) -> bool:
        """Merge points if that leaves star-shaped cells with plane faces; slices cut by a periodic side may go."""
        into = {b: a for a, b, _ in merges}
        moved = {a: place for a, _, place in merges}
        old = {number for a, b, _ in merges for number in self.at[a] | self.at[b]}
        new: list[Face] = []
        for number in old:
            loop, left, right = self.faces[number]
            parts = self._plane_parts(loop, merged(loop, into), moved)
            if parts is None:
                return False
            new += [(part, left, right) for part in parts]
        touched = {cell for number in old for cell in self.faces[number][1:]} - {_OUTSIDE}
        flat: list[int] = []
        for cell in touched:
            faces = [self.faces[n] for n in self.cells[cell] - old] + [face for face in new if cell in face[1:]]
            if len(faces) == 2 and set(faces[0][0]) == set(faces[1][0]):
                flat.append(cell)
            elif not self._closed_star(cell, faces, moved):
                return False
        if flat:
            joined = self._without(flat, new, old)
            if joined is None:
                return False
            new, also = joined
            old |= also
        for number in old:
            self._leave(number)
        for face in new:
            self._enter(self.next, face)
            self.next += 1
        for cell in flat:
            self.pieces[self.grain[cell]] -= 1
            del self.cells[cell]
        return True

    def _plane_parts(self, before: list[int], loop: list[int], moved: dict[int, Point]) -> list[list[int]] | None:
        """A face in plane parts; none if it is gone, None if there is no good way."""
        if len(loop) < 3:
            return []
        if len(set(loop)) != len(loop):
            return None
        place = [moved.get(p, self.points[p]) for p in loop]
        if len(loop) == 3:
            return [loop]
        fresh = [k for k, point in enumerate(loop) if point in moved]
        vector, centre = _vector([self.points[p] for p in before])
        area = _norm(vector)
        extent = max(_norm(_minus(p, centre)) for p in place)
        off = [k for k in fresh if abs(_dot(vector, _minus(place[k], centre))) > _PLANE * area * extent]
        if not off:
            return [loop] if _star_in_plane(place) else None
        if len(off) > 1:
            return None
        k, n = off[0], len(loop)
        turned, placed = loop[k:] + loop[:k], place[k:] + place[:k]
        corner = [[turned[-1], turned[0], turned[1]], turned[1:]]
        corner_places = [[placed[-1], placed[0], placed[1]], placed[1:]]
        fan = [[turned[0], turned[m], turned[m + 1]] for m in range(1, n - 1)]
        fan_places = [[placed[0], placed[m], placed[m + 1]] for m in range(1, n - 1)]
        if not all(_star_in_plane(part) for part in corner_places):
            return fan
        return corner if _sharpest(corner_places) >= _sharpest(fan_places) else fan

    def _closed_star(self, cell: int, faces: list[Face], moved: dict[int, Point]) -> bool:
        """Whether faces are one closed surface, seen whole from a point within."""
        edges = {}
        corners: set[int] = set()
        for loop, left, _ in faces:
            corners.update(loop)
            sign = left == cell
            for a, b in zip(loop, loop[1:] + loop[:1], strict=True):
                key = (a, b) if sign else (b, a)
                if key in edges:
                    return False
                edges[key] = True
        if any((b, a) not in edges for a, b in edges) or len(corners) - len(edges) // 2 + len(faces) != 2:
            return False
        places = [moved.get(p, self.points[p]) for p in corners]
        middle = tuple(sum(c) / len(places) for c in zip(*places, strict=True))
        size = max(_norm(_minus(p, middle)) for p in places)
        planes: list[tuple[Point, Point]] = []
        for loop, left, _ in faces:
            vector, centre = _vector([moved.get(p, self.points[p]) for p in loop])
            area = _norm(vector) * (1 if left == cell else -1)
            if area == 0:
                return False
            planes.append(((vector[0] / area, vector[1] / area, vector[2] / area), centre))
        return _within(middle, planes, _THIN * size)

    def _without(self, flat: list[int], new: list[Face], old: set[int]) -> tuple[list[Face], set[int]] | None:
        """Two faces of a cell that has become flat are one; None if its grain would be lost."""
        also: set[int] = set()
        lost: dict[int, int] = {}
        for cell in flat:
            grain = self.grain[cell]
            lost[grain] = lost.get(grain, 0) + 1
            if self.pieces[grain] <= lost[grain]:
                return None
            kept = [n for n in self.cells[cell] - old if n not in also]
            pair = [self.faces[n] for n in kept] + [face for face in new if cell in face[1:]]
            if len(pair) != 2 or self.on_periodic_side(pair[0][0]):
                return None  # its other piece would have another neighbour in the side itself
            also.update(kept)
            new = [face for face in new if cell not in face[1:]]
            (loop, left, right), (_, second_left, second_right) = pair
            other = second_right if second_left == cell else second_left
            if left == cell:
                left = other
            else:
                right = other
            if left == _OUTSIDE:
                loop, left, right = loop[::-1], right, left
            if left == right:
                return None
            new.append((loop, left, right))
        return new, also

    def finished(self) -> Partition:
        """The partition as it is now."""
        faces = [self.faces[number] for number in sorted(self.faces)]
        left, right = (np.array([face[k] for face in faces], dtype=np.int64) for k in (1, 2))
        points, loops = used(np.array(self.points), Loops.from_lists([face[0] for face in faces]))
        cells = np.array(sorted(self.cells), dtype=np.int64)
        return replace(
            self.partition,
            points=points,
            loops=loops,
            left=np.searchsorted(cells, left),
            right=np.where(right >= 0, np.searchsorted(cells, right), -1),
            piece_grain=self.partition.piece_grain[cells],
            piece_shift=self.partition.piece_shift[cells],
        )


def _minus(a: Point, b: Point) -> Point:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _dot(a: Point, b: Point) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Point, b: Point) -> Point:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _norm(a: Point) -> float:
    return math.sqrt(_dot(a, a))


def _vector(places: list[Point]) -> tuple[Point, Point]:
    """Area vector of a polygon and the mean of its corners."""
    base = places[0]
    x = y = z = 0.0
    for a, b in pairwise(places[1:]):
        c = _cross(_minus(a, base), _minus(b, base))
        x, y, z = x + c[0], y + c[1], z + c[2]
    n = len(places)
    return (x / 2, y / 2, z / 2), tuple(sum(c) / n for c in zip(*places, strict=True))


def _within(start: Point, planes: list[tuple[Point, Point]], margin: float) -> bool:
    """Whether some point lies behind all planes (normal and a point of each): looked for by steps behind the worst."""
    here = start
    for _ in range(_TRIES):
        heights = [_dot(normal, _minus(centre, here)) for normal, centre in planes]
        least = min(heights)
        if least > margin:
            return True
        normal = planes[heights.index(least)][0]
        step = 1.5 * (2 * margin - least)
        here = here[0] - step * normal[0], here[1] - step * normal[1], here[2] - step * normal[2]
    return False


def _star_in_plane(places: list[Point]) -> bool:
    """Whether a plane polygon is seen whole from the mean of its corners."""
    vector, centre = _vector(places)
    area = _norm(vector)
    if area == 0:
        return False
    thin = _THIN * math.sqrt(area)  # the least distance between the middle and the line of an edge
    arms = [_minus(p, centre) for p in places]
    return all(
        _dot(_cross(a, b), vector) > thin * area * _norm(_minus(b, a))
        for a, b in zip(arms, arms[1:] + arms[:1], strict=True)
    )


def _sharpest(parts: list[list[Point]]) -> float:
    """The smallest angle of some polygons, rad."""
    least = math.pi
    for places in parts:
        for k, here in enumerate(places):
            a, b = _minus(places[k - 1], here), _minus(places[(k + 1) % len(places)], here)
            least = min(least, math.atan2(_norm(_cross(a, b)), _dot(a, b)))
    return least
