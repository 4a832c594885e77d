"""What several tests share: small cases, L2 errors, observed rates, results kept for docs/verification.md."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

import chemomech as cm
from chemomech.defects.simplex import _RULES
from chemomech.output.nodes import layout
from chemomech.physics.chemomechanics import ChemoMechanics

RECORDS = Path(__file__).parent.parent / "docs" / "verification"


def record(name: str, **values: Any) -> None:
    """Keep measured numbers for docs/verification.md, when it is being made (CHEMOMECH_RECORD=1)."""
    if os.environ.get("CHEMOMECH_RECORD") and MPI.COMM_WORLD.rank == 0:
        RECORDS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(values, indent=1, default=lambda x: np.asarray(x).tolist())
        (RECORDS / f"{name}.json").write_text(text + "\n")


def rates(h: list[float], errors: list[float]) -> list[float]:
    """Observed orders between successive meshes."""
    return [float(np.log(a / b) / np.log(g / k)) for a, b, g, k in zip(errors, errors[1:], h, h[1:], strict=False)]


def quadrature(result: cm.Result) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Owned cells' quadrature: points (cells, q, 3) in m, weights (cells, q), cell numbers, barycentric points."""
    msh, length = result.mesh, result.length
    owned = msh.topology.index_map(msh.topology.dim).size_local
    corners = msh.geometry.x[msh.geometry.dofmaps[0][:owned]] * length
    points, weights = _RULES[corners.shape[1]]
    edges = (corners[:, 1:] - corners[:, :1])[:, :, : msh.topology.dim]
    volume = np.abs(np.linalg.det(edges)) / (2.0 if msh.topology.dim == 2 else 6.0)
    return np.einsum("qk,ckd->cqd", points, corners), volume[:, None] * weights, np.arange(owned), points


def l2(values: np.ndarray, weights: np.ndarray) -> float:
    """L2 norm of values (cells, q, ...) with quadrature weights (cells, q), all ranks."""
    square = np.sum(values.reshape(*weights.shape, -1) ** 2, axis=2)
    return float(np.sqrt(MPI.COMM_WORLD.allreduce(float(np.sum(square * weights)))))


def at_quadrature(result: cm.Result, name: str) -> np.ndarray:
    """A field at the quadrature points, shape (cells, q, ...)."""
    f = result.function(name)
    _, weights, cells, points = quadrature(result)
    space = f.function_space
    shape = tuple(space.value_shape)
    dofs = f.x.array.reshape(-1, space.dofmap.bs)[space.dofmap.list[: len(cells)]]
    if dofs.shape[1] == 1:
        values = np.broadcast_to(dofs, (len(cells), len(points), dofs.shape[2]))
    else:
        values = np.einsum("qk,ckv->cqv", points, dofs)
    return values.reshape(*weights.shape, *shape)


def gathered(result: cm.Result, name: str) -> np.ndarray:
    """Values at all nodes or cells in the order of the input mesh, both sides of a periodic one, on every rank."""
    f = result.function(name)
    mine, held = layout(f.function_space).entries(f)
    numbers = np.concatenate(MPI.COMM_WORLD.allgather(mine))
    values = np.concatenate(MPI.COMM_WORLD.allgather(held))
    out = np.full((int(numbers.max()) + 1, values.shape[1]), np.nan)  # a node no cell uses has no value
    out[numbers] = values
    return out.reshape(len(out), *f.function_space.value_shape)


def nodes(result: cm.Result) -> np.ndarray:
    """Coordinates of all nodes, m, in the order of the input mesh, on every rank."""
    geometry = result.mesh.geometry
    owned = geometry.index_map().size_local
    numbers = np.concatenate(MPI.COMM_WORLD.allgather(geometry.input_global_indices[:owned]))
    points = np.concatenate(MPI.COMM_WORLD.allgather(geometry.x[:owned] * result.length))
    out = np.empty_like(points)
    out[numbers] = points
    return out


def physics_of(result: cm.Result) -> ChemoMechanics:
    """The physics behind a result."""
    return result._simulation.physics


LLZO = {
    "elasticity": {"youngs_modulus": "149.8 GPa", "poissons_ratio": 0.257},
    "partial_molar_volume": "3e-6 m^3/mol",
    "reference_concentration": 0.5,
    "maximum_concentration": "42522 mol/m^3",
    "diffusivity": "3e-13 m^2/s",
}
