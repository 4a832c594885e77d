"""Numbers of a microstructure: sizes and how they are distributed, disorientations, classes, junctions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from chemomech.microstructure.relations import disorientation, point_group
from chemomech.typing import Array, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.structure import Microstructure

MACKENZIE_MEAN: Final = 40.7358  # degrees, of cubic crystals
LARGEST_CUBIC: Final = float(np.degrees(2.0 * np.arccos((2.0**0.5 + 1.0) / 8.0**0.5)))  # 62.80
SPECIAL: Final = ("LAGB", "twin", "Σ3")
_LOG_SAMPLES: Final = 18  # of two


@dataclass(frozen=True)
class LogNormal:
    """A log-normal distribution of diameters.

    Attributes:
        median: m.
        sigma: Standard deviation of ln d.
    """

    median: float
    sigma: float

    @property
    def mean(self) -> float:
        """Of the diameter, m."""
        return float(self.median * np.exp(self.sigma**2 / 2.0))

    def density(self, diameters: Array) -> Array:
        """Probability density at these diameters, 1/m; nan for a distribution without width."""
        d = np.asarray(diameters, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.log(d / self.median) / self.sigma
            return np.asarray(np.where(d > 0, np.exp(-0.5 * z**2) / (d * self.sigma * np.sqrt(2.0 * np.pi)), 0.0))


def fit_log_normal(diameters: Array, weights: Array | None = None) -> LogNormal | None:
    """The most likely log-normal distribution: mean and standard deviation of ln d.

    Args:
        diameters: m, positive.
        weights: How much each counts: nothing for a fit by number, areas or volumes for one by size.

    Returns:
        None of fewer than two diameters.
    """
    if len(diameters) < 2:
        return None
    logarithm = np.log(diameters)
    mean = np.average(logarithm, weights=weights)
    return LogNormal(float(np.exp(mean)), float(np.sqrt(np.average((logarithm - mean) ** 2, weights=weights))))


@dataclass(frozen=True, eq=False)
class Histogram:
    """Densities between edges; they add up to 1 over all bins, if there is anything.

    Attributes:
        edges: Shape (n + 1,).
        density: Per unit of the edges, shape (n,).
    """

    edges: Array
    density: Array

    @property
    def fractions(self) -> Array:
        """What part lies in each bin, shape (n,)."""
        return np.asarray(self.density * np.diff(self.edges))


def _histogram(values: Array, edges: Array, weights: Array | None) -> Histogram:
    counts, _ = np.histogram(values, edges, weights=weights)
    total = counts.sum() or 1.0
    return Histogram(edges, np.asarray(counts / total / np.diff(edges), float))


def counted(structure: Microstructure, *, whole: bool = False) -> Longs:
    """Numbers of the grains that count; with ``whole`` those at the outside do not, as they may be cut off."""
    if whole and structure.parts is not None:
        return np.flatnonzero(~structure.parts.cut).astype(np.int64)
    return np.arange(len(structure), dtype=np.int64)


def size_histogram(
    structure: Microstructure, *, by_size: bool = False, whole: bool = False, bins: int | None = None
) -> Histogram:
    """Distribution of the equivalent diameters, edges in m.

    Args:
        structure: The grains.
        by_size: Each grain counts by its area or volume instead of once.
        whole: Leave out grains at the outside.
        bins: How many bins; chosen if None.
    """
    chosen = counted(structure, whole=whole)
    diameters = structure.diameters[chosen]
    if not len(diameters):
        return Histogram(np.array([0.0, 1.0]), np.zeros(1))
    count = bins or int(np.clip(2.0 * len(diameters) ** 0.4, 4, 40))
    edges = np.linspace(0.0, 1.0001 * float(diameters.max()), count + 1)
    return _histogram(diameters, edges, structure.sizes[chosen] if by_size else None)


def disorientation_histogram(
    structure: Microstructure, *, phase: int | None = None, width: float = 2.5, by_measure: bool = True
) -> Histogram:
    """Distribution of disorientations, edges in degrees, from zero to the largest angle there can be.

    Args:
        structure: The boundaries.
        phase: Only those within this phase; within any if None.
        width: Of a bin, degrees.
        by_measure: Each boundary counts by its length or area instead of once.
    """
    chosen = ~np.isnan(structure.angles)
    if phase is not None:
        chosen &= (structure.grain_phase[structure.pairs] == phase).all(axis=1)
    groups = structure.point_groups if phase is None else (structure.point_groups[phase],)
    largest = max((largest_angle(group) for group in groups), default=180.0)
    edges = width * np.arange(int(np.ceil(largest / width)) + 1, dtype=float)
    return _histogram(structure.angles[chosen], edges, structure.measures[chosen] if by_measure else None)


def mackenzie(angles: Array) -> Array:
    """Probability density of the disorientation of two random cubic crystals, per degree.

    Laue group m-3m: J. K. Mackenzie, Biometrika 45 (1958) 229.

    Args:
        angles: Degrees, shape (n,).
    """
    given = np.asarray(angles, float)
    t = np.radians(np.clip(given, 1e-9, LARGEST_CUBIC))
    root = np.sqrt(2.0) - 1.0
    cot2 = 1.0 / np.tan(t / 2.0) ** 2
    rest = 1.0 - np.cos(t)
    low = rest
    middle = 3.0 * root * np.sin(t) - 2.0 * rest
    steep = (3.0 * root + 4.0 / np.sqrt(3.0)) * np.sin(t) - 6.0 * rest
    with np.errstate(invalid="ignore", divide="ignore"):
        x = root / np.sqrt(1.0 - root**2 * cot2)
        y = root**2 / np.sqrt(3.0 - cot2)
        cot = np.sqrt(cot2)
        first = 2.0 * root * _arccos(x * cot) + _arccos(y * cot) / np.sqrt(3.0)
        second = 2.0 * _arccos((root + 2.0) * x / np.sqrt(2.0)) + _arccos((root + 2.0) * y / np.sqrt(2.0))
    last = steep - (12.0 / np.pi) * first * np.sin(t) + (12.0 / np.pi) * second * rest
    corner = np.degrees(2.0 * np.arctan(np.sqrt(2.0) * root))  # 60.72, where the sphere meets the edges of the zone
    chosen = np.select([given <= 45.0, given <= 60.0, given <= corner], [low, middle, steep], last)
    return np.where((given >= 0.0) & (given <= LARGEST_CUBIC), np.maximum(chosen, 0.0) * 2.0 / 15.0, 0.0)


def _arccos(values: Array) -> Array:
    return np.asarray(np.arccos(np.clip(values, -1.0, 1.0)))


@cache
def _sampled(group: str) -> tuple[Array, Array]:
    """Disorientations of random crystals: middles of bins in degrees and density per degree."""
    from scipy.stats.qmc import Sobol

    # Shoemake's map takes evenly spread points of a cube to evenly spread rotations.
    u, v, w = Sobol(3, rng=np.random.default_rng(0)).random_base2(_LOG_SAMPLES).T
    one, other = np.sqrt(1.0 - u), np.sqrt(u)
    v, w = 2.0 * np.pi * v, 2.0 * np.pi * w
    turns = np.stack([other * np.cos(w), one * np.sin(v), one * np.cos(v), other * np.sin(w)], axis=1)
    angles, _ = disorientation(np.tile([1.0, 0.0, 0.0, 0.0], (len(turns), 1)), turns, group)
    edges = np.linspace(0.0, float(angles.max()) + 1e-6, 61)
    density, _ = np.histogram(angles, edges, density=True)
    return (edges[1:] + edges[:-1]) / 2.0, density


@cache
def largest_angle(group: str) -> float:
    """The largest disorientation two crystals of a point group can have, degrees; by sampling but for cubic ones."""
    if point_group(group).laue.name == "m-3m":
        return LARGEST_CUBIC
    middles, _ = _sampled(group)
    return float(np.ceil(1.5 * middles[-1] - 0.5 * middles[-2]))


def random_density(angles: Array, group: str) -> Array:
    """Probability density of the disorientation of two random crystals, per degree.

    Mackenzie's formula for the Laue group m-3m; for others the mean over 262 144 evenly spread rotations.

    Args:
        angles: Degrees, shape (n,).
        group: Point group.
    """
    if point_group(group).laue.name == "m-3m":
        return mackenzie(angles)
    middles, density = _sampled(group)
    at = np.concatenate([[0.0], middles, [1.5 * middles[-1] - 0.5 * middles[-2]]])
    return np.asarray(np.interp(angles, at, np.concatenate([[0.0], density, [0.0]]), left=0.0, right=0.0))


def random_mixture(structure: Microstructure, angles: Array) -> Array:
    """What `random_density` gives for the phases of a structure, each as much as its own boundaries are of all."""
    inside = [(structure.grain_phase[structure.pairs] == k).all(axis=1) for k in range(len(structure.phases))]
    parts = np.array([structure.measures[chosen].sum() for chosen in inside])
    if not parts.sum() > 0.0:
        parts = np.array([structure.sizes[structure.grain_phase == k].sum() for k in range(len(structure.phases))])
    total = float(parts.sum()) or 1.0
    density = np.zeros(len(angles))
    for part, group in zip(parts, structure.point_groups, strict=True):
        if part > 0.0:
            density += part / total * random_density(angles, group)
    return density


def class_fractions(structure: Microstructure) -> dict[str, dict[str, float]]:
    """Of each class: how many boundaries, their length or area, and what part of the whole that is."""
    total = float(structure.measures.sum())
    unit = "length_m" if structure.dimension == 2 else "area_m2"
    found: dict[str, dict[str, float]] = {}
    for name in structure.class_names:
        measure = float(structure.measures[structure.of_class(name)].sum())
        found[name] = {"count": len(structure.of_class(name)), unit: measure, "fraction": measure / total}
    return found


def junction_types(structure: Microstructure, special: Sequence[str] = SPECIAL) -> dict[int, int]:
    """How many triple junctions have 0, 1, 2, 3 special boundaries: of points in 2D, of pieces of lines in 3D.

    Where more than three grains meet, which of them touch is not known: such junctions do not count.
    """
    all_around = structure.junctions.grains if structure.dimension == 2 else structure.junctions.line_grains
    counts = dict.fromkeys(range(4), 0)
    for around in all_around:
        if len(around) == 3:
            touching = [structure.number(a, b) for a, b in combinations(around, 2) if structure.touch(a, b)]
            words = [structure.classes[k] for k in touching]
            counts[sum(word in special for word in words)] += 1
    return counts


def summary(structure: Microstructure, *, whole: bool = False) -> dict[str, Any]:
    """All numbers, ready for JSON, SI units in their names; None where there is nothing to count.

    Args:
        structure: The microstructure.
        whole: Grains at the outside do not count for diameters and fits.
    """
    chosen = counted(structure, whole=whole)
    diameters, sizes = structure.diameters[chosen], structure.sizes[chosen]
    flat = structure.dimension == 2
    total, boundary = float(structure.sizes.sum()), float(structure.measures.sum())
    by = "area" if flat else "volume"
    given = ~np.isnan(structure.angles)
    names = [*structure.phases, *(["not indexed"] if (structure.grain_phase < 0).any() else [])]
    return {
        "dimension": structure.dimension,
        "grains": len(structure),
        "grains_measured": len(chosen),
        "phases": {
            name: {
                "grains": int((structure.grain_phase == number).sum()),
                f"{by}_fraction": _ratio(float(structure.sizes[structure.grain_phase == number].sum()), total),
            }
            for name, number in zip(names, [*range(len(structure.phases)), -1], strict=False)
        },
        "area_m2" if flat else "volume_m3": total,
        "diameter_mean_m": _mean(diameters),
        f"diameter_mean_by_{by}_m": _mean(diameters, sizes),
        "diameter_min_m": float(diameters.min()) if len(diameters) else None,
        "diameter_max_m": float(diameters.max()) if len(diameters) else None,
        "log_normal_by_number": _fit(fit_log_normal(diameters)),
        f"log_normal_by_{by}": _fit(fit_log_normal(diameters, sizes)),
        "boundaries": len(structure.pairs),
        "boundary_length_m" if flat else "boundary_area_m2": boundary,
        "boundary_length_per_area_per_m" if flat else "boundary_area_per_volume_per_m": _ratio(boundary, total),
        "boundary_classes": class_fractions(structure),
        f"disorientation_mean_by_{'length' if flat else 'area'}_deg": _mean(
            structure.angles[given], structure.measures[given]
        ),
        "disorientation_mean_by_number_deg": _mean(structure.angles[given]),
        "triple_points" if flat else "quadruple_points": len(structure.junctions),
        "junctions_by_grains": {str(k): v for k, v in structure.junctions.counts().items()},
        "triple_junctions_by_special_boundaries": {str(k): v for k, v in junction_types(structure).items()},
    }


def _mean(values: Array, weights: Array | None = None) -> float | None:
    return float(np.average(values, weights=weights)) if len(values) else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _fit(fit: LogNormal | None) -> dict[str, float] | None:
    return None if fit is None else {"median_m": fit.median, "sigma": fit.sigma, "mean_m": fit.mean}
