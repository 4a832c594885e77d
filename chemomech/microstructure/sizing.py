"""How large grains are to be, the weights that make them so, and seeds moved to the middle of their grains."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve
from scipy.special import ndtri

from chemomech.microstructure.laguerre import Partition, laguerre
from chemomech.typing import Array

_EXACT = 1e-6  # how far a size may be off, relative to what was asked for
_STEPS = 100
_HALVINGS = 30


def lognormal_sizes(count: int, spread: float, dimension: int, whole: float) -> Array:
    """Sizes of grains whose diameters are log-normal: the quantiles (k + 1/2) / count, so that no luck is involved.

    Args:
        count: How many grains.
        spread: Standard deviation of the logarithm of the diameter.
        dimension: 1 for widths, 2 for areas, 3 for volumes.
        whole: What the sizes sum to, m^dimension.

    Returns:
        Ascending sizes, m^dimension, shape (count,).
    """
    sizes = np.exp(dimension * spread * ndtri((np.arange(count) + 0.5) / count))
    return np.asarray(sizes * (whole / sizes.sum()))


def number_of_grains(mean: float, spread: float, dimension: int, whole: float) -> int:
    """How many grains with this mean diameter (m) and log-normal spread fill ``whole`` (m^dimension); at least one."""
    ball = {1: 1.0, 2: np.pi / 4, 3: np.pi / 6}[dimension]
    # the mean of d^k is mean^k exp(k (k - 1) spread^2 / 2)
    grain = ball * mean**dimension * np.exp(dimension * (dimension - 1) * spread**2 / 2)
    return max(1, round(float(whole / grain)))


def fitted(
    seeds: Array, targets: Array, size: Array, periodic: tuple[int, ...], weights: Array | None = None
) -> tuple[Partition, Array]:
    r"""The Laguerre diagram of given seeds whose grains have given sizes, and its weights.

    There is exactly one, up to a constant in the weights: sizes are the gradient of a concave function of the weights,
    $\partial V_i/\partial w_j=-A_{ij}/2|x_i-x_j|$, whose maximum damped Newton steps find, no grain ever being lost.

    Args:
        seeds: m, shape (n, d).
        targets: Sizes, positive, that sum to the box, m^d, shape (n,).
        size: Edges of the box, m.
        periodic: Axes along which the diagram goes on.
        weights: Where to begin, m^2.

    Raises:
        RuntimeError: The weights were not found.
    """
    weights = np.zeros(len(seeds)) if weights is None else weights
    partition = laguerre(seeds, weights, size, periodic)
    if partition.sizes.min() <= 0:
        weights = np.zeros(len(seeds))
        partition = laguerre(seeds, weights, size, periodic)
    least = 0.5 * min(float(partition.sizes.min()), float(targets.min()))
    for _ in range(_STEPS):
        missing = targets - partition.sizes
        if np.all(np.abs(missing) <= _EXACT * targets):
            return partition, weights
        step = _newton(partition, seeds, missing)
        length = 1.0
        for _ in range(_HALVINGS):
            tried = laguerre(seeds, weights + length * step, size, periodic)
            less = np.linalg.norm(targets - tried.sizes) <= (1 - length / 2) * np.linalg.norm(missing)
            if tried.sizes.min() >= least and less:
                break
            length /= 2
        else:
            break
        weights, partition = weights + length * step, tried
    worst = float(np.abs(partition.sizes / targets - 1).max())
    if worst < 1e-3:  # rounding ends the search early where sizes are extremely different
        return partition, weights
    raise RuntimeError(f"no weights were found for these grain sizes: one is still off by {worst:.0%}")


def _newton(partition: Partition, seeds: Array, missing: Array) -> Array:
    pieces, measure = partition.contacts
    grains = partition.piece_grain[pieces]
    places = seeds[grains] + partition.piece_shift[pieces]
    distance = np.linalg.norm(places[:, 1] - places[:, 0], axis=1)
    different = grains[:, 0] != grains[:, 1]
    rate = measure[different] / (2 * distance[different])
    i, j = grains[different].T
    count = len(seeds)
    rows, columns = np.concatenate([i, j, i, j]), np.concatenate([j, i, i, j])
    matrix = coo_array((np.concatenate([-rate, -rate, rate, rate]), (rows, columns)), shape=(count, count)).tocsc()
    step = np.zeros(count)
    if count > 1:  # a constant changes nothing: the last weight stays
        step[:-1] = spsolve(matrix[:-1, :-1], missing[:-1])
    return np.asarray(step - step.mean())


def relaxed(
    seeds: Array, targets: Array | None, size: Array, periodic: tuple[int, ...], rounds: int
) -> tuple[Partition, Array, Array]:
    """A diagram, its seeds and weights after some rounds of Lloyd's method: seeds go to the centroids of their grains.

    Args:
        seeds: m, shape (n, d).
        targets: Sizes of the grains; None for a Voronoi diagram.
        size: Edges of the box, m.
        periodic: Axes along which the diagram goes on.
        rounds: How often seeds are moved.
    """
    weights = np.zeros(len(seeds))
    if targets is None:
        partition = laguerre(seeds, None, size, periodic)
    else:
        # the largest grains grow where there is most room
        ranks = np.argsort(np.argsort(laguerre(seeds, None, size, periodic).sizes, kind="stable"), kind="stable")
        targets = np.sort(targets)[ranks]
        partition, weights = fitted(seeds, targets, size, periodic)
    for _ in range(rounds):
        seeds = partition.centroids.copy()
        for axis in periodic:
            seeds[:, axis] %= size[axis]
        if targets is None:
            partition = laguerre(seeds, None, size, periodic)
        else:
            partition, weights = fitted(seeds, targets, size, periodic, weights)
    return partition, seeds, weights


def moved_off_corners(
    partition: Partition, seeds: Array, weights: Array, near: float, tries: int = 2000
) -> tuple[Partition, Array]:
    """The same periodic diagram cut elsewhere, so that few of its corners lie nearer than ``near`` (m) to the sides."""
    inner = partition.points
    for axis in partition.periodic:
        inner = inner[(inner[:, axis] > 0) & (inner[:, axis] < partition.size[axis])]
    if not partition.periodic or not len(inner):
        return partition, seeds
    places = seeds.copy()
    for axis in partition.periodic:
        length = float(partition.size[axis])
        once = np.sort(inner[:, axis])
        corners = np.concatenate([once - length, once, once + length])
        cuts = np.arange(tries) * (length / tries)
        close = np.searchsorted(corners, cuts + near) - np.searchsorted(corners, cuts - near)
        after = np.searchsorted(corners, cuts)
        gap = np.minimum(corners[after] - cuts, cuts - corners[after - 1])
        places[:, axis] = (seeds[:, axis] - cuts[np.lexsort((-gap, close))[0]]) % length
    return laguerre(places, weights, partition.size, partition.periodic), places
