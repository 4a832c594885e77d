"""Matrices of compiled forms: one that changes in every Newton step, one without its zeros."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from chemomech.typing import Array, DirichletBC


class Changing:
    """The matrix of a bilinear form that is assembled again and again.

    Cells are summed up in DOLFINx's own matrix, which takes half the time of PETSc's insertion. On one rank PETSc works
    on its arrays; on several the sums are handed over in one piece.

    Args:
        form: The compiled form.
        conditions: Dirichlet conditions on its rows and columns.

    Attributes:
        matrix: The PETSc matrix; its values are those of the last ``assemble``.
    """

    def __init__(self, form: Any, conditions: list[DirichletBC]) -> None:
        self._form, self._conditions = form, conditions
        self._sums: Any = None
        if any(space.dofmap.index_map_bs != 1 for space in form.function_spaces):
            self.matrix = fem_petsc.create_matrix(form)
            return
        self._sums = sums = fem.create_matrix(form)
        self._shared = sums.index_map(0).comm.size == 1
        if self._shared:
            csr = (
                np.asarray(sums.indptr, dtype=PETSc.IntType),
                np.asarray(sums.indices, dtype=PETSc.IntType),
                sums.data,
            )
            shape = tuple(sums.index_map(k).size_local for k in range(2))
            self.matrix = PETSc.Mat().createAIJWithArrays(shape, csr, comm=sums.index_map(0).comm)
            self.matrix.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)
            return
        maps = [sums.index_map(k) for k in range(2)]
        rows = np.repeat(np.arange(len(sums.indptr) - 1), np.diff(sums.indptr)).astype(np.int32)
        i, j = (
            m.local_to_global(k.astype(np.int32)).astype(PETSc.IntType)
            for m, k in zip(maps, (rows, sums.indices), strict=True)
        )
        sizes = [(m.size_local, m.size_global) for m in maps]
        self.matrix = PETSc.Mat().createAIJ(sizes, comm=maps[0].comm)
        self.matrix.setPreallocationCOO(i, j)
        self.matrix.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)

    def assemble(self) -> None:
        """Assemble at the present values of the coefficients."""
        if self._sums is None:
            self.matrix.zeroEntries()
            fem_petsc.assemble_matrix(self.matrix, self._form, bcs=self._conditions)  # type: ignore[misc]
            self.matrix.assemble()
            return
        self._sums.data[:] = 0.0
        fem.assemble_matrix(self._sums, self._form, bcs=self._conditions)  # type: ignore[misc]
        if self._shared:
            self.matrix.assemble()  # tells PETSc that the values are new
        else:
            self.matrix.setValuesCOO(self._sums.data)


def give_back() -> None:
    """Hand memory that is free, but kept by the C library, back to the system (glibc; elsewhere nothing happens)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def compressed(matrix: PETSc.Mat) -> PETSc.Mat:
    """The same matrix without the entries that are zero; the given one is freed."""
    start, columns, values = matrix.getValuesCSR()
    rows = np.repeat(np.arange(len(start) - 1), np.diff(start))
    kept = values != 0.0
    counts = np.bincount(rows[kept], minlength=len(start) - 1)
    csr = (np.concatenate([[0], np.cumsum(counts)]).astype(PETSc.IntType), columns[kept], values[kept])
    out = PETSc.Mat().createAIJ(matrix.getSizes(), csr=csr, comm=matrix.comm)
    matrix.destroy()
    return out


def row_maximum(block: PETSc.Mat) -> Array:
    """Largest magnitude in each owned row."""
    start, _, values = block.getValuesCSR()
    out = np.zeros(len(start) - 1)
    full = np.diff(start) > 0
    if full.any():
        out[full] = np.maximum.reduceat(np.abs(values), start[:-1][full])
    return out
