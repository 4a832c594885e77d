"""How two crystals are turned against each other: disorientations, and how near they are to being twins.

Symmetry is orix's. Orientations are unit quaternions (a, b, c, d) that take sample to crystal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from chemomech.frozen import Invalid, did_you_mean
from chemomech.typing import Array, Flags, Ints, Longs

if TYPE_CHECKING:
    from orix.quaternion import Symmetry

_MANY: Final = 1 << 16  # rows at a time: what is in memory at once stays below 100 MB


@dataclass(frozen=True)
class Twin:
    """Two crystals that a half turn about the normal of their common plane makes one.

    Attributes:
        name: In words.
        normal: Normal of the twin plane in the crystal's Cartesian frame, as orix has it, of any length.
        system: Crystal system it is meant for.
    """

    name: str
    normal: tuple[float, float, float]
    system: str


SIGMA3: Final = Twin("60° ⟨111⟩", (1.0, 1.0, 1.0), "cubic")


def tensile_twin(ratio: float = 1.624, first_axis: Literal["a", "a*"] = "a") -> Twin:
    """The {10-12} twin of hexagonal metals: 86.3 degrees about <11-20> for the default, magnesium.

    Args:
        ratio: c / a.
        first_axis: What the first axis of the Cartesian frame is along, [2-1-10] as in orix or the normal of (10-10)
            as in files of some instruments, 30 degrees apart.
    """
    normal = (0.0, ratio, 3.0**0.5) if first_axis == "a" else (ratio, 0.0, 3.0**0.5)
    return Twin("{10-12}", normal, "hexagonal")


@cache
def point_group(name: str) -> Symmetry:
    """The point group of orix with this name. Invalid (a ValueError) if there is none."""
    from orix.quaternion import symmetry

    known = {group.name: group for group in symmetry._groups}
    if name not in known:
        raise Invalid(f"unknown point group '{name}'{did_you_mean(name, known)}", ", ".join(known))
    return known[name]


@cache
def rotations(name: str) -> Array:
    """Proper rotations of the Laue group of a point group, as quaternions, shape (n, 4)."""
    return np.ascontiguousarray(point_group(name).laue_proper_subgroup.data)


def product(first: Array, second: Array) -> Array:
    """Quaternion products, shape (..., 4)."""
    a, b = np.broadcast_arrays(first, second)
    scalar = a[..., :1] * b[..., :1] - np.sum(a[..., 1:] * b[..., 1:], axis=-1, keepdims=True)
    vector = a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + np.cross(a[..., 1:], b[..., 1:])
    return np.concatenate([scalar, vector], axis=-1)


def inverse(quaternions: Array) -> Array:
    """Of unit quaternions, shape (..., 4)."""
    return np.asarray(quaternions * np.array([1.0, -1.0, -1.0, -1.0]))


def rotated(quaternions: Array, vectors: Array) -> Array:
    """Vectors taken along, shape (..., 3): components in the crystal of what has these in the sample."""
    q, v = np.broadcast_arrays(quaternions[..., 1:], vectors)
    first = 2.0 * np.cross(q, v)
    return np.asarray(v + quaternions[..., :1] * first + np.cross(q, first))


def disorientation(first: Array, second: Array, group: str) -> tuple[Array, Array]:
    """The smallest rotation that makes two crystals of one kind parallel.

    Args:
        first: Orientations, shape (n, 4).
        second: Orientations, shape (n, 4).
        group: Point group; its Laue group is what counts.

    Returns:
        Angles in degrees, shape (n,), and unit axes in the crystal, in the fundamental sector of the Laue group, shape
        (n, 3), nan where the angle is zero.
    """
    from orix.vector import Vector3d

    elements = rotations(group)
    angles, axes = np.zeros(len(first)), np.full((len(first), 3), np.nan)
    for start in range(0, len(first), _MANY):
        part = slice(start, start + _MANY)
        between = product(second[part], inverse(first[part]))
        # Turning one side is enough for the angle: the trace of s m t is that of m t s.
        scalar = np.abs(_scalars(between, elements))
        best = np.argmax(scalar, axis=1)
        least = product(between, elements[best])
        sine = np.linalg.norm(least[:, 1:], axis=1)
        angles[part] = np.degrees(2.0 * np.arctan2(sine, np.abs(least[:, 0])))
        turned: Flags = sine > 1e-12
        axes[part][turned] = least[turned, 1:] / sine[turned, None]
    given = ~np.isnan(axes[:, 0])
    if given.any():
        laue = point_group(group).laue
        axes[given] = Vector3d(axes[given]).in_fundamental_sector(laue).unit.data
    return angles, axes


def disorientations(orientations: Array, phase: Ints, groups: tuple[str, ...], pairs: Longs) -> tuple[Array, Array]:
    """Angles (b,) in degrees and axes (b, 3) of pairs of grains; nan between phases, and where there is none."""
    angles, axes = np.full(len(pairs), np.nan), np.full((len(pairs), 3), np.nan)
    of = phase[pairs]
    for number, group in enumerate(groups):
        chosen = (of == number).all(axis=1)
        if chosen.any():
            first, second = (orientations[pairs[chosen, side]] for side in (0, 1))
            angles[chosen], axes[chosen] = disorientation(first, second, group)
    return angles, axes


def _scalars(between: Array, elements: Array) -> Array:
    """Scalar part of the products of each of the first with each of the second, shape (n, m)."""
    return np.asarray(between @ inverse(elements).T)


@cache
def _variants(twin: Twin, group: str) -> tuple[Array, Array]:
    """All ways to be this twin: quaternions (v, 4) from one crystal to the other, twin planes (v, p, 3) in the one."""
    elements = rotations(group)
    normal = np.array(twin.normal) / np.linalg.norm(twin.normal)
    half_turn = np.concatenate([[0.0], normal])
    every = product(elements[:, None], product(half_turn, elements)[None])  # s t u
    every = every.reshape(-1, 4)
    planes = np.tile(rotated(inverse(elements), normal), (len(elements), 1))  # u⁻¹ n
    lead = np.argmax(np.abs(every) > 1e-6, axis=1)
    every = every * np.sign(np.take_along_axis(every, lead[:, None], axis=1))
    _, which = np.unique(np.round(every, 6) + 0.0, axis=0, return_inverse=True)
    which = which.reshape(-1)
    count = int(which.max()) + 1
    members = [np.flatnonzero(which == k) for k in range(count)]
    return every[[m[0] for m in members]], np.stack([planes[m] for m in members])


def twin_deviation(first: Array, second: Array, twin: Twin, group: str) -> tuple[Array, Array]:
    """How far two crystals are from being twins.

    Args:
        first: Orientations, shape (n, 4).
        second: Orientations, shape (n, 4).
        twin: Which twin.
        group: Point group of both.

    Returns:
        The angle of the rotation that is missing, degrees, shape (n,), and the normals of the twin planes of the
        nearest variant, in the sample, shape (n, p, 3): those of one plane up to their sign, unless the relation
        itself leaves a choice.
    """
    variants, planes = _variants(twin, group)
    between = product(second, inverse(first))
    nearest = np.zeros(len(first), np.int64)
    angles = np.zeros(len(first))
    for start in range(0, len(first), _MANY):
        part = slice(start, start + _MANY)
        close = np.abs(between[part] @ variants.T)
        nearest[part] = np.argmax(close, axis=1)
        missing = product(between[part], inverse(variants[nearest[part]]))
        angles[part] = np.degrees(2.0 * np.arctan2(np.linalg.norm(missing[:, 1:], axis=1), np.abs(missing[:, 0])))
    return angles, rotated(inverse(first)[:, None], planes[nearest])
