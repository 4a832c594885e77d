"""The steps from a plane map to triangles: cut its chains, put layers along them, fill the grains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chemomech.meshing.grains2d import Filling, GrainError, Progress, fill, regions
from chemomech.meshing.layers import Layers, add_layers
from chemomech.meshing.outline import Outline, outline
from chemomech.microstructure.crossings import conflicts
from chemomech.microstructure.planar import PlanarMap
from chemomech.typing import Array, Flags

_AREA = 5e-3  # by how much the area of a grain may change when its chains are cut
_CORNER = np.deg2rad(15.0)  # smaller angles between chains are looked at again
_SIDES = ("left", "right", "bottom", "top")
_NEAR = 1e-9  # of the body: what is nearer than this to a side lies on it
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
    chosen = _layered(coarse, layers.along)
    outer, bare = (coarse.left < 0) | (coarse.right < 0), set[int]()
    while True:
        band = add_layers(cut.points, cut.lines, chosen, pieces, layers, outer=outer, bare=bare)
        try:
            core = fill(band.points, band.lines, band.pieces, size, growth, progress)
        except GrainError as error:
            if error.grain in bare:
                raise
            bare.add(error.grain)  # its layers overlap in a way that nobody foresaw
            continue
        cells, grains = np.concatenate([band.cells, core.cells]), np.concatenate([band.grains, core.grains])
        return Filling(core.points, cells, grains)


def _layered(section: PlanarMap, along: tuple[str, ...]) -> list[Flags]:
    """Of each chain the edges that are to have layers: those between two grains, those on sides, or both."""
    inner = (section.left >= 0) & (section.right >= 0)
    chosen = [
        np.full(len(chain) - 1, bool(own) and "boundaries" in along)
        for chain, own in zip(section.chains, inner, strict=True)
    ]
    near = _NEAR * float(np.ptp(section.bounds, axis=0).max())
    for k in (k for k, name in enumerate(_SIDES) if name in along):
        on = np.abs(section.points[:, k // 2] - section.bounds[k % 2, k // 2]) < near
        for chain in np.flatnonzero(~inner).tolist():
            ends = on[section.chains[chain]]
            chosen[chain] |= ends[1:] & ends[:-1]
    return chosen


def _cut(section: PlanarMap, size: float, growth: float) -> tuple[Outline, PlanarMap]:
    """The chains as edges of cells; in shorter ones where edges would cross, change a grain, or leave it a thin corner.

    What still is at fault then keeps all its points.
    """
    bent = np.array([len(chain) > 2 for chain in section.chains])
    pairs = opposite_chains(section)
    finer, exact = np.ones(len(bent)), np.zeros(len(bent), dtype=bool)
    while True:
        cut = outline(section.points, section.chains, size, growth, finer=finer, exact=np.flatnonzero(exact).tolist())
        cut = _matched(cut, pairs)
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


def opposite_chains(section: PlanarMap) -> list[tuple[int, int, bool]]:
    """Chains on opposite sides of a rectangle that are copies of each other, and whether they run opposite ways.

    A side counts if all its chains have a copy, as those of a periodic polycrystal have.
    """
    low, high = section.bounds
    near = 1e-9 * float(np.max(high - low))
    outer = np.flatnonzero((section.left < 0) | (section.right < 0))
    pairs: list[tuple[int, int, bool]] = []
    for axis in (0, 1):
        sides: list[dict[int, Array]] = []
        for bound in (low, high):
            flat = np.abs(section.points[:, axis] - bound[axis]) < near
            on = [k for k in outer.tolist() if np.all(flat[section.chains[k]])]
            sides.append({k: section.points[section.chains[k], 1 - axis] for k in on})
        found = []
        for k, along in sides[0].items():
            for other, there in sides[1].items():
                for flip in (False, True):
                    turned = there[::-1] if flip else there
                    if len(turned) == len(along) and np.all(np.abs(turned - along) < near):
                        found.append((k, other, flip))
        if len(found) == len(sides[0]) == len(sides[1]):
            pairs += found
    return pairs


def _matched(cut: Outline, pairs: list[tuple[int, int, bool]]) -> Outline:
    """The same nodes on opposite sides: those of the finer one of two copies."""
    if not pairs:
        return cut
    points, lines = [cut.points], list(cut.lines)
    total = len(cut.points)
    for a, b, flip in pairs:
        source, target = (a, b) if len(lines[a]) >= len(lines[b]) else (b, a)
        nodes = cut.points[cut.lines[source]]
        nodes = nodes[::-1] if flip else nodes
        first, last = lines[target][0], lines[target][-1]
        made = nodes[1:-1] + (cut.points[first] - nodes[0])
        lines[target] = np.concatenate([[first], np.arange(total, total + len(made)), [last]])
        points.append(made)
        total += len(made)
    used = np.unique(np.concatenate(lines))
    number = np.zeros(total, dtype=np.int64)
    number[used] = np.arange(len(used))
    return Outline(np.concatenate(points)[used], tuple(number[line] for line in lines))


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
