"""Orientations for grains that are there already, so that boundaries get the character that is asked for.

A coherent twin is possible only where a boundary lies in a {111} plane of both grains; so the orientations are made to
fit the boundaries, one after the other, the longest first, as far as grains are still free to turn.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.classes import DEFAULT_RULES, LAGB, Rule
from chemomech.microstructure.orientations import disorientation_angles
from chemomech.microstructure.relations import disorientations, inverse, product, rotated
from chemomech.microstructure.structure import Microstructure
from chemomech.microstructure.textures import shortest, uniform_orientations
from chemomech.typing import Array

_TREE = 1.0 / 3.0  # of all boundaries: as many as a chain through all grains has, about
_SHORT = 0.05  # of the whole: so much less than asked for is still near enough
_ALONG = 8.0  # degrees between a twin plane and a boundary that is still called coherent
_TILTS = (0.15, 0.75)  # of the way from one limit of low angles to the other: those that are made
_PLANES = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]) / 3.0**0.5
_NORMAL = _PLANES[0]


def with_characters(
    structure: Microstructure,
    twins: float,
    low_angle: float,
    seed: int,
    rules: Sequence[Rule] = DEFAULT_RULES,
    limits: tuple[float, float] = LAGB,
) -> Microstructure:
    """The same cubic grains with other orientations, so that given shares of the boundaries are twins and LAGB.

    All else is random. In a section boundaries are taken to stand upright on it.

    Args:
        structure: Grains with their geometry, of one cubic phase.
        twins: Share of coherent 60 degrees <111> twins in the length or area of all boundaries.
        low_angle: Share of low-angle boundaries; what comes by chance is some 2 to 5 % more.
        seed: Of all random numbers.
        rules: How boundaries are classified.
        limits: Angles between which those of low angle lie, degrees.

    Raises:
        CaseError: If the shares can't be reached: every grain has one orientation, so that few boundaries are free.
    """
    made = _Turning(structure, seed, min((twins + low_angle) / _TREE, 1.0), limits)
    made.twin(twins)
    made.tilt(low_angle)
    total = float(structure.measures.sum())
    turned, phase = made.orientations, structure.grain_phase
    angles, axes = disorientations(turned, phase, structure.point_groups, structure.pairs)
    found = replace(structure, orientations=turned, angles=angles, axes=axes).classified(rules)
    for key, name, share in (("twins", "twin", twins), ("low_angle", "LAGB", low_angle)):
        there = float(structure.measures[found.of_class(name)].sum()) / total if total else 0.0
        if there < share - _SHORT:
            raise CaseError(
                key, share, f"these grains allow a share of {there:.2f} only, every grain having one orientation",
                f"at most {there:.2f}, or more grains",
            )  # fmt: skip
    return found


class _Turning:
    """Grains that get their orientations one after the other.

    Args:
        structure: The grains.
        seed: Of all random numbers.
        growth: How often a grain beside one that is fixed already is preferred to two that are free: the more is asked
            of the boundaries, the fewer grains each of them may take.
        limits: Angles between which those of low angle lie, degrees.
    """

    def __init__(self, structure: Microstructure, seed: int, growth: float, limits: tuple[float, float]) -> None:
        self.structure, self.growth, self._limits = structure, growth, limits
        self.rng = np.random.default_rng([seed, 2])
        self.orientations = uniform_orientations(len(structure), self.rng)
        self._free = np.ones(len(structure), dtype=bool)
        self._normals = upright_normals(structure)
        self._around: list[list[int]] = [[] for _ in range(len(structure))]
        for k, pair in enumerate(structure.pairs.tolist()):
            for grain in pair:
                self._around[grain].append(k)

    def twin(self, share: float) -> None:
        """Make twins until they are ``share`` of all boundaries, or nothing more fits."""

        def both(k: int, first: int, second: int) -> None:
            self.orientations[first] = facing(self._normals[k], self.rng)
            self.orientations[second] = twin_across(self.orientations[first], self._normals[k])

        def one(k: int, fixed: int) -> Array | None:
            found = _fitting_twin(self.orientations[fixed], self._normals[k], self.structure.dimension)
            return None if found is None or self._is_there(found, k, fixed) else found

        self._assign(share, both, one)

    def tilt(self, share: float) -> None:
        """Make boundaries of low angles until they are ``share`` of all, or nothing more fits."""

        def both(_: int, first: int, second: int) -> None:
            self.orientations[second] = _tilted(self.orientations[first], self._limits, self.rng)

        def one(_: int, fixed: int) -> Array:
            return _tilted(self.orientations[fixed], self._limits, self.rng)

        self._assign(share, both, one)

    def _is_there(self, orientation: Array, k: int, fixed: int) -> bool:
        """Whether the grain across boundary ``k`` has another neighbour with this orientation: they would be one."""
        pairs = self.structure.pairs
        grain = int(pairs[k].sum()) - fixed
        others = pairs[self._around[grain]].sum(axis=1) - grain
        others = others[~self._free[others]]
        same = np.tile(orientation, (len(others), 1))
        return bool(np.any(disorientation_angles(self.orientations[others], same, "m-3m") < self._limits[0]))

    def _assign(
        self, share: float, both: Callable[[int, int, int], None], one: Callable[[int, int], Array | None]
    ) -> None:
        measures, pairs = self.structure.measures, self.structure.pairs.tolist()
        rest = share * float(measures.sum())
        fresh = iter(np.argsort(-measures, kind="stable").tolist())  # boundaries between two free grains, if still so
        beside: list[tuple[float, int]] = []
        for k, (first, second) in enumerate(pairs):
            if self._free[first] != self._free[second]:
                heapq.heappush(beside, (-measures[k], k))

        def fix(grain: int) -> None:
            self._free[grain] = False
            for k in self._around[grain]:
                if self._free[pairs[k]].any():
                    heapq.heappush(beside, (-measures[k], k))

        while True:
            grown = bool(beside) and self.rng.random() < self.growth
            new = None if grown else next((j for j in fresh if self._free[pairs[j]].all()), None)
            if new is None and not beside:
                return
            k = heapq.heappop(beside)[1] if new is None else new
            first, second = pairs[k]
            if measures[k] > 2.0 * rest or not self._free[[first, second]].any():
                continue
            if self._free[first] and self._free[second]:
                both(k, first, second)
                fix(first)
            else:
                first, second = (second, first) if self._free[first] else (first, second)
                turned = one(k, first)
                if turned is None:
                    continue
                self.orientations[second] = turned
            fix(second)
            rest -= float(measures[k])


def upright_normals(structure: Microstructure) -> Array:
    """Unit normal of the largest part of each boundary, in a section in its plane, shape (b, 3)."""
    parts = structure.parts
    if parts is None:
        raise CaseError("structure", None, "the grains have no geometry", "grains that were made or measured")
    inner = np.flatnonzero(parts.boundary >= 0)
    inner = inner[np.argsort(parts.lengths[inner], kind="stable")]
    largest = np.zeros(len(structure.pairs), dtype=np.int64)
    largest[parts.boundary[inner]] = inner  # the last one written is the largest
    along = parts.directions[largest]
    if structure.dimension == 3:
        return np.asarray(along)
    return np.stack([-along[:, 1], along[:, 0], np.zeros(len(along))], axis=1)


def facing(normal: Array, rng: np.random.Generator) -> Array:
    """A cubic crystal with a {111} plane across ``normal`` (unit, sample), turned about it at random, shape (4,)."""
    angle = rng.uniform(0.0, np.pi)
    turn = np.concatenate([[np.cos(angle)], np.sin(angle) * _NORMAL])
    return np.asarray(product(turn, shortest(normal[None], _NORMAL)[0]))


def twin_across(orientation: Array, normal: Array) -> Array:
    """The crystal turned by half a turn about ``normal`` (unit, sample), shape (4,)."""
    return np.asarray(product(orientation, np.concatenate([[0.0], normal])))


def _fitting_twin(orientation: Array, normal: Array, dimension: int) -> Array | None:
    """A twin of a crystal whose twin plane the boundary lies in; None if the crystal has no such plane."""
    planes = rotated(inverse(orientation), _PLANES)
    if dimension == 3:
        off = np.degrees(np.arccos(np.minimum(np.abs(planes @ normal), 1.0)))
    else:  # the trace of the boundary in the plane
        off = np.degrees(np.arcsin(np.minimum(np.abs(planes @ np.array([-normal[1], normal[0], 0.0])), 1.0)))
    best = int(np.argmin(off))
    return twin_across(orientation, planes[best]) if off[best] <= _ALONG else None


def _tilted(orientation: Array, limits: tuple[float, float], rng: np.random.Generator) -> Array:
    """A crystal a few degrees away, well within the limits, about a random axis."""
    axis = rng.standard_normal(3)
    half = 0.5 * np.radians(limits[0] + (limits[1] - limits[0]) * rng.uniform(*_TILTS))
    return np.asarray(
        product(np.concatenate([[np.cos(half)], np.sin(half) * axis / np.linalg.norm(axis)]), orientation)
    )
