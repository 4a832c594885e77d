"""Voronoi and Laguerre diagrams of a box: exact, conforming, periodic on request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError, cKDTree

from chemomech.microstructure.clipping import Soup, clip
from chemomech.microstructure.ragged import Loops, rings
from chemomech.microstructure.solid import face_vectors
from chemomech.typing import Array, Longs

_SAME = 1e-8  # of the mean distance of seeds: corners nearer than this are one
_FLAT = 1e-6  # simplices flatter than this keep the centre found by the hull
_FAR = 3.0  # diagonals from the middle of the box to the seeds that bound the cells
_EXACT = 1e-12  # of the box: what the cells' sum may miss
_ATTEMPTS = 8


@dataclass(frozen=True)
class Partition:
    """Convex pieces that fill a box; a grain has one piece, or several if it goes on across periodic sides.

    Attributes:
        size: Edges of the box, m, shape (d,); it begins at the origin.
        periodic: Axes along which it goes on.
        points: Corners, m, shape (n, d).
        loops: In 2D the corners of each piece, counter-clockwise; in 3D those of each face, counter-clockwise as
            seen from the right.
        left: The piece a loop belongs to, or the one to the left of a face, shape (loops,).
        right: The piece to the right of a face or -1 outside, shape (loops,); unused in 2D.
        piece_grain: The grain of each piece, shape (pieces,).
        piece_shift: How far the seed of a piece lies from that of its grain, m, shape (pieces, d).
        count: Number of grains; those without a piece are empty.
    """

    size: Array
    periodic: tuple[int, ...]
    points: Array
    loops: Loops
    left: Longs
    right: Longs
    piece_grain: Longs
    piece_shift: Array
    count: int

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.size)

    @cached_property
    def _piece_moments(self) -> tuple[Array, Array]:
        pieces = len(self.piece_grain)
        if self.dimension == 2:
            here, there = self.points[self.loops.flat], self.points[self.loops.flat[self.loops.after]]
            base = self.points[self.loops.flat[self.loops.starts[:-1]]][self.loops.owner]
            a, b = here - base, there - base
            double = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
            area = self.loops.sums(double) / 2
            first = self.loops.sums(double[:, None] * (a + b)) / 6
            return area, first + area[:, None] * self.points[self.loops.flat[self.loops.starts[:-1]]]
        vectors, centres = face_vectors(self.points, self.loops)
        inside = self.right >= 0
        total = np.bincount(self.left, minlength=pieces) + np.bincount(self.right[inside], minlength=pieces)
        middle = (
            np.stack(
                [
                    np.bincount(self.left, c, minlength=pieces)
                    + np.bincount(self.right[inside], c[inside], minlength=pieces)
                    for c in centres.T
                ],
                axis=1,
            )
            / np.maximum(total, 1)[:, None]
        )
        volume, first = np.zeros(pieces), np.zeros((pieces, 3))
        for cell, sign, chosen in ((self.left, 1.0, slice(None)), (self.right[inside], -1.0, inside)):
            cone = sign * np.einsum("fi,fi->f", vectors[chosen], centres[chosen] - middle[cell]) / 3
            np.add.at(volume, cell, cone)
            np.add.at(first, cell, cone[:, None] * 0.75 * (centres[chosen] - middle[cell]))
        return volume, first + volume[:, None] * middle

    @cached_property
    def sizes(self) -> Array:
        """Area or volume of each grain, m^2 or m^3, shape (count,)."""
        return np.bincount(self.piece_grain, self._piece_moments[0], minlength=self.count).astype(float)

    @cached_property
    def centroids(self) -> Array:
        """Centroid of each grain in one piece, so perhaps outside the box, m, shape (count, d)."""
        volume, first = self._piece_moments
        moments = first - volume[:, None] * self.piece_shift
        sums = [np.bincount(self.piece_grain, column, minlength=self.count) for column in moments.T]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.stack(sums, axis=1) / self.sizes[:, None])

    @cached_property
    def contacts(self) -> tuple[Longs, Array]:
        """Pieces that touch, shape (c, 2), and the length or area of each contact, m or m^2."""
        if self.dimension == 3:
            inside = self.right >= 0
            vectors, _ = face_vectors(self.points, self.loops)
            return np.stack([self.left, self.right], axis=1)[inside], np.linalg.norm(vectors[inside], axis=1)
        ends, sides = edges_of(self.loops)
        inside = sides[:, 1] >= 0
        edges = self.points[ends[inside]]
        return self.left[sides[inside]], np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)


def edges_of(loops: Loops) -> tuple[Longs, Longs]:
    """Edges of loops that fill a plane region: ends (e, 2), and the loop on the left and right or -1, shape (e, 2)."""
    a, b, owner = loops.flat, loops.flat[loops.after], loops.owner
    order = np.lexsort((a > b, np.maximum(a, b), np.minimum(a, b)))
    a, b, owner = a[order], b[order], owner[order]
    twin = (a[:-1] == b[1:]) & (b[:-1] == a[1:])
    first = np.concatenate([[True], ~twin]) if len(a) else np.zeros(0, dtype=bool)
    other = np.where(np.append(twin, False), np.append(owner[1:], -1), -1)
    return np.stack([a, b], axis=1)[first], np.stack([owner, other], axis=1)[first]


def laguerre(seeds: Array, weights: Array | None, size: Array, periodic: tuple[int, ...] = ()) -> Partition:
    r"""The Laguerre diagram of a box: a point belongs to the grain with the least $|x-x_i|^2-w_i$.

    Seeds and their images across periodic sides are lifted to $(x,|x|^2-w)$; the lower convex hull is the dual of the
    diagram, which is then cut at the sides of the box, every new corner made once for all that share it.

    Args:
        seeds: Inside the box, m, shape (n, d).
        weights: m^2, shape (n,); None or zeros give the Voronoi diagram.
        size: Edges of the box, m, shape (d,).
        periodic: Axes along which the diagram goes on.

    Returns:
        The pieces; the sum of their sizes is that of the box to 1e-12. Grains without a piece are possible.

    Raises:
        RuntimeError: No exact partition was found, even of slightly moved seeds.
    """
    count, dimension = seeds.shape
    scale = float(np.prod(size)) ** (1 / dimension)
    x, w = seeds / scale, (np.zeros(count) if weights is None else weights / scale**2)
    box = size / scale
    spacing = float(count) ** (-1 / dimension)
    rng = np.random.default_rng(0)
    for attempt in range(_ATTEMPTS):  # nearly regular seeds ask for more tolerance, or for seeds that are less regular
        same = _SAME * 10.0 ** (attempt // 2)
        try:
            found = _diagram(x, w, box, periodic, spacing, same)
        except (ValueError, QhullError):
            found = None
        if found is not None and _exact(found):
            return Partition(
                size,
                periodic,
                np.clip(np.where(found.points == box, size, found.points * scale), 0, size),
                found.loops,
                found.left,
                found.right,
                found.piece_grain,
                found.piece_shift * scale,
                count,
            )
        w = w + (same * spacing**2 * rng.uniform(-1, 1, count) if attempt % 2 else 0.0)
    raise RuntimeError("no exact partition of the box was found: are seeds or weights extremely different?")


def _exact(partition: Partition) -> bool:
    volumes = partition._piece_moments[0]
    if abs(volumes.sum() / np.prod(partition.size) - 1) > _EXACT or np.any(volumes <= 0):
        return False
    return partition.dimension == 2 or bool(np.all(np.any(face_vectors(partition.points, partition.loops)[0], axis=1)))


def _diagram(
    seeds: Array, weights: Array, box: Array, periodic: tuple[int, ...], spacing: float, same: float
) -> Partition:
    reach = min(3 * spacing, float(box.max())) if periodic else 0.0
    while True:
        number, shift = _images(seeds, box, periodic, reach)
        found = _pieces(seeds[number] + shift, weights[number], box, spacing, same)
        used, corners, loops, left, right = found.cells, found.points, found.loops, found.left, found.right
        partition = Partition(box, periodic, corners, loops, left, right, number[used], shift[used], len(seeds))
        if not periodic:
            return partition
        # every seed that could win at a corner was among the images if it is no farther than this
        away = corners[loops.flat] - (seeds[number] + shift)[used][np.repeat(left, loops.lengths)]
        power = np.einsum("ij,ij->i", away, away) - weights[number[used]][np.repeat(left, loops.lengths)]
        needed = float(np.sqrt(max(power.max() + weights.max(), 0.0)))
        if needed <= reach:
            return matched(partition)
        reach = 1.01 * needed


def _images(seeds: Array, box: Array, periodic: tuple[int, ...], reach: float) -> tuple[Longs, Array]:
    number, shift = np.arange(len(seeds)), np.zeros_like(seeds)
    for axis in periodic:
        away = int(np.ceil(reach / box[axis]))
        copies = [shift + np.eye(len(box))[axis] * k * box[axis] for k in range(-away, away + 1)]
        number, shift = np.tile(number, len(copies)), np.concatenate(copies)
        place = seeds[number, axis] + shift[:, axis]
        near = (place >= -reach) & (place <= box[axis] + reach)
        number, shift = number[near], shift[near]
    first = np.lexsort((number, np.any(shift != 0, axis=1)))  # the seeds themselves come first
    return number[first], shift[first]


def _pieces(seeds: Array, weights: Array, box: Array, spacing: float, same: float) -> Soup:
    """Cells of all seeds cut at the sides of the box; ``cells`` are the numbers of those that are left."""
    count, dimension = seeds.shape
    far = _FAR * float(np.linalg.norm(box)) + np.abs(seeds - box / 2).max()
    sites = np.concatenate([seeds - box / 2, far * np.eye(dimension), -far * np.eye(dimension)])
    heavy = float(weights.max())  # the same for all changes nothing, and keeps the far seeds far
    power = np.concatenate([weights - heavy, np.zeros(2 * dimension)])
    hull = ConvexHull(np.column_stack([sites, np.einsum("ij,ij->i", sites, sites) - power]), qhull_options="Qt")
    lower = hull.equations[:, dimension] < 0
    simplices = hull.simplices[lower].astype(np.int64)
    equations = hull.equations[lower]
    lower_real = np.any(simplices < count, axis=1)
    simplices, equations = simplices[lower_real], equations[lower_real]
    centres, turn = _centres(sites, power, simplices, equations, spacing)
    tolerance = max(same, 1e3 * np.finfo(float).eps * (far / spacing) ** 2) * spacing
    corner, points = _merged(centres, tolerance)
    points = points + box / 2
    soup = (
        _cells(simplices, turn, corner, points, count)
        if dimension == 2
        else _faces(simplices, turn, corner, points, count)
    )
    for axis in range(dimension):
        for value, sign in ((0.0, 1.0), (float(box[axis]), -1.0)):
            soup = clip(soup, axis, value, sign, tolerance, count)
    return soup.compact()


def _centres(sites: Array, power: Array, simplices: Longs, equations: Array, spacing: float) -> tuple[Array, Array]:
    """Points of equal power to the corners of each simplex, and the simplices' signed, relative volumes."""
    dimension = sites.shape[1]
    rough = -equations[:, :dimension] / (2 * equations[:, dimension : dimension + 1])
    base = sites[simplices[:, 0]]
    arms = sites[simplices[:, 1:]] - base[:, None]
    lengths = np.linalg.norm(arms, axis=2)
    volume = np.linalg.det(arms) / np.prod(lengths, axis=1)
    good = np.abs(volume) > _FLAT
    sides = (lengths**2 - power[simplices[:, 1:]] + power[simplices[:, :1]]) / 2
    fine = rough.copy()
    fine[good] = base[good] + np.linalg.solve(arms[good], sides[good][..., None])[..., 0]
    return fine, volume


def _merged(centres: Array, tolerance: float) -> tuple[Longs, Array]:
    """Centres that coincide become one corner: its number for each of them, and its place."""
    count = len(centres)
    near = cKDTree(centres).query_pairs(tolerance, output_type="ndarray")
    graph = coo_array((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(count, count))
    number, label = connected_components(graph, directed=False)
    members = np.bincount(label, minlength=number)
    points = np.stack([np.bincount(label, column, minlength=number) for column in centres.T], axis=1)
    return label.astype(np.int64), points / members[:, None]


def _cells(simplices: Longs, turn: Array, corner: Longs, points: Array, count: int) -> Soup:
    """In 2D: the ring of triangles around each seed is its cell."""
    number = np.arange(len(simplices))
    group = np.concatenate([simplices[:, k] for k in range(3)])
    first = np.concatenate([simplices[:, (k + 1) % 3] for k in range(3)])
    second = np.concatenate([simplices[:, (k + 2) % 3] for k in range(3)])
    entry, turns = np.tile(number, 3), np.tile(turn, 3)
    real = group < count
    cells, compact = np.unique(group[real], return_inverse=True)
    order, owner = rings(compact.astype(np.int64), first[real], second[real], turns[real])
    loops = Loops.of(owner, corner[entry[real][order]], len(cells)).without_repeats()
    keep = loops.lengths > 2
    cells = cells[keep]
    return Soup(points, loops.take(keep), cells, np.full(len(cells), -1, dtype=np.int64), np.arange(count))


def _faces(simplices: Longs, turn: Array, corner: Longs, points: Array, count: int) -> Soup:
    """In 3D: the ring of tetrahedra around each pair of neighbours is their face."""
    number = np.arange(len(simplices))
    pairs = ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 2, 0), (2, 3, 0, 1))  # even permutations
    i, j, k, m = (np.concatenate([simplices[:, p[c]] for p in pairs]) for c in range(4))
    entry, turns = np.tile(number, 6), np.tile(turn, 6)
    turns = np.where(i < j, turns, -turns)
    left, right = np.minimum(i, j), np.maximum(i, j)
    real = left < count
    far = int(simplices.max()) + 1
    faces, compact = np.unique(left[real] * far + right[real], return_inverse=True)
    order, owner = rings(compact.astype(np.int64), k[real], m[real], turns[real])
    loops = Loops.of(owner, corner[entry[real][order]], len(faces)).without_repeats()
    keep = loops.lengths > 2
    return Soup(points, loops.take(keep), (faces // far)[keep], (faces % far)[keep], np.arange(count))


def matched(partition: Partition) -> Partition:
    """The same with corners on periodic sides placed exactly opposite each other.

    Raises:
        ValueError: The cuts of two opposite sides do not match.
    """
    points = partition.points.copy()
    for axis in partition.periodic:
        low, high = twins(points, axis, float(partition.size[axis]))
        points[high] = points[low]
        points[high, axis] = partition.size[axis]
    return Partition(
        partition.size,
        partition.periodic,
        points,
        partition.loops,
        partition.left,
        partition.right,
        partition.piece_grain,
        partition.piece_shift,
        partition.count,
    )


def twins(points: Array, axis: int, length: float) -> tuple[Longs, Longs]:
    """Points on the lower side of an axis and those opposite, both shape (k,); ValueError if they do not match."""
    low, high = np.flatnonzero(points[:, axis] == 0), np.flatnonzero(points[:, axis] == length)
    flat = np.delete(points, axis, axis=1)
    distance, partner = cKDTree(flat[low]).query(flat[high])
    if len(low) != len(high) or len(np.unique(partner)) != len(low) or distance.max() > 1e-6 * length:
        raise ValueError("the cuts of opposite sides do not match")
    return low[partner], high
