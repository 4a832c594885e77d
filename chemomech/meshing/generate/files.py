"""Meshes read from gmsh files."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from chemomech.case import Case, MeshFile
from chemomech.case.parts import CHEMICAL
from chemomech.case.regions import AXES
from chemomech.errors import CaseError
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.generate.named import name_interfaces, orient, surfaces
from chemomech.meshing.generate.oriented import read_grains
from chemomech.meshing.generate.twins import find_twins, sides
from chemomech.meshing.session import session
from chemomech.typing import Array, Flags, Ints, Longs
from chemomech.units import pretty

_SIMPLEX = {1: 1, 2: 2, 3: 4}
_SAME = 1e-9  # of the body: nodes nearer than this lie at one place


def from_file(case: Case, domain: MeshFile) -> MeshArrays:
    """The mesh of a gmsh file.

    Raises:
        CaseError: If it can't be read, lacks what the case names, has gaps or overlaps, or does not close.
    """
    with session("file") as gmsh:
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
    entities: list[Ints] = []
    for dim, group in model.getPhysicalGroups():
        name = model.getPhysicalName(dim, group)
        block, of_entity = _block(domain, model, dimension, dim, group, place)
        if not len(block):
            continue
        if dim == dimension:
            material = _material(case, domain, name)
            cells.append(block)
            entities.append(of_entity)
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
    all_cells, all_tags = np.concatenate(cells), np.concatenate(cell_tags)
    used, renumbered = np.unique(all_cells, return_inverse=True)
    new = np.full(len(tags), -1, dtype=np.int64)
    new[used] = np.arange(len(used))
    points = coordinates.reshape(-1, 3)[used] * domain.length_unit
    all_cells = renumbered.reshape(all_cells.shape)
    _once(domain, model, dimension, points, all_cells)
    _conforming(domain, phases, dimension, points, all_cells, all_tags)
    orient(points, all_cells)
    named = new[np.concatenate(facets)] if facets else np.zeros((0, dimension), dtype=np.int64)
    named_tags = np.concatenate(facet_tags) if facet_tags else np.zeros(0, dtype=np.int32)
    exterior, between, pairs = surfaces(all_cells, all_tags)
    _closes(case, domain, dimension, points, exterior, {n: named[named_tags == t] for n, t in boundaries.items()})
    twins = find_twins(domain, points, all_cells, dimension)
    order = list(phases)
    materials = [order[tag - 1] for tag in all_tags.tolist()]
    cell_grain, orientations = read_grains(case, domain, np.concatenate(entities), points, all_cells, materials)
    without = ~_among(between, named)  # a facet has one name
    interface_tags = name_interfaces(phases, boundaries, pairs[without])
    return MeshArrays(
        points=points,
        cells=all_cells,
        cell_tags=all_tags,
        facets=np.concatenate([named, between[without]]),
        facet_tags=np.concatenate([named_tags, interface_tags]),
        phases=phases,
        boundaries=boundaries,
        twins=twins,
        cell_grain=cell_grain,
        orientations=orientations,
    )


def _block(domain: MeshFile, model: Any, dimension: int, dim: int, group: int, place: Longs) -> tuple[Longs, Ints]:
    """Corners of the elements of a physical group, and the entity each is in."""
    corners = [np.zeros((0, dim + 1), dtype=np.int64)]
    owner = [np.zeros(0, dtype=np.int32)]
    for entity in model.getEntitiesForPhysicalGroup(dim, group):
        kinds, _, nodes = model.mesh.getElements(dim, entity)
        for kind, of_kind in zip(kinds, nodes, strict=True):
            if kind != _SIMPLEX.get(dim, 15) and dim >= dimension - 1:
                name = model.getPhysicalName(dim, group)
                raise CaseError(
                    "domain.path", domain.path, f"the group '{name}' has elements that are not linear simplices",
                    "first-order triangles (2D) or tetrahedra (3D)",
                )  # fmt: skip
            corners.append(place[of_kind.astype(np.int64)].reshape(-1, dim + 1))
            owner.append(np.full(len(corners[-1]), entity, dtype=np.int32))
    return np.concatenate(corners), np.concatenate(owner)


def _material(case: Case, domain: MeshFile, name: str) -> str:
    material = domain.materials.get(name, name if name in case.materials else "")
    if not material and len(case.materials) == 1:
        material = next(iter(case.materials))
    if not material:
        raise CaseError(
            "domain.materials", name, "this physical group of cells has no material",
            f"a table of group names and materials ({', '.join(case.materials)})",
        )  # fmt: skip
    return material


def _once(domain: MeshFile, model: Any, dimension: int, points: Array, cells: Longs) -> None:
    """Every cell of the file belongs to exactly one group."""
    _, elements, _ = model.mesh.getElements(dimension)
    total = sum(len(tags) for tags in elements)
    key = np.sort(cells, axis=1)
    _, first, count = np.unique(key, axis=0, return_index=True, return_counts=True)
    if np.any(count > 1):
        twice = cells[first[count > 1][0]]
        raise CaseError(
            "domain.path", domain.path,
            f"{int(np.sum(count > 1))} cells are in two physical groups, one at {_place(points, twice, dimension)}: "
            "phases overlap",
            "every cell in one group",
        )  # fmt: skip
    if total > len(cells):
        raise CaseError(
            "domain.path", domain.path,
            f"{total - len(cells)} of {total} cells are in no physical group: they would leave a gap",
            "every cell in one group",
        )  # fmt: skip


def _place(points: Array, nodes: Longs, dimension: int) -> str:
    return f"({', '.join(pretty(float(x), 'm') for x in points[nodes].mean(axis=0)[:dimension])})"


def _conforming(
    domain: MeshFile, phases: dict[str, int], dimension: int, points: Array, cells: Longs, tags: Ints
) -> None:
    """Two phases that meet share their nodes."""
    if len(phases) < 2:
        return
    extent = float(np.linalg.norm(np.ptp(points, axis=0)))
    pairs = cKDTree(points).query_pairs(_SAME * extent, output_type="ndarray")
    has = np.zeros((len(points), len(phases) + 1), dtype=bool)
    for tag in phases.values():
        has[cells[tags == tag], tag] = True
    for one, two in pairs:
        both = {name for name, tag in phases.items() if has[one, tag] or has[two, tag]}
        if len(both) > 1:
            raise CaseError(
                "domain.path", domain.path,
                f"the phases {' and '.join(sorted(both))} have nodes of their own at one place, first at "
                f"{_place(points, np.array([one]), dimension)}: a gap runs between them",
                "a conforming mesh, in which phases share the nodes where they meet (BooleanFragments in gmsh)",
            )  # fmt: skip


def _closes(
    case: Case, domain: MeshFile, dimension: int, points: Array, exterior: Longs, groups: dict[str, Longs]
) -> None:
    """Periodic and mirrored sides are flat, and nothing holds on them that can't."""
    for kind in ("periodic", "mirror"):
        for name in getattr(domain, kind):
            axis = AXES[name]
            if axis >= dimension:
                raise CaseError(f"domain.{kind}", [name], f"the mesh has no axis {name}, being 2D", "['x']")
            for on_side in sides(points, axis):
                if not np.any(np.all(on_side[exterior], axis=1)):
                    raise CaseError(
                        "domain.path", domain.path, f"no face of the mesh lies in a side of the {kind} axis {name}",
                        f"a body whose ends along {name} are flat",
                    )  # fmt: skip
                for group, boundary in case.boundaries.items():
                    given = [field for field in boundary.given if kind == "periodic" or field not in CHEMICAL]
                    if group in groups and given and np.any(np.all(on_side[groups[group]], axis=1)):
                        raise CaseError(
                            f"boundaries.{group}.{given[0]}", None,
                            f"'{group}' lies on a {'side' if kind == 'periodic' else 'mirror plane'} of the {kind} "
                            f"axis {name}, where no such condition can hold",
                            "conditions on the other boundaries",
                        )  # fmt: skip


def _among(facets: Longs, others: Longs) -> Flags:
    """Which facets are among the others, whatever the order of their corners."""
    both = np.sort(np.concatenate([facets, others]), axis=1)
    _, number = np.unique(both, axis=0, return_inverse=True)
    number = number.ravel()
    return np.asarray(np.isin(number[: len(facets)], number[len(facets) :]))
