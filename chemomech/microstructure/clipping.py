"""Conforming cuts of plane and spatial partitions at the sides of a box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chemomech.microstructure.ragged import Loops
from chemomech.typing import Array, Flags, Longs


@dataclass(frozen=True, slots=True)
class Soup:
    """Polygons that share their corners.

    Attributes:
        points: m, shape (n, d).
        loops: In 2D cells, counter-clockwise; in 3D faces, counter-clockwise as seen from the right.
        left: Cell of each loop, in 3D the one to its left, shape (loops,).
        right: In 3D the cell to the right or -1, shape (loops,).
        cells: The number each cell had at the beginning.
    """

    points: Array
    loops: Loops
    left: Longs
    right: Longs
    cells: Longs

    def compact(self) -> Soup:
        """The same without unused points and cells; cells are numbered anew, ``cells`` keeps their old numbers."""
        used, flat = np.unique(self.loops.flat, return_inverse=True)
        present = np.unique(np.concatenate([self.left, self.right[self.right >= 0]]))
        right = np.where(self.right >= 0, np.searchsorted(present, self.right), -1)
        loops = Loops(flat.astype(np.int64), self.loops.starts)
        return Soup(self.points[used], loops, np.searchsorted(present, self.left), right, self.cells[present])


def clip(soup: Soup, axis: int, value: float, sign: float, tolerance: float, count: int) -> Soup:
    """What lies on one side of a plane across an axis, closed by a cap in 3D.

    Args:
        soup: Convex cells.
        axis: The axis the plane is perpendicular to.
        value: Where the plane stands, m.
        sign: 1 keeps larger coordinates, -1 smaller ones.
        tolerance: Points nearer to the plane are moved onto it, m.
        count: Cells with this number or a larger one lie outside and get no cap.
    """
    away = sign * (soup.points[:, axis] - value)
    side = np.where(np.abs(away) <= tolerance, 0, np.sign(away)).astype(np.int64)
    points = soup.points.copy()
    points[side == 0, axis] = value
    here, there = soup.loops.flat, soup.loops.flat[soup.loops.after]
    crossing = side[here] * side[there] < 0
    small, large = np.minimum(here, there)[crossing], np.maximum(here, there)[crossing]
    edges, which = np.unique(small * len(points) + large, return_inverse=True)
    a, b = edges // len(points), edges % len(points)
    part = (away[a] / (away[a] - away[b]))[:, None]
    new = np.where(points[a] == points[b], points[a], points[a] * (1 - part) + points[b] * part)  # sides stay sides
    new[:, axis] = value
    number = np.full(len(here), -1, dtype=np.int64)
    number[crossing] = len(points) + which
    both = np.stack([np.where(side[here] >= 0, here, -1), number], axis=1).ravel()
    owner = np.repeat(soup.loops.owner, 2)[both >= 0]
    loops = Loops.of(owner, both[both >= 0], soup.loops.count)
    inside = np.bincount(soup.loops.owner[side[here] > 0], minlength=soup.loops.count) > 0
    points = np.concatenate([points, new])
    if points.shape[1] == 2:
        return Soup(points, loops.take(inside), soup.left[inside], soup.right[inside], soup.cells)
    lying = np.bincount(soup.loops.owner, side[here] != 0, minlength=soup.loops.count) == 0
    on_plane = np.concatenate([side == 0, np.ones(len(new), dtype=bool)])
    return _capped(soup, points, loops, inside, lying, on_plane, count)


def _capped(soup: Soup, points: Array, loops: Loops, inside: Flags, lying: Flags, on_plane: Flags, count: int) -> Soup:
    cells = int(max(soup.left.max(), soup.right.max())) + 1
    holds = np.zeros(cells + 1, dtype=bool)  # the last one is the outside
    holds[soup.left[inside]] = True
    holds[soup.right[inside]] = True
    holds[-1] = False
    # a face that lies in the plane closes the cell inside
    left, right = (
        np.where(lying & ~holds[soup.left], -1, soup.left),
        np.where(lying & ~holds[soup.right], -1, soup.right),
    )
    keep = inside | (lying & ((left >= 0) | (right >= 0)))
    turned = (left < 0) & keep
    left, right = np.where(turned, right, left)[keep], np.where(turned, left, right)[keep]
    loops = loops.reversed(turned).take(keep)
    here, there = loops.flat, loops.flat[loops.after]
    along = on_plane[here] & on_plane[there]
    u, v, face = here[along], there[along], loops.owner[along]
    beyond = (right[face] >= 0) & (right[face] < count)
    near = left[face] < count
    cell = np.concatenate([left[face][near], right[face][beyond]])
    begin = np.concatenate([v[near], u[beyond]])
    end = np.concatenate([u[near], v[beyond]])
    caps, owner = _closed(cell, begin, end, len(points))
    flat = np.concatenate([loops.flat, caps])
    owners, of_cap = np.unique(owner, return_inverse=True)
    lengths = np.concatenate([loops.lengths, np.bincount(of_cap, minlength=len(owners))])
    joined = Loops(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    outside = np.full(len(owners), -1, dtype=np.int64)
    return Soup(points, joined, np.concatenate([left, owners]), np.concatenate([right, outside]), soup.cells)


def _closed(cell: Longs, begin: Longs, end: Longs, points: int) -> tuple[Longs, Longs]:
    """Edges of each cell chained to one loop: the points in order and the cell of each."""
    order = np.lexsort((begin > end, np.maximum(begin, end), np.minimum(begin, end), cell))
    cell, begin, end = cell[order], begin[order], end[order]
    undone = (cell[:-1] == cell[1:]) & (begin[:-1] == end[1:]) & (end[:-1] == begin[1:])
    keep = ~(np.append(undone, False) | np.append(False, undone)) if len(cell) else np.zeros(0, dtype=bool)
    cell, begin, end = cell[keep], begin[keep], end[keep]
    order = np.lexsort((begin, cell))
    cell, begin, end = cell[order], begin[order], end[order]
    key = cell * points + begin
    follows = np.searchsorted(key, cell * points + end)
    if len(key) and (
        np.any(np.diff(key) == 0) or np.any(follows >= len(key)) or np.any(key[follows] != cell * points + end)
    ):
        raise ValueError("a cell is not closed where it is cut")
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    place = np.full(len(cell), -1, dtype=np.int64)
    place[starts] = 0
    here, step = starts, 0
    while len(here):
        step += 1
        here = follows[here]
        here = here[place[here] < 0]
        place[here] = step
    if np.any(place < 0):
        raise ValueError("a cell is cut in two")
    order = np.lexsort((place, cell))
    return begin[order], cell[order]
