"""Unstructured meshes of layers and inclusions, fine where the case asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from chemomech.case import Box, Case, Rectangle
from chemomech.case.regions import AXES, interfaces, spans
from chemomech.errors import CaseError
from chemomech.meshing.generate.fields import nodal_field, size_fields
from chemomech.meshing.generate.named import phase_tags
from chemomech.meshing.session import session
from chemomech.meshing.sizing import Sizes
from chemomech.typing import Array, Ints, Longs


def graded(case: Case, domain: Rectangle | Box, size: float, sizes: Sizes | None = None) -> tuple[Array, Longs, Ints]:
    """The mesh of a body before any rotation; periodic sides match.

    Args:
        case: The case.
        domain: Its body.
        size: Size far from cores and interfaces, m.
        sizes: Sizes to take instead of those that grow away from cores and interfaces, in the unturned body.

    Returns:
        Points (n, 3), cells and the phase tag of each cell.
    """
    unit = max(domain.size) / 100.0  # gmsh has absolute tolerances
    dimension = len(domain.size)
    with session("body") as gmsh:
        model = gmsh.model
        tag_of = _shapes(domain, model, unit)
        fields = size_fields(case, domain, model, size, unit) if sizes is None else [nodal_field(gmsh, sizes, unit)]
        model.occ.synchronize()
        if dimension == 3:
            # Curves that only carry a size field need no nodes.
            own = {tag for _, tag in model.getBoundary(model.getEntities(2), combined=False)}
            model.setVisibility([(1, tag) for _, tag in model.getEntities(1) if tag not in own], 0)
            gmsh.option.setNumber("Mesh.MeshOnlyVisible", 1)
        for name in domain.periodic:
            _match_sides(domain, AXES[name], model, unit)
        for option in ("ExtendFromBoundary", "FromPoints", "FromCurvature"):
            gmsh.option.setNumber("Mesh.MeshSize" + option, 0)
        gmsh.option.setNumber("Mesh.MeshSizeMax", size / unit)
        if fields:
            smallest = model.mesh.field.add("Min")
            model.mesh.field.setNumbers(smallest, "FieldsList", fields)
            model.mesh.field.setAsBackgroundMesh(smallest)
        gmsh.option.setNumber("Mesh.Algorithm", 6 if dimension == 2 else 5)
        try:
            model.mesh.generate(dimension)
        except Exception as error:
            raise CaseError("mesh", None, f"gmsh made no mesh ({error})", "other sizes") from error
        points, cells, cell_tags = _simplices(model, dimension, tag_of)
    points = points * unit
    _flatten(domain, points)
    return points, cells, cell_tags


def _shapes(domain: Rectangle | Box, model: Any, unit: float) -> dict[int, int]:
    """Add the layers and inclusions of a body, with common faces; surface or volume -> phase tag."""
    dimension = len(domain.size)
    phases = phase_tags(domain)
    low = [(c - 0.5 * s) / unit for c, s in zip(domain.center, domain.size, strict=True)]
    extent = [s / unit for s in domain.size]
    parts, materials = [], []
    for bottom, top, material in spans(domain):
        low[1], extent[1] = bottom / unit, (top - bottom) / unit
        tag = model.occ.addRectangle(*low, 0.0, *extent) if dimension == 2 else model.occ.addBox(*low, *extent)
        parts.append((dimension, tag))
        materials.append(material)
    for inclusion in domain.inclusions:
        center, radius = [c / unit for c in inclusion.center], inclusion.radius / unit
        if dimension == 2:
            tag = model.occ.addDisk(*center, 0.0, radius, radius)
        else:
            tag = model.occ.addSphere(*center, radius)
        parts.append((dimension, tag))
        materials.append(inclusion.material)
    pieces = [[part] for part in parts]
    if len(parts) > 1:
        _, pieces = model.occ.fragment(parts[:1], parts[1:])
    # Inclusions come last and take their piece away from the layer around them.
    return {tag: phases[material] for found, material in zip(pieces, materials, strict=True) for _, tag in found}


def _match_sides(domain: Rectangle | Box, axis: int, model: Any, unit: float) -> None:
    """Make gmsh copy the mesh of the side of smaller coordinates to the other one."""
    dimension = len(domain.size)
    period = domain.size[axis] / unit
    low = domain.center[axis] / unit - 0.5 * period
    faces = model.getBoundary(model.getEntities(dimension), combined=False, oriented=False)
    middles = {tag: np.array(model.occ.getCenterOfMass(dimension - 1, tag)) for tag in {tag for _, tag in faces}}
    move = np.zeros(3)
    move[axis] = period
    near = 1e-6 * period
    pairs = [
        (b, a)
        for a, at in sorted(middles.items())
        for b, there in sorted(middles.items())
        if abs(at[axis] - low) < near and np.linalg.norm(at + move - there) < near
    ]
    affine = np.eye(4)
    affine[:3, 3] = move
    model.mesh.setPeriodic(dimension - 1, [b for b, _ in pairs], [a for _, a in pairs], affine.ravel().tolist())


def _simplices(model: Any, dimension: int, tag_of: dict[int, int]) -> tuple[Array, Longs, Ints]:
    """Nodes, top-dimensional simplices renumbered from zero, and their phase tags."""
    tags, coordinates, _ = model.mesh.getNodes()
    kind = 2 if dimension == 2 else 4
    corners, cell_tags = [], []
    for _, entity in model.getEntities(dimension):
        _, nodes = model.mesh.getElementsByType(kind, entity)
        corners.append(np.asarray(nodes, dtype=np.int64))
        cell_tags.append(np.full(len(nodes) // (dimension + 1), tag_of[entity], dtype=np.int32))
    used, cells = np.unique(np.concatenate(corners), return_inverse=True)
    place = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    place[tags.astype(np.int64)] = np.arange(len(tags))
    points = coordinates.reshape(-1, 3)[place[used]]
    return points, cells.reshape(-1, dimension + 1).astype(np.int64), np.concatenate(cell_tags)


def _flatten(domain: Rectangle | Box, points: Array) -> None:
    """Put the nodes on sides and flat interfaces exactly where these are."""
    for axis, (center, size) in enumerate(zip(domain.center, domain.size, strict=True)):
        heights = [center - 0.5 * size, center + 0.5 * size]
        heights += [i.height for i in interfaces(domain)] if axis == 1 else []
        for height in heights:
            points[np.abs(points[:, axis] - height) < 1e-9 * size, axis] = height
