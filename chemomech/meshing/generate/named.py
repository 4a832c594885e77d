"""Names of sides, phases and interfaces on the facets and cells of a mesh."""

from __future__ import annotations

import numpy as np

from chemomech.case import Box, Rectangle
from chemomech.case.regions import spans
from chemomech.meshing.arrays import MeshArrays, interface_name, measures
from chemomech.typing import Array, Ints, Longs

RECTANGLE_NAMES = ("left", "right", "bottom", "top")
BOX_NAMES = (*RECTANGLE_NAMES, "back", "front")


def phase_tags(domain: Rectangle | Box) -> dict[str, int]:
    """Material -> tag: from 1, layers from bottom to top, then inclusions."""
    names = [*(span.material for span in spans(domain)), *(inclusion.material for inclusion in domain.inclusions)]
    return {name: i for i, name in enumerate(dict.fromkeys(names), 1)}


def named(domain: Rectangle | Box, points: Array, cells: Longs, cell_tags: Ints, twins: Longs) -> MeshArrays:
    """Tag exterior facets by the side they lie on and interior ones by the interface they are part of."""
    orient(points, cells)
    facets, between, pairs = surfaces(cells, cell_tags)
    names = RECTANGLE_NAMES if isinstance(domain, Rectangle) else BOX_NAMES
    middle = points[facets].mean(axis=1)
    tags = np.zeros(len(facets), dtype=np.int32)
    for axis, (center, size) in enumerate(zip(domain.center, domain.size, strict=True)):
        for side, sign in enumerate((-1.0, 1.0)):
            tags[np.abs(middle[:, axis] - (center + sign * 0.5 * size)) < 1e-9 * size] = 2 * axis + side + 1
    boundaries = {name: k + 1 for k, name in enumerate(names)}
    phases = phase_tags(domain)
    interface_tags = name_interfaces(phases, boundaries, pairs)
    return MeshArrays(
        points=points,
        cells=cells,
        cell_tags=cell_tags,
        facets=np.concatenate([facets, between]),
        facet_tags=np.concatenate([tags, interface_tags]),
        phases=phases,
        boundaries=boundaries,
        twins=twins,
    )


def orient(points: Array, cells: Longs) -> None:
    """Make all measures positive, in place."""
    negative = measures(points, cells) < 0.0
    cells[negative] = cells[negative][:, [1, 0, *range(2, cells.shape[1])]]


def surfaces(cells: Longs, cell_tags: Ints) -> tuple[Longs, Longs, Ints]:
    """Facets of one cell only, facets between two phases, and the two tags of each of these, the smaller first."""
    k = cells.shape[1]
    facets = np.concatenate([np.delete(cells, i, axis=1) for i in range(k)])
    owner = np.tile(np.arange(len(cells)), k)
    key = np.sort(facets, axis=1)
    order = np.lexsort(key.T[::-1])
    same = np.all(key[order[1:]] == key[order[:-1]], axis=1)
    lonely = ~(np.append(same, False) | np.append(False, same))
    first, second = order[:-1][same], order[1:][same]
    pairs = np.sort(np.stack([cell_tags[owner[first]], cell_tags[owner[second]]], axis=1), axis=1)
    different = pairs[:, 0] != pairs[:, 1]
    return facets[order[lonely]].astype(np.int64), facets[first[different]].astype(np.int64), pairs[different]


def name_interfaces(phases: dict[str, int], boundaries: dict[str, int], pairs: Ints) -> Ints:
    """Facet tags of interfaces, shape (f,), whose names are added to ``boundaries``."""
    name = {tag: material for material, tag in phases.items()}
    tags = np.zeros(len(pairs), dtype=np.int32)
    for a, b in np.unique(pairs, axis=0).tolist():
        tag = boundaries.setdefault(interface_name(phases, name[a], name[b]), max(boundaries.values(), default=0) + 1)
        tags[np.all(pairs == (a, b), axis=1)] = tag
    return tags
