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

from chemomech import parallel
from chemomech.case import Dislocation
from chemomech.errors import CaseError, ChemomechError, OutputError, OutputExistsError
from chemomech.output import figures, folder, history, plane
from chemomech.output.fields import FieldSeries, read_index
from chemomech.output.figures import Figures
from chemomech.output.history import History
from chemomech.output.progress import Progress, clock, duration

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


class Fake:
    """A run whose fields are known: coordinates in nm, c linear in x and in time."""

    def __init__(self, comm: MPI.Comm = COMM, n: int = 6, dim: int = 2, length: float = NM) -> None:
        self.comm, self.length, self.dim = comm, length, dim
        points, cells = grid(n, dim)
        own = slice(None) if comm.rank == 0 else slice(0)
        element = basix.ufl.element("Lagrange", ("triangle", "tetrahedron")[dim - 2], 1, shape=(dim,))
        self.mesh = mesh.create_mesh(comm, cells[own], element, points[own])
        self.time, self.step, self.step_size = 0.0, 0, 0.0
        spaces = {
            "displacement": ("P", 1, (dim,)),
            "concentration": ("P", 1),
            "stress": ("DG", 0, (3, 3)),
            "hydrostatic_stress": ("DG", 0),
        }
        self.field_names = tuple(spaces)
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


@alone
def test_the_close_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[0.0, 0], [100, 0], [100, 100], [0, 100]]) * NM
    flat = plane.Plane(points, np.array([[0, 1, 2], [0, 2, 3]]), np.full(4, 0.3), np.zeros(4))
    up = np.array([0.0, 1.0])

    def close(*cores: tuple[float, float], window: float | None = None, width: float = 1.0) -> list[float] | None:
        marks = tuple(plane.Core(np.array(c) * NM, up, width * NM) for c in cores)
        shown = plane.Plane(flat.points, flat.triangles, flat.concentration, flat.stress, marks)
        box = figures._close_up(shown, (0.0, 100 * NM, 0.0, 100 * NM), window)
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
    assert [figures.round_length(v * NM)[1] for v in (1, 4.9, 25, 0.3, 999, 1000, 3e6)] == [
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
