"""Rectangles and boxes, uniform or graded towards dislocation cores, and gmsh files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from typing import Any

import numpy as np

from chemomech.case import Box, Case, MeshFile, Rectangle
from chemomech.defects.dislocations import Line, lines
from chemomech.errors import CaseError
from chemomech.meshing.arrays import MeshArrays, measures
from chemomech.typing import Array, Longs

RECTANGLE_NAMES = ("left", "right", "bottom", "top")
BOX_NAMES = ("left", "right", "bottom", "top", "back", "front")


def generate(case: Case) -> MeshArrays:
    """The mesh of a case; call on one rank only.

    Raises:
        CaseError: If a mesh file can't be read or lacks what the case names.
    """
    domain = case.domain
    if isinstance(domain, MeshFile):
        return _from_file(case, domain)
    size = case.resolved_mesh.size or max(domain.size)
    mesh = _structured(domain, size) if case.mesh.structured else _graded(case, domain, size)
    if isinstance(domain, Rectangle) and domain.rotation:
        angle = np.deg2rad(domain.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        center = np.array(domain.center)
        mesh.points[:, :2] = (mesh.points[:, :2] - center) @ turn.T + center
    return mesh


def _phase(case_material: str) -> dict[str, int]:
    return {case_material: 1}


def _structured(domain: Rectangle | Box, size: float) -> MeshArrays:
    """Equal right-angled cells: squares halved in turn along either diagonal, or cubes cut in six."""
    divisions = [max(1, round(length / size)) for length in domain.size]
    spans = zip(domain.center, domain.size, divisions, strict=True)
    axes = [c - 0.5 * s + s * np.arange(n + 1) / n for c, s, n in spans]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    points = np.zeros((len(grid), 3))
    points[:, : grid.shape[1]] = grid
    number = np.arange(len(grid)).reshape([n + 1 for n in divisions])
    if len(divisions) == 2:
        a, b, c, d = (s.ravel() for s in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
        i, j = np.indices(divisions)
        even = ((i + j) % 2 == 0).ravel()
        one = np.where(even[:, None], np.c_[a, b, c], np.c_[a, b, d])
        two = np.where(even[:, None], np.c_[a, c, d], np.c_[b, c, d])
        cells = np.concatenate([one, two])
    else:
        corner = np.stack(np.meshgrid(*[np.arange(n) for n in divisions], indexing="ij"), axis=-1).reshape(-1, 3)
        tetrahedra = []
        for path in permutations(range(3)):
            at = [corner]
            for axis in path:
                at.append(at[-1] + np.eye(3, dtype=int)[axis])
            tetrahedra.append(np.stack([number[tuple(p.T)] for p in at], axis=1))
        cells = np.concatenate(tetrahedra)
    return _with_sides(domain, points, cells)


def _with_sides(domain: Rectangle | Box, points: Array, cells: Longs) -> MeshArrays:
    """Tag the exterior facets by the side they lie on, and orient cells positively."""
    negative = measures(points, cells) < 0.0
    cells[negative] = cells[negative][:, [1, 0, *range(2, cells.shape[1])]]
    facets = _exterior(cells)
    names = RECTANGLE_NAMES if isinstance(domain, Rectangle) else BOX_NAMES
    middle = points[facets].mean(axis=1)
    tags = np.zeros(len(facets), dtype=np.int32)
    for axis, (center, size) in enumerate(zip(domain.center, domain.size, strict=True)):
        for side, sign in enumerate((-1.0, 1.0)):
            tags[np.abs(middle[:, axis] - (center + sign * 0.5 * size)) < 1e-9 * size] = 2 * axis + side + 1
    return MeshArrays(
        points=points,
        cells=cells.astype(np.int64),
        cell_tags=np.ones(len(cells), dtype=np.int32),
        facets=facets,
        facet_tags=tags,
        phases=_phase(domain.material),
        boundaries={name: k + 1 for k, name in enumerate(names)},
    )


def _exterior(cells: Longs) -> Longs:
    """Facets that belong to one cell only, shape (f, corners)."""
    k = cells.shape[1]
    facets = np.concatenate([np.delete(cells, i, axis=1) for i in range(k)])
    _, first, count = np.unique(np.sort(facets, axis=1), axis=0, return_index=True, return_counts=True)
    return np.asarray(facets[first[count == 1]], dtype=np.int64)


@contextmanager
def _gmsh(name: str) -> Iterator[Any]:
    import gmsh

    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)  # its errors are raised
        gmsh.option.setNumber("General.NumThreads", 1)  # the same mesh every time
        gmsh.model.add(name)
        yield gmsh
    finally:
        gmsh.finalize()


def _graded(case: Case, domain: Rectangle | Box, size: float) -> MeshArrays:
    unit = max(domain.size) / 100.0  # gmsh has absolute tolerances
    dimension = len(domain.size)
    with _gmsh("body") as gmsh:
        model = gmsh.model
        corner = [(c - 0.5 * s) / unit for c, s in zip(domain.center, domain.size, strict=True)]
        extent = [s / unit for s in domain.size]
        if dimension == 2:
            model.occ.addRectangle(*corner, 0.0, *extent)
        else:
            model.occ.addBox(*corner, *extent)
        fields = _core_fields(case, domain, model, size, unit)
        model.occ.synchronize()
        for option in ("ExtendFromBoundary", "FromPoints", "FromCurvature"):
            gmsh.option.setNumber("Mesh.MeshSize" + option, 0)
        gmsh.option.setNumber("Mesh.MeshSizeMax", size / unit)
        if fields:
            smallest = model.mesh.field.add("Min")
            model.mesh.field.setNumbers(smallest, "FieldsList", fields)
            model.mesh.field.setAsBackgroundMesh(smallest)
        model.addPhysicalGroup(dimension, [tag for _, tag in model.getEntities(dimension)], 1)
        gmsh.option.setNumber("Mesh.Algorithm", 6 if dimension == 2 else 5)
        model.mesh.generate(dimension)
        points, cells = _simplices(model, dimension)
    return _with_sides(domain, points * unit, cells)


def _core_fields(case: Case, domain: Rectangle | Box, model: Any, size: float, unit: float) -> list[int]:
    """Size fields that grow linearly away from the dislocation lines."""
    dimension = len(domain.size)
    reach = 2.0 * float(np.linalg.norm(domain.size))
    by_size: dict[tuple[float, float], tuple[list[int], list[int]]] = {}
    for dislocation, line in zip(case.dislocations, lines(case), strict=True):
        fine = case.resolved_mesh.core_size or dislocation.core
        points, curves = by_size.setdefault((fine, dislocation.core), ([], []))
        if dimension == 2:
            points.append(model.occ.addPoint(*(line.position / unit)))
        else:
            ends = [model.occ.addPoint(*((line.position + s * reach * line.frame[2]) / unit)) for s in (-1.0, 1.0)]
            curves.append(model.occ.addLine(*ends))
    fields = []
    for (fine, core), (points, curves) in by_size.items():
        distance = model.mesh.field.add("Distance")
        model.mesh.field.setNumbers(distance, "PointsList", points)
        model.mesh.field.setNumbers(distance, "CurvesList", curves)
        model.mesh.field.setNumber(distance, "Sampling", 1000)
        threshold = model.mesh.field.add("Threshold")
        near = 3.0 * core
        settings = {
            "InField": distance,
            "SizeMin": fine / unit,
            "SizeMax": size / unit,
            "DistMin": near / unit,
            "DistMax": (near + max(size - fine, 0.0) / case.mesh.growth) / unit,
        }
        for key, value in settings.items():
            model.mesh.field.setNumber(threshold, key, value)
        fields.append(threshold)
    for line in lines(case):
        if line.slip and dimension == 2:
            fields.append(_slipped_plane(model, line, reach, unit, size, case.mesh.growth))
    return fields


def _slipped_plane(model: Any, line: Line, reach: float, unit: float, size: float, growth: float) -> int:
    """A size field that resolves the strip over which the slip behind (or ahead of) a line is spread."""
    way = line.frame[0] if line.forward else -line.frame[0]
    ends = [model.occ.addPoint(*((line.position + s * way) / unit)) for s in (0.0, reach)]
    distance, threshold = model.mesh.field.add("Distance"), model.mesh.field.add("Threshold")
    model.mesh.field.setNumbers(distance, "CurvesList", [model.occ.addLine(*ends)])
    model.mesh.field.setNumber(distance, "Sampling", 2000)
    fine, near = min(size, 0.5 * line.core), 2.0 * line.core
    settings = {
        "InField": distance,
        "SizeMin": fine / unit,
        "SizeMax": size / unit,
        "DistMin": near / unit,
        "DistMax": (near + max(size - fine, 0.0) / growth) / unit,
    }
    for key, value in settings.items():
        model.mesh.field.setNumber(threshold, key, value)
    return int(threshold)


def _simplices(model: Any, dimension: int) -> tuple[Array, Longs]:
    """Nodes and top-dimensional simplices of a gmsh model, renumbered from zero."""
    tags, coordinates, _ = model.mesh.getNodes()
    kind = 2 if dimension == 2 else 4
    _, corners = model.mesh.getElementsByType(kind)
    used, cells = np.unique(np.asarray(corners, dtype=np.int64), return_inverse=True)
    place = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    place[tags.astype(np.int64)] = np.arange(len(tags))
    points = coordinates.reshape(-1, 3)[place[used]]
    return points, cells.reshape(-1, dimension + 1)


def _from_file(case: Case, domain: MeshFile) -> MeshArrays:
    with _gmsh("file") as gmsh:
        try:
            gmsh.merge(domain.path)
        except Exception as error:
            raise CaseError(
                "domain.path", domain.path, f"can't be read as a gmsh mesh ({error})", "a .msh file written by gmsh"
            ) from error
        return _named(case, domain, gmsh.model)


def _named(case: Case, domain: MeshFile, model: Any) -> MeshArrays:
    tags, coordinates, _ = model.mesh.getNodes()
    if len(tags) == 0:
        raise CaseError("domain.path", domain.path, "holds no mesh", "a .msh file with cells in named physical groups")
    dimension = model.getDimension()
    place = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    place[tags.astype(np.int64)] = np.arange(len(tags))
    phases: dict[str, int] = {}
    boundaries: dict[str, int] = {}
    cells, cell_tags, facets, facet_tags = [], [], [], []
    simplex = {1: 1, 2: 2, 3: 4}
    for dim, group in model.getPhysicalGroups():
        name = model.getPhysicalName(dim, group)
        corners = []
        for entity in model.getEntitiesForPhysicalGroup(dim, group):
            kinds, _, nodes = model.mesh.getElements(dim, entity)
            for kind, of_kind in zip(kinds, nodes, strict=True):
                if kind != simplex.get(dim, 15) and dim >= dimension - 1:
                    raise CaseError(
                        "domain.path", domain.path, f"the group '{name}' has elements that are not linear simplices",
                        "first-order triangles (2D) or tetrahedra (3D)",
                    )  # fmt: skip
                corners.append(place[of_kind.astype(np.int64)].reshape(-1, dim + 1))
        if not corners:
            continue
        block = np.concatenate(corners)
        if dim == dimension:
            material = domain.materials.get(name, name if name in case.materials else "")
            if not material and len(case.materials) == 1:
                material = next(iter(case.materials))
            if not material:
                raise CaseError(
                    "domain.materials", name, "this physical group of cells has no material",
                    f"a table of group names and materials ({', '.join(case.materials)})",
                )  # fmt: skip
            cells.append(block)
            cell_tags.append(np.full(len(block), phases.setdefault(material, len(phases) + 1), dtype=np.int32))
        elif dim == dimension - 1:
            facets.append(block)
            facet_tags.append(np.full(len(block), boundaries.setdefault(name, len(boundaries) + 1), dtype=np.int32))
    if not cells:
        raise CaseError("domain.path", domain.path, "no physical group of cells", "cells in named physical groups")
    missing = [name for name in case.boundaries if name not in boundaries and name != "outer"]
    if missing:
        raise CaseError(
            f"boundaries.{missing[0]}", missing[0], "the mesh has no boundary of this name",
            f"one of {', '.join(['outer', *boundaries])}",
        )  # fmt: skip
    all_cells = np.concatenate(cells)
    used, renumbered = np.unique(all_cells, return_inverse=True)
    new = np.full(len(tags), -1, dtype=np.int64)
    new[used] = np.arange(len(used))
    points = coordinates.reshape(-1, 3)[used] * domain.length_unit
    all_cells = renumbered.reshape(all_cells.shape)
    negative = measures(points, all_cells) < 0.0
    all_cells[negative] = all_cells[negative][:, [1, 0, *range(2, dimension + 1)]]
    return MeshArrays(
        points=points,
        cells=all_cells,
        cell_tags=np.concatenate(cell_tags),
        facets=new[np.concatenate(facets)] if facets else np.zeros((0, dimension), dtype=np.int64),
        facet_tags=np.concatenate(facet_tags) if facet_tags else np.zeros(0, dtype=np.int32),
        phases=phases,
        boundaries=boundaries,
    )
