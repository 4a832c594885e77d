"""Triangles inside flat pieces, the grains of a section or faces in space, on edges that are already there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from chemomech.errors import ChemomechError
from chemomech.meshing.session import session
from chemomech.typing import Array, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.planar import PlanarMap

type Progress = Callable[[int, int, str], None]
type Loops = tuple[tuple[tuple[int, bool], ...], ...]  # lines, and whether they are walked forwards

_BATCH = 64  # grains that gmsh meshes at a time


class GrainError(ChemomechError):
    """A grain that can't be meshed.

    Args:
        grain: Its number.
        why: What the mesh generator said.
    """

    def __init__(self, grain: int, why: str) -> None:
        self.grain, self.why = grain, why
        super().__init__(f"grain {grain} can't be meshed: {why}")


@dataclass(frozen=True)
class Region:
    """A connected piece of a grain: its number, and the loops around it with the piece on the left, the outer first."""

    grain: int
    loops: Loops


@dataclass(frozen=True)
class Filling:
    """Cells with their grain, on old points and new ones.

    Attributes:
        points: Points that were there, and new ones after them, m, shape (n, d).
        cells: Shape (m, d + 1).
        grains: Shape (m,).
    """

    points: Array
    cells: Longs
    grains: Longs


def regions(section: PlanarMap) -> list[Region]:
    """The connected pieces of all grains, in the order of the grains.

    Raises:
        ValueError: If a hole lies in no grain.
    """
    found = []
    for grain in section.grains.tolist():
        loops = [[(chain, way > 0) for chain, way in loop] for loop in section.loops(grain)]
        found += [Region(grain, piece) for piece in _pieces(section.points, section.chains, loops)]
    return found


def nodes_of(lines: Sequence[Longs], loop: Sequence[tuple[int, bool]]) -> Longs:
    """Node numbers round a loop, each once."""
    return np.concatenate([lines[k][:-1] if forward else lines[k][:0:-1] for k, forward in loop])


def _pieces(points: Array, lines: Sequence[Longs], loops: Sequence[Sequence[tuple[int, bool]]]) -> Iterator[Loops]:
    """Outer loops with the holes inside them."""
    closed = tuple(tuple(loop) for loop in loops)
    rings = [points[nodes_of(lines, loop)] for loop in closed]
    areas = [_ring_area(ring) for ring in rings]
    outer = [k for k, area in enumerate(areas) if area > 0]
    holes: dict[int, list[tuple[tuple[int, bool], ...]]] = {k: [] for k in outer}
    for k, area in enumerate(areas):
        if area > 0:
            continue
        around = [o for o in outer if areas[o] > -area and (len(outer) == 1 or _inside(rings[k], rings[o]))]
        if not around:
            raise ValueError("a hole lies in no grain")
        holes[min(around, key=areas.__getitem__)].append(closed[k])
    for k in outer:
        yield (closed[k], *holes[k])


def _ring_area(ring: Array) -> float:
    x, y = (ring - ring[0]).T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def _inside(ring: Array, outer: Array) -> bool:
    """Whether most of the middles of a ring's edges lie inside another ring, which it may touch."""
    middle = 0.5 * (ring + np.roll(ring, -1, axis=0))
    a, b = outer, np.roll(outer, -1, axis=0)
    above = (a[:, 1] > middle[:, None, 1]) != (b[:, 1] > middle[:, None, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        cut = a[:, 0] + (middle[:, None, 1] - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    inside = np.sum(above & (middle[:, None, 0] < cut), axis=1) % 2 == 1
    return bool(np.mean(inside) > 0.5)


def fill(
    points: Array,
    lines: Sequence[Longs],
    pieces: Sequence[Region],
    size: float,
    growth: float,
    progress: Progress | None = None,
    text: str = "grains",
) -> Filling:
    """Triangles in all pieces; the nodes of the lines are kept, and edges grow inwards.

    Args:
        points: Nodes, m, shape (n, 2 or 3).
        lines: Node numbers along each line.
        pieces: What to fill; all flat.
        size: Longest edge inside, m.
        growth: Growth of edges per length.
        progress: Called with the number of pieces done, their total, and a word.
        text: This word.

    Raises:
        GrainError: If gmsh does not mesh a grain.
    """
    lines, pieces = _opened(lines, pieces)
    made, cells, grains, total = [points], [], [], len(points)
    with session("grains") as gmsh:
        keep_nodes(gmsh)
        for begin in range(0, len(pieces), _BATCH):
            batch = pieces[begin : begin + _BATCH]
            try:
                results = [_batch(gmsh, points, lines, batch, size, growth)]
            except Exception:  # gmsh has one kind of error only; find the grain that causes it
                results = [_single(gmsh, points, lines, piece, size, growth) for piece in batch]
            for new, corners, owner in results:
                corners[corners >= len(points)] += total - len(points)
                made.append(new)
                total += len(new)
                cells.append(corners)
                grains.append(owner)
            if progress is not None:
                progress(min(begin + _BATCH, len(pieces)), len(pieces), text)
    return Filling(np.concatenate(made), np.concatenate(cells), np.concatenate(grains))


def _opened(lines: Sequence[Longs], pieces: Sequence[Region]) -> tuple[list[Longs], list[Region]]:
    """Lines cut where they touch others, and closed ones in three.

    To gmsh a node is inside one curve only, and it finds the plane of a surface from the ends of curves.
    """
    cut = list(lines)
    parts: dict[int, tuple[int, ...]] = {}
    everywhere = np.concatenate([line[:-1] if line[0] == line[-1] else line for line in lines])
    shared = np.bincount(everywhere) > 1
    for k, line in enumerate(lines):
        at = np.flatnonzero(shared[line[1:-1]]) + 1
        if line[0] == line[-1] and len(at) < 2:
            at = np.union1d(at, [len(line) // 3, 2 * len(line) // 3])
        if len(at):
            stops = [0, *at.tolist(), len(line) - 1]
            new = [line[i : j + 1] for i, j in pairwise(stops)]
            cut[k] = new[0]
            parts[k] = (k, *range(len(cut), len(cut) + len(new) - 1))
            cut += new[1:]
    if not parts:
        return cut, list(pieces)

    def replaced(loop: tuple[tuple[int, bool], ...]) -> tuple[tuple[int, bool], ...]:
        spread: list[tuple[int, bool]] = []
        for k, ahead in loop:
            numbers = parts.get(k, (k,))
            spread += [(number, ahead) for number in (numbers if ahead else numbers[::-1])]
        return tuple(spread)

    return cut, [Region(piece.grain, tuple(replaced(loop) for loop in piece.loops)) for piece in pieces]


def keep_nodes(gmsh: Any) -> None:
    """Options of a session: sizes come from a field only, and nodes keep their numbers."""
    for option in ("ExtendFromBoundary", "FromPoints", "FromCurvature"):
        gmsh.option.setNumber("Mesh.MeshSize" + option, 0)
    gmsh.option.setNumber("Mesh.Renumber", 0)  # it would start with points and go on with curves
    gmsh.option.setNumber("Mesh.Algorithm", 6)
    gmsh.option.setNumber("Mesh.Algorithm3D", 1)
    gmsh.option.setNumber("Mesh.OptimizeThreshold", 0.5)


def _single(
    gmsh: Any, points: Array, lines: Sequence[Longs], piece: Region, size: float, growth: float
) -> tuple[Array, Longs, Longs]:
    try:
        return _batch(gmsh, points, lines, [piece], size, growth)
    except Exception as error:
        raise GrainError(piece.grain, str(error)) from error


def _batch(
    gmsh: Any, points: Array, lines: Sequence[Longs], batch: Sequence[Region], size: float, growth: float
) -> tuple[Array, Longs, Longs]:
    """New points, cells (new points numbered from ``len(points)``) and grains of some pieces."""
    gmsh.clear()
    model = gmsh.model
    used = sorted({k for piece in batch for loop in piece.loops for k, _ in loop})
    nodes, coordinates, unit = add_lines(model, points, lines, used)
    curve = {k: i + 1 for i, k in enumerate(used)}
    count = 0
    for tag, piece in enumerate(batch, 1):
        wires = []
        for loop in piece.loops:
            count += 1
            wires.append(model.geo.addCurveLoop([curve[k] if ahead else -curve[k] for k, ahead in loop], count))
        model.geo.addPlaneSurface(wires, tag)
    model.geo.synchronize()
    grow(model, list(curve.values()), size / unit, growth)
    model.mesh.generate(2)
    return _triangles(model, points, nodes, coordinates, unit, batch)


def add_lines(model: Any, points: Array, lines: Sequence[Longs], used: Sequence[int]) -> tuple[Longs, Array, float]:
    """Give gmsh lines with their nodes as they are.

    Returns:
        The nodes they have, in gmsh from 1 in this order; their coordinates in gmsh; and metres per unit there.
    """
    nodes = np.unique(np.concatenate([lines[k] for k in used]))
    at = points[nodes]
    low, unit = at.min(axis=0), float(np.ptp(at, axis=0).max()) / 10.0  # gmsh has absolute tolerances
    coordinates = np.zeros((len(nodes), 3))
    coordinates[:, : points.shape[1]] = (at - low) / unit
    ends = np.unique(np.searchsorted(nodes, [(lines[k][0], lines[k][-1]) for k in used])) + 1
    for end in ends.tolist():
        model.addDiscreteEntity(0, end)
        model.mesh.addNodes(0, end, [end], coordinates[end - 1])
        model.mesh.addElementsByType(end, 15, [], [end])
    for tag, k in enumerate(used, 1):
        chain = np.searchsorted(nodes, lines[k]) + 1
        model.addDiscreteEntity(1, tag, [int(chain[0]), int(chain[-1])])
        if len(chain) > 2:
            model.mesh.addNodes(1, tag, chain[1:-1], coordinates[chain[1:-1] - 1].ravel())
        model.mesh.addElementsByType(tag, 1, [], np.stack([chain[:-1], chain[1:]], axis=1).ravel())
    return nodes, coordinates, unit


def grow(model: Any, curves: Sequence[int], size: float, growth: float) -> None:
    """Let sizes grow from those on curves to ``size``, in gmsh's unit."""
    field = model.mesh.field
    extend = field.add("Extend")
    field.setNumbers(extend, "CurvesList", list(curves))
    for option, value in (("DistMax", size / growth), ("SizeMax", size), ("Power", 1.0)):
        field.setNumber(extend, option, value)
    field.setAsBackgroundMesh(extend)


def _triangles(
    model: Any, points: Array, nodes: Longs, coordinates: Array, unit: float, batch: Sequence[Region]
) -> tuple[Array, Longs, Longs]:
    tags, places, _ = model.mesh.getNodes()
    tags, places = tags.astype(np.int64), places.reshape(-1, 3)
    fresh = tags > len(nodes)
    number = np.full(int(tags.max()) + 1, -1, dtype=np.int64)
    number[1 : len(nodes) + 1] = nodes
    number[tags[fresh]] = len(points) + np.arange(int(fresh.sum()))
    corners, owner = [], []
    for tag, piece in enumerate(batch, 1):
        _, found = model.mesh.getElementsByType(2, tag)
        if not len(found):
            raise RuntimeError("no triangles")
        corners.append(number[found.astype(np.int64)].reshape(-1, 3))
        owner.append(np.full(len(corners[-1]), piece.grain, dtype=np.int64))
    new = places[fresh][:, : points.shape[1]] * unit + points[nodes].min(axis=0)
    return new, np.concatenate(corners), np.concatenate(owner)
