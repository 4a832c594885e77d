"""Stiffness and stress-free strains of the crystals a body consists of, and what a 2D problem needs because of them.

In 2D nothing depends on z. In plane strain u_x, u_y and u_z are functions of x and y, and e_zz = 0; a crystal in a
general position makes shear stress out of the plane from strain in it (C_14, C_15 and their like), so that u_z(x, y) is
an unknown with sigma_xz,x + sigma_yz,y = 0. Where no cell couples them u_z would be zero, and is left out. In plane
stress (a sheet thin against its grains) sigma_zz = sigma_yz = sigma_xz = 0 in every cell: these three strains follow
from the others cell by cell, whatever the crystal, and are condensed out of the stiffness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chemomech.case import Case
from chemomech.errors import CaseError
from chemomech.materials.laws import Material
from chemomech.materials.orientation import (
    crystal_axes,
    depends_on_orientation,
    eigenstrain_tensor,
    has_directions,
    molar_volume_tensor,
    stiffnesses,
    strain_vector,
    turned,
)
from chemomech.meshing.body import Body
from chemomech.parallel import global_max
from chemomech.typing import Array, Ints

_OUT = np.array([3, 4])  # rows of yz and xz
_IN = np.array([0, 1, 2, 5])
_COUPLED = 1e-8  # of the largest entry: below, a crystal counts as lying in a symmetric position


@dataclass(frozen=True, slots=True)
class Crystals:
    """What the cells of one phase are made of on this rank, in sample axes.

    Attributes:
        cells: Local cells of the phase, ghosts included, shape (m,).
        row: Row of each cell in what follows, shape (m,).
        stiffness: Pa, shape (k, 6, 6); k is 1 in a phase without grains.
        expansion: (1/3) c_m Omega, shape (k, 3, 3), or (1, 3, 3) if it is the same in all grains.
        eigenstrain: Strain free of stress at the reference concentration, misfit included, shaped like it.
        grains: Whether the rows are grains, which differ; the same on all ranks, as is ``directed``.
        directed: Whether expansion and eigenstrain differ between grains.
    """

    cells: Ints
    row: Ints
    stiffness: Array
    expansion: Array
    eigenstrain: Array
    grains: bool
    directed: tuple[bool, bool]

    def rows(self, cells: Ints) -> Ints:
        """Row of each of some cells of the phase."""
        return np.asarray(self.row[np.searchsorted(self.cells, cells)])


def crystals(case: Case, body: Body, phase: str) -> Crystals:
    """Crystals of a phase: one, or as many as the rank has grains of it, if the mesh knows how they are oriented."""
    material: Material = case.materials[phase]
    cells = np.asarray(body.cell_tags.find(body.phases[phase]), dtype=np.int32)
    expansion = material.maximum_concentration * molar_volume_tensor(material) / 3.0
    eigenstrain = eigenstrain_tensor(material)
    grains = len(body.orientations) > 0 and depends_on_orientation(material)
    directed = grains and has_directions(expansion), grains and has_directions(eigenstrain)
    axes, row = np.eye(3)[None], np.zeros(len(cells), dtype=np.int32)
    if grains:
        own, found = np.unique(body.cell_grain[cells], return_inverse=True)
        axes, row = crystal_axes(body.orientations[own]), found.astype(np.int32)
    return Crystals(
        cells=cells,
        row=row,
        stiffness=stiffnesses(material.elasticity, axes),
        expansion=turned(expansion, axes) if directed[0] else expansion[None],
        eigenstrain=(turned(eigenstrain, axes) if directed[1] else eigenstrain[None]) + case.misfit_strain(phase),
        grains=grains,
        directed=directed,
    )


def plane_stiffness(matrices: Array, plane: str, dimension: int) -> Array:
    """Stiffness of the problem that is solved, shape (..., 6, 6): plane stress leaves no stress out of the plane."""
    if dimension == 3 or plane == "strain":
        return matrices
    out = np.array([2, 3, 4])
    across = matrices[..., :, out]
    condensed = matrices - across @ np.linalg.solve(matrices[..., out[:, None], out], across.swapaxes(-1, -2))
    condensed[..., out, :] = condensed[..., :, out] = 0.0
    return np.asarray(condensed)


def components(case: Case, body: Body, found: dict[str, Crystals]) -> int:
    """Components of the displacement: 3 in 3D, in plane strain as many as its crystals and boundaries ask for.

    Raises:
        CaseError: If a displacement along z is given in plane stress.
    """
    if body.dimension == 3:
        return 3
    held = [name for name, b in case.boundaries.items() if b.displacement is not None and b.displacement.z is not None]
    if case.plane == "stress":
        if held:
            raise CaseError(
                f"boundaries.{held[0]}.displacement.z", None, "in plane stress every point moves freely along z",
                "x and y, or plane = 'strain'",
            )  # fmt: skip
        return 2
    if held:
        return 3
    coupling = max((_coupling(crystal) for crystal in found.values()), default=0.0)
    return 3 if float(global_max(body.mesh.comm, coupling)) > _COUPLED else 2


def _coupling(crystal: Crystals) -> float:
    """Largest relative shear stress out of the plane that strain in it, or a stress-free strain, makes."""
    if not len(crystal.stiffness):
        return 0.0
    size = np.abs(crystal.stiffness).max()
    largest = np.abs(crystal.stiffness[:, _OUT[:, None], _IN]).max() / size
    for strains in (crystal.expansion, crystal.eigenstrain):
        vectors = strain_vector(strains)
        if strain := np.abs(vectors).max(initial=0.0):
            stress = crystal.stiffness[:, _OUT] @ vectors[:, :, None]
            largest = max(largest, np.abs(stress).max() / (size * strain))
    return float(largest)
