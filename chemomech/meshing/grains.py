"""Conforming meshes of microstructures: cells know their grain, facets between two grains the boundary they are on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean
from chemomech.meshing.arrays import GRAIN_MARK, MeshArrays, interface_name, measures, table_of
from chemomech.meshing.grains2d import GrainError, Progress
from chemomech.meshing.grains3d import fill_solid
from chemomech.meshing.layers import Layers
from chemomech.meshing.quality import Quality, quality
from chemomech.meshing.section import fill_section
from chemomech.typing import Array, Ints, Longs

if TYPE_CHECKING:
    from chemomech.microstructure.structure import Microstructure

__all__ = ["SIDES", "UNKNOWN", "By", "GrainMesh", "Layers", "Progress", "grain_facets", "mesh_grains", "oriented"]

SIDES: Final = ("left", "right", "bottom", "top", "back", "front", "free")
"""Outer sides: those of the box around the body, and what lies on none of them."""
UNKNOWN: Final = "unknown"
"""Name of the phase of grains whose phase is not known."""
_NEAR = 1e-9  # of the body: a facet nearer than this to a side of the box lies on it

By = Literal["phase", "grain", "class"]


@dataclass(frozen=True, eq=False)
class GrainMesh:
    """Simplices that respect every grain of a microstructure.

    Attributes:
        points: Coordinates, m, shape (n, 3).
        cells: Corner numbers, positively oriented, shape (m, 3) or (m, 4).
        cell_grain: Grain of each cell, shape (m,).
        facets: Corner numbers of all facets between two grains and of all outer ones, shape (f, 2) or (f, 3).
        facet_boundary: Number of the boundary of each facet in ``structure.pairs``, or -1 - k on the outer side
            ``SIDES[k]``, shape (f,).
        structure: What was meshed.
    """

    points: Array
    cells: Longs
    cell_grain: Longs
    facets: Longs
    facet_boundary: Longs
    structure: Microstructure

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return int(self.cells.shape[1]) - 1

    @classmethod
    def of_cells(cls, points: Array, cells: Longs, cell_grain: Longs, structure: Microstructure) -> GrainMesh:
        """The mesh with the facets that its cells and their grains imply.

        Args:
            points: Shape (n, 2 or 3), m.
            cells: Shape (m, d + 1); turned where they are not positively oriented.
            cell_grain: Shape (m,).
            structure: Its grains and boundaries.

        Raises:
            ValueError: If two grains touch that are no pair of the structure, or a cell has no size.
        """
        d = cells.shape[1] - 1
        places = np.zeros((len(points), 3))
        places[:, : points.shape[1]] = points
        turned = oriented(places, cells)
        facets, sides = grain_facets(turned, cell_grain)
        outer = sides[:, 1] < 0
        boundary = np.empty(len(facets), dtype=np.int64)
        pairs = np.sort(sides[~outer], axis=1)
        boundary[~outer] = _pair_numbers(structure.pairs, pairs, len(structure.grain_phase))
        boundary[outer] = -1 - _side_numbers(places, facets[outer], d)
        return cls(places, turned, np.asarray(cell_grain, dtype=np.int64), facets, boundary, structure)

    def to_arrays(self, by: By = "phase") -> MeshArrays:
        """The mesh with names, for physics and files.

        Args:
            by: ``phase`` tags cells by phase, boundaries between two phases as ``lower|upper`` and all others by their
                class. ``class`` does the same and gives phase boundaries their class too. ``grain`` tags cells as
                ``grain-3`` and boundaries as ``grain-3|grain-17``.

        Raises:
            CaseError: If ``by`` is something else.
        """
        if by not in ("phase", "grain", "class"):
            raise CaseError("by", by, f"unknown way to tag{did_you_mean(str(by), ['phase', 'grain', 'class'])}",
                            "'phase', 'grain' or 'class'")  # fmt: skip
        sides = [k for k in range(len(SIDES)) if k < 2 * self.dimension or np.any(self.facet_boundary == -1 - k)]
        boundaries = {SIDES[k]: i for i, k in enumerate(sides, 1)}
        tag_of_side = np.zeros(len(SIDES), dtype=np.int32)
        tag_of_side[sides] = np.arange(1, len(sides) + 1)
        phases, of_grain = self._cell_names(by)
        names = self.structure.names if by == "grain" else self._class_names(by, phases)
        for name in dict.fromkeys(names):
            boundaries[name] = len(boundaries) + 1
        tag_of_pair = np.array([boundaries[name] for name in names], dtype=np.int32)
        tags = np.empty(len(self.facets), dtype=np.int32)
        outer = self.facet_boundary < 0
        tags[outer] = tag_of_side[-1 - self.facet_boundary[outer]]
        tags[~outer] = tag_of_pair[self.facet_boundary[~outer]]
        return MeshArrays(
            points=self.points,
            cells=self.cells,
            cell_tags=of_grain[self.cell_grain],
            facets=self.facets,
            facet_tags=tags,
            phases=phases,
            boundaries=boundaries,
            cell_grain=self.cell_grain,
            orientations=self.structure.orientations,
        )

    def _cell_names(self, by: By) -> tuple[dict[str, int], Ints]:
        """Names of cell tags, and the tag of each grain."""
        phase = self.structure.grain_phase
        if by == "grain":
            return {f"grain-{k}": k + 1 for k in range(len(phase))}, np.arange(1, len(phase) + 1, dtype=np.int32)
        names = [*self.structure.phases, *([UNKNOWN] if np.any(phase < 0) else [])]
        tags = np.where(phase < 0, len(names), phase + 1).astype(np.int32)
        return {name: k for k, name in enumerate(names, 1)}, tags

    def _class_names(self, by: By, phases: dict[str, int]) -> list[str]:
        """Name of each boundary by its class or its two phases."""
        if by == "class":
            return list(self.structure.classes)
        order = list(phases)
        two = self.structure.grain_phase[self.structure.pairs].tolist()
        return [
            interface_name(phases, order[a], order[b]) if a != b else word
            for (a, b), word in zip(two, self.structure.classes, strict=True)
        ]

    def boundary_measures(self) -> Array:
        """Length (m) or area (m^2) of the facets of each boundary, shape (b,)."""
        inner = self.facet_boundary >= 0
        sizes = _facet_sizes(self.points[self.facets[inner]])
        return np.bincount(self.facet_boundary[inner], sizes, len(self.structure.pairs)).astype(float)

    def grain_measures(self) -> Array:
        """Area (m^2) or volume (m^3) of the cells of each grain, shape (g,)."""
        sizes = measures(self.points, self.cells)
        return np.bincount(self.cell_grain, sizes, len(self.structure.grain_phase)).astype(float)

    def quality(self) -> Quality:
        """Counts, sizes and shapes of the cells."""
        return quality(self.to_arrays("phase"))

    def save(self, path: str | Path, by: By = "grain") -> None:
        """Write the mesh for gmsh (``.msh``, names as physical groups) or ParaView (``.vtu``).

        In a ``.msh`` file each grain is an entity of its own, whatever the groups are; the table of the grains with
        their orientations is written beside it (``film.grains.csv`` beside ``film.msh``), from where a case reads them.

        Raises:
            CaseError: If the name ends in neither, or the file can't be written.
        """
        import meshio

        path = Path(path)
        if path.suffix not in (".msh", ".vtu"):
            raise CaseError("path", str(path), "this ending is not known", ".msh or .vtu")
        content = self._for_gmsh(by) if path.suffix == ".msh" else self._for_paraview()
        options: dict[str, Any] = {"file_format": "gmsh22" if path.suffix == ".msh" else "vtu", "binary": True}
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            meshio.write(part, content, **options)
            part.replace(path)
            if path.suffix == ".msh":
                part.write_text(self.to_arrays("phase").grain_table(), encoding="utf-8")
                part.replace(table_of(path))
        except OSError as error:
            raise CaseError("path", str(path), f"can't be written ({error.strerror})", "another place") from error
        finally:
            part.unlink(missing_ok=True)

    def _for_gmsh(self, by: By) -> Any:
        import meshio

        d = self.dimension
        mesh = self.to_arrays(by)
        groups = {f"{GRAIN_MARK}{len(self.structure)}": np.array([1, 0])}
        groups |= {name: np.array([tag, d]) for name, tag in mesh.phases.items()}
        groups |= {name: np.array([tag, d - 1]) for name, tag in mesh.boundaries.items()}
        entity = np.where(self.facet_boundary < 0, -self.facet_boundary, self.facet_boundary + len(SIDES) + 1)
        data = {
            "gmsh:physical": [mesh.cell_tags, mesh.facet_tags],
            "gmsh:geometrical": [(self.cell_grain + 1).astype(np.int32), entity.astype(np.int32)],
        }
        kinds = ("triangle", "line") if d == 2 else ("tetra", "triangle")
        blocks = [(kinds[0], self.cells), (kinds[1], self.facets)]
        return meshio.Mesh(self.points, blocks, cell_data=data, field_data=groups)

    def _for_paraview(self) -> Any:
        import meshio

        kind = "triangle" if self.dimension == 2 else "tetra"
        data = {
            "grain": [self.cell_grain],
            "phase": [self.structure.grain_phase[self.cell_grain]],
            "orientation": [self.structure.orientations[self.cell_grain]],
        }
        return meshio.Mesh(self.points, [(kind, self.cells)], cell_data=data)


def mesh_grains(
    structure: Microstructure,
    size: float,
    *,
    boundary_size: float | None = None,
    growth: float = 0.2,
    layers: Layers | None = None,
    progress: Progress | None = None,
) -> GrainMesh:
    """Mesh every grain, with common nodes on common boundaries.

    Edges on boundaries are shorter than ``boundary_size`` where these are short, bend or come near each other. The
    mesh is the same every time.

    Args:
        structure: Grains with their geometry.
        size: Edge length inside grains, m.
        boundary_size: Edge length at boundaries, m; ``size`` by default.
        growth: How much longer edges get per distance from a boundary.
        layers: Thin layers along grain boundaries, in 2D.
        progress: Called with the number of pieces done, their total, and what they are.

    Raises:
        CaseError: If a number is out of range, the structure has no geometry, or a grain can't be meshed.

    Warns:
        UserWarning: If there is no room for layers somewhere.
    """
    fine = size if boundary_size is None else boundary_size
    _check(structure, size, fine, growth, layers)
    geometry: Any = structure.geometry
    try:
        if structure.dimension == 2:
            filling = fill_section(geometry, size, fine, growth, layers, progress)
        else:
            filling = fill_solid(geometry, size, fine, growth, progress)
    except GrainError as error:
        raise CaseError("size", size, str(error), "another size, or a geometry without tiny features") from error
    return GrainMesh.of_cells(filling.points, filling.cells, filling.grains, structure)


def _check(structure: Microstructure, size: float, fine: float, growth: float, layers: Layers | None) -> None:
    if structure.geometry is None:
        raise CaseError("structure", None, "it has no geometry that could be meshed", "a structure with a geometry")
    for key, value in (("size", size), ("boundary_size", fine)):
        if not (np.isfinite(value) and value > 0.0):
            raise CaseError(key, value, "the size of cells must be positive", "a positive length")
    if fine > size * (1.0 + 1e-12):
        raise CaseError("boundary_size", fine, "cells can't be larger at boundaries than inside",
                        f"at most the size inside, {size:.6g} m")  # fmt: skip
    if not 0.0 < growth <= 2.0:
        raise CaseError("growth", growth, "cells can't grow like that", "a number above 0 and up to 2")
    if layers is not None and structure.dimension == 3:
        raise CaseError("layers", None, "thin layers are made in 2D only", "no layers")


def grain_facets(cells: Longs, cell_grain: Longs) -> tuple[Longs, Longs]:
    """Outer facets and those between two grains.

    Args:
        cells: Positively oriented simplices, shape (m, d + 1).
        cell_grain: Shape (m,).

    Returns:
        Corner numbers, shape (f, d), and the grains on the left and on the right, shape (f, 2), -1 for outside. In 3D
        the normal of the corners, counterclockwise, points to the right.
    """
    k = cells.shape[1]
    facets = np.concatenate([np.delete(cells, i, axis=1) for i in range(k)])
    odd = np.repeat(np.arange(k) % 2 == 1, len(cells))
    facets[odd] = facets[odd][:, [1, 0, *range(2, k - 1)]]
    owner = np.tile(np.asarray(cell_grain, dtype=np.int64), k)
    key = np.sort(facets, axis=1)
    order = np.lexsort(key.T[::-1])
    same = np.all(key[order[1:]] == key[order[:-1]], axis=1)
    lonely = ~(np.append(same, False) | np.append(False, same))
    first, second = order[:-1][same], order[1:][same]
    between = owner[first] != owner[second]
    inner = np.stack([owner[first], owner[second]], axis=1)[between]
    outer = np.stack([owner[order[lonely]], np.full(int(lonely.sum()), -1)], axis=1)
    found = np.concatenate([facets[order[lonely]], facets[first[between]]])
    return found.astype(np.int64), np.concatenate([outer, inner])


def oriented(points: Array, cells: Longs) -> Longs:
    """The cells with positive sizes. ValueError if one has none."""
    sizes = measures(points, cells)
    if np.any(sizes == 0.0):
        raise ValueError(f"{int(np.sum(sizes == 0.0))} cells have no size")
    turned = cells.astype(np.int64)
    turned[sizes < 0.0] = turned[sizes < 0.0][:, [1, 0, *range(2, cells.shape[1])]]
    return turned


def _pair_numbers(pairs: Longs, wanted: Longs, grains: int) -> Longs:
    key, asked = pairs @ np.array([grains, 1]), wanted @ np.array([grains, 1])
    at = np.searchsorted(key, asked)
    known = np.append(key, -1)[at] == asked
    if not np.all(known):
        a, b = wanted[~known][0].tolist()
        raise ValueError(f"the grains {a} and {b} touch in the mesh and not in the structure")
    return np.asarray(at, dtype=np.int64)


def _side_numbers(points: Array, facets: Longs, dimension: int) -> Longs:
    """On which of ``SIDES`` each outer facet lies."""
    low, high = points.min(axis=0), points.max(axis=0)
    near = _NEAR * float((high - low).max())
    number = np.full(len(facets), SIDES.index("free"), dtype=np.int64)
    for axis in range(dimension):
        for k, place in enumerate((low[axis], high[axis])):
            number[np.all(np.abs(points[facets, axis] - place) < near, axis=1)] = 2 * axis + k
    return number


def _facet_sizes(corners: Array) -> Array:
    """Lengths of edges, shape (f, 2, 3), or areas of triangles, shape (f, 3, 3)."""
    one = corners[:, 1] - corners[:, 0]
    if corners.shape[1] == 2:
        return np.asarray(np.linalg.norm(one, axis=1))
    return np.asarray(0.5 * np.linalg.norm(np.cross(one, corners[:, 2] - corners[:, 0]), axis=1))
