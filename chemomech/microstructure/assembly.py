"""From pieces that fill a box to the geometry of grains; columns, and plane partitions made into films."""

from __future__ import annotations

import numpy as np

from chemomech.microstructure.laguerre import Partition, edges_of
from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.ragged import Loops
from chemomech.microstructure.solid import CellComplex
from chemomech.typing import Array, Longs


def planar_map(partition: Partition) -> PlanarMap:
    """Grains of the plane: lines inside a grain are left out, edges are chained from junction to junction."""
    ends, sides = edges_of(partition.loops)
    grains = np.where(sides >= 0, partition.piece_grain[partition.left[sides]], -1)
    between = grains[:, 0] != grains[:, 1]
    chains, first = chained(ends[between])
    used, flat = np.unique(np.concatenate(chains), return_inverse=True)
    bounds = np.cumsum([len(chain) for chain in chains])[:-1]
    left, right = grains[between][first].T
    return PlanarMap(partition.points[used], tuple(np.split(flat.astype(np.int64), bounds)), left, right)


def cell_complex(partition: Partition) -> CellComplex:
    """Grains of space; faces inside a grain are left out."""
    left = partition.piece_grain[partition.left]
    right = np.where(partition.right >= 0, partition.piece_grain[partition.right], -1)
    between = left != right
    return CellComplex.from_loops(partition.points, partition.loops.take(between), left[between], right[between])


def chained(ends: Longs) -> tuple[list[Longs], Longs]:
    """Edges joined at points that only two of them have.

    Args:
        ends: Points of each edge, shape (e, 2).

    Returns:
        Chains of points, closed ones repeating the first, and an edge of each that runs along it in its own direction.
    """
    meeting = np.bincount(ends.ravel())
    plain = meeting[ends] == 2
    alone = ~plain.any(axis=1)
    chains: list[Longs] = list(ends[alone])
    first = np.flatnonzero(alone).tolist()
    at: dict[int, list[int]] = {}
    rest = np.flatnonzero(~alone).tolist()
    for edge in rest:
        for point in ends[edge].tolist():
            at.setdefault(point, []).append(edge)
    pairs = {edge: ends[edge].tolist() for edge in rest}
    done: set[int] = set()
    # chains from junctions first; what is left then are closed ones
    begins = [(edge, k) for edge in rest for k in (0, 1) if not plain[edge, k]] + [(edge, 0) for edge in rest]
    for edge, k in begins:
        if edge in done:
            continue
        chain, here, current = [pairs[edge][k]], pairs[edge][1 - k], edge
        done.add(edge)
        while True:
            chain.append(here)
            follow = [other for other in at[here] if other not in done] if meeting[here] == 2 else []
            if not follow:
                break
            current = follow[0]
            done.add(current)
            here = pairs[current][1] if pairs[current][0] == here else pairs[current][0]
        chains.append(np.array(chain if k == 0 else chain[::-1], dtype=np.int64))
        first.append(edge)
    return chains, np.array(first, dtype=np.int64)


def columns(cuts: Array, grains: Longs, shifts: Array, size: Array, axis: int, periodic: tuple[int, ...]) -> Partition:
    """Columns side by side in the plane.

    Args:
        cuts: Where columns begin and the last one ends, ascending, m, shape (pieces + 1,).
        grains: The grain of each piece.
        shifts: How far a piece lies from the seed of its grain, m, shape (pieces,).
        size: Edges of the box, m.
        axis: The axis along which columns stand.
        periodic: Axes along which the box goes on.
    """
    count = len(grains)
    across = 1 - axis
    points = np.zeros((2 * (count + 1), 2))
    points[:, across] = np.tile(cuts, 2)
    points[count + 1 :, axis] = size[axis]
    k = np.arange(count)
    loops = np.stack([k, k + 1, k + count + 2, k + count + 1], axis=1)
    if axis == 0:
        loops = loops[:, ::-1]
    shift = np.zeros((count, 2))
    shift[:, across] = shifts
    outside = np.full(count, -1, dtype=np.int64)
    flat = Loops(loops.ravel().astype(np.int64), 4 * np.arange(count + 1, dtype=np.int64))
    return Partition(size, periodic, points, flat, k, outside, grains, shift, int(grains.max()) + 1)


def extruded(partition: Partition, size: Array, axis: int, periodic: tuple[int, ...]) -> Partition:
    """A plane partition made into prisms along an axis of a box."""
    across = [k for k in range(3) if k != axis]
    count = len(partition.points)
    points = np.zeros((2 * count, 3))
    points[:, across] = np.tile(partition.points, (2, 1))
    points[count:, axis] = size[axis]
    ends, sides = edges_of(partition.loops)
    a, b = ends.T
    walls = np.stack([a, b, b + count, a + count], axis=1)
    base, pieces = partition.loops, partition.loops.count
    flat = np.concatenate([base.flat, base.flat + count, walls.ravel()])
    lengths = np.concatenate([base.lengths, base.lengths, np.full(len(walls), 4, dtype=np.int64)])
    loops = Loops(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    # x and z turn into y the other way round than x and y into z
    turned = np.zeros(loops.count, dtype=bool)
    turned[:pieces] = True
    loops = loops.reversed(turned if axis != 1 else ~turned)
    outside = np.full(2 * pieces, -1, dtype=np.int64)
    left = np.concatenate([partition.left, partition.left, partition.left[sides[:, 0]]])
    right = np.concatenate([outside, np.where(sides[:, 1] >= 0, partition.left[sides[:, 1]], -1)])
    shift = np.zeros((pieces, 3))
    shift[:, across] = partition.piece_shift
    return Partition(size, periodic, points, loops, left, right, partition.piece_grain, shift, partition.count)
