"""Nested dissection: an order of elimination for matrices of plane meshes, and Schur complements along it.

A. George, Nested dissection of a regular finite element mesh, SIAM J. Numer. Anal. 10 (1973) 345; the fronts are those
of I. S. Duff and J. K. Reid, The multifrontal solution of indefinite sparse symmetric linear equations, ACM Trans.
Math. Softw. 9 (1983) 302. Places tell where to cut, the graph tells what a cut separates: a seam of a periodic body
costs nothing but a longer cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse

from chemomech.typing import Array, Longs

LEAF = 8
"""Nodes that are not dissected any further: smaller parts cost time and hardly change the fill."""

PIECE = 48
"""Nodes that are eliminated in one front: smaller fronts take as long."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of elimination.

    Attributes:
        nodes: The node at each position.
        starts: First position of each piece, ascending: parts of at most ``PIECE`` nodes, and what separates larger
            ones. A piece touches no other but those that separate it from others, which come behind it.
    """

    nodes: Longs
    starts: Longs


def nested_dissection(graph: scipy.sparse.csr_matrix, places: Array) -> Order:
    """Cut the nodes in two across their longer side, again and again, all parts at once.

    Args:
        graph: Symmetric pattern, (n, n).
        places: Where the nodes are, (n, d).
    """
    n = len(places)
    position = np.empty(n, dtype=np.int64)
    starts: list[Longs] = [np.zeros(int(0 < n <= PIECE), dtype=np.int64)]
    edges = scipy.sparse.triu(graph, 1).tocoo()
    i, j = edges.row, edges.col
    nodes = np.lexsort(places.T)  # those without a position, part by part
    size, start = np.full(int(n > 0), n), np.zeros(int(n > 0), dtype=np.int64)
    left, divides = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    while len(nodes):
        part = np.repeat(np.arange(len(size)), size)
        first = np.cumsum(size) - size
        nodes = nodes[_along_the_longer_side(places[nodes], part, first)]
        rank = np.arange(len(nodes)) - first[part]

        small = size[part] <= LEAF
        leaves = nodes[small]
        position[leaves] = start[part[small]] + rank[small]
        divides[leaves] = True
        open_ = ~small
        left[nodes] = rank < size[part] // 2
        nodes, part = nodes[open_], part[open_]

        kept = ~divides[i]
        i, j = i[kept], j[kept]
        across = left[i] != left[j]
        divides[np.where(left[i], i, j)[across]] = True
        kept = ~(across | divides[i] | divides[j])
        i, j = i[kept], j[kept]

        cuts, lefts = divides[nodes], left[nodes]
        counts = [np.bincount(part[which], minlength=len(size)) for which in (lefts & ~cuts, ~lefts, cuts)]
        behind = start + counts[0] + counts[1]
        own = part[cuts]
        position[nodes[cuts]] = behind[own] + np.arange(len(own)) - (np.cumsum(counts[2]) - counts[2])[own]
        large = size > PIECE
        sizes, begins = np.stack(counts[:2], axis=1), np.stack([start, start + counts[0]], axis=1)
        starts += [behind[large & (counts[2] > 0)], begins[large[:, None] & (sizes > 0) & (sizes <= PIECE)]]
        nodes = nodes[~cuts]
        used = sizes > 0
        size, start = sizes[used], begins[used]
    order = np.empty(n, dtype=np.int64)
    order[position] = np.arange(n)
    return Order(order, np.sort(np.concatenate(starts)))


def _along_the_longer_side(x: Array, part: Longs, first: Longs) -> Longs:
    """Sorts the points of each part along the longer side of its box; parts stay in their places."""
    low = np.minimum.reduceat(x, first)
    sides = np.maximum.reduceat(x, first) - low
    every, axis = np.arange(len(first)), np.argmax(sides, axis=1)
    side = np.where(sides[every, axis] > 0.0, sides[every, axis], 1.0)
    along = x[np.arange(len(x)), axis[part]] - low[every, axis][part]
    # Equal within rounding, or half of a straight cut would lie beside the other half.
    return np.argsort(part * 2**20 + np.floor(along * (2.0**19 / side[part]) + 0.5).astype(np.int64), kind="stable")


@dataclass(frozen=True, slots=True)
class UpperBlocks:
    """First rows of the upper triangle of a symmetric matrix of b x b blocks, diagonal included.

    Attributes:
        starts: First entry of each row, and the end.
        columns: Column of each entry, ascending within a row.
        blocks: Entries, shape (entries, b, b).
    """

    starts: Longs
    columns: Longs
    blocks: Array


def schur_complement(matrix: UpperBlocks, order: Order, kept: int) -> Array:
    """What eliminating the ordered nodes adds to the block of those that are kept.

    Args:
        matrix: Rows of the ordered nodes, in that order; columns of kept ones are the last.
        order: The order.
        kept: How many are kept.

    Returns:
        -A_kn A_nn^-1 A_nk for the ordered nodes n and the kept ones k, shape (k, k, b, b).

    Raises:
        numpy.linalg.LinAlgError: A_nn is not positive definite.
    """
    n, b = len(order.nodes), matrix.blocks.shape[1]
    out = np.zeros((kept, kept, b, b))
    ends = np.append(order.starts[1:], n)
    waiting: dict[int, list[tuple[Longs, Array]]] = {}  # by the piece that eliminates the first of their nodes
    local = np.empty(n + kept, dtype=np.int64)
    for piece, (low, high) in enumerate(zip(order.starts, ends, strict=True)):
        children = waiting.pop(piece, [])
        entries = slice(matrix.starts[low], matrix.starts[high])
        columns = matrix.columns[entries]
        nodes = np.unique(np.concatenate([columns, *(behind for behind, _ in children)]))
        local[nodes] = np.arange(len(nodes))
        front = np.zeros((len(nodes), b, len(nodes), b))
        rows = np.repeat(np.arange(high - low), np.diff(matrix.starts[low : high + 1]))
        front[rows, :, local[columns], :] = matrix.blocks[entries]
        for behind, update in children:
            at = local[behind]
            front[at[:, None], :, at[None, :], :] += update
        behind, pivots = nodes[high - low :], int(high - low) * b
        square = front.reshape(len(nodes) * b, len(nodes) * b)
        root = scipy.linalg.cholesky(square[:pivots, :pivots], lower=False, check_finite=False)
        right = scipy.linalg.solve_triangular(root, square[:pivots, pivots:], trans="T", check_finite=False)
        update = (
            (square[pivots:, pivots:] - right.T @ right).reshape(len(behind), b, len(behind), b).transpose(0, 2, 1, 3)
        )
        if len(behind) and behind[0] < n:
            target = int(np.searchsorted(order.starts, behind[0], side="right")) - 1
            waiting.setdefault(target, []).append((behind, update))
        else:
            at = behind - n
            out[at[:, None], at[None, :]] += update
    return out
