"""Sizes of cells that grow away from dislocation cores and interfaces, as gmsh fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chemomech.case import Box, Case, Rectangle
from chemomech.case.regions import AXES, unturned
from chemomech.defects.dislocations import Line
from chemomech.meshing.sizing import Sizes
from chemomech.typing import Array


def nodal_field(gmsh: Any, sizes: Sizes, unit: float) -> int:
    """A field that is linear in the cells of an earlier mesh.

    Args:
        gmsh: The module, in a session.
        sizes: What it is at the nodes.
        unit: Metres per unit of the model.
    """
    values = sizes.values[sizes.cells][:, None] / unit
    corners = sizes.points[sizes.cells].transpose(0, 2, 1) / unit
    rows = np.concatenate([corners, values], axis=1)  # x, y, z and the value, each at all corners
    view = gmsh.view.add("sizes")
    gmsh.view.addListData(view, "ST" if sizes.cells.shape[1] == 3 else "SS", len(rows), rows.ravel())
    field = gmsh.model.mesh.field.add("PostView")
    gmsh.model.mesh.field.setNumber(field, "ViewTag", view)
    return int(field)


def size_fields(case: Case, domain: Rectangle | Box, model: Any, size: float, unit: float) -> list[int]:
    """All size fields of a body, few even if it has thousands of dislocations.

    Args:
        case: The case.
        domain: Its body.
        model: The gmsh model, to which points and curves are added.
        size: Size far from everything, m.
        unit: Metres per unit of the model.
    """
    lines = [Line.of(dislocation) for dislocation in case.all_dislocations]
    fields = _core_fields(case, domain, lines, model, size, unit)
    for line in lines:
        if line.slip and len(domain.size) == 2:
            fields.append(_slipped_plane(domain, line, model, size, unit, case.mesh.growth))
    return fields + _interface_fields(case, domain, model, size, unit)


def _core_fields(
    case: Case, domain: Rectangle | Box, lines: list[Line], model: Any, size: float, unit: float
) -> list[int]:
    """Fields that grow linearly away from the dislocation lines."""
    two = len(domain.size) == 2
    by_size: dict[tuple[float, float], tuple[list[int], list[int]]] = {}
    for line in lines:
        fine = case.resolved_mesh.core_size or line.core
        points, curves = by_size.setdefault((fine, line.core), ([], []))
        far = 3.0 * line.core + max(size - fine, 0.0) / case.mesh.growth
        for position in _images(domain, line, far):
            if two:
                points.append(model.occ.addPoint(*(position / unit)))
            else:
                ends = _ends(domain, position, line.frame[2])
                curves.append(model.occ.addLine(*[model.occ.addPoint(*(end / unit)) for end in ends]))
    fields = []
    for (fine, core), (points, curves) in by_size.items():
        distance = model.mesh.field.add("Distance")
        model.mesh.field.setNumbers(distance, "PointsList", points)
        model.mesh.field.setNumbers(distance, "CurvesList", curves)
        model.mesh.field.setNumber(distance, "Sampling", 1000)
        fields.append(_growing(model, distance, fine, size, 3.0 * core, case.mesh.growth, unit))
    return fields


def _images(domain: Rectangle | Box, line: Line, far: float) -> Iterator[Array]:
    """Where a line makes the mesh fine, in the unturned body: at its place, and beyond periodic sides that are near."""
    two = len(domain.size) == 2
    place = np.array([*unturned(domain, line.position[:2].tolist()), 0.0]) if two else line.position
    yield place
    for name in domain.periodic:
        axis = AXES[name]
        half, offset = 0.5 * domain.size[axis], place[axis] - domain.center[axis]
        if abs(line.frame[2][axis]) > 0.5:
            continue
        for sign in (-1.0, 1.0):
            if half - sign * offset < far:
                image = place.copy()
                image[axis] -= sign * 2.0 * half
                yield image


def _ends(domain: Rectangle | Box, position: Array, direction: Array) -> tuple[Array, Array]:
    """Two points of a line that hold the body between them."""
    along = np.flatnonzero(np.abs(direction) > 1.0 - 1e-12)
    if len(along) == 0:
        reach = 2.0 * float(np.linalg.norm(domain.size))
        return position - reach * direction, position + reach * direction
    low, high = position.copy(), position.copy()
    axis = int(along[0])
    low[axis] = domain.center[axis] - 0.5 * domain.size[axis]
    high[axis] = domain.center[axis] + 0.5 * domain.size[axis]
    return low, high


def _slipped_plane(domain: Rectangle | Box, line: Line, model: Any, size: float, unit: float, growth: float) -> int:
    """A field that resolves the strip over which the slip behind (or ahead of) a line is spread."""
    way = line.frame[0] if line.forward else -line.frame[0]
    reach = 2.0 * float(np.linalg.norm(domain.size))
    places = [unturned(domain, (line.position + s * way)[:2].tolist()) for s in (0.0, reach)]
    ends = [model.occ.addPoint(place[0] / unit, place[1] / unit, 0.0) for place in places]
    distance = model.mesh.field.add("Distance")
    model.mesh.field.setNumbers(distance, "CurvesList", [model.occ.addLine(*ends)])
    model.mesh.field.setNumber(distance, "Sampling", 2000)
    return _growing(model, distance, min(size, 0.5 * line.core), size, 2.0 * line.core, growth, unit)


def _interface_fields(case: Case, domain: Rectangle | Box, model: Any, size: float, unit: float) -> list[int]:
    """Fields that grow linearly away from the flat and round interfaces, if these are to be finer than the rest."""
    fine = case.resolved_mesh.interface_size or size
    if fine >= size:
        return []
    formulas = [f"Fabs(y-({height / unit!r}))" for height, _, _ in case.interfaces]
    for inclusion in domain.inclusions:
        squares = [f"({x}-({c / unit!r}))^2" for x, c in zip("xyz", inclusion.center, strict=False)]
        formulas.append(f"Fabs(Sqrt({'+'.join(squares)})-({inclusion.radius / unit!r}))")
    fields = []
    for formula in formulas:
        distance = model.mesh.field.add("MathEval")
        model.mesh.field.setString(distance, "F", formula)
        fields.append(_growing(model, distance, fine, size, fine, case.mesh.growth, unit))
    return fields


def _growing(model: Any, distance: int, fine: float, size: float, near: float, growth: float, unit: float) -> int:
    """A field of ``fine`` up to the distance ``near`` and growing beyond it to ``size``."""
    threshold = model.mesh.field.add("Threshold")
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
