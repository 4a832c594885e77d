"""Many orientations at once: angles between neighbours, means of grains, random ones.

Symmetry is orix's (`relations.rotations`); here is only the arithmetic for millions of pairs, which orix does one
symmetry operation after the other. Orientations are unit quaternions (a, b, c, d) that take sample to crystal.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from chemomech.microstructure.relations import inverse, product, rotations
from chemomech.typing import Array, Flags, Ints, Longs

_ROWS: Final = 1 << 15  # pairs at a time: 24 scalars of each stay in the cache


def between(first: Array, second: Array) -> Array:
    """Misorientations ``second * first^-1`` from the first crystal to the second, shape (n, 4)."""
    a, b, c, d = first.T
    e, f, g, h = second.T
    return np.stack(
        [
            e * a + f * b + g * c + h * d,
            f * a - e * b - g * d + h * c,
            g * a - e * c - h * b + f * d,
            h * a - e * d - f * c + g * b,
        ],
        axis=1,
    )


def disorientation_angles(first: Array, second: Array, group: str) -> Array:
    """Smallest angles between crystals of one kind; `relations.disorientation` gives the axes as well.

    Args:
        first: Orientations, shape (n, 4).
        second: Orientations, shape (n, 4).
        group: Point group; its Laue group is what counts.

    Returns:
        Degrees, shape (n,).
    """
    elements = rotations(group)
    angles = np.empty(len(first))
    for start in range(0, len(first), _ROWS):
        part = slice(start, start + _ROWS)
        turn = between(first[part], second[part])
        scalars = turn @ elements.T
        best = np.argmax(np.abs(scalars), axis=1)
        sign = np.sign(np.take_along_axis(scalars, best[:, None], axis=1))
        # The length of the chord, unlike the cosine, is exact for small angles.
        chord = np.linalg.norm(turn - sign * elements[best], axis=1)
        angles[part] = np.degrees(4.0 * np.arcsin(np.minimum(0.5 * chord, 1.0)))
    return angles


def pair_angles(quaternions: Array, phase: Ints, groups: tuple[str, ...], pairs: Longs) -> Array:
    """Disorientation angles of pairs of points.

    Args:
        quaternions: Orientation of each point, shape (n, 4).
        phase: Phase of each point, -1 where there is none, shape (n,).
        groups: Point group of each phase.
        pairs: Point numbers, shape (p, 2).

    Returns:
        Degrees, shape (p,); nan between phases and where a point has none.
    """
    angles = np.full(len(pairs), np.nan)
    one, other = phase[pairs[:, 0]], phase[pairs[:, 1]]
    for number, group in enumerate(groups):
        chosen = np.flatnonzero((one == number) & (other == number))
        if len(chosen):
            first, second = (quaternions[pairs[chosen, side]] for side in (0, 1))
            angles[chosen] = disorientation_angles(first, second, group)
    return angles


def reduced(quaternions: Array, reference: Array, group: str) -> Array:
    """Of all equivalent descriptions the one nearest to the reference, and of both signs the near one, shape (n, 4)."""
    elements = rotations(group)
    out = np.empty_like(quaternions)
    for start in range(0, len(quaternions), _ROWS):
        part = slice(start, start + _ROWS)
        near = np.broadcast_to(reference, quaternions.shape)[part]
        # s q is nearest to r where |<s, r q^-1>| is largest.
        scalars = between(quaternions[part], near) @ elements.T
        best = np.argmax(np.abs(scalars), axis=1)
        sign = np.sign(np.take_along_axis(scalars, best[:, None], axis=1))
        out[part] = sign * product(elements[best], quaternions[part])
    return out


def _axes_of(quaternions: Array, labels: Longs, number: int, weights: Array) -> Array:
    """Eigenvector of the largest eigenvalue of the sum of q q^T of each label, shape (number, 4)."""
    moments = np.zeros((number, 4, 4))
    for i in range(4):
        for j in range(i, 4):
            entry = np.bincount(labels, weights * quaternions[:, i] * quaternions[:, j], minlength=number)
            moments[:, i, j] = moments[:, j, i] = entry
    return np.ascontiguousarray(np.linalg.eigh(moments)[1][:, :, -1])


def mean_orientations(quaternions: Array, labels: Longs, number: int, group: str) -> tuple[Array, Array]:
    """Mean orientation of each grain of one phase.

    The mean is the one of the quaternions nearest to a point of the grain; the best of several points is taken, and
    points far off it (a foreign one that was given to the grain) are left out in the end.

    Args:
        quaternions: Orientations of points, shape (n, 4).
        labels: Grain of each point, 0 to number - 1, shape (n,).
        number: How many grains there are. One without points gets the identity.
        group: Point group.

    Returns:
        Means, shape (number, 4), and the mean angle in degrees between the points of a grain and it, shape (number,).
    """
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=number)
    ends = np.cumsum(counts)
    held: Flags = counts > 0
    best = np.tile([1.0, 0.0, 0.0, 0.0], (number, 1))
    least = np.full(number, np.inf)
    ones = np.ones(len(labels))
    for share in (0.5, 0.2, 0.8):
        place = np.minimum(ends - counts + (share * counts).astype(np.int64), ends - 1)
        mean = best.copy()
        mean[held] = quaternions[order[place[held]]]
        for _ in range(2):
            mean = _axes_of(reduced(quaternions, mean[labels], group), labels, number, ones)
        angle = disorientation_angles(mean[labels], quaternions, group)
        spread = np.bincount(labels, angle, minlength=number) / np.maximum(counts, 1)
        better = held & (spread < least - 1e-9)
        best[better], least[better] = mean[better], spread[better]
    angle = disorientation_angles(best[labels], quaternions, group)
    near = (angle <= np.maximum(15.0, 3.0 * least)[labels]).astype(float)
    kept = held & (np.bincount(labels, near, minlength=number) > 0.5 * counts)
    mean = _axes_of(reduced(quaternions, best[labels], group), labels, number, near)
    best[kept] = mean[kept]
    best *= np.where(best[:, :1] < 0.0, -1.0, 1.0)
    angle = disorientation_angles(best[labels], quaternions, group)
    return best, np.bincount(labels, angle, minlength=number) / np.maximum(counts, 1)


def random_orientations(number: int, seed: int = 0) -> Array:
    """Uniformly random unit quaternions, shape (number, 4)."""
    found = np.random.default_rng(seed).standard_normal((number, 4))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def from_euler(angles: Array) -> Array:
    """Quaternions of Bunge's Euler angles in rad, shapes (n, 3) and (n, 4)."""
    from orix.quaternion import Rotation

    return np.ascontiguousarray(Rotation.from_euler(angles).data, dtype=np.float64)


def mackenzie_mean(number: int = 100_000, group: str = "m-3m", seed: int = 0) -> float:
    """Mean disorientation of random pairs, degrees; 40.74 for cubic crystals (Mackenzie 1958)."""
    first, second = random_orientations(number, seed), random_orientations(number, seed + 1)
    return float(disorientation_angles(first, second, group).mean())


__all__ = [
    "between",
    "disorientation_angles",
    "from_euler",
    "inverse",
    "mackenzie_mean",
    "mean_orientations",
    "pair_angles",
    "product",
    "random_orientations",
    "reduced",
]
