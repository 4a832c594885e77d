"""Rectangles and boxes, uniform or graded towards cores and interfaces, and gmsh files."""

from __future__ import annotations

import numpy as np

from chemomech.case import Case, MeshFile, Rectangle
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.generate.files import from_file
from chemomech.meshing.generate.graded import graded
from chemomech.meshing.generate.named import named
from chemomech.meshing.generate.structured import structured
from chemomech.meshing.generate.twins import find_twins

__all__ = ["generate"]


def generate(case: Case) -> MeshArrays:
    """The mesh of a case; call on one rank only.

    Raises:
        CaseError: If a mesh file can't be read, lacks what the case names, or does not close where it has to; or if a
            periodic body is less than three cells wide.
    """
    domain = case.domain
    if isinstance(domain, MeshFile):
        return from_file(case, domain)
    size = case.resolved_mesh.size or max(domain.size)
    points, cells, cell_tags = structured(domain, size) if case.mesh.structured else graded(case, domain, size)
    twins = find_twins(domain, points, cells, len(domain.size))
    mesh = named(domain, points, cells, cell_tags, twins)
    if isinstance(domain, Rectangle) and domain.rotation:
        angle = np.deg2rad(domain.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        center = np.array(domain.center)
        mesh.points[:, :2] = (mesh.points[:, :2] - center) @ turn.T + center
    return mesh
