"""Microstructures in the words of a case: polycrystals of several kinds, and maps as an instrument would see them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from chemomech.case import BoundaryClasses, MadeMap, Polycrystal
from chemomech.errors import CaseError
from chemomech.microstructure.characters import facing, twin_across, with_characters
from chemomech.microstructure.classes import PHASE, TENSILE_TWIN, Rule, angle_rule, twin_rule
from chemomech.microstructure.ebsd.map import UNINDEXED, EbsdMap
from chemomech.microstructure.ebsd.reading import map_of_arrays
from chemomech.microstructure.orientations import from_euler
from chemomech.microstructure.relations import SIGMA3, disorientation, product, twin_deviation
from chemomech.microstructure.structure import Microstructure
from chemomech.microstructure.textures import Texture, uniform_orientations
from chemomech.microstructure.voronoi import tessellate
from chemomech.typing import Array

_GROUP: Final = "m-3m"
_WORDS: Final = {"number": "grains", "mean_size": "grain_size"}


def rules_of(classes: BoundaryClasses) -> tuple[Rule, ...]:
    """The classes of boundaries with the limits of a case, in the order of ``microstructure.classes.DEFAULT_RULES``."""
    return (
        PHASE,
        twin_rule("twin", SIGMA3, classes.twin, trace=10.0 if classes.coherent else None),
        TENSILE_TWIN,
        angle_rule("LAGB", classes.low_angle, classes.high_angle, inclusive=True),
        angle_rule("HAGB", classes.high_angle),
    )


def polycrystal_of(domain: Polycrystal) -> Microstructure:
    """The grains that the words of a case describe; its lower corner is the origin.

    Raises:
        CaseError: If there are no such grains; its key is that of the case.
    """
    try:
        return _polycrystal(domain)
    except CaseError as error:
        key = f"domain.{_WORDS.get(error.key, error.key)}"
        raise CaseError(key, error.value, error.problem, error.allowed) from None


def _polycrystal(domain: Polycrystal) -> Microstructure:
    box, rules = list(domain.size), rules_of(domain.classes)
    dimension = len(box)
    if domain.kind in ("single", "bicrystal"):
        turned = _side_by_side(domain)
        middles = (np.arange(len(turned)) + 0.5) / len(turned) * box[0]
        seeds = np.full((len(turned), dimension), 0.5) * np.array(box)
        seeds[:, 0] = middles
        geometry = tessellate(dimension, box, seeds=seeds, columnar="y", short_edges=0.0).geometry
    else:
        spread = 0.35 if domain.kind == "laguerre" and domain.spread is None else domain.spread
        form = np.where(np.arange(dimension) == 1, domain.elongation, 1.0)
        mean = None if domain.grain_size is None else domain.grain_size / domain.elongation ** (1.0 / dimension)
        cut = tessellate(
            dimension, (np.array(box) / form).tolist(), number=domain.grains, mean_size=mean, spread=spread,
            lloyd=domain.lloyd, columnar="y" if domain.kind == "columnar" else None, seed=domain.seed,
        )  # fmt: skip
        geometry = replace(cut.geometry, points=cut.geometry.points * form)
        turned = _orientations(domain, cut.partition.count)
    phase = np.zeros(len(turned), dtype=np.int32)
    made = Microstructure.from_geometry(geometry, (domain.material,), phase, turned, (_GROUP,), rules)
    if domain.twins or domain.low_angle:
        limits = domain.classes.low_angle, domain.classes.high_angle
        made = with_characters(made, domain.twins or 0.0, domain.low_angle or 0.0, domain.seed, rules, limits)
    return made


def _orientations(domain: Polycrystal, count: int) -> Array:
    rng = np.random.default_rng([domain.seed, 1])  # places and orientations do not depend on each other
    words = domain.texture
    if words is None:
        return uniform_orientations(count, rng)
    return Texture(words.direction, words.along, words.spread, words.fraction).orientations(count, rng)


def _side_by_side(domain: Polycrystal) -> Array:
    """Orientations of one crystal, or of several with straight boundaries across x between them."""
    if domain.misorientation is None:
        return from_euler(np.radians([domain.orientation]))
    turns, across = domain.misorientation, np.array([1.0, 0.0, 0.0])
    rng = np.random.default_rng([domain.seed, 1])
    first = turns[0]
    if isinstance(first, float):
        found = [_about_z(0.5 * first)]
    else:
        found = [facing(across, rng) if first == "twin" else uniform_orientations(1, rng)[0]]
    for k, turn in enumerate(turns):
        if isinstance(turn, float):
            found.append(np.asarray(product(found[-1], _about_z(-turn))))
        elif turn == "twin":
            found.append(twin_across(found[-1], across))
        else:
            found.append(_random_beside(found[-1], turns[k + 1 :][:1] == ("twin",), across, domain.classes, rng))
    return np.array(found)


def _about_z(degrees: float) -> Array:
    """The crystal turned counterclockwise about z, sample to crystal."""
    half = 0.5 * np.radians(degrees)
    return np.array([np.cos(half), 0.0, 0.0, -np.sin(half)])


def _random_beside(
    beside: Array, twinned: bool, across: Array, classes: BoundaryClasses, rng: np.random.Generator
) -> Array:
    """A random crystal that makes a high-angle boundary with the one beside it, and no twin."""
    while True:
        one = facing(across, rng) if twinned else uniform_orientations(1, rng)[0]
        angle = disorientation(beside[None], one[None], _GROUP)[0][0]
        if angle > classes.high_angle and twin_deviation(beside[None], one[None], SIGMA3, _GROUP)[0][0] > classes.twin:
            return np.asarray(one)


def made_map(words: MadeMap) -> EbsdMap:
    """A map of a made polycrystal: points with the orientation of their grain, some scatter, some of them lost.

    Raises:
        CaseError: If there is no such polycrystal, or grains would have no points; its key is that of the domain.
    """
    try:
        return _seen(words)
    except CaseError as error:
        raise CaseError(f"made.{_WORDS.get(error.key, error.key)}", error.value, error.problem, error.allowed) from None


def _seen(words: MadeMap) -> EbsdMap:
    counts = [max(round(edge / words.step), 1) for edge in words.size]
    if min(counts) < 4 or words.step > 0.5 * words.grain_size:
        raise CaseError("step", words.step, "grains would be lost between the points", "at most a fifth of grain_size")
    size = [count * words.step for count in counts]
    cut = tessellate(2, size, mean_size=words.grain_size, lloyd=3, seed=words.seed)
    rng = np.random.default_rng([words.seed, 3])
    count = cut.partition.count
    turned = uniform_orientations(count, np.random.default_rng([words.seed, 1]))
    phase = np.zeros(count, dtype=np.int32)
    made = Microstructure.from_geometry(cut.geometry, ("made",), phase, turned, (_GROUP,))
    if words.twins or words.low_angle:
        made = with_characters(made, words.twins, words.low_angle, words.seed)
    x, y = ((np.arange(n) + 0.5) * words.step for n in counts)
    places = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)
    nearest = np.argmin(((places[:, None] - cut.seeds) ** 2).sum(axis=2) - cut.weights, axis=1)
    seen = made.orientations[nearest]
    scatter = np.radians(words.noise) / 2.0 * rng.standard_normal((len(seen), 3)) / 3.0**0.5
    off = np.concatenate([np.ones((len(seen), 1)), scatter], axis=1)
    seen = product(off / np.linalg.norm(off, axis=1, keepdims=True), seen)
    known = np.where(rng.random(len(seen)) < words.lost, UNINDEXED, 0).astype(np.int32)
    rows = (counts[1], counts[0])
    return map_of_arrays(
        seen.reshape(*rows, 4), words.step, phase=known.reshape(rows), phases=("made",), point_groups=(_GROUP,)
    )
