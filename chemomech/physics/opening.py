"""How boundaries that open move grains apart: a distortion of cells for displacements that stay continuous.

A boundary that swells by g along its normal shifts one side against the other. With continuous displacements the shift
is a known part of the distortion: around a node of the network the cells form sectors, joined by facets that are no
boundary; sector a is shifted by d_a, the least squares solution of d_a - d_b = g n over the boundary facets at the node
with mean zero, and a cell gains the sum of d_a (x) grad N over its corners. A flat boundary opens without any stress on
any mesh, and so do junctions whose openings fit together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from chemomech.typing import Array, Ints, Longs


@dataclass(frozen=True, slots=True)
class Shifts:
    """Shift of corners of cells per unit of opening there.

    Attributes:
        cells: Number of the cell, shape (k,).
        corners: Which of its corners, shape (k,).
        shift: Per class of boundaries, shape (k, classes, d).
    """

    cells: Longs
    corners: Longs
    shift: Array


def shifts(points: Array, cells: Longs, facets: Longs, classes: Ints, count: int) -> Shifts:
    """Shifts of the sectors around the nodes of a network.

    Args:
        points: Coordinates, shape (n, d).
        cells: Corners, shape (m, d + 1).
        facets: Corners of the facets of the network, each between two cells, shape (f, d).
        classes: Class of each facet, 0 to count - 1.
        count: Number of classes.
    """
    d = points.shape[1]
    on = np.zeros(len(points), dtype=bool)
    on[facets.ravel()] = True
    cell, corner = np.nonzero(on[cells])
    node = cells[cell, corner]
    pair = np.full(cells.shape, -1, dtype=np.int64)  # number of each cell's corner on the network
    pair[cell, corner] = np.arange(len(cell))
    near = np.unique(cell)
    first, second, key, kind = _facets_between(cells, near, facets, classes)
    # Two corners at one node belong together if their cells share a facet there that is no boundary.
    joined = kind < 0
    label = _sectors(pair, cells, first[joined], second[joined], key[joined], len(cell))
    normal, area = _normals(points, key[~joined], cells[first[~joined]])
    a = np.concatenate([_corner(pair, cells, first[~joined], key[~joined, k]) for k in range(d)])
    b = np.concatenate([_corner(pair, cells, second[~joined], key[~joined, k]) for k in range(d)])
    facet = np.tile(np.arange(int(np.sum(~joined))), d)
    apart = label[a] != label[b]
    a, b, facet = label[a[apart]], label[b[apart]], facet[apart]
    sector_node = np.zeros(label.max(initial=-1) + 1, dtype=np.int64)
    sector_node[label] = node
    out = _solve(sector_node, a, b, normal[facet], area[facet], kind[~joined][facet], count)
    moved = np.any(out[label] != 0.0, axis=(1, 2))
    return Shifts(cell[moved], corner[moved], out[label][moved])


def _facets_between(cells: Longs, near: Longs, facets: Longs, classes: Ints) -> tuple[Longs, Longs, Longs, Ints]:
    """Facets between two of the cells ``near``: both cells, sorted corners, class (-1 where it is no boundary)."""
    d = cells.shape[1] - 1
    every = np.concatenate([np.delete(cells[near], k, axis=1) for k in range(d + 1)])
    owner = np.tile(near, d + 1)
    key = np.sort(every, axis=1)
    order = np.lexsort(key.T[::-1])
    same = np.all(key[order[1:]] == key[order[:-1]], axis=1)
    first, second, key = owner[order[:-1][same]], owner[order[1:][same]], key[order[:-1][same]]
    both = np.concatenate([key, np.sort(facets, axis=1)])
    _, number = np.unique(both, axis=0, return_inverse=True)
    number = number.ravel()
    of = np.full(number.max(initial=-1) + 1, -1, dtype=np.int32)
    of[number[len(key) :]] = classes
    return first, second, key, of[number[: len(key)]]


def _corner(pair: Longs, cells: Longs, cell: Longs, node: Longs) -> Longs:
    """Number of the pair of each cell and one of its corners, -1 off the network."""
    return np.asarray(pair[cell, np.argmax(cells[cell] == node[:, None], axis=1)])


def _sectors(pair: Longs, cells: Longs, first: Longs, second: Longs, key: Longs, count: int) -> Longs:
    """Sector of each pair of cell and corner."""
    ends = []
    for k in range(key.shape[1]):
        a, b = _corner(pair, cells, first, key[:, k]), _corner(pair, cells, second, key[:, k])
        ends.append(np.stack([a, b], axis=1)[a >= 0])
    links = np.concatenate(ends) if ends else np.zeros((0, 2), dtype=np.int64)
    graph = coo_array((np.ones(len(links), dtype=np.int8), links.T), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _normals(points: Array, facets: Longs, first: Longs) -> tuple[Array, Array]:
    """Unit normals into the first cell, and sizes of facets."""
    x = points[facets]
    edges = x[:, 1:] - x[:, :1]
    if points.shape[1] == 2:
        n = np.stack([edges[:, 0, 1], -edges[:, 0, 0]], axis=1)
    else:
        n = 0.5 * np.cross(edges[:, 0], edges[:, 1])
    area = np.linalg.norm(n, axis=1)
    n = n / area[:, None]
    inward = np.einsum("fi,fi->f", points[first].mean(axis=1) - x[:, 0], n)
    return n * np.sign(inward)[:, None], area


def _solve(node: Longs, a: Longs, b: Longs, normal: Array, area: Array, kind: Ints, count: int) -> Array:
    """Shift of every sector per unit of opening of each class, shape (sectors, count, d).

    Args:
        node: Node of each sector.
        a: Sector on one side of a facet at a node.
        b: Sector on the other side.
        normal: From b to a.
        area: Weight.
        kind: Class of the facet.
        count: Number of classes.
    """
    d = normal.shape[1]
    out = np.zeros((len(node), count, d))
    here = node[a]
    sectors = np.bincount(node, minlength=int(here.max(initial=-1)) + 1)
    two = sectors[here] == 2
    # With two sectors the least squares are a mean of the normals; d_a = -d_b.
    lower = np.minimum(a, b)[two]
    sign = np.where(a[two] < b[two], 1.0, -1.0)
    total = np.bincount(lower, area[two], minlength=len(node))
    mean = np.zeros((len(node), count, d))
    np.add.at(mean, (lower, kind[two]), (sign * area[two])[:, None] * normal[two])
    used = total > 0.0
    out[used] = 0.5 * mean[used] / total[used][:, None, None]
    upper = np.maximum(a, b)[two]
    out[upper] = -out[lower]
    many = np.flatnonzero(~two)
    order = many[np.argsort(here[many], kind="stable")]
    starts = np.flatnonzero(np.diff(here[order], prepend=-1))
    for part in np.split(order, starts[1:]):
        if len(part):
            names, local = np.unique(np.concatenate([a[part], b[part]]), return_inverse=True)
            out[names] = _least_squares(
                local[: len(part)], local[len(part) :], normal[part], area[part], kind[part], len(names), count
            )
    return out


def _least_squares(a: Longs, b: Longs, normal: Array, area: Array, kind: Ints, sectors: int, count: int) -> Array:
    weight = np.sqrt(area)
    rows = np.arange(len(a))
    jump = np.zeros((len(a), sectors))
    jump[rows, a], jump[rows, b] = weight, -weight
    wanted = np.zeros((len(a), count, normal.shape[1]))
    wanted[rows, kind] = weight[:, None] * normal
    # The pseudoinverse takes the smallest shifts, whose mean vanishes.
    solved = np.linalg.pinv(jump) @ wanted.reshape(len(a), -1)
    return np.asarray(solved.reshape(sectors, count, normal.shape[1]))
