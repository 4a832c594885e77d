"""From points to grains: neighbours that differ by less than an angle belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.map import UNINDEXED, EbsdMap
from chemomech.microstructure.orientations import mean_orientations, pair_angles
from chemomech.typing import Array, Flags, Ints, Longs

DEFAULT_ANGLE: Final = 10.0  # degrees
_ROUNDS: Final = 1000


@dataclass(frozen=True, eq=False)
class MapGrains:
    """What is known of the grains of a map.

    Attributes:
        phase: Phase that most points of each grain have, shape (g,).
        orientations: Mean orientation of the points of that phase, quaternions, shape (g, 4).
        points: Number of points, shape (g,).
        spread: Mean angle between these points and the mean, degrees, shape (g,).
    """

    phase: Ints
    orientations: Array
    points: Longs
    spread: Array

    def __len__(self) -> int:
        return len(self.points)


def segment(ebsd: EbsdMap, angle: float = DEFAULT_ANGLE, minimum: int = 1) -> Longs:
    """The grain of each point.

    Two neighbours are of one grain if they are of one phase and differ by ``angle`` at most. Grains of fewer points
    than ``minimum`` go, smallest first, to the neighbour they share most boundary with; of equal ones, to that of the
    nearest orientation. A neighbour large enough and of the same phase comes first; what has none of its phase goes to
    another one. A grain that touches nothing but points that are not indexed stays.

    Args:
        ebsd: The map.
        angle: Degrees.
        minimum: Points.

    Returns:
        Numbers from 0 in order of the grains' first points, -1 where not indexed, shape (n,).

    Raises:
        CaseError: The angle is not between 0 and 180, or the minimum is negative.
    """
    if not 0.0 < angle < 180.0:
        raise CaseError("angle", angle, "no angle between grains", "more than 0 and less than 180 degrees")
    if minimum < 0:
        raise CaseError("minimum", minimum, "it must not be negative", "a number of points")
    pairs = ebsd.pairs
    angles = pair_angles(ebsd.quaternions, ebsd.phase, ebsd.point_groups, pairs)
    labels = joined(len(ebsd), pairs[angles <= angle])
    labels = np.where(ebsd.indexed, labels, UNINDEXED)
    if minimum > 1:
        labels = _without_small(ebsd, numbered(labels), pairs, angles, minimum)
    return numbered(labels)


def joined(count: int, pairs: Longs) -> Longs:
    """Connected components of points of which some pairs hang together, shape (count,)."""
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1]).astype(np.int64)


def numbered(labels: Longs) -> Longs:
    """The same labels as numbers from 0, in order of their first points; -1 stays."""
    given = labels >= 0
    _, first, inverse = np.unique(labels[given], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    out = np.full(len(labels), UNINDEXED, np.int64)
    out[given] = rank[inverse]
    return out


def grains_of(ebsd: EbsdMap, labels: Longs) -> MapGrains:
    """Phase, mean orientation and size of each grain.

    Args:
        ebsd: The map.
        labels: Grain of each point from 0, -1 for none, shape (n,).

    Raises:
        CaseError: A number has no points, or none that is indexed.
    """
    if labels.shape != (len(ebsd),):
        raise CaseError("labels", labels.shape, "not one number for each point", f"shape ({len(ebsd)},)")
    given = (labels >= 0) & ebsd.indexed
    number = int(labels.max(initial=-1)) + 1
    points = np.bincount(labels[labels >= 0], minlength=number)
    phases = len(ebsd.phases)
    votes = np.bincount(labels[given] * phases + ebsd.phase[given], minlength=number * phases).reshape(number, phases)
    if number and votes.max(axis=1).min() == 0:
        empty = int(np.argmin(votes.max(axis=1)))
        raise CaseError("labels", empty, "a grain without any indexed point", "numbers from 0 without gaps")
    phase = votes.argmax(axis=1).astype(np.int32) if number else np.zeros(0, np.int32)
    orientations, spread = np.tile([1.0, 0.0, 0.0, 0.0], (number, 1)), np.zeros(number)
    for one, group in enumerate(ebsd.point_groups):
        inside = np.flatnonzero(given & (ebsd.phase == one) & (phase[np.maximum(labels, 0)] == one))
        here = np.flatnonzero(phase == one)
        if len(here):
            place = np.searchsorted(here, labels[inside])
            orientations[here], spread[here] = mean_orientations(ebsd.quaternions[inside], place, len(here), group)
    return MapGrains(phase, orientations, points, spread)


# ---- small grains ----------------------------------------------------------------------------------------
def _without_small(ebsd: EbsdMap, labels: Longs, pairs: Longs, angles: Array, minimum: int) -> Longs:
    number = int(labels.max(initial=-1)) + 1
    phase = np.zeros(number, np.int64)
    phase[labels[labels >= 0]] = ebsd.phase[labels >= 0]
    for _ in range(_ROUNDS):
        sizes = np.bincount(labels[labels >= 0], minlength=number)
        sides = labels[pairs]
        across = (sides[:, 0] != sides[:, 1]) & (sides >= 0).all(axis=1)
        first = np.concatenate([sides[across, 0], sides[across, 1]])
        second = np.concatenate([sides[across, 1], sides[across, 0]])
        turn = np.nan_to_num(np.tile(angles[across], 2), nan=180.0)
        little = sizes[first] < minimum
        if not little.any():
            break
        goal = _goals(first[little], second[little], turn[little], number, phase, sizes >= minimum)
        labels = np.where(labels >= 0, goal[np.maximum(labels, 0)], UNINDEXED)
    return labels


def _goals(first: Longs, second: Longs, turn: Array, number: int, phase: Longs, large: Flags) -> Longs:
    """Where each grain goes in this round, shape (number,): itself, or a neighbour that stays."""
    key, inverse, length = np.unique(first * number + second, return_inverse=True, return_counts=True)
    angle = np.bincount(inverse, turn) / length
    one, other = np.divmod(key, number)
    foreign = phase[one] != phase[other]
    kin = np.zeros(number, bool)
    kin[one[~foreign]] = True
    # Best neighbour of each: its own phase first, then large ones, long boundaries, near orientations.
    order = np.lexsort((other, angle, -length, ~large[other], foreign, one))
    one, other = one[order], other[order]
    start = np.flatnonzero(np.append(True, one[1:] != one[:-1]))
    one, other = one[start], other[start]
    goal = np.arange(number)
    ready = large[other]
    if ready.any():  # the others wait until one of their neighbours has become large or has gone
        goal[one[ready]] = other[ready]
        return goal
    return joined(number, np.stack([one, other], axis=1))
