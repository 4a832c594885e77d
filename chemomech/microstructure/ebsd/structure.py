"""From a segmented map to a microstructure with smooth boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.boundaries import Staircase, from_labels, resample, smooth
from chemomech.microstructure.classes import DEFAULT_RULES, Rule
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.ebsd.segmentation import MapGrains, grains_of
from chemomech.microstructure.structure import Microstructure
from chemomech.typing import Longs


def staircase(ebsd: EbsdMap, labels: Longs) -> Staircase:
    """The boundaries between the cells of a map.

    Args:
        ebsd: The map.
        labels: Grain of each point, -1 for none (a hole), shape (n,).

    Raises:
        CaseError: There is not one label for each point, or no grain.
    """
    if labels.shape != (len(ebsd),):
        raise CaseError("labels", labels.shape, "not one number for each point", f"shape ({len(ebsd)},)")
    return from_labels(
        ebsd.to_image(labels),
        (ebsd.step, ebsd.row_step),
        (float(ebsd.x.min()), float(ebsd.y.min())),
        grid=ebsd.grid,
        shifted=ebsd.shifted,
    )


def section_to_structure(
    ebsd: EbsdMap,
    labels: Longs,
    *,
    grains: MapGrains | None = None,
    iterations: int = 60,
    moved: float = 0.02,
    junctions: Literal["fixed", "free"] = "fixed",
    outline: Literal["straight", "kept"] = "straight",
    size: float | None = None,
    rules: Sequence[Rule] = DEFAULT_RULES,
) -> Microstructure:
    """The grains of a map with smooth boundaries between them.

    Args:
        ebsd: The map.
        labels: Grain of each point from 0, -1 for none, shape (n,). What is in no grain becomes a hole.
        grains: Phases and orientations of the grains, if they are known already.
        iterations: Steps of smoothing; with 0 the staircase stays.
        moved: Largest allowed change of the area of a grain by smoothing, relative.
        junctions: Whether triple points are fixed or may move within half a step.
        outline: What becomes of the jagged border of a hexagonal grid.
        size: Distance of points along boundaries, m; as many as the map has by default.
        rules: How boundaries are classified.

    Raises:
        CaseError: Labels that do not fit the map, or an argument out of range.
    """
    known = grains_of(ebsd, labels) if grains is None else grains
    number = int(labels.max(initial=-1)) + 1
    if len(known) != number:
        raise CaseError("grains", len(known), f"the labels name {number} grains", "one entry for each grain")
    plane = staircase(ebsd, labels)
    if len(plane.grains) != number:
        missing = int(np.setdiff1d(np.arange(number), plane.grains)[0])
        raise CaseError("labels", missing, "a grain without points", "numbers from 0 without gaps")
    shown = smooth(plane, iterations, moved=moved, junctions=junctions, outline=outline) if iterations else plane
    if size is not None:
        shown = resample(shown, size)
    return Microstructure.from_geometry(
        shown, ebsd.phases, known.phase, known.orientations, ebsd.point_groups, rules=rules
    )
