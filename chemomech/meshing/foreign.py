"""Microstructures and meshes of other programs: Neper, MicroStructPy, any gmsh file with a group for each grain."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from chemomech.errors import CaseError
from chemomech.meshing.grains import GrainMesh, grain_facets, oriented
from chemomech.meshing.session import session
from chemomech.microstructure.planar import PlanarMap
from chemomech.microstructure.solid import CellComplex
from chemomech.microstructure.structure import Microstructure
from chemomech.typing import Array, Longs

SYMMETRIES: Final = {
    "triclinic": "-1", "monoclinic": "2/m", "orthorhombic": "mmm", "tetragonal": "4/mmm", "trigonal": "-3m",
    "hexagonal": "6/mmm", "cubic": "m-3m", "-1": "-1", "2/m": "2/m", "mmm": "mmm", "4/m": "4/m", "4/mmm": "4/mmm",
    "-3": "-3", "-3m": "-3m", "6/m": "6/m", "6/mmm": "6/mmm", "m-3": "m-3", "m-3m": "m-3m",
}  # fmt: skip
"""Crystal symmetries as Neper names them, and their point groups."""
_SIMPLEX = {2: 2, 3: 4}


def read_tess(path: str | Path, *, length_unit: float = 1.0, phase: str = "grains") -> Microstructure:
    """The grains of a Neper tessellation (``.tess``) with convex cells.

    Args:
        path: The file.
        length_unit: Metres per unit of length in it.
        phase: Name of the material.

    Raises:
        CaseError: If the file can't be read or is no such tessellation.

    Warns:
        UserWarning: If it holds no orientations; all grains are then oriented alike.
    """
    path = Path(path)
    fields = _fields(path)
    try:
        dimension = int(fields["**general"][0])
        count = int(fields["**cell"][0])
        group = SYMMETRIES[fields.get("**cell *crysym", ["triclinic"])[0]]
        vertices = np.array(fields["**vertex"][1:], dtype=float).reshape(-1, 5)[:, 1:4] * length_unit
        parts, cells = _tess_parts(fields, dimension)
        orientations = _orientations(path, fields.get("**cell *ori"), count)
        return _convex(vertices[:, :dimension], parts, cells, [phase], np.zeros(count, np.int32), orientations, [group])
    except (KeyError, IndexError, ValueError) as error:
        raise CaseError("path", str(path), f"is no tessellation that can be read ({error})",
                        "a .tess file of Neper with plane, convex cells") from error  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError("path", str(path), f"can't be read ({error})", "a text file") from error


def _fields(path: Path) -> dict[str, list[str]]:
    """Words of a Neper file under each heading; a ``*`` heading is kept with the ``**`` one above it."""
    found: dict[str, list[str]] = {}
    section = name = ""
    for line in _text(path).splitlines():
        word = line.strip()
        if word.startswith("**"):
            section = name = word
        elif word.startswith("*"):
            name = f"{section} {word}"
        else:
            found.setdefault(name, []).extend(word.split())
    if "***tess" not in found and not any(name.startswith("**general") for name in found):
        raise CaseError("path", str(path), "is no tessellation", "a .tess file of Neper")
    return found


def _tess_parts(fields: dict[str, list[str]], dimension: int) -> tuple[list[Longs], list[Longs]]:
    """Vertex numbers of edges (2D) or faces (3D), and the numbers of these around each cell."""
    numbers = np.array(fields["**edge"][1:], dtype=np.int64).reshape(-1, 4)
    edges = [edge - 1 for edge in numbers[:, 1:3]]
    words, at = fields["**face"], 1
    corners, around = [], []
    for _ in range(int(words[0])):
        size = int(words[at + 1])
        corners.append(np.array(words[at + 2 : at + 2 + size], dtype=np.int64) - 1)
        at += 2 + size
        size = int(words[at])
        around.append(np.abs(np.array(words[at + 1 : at + 1 + size], dtype=np.int64)) - 1)
        at += 1 + size + 4 + 5
    if dimension == 2:
        return edges, around
    words, at = fields["**polyhedron"], 1
    cells = []
    for _ in range(int(words[0])):
        size = int(words[at + 1])
        cells.append(np.abs(np.array(words[at + 2 : at + 2 + size], dtype=np.int64)) - 1)
        at += 2 + size
    return corners, cells


def _orientations(path: Path, words: Sequence[str] | None, count: int) -> Array:
    """Quaternions that take sample to crystal, shape (count, 4), from a Neper descriptor and its values."""
    if not words:
        return _alike(path, count)
    descriptor, _, sense = words[0].partition(":")
    values = np.array(words[1:], dtype=float).reshape(count, -1)
    if descriptor == "euler-bunge":  # three turns of the frame of the sample, each an active rotation
        turn = _about(2, values[:, 0]), _about(0, values[:, 1]), _about(2, values[:, 2])
        active = _times(_times(turn[0], turn[1]), turn[2])
    else:
        active = _active(path, descriptor, values)
        if sense == "passive":
            return active
    return np.asarray(active * [1.0, -1.0, -1.0, -1.0])


def _active(path: Path, descriptor: str, values: Array) -> Array:
    if descriptor == "rodrigues":
        q = np.column_stack([np.ones(len(values)), values])
    elif descriptor == "quaternion":
        q = values
    elif descriptor == "axis-angle":
        half = 0.5 * np.deg2rad(values[:, 3:])
        axis = values[:, :3] / np.linalg.norm(values[:, :3], axis=1, keepdims=True)
        q = np.column_stack([np.cos(half), np.sin(half) * axis])
    else:
        raise CaseError("path", str(path), f"orientations as '{descriptor}' are not read",
                        "rodrigues, quaternion, axis-angle or euler-bunge (-oridescriptor of Neper)")  # fmt: skip
    return np.asarray(q / np.linalg.norm(q, axis=1, keepdims=True))


def _about(axis: int, degrees: Array) -> Array:
    half = 0.5 * np.deg2rad(degrees)
    q = np.zeros((len(degrees), 4))
    q[:, 0], q[:, axis + 1] = np.cos(half), np.sin(half)
    return q


def _times(p: Array, q: Array) -> Array:
    scalar = p[:, :1] * q[:, :1] - np.sum(p[:, 1:] * q[:, 1:], axis=1, keepdims=True)
    return np.hstack([scalar, p[:, :1] * q[:, 1:] + q[:, :1] * p[:, 1:] + np.cross(p[:, 1:], q[:, 1:])])


def _alike(path: Path, count: int) -> Array:
    warnings.warn(f"{path.name} holds no orientations: all grains are oriented alike", stacklevel=4)
    return np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))


def _convex(
    points: Array, parts: list[Longs], cells: list[Longs], phases: Sequence[str], grain_phase: Any,
    orientations: Array, groups: Sequence[str],
) -> Microstructure:  # fmt: skip
    """A microstructure from the edges (2D) or faces (3D) around each convex cell."""
    dimension = points.shape[1]
    middle = np.array([points[part].mean(axis=0) for part in parts])
    if dimension == 2:
        along = np.array([points[part[1]] - points[part[0]] for part in parts])
        right = np.stack([along[:, 1], -along[:, 0]], axis=1)
    else:
        right = np.array([np.cross(x, np.roll(x, -1, axis=0)).sum(axis=0) for x in
                          (points[part] - m for part, m in zip(parts, middle, strict=True))])  # fmt: skip
    sides = np.full((len(parts), 2), -1, dtype=np.int64)
    for number, around in enumerate(cells):
        inside = points[np.unique(np.concatenate([parts[k] for k in around]))].mean(axis=0)
        which = (np.sum((middle[around] - inside) * right[around], axis=1) < 0.0).astype(int)
        if np.any(sides[around, which] >= 0):
            raise ValueError(f"cell {number} overlaps another one or is not convex")
        sides[around, which] = number
    known = np.flatnonzero(np.any(sides >= 0, axis=1))
    kept, left, beyond = [parts[k] for k in known], sides[known, 0], sides[known, 1]
    outer = left < 0  # the outside is on the right
    kept = [part[::-1] if turn else part for part, turn in zip(kept, outer, strict=True)]
    left, beyond = np.where(outer, beyond, left), np.where(outer, -1, beyond)
    kind: Any = PlanarMap if dimension == 2 else CellComplex
    geometry = kind(points, tuple(kept), left, beyond)
    return Microstructure.from_geometry(geometry, phases, grain_phase, orientations, groups)


def read_microstructpy(
    path: str | Path,
    *,
    length_unit: float = 1.0,
    phases: Sequence[str] = ("phase-0",),
    point_groups: Sequence[str] = ("m-3m",),
    orientations: Array | None = None,
) -> Microstructure:
    """The grains of a MicroStructPy polygon mesh (``polymesh.txt``).

    Args:
        path: The file.
        length_unit: Metres per unit of length in it.
        phases: Name of each phase number in it.
        point_groups: Point group of each.
        orientations: Unit quaternions that take sample to crystal, shape (g, 4); the file has none.

    Raises:
        CaseError: If the file can't be read or names a phase there is no name for.

    Warns:
        UserWarning: If there are no orientations; all grains are then oriented alike.
    """
    path = Path(path)
    blocks: dict[str, list[list[float]]] = {}
    try:
        for line in _text(path).splitlines():
            if ":" in line:
                name = line.split(":")[0].strip()
                blocks[name] = []
            elif line.strip():
                blocks[name].append([float(word) for word in line.strip().strip(",").split(",")])
        points = np.array(blocks["Mesh Points"] if "Mesh Points" in blocks else blocks["Mesh Vertices"]) * length_unit
        parts = [np.array(row, dtype=np.int64) for row in blocks["Mesh Facets"]]
        cells = [np.array(row, dtype=np.int64) for row in blocks["Mesh Regions"]]
        number = np.array(blocks["Phase Numbers"], dtype=np.int32).ravel()
        if len(number) and int(number.max()) >= min(len(phases), len(point_groups)):
            raise CaseError("phases", list(phases), f"the file has a phase {int(number.max())}", "a name for each")
        turned = _alike(path, len(cells)) if orientations is None else orientations
        return _convex(points, parts, cells, phases, number, turned, point_groups)
    except (KeyError, IndexError, ValueError, UnboundLocalError) as error:
        raise CaseError("path", str(path), f"is no polygon mesh that can be read ({error})",
                        "polymesh.txt of MicroStructPy") from error  # fmt: skip


def read_grain_mesh(
    path: str | Path,
    *,
    length_unit: float = 1.0,
    phase: str = "grains",
    point_group: str = "m-3m",
    orientations: Array | None = None,
) -> GrainMesh:
    """A mesh of grains from a gmsh file: of Neper, of `GrainMesh.save`, or any with a physical group for each grain.

    Grains are numbered by the number in the names of groups (``grain-3``), otherwise in the order of the groups; if
    there are no groups, in the order of gmsh's entities.

    Args:
        path: A ``.msh`` file with linear triangles or tetrahedra.
        length_unit: Metres per unit of length in it.
        phase: Name of the material of all grains.
        point_group: Its point group.
        orientations: Unit quaternions that take sample to crystal, shape (g, 4); those in a file of Neper by default.

    Raises:
        CaseError: If it can't be read, or has cells of another kind, or none.

    Warns:
        UserWarning: If there are no orientations; all grains are then oriented alike.
    """
    path = Path(path)
    with session("grains") as gmsh:
        try:
            gmsh.merge(str(path))
        except Exception as error:
            raise CaseError("path", str(path), f"can't be read as a gmsh mesh ({error})", "a .msh file") from error
        points, cells, owner = _cells(path, gmsh.model)
    try:
        cells = oriented(points, cells)
    except ValueError as error:
        raise CaseError("path", str(path), str(error), "cells with a size") from error
    count = int(owner.max()) + 1
    if orientations is None:
        orientations = _orientations(path, _elset_orientations(path), count)
    structure = _structure_of(points * length_unit, cells, owner, phase, point_group, orientations)
    return GrainMesh.of_cells(points * length_unit, cells, owner, structure)


def _cells(path: Path, model: Any) -> tuple[Array, Longs, Longs]:
    tags, coordinates, _ = model.mesh.getNodes()
    dimension = model.getDimension()
    if not len(tags) or dimension not in _SIMPLEX:
        raise CaseError("path", str(path), "holds no mesh of grains", "triangles or tetrahedra, in a group per grain")
    groups = [(group, model.getPhysicalName(dimension, group)) for _, group in model.getPhysicalGroups(dimension)]
    pieces = [(name, list(model.getEntitiesForPhysicalGroup(dimension, group))) for group, name in groups]
    if not pieces:
        pieces = [("", [entity]) for _, entity in model.getEntities(dimension)]
    numbers = {name: int(name[6:]) for name, _ in pieces if re.fullmatch(r"grain-\d+", name)}
    if len(numbers) == len(pieces):
        pieces.sort(key=lambda piece: numbers[piece[0]])
    place = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    place[tags.astype(np.int64)] = np.arange(len(tags))
    corners, owner = [], []
    for grain, (_, entities) in enumerate(pieces):
        for entity in entities:
            kinds, _, nodes = model.mesh.getElements(dimension, entity)
            if list(kinds) not in ([_SIMPLEX[dimension]], []):
                raise CaseError("path", str(path), "has cells that are not linear simplices",
                                "first-order triangles (2D) or tetrahedra (3D)")  # fmt: skip
            for block in nodes:
                corners.append(place[block.astype(np.int64)].reshape(-1, dimension + 1))
                owner.append(np.full(len(corners[-1]), grain, dtype=np.int64))
    if not corners:
        raise CaseError("path", str(path), "holds no cells", "triangles or tetrahedra, in a group per grain")
    every = np.concatenate(corners)
    used, cells = np.unique(every, return_inverse=True)
    points = coordinates.reshape(-1, 3)[used]
    return points, cells.reshape(every.shape).astype(np.int64), np.concatenate(owner)


def _elset_orientations(path: Path) -> list[str] | None:
    """Descriptor and values of the orientations in a mesh of Neper."""
    found = re.search(r"\$ElsetOrientations\s+\d+\s+(\S+)\s(.*?)\$EndElsetOrientations",
                      path.read_bytes().decode("latin-1"), re.DOTALL)  # fmt: skip
    if not found:
        return None
    return [found[1], *(word for line in found[2].strip().splitlines() for word in line.split()[1:])]


def _structure_of(
    points: Array, cells: Longs, owner: Longs, phase: str, group: str, orientations: Array
) -> Microstructure:
    """What a mesh says about its grains: every facet is a piece of a boundary."""
    dimension = cells.shape[1] - 1
    facets, sides = grain_facets(cells, owner)
    used, numbers = np.unique(facets, return_inverse=True)
    kind: Any = PlanarMap if dimension == 2 else CellComplex
    parts = tuple(numbers.reshape(facets.shape).astype(np.int64))
    geometry = kind(points[used, :dimension], parts, sides[:, 0], sides[:, 1])
    phases = np.zeros(int(owner.max()) + 1, dtype=np.int32)
    return Microstructure.from_geometry(geometry, [phase], phases, orientations, [group])
