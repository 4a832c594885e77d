"""A factorisation of the stiffness of a plane mesh, made for many solves on a few ranks.

Every rank eliminates its own interior nodes, and all ranks solve with the Schur complement of the nodes in between
(J. S. Przemieniecki, Matrix structural analysis of substructures, AIAA J. 1 (1963) 138). The interiors are factorised
by PETSc's own Cholesky in an order of nested dissection: with small dense blocks and few indices it solves nearly twice
as fast as supernodal codes, whose strength is factorising.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
from mpi4py import MPI
from petsc4py import PETSc

from chemomech.parallel import global_max, global_sum
from chemomech.solvers.dissection import UpperBlocks, nested_dissection, schur_complement
from chemomech.typing import Array, Longs

SEPARATOR_LIMIT = 3_000
"""Unknowns between the ranks that each of them solves for: 36 MB of a dense factor, read twice in every solve."""

_HUGE = 2.0**100


class NotFactorised(ArithmeticError):
    """The matrix is not positive definite, or the ranks have too much in common."""


class Substructures:
    """Solves K x = b exactly.

    Args:
        matrix: K, two unknowns per node, symmetric and positive definite.
        places: Where the nodes of the owned rows are, shape (n, 2), any unit.

    Raises:
        NotFactorised: K is not positive definite, or more than ``SEPARATOR_LIMIT`` unknowns lie between the ranks; on
            all ranks alike.

    Attributes:
        stored: Entries of all factors on all ranks.
    """

    def __init__(self, matrix: PETSc.Mat, places: Array) -> None:
        self._comm = comm = matrix.comm.tompi4py()
        start, column, values = matrix.getValuesCSR()
        shape = len(start) - 1, matrix.getSize()[1]
        blocks = scipy.sparse.csr_matrix((values, column, start), shape=shape).tobsr((2, 2))
        del start, column, values
        number = np.arange(len(blocks.indices))
        couplings = scipy.sparse.csr_matrix(
            (number, blocks.indices, blocks.indptr), shape=(shape[0] // 2, shape[1] // 2)
        )

        # Of a coupling between two ranks, the higher one gives its node.
        first = matrix.getOwnershipRange()[0] // 2
        node = np.repeat(np.arange(len(places)), np.diff(couplings.indptr))
        given = np.zeros(len(places), dtype=bool)
        given[node[couplings.indices < first]] = True
        mine, inside = np.flatnonzero(given), np.flatnonzero(~given)
        between = np.concatenate(comm.allgather(mine + first))
        if 2 * len(between) > SEPARATOR_LIMIT:
            raise NotFactorised
        interior = couplings[inside]
        near = np.flatnonzero(np.isin(between, interior.indices))
        order = nested_dissection(interior[:, inside + first], places[inside])
        inside = inside[order.nodes]
        columns = np.concatenate([inside + first, between[near]])
        upper = scipy.sparse.triu(couplings[inside][:, columns], format="csr")
        upper.sort_indices()
        arrays = UpperBlocks(upper.indptr, upper.indices, blocks.data[upper.data])

        schur = np.zeros((len(between), 2, len(between), 2))
        self._factor: Any = None
        self._x: Any = None
        self._y: Any = None
        failed = False
        try:
            if len(near):
                schur[near[:, None], :, near[None, :], :] = schur_complement(arrays, order, len(near))
            if len(inside):
                self._factor = _factorised(arrays, len(near))
        except (np.linalg.LinAlgError, NotFactorised):
            failed = True
        rows = np.searchsorted(between, mine + first)
        of_all = couplings[mine][:, between].tocoo()
        schur[rows[of_all.row], :, of_all.col, :] += blocks.data[of_all.data]
        total = global_sum(comm, schur.reshape(2 * len(between), 2 * len(between)))
        try:
            self._schur = scipy.linalg.cho_factor(total, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            failed = True
        if global_max(comm, float(failed)):
            self.destroy()
            raise NotFactorised

        self._inside, self._mine, self._near, self._rows = map(_unknowns, (inside, mine, near, rows))
        self._shared = np.zeros(2 * len(between))
        self._x = PETSc.Vec().createSeq(len(self._inside) + len(self._near), comm=PETSc.COMM_SELF)
        self._y = self._x.duplicate()
        entries = self._factor.getInfo()["nz_used"] if self._factor is not None else 0.0
        self.stored = float(comm.allreduce(entries)) + float(total.size)
        self._scales = self._of_the_sweeps() if len(near) else (1.0, 1.0)

    def _of_the_sweeps(self) -> tuple[float, float]:
        """What either sweep makes of an unknown between the ranks: how they share the diagonal is PETSc's affair."""
        last, scales = self._x.getLocalSize() - 1, []
        for sweep in (self._factor.solveForward, self._factor.solveBackward):
            self._x.set(0.0)
            self._x.setValue(last, 1.0)
            sweep(self._x, self._y)
            scales.append(float(self._y.getValue(last)))
        return scales[0], scales[1]

    def solve(self, b: PETSc.Vec, x: PETSc.Vec) -> None:
        """x = K^-1 b; collective."""
        n, factor, shared = len(self._inside), self._factor, self._shared
        local = self._x.array_w
        np.take(b.array_r, self._inside, out=local[:n], mode="clip")
        if not len(shared):
            del local
            if factor is not None:
                factor.solve(self._x, self._y)
            x.array_w[self._inside] = self._y.array_r
            return
        local[n:] = 0.0
        del local
        shared[:] = 0.0
        forward, backward = self._scales
        if factor is not None:
            factor.solveForward(self._x, self._y)
            shared[self._near] = self._y.array_r[n:] / forward
        shared[self._rows] += b.array_r[self._mine]
        self._comm.Allreduce(MPI.IN_PLACE, shared)
        solution = scipy.linalg.cho_solve(self._schur, shared, check_finite=False)
        result = x.array_w
        result[self._mine] = solution[self._rows]
        if factor is not None:
            self._y.array_w[n:] = solution[self._near] / backward
            factor.solveBackward(self._y, self._x)
            result[self._inside] = self._x.array_r[:n]

    def destroy(self) -> None:
        """Free the PETSc objects of this rank."""
        for thing in (self._factor, self._x, self._y):
            if thing is not None:
                thing.destroy()
        self._factor = self._x = self._y = None


def _unknowns(nodes: Longs) -> Longs:
    return np.asarray(2 * nodes[:, None] + np.arange(2), dtype=np.int64).ravel()


def _factorised(upper: UpperBlocks, kept: int) -> PETSc.Mat:
    """Cholesky factor of the ordered nodes, with the rows that carry right sides to those kept and back.

    The kept ones get a diagonal so huge that nothing subtracted from it is felt: to rounding, the two sweeps then
    eliminate the others and do nothing else.

    Raises:
        NotFactorised: A pivot vanishes.
    """
    n = len(upper.starts) - 1
    huge = _HUGE * 2.0 ** np.ceil(np.log2(np.abs(upper.blocks).max()))
    starts = np.concatenate([upper.starts, upper.starts[-1] + 1 + np.arange(kept)]).astype(PETSc.IntType)
    columns = np.concatenate([upper.columns, np.arange(n, n + kept)]).astype(PETSc.IntType)
    blocks = np.concatenate([upper.blocks, np.tile(huge * np.eye(2), (kept, 1, 1))])
    unknowns = 2 * (n + kept)
    matrix = PETSc.Mat().createSBAIJ(
        (unknowns, unknowns), 2, csr=(starts, columns, blocks.ravel()), comm=PETSc.COMM_SELF
    )
    matrix.setOption(PETSc.Mat.Option.SPD, True)
    ksp = PETSc.KSP().create(PETSc.COMM_SELF)
    ksp.setType("preonly")
    ksp.setOperators(matrix)
    pc = ksp.getPC()
    pc.setType("cholesky")
    pc.setFactorSolverType("petsc")
    pc.setFactorOrdering("natural")
    try:
        ksp.setUp()
        if pc.getFailedReason() != PETSc.PC.FailedReason.NOERROR:
            raise NotFactorised
        factor = pc.getFactorMatrix()
    except PETSc.Error as error:
        raise NotFactorised from error
    finally:
        ksp.destroy()
        matrix.destroy()
    return factor
