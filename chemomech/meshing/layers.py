"""Thin layers of stretched triangles along the grain boundaries of a section, on both sides, and along its rim."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from chemomech.errors import CaseError
from chemomech.meshing.arrays import measures
from chemomech.meshing.grains2d import Region, nodes_of
from chemomech.microstructure.crossings import conflicts
from chemomech.microstructure.planar import PlanarMap
from chemomech.typing import Array, Flags, Longs

_SLOPE = 0.5  # how fast the thickness may change along a boundary
_GAP = 1.0 / 3.0  # how much of a gap one of its sides may take
_THIN = 0.25  # of the whole thickness: with less there are no layers
_SHRINK = 0.5  # by how much an edge may get shorter on its way inwards
_SHARP = 0.5  # one plus the cosine of the turn: no layers in corners below 60 degrees


@dataclass(frozen=True)
class Layers:
    """Layers along grain boundaries, on each side, and along sides of the body.

    Attributes:
        first: Thickness of the layer at the boundary, m.
        growth: Thickness of a layer over that of the one before it.
        count: Number of layers.
        along: ``boundaries``, those between two grains, and sides of the body by name.

    Raises:
        CaseError: If one of them is out of range.
    """

    first: float
    growth: float = 1.3
    count: int = 5
    along: tuple[str, ...] = ("boundaries",)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.first) and self.first > 0.0):
            raise CaseError("layers.first", self.first, "the first layer has no thickness", "a positive length")
        if not 1.0 <= self.growth < 10.0:
            raise CaseError("layers.growth", self.growth, "layers can't grow like that", "a ratio from 1 to 10")
        if self.count < 1:
            raise CaseError("layers.count", self.count, "there is no layer", "a whole number from 1")

    @property
    def heights(self) -> Array:
        """Distance of each level from the boundary, from 0 on, m, shape (count + 1,)."""
        return np.concatenate([[0.0], np.cumsum(self.first * self.growth ** np.arange(self.count))])


@dataclass(frozen=True)
class Layered:
    """Layers, and what remains to be filled.

    Attributes:
        points: Nodes that were there, and those of the layers after them, m, shape (n, 2).
        cells: Triangles of the layers, shape (m, 3).
        grains: Grain of each, shape (m,).
        lines: Loops around what remains, as closed lines.
        pieces: What remains.
    """

    points: Array
    cells: Longs
    grains: Longs
    lines: list[Longs]
    pieces: list[Region]


@dataclass(frozen=True)
class _Rings:
    """All loops of all pieces, one after the other.

    Attributes:
        node, piece: Node number of each corner and the piece it belongs to.
        after, before: The next corner and the one before, by place in these arrays.
        layered: Whether the edge from a corner to the next one is to get layers.
        outer: Whether it lies on the rim.
        loops: Places of each loop as slices, piece by piece.
    """

    node: Longs
    piece: Longs
    after: Longs
    before: Longs
    layered: Flags
    outer: Flags
    loops: list[list[slice]]


def add_layers(
    points: Array,
    lines: Sequence[Longs],
    chosen: Sequence[Flags],
    pieces: Sequence[Region],
    layers: Layers,
    *,
    outer: Flags | None = None,
    bare: Collection[int] = (),
) -> Layered:
    """Put layers along some lines; they get thinner towards sharp corners, lines without layers and narrow places.

    Layers along one side of the body end at the next one, and at a boundary that has none, with their whole thickness.

    Args:
        points: Nodes, m, shape (n, 2).
        lines: Node numbers along each line.
        chosen: Along which edges of each line.
        pieces: The pieces of grains.
        layers: Thicknesses.
        outer: Which lines lie on the rim; none if not given.
        bare: Grains that get no layers.

    Warns:
        UserWarning: If there is no room for layers somewhere.
    """
    rings = _rings(lines, chosen, np.zeros(len(lines), dtype=bool) if outer is None else outer, pieces, bare)
    corner = points[rings.node]
    miter, length, partner = _miters(corner, rings)
    total = float(layers.heights[-1])
    thickness = _thickness(corner, rings, miter, length, total, pieces, partner)
    while True:
        made, cells, owner, top = _cells(points, rings, miter, thickness, layers, pieces, partner)
        flat = cells[measures(made, cells) <= 0.0]
        again = np.isin(top, flat) | np.isin(rings.node, flat) | _crossing(made, top, rings)
        if not np.any(thickness[again] > 0.0):
            break
        thickness[again] *= 0.5
        thickness = _tapered(thickness, rings, length, total, partner)
    without = rings.layered & (thickness == 0.0) & (thickness[rings.after] == 0.0)
    if np.any(without):
        share = float(length[without].sum() / length[rings.layered].sum())
        warnings.warn(
            f"no room for layers of {total:.3g} m along {100.0 * share:.1f} % of the boundaries: ordinary cells there",
            stacklevel=2,
        )
    loops = [[top[part] for part in parts] for parts in rings.loops]
    left: list[Longs] = []
    remaining: list[Region] = []
    for piece, parts in zip(pieces, loops, strict=True):
        numbers = range(len(left), len(left) + len(parts))
        left += [np.append(part, part[0]) for part in parts]
        remaining.append(Region(piece.grain, tuple(((k, True),) for k in numbers)))
    return Layered(made, cells, owner, left, remaining)


def _rings(
    lines: Sequence[Longs], chosen: Sequence[Flags], outer: Flags, pieces: Sequence[Region], bare: Collection[int]
) -> _Rings:
    node, owner, layered, rim, after, before = [], [], [], [], [], []
    loops: list[list[slice]] = []
    total = 0
    for number, piece in enumerate(pieces):
        loops.append([])
        for loop in piece.loops:
            ring = nodes_of(lines, loop)
            count = len(ring)
            at = np.arange(count)
            node.append(ring)
            owner.append(np.full(count, number))
            wanted = np.concatenate([chosen[k] if ahead else chosen[k][::-1] for k, ahead in loop])
            layered.append(wanted & (piece.grain not in bare))
            rim.append(np.concatenate([np.full(len(lines[k]) - 1, bool(outer[k])) for k, _ in loop]))
            after.append(total + (at + 1) % count)
            before.append(total + (at - 1) % count)
            loops[-1].append(slice(total, total + count))
            total += count
    node_, owner_, after_, before_ = (np.concatenate(part) for part in (node, owner, after, before))
    return _Rings(node_, owner_, after_, before_, np.concatenate(layered), np.concatenate(rim), loops)


def _miters(corner: Array, rings: _Rings) -> tuple[Array, Array, Longs]:
    """Way inwards per thickness at each corner, zero where there are no layers; length of the edge after it.

    The last is the corner of the grain on the other side of a boundary on which the layers of both end, or itself.
    """
    step = corner[rings.after] - corner
    length = np.asarray(np.linalg.norm(step, axis=1))
    along = step / length[:, None]
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    both = normal + normal[rings.before]
    opening = 0.5 * np.sum(both**2, axis=1)  # one plus the cosine of the turn
    free = rings.layered & rings.layered[rings.before] & (opening > _SHARP)
    miter = np.where(free[:, None], both / np.maximum(opening, _SHARP)[:, None], 0.0)
    # Where layers end at a line without any they go along it, at an inner one those on both sides together.
    first = ~rings.layered & rings.layered[rings.before]
    last = rings.layered & ~rings.layered[rings.before]
    way = np.where(first[:, None], along, -along[rings.before])
    height = np.sum(way * np.where(first[:, None], normal[rings.before], normal), axis=1)
    slides = (first | last) & (height > _SHARP)
    rim = np.where(first, rings.outer, rings.outer[rings.before])
    here = np.bincount(rings.node)
    both = np.bincount(rings.node[slides & ~rim], minlength=len(here))
    slides &= rim | ((here == 2) & (both == 2))[rings.node]
    miter[slides] = way[slides] / height[slides, None]
    partner: Longs = np.arange(len(corner))
    pairs = np.flatnonzero(slides & ~rim)
    two = pairs[np.argsort(rings.node[pairs], kind="stable")].reshape(-1, 2)
    partner[two] = two[:, ::-1]
    miter[two[:, 1]] = miter[two[:, 0]]
    return miter, length, partner


def _thickness(
    corner: Array, rings: _Rings, miter: Array, length: Array, total: float, pieces: Sequence[Region], partner: Longs
) -> Array:
    """Thickness of all layers together at each corner, m; zero where there are none."""
    thickness = np.where(np.any(miter != 0.0, axis=1), total, 0.0)
    along = (corner[rings.after] - corner) / length[:, None]
    loss = np.maximum(np.sum(miter * along, axis=1), 0.0)
    loss += np.maximum(-np.sum(miter[rings.after] * along, axis=1), 0.0)
    room = _SHRINK * length / np.maximum(loss, 1e-12)
    thickness = np.minimum(thickness, np.minimum(room, room[rings.before]))
    way, around = np.zeros(len(corner)), np.zeros(len(corner))
    loop_of = np.zeros(len(corner), dtype=np.int64)
    number = 0
    for parts in rings.loops:
        for part in parts:
            way[part] = np.concatenate([[0.0], np.cumsum(length[part][:-1])])
            around[part] = length[part].sum()
            loop_of[part] = number
            number += 1
    # Corners of one piece only: what lies on the other side of a boundary is no neighbour here.
    reach = total / _GAP
    lifted = np.column_stack([corner, 3.0 * reach * rings.piece])
    i, j = cKDTree(lifted).query_pairs(reach, output_type="ndarray").T
    far = np.linalg.norm(corner[i] - corner[j], axis=1)
    apart = np.abs(way[i] - way[j])
    apart = np.where(loop_of[i] == loop_of[j], np.minimum(apart, around[i] - apart), np.inf)
    facing = apart > 2.5 * far
    for one in (i, j):
        np.minimum.at(thickness, one[facing], _GAP * far[facing])
    return _tapered(thickness, rings, length, total, partner)


def _tapered(thickness: Array, rings: _Rings, length: Array, total: float, partner: Longs) -> Array:
    """No thickness where there would be little, and no sudden changes."""
    result = np.where(thickness < _THIN * total, 0.0, thickness)
    while True:
        result = np.minimum(result, result[partner])
        limit = np.minimum(result[rings.after] + _SLOPE * length, result[rings.before] + _SLOPE * length[rings.before])
        if np.all(result <= limit):
            return np.asarray(result)
        result = np.minimum(result, limit)


def _crossing(points: Array, top: Longs, rings: _Rings) -> Flags:
    """Corners beside edges around what remains that cross others."""
    start, end = top, top[rings.after]
    edges, which = np.unique(np.sort(np.stack([start, end], axis=1), axis=1), axis=0, return_inverse=True)
    which = which.ravel()
    sides = np.full((len(edges), 2), -1, dtype=np.int64)
    sides[which, (start > end).astype(int)] = rings.piece
    remaining = PlanarMap(points, tuple(edges), sides[:, 0], sides[:, 1])
    crossed = np.zeros(len(edges), dtype=bool)
    for found in conflicts(remaining).values():
        crossed[found] = True
    corners = crossed[which]
    corners[rings.after[crossed[which]]] = True
    return np.asarray(corners)


def _cells(
    points: Array,
    rings: _Rings,
    miter: Array,
    thickness: Array,
    layers: Layers,
    pieces: Sequence[Region],
    partner: Longs,
) -> tuple[Array, Longs, Longs, Longs]:
    """Nodes, cells and their grains; and the innermost node at each corner."""
    levels = layers.heights / layers.heights[-1]
    count = layers.count
    first = partner >= np.arange(len(partner))  # of two corners with common nodes
    high = np.flatnonzero((thickness > 0.0) & first)
    column = np.repeat(rings.node[:, None], count + 1, axis=1)
    column[high, 1:] = len(points) + np.arange(len(high) * count).reshape(-1, count)
    column[~first] = column[partner[~first]]
    way = thickness[high, None, None] * levels[1:, None] * miter[high, None, :]
    made = np.concatenate([points, (points[rings.node[high], None, :] + way).reshape(-1, 2)])
    edge = np.flatnonzero(rings.layered & ((thickness > 0.0) | (thickness[rings.after] > 0.0)))
    a, b = column[edge], column[rings.after[edge]]
    # Corners of the quadrilaterals, counterclockwise; where one side has no height two of them are one.
    quads = np.stack([a[:, :-1], b[:, :-1], b[:, 1:], a[:, 1:]], axis=2).reshape(-1, 4)
    owner = np.repeat(np.array([piece.grain for piece in pieces])[rings.piece[edge]], count)
    x = made[quads]
    one = np.sum((x[:, 0] - x[:, 2]) ** 2, axis=1) <= np.sum((x[:, 1] - x[:, 3]) ** 2, axis=1)
    ways = np.where(one[:, None, None], [[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 2, 3]])
    cells = np.take_along_axis(quads[:, None, :].repeat(2, axis=1), ways, axis=2).reshape(-1, 3)
    owner = np.repeat(owner, 2)
    real = (cells[:, 0] != cells[:, 1]) & (cells[:, 1] != cells[:, 2]) & (cells[:, 2] != cells[:, 0])
    return made, cells[real], owner[real], column[:, -1]
