"""Where chains of a planar map contradict each other: crossings, junctions in disorder, islands in wrong grains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from chemomech.typing import Array, Flags, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.planar import PlanarMap

_MOST_ENTRIES = 40_000_000
_BESIDE = 1.2345e-4


def conflicts(plane: PlanarMap) -> dict[str, Longs]:
    """Chains that are at fault, by what is wrong; nothing if the map is a partition."""
    found = {"it crosses or touches a chain": _crossing(plane)}
    found["it meets others at its end in the wrong order"] = _disordered(plane)
    if not any(len(chains) for chains in found.values()):
        found["it lies in the wrong grain"] = _misplaced(plane)
    return {name: chains for name, chains in found.items() if len(chains)}


# ---- crossings ---------------------------------------------------------------------------------------
def _crossing(plane: PlanarMap) -> Longs:
    segments = plane.segments
    tails, heads = plane.points[segments.T]
    one, other = _near(tails, heads)
    # Exactly: two boxes that do not overlap hold no crossing, and rounding cannot say otherwise.
    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    close = np.all((low[one] <= high[other]) & (low[other] <= high[one]), axis=1)
    one, other = one[close], other[close]
    shared = np.any(segments[one][:, :, None] == segments[other][:, None, :], axis=(1, 2))
    bad = np.zeros(len(one), dtype=bool)
    bad[~shared] = _cross(tails[one[~shared]], heads[one[~shared]], tails[other[~shared]], heads[other[~shared]])
    bad[shared] = _folded(plane.points, segments[one[shared]], segments[other[shared]])
    flat = np.flatnonzero(np.all(tails == heads, axis=1))
    return np.unique(plane.segment_chains[np.concatenate([one[bad], other[bad], flat])])


def _near(tails: Array, heads: Array) -> tuple[Longs, Longs]:
    """Pairs of segments whose boxes share a square of a grid, each pair once or more."""
    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    origin = low.min(axis=0)
    extent = np.ptp(np.concatenate([low, high]), axis=0).max()
    side = max(float((high - low).max(axis=1).mean()) * 1.5, float(extent) * 1e-5, np.finfo(float).tiny)
    while True:
        first = np.floor((low - origin) / side).astype(np.int64)
        spans = np.floor((high - origin) / side).astype(np.int64) - first + 1
        counts = spans.prod(axis=1)
        if counts.sum() <= max(_MOST_ENTRIES // 4, 8 * len(tails)):
            break
        side *= 2.0
    owner = np.repeat(np.arange(len(tails)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = first[owner, 0] + within % spans[owner, 0]
    row = first[owner, 1] + within // spans[owner, 0]
    place = row * (int(column.max(initial=0)) + 1) + column
    order = np.argsort(place, kind="stable")
    place, owner = place[order], owner[order]
    ones, others = [], []
    lag = 1
    alive = np.arange(len(place))
    while True:
        alive = alive[alive + lag < len(place)]
        alive = alive[place[alive + lag] == place[alive]]
        if not len(alive):
            break
        ones.append(owner[alive])
        others.append(owner[alive + lag])
        lag += 1
    if not ones:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing
    return np.concatenate(ones), np.concatenate(others)


def _turn(a: Array, b: Array, c: Array) -> Array:
    """Positive where a, b, c turn left."""
    p, q = b - a, c - a
    return np.asarray(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])


def _cross(a: Array, b: Array, c: Array, d: Array) -> Flags:
    one = np.sign(_turn(a, b, c)) * np.sign(_turn(a, b, d))
    other = np.sign(_turn(c, d, a)) * np.sign(_turn(c, d, b))
    return np.asarray((one <= 0) & (other <= 0))


def _folded(points: Array, one: Longs, other: Longs) -> Flags:
    """Whether two segments with a point in common lie on each other."""
    swap = (one[:, 0] == other[:, 0]) | (one[:, 0] == other[:, 1])
    common, tip = np.where(swap, one[:, 0], one[:, 1]), np.where(swap, one[:, 1], one[:, 0])
    other_tip = np.where(other[:, 0] == common, other[:, 1], other[:, 0])
    p, q = points[tip] - points[common], points[other_tip] - points[common]
    along = np.einsum("ij,ij->i", p, q)
    across = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    return np.asarray((along > 0.0) & (np.abs(across) <= 1e-12 * along))


# ---- order around junctions --------------------------------------------------------------------------
def _disordered(plane: PlanarMap) -> Longs:
    """Chains whose left at a junction is not the right of the one that follows counterclockwise."""
    left = np.stack([plane.left, plane.right], axis=1).ravel()
    follow = plane.followers
    wrong = np.flatnonzero(left != left[follow])
    return np.unique(np.concatenate([wrong, follow[wrong]]) >> 1)


# ---- islands -----------------------------------------------------------------------------------------
def _misplaced(plane: PlanarMap) -> Longs:
    """Chains of connected pieces that do not lie in the grain they say they do.

    From the leftmost point of a piece a ray to the left first meets the grain around it. It starts a trifle beside, at
    a height where no other point is likely to be: images have many points in a row, and rounding would decide.
    """
    chains = len(plane.chains)
    if not chains:
        return np.zeros(0, dtype=np.int64)
    size = len(plane.points)
    graph = sparse.coo_array((np.ones(chains), (plane.ends[:, 0], plane.ends[:, 1])), shape=(size, size))
    piece_of_chain = connected_components(graph, directed=False)[1][plane.ends[:, 0]]
    tails, heads = plane.points[plane.segments.T]
    piece = piece_of_chain[plane.segment_chains]
    leftmost = np.where((tails[:, 0] <= heads[:, 0])[:, None], tails, heads)
    order = np.lexsort((leftmost[:, 0], piece))
    firsts = order[np.r_[True, np.diff(piece[order]) > 0]]
    wrong = []
    outer, along = _outer_side(plane, firsts)
    around = _surroundings(plane, leftmost[firsts] + _BESIDE * along, piece[firsts], piece)
    for number, (chain, known), said in zip(piece[firsts], around, outer, strict=True):
        if known != said:
            wrong += [np.flatnonzero(piece_of_chain == number), np.array([chain] if chain >= 0 else [], dtype=np.int64)]
    return np.unique(np.concatenate(wrong)) if wrong else np.zeros(0, dtype=np.int64)


def _outer_side(plane: PlanarMap, firsts: Longs) -> tuple[Longs, Array]:
    """The grain just left of the leftmost point of a piece, and the uppermost segment that departs there."""
    tails, heads = plane.points[plane.segments.T]
    chain = plane.segment_chains
    point = np.where((tails[firsts, 0] <= heads[firsts, 0]), *plane.segments[firsts].T)
    best = np.empty(len(firsts), dtype=np.int64)
    # All segments at these points; the one that departs at the greatest angle in (-pi/2, pi/2] has outside on its left.
    ends = np.concatenate([plane.segments[:, 0], plane.segments[:, 1]])
    other = np.concatenate([heads, tails]) - np.concatenate([tails, heads])
    left = np.concatenate([plane.left[chain], plane.right[chain]])
    order = np.argsort(ends, kind="stable")
    start, stop = np.searchsorted(ends[order], point), np.searchsorted(ends[order], point, side="right")
    for i, (a, b) in enumerate(zip(start, stop, strict=True)):
        here = order[a:b]
        best[i] = here[np.argmax(np.arctan2(other[here, 1], other[here, 0]))]
    return left[best], other[best]


def _surroundings(plane: PlanarMap, places: Array, own: Longs, piece: Longs) -> list[tuple[int, int]]:
    """The nearest chain of another piece straight to the left of each place, -1 for none, and the grain next to it."""
    found = [(-1, -1)] * len(places)
    if len(places) < 2:
        return found
    tails, heads = plane.points[plane.segments.T]
    low, high = np.minimum(tails[:, 1], heads[:, 1]), np.maximum(tails[:, 1], heads[:, 1])
    bottom = low.min()
    height = max(float((high - low).mean()) * 2.0, float(high.max() - bottom) / 4096.0)
    first, last = ((edge - bottom) // height for edge in (low, high))
    counts = (last - first + 1).astype(np.int64)
    owner = np.repeat(np.arange(len(low)), counts)
    row = first[owner].astype(np.int64) + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.argsort(row, kind="stable")
    row, owner = row[order], owner[order]
    for i, (x, y) in enumerate(places):
        here = int((y - bottom) // height)
        near = owner[slice(*np.searchsorted(row, [here, here + 1]))]
        # A ray a trifle above, so that none runs through a point; of segments that meet there the right one is nearest.
        near = near[(piece[near] != own[i]) & ((tails[near, 1] <= y) != (heads[near, 1] <= y))]
        if not len(near):
            continue
        a, b = tails[near], heads[near]
        slope = (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
        at = np.where(b[:, 1] == y, b[:, 0], a[:, 0] + (y - a[:, 1]) * slope)
        at[at > x] = -np.inf
        nearest = int(np.lexsort((slope, at))[-1])
        if np.isfinite(at[nearest]):
            chain = plane.segment_chains[near[nearest]]
            upwards = b[nearest, 1] > a[nearest, 1]
            found[i] = int(chain), int(plane.right[chain] if upwards else plane.left[chain])
    return found
