"""Fields as a time series that ParaView opens: ``fields.pvd``, its pieces in ``fields/``.

The pieces are written here rather than by ``dolfinx.io.VTKFile``, which writes text (2 to 3 times the size),
names the files itself, and says nothing when the disk is full.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from chemomech.errors import OutputError
from chemomech.output.folder import write_atomic, writing
from chemomech.output.nodes import Layout, layout, owned_cells
from chemomech.output.protocol import Snapshot
from chemomech.parallel import on_rank_zero, together
from chemomech.typing import Array, Longs, Mesh

_LOG = logging.getLogger(__name__)
CORNERS = "_corners"  # a scalar that jumps: its mean per cell, and under this ending its values at the corners
_VTK_CELL = {1: 3, 2: 5, 3: 10}  # line, triangle, tetrahedron
_TYPES = {"float64": "Float64", "int64": "Int64", "uint8": "UInt8"}


class FieldSeries:
    """Writes all fields of the snapshot, in SI units with coordinates in m, when they are due.

    Due are the first state, the last one, those at ``times`` and every ``every``-th step. A field that jumps
    between cells is written as its mean in each of them; a scalar one also with its values at the corners of the
    cells, in the order of their nodes, as ``<name>_corners``.

    Args:
        index: Path of the index, ``fields.pvd``.
        times: Output times that the time stepping hits exactly, s.
        every: Also each step whose number is a multiple of this; 0 for no more.
        resume: Continue the series that is there, without what lies beyond the restart.
        equilibrium: There is no time; the index counts steps in its place.
    """

    def __init__(
        self,
        index: Path,
        *,
        times: Sequence[float] = (),
        every: int = 0,
        resume: bool = False,
        equilibrium: bool = False,
    ) -> None:
        self.index, self.every, self.resume, self.equilibrium = index, every, resume, equilibrium
        self.times = tuple(times)
        self._entries: list[tuple[float, str]] = []
        self._last = -1
        self._grid: Grid | None = None
        self._layouts: dict[str, Layout | None] = {}

    @property
    def folder(self) -> Path:
        """Where the pieces are."""
        return self.index.with_suffix("")

    def due(self, snapshot: Snapshot) -> bool:
        """Whether the fields of this step are to be written; the same on every rank."""
        if self.every and snapshot.step % self.every == 0:
            return True
        return any(math.isclose(snapshot.time, t, rel_tol=1e-12) for t in self.times)

    def open(self, snapshot: Snapshot) -> None:
        """Write the initial state, or take up the series where the restart is.

        Raises:
            OutputError: The files can't be written, or the series to continue can't be read.
        """
        if self.resume:
            stamp = self._stamp(snapshot)
            self._entries = on_rank_zero(snapshot.comm, lambda: self._take_up(stamp))
            if self._entries and self._entries[-1][0] == stamp:
                self._last = snapshot.step
        if not self._entries:
            self._write(snapshot)

    def update(self, snapshot: Snapshot) -> None:
        """Write the fields if they are due. Raises OutputError if that fails."""
        if snapshot.step > self._last and self.due(snapshot):
            self._write(snapshot)

    def close(self, snapshot: Snapshot) -> None:
        """Write the last state, if that hasn't happened. Raises OutputError if that fails."""
        if snapshot.step > self._last:
            self._write(snapshot)

    def _stamp(self, snapshot: Snapshot) -> float:
        return float(snapshot.step) if self.equilibrium else float(snapshot.time)

    def _take_up(self, stamp: float) -> list[tuple[float, str]]:
        """Entries up to the restart; what lies beyond is removed. Rank 0 only."""
        entries = [e for e in read_index(self.index) if e[0] <= stamp] if self.index.exists() else []
        write_atomic(self.index, _index(entries))
        kept = {Path(file).stem for _, file in entries}
        with writing(self.folder):
            for file in self.folder.glob("step-*.*vtu"):
                if re.sub(r"_p\d+$", "", file.stem) not in kept:
                    file.unlink()
        return entries

    def _content(self, snapshot: Snapshot) -> tuple[Grid, dict[str, Array], dict[str, Array]]:
        """What this rank writes: its cells, values at their nodes, values in cells. Collective."""
        comm = snapshot.comm
        if self._grid is None:
            self._grid = Grid.of(snapshot.mesh, snapshot.length)
        points: dict[str, Array] = {}
        cells: dict[str, Array] = {}
        for name in snapshot.field_names:
            function = snapshot.function(name)
            if name not in self._layouts:
                elsewhere = function.function_space.mesh._cpp_object is not snapshot.mesh._cpp_object
                self._layouts[name] = None if elsewhere else layout(function.function_space)
                if elsewhere and comm.rank == 0:
                    _LOG.warning("%s lives on another mesh and is left out of the field files", name)
            where = self._layouts[name]
            if where is None:
                continue
            values = where.values(function)
            if len(where.shape) == 1 and values.shape[-1] < 3:
                values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, 3 - values.shape[-1])])
            count = len(self._grid.cells)
            if where.place == "nodes":
                points[name] = values[self._grid.nodes]
            elif where.place == "cells":
                cells[name] = values[:count]
            else:
                cells[name] = values[:count].mean(axis=1)
                if not where.shape:
                    cells[f"{name}{CORNERS}"] = values[:count, :, 0]
        return self._grid, points, cells

    def _write(self, snapshot: Snapshot) -> None:
        """Write the pieces, one per rank, and then the index. Collective."""
        comm = snapshot.comm
        grid, points, cells = self._content(snapshot)
        stem = f"step-{snapshot.step:06d}"
        own = f"{stem}.vtu" if comm.size == 1 else f"{stem}_p{comm.rank}.vtu"
        stamp = self._stamp(snapshot)
        together(comm, lambda: write_atomic(self.folder / own, _piece(grid, points, cells)))
        file = f"{self.folder.name}/{stem}.{'vtu' if comm.size == 1 else 'pvtu'}"
        entries = [e for e in self._entries if e[1] != file] + [(stamp, file)]

        def finish() -> None:
            if comm.size > 1:
                pieces = [f"{stem}_p{rank}.vtu" for rank in range(comm.size)]
                write_atomic(self.folder / f"{stem}.pvtu", _parallel(pieces, points, cells))
            write_atomic(self.index, _index(entries))

        on_rank_zero(comm, finish)
        self._entries, self._last = entries, snapshot.step


@dataclass(frozen=True)
class Grid:
    """The owned cells of a rank: ``nodes`` picks the local nodes they use, ``cells`` counts among those.

    In a periodic mesh both sides have nodes of their own, so that the body is written unwrapped.

    Attributes:
        nodes: Local nodes, shape (n,).
        points: Where they are, m, shape (n, 3).
        cells: Shape (cells, corners).
    """

    nodes: Longs
    points: Array
    cells: Longs

    @classmethod
    def of(cls, mesh: Mesh, length: float) -> Grid:
        """The owned cells of a mesh in units of ``length`` metres."""
        nodes, local = np.unique(owned_cells(mesh), return_inverse=True)
        cells = local.reshape(-1, mesh.topology.dim + 1).astype(np.int64)
        return cls(nodes.astype(np.int64), mesh.geometry.x[nodes] * length, cells)


_Data = dict[str, Array]


def _piece(grid: Grid, points: _Data, cells: _Data) -> bytes:
    """A VTK unstructured grid: an XML head, then the arrays as they are in memory."""
    blocks: list[bytes] = []
    size = 0

    def array(name: str, data: NDArray[np.generic], components: int = 1) -> str:
        nonlocal size
        raw = data.tobytes()
        blocks.extend((np.uint64(len(raw)).tobytes(), raw))
        offset, size = size, size + 8 + len(raw)
        return (
            f'<DataArray type="{_TYPES[str(data.dtype)]}" Name="{name}" NumberOfComponents="{components}" '
            f'format="appended" offset="{offset}"/>\n'
        )

    count, corners = grid.cells.shape
    head = (
        f"{_vtk_file('UnstructuredGrid')}<UnstructuredGrid>\n"
        f'<Piece NumberOfPoints="{len(grid.points)}" NumberOfCells="{count}">\n'
        f"<Points>\n{array('points', grid.points, 3)}</Points>\n<Cells>\n"
        + array("connectivity", grid.cells)
        + array("offsets", np.arange(corners, count * corners + 1, corners, dtype=np.int64))
        + array("types", np.full(count, _VTK_CELL[corners - 1], np.uint8))
        + "</Cells>\n<PointData>\n"
        + "".join(array(name, data, data.shape[1]) for name, data in points.items())
        + "</PointData>\n<CellData>\n"
        + "".join(array(name, data, data.shape[1]) for name, data in cells.items())
        + '</CellData>\n</Piece>\n</UnstructuredGrid>\n<AppendedData encoding="raw">\n_'
    )
    return b"".join((head.encode(), *blocks, b"\n</AppendedData>\n</VTKFile>\n"))


def _parallel(pieces: list[str], points: _Data, cells: _Data) -> str:
    def arrays(data: _Data) -> str:
        return "".join(
            f'<PDataArray type="Float64" Name="{name}" NumberOfComponents="{values.shape[1]}"/>\n'
            for name, values in data.items()
        )

    return (
        f'{_vtk_file("PUnstructuredGrid")}<PUnstructuredGrid GhostLevel="0">\n'
        '<PPoints>\n<PDataArray type="Float64" Name="points" NumberOfComponents="3"/>\n</PPoints>\n'
        f"<PPointData>\n{arrays(points)}</PPointData>\n<PCellData>\n{arrays(cells)}</PCellData>\n"
        + "".join(f'<Piece Source="{piece}"/>\n' for piece in pieces)
        + "</PUnstructuredGrid>\n</VTKFile>\n"
    )


def _index(entries: list[tuple[float, str]]) -> str:
    lines = "".join(f'<DataSet timestep="{time!r}" part="0" file="{file}"/>\n' for time, file in entries)
    return f"{_vtk_file('Collection')}<Collection>\n{lines}</Collection>\n</VTKFile>\n"


def _vtk_file(kind: str) -> str:
    order = "LittleEndian" if np.little_endian else "BigEndian"
    return f'<?xml version="1.0"?>\n<VTKFile type="{kind}" version="1.0" byte_order="{order}" header_type="UInt64">\n'


def read_index(index: Path) -> list[tuple[float, str]]:
    """Times (s) and files, relative to the folder of ``index``, of a series. Not collective.

    Raises:
        OutputError: The index can't be read.
    """
    try:
        root = ElementTree.fromstring(index.read_text())
        return [(float(d.attrib["timestep"]), d.attrib["file"]) for d in root.iter("DataSet")]
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise OutputError(f"Can't read {index}: {error}. Start again with --overwrite.") from error
