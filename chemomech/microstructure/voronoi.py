"""Polycrystals made up: Voronoi and Laguerre grains in the plane and in space, with random or textured orientations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from chemomech.errors import CaseError
from chemomech.frozen import Invalid
from chemomech.microstructure.assembly import cell_complex, columns, extruded, planar_map
from chemomech.microstructure.laguerre import Partition, laguerre
from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.sizing import lognormal_sizes, moved_off_corners, number_of_grains, relaxed
from chemomech.microstructure.solid import CellComplex
from chemomech.microstructure.structure import Microstructure
from chemomech.microstructure.textures import Texture, uniform_orientations
from chemomech.microstructure.tidying import tidied
from chemomech.typing import Array
from chemomech.units import expected, to_si

_AXES = ("x", "y", "z")
_MOST = 1_000_000  # grains; more are a slip of the unit
_NEAR = 1e-6  # of the mean distance of seeds: those nearer to each other are the same


@dataclass(frozen=True, eq=False)
class Tessellation:
    """A box cut into grains, and how it was done.

    Attributes:
        partition: Pieces of grains; `geometry` is made of them.
        seeds: Last place of the seed of each grain, across a columnar axis only, m, shape (grains, d).
        weights: Laguerre weights, m^2, shape (grains,); zeros for Voronoi grains and for columns in the plane.
        shortest: Edges below this were to be collapsed, m.
        collapsed: How many edges were.
        left: How many short edges could not be collapsed without making grains invalid.
        vanished: Slices of grains, cut off by a periodic side, that went with short edges.
    """

    partition: Partition
    seeds: Array
    weights: Array
    shortest: float = 0.0
    collapsed: int = 0
    left: int = 0
    vanished: int = 0

    @property
    def geometry(self) -> PlanarMap | CellComplex:
        """Grains and the lines or faces between them."""
        return planar_map(self.partition) if self.partition.dimension == 2 else cell_complex(self.partition)


def polycrystal(
    dimension: int,
    size: Sequence[float | str],
    *,
    seeds: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    number: int | None = None,
    mean_size: float | str | None = None,
    spread: float | None = None,
    lloyd: int = 0,
    periodic: Sequence[str] = (),
    columnar: str | None = None,
    short_edges: float = 0.05,
    texture: Texture | None = None,
    phase: str = "crystal",
    point_group: str = "m-3m",
    seed: int = 0,
) -> Microstructure:
    """A polycrystal that fills a rectangle or a box; the same arguments give the same one.

    Args:
        dimension: 2 or 3.
        size: Edges of the box, m or texts with units; it begins at the origin.
        seeds: Where grains are to grow from, m, shape (n, d), or (n, d - 1) without the columnar axis. Give one of
            ``seeds``, ``number`` and ``mean_size``.
        weights: Laguerre weights of given seeds, m^2, shape (n,).
        number: How many grains, at random places.
        mean_size: Their mean diameter (of the circle or ball of the same size; across columns), m; for ``spread`` None
            that of a grain of mean size.
        spread: Standard deviation of the logarithm of the diameter; weights are fitted so that grains have exactly the
            sizes of a log-normal distribution, before short edges go. 0 makes all equal; None leaves Voronoi grains as
            they come.
        lloyd: How often seeds are moved to the centroids of their grains; 3 are enough for compact grains.
        periodic: Axes along which the polycrystal goes on: ``("x", "y")``.
        columnar: Axis along which grains are columns, with all boundaries parallel to it: the normal of a substrate.
        short_edges: Edges shorter than this part of the mean grain size (square or cube root of area or volume) are
            collapsed where possible; 0 keeps all.
        texture: Orientations; random ones if None.
        phase: Name of the material.
        point_group: Its point group.
        seed: Of all random numbers.

    Raises:
        CaseError: An argument makes no sense, or a grain of given seeds and weights would be empty.
    """
    cut = tessellate(
        dimension,
        size,
        seeds=seeds,
        weights=weights,
        number=number,
        mean_size=mean_size,
        spread=spread,
        lloyd=lloyd,
        periodic=periodic,
        columnar=columnar,
        short_edges=short_edges,
        seed=seed,
    )
    rng = np.random.default_rng([seed, 1])  # places of grains and orientations do not depend on each other
    count = cut.partition.count
    turned = uniform_orientations(count, rng) if texture is None else texture.orientations(count, rng)
    return Microstructure.from_geometry(cut.geometry, (phase,), np.zeros(count, dtype=np.int32), turned, (point_group,))


def tessellate(
    dimension: int,
    size: Sequence[float | str],
    *,
    seeds: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    number: int | None = None,
    mean_size: float | str | None = None,
    spread: float | None = None,
    lloyd: int = 0,
    periodic: Sequence[str] = (),
    columnar: str | None = None,
    short_edges: float = 0.05,
    seed: int = 0,
) -> Tessellation:
    """The grains of `polycrystal`, which explains the arguments, without orientations."""
    box = _box(dimension, size)
    around = tuple(sorted({_axis("periodic", name, dimension) for name in periodic}))
    upright = None if columnar is None else _axis("columnar", columnar, dimension)
    across = [axis for axis in range(dimension) if axis != upright]
    face, closed = box[across], tuple(k for k, axis in enumerate(across) if axis in around)
    if spread is not None and not 0 <= spread <= 2:
        raise CaseError("spread", spread, "no log-normal spread that grains can have", "a number from 0 to 2, or None")
    if lloyd < 0 or not 0 <= short_edges <= 0.5:
        key, value = ("lloyd", lloyd) if lloyd < 0 else ("short_edges", short_edges)
        raise CaseError(key, value, "out of range", "0 or more rounds" if lloyd < 0 else "a number from 0 to 0.5")
    if sum(given is not None for given in (seeds, number, mean_size)) != 1:
        raise CaseError("number", number, "how many grains there are is not clear", "one of seeds, number, mean_size")
    rng = np.random.default_rng([seed, 0])
    if seeds is not None:
        places = _places(seeds, box, across, closed)
    else:
        places = rng.random((_count(number, mean_size, spread, face), len(face))) * face
    targets = None if spread is None else lognormal_sizes(len(places), spread, len(face), float(np.prod(face)))
    if weights is not None:
        fixed = _given_weights(weights, seeds, spread, lloyd, places)
        partition = laguerre(places, fixed, face, closed)
        if np.any(partition.sizes <= 0):
            empty = int(np.argmin(partition.sizes))
            raise CaseError("weights", float(fixed[empty]), f"grain {empty} is empty", "weights that differ less")
        heavy = fixed
    elif len(face) == 1:
        partition, places, heavy = _columns(places, targets, box, upright or 0, around, lloyd, rng)
        return Tessellation(partition, places, heavy)
    else:
        try:
            partition, places, heavy = relaxed(places, targets, face, closed, lloyd)
        except RuntimeError as error:
            if spread is None:
                raise
            raise CaseError("spread", spread, str(error), "a smaller spread, or seeds that lie more evenly") from None
    shortest = short_edges * (float(np.prod(face)) / len(places)) ** (1 / len(face))
    if seeds is None and short_edges:  # random grains may be cut anywhere
        partition, places = moved_off_corners(partition, places, heavy, shortest)
    done = tidied(partition, shortest)
    final = done.partition if upright is None else extruded(done.partition, box, upright, around)
    return Tessellation(final, places, heavy, done.shortest, done.collapsed, done.left, done.vanished)


def _columns(
    places: Array,
    targets: Array | None,
    box: Array,
    axis: int,
    periodic: tuple[int, ...],
    lloyd: int,
    rng: np.random.Generator,
) -> tuple[Partition, Array, Array]:
    """Columns in the plane, numbered as their seeds are."""
    whole, across = float(box[1 - axis]), 1 - axis
    order = np.argsort(places[:, 0], kind="stable")
    seeds, count = places[order, 0], len(places)
    if targets is not None:  # the widths say it all; seeds are the middles
        ends = np.concatenate([[0.0], np.cumsum(rng.permutation(targets))])
        ends = ends + (rng.random() * whole if across in periodic else 0.0)
        seeds = (ends[1:] + ends[:-1]) / 2
    elif across in periodic:
        for _ in range(lloyd + 1):
            middles = (seeds + np.append(seeds[1:], seeds[0] + whole)) / 2
            ends = np.concatenate([[middles[-1] - whole], middles])
            seeds, last = (ends[1:] + ends[:-1]) / 2, seeds
        seeds = last
    else:
        for _ in range(lloyd + 1):
            ends = np.concatenate([[0.0], (seeds[1:] + seeds[:-1]) / 2, [whole]])
            seeds, last = (ends[1:] + ends[:-1]) / 2, seeds
        seeds = last
    if across not in periodic:
        ends[-1] = whole  # sums end there up to rounding only
        cuts, which, shifts = ends, np.arange(count), np.zeros(count)
    else:
        turns = np.floor(ends[:-1] / whole)
        inner = ends[:-1] - turns * whole
        first = np.argsort(inner, kind="stable")
        cuts = np.concatenate([[0.0], inner[first], [whole]])
        which = np.concatenate([first[-1:], first])
        shifts = np.concatenate([[-1.0], np.zeros(count)]) * whole - turns[which] * whole
        full = np.diff(cuts) > 0
        cuts, which, shifts = np.append(cuts[:-1][full], whole), which[full], shifts[full]
    final = np.empty((count, 1))
    final[order, 0] = seeds % whole if across in periodic else seeds
    partition = columns(cuts, order[which], shifts, box, axis, periodic)
    return partition, final, np.zeros(count)


def _box(dimension: int, size: Sequence[float | str]) -> Array:
    if dimension not in (2, 3):
        raise CaseError("dimension", dimension, "no such polycrystal", "2 or 3")
    if isinstance(size, str) or len(size) != dimension:
        raise CaseError("size", str(size), f"{dimension} edges are needed", "one length for each axis")
    return np.array([_length("size", edge) for edge in size])


def _length(key: str, value: float | str) -> float:
    try:
        length = to_si(value, "m")
    except Invalid as error:
        raise CaseError(key, value, error.problem, error.allowed) from None
    if not 0 < length < np.inf:
        raise CaseError(key, value, "no length", expected("m", " above 0"))
    return float(length)


def _axis(key: str, name: str, dimension: int) -> int:
    if name not in _AXES[:dimension]:
        raise CaseError(key, name, "no axis of this polycrystal", " or ".join(_AXES[:dimension]))
    return _AXES.index(name)


def _count(number: int | None, mean_size: float | str | None, spread: float | None, face: Array) -> int:
    if number is not None:
        if not 1 <= number <= _MOST:
            raise CaseError("number", number, "not a possible number of grains", f"1 to {_MOST}")
        return int(number)
    found = number_of_grains(_length("mean_size", mean_size or 0.0), spread or 0.0, len(face), float(np.prod(face)))
    if found > _MOST:
        raise CaseError("mean_size", mean_size, f"{found} grains would be needed", f"so large that at most {_MOST} are")
    return found


def _places(seeds: npt.ArrayLike, box: Array, across: list[int], closed: tuple[int, ...]) -> Array:
    given = np.array(seeds, dtype=float)
    if given.ndim != 2 or not len(given) or given.shape[1] not in (len(across), len(box)):
        raise CaseError(
            "seeds", str(given.shape), "not the shape of seeds", f"one or more rows of {len(across)} numbers"
        )
    places = given[:, across] if given.shape[1] == len(box) else given
    face = box[across]
    inside = np.all((places >= 0) & (places <= face), axis=1)
    if not inside.all():
        row = int(np.argmin(inside))
        raise CaseError(f"seeds.{row}", str(given[row].tolist()), "outside the box", "seeds between 0 and size, in m")
    for axis in closed:
        places[:, axis] %= face[axis]
    near = _NEAR * (float(np.prod(face)) / len(places)) ** (1 / len(face))
    around = [float(face[k]) if k in closed else 0.0 for k in range(len(face))]
    same = cKDTree(places, boxsize=around).query_pairs(near, output_type="ndarray")
    if len(same):
        row = int(same.max(axis=1).min())
        raise CaseError(f"seeds.{row}", str(given[row].tolist()), "the same as another seed", "seeds that all differ")
    return places


def _given_weights(
    weights: npt.ArrayLike, seeds: npt.ArrayLike | None, spread: float | None, lloyd: int, places: Array
) -> Array:
    values = np.array(weights, dtype=float)
    if seeds is None or spread is not None or lloyd or places.shape[1] == 1:
        raise CaseError(
            "weights", None, "they belong to given seeds", "seeds, and neither spread nor lloyd nor columns"
        )
    if values.shape != (len(places),) or not np.all(np.isfinite(values)):
        raise CaseError("weights", str(values.shape), "not a weight for each seed", f"{len(places)} numbers in m^2")
    return values
