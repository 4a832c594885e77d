"""From the file of an EBSD map to a conforming mesh of the real grains, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chemomech.errors import CaseError
from chemomech.meshing.grains import GrainMesh, mesh_grains
from chemomech.meshing.grains2d import Progress
from chemomech.meshing.layers import Layers
from chemomech.microstructure.classes import DEFAULT_RULES, Rule
from chemomech.microstructure.ebsd.cleanup import Report, clean
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.ebsd.reading import read_map
from chemomech.microstructure.ebsd.segmentation import grains_of, joined, segment
from chemomech.microstructure.ebsd.structure import section_to_structure
from chemomech.microstructure.structure import Microstructure
from chemomech.typing import Array, Longs


@dataclass(frozen=True)
class MapMesh:
    """A measured map and what was made of it.

    Attributes:
        measured: The map as it was read.
        cleaned: The map after clean-up.
        reports: What every step of the clean-up did.
        labels: Grain of every point, -1 where not indexed, shape (n,).
        structure: Grains and boundaries.
        mesh: The mesh.
        spread: Mean disorientation of a grain's points from its mean orientation, degrees, shape (grains,).
    """

    measured: EbsdMap
    cleaned: EbsdMap
    reports: tuple[Report, ...]
    labels: Longs
    structure: Microstructure
    mesh: GrainMesh
    spread: Array

    @property
    def area_changes(self) -> Array:
        """Area of every grain in the mesh over that of its points, less one, shape (grains,)."""
        points = np.bincount(self.labels[self.labels >= 0], minlength=len(self.structure))
        return np.asarray(self.mesh.grain_measures() / (points * self.cleaned.cell_area) - 1.0)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before trusting the mesh."""
        said = list(self.measured.warnings)
        loose = np.flatnonzero(self.spread > _LOOSE)
        if len(loose):
            said.append(
                f"{len(loose)} grains have no clear orientation (their points differ by {self.spread[loose].max():.0f} "
                "degrees from the mean): probably noise; raise the least quality or the least grain size"
            )
        if self.largest_filled > _LARGE * len(self.measured):
            said.append(
                f"a hole of {self.largest_filled} points without orientation was filled by the grains around it, "
                "which is more than a guess can carry; largest_hole keeps such holes open"
            )
        return tuple(said)

    @property
    def largest_filled(self) -> int:
        """Points of the largest hole in the measured map that the clean-up filled."""
        filled = ~self.measured.indexed & self.cleaned.indexed
        pairs = self.measured.pairs
        parts = joined(len(filled), pairs[filled[pairs].all(axis=1)])[filled]
        return int(np.bincount(parts).max(initial=0))


_LOOSE = 10.0  # degrees
_LARGE = 0.02  # of the map


def mesh_map(
    path: str | Path | EbsdMap,
    size: float | None = None,
    *,
    boundary_size: float | None = None,
    growth: float = 0.2,
    layers: Layers | None = None,
    angle: float = 10.0,
    minimum: int = 5,
    quality: Mapping[str, float] | None = None,
    worst: Mapping[str, float] | None = None,
    largest_hole: int | None = None,
    pseudosymmetry: bool = False,
    smoothing: int = 60,
    rules: Sequence[Rule] = DEFAULT_RULES,
    frame: str | None = None,
    progress: Progress | None = None,
) -> MapMesh:
    """Read a map, clean it up, find its grains, smooth their boundaries and mesh them.

    Args:
        path: An .ang, .ctf or HDF5 file, or a map that has been read.
        size: Edge length inside grains, m; the step of the map by default.
        boundary_size: Edge length at boundaries, m; ``size`` by default.
        growth: How much longer edges get per distance from a boundary.
        layers: Thin layers along grain boundaries.
        angle: Points of one grain differ by this at most from a neighbour, degrees.
        minimum: Grains of fewer points go to a neighbour.
        quality: Least value by name of a quality; points below lose their orientation.
        worst: Largest value by name of a quality.
        largest_hole: Holes of more points stay holes; all are filled by default.
        pseudosymmetry: Undo false 60 degrees <111> solutions (cubic; true twins of this kind go as well).
        smoothing: Steps of smoothing of the boundaries; 0 keeps the staircase.
        rules: How boundaries are classified.
        frame: See ``read_map``.
        progress: Called with the number of pieces done, their total, and what they are.

    Raises:
        CaseError: If the file can't be read, no grain is found, or a number is out of range.
    """
    if size is not None and not (np.isfinite(size) and size > 0.0):
        raise CaseError("size", size, "the size of cells must be positive", "a length such as '0.2 um'")
    if minimum < 1:
        raise CaseError("minimum", minimum, "a grain has at least one point", "a whole number from 1")
    measured = path if isinstance(path, EbsdMap) else read_map(path, frame=frame)
    size = measured.step if size is None else size
    cleaned, reports = clean(
        measured, minimum=quality, maximum=worst, pseudosymmetry=pseudosymmetry, largest=largest_hole, angle=angle
    )
    if not cleaned.indexed.any():
        raise CaseError("map", None, "no point of the map is indexed", "a map with orientations")
    labels = segment(cleaned, angle, minimum)
    grains = grains_of(cleaned, labels)
    structure = section_to_structure(
        cleaned, labels, grains=grains, iterations=smoothing, size=boundary_size or size, rules=rules
    )
    mesh = mesh_grains(structure, size, boundary_size=boundary_size, growth=growth, layers=layers, progress=progress)
    return MapMesh(measured, cleaned, reports, labels, structure, mesh, grains.spread)
