"""Cleaning maps: what is not to be trusted is taken out, what is missing is filled from around.

Each step returns a new map and says how many points it changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.ebsd.segmentation import grains_of, joined, segment
from chemomech.microstructure.orientations import disorientation_angles, pair_angles, product, reduced
from chemomech.microstructure.relations import inverse, point_group, rotations
from chemomech.typing import Array, Flags, Ints, Longs

_LEAST: Final = 3  # indexed neighbours a point needs to be called a spike


@dataclass(frozen=True)
class Report:
    """What one step did.

    Attributes:
        step: Its name, in words.
        counts: How many points, by what happened to them.
    """

    step: str
    counts: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.step}: " + ", ".join(f"{number} {what}" for what, number in self.counts.items())


def drop_unreliable(
    ebsd: EbsdMap, *, minimum: Mapping[str, float] | None = None, maximum: Mapping[str, float] | None = None
) -> tuple[EbsdMap, Report]:
    """Takes the orientation from points of low quality, such as ``minimum={"ci": 0.1}`` or ``maximum={"mad": 1.3}``.

    Args:
        ebsd: The map.
        minimum: Least value by name of a quality. Points without a value stay.
        maximum: Largest value by name.

    Raises:
        CaseError: The map does not have such a quality.
    """
    bad = np.zeros(len(ebsd), bool)
    for limits, sign in ((minimum or {}, 1.0), (maximum or {}, -1.0)):
        for name, limit in limits.items():
            if name not in ebsd.quality:
                known = ", ".join(sorted(ebsd.quality)) or "none"
                raise CaseError("quality", name, "the map has no such values", known)
            with np.errstate(invalid="ignore"):
                bad |= sign * ebsd.quality[name] < sign * limit
    bad &= ebsd.indexed
    return ebsd.unindexed(bad), Report("low quality", {"points taken out": int(bad.sum())})


def remove_spikes(ebsd: EbsdMap, angle: float = 10.0) -> tuple[EbsdMap, Report]:
    """Takes the orientation from single points that differ from all points around, diagonal ones included.

    Args:
        ebsd: The map.
        angle: Least difference in degrees. Another phase is always different.
    """
    around = ebsd.surroundings
    point, side = np.nonzero(around >= 0)
    pairs = np.stack([point, around[point, side]], axis=1)
    pairs = pairs[ebsd.indexed[pairs].all(axis=1)]
    once = pairs[pairs[:, 0] < pairs[:, 1]]
    alike = once[pair_angles(ebsd.quaternions, ebsd.phase, ebsd.point_groups, once) <= angle]
    friends = np.bincount(alike.ravel(), minlength=len(ebsd))
    enough = np.bincount(pairs[:, 0], minlength=len(ebsd)) >= _LEAST
    spikes = ebsd.indexed & enough & (friends == 0)
    return ebsd.unindexed(spikes), Report("wild spikes", {"points taken out": int(spikes.sum())})


def fill(ebsd: EbsdMap, angle: float = 10.0, *, largest: int | None = None) -> tuple[EbsdMap, Report]:
    """Gives points that are not indexed the orientation most of their neighbours agree on.

    Points with many indexed neighbours come first, so that holes close from the outside. The orientation is that of
    one neighbour, never a mean of two grains.

    Args:
        ebsd: The map.
        angle: Neighbours within this angle agree, degrees.
        largest: Holes of more points than this stay.
    """
    around, edges = ebsd.surroundings, ebsd.neighbours.shape[1]
    phase, quaternions = ebsd.phase.copy(), ebsd.quaternions.copy()
    open_ = ~ebsd.indexed
    missing = int(open_.sum())
    if largest is not None:
        hole = joined(len(ebsd), ebsd.pairs[open_[ebsd.pairs].all(axis=1)])
        open_ &= np.bincount(hole)[hole] <= largest
    empty = np.flatnonzero(open_)
    for level in range(around.shape[1], 0, -1):
        while len(empty):
            near = around[empty]
            known = (near >= 0) & (phase[near] >= 0)
            now = (known.sum(axis=1) >= level) & known[:, :edges].any(axis=1)
            if not now.any():
                break
            chosen = _majority(near[now], known[now], phase, quaternions, ebsd.point_groups, angle, edges)
            phase[empty[now]], quaternions[empty[now]] = phase[chosen], quaternions[chosen]
            empty = empty[~now]
    left = int((phase < 0).sum())
    return ebsd.with_values(phase, quaternions), Report("filling", {"points filled": missing - left, "left": left})


def _majority(
    near: Longs, known: Flags, phase: Ints, quaternions: Array, groups: tuple[str, ...], angle: float, edges: int
) -> Longs:
    """For each row of neighbours the one that most others agree with."""
    count = near.shape[1]
    weight = np.where(np.arange(count) < edges, 1.0, 0.5) * known  # diagonal ones are farther away
    votes = weight.copy()
    for i in range(count):
        for j in range(i + 1, count):
            both = np.flatnonzero(known[:, i] & known[:, j])
            pairs = np.stack([near[both, i], near[both, j]], axis=1)
            turn = pair_angles(quaternions, phase, groups, pairs)
            agree = turn <= angle
            closeness = 1.0 - 1e-3 * np.nan_to_num(turn) / angle  # of those who agree, the one in their middle
            votes[both, i] += np.where(agree, weight[both, j] * closeness, 0.0)
            votes[both, j] += np.where(agree, weight[both, i] * closeness, 0.0)
    votes[~known] = -1.0
    return np.asarray(near[np.arange(len(near)), votes.argmax(axis=1)])


def merge_pseudosymmetry(
    ebsd: EbsdMap,
    angle: float = 60.0,
    axis: Sequence[float] = (1.0, 1.0, 1.0),
    tolerance: float = 3.0,
    *,
    apart: float = 5.0,
    system: str = "cubic",
) -> tuple[EbsdMap, Report]:
    """Turns grains that a false solution of the indexing has turned back.

    Of two neighbouring grains related by the rotation the smaller one gets the description of the larger. True twins
    of this kind go as well: it is for maps that have none.

    Args:
        ebsd: The map.
        angle: Of the rotation, degrees.
        axis: Of it, in the crystal's Cartesian frame.
        tolerance: Largest deviation from it, degrees.
        apart: Grains are what is apart by this, degrees.
        system: Phases of this crystal system only.
    """
    length = float(np.linalg.norm(axis))
    if len(axis) != 3 or not length > 0.0:
        raise CaseError("axis", axis, "no direction", "three numbers, not all zero")
    half = np.radians(0.5 * angle)
    turn = np.concatenate([[np.cos(half)], np.sin(half) * np.asarray(axis, float) / length])
    labels = segment(ebsd, apart)
    grains = grains_of(ebsd, labels)
    sides = labels[ebsd.pairs]
    sides = np.sort(sides[(sides >= 0).all(axis=1) & (sides[:, 0] != sides[:, 1])], axis=1)
    sides = np.unique(sides, axis=0)
    smaller = np.argmin(grains.points[sides], axis=1)[:, None]
    small = np.take_along_axis(sides, smaller, axis=1)[:, 0]
    big = np.take_along_axis(sides, 1 - smaller, axis=1)[:, 0]
    correction = np.tile([1.0, 0.0, 0.0, 0.0], (len(grains), 1))
    changed = np.zeros(len(grains), bool)
    for number, group in enumerate(ebsd.point_groups):
        if point_group(group).system != system:
            continue
        here = (grains.phase[small] == number) & (grains.phase[big] == number)
        one, other = small[here], big[here]
        least, back = _nearest(grains.orientations[one], grains.orientations[other], turn, group)
        order = np.argsort(-grains.points[other], kind="stable")
        order = order[least[order] <= tolerance]
        for k in order[np.argsort(-grains.points[one[order]], kind="stable")].tolist():  # large ones first
            if not changed[one[k]]:
                correction[one[k]] = product(correction[other[k]], back[k])
                changed[one[k]] = True
    moved = (labels >= 0) & changed[np.maximum(labels, 0)]
    quaternions = ebsd.quaternions.copy()
    quaternions[moved] = product(correction[labels[moved]], quaternions[moved])
    counts = {"points turned": int(moved.sum()), "grains turned": int(changed.sum())}
    return ebsd.with_values(ebsd.phase, quaternions), Report("pseudo-symmetry", counts)


def _nearest(first: Array, second: Array, turn: Array, group: str) -> tuple[Array, Array]:
    """Least angle in degrees by which ``turn`` in any description makes the first crystals the second, and how."""
    least, back = np.full(len(first), np.inf), np.tile([1.0, 0.0, 0.0, 0.0], (len(first), 1))
    for element in rotations(group):
        for step in (turn, inverse(turn)):
            variant = product(step, element)
            moved = product(variant, first)
            angle = disorientation_angles(moved, second, group)
            better = angle < least - 1e-9
            if better.any():
                least[better] = angle[better]
                near = reduced(moved[better], second[better], group)
                back[better] = product(near, inverse(first[better]))
    return least, back


def clean(
    ebsd: EbsdMap,
    *,
    minimum: Mapping[str, float] | None = None,
    maximum: Mapping[str, float] | None = None,
    spikes: bool = True,
    pseudosymmetry: bool = False,
    filling: bool = True,
    largest: int | None = None,
    angle: float = 10.0,
) -> tuple[EbsdMap, tuple[Report, ...]]:
    """All steps in the usual order: quality, spikes, pseudo-symmetry (only on request), filling."""
    reports = []
    if minimum or maximum:
        ebsd, report = drop_unreliable(ebsd, minimum=minimum, maximum=maximum)
        reports.append(report)
    if spikes:
        ebsd, report = remove_spikes(ebsd, angle)
        reports.append(report)
    if not ebsd.indexed.any():
        raise CaseError("map", len(ebsd), "no point is left after the limits of quality", "weaker limits")
    if pseudosymmetry:
        ebsd, report = merge_pseudosymmetry(ebsd)
        reports.append(report)
    if filling:
        ebsd, report = fill(ebsd, angle, largest=largest)
        reports.append(report)
    return ebsd, tuple(reports)
