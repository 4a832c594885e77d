"""The steps from a plane map to triangles: cut its chains, put layers along them, fill the grains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chemomech.meshing.grains2d import Filling, GrainError, Progress, fill, regions
from chemomech.meshing.layers import Layers, add_layers
from chemomech.meshing.outline import Outline, outline
from chemomech.microstructure.crossings import conflicts
from chemomech.microstructure.planar import PlanarMap
from chemomech.typing import Flags

_AREA = 5e-3  # by how much the area of a grain may change when its chains are cut
_CORNER = np.deg2rad(15.0)  # smaller angles between chains are looked at again
_FINEST = 0.1  # of the size: edges are not made shorter than half of this for that


def fill_section(
    section: PlanarMap,
    size: float,
    boundary_size: float,
    growth: float,
    layers: Layers | None = None,
    progress: Progress | None = None,
) -> Filling:
    """Triangles in all grains of a section.

    Args:
        section: The grains.
        size: Longest edge inside grains, m.
        boundary_size: Longest edge on boundaries, m.
        growth: Growth of edges per length.
        layers: Thin layers along boundaries.
        progress: Called with the number of grains done, their total, and a word.

    Raises:
        GrainError: If gmsh does not mesh a grain.
    """
    cut, coarse = _cut(section, boundary_size, growth)
    pieces = regions(coarse)
    if layers is None:
        return fill(cut.points, cut.lines, pieces, size, growth, progress)
    inner = (coarse.left >= 0) & (coarse.right >= 0)
    bare: set[int] = set()
    while True:
        band = add_layers(cut.points, cut.lines, inner, pieces, layers, bare=bare)
        try:
            core = fill(band.points, band.lines, band.pieces, size, growth, progress)
        except GrainError as error:
            if error.grain in bare:
                raise
            bare.add(error.grain)  # its layers overlap in a way that nobody foresaw
            continue
        cells, grains = np.concatenate([band.cells, core.cells]), np.concatenate([band.grains, core.grains])
        return Filling(core.points, cells, grains)


def _cut(section: PlanarMap, size: float, growth: float) -> tuple[Outline, PlanarMap]:
    """The chains as edges of cells; in shorter ones where edges would cross, change a grain, or leave it a thin corner.

    What still is at fault then keeps all its points.
    """
    bent = np.array([len(chain) > 2 for chain in section.chains])
    finer, exact = np.ones(len(bent)), np.zeros(len(bent), dtype=bool)
    while True:
        cut = outline(section.points, section.chains, size, growth, finer=finer, exact=np.flatnonzero(exact).tolist())
        coarse = replace(section, points=cut.points, chains=cut.lines)
        if not np.any(bent):
            return cut, coarse
        wrong = _wrong(section, coarse)
        again = wrong & bent & (finer > _FINEST)
        if np.any(again):
            finer[again] *= 0.5
            continue
        # A thin corner the section has itself is no fault of the cut.
        crossed = np.zeros(len(bent), dtype=bool)
        for chains in conflicts(coarse).values():
            crossed[chains] = True
        again = crossed & bent & ~exact
        if not np.any(again):
            return cut, coarse
        exact |= again


def _wrong(section: PlanarMap, coarse: PlanarMap) -> Flags:
    """Chains that must be followed better."""
    wrong = np.zeros(len(section.chains), dtype=bool)
    for chains in conflicts(coarse).values():
        wrong[chains] = True
    off = section.grains[np.abs(coarse.areas - section.areas) > _AREA * section.areas]
    wrong |= np.isin(section.left, off) | np.isin(section.right, off)
    start, angle = coarse.departures
    order = np.lexsort((angle, start))
    after = np.roll(order, -1)
    last = start[order] != start[after]
    first = np.flatnonzero(np.roll(last, 1))
    after[last] = order[first]
    opening = (angle[after] - angle[order]) % (2.0 * np.pi)
    thin = (opening < _CORNER) & (after != order)
    wrong[order[thin] // 2] = True
    wrong[after[thin] // 2] = True
    return wrong
