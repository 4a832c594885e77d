"""Matrices of compiled forms: one that changes in every Newton step, one without its zeros."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from dolfinx import cpp, fem
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from chemomech.typing import Array, DirichletBC, Ints, Longs


class Sums:
    """What the cells add to each entry of the matrix of a bilinear form, in DOLFINx's own matrix.

    That takes half the time of PETSc's insertion.

    Args:
        form: The compiled form, of spaces without blocks.
        conditions: Dirichlet conditions on its rows and columns.
        unit: Whether ones stand on the diagonal of such rows, which the form must have entries for.

    Attributes:
        first: Global number of the first owned row.
        sizes: Local and global number of rows and columns.
    """

    def __init__(self, form: Any, conditions: list[DirichletBC], *, unit: bool = True) -> None:
        self._form, self._conditions, self._unit = form, conditions, unit
        self._matrix = fem.create_matrix(form)
        maps = [self._matrix.index_map(k) for k in range(2)]
        self.first = maps[0].local_range[0]
        self.sizes = [(m.size_local, m.size_global) for m in maps]
        self.comm = maps[0].comm

    @property
    def places(self) -> tuple[Longs, Longs]:
        """Global row and column of each entry."""
        m = self._matrix
        rows = np.repeat(np.arange(len(m.indptr) - 1), np.diff(m.indptr)).astype(np.int32)
        columns = m.indices.astype(np.int32)
        i, j = (m.index_map(k).local_to_global(x).astype(PETSc.IntType) for k, x in enumerate((rows, columns)))
        return i, j

    @cached_property
    def columns(self) -> Ints:
        """Local dof of the column of each entry; those beyond are in rows of other ranks, whose entries stay zero."""
        own = self._form.function_spaces[1].dofmap.index_map
        last = np.int32(own.size_local + own.num_ghosts - 1)
        return np.asarray(np.minimum(self._matrix.indices, last), dtype=np.int32)

    def as_petsc(self) -> PETSc.Mat:
        """A PETSc matrix on the same arrays, on one rank."""
        m = self._matrix
        csr = (np.asarray(m.indptr, dtype=PETSc.IntType), np.asarray(m.indices, dtype=PETSc.IntType), m.data)
        matrix = PETSc.Mat().createAIJWithArrays(tuple(size for size, _ in self.sizes), csr, comm=self.comm)
        matrix.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)
        return matrix

    @property
    def data(self) -> Array:
        """The entries."""
        return np.asarray(self._matrix.data)

    def assemble(self) -> None:
        """Assemble at the present values of the coefficients."""
        self._matrix.data[:] = 0.0
        if self._unit:
            fem.assemble_matrix(self._matrix, self._form, bcs=self._conditions)  # type: ignore[misc]
            return
        constants, coefficients = fem.pack_constants(self._form), fem.pack_coefficients(self._form)
        conditions = [condition._cpp_object for condition in self._conditions]
        cpp.fem.assemble_matrix(self._matrix._cpp_object, self._form._cpp_object, constants, coefficients, conditions)


class Changing:
    """The matrix of a bilinear form that is assembled again and again.

    On one rank PETSc works on the arrays of the sums, if there are no others.

    Args:
        form: The compiled form, None if there are only followed parts.
        conditions: Dirichlet conditions on its rows and columns.
        followed: Sums that others assemble, each with the factors of its local columns.
        unit: Owned local rows with a one on the diagonal, where there are followed parts or the form lacks the entries.

    Attributes:
        matrix: The PETSc matrix; its values are those of the last ``assemble``.
    """

    def __init__(
        self,
        form: Any,
        conditions: list[DirichletBC],
        followed: Sequence[tuple[Sums, Array]] = (),
        unit: Longs | None = None,
    ) -> None:
        self._form, self._conditions, self._followed = form, conditions, tuple(followed)
        self._own: Sums | None = None
        if form is not None and any(space.dofmap.index_map_bs != 1 for space in form.function_spaces):
            if followed:
                raise NotImplementedError("followers in an equation of blocks")
            self.matrix = fem_petsc.create_matrix(form)
            return
        if form is not None:
            self._own = Sums(form, conditions, unit=not followed and unit is None)
        self._shared = self._own is not None and not followed and unit is None and self._own.comm.size == 1
        if self._own is not None and self._shared:
            self.matrix = self._own.as_petsc()
            return
        parts = [*([self._own] if self._own is not None else []), *(sums for sums, _ in self._followed)]
        self._ones = np.ones(0 if unit is None else len(unit))
        first = parts[0].first
        diagonal = np.zeros(0, PETSc.IntType) if unit is None else (unit + first).astype(PETSc.IntType)
        i, j = (np.concatenate([*(part.places[k] for part in parts), diagonal]) for k in range(2))
        self.matrix = PETSc.Mat().createAIJ(parts[0].sizes, comm=parts[0].comm)
        self.matrix.setPreallocationCOO(i, j)
        self.matrix.setOption(PETSc.Mat.Option.KEEP_NONZERO_PATTERN, True)

    def assemble(self) -> None:
        """Assemble at the present values of the coefficients; the followed parts have been."""
        if self._own is None and not self._followed:
            self.matrix.zeroEntries()
            fem_petsc.assemble_matrix(self.matrix, self._form, bcs=self._conditions)  # type: ignore[misc]
            self.matrix.assemble()
            return
        if self._own is not None:
            self._own.assemble()
            if self._shared:
                self.matrix.assemble()  # tells PETSc that the values are new
                return
            if not self._followed and not len(self._ones):
                self.matrix.setValuesCOO(self._own.data)
                return
        own = [self._own.data] if self._own is not None else []
        chain = (sums.data * slope[sums.columns] for sums, slope in self._followed)
        self.matrix.setValuesCOO(np.concatenate([*own, *chain, self._ones]))


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


def with_diagonal(matrix: PETSc.Mat) -> PETSc.Mat:
    """The same square matrix with every entry of the diagonal in its pattern; the given one is freed."""
    start, columns, values = matrix.getValuesCSR()
    first, last = matrix.getOwnershipRange()
    diagonal = np.arange(first, last, dtype=PETSc.IntType)
    rows = np.concatenate([np.repeat(diagonal, np.diff(start)), diagonal])
    out = PETSc.Mat().createAIJ(matrix.getSizes(), comm=matrix.comm)
    out.setPreallocationCOO(rows, np.concatenate([columns, diagonal]).astype(PETSc.IntType))
    out.setValuesCOO(np.concatenate([values, np.zeros(len(diagonal))]))
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
