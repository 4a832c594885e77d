"""Meshes of bodies of grains: polycrystals that a case describes, and measured maps."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Final

import numpy as np

from chemomech.case import Case, MeasuredMap, Polycrystal
from chemomech.errors import CaseError
from chemomech.materials.orientation import depends_on_orientation
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.ebsd import MapMesh, mesh_map
from chemomech.meshing.generate.named import orient
from chemomech.meshing.grains import UNKNOWN, mesh_grains
from chemomech.meshing.layers import Layers
from chemomech.microstructure.described import made_map, polycrystal_of, rules_of
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.ebsd.reading import part_of, read_map
from chemomech.microstructure.relations import point_group, product
from chemomech.typing import Ints

_HALF_TURN: Final = np.array([0.0, 1.0, 0.0, 0.0])  # about x: y of a map runs down


def from_grains(case: Case, domain: Polycrystal | MeasuredMap) -> MeshArrays:
    """The mesh of a body of grains: cells by material, boundaries by side and class, orientations of the grains.

    Raises:
        CaseError: If the words make no polycrystal, a map can't be read, or its phases do not fit the materials.
    """
    if isinstance(domain, Polycrystal):
        return _of_polycrystal(case, domain)
    arrays = _upright(_of_map(case, domain))
    missing = [name for name in case.boundaries if name not in arrays.boundaries and name != "outer"]
    if missing:
        raise CaseError(
            f"boundaries.{missing[0]}", missing[0], "the map has no boundary of this name",
            f"one of {', '.join(['outer', *arrays.boundaries])}",
        )  # fmt: skip
    return arrays


def _of_polycrystal(case: Case, domain: Polycrystal) -> MeshArrays:
    structure, words = polycrystal_of(domain), case.resolved_mesh
    size = words.size or float(structure.diameters.min())
    try:
        mesh = mesh_grains(
            structure, size, boundary_size=words.boundary_size, growth=words.growth, layers=_layers(case)
        )
    except CaseError as error:
        raise CaseError(f"mesh.{error.key}", error.value, error.problem, error.allowed) from None
    arrays = mesh.to_arrays("class")
    low = np.zeros(3)
    low[: len(domain.size)] = np.array(domain.center) - 0.5 * np.array(domain.size)
    return replace(arrays, points=arrays.points + low)


def _layers(case: Case) -> Layers | None:
    words = case.mesh.layers
    return None if words is None else Layers(words.first, words.growth, words.count, words.along)


def _of_map(case: Case, domain: MeasuredMap) -> MeshArrays:
    """The mesh of a map in the frame of the map, cells by material."""
    try:
        made = _meshed(case, domain)
    except CaseError as error:
        of_mesh = error.key in ("size", "boundary_size", "growth", "layers")
        key = f"mesh.{error.key}" if of_mesh else f"domain.{'path' if error.key == 'map' else error.key}"
        raise CaseError(key, error.value, error.problem, error.allowed, file=error.file, line=error.line) from None
    for text in made.warnings:
        warnings.warn(text, stacklevel=2)
    arrays = made.mesh.to_arrays("class")
    groups = dict(zip(made.structure.phases, made.structure.point_groups, strict=True))
    tags, phases = _materials(case, domain, arrays, groups)
    return replace(arrays, cell_tags=tags, phases=phases)


def _meshed(case: Case, domain: MeasuredMap) -> MapMesh:
    words = case.resolved_mesh
    return mesh_map(
        _measured(domain), words.size, boundary_size=words.boundary_size, growth=words.growth, layers=_layers(case),
        angle=domain.angle, minimum=domain.minimum, quality=domain.quality, largest_hole=domain.largest_hole,
        pseudosymmetry=domain.pseudosymmetry, smoothing=domain.smoothing, rules=rules_of(domain.classes),
    )  # fmt: skip


def _measured(domain: MeasuredMap) -> EbsdMap:
    """The map, or the part of it that is asked for; its y still runs down."""
    if domain.path:
        ebsd = read_map(domain.path, frame=domain.frame)
    elif domain.made is not None:
        ebsd = made_map(domain.made)
    else:
        raise CaseError("path", None, "there is no map", "the path of an .ang, .ctf or HDF5 file")
    corners = None
    if domain.crop is not None:
        left = float(ebsd.x.min()) - 0.5 * ebsd.step
        lowest = float(ebsd.y.max()) + 0.5 * ebsd.row_step  # in the picture
        a, b, c, d = (value / domain.scale for value in domain.crop)
        corners = (left + a, lowest - d, left + c, lowest - b)
    return ebsd if corners is None and domain.scale == 1.0 else part_of(ebsd, corners, domain.scale)


def _materials(
    case: Case, domain: MeasuredMap, arrays: MeshArrays, groups: dict[str, str]
) -> tuple[Ints, dict[str, int]]:
    """Cell tags and names by material; phases of one material become one."""
    tags, phases = np.zeros_like(arrays.cell_tags), dict[str, int]()
    for name, tag in arrays.phases.items():
        cells = arrays.cell_tags == tag
        if not np.any(cells):
            continue
        if name == UNKNOWN:
            raise CaseError(
                "domain.path", domain.path, "some grains have no phase", "a map in which the points of every grain have"
            )
        material = domain.materials.get(name, name if name in case.materials else "")
        if not material and len(case.materials) == 1:
            material = next(iter(case.materials))
        if not material:
            raise CaseError(
                "domain.materials", name, "this phase of the map has no material",
                f"a table of phases and materials ({', '.join(case.materials)})",
            )  # fmt: skip
        system = point_group(groups[name]).system
        if system != "cubic" and depends_on_orientation(case.materials[material]):
            raise CaseError(
                f"materials.{material}", None, f"its constants are those of a cubic crystal, but the phase '{name}' of "
                f"the map is {system}",
                "isotropic elasticity and volumes without directions",
            )  # fmt: skip
        tags[cells] = phases.setdefault(material, len(phases) + 1)
    return tags, phases


def _upright(arrays: MeshArrays) -> MeshArrays:
    """A mesh in the frame of a map turned by half a turn about x: y up, z out of the page, the corner at the origin."""
    points = arrays.points * np.array([1.0, -1.0, 1.0])
    points -= np.append(points[:, :2].min(axis=0), 0.0)
    cells = arrays.cells.copy()
    orient(points, cells)
    other = {"bottom": "top", "top": "bottom"}
    return replace(
        arrays,
        points=points,
        cells=cells,
        boundaries={other.get(name, name): tag for name, tag in arrays.boundaries.items()},
        orientations=product(arrays.orientations, _HALF_TURN),
    )
