"""Classes of boundaries: rules that hold for some of them, tried in order.

A rule looks at all boundaries at once; ``Rule.of`` makes one of a predicate that looks at a single `Boundary`:

    Rule.of("long", lambda boundary: boundary.angle > 40 and boundary.measure > 1e-6)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from chemomech.microstructure.relations import SIGMA3, Twin, point_group, tensile_twin, twin_deviation
from chemomech.typing import Array, Flags, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.structure import Microstructure

OTHER: Final = "other"  # no rule holds
LAGB: Final = (2.0, 15.0)  # degrees
BRANDON: Final = 15.0  # degrees; divided by the root of Sigma


@dataclass(frozen=True, eq=False)
class Boundary:
    """All that is known about one boundary, for a predicate.

    Attributes:
        number: Its number in the structure.
        grains: The two grains.
        phases: Name of the phase of each of them; empty where it is not known.
        orientations: Of each of them, quaternions, shape (2, 4).
        sizes: Area (m^2) or volume (m^3) of each of them.
        measure: Length (m) or area (m^2) of the boundary.
        angle: Disorientation, degrees; nan between phases.
        axis: Unit axis of it in the crystal, shape (3,); nan where there is none.
        name: The class, once there is one.
    """

    number: int
    grains: tuple[int, int]
    phases: tuple[str, str]
    orientations: Array
    sizes: tuple[float, float]
    measure: float
    angle: float
    axis: Array
    name: str

    @classmethod
    def of(cls, structure: Microstructure, number: int) -> Boundary:
        """Boundary ``number`` of a structure."""
        first, second = structure.pairs[number].tolist()
        one, other = (int(structure.grain_phase[grain]) for grain in (first, second))
        words = structure.phases
        return cls(
            number=number,
            grains=(first, second),
            phases=(words[one] if one >= 0 else "", words[other] if other >= 0 else ""),
            orientations=structure.orientations[[first, second]],
            sizes=(float(structure.sizes[first]), float(structure.sizes[second])),
            measure=float(structure.measures[number]),
            angle=float(structure.angles[number]),
            axis=structure.axes[number],
            name=structure.classes[number],
        )


@dataclass(frozen=True)
class Rule:
    """A class of boundaries.

    Attributes:
        name: Name of the class.
        holds: Says of all boundaries of a structure which belong to it, shape (b,).
    """

    name: str
    holds: Callable[[Microstructure], Flags]

    @classmethod
    def of(cls, name: str, predicate: Callable[[Boundary], bool]) -> Rule:
        """A rule from a predicate that is asked about one boundary after the other."""

        def holds(structure: Microstructure) -> Flags:
            return np.array([bool(predicate(structure.boundary(k))) for k in range(len(structure.pairs))], bool)

        return cls(name, holds)

    @classmethod
    def any_of(cls, name: str, *rules: Rule) -> Rule:
        """A rule that holds where one of several does."""
        return cls(name, lambda structure: np.any([rule.holds(structure) for rule in rules], axis=0))


def classify(structure: Microstructure, rules: Sequence[Rule]) -> tuple[str, ...]:
    """The class of each boundary: the name of the first rule that holds, or ``other``."""
    names = np.full(len(structure.pairs), OTHER, dtype=object)
    for rule in reversed(rules):
        names[rule.holds(structure)] = rule.name
    return tuple(names.tolist())


def angle_rule(name: str, above: float, up_to: float = 180.0, *, inclusive: bool = False) -> Rule:
    """Boundaries within one phase whose disorientation lies in a range.

    Args:
        name: Name of the class.
        above: The angle is larger than this, degrees.
        up_to: And not larger than this, degrees.
        inclusive: ``above`` itself belongs to it.
    """

    def holds(structure: Microstructure) -> Flags:
        angle = structure.angles  # nan fails all comparisons
        lower = angle >= above if inclusive else angle > above
        return np.asarray(lower & (angle <= up_to))

    return Rule(name, holds)


def _between_phases(structure: Microstructure) -> Flags:
    phase = structure.grain_phase[structure.pairs]
    return np.asarray((phase[:, 0] != phase[:, 1]) & (phase >= 0).all(axis=1))


def twin_rule(name: str, twin: Twin, tolerance: float, *, trace: float | None = 10.0) -> Rule:
    """Boundaries between twins.

    Args:
        name: Name of the class.
        twin: Which twin; phases of another crystal system have none of these.
        tolerance: Largest angle between the true misorientation and the one of the twin, degrees.
        trace: For coherent ones: at least half of the boundary must be within this angle of the twin plane, degrees.
            In a section, where the plane of a boundary is not known, the direction of each of its chains must be;
            in 3D the plane of each face. Not asked for if None, nor of a structure without geometry.
    """

    def holds(structure: Microstructure) -> Flags:
        found = np.zeros(len(structure.pairs), bool)
        phase = structure.grain_phase[structure.pairs]
        for number, group in enumerate(structure.point_groups):
            if point_group(group).system != twin.system:
                continue
            chosen = np.flatnonzero((phase == number).all(axis=1))
            first, second = (structure.orientations[structure.pairs[chosen, side]] for side in (0, 1))
            missing, normals = twin_deviation(first, second, twin, group)
            near = missing <= tolerance
            found[chosen[near]] = True
            if trace is not None:
                found[chosen[near]] = _along(structure, chosen[near], normals[near], trace)
        return found

    return Rule(name, holds)


def _along(structure: Microstructure, boundaries: Longs, normals: Array, tolerance: float) -> Flags:
    """Which boundaries run along one of their planes, with normals (n, p, 3), over at least half of their measure."""
    parts = structure.parts
    if parts is None:
        return np.ones(len(boundaries), bool)
    place = np.full(len(structure.pairs), -1, np.int64)
    place[boundaries] = np.arange(len(boundaries))
    of = np.where(parts.boundary >= 0, place[parts.boundary], -1) if len(place) else parts.boundary
    chosen = np.flatnonzero(of >= 0)
    cosine = np.abs(np.einsum("kpi,ki->kp", normals[of[chosen]], parts.directions[chosen]))
    angle = np.degrees(np.arccos(np.minimum(cosine, 1.0)))
    if structure.dimension == 2:
        angle = 90.0 - angle  # of a line and a plane
    fits = (angle <= tolerance).astype(float) * parts.lengths[chosen][:, None]
    good = np.stack([np.bincount(of[chosen], column, minlength=len(boundaries)) for column in fits.T], axis=1)
    return np.asarray(good.max(axis=1) >= 0.5 * structure.measures[boundaries])


PHASE: Final = Rule("phase", _between_phases)
LOW_ANGLE: Final = angle_rule("LAGB", *LAGB, inclusive=True)
HIGH_ANGLE: Final = angle_rule("HAGB", LAGB[1])
COHERENT_TWIN: Final = twin_rule("twin", SIGMA3, BRANDON / 3.0**0.5)
ANY_SIGMA3: Final = twin_rule("Σ3", SIGMA3, BRANDON / 3.0**0.5, trace=None)
TENSILE_TWIN: Final = twin_rule("twin", tensile_twin(), 5.0, trace=None)
DEFAULT_RULES: Final = (PHASE, COHERENT_TWIN, TENSILE_TWIN, LOW_ANGLE, HIGH_ANGLE)
