"""Orientations for grains that are there already, so that boundaries get the character that is asked for.

A coherent twin is possible only where a boundary lies in a {111} plane of both grains; so the orientations are made to
fit the boundaries, one after the other, the longest first, as far as grains are still free to turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.classes import DEFAULT_RULES, Rule
from chemomech.microstructure.relations import disorientations, inverse, product, rotated
from chemomech.microstructure.structure import Microstructure
from chemomech.microstructure.textures import shortest, uniform_orientations
from chemomech.typing import Array

_SHORT = 0.05  # of the whole: so much less than asked for is still near enough
_ALONG = 8.0  # degrees between a twin plane and a boundary that is still called coherent
_TILTS = (4.0, 12.0)  # degrees: the low angles that are made, well within LAGB
_PLANES = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]) / 3.0**0.5
_NORMAL = _PLANES[0]


def with_characters(
    structure: Microstructure,
    twins: float,
    low_angle: float,
    seed: int,
    rules: Sequence[Rule] = DEFAULT_RULES,
) -> Microstructure:
    """The same cubic grains with other orientations, so that given shares of the boundaries are twins and LAGB.

    All else is random. In a section boundaries are taken to stand upright on it.

    Args:
        structure: Grains with their geometry, of one cubic phase.
        twins: Share of coherent 60 degrees <111> twins in the length or area of all boundaries.
        low_angle: Share of boundaries of 4 to 12 degrees.
        seed: Of all random numbers.
        rules: How boundaries are classified.

    Raises:
        CaseError: If the shares can't be reached: every grain has one orientation, so that few boundaries are free.
    """
    rng = np.random.default_rng([seed, 2])
    total = float(structure.measures.sum())
    made = uniform_orientations(len(structure), rng)
    free = np.ones(len(structure), dtype=bool)
    normals = upright_normals(structure)
    for key, share in (("twins", twins), ("low_angle", low_angle)):
        done = 0.0
        for k in np.argsort(-structure.measures, kind="stable").tolist():
            first, second = structure.pairs[k].tolist()
            if done + 0.5 * structure.measures[k] > share * total or not (free[first] or free[second]):
                continue
            if not free[second]:
                first, second = second, first
            if key == "twins":
                if free[first]:
                    made[first] = facing(normals[k], rng)
                twin = _fitting_twin(made[first], normals[k], structure.dimension)
                if twin is None:
                    continue
                made[second] = twin
            else:
                made[second] = _tilted(made[first], rng)
            free[[first, second]] = False
            done += float(structure.measures[k])
    angles, axes = disorientations(made, structure.grain_phase, structure.point_groups, structure.pairs)
    found = replace(structure, orientations=made, angles=angles, axes=axes).classified(rules)
    for key, name, share in (("twins", "twin", twins), ("low_angle", "LAGB", low_angle)):
        there = float(structure.measures[found.of_class(name)].sum()) / total if total else 0.0
        if there < share - _SHORT:
            raise CaseError(
                key, share, f"these grains allow a share of {there:.2f} only, every grain having one orientation",
                f"at most {there:.2f}, or more grains",
            )  # fmt: skip
    return found


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


def _tilted(orientation: Array, rng: np.random.Generator) -> Array:
    """A crystal a few degrees away, about a random axis."""
    axis = rng.standard_normal(3)
    half = 0.5 * np.radians(rng.uniform(*_TILTS))
    return np.asarray(
        product(np.concatenate([[np.cos(half)], np.sin(half) * axis / np.linalg.norm(axis)]), orientation)
    )
