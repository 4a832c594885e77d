"""The whole body on rank 0, split where phases meet, and the plane a figure shows: the body in 2D, a cut in 3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from chemomech.case import Dislocation
from chemomech.output.nodes import layout, owned_cells
from chemomech.output.protocol import Snapshot
from chemomech.parallel import gather_rows
from chemomech.typing import Array, Longs

type Placed = tuple[Literal["nodes", "cells", "corners"], Array]  # shape (nodes,), (cells,) or (cells, dim + 1)


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
        points: Shape (nodes, 3), m. A node where phases meet is there once for each of them, so that fields may
            jump; nodes no cell uses are at the origin, or left out.
        cells: Shape (cells, dim + 1).
        concentration: Occupied fraction at the nodes, shape (nodes,).
        stress: Hydrostatic stress at the nodes, Pa: the mean of the cells around of the same phase, weighted by volume.
        phases: Number of the phase of each cell, shape (cells,); all 1 in a body of one phase.
        origin: Which node of the mesh each node is, shape (nodes,); equal for those that were split.
        extra: Further scalar fields by name, one value per cell, shape (cells,).
    """

    points: Array
    cells: Longs
    concentration: Array
    stress: Array
    phases: Longs
    origin: Longs
    extra: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        points: Array,
        cells: Longs,
        concentration: Placed,
        stress: Placed,
        phases: Array | None,
        extra: Mapping[str, Array] | None = None,
    ) -> Body:
        """Put a body together.

        Args:
            points: Nodes of the mesh, m, shape (nodes, 3).
            cells: Shape (cells, dim + 1).
            concentration: Occupied fraction, with its place.
            stress: Hydrostatic stress, Pa, with its place.
            phases: Number of the phase of each cell; None for a body of one phase.
            extra: Further fields, one value per cell.
        """
        origin = np.arange(len(points), dtype=np.int64)
        number = np.ones(len(cells), np.int64)
        if phases is not None:
            number = np.rint(phases).astype(np.int64)
            corners = np.column_stack([cells.ravel(), np.repeat(number, cells.shape[1])])
            pairs, inverse = np.unique(corners, axis=0, return_inverse=True)
            origin, split = pairs[:, 0], inverse.reshape(cells.shape).astype(np.int64)
        else:
            split = cells
        at = points[origin]

        def nodal(placed: Placed) -> Array:
            place, values = placed
            return values[origin] if place == "nodes" else nodal_average(at, split, values)

        return cls(at, split, nodal(concentration), nodal(stress), number, origin, dict(extra or {}))

    def interfaces(self) -> Longs:
        """Facets between cells of different phases, each once, as nodes of one side, shape (facets, dim)."""
        corners = self.cells.shape[1]
        shared = np.bincount(self.origin, minlength=1)[self.origin] > 1
        faces = np.concatenate([np.delete(self.cells, k, axis=1) for k in range(corners)])
        faces = faces[shared[faces].all(axis=1)]
        _, first, both = np.unique(np.sort(self.origin[faces], axis=1), axis=0, return_index=True, return_inverse=True)
        nodes = np.sort(faces, axis=1)
        other = (nodes != nodes[first][both.reshape(-1)]).any(axis=1)  # the same nodes of the mesh, split between two
        return np.asarray(faces[other])


@dataclass(frozen=True)
class Plane:
    """Triangles in the plane of the figure.

    Attributes:
        points: Shape (nodes, 2), m; split where phases meet.
        triangles: Shape (triangles, 3).
        concentration: Occupied fraction, shape (nodes,).
        stress: Hydrostatic stress, Pa, shape (nodes,).
        cores: The dislocations seen end-on.
        axes: Names of the horizontal and vertical axis.
        seams: Ends of the line segments along which phases meet, m, shape (segments, 2, 2).
        extra: Further fields by name, shape (nodes,), averaged like the stress.
    """

    points: Array
    triangles: Longs
    concentration: Array
    stress: Array
    cores: tuple[Core, ...] = ()
    axes: tuple[str, str] = ("x", "y")
    seams: Array = field(default_factory=lambda: np.empty((0, 2, 2)))
    extra: Mapping[str, Array] = field(default_factory=dict)


def gather_body(snapshot: Snapshot, extra: Sequence[str] = (), *, by: str = "phase") -> Body:
    """Bring ``concentration``, ``hydrostatic_stress`` and what tells phases or grains apart to rank 0. Collective.

    Args:
        snapshot: The state.
        extra: Names of further fields, constant per cell; those the snapshot does not have are left out.
        by: The field whose values tell where the body is split, if there is one: ``phase``, or ``grain``.
    """
    mesh, comm = snapshot.mesh, snapshot.comm
    cells = owned_cells(mesh)
    used = np.unique(cells)
    numbers = np.asarray(mesh.geometry.input_global_indices, np.int64)
    further = [name for name in (by, *extra) if name in snapshot.field_names]
    node_columns, cell_columns = [mesh.geometry.x[used] * snapshot.length], [np.empty((len(cells), 0))]
    places = []
    for name in ("concentration", "hydrostatic_stress", *further):
        function = snapshot.function(name)
        where = layout(function.function_space)
        values = where.values(function)
        places.append(where.place)
        if where.place == "nodes":
            node_columns.append(values[used])
        else:
            cell_columns.append(values[: len(cells)].reshape(len(cells), -1))
    index = gather_rows(comm, numbers[used])
    at_nodes = gather_rows(comm, np.column_stack(node_columns))
    order = np.argsort(gather_rows(comm, np.asarray(mesh.topology.original_cell_index[: len(cells)], np.int64)))
    corners = gather_rows(comm, numbers[cells])[order]
    at_cells = gather_rows(comm, np.column_stack(cell_columns))[order]
    if comm.rank:
        none = np.zeros(0)
        return Body(np.zeros((0, 3)), corners, none, none, np.zeros(0, np.int64), np.zeros(0, np.int64))
    dense = np.zeros((int(index.max(initial=-1)) + 1, at_nodes.shape[1]))
    dense[index] = at_nodes
    points, columns, rest = dense[:, :3], list(dense.T[3:]), list(at_cells.T)
    fields: list[Placed] = []
    for place in places:
        if place == "corners":
            fields.append((place, np.column_stack([rest.pop(0) for _ in range(corners.shape[1])])))
        else:
            fields.append((place, (columns if place == "nodes" else rest).pop(0)))
    per_cell = {name: values for name, (_, values) in zip(further, fields[2:], strict=True)}
    return Body.of(points, corners, fields[0], fields[1], per_cell.pop(by, None), per_cell)


def nodal_average(points: Array, cells: Longs, values: Array) -> Array:
    """Mean of the values of the cells around each node, weighted by their volume; shape (nodes,).

    Args:
        points: Shape (nodes, 3).
        cells: Shape (cells, dim + 1).
        values: One per cell, shape (cells,), or one per corner, shape (cells, dim + 1).
    """
    volume = volumes(points, cells)
    flat, repeat = cells.ravel(), cells.shape[1]
    weight = np.bincount(flat, np.repeat(volume, repeat), minlength=len(points))
    parts = volume[:, None] * (values if values.ndim == 2 else values[:, None])
    total = np.bincount(flat, np.broadcast_to(parts, cells.shape).ravel(), minlength=len(points))
    return np.divide(total, weight, out=np.zeros(len(points)), where=weight > 0)


def volumes(points: Array, cells: Longs) -> Array:
    """Twice the areas of triangles, or six times the volumes of tetrahedra; shape (cells,)."""
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    if edges.shape[1] == 2:
        return np.asarray(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1))
    return np.asarray(np.abs(np.linalg.det(edges)))


def plane_of(body: Body, dislocations: Sequence[Dislocation] = ()) -> Plane:
    """The plane to show: the body in 2D; in 3D a cut normal to the first line, through its point.

    Without dislocations, the cut in 3D is normal to z at half height. Rank 0 only.
    """
    extra = {name: nodal_average(body.points, body.cells, values) for name, values in body.extra.items()}
    if body.cells.shape[1] == 3:
        cores = tuple(_core(d, np.eye(3)[:2], np.zeros(3)) for d in dislocations)
        seams = body.points[body.interfaces()][:, :, :2]
        return Plane(body.points[:, :2], body.cells, body.concentration, body.stress, cores, seams=seams, extra=extra)
    used = body.points[np.unique(body.cells)]
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    line = np.array(dislocations[0].line, float) if dislocations else np.array([0.0, 0.0, 1.0])
    line /= np.linalg.norm(line)
    origin = middle
    if dislocations:  # of the points of the line, the one nearest to the middle of the body
        start = np.array(dislocations[0].position, float)
        origin = start + ((middle - start) @ line) * line
    frame, axes = _frame(line, dislocations)
    points, triangles, data = _cut(body, origin, line, (body.concentration, body.stress, *extra.values()))
    seams = _cut_facets(body, origin, line)
    parallel = [d for d in dislocations if np.linalg.norm(np.cross(_unit(d.line), line)) < 1e-6]
    cores = tuple(_core(d, frame, origin if axes == _TILTED else np.zeros(3)) for d in parallel)
    shift = origin if axes == _TILTED else np.zeros(3)
    flat, seams = (points - shift) @ frame.T, (seams - shift) @ frame.T
    return Plane(flat, triangles, data[0], data[1], cores, axes, seams, dict(zip(extra, data[2:], strict=True)))


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


def _cut(body: Body, origin: Array, normal: Array, fields: Sequence[Array]) -> tuple[Array, Longs, list[Array]]:
    """Cut tetrahedra with a plane: each gives one triangle, or a quadrilateral split in two.

    Returns:
        Points (n, 3), triangles (m, 3), and the fields, given at the nodes, at the points.
    """
    size, height = _heights(body, origin, normal)
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
    return points, triangles[real], [between(values) for values in fields]


def _cut_facets(body: Body, origin: Array, normal: Array) -> Array:
    """Ends of the segments in which a plane meets the triangles between phases, shape (segments, 2, 3)."""
    facets = body.interfaces()
    _, height = _heights(body, origin, normal)
    above = height[facets] > 0
    cut = (above.sum(axis=1) % 3) > 0
    facets, above = facets[cut], above[cut]
    alone = above == (above.sum(axis=1) == 1)[:, None]  # the corner with the plane between it and the other two
    facets = np.take_along_axis(facets, np.argsort(~alone, axis=1, kind="stable"), axis=1)
    low, high = facets[:, :1], facets[:, 1:]
    part = (height[low] / (height[low] - height[high]))[:, :, None]
    return np.asarray(body.points[low] * (1 - part) + body.points[high] * part)


def _heights(body: Body, origin: Array, normal: Array) -> tuple[float, Array]:
    """Size of the body, m, and height of its nodes above a plane as a part of that; none lies in the plane itself."""
    size = float(np.ptp(body.points, axis=0).max())
    height = (body.points - origin) @ normal / size
    return size, np.where(np.abs(height) < 1e-9, 1e-9, height)
