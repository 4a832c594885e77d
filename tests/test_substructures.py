"""The solver of the stiffness of plane bodies: the same solution as MUMPS's on any number of ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from mpi4py import MPI
from petsc4py import PETSc

import chemomech as cm
from chemomech.simulation import Simulation
from chemomech.solvers import substructures
from chemomech.solvers.dissection import PIECE, UpperBlocks, nested_dissection, schur_complement
from chemomech.solvers.linear import DisplacementSolver, direct
from chemomech.solvers.substructures import NotFactorised, Substructures

COMM = MPI.COMM_WORLD


def plane(**changes: Any) -> tuple[PETSc.Mat, np.ndarray]:
    """Stiffness of an elastic body with a dislocation, and the places of its nodes."""
    given = {
        "domain": {"size": ["40 nm", "40 nm"]},
        "mesh": {"size": "1 nm"},
        "materials": {"llzo": {"library": "LLZO"}},
        "dislocations": [{"position": ["0 nm", "0 nm"], "burgers": ["1.124 nm", "0 nm"], "core": "2.5 nm"}],
        "boundaries": {"outer": {"traction": "dislocations"}},
        "time": {"end": "2 ms"},
        "solver": {"linear": "direct"},
    }
    system = Simulation(cm.Case.model_validate(given).replace(changes), COMM).solver.system
    space = system.functions[0].function_space
    return system.blocks[0][0], space.tabulate_dof_coordinates()[: space.dofmap.index_map.size_local, :2]


PERIODIC = {
    "dislocations": [],
    "boundaries": {},
    "domain.periodic": ["x"],
}


def difference(matrix: PETSc.Mat, solver: Substructures) -> float:
    """Largest difference to MUMPS's solution, relative to its largest value, for a random right side."""
    b = matrix.createVecLeft()
    first, last = b.getOwnershipRange()
    b.setArray(np.random.default_rng(3).normal(size=b.getSize())[first:last])
    x, y = b.duplicate(), b.duplicate()
    ksp = PETSc.KSP().create(matrix.comm)
    ksp.setOperators(matrix)
    direct(ksp)
    ksp.solve(b, y)
    solver.solve(b, x)
    x.axpy(-1.0, y)
    out = float(x.norm(PETSc.NormType.INFINITY) / y.norm(PETSc.NormType.INFINITY))
    ksp.destroy()
    return out


@pytest.mark.parametrize("kind", ["open", "periodic"])
def test_same_solution_as_mumps(kind: str) -> None:
    matrix, places = plane(**(PERIODIC if kind == "periodic" else {}))
    solver = Substructures(matrix, places)
    assert difference(matrix, solver) < 1e-10
    assert solver.stored > matrix.getSize()[0]
    solver.destroy()


def test_rows_that_are_held() -> None:
    """Fixed displacements leave a one on the diagonal and nothing beside it."""
    matrix, places = plane(**{"dislocations": [], "boundaries": {"left": {"displacement": {"x": 0.0, "y": 0.0}}}})
    solver = Substructures(matrix, places)
    assert difference(matrix, solver) < 1e-10
    solver.destroy()


def grid(side: int) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """Two coupled Laplacians on the nodes of a square grid, and their places."""
    line = scipy.sparse.diags_array([-1.0, 2.1, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    one = scipy.sparse.eye_array(side)
    both = scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line)
    whole = scipy.sparse.csr_array(scipy.sparse.kron(both, [[2.0, 0.5], [0.5, 1.0]]))
    return whole, np.stack(np.divmod(np.arange(side**2), side), axis=1).astype(float)


def shared_out(side: int, ranks: list[int]) -> tuple[PETSc.Mat, np.ndarray]:
    """The same as a PETSc matrix whose rows are shared out evenly among some ranks."""
    whole, places = grid(side)
    rows = np.zeros(0, dtype=int)
    if COMM.rank in ranks:
        rows = np.array_split(np.arange(side**2), len(ranks))[ranks.index(COMM.rank)]
    first = int(rows[0]) if len(rows) else 0
    part = whole[2 * first : 2 * (first + len(rows))]
    sizes = (2 * len(rows), 2 * side**2)
    csr = (part.indptr.astype(PETSc.IntType), part.indices.astype(PETSc.IntType), part.data)
    return PETSc.Mat().createAIJ((sizes, sizes), bsize=2, csr=csr, comm=COMM), places[rows]


@pytest.mark.parametrize("empty", [False, True])
def test_ranks_without_rows(empty: bool) -> None:
    matrix, places = shared_out(23, [COMM.size - 1] if empty else [*range(COMM.size)])
    solver = Substructures(matrix, places)
    assert difference(matrix, solver) < 1e-10
    solver.destroy()


def test_ranks_that_touch_everywhere() -> None:
    """Three nodes per rank: most of them lie between ranks."""
    side = 3 if COMM.size == 3 else 2
    matrix, places = shared_out(side, [*range(COMM.size)])
    solver = Substructures(matrix, places)
    assert difference(matrix, solver) < 1e-10
    solver.destroy()


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many unknowns between ranks, and a negative matrix: all ranks say so, and the next one works."""
    matrix, places = shared_out(12, [*range(COMM.size)])
    if COMM.size > 1:
        monkeypatch.setattr(substructures, "SEPARATOR_LIMIT", 2)
        with pytest.raises(NotFactorised):
            Substructures(matrix, places)
        monkeypatch.undo()
        matrix.scale(-1.0)
        with pytest.raises(NotFactorised):
            Substructures(matrix, places)
        matrix.scale(-1.0)
    solver = Substructures(matrix, places)
    assert difference(matrix, solver) < 1e-10


def test_where_the_ranks_have_too_much_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """The general solver then takes over, with the same solution."""
    matrix, places = plane()
    solver = Substructures(matrix, places)
    monkeypatch.setattr(substructures, "SEPARATOR_LIMIT", -1)
    other = DisplacementSolver(matrix, np.zeros((2 * len(places), 3)), places, 2, exact=True)
    assert other.ksp is not None
    b = matrix.createVecLeft()
    b.set(1.0)
    x, y = b.duplicate(), b.duplicate()
    solver.solve(b, x)
    other.solve_to(b, y, 1e-12)
    y.axpy(-1.0, x)
    assert y.norm() < 1e-10 * x.norm()
    assert other.stored() > matrix.getSize()[0]
    other.destroy()
    solver.destroy()


def test_schur_complement_is_the_dense_one() -> None:
    """Along nested dissection, with nodes in a random order; the last row of the grid is kept."""
    side = 30
    whole, places = grid(side)
    dense = whole.toarray()
    inner = np.random.default_rng(5).permutation(np.flatnonzero(places[:, 0] < side - 1))
    kept = np.flatnonzero(places[:, 0] == side - 1)
    graph = scipy.sparse.csr_matrix(np.abs(dense[::2, ::2]) > 0)
    order = nested_dissection(graph[inner][:, inner], places[inner])
    assert sorted(order.nodes) == list(range(len(inner)))
    assert len(order.starts) > len(inner) / PIECE
    nodes = np.concatenate([inner[order.nodes], kept])
    n = len(inner)
    pattern = scipy.sparse.triu(graph[nodes[:n]][:, nodes], format="csr")
    rows = np.repeat(np.arange(n), np.diff(pattern.indptr))
    four = dense.reshape(side**2, 2, side**2, 2).transpose(0, 2, 1, 3)
    blocks = four[nodes[rows], nodes[pattern.indices]]
    found = schur_complement(UpperBlocks(pattern.indptr, pattern.indices, blocks), order, len(kept))
    i, k = ((2 * a[:, None] + np.arange(2)).ravel() for a in (inner, kept))
    expected = -dense[np.ix_(k, i)] @ np.linalg.solve(dense[np.ix_(i, i)], dense[np.ix_(i, k)])
    assert found.transpose(0, 2, 1, 3).reshape(len(k), len(k)) == pytest.approx(expected, rel=0.0, abs=1e-13)
