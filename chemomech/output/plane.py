"""The plane a figure shows: the body itself in 2D, a cut through it in 3D, with nodal values of two fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chemomech.case import Dislocation
from chemomech.output.nodes import layout, owned_cells
from chemomech.output.protocol import Snapshot
from chemomech.parallel import gather_rows
from chemomech.typing import Array, Longs


@dataclass(frozen=True)
class Core:
    """A dislocation as it is drawn: where it is, to which side its extra half plane points, how wide it is.

    Attributes:
        position: Where the line meets the plane of the figure, shape (2,), m.
        up: Direction of the extra half plane in the figure, shape (2,), unit length.
        width: Core width, m.
    """

    position: Array
    up: Array
    width: float


@dataclass(frozen=True)
class Body:
    """The whole mesh, with values, on rank 0; empty elsewhere.

    Attributes:
        points: Shape (nodes, 3), m. Nodes no cell uses are at the origin.
        cells: Shape (cells, dim + 1).
        concentration: Occupied fraction at the nodes, shape (nodes,).
        stress: Hydrostatic stress at the nodes, Pa: the mean of the cells around, weighted by volume.
    """

    points: Array
    cells: Longs
    concentration: Array
    stress: Array


@dataclass(frozen=True)
class Plane:
    """Triangles in the plane of the figure.

    Attributes:
        points: Shape (nodes, 2), m.
        triangles: Shape (triangles, 3).
        concentration: Occupied fraction, shape (nodes,).
        stress: Hydrostatic stress, Pa, shape (nodes,).
        cores: The dislocations seen end-on.
        axes: Names of the horizontal and vertical axis.
    """

    points: Array
    triangles: Longs
    concentration: Array
    stress: Array
    cores: tuple[Core, ...] = ()
    axes: tuple[str, str] = ("x", "y")


def gather_body(snapshot: Snapshot) -> Body:
    """Bring ``concentration`` and ``hydrostatic_stress`` to rank 0. Collective."""
    mesh, comm = snapshot.mesh, snapshot.comm
    cells = owned_cells(mesh)
    used = np.unique(cells)
    numbers = np.asarray(mesh.geometry.input_global_indices, np.int64)
    node_columns, cell_columns = [mesh.geometry.x[used] * snapshot.length], []
    places = []
    for name in ("concentration", "hydrostatic_stress"):
        function = snapshot.function(name)
        where = layout(function.function_space)
        values = where.values(function)
        places.append(where.place)
        if where.place == "nodes":
            node_columns.append(values[used])
        else:
            cell_columns.append(values[: len(cells)])
    index = gather_rows(comm, numbers[used])
    at_nodes = gather_rows(comm, np.column_stack(node_columns))
    order = np.argsort(gather_rows(comm, np.asarray(mesh.topology.original_cell_index[: len(cells)], np.int64)))
    corners = gather_rows(comm, numbers[cells])[order]
    at_cells = gather_rows(comm, np.column_stack([*cell_columns, np.empty((len(cells), 0))]))[order]
    dense = np.zeros((int(index.max(initial=-1)) + 1, at_nodes.shape[1]))
    dense[index] = at_nodes
    points, rest = dense[:, :3], [dense[:, i] for i in range(3, dense.shape[1])]
    averages = [nodal_average(points, corners, at_cells[:, i]) for i in range(at_cells.shape[1])]
    fields = [(rest if place == "nodes" else averages).pop(0) for place in places]
    return Body(points, corners, fields[0], fields[1])


def nodal_average(points: Array, cells: Longs, values: Array) -> Array:
    """Mean of the values of the cells around each node, weighted by their volume; shape (nodes,)."""
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    if edges.shape[1] == 2:
        volume = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    else:
        volume = np.abs(np.linalg.det(edges))
    flat, repeat = cells.ravel(), cells.shape[1]
    weight = np.bincount(flat, np.repeat(volume, repeat), minlength=len(points))
    total = np.bincount(flat, np.repeat(volume * values, repeat), minlength=len(points))
    return np.divide(total, weight, out=np.zeros(len(points)), where=weight > 0)


def plane_of(body: Body, dislocations: Sequence[Dislocation] = ()) -> Plane:
    """The plane to show: the body in 2D; in 3D a cut normal to the first line, through its point.

    Without dislocations, the cut in 3D is normal to z at half height. Rank 0 only.
    """
    if body.cells.shape[1] == 3:
        cores = tuple(_core(d, np.eye(3)[:2], np.zeros(3)) for d in dislocations)
        return Plane(body.points[:, :2], body.cells, body.concentration, body.stress, cores)
    used = body.points[np.unique(body.cells)]
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    line = np.array(dislocations[0].line, float) if dislocations else np.array([0.0, 0.0, 1.0])
    line /= np.linalg.norm(line)
    origin = middle
    if dislocations:  # of the points of the line, the one nearest to the middle of the body
        start = np.array(dislocations[0].position, float)
        origin = start + ((middle - start) @ line) * line
    frame, axes = _frame(line, dislocations)
    points, triangles, data = _cut(body, origin, line)
    parallel = [d for d in dislocations if np.linalg.norm(np.cross(_unit(d.line), line)) < 1e-6]
    cores = tuple(_core(d, frame, origin if axes == _TILTED else np.zeros(3)) for d in parallel)
    shift = origin if axes == _TILTED else np.zeros(3)
    return Plane((points - shift) @ frame.T, triangles, data[0], data[1], cores, axes)


_TILTED = ("along b", "slip-plane normal")


def _unit(vector: Sequence[float] | Array) -> Array:
    array = np.asarray(vector, float)
    return np.asarray(array / np.linalg.norm(array))


def _frame(line: Array, dislocations: Sequence[Dislocation]) -> tuple[Array, tuple[str, str]]:
    """Horizontal and vertical direction of the figure, shape (2, 3): coordinate axes where that can be."""
    axis = int(np.argmax(np.abs(line)))
    if abs(line[axis]) > 1 - 1e-9:
        first, second = (axis + 1) % 3, (axis + 2) % 3
        return np.eye(3)[[first, second]], ("xyz"[first], "xyz"[second])
    across = _unit(dislocations[0].burgers)
    across = _unit(across - (across @ line) * line)
    return np.array([across, np.cross(line, across)]), _TILTED


def _core(dislocation: Dislocation, frame: Array, origin: Array) -> Core:
    position, burgers = np.zeros(3), np.zeros(3)
    position[: len(dislocation.position)] = dislocation.position
    burgers[: len(dislocation.burgers)] = dislocation.burgers
    up = frame @ np.cross(_unit(dislocation.line), burgers)
    return Core(frame @ (position - origin), _unit(up), dislocation.core)


def _cut(body: Body, origin: Array, normal: Array) -> tuple[Array, Longs, tuple[Array, Array]]:
    """Cut tetrahedra with a plane: each gives one triangle, or a quadrilateral split in two.

    Returns:
        Points (n, 3), triangles (m, 3), and both fields at the points.
    """
    size = float(np.ptp(body.points, axis=0).max())
    height = (body.points - origin) @ normal / size
    height = np.where(np.abs(height) < 1e-9, 1e-9, height)  # no node lies in the plane itself
    above = height[body.cells] > 0
    count = above.sum(axis=1)
    edges: list[Longs] = []
    for many, pattern in ((1, ((0, 1), (0, 2), (0, 3))), (3, ((3, 0), (3, 1), (3, 2)))):
        cells, flags = body.cells[count == many], above[count == many]
        cells = np.take_along_axis(cells, np.argsort(~flags, axis=1, kind="stable"), axis=1)
        edges.append(cells[:, pattern])
    cells, flags = body.cells[count == 2], above[count == 2]
    cells = np.take_along_axis(cells, np.argsort(~flags, axis=1, kind="stable"), axis=1)
    for pattern in (((0, 2), (0, 3), (1, 3)), ((0, 2), (1, 3), (1, 2))):
        edges.append(cells[:, pattern])
    pairs = np.sort(np.concatenate(edges).reshape(-1, 2), axis=1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    low, high = unique[:, 0], unique[:, 1]
    part = height[low] / (height[low] - height[high])

    def between(values: Array) -> Array:
        ratio = part.reshape(-1, *([1] * (values.ndim - 1)))
        return np.asarray(values[low] * (1 - ratio) + values[high] * ratio)

    points, triangles = between(body.points), inverse.reshape(-1, 3).astype(np.int64)
    sides = points[np.roll(triangles, -1, axis=1)] - points[triangles]
    longest = (sides**2).sum(axis=2).max(axis=1)
    area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 2
    real = (area > 1e-5 * longest) & (longest > (1e-7 * size) ** 2)  # slivers would show as hairlines
    return points, triangles[real], (between(body.concentration), between(body.stress))
