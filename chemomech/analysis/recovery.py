"""Errors of a computed state, estimated from a smoother stress recovered from it.

Zienkiewicz and Zhu, Int. J. Numer. Meth. Eng. 33, 1331 and 1365 (1992): around every node a linear polynomial is fitted
to the stress of the cells there. Its value at the node is one order more accurate than the stress of a cell, and the
difference of both measures the error of the latter. Stress jumps between phases: each phase has a value of its own at a
node (docs/theory.md, section 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from chemomech.materials.orientation import VOIGT, stiffness
from chemomech.meshing.arrays import MeshArrays, measures
from chemomech.parallel import gather_rows
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.derived import Derived
from chemomech.typing import Array, Longs

_ONE_SIDED = 0.1  # squared distance between a node and the middle of its cells, over their mean squared distance
_SAMPLES = 4  # parts of the edge of a cell in which a peak is looked for
_LOCAL = 0.5  # of the extent of a fit around a peak: where the weight of a cell has fallen to exp(-1/2)
PEAKS = ("hydrostatic_stress", "von_mises_stress")


@dataclass(frozen=True, slots=True)
class CellState:
    """What a state holds in every cell of the mesh of rank 0, in SI units.

    Attributes:
        stress: Mean of the cell as (xx, yy, zz, yz, xz, xy), Pa, shape (m, 6).
        quadrature: Twice what corner quadrature adds to the chemical energy of the cell, J/m^3, shape (m,).
        slope: sqrt(kappa) grad c, sqrt(J/m^3), shape (m, dimension); no columns without gradient energy.
        compliance: Of each phase tag, for stress as above and engineering shear strains, 1/Pa, shape (6, 6).
    """

    stress: Array
    quadrature: Array
    slope: Array
    compliance: dict[int, Array]


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest magnitude of a stress in the body.

    Attributes:
        name: Which stress.
        cell: Cell with the largest value.
        found: The value of that cell, Pa: the one in the files.
        recovered: The largest value of a quadratic stress fitted to the cells around, Pa.
    """

    name: str
    cell: int
    found: float
    recovered: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated error of a state.

    Attributes:
        squares: Squared energy norm of the error of each cell, J (3D) or J/m (2D), shape (m,).
        energy: Elastic energy of the body, J or J/m.
        peaks: One for each entry of ``PEAKS``.
        magnitudes: Magnitude of each of these stresses in each cell, Pa, shape (m, len(PEAKS)).
    """

    squares: Array
    energy: float
    peaks: tuple[Peak, ...]
    magnitudes: Array

    @property
    def energy_error(self) -> float:
        """Error of the energy, half the squared error in energy norm, over the elastic energy."""
        return 0.5 * float(self.squares.sum()) / self.energy if self.energy > 0.0 else 0.0


def gather_cells(physics: ChemoMechanics, derived: Derived) -> CellState | None:
    """The present state, cell by cell, on rank 0; None elsewhere. Collective."""
    p, body, s = physics, physics.body, physics.scales
    d, msh = body.dimension, body.mesh
    owned = int(msh.topology.index_map(d).size_local)
    tensors = derived.function("stress").x.array.reshape(-1, 3, 3)[:owned]
    curved = [phase for phase in p.phases if p.laws[phase].has_gradient_energy]
    quadrature, slope = np.zeros(owned), np.zeros((owned, d if curved else 0))
    corners = body.cell_vertices()[:owned, :, :d]
    for phase in p.phases:
        cells = body.cell_tags.find(body.phases[phase])
        cells = cells[cells < owned]
        c = derived.everywhere(phase)
        values = c.x.array[c.function_space.dofmap.list[cells]]
        mean = values.mean(axis=1, keepdims=True)
        law, material = p.laws[phase], p.materials[phase]
        second = 1.0 / (mean[:, 0] * (1.0 - mean[:, 0])) - 2.0 * float(law.interaction.value)
        spread = np.sum((values - mean) ** 2, axis=1) / (d + 2)
        quadrature[cells] = s.stress * float(law.sites.value) * np.abs(second) * spread
        if phase in curved:
            edges = corners[cells, 1:] - corners[cells, :1]
            gradient = np.linalg.solve(edges, (values[:, 1:] - values[:, :1])[..., None])[..., 0]
            slope[cells] = np.sqrt(material.gradient_energy) * gradient
    stress = np.stack([tensors[:, i, j] for i, j in VOIGT], axis=1)
    numbers = np.asarray(msh.topology.original_cell_index[:owned], dtype=np.int64)
    order = gather_rows(msh.comm, numbers)
    rows = gather_rows(msh.comm, np.column_stack([stress, quadrature, slope]))
    if msh.comm.rank != 0:
        return None
    table = np.empty_like(rows)
    table[order] = rows
    compliance = {body.phases[q]: np.asarray(np.linalg.inv(stiffness(p.materials[q].elasticity))) for q in p.phases}
    return CellState(table[:, :6], table[:, 6], table[:, 7:], compliance)


def estimate(mesh: MeshArrays, state: CellState) -> Estimate:
    """How far a state is from the one without discretisation.

    Args:
        mesh: The mesh.
        state: What its cells hold.
    """
    d, volume = mesh.dimension, np.abs(measures(mesh.points, mesh.cells))
    fields = np.column_stack([state.stress, state.slope])
    error = recovered(mesh, fields) - fields[:, None]
    # The integral over a simplex of a quadratic form of a linear function.
    total = error.sum(axis=1)
    squares, energies = np.empty(len(volume)), np.empty(len(volume))
    for tag, compliance in state.compliance.items():
        cells = np.flatnonzero(mesh.cell_tags == tag)
        form = np.zeros((fields.shape[1],) * 2)
        form[:6, :6], form[6:, 6:] = compliance, np.eye(fields.shape[1] - 6)
        squares[cells] = np.einsum("mjk,kl,mjl->m", error[cells], form, error[cells], optimize=True)
        squares[cells] += np.einsum("mk,kl,ml->m", total[cells], form, total[cells], optimize=True)
        energies[cells] = np.einsum("mk,kl,ml->m", state.stress[cells], compliance, state.stress[cells], optimize=True)
    squares *= volume / ((d + 1) * (d + 2))
    squares += volume * state.quadrature
    magnitudes = _magnitudes(state.stress)
    peaks = tuple(_peak(mesh, state, magnitudes, k) for k in range(len(PEAKS)))
    return Estimate(squares, 0.5 * float(energies @ volume), peaks, magnitudes)


# -- recovery ----------------------------------------------------------------------------------------------


def recovered(mesh: MeshArrays, values: Array) -> Array:
    """Values at the corners of cells from the means of cells, continuous within each phase.

    At a node inside a phase the polynomial is fitted to the cells that meet there; at the surface of a phase, where
    these lie on one side, their neighbours are added with smaller weights.

    Args:
        mesh: The mesh; nodes across a periodic axis are one.
        values: Means of cells, shape (m, k).

    Returns:
        Shape (m, dimension + 1, k).
    """
    d = mesh.dimension
    patch, count = _patches(mesh)
    x = mesh.points[mesh.cells][:, :, :d]
    middle = x.mean(axis=1)
    left, right = np.zeros((count, d + 1, d + 1)), np.zeros((count, d + 1, values.shape[1]))
    for j in range(d + 1):
        incidence = csr_matrix((np.ones(len(x)), (patch[:, j], np.arange(len(x)))), shape=(count, len(x)))
        p = np.column_stack([np.ones(len(x)), middle - x[:, j]])
        for out, product in ((left, p[:, :, None] * p[:, None]), (right, p[:, :, None] * values[:, None])):
            out += np.asarray(incidence @ product.reshape(len(x), -1)).reshape(out.shape)
    few = _one_sided(left)
    if np.any(few):
        # All cells with a node in common with a cell of the patch: its corners' patches, moved to the node.
        near = np.flatnonzero(few[patch].any(axis=1))
        wide_left, wide_right = np.zeros_like(left), np.zeros_like(right)
        for j in range(d + 1):
            mine = near[few[patch[near, j]]]
            for k in range(d + 1):
                shift = _shift(x[mine, k] - x[mine, j])
                np.add.at(wide_left, patch[mine, j], shift @ left[patch[mine, k]] @ shift.transpose(0, 2, 1))
                np.add.at(wide_right, patch[mine, j], shift @ right[patch[mine, k]])
        left[few], right[few] = wide_left[few], wide_right[few]
    return np.asarray(_at_origin(left, right)[patch])


def _patches(mesh: MeshArrays) -> tuple[Longs, int]:
    """A number for each node of each phase at the corners of the cells, shape (m, dimension + 1), and how many."""
    key = mesh.places[mesh.cells] * (int(mesh.cell_tags.max()) + 1) + mesh.cell_tags[:, None]
    keys, number = np.unique(key, return_inverse=True)
    return number.reshape(mesh.cells.shape), len(keys)


def _one_sided(left: Array) -> Array:
    """Patches that lie on one side of their node, or have too few cells, shape (n,)."""
    count, first = left[:, 0, 0], left[:, 0, 1:]
    spread = np.trace(left[:, 1:, 1:], axis1=1, axis2=2)
    d = first.shape[1]
    return np.asarray((np.sum(first**2, axis=1) > _ONE_SIDED * count * spread) | (count < d + 2))


def _shift(move: Array) -> Array:
    """What turns (1, r) into (1, r + move), shape (n, d + 1, d + 1)."""
    out = np.tile(np.eye(move.shape[1] + 1), (len(move), 1, 1))
    out[:, 1:, 0] = move
    return out


def _at_origin(left: Array, right: Array) -> Array:
    """Values at r = 0 of the fits, shape (n, k); directions in which a patch has no extent are left out."""
    d = left.shape[1] - 1
    scale = np.ones(left.shape[:2])
    scale[:, 1:] = np.sqrt(left[:, :1, 0] * d / np.trace(left[:, 1:, 1:], axis1=1, axis2=2)[:, None])
    matrix = left * scale[:, :, None] * scale[:, None, :] / left[:, :1, :1]
    inverse = np.linalg.pinv(matrix, rcond=1e-4, hermitian=True)
    return np.asarray(np.einsum("nj,njk->nk", inverse[:, 0], right * scale[:, :, None] / left[:, :1, :1]))


# -- peaks -------------------------------------------------------------------------------------------------


def _magnitudes(stress: Array) -> Array:
    """|hydrostatic| and von Mises stress of (..., 6), Pa, shape (..., 2)."""
    mean = stress[..., :3].mean(axis=-1)
    normal = stress[..., :3] - mean[..., None]
    shear = np.sum(stress[..., 3:] ** 2, axis=-1)
    von_mises = np.sqrt(1.5 * (np.sum(normal**2, axis=-1) + 2.0 * shear))
    return np.stack([np.abs(mean), von_mises], axis=-1)


def _peak(mesh: MeshArrays, state: CellState, magnitudes: Array, which: int) -> Peak:
    """The largest value of one stress; the fit has the right mean in each cell around."""
    d, top = mesh.dimension, int(np.argmax(magnitudes[:, which]))
    terms = (d + 1) * (d + 2) // 2
    ring, around = _around(mesh, top, 2 * terms + 1)
    found = float(magnitudes[top, which])
    if len(around) < terms + d:
        return Peak(PEAKS[which], top, found, found)
    x = _unwrapped(mesh, around, top)
    origin = x[0].mean(axis=0)
    scale = np.abs(x - origin).max()
    x = (x - origin) / scale
    middle = x.mean(axis=1)
    edges = x - middle[:, None]
    covariance = np.einsum("mji,mjk->mik", edges, edges) / ((d + 1) * (d + 2))
    basis = _quadratic(middle)
    i, j = np.triu_indices(d)
    basis[:, d + 1 :] += covariance[:, i, j]
    distance2 = np.sum(middle**2, axis=1)
    weight = np.exp(-0.5 * distance2 / (_LOCAL**2 * distance2.max()))[:, None]
    fit = np.linalg.lstsq(weight * basis, weight * state.stress[around], rcond=1e-10)[0]
    lattice = _lattice(d)
    points = np.einsum("qk,mkd->mqd", lattice, x[: len(ring)]).reshape(-1, d)
    recovered_peak = float(_magnitudes(_quadratic(points) @ fit)[:, which].max())
    return Peak(PEAKS[which], top, found, recovered_peak)


def _around(mesh: MeshArrays, top: int, least: int) -> tuple[Longs, Longs]:
    """The cells that touch a cell, and at least ``least`` around it, all of its phase, itself and nearest first."""
    same = np.flatnonzero(mesh.cell_tags == mesh.cell_tags[top])
    places = mesh.places
    corners = places[mesh.cells[same]]
    reached = np.zeros(len(mesh.points), dtype=bool)
    reached[places[mesh.cells[top]]] = True
    rings = [np.array([top])]
    while len(rings[-1]) < least:
        found = same[reached[corners].any(axis=1)]
        if len(found) == len(rings[-1]):
            break
        rings.append(np.concatenate([rings[-1], np.setdiff1d(found, rings[-1])]))
        reached[places[mesh.cells[found]]] = True
    return rings[min(1, len(rings) - 1)], rings[-1]


def _unwrapped(mesh: MeshArrays, cells: Longs, top: int) -> Array:
    """Corners of cells, moved by whole periods to where they are nearest to a cell, shape (m, d + 1, d)."""
    d = mesh.dimension
    x = mesh.points[mesh.cells[cells]][:, :, :d]
    if len(mesh.twins):
        period = np.abs(mesh.points[mesh.twins[:, 0]] - mesh.points[mesh.twins[:, 1]]).max(axis=0)[:d]
        away = x.mean(axis=1) - mesh.points[mesh.cells[top]].mean(axis=0)[:d]
        turns = np.where(period > 0.0, np.round(away / np.where(period > 0.0, period, 1.0)), 0.0)
        x = x - (turns * period)[:, None]
    return np.asarray(x)


def _quadratic(x: Array) -> Array:
    """1, x_i and x_i x_j at points (n, d), shape (n, (d + 1)(d + 2)/2)."""
    i, j = np.triu_indices(x.shape[1])
    return np.concatenate([np.ones((len(x), 1)), x, x[:, i] * x[:, j]], axis=1)


def _lattice(d: int) -> Array:
    """Barycentric coordinates of an even lattice of points in a simplex, shape (n, d + 1)."""
    grid = np.stack(np.meshgrid(*[np.arange(_SAMPLES + 1)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    inside = grid[grid.sum(axis=1) <= _SAMPLES] / _SAMPLES
    return np.column_stack([1.0 - inside.sum(axis=1), inside])
