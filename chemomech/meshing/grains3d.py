"""Tetrahedra inside the grains of a body: edges first, then faces, then one grain after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chemomech.meshing.grains2d import Filling, GrainError, Progress, Region, fill, keep_nodes
from chemomech.meshing.outline import outline
from chemomech.meshing.session import session
from chemomech.typing import Array, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.solid import CellComplex


def fill_solid(
    body: CellComplex, size: float, boundary_size: float, growth: float, progress: Progress | None = None
) -> Filling:
    """Tetrahedra in all grains of a body with plane faces.

    Args:
        body: The grains.
        size: Longest edge inside grains, m.
        boundary_size: Longest edge on faces, m.
        growth: Growth of edges per length.
        progress: Called with the number of faces or grains done, their total, and a word.

    Raises:
        GrainError: If gmsh does not mesh a grain or a face of it.
    """
    edges, faces = _frame(body)
    cut = outline(body.points, edges, boundary_size, growth)
    try:
        skin = fill(cut.points, cut.lines, faces, boundary_size, growth, progress, "faces")
    except GrainError as error:
        raise GrainError(int(body.left[error.grain]), f"face {error.grain}: {error.why}") from error
    low, high = body.points.min(axis=0), body.points.max(axis=0)
    for axis in range(3):  # what lies on the sides of a box lies there exactly
        for side in (low[axis], high[axis]):
            skin.points[np.abs(skin.points[:, axis] - side) < 1e-9 * float((high - low).max()), axis] = side
    return _solid(body, skin, size, growth, progress)


def _frame(body: CellComplex) -> tuple[list[Longs], list[Region]]:
    """The edges of all faces, each once, and the faces as loops of them."""
    counts = np.array([len(face) for face in body.faces])
    start = np.concatenate(body.faces)
    end = np.concatenate([np.roll(face, -1) for face in body.faces])
    both = np.sort(np.stack([start, end], axis=1), axis=1)
    edges, number = np.unique(both, axis=0, return_inverse=True)
    ways = list(zip(number.ravel().tolist(), (start < end).tolist(), strict=True))
    stops = np.cumsum(counts).tolist()
    loops = [tuple(ways[stop - count : stop]) for stop, count in zip(stops, counts.tolist(), strict=True)]
    return list(edges.astype(np.int64)), [Region(k, (loop,)) for k, loop in enumerate(loops)]


def _solid(body: CellComplex, skin: Filling, size: float, growth: float, progress: Progress | None) -> Filling:
    grains = np.unique(np.concatenate([body.left, body.right]))
    grains = grains[grains >= 0]
    sides = np.concatenate([body.left[skin.grains], body.right[skin.grains]])
    order = np.argsort(sides, kind="stable")
    bounds = np.searchsorted(sides[order], [grains, grains + 1])
    made, cells, owner, total = [skin.points], [], [], len(skin.points)
    with session("solid") as gmsh:
        keep_nodes(gmsh)
        for done, (grain, first, last) in enumerate(zip(grains.tolist(), *bounds.tolist(), strict=True), 1):
            shell = skin.cells[order[first:last] % len(skin.cells)]
            try:
                new, corners = _grain(gmsh, skin.points, shell, size, growth)
            except Exception as error:  # gmsh has one kind of error only
                raise GrainError(grain, str(error)) from error
            corners[corners >= len(skin.points)] += total - len(skin.points)
            made.append(new)
            total += len(new)
            cells.append(corners)
            owner.append(np.full(len(corners), grain, dtype=np.int64))
            if progress is not None:
                progress(done, len(grains), "grains")
    return Filling(np.concatenate(made), np.concatenate(cells), np.concatenate(owner))


def _grain(gmsh: Any, points: Array, shell: Longs, size: float, growth: float) -> tuple[Array, Longs]:
    """New points and tetrahedra, new points numbered from ``len(points)``, inside a closed surface."""
    gmsh.clear()
    model = gmsh.model
    nodes, local = np.unique(shell, return_inverse=True)
    at = points[nodes]
    low, unit = at.min(axis=0), float(np.ptp(at, axis=0).max()) / 10.0  # gmsh has absolute tolerances
    model.addDiscreteEntity(2, 1)
    model.mesh.addNodes(2, 1, np.arange(1, len(nodes) + 1), ((at - low) / unit).ravel())
    model.mesh.addElementsByType(1, 2, [], local.ravel() + 1)
    model.geo.addSurfaceLoop([1], 1)
    model.geo.addVolume([1], 1)
    model.geo.synchronize()
    field = model.mesh.field
    extend = field.add("Extend")
    field.setNumbers(extend, "SurfacesList", [1])
    for option, value in (("DistMax", size / unit / growth), ("SizeMax", size / unit), ("Power", 1.0)):
        field.setNumber(extend, option, value)
    field.setAsBackgroundMesh(extend)
    model.mesh.generate(3)
    tags, places, _ = model.mesh.getNodes()
    tags, places = tags.astype(np.int64), places.reshape(-1, 3)
    fresh = tags > len(nodes)
    number = np.full(int(tags.max()) + 1, -1, dtype=np.int64)
    number[1 : len(nodes) + 1] = nodes
    number[tags[fresh]] = len(points) + np.arange(int(fresh.sum()))
    _, found = model.mesh.getElementsByType(4, 1)
    if not len(found):
        raise RuntimeError("no tetrahedra")
    return places[fresh] * unit + low, number[found.astype(np.int64)].reshape(-1, 4)
