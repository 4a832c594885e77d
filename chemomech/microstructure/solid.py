"""A partition of space into grains with plane faces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chemomech.microstructure.ragged import Loops
from chemomech.typing import Array, Longs

_PLANE = 1e-6  # of its extent: how far a corner may lie off the plane of its face
_CLOSED = 1e-9  # of the whole: what volumes may miss


@dataclass(frozen=True, eq=False)
class CellComplex:
    """Grains bounded by plane polygons that share their corners.

    Attributes:
        points: Corners, m, shape (n, 3).
        faces: Corner numbers of each polygon, in order; counter-clockwise as seen from the right.
        left: The grain on the left of each face, behind its normal, or -1 outside, shape (faces,).
        right: The grain on its right or -1, shape (faces,).
    """

    points: Array
    faces: tuple[Longs, ...]
    left: Longs
    right: Longs

    @classmethod
    def from_loops(cls, points: Array, loops: Loops, left: Longs, right: Longs) -> CellComplex:
        """From faces in two flat arrays; points that none of them has are left out."""
        used, flat = np.unique(loops.flat, return_inverse=True)
        faces = tuple(np.split(flat.astype(np.int64), loops.starts[1:-1])) if loops.count else ()
        return cls(points[used], faces, left.astype(np.int64), right.astype(np.int64))

    @cached_property
    def loops(self) -> Loops:
        """The faces as two flat arrays."""
        lengths = np.array([len(face) for face in self.faces], dtype=np.int64)
        flat = np.concatenate([*self.faces, np.zeros(0, dtype=np.int64)]).astype(np.int64)
        return Loops(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @cached_property
    def grains(self) -> Longs:
        """Numbers of the grains, ascending."""
        numbers = np.unique(np.concatenate([self.left, self.right]))
        return np.asarray(numbers[numbers >= 0])

    @cached_property
    def vectors(self) -> Array:
        """Area times normal of each face, pointing to the right, m^2, shape (faces, 3)."""
        return face_vectors(self.points, self.loops)[0]

    @cached_property
    def areas(self) -> Array:
        """Of each face, m^2, shape (faces,)."""
        return np.asarray(np.linalg.norm(self.vectors, axis=1))

    def area(self, face: int) -> float:
        """Of one face, m^2."""
        return float(self.areas[face])

    @cached_property
    def volumes(self) -> Array:
        """Of grains 0 to the largest number, m^3; 0 for numbers no grain has."""
        count = int(self.grains[-1]) + 1 if len(self.grains) else 0
        gained = np.bincount(self.left + 1, self._cones, minlength=count + 1)
        return np.asarray((gained - np.bincount(self.right + 1, self._cones, minlength=count + 1))[1:])

    @cached_property
    def _cones(self) -> Array:
        """Signed volume between each face and the middle of all, m^3, shape (faces,)."""
        base = self.points[self.loops.flat[self.loops.starts[:-1]]] - self.points.mean(axis=0)
        return np.asarray(np.einsum("fi,fi->f", base, self.vectors) / 3)

    def volume(self, grain: int) -> float:
        """Of one grain, m^3."""
        return float(self.volumes[grain])

    def faces_of(self, grain: int) -> list[tuple[int, int]]:
        """Faces of a grain and 1 where their normal points out of it, else -1."""
        out = [(int(face), 1) for face in np.flatnonzero(self.left == grain)]
        return out + [(int(face), -1) for face in np.flatnonzero(self.right == grain)]

    @cached_property
    def edges(self) -> Longs:
        """Straight lines between two corners that faces share, the smaller number first, shape (e, 2)."""
        ends = np.stack([self.loops.flat, self.loops.flat[self.loops.after]], axis=1)
        return np.unique(np.sort(ends, axis=1), axis=0)

    @cached_property
    def _meeting(self) -> tuple[Longs, Longs]:
        """How many grains meet at each edge and at each point."""
        flat, after, owner = self.loops.flat, self.loops.flat[self.loops.after], self.loops.owner
        grains = np.concatenate([self.left[owner], self.right[owner]])
        keep = grains >= 0
        key = np.minimum(flat, after) * len(self.points) + np.maximum(flat, after)
        edges = np.searchsorted(self.edges[:, 0] * len(self.points) + self.edges[:, 1], key)
        at_edge = np.unique(np.stack([np.tile(edges, 2), grains], axis=1)[keep], axis=0)
        at_point = np.unique(np.stack([np.tile(flat, 2), grains], axis=1)[keep], axis=0)
        return np.bincount(at_edge[:, 0], minlength=len(self.edges)), np.bincount(
            at_point[:, 0], minlength=len(self.points)
        )

    def triple_lines(self) -> Longs:
        """Edges at which three or more grains meet, shape (t, 2)."""
        return self.edges[self._meeting[0] >= 3]

    def quadruple_points(self) -> Longs:
        """Points at which four or more grains meet, shape (q,)."""
        return np.flatnonzero(self._meeting[1] >= 4).astype(np.int64)

    def check(self) -> None:
        """Look for what is no partition.

        Raises:
            ValueError: A face is not plane or has no area, a grain is not closed or not positive, or volumes do not
                sum to that of the whole.
        """
        if np.any(self.left == self.right):
            raise ValueError(f"face {int(np.argmax(self.left == self.right))} has the same grain on both sides")
        if np.any(self.loops.lengths < 3) or np.any(self.areas <= 0):
            raise ValueError(f"face {int(np.argmin(self.areas))} has no area")
        middle = self.loops.sums(self.points[self.loops.flat]) / self.loops.lengths[:, None]
        away = self.points[self.loops.flat] - middle[self.loops.owner]
        extent = np.zeros(self.loops.count)
        np.maximum.at(extent, self.loops.owner, np.linalg.norm(away, axis=1))
        off = np.abs(np.einsum("ei,ei->e", away, (self.vectors / self.areas[:, None])[self.loops.owner]))
        if np.any(off > _PLANE * extent[self.loops.owner]):
            raise ValueError(f"face {int(self.loops.owner[np.argmax(off / extent[self.loops.owner])])} is not plane")
        here, there, owner = self.loops.flat, self.loops.flat[self.loops.after], self.loops.owner
        sign = np.where(here < there, 1, -1)
        key = np.minimum(here, there) * len(self.points) + np.maximum(here, there)
        both = np.concatenate([self.left[owner], self.right[owner]])
        rows = np.stack([both, np.tile(key, 2)], axis=1)[both >= 0]
        _, which = np.unique(rows, axis=0, return_inverse=True)
        open_ = np.bincount(which.ravel(), np.concatenate([sign, -sign])[both >= 0]) != 0
        if np.any(open_):
            raise ValueError(f"grain {int(rows[np.argmax(open_[which.ravel()]), 0])} is not closed")
        if np.any(self.volumes[self.grains] <= 0):
            raise ValueError(f"grain {int(self.grains[np.argmin(self.volumes[self.grains])])} has no volume")
        whole = float(self._cones[self.right < 0].sum() - self._cones[self.left < 0].sum())
        if abs(self.volumes.sum() - whole) > _CLOSED * whole:
            raise ValueError(f"volumes sum to {self.volumes.sum():g} m^3, not to the {whole:g} m^3 of the whole")


def face_vectors(points: Array, loops: Loops) -> tuple[Array, Array]:
    """Area vectors, m^2, and centroids, m, of plane polygons in space, shapes (faces, 3)."""
    here, there = points[loops.flat], points[loops.flat[loops.after]]
    middle = loops.sums(here) / loops.lengths[:, None]
    a, b = here - middle[loops.owner], there - middle[loops.owner]
    parts = np.cross(a, b) / 2
    vectors = loops.sums(parts)
    square = np.einsum("fi,fi->f", vectors, vectors)
    share = np.einsum("ei,ei->e", parts, vectors[loops.owner])
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = loops.sums(share[:, None] * (a + b) / 3) / square[:, None]
    return vectors, middle + np.where(square[:, None] > 0, shift, 0.0)
