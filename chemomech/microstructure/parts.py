"""Lengths, areas, volumes and junctions of a geometry, counted once for all grains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chemomech.typing import Array, Flags, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.planar import PlanarMap
    from chemomech.microstructure.solid import CellComplex

type Grains = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Parts:
    """What is measured on a geometry; a part is a chain of a PlanarMap or a face of a CellComplex.

    Attributes:
        sizes: Area or volume of each grain, shape (g,); zero for a grain the geometry does not have.
        centroids: Shape (g, d), m.
        pairs: Grains that touch, shape (b, 2).
        measures: Length or area of each pair, shape (b,).
        cut: Grains at the outside, shape (g,).
        boundary: To which pair each part belongs, -1 for outer ones and those inside a grain, shape (p,).
        lengths: Length or area of each part, shape (p,).
        directions: In 2D the direction along which a chain runs, on the whole; in 3D the normal of a face. Unit
            vectors in the frame of the sample, up to their sign, shape (p, 3).
        junctions: Arguments of `Junctions`.
    """

    sizes: Array
    centroids: Array
    pairs: Longs
    measures: Array
    cut: Flags
    boundary: Longs
    lengths: Array
    directions: Array
    junctions: tuple[Array, Grains] | tuple[Array, Grains, Array, Grains]

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return int(self.centroids.shape[1])


def measured(geometry: PlanarMap | CellComplex, grains: int) -> Parts:
    """Measure a geometry.

    Args:
        geometry: Chains or faces with the grains on their two sides.
        grains: How many grains there are.

    Raises:
        ValueError: The geometry names a grain beyond these.
    """
    sides = np.stack([np.asarray(geometry.left, np.int64), np.asarray(geometry.right, np.int64)], axis=1)
    if sides.size and int(sides.max()) >= grains:
        raise ValueError(f"the geometry has a grain {int(sides.max())}, but there are phases for {grains} only")
    # A parameter of the class decides, not the class: both then need not be imported here.
    points = np.asarray(geometry.points, float)
    if points.shape[1] == 2:
        return _section(points, geometry.chains, sides, grains)  # type: ignore[union-attr]
    return _solid(points, geometry.faces, sides, grains)  # type: ignore[union-attr]


def _section(points: Array, chains: Sequence[Longs], sides: Longs, grains: int) -> Parts:
    middle = points.mean(axis=0) if len(points) else np.zeros(2)
    start, end, owner = _steps(chains, closed=False)
    a, b = points[start] - middle, points[end] - middle
    step = b - a
    long = np.hypot(step[:, 0], step[:, 1])
    lengths = _summed(owner, long, len(chains))
    # Green: a chain walked with the grain on its left adds to its area, with the grain on its right takes away.
    cross = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    area = _summed(owner, cross, len(chains))
    moment = _summed(owner, cross[:, None] * (a + b) / 3.0, len(chains))
    sizes, centroids = _per_grain(area, moment, sides, grains)
    # The longest axis of all steps of a chain, however it winds.
    spread = np.where(long > 0, long, 1.0)
    tensor = _summed(owner, np.einsum("si,sj,s->sij", step, step, 1.0 / spread).reshape(-1, 4), len(chains))
    directions = np.zeros((len(chains), 3))
    if len(chains):
        directions[:, :2] = np.linalg.eigh(tensor.reshape(-1, 2, 2))[1][:, :, 1]
    ends = np.array([(chain[0], chain[-1]) for chain in chains], np.int64).reshape(-1, 2)
    at, around = _meeting(np.repeat(ends.ravel(), 2), np.repeat(sides, 2, axis=0).ravel(), 3)
    pairs, measures, boundary = _pairs(sides, lengths)
    junctions = (points[at[:, 0]], around)
    return Parts(
        sizes, centroids + middle, pairs, measures, _cut(sides, grains), boundary, lengths, directions, junctions
    )


def _solid(points: Array, faces: Sequence[Longs], sides: Longs, grains: int) -> Parts:
    middle = points.mean(axis=0) if len(points) else np.zeros(3)
    start, end, owner = _steps(faces, closed=True)
    first = np.array([face[0] for face in faces], np.int64)[owner] if len(faces) else owner
    base, a, b = points[first] - middle, points[start] - middle, points[end] - middle
    normal = 0.5 * np.cross(a - base, b - base)  # triangles from the first corner of the face
    vector = _summed(owner, normal, len(faces))
    areas = np.asarray(np.linalg.norm(vector, axis=1))
    volume = np.einsum("ti,ti->t", base, normal) / 3.0
    moment = volume[:, None] * (base + a + b) / 4.0
    per_face = _summed(owner, volume, len(faces)), _summed(owner, moment, len(faces))
    sizes, centroids = _per_grain(*per_face, sides, grains)
    pairs, measures, boundary = _pairs(sides, areas)
    edges = np.sort(np.stack([start, end], axis=1), axis=1)
    edge, line_grains = _meeting(np.repeat(edges, 2, axis=0), sides[owner].ravel(), 3)
    at, around = _meeting(np.repeat(start, 2), sides[owner].ravel(), 4)
    directions = vector / np.where(areas > 0, areas, 1.0)[:, None]
    junctions = (points[at[:, 0]], around, points[edge], line_grains)
    return Parts(
        sizes, centroids + middle, pairs, measures, _cut(sides, grains), boundary, areas, directions, junctions
    )


def _steps(loops: Sequence[Longs], *, closed: bool) -> tuple[Longs, Longs, Longs]:
    """Start, end and owner of all steps along the loops; ``closed`` adds the one back to the first point."""
    if not len(loops):
        return (np.zeros(0, np.int64),) * 3
    counts = np.array([len(loop) for loop in loops])
    flat = np.concatenate([np.asarray(loop, np.int64) for loop in loops])
    owner = np.repeat(np.arange(len(loops), dtype=np.int64), counts)
    last = np.cumsum(counts) - 1
    following = np.append(flat[1:], 0)
    if closed:
        following[last] = flat[last - counts + 1]
        return flat, following, owner
    kept = np.ones(len(flat), bool)
    kept[last] = False
    return flat[kept], following[kept], owner[kept]


def _summed(owner: Longs, values: Array, count: int) -> Array:
    """Sums of ``values`` over those of the same owner, shape (count, ...)."""
    if values.ndim == 1:
        return np.bincount(owner, values, minlength=count).astype(float)
    return np.stack([_summed(owner, column, count) for column in values.T], axis=-1)


def _per_grain(size: Array, moment: Array, sides: Longs, grains: int) -> tuple[Array, Array]:
    """Sizes and centroids of grains from what each part adds to the grain on its left."""
    total, first = np.zeros(grains), np.zeros((grains, moment.shape[1]))
    for column, sign in ((0, 1.0), (1, -1.0)):
        inside = sides[:, column] >= 0
        total += sign * _summed(sides[inside, column], size[inside], grains)
        first += sign * _summed(sides[inside, column], moment[inside], grains)
    # The sign is that of all normals together: which side of a face is its left does not matter.
    centroids = first / np.where(total == 0.0, 1.0, total)[:, None]
    return np.abs(total), centroids


def _cut(sides: Longs, grains: int) -> Flags:
    """Grains with a part beyond which nothing is, shape (grains,)."""
    last = sides[(sides < 0).any(axis=1)].max(axis=1, initial=-1)
    found = np.zeros(grains, bool)
    found[last[last >= 0]] = True
    return found


def _pairs(sides: Longs, lengths: Array) -> tuple[Longs, Array, Longs]:
    """Pairs of grains that touch, how much they share, and the pair of each part."""
    inner: Flags = (sides >= 0).all(axis=1) & (sides[:, 0] != sides[:, 1])
    pairs, which = np.unique(np.sort(sides[inner], axis=1), axis=0, return_inverse=True)
    boundary = np.full(len(sides), -1, np.int64)
    boundary[inner] = which.reshape(-1)
    return pairs, _summed(boundary[inner], lengths[inner], len(pairs)), boundary


def _meeting(places: Longs, grains: Longs, least: int) -> tuple[Longs, Grains]:
    """Places (numbers or rows of numbers) with at least so many different grains around, and these."""
    columns = places if places.ndim == 2 else places[:, None]
    rows = np.unique(np.column_stack([columns, grains])[grains >= 0], axis=0)
    at, start, counts = np.unique(rows[:, :-1], axis=0, return_index=True, return_counts=True)
    many = np.flatnonzero(counts >= least)
    around = tuple(tuple(rows[start[k] : start[k] + counts[k], -1].tolist()) for k in many.tolist())
    return at[many], around
