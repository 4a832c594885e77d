"""Output folder, fields, history, figures, progress; the run itself is played by a small stand-in."""

from __future__ import annotations

import errno
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import basix.ufl
import numpy as np
import pytest
from dolfinx import fem, mesh
from mpi4py import MPI

from chemomech import cli, drawing, parallel
from chemomech.case import Case, Dislocation
from chemomech.errors import CaseError, ChemomechError, OutputError, OutputExistsError
from chemomech.output import figures, folder, history, panels, plane, profile, redraw, strength
from chemomech.output.fields import FieldSeries, read_index
from chemomech.output.figures import Figures
from chemomech.output.history import History
from chemomech.output.progress import Progress, clock, duration
from tests.tools import gathered

COMM = MPI.COMM_WORLD
ROOT = Path(__file__).resolve().parent.parent
NM = 1e-9
alone = pytest.mark.skipif(COMM.size > 1, reason="starts processes of its own, or is about one rank")


def grid(n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and cells of [-1, 1]^dim, cut into simplices."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n + 1)] * dim, indexing="ij")
    points = np.column_stack([a.ravel() for a in axes])
    stride = (n + 1) ** np.arange(dim)[::-1]
    base = (np.indices((n,) * dim).reshape(dim, -1).T * stride).sum(axis=1)
    paths = [(0, 1), (1, 0)] if dim == 2 else [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    cells = [np.column_stack([base + sum(stride[list(p[:k])]) for k in range(dim + 1)]) for p in paths]
    return points, np.concatenate(cells).astype(np.int64)


def partitioner() -> object:
    """Ghosts across facets, which a periodic mesh needs."""
    try:
        return mesh.create_cell_partitioner(mesh.GhostMode.shared_facet, 2)
    except TypeError:  # DOLFINx 0.10
        return mesh.create_cell_partitioner(mesh.GhostMode.shared_facet)


class Fake:
    """A run whose fields are known: coordinates in nm, c linear in x and in time."""

    def __init__(self, comm: MPI.Comm = COMM, n: int = 6, dim: int = 2, length: float = NM) -> None:
        self.comm, self.length, self.dim = comm, length, dim
        points, cells = grid(n, dim)
        own = slice(None) if comm.rank == 0 else slice(0)
        element = basix.ufl.element("Lagrange", ("triangle", "tetrahedron")[dim - 2], 1, shape=(dim,))
        self.mesh = mesh.create_mesh(comm, cells[own], element, points[own], partitioner())
        self.time, self.step, self.step_size = 0.0, 0, 0.0
        spaces = {
            "displacement": ("P", 1, (dim,)),
            "concentration": ("P", 1),
            "stress": ("DG", 0, (3, 3)),
            "hydrostatic_stress": ("DG", 0),
        }
        self.field_names = tuple(spaces)
        self.warnings: tuple[str, ...] = ()
        self.functions = {name: fem.Function(fem.functionspace(self.mesh, s)) for name, s in spaces.items()}

    def go(self, step: int, time: float, step_size: float = 1.0) -> Fake:
        self.step, self.time, self.step_size = step, time, step_size
        return self

    def function(self, name: str) -> fem.Function:
        f, dim = self.functions[name], self.dim
        f.interpolate(
            {
                "displacement": lambda x: x[:dim] * NM / 100,
                "concentration": lambda x: 0.5 + 0.2 * x[0] + 0.01 * self.step,
                "stress": lambda x: np.arange(9.0)[:, None] * 1e9 + 1e8 * x[0],
                "hydrostatic_stress": lambda x: -1e9 * x[1],
            }[name]
        )
        f.x.scatter_forward()
        return f

    def row(self) -> dict[str, float]:
        n = self.step
        return {
            "concentration_min": 0.5 - n / 30,
            "concentration_mean": 0.5,
            "concentration_max": 0.5 + n / 30,
            "free_energy_J_per_m": -1e-9 / 3 * math.exp(-n),
            "newton_iterations": 3.0,
        }


class Layered(Fake):
    """[-1, 1]^dim nm, periodic along x: phase 1 below y = 0 with c = 0.8 + 0.1 y, phase 2 above with c = 0.2 + 0.1 y.

    Every c also has + 0.05 (x + 1) in 3D or without ``periodic``. The stress is 1 GPa below and -2 GPa above.
    """

    def __init__(
        self, comm: MPI.Comm = COMM, n: int = 6, dim: int = 2, *, periodic: bool = True, linear: bool = True
    ) -> None:
        super().__init__(comm, n, dim)
        if periodic:
            self.mesh = merged(self.mesh, 0)
        self.slope = 0.0 if periodic else 0.05
        spaces = {
            "concentration": ("DG", int(linear)),
            "chemical_potential": ("P", 1),
            "hydrostatic_stress": ("DG", 0),
            "phase": ("DG", 0),
        }
        self.field_names = tuple(spaces)
        self.functions = {name: fem.Function(fem.functionspace(self.mesh, s)) for name, s in spaces.items()}
        middle = np.asarray(self.mesh.geometry.x[self.mesh.geometry.dofmaps[0]]).mean(axis=1)
        self.upper = middle[:, 1] > 0

    def function(self, name: str) -> fem.Function:
        f = self.functions[name]
        if name == "chemical_potential":
            f.interpolate(lambda x: 1.0 + x[1])
        elif name == "concentration" and f.function_space.element.basix_element.degree == 1:
            x = self.mesh.geometry.x[self.mesh.geometry.dofmaps[0]]
            base = np.where(self.upper, 0.2, 0.8)[:, None] + 0.1 * x[:, :, 1] + self.slope * (x[:, :, 0] + 1)
            f.x.array[f.function_space.dofmap.list] = base
        else:
            values = {"concentration": (0.8, 0.2), "phase": (1.0, 2.0), "hydrostatic_stress": (1e9, -2e9)}[name]
            f.x.array[f.function_space.dofmap.list[:, 0]] = np.where(self.upper, values[1], values[0])
        f.x.scatter_forward()
        return f


class Cracked(Fake):
    """A fake whose tension over strength is 1 + x + 0.01 y at the middle of each cell (nm), and with a flow stress."""

    def __init__(self, comm: MPI.Comm = COMM, n: int = 4, dim: int = 2, *, forest: bool = True) -> None:
        super().__init__(comm, n, dim)
        new = ("strength_ratio", "taylor_stress") if forest else ("strength_ratio",)
        self.field_names = (*self.field_names, *new)
        space = fem.functionspace(self.mesh, ("DG", 0))
        self.functions |= {name: fem.Function(space) for name in new}

    def function(self, name: str) -> fem.Function:
        f = self.functions[name]
        if name in self.field_names[:4]:
            return super().function(name)
        f.interpolate(lambda x: 1 + x[0] + 0.01 * x[1] if name == "strength_ratio" else 1e9 + 1e8 * x[1])
        f.x.scatter_forward()
        return f


def merged(msh: mesh.Mesh, axis: int) -> mesh.Mesh:
    """The mesh with the side at 1 of ``axis`` joined to the side at -1."""
    from scifem.periodic import create_periodic_mesh

    def opposite(x: np.ndarray) -> np.ndarray:
        y = x.copy()
        y[axis] -= 2
        return y

    return create_periodic_mesh(msh, lambda x: np.isclose(x[axis], 1), opposite)[0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return Path(COMM.bcast(str(tmp_path), root=0))


# ---- parallel ------------------------------------------------------------------------------------------------


def test_reductions_and_rows() -> None:
    n, r = COMM.size, COMM.rank
    assert parallel.global_sum(COMM, r) == n * (n - 1) / 2
    assert parallel.global_min(COMM, r - 0.5) == -0.5 and parallel.global_max(COMM, float(r)) == n - 1
    assert np.array_equal(parallel.global_sum(COMM, np.full((2, 2), r)), np.full((2, 2), n * (n - 1) // 2))
    rows = parallel.gather_rows(COMM, np.full((r, 2), r, np.int64))
    expected = [[k, k] for k in range(n) for _ in range(k)] if r == 0 else []
    assert rows.tolist() == expected and rows.shape[1:] == (2,) and rows.dtype == np.int64
    back = np.empty((r, 2), np.int64)
    parallel.scatter_rows(COMM, rows if r == 0 else None, list(range(n)) if r == 0 else None, back)
    assert np.all(back == r)


def fail(error: BaseException) -> None:
    raise error


def test_errors_reach_every_rank() -> None:
    assert parallel.on_rank_zero(COMM, lambda: COMM.rank) == 0
    assert parallel.together(COMM, lambda: COMM.rank) == COMM.rank
    with pytest.raises(CaseError, match="--out = 7: is odd") as caught:
        parallel.on_rank_zero(COMM, lambda: fail(CaseError("--out", 7, "is odd")))
    assert (caught.value.key, caught.value.value) == ("--out", 7)
    last = COMM.size - 1
    with pytest.raises(OSError, match="full") as full:
        parallel.together(COMM, lambda: fail(OSError(errno.ENOSPC, "full")) if COMM.rank == last else None)
    assert full.value.errno == errno.ENOSPC
    with pytest.raises((RuntimeError, ValueError), match="odd"):
        parallel.on_rank_zero(COMM, lambda: fail(ValueError("odd", lambda: 1)))


# ---- folder --------------------------------------------------------------------------------------------------


def prepare(out: Path, *, resume: bool = False, overwrite: bool = False) -> folder.RunFolder:
    return folder.prepare(out, resume=resume, overwrite=overwrite, comm=COMM)


def test_a_held_folder_is_not_touched_without_a_flag(place: Path) -> None:
    run = prepare(place / "deep" / "run", resume=True)
    assert run.path.is_dir() and not run.resumed and not list(run.path.iterdir())
    COMM.barrier()
    ours = ["case.toml", "run.log", "fields.pvd", "fields/step-000003.vtu", "figures/fields.png", "checkpoint/mesh.npz"]
    theirs = ["notes.txt", "fields/step-notes.txt", "figures/mine.svg", "checkpoint/backup.h5", "fieldsnotes.pvd"]
    if COMM.rank == 0:
        for name in (*ours, *theirs, "checkpoint/.mesh.npz.7.part"):
            (run.path / name).parent.mkdir(exist_ok=True)
            (run.path / name).write_text(name)
    COMM.barrier()
    with pytest.raises(OutputExistsError, match="already holds a run") as caught:
        prepare(run.path)
    assert caught.value.exit_code == 4
    with pytest.raises(CaseError, match="contradicts"):
        prepare(run.path, resume=True, overwrite=True)
    assert prepare(run.path, resume=True).resumed
    left = sorted(str(f.relative_to(run.path)) for f in run.path.rglob("*") if f.is_file())
    assert left == sorted(ours + theirs)
    COMM.barrier()
    assert not prepare(run.path, overwrite=True).resumed
    left = sorted(str(f.relative_to(run.path)) for f in run.path.rglob("*") if f.is_file())
    assert left == sorted(theirs)


@alone
@pytest.mark.parametrize("out", ["a-file", "a-file/below", "/proc/run"])
def test_a_place_that_cannot_be_written_is_named(place: Path, out: str) -> None:
    (place / "a-file").write_text("")
    with pytest.raises(CaseError, match=r"--out = .*can't be used as output folder: ") as caught:
        prepare(place / out)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert [p.name for p in place.iterdir()] == ["a-file"]


@alone
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_is_found_before_computing(
    place: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(folder.os, "fsync", lambda _: fail(OSError(code, os.strerror(code))))
        with pytest.raises(CaseError, match=os.strerror(code)):
            prepare(place / "a" / "b")
    assert not list(place.iterdir())


@alone
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_atomic_writing(place: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "new" / "summary.json"
    folder.write_atomic(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(folder.os, "fsync", lambda _: fail(OSError(code, os.strerror(code))))
        with pytest.raises(OutputError, match=rf"Can't write .*summary.json: {os.strerror(code)}. .*--"):
            folder.write_atomic(path, "new")
    assert path.read_text() == "old" and len(list(path.parent.iterdir())) == 1
    folder.write_atomic(path, b"new")
    assert path.read_text() == "new"


# ---- history -------------------------------------------------------------------------------------------------


def play(out: History, fake: Fake, first: int, last: int) -> None:
    out.open(fake.go(first, first / 3))
    for step in range(first + 1, last + 1):
        out.update(fake.go(step, step / 3))


def test_history_is_exact_and_continues(place: Path) -> None:
    path, fake = place / "history.csv", Fake()
    whole = History(path)
    play(whole, fake, 0, 6)
    COMM.barrier()
    assert history.read(path) == whole.rows  # after every row, before it is closed
    whole.close(fake)
    text = path.read_text()
    assert text.startswith("step,time,step_size,concentration_min,") and text.splitlines()[1].startswith("0,0.0,")
    COMM.barrier()
    if COMM.rank == 0:
        path.write_text(text[:-9])  # killed in the middle of a line
    COMM.barrier()
    assert history.read(path)["step"] == [0, 1, 2, 3, 4, 5]
    COMM.barrier()
    again = History(path, resume=True)
    play(again, fake, 4, 6)
    again.close(fake)
    COMM.barrier()
    assert path.read_text() == text and again.rows == whole.rows


@alone
def test_a_history_that_cannot_be_continued_is_an_error(place: Path) -> None:
    path = place / "history.csv"
    for content, words in (("step,time\n0,0.0\n", "columns differ"), ("step,a\n0\n", "line 2"), ("x", "no column")):
        path.write_text(content)
        with pytest.raises(OutputError, match=words):
            History(path, resume=True).open(Fake())


@alone
def test_a_full_disk_stops_the_history(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake, out = Fake(), History(place / "history.csv")
    out.open(fake)
    assert out._file is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, out._file)
    os.close(full)
    with pytest.raises(OutputError, match=r"history.csv: No space left on device. .*--resume"):
        out.update(fake.go(1, 1.0))
    out.stop()
    out.stop()
    with pytest.raises(OutputError, match="closed"):
        out.update(fake.go(2, 2.0))
    with pytest.raises(ValueError, match=r"fixed at the start, but .*extra"):
        fake.row = lambda: {"extra": 1.0}
        out.update(fake)
    late = History(place / "history.csv", resume=True)
    with caplog.at_level(logging.WARNING):
        late.open(Fake().go(7, 7.0))
    assert late.rows["step"] == [0, 7] and "lacks the steps" in caplog.text
    late.stop()


# ---- fields --------------------------------------------------------------------------------------------------


def read_series(index: Path) -> dict[float, object]:
    import pyvista

    reader = pyvista.get_reader(str(index))
    found = {}
    for time in reader.time_values:
        reader.set_active_time_value(time)
        found[time] = reader.read()[0]
    return found


def check_piece(data: object, step: int, dim: int = 2, n: int = 6) -> None:
    x = data.points
    assert data.n_cells == (2 * n**2 if dim == 2 else 6 * n**3)
    assert np.allclose(data.bounds[:4], [-NM, NM, -NM, NM], atol=1e-22)
    assert np.isclose(data.compute_cell_sizes()["Area" if dim == 2 else "Volume"].sum(), (2 * NM) ** dim)
    assert set(data.point_data) >= {"displacement", "concentration"}
    assert set(data.cell_data) >= {"stress", "hydrostatic_stress"}
    assert np.allclose(data["concentration"], 0.5 + 0.2 * x[:, 0] / NM + 0.01 * step, rtol=0, atol=1e-14)
    assert np.allclose(data["displacement"], x / 100, atol=1e-24)
    centre = data.cell_centers().points / NM
    assert np.allclose(data["hydrostatic_stress"], -1e9 * centre[:, 1], atol=1e-4)
    assert np.allclose(data["stress"], np.arange(9.0) * 1e9 + 1e8 * centre[:, :1], atol=1e-4)


@pytest.mark.parametrize("dim", [2, 3])
def test_fields_read_back_in_metres_and_seconds(place: Path, dim: int) -> None:
    fake, n = Fake(dim=dim, n=3), 3
    before = fake.mesh.geometry.x.copy()
    series = FieldSeries(place / "fields.pvd", times=(1.0, 1.0 + 1e-9), every=5)
    series.open(fake)
    for step, time in enumerate((0.5, 1.0, 1.0 + 1e-9, 1.2, 1.3, 1.4, 1.5), start=1):
        series.update(fake.go(step, time))
    series.close(fake)
    series.close(fake)
    assert np.array_equal(fake.mesh.geometry.x, before)
    if COMM.rank == 0:
        steps = dict(zip((0.0, 1.0, 1.0 + 1e-9, 1.3, 1.5), (0, 2, 3, 5, 7), strict=True))
        found = read_series(place / "fields.pvd")
        assert list(found) == list(steps)
        for time, data in found.items():
            check_piece(data, steps[time], dim, n)
    COMM.barrier()


def test_fields_continue_from_the_restart(place: Path) -> None:
    fake, index = Fake(), place / "fields.pvd"
    series = FieldSeries(index, every=2)
    series.open(fake)
    for step in range(1, 8):
        series.update(fake.go(step, step / 3))
    COMM.barrier()
    again = FieldSeries(index, every=2, resume=True)
    again.open(fake.go(4, 4 / 3))
    COMM.barrier()
    assert [t for t, _ in read_index(index)] == [0.0, 2 / 3, 4 / 3]
    assert not list(series.folder.glob("step-000006*")) and list(series.folder.glob("step-000004*"))
    COMM.barrier()
    for step in (5, 6):
        again.update(fake.go(step, step / 3))
    again.close(fake)
    COMM.barrier()
    if COMM.rank == 0:
        found = read_series(index)
        assert list(found) == [0.0, 2 / 3, 4 / 3, 2.0]
        for time, data in found.items():
            check_piece(data, round(3 * time))
    COMM.barrier()


@alone
def test_fields_in_equilibrium_count_steps_and_errors_are_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, index = Fake(), place / "fields.pvd"
    series = FieldSeries(index, equilibrium=True)
    series.open(fake)
    series.close(fake.go(1, 0.0))
    assert [t for t, _ in read_index(index)] == [0.0, 1.0]
    with monkeypatch.context() as patch:
        patch.setattr(folder.os, "write", lambda *_: fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        with pytest.raises(OutputError, match=r"step-000002.vtu: No space left"):
            series.close(fake.go(2, 0.0))
    assert [t for t, _ in read_index(index)] == [0.0, 1.0] and len(list(series.folder.iterdir())) == 2
    index.write_text("<VTKFile><Collection>")
    with pytest.raises(OutputError, match="Can't read"):
        FieldSeries(index, resume=True).open(fake)
    fake.functions["concentration"] = fem.Function(fem.functionspace(fake.mesh, ("P", 2)))
    with pytest.raises(TypeError, match="only linear and cell-wise constant"):
        FieldSeries(place / "other.pvd").open(fake)


def test_a_field_of_another_mesh_is_left_out(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    fake, other = Fake(), Fake()
    fake.field_names = ("concentration", "stress")
    fake.functions["stress"] = other.functions["stress"]
    with caplog.at_level(logging.WARNING):
        FieldSeries(place / "fields.pvd").open(fake)
    if COMM.rank == 0:
        assert "stress lives on another mesh" in caplog.text
        assert set(read_series(place / "fields.pvd")[0.0].array_names) >= {"concentration"}
    COMM.barrier()


@pytest.mark.parametrize("dim", [2, 3])
def test_jumping_fields_and_periodic_bodies_are_written_as_they_are(place: Path, dim: int) -> None:
    fake, n = Layered(dim=dim, n=4), 4
    FieldSeries(place / "fields.pvd").open(fake)
    COMM.barrier()
    if COMM.rank:
        COMM.barrier()
        return
    data = read_series(place / "fields.pvd")[0.0]
    assert data.n_cells == (2 * n**2 if dim == 2 else 6 * n**3)
    sizes = data.compute_cell_sizes()["Area" if dim == 2 else "Volume"]
    assert np.isclose(sizes.sum(), (2 * NM) ** dim) and np.isclose(sizes.min(), sizes.max())  # nothing is wrapped
    assert np.allclose(data.point_data["chemical_potential"], 1 + data.points[:, 1] / NM)
    y = data.cell_centers().points[:, 1] / NM
    assert np.array_equal(data.cell_data["phase"], np.where(y > 0, 2, 1))
    assert np.allclose(data.cell_data["concentration"], np.where(y > 0, 0.2, 0.8) + 0.1 * y)
    cells = np.asarray(data.cells).reshape(-1, dim + 2)[:, 1:]
    expected = np.where(y > 0, 0.2, 0.8)[:, None] + 0.1 * data.points[cells][:, :, 1] / NM
    assert np.allclose(data.cell_data["concentration_corners"], expected)
    COMM.barrier()


# ---- figures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [2, 3])
def test_the_body_is_gathered_and_averaged(dim: int) -> None:
    fake = Fake(dim=dim, n=4)
    body = plane.gather_body(fake.go(2, 1.0))
    if COMM.rank:
        assert len(body.points) == len(body.cells) == 0
        return
    points, cells = grid(4, dim)
    assert np.allclose(body.points[:, :dim], points * NM, atol=1e-24)
    assert sorted(map(sorted, body.cells.tolist())) == sorted(map(sorted, cells.tolist()))
    assert np.allclose(body.concentration, 0.52 + 0.2 * points[:, 0])
    inner = np.all(np.abs(points) < 0.9, axis=1)  # a linear field is met exactly inside a regular mesh
    assert np.allclose(body.stress[inner], -1e9 * points[inner, 1], atol=1)
    lines = [
        Dislocation(position=(0.1 * NM, 0.0, 0.0)[:dim], burgers=(NM, 0.0, 0.0)[:dim], core=0.1 * NM),
        Dislocation(position=(0.0, 0.2 * NM, 0.5 * NM)[:dim], burgers=(0.0, NM, 0.0)[:dim], core=0.1 * NM),
    ]
    shown = plane.plane_of(body, lines)
    assert np.allclose(shown.concentration, 0.52 + 0.2 * shown.points[:, 0] / NM)
    a, b, c = (shown.points[shown.triangles[:, i]] for i in range(3))
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    assert np.isclose(area, 4 * NM**2, rtol=1e-6)
    assert np.allclose([core.up for core in shown.cores], [[0, 1], [-1, 0]])
    assert np.allclose(shown.cores[1].position, [0, 0.2 * NM])


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("dim", [2, 3])
def test_a_body_is_split_where_phases_meet(place: Path, dim: int, linear: bool) -> None:
    fake, n = Layered(dim=dim, n=4, linear=linear), 4
    slope = 0.1 if linear else 0.0
    body = plane.gather_body(fake)
    FieldSeries(place / "fields.pvd").open(fake)
    COMM.barrier()
    if COMM.rank:
        assert len(body.points) == len(body.cells) == len(body.phases) == 0
        COMM.barrier()
        return
    piece = place / "fields" / f"step-000000.{'vtu' if COMM.size == 1 else 'pvtu'}"
    for found in (body, redraw.read_body(piece)):
        assert len(found.points) == (n + 1) ** dim + (n + 1) ** (dim - 1)  # those at y = 0 twice
        assert found.phases.tolist().count(2) == len(found.cells) // 2
        y = found.points[:, 1] / NM
        upper = np.zeros(len(y), bool)
        upper[found.cells[found.phases == 2]] = True
        assert np.allclose(found.concentration, np.where(upper, 0.2, 0.8) + slope * y, rtol=0, atol=1e-12)
        assert (
            np.allclose(found.stress, np.where(upper, -2e9, 1e9)) and np.all(y[upper] >= 0) and np.all(y[~upper] <= 0)
        )
        facets = found.interfaces()
        assert len(facets) == (n if dim == 2 else 2 * n**2) and np.allclose(found.points[facets][:, :, 1], 0)
        shown = plane.plane_of(found)
        lengths = np.linalg.norm(shown.seams[:, 1] - shown.seams[:, 0], axis=1)
        assert np.isclose(lengths.sum(), 2 * NM) and np.allclose(shown.seams[:, :, 1], 0)
        at_zero = np.abs(shown.points[:, 1]) < 1e-6 * NM
        assert np.allclose(np.unique(shown.concentration[at_zero].round(6)), [0.2, 0.8])
    COMM.barrier()


def test_a_body_of_one_phase_has_no_seams() -> None:
    body = plane.gather_body(Fake(n=4))
    assert len(body.interfaces()) == 0 and np.all(body.phases == 1)
    if COMM.rank == 0:
        assert np.array_equal(body.origin, np.arange(25)) and plane.plane_of(body).seams.shape == (0, 2, 2)


@alone
def test_seams_of_a_round_inclusion_are_closed() -> None:
    points, cells = grid(9, 3)
    inner = np.linalg.norm(points[cells].mean(axis=1), axis=1) < 0.6
    values = np.where(inner, 1.0, 0.0)
    body = plane.Body.of(points, cells, ("cells", values), ("cells", values), 1 + values)
    assert set(body.concentration) == {0.0, 1.0}
    shown = plane.plane_of(body)
    ends, times = np.unique(shown.seams.reshape(-1, 2).round(6), axis=0, return_counts=True)
    assert len(ends) > 20 and np.all(times % 2 == 0)  # a ring
    assert np.all(np.abs(np.linalg.norm(ends, axis=1) - 0.6) < 0.35)


# ---- profile -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [2, 3])
def test_lateral_means_are_exact(dim: int) -> None:
    body = plane.gather_body(Layered(dim=dim, n=5 if dim == 2 else 3, periodic=False))
    if COMM.rank:
        return
    # Odd n: y = 0 runs through cells, so split by hand where the phases really meet.
    at = np.array([-1.0, -0.77, -0.2, 0.31, 1.0]) * NM
    means = profile.lateral_means(body, at)
    edge = {5: 0.2, 3: 1 / 3}[5 if dim == 2 else 3]
    assert np.allclose(means.y, at)
    for y, mean, low, high in zip(at / NM, means.concentration, means.low, means.high, strict=True):
        if abs(y) > edge + 1e-9:  # outside the row of cells that phases share
            base = (0.2 if y > 0 else 0.8) + 0.1 * y
            assert np.allclose([mean, low, high], [base + 0.05, base, base + 0.1], rtol=0, atol=1e-12)
    assert np.allclose(means.stress[[0, 1, 4]], [1e9, 1e9, -2e9])
    with pytest.raises(ValueError, match="nothing of the body"):
        profile.lateral_means(body, [1.1 * NM])


@alone
@pytest.mark.parametrize("dim", [2, 3])
def test_lateral_means_weigh_by_the_part_of_the_plane(dim: int) -> None:
    rng = np.random.default_rng(3)
    points, cells = grid(4, dim)
    inner = np.all(np.abs(points) < 0.99, axis=1)
    points[inner] += 0.1 * rng.uniform(-1, 1, (inner.sum(), dim))
    flat = np.pad(points, ((0, 0), (0, 3 - dim)))
    values = rng.normal(size=len(cells))
    body = plane.Body.of(flat, cells, ("nodes", rng.uniform(size=len(points))), ("cells", values), None)
    means = profile.lateral_means(body, [0.123])
    # by sampling: the cells along many points of the plane, found by barycentric coordinates
    samples = np.column_stack([rng.uniform(-1, 1, 4000), np.full(4000, 0.123), rng.uniform(-1, 1, 4000)])[:, :dim]
    c, sigma = [], []
    first = points[cells[:, 0]]
    inverse = np.linalg.inv(np.swapaxes(points[cells[:, 1:]] - first[:, None], 1, 2))
    for x in samples:
        part = np.einsum("cij,cj->ci", inverse, x - first)
        part = np.column_stack([1 - part.sum(axis=1), part])
        k = int(np.argmax(part.min(axis=1)))
        c.append(part[k] @ body.concentration[cells[k]])
        sigma.append(part[k] @ body.stress[cells[k]])
    assert abs(means.concentration[0] - np.mean(c)) < 4 * np.std(c) / 4000**0.5
    assert abs(means.stress[0] - np.mean(sigma)) < 4 * np.std(sigma) / 4000**0.5
    assert means.low[0] <= min(c) and means.high[0] >= max(c)


@alone
def test_a_profile_has_both_sides_of_each_interface(place: Path) -> None:
    body = plane.gather_body(Layered(n=4))
    found = profile.lateral_profile(body, [0.0])
    assert found.interfaces == (0.0,) and np.all(np.diff(found.y) >= 0)
    k = int(np.argmax(np.diff(found.y) == 0))
    assert np.allclose(found.concentration[k : k + 2], [0.8, 0.2]) and np.allclose(found.stress[k : k + 2], [1e9, -2e9])
    assert found.y[0] == -NM and found.y[-1] == NM and np.allclose(found.concentration[[0, -1]], [0.7, 0.3])
    for off in (1e-24, -1e-24):  # as far as rounding takes the mesh from the case
        near = profile.lateral_profile(body, [off])
        assert np.allclose(near.concentration, found.concentration, rtol=0, atol=1e-9) and near.interfaces == (off,)
    profile.write_profile(found, place / "profile.csv")
    again = profile.read_profile(place / "profile.csv")
    assert again.interfaces == (0.0,)
    assert all(np.array_equal(getattr(found, a), getattr(again, a)) for a in ("y", "concentration", "low", "stress"))
    (place / "profile.csv").write_text("y_m\n0\n")
    with pytest.raises(OutputError, match="Can't read"):
        profile.read_profile(place / "profile.csv")
    # between two interfaces the middle belongs to both, and stands there once
    assert profile.levels(body, [-0.5 * NM, 0.5 * NM]).tolist().count(0.0) <= 1
    assert np.sum(np.diff(profile.levels(body, [-0.5 * NM, 0.5 * NM])) == 0) == 2
    assert not np.any(np.diff(profile.levels(body, [])) == 0)


def test_the_width_of_an_interface() -> None:
    width = profile.interface_width_10_90
    y = np.array([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0])
    assert width(y, np.array([0.0, 0, 0, 1, 1, 1]), 0.0) == 0.0
    assert width(y, np.array([1.0, 1, 0.95, 0.05, 0, 0]), 0.0) == 0.0
    assert np.isclose(width(np.linspace(-1, 1, 6), np.linspace(0.2, 0.7, 6), 0.1), 1.6)
    assert np.isclose(width(y, np.array([0.0, 0.0, 0.2, 0.2, 1.0, 1.0]), 0.0), 0.5 + 0.7 / 0.8)
    # the jump from 20 to 60 % is no distance; from 0 to 20 and from 60 to 100 % c is linear
    assert np.isclose(width(y, np.array([0.0, 0.0, 0.2, 0.6, 1.0, 1.0]), 0.0), 0.5 + 0.75)
    assert np.isclose(width(y, 1 - np.array([0.0, 0.0, 0.2, 0.6, 1.0, 1.0]), 0.0), 0.5 + 0.75)
    # a dip in the upper part from 1 to 0.8 and back: the outermost crossing is on its far side
    assert np.isclose(width(y, np.array([0.0, 0.0, 0.0, 1.0, 0.8, 1.0]), 0.0), 1.5)
    # a hump before the jump, too low to count
    assert width(y, np.array([0.0, 0.05, 0.0, 1.2, 1.0, 1.0]), 0.0) == 0.0
    assert math.isnan(width(y, np.full(6, 0.3), 0.0))
    with pytest.raises(ValueError, match="does not lead across"):
        width(y, y, 3.0)


@alone
def test_cuts_along_other_lines() -> None:
    body = plane.gather_body(Fake(dim=3, n=4))
    for line, burgers in (((1, 0, 0), (0, NM, 0)), ((0, -1, 0), (NM, 0, 0)), ((1, 0, 1), (0, NM, 0))):
        core = Dislocation(position=(0.3 * NM, 0.1 * NM, 0.0), burgers=burgers, core=0.1 * NM, line=line)
        other = Dislocation(position=(0.0, 0.0, 0.0), burgers=burgers, core=0.1 * NM, line=(1, 1, 1))
        shown = plane.plane_of(body, [core, other])
        assert len(shown.cores) == 1 and np.isclose(np.linalg.norm(shown.cores[0].up), 1)
        low, high = shown.points.min(axis=0), shown.points.max(axis=0)
        assert np.all(shown.cores[0].position > low) and np.all(shown.cores[0].position < high)
        assert np.allclose(sorted(high - low), [2 * NM, (2 if 0 in line[:1] or line[2] == 0 else 8**0.5) * NM])
    assert plane.plane_of(body).cores == ()


@pytest.mark.parametrize("dim", [2, 3])
def test_figures_are_drawn(place: Path, dim: int) -> None:
    fake, log = Fake(dim=dim), History(None)
    core = Dislocation(position=(0.0,) * dim, burgers=(NM, 0.0, 0.0)[:dim], core=0.02 * NM)
    out = Figures(place / "figures", log, title="A title with $ and a good many words in it " * 3, dislocations=[core])
    log.open(fake)
    out.open(fake)
    for step in range(1, 4):
        log.update(fake.go(step, 10.0**step))
        out.update(fake)
    out.close(fake)
    assert len(log.rows["time"]) == 4
    if COMM.rank == 0:
        from matplotlib.image import imread

        for name, height in (("fields.png", 1000), ("history.png", 700)):
            picture = imread(place / "figures" / name)[..., :3]
            assert picture.shape[1] >= 900 and picture.shape[0] > height and picture.std() > 0.05
    COMM.barrier()


@pytest.mark.parametrize("dim", [2, 3])
def test_a_layered_body_gets_a_profile(place: Path, dim: int) -> None:
    fake, log = Layered(dim=dim, n=4), History(None)
    out = Figures(place / "figures", log, title="layers", interfaces=[0.0])
    log.open(fake)
    out.open(fake)
    out.close(fake.go(1, 2.0))
    table = profile.ProfileTable(place / "profile.csv", [0.0])
    table.open(fake)
    table.update(fake)
    if COMM.rank == 0:
        assert (place / "figures" / "profile.png").stat().st_size > 20_000 and not table.path.exists()
    COMM.barrier()
    table.close(fake)  # whether pictures are drawn or not
    if COMM.rank == 0:
        assert profile.read_profile(place / "profile.csv").interfaces == (0.0,)
        assert "profile.csv" in folder._OWNED
    COMM.barrier()


def test_values_of_a_periodic_body_in_the_order_of_its_mesh() -> None:
    points, cells = grid(6, 2)
    fake = Layered()
    assert np.allclose(gathered(fake, "chemical_potential"), 1 + points[:, 1], rtol=0, atol=1e-14)
    upper = points[cells].mean(axis=1)[:, 1] > 0
    assert np.array_equal(gathered(fake, "phase"), np.where(upper, 2.0, 1.0))
    expected = np.where(upper, 0.2, 0.8)[:, None] + 0.1 * points[cells][:, :, 1]
    found = gathered(fake, "concentration").reshape(expected.shape)
    assert np.allclose(np.sort(found), np.sort(expected), rtol=0, atol=1e-14)  # the mesh may turn its cells
    assert gathered(Fake(), "stress").shape == (len(cells), 3, 3)


@pytest.mark.parametrize("dim", [2, 3])
def test_where_a_crack_would_open(place: Path, dim: int) -> None:
    fake = Cracked(dim=dim)
    body = plane.gather_body(fake, strength.SHOWN)
    series = FieldSeries(place / "fields.pvd")
    series.open(fake)
    COMM.barrier()
    if COMM.rank == 0:
        line = Dislocation(position=(-0.9 * NM, 0.0, 0.5 * NM)[:dim], burgers=(NM, 0.0, 0.0)[:dim], core=0.1 * NM)
        far = Dislocation(position=(-0.9 * NM, -0.9 * NM, 0.0)[:dim], burgers=(NM, 0.0, 0.0)[:dim], core=0.1 * NM)
        top = {2: (5 / 6, 2 / 3), 3: (7 / 8, 3 / 4)}[dim]  # middle of the cell with the largest value
        piece = place / "fields" / f"step-000000.{'vtu' if COMM.size == 1 else 'pvtu'}"
        for one in (body, redraw.read_body(piece)):
            found = strength.Opening.of(one, [far, line])
            assert np.isclose(found.largest, 1 + top[0] + 0.01 * top[1]) and np.isclose(found.share, 0.5)
            assert np.isclose(found.distance, np.hypot(top[0] + 0.9, top[1]) * NM)
            beyond = strength.Opening.of(one, [far, line], ["x"])
            assert np.isclose(beyond.distance, np.hypot(1.1 - top[0], top[1]) * NM)
            assert strength.Opening.of(one).distance is None
            kind = "area" if dim == 2 else "volume"
            assert found.words(one).endswith(f"from the nearest dislocation line; above 1: 50 % of the {kind}.")
            shown = plane.plane_of(one, [line])
            inner = np.abs(shown.points).max(axis=1) < 0.45 * NM
            expected = 1 + (shown.points[inner] / NM) @ (1.0, 0.01)
            assert np.allclose(shown.extra["strength_ratio"][inner], expected, rtol=0, atol=1e-9)
    assert plane.gather_body(fake).extra == {}
    COMM.barrier()


@pytest.mark.parametrize("forest", [False, True])
def test_the_picture_of_cracks(place: Path, forest: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    painted, lines, paint = [], [], panels.paint
    monkeypatch.setattr(panels, "paint", lambda *a: (painted.append((a[0], a[4])), paint(*a))[1])
    monkeypatch.setattr(
        "matplotlib.axes.Axes.tricontour", lambda *a, levels, **_: lines.append((levels, float(a[2].max())))
    )
    fake, log = Cracked(forest=forest), History(None)
    core = Dislocation(position=(-0.9 * NM, 0.0), burgers=(NM, 0.0), core=0.02 * NM)
    log.open(fake)
    out = Figures(place / "figures", log, title="cracks", dislocations=[core], periodic=["x"])
    out.open(fake)
    out.close(fake)
    if COMM.rank == 0:
        assert (place / "figures" / "strength.png").stat().st_size > 20_000
        shown = [(limits, ax.get_title(loc="left")) for ax, limits in painted[4:]]  # the first are those of fields.png
        names = ["Where a crack would open", "Taylor's flow stress"][: 1 + forest]
        assert [name for _, name in shown] == 2 * names  # the whole and the close-up
        assert all(low == 0.0 for (low, _), _ in shown) and 1.5 < shown[0][0][1] <= 11 / 6 + 0.01
        assert len(lines) == 1 and lines[0][0] == [1.0]  # the close-up does not reach where it is 1
    COMM.barrier()


@alone
def test_cracks_are_drawn_again_from_the_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = prepare(place / "a")
    run.case.write_text(Case.load("llzo-edge-dislocation").to_toml())
    FieldSeries(run.fields).open(Cracked())
    log = History(run.history)
    log.open(Fake())
    log.close(Fake())
    assert cli.main(["plot", str(place / "a")]) == 0
    drawn = [place / "a" / "figures" / name for name in ("fields.png", "strength.png")]
    assert capsys.readouterr().out.split() == list(map(str, drawn)) and drawn[1].stat().st_size > 20_000


@alone
def test_jumps_are_sharp_in_the_picture(place: Path) -> None:
    from matplotlib.image import imread

    points = np.array([[0.0, 0], [10, 0], [10, 5], [0, 5], [10, 10], [0, 10], [0, 5], [10, 5]]) * NM
    triangles = np.array([[0, 1, 2], [0, 2, 3], [6, 7, 4], [6, 4, 5]])
    c = np.array([0.9] * 4 + [0.1] * 4)
    seams = np.array([[[0, 5], [10, 5]]]) * NM
    shown = plane.Plane(points, triangles, c, c * 1e9, seams=seams)
    figures.draw_fields(shown, place / "sharp.png")
    picture = imread(place / "sharp.png")[..., :3]
    column = picture[:, 200]
    from matplotlib import colormaps

    yellow, blue = (np.array(colormaps["viridis"](v)[:3]) for v in (1.0, 0.0))
    is_yellow, is_blue = (np.abs(column - colour).max(axis=1) < 0.02 for colour in (yellow, blue))
    assert is_yellow.sum() > 150 and is_blue.sum() > 150
    between = np.flatnonzero(is_blue).max(), np.flatnonzero(is_yellow).min()
    assert 0 < between[1] - between[0] <= 6  # the line of the interface, and nothing else


@alone
def test_several_runs_in_one_figure(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [plane.plane_of(plane.gather_body(Layered(n=4))) for _ in range(2)]
    core = plane.Core(np.array([0.25, 0.0]) * NM, np.array([0.0, 1.0]), 0.1 * NM)
    marked = plane.Plane(*[getattr(shown[1], a) for a in ("points", "triangles", "concentration", "stress")], (core,))
    marked = plane.Plane(**{**vars(marked), "concentration": 0.5 * marked.concentration, "seams": shown[1].seams})
    limits, views, letters = [], [], []
    paint, dress = panels.paint, panels.dress
    monkeypatch.setattr(panels, "paint", lambda *a: (limits.append(a[4]), paint(*a))[1])
    monkeypatch.setattr(panels, "dress", lambda *a, **k: (views.append(a[2]), letters.append(a[0]), dress(*a, **k))[2])
    out = place / "both.png"
    figures.draw_comparison([shown[0], marked], out, titles=["coherent", "with $ misfit"], window=1 * NM)
    assert out.stat().st_size > 20_000
    assert limits[0] == limits[2] and limits[1] == limits[3] and np.allclose(limits[1], (-2.0, 2.0))
    assert np.allclose(limits[0], (0.5 * 0.2, 0.8))  # of both runs, in the window and the cells that reach into it
    assert all(np.allclose(v, np.array([-0.25, 0.75, -0.5, 0.5]) * NM) for v in views)
    assert [ax.get_title(loc="left") for ax in letters] == ["a)", "b)", "c)", "d)"]
    for name in ("one.pdf", "one.svg"):
        figures.draw_comparison(shown[:1], place / name, titles=[""])
        assert (place / name).stat().st_size > 5000
    with pytest.raises(CaseError, match="this ending is not known"):
        redraw.compare([place], place / "case.toml")
    with pytest.raises(CaseError, match="holds no run"):
        redraw.compare([place, place], place / "a.png")


def spiked(*, seams: bool = False) -> plane.Plane:
    """A body of 40 x 40 squares with c = 0.5 + 0.1 x, stress 1e8 x, and one node at the middle far beyond that."""
    points, cells = grid(40, 2)
    c, sigma = 0.5 + 0.1 * points[:, 0], 1e8 * points[:, 0]
    middle = int(np.argmin(np.abs(points).sum(axis=1)))
    c[middle], sigma[middle] = 0.9, 5e9
    line = np.array([[[-1.0, 0.0], [1.0, 0.0]]])[: int(seams)] * NM
    core = plane.Core(np.zeros(2), np.array([0.0, 1.0]), 0.02 * NM)
    return plane.Plane(points * NM, cells, c, sigma, (core,), seams=line)


@alone
def test_colours_leave_out_the_cores() -> None:
    one = spiked()
    whole = panels.whole_box(one)
    corners = one.points[one.triangles]
    area = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
    for part in (0.2, 0.5, 0.99):
        value = panels.quantile(one, one.concentration, whole, part)
        below = ((one.concentration[one.triangles] <= value) * area[:, None]).sum() / (3 * area.sum())
        assert part <= below < part + 0.03  # c comes in 41 steps
    ends = panels.scale_of([one], [one.concentration], [whole])
    assert np.allclose((ends.low, ends.high), (0.4, 0.6)) and ends.extend == "max"
    quiet = plane.Plane(one.points, one.triangles, one.concentration, 0.1 * np.abs(one.stress))
    ends = panels.scale_of([one, quiet], [one.stress, quiet.stress], [whole] * 2, symmetric=True)
    assert np.isclose(ends.high, 1e8) and ends.low == -ends.high and ends.extend == "max"
    half = panels.scale_of([quiet], [quiet.stress], [(0.0, 0.5 * NM, -NM, NM)], symmetric=True)
    assert 0.045e8 < half.high <= 0.0501e8
    flat = panels.scale_of([one], [np.zeros(len(one.points))], [whole], symmetric=True)
    assert (flat.low, flat.high, flat.extend) == (-1.0, 1.0, "neither")
    between = np.array([1e3, 1e3, 1e3 + 1e-3, 1e3]) * NM  # a view that no middle of a triangle lies in
    assert np.isclose(panels.quantile(one, one.concentration, tuple(between), 0.99), 0.6)


@alone
@pytest.mark.parametrize("seams", [False, True])
def test_cores_decide_on_the_colours_of_one_phase_only(
    place: Path, seams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, bars, sizes = [], [], []
    paint, add_bar, tee = panels.paint, panels.add_bar, panels._tee
    monkeypatch.setattr(panels, "paint", lambda *a: (limits.append(a[4]), paint(*a))[1])
    monkeypatch.setattr(panels, "add_bar", lambda *a: (bars.append(a[3]), add_bar(*a))[1])
    monkeypatch.setattr(panels, "_tee", lambda *a: (sizes.append(a[3]), tee(*a))[1])
    one = spiked(seams=seams)
    figures.draw_fields(one, place / "a.png", window=2 * NM)
    assert np.allclose(limits[0], (0.4, 0.6) if seams else (0.4, 0.9))
    assert np.allclose(limits[1], (-0.1, 0.1) if seams else (-5.0, 5.0))  # GPa
    assert bars == (["max", "max"] if seams else ["neither"] * 2)
    figures.draw_comparison([one, spiked()], place / "b.png", titles=["a", "b"])
    assert np.allclose(limits[2:], [(0.4, 0.6), (-0.1, 0.1)] * 2) and bars[2:] == ["max"] * 4
    assert max(sizes[2:]) < 0.5 * 0.032 * 2 * NM and np.isclose(sizes[0], (0.014 if seams else 0.032) * 2 * NM)


@alone
def test_plot_compares_the_folders_of_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = Case.load("llzo-edge-dislocation")
    for name, layered in (("a", True), ("b", False)):
        run = prepare(place / name)
        run.case.write_text(case.replace({"title": f"run {name}"}).to_toml())
        FieldSeries(run.fields).open((Layered if layered else Fake)(n=4))
        log = History(run.history)
        log.open(Fake())
        log.close(Fake())
    out = place / "c.pdf"
    assert cli.main(["plot", str(place / "a"), str(place / "b"), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n" and out.read_bytes().startswith(b"%PDF")
    body = plane.gather_body(Layered(n=4))
    profile.write_profile(profile.lateral_profile(body, [0.0]), place / "a" / "profile.csv")
    assert cli.main(["plot", str(place / "a")]) == 0  # one step: no history; the profile from its table
    assert capsys.readouterr().out.split() == [str(place / "a" / "figures" / f) for f in ("fields.png", "profile.png")]
    assert cli.main(["plot", str(place / "a"), str(place / "none")]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert cli.main(["plot", str(place / "a"), "--out", "x.toml"]) == 2
    assert "this ending is not known" in capsys.readouterr().err


@alone
def test_the_close_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[0.0, 0], [100, 0], [100, 100], [0, 100]]) * NM
    flat = plane.Plane(points, np.array([[0, 1, 2], [0, 2, 3]]), np.full(4, 0.3), np.zeros(4))
    up = np.array([0.0, 1.0])

    def close(*cores: tuple[float, float], window: float | None = None, width: float = 1.0) -> list[float] | None:
        marks = tuple(plane.Core(np.array(c) * NM, up, width * NM) for c in cores)
        shown = plane.Plane(flat.points, flat.triangles, flat.concentration, flat.stress, marks)
        box = panels.close_up(shown, (0.0, 100 * NM, 0.0, 100 * NM), window)
        return None if box is None else [round(v / NM, 6) for v in box]

    assert close() is None and close((50, 50), width=20) is None and close((10, 10), (90, 90)) is None
    assert close((50, 50)) == [44, 56, 44, 56]
    assert close((2, 50)) == [0, 8, 44, 56]
    assert close((50, 50), window=20 * NM) == [40, 60, 40, 60]
    assert close(window=20 * NM) == [40, 60, 40, 60]
    figures.draw_fields(flat, place / "flat.png")  # no stress, no variation: still a picture
    assert (place / "flat.png").stat().st_size > 5000
    figures.draw_history({"time": [0.0], "step_size": [0.0]}, place / "none.png")
    figures.draw_history({"time": [0.0, 1.0], "step_size": [0.0, 1.0]}, place / "bare.png")
    assert not (place / "none.png").exists() and (place / "bare.png").exists()
    assert [drawing.round_length(v * NM)[1] for v in (1, 4.9, 25, 0.3, 999, 1000, 3e6)] == [
        *("1 nm", "2 nm", "20 nm", "0.2 nm", "500 nm", "1 µm", "2 mm")
    ]
    monkeypatch.setattr(folder.os, "fsync", lambda _: fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(OutputError, match=r"flat.png: No space left"):
        figures.draw_fields(flat, place / "flat.png")


# ---- progress ------------------------------------------------------------------------------------------------


class Terminal:
    """A stream that claims to be a terminal, or not."""

    def __init__(self, tty: bool) -> None:
        self.tty, self.text = tty, ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self.tty


@pytest.mark.parametrize("tty", [False, True])
def test_progress_shows_and_logs(place: Path, tty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream, fake, before = Terminal(tty), Fake(), logging.getLogger("chemomech").level
    with Progress(7200.0, log=place / "run.log", stream=stream, interval=0.0) as out:
        out.open(fake)
        out.newton(1, 1e-3)
        for step in (1, 2):
            out.update(fake.go(step, step * 1800.0, 1800.0))
        if COMM.rank == 0:
            logging.getLogger("chemomech.solvers").warning("a word from the solver")
        out.close(fake)
    assert logging.getLogger("chemomech").level == before and not logging.getLogger("chemomech").handlers
    if COMM.rank:
        assert stream.text == ""
        return
    for words in (
        ("step 2", "t = 1 h", "2 h", "0:00")
        if tty
        else (
            "step 1, t = 30 min of 2 h (25.0 %), dt = 30 min, 3 Newton iterations, 0:00 so far",
            "step 2, t = 1 h: done in 0:00",
        )
    ):
        assert words in stream.text
    text = (place / "run.log").read_text()
    for words in ("INFO    began at step 0, t = 0 s on", "step 1, t = 30 min", "WARNING a word", "done at step 2"):
        assert words in text


@alone
def test_progress_in_equilibrium_and_after_failure(place: Path) -> None:
    fake = Fake()
    with pytest.raises(ChemomechError), Progress(None, log=place / "run.log", stream=(s := Terminal(False))) as out:
        out.open(fake)
        out.newton(1, 2.5e-3)
        out.newton(2, 1e-6)  # too soon after the first
        out._said = -100.0
        out.newton(3, 1e-9)
        fail(ChemomechError("it went wrong"))
    assert s.text.splitlines() == ["Newton iteration 1, residual 2.5e-03", "Newton iteration 3, residual 1.0e-09"]
    assert "ERROR   ChemomechError: it went wrong" in (place / "run.log").read_text()
    with Progress(None, stream=(t := Terminal(True))) as out:
        out.open(fake)
        out.newton(4, 1e-9)
        out.update(fake.go(1, 0.0))
        out.close(fake)
    assert "Newton" in t.text
    with Progress(1.0, log=place, show=False) as out, pytest.raises(OutputError, match="Is a directory"):
        out.open(fake)
    full = Progress(1.0, log=Path("/dev/full"), show=False)
    full.open(fake)  # a log on a full disk never stops the run
    full.update(fake)
    full.close(fake)


def test_times_in_words() -> None:
    seconds = (0, 1.5e-12, 2e-15, 3e-5, 0.25, 60, 5400, 86400 * 3, 3.2e9, 1e15)
    words = ("0 s", "1.5 ps", "2.00e-15 s", "30 µs", "250 ms", "1 min", "1.5 h", "3 d", "101 a", "3.17e+07 a")
    assert tuple(map(duration, seconds)) == words
    assert [clock(s) for s in (0.4, 75, 3601)] == ["0:00", "1:15", "1:00:01"]


# ---- the same tests on several ranks -------------------------------------------------------------------------


@alone
@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [2, 3])
def test_all_of_it_on_several_ranks(ranks: int, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_MCA", "PMIX", "PRTE", "PYTEST"))}
    # A place of their own: ranks that clean up old folders together get in each other's way.
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    command = ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "pytest", "-q", "-x"]
    command += ["-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.count(" passed") == ranks, done.stdout[-6000:] + done.stderr[-3000:]
