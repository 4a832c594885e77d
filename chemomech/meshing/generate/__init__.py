"""Rectangles and boxes, uniform or graded towards cores and interfaces, grains, and gmsh files."""

from __future__ import annotations

import numpy as np

from chemomech.case import Box, Case, MeasuredMap, MeshFile, Polycrystal, Rectangle
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.generate.files import from_file
from chemomech.meshing.generate.graded import graded
from chemomech.meshing.generate.named import named
from chemomech.meshing.generate.structured import structured
from chemomech.meshing.generate.twins import find_twins
from chemomech.meshing.sizing import Sizes
from chemomech.typing import Array

__all__ = ["generate"]


def generate(case: Case, sizes: Sizes | None = None) -> MeshArrays:
    """The mesh of a case; call on one rank only.

    Args:
        case: The case.
        sizes: How large its cells are to be, in place of what ``case.mesh`` says; not for mesh files and right-angled
            cells.

    Raises:
        CaseError: If a mesh file or a map can't be read, lacks what the case names, or does not close where it has to;
            if there are no such grains; or if a periodic body is less than three cells wide.
    """
    domain = case.domain
    if isinstance(domain, MeshFile):
        return from_file(case, domain)
    if isinstance(domain, Polycrystal | MeasuredMap):
        from chemomech.meshing.generate.grained import from_grains  # with all of microstructure: 10 MB

        return from_grains(case, domain)
    size = case.resolved_mesh.size or max(domain.size)
    if case.mesh.structured:
        points, cells, cell_tags = structured(domain, size)
    else:
        if sizes is not None:
            sizes = Sizes(_turned(domain, sizes.points, -1.0), sizes.cells, sizes.values)
        points, cells, cell_tags = graded(case, domain, size, sizes)
    twins = find_twins(domain, points, cells, len(domain.size))
    mesh = named(domain, points, cells, cell_tags, twins)
    mesh.points[:] = _turned(domain, mesh.points, 1.0)
    return mesh


def _turned(domain: Rectangle | Box, points: Array, sign: float) -> Array:
    """Points of the body turned with it, or back, shape (n, 3)."""
    if not isinstance(domain, Rectangle) or not domain.rotation:
        return points
    angle = sign * np.deg2rad(domain.rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.array(domain.center)
    out = points.copy()
    out[:, :2] = (points[:, :2] - center) @ turn.T + center
    return out
