"""Orientations of many grains: random ones, and fibre textures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.relations import product
from chemomech.typing import Array

_AXES: Final = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Texture:
    """A fibre texture: a crystal direction lies near a direction of the sample, and all turns about it are alike.

    Where the crystal direction ends on the sphere follows von Mises' and Fisher's law, a normal distribution as long as
    the spread is small, an even one if it is large.

    Attributes:
        direction: Crystal direction in the crystal's Cartesian frame, of any length; in cubic crystals its indices.
        along: Direction of the sample: ``x``, ``y``, ``z`` or three components.
        spread: Standard deviation of the tilt in each of the two directions across, degrees; 0 has none.
        fraction: Share of grains in the fibre; the others are random.
    """

    direction: tuple[float, float, float]
    along: str | tuple[float, float, float] = "z"
    spread: float = 0.0
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.along, str) and self.along not in _AXES:
            raise CaseError("texture.along", self.along, "no direction of the sample", "x, y, z or three components")
        for key in ("direction", "along"):
            value = getattr(self, key)
            vector = np.asarray(_AXES[value] if isinstance(value, str) else value, dtype=float)
            if vector.shape != (3,) or not np.all(np.isfinite(vector)) or not np.any(vector):
                raise CaseError(f"texture.{key}", value, "no direction", "three components that are not all zero")
        if not 0 <= self.spread < np.inf:
            raise CaseError("texture.spread", self.spread, "no spread", "degrees, 0 or more")
        if not 0 <= self.fraction <= 1:
            raise CaseError("texture.fraction", self.fraction, "no fraction", "a number from 0 to 1")

    @property
    def fibre(self) -> Array:
        """Unit vector of the sample along which the fibre lies."""
        vector = np.asarray(_AXES[self.along] if isinstance(self.along, str) else self.along, dtype=float)
        return np.asarray(vector / np.linalg.norm(vector))

    def orientations(self, count: int, rng: np.random.Generator) -> Array:
        """Unit quaternions that take sample to crystal, shape (count, 4)."""
        crystal = np.asarray(self.direction, dtype=float) / np.linalg.norm(self.direction)
        places = around(self.fibre, self.spread, count, rng)
        angle = rng.uniform(0, np.pi, count)  # half of the turn
        turn = np.column_stack([np.cos(angle), np.sin(angle)[:, None] * crystal])
        found = product(turn, shortest(places, crystal))
        free = rng.permutation(count) >= round(self.fraction * count)
        found[free] = uniform_orientations(int(free.sum()), rng)
        return found


def uniform_orientations(count: int, rng: np.random.Generator) -> Array:
    """Random orientations, all alike probable, as unit quaternions, shape (count, 4)."""
    normal = rng.standard_normal((count, 4))
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))


def around(direction: Array, spread: float, count: int, rng: np.random.Generator) -> Array:
    """Unit vectors about a unit vector with von Mises' and Fisher's law; ``spread`` in degrees, shape (count, 3)."""
    even, turn = rng.random(count), rng.uniform(0, 2 * np.pi, count)
    concentration = np.radians(spread) ** -2 if spread > 0 else np.inf
    # 1 - cos of the tilt; its distribution is an exponential one, cut off at 2
    fall = -np.log1p(even * np.expm1(-2 * concentration)) / concentration if spread > 0 else np.zeros(count)
    fall = np.clip(fall, 0, 2)
    sine = np.sqrt(fall * (2 - fall))
    first = np.cross(direction, np.eye(3)[np.argmin(np.abs(direction))])
    first /= np.linalg.norm(first)
    across = np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * np.cross(direction, first)
    return np.asarray((1 - fall)[:, None] * direction + sine[:, None] * across)


def shortest(vectors: Array, target: Array) -> Array:
    """Quaternions of the smallest rotations that take unit vectors (n, 3) to a unit vector."""
    scalar = 1 + vectors @ target
    found = np.column_stack([scalar, np.cross(vectors, target)])
    opposite = scalar < 1e-12
    across = np.cross(target, np.eye(3)[np.argmin(np.abs(target))])
    found[opposite] = np.concatenate([[0.0], across])
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))
