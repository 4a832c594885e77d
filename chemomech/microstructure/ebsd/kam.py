"""Local misorientation and what it says of dislocations: KAM maps, lattice curvature, density of GNDs.

With n, the distance in steps, the angle between two points grows by theta per step from what is noise: slope and
intercept of a line through kernels 1 to 4. The density is alpha theta / (b d) with the step d; alpha is 1 to 4, 2 for
tilt walls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.orientations import pair_angles
from chemomech.typing import Array, Flags, Longs


@dataclass(frozen=True, eq=False)
class Curvature:
    """The bending of the lattice.

    Attributes:
        kernels: Distances in steps, shape (k,).
        curves: Mean angle at these distances along each of the grid's axes, degrees, shape (axes, k).
        theta: Angle per step in the direction of the strongest bending, of the whole map, degrees.
        noise: Angle between points that is not bending, of the whole map, degrees.
        local: Angle per step at each point, degrees, shape (n,); nan where there are not two distances.
    """

    kernels: Longs
    curves: Array
    theta: float
    noise: float
    local: Array


def kam(ebsd: EbsdMap, kernel: int = 1, threshold: float = 5.0, labels: Longs | None = None) -> Array:
    """Kernel average misorientation: mean angle between a point and those ``kernel`` steps away.

    Those are the points along the grid's axes, 4 of a square and 6 of a hexagonal one, all equally far away. Points
    beyond a boundary do not count: where two neighbours on the way differ by more than the threshold or are of
    different grains.

    Args:
        ebsd: The map.
        kernel: Steps.
        threshold: Degrees.
        labels: Grain of each point, shape (n,).

    Returns:
        Degrees, shape (n,); nan where no point counts.
    """
    angles = _at_distances(ebsd, [kernel], threshold, labels)[0]
    return _mean(angles, axis=1)


def curvature(
    ebsd: EbsdMap,
    kernels: Sequence[int] = (1, 2, 3, 4),
    threshold: float = 5.0,
    labels: Longs | None = None,
    fit: Literal["linear", "quadratic"] = "quadratic",
) -> Curvature:
    """Slope and intercept of the angle against the distance, axis by axis; the slopes make a vector.

    A lattice bent along one direction gives the same theta wherever that direction lies, which the mean over all
    neighbours does not: half of them see no bending.

    Args:
        ebsd: The map.
        kernels: At least two distances in steps.
        threshold: As in `kam`.
        labels: As in `kam`.
        fit: ``quadratic``: angle² = noise² + n² theta², of mean squares, as noise and bending are independent; holds
            for noise of any size. ``linear``: angle = noise + n theta, of means, as is usual in papers; it finds too
            little bending where the noise of an orientation is more than a third of theta.

    Raises:
        CaseError: Fewer than two distances, or no pair of points to compare.
    """
    if len(set(kernels)) < 2 or min(kernels) < 1:
        raise CaseError("kernels", list(kernels), "a slope needs two distances", "whole numbers from 1")
    if fit not in ("linear", "quadratic"):
        raise CaseError("fit", fit, "not one of the possible values", "linear, quadratic")
    rings = _at_distances(ebsd, kernels, threshold, labels)
    axes = rings[0].shape[1] // 2
    power = 2 if fit == "quadratic" else 1
    by_axis = np.stack(  # (n, axes, k)
        [np.stack([_mean(ring[:, [a, a + axes]] ** power, axis=1) for a in range(axes)], axis=1) for ring in rings],
        axis=2,
    )
    distance = np.array(kernels, float) ** power
    curves = _mean(by_axis.reshape(-1, axes * len(kernels)), axis=0).reshape(axes, len(kernels))
    if np.isnan(curves).all():
        raise CaseError("map", len(ebsd), "no two points to compare", "a higher threshold, or a larger map")
    scale = ebsd.step / _lengths(ebsd)
    slope, offset = _lines(distance, curves)
    theta = _norm(slope, scale, power)
    noise = float(np.sqrt(np.nanmean(np.maximum(offset, 0.0) ** (2 / power))))
    local = _norm(_lines(distance, by_axis)[0], scale, power)
    shown = np.sqrt(curves) if power == 2 else curves
    return Curvature(np.array(kernels, np.int64), shown, float(theta), noise, local)


def gnd_density(theta: float | Array, step: float, burgers: float, alpha: float = 1.0) -> float | Array:
    """Density of geometrically necessary dislocations in 1/m^2.

    Args:
        theta: Angle per step, degrees.
        step: m.
        burgers: Length of the Burgers vector, m.
        alpha: 1 for edge dislocations that bend the lattice, 2 for tilt walls, 4 for twist.
    """
    for name, value in (("step", step), ("burgers", burgers), ("alpha", alpha)):
        if not (np.isfinite(value) and value > 0.0):
            raise CaseError(name, value, "it must be positive", "a length in m" if name != "alpha" else "1 to 4")
    return alpha * np.radians(theta) / (burgers * step)


def _at_distances(ebsd: EbsdMap, kernels: Sequence[int], threshold: float, labels: Longs | None) -> list[Array]:
    """Angle between each point and the one so many steps away in each direction, degrees, nan beyond boundaries."""
    if min(kernels) < 1:
        raise CaseError("kernel", min(kernels), "not a number of steps", "whole numbers from 1")
    if not threshold > 0.0:
        raise CaseError("threshold", threshold, "it must be positive", "an angle in degrees")
    around = ebsd.neighbours
    count, directions = around.shape
    half = directions // 2
    every = np.arange(count)
    free: Flags = np.zeros((count, half), bool)
    steps = np.full((count, half), np.nan)
    for a in range(half):
        steps[:, a] = _angles(ebsd, every, around[:, a])
        with np.errstate(invalid="ignore"):
            free[:, a] = steps[:, a] <= threshold
        if labels is not None:
            free[:, a] &= labels == labels[around[:, a]]
    found = {}
    place = np.tile(every[:, None], (1, half))
    for distance in range(1, max(kernels) + 1):
        for a in range(half):
            at = place[:, a]
            on = at >= 0
            on[on] = free[at[on], a]
            place[:, a] = np.where(on, around[np.maximum(at, 0), a], -1)
        if distance in kernels:
            angles = np.full((count, directions), np.nan)
            for a in range(half):
                reached = np.flatnonzero(place[:, a] >= 0)
                turn = steps[reached, a] if distance == 1 else _angles(ebsd, reached, place[reached, a])
                angles[reached, a] = turn
                angles[place[reached, a], a + half] = turn
            found[distance] = angles
    return [found[kernel] for kernel in kernels]


def _angles(ebsd: EbsdMap, first: Longs, second: Longs) -> Array:
    angles = np.full(len(first), np.nan)
    given = np.flatnonzero(second >= 0)
    pairs = np.stack([first[given], second[given]], axis=1)
    angles[given] = pair_angles(ebsd.quaternions, ebsd.phase, ebsd.point_groups, pairs)
    return angles


def _lengths(ebsd: EbsdMap) -> Array:
    """Distance of neighbours along each axis, m."""
    if ebsd.grid == "square":
        return np.array([ebsd.step, ebsd.row_step])
    slanted = float(np.hypot(0.5 * ebsd.step, ebsd.row_step))
    return np.array([ebsd.step, slanted, slanted])


def _mean(values: Array, axis: int) -> Array:
    """Mean of those that are not nan; nan if there are none."""
    given = ~np.isnan(values)
    number = given.sum(axis=axis)
    total = np.where(given, values, 0.0).sum(axis=axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _lines(x: Array, y: Array) -> tuple[Array, Array]:
    """Slope and intercept through the values along the last axis that are not nan; nan if there are not two."""
    given = ~np.isnan(y)
    weight = given.astype(float)
    number = weight.sum(axis=-1)
    middle = (weight * x).sum(axis=-1) / np.maximum(number, 1.0)
    level = np.where(given, y, 0.0).sum(axis=-1) / np.maximum(number, 1.0)
    away = weight * (x - middle[..., None])
    slope = (away * np.where(given, y, 0.0)).sum(axis=-1) / np.maximum((away**2).sum(axis=-1), 1e-300)
    enough = number >= 2
    return np.where(enough, slope, np.nan), np.where(enough, level - slope * middle, np.nan)


def _norm(slopes: Array, scale: Array, power: int) -> Array:
    """Length of the gradient of which these are the slopes along the axes (the last index), per step of a row.

    Two axes at right angles see all of it, three at 60 degrees one and a half times as much.
    """
    squares = np.maximum(slopes, 0.0) ** (2 // power) * scale**2
    return np.asarray(np.sqrt(2.0 * _mean(squares, axis=-1)))
