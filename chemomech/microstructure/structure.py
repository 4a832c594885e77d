"""Grains, boundaries, junctions: the one object between where a microstructure comes from and what is done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from chemomech.microstructure.classes import DEFAULT_RULES, Boundary, Rule, classify
from chemomech.microstructure.parts import Parts, measured
from chemomech.microstructure.relations import disorientations
from chemomech.typing import Array, Ints, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.planar import PlanarMap
    from chemomech.microstructure.solid import CellComplex


@dataclass(frozen=True, eq=False)
class Junctions:
    """Where three or more grains meet; the outside is no grain.

    Attributes:
        places: Triple points of a section; in 3D the points where four or more grains meet. Shape (t, d), m.
        grains: The grains around each of them, ascending.
        lines: Ends of the straight pieces of triple lines, in 3D only, shape (l, 2, d), m.
        line_grains: The grains around each piece.
    """

    places: Array
    grains: tuple[tuple[int, ...], ...] = ()
    lines: Array = field(default_factory=lambda: np.zeros((0, 2, 3)))
    line_grains: tuple[tuple[int, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    def counts(self) -> dict[int, int]:
        """How many points have so many grains around."""
        numbers, counts = np.unique([len(around) for around in self.grains], return_counts=True)
        return {int(n): int(count) for n, count in zip(numbers, counts, strict=True)}


@dataclass(frozen=True, eq=False)
class Microstructure:
    """Grains of one or several phases that fill a region of the plane or of space.

    Grains are numbered from 0. What belongs to a grain comes in order of these numbers, what belongs to a boundary
    in order of ``pairs``. A boundary is all that two grains share, be it one line or face or several.

    Attributes:
        dimension: 2 or 3.
        phases: Name of each phase.
        point_groups: Point group of each phase, as orix names it, such as ``m-3m`` or ``6/mmm``.
        grain_phase: Number of the phase of each grain, -1 where it is not known, shape (g,).
        orientations: Unit quaternions (a, b, c, d) that take sample to crystal, as orix has them, shape (g, 4).
        sizes: Area (m^2) or volume (m^3) of each grain, shape (g,).
        centroids: Shape (g, d), m.
        pairs: The two grains of each boundary, the smaller number first, in ascending order, shape (b, 2).
        measures: Length (m) or area (m^2) of each boundary, shape (b,).
        angles: Disorientation, degrees; nan between phases and where a phase is not known. Shape (b,).
        axes: Unit axis of the disorientation in the crystal, in the fundamental sector of its Laue group, shape (b, 3);
            nan where the angle is, or where it is zero.
        classes: Class of each boundary: ``LAGB``, ``HAGB``, ``twin``, ``phase``, ``other``, or a user's own word.
        junctions: Where grains meet.
        geometry: What all this was measured on, if it is there.
    """

    dimension: int
    phases: tuple[str, ...]
    point_groups: tuple[str, ...]
    grain_phase: Ints
    orientations: Array
    sizes: Array
    centroids: Array
    pairs: Longs
    measures: Array
    angles: Array
    axes: Array
    classes: tuple[str, ...]
    junctions: Junctions
    geometry: PlanarMap | CellComplex | None = None

    def __post_init__(self) -> None:
        grains, boundaries, d = len(self.grain_phase), len(self.pairs), self.dimension
        shapes = {
            "orientations": (grains, 4),
            "sizes": (grains,),
            "centroids": (grains, d),
            "pairs": (boundaries, 2),
            "measures": (boundaries,),
            "angles": (boundaries,),
            "axes": (boundaries, 3),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has the shape {getattr(self, name).shape}, not {shape}")
        if len(self.classes) != boundaries:
            raise ValueError(f"{len(self.classes)} classes for {boundaries} boundaries")
        if len(self.phases) != len(self.point_groups):
            raise ValueError(f"{len(self.phases)} phases and {len(self.point_groups)} point groups")
        if grains and not -1 <= int(self.grain_phase.min()) <= int(self.grain_phase.max()) < len(self.phases):
            raise ValueError(f"grain_phase names a phase that is none of the {len(self.phases)}")

    @classmethod
    def from_geometry(
        cls,
        geometry: PlanarMap | CellComplex,
        phases: Sequence[str],
        grain_phase: Ints | Sequence[int],
        orientations: Array,
        point_groups: Sequence[str],
        rules: Sequence[Rule] = DEFAULT_RULES,
    ) -> Microstructure:
        """Measure a geometry and classify its boundaries.

        Args:
            geometry: Which grain lies where; it may name grains up to the length of ``grain_phase``.
            phases: Name of each phase.
            grain_phase: Number of the phase of each grain, -1 where it is not known, shape (g,).
            orientations: Unit quaternions that take sample to crystal, shape (g, 4); rows of grains without a phase
                are not looked at.
            point_groups: Point group of each phase.
            rules: The first that holds names the class of a boundary; ``other`` if none does.

        Raises:
            ValueError: The geometry names a grain there is no phase for, or a grain has no size; an orientation is
                not of unit length.
        """
        phase_of = np.asarray(grain_phase, dtype=np.int32)
        quaternions = np.asarray(orientations, dtype=float).reshape(len(phase_of), 4)
        unit = np.abs(np.linalg.norm(quaternions, axis=1) - 1.0) < 1e-6
        if not (unit | (phase_of < 0)).all():
            raise ValueError(f"the orientation of grain {int(np.argmin(unit | (phase_of < 0)))} is no unit quaternion")
        parts = measured(geometry, len(phase_of))
        if len(phase_of) and not (parts.sizes > 0.0).all():
            raise ValueError(f"grain {int(np.argmin(parts.sizes > 0.0))} has no size")
        angles, axes = disorientations(quaternions, phase_of, tuple(point_groups), parts.pairs)
        bare = cls(
            dimension=parts.dimension,
            phases=tuple(phases),
            point_groups=tuple(point_groups),
            grain_phase=phase_of,
            orientations=quaternions,
            sizes=parts.sizes,
            centroids=parts.centroids,
            pairs=parts.pairs,
            measures=parts.measures,
            angles=angles,
            axes=axes,
            classes=("",) * len(parts.pairs),
            junctions=Junctions(*parts.junctions),
            geometry=geometry,
        )
        vars(bare)["parts"] = parts  # what a cached property keeps: it need not be measured again
        return bare.classified(rules)

    @cached_property
    def parts(self) -> Parts | None:
        """The lines or faces of the geometry, and to which boundary each belongs."""
        return None if self.geometry is None else measured(self.geometry, len(self.grain_phase))

    def classified(self, rules: Sequence[Rule] = DEFAULT_RULES) -> Microstructure:
        """The same with classes after other rules; the first rule that holds counts, ``other`` if none does."""
        new = replace(self, classes=classify(self, rules))
        vars(new)["parts"] = self.parts
        return new

    def __len__(self) -> int:
        return len(self.grain_phase)

    @property
    def diameters(self) -> Array:
        """Diameter of the circle or ball of the same size, m, shape (g,)."""
        factor = 4.0 / np.pi if self.dimension == 2 else 6.0 / np.pi
        return np.asarray((factor * self.sizes) ** (1.0 / self.dimension))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each boundary: ``grain-3|grain-17``."""
        return tuple(f"grain-{a}|grain-{b}" for a, b in self.pairs.tolist())

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes there are, in alphabetical order."""
        return tuple(sorted(set(self.classes)))

    @cached_property
    def _numbers(self) -> dict[tuple[int, int], int]:
        return {(a, b): k for k, (a, b) in enumerate(self.pairs.tolist())}

    def touch(self, first: int, second: int) -> bool:
        """Whether two grains have a boundary in common."""
        return (min(first, second), max(first, second)) in self._numbers

    def number(self, first: int, second: int) -> int:
        """Number of the boundary between two grains, in either order. KeyError if they do not touch."""
        return self._numbers[min(first, second), max(first, second)]

    def boundary(self, number: int) -> Boundary:
        """All that is known about one boundary, as a predicate gets it."""
        return Boundary.of(self, number)

    def where(self, predicate: Callable[[Boundary], bool]) -> Longs:
        """Numbers of the boundaries for which ``predicate`` holds, ascending."""
        return np.array([k for k in range(len(self.pairs)) if predicate(self.boundary(k))], dtype=np.int64)

    def of_class(self, name: str) -> Longs:
        """Numbers of the boundaries of one class, ascending."""
        return np.flatnonzero(np.array(self.classes, dtype=object) == name).astype(np.int64)
